"""Overfitting and underfitting: do they come, and does what the chapter advises help?

A network far larger than its training set is trained on and on, without any remedy, with each alone
and with all together. Then two networks that underfit, too small or trained too briefly, are made
wider, deeper, or trained for longer.
"""

import pandas as pd

TITLE = "Overfitting and underfitting, and their remedies"
READS = []
DATASETS = ["mnist", "fashion_mnist"]
SETTINGS = {
    "datasets": ("datasets", "data sets"),
    "images": ("counts", "training images: sizes of the small training set"),
    "epochs": ("count", "epochs on it"),
    "held_out": (
        {"type": "integer", "minimum": 100, "maximum": 5000},
        "held-out images that the validation curves are of",
    ),
    "width": (
        {"type": "integer", "minimum": 1, "maximum": 100000},
        "units of each of the two hidden layers",
    ),
    "rates": ("rates", "learning rates of Adam that each arm is trained at"),
    "penalties": ("positives", "λ of the L2 penalty λ Σθ² to choose from"),
    "dropouts": ("shares", "shares of dropout to choose from"),
    "shifts": ("counts", "pixels that augmentation moves an image by at most, to choose from"),
    "underfit": (
        {
            "type": "object",
            "additionalProperties": False,
            "required": ["images", "epochs", "few_units", "units", "cure"],
            "properties": {
                "images": {"$ref": "#/$defs/images"},
                "epochs": {"$ref": "#/$defs/count"},
                "few_units": {"$ref": "#/$defs/count"},
                "units": {"$ref": "#/$defs/count"},
                "cure": {"type": "integer", "minimum": 2, "maximum": 100},
            },
        },
        "underfitting: training images, epochs of the network of few units, its units, the units "
        "of the network that is trained for one epoch, and how many times as many cure",
    ),
}
QUANTITIES = {
    "loss": ("nats", "loss by epoch, at the strength that is best at the chapter's rate"),
    "accuracy": ("%", "accuracy by epoch, at the strength that is best at the chapter's rate"),
    "test_accuracy": ("%", "test accuracy at the end, at the best strength"),
    "overfits": ("0/1", "no remedy: whether the end is worse on the test images than the epoch "
                 "that was best for held-out ones, the loss by more than 5 %, the error by more "
                 "than 0.5 points"),
    "accuracy_gap": ("pp", "training minus test accuracy at the end, at the best strength"),
    "losses_part": ("0/1", "no remedy, second half of the epochs: whether the fitted line of the "
                    "training loss falls and that of the validation loss rises"),
    "accuracies_part": ("0/1", "no remedy, second half of the epochs: whether the fitted lines of "
                        "training loss and validation accuracy fall"),
    "gain": ("pp", "test accuracy: with the remedy minus with none"),
    "loss_gain": ("nats", "test loss: with none minus with the remedy"),
    "strength": ("", "the strength that the other seeds' held-out images choose: λ, share or "
                 "pixels"),
    "best_rate": ("", "the rate that the other seeds' held-out images choose"),
    "cure": ("pp", "accuracy: cured minus underfitting"),
    "underfit_accuracy": ("%", "accuracy of the networks that underfit, and of those cured"),
}  # fmt: skip
CONDITIONS = {
    "dataset": "level",
    "images": "integer",
    "remedy": ["none", "L2", "dropout", "early stopping", "augmentation", "all"],
    "metric": ["loss", "error"],
    "rate": ["chapter", "own best"],
    "epoch": "integer",
    "split": ["train", "validation", "test"],
    "underfit": ["too few units", "too few epochs"],
    "cure": ["more units", "more layers", "more epochs", "none"],
}


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, condition and seed; QUANTITIES says what each number is."""
    raise NotImplementedError
