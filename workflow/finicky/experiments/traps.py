"""Five traps, each with and without: raw inputs, sigmoid, sorted images, training mode at test
time, and a loss that is NaN.

The first three are trainings that differ in one thing, at the chapter's learning rate and each at
its own best one. The fourth asks trained networks the same questions in both modes. The last makes
the loss NaN in every way we know and trains on.
"""

import copy
import itertools

import pandas as pd
import torch
from torch import nn
from torch.nn import functional

from finicky.engine import evaluation, streams
from finicky.engine.train import Dataset
from finicky.experiments import arms, nan_losses, stacked, tidy, training

TITLE = "Five traps, with and without"
READS = []
DATASETS = ["mnist", "fashion_mnist"]
SETTINGS = {
    "datasets": ("datasets", "data sets"),
    "depth": ("depths", "layers of the networks"),
    "width": ({"type": "integer", "minimum": 4, "maximum": 16384}, "units of a hidden layer"),
    "images": ("images", "training images"),
    "epochs": ("epochs", "passes over them"),
    "rates": ("rates_by_optimizer", "learning rates to choose from; the recommended one is added"),
    "looks": (
        {"type": "integer", "minimum": 2, "maximum": 1000},
        "evaluations of the last epoch, for the swing of sorted images",
    ),
    "dropout": ("dropouts", "shares of units that dropout sets to 0"),
    "batch_sizes": (
        {"type": "array", "minItems": 1, "uniqueItems": True,
         "items": {"type": "integer", "minimum": 2, "maximum": 10000}},
        "test images that are asked at once",
    ),
    "steps_after_nan": ("steps", "steps of training after the loss became NaN"),
}  # fmt: skip
QUANTITIES = {
    "scaled_minus_raw": ("pp", "test accuracy after training: scaled inputs minus pixels from 0 to "
                         "255"),
    "relu_minus_sigmoid": ("pp", "test accuracy after training: ReLU from He minus sigmoid from "
                           "Xavier"),
    "swing_added": ("pp", "swing with images sorted by class minus swing with shuffled ones: "
                    "highest minus lowest test accuracy of a class within the last epoch, mean "
                    "over classes"),
    "shuffled_minus_sorted": ("pp", "test accuracy after training: shuffled every epoch minus "
                              "sorted by class"),
    "shuffled_minus_once": ("pp", "the same: shuffled every epoch minus shuffled once"),
    "answers_changed": ("%", "test images that get another answer in training mode"),
    "accuracy_lost": ("pp", "test accuracy in evaluation mode minus that in training mode"),
    "never_recovers": ("0/1", "0 if a loss is finite again after one that was NaN, within the "
                       "steps that the settings give"),
    "recovers_if_skipped": ("0/1", "whether it is finite again if updates that are not finite are "
                            "left out"),
}  # fmt: skip
CONDITIONS = {
    "dataset": "level",
    "depth": "integer",
    "optimizer": "level",
    "rate": ["chapter", "own best"],
    "scale": ["0 to 1", "mean 0, deviation 1"],
    "layer": ["dropout", "batch norm"],
    "dropout": "number",
    "batch_size": "integer",
    "order": ["mixed", "sorted by class"],
    "cause": [
        "rate too high",
        "NaN in an image",
        "log 0, automatic gradient",
        "log 0, gradient p − y",
    ],
    "images": "integer",
    "epochs": "integer",
}
LIMITS = {"images % 64 != 1": "no batch of one image"}
BUDGET = {
    "{images} images of {dataset}, {epochs} epochs": [
        "scaled_minus_raw",
        "relu_minus_sigmoid",
        "swing_added",
        "shuffled_minus_sorted",
        "shuffled_minus_once",
        "answers_changed",
        "accuracy_lost",
    ],
}


PLAIN = "mean 0, deviation 1"
SCALES = {"0 to 255": 1.0, "0 to 1": 1 / 255}  # what pixels are multiplied with
ORDERS = "shuffled", "once", "sorted"
LOOKED_AT = 2000  # test images of each look
ASKED = 2000  # test images in training mode
RELU, SIGMOID = ("relu", "he"), ("sigmoid", "xavier")


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, condition and seed; QUANTITIES says what each number is."""
    rows = nan_losses.measured(settings["seeds"], settings["steps_after_nan"])
    for name in settings["datasets"]:
        dataset = training.prepared(name, settings, settings["images"])
        for depth in settings["depth"]:
            found = [
                *of_trainings(dataset, name, depth, settings),
                *of_order(dataset, name, depth, settings),
                *of_modes(dataset, depth, settings),
            ]
            where = {"dataset": name, "depth": depth}
            where |= {"images": settings["images"], "epochs": settings["epochs"]}
            rows += [row | where for row in found]
    return tidy.from_rows(rows, CONDITIONS)


# ---- Inputs and activations ---------------------------------------------------------------------


def rescaled(dataset: Dataset, factor: float) -> Dataset:
    """The data set with pixels times `factor` for inputs, in place of mean 0 and deviation 1."""
    other = copy.copy(dataset)
    other.scale, other.shift = factor, torch.zeros_like(dataset.shift)
    return other


def of_trainings(dataset, name, depth, settings):
    """Yields the rows of raw inputs and of sigmoid."""

    def trained(kind, images_of=dataset):
        levels = {"dataset": name, "depth": depth, "activation": kind[0], "init": kind[1]}
        return arms.trained(settings, images_of, settings["rates"], **levels)

    scaled = trained(RELU)
    yield from arms.compared(scaled, trained(SIGMOID), "relu_minus_sigmoid")
    raw, unit = (trained(RELU, rescaled(dataset, factor)) for factor in SCALES.values())
    for scale, rows in (("0 to 1", unit), (PLAIN, scaled)):
        yield from arms.compared(rows, raw, "scaled_minus_raw", scale=scale)


# ---- Order --------------------------------------------------------------------------------------


class Ordered(training.Batch):
    """Trainings whose images come in one of ORDERS: in a new order every epoch, in the same random
    one, or in the same one, sorted by class."""

    def __init__(self, runs, dataset, order):
        self.order = order
        super().__init__([training.Training(run) for run in runs], dataset)

    def batches(self, epoch):
        """As the engine's: pairs (index int64 [S, B], targets int64 [R, 1, B])."""
        if self.order == "shuffled":
            return super().batches(epoch)
        if self.order == "once":
            return super().batches(1)
        labels = self.dataset.train.labels
        index = labels.argsort(stable=True).expand(len(self.seeds), -1)
        targets = labels[index][self.group].unsqueeze(1)
        return list(zip(index.split(self.size, 1), targets.split(self.size, 2), strict=True))


def of_order(dataset, name, depth, settings):
    """Yields the rows of the three orders."""
    found = {order: ordered(dataset, name, depth, settings, order) for order in ORDERS}
    shuffled = found["shuffled"]
    for order in ("sorted", "once"):
        yield from arms.compared(shuffled, found[order], f"shuffled_minus_{order}")
    for row in arms.compared(found["sorted"], shuffled, "swing_added", "swing"):
        yield row | {"a": None, "b": None}  # no accuracies


def ordered(dataset, name, depth, settings, order) -> pd.DataFrame:
    """One row per training in this order: optimizer, learning_rate, seed, outcome, accuracies, and
    `swing` in points."""
    rows, images, seeds = [], settings["images"], settings["seeds"]
    levels = {"dataset": name, "depth": depth, "width": settings["width"]}
    for optimizer, rates in settings["rates"].items():
        ladder = arms.ladder(optimizer, rates)
        runs = [
            training.run(settings, images, seed, optimizer=optimizer, learning_rate=rate, **levels)
            for rate in ladder
            for seed in seeds
        ]
        batch = Ordered(runs, dataset, order)
        swings = swing(batch, settings["epochs"], settings["looks"])
        sound = batch.network.parameters.flat.isfinite().all(1).tolist()
        scores = {
            f"{split}_accuracy": [accuracy for _, accuracy in batch.scores(split)]
            for split in ("validation", "test")
        }
        ends = arms.of_replicas(sound, **scores)
        for run, end, of in zip(runs, ends, swings, strict=True):
            row = {"optimizer": optimizer, "learning_rate": run.learning_rate, "seed": run.seed}
            rows.append(row | end | {"swing": of})
    return pd.DataFrame(rows)


def swing(batch, epochs, looks) -> list[float]:
    """Train to the end; the swing of each run: highest minus lowest test accuracy of a class at
    so many looks within the last epoch, mean over classes, in points. 0 for a network that says
    NaN, as it gives one answer throughout."""
    steps = -(-batch.images // batch.size)
    wanted = {steps * (epochs - 1) + round(steps * (i + 1) / looks) for i in range(looks)}
    test = training.first(batch.dataset.test, LOOKED_AT)
    seen = [
        by_class(batch.network, batch.dataset, test)
        for step in training.each_step(batch, steps * epochs)
        if step in wanted
    ]
    seen = torch.stack(seen)
    return (seen.amax(0) - seen.amin(0)).mean(1).tolist()


def by_class(network, dataset, split):
    """Accuracy in % of each run on each class of a split: [R, classes]."""
    right = [right for _, right in evaluation.answers(network, dataset, split, LOOKED_AT)]
    right = torch.cat(right, 2)[:, 0].double()
    classes = functional.one_hot(split.labels).double()
    return 100 * right @ classes / classes.sum(0)


# ---- Modes --------------------------------------------------------------------------------------


def of_modes(dataset, depth, settings):
    """Yields the rows of networks with dropout and with batch norm, asked in both modes."""
    seeds, width = settings["seeds"], settings["width"]
    for share in settings["dropout"]:
        made = network(seeds, depth, width, share)
        for row in asked(made, dataset, settings, [(ASKED, "mixed")]):
            del row["batch_size"], row["order"]  # each image is dropped from by itself
            yield row | {"layer": "dropout", "dropout": share}
    ways = itertools.product(settings["batch_sizes"], ["mixed", "sorted by class"])
    for row in asked(network(seeds, depth, width), dataset, settings, list(ways)):
        yield row | {"layer": "batch norm"}


def network(seeds, depth, width, dropout=None) -> nn.Module:
    """A fully connected ReLU network of this depth: each hidden layer with dropout of this share
    after its activation, or else with batch norm before it."""
    layers, inside = [], stacked.SIDE**2
    for name in range(depth - 1):
        layers.append(stacked.Dense(seeds, inside, width, name=name))
        if dropout is None:
            layers.append(stacked.Normalisation("batch", len(seeds), width))
        layers.append(stacked.Activation("relu"))
        if dropout is not None:
            layers.append(stacked.Dropout(seeds, dropout, name))
        inside = width
    return nn.Sequential(*layers, stacked.Dense(seeds, inside, 10, name=depth - 1))


@torch.no_grad()
def asked(made, dataset, settings, ways):
    """Train networks with Adam, ask them about test images in evaluation mode, and in training mode
    in each of these ways (batch_size, order); yields the rows of what differs."""
    seeds, test = settings["seeds"], dataset.test
    recipe = stacked.Recipe(
        seeds, [arms.RATES["adam"]] * len(seeds), settings["images"], settings["epochs"]
    )
    with torch.enable_grad():
        stacked.train(made, dataset, recipe)
    images, labels = test.images[:ASKED], test.labels[:ASKED]
    made.eval()
    usual = stacked.predict(made, dataset.normalise(images)).argmax(2)
    accuracy = (usual == labels[:, None]).double().mean(0)
    made.train()
    for batch_size, order in ways:
        place = arranged(labels, order)
        answers = [
            stacked.predict(made, dataset.normalise(images[some])).argmax(2)
            for some in place.split(batch_size)
            if len(some) > 1
        ]
        answers = torch.cat(answers)
        place = place[: len(answers)]
        changed = (answers != usual[place]).double().mean(0)
        lost = accuracy - (answers == labels[place, None]).double().mean(0)
        where = {"batch_size": batch_size, "order": order}
        for quantity, values in (("answers_changed", changed), ("accuracy_lost", lost)):
            for seed, value in zip(seeds, (100 * values).tolist(), strict=True):
                yield {"quantity": quantity, "seed": seed, "value": value, **where}


def arranged(labels, order):
    """Which of the images come one after the other: a permutation, or sorted by class."""
    if order == "mixed":
        return streams.permutation(len(labels), "asked").to(labels.device)
    return labels.argsort(stable=True)
