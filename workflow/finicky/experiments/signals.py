"""What is measured in networks at their start: moments of all layers, gradients, and Jacobians.

Rows of the experiment on variance, one number per quantity, condition and seed, which is a mean
over the seed's draws of all weights. Networks of several depths share their hidden layers: the
smaller one is the beginning of the deepest, with an output layer of its own.
"""

import itertools
import math
from functools import cached_property

import numpy as np
import torch

from finicky.experiments import moments
from finicky.experiments import random_networks as networks
from finicky.experiments.grid import MEANT_FOR, SCALED_BY_FANS
from finicky.experiments.random_networks import STATISTICS, mean_square

OLDER = ["uniform_fan_in", "normal_std_1", "normal_std_0.001"]
INITS = [*SCALED_BY_FANS, *OLDER, "normal_std_0.3", "normal_std_0.03"]
NEARLY_LINEAR = ["identity", "tanh", "sigmoid"]  # to the chapter's derivation
NO_GROWTH = 0.1  # of ln E[h²]: a growth that small counts as none
FLOOR = 1e-16  # of the largest singular value: smaller ones are float64's rounding of zero
RANK = 1e-6  # of the largest singular value
# Networks whose widths alternate are looked at only where the fans' difference is the question.
ALTERNATING = (0.5, 2)
ALTERNATED = {
    "lecun": NEARLY_LINEAR,
    "fan_out": NEARLY_LINEAR,
    "xavier": ["relu", "tanh"],
    "he": ["relu"],
}
BETWEEN = {"first and last": 0, "second and last but one": 1}  # places from both ends
SHOWN = 12  # layers whose moments are kept
PERCENTILES = [0, 10, 50, 90, 100]


def by_seed(seeds, quantity: str, values, **where) -> list[dict]:
    """Rows of a quantity: of values [R], replicas seed by seed, each seed's mean; none for a seed
    without finite numbers (a gradient that is 0 has no ratio)."""
    rows = []
    for seed, mine in zip(seeds, np.split(np.asarray(values, float), len(seeds)), strict=True):
        known = mine[np.isfinite(mine)]
        if len(known):
            rows.append({"quantity": quantity, "seed": seed, "value": known.mean()} | where)
    return rows


def relu_moments(z: np.ndarray, deviation: float, seed: int, numbers: str) -> list[dict]:
    """Rows of the moments of ReLU(z), in units of the deviation of z."""
    a = np.maximum(z / deviation, 0)
    found = {"relu_mean": a.mean(), "relu_variance": a.var(), "relu_second_moment": (a**2).mean()}
    shared = {"seed": seed, "numbers": numbers}
    return [{"quantity": name, "value": float(value)} | shared for name, value in found.items()]


# ---- Layer by layer -----------------------------------------------------------------------------


def moments_of_layers(settings, x, labels) -> list[dict]:
    """Rows of the deepest network from every initialiser, and of the gains at every depth.

    x: images [N, inputs], labels [N]. Networks of fewer layers are drawn more often, so that means
    over layers and draws are as exact.
    """
    rows, deepest = [], max(settings["depths"])
    for init in INITS:
        start = Start(settings, init, deepest)
        rows += start.rows("spectral_norm", start.norm)
        for activation in MEANT_FOR:
            network = Untrained(start, activation, x, labels)
            rows += network.profile() + network.growth()
            if init in OLDER:
                rows += network.gradient_ratios("gradient_ratio_older")
    for depth, init in itertools.product(sorted(settings["depths"]), [*SCALED_BY_FANS, "fan_out"]):
        start = Start(settings, init, depth)
        if init != "fan_out" and depth == deepest:
            rows += start.weight_variances()
        for activation in NEARLY_LINEAR if init == "fan_out" else MEANT_FOR:
            network = Untrained(start, activation, x, labels)
            rows += network.gains()
            if init == MEANT_FOR[activation]:
                rows += network.gradient_ratios("gradient_ratio")
        start = Start(settings, init, depth, ALTERNATING)
        for activation in ALTERNATED[init]:
            rows += Untrained(start, activation, x, labels).gains()
    return rows + first_gradients(settings, x, labels)


def first_gradients(settings, x, labels) -> list[dict]:
    """Rows of the smallest networks: ranks of gradients from zero weights and from the meant ones,
    and how a layer's pre-activations are rectified."""
    rows, depth = [], min(settings["depths"])
    for init in ["zeros", *SCALED_BY_FANS]:
        start = Start(settings, init, depth)
        for activation, meant in MEANT_FOR.items():
            if init in ("zeros", meant):
                network = Untrained(start, activation, x, labels)
                rows += network.gradient_rank()
                if (init, activation) == ("he", "relu"):
                    rows += network.rectified()
    return rows


class Start:
    """The first weights from one initialiser, for each seed so many draws that all layers of all
    draws are as many as in the deepest network; the hidden layers' widths are the setting's times
    the factors of `cycle`, again and again."""

    def __init__(self, settings, init, depth, cycle=(1,)):
        self.init, self.seeds, self.depth = init, settings["seeds"], depth
        factors = itertools.islice(itertools.cycle(cycle), depth - 1)
        hidden = [int(settings["width"] * factor) for factor in factors]
        self.widths = [784, *hidden, networks.CLASSES]
        self.first = depth == min(settings["depths"])  # of all: what no depth changes is told once
        draws = settings["draws"] * max(settings["depths"]) // depth
        starts = list(itertools.product(self.seeds, range(draws)))
        self.layers = networks.weights(init, starts, self.widths)

    @cached_property
    def norm(self):
        """The largest singular value of the second layer, [R]."""
        return networks.singular_values(self.layers[1])[:, 0]

    def rows(self, quantity, values, **where):
        """Rows by seed, with the initialiser."""
        return by_seed(self.seeds, quantity, values, init=self.init, **where)

    def weight_variances(self):
        """Rows of mean squares of weights."""
        rows = []
        for kind, place in (("first", 0), ("equal", 1)):
            given = networks.prescribed(self.init, *self.widths[place : place + 2])
            found = mean_square(self.layers[place]) / given
            rows += self.rows("weight_variance", found, layers=kind)
        return rows


class Untrained:
    """The networks of a `Start` with one activation, with the signals of images in them."""

    def __init__(self, start, activation, x, labels):
        self.start, self.activation, self.x, self.labels = start, activation, x, labels
        self.outputs = networks.forward(start.layers[:-1], activation, x)

    def rows(self, quantity, values, **where):
        """Rows by seed, with the initialiser and the activation."""
        return self.start.rows(quantity, values, activation=self.activation, **where)

    @cached_property
    def values(self):
        """What goes into each layer: images, then the hidden layers' outputs, [R, N, units]."""
        return [self.x.expand(len(self.outputs[0]), *self.x.shape), *self.outputs]

    @cached_property
    def statistics(self):
        """{statistic: [layers, R]}, layer 0 the images."""
        found = np.array([networks.statistics(values) for values in self.values])
        return dict(zip(STATISTICS, found.transpose(1, 0, 2), strict=True))

    @cached_property
    def gradients(self):
        """By the inputs of the hidden layers' activations and by the logits, [R, N, units] each."""
        by_logits = networks.logit_gradient(self.outputs, self.start.layers[-1], self.labels)
        below = networks.backward(self.outputs, self.start.layers, self.activation, by_logits)
        return [*below, by_logits]

    @cached_property
    def mean_squares(self):
        """Of the gradients, [depth, R]."""
        return np.array([mean_square(gradient) for gradient in self.gradients])

    def profile(self):
        """Rows of the moments layer by layer, and of what is predicted."""
        rows, hidden, predicted = [], self.start.depth - 1, self.predicted()
        measured = {("signal", name): of for name, of in self.statistics.items()}
        measured["gradient", None] = np.vstack(
            [np.full_like(self.mean_squares[:1], np.nan), self.mean_squares / self.mean_squares[-1]]
        )
        shown = {0, *np.geomspace(1, hidden, SHOWN).round().astype(int).tolist()}
        for (quantity, statistic), of_layers in measured.items():
            where = {} if statistic is None else {"statistic": statistic}
            for layer in sorted(shown):
                positive = np.where(of_layers[layer] > 0, of_layers[layer], np.nan)
                rows += self.rows(quantity, positive, layer=layer, **where)
            for layer, value in enumerate(predicted.get((quantity, statistic), []), 1):
                if value > 0:
                    row = {"quantity": f"{quantity}_predicted", "seed": self.start.seeds[0]}
                    at = {"init": self.start.init, "activation": self.activation, "layer": layer}
                    rows.append(row | {"value": value} | at | where)
        second = self.statistics["second moment"][1:]
        off = np.abs(np.log(second / predicted["signal", "second moment"][:, None]))
        return rows + self.rows("prediction_off", np.median(off, axis=0))

    def predicted(self):
        """The recursion's moments, means over the images: {(quantity, statistic): [hidden]}."""
        fans = networks.fans(self.start.widths)
        variances = [networks.prescribed(self.start.init, *fan) for fan in fans]
        inputs = self.x.square().mean(1).cpu().numpy()
        found = moments.recursion(self.activation, fans, variances, inputs)
        second, mean = found["second"].mean(1), found["mean"].mean(1)
        return {
            ("signal", "second moment"): second,
            ("signal", "variance"): second - mean**2,
            ("gradient", None): found["gradient"].mean(1),
        }

    def gains(self):
        """Rows of mean factors a layer, forward and backward, by kind of layer."""
        rows, init, depth = [], self.start.init, self.start.depth
        widths = np.array(self.start.widths[1:-1])  # matrix l leads from hidden layer l - 1 to l
        kinds = np.array(["narrowing", "equal", "widening"])[np.sign(np.diff(widths)) + 1]
        linear = self.activation in NEARLY_LINEAR
        with np.errstate(divide="ignore", invalid="ignore"):
            forward = {name: of[1:] / of[:-1] for name, of in self.statistics.items()}
            backward = self.mean_squares[:-2] / self.mean_squares[1:-1]
        for kind in sorted(set(kinds)):
            places, where = kinds == kind, {"layers": kind, "depth": depth}
            back = _mean(backward[places])
            if init == "fan_out":  # which is no level of the grid
                at = where | {"activation": self.activation}
                rows += by_seed(self.start.seeds, "backward_gain_at_fan_out", back, **at)
                continue
            rows += self.rows("backward_gain", back, **where)
            for name, ratios in forward.items():
                gain = _mean(ratios[1:][places])
                rows += self.rows("forward_gain", gain, statistic=name, **where)
                if init == "lecun" and linear and name == "variance":
                    rows += self.rows("forward_gain_at_fan_in", gain, **where)
        if init != "fan_out" and "equal" in kinds and self.start.first:
            for name, ratios in forward.items():
                rows += self.rows("forward_gain", ratios[0], statistic=name, layers="first")
        return rows

    def growth(self):
        """Rows of how moments grow or shrink from the first layer on."""
        rows = []
        for name, of_layers in self.statistics.items():
            last = int(np.isfinite(of_layers).all(1).sum()) - 2  # layers before rounding, less one
            if last < 2:
                continue
            half = last // 2
            grown = np.log(of_layers[1:] / of_layers[1])
            for quantity, sign in (("growth_exponent", 1), ("shrink_exponent", -1)):
                over = [np.maximum(sign * grown[place], 0) + NO_GROWTH for place in (last, half)]
                exponent = np.log(over[0] / over[1]) / math.log(last / half)
                if quantity == "shrink_exponent" or name == "second moment":
                    rows += self.rows(quantity, exponent, statistic=name)
            if name == "second moment":
                rate = grown[last] / (2 * last)
                rows += self.rows("growth_over_norm", rate / np.log(self.start.norm))
        return rows

    def gradient_ratios(self, quantity):
        """Rows of the length of the gradient by the weights of an early layer over a late one's."""
        rows, last = [], self.start.depth - 1
        for between, skipped in BETWEEN.items():
            lengths = [
                torch.bmm(self.values[place].mT, self.gradients[place]).flatten(1).norm(dim=1)
                for place in (skipped, last - skipped)
            ]
            ratio = torch.log2(lengths[0] / lengths[1]).cpu().numpy()
            rows += self.rows(quantity, ratio, between=between, depth=self.start.depth)
        return rows

    def gradient_rank(self):
        """Rows of the rank of the gradient by the second layer's weights."""
        s = networks.singular_values(torch.bmm(self.values[1].mT, self.gradients[1]))
        return self.rows("gradient_rank", (s > RANK * s[:, :1]).sum(1))

    def rectified(self):
        """Rows of the moments of the second layer's rectified pre-activations."""
        z = torch.bmm(self.outputs[0], self.start.layers[1]).cpu().numpy()
        rows = []
        for seed, mine in zip(self.start.seeds, np.split(z, len(self.start.seeds)), strict=True):
            rows += relu_moments(mine.ravel(), mine.std(), seed, "pre-activations")
        return rows


def _mean(ratios):
    """Mean over the first axis of what is finite; NaN where nothing is."""
    known = np.isfinite(ratios)
    total = np.where(known, ratios, 0).sum(0)
    return total / np.where(known.any(0), known.sum(0), np.nan)


# ---- Jacobians ----------------------------------------------------------------------------------


def spectra(settings, x) -> list[dict]:
    """Rows of the singular values of Jacobians, and of how far they are from 1."""
    seeds, rows = settings["seeds"], []
    for activation, meant in MEANT_FOR.items():
        inits = SCALED_BY_FANS if activation == "relu" else [meant]
        inits = [*inits, *OLDER] if activation != "identity" else [meant]
        kinds = [(init, "plain", "Gaussian") for init in inits]
        kinds += [(meant, "residual", "Gaussian"), (meant, "plain", "orthogonal")]
        defects = {}
        for init, block, matrix in kinds:
            where = {"activation": activation, "init": init, "block": block, "matrix": matrix}
            for depth, values, floor in _log_spectra(settings, x, activation, init, block, matrix):
                at = where | {"depth": depth}
                defect = np.sqrt((values**2).mean(1))
                near = 100 * (np.abs(values) <= math.log10(2)).mean(1) - 50
                rows += by_seed(seeds, "isometry_defect", defect, **at)
                if init == meant:
                    rows += by_seed(seeds, "within_factor_two", near, **at)
                for percentile in PERCENTILES:
                    value = np.percentile(values, percentile, axis=1)
                    value[value <= floor] = np.nan  # is zero, as far as float64 can tell
                    rows += by_seed(seeds, "singular_value", value, percentile=percentile, **at)
                defects[depth, init, block, matrix] = defect
        for (depth, init, block, matrix), defect in defects.items():
            best = defects[depth, meant, "plain", "Gaussian"]
            at = {"activation": activation, "depth": depth}
            if block == "residual":
                rows += by_seed(seeds, "plain_minus_residual", best - defect, **at)
            elif matrix == "orthogonal":
                rows += by_seed(seeds, "gaussian_minus_orthogonal", best - defect, **at)
            elif init in OLDER:
                rows += by_seed(seeds, "older_minus_meant", defect - best, init=init, **at)
    return rows


def _log_spectra(settings, x, activation, init, block, matrix):
    """Yields (depth, log10 of the singular values [seeds, images x units], the value [seeds] that
    stands for zero) for each depth."""
    seeds, depths = settings["seeds"], sorted(settings["depths"])
    widths = [784] + [settings["width"]] * (depths[-1] - 1)
    layers = networks.weights(init, [(seed, 0) for seed in seeds], widths)
    if matrix == "orthogonal":
        layers[1:] = [networks.orthogonal(init, w) for w in layers[1:]]
    residual = block == "residual"
    found = {depth: [] for depth in depths}
    for image in x[: settings["spectra"]].split(1):
        outputs = networks.forward(layers, activation, image, residual)
        last = [depth - 1 for depth in depths]
        every = networks.jacobians(layers, activation, outputs, last, residual)
        for depth, jacobian in zip(depths, every, strict=True):
            found[depth].append(networks.singular_values(jacobian))
    for depth, of_images in found.items():
        floors = [FLOOR * s[:, :1] for s in of_images]
        values = [np.maximum(s, floor) for s, floor in zip(of_images, floors, strict=True)]
        floor = np.log10(np.concatenate(floors, 1).max(1))
        yield depth, np.log10(np.concatenate(values, 1)), floor
