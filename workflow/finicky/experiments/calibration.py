"""How often do the verdict rules themselves decide wrongly, and how often not at all?

The rules of finicky.evidence are called on simulated seeds whose truth is known, and their verdicts
are counted. A simulated claim has up to 200 conditions, all at the same distance from the limit
that its rule tests. Their seeds are paired as in the grid: a share of the variance belongs to the
seed and is the same in every condition. Shapes other than the normal one are monotone transforms of
normal numbers (a Gaussian copula) with median 0 and a standard deviation of 1, or nearly.

What may be said of a claim is the rule's own verdict on the true median, as if it were known
exactly. Exactly on the limit nothing may be said, so there both decisions are wrong.
"""

import itertools
import math

import numpy as np
import pandas as pd

from finicky.evidence import intervals, parts, rules
from finicky.experiments import tidy

TITLE = "The verdict rules, judged"
READS = []
SETTINGS = {
    "trials": (
        {"type": "integer", "minimum": 2, "maximum": 100000},
        "trials of 200 conditions each, of every rule, shape and distance",
    ),
    "sizes": (
        {
            "type": "array",
            "minItems": 1,
            "uniqueItems": True,
            "items": {"type": "integer", "minimum": 5, "maximum": 1000},
        },
        "seeds of a simulated claim",
    ),
    "shared": ("shares", "shares of the variance that belong to the seed"),
}
QUANTITIES = {
    "wrongly_for": ("%", "verdicts that a claim holds, at least somewhere, where it does not"),
    "wrongly_against": ("%", "verdicts that it fails, at least somewhere, where it does not"),
    "undecided": ("%", "undecided verdicts"),
}
CONDITIONS = {
    "rule": ["ordering", "equivalence", "value", "existence", "noninferiority", "trend",
             "identity", "construction"],
    "shape": ["normal", "skewed", "bimodal", "discrete"],
    "seeds": "integer",
    "distance": ["zero", "inside", "on", "outside", "clear"],
    "shared": "number",
    "combined": ["conditions", "parts", "conditions, some dropped"],
    "count": "integer",
    "error": "number",
}  # fmt: skip
MARGIN = 1.0  # percentage points
SPREAD = 0.5  # standard deviation of the seeds' numbers, percentage points
PRINTED = 97.82  # the number that the value rule compares with, in %
NEAR = 0.25  # how far just inside and just outside of the limit are, in standard deviations
FLAW = 0.2  # share of the seeds in which a flawed construction fails
TINY = 1e-9  # of a standard normal: just beside its median
MOST = 200  # conditions of a trial
CLAIMS = 20  # claims of fewer conditions that are made of a trial, at most
NEAR_CHANCE = 17.5  # median accuracy, in %, just below the least that counts as trained
NOISE = 3.0  # standard deviation of these accuracies, percentage points


# ---- Shapes: seeds' numbers with median 0, as monotone functions of standard normals ------------


def normal_share(z):
    """The standard normal distribution function."""
    from scipy.special import ndtr

    return ndtr(z)


def skewed(z):
    """Exponential, less its median."""
    return -np.log(normal_share(-z)) - math.log(2)


def bimodal(z):
    """Two modes of equal weight, with the median in the gap between them."""
    return (np.sign(z) + z / 4) / 1.209


def discrete(z):
    """Whole multiples of half a standard deviation, a fifth of them on the median."""
    return np.round(2 * z) / 2


SHAPES = {"normal": np.asarray, "skewed": skewed, "bimodal": bimodal, "discrete": discrete}


# ---- Rules: the truth at each distance, and the seeds' numbers there ----------------------------


def different_rules():
    """The kinds of rules that read, decide or ask differently, each once, by the first name."""
    kinds = {}
    for kind, rule in rules.RULES.items():
        kinds.setdefault((rule.measure, rule.decide, rule.needs), kind)
    return list(kinds.values())


def effects(kind, n):
    """{distance: true effect}; an effect is a median, a share of runs, a largest error or flaws.

    At "clear" n seeds should decide in nine cases of ten, if their numbers are normal
    (intervals.decided_distance).
    """
    if kind == "existence":
        clear = intervals.decided_share(n)
        return {"zero": 0.0, "inside": 0.4, "on": 0.5, "outside": 0.6, "clear": clear}
    if kind == "identity":
        return {"zero": 0.0, "inside": 0.8, "on": 1.0, "outside": 1.25}
    if kind == "construction":
        return {"zero": 0.0, "outside": FLAW}
    limit = {"noninferiority": -MARGIN, "trend": 0.0}.get(kind, MARGIN)
    away = SPREAD if limit >= 0 else -SPREAD
    clear = intervals.decided_distance(n)
    steps = {"inside": -NEAR, "on": 0.0, "outside": NEAR, "clear": clear}
    found = {name: limit + away * step for name, step in steps.items()}
    return found if limit == 0 else {"zero": 0.0} | found


def number(kind):
    """The number that a rule compares with."""
    return PRINTED if kind == "value" else 0.0


def values(kind, effect, z, shape):
    """The seeds' numbers [..., seeds] at a true effect, from standard normals."""
    if kind == "existence":
        return (normal_share(z) < effect).astype(float)
    if kind == "identity":  # errors up to the largest
        return effect * normal_share(z)
    if kind == "construction":
        return (normal_share(z) >= effect).astype(float)
    return number(kind) + effect + SPREAD * SHAPES[shape](z)


def truth(kind, effect, shape):
    """What may be said: the rule's verdict on the effect, as if it were known exactly.

    Whatever lies between the two modes of a bimodal shape is a median of it.
    """
    low = high = effect
    if kind == "construction":  # one counterexample refutes
        low = high = float(effect == 0)
    elif rules.RULES[kind].measure is rules.typical_run:
        below, above = SPREAD * SHAPES[shape](np.array([-TINY, TINY]))
        low, high = effect + below, effect + above
    return rules.RULES[kind].decide(low, high, MARGIN, 0.0)


# ---- Counting verdicts --------------------------------------------------------------------------


def in_conditions(verdicts):
    """The verdict on a claim from those on its conditions."""
    return rules.combine_conditions(verdicts).verdict


COMBINED = {"conditions": (in_conditions, (1, 20, 200)), "parts": (rules.combine_parts, (4, 20))}


def says(verdict, true, combined="conditions"):
    """Of which QUANTITIES a verdict is an example; `true` is what may be said.

    "Under conditions" says of conditions that the claim fails in some; of parts, that some hold.
    """
    holds = verdict in (rules.REPRODUCED, rules.UNDER_CONDITIONS)
    fails = verdict == rules.NOT_REPRODUCED or (
        verdict == rules.UNDER_CONDITIONS and combined == "conditions"
    )
    return (
        holds and true != rules.REPRODUCED,
        fails and true != rules.NOT_REPRODUCED,
        verdict == rules.UNDECIDED,
    )


def counted(shares):
    """Rows of the QUANTITIES, in %, from shares [trials, 3], with their standard errors."""
    errors = shares.std(0, ddof=1) / math.sqrt(len(shares))
    for quantity, share, error in zip(QUANTITIES, shares.mean(0), errors, strict=True):
        yield {"quantity": quantity, "value": 100 * share, "error": 100 * error}


def outcomes(kind, true, numbers):
    """Rows for the seeds' numbers [trials, conditions, seeds].

    The conditions of a trial serve as one claim of all and as claims of fewer. These share their
    seeds, so the standard error is that over trials.
    """
    verdicts = [
        [rules.decide(kind, seeds, MARGIN, number(kind))[0] for seeds in trial]
        for trial in numbers.tolist()
    ]
    for combined, (combine, counts) in COMBINED.items():
        for count in counts if rules.RULES[kind].fewest > 1 else counts[: combined != "parts"]:
            starts = range(0, MOST, count)[:CLAIMS]
            found = [
                [says(combine(trial[i : i + count]), true, combined) for i in starts]
                for trial in verdicts
            ]
            for row in counted(np.array(found).mean(1)):
                yield row | {"combined": combined, "count": count}


def dropping(first, second):
    """Rows for the judge on two networks that hardly train, from normals [trials, conditions,
    seeds].

    Their difference has its median on the limit of an ordering. Conditions in which neither trains
    are dropped, and to know which, the judge looks at the same seeds.
    """
    accuracies = {
        "a": NEAR_CHANCE + MARGIN / 2 + NOISE * first,
        "b": NEAR_CHANCE - MARGIN / 2 + NOISE * second,
    }
    trials, conditions, seeds = first.shape
    at = np.indices((conditions, seeds)).reshape(2, -1)
    claim = {"rule": "ordering", "conditions": ["width"], "drop_untrained": True}
    spec = {"experiment": "simulated", "quantity": "a_minus_b", "margin": MARGIN}
    found = []
    for trial in range(trials):
        of_trial = {name: accuracy[trial].ravel() for name, accuracy in accuracies.items()}
        table = pd.DataFrame(of_trial).assign(
            quantity="a_minus_b", value=of_trial["a"] - of_trial["b"], outcome="finite",
            width=at[0], seed=at[1],
        )  # fmt: skip
        part = parts.measure(claim, spec, {"simulated": table})
        found.append(says(part.count.verdict, rules.UNDECIDED))
    found = np.array(found)
    for row in counted(found):
        yield row | {"combined": "conditions, some dropped", "count": conditions}


# ---- Measuring ----------------------------------------------------------------------------------


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity and condition: a share of simulated claims, in %.

    `error` is its standard error; `seeds`, how many a claim has; `combined` and `count`, of how
    many conditions or parts it is made. The first of the settings' seeds seeds all random numbers.
    """
    seed, trials, rows = settings["seeds"][0], settings["trials"], []
    for n, shared in itertools.product(settings["sizes"], settings["shared"]):
        random = np.random.default_rng([seed, n, round(100 * shared)])
        z = paired_normals(random, trials, MOST, n, shared)
        where = {"seed": seed, "seeds": n, "shared": shared}
        for kind, shape in itertools.product(different_rules(), SHAPES):
            if shape != "normal" and rules.RULES[kind].measure is not rules.typical_run:
                continue  # these see zeros and ones, or the largest error
            for distance, effect in effects(kind, n).items():
                true = truth(kind, effect, shape)
                if true == rules.UNDECIDED and distance != "on":
                    continue  # on the limit as well
                at = where | {"rule": kind, "shape": shape, "distance": distance}
                rows += [at | row for row in outcomes(kind, true, values(kind, effect, z, shape))]
        at = where | {"rule": "ordering", "shape": "normal", "distance": "on"}
        both = (paired_normals(random, 2 * trials, CLAIMS, n, shared) for _ in range(2))
        rows += [at | row for row in dropping(*both)]
    return tidy.from_rows(rows, CONDITIONS)


def paired_normals(random, trials, conditions, n, shared):
    """Standard normals [trials, conditions, seeds]; conditions share so much of their variance."""
    own = random.normal(size=(trials, conditions, n))
    common = random.normal(size=(trials, 1, n))
    return math.sqrt(shared) * common + math.sqrt(1 - shared) * own
