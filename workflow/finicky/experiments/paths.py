"""Is a residual network an ensemble of paths? Counting them, cutting them, and weighing them.

L blocks are expanded into 2^L paths. Blocks of trained networks are deleted and exchanged, and
layers of plain ones. The gradient is split by the number of blocks that a path goes through, which
is exact: the coefficients of a polynomial that is carried back through the network.
"""

import pandas as pd

TITLE = "Paths through a residual network: how many, how needed, how long"
READS = []
DATASETS = ["mnist", "fashion_mnist"]
SETTINGS = {
    "datasets": ("datasets", "data sets"),
    "trials": ("count", "random networks per seed whose paths are listed"),
    "width": ("count", "units of a hidden layer"),
    "depths": ("depths", "of the networks that are trained, blocks and layers deleted"),
    "length_depths": (
        {"type": "array", "minItems": 2, "uniqueItems": True,
         "items": {"type": "integer", "minimum": 18, "multipleOf": 2, "maximum": 1000}},
        "of the residual networks whose paths are weighed after training",
    ),
    "start_depths": (
        {"type": "array", "minItems": 2, "uniqueItems": True,
         "items": {"type": "integer", "minimum": 18, "multipleOf": 2, "maximum": 1000}},
        "of those whose paths are weighed at the start",
    ),
    "images": ("images", "training images"),
    "epochs": ("count", "of training"),
    "rates": ("rates", "of Adam, among which each kind of network has its own best"),
    "test_images": ("test_images", "on which networks with blocks missing are scored"),
    "draws": ("count", "random orders in which blocks are deleted or exchanged"),
    "probe_images": ("test_images", "that gradients are taken of"),
    "samples": ("count", "single paths of each length, as Veit et al. draw them"),
}  # fmt: skip
QUANTITIES = {
    "count_error": ("", "paths found by walking through a network of L blocks against 2^L, largest "
                    "relative error over L"),
    "sum_error": ("", "sum of what all 2^L paths give for an input against the network's output, "
                  "largest relative error over random networks in float64"),
    "gradient_sum_error": ("", "sum of all paths' gradients against the network's, likewise"),
    "drop": ("pp", "test accuracy lost when one block is deleted, mean over the blocks"),
    "median_drop": ("pp", "the same, median over the blocks"),
    "largest_drop": ("pp", "the same, the block that costs most"),
    "drop_at": ("pp", "the same, by block"),
    "below_twice_chance": ("pp", "20 % minus the test accuracy that is left when one layer, or two "
                           "neighbours, of a plain network are deleted, mean over them"),
    "plain_minus_residual": ("pp", "accuracy lost: two neighbouring layers of the plain network "
                             "minus one block of the residual one, means over them"),
    "smoothness": ("pp", "50 % minus the largest fall from n to n + 1 deleted blocks as a share of "
                   "the whole fall, from none to all; mean accuracies over random orders"),
    "accuracy_left": ("%", "test accuracy by the number of deleted blocks, mean over orders"),
    "exchange_drop": ("pp", "test accuracy lost when two random blocks change places, mean"),
    "path_length": ("blocks", "mean number of blocks on a path, weighed by gradient"),
    "share_of_length": ("%", "of the gradient, by the number of blocks on a path"),
    "growth": ("", "power q with which the mean path length grows as (ln L)^q, fitted"),
    "growth_at_least_log": ("", "the same, but 1 where growth is slower than that of log L, which "
                            "is an upper bound"),
    "power_of_blocks": ("", "power p with which the mean path length grows as L^p, fitted"),
    "test_accuracy": ("%", "of the whole network"),
}  # fmt: skip
CONDITIONS = {
    "dataset": "level",
    "depth": "integer",
    "block": "level",
    "after_the_sum": ["nothing after the sum", "ReLU after the sum"],
    "stage": ["at the start", "trained"],
    "rate": ["chapter", "own best"],
    "deleted": ["one layer", "two layers"],
    "paths": ["all of a length together", "single paths"],
    "blocks": ["linear blocks", "ReLU blocks", "small ReLU blocks"],
    "place": "integer",
    "number": "integer",
}


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, condition and seed; QUANTITIES says what each number is."""
    raise NotImplementedError
