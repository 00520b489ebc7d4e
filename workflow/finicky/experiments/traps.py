"""Five traps, each with and without: raw inputs, sigmoid, sorted images, training mode at test
time, and a loss that is NaN.

The first three are trainings that differ in one thing, at the chapter's learning rate and each at
its own best one. The fourth asks trained networks the same questions in both modes. The last makes
the loss NaN in every way we know and trains on.
"""

TITLE = "Five traps, with and without"
READS = []
DATASETS = ["mnist", "fashion_mnist"]
SETTINGS = {
    "datasets": ("datasets", "data sets"),
    "depth": ("depths", "layers of the networks"),
    "width": ({"type": "integer", "minimum": 4, "maximum": 100000}, "units of a hidden layer"),
    "images": ("images", "training images"),
    "epochs": ("count", "passes over them"),
    "rates": ("rates_by_optimizer", "learning rates to choose from; the recommended one is added"),
    "looks": (
        {"type": "integer", "minimum": 2, "maximum": 1000},
        "evaluations of the last epoch, for the swing of sorted images",
    ),
    "dropout": (
        {"type": "array", "minItems": 1, "uniqueItems": True,
         "items": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}},
        "shares of units that dropout sets to 0",
    ),
    "batch_sizes": (
        {"type": "array", "minItems": 1, "uniqueItems": True,
         "items": {"type": "integer", "minimum": 2, "maximum": 10000}},
        "test images that are asked at once",
    ),
    "steps_after_nan": ("count", "steps of training after the loss became NaN"),
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
}


def measure(settings: dict, tables) -> None:
    """One row per quantity, condition and seed; QUANTITIES says what each number is."""
    raise NotImplementedError
