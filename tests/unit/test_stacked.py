"""Stacked networks against PyTorch's own layers and optimizers, one replica at a time."""

import copy
import math

import pytest
import torch
from torch import nn

from finicky.engine.train import Split
from finicky.experiments import stacked
from finicky.experiments.stacked import (
    Activation,
    Convolution,
    Dense,
    Dropout,
    Flatten,
    GlobalMean,
    Images,
    Normalisation,
    Recipe,
    Residual,
)

from .engine_fixtures import TinyDataset

SEEDS = [3, 3, 5]
KINDS = ["batch", "layer", "instance", "group"]
OPTIMIZERS = {
    "sgd": torch.optim.SGD,
    "momentum": lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9),
    "adam": torch.optim.Adam,
}


pytestmark = pytest.mark.usefixtures("process")


@pytest.fixture(scope="module")
def dataset():
    return TinyDataset(images=200)


def small_cnn(seeds, kind="batch", init="he"):
    """A convolution, a residual block with a normalisation, and a dense layer."""
    block = nn.Sequential(
        Convolution(seeds, 4, 4, init=init, name=1, bias=False),
        Normalisation(kind, len(seeds), 4, groups=2),
    )
    return nn.Sequential(
        Images(),
        Convolution(seeds, 1, 4, kernel=5, stride=4, init=init, name=0),
        Activation("relu"),
        Residual(block, after=Activation("relu")),
        Flatten(),
        Dense(seeds, 4 * 49, 10, init=init, name=2),
    )


class Alone(nn.Module):
    """The same of one replica in PyTorch's own layers."""

    def __init__(self, stack, row, kind):
        super().__init__()
        first, block, last = stack[1], stack[3].body, stack[5]
        self.first = nn.Conv2d(1, 4, 5, 4, 2)
        self.inner = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.norm = {
            "batch": lambda: nn.BatchNorm2d(4),
            "layer": lambda: nn.GroupNorm(1, 4),
            "instance": lambda: nn.InstanceNorm2d(4, affine=True),
            "group": lambda: nn.GroupNorm(2, 4),
        }[kind]()
        self.last = nn.Linear(196, 10)
        with torch.no_grad():
            self.first.weight.copy_(first.weight[row])
            self.first.bias.zero_()
            self.inner.weight.copy_(block[0].weight[row])
            self.last.weight.copy_(last.weight[row].T)
            self.last.bias.zero_()

    def forward(self, x):
        x = torch.relu(self.first(x.view(-1, 1, 28, 28)))
        return self.last(torch.relu(x + self.norm(self.inner(x))).flatten(1))


def train_alone(network, dataset, recipe, row):
    """PyTorch's loop over the row's batches; its optimizer."""
    optimizer = OPTIMIZERS[recipe.optimizer](network.parameters(), lr=recipe.rates[row])
    network.train()
    for epoch in range(1, recipe.epochs + 1):
        for index in recipe.batches(epoch):
            x = dataset.normalise(dataset.train.images[index[row]])
            loss = nn.functional.cross_entropy(network(x), dataset.train.labels[index[row]])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return network


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_each_replica_trains_as_alone_in_pytorch(kind, optimizer, dataset):
    """Seeds, initialisers and rates of their own; the epoch's last batch is smaller."""
    stack = small_cnn(SEEDS, kind, init=["he", "xavier", "he"])
    recipe = Recipe(SEEDS, [0.01, 0.02, 0.02], 150, 2, optimizer)
    alone = [train_alone(Alone(stack, r, kind), dataset, recipe, r) for r in range(3)]
    stacked.train(stack, dataset, recipe)
    stack.eval()
    x = dataset.normalise(dataset.test.images[:50])
    ours = stacked.predict(stack, x)
    for row, network in enumerate(alone):
        torch.testing.assert_close(ours[:, row], network.eval()(x), rtol=1e-3, atol=1e-4)
    assert not torch.allclose(ours[:, 0], ours[:, 1], atol=1e-2)


def test_a_replica_trains_the_same_among_others(dataset):
    def weights(seeds):
        stack = small_cnn(seeds)
        stacked.train(stack, dataset, Recipe(seeds, [0.001] * len(seeds), 128, 1))
        return stack[5].weight[-1]

    torch.testing.assert_close(weights([7]), weights([3, 7]), rtol=1e-4, atol=1e-6)


def test_a_replica_that_becomes_nan_touches_no_other(dataset):
    def trained(rates):
        stack = small_cnn([3, 5], kind="layer")
        return stacked.train(stack, dataset, Recipe([3, 5], rates, 128, 1, "sgd"))

    broken, whole = trained([1e30, 0.01]), trained([0.01, 0.01])
    assert stacked.finite(broken).tolist() == [False, True]
    assert torch.equal(broken[5].weight[1], whole[5].weight[1])


def test_scores_are_those_of_pytorch(dataset):
    stack = small_cnn(SEEDS)
    stacked.train(stack, dataset, Recipe(SEEDS, [0.01] * 3, 100, 1))
    stack.eval()
    logits = stacked.predict(stack, dataset.normalise(dataset.test.images)).detach()
    labels = dataset.test.labels
    for row, (loss, accuracy) in enumerate(stacked.scores(stack, dataset, dataset.test)):
        mine = logits[:, row]
        assert loss == pytest.approx(float(nn.functional.cross_entropy(mine, labels)), rel=1e-5)
        assert accuracy == pytest.approx(100 * float((mine.argmax(1) == labels).float().mean()))


def test_ghost_batches_normalise_by_parts():
    whole, ghost = (Normalisation("batch", 2, 3, ghost=size) for size in (None, 4))
    x = torch.randn(10, 2, 3, 5, 5)
    parts = [nn.functional.batch_norm(p, None, None, training=True) for p in x[:, 1].split(4)]
    torch.testing.assert_close(ghost(x)[:, 1], torch.cat(parts))
    assert not torch.allclose(ghost(x), whole(x), atol=1e-3)
    ghost.eval()
    assert ghost(x).shape == x.shape


def test_dropout_keeps_the_mean_and_belongs_to_the_seed():
    layer = Dropout([1, 2, 1], 0.25)
    y = layer(torch.ones(4000, 3, 2))
    assert torch.equal(y[:, 0], y[:, 2]) and not torch.equal(y[:, 0], y[:, 1])
    assert y.unique().tolist() == pytest.approx([0.0, 1 / 0.75])
    assert float(y.mean()) == pytest.approx(1, abs=0.02)
    assert torch.equal(layer.eval()(y), y)


def test_schedule_hooks_and_subsets(dataset):
    """A factor of 0 trains nothing; gradients can be clipped, pixels changed, images chosen."""
    seen = []
    recipe = Recipe(
        [1], [0.1], 64, 1, "sgd",
        subsets=torch.arange(100, 164).unsqueeze(0),
        augment=lambda x, step: seen.append(x) or x,
        on_gradients=lambda parameters: [p.grad.zero_() for p in parameters],
    )  # fmt: skip
    stack = small_cnn([1], kind="layer")
    before = [p.clone() for p in stack.parameters()]
    steps = list(stacked.each_step(stack, dataset, recipe))
    assert [(s.number, s.epoch, s.ends_epoch) for s in steps] == [(1, 1, True)]
    assert all(map(torch.equal, before, stack.parameters()))
    wanted = dataset.normalise(dataset.train.images[100:164]).sum(0)
    torch.testing.assert_close(seen[0][:, 0].sum(0), wanted)
    recipe = Recipe([1], [0.1], 64, 1, "sgd", schedule=lambda step, steps: step / steps)
    stacked.train(stack, dataset, recipe)
    assert all(map(torch.equal, before, stack.parameters()))


def test_shapes_without_a_bias_and_with_a_mean_over_places():
    seeds = [1, 2]
    layers = nn.Sequential(Images(), Convolution(seeds, 1, 3, bias=False), GlobalMean(),
                           Dense(seeds, 3, 4, init="zeros", bias=False))  # fmt: skip
    assert layers(torch.randn(5, 2, 784)).eq(0).all()
    assert layers(torch.randn(5, 2, 784)).shape == (5, 2, 4)


def test_labels_of_fewer_classes(dataset):
    """A binary task is a data set with other labels."""
    halves = copy.copy(dataset)
    halves.train = Split(dataset.train.images, dataset.train.labels % 2)
    network = nn.Sequential(Dense([1], 784, 2, init="zeros"))
    (step, *_) = stacked.each_step(network, halves, Recipe([1], [0.1], 64, 1))
    assert float(step.losses) == pytest.approx(math.log(2))
