"""Equal starts: a network by hand in PyTorch beside the engine's, units that part only where they
must, ranks, the story's network against torch.nn, and the whole measurement on small settings."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from finicky.engine import train
from finicky.engine.network import Architecture, Network
from finicky.exhibits import symmetry as exhibit
from finicky.experiments import binary_story, stacked, tidy, training
from finicky.experiments import symmetry as experiment

from .engine_fixtures import FUNCTIONS, TinyDataset, make_run
from .sentences import finding

SETTINGS = {
    "datasets": ["mnist"], "depths": [2, 4], "width": 4, "images": 150, "epochs": 1,
    "rates": [0.001], "binary_images": 20, "binary_epochs": 2, "binary_rates": [0.001, 0.01],
    "channels": 2, "seeds": [0, 1], "data": "nowhere", "device": "cpu",
}  # fmt: skip


pytestmark = pytest.mark.usefixtures("process")


@pytest.fixture
def dataset():
    return TinyDataset()


def member(start, activation="tanh", bias=True, depth=4, **levels):
    init = "zeros" if start == "zeros" else "xavier"
    run = make_run(
        activation=activation, depth=depth, init=init, optimizer="adam", learning_rate=0.01,
        **{"width": 6} | levels,
    )  # fmt: skip
    return experiment.Equal(run, start, bias)


def trained(members, dataset):
    batch = experiment.Fused(members, dataset)
    for _ in training.each_step(batch, members[0].run.steps):
        pass
    return batch.network.parameters


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("start", ["zeros", "constant", "first layer zero", "last layer zero"])
def test_training_is_that_of_torch(start, bias, dataset):
    one = member(start, "sigmoid", bias)
    found = trained([member("zeros", "sigmoid", True), one], dataset)
    begin = Network.initial(Architecture(4, "plain", "sigmoid", 6), [(one.run.init, 0)])
    weights = [w[0].double().clone() for w in begin.parameters.weights]
    if start == "constant":
        weights = [torch.full_like(w, 1 / len(w)) for w in weights]
    elif start == "first layer zero":
        weights[0].zero_()
    elif start == "last layer zero":
        weights[-1].zero_()
    layers = [nn.Linear(*w.shape, bias=bias, dtype=torch.float64) for w in weights]
    for layer, w in zip(layers, weights, strict=True):
        layer.weight.data = w.T.clone()
        if bias:
            layer.bias.data.zero_()
    network = nn.Sequential(*layers)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    fused = train.FusedBatch([one.run], dataset)
    for epoch in (1, 2):
        for index, targets in fused.batches(epoch):
            h = dataset.normalise(dataset.train.images[index[0]], dtype=torch.float64)
            for layer in layers[:-1]:
                h = FUNCTIONS["sigmoid"](layer(h))
            loss = nn.functional.cross_entropy(layers[-1](h), targets[0, 0])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    for layer, linear in enumerate(layers):
        assert torch.allclose(found.weights[layer][1], linear.weight.T, atol=1e-9)
        expected = linear.bias if bias else torch.zeros(len(linear.weight), dtype=torch.float64)
        assert torch.allclose(found.biases[layer][1, 0], expected, atol=1e-9)


@pytest.mark.parametrize("activation", experiment.ACTIVATIONS)
def test_units_part_only_from_unequal_starts(activation, dataset):
    starts = ["zeros", "constant", "last layer zero", "random"]
    for bias in (True, False):
        found = trained([member(start, activation, bias) for start in starts], dataset)
        apart = experiment.units_differ(found)
        assert apart[0] < 1e-9 and apart[1] < 1e-9
        assert apart[2] > 0.1 and apart[3] > 0.1
        ranks = experiment.rank(found.weights[0])
        assert ranks[0] == (1 if activation == "sigmoid" else 0)
        assert ranks[1] == 1 and ranks[2] == ranks[3] == 6


def test_how_far_units_are_apart():
    class Parameters:
        weights = [torch.tensor([[[1.0, 1.0], [2.0, 2.0]]]), torch.tensor([[[3.0], [3.0]]])]
        biases = [torch.zeros(1, 1, 2), torch.zeros(1, 1, 1)]

    assert experiment.units_differ(Parameters) == [0]
    for change in (
        lambda p: p.weights[0][0, 1].add_(torch.tensor([0.0, 0.3])),
        lambda p: p.weights[1][0].add_(torch.tensor([[0.0], [-0.3]])),
        lambda p: p.biases[0][0, 0].add_(torch.tensor([0.3, 0.0])),
    ):
        other = type("Other", (), {k: copy.deepcopy(getattr(Parameters, k)) for k in
                                   ("weights", "biases")})  # fmt: skip
        change(other)
        assert experiment.units_differ(other) == pytest.approx([0.1])


def test_ranks():
    a = torch.randn(9, 3, dtype=torch.float64)
    same = torch.stack([a @ torch.randn(3, 5, dtype=torch.float64), torch.zeros(9, 5)])
    for scale in (1, 1e-5):  # the length of weights is not in their rank
        assert experiment.rank(scale * same.double()).tolist() == [3, 0]


def test_answers_and_the_commonest(dataset):
    network = Network.initial(Architecture(2, "plain", "relu", 6), [("zeros", 0), ("he", 1)])
    network.parameters.biases[-1][0, 0, 3] = 1  # names the class 3 for every image
    accuracy, commonest = experiment.answers(network, dataset)
    share = 100 * float((dataset.test.labels == 3).double().mean())
    assert accuracy[0] == commonest[0] == pytest.approx(share)
    assert accuracy[1] == pytest.approx(train.evaluate(network, dataset, dataset.test)[1][1])


# ---- The story ----------------------------------------------------------------------------------


def test_the_storys_network_is_that_of_torch():
    seeds = [0, 1]
    network = binary_story.small_network(seeds, "he", "tanh", 3)
    x = torch.randn(5, 2, 196)
    labels = torch.tensor([[0, 1, 1, 0, 1]]).T.expand(5, 2)
    losses = stacked.cross_entropy(network(x), labels).detach()
    for replica in seeds:
        twin = nn.Sequential(
            nn.Unflatten(1, (1, 14, 14)), nn.Conv2d(1, 3, 3, 2, 1), nn.Tanh(),
            nn.Conv2d(3, 6, 3, 2, 1), nn.Tanh(), nn.Flatten(), nn.Linear(96, 1),
        )  # fmt: skip
        for place in (1, 3):
            twin[place].weight.data = network[place].weight[replica].data
            twin[place].bias.data = network[place].bias[replica].data
        twin[6].weight.data = network[6].weight[replica].T.data
        twin[6].bias.data = network[6].bias[replica, 0].data
        z = twin(x[:, replica])[:, 0]
        expected = nn.functional.binary_cross_entropy_with_logits(z, labels[:, replica].float())
        assert float(losses[replica]) == pytest.approx(float(expected.detach()), rel=1e-5)


def test_classes_are_balanced_as_asked(dataset):
    data = binary_story.Binary(dataset)
    assert data.train.images.shape[1] == 196 and set(data.test.labels.tolist()) == {0, 1}
    assert float(data.test.labels.double().mean()) == 0.5
    corner = dataset.train.images[:, [0, 1, 28, 29]].double().mean(1).round()
    assert torch.equal(data.train.images[:, 0].double(), corner)
    assert torch.equal(data.train.labels, (dataset.train.labels >= 5).long())
    for share, ones in ((50, 10), (10, 2)):
        subsets = data.subsets([0, 1], 20, share)
        assert subsets.shape == (2, 20)
        assert data.train.labels[subsets].sum(1).tolist() == [ones, ones]
        assert len(set(subsets[0].tolist())) == 20


def test_zero_weights_are_stuck_at_ln_2_and_random_ones_are_not(dataset):
    data = binary_story.Binary(dataset)
    settings = SETTINGS | {"binary_images": 40, "binary_epochs": 15}
    every = binary_story.story(data, settings, "relu")
    balanced = every[(every["positives"] == 50) & (every["learning_rate"] == 0.01)]
    stuck = balanced[balanced["start"] == "zeros"]
    assert stuck["loss"].to_numpy() == pytest.approx(np.log(2), abs=1e-3)
    assert stuck["filter_gradient"].max() == 0
    assert (stuck["zero_outputs"].dropna() == 100).all()
    moved = balanced[balanced["start"] == "random"]
    assert (moved[moved["epoch"] == 15]["loss"] < 0.5).all()
    without = every[~every["bias"]]
    assert without["loss"].to_numpy() == pytest.approx(np.log(2), abs=1e-6)
    unbalanced = every[every["positives"] == 10]
    assert (unbalanced[unbalanced["epoch"] == 15]["loss"] < 0.69).all()


# ---- All of it ----------------------------------------------------------------------------------


def test_the_measurement(dataset, monkeypatch):
    monkeypatch.setattr(training, "prepared", lambda *arguments: dataset)
    table = experiment.measure(SETTINGS, {})
    tidy.check(table, experiment)
    assert set(table["quantity"]) == set(experiment.QUANTITIES)
    zeros = table[(table["quantity"] == "units_differ") & (table["start"] == "zeros")]
    assert (zeros["value"] < 1e-9).all() and len(zeros) == 2 * 2 * 5 * 2
    dropped = table[table["quantity"] == "units_differ_with_dropout"]
    assert (dropped.set_index("activation")["value"]["sigmoid"] > 0.1).all()
    assert (dropped.set_index("activation")["value"]["relu"] == 0).all()
    furthest = table[table["quantity"] == "furthest_loss"]
    stuck = furthest[(furthest["activation"] == "relu") & (furthest["positives"] == 50)]
    assert stuck["value"].to_numpy() == pytest.approx(np.log(2), abs=0.02)
    counts = table.groupby([c for c in table if c not in ("value", "a", "b")], dropna=False).size()
    assert (counts == 1).all()
    figure, data = exhibit.f11(table)
    assert "From zero weights" in finding(figure) and isinstance(data, pd.DataFrame)
    assert all(f"with {share} % of the class" in finding(figure) for share in (10, 50))
