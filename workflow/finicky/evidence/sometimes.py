"""The rule `sometimes`: does a claim hold in some conditions, or is that luck?

"Sometimes", "can" and "often" say that there are conditions in which a claim holds. Each condition
is decided by the sign-test interval, as for the rule `ordering`; where the claim is false, it holds
by luck in at most one case of 32 (five seeds), so among many conditions some will. The claim is
reproduced if more hold than luck gives when it is true nowhere, by two counts at once:

- As if conditions were independent (`luck`): then the number that hold has at most a binomial tail.
  But conditions share seeds, and a lucky seed lifts many of them.
- With what they have in common (`flips`): if the claim were true nowhere, "all five seeds above the
  limit" would be no more frequent among the conditions than "all but the second" or any other
  pattern of seeds. Other patterns are counted by changing the signs of value - limit for some
  seeds, in all conditions at once (Nichols & Holmes 2002, Human Brain Mapping 15; Westfall & Young
  1993, Resampling-Based Multiple Testing). Five seeds have 32 flips, so no p-value lies below 1/32,
  and the real signs have to beat all other flips.

One flip is no fair rival: that of all signs asks whether the claim holds more often than its
opposite, and "sometimes easier" is not refuted by "more often harder". So a condition that fails is
left out of the flips. The price: where half of the conditions mirror the others (one gains what
another loses), luck passes in either direction, in at most 2 of 32 cases.

Which count is right? Simulated with five seeds and 100 conditions that all lie exactly on the
limit, the binomial count errs in 3, 6, 13 and 8 % of the cases where a seed's share of the variance
is 0, 0.05, 0.3 and 0.9, skewed values up to 17 %; the flips err in 1 to 4 %, and in 6 % where
halves mirror each other. So the flips guard against error. They also see more where all other
conditions clearly fail: even one of twenty passes (1/32), which the binomial count forbids, and few
would believe. The binomial count sees more where the others lie just below the limit, for flips
turn these around. Both are asked, which is the cautious choice.

What neither allows for: seeds that are bad for all conditions alike without any that are as good
for all (the flips take a seed's deviations to be as likely the other way round). If three seeds of
ten were such, and the medians on the limit nonetheless, five seeds would miss them and both counts
err in 17 % of the cases. Free of all assumptions about what conditions share is only Rüger's bound
(1978, Metrika 25): of K conditions, K / 32 / 0.05 have to hold, 63 %. That is no rule for
"sometimes".
"""

import math
import random
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from finicky.evidence import intervals
from finicky.evidence.rules import NOT_REPRODUCED, REPRODUCED, UNDECIDED

LEVEL = 0.05
MOST_SEEDS = 12  # up to so many seeds, all flips are tried
FLIPS = 4095  # else so many random ones are, and the real signs
SEED = 0


@dataclass(frozen=True)
class Sometimes:
    """How many conditions hold, and what luck gives.

    conditions, hold, fail, undecided: counts of conditions.
    need: so many have to hold for luck to be at most LEVEL; conditions + 1 if no number will do.
    luck: the chance that as many hold if they are independent and the claim is true nowhere.
    flips: the share of all sign flips of seeds in which as many hold, the real signs among them.
    """

    verdict: str
    conditions: int
    hold: int
    fail: int
    undecided: int
    need: int
    luck: float
    flips: float


def sometimes(conditions, limit):
    """Judge whether a claim holds in some of its conditions.

    conditions: one dict seed -> value a condition, the dropped ones left out; equal keys are the
    same seed; values are floats in any unit, NaN where nobody knows. limit: in that unit. A
    condition holds if its interval lies above the limit: the margin of an ordering, minus that of a
    noninferiority, 0 for a trend.
    Reproduced if `luck` and `flips` are both at most LEVEL; not reproduced if no condition holds
    and two thirds fail (as in rules.combine_conditions); else undecided.
    Returns a Sometimes. Raises ValueError for a limit that is not finite.
    """
    if not math.isfinite(limit):
        raise ValueError(f"the limit is {limit}, not a finite number")
    patterns = _patterns(conditions, limit)
    total, hold = len(conditions), sum(map(_holds, patterns))
    fail = sum(map(_fails, patterns))
    tail = at_least(tuple(false_hold(pattern.seeds) for pattern in patterns))
    luck, flips = tail[hold], flips_that_hold_as_often(patterns)
    if hold and max(luck, flips) <= LEVEL:
        verdict = REPRODUCED
    elif hold == 0 and 3 * fail >= 2 * total > 0:
        verdict = NOT_REPRODUCED
    else:
        verdict = UNDECIDED
    need = next(number for number, chance in enumerate(tail) if chance <= LEVEL)
    return Sometimes(verdict, total, hold, fail, total - hold - fail, need, luck, flips)


@lru_cache
def false_hold(seeds):
    """The largest chance that a condition holds in which the claim is false: that so many
    independent seeds as the interval asks for lie above a median that is at the limit."""
    if seeds < intervals.FEWEST:
        return 0.0
    above, _ = _asked(seeds)
    return sum(math.comb(seeds, more) for more in range(above, seeds + 1)) / 2**seeds


@lru_cache
def at_least(chances):
    """The distribution of how many of independent events happen (Poisson binomial).

    chances: a tuple, one an event. Returns a list: the chance that at least 0, 1, ..., n, n + 1
    happen.
    """
    exactly = [1.0]
    for chance in chances:
        exactly = [
            one_less * chance + same * (1 - chance)
            for one_less, same in zip([0.0, *exactly], [*exactly, 0.0], strict=True)
        ]
    return [math.fsum(exactly[number:]) for number in range(len(exactly) + 1)]


# ---- Seeds as bits ------------------------------------------------------------------------------


class _Pattern(NamedTuple):
    """Which seeds of a condition lie above and below the limit, a bit each, of how many."""

    above: int
    below: int
    seeds: int


def _patterns(conditions, limit):
    seeds = sorted({seed for values in conditions for seed in values}, key=repr)
    bit = {seed: 1 << place for place, seed in enumerate(seeds)}
    return [
        _Pattern(
            sum(bit[seed] for seed, value in values.items() if value > limit),
            sum(bit[seed] for seed, value in values.items() if value < limit),
            len(values),
        )
        for values in conditions
    ]


@lru_cache
def _asked(seeds):
    """(seeds that must lie above the limit, below it) for the interval to lie there."""
    low, high = intervals.median_interval(range(1, seeds + 1))
    return seeds + 1 - low, high


def _holds(pattern):
    return (
        pattern.seeds >= intervals.FEWEST and pattern.above.bit_count() >= _asked(pattern.seeds)[0]
    )


def _fails(pattern):
    return (
        pattern.seeds >= intervals.FEWEST and pattern.below.bit_count() >= _asked(pattern.seeds)[1]
    )


def flips_that_hold_as_often(patterns):
    """The share of sign flips with which at least as many conditions hold as with the real signs.

    patterns: one _Pattern a condition; those that fail are left out (see above). All flips if there
    are at most MOST_SEEDS seeds, else random ones. They are counted by products of matrices of
    zeros and ones, exactly: ten times as fast as one by one, and the same numbers.
    """
    counts = Counter(
        pattern for pattern in patterns if pattern.seeds >= intervals.FEWEST and not _fails(pattern)
    )
    seeds = max((pattern.above | pattern.below for pattern in patterns), default=0).bit_length()
    flips = _flips(seeds)
    above = _matrix([pattern.above for pattern in counts], seeds)
    below = _matrix([pattern.below for pattern in counts], seeds)
    lie_above = (1 - flips) @ above.T + flips @ below.T  # seeds [flips, patterns]
    asked = np.array([_asked(pattern.seeds)[0] for pattern in counts], dtype=np.float32)
    alike = np.array(list(counts.values()), dtype=np.float32)
    as_often = (lie_above >= asked) @ alike >= sum(map(_holds, patterns))
    return float(as_often.mean())


@lru_cache
def _flips(seeds):
    """The sign flips of so many seeds: a matrix of [flips, seeds], 1 where the sign changes."""
    if seeds <= MOST_SEEDS:
        return _matrix(range(2**seeds), seeds)
    rng = random.Random(SEED)
    return _matrix([0, *(rng.getrandbits(seeds) for _ in range(FLIPS))], seeds)


def _matrix(numbers, bits):
    """The bits of whole numbers as a matrix [numbers, bits] of floats, whose products are fast."""
    return np.array(
        [[n >> bit & 1 for bit in range(bits)] for n in numbers], dtype=np.float32
    ).reshape(len(numbers), bits)
