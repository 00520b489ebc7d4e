"""The explorer's data: every cell of the grid with its numbers, small enough to lie in the page.

Accuracies keep all their digits (hundredths of a per cent are single test images), everything else
three significant ones. What only an opened cell shows (its runs, curves and layers) is deflated in
chunks of cells, so that the browser unpacks one of them and forgets it again.
"""

import base64
import json
import zlib
from pathlib import Path

import numpy as np
import pandas as pd

from finicky import parquet
from finicky.labels import axis_label, label, place
from finicky.numbers import significant
from finicky.runs import FAILED, OUTCOMES, later
from finicky.sources import own_decay

AXES = ["seeds", "dataset", "training", "depth", "block", "activation", "init", "optimizer",
        "learning_rate", "batch_size", "width", "weight_decay", "schedule",
        "label_noise"]  # fmt: skip
# Axes of numbers, and what a level of theirs is called.
NUMBERS = {"depth": "{} layers", "learning_rate": "{}", "batch_size": "{} images a step",
           "width": "{} units", "weight_decay": "decay {}",
           "label_noise": "label noise {}"}  # fmt: skip
OWN_DECAY = "own"  # the level of weight decay that every optimizer has if nothing is said
# Of equally many trained cells, the explorer starts at these levels.
START = {"x": "activation", "y": "init", "dataset": "mnist", "depth": "10", "block": "plain",
         "optimizer": "adam", "weight_decay": OWN_DECAY, "schedule": "constant",
         "label_noise": "0"}  # fmt: skip
MEASURES = {
    "accuracy": (
        "test accuracy",
        "%",
        "median over seeds after the last epoch; a diverged run counts as a guess",
    ),
    "diverged": ("diverged runs", "", "seeds whose loss became infinite or NaN, of all seeds"),
    "loss": ("test loss", "nats", "median of the seeds that did not diverge, after the last epoch"),
    "gradient": (
        "gradient ratio",
        "",
        "norm of the loss's gradient in the first layer over that in the last one, before training",
    ),
    "dead": (
        "dead units",
        "%",
        "hidden units with a flat derivative on every probe image after training, mean over layers",
    ),
}
CHUNK = 48  # cells
USUAL = "usual"  # the level that stands for another axis's own level
COLUMNS = {
    "runs": ["run", "dataset", "images", "epochs", "depth", "block", "activation", "init",
             "optimizer", "learning_rate", "batch_size", "width", "weight_decay", "schedule",
             "label_noise", "classes", "seed", "outcome", "inf_step", "nan_step"],
    "curves": ["run", "epoch", "running_loss", "test_loss", "test_accuracy"],
    "layers": ["run", "epoch", "layer", "activation_variance", "gradient_norm", "dead_share"],
}  # fmt: skip


def read(folder):
    """The tables of one seed set in a folder, as far as the explorer reads them."""
    tables = {}
    for name, columns in COLUMNS.items():
        path = Path(folder) / f"{name}.parquet"
        there = set(parquet.names(path))
        tables[name] = parquet.read_frame(path, [name for name in columns if name in there])
    return tables


def view(seed_sets, config):
    """The explorer's data as plain values, the same for the same tables; None without a run.

    seed_sets: one {"runs", "curves", "layers": data frame} for each seed set, with the columns of
    COLUMNS (of runs.later if they are of before), this report's own first. A set whose runs are
    those of an earlier one is left out. config: the preset's, for its usual learning rates, sizes
    and the initialiser meant for each activation, and for its own data sets.

    A cell is a combination of levels. `axes` has the levels of each, `cells` columns with one entry
    a cell: the place of its level on each axis and, for MEASURES, its number (None: there is none).
    `details` are chunks of CHUNK cells each, base64 of deflated JSON: a list of `_detail`.
    """
    runs, curves, layers = _joined(seed_sets)
    if runs.empty:
        return None
    axes = {axis: _levels(axis, runs) for axis in AXES}
    for axis, levels in axes.items():
        runs[axis] = runs[axis].map({level["value"]: i for i, level in enumerate(levels)})
    runs = runs.sort_values([*AXES, "seed"], ignore_index=True)
    runs["cell"] = runs.groupby(AXES, sort=True).ngroup()
    cells = runs.drop_duplicates("cell")
    details = _details(runs, curves, layers)
    usual = _usual(axes, cells, config)
    chance = 100 / runs.groupby("dataset")["classes"].first()
    return {
        "axes": [
            {"key": axis, "label": axis_label(axis), "levels": levels, "usual": usual.get(axis)}
            for axis, levels in axes.items()
        ],
        "measures": [
            {"key": key, "label": name, "unit": unit, "note": note + _guesses(key, chance)}
            for key, (name, unit, note) in MEASURES.items()
        ],
        "cells": {axis: cells[axis].tolist() for axis in AXES} | _measured(runs, curves, layers),
        "start": _start(axes, cells, usual, config),
        "runs": len(runs),
        "chance": chance.tolist(),  # by data set
        "datasets": config.get("datasets", {}),
        "chunk": CHUNK,
        "details": [_packed(details[i : i + CHUNK]) for i in range(0, len(details), CHUNK)],
    }


def _guesses(measure, chance):
    """What a guess scores, where a measure's note speaks of one. chance: in %, by data set."""
    said = " or ".join(significant(one, 3) for one in sorted(set(chance)))
    return f", {said} %" if measure == "accuracy" else ""


def _joined(seed_sets):
    """The tables of all seed sets, each below the other, the axes of `runs` as text."""
    tables = {name: [] for name in COLUMNS}
    known = []
    for one in seed_sets:
        identities = set(one["runs"]["run"])
        if identities in known:
            continue
        known.append(identities)
        seeds = one["runs"]["seed"]
        for name, table in one.items():
            if name == "runs":
                table = _completed(table).assign(seeds=f"{seeds.min()}-{seeds.max()}")
            columns = [*COLUMNS[name], *(["seeds"] if name == "runs" else [])]
            table = table[columns].assign(run=f"{len(known)} " + table["run"])
            tables[name].append(table)
    runs, curves, layers = (pd.concat(tables[name], ignore_index=True) for name in COLUMNS)
    runs["training"] = runs["images"].astype(str) + "x" + runs["epochs"].astype(str)
    runs = runs.assign(layers=runs["depth"], steps=-(-runs["images"] // runs["batch_size"]))
    own = runs["weight_decay"] == runs["optimizer"].map(own_decay)
    for axis in NUMBERS:
        runs[axis] = runs[axis].map(_plain)
    runs["weight_decay"] = runs["weight_decay"].mask(own, OWN_DECAY)
    runs["failed"] = runs["outcome"].isin(FAILED)
    # from the epoch in which a loss became infinite or NaN, there is nothing left to score
    ends = runs[["inf_step", "nan_step"]].min(axis=1).rename("ends")
    curves = curves.merge(runs[["run", "failed", "steps"]].assign(ends=ends), on="run")
    over = curves["failed"] & (curves["ends"] <= curves["epoch"] * curves["steps"])
    scores = ["running_loss", "test_loss", "test_accuracy"]
    curves[scores] = curves[scores].mask(over | curves["test_accuracy"].isna())
    return runs, curves, layers


def _completed(runs):
    """A table of runs with the columns that it lacks because it is of before there were these."""
    before = [later(name) for name in runs["optimizer"]]
    before = pd.DataFrame(before, runs.index, columns=list(later("sgd")))
    return runs.assign(**{name: before[name] for name in before if name not in runs})


def _plain(number):
    """A number's digits without a power of ten, as YAML and a link read it."""
    return np.format_float_positional(number, trim="-")


def _levels(axis, runs):
    """The levels of an axis in their order: value (as in the config and in a link) and label."""
    values = set(runs[axis])
    if axis in NUMBERS:
        own = [{"value": OWN_DECAY, "label": "the optimizer's own decay"}] * (OWN_DECAY in values)
        return own + [
            {"value": value, "label": NUMBERS[axis].format(label(float(value)))}
            for value in sorted(values - {OWN_DECAY}, key=float)
        ]
    if axis == "seeds":
        ordered = runs[axis].drop_duplicates()  # this report's own stand first
        ends = {value: dict.fromkeys(value.split("-")) for value in ordered}
        return [{"value": value, "label": " to ".join(ends[value])} for value in ordered]
    if axis == "training":
        sizes = sorted(tuple(map(int, value.split("x"))) for value in values)
        return [
            {
                "value": f"{images}x{epochs}",
                "label": f"{label(images)} images, {epochs} epoch{'s' * (epochs > 1)}",
            }
            for images, epochs in sizes
        ]
    return [{"value": value, "label": label(value)} for value in sorted(values, key=place)]


def _usual(axes, cells, config):
    """Axes with a level that depends on another axis: {axis: {"by": the other, "label", "levels":
    for each of its levels the place of the level meant, or None}}.

    An optimizer's usual rate is the first that the config names for it, or else the one with most
    cells.
    """
    named = config.get("optimizers", {})
    rates = []
    for i, optimizer in enumerate(axes["optimizer"]):
        listed = [_plain(rate) for rate in named.get(optimizer["value"], [])[:1]]
        listed = [j for j, rate in enumerate(axes["learning_rate"]) if rate["value"] in listed]
        most = cells.loc[cells["optimizer"] == i, "learning_rate"].value_counts(sort=False)
        rates.append(listed[0] if listed else int(most.sort_index().idxmax()))
    found = {
        "learning_rate": {
            "by": "optimizer",
            "label": "the optimizer's usual one",
            "levels": rates,
        }
    }
    meant = config.get("matched_init", {})
    places = {level["value"]: i for i, level in enumerate(axes["init"])}
    inits = [places.get(meant.get(activation["value"])) for activation in axes["activation"]]
    if any(init is not None for init in inits):
        found["init"] = {
            "by": "activation",
            "label": "the one meant for the activation",
            "levels": inits,
        }
    return found


def _start(axes, cells, usual, config):
    """Where the explorer starts: the heat map of START's axes, or of others where these have one
    level, of all at usual rates, that has the most trained cells; of equals the one closest to
    START's levels and the preset's sizes. {"x", "y", axis: value}."""
    wished = START | {size: str(config.get(size)) for size in ("batch_size", "width")}
    rates = cells["optimizer"].map(dict(enumerate(usual["learning_rate"]["levels"])))
    own = cells[(cells["seeds"] == 0) & (cells["learning_rate"] == rates)]
    own = own if len(own) else cells
    preferred = [START["x"], START["y"], *AXES[3:], *AXES[:3]]
    ranked = sorted(dict.fromkeys(preferred), key=lambda axis: len(axes[axis]) == 1)
    x, y = ranked[:2]
    filters = [axis for axis in AXES if axis not in (x, y, "learning_rate")]
    best = max(
        own.groupby(filters).size().items(),
        key=lambda item: (item[1], _agreeing(axes, filters, item[0], wished)),
    )[0]
    found = {axis: axes[axis][i]["value"] for axis, i in zip(filters, best, strict=True)}
    rate = {} if "learning_rate" in (x, y) else {"learning_rate": USUAL}
    return {"x": x, "y": y} | rate | found


def _agreeing(axes, filters, places, wished):
    return sum(
        axes[axis][i]["value"] == wished.get(axis) for axis, i in zip(filters, places, strict=True)
    )


def _measured(runs, curves, layers):
    """Columns with one entry a cell: number of seeds and of diverged ones, and MEASURES."""
    last = curves.groupby("run", sort=False)["epoch"].transform("max") == curves["epoch"]
    final = runs.merge(curves.loc[last, ["run", "test_loss", "test_accuracy"]], "left", on="run")
    guessed = 100 / final["classes"]
    final["test_accuracy"] = final["test_accuracy"].mask(final["failed"], guessed)
    final["test_loss"] = final["test_loss"].mask(final["failed"])
    final = final.merge(_of_layers(runs, layers), "left", on="run")
    by_cell = final.groupby("cell")
    median = by_cell[["test_accuracy", "test_loss", "gradient", "dead"]].median()
    return {
        "n": by_cell.size().tolist(),
        "diverged": by_cell["failed"].sum().astype(int).tolist(),
        "accuracy": [_hundredths(value) for value in median["test_accuracy"]],
        "loss": [_three(value) for value in median["test_loss"]],
        "gradient": [_three(value) for value in median["gradient"]],
        "dead": [_three(100 * value) for value in median["dead"]],
    }


def _of_layers(runs, layers):
    """For each run: `gradient`, the first layer's norm over the last one's before training, and
    `dead`, the mean share of dead hidden units after it."""
    rows = layers.merge(runs[["run", "layers", "epochs", "failed"]], on="run")
    start = rows[rows["epoch"] == 0].set_index("run")
    first = start.loc[start["layer"] == 1, "gradient_norm"]
    last = start.loc[start["layer"] == start["layers"], "gradient_norm"]
    end = rows[(rows["epoch"] == rows["epochs"]) & ~rows["failed"]]
    dead = end.groupby("run")["dead_share"].mean()
    return pd.DataFrame({"gradient": first / last.where(last > 0), "dead": dead}).rename_axis("run")


def _details(runs, curves, layers):
    """What an opened cell shows: {"seeds", "outcomes" (places in OUTCOMES), "steps" (first with an
    infinite loss or NaN), "accuracy", "loss", "running" (a list for each seed, by epoch), "layers":
    {"n": seeds, and "std", "gradient", "dead": medians over them by layer, before and after}}."""
    curves = curves.sort_values(["run", "epoch"])
    lines = {run: rows for run, rows in curves.groupby("run", sort=False)}
    moments = _by_layer(runs, layers)
    found = []
    for cell, rows in runs.groupby("cell", sort=True):
        own = [lines.get(run) for run in rows["run"]]
        steps = rows[["inf_step", "nan_step"]].min(axis=1)
        found.append(
            {
                "seeds": rows["seed"].tolist(),
                "outcomes": [OUTCOMES.index(outcome) for outcome in rows["outcome"]],
                "steps": [None if np.isnan(step) else int(step) for step in steps],
                "accuracy": [_column(line, "test_accuracy", _hundredths) for line in own],
                "loss": [_column(line, "test_loss", _three) for line in own],
                "running": [_column(line, "running_loss", _three) for line in own],
                "layers": moments.get(cell, {}),
            }
        )
    return found


def _column(rows, name, rounded):
    return [] if rows is None else [rounded(value) for value in rows[name]]


def _by_layer(runs, layers):
    """{cell: medians by layer over its seeds, before training and after it}."""
    rows = layers.merge(runs[["run", "cell", "epochs", "failed"]], on="run")
    rows = rows[(rows["epoch"] == 0) | ((rows["epoch"] == rows["epochs"]) & ~rows["failed"])]
    rows = rows.assign(
        std=np.sqrt(rows["activation_variance"]), after=(rows["epoch"] > 0).astype(int)
    )
    names = {"std": "std", "gradient_norm": "gradient", "dead_share": "dead"}
    groups = rows.groupby(["cell", "after", "layer"], sort=True)
    medians = groups[list(names)].median().rename(columns=names)
    counts = rows.groupby(["cell", "after"])["run"].nunique()
    found = {}
    for (cell, after), part in medians.groupby(["cell", "after"], sort=True):
        one = found.setdefault(
            int(cell), {"n": [0, 0]} | {name: [[], []] for name in names.values()}
        )
        one["n"][after] = int(counts[cell, after])
        for name in names.values():
            one[name][after] = [_three(value) for value in part[name]]
    return found


def _hundredths(percent):
    return None if np.isnan(percent) else round(100 * percent)


def _three(number):
    """Three significant digits; None for what is not a number."""
    return float(f"{number:.3g}") if np.isfinite(number) else None


def _packed(values):
    text = json.dumps(values, separators=(",", ":"), sort_keys=True, allow_nan=False)
    return base64.b64encode(zlib.compress(text.encode("utf-8"), 9)).decode("ascii")
