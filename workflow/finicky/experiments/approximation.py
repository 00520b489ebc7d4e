"""Approximation: what one hidden layer and one polynomial can do, and what training finds.

Networks are built by hand (bumps of two sigmoids, broken lines of ReLUs, waves of ReLUs in two
dimensions) and compared with networks of the same size that are trained. Polynomials pass through
points in exact fractions.
"""

import math
from fractions import Fraction

import numpy as np
import pandas as pd

from finicky.experiments import tidy, tuning, update_rules

TITLE = "Approximation: what exists, and what is found"
READS = []
SETTINGS = {
    "points": (
        {"type": "integer", "minimum": 3, "maximum": 500},
        "through which a polynomial passes",
    ),
    "units": (
        {"type": "array", "minItems": 2, "uniqueItems": True,
         "items": {"type": "integer", "minimum": 2, "multipleOf": 2, "maximum": 100000}},
        "of the built networks of one input; two units are a bump",
    ),
    "modes": (
        {"type": "array", "minItems": 2, "uniqueItems": True,
         "items": {"type": "integer", "minimum": 2, "maximum": 32}},
        "highest frequencies of the built networks of two inputs",
    ),
    "tolerances": (
        {"type": "array", "minItems": 2, "maxItems": 2, "items": {"$ref": "#/$defs/positives"}},
        "of the largest error, for one input and for two",
    ),
    "trials": ("trials", "of the bump's identities, per seed"),
    # a curvature needs three
    "dimensions": (
        {"type": "array", "minItems": 3, "uniqueItems": True,
         "items": {"type": "integer", "minimum": 1, "maximum": 10}},
        "inputs of the random feature networks",
    ),
    "sample": (
        {"type": "integer", "minimum": 10, "maximum": 100000},
        "points that these are fitted to",
    ),
    "most": (
        {"type": "integer", "minimum": 2, "maximum": 50000},
        "units that they have at most; fewer than points",
    ),
    "trained_units": (
        {"type": "array", "minItems": 1, "uniqueItems": True,
         "items": {"type": "integer", "minimum": 1, "maximum": 10000}},
        "of the trained networks",
    ),
    "trained_targets": (
        {"type": "array", "minItems": 1, "uniqueItems": True,
         "items": {"enum": ["wave", "kink", "root"]}},
        "functions that they are trained on",
    ),
    "steps": ("steps", "of their training"),
}  # fmt: skip
QUANTITIES = {
    "passes_through": ("0/1", "1 if the polynomial of degree n - 1 meets n random points exactly, "
                       "in fractions"),
    "useless_between": ("0/1", "1 if between its points a polynomial is as far from the function "
                        "as half the function's range"),
    "error_between": ("", "largest error between the points, in half ranges of the function"),
    "needs_degree_1000": ("0/1", "0 if degree 99 passes through 100 random points exactly"),
    "max_error": ("", "largest error of a built network"),
    "rms_error": ("", "root mean square error of a built or trained network"),
    "rate": ("", "slope of log largest error by log units"),
    "approximates": ("0/1", "1 if a network of one hidden layer was built with a largest error "
                     "below the tolerance"),
    "bump_formula": ("", "error of the bump's closed form, relative to its height"),
    "bump_area": ("", "relative error of the bump's area, the width"),
    "bump_limit": ("", "how far a bump is from its box, beyond the bound 2 exp(-aδ)"),
    "bump_height": ("", "height of a bump by steepness times width"),
    "units_needed": ("units", "units with which a random feature network halves the error"),
    "curvature": ("doublings", "of log2 of these units over log2 of the dimension: coefficient of "
                  "the square; 0 for a power of the dimension, above 0 for an exponential"),
    "doublings_a_dimension": ("doublings", "slope of log2 of these units by dimension"),
    "trained_over_built": ("doublings", "log2 of the trained network's error over that of the "
                           "network built with as many units"),
}  # fmt: skip
CONDITIONS = {
    "target": [
        "Runge's",
        "absolute value",
        "exponential",
        "crease",
        "dome",
        "jump",
        "kink",
        "root",
        "wave",
    ],
    "nodes": ["chebyshev", "equispaced", "random"],
    "network": ["waves", "broken line", "bumps", "trained"],
    "units": "integer",
    "dimension": "integer",
    "tolerance": "number",
    "steepness": "number",
    "optimizer": ["adam", "gradient_descent"],
}
LIMITS = {
    "most < sample": "fewer units than points",
}
BUDGET = {
    "{steps} steps on each function": [
        "trained_over_built",
    ],
}


# ---- Polynomials through points ------------------------------------------------------------------


def through(x, y):
    """Newton's coefficients of the polynomial of degree len(x) - 1 through the points (x, y), in
    fractions: divided differences. x: distinct whole numbers."""
    coefficients = [Fraction(value) for value in y]
    for order in range(1, len(x)):
        for i in range(len(x) - 1, order - 1, -1):
            rise = coefficients[i] - coefficients[i - 1]
            coefficients[i] = rise / (x[i] - x[i - order])
    return coefficients


def newton(coefficients, x, at):
    """The value at `at` of Newton's form with the points x, by Horner's rule."""
    value = Fraction(0)
    for coefficient, point in zip(reversed(coefficients), reversed(x), strict=True):
        value = value * (at - point) + coefficient
    return value


def interpolant(x, y, at):
    """The polynomial through the points, evaluated in float64: barycentric formula (Berrut and
    Trefethen 2004, SIAM Review 46, equation 4.2). x distinct, `at` none of them."""
    differences = x[:, None] - x + np.eye(len(x))
    sign = np.sign(differences).prod(1)
    size = -np.log(np.abs(differences)).sum(1)
    weights = sign * np.exp(size - size.max())
    share = weights / (at[:, None] - x)
    return share @ y / share.sum(1)


POLYNOMIAL_TARGETS = {  # on [-1, 1]
    "Runge's": lambda x: 1 / (1 + 25 * x**2),
    "absolute value": np.abs,
    "exponential": np.exp,
}


def places(kind, points, rng):
    """Points of [-1, 1]: equispaced, random (uniform) or Chebyshev's (second kind)."""
    if kind == "random":
        return np.sort(rng.uniform(-1, 1, points))
    even = np.linspace(-1, 1, points)
    return even if kind == "equispaced" else np.sin(math.pi / 2 * even)


def sigmoid(z):
    return 0.5 * (1 + np.tanh(z / 2))


def relu(z):
    return np.maximum(z, 0)


def output(network, activation, x):
    """A network's output [points] at x [points, inputs], a few million activations at a time."""
    weights, biases, out, bias = network
    chunk = max(1, 4_000_000 // len(biases))
    return bias + np.concatenate([
        activation(x[i : i + chunk] @ weights + biases) @ out for i in range(0, len(x), chunk)
    ])  # fmt: skip


def bump(x, steepness, start, end):
    """The chapter's bump: two sigmoids, one up at `start`, one down at `end`."""
    return sigmoid(steepness * (x - start)) - sigmoid(steepness * (x - end))


def bumps(f, units):
    """The chapter's proof: a bump over each of units / 2 cells of [0, 1], as high as f amid it.

    Edges are steep, a twentieth of a cell; the outermost lie a cell beyond [0, 1], so that no bump
    is half a bump at 0 and 1.
    """
    cells = units // 2
    edges = np.arange(cells + 1) / cells
    middle = f((edges[:-1] + edges[1:])[:, None] / 2)
    edges[[0, -1]] += [-1 / cells, 1 / cells]
    steepness = np.full(2 * cells, 20.0 * cells)
    return (
        steepness[None],
        -steepness * np.concatenate([edges[:-1], edges[1:]]),
        np.concatenate([middle, -middle]),
        0.0,
    )


def broken_line(f, units):
    """ReLUs that join f(0), f(1/units), ..., f(1) by straight lines: one kink per unit."""
    knots = np.arange(units + 1) / units
    values = f(knots[:, None])
    slopes = np.diff(values) * units
    return np.ones((1, units)), -knots[:-1], np.diff(slopes, prepend=0), values[0]


def waves(f, modes):
    """ReLUs for a function on [0, 1]²: waves up to this frequency, each a sum of broken lines.

    The cosine series of f has terms cos(πjx) cos(πky) = ½ cos π(jx + ky) + ½ cos π(jx - ky), each a
    function of one number t = jx ± ky (Fourier's way to the theorem; Barron 1993, IEEE Trans.
    Information Theory 39). Waves of one direction are added up, then drawn as one broken line with
    `modes` kinks per unit of t.
    """
    from scipy.fft import dctn

    samples = 4 * modes
    middle = (np.arange(samples) + 0.5) / samples
    x, y = np.meshgrid(middle, middle, indexing="ij")
    values = f(np.stack([x.ravel(), y.ravel()], 1)).reshape(samples, samples)
    series = dctn(values) / samples**2
    series[0] /= 2
    series[:, 0] /= 2
    directions = {}
    for j, k in np.ndindex(modes + 1, modes + 1):
        common = math.gcd(j, k)
        if common:
            signs = [1, -1] if j and k else [1]
            for sign in signs:
                wave = (common, series[j, k] / len(signs))
                directions.setdefault((j // common, sign * k // common), []).append(wave)
    parts, bias = [], series[0, 0]
    for (j, k), harmonics in directions.items():
        start, length = min(k, 0), j + abs(k)  # of t = jx + ky

        def along(s, start=start, length=length, harmonics=harmonics):
            t = start + length * s[:, 0]
            return sum(height * np.cos(math.pi * common * t) for common, height in harmonics)

        weights, biases, out, first = broken_line(along, modes * length)
        parts.append((np.array([[j], [k]]) / length @ weights, biases - start / length, out))
        bias += first
    weights, biases, out = (np.concatenate(part, axis=-1) for part in zip(*parts, strict=True))
    return weights, biases, out, bias


TARGETS = {  # on [0, 1]^n, x: [points, n]
    "wave": (1, lambda x: np.sin(4 * math.pi * x[:, 0])),
    "kink": (1, lambda x: np.abs(x[:, 0] - 0.4)),
    "root": (1, lambda x: np.sqrt(x[:, 0])),
    "dome": (2, lambda x: np.exp(-8 * ((x - 0.4) ** 2).sum(1))),
    "crease": (2, lambda x: np.abs(x[:, 0] - x[:, 1])),
    "jump": (1, lambda x: (x[:, 0] > 0.3).astype(float)),  # not continuous: what the theorem needs
}
NETWORKS = {"bumps": (bumps, sigmoid), "broken line": (broken_line, relu)}


def grid(dimension):
    """Points of [0, 1]^n on which errors are taken: [points, n]."""
    axis = np.linspace(0, 1, 10_001 if dimension == 1 else 101)
    return np.stack([x.ravel() for x in np.meshgrid(*[axis] * dimension)], 1)


# ---- Neurons by dimension ------------------------------------------------------------------------


def units_needed(dimension, seed, points, most):
    """Random ReLU units with which a network fits half of a rough function (relative error 0.5);
    NaN if `most` of them are too few.

    The function has a bump of random sign in each of the 2^n half cubes, so 2^n independent
    numbers. Directions are uniform, kinks pass through random points, output weights are least
    squares; orthogonalising the units in order (QR) gives the error for every number of them.
    """
    rng = np.random.default_rng([seed, dimension])
    x = rng.uniform(size=(points, dimension))
    signs = rng.choice([-1.0, 1.0], 2**dimension)
    cell = (x > 0.5) @ (1 << np.arange(dimension))
    y = signs[cell] * (np.sin(2 * math.pi * x) ** 2).prod(1)
    directions, places = rng.spawn(2)  # more units are the same ones and others
    weights = directions.standard_normal((most, dimension)).T
    weights /= np.linalg.norm(weights, axis=0)
    kinks = places.uniform(size=(most, dimension))
    hidden = relu(x @ weights - (kinks.T * weights).sum(0))
    q, _ = np.linalg.qr(np.concatenate([np.ones((points, 1)), hidden], axis=1))
    left = 1 - np.cumsum((q.T @ y) ** 2) / (y @ y)
    enough = np.flatnonzero(left < 0.25)
    return int(enough[0]) if len(enough) else math.nan


def growth(dimensions, units):
    """How log2 of the units grows: its slope by dimension, and its curvature by log2 of the
    dimension (the square's coefficient), both by least squares."""
    doublings = np.log2(units)
    slope = np.polyfit(dimensions, doublings, 1)[0]
    return slope, np.polyfit(np.log2(dimensions), doublings, 2)[0]


# ---- What training finds -------------------------------------------------------------------------

RATES = {"gradient_descent": [0.01, 0.03, 0.1, 0.3], "adam": [0.001, 0.003, 0.01, 0.03]}


def trained(units, optimizer, targets, settings):
    """Root mean square errors of trained ReLU networks: [targets, rates, seeds]; inf if NaN.

    One input, scaled to [-1, 1]; full batch on 200 points; weights and biases from PyTorch's
    default, U(-1/√fan-in, 1/√fan-in). The engine trains networks of images and classes, so this
    loop is our own; all trainings are stacked, each with its own rate.
    """
    import torch

    from finicky.engine.train import prepare

    prepare()
    seeds, rates, device = settings["seeds"], RATES[optimizer], settings["device"]
    x = np.linspace(0, 1, 200)[:, None]
    y = np.stack([TARGETS[name][1](x) for name in targets])
    drawn = []
    for seed in seeds:
        uniform = np.random.default_rng([seed, units]).uniform
        drawn.append([uniform(-1, 1, (1, units)), uniform(-1, 1, (1, units)),
                      uniform(-1, 1, (units, 1)) / math.sqrt(units),
                      uniform(-1, 1, (1, 1)) / math.sqrt(units)])  # fmt: skip

    def single(array):
        return torch.tensor(array, dtype=torch.float32, device=device)

    copies = len(targets) * len(rates)
    parameters = [single(np.stack(parts * copies)) for parts in map(list, zip(*drawn, strict=True))]
    rate = single(np.tile(np.repeat(rates, len(seeds)), len(targets)))[:, None, None]
    x = single(2 * x - 1).expand(len(rate), -1, 1)
    y = single(np.repeat(y, len(rates) * len(seeds), axis=0))[..., None]

    def errors():
        w, b, v, c = parameters
        return torch.baddbmm(c, torch.baddbmm(b, x, w).relu(), v) - y

    states = [{} for _ in parameters]
    for step in range(1, settings["steps"] + 1):
        for parameter in parameters:
            parameter.requires_grad_()
        gradients = torch.autograd.grad((errors() ** 2).mean((1, 2)).sum(), parameters)
        with torch.no_grad():
            updates = zip(parameters, gradients, states, strict=True)
            if optimizer == "adam":
                parameters = [update_rules.adam(p, g, s, rate, step) for p, g, s in updates]
            else:
                parameters = [p - rate * g for p, g, _ in updates]
    rms = (errors() ** 2).mean((1, 2)).sqrt().double().cpu().numpy()
    return np.nan_to_num(rms, nan=np.inf).reshape(len(targets), len(rates), len(seeds))


def at_best_rates(errors):
    """[targets, seeds] of [targets, rates, seeds]: each seed at the rate that is best on the
    others (itself, if there are none)."""
    return np.array(
        [
            [of_seed[tuning.best_place(-target.T, seed)] for seed, of_seed in enumerate(target.T)]
            for target in errors
        ]
    )


# ---- The table -----------------------------------------------------------------------------------


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, condition and seed; QUANTITIES says what each number is. What depends
    on no seed has the first one's number."""
    rows, first = [], settings["seeds"][0]

    def found(quantity, value, seed=first, **where):
        rows.append({"quantity": quantity, "seed": seed, "value": float(value)} | where)

    _polynomials(found, settings)
    _built(found, settings)
    for seed in settings["seeds"]:
        for quantity, error in bump_errors(np.random.default_rng(seed), settings["trials"]).items():
            found(quantity, error, seed)
        needed = [
            units_needed(d, seed, settings["sample"], settings["most"])
            for d in settings["dimensions"]
        ]
        for d, units in zip(settings["dimensions"], needed, strict=True):
            if not math.isnan(units):
                found("units_needed", units, seed, dimension=d)
        if not np.isnan(needed).any():
            slope, curvature = growth(settings["dimensions"], needed)
            found("doublings_a_dimension", slope, seed)
            found("curvature", curvature, seed)
    for steepness in (1, 4, 10, 20):
        found("bump_height", bump(0.5, steepness, 0, 1), steepness=steepness)
    _trained(found, settings)
    return tidy.from_rows(rows, CONDITIONS)


def _polynomials(found, settings):
    """Exactness in fractions, then errors between the points in float64."""
    for seed in settings["seeds"]:
        rng = np.random.default_rng([seed, 1])
        exact = {}
        for points in (settings["points"], 100):
            x = [int(value) for value in rng.permutation(10 * points)[:points]]
            y = [int(value) for value in rng.integers(-1000, 1000, points)]
            coefficients = through(x, y)
            exact[points] = all(newton(coefficients, x, a) == b for a, b in zip(x, y, strict=True))
        found("passes_through", exact[settings["points"]], seed)
        found("needs_degree_1000", not exact[100], seed)
    for kind in ("equispaced", "random", "chebyshev"):
        for target, f in POLYNOMIAL_TARGETS.items():
            for seed in settings["seeds"] if kind == "random" else [settings["seeds"][0]]:
                x = places(kind, settings["points"], np.random.default_rng([seed, 2]))
                at = (x[:-1, None] + np.diff(x)[:, None] * np.linspace(0.02, 0.98, 25)).ravel()
                error = np.abs(interpolant(x, f(x), at) - f(at)).max()
                values = f(np.linspace(-1, 1, 1001))
                error /= (values.max() - values.min()) / 2
                found("error_between", error, seed, nodes=kind, target=target)
                found("useless_between", error >= 1, seed, nodes=kind, target=target)


def _built(found, settings):
    """Errors of the networks that are built, by units, and which tolerances they meet."""
    for target, (dimension, f) in TARGETS.items():
        x = grid(dimension)
        true, least = f(x), math.inf
        if dimension == 1:
            ladder = [(name, build(f, units), activation)
                      for name, (build, activation) in NETWORKS.items()
                      for units in settings["units"]]  # fmt: skip
        else:
            ladder = [("waves", waves(f, modes), relu) for modes in settings["modes"]]
        errors = {}
        for name, network, activation in ladder:
            error, units = output(network, activation, x) - true, len(network[1])
            errors.setdefault(name, {})[units] = np.abs(error).max()
            where = {"target": target, "network": name, "units": units, "dimension": dimension}
            found("max_error", errors[name][units], **where)
            found("rms_error", math.sqrt((error**2).mean()), **where)
            least = min(least, errors[name][units])
        for name, by_units in errors.items():
            slope = np.polyfit(np.log(list(by_units)), np.log(list(by_units.values())), 1)[0]
            found("rate", slope, target=target, network=name, dimension=dimension)
        if target != "jump":
            for tolerance in settings["tolerances"][dimension - 1]:
                found("approximates", least < tolerance, target=target, dimension=dimension,
                      tolerance=tolerance)  # fmt: skip


def bump_errors(rng, trials):
    """Largest errors of the three statements about σ(a(x - c)) - σ(a(x - d)), w = d - c > 0, in
    random trials: with m amid c and d it is sinh(aw/2) / (cosh(aw/2) + cosh(a(x - m))); its area is
    w; from δ inside or outside of its edges it is within 2 exp(-aδ) of 1 or 0."""
    formula = area = limit = 0.0
    for _ in range(trials):
        a, c, w = rng.uniform(1, 300), rng.uniform(0, 1), rng.uniform(0.01, 1)
        d, middle = c + w, c + w / 2
        x = rng.uniform(c - 1, d + 1, 200)
        s, u = a * w / 2, a * (x - middle)
        value = bump(x, a, c, d)
        closed = math.sinh(s) / (math.cosh(s) + np.cosh(u))
        formula = max(formula, np.abs(value - closed).max() / math.tanh(s / 2))
        fine = np.arange(c - 40 / a, d + 40 / a, 0.1 / a)
        area = max(area, abs(bump(fine, a, c, d).sum() * 0.1 / a / w - 1))
        inside = (c < x) & (x < d)
        distance = np.minimum(np.abs(x - c), np.abs(x - d))
        beyond = np.abs(value - inside) - 2 * np.exp(-a * distance)
        limit = max(limit, beyond.max())
    return {"bump_formula": formula, "bump_area": area, "bump_limit": limit}


def _trained(found, settings):
    """Trained networks' errors, against those of broken lines with as many units."""
    targets, x = settings["trained_targets"], np.linspace(0, 1, 200)[:, None]
    for units in settings["trained_units"]:
        for optimizer in RATES:
            errors = at_best_rates(trained(units, optimizer, targets, settings))
            for target, row in zip(targets, errors, strict=True):
                f = TARGETS[target][1]
                error = output(broken_line(f, units), relu, x) - f(x)
                built = math.sqrt((error**2).mean())
                for seed, rms in zip(settings["seeds"], row, strict=True):
                    where = {"target": target, "units": units, "optimizer": optimizer}
                    found("rms_error", rms, seed, network="trained", dimension=1, **where)
                    found("trained_over_built", math.log2(rms / built), seed, **where)
