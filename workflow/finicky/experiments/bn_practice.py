"""Batch norm in practice: where it stands, what its noise does, what its running averages are.

Small networks, fully connected and convolutional, on a small training set, until all of it is
learnt: without batch norm, with it before the activation and after it, with statistics of ghost
batches, and with dropout.
"""

import pandas as pd

TITLE = "Batch norm in practice: place, noise, running averages"
READS = []
DATASETS = ["mnist", "fashion_mnist"]
SETTINGS = {
    "datasets": ("datasets", "data sets"),
    "networks": (
        {
            "type": "array",
            "minItems": 1,
            "uniqueItems": True,
            "items": {"enum": ["fully connected", "convolutional"]},
        },
        "networks",
    ),
    "images": ("images", "training images"),
    "epochs": ("count", "epochs in batches of 64"),
    "hidden_layers": ("count", "hidden layers of the fully connected network"),
    "width": (
        {"type": "integer", "minimum": 4, "multipleOf": 4, "maximum": 100000},
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
    "whole_batch": ("count", "images in a batch of the trainings with ghost batches"),
    "ghosts": ("counts", "images that share their statistics within such a batch"),
    "ghost_epochs": ("count", "epochs of these trainings"),
    "dropout": ("share", "share of units that dropout silences, in the same batches"),
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
}


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, condition and seed; QUANTITIES says what each number is."""
    raise NotImplementedError
