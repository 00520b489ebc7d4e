"""Linear probes: what they are fitted to is what the network computes, and comparisons by hand."""

import numpy as np
import pytest
import torch

from finicky.engine import train as engine
from finicky.engine.network import Network
from finicky.experiments import features

from .engine_fixtures import PlainNetwork, TinyDataset, make_run, training_process


@pytest.fixture(autouse=True)
def settings():
    with training_process():
        yield


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


def test_training_is_the_engine_s():
    dataset = TinyDataset()
    runs = [make_run(depth=6, optimizer="adam", learning_rate=0.001, seed=s) for s in (0, 1)]
    batch = engine.FusedBatch(runs, dataset)
    assert features.train(batch) == ["finite", "finite"]
    own = [accuracy for _, accuracy in engine.evaluate(batch.network, dataset, dataset.test)]
    records = engine.train(runs, dataset)
    assert own == [record["curves"][-1]["test_accuracy"] for record in records]
    assert isinstance(batch.network, Network)


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


def test_a_smoke_run_draws(monkeypatch):
    monkeypatch.setattr(engine, "Dataset", lambda name, folder, images: TinyDataset())
    settings = {"datasets": ["mnist", "fashion_mnist"], "depth": [2, 6], "images": 150,
                "epochs": 1, "probe_images": 100, "seeds": [0, 1], "data": "nowhere"}  # fmt: skip
    table = features.measure(settings, {})
    assert set(table["quantity"]) == set(features.QUANTITIES)
    steps = table[table["quantity"] == "better_than_before"]
    assert len(steps) == 2 * 2 * (1 + 5) and (steps["value"] == steps["a"] - steps["b"]).all()
    pixels = table[(table["quantity"] == "probe") & (table["layer"] == 0)]
    assert pixels.groupby("dataset")["value"].nunique().eq(1).all()
    fig, behind = features.draw(table)["F36"]
    assert "networks of 6 layers: MNIST" in fig.get_label()
    assert torch.tensor(behind["median"].to_numpy()).isfinite().all()
