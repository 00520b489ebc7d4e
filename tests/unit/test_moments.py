"""The exact recursion: activations and slopes against the engine's, Gaussian means against sums on
a fine grid, and the moments of real networks that are wide."""

import math

import numpy as np
import pytest
import torch

from finicky.engine.activations import ACTIVATIONS
from finicky.experiments import moments
from finicky.experiments import random_networks as networks

KNOWN = ["identity", "relu", "leaky_relu", "tanh", "sigmoid", "selu"]


def engine_function(name):
    return lambda z: ACTIVATIONS[name].forward(torch.tensor(z, dtype=torch.float64)).numpy()


def engine_slope(name):
    def slope(z):
        y = ACTIVATIONS[name].forward(torch.tensor(z, dtype=torch.float64))
        return ACTIVATIONS[name].slope(y).numpy()

    return slope


@pytest.mark.parametrize("name", list(moments.SMOOTH))
def test_activations_and_slopes_are_the_engines(name):
    z = np.linspace(-6, 6, 101) + 0.01
    f, slope = moments.SMOOTH[name]
    assert np.allclose(f(z), engine_function(name)(z), rtol=1e-12, atol=1e-14)
    assert np.allclose(slope(z), engine_slope(name)(z), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("q", [1e-4, 0.3, 1.0, 40.0, 800.0])
def test_means_are_the_integrals(name, q):
    f, slope, deviation = engine_function(name), engine_slope(name), math.sqrt(q)

    step = 1e-4
    z = (np.arange(-100_000, 100_000) + 0.5) * step  # midpoints, none of them at the kink
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * step
    z = deviation * z
    expected = [values @ density for values in (f(z), f(z) ** 2, slope(z) ** 2)]
    found = [float(value) for value in moments.after(name, q)]
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
def test_smooth_means_agree_with_gauss_hermite(name):
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    f, slope = moments.SMOOTH[name]
    for q in (0.1, 1.0):
        z = math.sqrt(q) * nodes
        values = f(z), f(z) ** 2, slope(z) ** 2
        expected = [value @ weights / math.sqrt(2 * math.pi) for value in values]
        assert [float(v) for v in moments.after(name, q)] == pytest.approx(expected, abs=1e-9)


def test_the_rectified_gaussian():
    mean, second, slope = moments.after("relu", 4.0)
    assert mean == pytest.approx(2 * moments.RELU_MEAN)
    assert second == pytest.approx(4 * moments.RELU_SECOND)
    assert slope == 0.5
    assert pytest.approx(0.340845, abs=1e-6) == moments.RELU_VARIANCE


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("init", ["he", "xavier", "fan_out"])
def test_wide_networks_have_these_moments(name, init):
    widths = [50, 600, 300, 500, 10]
    layers = networks.weights(init, [(0, draw) for draw in range(8)], widths)
    fans = networks.fans(widths)
    variances = [networks.prescribed(init, *fan) for fan in fans]
    x = torch.randn(6, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    x[3:] *= 3
    outputs = networks.forward(layers[:-1], name, x)
    found = moments.recursion(name, fans, variances, x.square().mean(1).numpy())
    last = networks.logit_gradient(outputs, layers[-1], torch.arange(6))
    gradients = networks.backward(outputs, layers, name, last)
    for layer, y in enumerate(outputs):
        second = y.square().mean((0, 2)).numpy()
        assert second == pytest.approx(found["second"][layer], rel=0.2), layer
        mean = y.mean((0, 2)).numpy()
        assert mean == pytest.approx(found["mean"][layer], abs=0.1 * np.sqrt(second).max()), layer
        back = (gradients[layer].square().mean((0, 2)) / last.square().mean((0, 2))).numpy()
        assert back.mean() == pytest.approx(found["gradient"][layer].mean(), rel=0.3), layer


def test_the_chapters_gains():
    fans = [(100, 100)] * 9 + [(100, 10)]
    relu = moments.recursion("relu", fans, [2 / 100] * 10, np.ones(1))
    assert relu["second"][:, 0] == pytest.approx(np.ones(9))
    assert relu["gradient"][:8, 0] == pytest.approx(np.full(8, relu["gradient"][8, 0]))
    halved = moments.recursion("relu", fans, [1 / 100] * 10, np.ones(1))
    assert halved["second"][:, 0] == pytest.approx(0.5 ** np.arange(1, 10))


def test_selu_has_the_fixed_point_zero_one():
    # Klambauer et al. 2017, theorem 1: mean 0 and variance 1 stay with Var(w) = 1/n
    mean, second, _ = moments.after("selu", 1.0)
    assert mean == pytest.approx(0, abs=1e-9) and second == pytest.approx(1, abs=1e-9)
