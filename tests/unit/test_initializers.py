"""Initialisers: moments against the formulas, and which draws are paired."""

import math

import pytest
import torch

from finicky.engine.initializers import INITIALIZERS, initial_weights

FAN_IN, FAN_OUT = 400, 250
GAUSSIAN_DEVIATIONS = {
    "normal_std_1": 1,
    "normal_std_0.001": 0.001,
    "normal_std_0.0316228": 0.0316228,
    "lecun": math.sqrt(1 / FAN_IN),
    "xavier": math.sqrt(2 / (FAN_IN + FAN_OUT)),
    "he": math.sqrt(2 / FAN_IN),
}


def draw(level, seed=0, layer=0):
    return initial_weights(level, seed, layer, FAN_IN, FAN_OUT)


@pytest.mark.parametrize("level", GAUSSIAN_DEVIATIONS)
def test_gaussian_moments(level):
    """Mean, variance and kurtosis of 100,000 draws, within five standard errors."""
    deviation, n = GAUSSIAN_DEVIATIONS[level], FAN_IN * FAN_OUT
    weights = draw(level)
    assert weights.shape == (FAN_IN, FAN_OUT) and weights.dtype == torch.float32
    z = weights.double() / deviation
    assert abs(z.mean()) < 5 / math.sqrt(n)
    assert abs(z.square().mean() - 1) < 5 * math.sqrt(2 / n)
    assert abs(z.pow(4).mean() - 3) < 5 * math.sqrt(96 / n)


def test_uniform_fills_its_interval_evenly():
    u = draw("uniform_fan_in").double() * math.sqrt(FAN_IN)
    n = u.numel()
    assert u.min() >= -1 and u.max() <= 1
    assert abs(u.mean()) < 5 * math.sqrt(1 / 3 / n)
    assert abs(u.var() - 1 / 3) < 5 * math.sqrt(4 / 45 / n)
    tenths = torch.histc(u, 10, -1, 1) / n
    assert (tenths - 0.1).abs().max() < 5 * math.sqrt(0.09 / n)


def test_zeros():
    assert draw("zeros").eq(0).all()


@pytest.mark.parametrize("level", GAUSSIAN_DEVIATIONS)
def test_gaussian_initialisers_share_their_normals(level):
    expected = draw("normal_std_1") * GAUSSIAN_DEVIATIONS[level]
    torch.testing.assert_close(draw(level), expected, rtol=1e-5, atol=0)


def test_uniform_is_paired_with_the_gaussian_ones():
    quantiles = torch.special.ndtr(draw("normal_std_1").double())
    expected = (2 * quantiles - 1) / math.sqrt(FAN_IN)
    torch.testing.assert_close(draw("uniform_fan_in").double(), expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("other", [{"seed": 1}, {"layer": 1}, {"seed": 10, "layer": 0}])
def test_seeds_and_layers_draw_independently(other):
    pair = torch.stack([draw("normal_std_1").flatten(), draw("normal_std_1", **other).flatten()])
    assert abs(torch.corrcoef(pair)[0, 1]) < 5 / math.sqrt(FAN_IN * FAN_OUT)


def test_order_of_drawing_and_global_seed_do_not_matter():
    def all_layers(layers):
        return {layer: draw("he", seed=3, layer=layer) for layer in layers}

    forwards = all_layers([0, 1, 2])
    torch.manual_seed(99)
    torch.rand(7)
    backwards = all_layers([2, 1, 0])
    assert all(torch.equal(forwards[layer], backwards[layer]) for layer in forwards)


@pytest.mark.parametrize("level", ["orthogonal", "no_such_family_3"])
def test_unknown_level(level):
    assert level not in INITIALIZERS
    with pytest.raises(KeyError):
        draw(level)
