"""Random networks against autograd: gradients, Jacobians with and without residual connections;
weights against what is prescribed; statistics of layers."""

import numpy as np
import pytest
import torch

from finicky.engine.initializers import initial_weights
from finicky.experiments import random_networks as networks

STARTS = [(0, 0), (0, 1), (1, 0)]
FUNCTIONS = {
    "relu": torch.relu,
    "leaky_relu": lambda z: torch.nn.functional.leaky_relu(z, 0.01),
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "selu": torch.selu,
    "identity": lambda z: z,
}


def by_hand(layers, activation, x, residual=False):
    outputs = []
    h = x
    for layer, w in enumerate(layers):
        z = h @ w
        if residual and layer and layer % 2 == 0:
            z = z + outputs[layer - 2]
        h = FUNCTIONS[activation](z)
        outputs.append(h)
    return outputs


@pytest.mark.parametrize("activation", list(FUNCTIONS))
def test_gradients_are_autograds(activation):
    layers = networks.weights("he", STARTS, [7, 6, 5, 4, 3])
    layers[-1] = layers[-1][..., :3]
    x, labels = torch.randn(4, 7, dtype=torch.float64), torch.tensor([0, 2, 1, 0])
    outputs = networks.forward(layers[:-1], activation, x)
    last = networks.logit_gradient(outputs, layers[-1], labels)
    found = networks.backward(outputs, layers, activation, last)
    for replica in range(len(STARTS)):
        z, h = [], x
        for w in layers[:-1]:
            z.append((h @ w[replica]).requires_grad_())
            h = FUNCTIONS[activation](z[-1])
        logits = h @ layers[-1][replica]
        loss = torch.nn.functional.cross_entropy(logits, labels, reduction="sum")
        for layer, gradient in enumerate(torch.autograd.grad(loss, z)):
            assert torch.allclose(found[layer][replica], gradient, atol=1e-12)


@pytest.mark.parametrize("activation", list(FUNCTIONS))
@pytest.mark.parametrize("residual", [False, True])
def test_jacobians_are_autograds(activation, residual):
    layers = networks.weights("xavier", STARTS, [9] + [5] * 7)
    x = torch.randn(1, 9, dtype=torch.float64)
    outputs = networks.forward(layers, activation, x, residual)
    found = list(networks.jacobians(layers, activation, outputs, [3, 5, 7], residual))
    for replica in range(len(STARTS)):
        mine = [w[replica] for w in layers]
        by_layer = by_hand(mine, activation, x, residual)
        assert torch.allclose(outputs[-1][replica], by_layer[-1])

        def from_first(h, mine=mine, upto=7):
            every = [h]
            for layer in range(1, upto):
                z = every[-1] @ mine[layer]
                if residual and layer % 2 == 0:
                    z = z + every[layer - 2]
                every.append(FUNCTIONS[activation](z))
            return every[-1]

        for jacobian, upto in zip(found, (3, 5, 7), strict=True):
            expected = torch.autograd.functional.jacobian(
                lambda h, upto=upto: from_first(h, upto=upto), by_layer[0][0]
            )
            assert torch.allclose(jacobian[replica].mT, expected, atol=1e-12)


def test_weights_are_the_engines_and_have_the_prescribed_variance():
    for init in ("he", "xavier", "lecun", "uniform_fan_in", "normal_std_0.3", "fan_out"):
        (w,) = networks.weights(init, [(0, 1)], [300, 200])
        if init != "fan_out":
            assert torch.equal(w[0].float(), initial_weights(init, (0, 1), 0, 300, 200))
        assert float(w.var()) == pytest.approx(networks.prescribed(init, 300, 200), rel=0.03)
    assert networks.prescribed("normal_var_0.04", 3, 3) == pytest.approx(0.04)


def test_orthogonal_matrices_are_isometries_of_the_size_asked_for():
    (w,) = networks.weights("he", [0], [40, 40])
    q = networks.orthogonal("he", w)[0]
    assert torch.allclose(q.mT @ q, 2 * torch.eye(40, dtype=torch.float64), atol=1e-12)


def test_statistics():
    values = torch.randn(2, 50, 30, dtype=torch.float64) * 2 + torch.arange(30)
    second, variance, over_images = networks.statistics(values)
    assert second == pytest.approx(values.square().mean((1, 2)).numpy())
    assert variance == pytest.approx(values.var((1, 2), correction=0).numpy())
    assert over_images == pytest.approx(values.var(1, correction=0).mean(1).numpy())
    constant = torch.full((1, 4, 3), 0.1, dtype=torch.float64)
    constant[0, 0] += 1e-15
    second, variance, over_images = networks.statistics(constant)
    assert second == pytest.approx([0.01]) and np.isnan(over_images).all()
