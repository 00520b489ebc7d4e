"""Data sets of one's own: declared, verified, trained on from start to end."""

import hashlib
import json
import os

import numpy as np
import pytest

from finicky import data, own_data, runs
from finicky.engine import cuda, train
from finicky.errors import InputError
from finicky.experiments import training

from .engine_fixtures import bits, make_run, training_process
from .test_runs import make_config

SHAPE, CLASSES, COUNTS = (5, 7), 3, {"train": 240, "test": 60}


def made_up(shape=SHAPE, classes=CLASSES, counts=COUNTS, labels=np.uint8):
    """Four arrays: noisy prototypes, which a network learns at once."""
    random = np.random.default_rng(0)
    prototypes = random.integers(0, 256, (classes, *shape))
    arrays = {}
    for split, count in counts.items():
        label = random.integers(0, classes, count)
        noise = random.integers(0, 256, (count, *shape))
        arrays[f"{split}_images"] = ((3 * prototypes[label] + noise) // 4).astype(np.uint8)
        arrays[f"{split}_labels"] = label.astype(labels)
    return arrays


def idx(values):
    header = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes()
    return header + values.astype(np.uint8).tobytes()


def entry(path):
    return {"path": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def declaration(folder, arrays, kind, **changes):
    """The files of these arrays in a folder, and what the config says of them."""
    first = arrays["train_images"]
    said = {
        "shape": list(first.shape[1:]),
        "classes": int(arrays["train_labels"].max()) + 1,
        "images": {"train": len(first), "test": len(arrays["test_images"])},
    }
    if kind == "npz":
        np.savez(folder / "own.npz", **arrays)
        return {"npz": entry(folder / "own.npz")} | said | changes
    for part, values in arrays.items():
        (folder / part).write_bytes(idx(values))
    return {"idx": {part: entry(folder / part) for part in arrays}} | said | changes


@pytest.fixture
def declare():
    """`declare(**datasets)`; nothing of it stays."""
    yield lambda **datasets: own_data.declare(datasets)
    own_data.declare({})


# ---------------------------------------------------------------- loading


@pytest.mark.parametrize("kind", ["npz", "idx"])
@pytest.mark.parametrize("shape", [SHAPE, (12,), (4, 4, 3)])
def test_what_is_loaded_is_what_was_written(declare, tmp_path, kind, shape):
    arrays = made_up(shape)
    declare(own=declaration(tmp_path, arrays, kind))
    found = data.load("own", "no folder")
    for array, part in zip(found, own_data.PARTS, strict=True):
        assert array.dtype == np.uint8
        np.testing.assert_array_equal(array, arrays[part].reshape(array.shape))
    assert data.inputs("own") == found[0].shape[1] == np.prod(shape)
    assert data.chance("own") == pytest.approx(100 / 3)
    images = arrays["train_images"] / 255
    assert data.normalisation("own", found[0]) == pytest.approx(
        (images.mean(), images.std()), abs=6e-5
    )


def test_labels_of_any_whole_type(declare, tmp_path):
    arrays = made_up(classes=100, labels=np.int64)
    declare(own=declaration(tmp_path, arrays, "npz"))
    np.testing.assert_array_equal(data.load("own", "")[1], arrays["train_labels"])


GREY = {"train_images": np.full((240, *SHAPE), 9, np.uint8)}
WRONG = {
    "shape": ({"shape": [7, 5]}, {}, "train_images: found the shape 240 x 5 x 7; allowed: "
              "240 x 7 x 5"),
    "number": ({"images": {"train": 240, "test": 61}}, {}, "test_images: found the shape 60 x 5 x "
               "7; allowed: 61 x 5 x 7"),
    "label": ({"classes": 2}, {}, "train_labels: found the label 2; allowed: 0 to 1"),
    "labels": ({}, {"train_labels": np.zeros(239, np.uint8)}, "train_labels: found the shape 239; "
               "allowed: 240"),
    "grey": ({}, GREY, "train_images: found images that are all of one grey; allowed: images that "
             "differ"),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["npz", "idx"])
@pytest.mark.parametrize("case", WRONG)
def test_what_is_not_as_declared_is_named(declare, tmp_path, kind, case):
    changes, arrays, said = WRONG[case]
    one = declaration(tmp_path, made_up() | arrays, kind, classes=CLASSES)
    declare(own=one | changes)
    with pytest.raises(InputError) as error:
        data.load("own", "")
    assert str(error.value).startswith(str(tmp_path)) and str(error.value).endswith(said)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        (
            {"train_labels": np.array([-1] * 240)},
            "train_labels: found the label -1; allowed: 0 to ",
        ),
        ({"test_labels": np.zeros(60)}, "numbers of the type float64; allowed: whole numbers"),
        ({"train_images": np.zeros((240, 5, 7))}, "numbers of the type float64; allowed: uint8"),
        (
            {"test_labels": np.array(["a"] * 60, object)},
            "no NPZ file of plain arrays (Object array",
        ),
    ],
)
def test_what_only_an_npz_can_get_wrong(declare, tmp_path, arrays, said):
    declare(own=declaration(tmp_path, made_up() | arrays, "npz", classes=CLASSES, shape=[5, 7]))
    with pytest.raises(InputError) as error:
        data.load("own", "")
    assert said in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["npz", "idx"])
@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "found No such file"), (b"x", "SHA-256: found 2d711642")],
    ids=["missing", "other"],
)
def test_files_that_are_gone_or_others(declare, tmp_path, kind, content, said):
    declare(own=declaration(tmp_path, made_up(), kind))
    path = own_data.paths("own")[-1]
    path.unlink()
    if content:
        path.write_bytes(content)
    with pytest.raises(InputError) as error:
        data.load("own", "")
    assert str(error.value).startswith(f"{path}: {said}")


@pytest.mark.parametrize("content", [b"", b"\0\0\x08", b"PK\3\4", idx(np.zeros(60))[:-1]])
@pytest.mark.parametrize("kind", ["npz", "idx"])
def test_files_that_are_no_such_files(declare, tmp_path, kind, content):
    one = declaration(tmp_path, made_up(), kind)
    declare(own=one)
    path = own_data.paths("own")[-1]
    path.write_bytes(content)
    files = one["idx"] if kind == "idx" else one
    files["test_labels" if kind == "idx" else "npz"] = entry(path)
    with pytest.raises(InputError, match="found no (NPZ|whole IDX) file"):
        data.load("own", "")


def test_what_is_verified_again(declare, tmp_path):
    """What has no marker, was declared otherwise, or is newer than its marker."""
    one = declaration(tmp_path, made_up(), "npz")
    declare(own=one)
    marker = tmp_path / "data/own/verified.json"
    assert "own" in data.unverified(tmp_path / "data")
    marker.parent.mkdir(parents=True)
    marker.write_text(json.dumps(data.hashes("own")), encoding="utf-8")
    assert "own" not in data.unverified(tmp_path / "data")
    later = marker.stat().st_mtime + 10
    os.utime(own_data.paths("own")[0], (later, later))
    assert data.lost("own", tmp_path / "data") == [one["npz"]["path"]]
    declare(own=one | {"npz": one["npz"] | {"sha256": "0" * 64}})
    assert data.lost("own", tmp_path / "data") == ["npz"]
    with pytest.raises(InputError, match="SHA-256"):
        data.check_declared(tmp_path / "data")


# ---------------------------------------------------------------- identity and planning


def own_run(**fields):
    return make_run(dataset="own", images=200, **fields)


def test_what_is_declared_is_part_of_the_identity(declare, tmp_path):
    ids = []
    for changes in {}, {"classes": 4}, {"npz": {"path": "x", "sha256": "0" * 64}}:
        declare(own=declaration(tmp_path, made_up(), "npz") | changes)
        runs.forget()
        ids.append(own_run().id)
    assert len(set(ids)) == 3
    moved = declaration(tmp_path, made_up(), "npz")
    moved["npz"]["path"] = "elsewhere.npz"
    declare(own=moved)
    runs.forget()
    assert own_run().id == ids[0], "where a file lies makes no difference"


def test_runs_on_it_serve_no_comparison_of_the_chapter(declare, tmp_path):
    declare(own=declaration(tmp_path, made_up(), "npz"))
    plan = runs.plan(make_config({"dataset": ["mnist", "own"], "images": 200}))
    assert {run.dataset: purposes for run, purposes in plan.purposes.items()} == {
        "mnist": ["comparison"], "own": [],
    }  # fmt: skip
    assert any(name.startswith("own-10-plain-relu-") for name in plan.shards)


def test_estimates_know_its_size(declare, tmp_path):
    declare(own=declaration(tmp_path, made_up(), "npz"))
    run = own_run(depth=6)
    assert runs.parameters_of(run) == 35 * 32 + 4 * 32**2 + 3 * 32
    assert runs.seconds(run) < runs.seconds(make_run(images=200, depth=6))


# ---------------------------------------------------------------- training


@pytest.mark.parametrize("kind", ["npz", "idx"])
def test_trained_from_start_to_end(declare, tmp_path, kind):
    declare(own=declaration(tmp_path, made_up(), kind))
    levels = {"optimizer": "adam", "block": "batch_norm_residual", "depth": 4, "epochs": 4}
    one = [own_run(**levels, learning_rate=0.01, seed=seed) for seed in (0, 1)]
    with training_process():
        dataset = train.Dataset("own", "", 200)
        records = train.train(one, dataset)
    assert (len(dataset.train.labels), len(dataset.validation.labels)) == (200, 20)
    assert (dataset.inputs, dataset.classes) == (35, 3)
    for record in records:
        last = record["curves"][-1]
        assert min(last["test_accuracy"], last["validation_accuracy"]) > 90
        assert record["start_loss"] < 5
        assert len(record["layers"]) == 3 * 4


@pytest.mark.parametrize(("shape", "classes"), [((5, 7), 2), ((7, 7), 3), ((33,), 7), ((9, 9), 26),
                                                ((8, 8, 3), 100)])  # fmt: skip
@pytest.mark.parametrize("block", ["plain", "batch_norm_residual"])
def test_fused_equals_alone_whatever_the_sizes(declare, tmp_path, shape, classes, block):
    """To the bit, on a CPU and by the GPU's way."""
    arrays = made_up(shape, classes, {"train": 300, "test": 70})
    declare(own=declaration(tmp_path, arrays, "npz", classes=classes))
    one = [
        own_run(optimizer="adam", learning_rate=rate, seed=seed, depth=4, block=block, init=init)
        for seed, rate, init in [(0, 0.01, "he"), (1, 0.001, "he"), (0, 0.01, "xavier")]
    ]
    with training_process():
        dataset = train.Dataset("own", "", 200)
        together = list(map(bits, train.train(one, dataset)))
        assert together == [bits(record) for run in one for record in train.train([run], dataset)]
        ((_, records),) = cuda.train_each([(one, dataset)], "cpu")
        assert together == list(map(bits, records))


def test_chance_is_that_of_its_classes(declare, tmp_path):
    """A run that became NaN scores a guess."""
    declare(own=declaration(tmp_path, made_up(), "npz"))
    run = own_run(init="normal_std_1", depth=10, learning_rate=100.0)
    with training_process():
        dataset = train.Dataset("own", "", 200)
        (row,) = training.train([training.Training(run)], dataset)
    assert row["outcome"] >= 2 and row["test_accuracy"] == pytest.approx(100 / 3)
