"""Does batch norm keep the distributions of hidden activations, and is it their shift that slows
learning?

Internal covariate shift has two definitions: how far the distribution of a unit's activations moves
during training (Ioffe and Szegedy 2015), and how much the gradient of a layer changes when the
layers before it take their step (Santurkar et al. 2018, definition 2.1). Both are measured in the
same networks. The control that decides is batch norm with a shift put in behind it: its layers see
what batch norm is said to prevent.
"""

import itertools

import numpy as np
import pandas as pd
import torch

from finicky.data import CHANCE
from finicky.experiments import best_rates, tidy, training, tuning
from finicky.experiments.best_rates import OWN
from finicky.experiments.shifted import Watched, distance_of_moments, drawn_anew, drifting

TITLE = "Internal covariate shift, with and without batch norm"
READS = []
DATASETS = ["mnist", "fashion_mnist"]
SETTINGS = {
    "datasets": ("datasets", "data sets"),
    "images": ("images", "training images"),
    "epochs": ("epochs", "passes over them"),
    "width": ("width", "units of a hidden layer"),
    "depth": (
        {"type": "integer", "minimum": 4, "multipleOf": 2, "maximum": 1000},
        "layers of the networks",
    ),
    "rates": ("rates", "learning rates of momentum beside the chapter's 0.1"),
    "every": ("steps", "steps between two measurements of the gradients' change"),
    "scored": ("count", "batches of held-out images on which accuracies are taken"),
    "jump": (
        {"type": "array", "minItems": 2, "maxItems": 2,
         "items": {"type": "number", "minimum": 0, "maximum": 100}},
        "a shift drawn anew: the mean moves by up to so many deviations, the scale grows by up to "
        "this factor",
    ),
    "drift": (
        {"type": "array", "minItems": 2, "maxItems": 2,
         "items": {"type": "number", "minimum": 0, "maximum": 100}},
        "a drifting shift: the same at the end of training",
    ),
}  # fmt: skip
BUDGET = "{images} images of {dataset}, {epochs} epochs"
QUANTITIES = {
    "shift": ("", "internal covariate shift, mean over the layers. Moments: distance of a unit's "
              "mean and deviation at the end of training from those at the start, in deviations at "
              "the start, median over the units. Gradients: change of a layer's weight gradient by "
              "the step of the layers before it, relative, median over the training"),
    "layer_shift": ("", "the same by hidden layer; of gradients also that of the output layer"),
    "gradient_cosine": ("", "cosine between a layer's weight gradient before and after the step of "
                        "the layers before it, mean over the layers, median over the training"),
    "shift_halved": ("doublings", "log2 of the shift without batch norm over that with it"),
    "accuracy": ("%", "test accuracy after the training, each batch by its own statistics and with "
                 "the shift that is put in"),
    "best_rate": ("", "learning rate that is best for the other seeds' validation images"),
    "gain": ("pp", "that accuracy: with batch norm minus without"),
    "gain_lost": ("%", "share of batch norm's gain that is lost with a shift put in behind it; "
                  "left out where the median gain is below 1 point"),
}  # fmt: skip
CONDITIONS = {
    "dataset": "level",
    "images": "integer",
    "epochs": "integer",
    "activation": "level",
    "rate": ["chapter", "own best"],
    "definition": ["moments", "gradients"],
    "network": ["plain", "batch norm", "shift drawn anew", "drifting shift"],
    "injected": ["drawn anew", "drifting"],
    "layer": "integer",
}
LIMITS = {
    "images % 64 != 1": "no batch of one image",
}


PLAIN, NORMED, ANEW, DRIFTING = CONDITIONS["network"]
ACTIVATIONS = ["relu", "tanh", "sigmoid"]
RATE = tuning.RECOMMENDED_RATES["momentum"]
GAINS = 1.0  # points of accuracy that are a gain


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, condition and seed; QUANTITIES says what each number is."""
    parts = []
    for name in settings["datasets"]:
        dataset = training.prepared(name, settings, settings["images"])
        for activation in ACTIVATIONS:
            ends = pd.DataFrame(trained(dataset, name, activation, settings))
            found = compared(best_rates.at_rates(ends, ["network"]))
            parts.append(found.assign(dataset=name, activation=activation))
    table = pd.concat(parts).fillna({"outcome": "finite"})
    table = table.assign(images=settings["images"], epochs=settings["epochs"])
    return tidy.from_rows(table.to_dict("records"), CONDITIONS)


# ---- Training ------------------------------------------------------------------------------------


def trained(dataset, name, activation, settings):
    """Train every network of an activation with every seed and rate; yields one dict each: network,
    seed, learning_rate, validation and test accuracy (%), layer shifts of both kinds, cosines."""
    rates = sorted({*settings["rates"], RATE})
    shape = settings["depth"] - 1, 1, settings["width"]
    kinds = {
        PLAIN: ("plain", lambda seed: None),
        NORMED: ("batch_norm", lambda seed: None),
        ANEW: ("batch_norm", lambda seed: drawn_anew(seed, shape, settings["jump"])),
        DRIFTING: ("batch_norm", lambda seed: drifting(seed, shape, settings["drift"])),
    }
    for (network, (block, shift)), seed in itertools.product(kinds.items(), settings["seeds"]):
        runs = [
            training.run(
                settings, settings["images"], seed, dataset=name, epochs=settings["epochs"],
                depth=settings["depth"], width=settings["width"], block=block,
                activation=activation, optimizer="momentum", learning_rate=rate,
            )
            for rate in rates
        ]  # fmt: skip
        yield from watch(runs, dataset, shift(seed), settings, network=network)


def watch(runs, dataset, shift, settings, **levels):
    """Train the runs of one seed; yields a dict each, with the levels."""
    batch = Watched(runs, dataset, shift, settings["every"], runs[0].steps)
    start = batch.moments()
    for _ in training.each_step(batch, runs[0].steps):
        pass
    moments = distance_of_moments(start, batch.moments())
    changes, cosines = (torch.stack(of).median(0).values for of in (batch.changes, batch.cosines))
    validation, test = (
        batch.accuracies(split, settings["scored"]) for split in (dataset.validation, dataset.test)
    )
    for row, run in enumerate(runs):
        failed = np.isnan([validation[row], test[row]]).any()
        yield levels | {
            "seed": run.seed,
            "optimizer": run.optimizer,
            "learning_rate": run.learning_rate,
            "outcome": "nan" if failed else "finite",
            "validation_accuracy": CHANCE if failed else validation[row],
            "accuracy": CHANCE if failed else test[row],
            "moments": moments[:, row].tolist(),
            "gradients": changes[row].tolist(),
            "cosine": float(cosines[row].mean()),
        }


# ---- Comparing -----------------------------------------------------------------------------------


def compared(ends):
    """The quantities as a frame, of trainings at both rates (best_rates) of one activation and
    data set."""
    rows = []
    for one in ends.to_dict("records"):
        at = {name: one[name] for name in ("seed", "rate", "network", "outcome")}
        rows.append(at | {"quantity": "accuracy", "value": one["accuracy"]})
        rows.append(at | {"quantity": "gradient_cosine", "value": one["cosine"]})
        if one["rate"] == OWN:
            rows.append(at | {"quantity": "best_rate", "value": one["learning_rate"]})
        for definition, first in (("moments", 1), ("gradients", 2)):
            here, layers = at | {"definition": definition}, one[definition]
            rows.append(here | {"quantity": "shift", "value": float(np.mean(layers))})
            for layer, shift in enumerate(layers, start=first):
                rows.append(here | {"quantity": "layer_shift", "value": shift, "layer": layer})
    table = pd.DataFrame(rows)
    table = pd.concat([table, halves(table[table["quantity"] == "shift"]), gains(ends)])
    return without_repetitions(table.reset_index(drop=True))


def halves(shifts):
    """How much smaller the shift is with batch norm, of rows of shifts."""
    plain, normed = (
        shifts[shifts["network"] == network].set_index(["seed", "rate", "definition"])["value"]
        for network in (PLAIN, NORMED)
    )
    return np.log2(plain / normed).reset_index().assign(quantity="shift_halved")


def gains(ends):
    """What batch norm gains, and the share of it that each shift takes."""
    found = []
    for rate, at_rate in ends.groupby("rate"):
        accuracy = at_rate.pivot(index="seed", columns="network", values="accuracy")
        a, b = accuracy[NORMED], accuracy[PLAIN]
        found.append(pd.DataFrame({"value": a - b, "a": a, "b": b, "quantity": "gain"}))
        gain = (a - b).median()
        for network, injected in ((ANEW, "drawn anew"), (DRIFTING, "drifting")):
            lost = 100 * (a - accuracy[network]) / gain
            lost = pd.DataFrame({"value": lost, "quantity": "gain_lost", "injected": injected})
            found.append(lost if gain >= GAINS else lost[:0])
        found = [one if "rate" in one else one.reset_index().assign(rate=rate) for one in found]
    return pd.concat(found)


def without_repetitions(table):
    """Without the rows at own best rates that are those at the chapter's rate for every seed, which
    are no second measurement. Accuracies and layers stay, as nobody judges them."""
    judged = ~table["quantity"].isin(["accuracy", "layer_shift", "best_rate"])
    once = best_rates.once(table[judged], ["quantity", "network", "definition", "injected"])
    return pd.concat([table[~judged], once])
