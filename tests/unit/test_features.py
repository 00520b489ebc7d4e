"""Linear probes: what they are fitted to is what the network computes, and comparisons by hand."""

import numpy as np
import pytest
import torch

from finicky.engine import train as engine
from finicky.exhibits import features as exhibit
from finicky.experiments import features, tidy, training

from .engine_fixtures import PlainNetwork, TinyDataset, make_run
from .sentences import finding

SETTINGS = {
    "datasets": ["mnist", "fashion_mnist"], "depth": [2, 6], "images": 150, "epochs": 1,
    "probe_images": 100, "seeds": [0, 1], "data": "nowhere", "device": "cpu",
}  # fmt: skip


pytestmark = pytest.mark.usefixtures("process")


def test_representations_are_the_layers_outputs(monkeypatch):
    monkeypatch.setattr(features, "CHUNK", 25)
    dataset = TinyDataset()
    runs = [make_run(depth=6, seed=seed) for seed in (0, 1)]
    network = engine.FusedBatch(runs, dataset).network
    for place in (0, 1):
        found = features.representations(network.keep([place]), dataset, dataset.test)
        theirs = PlainNetwork(network, place)
        theirs(features.as_floats(dataset, dataset.test))
        assert len(found) == len(theirs.outputs[:-1]) == 5
        for ours, layer in zip(found, theirs.outputs, strict=False):
            np.testing.assert_allclose(ours, layer.detach().numpy(), rtol=1e-4, atol=1e-5)


def rows_of(depth, **settings):
    dataset = TinyDataset()
    probes = features.Probes(dataset, 100)
    return list(features.of_networks(dataset, "mnist", depth, probes, SETTINGS | settings))


def one(rows, quantity, seed):
    """The values of a quantity of one seed, in order."""
    return [row["value"] for row in rows if (row["quantity"], row["seed"]) == (quantity, seed)]


def test_probed_is_what_the_engine_starts_from_and_trains():
    rows, dataset = rows_of(6, epochs=2), TinyDataset()
    for seed in (0, 1):
        run = make_run(
            depth=6, optimizer="adam", learning_rate=0.001, batch_size=64, width=128, seed=seed
        )
        batch = engine.FusedBatch([run], dataset)
        probes = features.Probes(dataset, 100)
        assert one(rows, "probe_untrained", seed) == probes.scores(batch.network)
        training.to_the_end(batch)
        assert one(rows, "probe", seed) == probes.scores(batch.network)
        (record,) = engine.train([run], dataset)
        assert one(rows, "network", seed) == [record["curves"][-1]["test_accuracy"]]
    assert {row["outcome"] for row in rows if row["quantity"] != "filter"} == {"finite"}
    assert one(rows, "probe", 0) != one(rows, "probe_untrained", 0)


def test_filters_are_those_of_the_first_seed_and_depth():
    filters = [row for row in rows_of(2) if row["quantity"] == "filter"]
    assert len(filters) == 2 * 784 * features.SHOWN and {row["seed"] for row in filters} == {0}
    assert not [row for row in rows_of(6) if row["quantity"] == "filter"]


def test_the_layers_of_a_network_that_became_nan_say_nothing(monkeypatch):
    monkeypatch.setitem(training.DEFAULTS, "learning_rate", 1e38)
    monkeypatch.setitem(training.DEFAULTS, "optimizer", "sgd")
    rows = rows_of(2)
    pixels, hidden = one(rows, "probe", 0)
    assert [pixels, hidden] == [one(rows, "probe_untrained", 0)[0], 10] and pixels > 10
    assert one(rows, "network", 0) == [10]
    assert {row["outcome"] for row in rows} == {"nan"}  # and no filters


def test_a_probe_sees_what_is_linear_and_only_that():
    random = np.random.default_rng(0)
    x = random.standard_normal((600, 4)).astype(np.float32)
    line, cross = (x[:, 0] > 0).astype(int), (x[:, 0] * x[:, 1] > 0).astype(int)
    fit, test = slice(400), slice(400, 600)
    assert features.probe(x[fit], x[test], line[fit], line[test]) > 95
    assert features.probe(x[fit], x[test], cross[fit], cross[test]) < 65
    product = np.c_[x, x[:, :1] * x[:, 1:2]]
    assert features.probe(product[fit], product[test], cross[fit], cross[test]) > 88


def test_scale_and_offset_are_nothing_to_a_probe():
    random = np.random.default_rng(1)
    x = random.standard_normal((300, 5))
    y = (x.sum(1) + random.standard_normal(300) > 0).astype(int)
    one = features.probe(x[:200], x[200:], y[:200], y[200:])
    other = features.probe(1000 * x[:200] + 7, 1000 * x[200:] + 7, y[:200], y[200:])
    assert one == other


def test_a_constant_layer_is_chance():
    x = np.ones((20, 3), np.float32)
    assert features.probe(x, x, np.arange(20) % 10, np.arange(20) % 10) == 10


def test_comparisons_by_hand():
    rows = list(features.comparisons([80.0, 90.0, 97.0, 95.0], [80.0, 85.0, 82.0, 70.0]))

    def values(quantity):
        return [row["value"] for row in rows if row["quantity"] == quantity]

    assert values("probe") == [80, 90, 97, 95] and values("probe_untrained") == [80, 85, 82, 70]
    assert values("better_than_before") == [10, 7, -2]
    assert values("better_than_before_untrained") == [5, -3, -12]
    assert values("better_than_pixels") == [15] and values("last_minus_best") == [-2]
    first = next(row for row in rows if row["quantity"] == "better_than_before")
    assert (first["layer"], first["a"], first["b"]) == (1, 90, 80)


def test_the_smoothest_units_are_shown(monkeypatch):
    monkeypatch.setattr(features, "SHOWN", 1)
    rough = np.where(np.indices((28, 28)).sum(0) % 2, 1.0, -1.0)
    smooth = np.outer(np.sin(np.linspace(0, 3, 28)), np.ones(28)) * 4
    trained = np.stack([rough, smooth, rough]).reshape(3, 784)
    rows = list(features.filter_rows({False: -trained, True: trained}, seed=3))
    assert {row["unit"] for row in rows} == {1} and len(rows) == 2 * 784
    after = [row["value"] for row in rows if row["trained"]]
    assert after == pytest.approx(trained[1], abs=1e-4)


def measured(monkeypatch, **settings):
    monkeypatch.setattr(engine, "Dataset", lambda *_: TinyDataset())
    return features.measure(SETTINGS | settings, {})


def test_a_small_measurement_is_tidy_and_drawn(monkeypatch):
    table = measured(monkeypatch)
    tidy.check(table, features)
    assert set(table["quantity"]) == set(features.QUANTITIES)
    steps = table[table["quantity"] == "better_than_before"]
    assert len(steps) == 2 * 2 * (1 + 5) and (steps["value"] == steps["a"] - steps["b"]).all()
    pixels = table[(table["quantity"] == "probe") & (table["layer"] == 0)]
    assert pixels.groupby("dataset")["value"].nunique().eq(1).all()
    fig, behind = exhibit.f36(table)
    assert "trained networks of 6 layers" in finding(fig)
    assert torch.tensor(behind["median"].to_numpy()).isfinite().all()
    assert set(exhibit.FIGURES) == {"F36"}


def test_without_filters_the_probes_are_drawn(monkeypatch):
    table = measured(monkeypatch, seeds=[0], depth=[2], datasets=["fashion_mnist"])
    tidy.check(table, features)
    fig, _ = exhibit.f36(table[table["quantity"] != "filter"])
    assert "trained networks of 2 layers" in finding(fig)
