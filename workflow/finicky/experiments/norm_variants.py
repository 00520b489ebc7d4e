"""Batch, layer, instance and group norm, and none: which is ahead at which batch size?

A small convolutional network and a fully connected one, with each normalisation before its
activations, see the same images in batches from a single image to hundreds. Nothing else changes,
save the learning rate: once the chapter's, once the best of each arm.
"""

import pandas as pd

TITLE = "Four normalisations by batch size"
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
    "epochs": ("count", "epochs"),
    "batch_sizes": ("counts", "images in a batch"),
    "width": (
        {"type": "integer", "minimum": 4, "multipleOf": 4, "maximum": 100000},
        "units of a hidden layer of the fully connected network, in 4 groups for group norm",
    ),
    "rates": ("rates_by_optimizer", "learning rates that each arm is trained at"),
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
    "normalisation": ["batch", "layer", "instance", "group", "none"],
    "optimizer": "level",
    "batch_size": "integer",
    "rate": ["chapter", "own best"],
}


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, condition and seed; QUANTITIES says what each number is."""
    raise NotImplementedError
