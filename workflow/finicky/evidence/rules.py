"""The rules: from the numbers of one quantity to a verdict, and from many verdicts to one.

Every rule was fixed before anything ran. A rule has three aspects: what it reads off the seeds
(`measure`), how that decides (`decide`, strict inequalities), and the words in which it is told
(evidence/words.py fills in the numbers). Verdicts of conditions combine by counting
(`combine_conditions`), verdicts of parts
by `combine_parts`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median, stdev

from finicky.evidence import intervals

REPRODUCED = "reproduced"
UNDER_CONDITIONS = "reproduced under conditions"
NOT_REPRODUCED = "not reproduced"
UNDECIDED = "undecided"
OPINION = "opinion"
NOT_MEASURED = "not measured"
# Why a part of a claim is not measured.
GAPS = NOT_RUN, NO_ROWS, SEVERAL_VALUES, COUNTED_TWICE = (
    "not run", "no rows", "several values per seed", "one measurement under two conditions",
)  # fmt: skip
VERDICTS = (REPRODUCED, UNDER_CONDITIONS, NOT_REPRODUCED, UNDECIDED, OPINION, NOT_MEASURED)


def _verdict(holds, fails):
    return REPRODUCED if holds else NOT_REPRODUCED if fails else UNDECIDED


# ---- What a rule reads off the seeds: (measured, low, high) -------------------------------------


def typical_run(values):
    """The median over seeds (NaN if any value is) with its exact sign-test interval."""
    unknown = any(math.isnan(value) for value in values)
    return math.nan if unknown else median(values), *intervals.median_interval(values)


def share_of_runs(values):
    """The share of ones among zeros and ones; a NaN (nobody knows) widens the interval."""
    yes, unknown = sum(value == 1 for value in values), sum(map(math.isnan, values))
    low, _ = intervals.proportion_interval(yes, len(values))
    _, high = intervals.proportion_interval(yes + unknown, len(values))
    return yes / len(values), low, high


def largest(values):
    """The largest value, as a point: an identity is as good as its worst trial."""
    worst = math.nan if any(map(math.isnan, values)) else max(values)
    return worst, worst, worst


def smallest(values):
    """The smallest value, as a point: one counterexample (0) outweighs every success (1)."""
    worst = math.nan if any(map(math.isnan, values)) else min(values)
    return worst, worst, worst


# ---- What the seeds could have decided, at power intervals.POWER --------------------------------


def distance(values):
    """How far beyond a limit the median has to lie: so many standard deviations of these seeds.

    In the unit of the values; NaN where the seeds are too few or not all finite.
    """
    if len(values) < intervals.FEWEST or not all(map(math.isfinite, values)):
        return math.nan
    return intervals.decided_distance(len(values)) * stdev(values)


def share(values):
    """The share of runs that has to do it (or not to do it)."""
    return intervals.decided_share(len(values))


def flaws(values):
    """The share of seeds in which a flaw has to show; NaN for one seed: a check without chance."""
    return intervals.noticed_share(len(values)) if len(values) > 1 else math.nan


def nothing(values):
    """Facts of the literature have no seeds."""
    return math.nan


# ---- How a rule decides -------------------------------------------------------------------------


def ordering(low, high, margin, number):
    """Ahead by more than the margin."""
    return _verdict(low > margin, high < margin)


def value(low, high, margin, number):
    """Within the margin of a number; also for scaling, and by TOST for equivalence, number 0
    (Schuirmann 1987, J. Pharmacokinetics and Biopharmaceutics 15)."""
    low, high = low - number, high - number
    return _verdict(-margin < low and high < margin, low > margin or high < -margin)


def existence(low, high, margin, number):
    """It happens in more than half of the runs."""
    return _verdict(low > 0.5, high < 0.5)


def noninferiority(low, high, margin, number):
    """At least as good, up to the margin."""
    return _verdict(low > -margin, high < -margin)


def trend(low, high, margin, number):
    """The fitted slope, counted in the claimed direction, is positive."""
    return _verdict(low > 0, high < 0)


def identity(low, high, margin, number):
    """The largest relative error is at most the tolerance; an error that is NaN is not."""
    return _verdict(high <= margin, not high <= margin)


def construction(low, high, margin, number):
    """1: every check passed; 0: a counterexample. Likewise a source that agrees or differs."""
    return _verdict(low == 1, low == 0)


@dataclass(frozen=True)
class Rule:
    """One rule kind.

    measure: seeds' values -> (measured, low, high); decide: (low, high, margin, number) -> verdict;
    words: the condition for "reproduced"; fewest: seeds without which it cannot decide;
    needs: what a part in the ledger has to state; hold, fail: what a card says of a condition;
    detectable: seeds' values -> the smallest effect that they decide, with probability POWER.
    """

    measure: Callable
    decide: Callable
    words: str
    fewest: int = intervals.FEWEST
    needs: tuple = ()
    hold: str = "hold"
    fail: str = "do not"
    detectable: Callable = distance

    @property
    def point(self):
        """Whether it looks at every trial, so that what it measures has no interval."""
        return self.fewest == 1


RULES = {
    "ordering": Rule(
        typical_run,
        ordering,
        "the whole interval lies above {margin}",
        needs=("margin",),
        hold="ahead",
        fail="not",
    ),
    "sometimes": Rule(
        typical_run,
        ordering,
        "the whole interval lies above {margin} in more conditions than luck gives",
        needs=("margin",),
        hold="ahead",
        fail="not",
    ),
    "equivalence": Rule(
        typical_run,
        value,
        "the whole interval lies within ±{margin} of no difference",
        needs=("margin",),
        hold="equal",
        fail="not",
    ),
    "value": Rule(
        typical_run,
        value,
        "the whole interval lies within ±{margin} of {number}",
        needs=("margin", "number"),
    ),
    "scaling": Rule(
        typical_run,
        value,
        "the whole interval of the fitted rate lies within ±{margin} of {number}",
        needs=("margin", "number"),
    ),
    "existence": Rule(
        share_of_runs,
        existence,
        "more than half of all runs do it: the whole interval of their share lies above 0.5",
        detectable=share,
    ),
    "noninferiority": Rule(
        typical_run,
        noninferiority,
        "the whole interval lies above −{margin}",
        needs=("margin",),
        hold="at least as good",
        fail="not",
    ),
    "trend": Rule(
        typical_run,
        trend,
        "the whole interval of the fitted slope lies on the claimed side of 0",
    ),
    "identity": Rule(
        largest,
        identity,
        "the largest relative error over random trials is at most {margin}",
        fewest=1,
        needs=("margin",),
        detectable=flaws,
    ),
    "construction": Rule(
        smallest,
        construction,
        "what the code builds passes every check; one counterexample refutes it",
        fewest=1,
        detectable=flaws,
    ),
    "source": Rule(smallest, construction, "the cited source agrees", fewest=1, detectable=nothing),
}
KINDS = (*RULES, "opinion")
SUBJECTS = ("experiment", "mathematics", "literature")


def shows_the_opposite(rule, high, margin):
    """Whether an interval that ends at `high` (None without one) says that what should be ahead is
    behind by as much, or that what should rise falls."""
    return rule in ("ordering", "trend") and high is not None and high < -margin


def subject(kind):
    """What a rule's verdicts are about: mathematics (checked, not measured over seeds), literature
    (sources, opinions left aside) or experiments."""
    if kind in ("identity", "construction"):
        return "mathematics"
    return "literature" if kind == "source" else "experiment"


def decide(kind, values, margin=None, number=None):
    """Apply a rule to one condition.

    kind: a key of RULES; values: one number a seed, at least one; number: None is 0. Without the
    margin that a rule needs nothing is decided: so are numbers that a card only shows.
    Returns (verdict, measured, low, high); low and high are in the unit of the values and are NaN
    where too few seeds give no interval, which decides nothing.
    """
    rule = RULES[kind]
    measured, low, high = rule.measure(values)
    if len(values) < rule.fewest or (margin is None and "margin" in rule.needs):
        return UNDECIDED, measured, low, high
    return rule.decide(low, high, margin, number or 0), measured, low, high


# ---- From conditions to a verdict ---------------------------------------------------------------


@dataclass(frozen=True)
class Count:
    """How the conditions of one part fell out. need: conditions that make a side count."""

    verdict: str
    conditions: int
    hold: int
    fail: int
    undecided: int
    need: int


def need(conditions):
    """How many conditions a side needs so that a few stray ones cannot make it count."""
    return 1 if conditions < 5 else max(2, math.ceil(conditions / 10))


def combine_conditions(verdicts):
    """Combine the verdicts of the conditions that are left after dropping; returns a Count."""
    total = len(verdicts)
    hold, fail = verdicts.count(REPRODUCED), verdicts.count(NOT_REPRODUCED)
    enough = need(total)
    if total == 0:
        verdict = UNDECIDED
    elif hold >= enough and fail >= enough:
        verdict = UNDER_CONDITIONS
    elif 3 * hold >= 2 * total:  # whole numbers: two thirds are exact
        verdict = REPRODUCED
    elif 3 * fail >= 2 * total:
        verdict = NOT_REPRODUCED
    else:
        verdict = UNDECIDED
    return Count(verdict, total, hold, fail, total - hold - fail, enough)


def combine_parts(verdicts):
    """Combine the verdicts of a claim's parts, each of which has combined its own conditions.

    All parts reproduced: reproduced. Enough of them (`need`) reproduced, be it under conditions,
    and one of them mixed or another refuted: reproduced under conditions. Fewer, and enough not
    reproduced: not reproduced. Else undecided: what holds in one part and is open in another is
    not mixed, it is undecided in part. Were one part always enough, a claim of twenty numbers, all
    just off, would by luck hold in part in one case of five (calibration).
    """
    total = len(verdicts)
    if total and verdicts.count(REPRODUCED) == total:
        return REPRODUCED
    mixed, refuted = verdicts.count(UNDER_CONDITIONS), verdicts.count(NOT_REPRODUCED)
    if verdicts.count(REPRODUCED) + mixed >= need(total):
        return UNDER_CONDITIONS if mixed or refuted else UNDECIDED
    return NOT_REPRODUCED if refuted >= need(total) else UNDECIDED
