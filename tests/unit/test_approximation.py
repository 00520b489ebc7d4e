"""Polynomials, bumps and built networks against formulas and PyTorch."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from finicky.exhibits import approximation as exhibit
from finicky.exhibits import style
from finicky.experiments import approximation, tidy

from .engine_fixtures import training_process
from .sentences import finding

SETTINGS = {
    "seeds": [0, 1], "points": 21, "units": [8, 16, 64], "modes": [2, 4],
    "tolerances": [[0.3, 1e-9], [0.3]], "trials": 5, "dimensions": [1, 2, 3], "sample": 300,
    "most": 80, "trained_units": [8], "trained_targets": ["wave", "kink", "root"], "steps": 30,
    "device": "cpu",
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def process():
    with training_process():
        yield


@pytest.fixture(scope="module")
def table():
    return approximation.measure(SETTINGS, {})


def rows_of(table, quantity, columns):
    return table.loc[table["quantity"] == quantity, columns].values.tolist()


def test_a_polynomial_through_points_in_fractions():
    x, y = [0, 1, 3], [1, 2, 10]  # x² + 1
    coefficients = approximation.through(x, y)
    assert coefficients == [1, 1, 1]  # 1 + x + x (x - 1)
    assert approximation.newton(coefficients, x, Fraction(1, 2)) == Fraction(5, 4)


@pytest.mark.parametrize("kind", ["equispaced", "random", "chebyshev"])
def test_the_barycentric_formula_is_the_same_polynomial(kind):
    x = approximation.places(kind, 9, np.random.default_rng(0))
    at = np.array([-0.83, 0.01, 0.55])
    polynomial = np.polynomial.Polynomial.fit(x, np.exp(3 * x), 8)
    found = approximation.interpolant(x, np.exp(3 * x), at)
    np.testing.assert_allclose(found, polynomial(at), rtol=1e-10)


def test_chebyshev_s_points():
    x = approximation.places("chebyshev", 5, None)
    np.testing.assert_allclose(x, np.cos(np.pi * np.arange(4, -1, -1) / 4), atol=1e-15)


def test_polynomials_in_the_table(table):
    assert rows_of(table, "passes_through", "value") == [1, 1]
    assert rows_of(table, "needs_degree_1000", "value") == [0, 0]
    useless = rows_of(table, "useless_between", ["nodes", "target", "value"])
    assert ["equispaced", "Runge's", 1] in useless and ["chebyshev", "Runge's", 0] in useless


def test_a_missed_point_would_be_noticed(monkeypatch):
    monkeypatch.setattr(approximation, "newton", lambda coefficients, x, at: Fraction(7, 2))
    found = []
    approximation._polynomials(lambda name, value, *_, **__: found.append((name, value)), SETTINGS)
    assert ("passes_through", False) in found and ("needs_degree_1000", True) in found


def test_identities_of_the_bump_hold():
    errors = approximation.bump_errors(np.random.default_rng(3), 20)
    assert max(errors.values()) < 1e-12


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x, a, c, d: approximation.sigmoid(a * (x - c)) + approximation.sigmoid(a * (x - d)),
        lambda x, a, c, d: approximation.sigmoid(a * (x + c)) - approximation.sigmoid(a * (x - d)),
        lambda x, a, c, d: approximation.sigmoid(2 * a * (x - c)) - approximation.sigmoid(
            2 * a * (x - d)),
    ],
)  # fmt: skip
def test_a_changed_sign_or_slope_breaks_them(wrong, monkeypatch):
    monkeypatch.setattr(approximation, "bump", wrong)
    assert approximation.bump_errors(np.random.default_rng(3), 20)["bump_formula"] > 0.01


def test_height_of_a_bump(table):
    for aw, height in rows_of(table, "bump_height", ["steepness", "value"]):
        assert height == pytest.approx(math.tanh(aw / 4), rel=1e-12)


def test_a_broken_line_is_linear_interpolation():
    wave = approximation.TARGETS["wave"][1]
    x = approximation.grid(1)
    knots = np.linspace(0, 1, 9)
    line = approximation.output(approximation.broken_line(wave, 8), approximation.relu, x)
    expected = np.interp(x[:, 0], knots, wave(knots[:, None]))
    np.testing.assert_allclose(line, expected, atol=1e-12)


def test_bumps_step_from_middle_to_middle():
    root = approximation.TARGETS["root"][1]
    network = approximation.bumps(root, 8)
    assert network[0].shape == (1, 8)
    middle = np.array([[0.0], [0.125], [0.375], [0.875], [1.0]])
    steps = approximation.output(network, approximation.sigmoid, middle)
    expected = np.sqrt([0.125, 0.125, 0.375, 0.875, 0.875])
    np.testing.assert_allclose(steps, expected, atol=1e-3)


@pytest.mark.parametrize("j, k", [(0, 0), (2, 0), (1, 1), (1, 2)])
def test_waves_draw_a_cosine(j, k):
    def f(x):
        return np.cos(np.pi * j * x[:, 0]) * np.cos(np.pi * k * x[:, 1])

    x = approximation.grid(2)[::7]
    drawn = approximation.output(approximation.waves(f, 12), approximation.relu, x)
    # a chord of length 1/12: (π g / 12)² / 8 for the common factor g
    bound = (math.pi * math.gcd(j, k) / 12) ** 2 / 8
    assert np.abs(drawn - f(x)).max() <= 1.01 * bound + 1e-9


def test_rates_and_tolerances(table):
    rates = {tuple(row[:2]): row[2] for row in rows_of(table, "rate", ["target", "network",
                                                                      "value"])}  # fmt: skip
    assert rates["wave", "broken line"] == pytest.approx(-2, abs=0.2)
    assert rates["root", "broken line"] == pytest.approx(-0.5, abs=0.02)
    assert rates["jump", "bumps"] > -0.01
    met = {tuple(row[:2]): row[2] for row in rows_of(table, "approximates", ["target", "tolerance",
                                                                            "value"])}  # fmt: skip
    assert met["wave", 0.3] == 1 and met["wave", 1e-9] == 0
    assert all(target != "jump" for target, _ in met)


def test_a_power_has_no_curvature_and_an_exponential_has():
    dimensions = np.array([1, 2, 3, 4])
    slope, curvature = approximation.growth(dimensions, 5.0 * dimensions**4)
    assert slope > 2 and curvature == pytest.approx(0, abs=1e-9)  # it rises all the same
    slope, curvature = approximation.growth(dimensions, 5 * 3.0**dimensions)
    assert slope == pytest.approx(np.log2(3)) and curvature > 0.5
    assert approximation.growth(dimensions, 5 * 1.5**dimensions)[1] > 0.1


def test_units_needed_are_the_fewest():
    """More dimensions need more; one unit less is not enough, however many more are drawn."""
    needed = approximation.units_needed(2, 0, 300, 80)
    fewer = approximation.units_needed(1, 0, 300, 80)
    assert 2 <= fewer < needed < 80
    assert math.isnan(approximation.units_needed(2, 0, 300, needed - 1))


def test_training_takes_pytorch_s_steps(monkeypatch):
    """Descent and Adam against torch.optim on one network."""
    settings = {"seeds": [3], "steps": 7, "device": "cpu"}
    x = torch.linspace(-1, 1, 200)[:, None]
    y = torch.tensor(approximation.TARGETS["wave"][1]((x.numpy() + 1) / 2), dtype=torch.float32)
    for name, kind in (("gradient_descent", torch.optim.SGD), ("adam", torch.optim.Adam)):
        monkeypatch.setitem(approximation.RATES, name, [0.02, 0.05])
        found = approximation.trained(8, name, ["wave"], settings)
        uniform = np.random.default_rng([3, 8]).uniform
        drawn = [uniform(-1, 1, (1, 8)), uniform(-1, 1, (1, 8))]
        drawn += [uniform(-1, 1, shape) / math.sqrt(8) for shape in ((8, 1), (1, 1))]
        w, b, v, c = (torch.tensor(d, dtype=torch.float32, requires_grad=True) for d in drawn)

        def error(w=w, b=b, v=v, c=c):
            return ((torch.relu(x @ w + b) @ v + c)[:, 0] - y).square().mean()

        optimizer = kind([w, b, v, c], lr=0.05)
        for _ in range(7):
            optimizer.zero_grad()
            error().backward()
            optimizer.step()
        assert found[0, 1, 0] == pytest.approx(math.sqrt(error().item()), rel=1e-4)


def test_each_seed_takes_the_rate_that_is_best_for_the_others():
    errors = np.array([[[1.0, 5.0, 5.0], [4.0, 4.0, 1.0]]])  # one target, two rates, three seeds
    assert approximation.at_best_rates(errors).tolist() == [[4.0, 4.0, 5.0]]
    assert approximation.at_best_rates(errors[:, :, :1]).tolist() == [[1.0]]


def test_the_figure_says_its_numbers(table):
    with style.context():
        fig, data = exhibit.f03(table)
    assert "a network of 8 hidden units errs" in finding(fig)
    assert "jump" not in finding(fig) and len(fig.axes) == 4


SMALLEST = {
    "seeds": [3], "points": 3, "units": [2, 4], "modes": [2, 3], "tolerances": [[0.5], [0.5]],
    "trials": 1, "dimensions": [1, 2, 3], "sample": 60, "most": 40, "trained_units": [1],
    "trained_targets": ["root"], "steps": 1, "device": "cpu",
}  # fmt: skip


def test_the_smallest_settings_make_a_whole_table():
    table = approximation.measure(SMALLEST, {})
    tidy.check(table, approximation)
    assert set(table["quantity"]) == set(approximation.QUANTITIES)
    assert table["value"].notna().all()


def test_what_no_number_of_units_fits_has_no_row():
    """Two units are too few for the rough function: there is no number, so no slope either."""
    found = approximation.measure(SMALLEST | {"most": 2}, {})["quantity"]
    assert not found.isin(["units_needed", "doublings_a_dimension"]).any()
