"""Activations: values against torch.nn.functional, derivatives against autograd."""

import pytest
import torch

from finicky.engine.activations import ACTIVATIONS, activation, backward_of
from finicky.engine.train import train

from .engine_fixtures import (
    FUNCTIONS,
    TinyDataset,
    assert_curves,
    bits,
    make_run,
    train_plainly,
    training_process,
)

# 0 is where ReLU, leaky ReLU and SELU have their kink; the others are deep in the flat parts.
EDGES = [-1000.0, -40.0, -1e-300, -0.0, 0.0, 1e-300, 40.0, 1000.0]
STEEPEST = {"identity": 1, "relu": 1, "leaky_relu": 1, "tanh": 1, "sigmoid": 1 / 4,
            "selu": 1.6732632423543772 * 1.0507009873554805}  # fmt: skip


@pytest.fixture
def z():
    """A stack of inputs as in a fused batch: random values of all sizes, and edges."""
    random = torch.Generator().manual_seed(0)
    values = torch.randn(2, 50, 8, generator=random, dtype=torch.float64) * 3
    values[0, 0] = torch.tensor(EDGES, dtype=values.dtype)
    return values


@pytest.fixture
def softplus():
    """An activation registered by a user, without a backward."""

    @activation("softplus")
    def softplus(z):
        return torch.nn.functional.softplus(z)

    with training_process():
        yield ACTIVATIONS["softplus"]
    del ACTIVATIONS["softplus"]


def autograd(function, z, gradient):
    leaf = z.clone().requires_grad_()
    (result,) = torch.autograd.grad(function(leaf), leaf, gradient)
    return result


@pytest.mark.parametrize("name", STEEPEST)
def test_forward(name, z):
    torch.testing.assert_close(
        ACTIVATIONS[name].forward(z.clone()), FUNCTIONS[name](z), rtol=1e-14, atol=0
    )


@pytest.mark.parametrize("name", STEEPEST)
def test_backward(name, z):
    gradient = torch.randn(z.shape, generator=torch.Generator().manual_seed(1), dtype=z.dtype)
    expected = autograd(FUNCTIONS[name], z, gradient)
    y = ACTIVATIONS[name].forward(z.clone())
    kept = y.clone()
    result = ACTIVATIONS[name].pull_back(gradient, y)
    # Near ±∞, 1 - y² and y + λα cancel: what is left of the derivative is absolute rounding.
    torch.testing.assert_close(result, expected, rtol=1e-10, atol=1e-14)
    assert result.data_ptr() == gradient.data_ptr(), "the gradient's memory is reused"
    assert torch.equal(y, kept), "the output is still needed: probes, residual connections"


@pytest.mark.parametrize("name", STEEPEST)
def test_slope_and_steepest(name, z):
    y = ACTIVATIONS[name].forward(z.clone())
    kept = y.clone()
    slope = ACTIVATIONS[name].slope(y)
    expected = autograd(FUNCTIONS[name], z, torch.ones_like(z))
    torch.testing.assert_close(slope, expected, rtol=1e-10, atol=1e-14)
    assert torch.equal(y, kept)
    assert ACTIVATIONS[name].steepest() == pytest.approx(STEEPEST[name], rel=0.01)


def test_pull_back_without_a_backward(softplus, z):
    gradient = torch.randn(z.shape, generator=torch.Generator().manual_seed(1), dtype=z.dtype)
    expected = autograd(FUNCTIONS["softplus"], z, gradient)
    assert softplus.keeps_input and not ACTIVATIONS["relu"].keeps_input
    with torch.no_grad():  # as in training
        y = softplus.forward(z)
        slope = softplus.slope(y, z)
        result = softplus.pull_back(gradient, y, z)
    torch.testing.assert_close(result, expected)
    torch.testing.assert_close(slope, torch.sigmoid(z))
    assert result.data_ptr() == gradient.data_ptr()
    assert softplus.steepest() == pytest.approx(1, rel=0.01)


@pytest.mark.parametrize("block", ["plain", "batch_norm_residual"])
def test_training_without_a_backward(softplus, block):
    """It trains as in plain PyTorch, and fused as alone."""
    dataset = TinyDataset()
    runs = [
        make_run(depth=6, block=block, activation="softplus", seed=seed, init="lecun")
        for seed in (0, 1)
    ]
    for run in runs:
        (record,) = train([run], dataset, dtype=torch.float64)
        curves, _ = train_plainly(run, dataset)
        assert_curves(record["curves"], curves, rel=1e-5)
    for run, record in zip(runs, train(runs, dataset), strict=True):
        assert bits(record) == bits(train([run], dataset)[0])


def test_backward_can_be_added(softplus):
    """With a backward in terms of the output the same training comes out."""
    run, dataset = make_run(activation="softplus", depth=6), TinyDataset()
    (by_autograd,) = train([run], dataset, dtype=torch.float64)

    @backward_of("softplus")
    def softplus_backward(gradient, y):
        return gradient.mul_(-torch.expm1(-y))

    assert not softplus.keeps_input
    (by_hand,) = train([run], dataset, dtype=torch.float64)
    assert_curves(by_autograd["curves"], by_hand["curves"], rel=1e-9)
