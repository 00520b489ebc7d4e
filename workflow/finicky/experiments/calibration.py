"""How often do the verdict rules themselves decide wrongly, and how often not at all?

The rules of finicky.evidence are called on simulated seeds whose truth is known, and their verdicts
are counted. A simulated claim has up to 200 conditions, all at the same distance from the limit
that its rule tests. Their seeds are paired as in the grid: a share of the variance belongs to the
seed and is the same in every condition. Shapes other than the normal one are monotone transforms of
normal numbers (a Gaussian copula) with median 0 and a standard deviation of 1, or nearly.

What may be said of a claim is the rule's own verdict on the true median, as if it were known
exactly. Exactly on the limit nothing may be said, so there both decisions are wrong.

Real claims are less even, so some are simulated whose conditions differ: some of them hold clearly
beside others that fail or lie on the limit; each is counted twice, under another name, which the
judge refuses where it sees it; half of them lose in each seed what the others gain; or a seed can
be bad for all of them. Their random numbers are drawn after all others of the same seeds, so what
these gave before there were such claims they give still.
"""

import itertools
import math

import numpy as np
import pandas as pd

from finicky.evidence import intervals, parts, rules
from finicky.evidence.sometimes import sometimes
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
             "identity", "construction", "sometimes"],
    "shape": ["normal", "skewed", "bimodal", "discrete", "two values"],
    "seeds": "integer",
    "distance": ["zero", "inside", "on", "outside", "clear"],
    "shared": "number",
    "combined": ["conditions", "parts", "conditions, each twice", "conditions, some dropped",
                 "conditions, some clear", "conditions, half mirrored", "conditions, bad seeds"],
    "count": "integer",
    "clear": "integer",
    "error": "number",
}  # fmt: skip
MARGIN = 1.0  # percentage points
SPREAD = 0.5  # standard deviation of the seeds' numbers, percentage points
PRINTED = 97.82  # the number that the value rule compares with, in %
NEAR = 0.25  # how far just inside and just outside of the limit are, in standard deviations
FLAW = 0.2  # share of the seeds in which a flawed construction fails
TINY = 1e-9  # of a standard normal: just beside its median
FEW = 20  # conditions of a claim of few
MOST = 200  # conditions of a trial
CLAIMS = 20  # claims of fewer conditions that are made of a trial, at most
NEAR_CHANCE = 17.5  # median accuracy, in %, just below the least that counts as trained
NOISE = 3.0  # standard deviation of these accuracies, percentage points
# Claims of so many conditions, some of which hold clearly: where the others lie, how many hold
# clearly, and how many such claims a trial stands for. Of 226 conditions a side needs 23.
MIXED = {4: ("on", (1, 2), CLAIMS), 226: ("zero", (20, 21, 22, 23, 24, 25), 4)}
BAD = 0.3  # share of the seeds that are bad for all conditions at once


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


def each_twice(verdicts):
    """The verdict on a claim that counts each condition twice: on as many, half of them anew."""
    return in_conditions(2 * verdicts[::2])


COMBINED = {
    "conditions": (in_conditions, (1, FEW, MOST)),
    "parts": (rules.combine_parts, (4, FEW)),
    "conditions, each twice": (each_twice, (FEW,)),
}


def says(verdict, true, combined="conditions"):
    """Of which QUANTITIES a verdict is an example; `true` is what may be said, a rules.Count of the
    true verdicts on conditions.

    "Under conditions" says of conditions that the claim holds in some and fails in some; of parts,
    that some hold.
    """
    mixed = verdict == rules.UNDER_CONDITIONS
    if combined == "parts":
        some_hold, some_fail = true.verdict == rules.REPRODUCED, True
    else:
        some_hold, some_fail = true.hold >= true.need, true.fail >= true.need
    return (
        (verdict == rules.REPRODUCED != true.verdict) or (mixed and not some_hold),
        (verdict == rules.NOT_REPRODUCED != true.verdict) or (mixed and not some_fail),
        verdict == rules.UNDECIDED,
    )


def alike(true):
    """What may be said of a claim if the same may be said of all its conditions or parts."""
    return rules.combine_conditions([true])


def counted(shares):
    """Rows of the QUANTITIES, in %, from shares [trials, 3], with their standard errors."""
    errors = shares.std(0, ddof=1) / math.sqrt(len(shares))
    for quantity, share, error in zip(QUANTITIES, shares.mean(0), errors, strict=True):
        yield {"quantity": quantity, "value": 100 * share, "error": 100 * error}


def on_conditions(kind, numbers):
    """The rule's verdicts on conditions, from their seeds' numbers [trials, conditions, seeds]."""
    return [
        [rules.decide(kind, seeds, MARGIN, number(kind))[0] for seeds in trial]
        for trial in numbers.tolist()
    ]


def outcomes(kind, true, numbers):
    """Rows for the seeds' numbers [trials, conditions, seeds].

    The conditions of a trial serve as one claim of all and as claims of fewer. These share their
    seeds, so the standard error is that over trials.
    """
    verdicts, true = on_conditions(kind, numbers), alike(true)
    for combined, (combine, counts) in COMBINED.items():
        for count in counts if rules.RULES[kind].fewest > 1 else counts[: combined == "conditions"]:
            starts = range(0, MOST, count)[:CLAIMS]
            said = {verdict: says(verdict, true, combined) for verdict in rules.VERDICTS}
            found = [[said[combine(trial[i : i + count])] for i in starts] for trial in verdicts]
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
        found.append(says(part.count.verdict, alike(rules.UNDECIDED)))
    found = np.array(found)
    for row in counted(found):
        yield row | {"combined": "conditions, some dropped", "count": conditions}


# ---- Claims whose conditions differ, and claims about what happens sometimes --------------------


def on_claim(kind, numbers):
    """The verdict of `ordering` or `sometimes` on a claim, from numbers [conditions, seeds]."""
    if kind == "sometimes":
        return sometimes([dict(enumerate(seeds)) for seeds in numbers.tolist()], MARGIN).verdict
    return in_conditions(*on_conditions(kind, numbers[np.newaxis]))


def some_clear(z):
    """Rows for orderings of which some conditions hold clearly and the others do not, from normals
    [trials, conditions, seeds] of claims of so many conditions."""
    _, conditions, seeds = z.shape
    distance, holding, _ = MIXED[conditions]
    at = effects("ordering", seeds)
    other = truth("ordering", at[distance], "normal")
    clear, others = (
        on_conditions("ordering", values("ordering", at[name], z[:, :most], "normal"))
        for name, most in (("clear", max(holding)), (distance, conditions))
    )
    for few in holding:
        true = rules.combine_conditions([rules.REPRODUCED] * few + [other] * (conditions - few))
        found = [
            says(in_conditions(yes[:few] + rest[few:]), true)
            for yes, rest in zip(clear, others, strict=True)
        ]
        for row in counted(np.array(found)):
            yield row | {
                "shape": "normal", "distance": distance, "clear": few, "count": conditions,
                "combined": "conditions, some clear",
            }  # fmt: skip


def together(kind, combined, count, true, numbers):
    """Rows for claims of `count` of the conditions [trials, conditions, seeds], as in `outcomes`,
    judged by `on_claim`."""
    starts, true = range(0, numbers.shape[1], count), alike(true)
    found = [
        [says(on_claim(kind, trial[i : i + count]), true) for i in starts] for trial in numbers
    ]
    for row in counted(np.array(found).mean(1)):
        yield row | {"rule": kind, "combined": combined, "count": count}


def mirrored(z):
    """Seeds' numbers on the limit; every second condition loses what the one before it gains."""
    sign = np.where(np.arange(z.shape[1]) % 2, -1.0, 1.0)[:, np.newaxis]
    return MARGIN + SPREAD * sign * np.repeat(z[:, ::2], 2, axis=1)


def with_bad_seeds(random, trials, conditions, n):
    """Seeds' numbers with their median on the limit: just below it in all conditions if the seed is
    bad, else above it so much more often."""
    bad = random.random((trials, 1, n)) < BAD
    below = random.random((trials, conditions, n)) < (0.5 - BAD) / (1 - BAD)
    return MARGIN + SPREAD * np.where(bad | below, -1.0, 1.0)


# ---- Measuring ----------------------------------------------------------------------------------


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity and condition: a share of simulated claims, in %.

    `error` is its standard error; `seeds`, how many a claim has; `combined` and `count`, of how
    many conditions or parts it is made; `clear`, in how many of them it clearly holds where the
    others are at another distance. The first of the settings' seeds seeds all random numbers.
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
        rows += [where | row for row in of_several(random, z, trials, n, shared)]
    for n in settings["sizes"]:
        random = np.random.default_rng([seed, n])
        numbers = with_bad_seeds(random, 2 * trials, MOST, n)
        where = {"seed": seed, "seeds": n}
        rows += [
            where | row for row in on_the_limit("conditions, bad seeds", "two values", numbers)
        ]
    return tidy.from_rows(rows, CONDITIONS)


def of_several(random, z, trials, n, shared):
    """Rows for claims whose conditions differ and for `sometimes`, at n seeds that share so
    much of their variance; z: the normals that the other rules see."""
    for count, (_, _, times) in MIXED.items():
        for row in some_clear(paired_normals(random, times * trials, count, n, shared)):
            yield {"rule": "ordering"} | row
    for distance, effect in effects("ordering", n).items():
        if distance == "zero":
            continue  # no luck reaches so far
        true, numbers = truth("ordering", effect, "normal"), values("ordering", effect, z, "normal")
        for count in (FEW, MOST) if distance == "on" else (FEW,):
            for row in together("sometimes", "conditions", count, true, numbers):
                yield row | {"shape": "normal", "distance": distance}
    numbers = mirrored(paired_normals(random, trials * MOST // FEW, FEW, n, shared))
    yield from on_the_limit("conditions, half mirrored", "normal", numbers)


def on_the_limit(combined, shape, numbers):
    """Rows for claims of all the conditions [trials, conditions, seeds], by counting and by
    `sometimes`."""
    for kind in ("ordering", "sometimes"):
        for row in together(kind, combined, numbers.shape[1], rules.UNDECIDED, numbers):
            yield row | {"shape": shape, "distance": "on"}


def paired_normals(random, trials, conditions, n, shared):
    """Standard normals [trials, conditions, seeds]; conditions share so much of their variance."""
    own = random.normal(size=(trials, conditions, n))
    common = random.normal(size=(trials, 1, n))
    return math.sqrt(shared) * common + math.sqrt(1 - shared) * own
