"""Moments of signals and gradients at the start: measured, and by exact recursion.

Networks of many layers get real images at their start, without training; `moments` predicts what
wide ones do. Layers of equal width are looked at apart from the first one and from networks whose
widths alternate, since Var(w) = 2/(n_in + n_out) differs from 1/n_in only where the fans differ.
Second, which start trains best: a short training of every activation from three initialisers.
"""

import itertools
import math

import numpy as np
import pandas as pd
import torch

from finicky.experiments import best_rates, signals, tidy, training
from finicky.experiments import random_networks as networks
from finicky.experiments.grid import MEANT_FOR, SCALED_BY_FANS
from finicky.experiments.identities import relative_error

TITLE = "Variance of signals and gradients at the start, and isometry"
READS = []
DATASETS = ["mnist", "fashion_mnist"]
SETTINGS = {
    "datasets": ("datasets", "data sets; untrained networks see images of the first"),
    "trials": ("trials", "random trials of each identity"),
    "samples": ({"type": "integer", "minimum": 100, "maximum": 100000000},
                "normal numbers whose rectified moments are taken"),
    "images": ({"type": "integer", "minimum": 2, "maximum": 10000},
               "training images that are sent through untrained networks"),
    "width": ({"type": "integer", "minimum": 8, "multipleOf": 2, "maximum": 8192},
              "units of a hidden layer; where widths alternate, half and twice as many"),
    "depths": ("deep_depths", "layers of the untrained networks"),
    "draws": ("count", "of the deepest network's weights for each seed, of smaller networks so "
              "many that layers times draws are as many; moments are means over them"),
    "spectra": ({"type": "integer", "minimum": 1, "maximum": 10000},
                "of these images, those at which Jacobians are taken"),
    "train_images": ("images", "training images of the trained networks"),
    "epochs": ("epochs", "passes over them"),
    "train_depth": ({"type": "integer", "minimum": 2, "multipleOf": 2, "maximum": 1000},
                    "layers of the trained networks"),
    "train_width": ({"type": "integer", "minimum": 1, "maximum": 8192}, "their hidden units"),
    "test_images": ("test_images", "test images, and held-out ones to choose rates by"),
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
    "singular_value": ("decades", "log10 of a percentile of the singular values, if not zero"),
    "isometry_defect": ("decades", "root mean square of log10 of the singular values, those below "
                        "1e-16 of the largest counted as that"),
    "within_factor_two": ("pp", "singular values from 1/2 to 2, in %, minus 50, initialiser meant "
                          "for the activation"),
    "plain_minus_residual": ("decades", "isometry_defect of the plain network minus that with "
                             "residual connections, initialiser meant for the activation"),
    "older_minus_meant": ("decades", "isometry_defect from an older start (init) minus that from "
                          "the initialiser meant for the activation"),
    "gaussian_minus_orthogonal": ("decades", "isometry_defect with Gaussian minus that with "
                                  "orthogonal matrices of the same size"),
    # short trainings
    "test_accuracy": ("%", "after a short training in which the learning rate falls to 0, by "
                      "initialiser, optimizer and choice of rate"),
    "meant_minus_rival": ("pp", "the same: the initialiser meant for the activation minus another "
                          "(init) of He, Xavier and LeCun; rate: Adam from 0.001 or SGD from 0.01, "
                          "and each start's own best"),
}  # fmt: skip
CONDITIONS = {
    "dataset": "level",  # of the trained networks
    "activation": "level",
    "init": "level",
    "optimizer": "level",
    "rate": ["chapter", "own best"],
    "depth": "integer",
    "block": "level",
    "layer": "integer",
    # over units and images together, but for the last: over the images, mean over units
    "statistic": ["second moment", "variance", "variance over images"],
    "layers": ["first", "equal", "widening", "narrowing"],
    "between": ["first and last", "second and last but one"],
    "numbers": ["normal", "pre-activations"],  # what is rectified
    "matrix": ["Gaussian", "orthogonal"],
    "percentile": "integer",
}
LIMITS = {
    "images <= train_images": "some of the training images",
    "spectra <= images": "some of the images",
}

BUDGET = {
    "{train_images} images of {dataset}, {epochs} epochs": ["test_accuracy", "meant_minus_rival"],
}
ACTIVATIONS = ["relu", "leaky_relu", "tanh", "sigmoid", "selu"]
FIXED_RATES = {"sgd": 0.01, "adam": 0.001}


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, condition and seed; QUANTITIES says what each number is."""
    first, rows = settings["datasets"][0], []
    dataset = training.prepared(first, settings, settings["train_images"])
    x, labels = dataset.first(settings["images"], torch.float64)
    for seed in settings["seeds"]:
        rows += identities(seed, settings["trials"])
        rows += rectified(seed, settings["samples"])
    rows += signals.moments_of_layers(settings, x, labels)
    rows += signals.spectra(settings, x)
    for name in settings["datasets"]:
        rows += [row | {"dataset": name} for row in trained(name, settings)]
    return tidy.from_rows(rows, CONDITIONS)


# ---- Identities and a rectified Gaussian --------------------------------------------------------


def identities(seed: int, trials: int) -> list[dict]:
    """Rows of the laws of variance and of uniform weights, by random trials."""
    rng = np.random.default_rng([seed, 1])
    centred, any_mean, after_relu, uniform = [], [], [], []
    for _ in range(trials):
        units, states = rng.integers(2, 9), rng.integers(3, 20)
        deviation = rng.lognormal()
        h = rng.normal(rng.normal(size=units), size=(states, units)) @ rng.normal(size=(units,) * 2)
        zero_mean = h - h.mean(0)
        z = variance_over_all(deviation, zero_mean)
        centred.append(relative_error(z, units * deviation**2 * zero_mean.var(0).mean()))
        z = variance_over_all(deviation, h)
        any_mean.append(relative_error(z, units * deviation**2 * (h**2).mean()))
        rectified_h = np.maximum(rng.normal(size=(4000, 8)), 0)
        z = variance_over_all(deviation, rectified_h)
        after_relu.append(z / (8 * deviation**2 * rectified_h.var(0).mean()) - 1)
        uniform.append(uniform_error(rng.lognormal(), *rng.integers(1, 4096, 2)))
    values = {
        "variance_law_error": max(centred),
        "second_moment_law_error": max(any_mean),
        "variance_law_off_after_relu": float(np.mean(after_relu)),
        "uniform_variance_error": max(uniform),
    }
    return [{"quantity": name, "seed": seed, "value": value} for name, value in values.items()]


def variance_over_all(deviation: float, h: np.ndarray) -> float:
    """Variance of z = Σ w_i h_i over all states h [states, units] and, independent of them, all
    weights w_i = ±deviation: every sum is taken, nothing drawn."""
    units = h.shape[1]
    signs = 2 * (np.arange(2**units)[:, None] >> np.arange(units) & 1) - 1
    return float((deviation * h @ signs.T).var())


def uniform_error(a: float, fan_in: int, fan_out: int) -> float:
    """Variance of U(±a), integrated, against a²/3; and with Xavier's a, against its variance."""
    nodes, weights = np.polynomial.legendre.leggauss(8)

    def variance(a):
        return float((a * nodes) ** 2 @ weights / 2)

    xavier = math.sqrt(6 / (fan_in + fan_out))
    return max(
        relative_error(variance(a), a**2 / 3),
        relative_error(variance(xavier), networks.prescribed("xavier", fan_in, fan_out)),
    )


def rectified(seed: int, samples: int) -> list[dict]:
    """Rows of ReLU's moments on normal numbers of a random deviation."""
    rng = np.random.default_rng([seed, 2])
    deviation = rng.lognormal()
    return signals.relu_moments(deviation * rng.normal(size=samples), deviation, seed, "normal")


# ---- Short trainings ----------------------------------------------------------------------------


def to_zero(step: int, steps: int) -> float:
    """The share of the learning rate at a step: at a constant one short trainings end anywhere."""
    return 1 - step / steps


def trained(name: str, settings: dict) -> list[dict]:
    """Rows of accuracies after short trainings, and of the meant initialiser against the others."""
    dataset = training.prepared(name, settings, settings["train_images"])
    dataset.validation, dataset.test = (
        training.first(split, settings["test_images"])
        for split in (dataset.validation, dataset.test)
    )
    levels = {"depth": settings["train_depth"], "width": settings["train_width"]}
    runs = [
        training.run(
            settings, settings["train_images"], seed, dataset=name, epochs=settings["epochs"],
            activation=activation, init=init, optimizer=optimizer, learning_rate=rate, **levels,
        )
        for optimizer, rates in settings["rates"].items()
        for activation, init in itertools.product(ACTIVATIONS, SCALED_BY_FANS)
        for rate in sorted({*rates, FIXED_RATES[optimizer]})
        for seed in settings["seeds"]
    ]  # fmt: skip
    falling = [training.Training(run, schedule=to_zero) for run in runs]
    scored = tidy.named(training.train(falling, dataset))
    arm = ["activation", "init", "optimizer", "depth"]
    chosen = best_rates.at_rates(scored, arm, recommended=FIXED_RATES)
    meant = chosen[chosen["init"] == chosen["activation"].map(MEANT_FOR)]
    rows = [chosen.assign(quantity="test_accuracy", value=chosen["test_accuracy"])]
    on = ["activation", "optimizer", "depth", "rate"]
    for init in SCALED_BY_FANS:
        others = meant[meant["init"] != init]
        ahead = best_rates.minus(others, chosen[chosen["init"] == init], on)
        ahead = ahead.assign(init=init, quantity="meant_minus_rival")
        rows.append(best_rates.once(ahead, [c for c in [*on, "init"] if c != "rate"]))
    kept = ["quantity", "seed", "value", "a", "b", "outcome", *on, "init"]
    return pd.concat(rows).reindex(columns=kept).to_dict("records")
