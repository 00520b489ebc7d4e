"""Residual blocks and their relatives: zero weights, the identity as a task, idle blocks, and five
variants against each other at equal cost.

Fully connected networks of 20 layers and more for what depends on depth; small convolutional ones
for what depends on channels: bottlenecks, width, dense connections, and the shortcut where their
number changes. Multiplications are counted by torch.utils.flop_counter.
"""

TITLE = "Residual blocks and their variants"
READS = []
DATASETS = ["mnist", "fashion_mnist"]
SETTINGS = {
    "datasets": ("datasets", "data sets"),
    "trials": ("count", "random inputs of the blocks with zero weights"),
    "identity_width": ("count", "numbers that the identity is learned for"),
    "identity_steps": ("count", "of gradient descent on it"),
    "identity_rates": ("rates_by_optimizer", "its learning rates; the recommended one is added"),
    "decays": (
        {"type": "array", "minItems": 1, "uniqueItems": True,
         "items": {"type": "number", "minimum": 0, "maximum": 1}},
        "weight decay λ of a loss + λΣW²",
    ),
    "depth": ("depths", "layers of the fully connected networks"),
    "width": ({"type": "integer", "minimum": 4, "maximum": 100000}, "their hidden units"),
    "images": ("images", "training images of these"),
    "epochs": ("count", "passes over them"),
    "rates": ("rates_by_optimizer", "their learning rates; the recommended one is added"),
    "channels": ("counts", "channels of the convolutional networks' first stage, smallest first"),
    "convolution_images": ("images", "training images of these"),
    "convolution_epochs": ("count", "passes over them"),
    "convolution_rates": ("rates", "their learning rates for Adam; 0.001 is added"),
}  # fmt: skip
QUANTITIES = {
    "plain_output": ("", "largest output of a plain layer with zero weights, for random inputs"),
    "block_error": ("", "output of a residual block with zero weights against its input, relative "
                    "error, for random inputs"),
    "plain_over_residual": ("decades", "log10 of the mean squared error of two plain layers over "
                            "that of a residual block with the same two layers, after equal "
                            "training on a task"),
    "idle_blocks": ("%", "residual blocks whose branch F(x) is less than a tenth as long as x for "
                    "the median test image, after training"),
    "branch_over_input": ("", "length of F(x) over that of x for the median test image, by block"),
    "median_ratio": ("", "median of this over the blocks"),
    "input_norm": ("", "length of x, the same"),
    "branch_norm": ("", "length of F(x), the same"),
    "computes_less": ("0/1", "0 if the bottleneck 256 → 64 → 256 needs as many multiplications as "
                      "what it is compared with, or more"),
    "multiplications": ("millions", "multiplications of one image, counted"),
    "parameters": ("thousands", "weights, biases, and γ and β of batch norm"),
    "pre_minus_post": ("pp", "test accuracy after training: pre-activation minus activation after "
                       "the addition"),
    "flow_evened": ("decades", "orders of magnitude between the gradients at the first and at the "
                    "last block's input, whichever is larger: activation after the addition minus "
                    "pre-activation"),
    "wide_minus_deep": ("pp", "test accuracy after training: wide and shallow minus narrow and "
                        "deep, with equally many multiplications"),
    "dense_minus_residual": ("pp", "test accuracy after training: dense connections minus residual "
                             "ones, with equally many parameters"),
    "dense_minus_plain": ("pp", "the same: dense minus no connections"),
    "projection_minus_padding": ("pp", "test accuracy after training: projection minus zero "
                                 "padding where the number of channels doubles"),
    "test_accuracy": ("%", "test accuracy of each convolutional network after training"),
}  # fmt: skip
CONDITIONS = {
    "dataset": "level",
    "activation": "level",
    "after_addition": "boolean",
    "inputs": ["any sign", "outputs of the activation"],
    "target": ["identity", "rotation"],
    "decay": "number",
    "optimizer": "level",
    "rate": ["chapter", "own best"],
    "network": ["fully connected", "convolution"],
    "form": [
        "residual",
        "BN, post-activation",
        "BN, pre-activation",
        "zero padding",
        "wide",
        "deep",
        "dense",
        "plain",
        "bottleneck",
        "one 3×3",
        "two 3×3",
        "two 3×3 on 64",
    ],
    "depth": "integer",
    "channels": "integer",
    "block_number": "integer",
    "when": ["at the start", "after training"],
}


def measure(settings: dict, tables) -> None:
    """One row per quantity, condition and seed; QUANTITIES says what each number is."""
    raise NotImplementedError
