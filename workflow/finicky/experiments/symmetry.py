"""What happens to a network whose weights start equal: do its units ever part, and does it learn?

Networks of the engine's family start from zero weights, from constant ones, with one layer zero,
and at random. Units of a layer with equal weights give equal outputs and get equal gradients, so
they stay equal; whether they move at all is up to activation and biases. Second, the chapter's war
story: a small convolutional network with zero weights, then with random ones, on a binary task.
"""

import pandas as pd

TITLE = "Equal weights: symmetry, rank, and a network that never learned"
READS = []
DATASETS = ["mnist", "fashion_mnist"]
SETTINGS = {
    "datasets": ("datasets", "data sets"),
    "depths": ("depths", "layers of the fully connected networks"),
    "width": ({"type": "integer", "minimum": 2, "maximum": 4096}, "units of a hidden layer"),
    "images": ("images", "training images of the fully connected networks"),
    "epochs": ("count", "passes over them"),
    "rates": ("rates", "learning rates of Adam from zero weights; 0.001 is the chapter's"),
    "binary_images": (
        {"type": "integer", "minimum": 20, "multipleOf": 20, "maximum": 10000},
        "training images of the binary task",
    ),
    "binary_epochs": ({"type": "integer", "minimum": 2, "maximum": 10000}, "passes over them"),
    "binary_rates": ("rates", "learning rates of Adam among which each start has its best"),
    "channels": ({"type": "integer", "minimum": 1, "maximum": 256},
                 "of the first convolution; the second has twice as many"),
}  # fmt: skip
QUANTITIES = {
    "units_differ": ("", "after training by Adam in float64: largest difference between the "
                     "weights of two units of a hidden layer, into them or out of them, over the "
                     "largest of these weights"),
    "units_differ_with_dropout": ("", "the same from zero weights with dropout of one half, in "
                                  "float32"),
    "rank": ("", "rank of the first layer's weights, singular values above 1e-6 of the largest, "
             "by step of the training"),
    "rank_at_end": ("", "the same after the last step"),
    "test_accuracy": ("%", "after training by Adam"),
    "accuracy_by_step": ("%", "test accuracy by step of the training"),
    "beyond_one_class": ("pp", "test accuracy minus the share of test images that are of the class "
                         "which the network names most often: 0 if it names only one"),
    "furthest_loss": ("nats", "binary task, zero weights, Adam at 0.001: of the training losses "
                      "after each epoch, the one furthest from ln 2"),
    "entropy": ("nats", "of the two classes' shares: the loss of always answering with them"),
    "binary_loss": ("nats", "binary task: training loss by epoch, Adam at 0.001"),
    "binary_accuracy": ("%", "binary task: test accuracy, as many images of each class, by epoch, "
                        "Adam at 0.001"),
    "filter_gradient": ("", "binary task, zero weights: largest length of the gradient by the "
                        "weights of both convolutions after any epoch"),
    "zero_outputs": ("%", "binary task, zero weights: outputs of the convolutions' units that are "
                     "exactly 0 after training"),
    "random_minus_zeros": ("pp", "binary task, balanced: test accuracy from random weights minus "
                           "from zero weights"),
    "random_minus_zeros_loss": ("nats", "binary task, balanced: training loss from zero weights "
                                "minus from random ones"),
}  # fmt: skip
CONDITIONS = {
    "dataset": "level",
    # constant: every weight of a layer 1/n_in; random: the initialiser meant for the activation
    "start": ["zeros", "constant", "first layer zero", "last layer zero", "random"],
    "activation": "level",
    "bias": "boolean",
    "depth": "integer",
    "learning_rate": "number",
    "rate": ["chapter", "own best"],
    "positives": "integer",  # images of the class 1, in %
    "step": "integer",
    "epoch": "integer",
    "after": ["first epoch", "last epoch"],
}


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, condition and seed; QUANTITIES says what each number is."""
    raise NotImplementedError
