"""Deep linear networks: the collapse fails if a step of it is wrong, the single layer trains as
PyTorch's, and rates are chosen by the other seeds."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from finicky.engine import streams
from finicky.engine.initializers import initial_weights
from finicky.experiments import linearity, tidy

from .engine_fixtures import OPTIMIZERS, TinyDataset, make_run

pytestmark = pytest.mark.usefixtures("process")


@pytest.fixture
def network():
    """Four layers of one width, so that every wrong order of the products has the right shape."""
    random = np.random.default_rng(0)
    weights = [random.standard_normal((5, 5)) for _ in range(4)]
    return weights, [random.standard_normal(5) for _ in range(4)], random.standard_normal((3, 5))


def test_a_linear_network_collapses(network):
    assert linearity.collapse_error(*network) < 1e-13


@pytest.mark.parametrize(
    "wrong",
    [
        lambda weights, biases: (np.linalg.multi_dot(weights), linearity_bias(weights, biases)),
        lambda weights, biases: (np.linalg.multi_dot(weights[::-1]), sum(biases)),
        lambda weights, biases: (
            np.linalg.multi_dot(weights[::-1]),
            -linearity_bias(weights, biases),
        ),
    ],
)
def test_a_wrong_collapse_is_seen(network, wrong, monkeypatch):
    """The order of the products turned round, biases that no layer maps, a changed sign."""
    monkeypatch.setattr(linearity, "collapse", wrong)
    assert linearity.collapse_error(*network) > 0.1


def linearity_bias(weights, biases):
    """The right bias, by Horner's rule from the other side."""
    shift = np.zeros(5)
    for weight, bias in zip(weights, biases, strict=True):
        shift = weight @ shift + bias
    return shift


def test_an_activation_is_no_linear_map(network, monkeypatch):
    weights, biases, x = network
    bent = [weights[0], *weights[1:]]
    h = np.maximum(x @ bent[0].T + biases[0], 0)  # one ReLU after the first layer
    for weight, bias in zip(bent[1:], biases[1:], strict=True):
        h = h @ weight.T + bias
    whole, shift = linearity.collapse(weights, biases)
    assert linearity.identities.relative_error(h, x @ whole.T + shift) > 0.1


def test_the_identities_hold_for_random_networks():
    found = dict(linearity.algebra(np.random.default_rng(3), 3, 20))
    assert set(found) == {"one_linear_map", "one_affine_map", "engine_is_affine"}
    assert max(found.values()) < 1e-10


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_the_single_layer_trains_as_in_pytorch(optimizer):
    dataset = TinyDataset(images=150)
    runs = [
        make_run(
            depth=1, activation="identity", init="lecun", optimizer=optimizer,
            learning_rate=rate, seed=seed,
        )
        for seed, rate in ((0, 0.001), (1, 0.003))
    ]  # fmt: skip
    ours = linearity.softmax_regression(runs, dataset)
    x = dataset.normalise(dataset.train.images)
    for run, mine in zip(runs, ours, strict=True):
        layer = nn.Linear(784, 10)
        nn.init.zeros_(layer.bias)
        layer.weight.data = initial_weights("lecun", run.seed, 0, 784, 10).T.contiguous()
        theirs = OPTIMIZERS[optimizer](layer.parameters(), run.learning_rate)
        for epoch in (1, 2):
            order = streams.permutation(150, run.seed, "order", epoch)
            for index in order.split(run.batch_size):
                theirs.zero_grad()
                nn.functional.cross_entropy(layer(x[index]), dataset.train.labels[index]).backward()
                theirs.step()
        assert mine[-1].abs().max() > 1e-4
        torch.testing.assert_close(mine[:-1], layer.weight.T, rtol=1e-3, atol=1e-5)
        torch.testing.assert_close(mine[-1], layer.bias, rtol=1e-3, atol=1e-5)


def test_single_layers_are_scored():
    """A layer that gives every image the label 0, and one that is NaN."""
    dataset, layers = TinyDataset(), torch.zeros(2, 785, 10)
    layers[0, -1, 0] = 1
    layers[1] = torch.nan
    good, bad = linearity.single_layer_rows([make_run(), make_run(seed=1)], dataset, layers)
    share = 100 * float((dataset.test.labels == 0).float().mean())
    assert good["test_accuracy"] == pytest.approx(share) and good["outcome"] == 0
    assert bad["test_accuracy"] == 10 and bad["outcome"] == 3


def runs_of(depth, activation, rate, accuracies, validation):
    """One run per seed with these test accuracies, and one validation accuracy for all."""
    return [
        make_run(depth=depth, activation=activation, init=linearity.STARTS[activation],
                 learning_rate=rate, seed=seed).row()
        | {"validation_accuracy": validation, "test_accuracy": accuracy, "outcome": 0}
        for seed, accuracy in enumerate(accuracies)
    ]  # fmt: skip


def test_each_depth_is_compared_at_its_own_rate(monkeypatch):
    rows = [
        *runs_of(1, "identity", 0.1, [90, 91], 90), *runs_of(1, "identity", 0.01, [50, 50], 50),
        *runs_of(2, "identity", 0.1, [40, 40], 40), *runs_of(2, "identity", 0.01, [88, 90], 88),
        *runs_of(2, "relu", 0.1, [97, 97], 95), *runs_of(2, "relu", 0.01, [60, 60], 60),
    ]  # fmt: skip
    monkeypatch.setattr(linearity, "train", lambda settings: pd.DataFrame(rows))
    settings = {"seeds": [0, 1], "trials": 1, "rates": {"sgd": [0.001, 0.01, 0.1]}}
    table = linearity.measure(settings, {}).set_index("quantity")
    deeper = table.loc["deeper_minus_one_layer"]
    assert deeper["value"].tolist() == [-2, -1] and deeper["a"].tolist() == [88, 90]
    assert deeper["tuned_rate"].eq(0.01).all() and not deeper["edge"].any()
    relu = table.loc["relu_minus_identity"]
    assert relu["value"].tolist() == [9, 7] and relu["edge"].all()
    assert table.loc["test_accuracy", "value"].tolist() == [90, 91, 88, 90, 97, 97]


def test_the_smallest_settings_make_a_whole_table(monkeypatch):
    monkeypatch.setattr(linearity.training, "prepared", lambda *_: TinyDataset())
    settings = {
        "seeds": [0, 1], "trials": 1, "images": 150, "epochs": 1, "depth": [1, 2],
        "rates": {"sgd": [0.01], "adam": [0.001, 0.003]}, "data": None, "device": "cpu",
    }  # fmt: skip
    table = linearity.measure(settings, {})
    tidy.check(table, linearity)
    trained = table[table["quantity"] == "test_accuracy"]
    cells = {(r.optimizer, r.activation, r.depth, r.seed) for r in trained.itertuples()}
    assert cells == {
        (optimizer, *cell, seed)
        for optimizer in ("sgd", "adam")
        for cell in (("identity", 1), ("identity", 2), ("relu", 2))
        for seed in (0, 1)
    }
    assert trained["value"].between(0, 100).all()
    assert set(table["quantity"]) == set(linearity.QUANTITIES)
