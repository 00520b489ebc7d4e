"""How does the gradient get through residual blocks? Its formulas, its bounds, and what it does.

The derivative of a block, the expanded product and the table's formulas are checked on random
blocks in float64. Blocks are built for which the lower bound fails. Then the gradient by the hidden
values of real networks, plain and residual, is measured from the output back to the input, at the
start and after training, beside the norms that the bounds are made of.
"""

import pandas as pd

TITLE = "Gradient flow through plain and residual layers"
READS = []
DATASETS = ["mnist", "fashion_mnist"]
SETTINGS = {
    "datasets": ("datasets", "data sets"),
    "trials": ("count", "random networks per seed that each formula is checked on"),
    "width": ("count", "units of a hidden layer"),
    "depths": ("depths", "of the networks that are measured at their start"),
    "trained_depths": ("depths", "of those that are trained, among the `depths`"),
    "images": ("images", "training images"),
    "epochs": ("count", "of training"),
    "rates": ("rates", "of Adam, among which each kind of network has its own best"),
    "probe_images": ("test_images", "that gradients are taken of"),
    "jacobian_images": ("test_images", "of these, that Jacobians are taken of"),
    "layers": (
        {"type": "array", "minItems": 3, "uniqueItems": True,
         "items": {"type": "integer", "minimum": 2, "maximum": 1000}},
        "square layers of the plain networks whose gradient is followed through depth",
    ),
    "draws": ("count", "of each of these plain networks per seed"),
}  # fmt: skip
QUANTITIES = {
    "block_error": ("", "derivative of a whole random block against I + ∂F/∂x, largest relative "
                    "error over random blocks in float64"),
    "expansion_error": ("", "product of a random network's block derivatives against I + Σ ∂F/∂x + "
                        "all products of several ∂F/∂x, largest relative error"),
    "flow_error": ("", "gradient by a block's input against (I + ∂F/∂x) times that by its output, "
                   "largest relative error"),
    "identity_error": ("", "output of a block with zero weights against its input, largest "
                       "relative error over random inputs of both signs"),
    "at_least_identity": ("0/1", "0 if the code builds a residual network whose gradient is "
                          "shorter at the input than at the output"),
    "never_zero": ("0/1", "0 if it builds one whose gradient is zero at the input but not at the "
                   "output; 1 if random blocks all have a smallest singular value of at least "
                   "1 − ‖∂F/∂x‖ > 0"),
    "holds_with_depth": ("0/1", "0 if it builds residual networks whose gradient at the input "
                         "tends to zero as blocks are added"),
    "smallest_singular_value": ("", "of a block's derivative, median over blocks and images"),
    "smallest_of_all": ("", "the smallest singular value of all blocks' derivatives and images"),
    "share_below_identity": ("%", "blocks and images whose smallest singular value is below 1"),
    "gradient_ratio": ("doublings", "log2 of the gradient's norm at the first hidden values over "
                       "that at the last, median over images"),
    "share_at_least": ("%", "images for which it is at least as long at the first as at the last"),
    "largest_norm": ("", "largest ‖∂F/∂x‖ of a block, or of a pair of plain layers, over images"),
    "bound_log2": ("doublings", "log2 of the chapter's bound for the ratio: largest norm to the "
                   "power of blocks or pairs of layers if plain, 0 if residual"),
    "bound_holds": ("%", "images for which the chapter's bound holds: from above if plain, from "
                    "below if residual"),
    "test_accuracy": ("%", "after training"),
    "plain_ratio": ("doublings", "gradient_ratio of plain networks at their start, median over "
                    "images and networks"),
    "fall_power": ("", "power p with which −log of that ratio grows with the number of layers, 1 "
                   "being k^L; only where every seed's ratio falls below 1/4 at the deepest"),
}  # fmt: skip
CONDITIONS = {
    "dataset": "level",
    "depth": "integer",
    "layers": "integer",
    "block": "level",
    "activation": "level",
    "init": "level",
    "after_the_sum": ["nothing after the sum", "ReLU after the sum"],
    "stage": ["at the start", "trained"],
    "rate": ["chapter", "own best"],
    "derivative": ["any derivative", "norm below 1"],
    "form": ["as printed", "transposed"],
}


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, condition and seed; QUANTITIES says what each number is."""
    raise NotImplementedError
