"""Where does the gradient go on its way through the layers, and which remedy brings it back?

The gradient is that of the loss by a layer's sums z = Wh + b, over 128 images: what the chain rule
multiplies from layer to layer. (The gradient by the weights has the layer's input as a further
factor.) A gradient has vanished where less than a tenth of what the last hidden layer gets arrives
at the first one; then a remedy has to bring it back, and to make the network train.
"""

TITLE = "Gradients by layer, their remedies, and clipping"
READS = []
DATASETS = ["mnist", "fashion_mnist"]
SETTINGS = {
    "datasets": ("datasets", "data sets"),
    "depth": ("depths", "layers of the networks that are looked at before training"),
    "product_depth": (
        {"type": "integer", "minimum": 6, "multipleOf": 2, "maximum": 1000},
        "layers of the networks whose weights are scaled",
    ),
    "gains": ("positives", "what their weights are multiplied with"),
    "trained_depth": ("depths", "layers of the networks that are trained"),
    "width": ({"type": "integer", "minimum": 4, "maximum": 100000}, "units of a hidden layer"),
    "images": ("images", "training images"),
    "epochs": ("count", "passes over them"),
    "rates": ("rates_by_optimizer", "learning rates to choose from; the recommended one is added"),
    "exploding_depth": ("depths", "layers of the networks that are trained with clipping"),
    "exploding_rates": ("rates_by_optimizer", "their learning rates"),
    "exploding_epochs": ("count", "passes over the images with clipping"),
    "thresholds": ("positives", "lengths that the whole gradient is clipped to"),
}  # fmt: skip
QUANTITIES = {
    "gradient": ("", "gradient by a layer's sums, root mean square, over that at the last hidden "
                 "layer"),
    "decades_lost": ("decades", "log10 of the gradient at the last hidden layer over that at the "
                     "first"),
    "decades_to_spare": ("decades", "1 minus the decades lost: positive where more than a tenth of "
                         "the gradient arrives at the first layer"),
    "fall_per_layer": ("decades a layer", "fitted fall of the gradient from the last hidden layer "
                       "to the first, at the start, in networks whose terms are below 1"),
    "rise_per_layer": ("decades a layer", "its fitted rise, in networks whose terms are above 1"),
    "term": ("", "root mean square of the singular values of the Jacobian from one layer's sums to "
             "the next one's, geometric mean over layers, at the start"),
    "largest_singular_value": ("", "the largest of these singular values, geometric mean over "
                               "layers and images"),
    "remedy_to_spare": ("decades", "decades to spare with a remedy, in a network whose gradient "
                        "vanishes at the start without it"),
    "remedy_gain": ("pp", "test accuracy after the training that the settings give: with a remedy "
                    "minus without"),
    "explosion_prevented": ("0/1", "whether a run whose loss becomes infinite or NaN without "
                            "clipping stays finite with it (-1: the reverse), where most runs "
                            "fail without"),
    "clipping_gain": ("pp", "test accuracy with clipping minus without, there"),
}  # fmt: skip
CONDITIONS = {
    "dataset": "level",
    "activation": "level",
    "init": "level",
    "depth": "integer",
    "layer": "integer",
    "gain": "number",
    "remedy": ["none", "ReLU", "batch norm", "residual", "clipping"],
    "when": ["at the start", "after training"],
    "optimizer": "level",
    "learning_rate": "number",
    "rate": ["chapter", "own best"],
    "threshold": "number",
}


def measure(settings: dict, tables) -> None:
    """One row per quantity, condition and seed; QUANTITIES says what each number is."""
    raise NotImplementedError
