"""Copies of a network that are none if a sign is changed, matching that undoes a permutation, and
curves whose ends and gradients are right."""

import numpy as np
import pandas as pd
import pytest
import torch

from finicky.engine import train
from finicky.exhibits import minima as exhibit
from finicky.exhibits import style
from finicky.experiments import identities, minima, tidy

from .engine_fixtures import TinyDataset
from .sentences import finding

SETTINGS = {
    "seeds": [0, 1], "data": "nowhere", "device": "cpu", "images": 100, "test_images": 60,
    "epochs": 2, "learning_rate": 0.01, "widths": [4, 16], "starts": 3, "path_widths": [8, 16],
    "trials": 2,
}  # fmt: skip


pytestmark = pytest.mark.usefixtures("process")


def errors_of(change, activation="tanh"):
    """Relative change of a network's output when its layers are changed."""
    x = torch.randn(9, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    network = minima.random_network(activation, 3, 5, 4)
    before = network.predict(x).numpy().copy()
    changed = change(minima.of_run(network, 0))
    return identities.relative_error(minima.with_layers(network, changed, x), before)


ORDERS = [np.array(order) for order in ([1, 0, 2, 4, 3], [4, 3, 2, 1, 0], [2, 0, 1, 3, 4])]
SIGNS = torch.tensor([[1, -1, 1, 1, -1], [-1, 1, 1, 1, 1], [1, 1, -1, 1, 1]]).double()


def test_permutations_leave_the_function_and_half_a_permutation_does_not():
    assert errors_of(lambda layers: minima.permuted(layers, ORDERS)) < 1e-13
    assert errors_of(lambda layers: [*minima.permuted(layers, ORDERS)[:-1], layers[-1]]) > 0.01


@pytest.mark.parametrize("activation, holds", [("relu", True), ("identity", True), ("tanh", False)])
def test_scaling_leaves_the_function_of_homogeneous_activations(activation, holds):
    error = errors_of(lambda layers: minima.rescaled(layers, 1, 3.0), activation)
    assert error < 1e-13 if holds else error > 0.01
    assert (
        errors_of(lambda layers: minima.rescaled(layers, 1, 3.0, biases=False), activation) > 0.01
    )
    if activation == "relu":  # a changed sign
        assert errors_of(lambda layers: minima.rescaled(layers, 1, -3.0), activation) > 0.01


def test_flips_leave_tanh_and_not_relu():
    assert errors_of(lambda layers: minima.flipped(layers, SIGNS)) < 1e-13
    assert errors_of(lambda layers: minima.flipped(layers, SIGNS), "relu") > 0.01


def test_copies_are_counted():
    rows = list(minima.copies(0, 2))
    found = {
        (r["quantity"], r.get("layers_counted") or r.get("activation")): r["value"] for r in rows
    }
    assert found["count_error", minima.HIDDEN_LAYERS] == 0
    assert found["count_error", minima.ALL_LAYERS] == pytest.approx(5 / 6)
    assert found["tanh_copies", None] == 2**6
    assert found["permuted_error", None] < 1e-10
    scaled = {name for (quantity, name), value in found.items()
              if quantity == "scaled_error" and value < 1e-10}  # fmt: skip
    assert scaled == {"relu", "leaky_relu", "identity"}


def test_matching_undoes_a_permutation():
    layers = minima.of_run(minima.random_network("relu", 3, 5, 4), 0)
    shuffled = minima.permuted(layers, ORDERS)
    orders = minima.match(layers, shuffled, np.random.default_rng(0))
    for found, true in zip(minima.permuted(shuffled, orders), layers, strict=True):
        assert all((mine == theirs).all() for mine, theirs in zip(found, true, strict=True))


def test_bezier():
    a, b = torch.tensor([0.0, 0.0]), torch.tensor([2.0, 0.0])
    middle = torch.tensor([1.0, 1.0])
    assert minima.bezier(a, middle, b, 0).tolist() == [0, 0]
    assert minima.bezier(a, middle, b, 1).tolist() == [2, 0]
    assert minima.bezier(a, middle, b, 0.5).tolist() == [1, 0.5]
    assert minima.bezier(a, (a + b) / 2, b, 0.25).tolist() == [0.5, 0]


def test_a_trained_curve_is_lower_than_the_line():
    dataset = TinyDataset(images=150)
    longer = SETTINGS | {"images": 150, "epochs": 15, "learning_rate": 0.02, "seeds": [0]}
    with torch.no_grad():
        rows = pd.DataFrame(minima.paths(dataset, 32, longer))
    highest = rows[rows["quantity"] == "path_loss"].groupby("path")["value"].max()
    assert highest[minima.CURVE] < highest[minima.STRAIGHT] / 2
    ends = rows[rows["share"].isin([0.0, 1.0])].groupby("share")["value"]
    assert (ends.max() - ends.min() < 1e-5).all()  # all paths join the same functions


def test_where_training_fails_nobody_knows(monkeypatch):
    """Rates that break every network leave rows without numbers, and no figure."""
    monkeypatch.setattr(train, "Dataset", lambda *_: TinyDataset(images=100))
    table = minima.measure(SETTINGS | {"learning_rate": 1e20}, {})
    tidy.check(table, minima)
    paths = table[table["quantity"].isin(["stays_low", "barrier", "accuracy_lost"])]
    assert len(paths) == 3 * 2 * 3 * 2
    assert paths["value"].isna().all() and (paths["outcome"] == "nan").all()
    losses = table[table["quantity"] == "final_train_loss"]
    assert (losses["value"].isna() == losses["outcome"].isin(["inf", "nan"])).all()
    assert losses["value"].isna().any()
    assert exhibit.f06(table) is None


def test_a_pair_with_one_failed_end_leaves_the_others_alone(monkeypatch):
    from finicky.experiments import training

    real, dataset = training.train, TinyDataset(images=100)

    def broken(trainings, *arguments, **options):
        rows = real(trainings, *arguments, **options)
        if options.get("parameters"):
            rows[0]["parameters"] = None
        return rows

    with torch.no_grad():
        whole = pd.DataFrame(minima.paths(dataset, 8, SETTINGS))
        monkeypatch.setattr(training, "train", broken)
        part = pd.DataFrame(minima.paths(dataset, 8, SETTINGS))
    lost = part[part["seed"] == 0]
    assert len(lost) == 9 and lost["value"].isna().all() and set(lost["outcome"]) == {"nan"}
    same = [
        rows[rows["seed"] == 1].drop(columns="outcome", errors="ignore") for rows in (whole, part)
    ]
    pd.testing.assert_frame_equal(*(rows.reset_index(drop=True) for rows in same))


def test_a_spread_of_zero_has_no_logarithm():
    losses = pd.DataFrame(
        [
            {"quantity": "final_test_loss", "seed": 0, "width": width, "value": 1 + spread * sign}
            for width, spread in ((4, 0.4), (8, 0.2), (16, 0.0))
            for sign in (-1, 1)
        ]
    )
    found = {(r["quantity"], r.get("width")): r["value"] for r in minima.spreads(losses)}
    assert found["test_spread_falls", None] == pytest.approx(1) and found["test_spread", 16] == 0


def test_spreads_by_hand():
    losses = pd.DataFrame(
        [
            {"quantity": "final_train_loss", "seed": 0, "width": width, "value": 1 + spread * sign}
            for width, spread in ((4, 0.4), (8, 0.2), (16, 0.1))
            for sign in (-1, 0, 1)
        ]
    )
    found = {(r["quantity"], r.get("width")): r["value"] for r in minima.spreads(losses)}
    assert found["train_spread_falls", None] == pytest.approx(1)
    assert found["relative_spread_falls", None] == pytest.approx(1)
    assert found["train_spread", 8] == pytest.approx(0.2)


def test_a_run_draws(monkeypatch):
    monkeypatch.setattr(train, "Dataset", lambda *_: TinyDataset(images=100))
    table = minima.measure(SETTINGS, {})
    tidy.check(table, minima)
    assert set(table["quantity"]) == set(minima.QUANTITIES)
    assert not table["value"].isna().any()
    assert len(table[table["quantity"] == "final_test_loss"]) == 2 * 2 * 3
    barrier = table[table["quantity"] == "barrier"]["value"]
    low = table[table["quantity"] == "stays_low"]["value"]
    assert (low.to_numpy() == (barrier < minima.LOW)).all() and (barrier >= 0).all()
    with style.context():
        fig, behind = exhibit.f06(table)
    assert "nats on a trained curve" in finding(fig)
    assert {"path_loss", "final_train_loss"} <= set(behind["quantity"])
    assert any("a start, 6 of each width" in text.get_text() for text in fig.texts)
    assert len({ax.get_ylim() for ax in fig.axes[1:]}) == 1
