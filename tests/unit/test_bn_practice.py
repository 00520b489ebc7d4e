"""Batch norm in practice: running averages against torch.nn, shares of active units by hand,
comparisons of made-up runs."""

from dataclasses import replace

import pandas as pd
import pytest
import torch
from torch import nn

from finicky.engine import train as engine
from finicky.experiments import bn_practice, normalised, stacked, tidy
from finicky.experiments.bn_practice import AFTER, BEFORE, KEPT, NONE, Arm
from finicky.experiments.normalised import RunningAverages
from finicky.experiments.stacked import Normalisation

from .engine_fixtures import TinyDataset

SETTINGS = {
    "datasets": ["mnist"], "networks": ["fully connected", "convolutional"], "images": 128,
    "epochs": 15, "hidden_layers": 2, "width": 16, "activations": ["relu"],
    "rates": {"adam": [0.001, 0.02]}, "whole_batch": 64, "ghosts": [8], "ghost_epochs": 1,
    "dropout": 0.2, "held_out": 40, "test_images": 60, "seeds": [0, 1], "data": "nowhere",
    "device": "cpu",
}  # fmt: skip


pytestmark = pytest.mark.usefixtures("process")


@pytest.fixture
def dataset(monkeypatch):
    tiny = TinyDataset(images=128)
    monkeypatch.setattr(engine, "Dataset", lambda *_: tiny)
    return normalised.prepared("mnist", SETTINGS, 128)


@pytest.mark.parametrize("places", [(), (3, 3)])
def test_running_averages_are_those_of_torch_nn(places):
    """PyTorch's momentum is one minus the chapter's."""
    layer = Normalisation("batch", 2, 5)
    ours = RunningAverages(layer, KEPT)
    of = nn.BatchNorm2d if places else nn.BatchNorm1d
    theirs = {key: of(10, momentum=1 - kept) for key, kept in KEPT.items()}
    assert theirs["chapter", 0.9].momentum == pytest.approx(0.1)
    assert theirs["PyTorch", 0.9].momentum == pytest.approx(0.9)
    for _ in range(4):
        x = 2 + 3 * torch.randn(7, 2, 5, *places)
        layer(x)
        for norm in theirs.values():
            norm(x.flatten(1, 2))
    layer.eval()(x)  # evaluation changes nothing
    for key, norm in theirs.items():
        torch.testing.assert_close(ours.means[key], norm.running_mean)
        torch.testing.assert_close(ours.variances[key], norm.running_var)
    ours.put(("PyTorch", 0.99))
    torch.testing.assert_close(layer.running_var, theirs["PyTorch", 0.99].running_var)
    torch.testing.assert_close(ours.means["chapter", 0.9], layer_mean(layer, ours))


def layer_mean(layer, ours):
    """The layer's own averages have the chapter's 0.9, which `put` overwrites."""
    ours.put(("chapter", 0.9))
    return layer.running_mean


def test_errors_are_relative_to_deviation_and_variance():
    layer = Normalisation("batch", 2, 3)
    ours, key = RunningAverages(layer, KEPT), ("chapter", 0.9)
    layer.running_mean.fill_(5.0)
    layer.running_var.copy_(torch.tensor([4.0, 4, 4, 9, 9, 9]))
    ours.means[key] = torch.tensor([5.2, 5.2, 5.2, 5, 5, 5])
    ours.variances[key] = torch.tensor([4.0, 4, 4, 10, 8, 10])
    errors = ours.errors(key)
    assert errors["mean"].tolist() == pytest.approx([0.1, 0])
    assert errors["variance"].tolist() == pytest.approx([0, 1 / 9])


@pytest.mark.parametrize("kind", ["fully connected", "convolutional"])
@pytest.mark.parametrize("placement", [BEFORE, AFTER, NONE])
def test_active_units_are_counted_over_all_images(placement, kind, dataset):
    network = Arm(placement).network(kind, [0, 1], SETTINGS)
    normalised.take_statistics(network, dataset)
    found = list(normalised.active(network, dataset))
    assert [layer for layer, _ in found] == [1, 2]
    h = dataset.normalise(dataset.train.images).unsqueeze(1).expand(-1, 2, -1)
    shares = []
    with torch.no_grad():
        for layer in network.eval():
            h = layer(h)
            if isinstance(layer, stacked.Activation):
                shares.append([(h[:, replica] > 0).double().mean().item() for replica in (0, 1)])
    for (_, ours), expected in zip(found, shares, strict=True):
        assert ours == pytest.approx(expected)


def test_at_the_start_half_of_the_units_are_active_before_the_activation(dataset):
    rows = bn_practice.at_start("fully connected", dataset, SETTINGS | {"width": 64})
    before = rows[rows["placement"] == BEFORE]
    assert before["value"].between(0.45, 0.55).all() and len(before) == 2 * 2


@pytest.mark.parametrize("placement, order", [
    (BEFORE, ["Dense", "Normalisation", "Activation"]),
    (AFTER, ["Dense", "Activation", "Normalisation"]),
    (NONE, ["Dense", "Activation"]),
])  # fmt: skip
def test_where_batch_norm_stands(placement, order):
    network = Arm(placement).network("fully connected", [0], SETTINGS)
    assert [type(layer).__name__ for layer in network] == [*order * 2, "Dense"]
    assert (network[0].bias is None) == (placement == BEFORE)


def test_ghosts_share_statistics_within_a_batch():
    network = replace(Arm(BEFORE), ghost=8).network("fully connected", [0], SETTINGS)
    x = torch.randn(24, 1, 16)
    y = network[1](x)
    assert y[:8].mean(0).abs().max() < 1e-6 and y[8:16].mean(0).abs().max() < 1e-6
    torch.testing.assert_close(y[:8], network[1](x[:8]))


def made_up(placement, test, train=100.0, **levels):
    """Five seeds' runs at the chapter's rate and at another, which is better by one point."""
    rows = [
        {"placement": placement, "activation": "relu", "optimizer": "adam", "ghost": 64,
         "dropout": 0.0, "learning_rate": rate, "seed": seed, "test_accuracy": test + better + seed,
         "validation_accuracy": test + better, "train_accuracy": train, "outcome": "finite",
         "inside": [{"quantity": "active", "value": 0.5, "layer": 1, "when": "end"},
                    {"quantity": "running_error", "value": 0.1, "layer": 1, "momentum": 0.9,
                     "convention": "chapter", "statistic": "mean"}]}
        for rate, better in ((0.001, 0), (0.01, 1))
        for seed in range(5)
    ]  # fmt: skip
    return pd.DataFrame(rows).assign(**levels)


def test_only_networks_at_zero_error_are_compared(monkeypatch):
    ends = {BEFORE: made_up(BEFORE, 90), AFTER: made_up(AFTER, 80), NONE: made_up(NONE, 85)}
    ends[AFTER].loc[ends[AFTER]["seed"] == 3, "train_accuracy"] = 99.0
    monkeypatch.setattr(bn_practice, "trained", lambda arm, *_, **__: ends[arm.placement])
    rows = pd.concat(bn_practice.places("fully connected", "adam", None, SETTINGS))
    gains = rows[rows["quantity"] == "with_minus_without"]
    before, after = (gains[gains["placement"] == place] for place in (BEFORE, AFTER))
    assert (before["value"] == 5).all() and set(before["rate"]) == {"chapter"}  # the same twice
    assert (after["value"] == -5).all() and set(after["seed"]) == {0, 1, 2, 4}
    zero = rows[(rows["quantity"] == "zero_error") & (rows["placement"] == AFTER)]
    assert zero[zero["seed"] == 3]["value"].tolist() == [0, 0] and zero["value"].sum() == 8
    order = rows[rows["quantity"] == "before_minus_after"]
    assert (order["value"] == 10).all() and (order["a"] - order["b"] == 10).all()
    errors = rows[rows["quantity"] == "running_error"]
    assert set(errors["placement"]) == {BEFORE} and len(errors) == 5


def test_noise_and_dropout_are_compared_with_the_whole_batch(monkeypatch):
    def trained(arm, *_):
        test = {8: 92, None: 90}[arm.ghost] + (3 if arm.dropout else 0)
        train = 95 if arm.ghost else 100
        return made_up(BEFORE, test, train, ghost=arm.ghost or 64, dropout=arm.dropout)

    monkeypatch.setattr(bn_practice, "trained", trained)
    rows = pd.concat(bn_practice.noises("fully connected", "adam", None, SETTINGS))
    of = {quantity: mine for quantity, mine in rows.groupby("quantity")}
    assert (of["ghost_minus_whole"]["value"] == 2).all()
    assert (of["gap_closed_by_ghosts"]["value"] == 7).all()
    assert (of["gain_of_dropout"]["value"] == 3).all()
    assert set(of["ghost_accuracy"]["ghost"]) == {8, 64}


def test_a_small_measurement_is_tidy_and_finds_what_must_be_so(dataset):
    table = bn_practice.measure(SETTINGS, {})
    tidy.check(table, bn_practice)
    assert set(table["quantity"]) == set(bn_practice.QUANTITIES)
    errors = table[table["quantity"] == "running_error"]
    assert len(errors.drop_duplicates(["momentum", "convention", "statistic", "layer"])) == 16
    # the start, mean 0, is remembered after 30 steps at 0.99 and forgotten at 0.01
    means = errors[(errors["statistic"] == "mean") & (errors["rate"] == "chapter")]
    median = means[means["momentum"] == 0.99].groupby("convention")["value"].median()
    assert median["chapter"] > 2 * median["PyTorch"]
    gains = table[table["quantity"] == "population_minus_running"]
    assert (gains["value"] - (gains["a"] - gains["b"])).abs().max() < 1e-9
