"""Networks taken apart: the same outputs as the engine's, derivatives as autograd has them."""

import pytest
import torch
from torch.nn import functional

from finicky.engine.network import Buffers, Network, Stacked, cross_entropy
from finicky.experiments import chains

WIDTH, DEPTH, IMAGES = 8, 8, 20
KINDS = [
    chains.Kind(DEPTH, block, WIDTH, clean)
    for block in ("plain", "batch_norm", "residual", "batch_norm_residual")
    for clean in ((False, True) if block in chains.RESIDUAL else (False,))
]
NAMES = [f"{kind.block}{' clean' if kind.clean else ''}" for kind in KINDS]


@pytest.fixture
def images():
    return torch.randn(IMAGES, 784, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def labels():
    return torch.arange(IMAGES) % 10


def parameters(kind, seeds=(1, 2)):
    """Random ones, so that biases, γ and β count."""
    flat = chains.starts(kind, list(seeds)).double()
    noise = torch.randn(flat.shape, generator=torch.Generator().manual_seed(3), dtype=flat.dtype)
    return flat + 0.1 * noise


def by_hand(kind, flat, x):
    """Logits [R, B, classes] in training mode, by the formulas of the engine's docstring."""
    parts, h = Stacked(kind.architecture, flat), x.expand(len(flat), *x.shape)
    below = None
    for layer in range(kind.depth - 1):
        z = h @ parts.weights[layer] + parts.biases[layer]
        if kind.block in chains.BATCH_NORM:
            mean, var = z.mean(1, keepdim=True), z.var(1, unbiased=False, keepdim=True)
            z = (z - mean) / (var + 1e-5).sqrt() * parts.gammas[layer] + parts.betas[layer]
        ends = layer and layer % 2 == 0
        if ends and kind.block in chains.RESIDUAL:
            z = z + below
        h = z if ends and kind.clean else z.relu()
        if layer % 2 == 0:
            below = h
    return h @ parts.weights[-1] + parts.biases[-1]


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_a_chain_is_the_network_with_batch_statistics(kind, images):
    flat = parameters(kind)
    chain = chains.folded(kind, flat, images)
    hidden = chain.hidden(images)
    assert len(hidden) == kind.blocks + 1
    torch.testing.assert_close(chain.last(hidden[-1]), by_hand(kind, flat, images))
    if not kind.clean:
        network = Network(kind.architecture, flat)
        buffers = Buffers(kind.architecture, [0, 0], IMAGES, torch.float64)
        buffers.x[0] = images
        torch.testing.assert_close(network.forward(buffers).mT, chain.last(hidden[-1]))


@pytest.mark.parametrize("kind", [k for k in KINDS if k.clean], ids=lambda kind: kind.block)
def test_clean_networks_have_the_gradient_of_autograd(kind, images, labels):
    flat = parameters(kind)
    network = chains.CleanNetwork(kind.architecture, flat)
    buffers = Buffers(kind.architecture, [0, 0], IMAGES, torch.float64)
    buffers.x[0] = images
    for _ in range(2):  # what follows from the layers' order holds for every pass
        logits = network.forward(buffers)
        cross_entropy(buffers, labels.expand(2, 1, -1))
        network.backward(buffers)
    leaf = flat.clone().requires_grad_()
    expected = by_hand(kind, leaf, images)
    torch.testing.assert_close(logits.mT, expected)
    loss = functional.cross_entropy(expected.flatten(0, 1), labels.repeat(2), reduction="sum")
    (gradient,) = torch.autograd.grad(loss / IMAGES, leaf)
    torch.testing.assert_close(network.gradients.flat, gradient)


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_slopes_are_derivatives(kind, images, labels):
    chain = chains.folded(kind, parameters(kind), images)
    hidden = chain.hidden(images)
    slopes = chains.Slopes.at(chain, hidden)
    for number, h in enumerate(hidden[:-1]):
        leaf = h.clone().requires_grad_()
        y = chain.block(number, leaf)
        v = torch.randn_like(y)
        (expected,) = torch.autograd.grad(y, leaf, v)
        torch.testing.assert_close(slopes.back(number, v), expected)
        whole, own = slopes.derivatives(number)
        torch.testing.assert_close(torch.einsum("rboi,rbo->rbi", whole, v), expected)
        if chain.residual:
            rows = slopes.outer[number][..., None]
            torch.testing.assert_close(whole, rows * (torch.eye(WIDTH) + own))
        else:
            assert torch.equal(whole, own)
    leaf = hidden[-1].clone().requires_grad_()
    loss = functional.cross_entropy(
        chain.last(leaf).flatten(0, 1), labels.repeat(2), reduction="sum"
    )
    (expected,) = torch.autograd.grad(loss, leaf)
    found = chains.last_gradient(chain, hidden[-1], labels)
    torch.testing.assert_close(
        functional.normalize(found, dim=2), functional.normalize(expected, dim=2)
    )
    sure = chains.last_gradient(chain, 1e6 * hidden[-1], labels)  # softmax is exactly one-hot
    assert sure.norm(dim=2).min() > 0
