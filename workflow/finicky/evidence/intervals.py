"""Intervals: pure functions of a column of numbers, one number a seed.

The typical run (the median over seeds) is judged by the exact sign-test interval (Thompson 1936,
Annals of Mathematical Statistics 7; Conover 1999, Practical Nonparametric Statistics, 3.2), shares
of runs by the exact binomial interval (Clopper & Pearson 1934, Biometrika 26). Both come from
SciPy, imported on first use: the ledger is checked without it. Columns have a handful of values,
so plain Python is faster here than arrays.
"""

import math
from functools import lru_cache

CONFIDENCE = 0.90  # two-sided, so that each side errs in at most 5 % of the cases
FEWEST = 5  # below this number of values no order statistic reaches that confidence
POWER = 0.90  # how often seeds are to decide what they are said to be able to decide


@lru_cache
def _ranks(n):
    """The ranks (from 1) of the two order statistics that bound the median of n values.

    The test looks at ranks only, so asking SciPy about 1..n once serves every column of n values.
    """
    from scipy.stats import quantile_test

    low, high = quantile_test(range(1, n + 1), p=0.5).confidence_interval(CONFIDENCE)
    return int(low), int(high)


def median_interval(values):
    """The exact 90 % sign-test interval of the median.

    values: any sequence of floats, in any unit; infinities are ordinary, extreme values.
    Returns (low, high) in the same unit, two of the values themselves; (NaN, NaN) for fewer than
    five values. A NaN is a value that nobody knows: it counts as -inf for the lower bound and as
    +inf for the upper one, so the interval covers whatever the value would have been.
    """
    if len(values) < FEWEST:
        return math.nan, math.nan
    low, high = _ranks(len(values))
    from_below = sorted(-math.inf if math.isnan(value) else value for value in values)
    from_above = sorted(math.inf if math.isnan(value) else value for value in values)
    return from_below[low - 1], from_above[high - 1]


@lru_cache
def proportion_interval(k, n):
    """The exact 90 % binomial interval of a share, k of n runs; (NaN, NaN) for n = 0."""
    if n == 0:
        return math.nan, math.nan
    from scipy.stats import binomtest

    low, high = binomtest(k, n).proportion_ci(CONFIDENCE, "exact")
    return float(low), float(high)


# ---- How large an effect a number of seeds can decide -------------------------------------------


@lru_cache
def decided_share(n):
    """The share of runs on one side of a limit at which n runs decide with probability POWER.

    All but the runs below the interval's lower end have to lie on that side; of n independent runs
    at least k do so with that probability at the beta quantile (Clopper & Pearson 1934). NaN for
    fewer than five.
    """
    if n < FEWEST:
        return math.nan
    from scipy.stats import beta

    k = n + 1 - _ranks(n)[0]
    return float(beta.ppf(POWER, k, n + 1 - k))


@lru_cache
def decided_distance(n):
    """The distance of the median from a limit, in standard deviations, at which n normal values
    decide with probability POWER; NaN for fewer than five."""
    from scipy.stats import norm

    return float(norm.ppf(decided_share(n)))


def noticed_share(n):
    """The share of flawed trials of which n trials meet at least one with probability POWER."""
    return 1 - (1 - POWER) ** (1 / n)
