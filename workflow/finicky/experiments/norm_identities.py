"""Are the chapter's formulas of batch norm right, and what do they promise?

Every formula is written out in NumPy as the chapter prints it and compared with PyTorch's autograd
in float64, each one by itself: what goes into a formula comes from autograd, so that an error in
one does not spread to the next. Networks are looked at before the first step only.
"""

import itertools
import math

import numpy as np
import pandas as pd
import torch
from torch.nn import functional

from finicky.experiments import norm_formulas as formulas
from finicky.experiments import normalised_start, tidy, training
from finicky.experiments.identities import relative_error
from finicky.experiments.norm_formulas import EPS, normalised

TITLE = "Batch norm: formulas, and networks at the start"
READS = []
DATASETS = ["mnist"]
SETTINGS = {
    "trials": ("trials", "random cases of each identity, per seed"),
    "width": ("widths", "units of a hidden layer of the networks at their start"),
    "depth": (
        {"type": "array", "minItems": 1, "uniqueItems": True,
         "items": {"type": "integer", "minimum": 10, "multipleOf": 2, "maximum": 1000}},
        "their layers",
    ),
    "batch_sizes": (
        {"type": "array", "minItems": 1, "uniqueItems": True,
         "items": {"type": "integer", "minimum": 5, "maximum": 4096}},  # fewer have no law
        "images that they are shown at once; 64 for the claim",
    ),
}  # fmt: skip
BUDGET = {}  # networks are looked at before their first step
QUANTITIES = {
    "mean_error": ("deviations", "mean of a normalised feature, largest"),
    "variance_missing": ("", "1 minus the variance of a normalised feature, ε = 10⁻⁵, largest"),
    "variance_law_error": ("", "that variance against σ²/(σ² + ε), largest relative error"),
    "variance_error_without_eps": ("", "1 minus the variance for ε = 0, largest absolute value"),
    "network_variance_missing": ("", "1 minus the variance of the typical normalised unit behind "
                                 "the second of ten layers, at the start"),
    "undone_error": ("", "features against what γ = √(σ² + ε), β = μ of their own batch make of "
                     "them, largest relative error"),
    "undone_elsewhere": ("deviations", "change of other batches of the same features by the γ and "
                         "β that undo one batch, root mean square, largest"),
    "undone_in_evaluation": ("", "the same with running statistics equal to those that γ and β "
                             "undo, largest relative error"),
    "jacobian_error": ("", "largest relative error of ∂x̂/∂x"),
    "derivative_bounded": ("0/1", "1 if the norm of ∂x̂/∂x was at most 1/√ε in every trial"),
    "largest_derivative": ("", "largest norm of ∂x̂/∂x found; 1/√ε is 316"),
    "largest_derivative_without_eps": ("", "the same for ε = 0, features of the same deviations"),
    "does_not_explode": ("0/1", "0 if the gradient by the sums of the first hidden layer is more "
                         "than 1000 times as long as by those of the last one, at the start"),
    "gradient_growth": ("×", "factor by which the gradient by a layer's sums is longer than that "
                        "by the next one's, geometric mean over the middle layers, at the start"),
    "growth_law": ("×", "the same by the exact law of infinitely wide networks"),
    "gamma_error": ("", "largest relative error of ∂L/∂γ"),
    "beta_error": ("", "largest relative error of ∂L/∂β"),
    "normalised_error": ("", "largest relative error of ∂L/∂x̂"),
    "variance_gradient_error": ("", "largest relative error of ∂L/∂σ²"),
    "mean_gradient_error": ("", "largest relative error of ∂L/∂μ"),
    "input_error": ("", "largest relative error of ∂L/∂x, three paths"),
    "simplified_error": ("", "largest relative error of ∂L/∂x, simplified form"),
    "summary_error": ("", "largest relative error of ∂L/∂x, form of the summary"),
    "centred_error": ("", "mean of ∂L/∂x over its root mean square, largest"),
    "correlation_left": ("", "correlation of ∂L/∂x and x̂, ε = 10⁻⁵, largest absolute value"),
    "correlation_without_eps": ("", "the same for ε = 0"),
    "bias_gradient": ("", "gradient by the bias before batch norm, largest over the largest by β"),
    "bias_effect": ("", "change of the outputs by another bias, largest relative"),
    "bias_effect_in_evaluation": ("", "the same in evaluation mode, the running statistics kept; "
                                  "smallest"),
    "bias_gradient_after": ("", "gradient by the bias where batch norm comes after ReLU, over the "
                            "largest by β; smallest"),
    "nan_without_eps": ("0/1", "1 if a constant feature became NaN for ε = 0 in every trial"),
    "finite_with_eps": ("0/1", "1 if it stayed finite for ε = 10⁻⁵ in every trial"),
    "layer_is_identity": ("0/1", "1 if batch norm with γ = 1, β = 0 left every batch as it was"),
    "scale_and_shift_is_identity": ("0/1", "1 if γ = 1, β = 0 left every x̂ as it was"),
    "identity_distance": ("", "change of a batch by batch norm with γ = 1, β = 0, relative, "
                          "smallest"),
}  # fmt: skip
CONDITIONS = {
    "deviation": "number",
    "batch_size": "integer",
    "width": "integer",
    "depth": "integer",
    "activation": "level",
    "init": "level",
    "constant": ["zero", "whole number", "fraction"],
}


DEVIATIONS = [0.0, 0.001, 0.01, 0.1, 1.0, 10.0]
BATCHES = [8, 32, 128, 512]  # images whose normalisation is undone
MOST = 64  # images in a batch of a random case
EXPLODES = 1000  # times as long
LAW_SIZES = 12  # batch sizes for which the law is drawn
CLAIMED_BATCH, POOL = 64, 5000  # images at once for the claim; images they are taken from


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, condition and seed; QUANTITIES says what each number is."""
    dataset = training.prepared("mnist", settings, POOL)
    rows = []
    for seed in settings["seeds"]:
        random = np.random.default_rng([seed, 791])
        for found in (
            statistics_of_normalised, undone, derivatives, gradients, projections, biases,
            constants, start_as_identity,
        ):  # fmt: skip
            for quantity, value, where in found(random, settings["trials"]):
                row = {"quantity": quantity, "seed": seed, "value": float(value)}
                rows.append(row | where)
    rows += at_the_start(dataset, settings)
    return tidy.from_rows(rows, CONDITIONS)


# ---- Random cases --------------------------------------------------------------------------------


def standard(random, shape):
    """Random numbers of mean 0 and deviation about 1: normal, even, skewed or of two values."""
    kind = random.integers(4)
    if kind == 0:
        return random.standard_normal(shape)
    if kind == 1:
        return random.uniform(-(3**0.5), 3**0.5, shape)
    if kind == 2:
        return random.exponential(1, shape) - 1
    return random.choice([-1.0, 1.0], shape) + 0.01 * random.standard_normal(shape)


def feature(random, batch, deviation, away=100.0):
    """One feature [B] of a batch with exactly this deviation (divisor B) there, its mean up to so
    many deviations `away` from zero."""
    offset, draw = random.uniform(-away, away), standard(random, batch)
    if not deviation:
        return np.full(batch, offset)
    return deviation * (offset + (draw - draw.mean()) / draw.std())


def batch_and_layer(random):
    """A batch x [B, features], and γ, β [features]."""
    shape = int(random.integers(3, MOST + 1)), int(random.integers(1, 6))
    deviations = 10 ** random.uniform(-2, 2, shape[1])
    x = deviations * (random.uniform(-10, 10, shape[1]) + standard(random, shape))
    return x, random.uniform(0.2, 3, shape[1]), random.uniform(-2, 2, shape[1])


def random_loss(random, shape):
    """A loss that is not linear in y [B, features]: a function of a tensor."""
    slopes, bends = (torch.tensor(random.standard_normal(shape)) for _ in range(2))
    return lambda y: (slopes * y.tanh() + bends * y.sin()).sum()


# ---- What normalising does -----------------------------------------------------------------------


def statistics_of_normalised(random, trials):
    """Yields means and variances of x̂, by the feature's deviation."""
    means = []
    for deviation in DEVIATIONS:
        missing, law, without = [], [], []
        for _ in range(trials):
            x = feature(random, int(random.integers(2, MOST + 1)), deviation)
            x_hat, _, variance = normalised(x)
            means.append(abs(x_hat.mean()))
            missing.append(1 - x_hat.var())
            if deviation:
                law.append(relative_error(x_hat.var(), variance / (variance + EPS)))
                without.append(abs(1 - normalised(x, 0)[0].var()))
        where = {"deviation": deviation}
        yield "variance_missing", max(missing), where
        if deviation:
            yield "variance_law_error", max(law), where
            yield "variance_error_without_eps", max(without), where
    yield "mean_error", max(means), {}


def undone(random, trials):
    """Yields whether γ = √(σ² + ε), β = μ undo a normalisation: of the same batch, of others of
    the same size, and with running statistics."""
    same, running = [], []
    for size in BATCHES:
        elsewhere = []
        for _ in range(trials):
            deviation = 10 ** random.uniform(-2, 2)
            both = feature(random, 2 * size, deviation, away=10)
            x, other = both[:size], both[size:]
            x_hat, mean, variance = normalised(x)
            gamma, beta = np.sqrt(variance + EPS), mean
            same.append(relative_error(gamma * x_hat + beta, x))
            change = gamma * normalised(other)[0] + beta - other
            elsewhere.append(np.sqrt((change**2).mean()) / both.std())
            fixed = (other - mean) / np.sqrt(variance + EPS)
            running.append(relative_error(gamma * fixed + beta, other))
        yield "undone_elsewhere", max(elsewhere), {"batch_size": size}
    yield "undone_error", max(same), {}
    yield "undone_in_evaluation", max(running), {}


def start_as_identity(random, trials):
    """Yields whether batch norm with γ = 1, β = 0 leaves a batch as it is."""
    changes, steps = [], []
    for _ in range(trials):
        x, _, _ = batch_and_layer(random)
        x_hat, _, _ = normalised(x)
        changes.append(relative_error(1 * x_hat + 0, x))
        steps.append(relative_error(1 * x_hat + 0, x_hat))
    yield "layer_is_identity", max(changes) < 1e-10, {}
    yield "scale_and_shift_is_identity", max(steps) == 0, {}
    yield "identity_distance", min(changes), {}


def constants(random, trials):
    """Yields whether constant features become NaN without ε, and stay finite with it; float32."""
    draws = {
        "zero": lambda: 0.0,
        "whole number": lambda: float(random.integers(1, 100)),
        "fraction": lambda: random.uniform(0, 1),
    }
    for constant, draw in draws.items():
        nan, finite = [], []
        for _ in range(trials):
            x = torch.full((int(random.integers(2, 257)),), draw(), dtype=torch.float32)
            nan.append(normalised(x, 0.0)[0].isnan().all().item())
            finite.append(normalised(x)[0].isfinite().all().item())
        yield "nan_without_eps", all(nan), {"constant": constant}
        yield "finite_with_eps", all(finite), {"constant": constant}


# ---- Derivatives ---------------------------------------------------------------------------------


def jacobian_by_autograd(x, eps):
    """∂x̂/∂x of one feature x [B], [B, B]: of B copies of it, copy i asked for x̂ᵢ."""
    copies = torch.tensor(x)[:, None].repeat(1, len(x)).requires_grad_()
    asked = normalised(copies, eps)[0].diagonal().sum()
    return torch.autograd.grad(asked, copies)[0].T.numpy()


def derivatives(random, trials):
    """Yields the error of the printed Jacobian, and how large it gets."""
    errors, norms, without = [], [], []
    for trial in range(trials):
        size, eps = int(random.integers(3, MOST + 1)), (EPS, 0.0)[trial % 2]
        x = feature(random, size, 10 ** random.uniform(-4, 2), away=3)
        x_hat, _, variance = normalised(x, eps)
        errors.append(
            relative_error(formulas.jacobian(x_hat, variance, eps), jacobian_by_autograd(x, eps))
        )
        x = feature(random, size, 10.0 ** -random.uniform(-2, 8), away=0)
        norms.append(np.linalg.norm(jacobian_by_autograd(x, EPS), 2))
        without.append(np.linalg.norm(jacobian_by_autograd(x, 0.0), 2))
    yield "jacobian_error", max(errors), {}
    yield "derivative_bounded", max(norms) <= EPS**-0.5 * (1 + 1e-10), {}
    yield "largest_derivative", max(norms), {}
    yield "largest_derivative_without_eps", max(without), {}


def by_autograd(x, gamma, beta, loss, eps):
    """What the formulas are about: values x̂, mean, variance, and derivatives of the loss by y,
    gamma, beta, x_hat, variance, mean and x, all NumPy. By the variance with the mean held, by the
    mean through both of its ways."""
    x, gamma, beta = (torch.tensor(v, requires_grad=True) for v in (x, gamma, beta))
    x_hat, mean, variance = normalised(x, eps)
    y = gamma * x_hat + beta
    by = {"y": y, "gamma": gamma, "beta": beta, "x_hat": x_hat, "variance": variance,
          "mean": mean, "x": x}  # fmt: skip
    found = torch.autograd.grad(loss(y), list(by.values()))
    values = [v.detach().numpy() for v in (x_hat, mean, variance)]
    return values, {name: g.numpy() for name, g in zip(by, found, strict=True)}


def gradients(random, trials):
    """Yields the largest error of each formula of the backward pass."""
    errors = {}
    for trial in range(trials):
        (x, gamma, beta), eps = batch_and_layer(random), (EPS, 0.0)[trial % 2]
        values, d = by_autograd(x, gamma, beta, random_loss(random, x.shape), eps)
        x_hat, mean, variance = values
        at = x, mean, variance, eps
        found = {
            "gamma_error": (formulas.by_gamma(d["y"], x_hat), d["gamma"]),
            "beta_error": (formulas.by_beta(d["y"]), d["beta"]),
            "normalised_error": (formulas.by_normalised(d["y"], gamma), d["x_hat"]),
            "variance_gradient_error": (formulas.by_variance(d["x_hat"], *at), d["variance"]),
            "mean_gradient_error": (formulas.by_mean(d["x_hat"], d["variance"], *at), d["mean"]),
            "input_error": (formulas.by_input(d["x_hat"], d["variance"], d["mean"], *at), d["x"]),
            "simplified_error": (formulas.simplified(d["x_hat"], x_hat, variance, eps), d["x"]),
            "summary_error": (formulas.summary(d["y"], x_hat, gamma, variance, eps), d["x"]),
        }
        for quantity, sides in found.items():
            errors.setdefault(quantity, []).append(relative_error(*sides))
    for quantity, of_trials in errors.items():
        yield quantity, max(of_trials), {}


def projections(random, trials):
    """Yields how far ∂L/∂x is from centred, and from uncorrelated with x̂."""
    means, without = [], []
    for deviation in filter(None, DEVIATIONS):
        left = []
        for _ in range(trials):
            x = feature(random, int(random.integers(8, MOST + 1)), deviation, away=10)[:, None]
            loss = random_loss(random, x.shape)
            for eps, correlations in ((EPS, left), (0.0, without)):
                (x_hat, _, _), d = by_autograd(x, np.ones(1), np.zeros(1), loss, eps)
                size = np.sqrt((d["x"] ** 2).mean())
                means.append(abs(d["x"].mean()) / size)
                correlations.append(abs((d["x"] * x_hat).mean()) / size / x_hat.std())
        yield "correlation_left", max(left), {"deviation": deviation}
    yield "centred_error", max(means), {}
    yield "correlation_without_eps", max(without), {}


def biases(random, trials):
    """Yields what a bias in front of batch norm does, and one in front of ReLU and batch norm."""
    slopes, effects, fixed, after = [], [], [], []
    for _ in range(trials):
        size, inputs, units = (int(random.integers(8, MOST + 1)) for _ in range(3))
        sums = torch.tensor(random.standard_normal((size, inputs)))
        sums = sums @ torch.tensor(random.standard_normal((inputs, units)) / math.sqrt(inputs))
        bias, other = (torch.tensor(random.standard_normal(units)) for _ in range(2))
        loss = random_loss(random, (size, units))
        slopes.append(bias_over_beta(sums, bias, loss))
        after.append(bias_over_beta(sums, bias, loss, torch.relu))
        y, mean, variance = normalised(sums + bias)
        effects.append(relative_error(normalised(sums + other)[0], y))
        kept = functional.batch_norm(sums + other, mean, variance, eps=EPS)
        fixed.append(relative_error(kept, y))
    yield "bias_gradient", max(slopes), {}
    yield "bias_effect", max(effects), {}
    yield "bias_effect_in_evaluation", min(fixed), {}
    yield "bias_gradient_after", min(after), {}


def bias_over_beta(sums, bias, loss, between=lambda z: z):
    """Largest gradient by a bias over the largest by β of the batch norm behind `between`."""
    bias, beta = bias.clone().requires_grad_(), torch.zeros_like(bias, requires_grad=True)
    y = functional.batch_norm(between(sums + bias), None, None, None, beta, True, eps=EPS)
    by_bias, by_beta = torch.autograd.grad(loss(y), [bias, beta])
    return (by_bias.abs().max() / by_beta.abs().max()).item()


# ---- Networks at the start -----------------------------------------------------------------------


def at_the_start(dataset, settings):
    """Rows of networks before the first step: how much variance ε takes, and how the gradient
    grows towards the first layer, beside the law of wide networks."""
    seeds, width = settings["seeds"], settings["width"]
    rows = []

    def found(quantity, values, **where):
        pairs = zip(seeds, values, strict=False)  # a law has one number, that of the first seed
        rows.extend({"quantity": quantity, "seed": s, "value": float(v)} | where for s, v in pairs)

    for init in ("he", "normal_std_0.001"):
        at = normalised_start.look(dataset, seeds, init, "relu", 2, width[0], CLAIMED_BATCH)
        found("network_variance_missing", at.missing, init=init)
    deepest = max(settings["depth"])
    shapes = {(width[0], depth, CLAIMED_BATCH) for depth in settings["depth"]}
    shapes |= set(itertools.product(width, [deepest], {*settings["batch_sizes"], CLAIMED_BATCH}))
    for activation, (units, depth, size) in itertools.product(
        normalised_start.LEVELS, sorted(shapes)
    ):
        at = normalised_start.look(dataset, seeds, "he", activation, depth, units, size)
        where = {"activation": activation, "depth": depth}
        if (units, size) == (width[0], CLAIMED_BATCH):
            calm = [norms[0] <= EXPLODES * norms[-1] for norms in at.gradients]
            found("does_not_explode", calm, **where)
        if depth == deepest:
            found("gradient_growth", at.growth, **where, batch_size=size, width=units)
    sizes = {*settings["batch_sizes"], CLAIMED_BATCH}
    between = np.geomspace(min(sizes), max(sizes), LAW_SIZES)
    for activation, size in itertools.product(
        normalised_start.LEVELS, sorted(sizes | {int(n) for n in between})
    ):
        law = normalised_start.growth_law(activation, size)
        found("growth_law", [law], activation=activation, batch_size=size)
    return rows
