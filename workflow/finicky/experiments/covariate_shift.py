"""Does batch norm keep the distributions of hidden activations, and is it their shift that slows
learning?

Internal covariate shift has two definitions: how far the distribution of a unit's activations moves
during training (Ioffe and Szegedy 2015), and how much the gradient of a layer changes when the
layers before it take their step (Santurkar et al. 2018, definition 2.1). Both are measured in the
same networks. The control that decides is batch norm with a shift put in behind it: its layers see
what batch norm is said to prevent.
"""

import pandas as pd

TITLE = "Internal covariate shift, with and without batch norm"
READS = []
DATASETS = ["mnist", "fashion_mnist"]
SETTINGS = {
    "datasets": ("datasets", "data sets"),
    "images": ("images", "training images"),
    "epochs": ("count", "passes over them"),
    "width": ({"type": "integer", "minimum": 1, "maximum": 100000}, "units of a hidden layer"),
    "depth": (
        {"type": "integer", "minimum": 4, "multipleOf": 2, "maximum": 1000},
        "layers of the networks",
    ),
    "rates": ("rates", "learning rates of momentum beside the chapter's 0.1"),
    "every": ("count", "steps between two measurements of the gradients' change"),
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
    "activation": "level",
    "rate": ["chapter", "own best"],
    "definition": ["moments", "gradients"],
    "network": ["plain", "batch norm", "shift drawn anew", "drifting shift"],
    "injected": ["drawn anew", "drifting"],
    "layer": "integer",
}


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, condition and seed; QUANTITIES says what each number is."""
    raise NotImplementedError
