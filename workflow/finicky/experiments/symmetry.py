"""What happens to a network whose weights start equal: do its units ever part, and does it learn?

Networks of the engine's family start from zero weights, from constant ones, with one layer zero,
and at random. Units of a layer with equal weights give equal outputs and get equal gradients, so
they stay equal; whether they move at all is up to activation and biases. Second, the chapter's war
story: a small convolutional network with zero weights, then with random ones, on a binary task.
"""

import itertools
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import nn

from finicky.engine import train as engine
from finicky.experiments import binary_story, stacked, tidy, training
from finicky.experiments.binary_story import CHAPTER_RATE
from finicky.experiments.grid import MEANT_FOR
from finicky.runs import Run

TITLE = "Equal weights: symmetry, rank, and a network that never learned"
READS = []
DATASETS = ["mnist", "fashion_mnist"]
SETTINGS = {
    "datasets": ("datasets", "data sets"),
    "depths": ("depths", "layers of the fully connected networks"),
    "width": ({"type": "integer", "minimum": 2, "maximum": 4096}, "units of a hidden layer"),
    "images": ("images", "training images of the fully connected networks"),
    "epochs": ("count", "passes over them"),
    "rates": ("rates", "learning rates of Adam from zero weights; 0.001 is the chapter's"),
    "binary_images": (
        {"type": "integer", "minimum": 20, "multipleOf": 20, "maximum": 10000},
        "training images of the binary task",
    ),
    "binary_epochs": ({"type": "integer", "minimum": 2, "maximum": 10000}, "passes over them"),
    "binary_rates": ("rates", "learning rates of Adam among which each start has its best"),
    "channels": ({"type": "integer", "minimum": 1, "maximum": 256},
                 "of the first convolution; the second has twice as many"),
}  # fmt: skip
QUANTITIES = {
    "units_differ": ("", "after training by Adam in float64: largest difference between the "
                     "weights of two units of a hidden layer, into them or out of them, over the "
                     "largest of these weights"),
    "units_differ_with_dropout": ("", "the same from zero weights with dropout of one half, in "
                                  "float32"),
    "rank": ("", "rank of the first layer's weights, singular values above 1e-6 of the largest, "
             "by step of the training"),
    "rank_at_end": ("", "the same after the last step"),
    "test_accuracy": ("%", "after training by Adam"),
    "beyond_one_class": ("pp", "test accuracy minus the share of test images that are of the class "
                         "which the network names most often: 0 if it names only one"),
    "furthest_loss": ("nats", "binary task, zero weights, Adam at 0.001: of the training losses "
                      "after each epoch, the one furthest from ln 2"),
    "entropy": ("nats", "of the two classes' shares: the loss of always answering with them"),
    "binary_loss": ("nats", "binary task: training loss by epoch, Adam at 0.001"),
    "binary_accuracy": ("%", "binary task: test accuracy, as many images of each class, by epoch, "
                        "Adam at 0.001"),
    "filter_gradient": ("", "binary task, zero weights: largest length of the gradient by the "
                        "weights of both convolutions after any epoch"),
    "zero_outputs": ("%", "binary task, zero weights: outputs of the convolutions' units that are "
                     "exactly 0 after training"),
    "random_minus_zeros": ("pp", "binary task, balanced: test accuracy from random weights minus "
                           "from zero weights"),
    "random_minus_zeros_loss": ("nats", "binary task, balanced: training loss from zero weights "
                                "minus from random ones"),
}  # fmt: skip
CONDITIONS = {
    "dataset": "level",
    # constant: every weight of a layer 1/n_in; random: the initialiser meant for the activation
    "start": ["zeros", "constant", "first layer zero", "last layer zero", "random"],
    "activation": "level",
    "bias": "boolean",
    "depth": "integer",
    "learning_rate": "number",
    "rate": ["chapter", "own best"],
    "positives": "integer",  # images of the class 1, in %
    "step": "integer",
    "epoch": "integer",
    "after": ["first epoch", "last epoch"],
}

BUDGET = {
    "{images} images of {dataset}, {epochs} epochs": [
        "units_differ",
        "units_differ_with_dropout",
        "rank",
        "rank_at_end",
        "test_accuracy",
        "beyond_one_class",
    ],
    "{binary_images} images of {dataset}, {binary_epochs} epochs": [
        "furthest_loss",
        "binary_loss",
        "binary_accuracy",
        "filter_gradient",
        "zero_outputs",
        "random_minus_zeros",
        "random_minus_zeros_loss",
    ],
}
ACTIVATIONS = ["relu", "leaky_relu", "tanh", "sigmoid", "selu"]
PARTLY_ZERO = {"first layer zero": 0, "last layer zero": -1}
FUSED = 10  # networks trained together
AT_ONCE = 5000  # images that they answer together
RANK = 1e-6  # of the largest singular value


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, condition and seed; QUANTITIES says what each number is."""
    rows = []
    for name in settings["datasets"]:
        found = equal_starts(name, settings) + with_dropout(name, settings)
        found += binary_story.rows_of_story(name, settings)
        rows += [row | {"dataset": name} for row in found]
    return tidy.from_rows(rows, CONDITIONS)


# ---- Fully connected networks, by the engine ----------------------------------------------------


@dataclass(frozen=True)
class Equal:
    """A run, its kind of start, and whether it has biases."""

    run: Run
    start: str
    bias: bool


class Fused(engine.FusedBatch):
    """Such runs side by side, in float64; those without biases never change them."""

    def __init__(self, members: list[Equal], dataset):
        self.members = members
        runs = [member.run for member in members]
        super().__init__(runs, dataset, runs[0].device, torch.float64)
        for row, member in enumerate(members):
            weights = self.network.parameters.weights
            if member.start == "constant":
                for w in weights:
                    w[row].fill_(1 / w.shape[1])
            elif member.start in PARTLY_ZERO:
                weights[PARTLY_ZERO[member.start]][row].zero_()

    def update(self, run):
        """The optimizer's step of one run."""
        if not self.members[run].bias:
            for gradient in self.network.gradients.biases:
                gradient[run].zero_()
        super().update(run)


def equal_starts(name: str, settings: dict) -> list[dict]:
    """Rows of all starts, activations and depths, with and without biases."""
    dataset, rows = training.prepared(name, settings, settings["images"]), []
    for depth, activation, bias in itertools.product(
        settings["depths"], ACTIVATIONS, (True, False)
    ):
        starts = [("zeros", rate) for rate in sorted({CHAPTER_RATE, *settings["rates"]})]
        starts.append(("constant", CHAPTER_RATE))
        if bias:
            starts.append(("random", CHAPTER_RATE))
            if depth == min(settings["depths"]):
                starts += [(start, CHAPTER_RATE) for start in PARTLY_ZERO]
        members = [
            Equal(
                training.run(
                    settings, settings["images"], seed, dataset=name, epochs=settings["epochs"],
                    depth=depth, width=settings["width"], activation=activation,
                    init="zeros" if start == "zeros" else MEANT_FOR[activation],
                    learning_rate=rate,
                ),
                start,
                bias,
            )
            for seed in settings["seeds"]
            for start, rate in starts
        ]  # fmt: skip
        for first in range(0, len(members), FUSED):
            rows += trained(members[first : first + FUSED], dataset)
    return rows


def trained(members: list[Equal], dataset) -> list[dict]:
    """Rows of runs that are trained side by side."""
    batch, run, rows = Fused(members, dataset), members[0].run, []
    shown = {0, *np.geomspace(1, run.steps, 8).round().astype(int).tolist()}
    wheres = [
        {"seed": m.run.seed, "start": m.start, "activation": m.run.activation, "bias": m.bias,
         "depth": m.run.depth, "learning_rate": m.run.learning_rate}
        for m in members
    ]  # fmt: skip

    def found(quantity, values, **more):
        for where, value in zip(wheres, values, strict=True):
            rows.append({"quantity": quantity, "value": float(value)} | where | more)

    ranks = rank(batch.network.parameters.weights[0])
    found("rank", ranks, step=0)
    for step in training.each_step(batch, run.steps):
        if step in shown:
            ranks = rank(batch.network.parameters.weights[0])
            found("rank", ranks, step=step)
    found("rank_at_end", ranks)
    found("units_differ", units_differ(batch.network.parameters))
    accuracies, commonest = answers(batch.network, dataset)
    found("test_accuracy", accuracies)
    found("beyond_one_class", accuracies - commonest)
    return rows


def rank(weights: torch.Tensor) -> np.ndarray:
    """Rank of each of the matrices [R, in, out]: singular values above RANK of the largest."""
    s = torch.linalg.svdvals(weights)
    return (s > RANK * s[:, :1]).sum(1).cpu().numpy()


@torch.no_grad()
def units_differ(parameters) -> np.ndarray:
    """How far apart the units of a hidden layer are, at most, of each of R networks.

    parameters: weights [R, in, out] and biases [R, 1, out] by layer. The largest difference of any
    weight into or out of two units, over the largest such weight; 0 where all are zero.
    """
    worst = 0.0
    for layer, (weights, biases) in enumerate(
        zip(parameters.weights[:-1], parameters.biases[:-1], strict=True)
    ):
        units = torch.cat([weights, biases, parameters.weights[layer + 1].mT], 1)
        spread = (units.amax(2) - units.amin(2)).amax(1)
        largest = units.abs().amax((1, 2))
        worst = np.maximum(worst, torch.where(largest > 0, spread / largest, 0).cpu().numpy())
    return worst


@torch.no_grad()
def answers(network, dataset) -> tuple[np.ndarray, np.ndarray]:
    """(test accuracy, share of the test images that are of the class that is named most) of each
    network, in %."""
    named = []
    for pixels in dataset.test.images.split(AT_ONCE):
        x = dataset.normalise(pixels, dtype=network.parameters.flat.dtype)
        named.append(network.predict(x).argmax(1))
    named, labels = torch.cat(named, 1), dataset.test.labels
    right = (named == labels).double().mean(1)
    classes = torch.stack([torch.bincount(answer, minlength=10).argmax() for answer in named])
    shares = torch.bincount(labels, minlength=10)[classes].double() / len(labels)
    return 100 * right.cpu().numpy(), 100 * shares.cpu().numpy()


def with_dropout(name: str, settings: dict) -> list[dict]:
    """Rows of networks of two layers with dropout, from zero weights."""
    dataset, rows = training.prepared(name, settings, settings["images"]), []
    seeds, width = settings["seeds"], settings["width"]
    for activation in ACTIVATIONS:
        hidden = stacked.Dense(seeds, 784, width, "zeros", 0)
        last = stacked.Dense(seeds, width, 10, "zeros", 1)
        network = nn.Sequential(
            hidden, stacked.Activation(activation), stacked.Dropout(seeds, 0.5), last
        )
        recipe = stacked.Recipe(
            seeds, [CHAPTER_RATE] * len(seeds), settings["images"], settings["epochs"]
        )
        stacked.train(network, dataset, recipe)
        where = {"start": "zeros", "activation": activation, "bias": True, "depth": 2}
        where |= {"quantity": "units_differ_with_dropout", "learning_rate": CHAPTER_RATE}
        layers = Layers([hidden.weight, last.weight], [hidden.bias, last.bias])
        for seed, value in zip(seeds, units_differ(layers), strict=True):
            rows.append(where | {"seed": seed, "value": float(value)})
    return rows


@dataclass(frozen=True)
class Layers:
    """Weights [R, in, out] and biases [R, 1, out] of networks that are not the engine's."""

    weights: list
    biases: list
