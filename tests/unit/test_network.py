"""The network: forward and backward against torch.nn and autograd, in float64."""

import pytest
import torch
from torch.nn import functional

from finicky.engine.activations import ACTIVATIONS
from finicky.engine.initializers import initial_weights
from finicky.engine.network import Architecture, Buffers, Network, Stacked, cross_entropy, score
from finicky.runs import BLOCKS

from .engine_fixtures import PlainNetwork, small_network

BATCH = 7


def batches(count=1, batch=BATCH, runs=3):
    """`count` batches: images [R, B, 12] and labels [R, B], different ones for every run."""
    random = torch.Generator().manual_seed(2)
    return [
        (
            torch.randn(runs, batch, 12, generator=random, dtype=torch.float64),
            torch.randint(0, 5, (runs, batch), generator=random),
        )
        for _ in range(count)
    ]


def forward(network, x, **options):
    runs, batch, _ = x.shape
    buffers = Buffers(network.architecture, range(runs), batch, dtype=x.dtype)
    buffers.x.copy_(x)
    network.forward(buffers, **options)
    return buffers


def loss(buffers, labels):
    """Losses and counts of correct answers of each run; fills buffers.delta."""
    targets = labels.unsqueeze(1)
    return score(*cross_entropy(buffers, targets), targets)


@pytest.mark.parametrize("depth", [2, 6, 10])
@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_forward_and_backward(activation, block, depth):
    network = small_network(block, activation, depth)
    ((x, labels),) = batches()
    plain = [PlainNetwork(network, run) for run in range(len(x))]
    buffers = forward(network, x)
    losses, correct = loss(buffers, labels)
    network.backward(buffers)
    for run, twin in enumerate(plain):
        logits = twin(x[run])
        expected = functional.cross_entropy(logits, labels[run])
        expected.backward()
        torch.testing.assert_close(buffers.logits[run].T, logits, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(losses[run], expected, rtol=1e-12, atol=0)
        assert correct[run] == (logits.argmax(1) == labels[run]).sum()
        twin.assert_gradients(network, run, rtol=1e-9, atol=1e-12)


def test_gradients_do_not_depend_on_earlier_batches():
    """Buffers and gradients are reused at every step: nothing may accumulate."""
    network = small_network("batch_norm_residual", "tanh")
    first, second = batches(2)
    buffers = forward(network, second[0])
    loss(buffers, second[1])
    network.backward(buffers)
    expected = network.gradients.flat.clone()
    for x, labels in first, second:
        buffers.x.copy_(x)
        network.forward(buffers)
        loss(buffers, labels)
        network.backward(buffers)
    assert torch.equal(network.gradients.flat, expected)


def test_backward_by_finite_differences():
    network = small_network("batch_norm_residual", "tanh", runs=2)
    ((x, labels),) = batches(runs=2)
    buffers = forward(network, x)
    loss(buffers, labels)
    network.backward(buffers)
    gradients = network.gradients.flat.clone()
    flat, step = network.parameters.flat, 1e-5
    used = sum((fan_in + 1) * fan_out for fan_in, fan_out in network.architecture.fans())
    used += 2 * network.architecture.hidden * network.architecture.width
    for index in range(0, used, 53):
        flat[:, index] += step
        above, _ = loss(forward(network, x), labels)
        flat[:, index] -= 2 * step
        below, _ = loss(forward(network, x), labels)
        flat[:, index] += step
        difference = (above - below) / (2 * step)
        torch.testing.assert_close(gradients[:, index], difference, rtol=1e-5, atol=1e-9)
    assert gradients[:, used:].eq(0).all(), "padding"


@pytest.mark.parametrize("block", ["batch_norm", "batch_norm_residual"])
def test_running_statistics_and_prediction(block):
    """After some training batches, one smaller: averages and evaluation as in BatchNorm1d."""
    network = small_network(block, "relu")
    plain = [PlainNetwork(network, run) for run in range(3)]
    for x, _ in [*batches(4), *batches(1, batch=3)]:
        forward(network, 2 * x + 1)
        for run, twin in enumerate(plain):
            twin(2 * x[run] + 1)
    x = batches(1, batch=20)[0][0][0]
    logits = network.predict(x)
    for run, twin in enumerate(plain):
        for layer, norm in enumerate(twin.norms):
            torch.testing.assert_close(network.running_mean[layer, run, 0], norm.running_mean)
            torch.testing.assert_close(network.running_var[layer, run, 0], norm.running_var)
        torch.testing.assert_close(logits[run].T, twin.eval()(x), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("depth", [2, 6, 10])
@pytest.mark.parametrize("block", ["plain", "residual"])
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_prediction_without_batch_norm(activation, block, depth):
    network = small_network(block, activation, depth)
    x = batches(1, batch=20)[0][0][0]
    kept = x.clone()
    logits = network.predict(x)
    for run in range(3):
        expected = PlainNetwork(network, run)(x)
        torch.testing.assert_close(logits[run].T, expected, rtol=1e-10, atol=1e-12)
    assert torch.equal(x, kept)


def test_statistics_are_left_alone_on_request():
    network = small_network("batch_norm")
    x = batches()[0][0]
    logits = forward(network, x, update_statistics=False).logits
    assert network.running_mean.eq(0).all() and network.running_var.eq(1).all()
    assert torch.equal(logits, forward(network, x).logits)
    assert not network.running_mean.eq(0).all()


def test_residual_block_with_zero_weights_passes_its_input():
    """With zero weights the blocks give f(x) = x for a ReLU's output x, in both modes."""
    network = small_network("residual", "relu")
    for layer in range(1, network.architecture.hidden):
        network.parameters.weights[layer].zero_()
        network.parameters.biases[layer].zero_()
    buffers = forward(network, batches()[0][0])
    assert buffers.y[0].abs().sum() > 0
    assert torch.equal(buffers.y[2], buffers.y[0]) and torch.equal(buffers.y[4], buffers.y[0])
    assert buffers.y[1].eq(0).all() and buffers.y[3].eq(0).all()


@pytest.mark.parametrize("block", BLOCKS)
def test_start(block):
    """Each run has the weights of its own level and seed; biases and β 0, γ 1."""
    architecture = Architecture(6, block, "relu", width=32, inputs=12, classes=5)
    starts = [("he", 0), ("normal_std_1", 0), ("he", 1)]
    network = Network.initial(architecture, starts)
    parts = network.parameters
    assert [tuple(w.shape[1:]) for w in parts.weights] == [(12, 32), *[(32, 32)] * 4, (32, 5)]
    for layer, weights in enumerate(parts.weights):
        for run, (init, seed) in enumerate(starts):
            assert torch.equal(weights[run], initial_weights(init, seed, layer, *weights.shape[1:]))
    assert all(part.eq(0).all() for part in [*parts.biases, *parts.betas])
    assert all(gamma.eq(1).all() for gamma in parts.gammas)
    assert len(parts.gammas) == len(parts.betas) == (5 if "batch_norm" in block else 0)


@pytest.mark.parametrize("block", ["plain", "batch_norm"])
def test_flat_buffer_holds_every_parameter_once(block):
    architecture = Architecture(6, block, "relu", width=32, inputs=12, classes=5)
    length = Stacked.row_length(architecture)
    assert length % 16 == 0
    stacked = Stacked(architecture, torch.zeros(2, length))
    parts = [*stacked.weights, *stacked.biases, *stacked.gammas, *stacked.betas]
    for part in parts:
        part += 1
    numbers = sum(part[0].numel() for part in parts)
    assert stacked.flat[:, :numbers].eq(1).all() and stacked.flat[:, numbers:].eq(0).all()
    assert length - numbers < 16


@pytest.mark.parametrize("block", ["residual", "batch_norm"])
def test_keep(block):
    """The kept rows go on as they were, apart from the others' memory."""
    network = small_network(block)
    for x, _ in batches(2):
        forward(network, x)
    x = batches()[0][0][0]
    expected = network.predict(x)[[2, 0]]
    kept = network.keep([2, 0])
    torch.testing.assert_close(kept.predict(x), expected, rtol=1e-12, atol=1e-12)
    network.parameters.flat.zero_()
    if network.running_mean is not None:
        network.running_mean.fill_(7)
    torch.testing.assert_close(kept.predict(x), expected, rtol=1e-12, atol=1e-12)


def test_cross_entropy_of_large_logits():
    """No overflow where exp(logit) is infinite in float32; a tie counts for the first class."""
    architecture = Architecture(2, "plain", "relu", width=32, inputs=12, classes=5)
    buffers = Buffers(architecture, [0], 2)
    buffers.logits.copy_(torch.tensor([[1e4, 0, 0, 0, -1e4], [7, 7, 7, 7, 7]]).T)
    labels = torch.tensor([[1, 0]])
    losses, correct = loss(buffers, labels)
    logits = buffers.logits[0].T.clone().requires_grad_()
    expected = functional.cross_entropy(logits, labels[0])
    expected.backward()
    torch.testing.assert_close(losses[0], expected)
    torch.testing.assert_close(buffers.delta[0].T, logits.grad)
    assert correct.tolist() == [1]
