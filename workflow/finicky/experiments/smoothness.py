"""Does batch norm smooth the loss, and does it admit larger learning rates?

As Santurkar et al. (2018, section 3.1) did: every few steps of a training one goes along the
gradient of the batch, half to four times as far as the step of the rate in use, and looks at the
loss of the batch and its gradient there. The range of rates is that of a ladder.
"""

import pandas as pd

TITLE = "Smoothness along the step, and the largest rate, with and without batch norm"
READS = []
DATASETS = ["mnist", "fashion_mnist"]
SETTINGS = {
    "datasets": ("datasets", "data sets"),
    "images": ("images", "training images"),
    "epochs": ("count", "passes over them"),
    "width": ({"type": "integer", "minimum": 1, "maximum": 100000}, "units of a hidden layer"),
    "depth": ("depths", "layers of the networks; smoothness is looked at in all of them, other "
              "optimizers than SGD get the smallest"),
    "every": ("count", "steps between two looks along the gradient"),
    "rates": ("rates", "learning rates of SGD at which is looked along the gradient"),
    "ladders": ("rates_by_optimizer", "learning rates among which the largest that works is "
                "sought; SGD's contain `rates`"),
}  # fmt: skip
QUANTITIES = {
    "loss_range": ("nats", "largest minus smallest loss of the batch from a half to four steps "
                   "along its gradient, median over the looks"),
    "gradient_change": ("", "largest distance of the gradient there from that at the start of the "
                        "step, median over the looks"),
    "cosine": ("", "cosine between them, mean along the step, median over the looks"),
    "prediction_error": ("", "difference between the change of the loss and what the gradient "
                         "predicts, over the latter, mean along the step, median over the looks"),
    "look": ("", "loss_range, gradient_change or cosine by step"),
    "loss_range_gain": ("doublings", "log2 of the loss range without batch norm over that with it; "
                        "this and the next four where both networks learn: median test accuracy "
                        "of 20 % and more"),
    "gradient_change_gain": ("doublings", "log2 of the gradient's change without batch norm over "
                             "that with it"),
    "lipschitz_gain": ("doublings", "the same for that change over the distance gone, largest "
                       "along the step"),
    "cosine_gain": ("", "cosine with batch norm minus that without"),
    "prediction_gain": ("doublings", "log2 of the prediction's error without batch norm over that "
                        "with it"),
    "accuracy": ("%", "test accuracy after the training, by rate"),
    "largest_rate": ("", "log10 of the largest rate that reaches a test accuracy, interpolated "
                     "between the rates; the ladder's lowest where none does"),
    "largest_rate_gain": ("decades", "largest rate with batch norm minus without; left out where "
                          "no rate reaches the accuracy in either"),
}  # fmt: skip
CONDITIONS = {
    "dataset": "level",
    "activation": "level",
    "depth": "integer",
    "block": "level",
    "optimizer": "level",
    "tuning": ["one rate for all", "own best rate"],
    "learning_rate": "number",
    "reached": "integer",
    "step": "integer",
    "looked_at": ["loss_range", "gradient_change", "cosine"],
}


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, condition and seed; QUANTITIES says what each number is."""
    raise NotImplementedError
