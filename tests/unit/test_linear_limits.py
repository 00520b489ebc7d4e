"""Linear models and their rivals on moved and permuted images: features as scikit-image makes them,
networks as torch.nn has them, comparisons by hand."""

import numpy as np
import pandas as pd
import pytest
import torch
from skimage.feature import hog
from torch import nn

from finicky.engine import train as engine
from finicky.engine.network import Architecture, Network
from finicky.exhibits import linear_limits as exhibit
from finicky.experiments import linear_limits, tidy

from .engine_fixtures import PlainNetwork, TinyDataset, make_run
from .sentences import finding

SETTINGS = {
    "datasets": ["mnist"], "pool": 150, "shift": 2, "images": [50, 100], "steps": [2, 4],
    "permuted_images": [100], "seeds": [0, 1], "data": "nowhere", "device": "cpu",
}  # fmt: skip


pytestmark = pytest.mark.usefixtures("process")


@pytest.mark.parametrize(
    "change", [lambda x: x, lambda x: x * (x > 0.7), lambda x: np.round(x), lambda x: 0 * x]
)
def test_histograms_are_scikit_image_s(change):
    images = change(np.random.default_rng(0).random((5, 28, 28))).astype(np.float32)
    theirs = [hog(image, orientations=9, pixels_per_cell=(7, 7), cells_per_block=(2, 2))
              for image in images]  # fmt: skip
    np.testing.assert_allclose(linear_limits.hog(images), theirs, atol=1e-6)


def test_every_image_moves_by_itself():
    images = torch.zeros(2000, 784, dtype=torch.uint8)
    images[:, 14 * 28 + 10] = 7
    moved = linear_limits.moved(images, "train", 2)
    image, row, column = moved.view(-1, 28, 28).nonzero().T
    assert image.tolist() == list(range(2000)) and (moved.sum(1) == 7).all()
    places = set(zip(row.tolist(), column.tolist(), strict=True))
    assert places == {(r, c) for r in range(12, 17) for c in range(8, 13)}
    assert (linear_limits.moved(images, "train", 0) == images).all()


def test_what_leaves_does_not_come_back():
    images = torch.zeros(500, 784, dtype=torch.uint8)
    images[:, 0] = 1
    moved = linear_limits.moved(images, "test", 3)
    assert set(moved.sum(1).tolist()) == {0, 1}
    assert moved.view(-1, 28, 28)[:, 4:, 4:].sum() == 0


def test_one_permutation_serves_all_splits():
    images = torch.arange(784).expand(2, -1)
    train, test = (linear_limits.permuted(images, split) for split in ("train", "test"))
    assert (train == test).all() and (train[0] == train[1]).all()
    assert sorted(train[0].tolist()) == list(range(784)) and (train[0] != images[0]).any()


def test_a_permutation_is_nothing_to_a_network_of_one_hidden_layer():
    """With its first weights permuted alike, training goes through the same losses."""
    natural = TinyDataset()
    mixed = linear_limits.placed(natural, linear_limits.permuted)
    order = linear_limits.permuted(torch.arange(784)[None], "train")[0]
    losses = {}
    for name, dataset in (("natural", natural), ("mixed", mixed), ("other", mixed)):
        batch = engine.FusedBatch([make_run(optimizer="adam")], dataset, dtype=torch.float64)
        if name == "mixed":
            first = batch.network.parameters.weights[0]
            first.copy_(first[:, order].clone())
        for index in torch.arange(128).view(4, 1, 32):
            with torch.no_grad():
                batch.step(index, dataset.train.labels[index].unsqueeze(1))
        losses[name] = [loss for _, loss in enumerate(batch.take_losses()[0][0])]
    assert losses["mixed"] == pytest.approx(losses["natural"], rel=1e-9)
    assert losses["other"] != pytest.approx(losses["natural"], rel=1e-3)


def test_more_images_include_the_fewer():
    few, many = (linear_limits.drawn(100, 5, count).tolist() for count in (10, 50))
    assert many[:10] == few and len(set(many)) == 50
    assert linear_limits.drawn(100, 6, 10).tolist() != few


def two_runs(images=100):
    levels = linear_limits.LEVELS | {"images": images, "width": 128}
    return [make_run(seed=seed, **levels) for seed in (0, 1)]


def test_batches_go_through_the_drawn_images_each_epoch():
    recipe = linear_limits.recipe(150, two_runs(), 4)
    assert recipe.steps == 4
    assert [recipe.schedule(step, 4) for step in range(4)] == [1, 0.75, 0.5, 0.25]
    subset = set(linear_limits.drawn(150, 1, 100).tolist())
    for epoch in (1, 2):
        assert set(torch.cat(list(recipe.batches(epoch)), 1)[1].tolist()) == subset


def test_the_network_of_two_layers_goes_through_the_same_batches_at_the_same_rates():
    """The textbook's loop, which ends in the midst of an epoch."""
    dataset, runs = TinyDataset(), two_runs()
    rows = linear_limits.mlp(dataset, runs, 5, {"accuracy": dataset.test})
    assert [row["seed"] for row in rows] == [0, 1]
    for place, row in enumerate(rows):
        shape = Architecture(2, "plain", "relu", 128)
        network = PlainNetwork(Network.initial(shape, [("he", place)]))
        optimizer = torch.optim.Adam(network.parameters(), lr=linear_limits.RATE)
        recipe = linear_limits.recipe(150, runs, 5)
        order = [index for epoch in (1, 2, 3) for index in recipe.batches(epoch)]
        for step, index in enumerate(order[:5]):
            optimizer.param_groups[0]["lr"] = recipe.schedule(step, 5) * linear_limits.RATE
            pixels = dataset.train.images[index[place]].float() / 255
            logits = network((pixels - dataset.mean) / dataset.deviation)
            optimizer.zero_grad()
            nn.functional.cross_entropy(logits, dataset.train.labels[index[place]]).backward()
            optimizer.step()
        x = torch.from_numpy(linear_limits.as_floats(dataset, dataset.test.images))
        answers = network(x).argmax(1)
        expected = 100 * (answers == dataset.test.labels).double().mean().item()
        assert row["accuracy"] == pytest.approx(expected) and row["outcome"] == "finite"


def test_a_network_that_breaks_scores_chance():
    rows = linear_limits.rows_of(two_runs(), [True, False], {"accuracy": [90.0, 80.0]})
    assert [row["accuracy"] for row in rows] == [90, 10]
    assert [row["outcome"] for row in rows] == ["finite", "nan"]


@pytest.mark.parametrize("train", [linear_limits.mlp, linear_limits.convolution])
def test_more_steps_learn_more(train):
    dataset = TinyDataset()
    tests = {"accuracy": dataset.test}
    few, many = (train(dataset, two_runs(), steps, tests) for steps in (1, 30))
    assert all(a["accuracy"] + 20 < b["accuracy"] for a, b in zip(few, many, strict=True))


def test_where_a_lead_begins():
    def at(lead):
        ahead = pd.DataFrame({"images": [100, 1000, 10000], "value": lead})
        found = linear_limits.crossings(ahead.assign(dataset="mnist", placement="moved", seed=0))
        return found["value"].item()

    assert at([-1, -1, 3]) == pytest.approx(1000 * 10**0.25)
    assert at([2, -1, 1]) == pytest.approx(1000 * 10**0.5)  # a lead that was lost does not count
    assert at([1, 2, 3]) == 100 and at([-1, 2, 0]) == 10000


def test_comparisons_by_hand():
    accuracies = {
        "centred": {"linear": 80, "HOG + linear": 90, "MLP": 85, "convolution": 92},
        "moved": {"linear": 40, "HOG + linear": 75, "MLP": 60, "convolution": 80},
        "permuted": {"convolution": 70},
    }
    scored = pd.DataFrame(
        [
            {"dataset": "mnist", "placement": placement, "images": 100, "seed": 0, "model": model,
             "accuracy": accuracy, "accuracy_elsewhere": np.nan,
             "outcome": "nan" if (placement, model) == ("moved", "MLP") else "finite"}
            for placement, models in accuracies.items()
            for model, accuracy in models.items()
        ]
    )  # fmt: skip
    table = linear_limits.comparisons(scored)

    def value(quantity, **where):
        rows = table[table["quantity"] == quantity]
        for column, level in where.items():
            rows = rows[rows[column] == level]
        return rows["value"].item()

    assert value("linear_loses_by_moving") == 40
    assert value("learned_loses_by_moving", model="MLP") == 25
    assert value("learned_minus_linear", model="convolution", placement="moved") == 40
    assert value("linear_minus_learned", model="MLP", placement="centred") == -5
    assert value("learned_minus_features", model="MLP", placement="moved") == -15
    assert value("features_minus_linear", placement="moved") == 35
    assert value("features_beyond_half_way", placement="moved") == 15
    assert value("gain_of_convolution", placement="moved") == 20
    assert value("gain_of_convolution", placement="permuted") == -15
    assert value("gain_lost_by_permutation") == 22
    assert value("loss_when_permuted") == 15
    assert value("gain_added_by_moving") == 13
    failed = table[(table["quantity"] == "gain_of_convolution") & (table["outcome"] == "nan")]
    assert failed["placement"].tolist() == ["moved"]


def measured(monkeypatch, **settings):
    dataset = TinyDataset()
    monkeypatch.setattr(engine, "Dataset", lambda *_: dataset)
    return linear_limits.measure(SETTINGS | settings, {})


def test_a_small_measurement_is_tidy_and_drawn(monkeypatch):
    table = measured(monkeypatch)
    tidy.check(table, linear_limits)
    assert set(table["quantity"]) == set(linear_limits.QUANTITIES)
    assert table.groupby("quantity").size()["accuracy"] == 2 * (2 * 2 * 4 + 1)
    fig, behind = exhibit.f35(table)
    assert "trained on 100 images" in finding(fig)
    assert set(behind["quantity"]) == {"accuracy", "gain_of_convolution"}
    assert set(exhibit.FIGURES) == {"F35"}


def test_pixels_need_not_be_permuted_for_the_most_images(monkeypatch):
    table = measured(monkeypatch, permuted_images=[50], seeds=[0], datasets=["fashion_mnist"])
    tidy.check(table, linear_limits)
    fig, _ = exhibit.f35(table)
    assert "trained on 100 images" in finding(fig)
