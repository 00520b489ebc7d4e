"""Batch norm in practice: where it stands, what its noise does, what its running averages are.

Small networks, fully connected and convolutional, on a small training set, until all of it is
learnt: without batch norm, with it before the activation and after it, with statistics of ghost
batches, and with dropout.
"""

import itertools
import math
from dataclasses import dataclass, replace

import pandas as pd
import torch

from finicky.data import CHANCE
from finicky.experiments import best_rates, normalised, stacked, tidy, training
from finicky.experiments.stacked import Normalisation

TITLE = "Batch norm in practice: place, noise, running averages"
READS = []
DATASETS = ["mnist", "fashion_mnist"]
SETTINGS = {
    "datasets": ("datasets", "data sets"),
    "networks": ("small_networks", "networks"),
    "images": ("images", "training images, halved to 14 × 14 pixels"),
    "epochs": ("epochs", "epochs in batches of 64"),
    "hidden_layers": (
        {"type": "integer", "minimum": 1, "maximum": 100},
        "hidden layers of the fully connected network",
    ),
    "width": (
        "grouped_width",
        "units of each of them",
    ),
    "activations": (
        {
            "type": "array",
            "minItems": 1,
            "uniqueItems": True,
            "contains": {"const": "relu"},
            "items": {"enum": ["relu", "tanh", "sigmoid"]},
        },
        "activations that batch norm is put before and after; ReLU is among them",
    ),
    "rates": ("rates_by_optimizer", "learning rates that each arm is trained at"),
    "whole_batch": ("batch", "images in a batch of the trainings with ghost batches"),
    "ghosts": ("batches", "images that share their statistics within such a batch"),
    "ghost_epochs": ("epochs", "epochs of these trainings"),
    "dropout": ("dropout", "share of units that dropout silences, in the same batches"),
    "held_out": (
        {"type": "integer", "minimum": 1, "maximum": 5000},
        "held-out images that choose the rates",
    ),
    "test_images": ("test_images", "test images"),
}
LIMITS = {
    "images % 64 != 1": "no batch of one image",
    "images % whole_batch != 1": "no batch of one image",
    "ghosts < whole_batch": "parts of a batch",
    "whole_batch % ghosts != 1": "no ghost batch of one image",
    "images % whole_batch % ghosts != 1": "no ghost batch of one image",
}
QUANTITIES = {
    "test_accuracy": ("%", "test accuracy at the end, batches of 64"),
    "zero_error": ("0/1", "whether all training images are right at the end, batches of 64"),
    "with_minus_without": ("pp", "test accuracy at the end, ReLU: with batch norm minus without, "
                           "where both have all training images right"),
    "before_minus_after": ("pp", "test accuracy at the end: batch norm before minus after the "
                           "activation"),
    "active": ("", "share of ReLU outputs above 0 over units and training images, batch norm by "
               "the statistics of all of these"),
    "running_error": ("", "running averages against the statistics of all training images at the "
                      "end, relative: of means by the deviations, of variances by the variances"),
    "population_minus_running": ("pp", "test accuracy: statistics of all training images minus "
                                 "running averages"),
    "ghost_accuracy": ("%", "test accuracy at the end by the images that share statistics"),
    "ghost_minus_whole": ("pp", "test accuracy at the end: statistics of ghost batches minus "
                          "those of the whole batch"),
    "gap_closed_by_ghosts": ("pp", "training minus test accuracy: whole batch minus ghost batches"),
    "gain_of_dropout": ("pp", "test accuracy at the end: with dropout minus without, statistics of "
                        "the whole batch"),
    "best_rate": ("", "the rate that the other seeds' held-out images choose"),
}  # fmt: skip
CONDITIONS = {
    "dataset": "level",
    "network": ["fully connected", "convolutional"],
    "placement": ["before", "after", "none"],
    "activation": "level",
    "optimizer": "level",
    "rate": ["chapter", "own best"],
    "layer": "integer",
    "when": ["start", "end"],
    "momentum": "number",
    "convention": ["chapter", "PyTorch"],
    "statistic": ["mean", "variance"],
    "ghost": "integer",
    "images": "integer",
    "epochs": "integer",
}
BUDGET = "{images} images of {dataset}, {epochs} epochs"


BATCH = 64
BEFORE, AFTER, NONE = "before", "after", "none"
# The share of the old value that a running average keeps, by convention and momentum: the
# chapter's momentum is this share, PyTorch's is the share of the new value.
KEPT = {
    ("chapter", 0.9): 0.9,
    ("chapter", 0.99): 0.99,
    ("PyTorch", 0.9): 0.1,
    ("PyTorch", 0.99): 0.01,
}


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, condition and seed; QUANTITIES says what each number is."""
    parts = []
    for name in settings["datasets"]:
        dataset = normalised.prepared(name, settings, settings["images"])
        for kind in settings["networks"]:
            where = {"dataset": name, "network": kind, "images": settings["images"]}
            parts.append(at_start(kind, dataset, settings).assign(**where))
            for optimizer in settings["rates"]:
                where |= {"optimizer": optimizer}
                for quantities, epochs in ((places, "epochs"), (noises, "ghost_epochs")):
                    length = {"epochs": settings[epochs]}
                    found = quantities(kind, optimizer, dataset, settings)
                    parts += [rows.assign(**where, **length) for rows in found]
    return tidy.from_rows([row for part in parts for row in part.to_dict("records")], CONDITIONS)


# ---- Networks and their training ----------------------------------------------------------------


@dataclass(frozen=True)
class Arm:
    """What a network is and how it trains: where batch norm stands, over how many images at a time
    it takes its statistics (None: the batch), the share of dropout, the size of its batches."""

    placement: str
    activation: str = "relu"
    ghost: int | None = None
    dropout: float = 0.0
    batch_size: int = BATCH

    def network(self, kind, seeds, settings) -> torch.nn.Sequential:
        """The networks, one for each of `seeds`."""

        def norm(channels, _):
            return [Normalisation("batch", len(seeds), channels, ghost=self.ghost)]

        def dropout(channels, layer):
            return [stacked.Dropout(seeds, self.dropout, layer)] if self.dropout else []

        def nothing(channels, _):
            return []

        return normalised.network(
            kind,
            seeds,
            before=norm if self.placement == BEFORE else nothing,
            after=norm if self.placement == AFTER else dropout,
            activation=self.activation,
            bias=self.placement != BEFORE,
            hidden_layers=settings["hidden_layers"],
            width=settings["width"],
        )


def trained(arm, kind, optimizer, epochs, dataset, settings, look=False) -> pd.DataFrame:
    """One row per rate and seed: scores in %, the arm's levels, and with `look` what was found
    `inside` it, a list of rows."""
    grid = itertools.product(settings["rates"][optimizer], settings["seeds"])
    runs = pd.DataFrame(grid, columns=["learning_rate", "seed"]).assign(optimizer=optimizer)
    network = arm.network(kind, runs["seed"].tolist(), settings)
    averages = [
        normalised.RunningAverages(layer, KEPT) for layer in normalised.batch_norms(network) if look
    ]
    recipe = stacked.Recipe(
        runs["seed"].tolist(), runs["learning_rate"].tolist(), settings["images"], epochs,
        optimizer, arm.batch_size,
    )  # fmt: skip
    stacked.train(network, dataset, recipe)
    for of_layer in averages:
        of_layer.handle.remove()
    splits = {
        "train": dataset.train,
        "validation": training.first(dataset.validation, settings["held_out"]),
        "test": training.first(dataset.test, settings["test_images"]),
    }
    scores = {name: stacked.scores(network, dataset, split) for name, split in splits.items()}
    finite = [math.isfinite(loss) for loss, _ in scores["train"]]
    for name, of in scores.items():
        accuracies = [score[1] if good else CHANCE for score, good in zip(of, finite, strict=True)]
        runs[f"{name}_accuracy"] = accuracies
    if look:
        runs["inside"] = list(inside(network, averages, dataset, splits["test"]))
    return runs.assign(
        outcome=["finite" if good else "nan" for good in finite],
        placement=arm.placement,
        activation=arm.activation,
        ghost=arm.ghost or arm.batch_size,
        dropout=arm.dropout,
    )


# ---- What is found inside -----------------------------------------------------------------------


def inside(network, averages, dataset, test):
    """For each replica a list of rows: shares of active units, and what running averages are worth.

    Leaves the statistics of all training images in the network.
    """
    by_average = {}
    if averages:
        for key in KEPT:
            for of_layer in averages:
                of_layer.put(key)
            by_average[key] = stacked.scores(network, dataset, test)
    normalised.take_statistics(network, dataset)
    found = [
        ("active", values, {"layer": layer, "when": "end"})
        for layer, values in normalised.active(network, dataset)
    ]
    retaken = stacked.scores(network, dataset, test)
    for key, scores in by_average.items():
        where = {"convention": key[0], "momentum": key[1]}
        gains = [
            {"value": new - old, "a": new, "b": old}
            for (_, new), (_, old) in zip(retaken, scores, strict=True)
        ]
        found.append(("population_minus_running", gains, where))
        for number, of_layer in enumerate(averages, 1):
            for statistic, errors in of_layer.errors(key).items():
                at = where | {"statistic": statistic, "layer": number}
                found.append(("running_error", errors.tolist(), at))
    for replica in range(len(retaken)):
        rows = []
        for quantity, values, where in found:
            value = values[replica]
            sides = value if isinstance(value, dict) else {"value": value}
            rows.append({"quantity": quantity, **sides, **where})
        yield rows


def at_start(kind, dataset, settings) -> pd.DataFrame:
    """Rows of the shares of active units before training, statistics taken over all images."""
    rows = []
    for placement in (BEFORE, AFTER, NONE):
        network = Arm(placement).network(kind, settings["seeds"], settings).to(settings["device"])
        normalised.take_statistics(network, dataset)
        rows += [
            {"quantity": "active", "seed": seed, "value": value, "placement": placement,
             "when": "start", "layer": layer}
            for layer, values in normalised.active(network, dataset)
            for seed, value in zip(settings["seeds"], values, strict=True)
        ]  # fmt: skip
    return pd.DataFrame(rows)


# ---- Comparisons --------------------------------------------------------------------------------


def places(kind, optimizer, dataset, settings):
    """Yields the rows of the quantities of networks with batch norm before the activation, after
    it, and without, of one kind and optimizer."""
    arms = [Arm(place, of) for of in settings["activations"] for place in (BEFORE, AFTER)]
    runs = [
        trained(arm, kind, optimizer, settings["epochs"], dataset, settings,
                look=arm.activation == "relu")
        for arm in [*arms, Arm(NONE)]
    ]  # fmt: skip
    arm = ["placement", "activation"]
    chosen = best_rates.at_rates(pd.concat(runs, ignore_index=True), arm)
    chosen["zero_error"] = (chosen["train_accuracy"] == 100).astype(float)
    for quantity in ("test_accuracy", "zero_error"):
        yield chosen.assign(quantity=quantity, value=chosen[quantity])
    yield rate_rows(chosen)
    of = {place: rows for place, rows in chosen.groupby("placement")}
    before_minus_after = best_rates.minus(of[BEFORE], of[AFTER], ["activation", "rate"])
    yield best_rates.once(before_minus_after, ["activation"]).assign(quantity="before_minus_after")
    right = chosen[(chosen["activation"] == "relu") & (chosen["zero_error"] == 1)]
    without = right[right["placement"] == NONE]
    for place in (BEFORE, AFTER):
        pairs = best_rates.minus(right[right["placement"] == place], without, ["rate"])
        pairs = best_rates.once(pairs.assign(placement=place), ["placement"])
        yield pairs.assign(quantity="with_minus_without")
    looked = chosen.dropna(subset="inside")[["placement", "rate", "seed", "outcome", "inside"]]
    rows = [
        {name: row[name] for name in ("placement", "rate", "seed", "outcome")} | found
        for row in looked.to_dict("records")
        for found in row["inside"]
        # what running averages are worth is asked of the usual place
        if found["quantity"] == "active" or row["placement"] == BEFORE
    ]
    axes = ["quantity", "placement", "layer", "momentum", "convention", "statistic"]
    yield best_rates.once(pd.DataFrame(rows), axes)


def noises(kind, optimizer, dataset, settings):
    """Yields the rows of the quantities of networks that see the same large batches: statistics of
    ghost batches, of the whole batch, and dropout."""
    whole = Arm(BEFORE, batch_size=settings["whole_batch"])
    arms = [replace(whole, ghost=ghost) for ghost in settings["ghosts"]]
    arms += [whole, replace(whole, dropout=settings["dropout"])]
    runs = [
        trained(arm, kind, optimizer, settings["ghost_epochs"], dataset, settings) for arm in arms
    ]
    chosen = best_rates.at_rates(pd.concat(runs, ignore_index=True), ["ghost", "dropout"])
    chosen["gap"] = chosen["train_accuracy"] - chosen["test_accuracy"]
    noisy, dropped = chosen[chosen["dropout"] == 0], chosen[chosen["dropout"] > 0]
    by_whole = noisy[noisy["ghost"] == settings["whole_batch"]]
    ghosts = noisy[noisy["ghost"] < settings["whole_batch"]]
    yield noisy.drop(columns="placement").assign(
        quantity="ghost_accuracy", value=noisy["test_accuracy"], activation=None
    )
    for ghost, mine in ghosts.groupby("ghost"):
        for quantity, sides, metric in (
            ("ghost_minus_whole", (mine, by_whole), "test_accuracy"),
            ("gap_closed_by_ghosts", (by_whole, mine), "gap"),
        ):
            rows = best_rates.minus(*sides, ["rate"], metric).assign(ghost=ghost)
            if metric == "gap":
                rows = rows.drop(columns=["a", "b"])  # no accuracies
            yield best_rates.once(rows, ["ghost"]).assign(quantity=quantity)
    gains = best_rates.minus(dropped, by_whole, ["rate"]).assign(placement=BEFORE)
    yield (
        best_rates.once(gains, ["placement"])
        .drop(columns="placement")
        .assign(quantity="gain_of_dropout")
    )


def rate_rows(chosen) -> pd.DataFrame:
    """The own best rates, by placement and activation."""
    own = chosen[chosen["rate"] == best_rates.OWN]
    return own.assign(quantity="best_rate", value=own["learning_rate"])
