import math

import numpy as np
import pytest
from scipy.stats import binom, binomtest, norm, quantile_test

from finicky.evidence.intervals import (
    decided_distance,
    decided_share,
    median_interval,
    noticed_share,
    proportion_interval,
)


@pytest.mark.parametrize("n", range(5, 13))
def test_median_interval_is_scipys(n):
    x = np.random.default_rng(n).normal(size=n)
    interval = quantile_test(x, p=0.5).confidence_interval(0.90)
    assert median_interval(x) == (interval.low, interval.high)


@pytest.mark.parametrize("n", range(5, 13))
def test_median_interval_is_the_pre_registered_order_statistics(n):
    # k = smallest integer with P(Bin(n, 1/2) >= k) <= 0.05; from x[n - k + 1] to x[k], from 1
    k = next(k for k in range(n + 1) if binom.sf(k - 1, n, 0.5) <= 0.05)
    x = np.random.default_rng(n).permutation(np.arange(1.0, n + 1))
    assert median_interval(x) == (n - k + 1, k)


@pytest.mark.parametrize("n, error", [(5, 0.031), (8, 0.035), (11, 0.033)])
def test_each_side_errs_as_rarely_as_stated(n, error):
    # a skewed distribution with median log 2: nothing about the interval assumes symmetry
    x = np.random.default_rng(0).exponential(size=(20_000, n))
    intervals = np.array([median_interval(row) for row in x.tolist()])
    too_high = np.mean(intervals[:, 0] > math.log(2))
    too_low = np.mean(intervals[:, 1] < math.log(2))
    noise = 4 * math.sqrt(error * (1 - error) / len(x))
    assert too_high == pytest.approx(error, abs=noise + 0.0005)
    assert too_low == pytest.approx(error, abs=noise + 0.0005)


@pytest.mark.parametrize("n", range(5))
def test_fewer_than_five_values_have_no_interval(n):
    assert all(map(math.isnan, median_interval([1.0] * n)))


def test_ties_are_ordinary_values():
    assert median_interval([2.0] * 5) == (2.0, 2.0)
    assert median_interval([1.0, 1.0, 1.0, 3.0, 3.0]) == (1.0, 3.0)


def test_infinities_are_extreme_values():
    assert median_interval([1.0, 2.0, 3.0, 4.0, math.inf]) == (1.0, math.inf)
    assert median_interval([math.inf] * 5) == (math.inf, math.inf)


def test_a_nan_widens_the_interval_to_both_sides():
    assert median_interval([1.0, 2.0, 3.0, 4.0, math.nan]) == (-math.inf, math.inf)
    # at n = 11 (3rd to 9th) one unknown value moves each bound by one rank at most
    x = [*map(float, range(1, 11)), math.nan]
    assert median_interval(x) == (2.0, 9.0)
    for value in (-5.0, 5.5, 20.0):
        low, high = median_interval([*x[:-1], value])
        assert low >= 2.0 and high <= 9.0


def test_proportion_interval_is_scipys_exact_one():
    for k in range(6):
        interval = binomtest(k, 5).proportion_ci(0.90, "exact")
        assert proportion_interval(k, 5) == (interval.low, interval.high)
    low, high = proportion_interval(5, 5)
    assert low == pytest.approx(0.05 ** (1 / 5)) and high == 1
    assert all(map(math.isnan, proportion_interval(0, 0)))


@pytest.mark.parametrize("n, fewest", [(5, 5), (8, 7), (11, 9)])
def test_at_the_decided_share_nine_of_ten_claims_are_decided(n, fewest):
    assert binom.sf(fewest - 1, n, decided_share(n)) == pytest.approx(0.9)
    assert norm.cdf(decided_distance(n)) == pytest.approx(decided_share(n))


def test_too_few_seeds_decide_nothing():
    assert math.isnan(decided_share(4)) and math.isnan(decided_distance(4))


def test_at_the_noticed_share_nine_of_ten_flaws_are_met():
    assert (1 - noticed_share(5)) ** 5 == pytest.approx(0.1)
