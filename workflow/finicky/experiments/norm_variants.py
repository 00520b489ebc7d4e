"""Batch, layer, instance and group norm, and none: which is ahead at which batch size?

A small convolutional network and a fully connected one, with each normalisation before its
activations, see the same images in batches from a single image to hundreds. Nothing else changes,
save the learning rate: once the chapter's, once the best of each arm.
"""

import itertools
import math

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional

from finicky.data import CHANCE
from finicky.experiments import best_rates, normalised, stacked, tidy, training
from finicky.experiments.normalised import CONVOLUTIONAL, FULLY
from finicky.experiments.stacked import EPS

TITLE = "Four normalisations by batch size"
READS = []
DATASETS = ["mnist", "fashion_mnist"]
SETTINGS = {
    "datasets": ("datasets", "data sets"),
    "networks": ("small_networks", "networks"),
    "images": ("images", "training images, halved to 14 × 14 pixels"),
    "epochs": ("epochs", "epochs"),
    "batch_sizes": ("counts", "images in a batch"),
    "width": (
        "grouped_width",
        "units of a hidden layer of the fully connected network, in 4 groups for group norm",
    ),
    "rates": ("rates_by_optimizer", "learning rates that each arm is trained at"),
    "held_out": (
        {"type": "integer", "minimum": 1, "maximum": 5000},
        "held-out images that choose among them",
    ),
    "test_images": ("test_images", "test images"),
}
LIMITS = {
    "batch_sizes <= images": "batches of training images",
}
QUANTITIES = {
    "test_accuracy": ("%", "test accuracy after the epochs of the settings, evaluated with running "
                      "averages"),
    "recomputed_accuracy": ("%", "batch norm: the same with the statistics of all training images"),
    "group_minus_batch": ("pp", "test accuracy: group minus batch norm"),
    "batch_minus_none": ("pp", "test accuracy: batch norm minus none"),
    "none_minus_batch": ("pp", "test accuracy: none minus batch norm"),
    "below_twice_chance": ("pp", "20 % minus test accuracy of batch norm"),
    "lead_lost": ("pp", "lead of batch norm over none: at the smallest batch above 32 minus at "
                  "this one"),
    "recomputed_minus_running": ("pp", "test accuracy of batch norm: statistics of all training "
                                 "images minus running averages"),
    "group_minus_recomputed": ("pp", "test accuracy: group norm minus batch norm with the "
                               "statistics of all training images"),
    "best_rate": ("", "the rate that the other seeds' held-out images choose"),
}  # fmt: skip
CONDITIONS = {
    "dataset": "level",
    "network": ["fully connected", "convolutional"],
    "normalisation": ["batch norm", "layer norm", "instance norm", "group norm", "none"],
    "optimizer": "level",
    "batch_size": "integer",
    "rate": ["chapter", "own best"],
    "images": "integer",
    "epochs": "integer",
}
BUDGET = "{images} images of {dataset}, {epochs} epochs"


# What a layer of a network can be normalised by; a fully connected unit has no places of its own.
KINDS = {
    FULLY: ["batch norm", "layer norm", "group norm", "none"],
    CONVOLUTIONAL: ["batch norm", "layer norm", "instance norm", "group norm", "none"],
}
GROUPS = 4
LARGE = 32  # the chapter's limit for a large batch: above it
STACKED = 8  # images in a batch up to which all seeds train in one stack
CELL = ["dataset", "network", "optimizer", "batch_size"]


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, condition and seed; QUANTITIES says what each number is."""
    cells = []
    for name in settings["datasets"]:
        dataset = normalised.prepared(name, settings, settings["images"])
        grid = itertools.product(settings["networks"], settings["rates"], settings["batch_sizes"])
        for kind, optimizer, size in grid:
            where = {"dataset": name, "network": kind, "optimizer": optimizer, "batch_size": size}
            cells.append(cell(kind, optimizer, size, dataset, settings).assign(**where))
    parts = quantities(pd.concat(cells, ignore_index=True))
    length = {"images": settings["images"], "epochs": settings["epochs"]}
    rows = [row | length for part in parts for row in part.to_dict("records")]
    return tidy.from_rows(rows, CONDITIONS)


# ---- Networks of all kinds side by side ---------------------------------------------------------


class EachItsOwn(nn.Module):
    """Replicas in the order rate, kind, seed; each kind has its own normalisation, as in
    `stacked.Normalisation`. "none" goes without, and has β alone, which is a bias.

    A batch of a single value minus its mean is 0, whatever it is, and so is its variance. (PyTorch
    refuses it, as the variance over n - 1 does not exist.)
    """

    def __init__(self, shape, kinds, channels):
        super().__init__()
        self.shape, self.kinds, self.channels = shape, kinds, channels
        self.kind = kinds[0].removesuffix(" norm") if len(kinds) == 1 else None
        rates, _, seeds = shape
        replicas = math.prod(shape)
        self.gain = nn.Parameter(torch.ones(replicas, channels))
        self.offset = nn.Parameter(torch.zeros(replicas, channels))
        self.register_buffer("running_mean", torch.zeros(rates * seeds * channels))
        self.register_buffer("running_var", torch.ones(rates * seeds * channels))
        plain = torch.tensor([kind == "none" for kind in kinds]).expand(rates, -1)
        self.register_buffer("plain", plain.repeat_interleave(seeds, 1).reshape(-1, 1))

    def forward(self, x):
        """[B, R, channels, ...] to the same shape."""
        parts = x.unflatten(1, self.shape).unbind(2)
        done = [
            self._normalised(part.flatten(1, 3), kind).view(part.shape)
            for part, kind in zip(parts, self.kinds, strict=True)
        ]
        y = torch.stack(done, 2).flatten(1, 3)
        wide = (-1, self.channels, *[1] * (x.dim() - 3))
        gain = torch.where(self.plain, 1, self.gain).view(wide)
        return torch.addcmul(self.offset.view(wide), y, gain)

    def _normalised(self, x, kind):
        """[B, R · channels, ...] of one kind, before γ and β."""
        if kind == "none":
            return x
        if kind != "batch norm":
            groups = {"layer norm": 1, "group norm": GROUPS, "instance norm": self.channels}[kind]
            return functional.group_norm(x, x.shape[1] // self.channels * groups, eps=EPS)
        if self.training and x[:, 0].numel() == 1:
            with torch.no_grad():
                self.running_mean.lerp_(x.flatten(), 0.1)
                self.running_var.mul_(0.9)
            return torch.zeros_like(x)
        running = self.running_mean, self.running_var
        return functional.batch_norm(x, *running, training=self.training, momentum=0.1, eps=EPS)


def side_by_side(seeds, size) -> list[list[int]]:
    """Seeds that train in one stack: all where a step is small, one at a time where its tensors
    would leave the cache."""
    return [seeds] if size <= STACKED else [[seed] for seed in seeds]


def stack_of(kind, kinds, shape, seeds, width) -> nn.Sequential:
    """Networks, one for each of `seeds`, with EachItsOwn before every activation; its offsets are
    their biases."""
    return normalised.network(
        kind,
        seeds,
        before=lambda channels, _: [EachItsOwn(shape, kinds, channels)],
        bias=False,
        width=width,
    )


def trained(kind, optimizer, size, seeds, dataset, settings) -> tuple[nn.Sequential, pd.DataFrame]:
    """Networks of every normalisation, rate and seed, trained in batches of `size`, and one row for
    each in their order: what it is, and its accuracy on the held-out images."""
    kinds, rates = KINDS[kind], settings["rates"][optimizer]
    shape = len(rates), len(kinds), len(seeds)
    runs = pd.DataFrame(
        itertools.product(rates, kinds, seeds), columns=["learning_rate", "normalisation", "seed"]
    ).assign(optimizer=optimizer)
    network = stack_of(kind, kinds, shape, runs["seed"].tolist(), settings["width"])
    recipe = stacked.Recipe(
        runs["seed"].tolist(), runs["learning_rate"].tolist(), settings["images"],
        settings["epochs"], optimizer, size,
    )  # fmt: skip
    stacked.train(network, dataset, recipe)
    losses, accuracies = scores(network, dataset, dataset.validation, settings["held_out"])
    finite = np.isfinite(losses)
    return network, runs.assign(
        outcome=np.where(finite, "finite", "nan"),
        validation_accuracy=np.where(finite, accuracies, CHANCE),
    )


def scores(network, dataset, split, images) -> np.ndarray:
    """Loss and accuracy in % of each replica on the first images of a split: [2, R]."""
    return np.array(stacked.scores(network, dataset, training.first(split, images))).T


@torch.no_grad()
def alone(network, kind, normalisation, rows, width) -> nn.Sequential:
    """Of the networks of `trained`, some of one normalisation as a stack of their own; `rows`:
    which of its replicas in the order rate, seed."""
    new = stack_of(kind, [normalisation], (1, 1, len(rows)), [0] * len(rows), width)
    rates, kinds, seeds = next(s.shape for s in network if isinstance(s, EachItsOwn))
    number, state = KINDS[kind].index(normalisation), network.state_dict()
    everywhere = [(row // seeds * kinds + number) * seeds + row % seeds for row in rows]
    for name, tensor in new.state_dict().items():
        averages = name.rpartition(".")[2].startswith("running")  # only batch norm's replicas' own
        here, of = (rows, rates * seeds) if averages else (everywhere, rates * kinds * seeds)
        tensor.copy_(state[name].view(of, -1)[here].view_as(tensor))
    return new


def cell(kind, optimizer, size, dataset, settings) -> pd.DataFrame:
    """One row per normalisation, seed and `rate` (the chapter's, the arm's own best) of a network
    in batches of `size`: accuracies in %, for batch norm also with its statistics retaken."""
    stacks = [
        trained(kind, optimizer, size, seeds, dataset, settings)
        for seeds in side_by_side(settings["seeds"], size)
    ]
    runs = pd.concat(of_stack.assign(stack=i) for i, (_, of_stack) in enumerate(stacks))
    key = ["stack", "normalisation", "learning_rate", "seed"]
    chosen = best_rates.at_rates(runs, ["normalisation"])
    found = []
    for (stack, normalisation), mine in chosen.groupby(["stack", "normalisation"]):
        network, of_stack = stacks[stack]
        # the order of this normalisation's replicas
        order = of_stack[of_stack["normalisation"] == normalisation].reset_index(drop=True)
        order = order.assign(stack=stack)[key]
        wanted = order.reset_index().merge(mine[key].drop_duplicates(), on=key)
        rows = wanted["index"].tolist()
        small = alone(network, kind, normalisation, rows, settings["width"])
        test = dataset.test, settings["test_images"]
        wanted["test_accuracy"] = scores(small, dataset, *test)[1]
        if normalisation == "batch norm":
            normalised.take_statistics(small, dataset)
            wanted["recomputed_accuracy"] = scores(small, dataset, *test)[1]
        found.append(wanted.drop(columns="index"))
    rows = chosen.merge(pd.concat(found), on=key)
    failed = rows["outcome"] == "nan"
    for score in ("test_accuracy", "recomputed_accuracy"):
        rows[score] = rows[score].mask(failed & rows[score].notna(), CHANCE)
    return rows


# ---- Comparisons --------------------------------------------------------------------------------


def quantities(chosen: pd.DataFrame):
    """Yields the rows of each quantity; chosen: the runs at the chapter's and their own rates."""
    of = {kind: rows for kind, rows in chosen.groupby("normalisation")}
    batch, none = of["batch norm"], of["none"]
    retaken = batch.assign(test_accuracy=batch["recomputed_accuracy"])

    def plain(quantity, rows, value):
        return rows.assign(quantity=quantity, value=value)[
            [*CELL, "normalisation", "rate", "seed", "outcome", "quantity", "value"]
        ]

    def compared(quantity, a, b):
        rows = best_rates.minus(a, b, [*CELL, "rate"]).assign(quantity=quantity)
        return best_rates.once(rows, CELL)

    yield plain("test_accuracy", chosen, chosen["test_accuracy"])
    yield plain("recomputed_accuracy", batch, batch["recomputed_accuracy"])
    own = chosen[chosen["rate"] == best_rates.OWN]
    yield plain("best_rate", own, own["learning_rate"])
    yield compared("group_minus_batch", of["group norm"], batch)
    yield compared("batch_minus_none", batch, none)
    yield compared("none_minus_batch", none, batch)
    yield compared("recomputed_minus_running", retaken, batch)
    yield compared("group_minus_recomputed", of["group norm"], retaken)
    below = plain("below_twice_chance", batch, 2 * CHANCE - batch["test_accuracy"])
    yield best_rates.once(below.drop(columns="normalisation"), CELL)
    yield lead_lost(best_rates.minus(batch, none, [*CELL, "rate"]))


def lead_lost(leads: pd.DataFrame) -> pd.DataFrame:
    """The lead at the smallest batch above LARGE minus that at each other size; empty without."""
    large = leads.loc[leads["batch_size"] > LARGE, "batch_size"]
    at = leads[leads["batch_size"] == large.min()]
    on = [name for name in (*CELL, "rate", "seed") if name != "batch_size"]
    both = leads[leads["batch_size"] < large.min()].merge(at[[*on, "value"]], on=on)
    both = both.assign(value=both["value_y"] - both["value_x"], quantity="lead_lost")
    return best_rates.once(both.drop(columns=["value_x", "value_y", "a", "b"]), CELL)
