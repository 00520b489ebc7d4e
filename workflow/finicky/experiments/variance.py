"""Moments of signals and gradients at the start: measured, and by exact recursion.

Networks of many layers get real images at their start, without training; `moments` predicts what
wide ones do. Layers of equal width are looked at apart from the first one and from networks whose
widths alternate, since Var(w) = 2/(n_in + n_out) differs from 1/n_in only where the fans differ.
Second, which start trains best: a short training of every activation from three initialisers.
"""

import pandas as pd

TITLE = "Variance of signals and gradients at the start, and isometry"
READS = []
DATASETS = ["mnist"]
SETTINGS = {
    "trials": ("count", "random trials of each identity"),
    "samples": ({"type": "integer", "minimum": 100, "maximum": 100000000},
                "normal numbers whose rectified moments are taken"),
    "images": ({"type": "integer", "minimum": 2, "maximum": 10000},
               "training images that are sent through untrained networks"),
    "width": ({"type": "integer", "minimum": 8, "multipleOf": 2, "maximum": 8192},
              "units of a hidden layer; where widths alternate, half and twice as many"),
    "depths": ("depths", "layers of the untrained networks"),
    "draws": ("count", "of all weights for each seed; moments are means over them"),
    "spectra": ({"type": "integer", "minimum": 1, "maximum": 10000},
                "of these images, those at which Jacobians are taken"),
    "train_images": ("images", "training images of the trained networks"),
    "epochs": ("count", "passes over them"),
    "train_depth": ({"type": "integer", "minimum": 2, "multipleOf": 2, "maximum": 1000},
                    "layers of the trained networks"),
    "train_width": ({"type": "integer", "minimum": 1, "maximum": 8192}, "their hidden units"),
    "rates": ("rates_by_optimizer", "learning rates among which each start has its best"),
}  # fmt: skip
QUANTITIES = {
    # identities
    "variance_law_error": ("", "Var(z) over all weights of two values and all states of zero-mean "
                           "inputs against n_in Var(w) Var(h), largest relative error"),
    "second_moment_law_error": ("", "the same for inputs of any mean against n_in Var(w) E[h²]"),
    "variance_law_off_after_relu": ("", "Var(z) over n_in Var(w) Var(h), minus 1, for h = ReLU of "
                                    "standard normal numbers"),
    "uniform_variance_error": ("", "variance of U(±a) by integration against a²/3, and against "
                               "2/(n_in + n_out) for Xavier's a; largest relative error"),
    # a rectified Gaussian, in units of σ
    "relu_mean": ("σ", "mean of ReLU(z) over the deviation σ of z"),
    "relu_variance": ("σ²", "variance of ReLU(z) over σ²"),
    "relu_second_moment": ("σ²", "mean of ReLU(z)² over σ²"),
    # networks: E[h²] or a variance of a layer's outputs, E[δ²] of the gradient by its inputs
    "signal": ("", "that statistic of the layer's outputs; layer 0: the images"),
    "signal_predicted": ("", "the same by exact recursion for wide layers"),
    "gradient": ("", "mean square of the gradient by the layer's inputs (before its activation), "
                 "over that at the logits"),
    "gradient_predicted": ("", "the same by exact recursion"),
    "prediction_off": ("", "by how much the measured second moments of the hidden layers are off "
                       "the recursion's: median over layers of |ln ratio|"),
    "weight_variance": ("", "mean square of a layer's first weights over the prescribed variance"),
    "forward_gain": ("", "that statistic of a layer's outputs over that of the layer before, mean "
                     "over layers and draws"),
    "backward_gain": ("", "mean square of the gradient by a layer's inputs over that of the layer "
                      "after, mean over layers and draws"),
    "forward_gain_at_fan_in": ("", "the same as forward_gain, variances, with Var(w) = 1/n_in"),
    "backward_gain_at_fan_out": ("", "the same as backward_gain, with Var(w) = 1/n_out"),
    "growth_exponent": ("", "p of an E[h²] that grows as exp(c lᵖ) with the layer l, from its "
                        "growth over all layers and over the first half; 1: exponential, 0: not"),
    "shrink_exponent": ("", "the same for an E[h²] that shrinks"),
    "growth_over_norm": ("", "growth of the root mean square a layer, as a logarithm, over the "
                         "logarithm of the weights' largest singular value"),
    "spectral_norm": ("", "largest singular value of a hidden layer's first weights"),
    "gradient_rank": ("", "rank of the gradient by the weights of the second layer, singular "
                      "values above 1e-6 of the largest"),
    "gradient_ratio": ("log2", "length of the gradient by the weights of the first layer over that "
                       "of the last, initialiser meant for the activation"),
    "gradient_ratio_older": ("log2", "the same from an older start (init)"),
    # Jacobians of the last hidden layer's outputs by the first one's, at single images
    "singular_value": ("decades", "log10 of a percentile of the singular values"),
    "isometry_defect": ("decades", "root mean square of log10 of the singular values, those below "
                        "1e-16 counted as 1e-16"),
    "within_factor_two": ("pp", "singular values from 1/2 to 2, in %, minus 50"),
    "plain_minus_residual": ("decades", "isometry_defect of the plain network minus that with "
                             "residual connections, initialiser meant for the activation"),
    "older_minus_meant": ("decades", "isometry_defect from an older start (init) minus that from "
                          "the initialiser meant for the activation"),
    "gaussian_minus_orthogonal": ("decades", "isometry_defect with Gaussian minus that with "
                                  "orthogonal matrices of the same size"),
    # short trainings
    "test_accuracy": ("%", "after a short training, by initialiser, optimizer and choice of rate"),
    "meant_minus_rival": ("pp", "test accuracy after a short training: the initialiser meant for "
                          "the activation minus another (init) of He, Xavier and LeCun; rate: Adam "
                          "at 0.001 or SGD at 0.01, and each start's own best"),
}  # fmt: skip
CONDITIONS = {
    "activation": "level",
    "init": "level",
    "optimizer": "level",
    "rate": ["chapter", "own best"],
    "depth": "integer",
    "block": "level",
    "layer": "integer",
    # over units and images together, but for the last: over the images, mean over units
    "statistic": ["second moment", "variance", "variance over images"],
    "layers": ["first", "equal", "widening", "narrowing", "last"],
    "between": ["first and last", "second and last but one"],
    "numbers": ["normal", "pre-activations"],  # what is rectified
    "matrix": ["Gaussian", "orthogonal"],
    "percentile": "integer",
}


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, condition and seed; QUANTITIES says what each number is."""
    raise NotImplementedError
