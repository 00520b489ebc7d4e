"""Losses: the properties tell scoring rules apart, and every identity fails with a changed sign."""

import itertools

import numpy as np
import pytest

from finicky.experiments import losses

from .measurements import assert_whole


@pytest.fixture
def random():
    return np.random.default_rng(0)


# ---- Scoring rules ------------------------------------------------------------------------------

# which of (surprises, strictly proper, additive) each rule has, by reading
HAS = {
    "logarithmic": {"strict": (1, 1, 1), "loose": (1, 1, 1)},
    "brier": {"strict": (0, 1, 0), "loose": (1, 1, 0)},
    "spherical": {"strict": (0, 1, 0), "loose": (1, 1, 0)},
    "linear": {"strict": (1, 0, 0), "loose": (1, 0, 0)},
    "log_spherical": {"strict": (0, 0, 1), "loose": (1, 0, 1)},
    "renyi": {"strict": (0, 1, 0), "loose": (1, 1, 1)},
}


@pytest.mark.parametrize("score", losses.SCORES)
@pytest.mark.parametrize("reading", losses.READINGS)
def test_properties_one_by_one(score, reading, random):
    found = tuple(has(score, random, reading, 50) for has in losses.PROPERTIES)
    assert found == HAS[score.__name__][reading]


def test_scores_of_a_known_prediction():
    q = np.array([0.25, 0.75])
    assert losses.logarithmic(q)[0] == pytest.approx(np.log(4))
    assert losses.brier(q) == pytest.approx([2 * 0.75**2, 2 * 0.25**2])
    assert losses.spherical(q)[1] == pytest.approx(1 - 3 / np.sqrt(10))
    # Rényi's entropy of order ½ is the expected loss of the honest forecast
    assert q @ losses.renyi(q) == pytest.approx(2 * np.log(0.5 + np.sqrt(0.75)))


def test_scoring_rules_take_many_predictions(random):
    q = random.dirichlet(np.ones(4), 3)
    for score in losses.SCORES:
        assert np.allclose(score(q)[1], score(q[1]))


def test_a_rule_that_rewards_surprise_has_no_property(random):
    def negative(q):
        return np.log(q)

    for reading in losses.READINGS:
        assert not losses.surprises(negative, random, reading, 20)
        assert not losses.strictly_proper(negative, random, reading, 20)


def test_proper_local_losses_of_three_classes_are_logarithms():
    q, solutions = losses.proper_local_losses(3)
    assert solutions.shape[1] == 1 and losses.only_logarithm()
    assert np.ptp(q * solutions[:, 0]) < 1e-12


def test_with_two_classes_the_brier_score_is_local_and_proper():
    """f' of f(q) = 2 (1 − q)² solves the equations of two classes, and not those of three."""
    for classes, solves in ((2, True), (3, False)):
        q, solutions = losses.proper_local_losses(classes)
        derivative = -4 * (1 - q)
        rest = derivative - solutions @ (solutions.T @ derivative)
        assert (np.abs(rest).max() < 1e-12) == solves


def test_a_rival_refutes_uniqueness(random):
    found = {(name, *where.values()): value for name, value, where in losses.uniqueness(random, 30)}
    assert found["only_one", "strict"] == 1 and found["only_one", "loose"] == 0
    assert found["free_dimensions", 2] == losses.GRID // 2 and found["free_dimensions", 4] == 1


def test_without_the_rival_both_readings_leave_one(random, monkeypatch):
    monkeypatch.setattr(losses, "SCORES", losses.SCORES[:-1])
    found = [v for name, v, where in losses.uniqueness(random, 30) if name == "only_one"]
    assert found == [1, 1]


# ---- Identities ---------------------------------------------------------------------------------


def worst(found):
    return {name: value for name, value, where in found}


def test_cross_entropy_is_proper(random):
    found = worst(losses.propriety(random, 60))
    assert found["minimiser_error"] < 1e-6 and found["pinsker_shortfall"] < 1e-12


def test_the_minimum_of_another_loss_lies_elsewhere():
    p = np.array([0.6, 0.3, 0.1])
    assert losses.cheapest(losses.brier, p) == pytest.approx(p, abs=1e-6)
    assert losses.cheapest(losses.log_spherical, p) != pytest.approx(p, abs=0.05)


def test_a_loss_that_falls_short_of_pinsker_is_seen(monkeypatch):
    p, q = np.array([0.5, 0.5]), np.array([0.9, 0.1])
    assert losses.shortfall(p, q) == 0
    monkeypatch.setattr(losses, "cross_entropy", lambda p, q: float(p @ losses.linear(q)))
    assert losses.shortfall(p, q) > 0.1


def test_cross_entropy_is_likelihood_and_entropy_plus_kl(random):
    found = worst(losses.likelihood(random, 60))
    assert found["likelihood_fit_error"] < 1e-6 and found["kl_asymmetry"] > 0.05
    assert max(found[name] for name in ("likelihood_error", "kl_error", "kl_at_truth")) < 1e-12


def test_a_changed_sign_breaks_the_likelihood(random, monkeypatch):
    right = losses.cross_entropy
    monkeypatch.setattr(losses, "logarithmic", lambda q: np.log(q))
    monkeypatch.setattr(losses, "cross_entropy", lambda p, q: -right(p, q))
    found = worst(losses.likelihood(random, 20))
    names = ("likelihood_error", "likelihood_fit_error", "kl_error", "kl_at_truth")
    assert min(found[name] for name in names) > 0.1


def test_the_exact_logarithm_does_not_underflow():
    assert losses.exact_log(np.full(400, 0.125)) == pytest.approx(400 * np.log(8))


def test_squared_error_is_gaussian(random):
    found = worst(losses.gaussian(random, 30))
    assert found["gaussian_error"] < 1e-12 and found["gaussian_fit_error"] < 1e-6
    assert found["unequal_noise_fit_error"] > 0.05


@pytest.mark.parametrize(
    "wrong",
    [
        lambda y, p, s: (y - p) ** 2 / s**2 + np.log(2 * np.pi * s**2) / 2,
        lambda y, p, s: (y - p) ** 2 / (2 * s**2) - np.log(2 * np.pi * s**2) / 2,
        lambda y, p, s: (y + p) ** 2 / (2 * s**2) + np.log(2 * np.pi * s**2) / 2,
    ],
)
def test_a_wrong_gaussian_is_seen(wrong, random, monkeypatch):
    monkeypatch.setattr(losses, "scaled_squares", wrong)
    assert worst(losses.gaussian(random, 30))["gaussian_error"] > 0.01


# ---- Outliers -----------------------------------------------------------------------------------


def test_least_absolute_error_against_every_fit_through_data_points(random):
    """A line of least absolute error passes through as many points as it has weights."""
    x = np.column_stack([np.ones(9), random.standard_normal(9)])
    y = random.standard_normal(9)
    through = [np.linalg.solve(x[list(i)], y[list(i)]) for i in itertools.combinations(range(9), 2)]
    best = min(through, key=lambda w: np.abs(y - x @ w).sum())
    assert losses.least_absolute(x, y) == pytest.approx(best)


def test_least_absolute_error_of_a_constant_is_the_median():
    assert losses.least_absolute(np.ones((5, 1)), np.array([1.0, 2, 3, 4, 100])) == pytest.approx(3)


def test_outliers_are_where_they_should_be():
    def make(kind):
        return losses.data_set(np.random.default_rng(5), kind, 10)

    x, y, wanted = make("none")
    for kind in losses.OUTLIERS:
        x_far, y_far, wanted_far = make(kind)
        moved = (y_far != y) | (x_far != x).any(1)
        assert moved.sum() == 20 and moved[:20].all()
        assert (x_far[:, 0] == 1).all()
        assert (kind == "inputs") == (x_far != x).any()
        if kind in ("targets of one sign", "genuine"):
            assert (y_far[:20] > y[:20]).all()
        shift = wanted_far - wanted
        assert shift[1:] == pytest.approx(0)
        assert shift[0] == pytest.approx(0.1 * 10 * np.sqrt(2 / np.pi) * (kind == "genuine"))


def test_wrong_targets_are_where_absolute_error_saves(random):
    assert losses.error_saved(random, "targets", 10, 10) > 20
    assert losses.error_saved(random, "genuine", 10, 10) < 0
    assert losses.error_saved(random, "none", 0, 10) < 0


def test_the_table_has_every_quantity():
    settings = {"seeds": [3, 4], "trials": 10, "data_sets": 1, "share": [0.5, 50]}
    table = losses.measure(settings, {})
    assert_whole(table, losses)
    assert not table["value"].isna().any()
