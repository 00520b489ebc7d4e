"""Critical points against known probabilities; saddles against linear theory and autograd."""

import math

import numpy as np
import pytest
import torch

from finicky.exhibits import critical_points as exhibit
from finicky.exhibits import style
from finicky.experiments import critical_points, tidy

from .sentences import finding

DIMENSIONS = [1, 2, 10]
SETTINGS = {
    "seeds": [0, 1], "size": 100, "units": [1, 4], "inputs": [1, 2], "examples": 20, "decay": 0.01,
    "dimensions": dict.fromkeys(critical_points.ENSEMBLES, DIMENSIONS),
    "network_starts": 12, "newton_steps": 30, "escape_starts": 3, "escape_steps": 400,
}  # fmt: skip
GOE = {1: 1 / 2, 2: (2 - math.sqrt(2)) / 4, 3: (math.pi - 2 * math.sqrt(2)) / (4 * math.pi)}
FIELD = {1: 1 / 2, 2: 1 / 4, 3: (29 - 6 * math.sqrt(6)) / 116}


@pytest.fixture(scope="module")
def table():
    return critical_points.measure(SETTINGS, {})


def rows_of(table, quantity, columns):
    return table.loc[table["quantity"] == quantity, columns].values.tolist()


@pytest.mark.parametrize("dimension, probability", GOE.items())
def test_exact_probability_of_a_positive_definite_matrix(dimension, probability):
    assert exhibit.exact_goe(dimension) == pytest.approx(math.log2(probability), abs=1e-9)


def test_exact_probability_against_counting():
    normal = np.random.default_rng(0).standard_normal((200_000, 4, 4))
    eigenvalues = np.linalg.eigvalsh((normal + normal.transpose(0, 2, 1)) / math.sqrt(2))
    counted = (eigenvalues[:, 0] > 0).mean()
    assert 2 ** exhibit.exact_goe(4) == pytest.approx(counted, rel=0.2)


@pytest.mark.parametrize("dimension", [1, 2, 3, 5, 8])
def test_splitting_against_the_exact_probability(dimension):
    bits = critical_points.goe(dimension, 20_000, np.random.default_rng(dimension))
    assert bits == pytest.approx(exhibit.exact_goe(dimension), rel=0.02, abs=0.03)


@pytest.mark.parametrize("dimension, probability", FIELD.items())
def test_minima_of_a_smooth_field(dimension, probability):
    """One dimension: every other point; two: Euler's count; three: Bardeen et al. (1986)."""
    bits = critical_points.gaussian_field(dimension, 40_000, np.random.default_rng(1))
    assert bits == pytest.approx(math.log2(probability), abs=0.03)


def test_independent_signs():
    bits = critical_points.separable(20, 40_000, np.random.default_rng(1))
    assert bits == pytest.approx(-20, abs=0.2)


def test_networks_of_one_unit_have_a_saddle_and_a_minimum():
    """Up to the symmetry (v, w, b) -> (-v, -w, -b); both are found from every data set."""
    for eigenvalues in critical_points.critical_points(1, 1, SETTINGS):
        assert sorted((eigenvalues < 0).sum(1)) == [0, 1]


class Zeros:
    """A generator whose starts are all zero; its data are those of NumPy's."""

    def __init__(self, seed):
        self.random = np.random.Generator(np.random.PCG64(seed))

    def standard_normal(self, shape):
        return np.zeros(shape) if shape[0] == 1 else self.random.standard_normal(shape)


def test_critical_points_of_networks_with_several_inputs(monkeypatch):
    """Zero weights are a critical point for any number of inputs. The Hessian there is 2λ and,
    between v and w, the targets' correlation with inputs and bias, once for each of two units."""
    monkeypatch.setattr(critical_points.np.random, "default_rng", Zeros)
    found = critical_points.critical_points(3, 2, SETTINGS | {"network_starts": 1})
    for seed, eigenvalues in zip([0, 1], found, strict=True):
        *x, y = Zeros([seed, 2, 3]).standard_normal((4, 20))
        mixed = 2 * np.linalg.norm(np.array([*x, np.ones(20)]) @ y / 20)
        expected = [0.02 - mixed] * 2 + [0.02] * 6 + [0.02 + mixed] * 2
        np.testing.assert_allclose(eigenvalues, [expected], atol=1e-9)


def test_the_slope_of_a_known_law():
    """P = 2^-d/2: as many minima as expected, so the likelihood is largest there; the smallest
    share is 0 of 4 points, which has no logarithm."""
    d = np.array([2, 4, 6, 8])
    slope = critical_points.bits_a_dimension(d, 2.0 ** (-d / 2) * 1000, [1000] * 4)
    assert slope == pytest.approx(-0.5, abs=1e-3)
    assert critical_points.bits_a_dimension([2, 12], [4, 0], [8, 4]) < -0.1
    assert critical_points.bits_a_dimension([2, 4, 6], [5, 9, 3], [5, 9, 3]) == pytest.approx(0)
    for nothing in (([2], [1], [2]), ([2, 4], [1, 0], [2, 0]), ([2, 4], [0, 0], [3, 5])):
        assert math.isnan(critical_points.bits_a_dimension(*nothing))


def test_a_singular_step_is_no_step():
    """Eight units: Hessians become singular to rounding, and the search goes on without them."""
    settings = SETTINGS | {"seeds": [0], "network_starts": 80, "newton_steps": 60}
    (eigenvalues,) = critical_points.critical_points(1, 8, settings)
    assert len(eigenvalues) and eigenvalues.shape[1] == 24


def by_autograd(landscape, x):
    """The gradient of the tiny network's loss over all examples."""
    at = torch.tensor(x, requires_grad=True)
    first = at[:, : landscape.units * landscape.inputs]
    w = first.view(-1, landscape.inputs, landscape.units)
    hidden = torch.tanh(torch.tensor(landscape.x) @ w)
    output = (hidden * at[:, None, first.shape[1] :]).sum(2)
    ((output - torch.tensor(landscape.y)) ** 2).mean(1).sum().backward()
    return at.grad.numpy()


def test_gradient_of_the_tiny_network():
    network = critical_points.TinyNetwork(0)
    x = np.random.default_rng(0).standard_normal((3, network.units * (network.inputs + 1)))
    np.testing.assert_allclose(network.gradient(x, None), by_autograd(network, x), rtol=1e-10)
    every = np.tile(np.arange(network.examples), (3, 1))
    np.testing.assert_allclose(network.gradient(x, every), network.gradient(x, None), rtol=1e-10)
    assert not network.gradient(0 * x, every[:, :5]).any()


def test_gradient_of_the_quadratic():
    saddle = critical_points.Quadratic(0, down=0.1)
    x = np.random.default_rng(0).standard_normal((1, saddle.directions))
    ahead = saddle.loss(x + 1e-6 * np.eye(saddle.directions))
    behind = saddle.loss(x - 1e-6 * np.eye(saddle.directions))
    np.testing.assert_allclose(saddle.gradient(x, None)[0], (ahead - behind) / 2e-6, rtol=1e-6)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_steps_are_those_of_linear_theory(momentum, monkeypatch):
    """Close to the saddle x grows as the larger root z of z² - (1 + β + ηγ) z + β = 0."""
    saddle = critical_points.Quadratic(0, down=0.01)
    start = np.zeros((1, saddle.directions))
    start[0, 0] = 1e-9
    monkeypatch.setattr(saddle, "start", lambda kind, starts, rng: start.copy())
    saddle.enough = -saddle.loss(start)[0] * -1e8  # ten thousand times as far
    settings = {"escape_starts": 1, "escape_steps": 20_000}
    taken = critical_points.escape(saddle, "beside it", 0, settings, 0.1, momentum)
    root = np.roots([1, -(1 + momentum + 0.1 * 0.01), momentum]).max()
    assert taken == pytest.approx(math.log(1e4) / math.log(root), rel=0.02)


def test_on_the_manifold_only_noise_that_leaves_it_helps(table):
    saved = table[table["start"] == "exactly on it"]
    for row in saved[saved["quantity"] == "saved_by_momentum"].itertuples():
        assert row.value == 0
    batches = saved[(saved["quantity"] == "saved_by_noise") & (saved["noise"] == "mini-batch")]
    assert len(batches) == 2 and (batches["value"] == 0).all()


def test_saved_steps_are_a_share_of_the_plain_ones(table):
    steps = table[(table["quantity"] == "escaped_in") & (table["landscape"] == "zero weights")]
    steps = steps[(steps["start"] == "beside it") & (steps["learning_rate"] == 0.03)]
    steps = steps[(steps["seed"] == 0) & (steps["noise"] == "none")].set_index("momentum")["value"]
    saved = table[(table["quantity"] == "saved_by_momentum") & (table["tuning"] == "same rate")]
    saved = saved[(saved["landscape"] == "zero weights") & (saved["start"] == "beside it")]
    assert saved[saved["seed"] == 0]["value"].item() == 100 * (1 - steps[0.9] / steps[0.0]) > 0


def test_slopes_and_saddles(table):
    at_ten = table[(table["quantity"] == "saddles_above_half") & (table["dimension"] == 10)]
    assert set(at_ten["ensemble"]) == set(critical_points.ENSEMBLES)
    assert at_ten["value"].between(45, 50).all()
    networks = at_ten["ensemble"] == "small_network"
    assert networks.sum() == 0  # of 3, 4, 12 and 16 weights
    high = table[(table["quantity"] == "saddles_above_half") & (table["dimension"] > 10)]
    assert set(high["inputs"].dropna()) == {1, 2}
    slopes = dict(rows_of(table, "bits_a_dimension", ["ensemble", "value"]))
    assert slopes["separable"] == pytest.approx(-1, abs=0.2) and slopes["random_matrix"] < -4


def test_the_figure_says_its_numbers(table):
    with style.context():
        fig, data = exhibit.f05(table)
    assert "(chapter: 2)" in finding(fig)
    assert {"landscape", "ensemble"} <= set(data)


def test_the_smallest_settings_make_a_whole_table():
    smallest = {
        "examples": 2,
        "decay": 0.01,
        "size": 50,
        "units": [1, 4],
        "inputs": [1],
        "seeds": [3],
    }
    smallest |= dict.fromkeys(["newton_steps", "escape_starts", "escape_steps"], 1)
    smallest |= {"dimensions": dict.fromkeys(critical_points.ENSEMBLES, [1, 10])}
    smallest |= {"network_starts": 30, "newton_steps": 40}
    table = critical_points.measure(smallest, {})
    tidy.check(table, critical_points)
    assert set(table["quantity"]) == set(critical_points.QUANTITIES)
    assert table["value"].notna().all()


def test_a_search_that_finds_nothing_has_no_row():
    """Newton's method gets nowhere in one step."""
    table = critical_points.measure(SETTINGS | {"newton_steps": 1, "escape_steps": 1}, {})
    found = table[table["ensemble"] == "small_network"]
    assert found.empty


def test_each_is_compared_at_the_rate_that_is_fastest_for_the_other_seeds(monkeypatch):
    """Plain descent: 100 / rate steps; momentum: rate². So the highest and the lowest rate."""

    def steps(landscape, kind, seed, settings, rate, momentum=0.0, noise="none"):
        return rate**2 if momentum else 100 / rate

    monkeypatch.setattr(critical_points, "escape", steps)
    found = []
    critical_points._escapes(
        lambda quantity, seed, value, **where: found.append((where.get("tuning"), value)),
        "steep saddle", "beside it", SETTINGS,
    )  # fmt: skip
    plain, faster = 100 / 3.0, 0.03**2
    saved = [value for tuning, value in found if tuning == "each at its best"]
    assert saved == [pytest.approx(100 * (1 - faster / plain))] * 2
