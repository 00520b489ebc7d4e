"""Tables as the pipeline gathers them, made up: `make_tables` builds them from a few words."""

import itertools
from zlib import crc32

import numpy as np
import pandas as pd
import pytest

from finicky.runs import later

NAMES = {"subgrids": "one", "purposes": "comparison"}  # of a run's sub-grids, by commas
AXES = {
    "dataset": "mnist",
    "images": 10_000,
    "epochs": 3,
    "depth": 10,
    "block": "plain",
    "activation": "relu",
    "init": "he",
    "optimizer": "sgd",
    "learning_rate": 0.01,
    "batch_size": 64,
    "width": 128,
    "seed": [0, 1, 2, 3, 4],
}
METRICS = [
    "running_loss", "running_accuracy", "train_loss", "train_accuracy", "validation_loss",
    "validation_accuracy", "test_loss", "test_accuracy",
]  # fmt: skip


def made_up_accuracy(run: dict) -> tuple[float, float]:
    """Test accuracies (%) that a run starts at and approaches: a caricature of real ones."""
    if run["init"] in ("zeros", "normal_std_0.0001", "normal_std_0.001"):
        return 11.35, 11.35
    noise = np.random.default_rng(crc32(repr(sorted(run.items())).encode())).normal(size=2)
    level = 97.5 - 0.04 * max(run["depth"] - 20, 0) + 0.2 * noise[0]
    start = {"he": 93.0, "xavier": 88.0, "lecun": 91.0, "uniform_fan_in": 80.0}.get(run["init"], 60)
    if run["optimizer"] != "sgd":
        start, level = (start + 2 * 95) / 3, level + 0.4
    if run["activation"] == "sigmoid" and run["depth"] > 6 and "batch" not in run["block"]:
        start, level = 11.35, 12.0
    if run["block"] == "plain" and run["depth"] > 20:
        start, level = start - 0.9 * run["depth"] / 2, level - run["depth"] / 2.5
    if run["init"] == "normal_std_1":
        level = 76.0
    return start + 0.5 * noise[1], level


def made_up_end(run: dict) -> tuple[str, int | None]:
    """A run's outcome, and the step at which it came."""
    if run["init"] == "normal_std_1" and run["optimizer"] == "sgd" and run["block"] == "plain":
        if run["depth"] >= 10 and (run["depth"] + run["seed"]) % 5 != 2:
            return "nan", 2 + run["seed"]
        return "large", 1
    if run["learning_rate"] == 10.0:
        return "large", 3
    return "finite", None


@pytest.fixture
def make_tables():
    """`make_tables(*products, accuracy=..., end=...)`: the tables `runs` and `curves`.

    A product is a dict of axes, each with a level or a list of levels; axes left out have those of
    AXES (five seeds, ten layers, He, SGD). Its `subgrids` and `purposes` (names, or a list of them;
    those of NAMES if left out) are those of all its runs. Equal runs are one row, with the names of
    all their products. `accuracy(run)` gives the test accuracies (%) at the start and in the limit,
    `end(run)` the outcome and its step.
    """

    def make(*products, accuracy=made_up_accuracy, end=made_up_end):
        runs = {}
        for product in products:
            axes = {
                name: levels if isinstance(levels, list) else [levels]
                for name, levels in (NAMES | AXES | product).items()
            }
            named = {name: axes.pop(name) for name in NAMES}
            for levels in itertools.product(*axes.values()):
                run = dict(zip(axes, levels, strict=True))
                name = f"{crc32(repr(run).encode()):020x}"
                known = runs.setdefault(name, {"run": name, "subgrids": "", "purposes": "", **run})
                for column, names in named.items():
                    have = {*known[column].split(","), *",".join(names).split(",")} - {""}
                    known[column] = ",".join(sorted(have))
        return _tables(list(runs.values()), accuracy, end)

    return make


def _tables(runs: list[dict], accuracy, end) -> dict[str, pd.DataFrame]:
    curves = []
    for run in runs:
        run |= later(run["optimizer"]) | run
        levels = {name: run[name] for name in AXES}
        outcome, step = end(levels)
        steps = -(-run["images"] // run["batch_size"])
        low, high = accuracy(levels)
        run |= {
            f"{name}_step": step if name == outcome else None for name in ("large", "inf", "nan")
        }
        run |= {
            "outcome": outcome,
            "start_loss": 2.3,
            "seconds": 1.0,
            "fused": 1,
            "host": "h",
            "cpu": "c",
        }
        for epoch in range(1, run["epochs"] + 1):
            row = {"run": run["run"], "epoch": epoch} | dict.fromkeys(METRICS)
            if outcome not in ("inf", "nan") or step > epoch * steps:
                test = high - (high - low) * 0.55 ** (epoch - 1)
                if run["learning_rate"] == 10:
                    test = 10.0
                train = min(test + 0.35 * epoch, 100.0) if test > 20 else test
                running = train - 3.0 / epoch if train > 20 else train
                for name, percent in (
                    ("test", test),
                    ("train", train),
                    ("running", running),
                    ("validation", test - 0.1),
                ):
                    row[f"{name}_accuracy"] = percent
                    row[f"{name}_loss"] = 2.3026 if percent < 20 else 4.0 * (1 - percent / 100.5)
                if run["learning_rate"] == 10:
                    row["running_loss"] = 4.1e3 if epoch == 1 else 2.6
                if run["images"] == 60_000:
                    row["validation_loss"] = row["validation_accuracy"] = None
            curves.append(row)
    columns = [
        "run",
        *NAMES,
        *AXES,
        *later("sgd"),
        "outcome",
        "large_step",
        "inf_step",
        "nan_step",
        "start_loss",
        "seconds",
        "fused",
        "host",
        "cpu",
    ]
    types = {"large_step": "Int64", "inf_step": "Int64", "nan_step": "Int64"}
    return {
        "runs": pd.DataFrame(runs, columns=columns).astype(types),
        "curves": pd.DataFrame(curves, columns=["run", "epoch", *METRICS]).astype(
            {metric: "float64" for metric in METRICS}
        ),
    }


@pytest.fixture
def rich_tables(make_tables):
    """Runs from which every quantity of the grid, ten-layers and the mini project can be had."""
    starts = [
        "zeros",
        "normal_std_0.001",
        "normal_std_1",
        "uniform_fan_in",
        "lecun",
        "xavier",
        "he",
    ]
    blocks = ["plain", "batch_norm", "residual", "batch_norm_residual"]
    sgd = {"optimizer": "sgd", "learning_rate": 0.01}
    adam = {"optimizer": "adam", "learning_rate": 0.001}
    whole = {"images": 60_000}
    ten = whole | {"purposes": ["comparison", "ten-layers"]}
    first = ten | {"epochs": 1}
    ten |= {"epochs": 10, "init": starts[:3] + starts[-2:]}
    first |= {"init": ["normal_std_0.0001", "normal_std_0.01", "normal_std_0.1", "lecun"]}
    mini = whole | {"purposes": ["comparison", "mini-project"], "depth": 2, "epochs": 5}
    return make_tables(
        {"init": starts, "activation": ["relu", "sigmoid", "tanh"]} | sgd,
        {"init": starts, "activation": ["relu", "sigmoid", "tanh"]} | adam,
        {"init": starts, "block": "batch_norm"} | sgd,
        {"depth": [6, 10, 20, 44, 56], "block": blocks} | sgd,
        {"purposes": "tuning", "learning_rate": [0.0001, 0.001, 0.01], "optimizer": "adam"},
        ten | sgd,
        ten | adam,
        first | sgd,
        first | adam,
        mini | adam | {"init": ["he", "zeros"]},
        mini | adam | {"init": "xavier", "activation": "sigmoid"},
        mini | {"epochs": 3, "learning_rate": [10.0, 0.1]},
    )


@pytest.fixture
def process():
    """The settings of a training process, which leave with the test."""
    from .engine_fixtures import training_process  # only here: most tables need no PyTorch

    with training_process():
        yield
