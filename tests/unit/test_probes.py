"""Probes: what they see against autograd, and units that are made to die or saturate."""

import pytest
import torch
from torch.nn import functional

from finicky.engine.network import Architecture, Network
from finicky.engine.probes import probe
from finicky.runs import BLOCKS

from .engine_fixtures import PlainNetwork, small_network

WIDTH = 32


@pytest.fixture
def images():
    return torch.randn(40, 12, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


@pytest.fixture
def targets():
    return torch.randint(0, 5, (40,), generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("activation", ["relu", "selu"])
def test_against_autograd(activation, block, images, targets):
    network = small_network(block, activation)
    plain = [PlainNetwork(network, run) for run in range(3)]
    for inside, twin in zip(probe(network, images, targets), plain, strict=True):
        functional.cross_entropy(twin(images), targets).backward()
        means = [y.mean().item() for y in twin.outputs]
        variances = [y.var(correction=0).item() for y in twin.outputs]
        norms = [linear.weight.grad.norm().item() for linear in twin.linears]
        assert inside["activation_mean"] == pytest.approx(means, rel=1e-9, abs=1e-12)
        assert inside["activation_variance"] == pytest.approx(variances, rel=1e-9)
        assert inside["gradient_norm"] == pytest.approx(norms, rel=1e-9)
        assert {len(column) for column in inside.values()} == {network.architecture.depth}
        assert inside["dead_share"][-1] is None and inside["saturated_share"][-1] is None


def test_network_is_left_as_it_was(images, targets):
    network = small_network("batch_norm_residual", "relu")
    given = [network.parameters.flat, network.running_mean, network.running_var, images]
    kept = [tensor.clone() for tensor in given]
    probe(network, images, targets)
    assert all(map(torch.equal, given, kept))


def units(activation, first_biases):
    """A network with zero weights; biases 0 but for the first units' of layer 1."""
    architecture = Architecture(6, "plain", activation, width=WIDTH, inputs=12, classes=5)
    network = Network.initial(architecture, [("zeros", 0)], dtype=torch.float64)
    network.parameters.biases[0][0, 0, : len(first_biases)] = torch.tensor(
        first_biases, dtype=torch.float64
    )
    return network


def test_relu_units_below_zero_are_dead(images, targets):
    """Four of 32 units of layer 1 are dead by a large negative bias, the others by none."""
    network = units("relu", [-1e3] * 4 + [1e3] * (WIDTH - 4))
    network.parameters.weights[0].normal_(generator=torch.Generator().manual_seed(5))
    (inside,) = probe(network, images, targets)
    assert inside["dead_share"][0] == inside["saturated_share"][0] == pytest.approx(4 / WIDTH)
    assert inside["dead_share"][1] == 1, "z = 0 everywhere: ReLU's derivative there is 0"


def test_sigmoid_units_saturate_where_the_slope_is_under_a_hundredth_of_its_maximum(
    images, targets
):
    """y (1 - y) < 0.0025 beyond z = ±5.988, on either side."""
    network = units("sigmoid", [5.98, -5.98, 6.0, -6.0, 50.0])
    (inside,) = probe(network, images, targets)
    assert inside["dead_share"][0] == inside["saturated_share"][0] == pytest.approx(3 / WIDTH)
    assert inside["dead_share"][1:-1] == inside["saturated_share"][1:-1] == [0] * 4


def test_a_unit_that_saturates_for_some_images_is_not_dead(images, targets):
    network = units("sigmoid", [])
    images[:, 0] = 0
    images[:10, 0] = 1
    network.parameters.weights[0][0, 0, 0] = 100
    (inside,) = probe(network, images, targets)
    assert inside["saturated_share"][0] == pytest.approx(10 / 40 / WIDTH)
    assert inside["dead_share"][0] == 0


def test_leaky_relu_never_dies(images, targets):
    network = units("leaky_relu", [-1e3] * WIDTH)
    (inside,) = probe(network, images, targets)
    assert inside["saturated_share"][:-1] == [0] * 5
