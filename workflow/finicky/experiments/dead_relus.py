"""Dead ReLUs: what is true of a dead unit, what kills units, and what keeps them alive?

A unit is dead where its input is positive for no training image. One half of this file makes units
dead and follows their weights; the other trains small networks from good and bad starts, at good
and high rates, with ReLU and with leaky ReLU, and counts.
"""

TITLE = "Dead ReLUs by rate, start and activation"
READS = []
DATASETS = ["mnist", "fashion_mnist"]
SETTINGS = {
    "datasets": ("datasets", "data sets"),
    "depth": ("depths", "layers of the networks"),
    "width": ({"type": "integer", "minimum": 4, "maximum": 100000}, "units of a hidden layer"),
    "images": ("images", "training images, over which units are called dead"),
    "epochs": ("count", "passes over them"),
    "higher": (
        {"type": "array", "minItems": 1, "uniqueItems": True,
         "items": {"type": "number", "exclusiveMinimum": 1, "maximum": 1.0e+6}},
        "high learning rates, in multiples of the recommended one (SGD: of 0.01)",
    ),
    "killed_after": ("count", "steps after which units are made dead"),
    "followed_for": ("count", "steps for which they are then followed"),
}  # fmt: skip
QUANTITIES = {
    "gradient_of_dead": ("", "largest gradient by a dead unit's weights and bias over the largest "
                         "by a live one's of its layer"),
    "change_of_dead": ("", "largest change of a dead unit's weights and bias in further training "
                       "over the largest of a live one's of its layer"),
    "revived": ("%", "share of these units whose input is positive for some training image at the "
                "end of it"),
    "dead_at_start": ("%", "hidden units whose input is positive for no training image, before "
                      "training"),
    "dead": ("%", "the same after the training that the settings give; NaN if the loss became NaN"),
    "without_gradient": ("%", "hidden units whose slope is 0 for every training image, after "
                         "training"),
    "test_accuracy": ("%", "test accuracy after training"),
    "killed_by_rate": ("pp", "dead ReLUs after training at this rate minus at the recommended one "
                       "(SGD: 0.01), from He or Xavier"),
    "killed_by_start": ("pp", "dead ReLUs after training from this start minus from He, at the "
                        "recommended rate"),
    "halved_by_start": ("pp", "half the dead ReLUs from a bad start minus those from He or Xavier, "
                        "where the bad start leaves 10 % or more"),
    "halved_by_leak": ("pp", "half the dead ReLUs minus the leaky ReLUs whose input is positive "
                       "for no training image, where there are 10 % dead ReLUs or more"),
    "gradient_by_leak": ("pp", "half the dead ReLUs minus the leaky ReLUs whose slope is 0 for "
                         "every training image, there"),
    "gained_by_start": ("pp", "test accuracy from He or Xavier minus that from the bad start, "
                        "there"),
    "gained_by_leak": ("pp", "test accuracy with leaky ReLU minus that with ReLU, there"),
}  # fmt: skip
CONDITIONS = {
    "dataset": "level",
    "depth": "integer",
    "layer": "integer",
    "activation": "level",
    "init": "level",
    "remedy": ["he", "xavier"],
    "optimizer": "level",
    "learning_rate": "number",
}


def measure(settings: dict, tables) -> None:
    """One row per quantity, condition and seed; QUANTITIES says what each number is."""
    raise NotImplementedError
