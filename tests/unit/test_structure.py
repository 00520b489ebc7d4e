"""Dimensions of clouds whose dimension is known, neighbours by hand, networks that memorise."""

import numpy as np
import pytest
import torch

from finicky.engine import train
from finicky.exhibits import structure as exhibit
from finicky.exhibits import style
from finicky.experiments import structure, tidy

from .engine_fixtures import TinyDataset, make_run, training_process
from .sentences import finding


def test_images_are_counted():
    found = {row["quantity"]: row["value"] for row in structure.counted()}
    assert found["image_exponent"] == pytest.approx(196.608 * np.log10(256), rel=1e-12)
    assert found["exponent_as_printed"] == 1


def test_pixels_are_averaged():
    images = np.array([[0, 255], [51, 255]], np.uint8)
    found = {row["quantity"]: row["value"] for row in structure.averaged([images, 0, images[:1]])}
    assert found["pixel_mean"] == pytest.approx(0.55)
    assert found["pixel_deviation"] == pytest.approx(np.std([0, 1, 0.2, 1]))
    assert found["test_pixel_mean"] == found["test_pixel_deviation"] == 0.5
    assert found["mean_as_printed"] == found["deviation_as_printed"] == 0


@pytest.mark.parametrize(
    "value, printed, digits, same",
    [(473.49, 473, 0, 1), (473.51, 473, 0, 0), (0.13066, 0.1307, 4, 1), (0.13064, 0.1307, 4, 0)],
)
def test_a_printed_number_is_off_by_half_of_its_last_digit(value, printed, digits, same):
    assert structure.as_printed(value, printed, digits) == same


@pytest.mark.parametrize("dimension", [2, 5])
def test_the_dimension_of_a_curved_cloud(dimension):
    """Points on a surface of this dimension, bent through 30 dimensions, some of them twice."""
    random = np.random.default_rng(dimension)
    flat = random.uniform(size=(1000, dimension))
    x = np.cos(flat @ random.normal(size=(dimension, 30)))
    x = np.concatenate([x, x[:20]])
    found = structure.two_neighbours(structure.between(x))
    assert found == pytest.approx(dimension, rel=0.12)


def test_principal_components_of_a_known_cloud():
    random = np.random.default_rng(0)
    x = random.normal(size=(5000, 10)) * np.sqrt([50, 30, 16, *[4 / 7] * 7])
    assert structure.components(x @ np.linalg.qr(random.normal(size=(10, 10)))[0]) == 3


def test_noise_of_equal_covariance():
    random = np.random.default_rng(0)
    x = random.uniform(size=(4000, 3)) @ random.normal(size=(3, 4)) + 5
    noise = structure.alike(x, random)
    assert noise.mean(0) == pytest.approx(x.mean(0), abs=0.05)
    np.testing.assert_allclose(np.cov(noise.T), np.cov(x.T), atol=0.05)
    assert np.linalg.eigvalsh(np.cov(noise.T))[0] == pytest.approx(0, abs=1e-6)


def test_neighbours_are_asked_for_their_labels():
    """Five points on a line, labels 0 0 1 0 1."""
    labels = np.array([0, 0, 1, 0, 1])
    distances = structure.between(np.array([[0.0], [1], [2.5], [4.5], [7.5]]))
    rows = list(structure.agreeing(distances, labels, 2))
    agree = {r["label"]: r["value"] for r in rows if r["quantity"] == "neighbours_agree"}
    assert agree[0] == pytest.approx(200 / 3) and agree[1] == 0
    ranked = {r.get("rank"): r["value"] for r in rows if r["quantity"] == "same_label"}
    assert ranked == {1: 100, 2: 0, 3: 100, None: pytest.approx(52)}


@pytest.fixture
def dataset():
    with training_process():
        yield TinyDataset()


def arrays_of(dataset):
    splits = (dataset.train, dataset.test)
    return [array.numpy() for split in splits for array in (split.images, split.labels)]


def test_each_run_memorises_its_own_images(dataset):
    """Random labels are known by heart, and only there."""
    runs = [
        make_run(images=50, epochs=300, optimizer="adam", learning_rate=0.001, seed=seed)
        for seed in (0, 1)
    ]
    splits = [structure.splits_of(arrays_of(dataset), "random labels", run) for run in runs]
    assert not torch.equal(splits[0][0].labels, splits[1][0].labels)
    found = list(structure.trained(runs, splits, dataset))
    assert len(found) == 2 and {outcome for outcome, _ in found} == {"finite"}
    assert all(scores["train_accuracy"] == 100 for _, scores in found)
    assert all(scores["test_accuracy"] < 40 for _, scores in found)


def test_training_stops_when_all_know_their_images(dataset, monkeypatch):
    epochs = []
    real = train.train_epoch
    monkeypatch.setattr(train, "train_epoch", lambda b, h, e: epochs.append(e) or real(b, h, e))
    runs = [make_run(images=20, epochs=300, optimizer="adam", learning_rate=0.01)]
    splits = [structure.splits_of(arrays_of(dataset), "true labels", run) for run in runs]
    ((_, scores),) = structure.trained(runs, splits, dataset)
    assert scores["train_accuracy"] == 100 and len(epochs) < 100


def test_a_run_that_breaks_scores_chance(dataset):
    runs = [
        make_run(images=50, optimizer="sgd", learning_rate=rate, seed=seed)
        for seed, rate in enumerate((1e30, 0.01))
    ]
    splits = [structure.splits_of(arrays_of(dataset), "true labels", run) for run in runs]
    (outcome, scores), (fine, good) = structure.trained(runs, splits, dataset)
    assert outcome in ("inf", "nan") and set(scores.values()) == {10}
    assert fine == "finite" and good["train_accuracy"] > 10


def test_tasks(dataset):
    run = make_run(images=50)
    known, test = structure.splits_of(arrays_of(dataset), "noise images", run)
    assert known.images.float().mean() == pytest.approx(127.5, abs=2)
    assert len(set(known.labels.tolist())) > 5 and len(test.labels) == 60
    known, test = structure.splits_of(arrays_of(dataset), "true labels", run)
    assert torch.equal(test.labels, dataset.test.labels)


def test_a_smoke_run_draws(dataset, monkeypatch):
    monkeypatch.setattr(structure.data, "load", lambda name, folder: arrays_of(dataset))
    monkeypatch.setattr(train, "Dataset", lambda *_: dataset)
    settings = {"images": [60, 120], "asked": 20, "learnt": [40], "width": [8], "epochs": 2,
                "seeds": [0, 1], "data": "nowhere", "device": "cpu"}  # fmt: skip
    table = structure.measure(settings, {})
    tidy.check(table, structure)
    assert set(table["quantity"]) == set(structure.QUANTITIES)
    once = table["quantity"].str.contains("exponent|pixel|printed")  # nothing about them is random
    assert set(table.loc[once, "seed"]) == {0} and set(table["seed"]) == {0, 1}
    with style.context():
        fig, behind = exhibit.f10(table)
    assert "noise of the same covariance" in finding(fig)
    assert set(behind["task"].dropna()) == set(structure.TASKS)


def test_the_smallest_settings_draw(dataset, monkeypatch):
    monkeypatch.setattr(structure.data, "load", lambda name, folder: arrays_of(dataset))
    monkeypatch.setattr(train, "Dataset", lambda *_: dataset)
    settings = {"images": [20], "asked": 1, "learnt": [1], "width": [1], "epochs": 1,
                "seeds": [0], "data": "nowhere", "device": "cpu"}  # fmt: skip
    table = structure.measure(settings, {})
    tidy.check(table, structure)
    with style.context():
        assert finding(exhibit.f10(table)[0])
