"""Training: fused as alone to the bit, curves as by the textbook's loop, and what is recorded."""

import dataclasses
import json
import math
from hashlib import sha256

import numpy as np
import pytest
import torch
from torch.nn import functional

from finicky import data
from finicky.engine import streams
from finicky.engine import train as engine
from finicky.engine.evaluation import evaluate
from finicky.engine.history import History
from finicky.engine.network import Architecture, Network
from finicky.engine.train import Dataset, FusedBatch, train

from .engine_fixtures import (
    OPTIMIZERS,
    PlainNetwork,
    TinyDataset,
    assert_curves,
    bits,
    make_run,
    train_plainly,
)

METRICS = [
    f"{part}_{what}"
    for part in ("running", "train", "validation", "test")
    for what in ("loss", "accuracy")
]


pytestmark = pytest.mark.usefixtures("process")


@pytest.fixture(scope="module")
def dataset():
    """150 images: at 32 a batch the fifth and last batch has 22."""
    return TinyDataset()


# ---------------------------------------------------------------- fused as alone

# What one fused batch mixes: initialisers (N(0, 1) runs explode in plain deep networks under SGD
# and leave), rates, seeds.
MIXED = [
    ("he", 0.01, 0),
    ("normal_std_1", 0.01, 0),
    ("xavier", 0.001, 1),
    ("zeros", 0.001, 0),
    ("normal_std_1", 0.1, 2),
    ("uniform_fan_in", 0.01, 2),
    ("normal_std_0.001", 0.0001, 3),
    ("lecun", 0.3, 0),
]
SMALL, REAL = {"width": 32, "batch_size": 32}, {"width": 128, "batch_size": 64}


def mixed_runs(**fields):
    return [
        make_run(init=init, learning_rate=rate, seed=seed, **fields) for init, rate, seed in MIXED
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"depth": 2, "block": "plain", "activation": "relu", "optimizer": "adam", **REAL},
        {"depth": 2, "block": "plain", "activation": "relu", "optimizer": "sgd", **REAL},
        {"depth": 10, "block": "plain", "activation": "relu", **REAL, "epochs": 1},
        {"depth": 10, "block": "batch_norm_residual", "activation": "relu", **REAL, "epochs": 1},
        {"depth": 6, "block": "plain", "activation": "sigmoid", "optimizer": "rmsprop", **SMALL},
        {"depth": 6, "block": "batch_norm", "activation": "tanh", "optimizer": "adamw", **SMALL},
        {"depth": 6, "block": "batch_norm", "activation": "relu", "optimizer": "sgd", **SMALL},
        {"depth": 6, "block": "residual", "activation": "selu", **SMALL},
        {
            "depth": 6,
            "block": "plain",
            "activation": "leaky_relu",
            "optimizer": "momentum",
            **SMALL,
        },
        {"depth": 6, "block": "batch_norm_residual", "activation": "identity", **SMALL},
    ],
    ids=lambda fields: "-".join(map(str, fields.values())),
)
def test_bits_do_not_depend_on_fusing(dataset, fields):
    """Whatever R, position, order and neighbours are, whoever leaves the batch meanwhile."""
    runs = mixed_runs(**fields)
    alone = [bits(train([run], dataset)[0]) for run in runs]
    assert len(set(alone)) == len(alone)
    for grouped in (
        [runs],
        [runs[::-1]],
        [runs[:3], runs[3:]],
        [runs[i : i + 2] for i in range(0, 8, 2)],
        [runs[3:] + runs[:3] + runs[:1]],
    ):
        for group in grouped:
            records = train(group, dataset)
            assert [bits(record) for record in records] == [alone[runs.index(r)] for r in group]
            assert [record["fused"] for record in records] == [len(group)] * len(group)


def test_runs_that_become_nan_leave_the_batch(dataset, monkeypatch):
    """In the middle of an epoch, one after another, down to none."""
    sizes = []
    forward = Network.forward

    def watched(network, *args, **options):
        sizes.append(len(network.parameters.flat))
        return forward(network, *args, **options)

    monkeypatch.setattr(Network, "forward", watched)
    monkeypatch.setattr(engine, "CHECK_EVERY", 2)
    runs = mixed_runs(depth=10, **REAL)
    records = train(runs, dataset)
    assert [r["outcome"] == "nan" for r in records] == [r.init == "normal_std_1" for r in runs]
    assert sizes[0] == len(runs) and sizes[-1] == len(runs) - 2

    sizes.clear()
    train([runs[1], runs[4]], dataset)
    assert len(sizes) == 1 + 2, "a probe and the two steps up to the check"


def test_bits_do_not_depend_on_when_losses_are_looked_at(dataset, monkeypatch):
    runs = mixed_runs(depth=10, **REAL)
    expected = list(map(bits, train(runs, dataset)))
    for steps in 1, 2:
        monkeypatch.setattr(engine, "CHECK_EVERY", steps)
        assert list(map(bits, train(runs, dataset))) == expected


@pytest.mark.parametrize("block", ["plain", "batch_norm_residual"])
def test_a_probed_run_keeps_its_bits(dataset, monkeypatch, block):
    runs = mixed_runs(depth=6, block=block)
    probed = train(runs, dataset)
    assert all(record["layers"] for record in probed)
    monkeypatch.setattr(engine, "probe", lambda network, *_: [{}] * len(network.parameters.flat))
    for with_probes, without in zip(probed, train(runs, dataset), strict=True):
        assert without["layers"] == []
        assert bits(with_probes | {"layers": []}) == bits(without)


# ---------------------------------------------------------------- the textbook's loop


@pytest.mark.parametrize("block", ["plain", "batch_norm_residual"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_curves_are_those_of_a_plain_loop(dataset, optimizer, block):
    runs = [
        make_run(
            depth=6, block=block, optimizer=optimizer, init=init, learning_rate=rate, seed=seed
        )
        for init, rate, seed in (("he", 0.01, 0), ("xavier", 0.001, 1))
    ]
    for run, record in zip(runs, train(runs, dataset, dtype=torch.float64), strict=True):
        curves, losses = train_plainly(run, dataset)
        assert record["outcome"] == "finite"
        assert record["start_loss"] == pytest.approx(losses[0], rel=1e-6)
        # Inputs are scaled in another order, by constants that are float32 here.
        assert_curves(record["curves"], curves, rel=1e-5)


def test_curves_in_single_precision(dataset):
    run = make_run(depth=2, optimizer="adam", learning_rate=0.001, epochs=6)
    (record,) = train([run], dataset)
    curves, _ = train_plainly(run, dataset, torch.float32)
    assert_curves(record["curves"], curves, rel=1e-3)
    assert record["curves"][-1]["test_accuracy"] > 90, "percent, and the images can be learnt"
    assert record["curves"][-1]["running_accuracy"] < record["curves"][-1]["train_accuracy"]


def test_running_loss_is_the_mean_over_batches(dataset):
    """Each batch counts alike, the last one of 22 images too; accuracy is a share of images."""
    run = make_run(epochs=1, learning_rate=0.1)
    (record,) = train([run], dataset, dtype=torch.float64)
    _, losses = train_plainly(run, dataset)
    sizes = [32, 32, 32, 32, 22]
    by_images = sum(n * loss for n, loss in zip(sizes, losses, strict=True)) / 150
    running = record["curves"][0]["running_loss"]
    assert running == pytest.approx(sum(losses) / 5, rel=1e-6)
    assert abs(running - by_images) > 1e-4
    assert record["curves"][0]["running_accuracy"] * 150 / 100 == pytest.approx(
        round(record["curves"][0]["running_accuracy"] * 150 / 100)
    )


@pytest.mark.parametrize(
    ("outcome", "fields"),
    [
        ("large", {"learning_rate": 10.0}),
        ("large", {"learning_rate": 3.0}),
        ("nan", {"learning_rate": 1.0, "depth": 6}),
        ("nan", {"init": "normal_std_1", "depth": 10, "width": 128}),
    ],
)
def test_outcome_and_steps_are_those_of_a_plain_loop(dataset, outcome, fields):
    run = make_run(**fields)
    (record,) = train([run], dataset)
    _, losses = train_plainly(run, dataset, torch.float32)

    def first(is_it):
        return next((step for step, loss in enumerate(losses, 1) if is_it(loss)), None)

    assert record["outcome"] == outcome
    assert record["large_step"] == first(lambda loss: loss > 1000 * losses[0])
    assert record["nan_step"] == first(math.isnan)
    assert record[f"{outcome}_step"] > 1


# ---------------------------------------------------------------- what is recorded


def after(*losses, correct=0, batches=None):
    """The history of an epoch with these batch losses."""
    history = History(batches or len(losses))
    history.add_steps(list(losses), [correct] * len(losses))
    return history


INF, NAN = math.inf, math.nan


@pytest.mark.parametrize(
    ("losses", "outcome", "large", "inf", "nan"),
    [
        ([2.0, 1.0, 2000.0], "finite", None, None, None),
        ([2.0, 1.0, 2000.1, 1.0, 9000.0], "large", 3, None, None),
        ([2.0, INF, 1.0, INF], "inf", None, 2, None),
        ([2.0, -INF], "inf", None, 2, None),
        ([2.0, 3000.0, INF, NAN, 1.0, NAN], "nan", 2, 3, 4),
        ([NAN], "nan", None, None, 1),
        ([2.0, NAN, INF, 9000.0], "nan", 4, 3, 2),
        ([INF, 1e30], "inf", None, 1, None),
    ],
)
def test_outcomes_and_their_first_steps(losses, outcome, large, inf, nan):
    record = after(*losses).record()
    assert record["outcome"] == outcome
    assert (record["large_step"], record["inf_step"], record["nan_step"]) == (large, inf, nan)
    assert record["start_loss"] == (losses[0] if math.isfinite(losses[0]) else None)


def test_steps_are_counted_over_epochs():
    history = after(1.0, 2.0, 3.0)
    history.end_epoch(1, 30, {})
    history.add_steps([1.0], [0])
    history.add_steps([5000.0, 6000.0], [0, 0])
    assert history.record()["large_step"] == 5


def test_epoch_of_a_finite_run():
    history = after(1.0, 2.0, 6.0, correct=7)
    history.end_epoch(1, 28, {"train": (0.5, 80.0), "test": (0.75, 70.0)})
    history.add_steps([3.0, 3.0, 3.0], [1, 2, 4])
    history.end_epoch(2, 28, {"train": (0.5, 80.0), "validation": (1.0, 5.0), "test": (0.75, 70.0)})
    first, second = history.record()["curves"]
    assert first == {
        "epoch": 1, "running_loss": 3.0, "running_accuracy": 75.0,
        "train_loss": 0.5, "train_accuracy": 80.0,
        "validation_loss": None, "validation_accuracy": None,
        "test_loss": 0.75, "test_accuracy": 70.0,
    }  # fmt: skip
    assert second["running_loss"] == 3.0 and second["running_accuracy"] == 25.0
    assert (second["validation_loss"], second["validation_accuracy"]) == (1.0, 5.0)


def test_epoch_with_an_infinite_loss():
    """No infinite number in the record; the accuracies are what they are."""
    history = after(1.0, INF, correct=3)
    history.end_epoch(1, 30, {"train": (INF, 12.0), "test": (4.0, 11.0)})
    (row,) = history.record()["curves"]
    assert row["running_loss"] is None and row["running_accuracy"] == 20.0
    assert row["train_loss"] is None and row["train_accuracy"] == 12.0
    assert row["test_loss"] == 4.0 and not history.ended


def test_rows_after_nan_have_no_metrics(dataset):
    run = make_run(depth=10, init="normal_std_1", epochs=3, **REAL)
    (record,) = train([run], dataset)
    assert record["outcome"] == "nan" and record["nan_step"] == 2
    assert record["curves"] == [{"epoch": epoch, **dict.fromkeys(METRICS)} for epoch in (1, 2, 3)]
    assert {row["epoch"] for row in record["layers"]} == {0}


def test_nan_by_the_last_update_of_an_epoch(dataset):
    """The evaluation shows it first; the run counts as NaN from the step that would follow."""
    run = make_run(depth=10, init="normal_std_1", epochs=1, width=128, batch_size=150)
    (record,) = train([run], dataset)
    (longer,) = train([dataclasses.replace(run, epochs=2)], dataset)
    assert record["outcome"] == longer["outcome"] == "nan"
    assert record["nan_step"] == longer["nan_step"] == 2
    assert record["curves"] == longer["curves"][:1]
    assert [record["curves"][0][name] for name in METRICS if "running" not in name] == [None] * 6


def test_every_record_is_json_without_nan(dataset):
    for record in train(mixed_runs(depth=10, **REAL), dataset):
        text = json.dumps(record, allow_nan=False)
        assert json.loads(text) == record


def test_layers_are_looked_at_at_the_start_after_the_first_and_the_last_epoch(dataset):
    for epochs, moments in (1, [0, 1]), (2, [0, 1, 2]), (4, [0, 1, 4]):
        (record,) = train([make_run(depth=6, epochs=epochs)], dataset)
        assert [(row["epoch"], row["layer"]) for row in record["layers"]] == [
            (moment, layer) for moment in moments for layer in range(1, 7)
        ]
        assert [row["epoch"] for row in record["curves"]] == list(range(1, epochs + 1))
    start = [row["gradient_norm"] for row in record["layers"] if row["epoch"] == 0]
    assert all(norm > 0 for norm in start)
    assert all(
        (row["dead_share"] is None) == (row["layer"] == 6) == (row["saturated_share"] is None)
        for row in record["layers"]
    )


def test_no_validation_where_its_images_are_trained_on():
    (record,) = train([make_run()], TinyDataset(validation=0))
    for row in record["curves"]:
        assert row["validation_loss"] is None and row["validation_accuracy"] is None
        assert row["test_loss"] is not None
    assert row["train_accuracy"] is not None


@pytest.mark.parametrize("epochs", [1, 3])
def test_what_is_evaluated_when(dataset, epochs):
    """The test images after every epoch, the others after the last one."""
    (record,) = train([make_run(epochs=epochs)], dataset)
    for row in record["curves"]:
        for name in METRICS:
            early = row["epoch"] < epochs and name.startswith(("train", "validation"))
            assert (row[name] is None) is early


# ---------------------------------------------------------------- evaluation and data


@pytest.mark.parametrize("block", ["plain", "batch_norm"])
def test_evaluation_of_more_images_than_a_batch_holds(block):
    dataset = TinyDataset(images=1, test=1100)
    architecture = Architecture(2, block, "tanh", width=32)
    network = Network.initial(architecture, [("he", 0), ("xavier", 1)], torch.float64)
    inputs = (dataset.test.images.double() / 255 - 0.1307) / 0.3081
    for run, (loss, accuracy) in enumerate(evaluate(network, dataset, dataset.test)):
        logits = PlainNetwork(network, run).eval()(inputs)
        expected = functional.cross_entropy(logits, dataset.test.labels).item()
        right = (logits.argmax(1) == dataset.test.labels).double().mean().item()
        assert loss == pytest.approx(expected, rel=1e-6)
        assert accuracy == pytest.approx(100 * right)


def idx(values):
    header = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes()
    return header + values.astype(np.uint8).tobytes()


@pytest.fixture
def idx_folder(tmp_path, monkeypatch):
    """A folder with `mnist` files of 60 and 20 images; the last 15 permuted ones validate.

    Image i has the label i % 10 and pixels that say which one it is.
    """
    monkeypatch.setattr(data, "held_out", lambda images: images // 4)
    train_images, test_images, test_labels, train_labels = [], [], [], []
    for count, images, labels in (60, train_images, train_labels), (20, test_images, test_labels):
        images += [np.full((28, 28), 3 * i) for i in range(count)]
        labels += [i % 10 for i in range(count)]
    contents = [train_images, train_labels, test_images, test_labels]
    hashes = {}
    for path, values in zip(data.files("mnist", tmp_path), contents, strict=True):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(idx(np.array(values)))
        hashes[path.name] = sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(data, "hashes", lambda dataset: hashes)
    return tmp_path


def which(split):
    """The numbers of a split's images in the file."""
    assert split.images.dtype == torch.uint8 and split.labels.dtype == torch.int64
    assert split.images.shape == (len(split.labels), 784)
    numbers = split.images[:, 0] // 3
    assert torch.equal(numbers % 10, split.labels)
    return numbers.tolist()


def test_splits(idx_folder):
    """Nested subsets of one permutation; validation images are never trained on."""
    small, larger = (Dataset("mnist", idx_folder, images) for images in (20, 45))
    order = streams.permutation(60, "subset").tolist()
    assert which(small.train) == order[:20] and which(larger.train) == order[:45]
    assert which(small.validation) == which(larger.validation) == order[45:]
    assert which(small.test) == list(range(20))


@pytest.mark.parametrize("images", [46, 60])
def test_no_validation_set_if_one_of_its_images_is_trained_on(idx_folder, images):
    dataset = Dataset("mnist", idx_folder, images)
    assert dataset.validation is None and len(dataset.train.labels) == images


def test_normalisation(idx_folder):
    dataset = Dataset("mnist", idx_folder, 20)
    pixels = torch.tensor([[0, 1, 33, 254, 255]], dtype=torch.uint8)
    expected = (pixels / 255 - 0.1307) / 0.3081
    out = torch.empty(1, 5)
    assert dataset.normalise(pixels, out) is out
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(dataset.normalise(pixels), out)
    double = dataset.normalise(pixels, dtype=torch.float64)
    torch.testing.assert_close(double, expected.double(), rtol=1e-6, atol=1e-6)
    images, labels = dataset.first(7, torch.float32)
    assert torch.equal(images, dataset.normalise(dataset.train.images[:7]))
    assert torch.equal(labels, dataset.train.labels[:7])


def test_training_on_idx_files(idx_folder):
    dataset = Dataset("mnist", idx_folder, 45)
    (record,) = train([make_run(images=45, batch_size=16)], dataset)
    assert record["outcome"] == "finite"
    assert all(record["curves"][-1][name] is not None for name in METRICS)
    assert all(0 <= record["curves"][-1][name] <= 100 for name in METRICS[1::2])


# ---------------------------------------------------------------- random streams


def test_batches_are_named_by_seed_and_epoch():
    """Every image once an epoch, the last batch smaller; runs of one seed are a group."""
    dataset = TinyDataset(images=50)
    batch = FusedBatch([make_run(seed=seed, batch_size=16) for seed in (4, 1, 4)], dataset)
    assert batch.group == [0, 1, 0]

    def order(epoch):
        return torch.cat([index for index, _ in batch.batches(epoch)], 1)

    first, second = order(1), order(2)
    for stream in [*first, *second]:
        assert sorted(stream.tolist()) == list(range(50))
    assert not torch.equal(first[0], first[1]) and not torch.equal(first[0], second[0])
    sizes = []
    for index, targets in batch.batches(1):
        sizes.append(index.shape[1])
        assert torch.equal(targets[:, 0], dataset.train.labels[index[batch.group]])
    assert sizes == [16, 16, 16, 2]
    batch.keep([1])
    assert batch.group == [0] and torch.equal(order(1)[0], first[1])


def test_streams_differ_by_any_part_of_their_name():
    keys = [(0, "weights", 0), (0, "weights", 1), (1, "weights", 0), (0, "order", 0), ("0",), (0,)]
    draws = [tuple(torch.rand(3, generator=streams.generator(*key)).tolist()) for key in keys]
    assert len(set(draws)) == len(keys)
    again = torch.rand(3, generator=streams.generator(*keys[0]))
    assert tuple(again.tolist()) == draws[0]
