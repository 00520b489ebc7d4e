"""Five traps: what is changed in each arm, swings and modes by hand, and ways to a NaN."""

import math

import pandas as pd
import pytest
import torch
from torch import nn

from finicky.engine import train
from finicky.exhibits import traps as exhibit
from finicky.experiments import nan_losses, stacked
from finicky.experiments import traps as experiment

from .engine_fixtures import TinyDataset, make_run
from .measurements import assert_whole
from .sentences import finding

SETTINGS = {
    "datasets": ["mnist"], "depth": [2], "width": 16, "images": 150, "epochs": 1,
    "rates": {"sgd": [0.1], "adam": [0.001]}, "looks": 2, "dropout": [0.5], "batch_sizes": [8],
    "steps_after_nan": 3, "seeds": [0, 1], "data": "nowhere", "device": "cpu",
}  # fmt: skip


pytestmark = pytest.mark.usefixtures("process")


@pytest.fixture
def dataset():
    return TinyDataset()


# ---- Inputs, orders, swings ---------------------------------------------------------------------


def test_raw_inputs_are_the_pixels(dataset):
    pixels = dataset.train.images[:3]
    raw = experiment.rescaled(dataset, experiment.SCALES["0 to 255"]).normalise(pixels)
    unit = experiment.rescaled(dataset, experiment.SCALES["0 to 1"]).normalise(pixels)
    torch.testing.assert_close(raw, pixels.float())
    torch.testing.assert_close(unit, pixels / 255)
    assert dataset.normalise(pixels).min() < 0  # the data set itself is as it was


def ordered(dataset, order):
    runs = [make_run(images=150, batch_size=64, seed=seed) for seed in (0, 1)]
    batch = experiment.Ordered(runs, dataset, order)
    return [torch.cat([index for index, _ in batch.batches(epoch)], 1) for epoch in (1, 2)]


def test_sorted_images_come_class_by_class(dataset):
    for epoch in ordered(dataset, "sorted"):
        labels = dataset.train.labels[epoch]
        assert (labels.diff() >= 0).all()
        assert torch.equal(epoch.sort(1).values, torch.arange(150).expand(2, -1))


def test_shuffled_is_the_engines_order_and_once_is_its_first(dataset):
    shuffled, once = ordered(dataset, "shuffled"), ordered(dataset, "once")
    usual = train.FusedBatch([make_run(batch_size=64)], dataset).batches(2)
    assert torch.equal(shuffled[1][0], torch.cat([index for index, _ in usual], 1)[0])
    assert torch.equal(once[0], shuffled[0]) and torch.equal(once[1], once[0])
    assert not torch.equal(shuffled[0], shuffled[1])


def test_targets_belong_to_the_images(dataset):
    batch = experiment.Ordered([make_run(batch_size=64)], dataset, "sorted")
    for index, targets in batch.batches(1):
        assert torch.equal(dataset.train.labels[index[0]], targets[0, 0])


def test_the_swing_is_highest_minus_lowest_of_a_class(dataset, monkeypatch):
    seen = iter([[[0.0, 50.0]], [[100.0, 40.0]], [[30.0, 60.0]]])
    monkeypatch.setattr(experiment, "by_class", lambda *arguments: torch.tensor(next(seen)))
    batch = experiment.Ordered([make_run(images=150, batch_size=50)], dataset, "shuffled")
    assert experiment.swing(batch, epochs=2, looks=3) == [(100 + 20) / 2]
    assert batch.steps == 6


def test_accuracy_by_class(dataset):
    batch = experiment.Ordered([make_run(), make_run(seed=1)], dataset, "shuffled")
    found = experiment.by_class(batch.network, dataset, dataset.test)
    answers = batch.network.predict(dataset.normalise(dataset.test.images)).argmax(1)
    for digit in range(10):
        mine = dataset.test.labels == digit
        share = 100 * (answers[:, mine] == digit).double().mean(1)
        torch.testing.assert_close(found[:, digit], share)


# ---- Modes --------------------------------------------------------------------------------------


def test_dropout_follows_the_activation_and_batch_norm_precedes_it():
    kinds = [type(layer) for layer in experiment.network([0], 3, 8, 0.5)]
    hidden = [stacked.Dense, stacked.Activation, stacked.Dropout]
    assert kinds == [*hidden, *hidden, stacked.Dense]
    kinds = [type(layer) for layer in experiment.network([0], 2, 8)]
    assert kinds == [stacked.Dense, stacked.Normalisation, stacked.Activation, stacked.Dense]


def test_training_mode_is_that_of_pytorch(dataset):
    """Answers to batches of given images, against torch.nn's batch norm with the same weights."""
    made = experiment.network([0], 2, 16)
    (row, _), _ = _rows(made, dataset, [(8, "sorted by class")])
    dense, norm, _, last = made
    twin = nn.Sequential(
        nn.Linear(784, 16), nn.BatchNorm1d(16, momentum=0.0), nn.ReLU(), nn.Linear(16, 10)
    )
    with torch.no_grad():
        twin[0].weight.copy_(dense.weight[0].T), twin[0].bias.copy_(dense.bias[0, 0])
        twin[1].weight.copy_(norm.gain[0]), twin[1].bias.copy_(norm.offset[0])
        twin[3].weight.copy_(last.weight[0].T), twin[3].bias.copy_(last.bias[0, 0])
    test = dataset.test
    order = test.labels.argsort(stable=True)
    right = []
    for some in order.split(8):
        answers = twin(dataset.normalise(test.images[some])).argmax(1)
        right.append(answers == test.labels[some])
    in_training = 100 * torch.cat(right).double().mean().item()
    assert row["value"] == pytest.approx(row["usual"] - in_training)


def _rows(made, dataset, ways):
    """The rows of accuracy lost, with the accuracy in evaluation mode, and of answers changed."""
    lost, changed = [], []
    for row in experiment.asked(made, dataset, SETTINGS | {"seeds": [0]}, ways):
        (lost if row["quantity"] == "accuracy_lost" else changed).append(row)
    # training ended before the questions; the averages have moved since, which the first did not
    images, labels = dataset.test.images, dataset.test.labels
    made.eval()
    made[1].running_mean.copy_(STATISTICS["mean"]), made[1].running_var.copy_(STATISTICS["var"])
    answers = stacked.predict(made, dataset.normalise(images)).argmax(2)[:, 0]
    lost[0]["usual"] = 100 * (answers == labels).double().mean().item()
    return (lost[0], changed[0]), made


STATISTICS = {}


@pytest.fixture(autouse=True)
def remember_statistics(monkeypatch):
    """The running averages at the end of a training."""
    trained = stacked.train

    def train_and_remember(network, *arguments):
        trained(network, *arguments)
        if isinstance(network[1], stacked.Normalisation):
            STATISTICS["mean"] = network[1].running_mean.clone()
            STATISTICS["var"] = network[1].running_var.clone()
        return network

    monkeypatch.setattr(stacked, "train", train_and_remember)


# ---- NaN ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("name", nan_losses.CAUSES)
def test_every_cause_makes_the_loss_nan_and_what_follows(name, optimizer):
    cause = nan_losses.CAUSES[name]
    broke, losses = nan_losses.losses_after(cause, optimizer, seed=0, steps=10)
    assert broke
    if name == "log 0, gradient p − y":
        assert all(map(math.isfinite, losses))
    else:
        assert all(map(math.isnan, losses))
    _, skipping = nan_losses.losses_after(cause, optimizer, seed=0, steps=10, skips=True)
    if name != "rate too high":
        assert all(map(math.isfinite, skipping))


def test_before_the_cause_the_network_learns():
    cause = nan_losses.Cause()
    broke, losses = nan_losses.losses_after(cause, "sgd", seed=0, steps=10)
    assert not broke and max(losses) < 0.6
    rows = nan_losses.measured([0], 3)
    assert {row["quantity"] for row in rows} == {"never_recovers", "recovers_if_skipped"}


def test_the_gradient_by_hand_is_autograds():
    z = torch.randn(6, 1, requires_grad=True)
    y = torch.tensor([[0.0], [1], [1], [0], [1], [0]])
    nan_losses.backward_by_hand(z, y)
    (expected,) = torch.autograd.grad(nan_losses.from_probabilities(z, y), z)
    torch.testing.assert_close(z.grad, expected)
    torch.testing.assert_close(nan_losses.from_logits(z, y), nan_losses.from_probabilities(z, y))


# ---- All of it ----------------------------------------------------------------------------------


def test_a_small_measurement_is_tidy_and_shown(dataset, monkeypatch):
    monkeypatch.setattr(train, "Dataset", lambda *arguments: dataset)
    monkeypatch.setattr(experiment, "ASKED", 60)
    table = experiment.measure(SETTINGS, {})
    assert_whole(table, experiment)
    raw = table[(table["quantity"] == "scaled_minus_raw") & (table["optimizer"] == "sgd")]
    assert (raw["a"] - raw["b"] == raw["value"]).all()
    figure, behind = exhibit.f34(table)
    assert isinstance(behind, pd.DataFrame) and "sorted by class: " in finding(figure)
    assert set(exhibit.FIGURES) == {"F34"}
