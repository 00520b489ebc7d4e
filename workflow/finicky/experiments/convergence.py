"""How fast does descent converge? The worst functions of their class, some gentler ones, and SGD.

An O(.) rate bounds a whole class of functions, so its exponent shows on the function that is worst
for each number of steps, not on any one function. Errors are in units of L R² (smooth: L bounds
the curvature, R is the distance from the start to the minimum) or G R (not smooth: G bounds the
slope).
"""

import itertools
from functools import partial

import numpy as np
import pandas as pd

from finicky.experiments import tidy

TITLE = "Rates of convergence: worst cases, ordinary cases, and SGD"
READS = []
SETTINGS = {
    "horizons": (
        {
            "type": "array",
            "minItems": 2,
            "uniqueItems": True,
            "items": {"type": "integer", "minimum": 1, "maximum": 100000},
        },
        "numbers of steps for which the worst functions are made",
    ),
    "steps": (
        {"type": "integer", "minimum": 10, "maximum": 100000},
        "steps of descent on single functions; after more, some errors are 0 in float64",
    ),
    "sgd_steps": ({"type": "integer", "minimum": 10, "maximum": 10000000}, "steps of SGD"),
}
QUANTITIES = {
    "one_over_t": ("0/1", "1 if smooth_exponent is -1, to 0.05"),
    "one_over_root_t": ("0/1", "1 if nonsmooth_exponent is -1/2, to 0.05"),
    "smooth_exponent": ("", "log-log slope of the error after N steps at 1/L on the worst smooth "
                        "convex function for N, by N; nothing random, so one number"),
    "nonsmooth_exponent": ("", "log-log slope of the best error in N subgradient steps of "
                           "R/(G √(N + 1)) on the worst function for N, by N; nothing random"),
    "share_of_bound": ("", "largest error over the bound of its class, at any step"),
    "exponent_of_one_function": ("", "log-log slope by step over the last decade on one function"),
    "error": ("L R² or G R", "error by step"),
    "falls": ("", "exponent with which SGD's squared gradient falls over the last decade of steps, "
              "rate constant, ∝ t^-0.6 (decaying) or ∝ t^-2 (decaying too fast)"),
    "left": ("", "squared gradient in the last decade of steps over that at the start"),
    "squared_gradient": ("", "SGD's squared gradient norm of the whole loss by step"),
}  # fmt: skip
CONDITIONS = {
    "function": [
        "worst smooth",
        "quadratic",
        "quartic",
        "logistic",
        "worst nonsmooth",
        "absolute deviations",
        "network",
        "robust regression",
    ],
    "step_size": ["constant", "decaying", "decaying too fast"],
    "step": "integer",
}
CLAIMED = {"smooth": ("one_over_t", -1.0), "nonsmooth": ("one_over_root_t", -0.5)}
EXACT = 0.05  # an exponent so near to the theorem's is the theorem's
NETWORK = 5, 4  # inputs and units
EXAMPLES = 100
EXPONENTS = {"decaying": 0.6, "constant": 0.0, "decaying too fast": 2.0}  # of SGD's falling rate


# ---- Convex functions: the error by step --------------------------------------------------------


def worst_smooth(steps, curvature, distance):
    """Errors [steps + 1] of descent at 1/L on the function that is worst for these steps.

    Quadratic within L R/(2N + 1) of its minimum in slope, linear beyond (Drori and Teboulle 2014,
    Mathematical Programming 145, theorem 3.2): after N steps exactly L R²/(4N + 2) is left.
    """
    knee = distance / (2 * steps + 1)
    x, errors = distance, []
    for _ in range(steps + 1):
        inside = abs(x) < knee
        errors.append(curvature * (x**2 / 2 if inside else knee * abs(x) - knee**2 / 2))
        x -= x if inside else knee * np.sign(x)  # the gradient over L
    return np.array(errors)


def worst_nonsmooth(steps, slope, distance):
    """Best errors so far [steps + 1] of subgradient steps R/(G √(N + 1)) on the worst function.

    f(x) = G max(max_i x_i, |x| - R (1 + 1/√(N + 1))) in N + 1 dimensions, from x = 0, where the
    oracle names the first of the largest coordinates (Nesterov 2004, theorem 3.2.1; Drori and
    Teboulle 2016, Mathematical Programming 160): every step lowers one coordinate, one stays 0.
    """
    root = np.sqrt(steps + 1)
    x, best, errors = np.zeros(steps + 1), np.inf, []
    for _ in range(steps + 1):
        norm, first = np.linalg.norm(x), x.argmax()
        shell = norm - distance * (1 + 1 / root)
        best = min(best, slope * (max(x[first], shell) + distance / root))
        errors.append(best)
        if x[first] >= shell:
            x[first] -= distance / root
        else:
            x -= distance / root * x / norm
    return np.array(errors)


def quadratic(steps, random):
    """Errors [steps + 1] of descent at 1/L; 20 curvatures, spread over four decades below L."""
    curvatures = 10 ** -np.append(0, random.uniform(0, 4, 19))
    x = random.normal(size=20)
    left = x * (1 - curvatures) ** np.arange(steps + 1)[:, None]
    return (curvatures * left**2).sum(1) / 2 / (x @ x)


def quartic(steps, random):
    """Errors [steps + 1] of descent at 1/L on x⁴/4 from x = 1, where L = 3."""
    x, errors = 1.0, []
    for _ in range(steps + 1):
        errors.append(x**4 / 4 / 3)
        x -= x**3 / 3
    return np.array(errors)


def logistic(steps, random):
    """Errors [steps + 1] of descent at 1/L on log(1 + e^-x) from x = 0: a minimum at infinity.

    L = 1/4; there is no distance to the minimum, and the errors are in units of L alone.
    """
    x, errors = 0.0, []
    for _ in range(steps + 1):
        errors.append(4 * np.log1p(np.exp(-x)))
        x += 4 / (1 + np.exp(x))
    return np.array(errors)


def absolute_deviations(steps, random, constant=False):
    """Best errors so far [steps + 1] of subgradient steps on mean |Xw - y|, X [60, 10].

    Steps are R/(G √(t + 1)), or R/(10 G) if constant; y = X w* for a known w*, so the minimum is 0.
    """
    inputs = random.normal(size=(60, 10))
    best = random.normal(size=10)
    distance, slope = np.linalg.norm(best), np.linalg.norm(inputs, axis=1).mean()
    w, errors = np.zeros(10), []
    for step in range(steps + 1):
        residuals = inputs @ (w - best)
        errors.append(np.abs(residuals).mean() / slope / distance)
        length = distance / 10 if constant else distance / np.sqrt(step + 1)
        w = w - length / slope * (inputs.T @ np.sign(residuals)) / 60
    return np.minimum.accumulate(errors)


SMOOTH = {  # (function, step size): its errors
    ("quadratic", "constant"): quadratic,
    ("quartic", "constant"): quartic,
    ("logistic", "constant"): logistic,
}
NONSMOOTH = {
    ("absolute deviations", "decaying"): absolute_deviations,
    ("absolute deviations", "constant"): partial(absolute_deviations, constant=True),
}
FIXED = ["quartic", "logistic"]  # nothing about them is random
CLASSES = {  # class: its worst function, its bound by step, its single functions
    "smooth": (worst_smooth, lambda t: 1 / (4 * t + 2), SMOOTH),
    "nonsmooth": (worst_nonsmooth, lambda t: 1 / np.sqrt(t + 1), NONSMOOTH),
}


# ---- SGD on smooth functions that are not convex ------------------------------------------------


class Network:
    """A tanh layer and a linear unit, squared loss; weights [copies, 24], data of each copy."""

    size = NETWORK[0] * NETWORK[1] + NETWORK[1]
    rate, delay = 0.1, 10

    def target(self, inputs, random):
        hidden = np.tanh(inputs @ random.normal(size=NETWORK))
        return hidden @ random.normal(size=NETWORK[1]) + 0.3 * random.normal(size=len(inputs))

    def gradient(self, weights, inputs, targets):
        """Mean gradients [copies, 24] over inputs [copies, n, 5] and targets [copies, n]."""
        copies, units = len(weights), NETWORK[1]
        first = weights[:, :-units].reshape(copies, *NETWORK)
        last = weights[:, -units:, None]
        hidden = np.tanh(inputs @ first)
        residuals = hidden @ last - targets[..., None]
        of_last = (hidden * residuals).mean(1)
        back = residuals * last.transpose(0, 2, 1) * (1 - hidden**2)
        of_first = inputs.transpose(0, 2, 1) @ back / inputs.shape[1]
        return np.concatenate([of_first.reshape(copies, -1), of_last], 1)


class Robust:
    """Linear regression with the loss r²/(2 + 2 r²), which forgives outliers (Geman and McClure
    1985); a fifth of the targets are outliers."""

    size = NETWORK[0]
    rate, delay = 0.2, 10

    def target(self, inputs, random):
        outliers = 5 * random.normal(size=len(inputs)) * (random.uniform(size=len(inputs)) < 0.2)
        return inputs @ random.normal(size=self.size) + outliers

    def gradient(self, weights, inputs, targets):
        """Mean gradients [copies, 5] over inputs [copies, n, 5] and targets [copies, n]."""
        residuals = (inputs @ weights[..., None])[..., 0] - targets
        pull = residuals / (1 + residuals**2) ** 2
        return (pull[:, None] @ inputs)[:, 0] / inputs.shape[1]


NOT_CONVEX = {"network": Network(), "robust regression": Robust()}


def sgd(model, steps, seeds):
    """SGD with one example per step, at each of EXPONENTS; model: one of NOT_CONVEX.

    Returns (the steps [k] at which the gradient of the whole loss was taken, its squared norms
    [k, rates, seeds]).
    """
    generators = [np.random.default_rng([seed, 152]) for seed in seeds]
    inputs = np.array([random.normal(size=(EXAMPLES, NETWORK[0])) for random in generators])
    targets = np.array(
        [model.target(x, random) for x, random in zip(inputs, generators, strict=True)]
    )
    start = np.array([random.normal(size=model.size) for random in generators])
    order = np.array([random.integers(EXAMPLES, size=steps) for random in generators])
    exponents, count = np.array(list(EXPONENTS.values())), len(EXPONENTS)
    weights = np.tile(start, (count, 1))  # [rates x seeds, parameters]
    inputs, targets = np.tile(inputs, (count, 1, 1)), np.tile(targets, (count, 1))
    order, copies = np.tile(order, (count, 1)), np.arange(count * len(seeds))
    measured = np.append(0, np.unique(np.geomspace(1, steps, 150).astype(int)))
    wanted, found = set(measured.tolist()), []
    for step in range(steps + 1):
        if step in wanted:
            whole = model.gradient(weights, inputs, targets)
            found.append((whole**2).sum(1).reshape(count, len(seeds)))
        if step == steps:
            break
        chosen = order[:, step]
        one = model.gradient(
            weights, inputs[copies, chosen][:, None], targets[copies, chosen][:, None]
        )
        rates = model.rate * (1 + step / model.delay) ** -exponents
        weights = weights - np.repeat(rates, len(seeds))[:, None] * one
    return measured, np.array(found)


# ---- Measuring ----------------------------------------------------------------------------------


def exponent(x, y):
    """Slope of log y by log x."""
    return np.polyfit(np.log(x), np.log(y), 1)[0]


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, seed and condition; QUANTITIES says what each number is."""
    seeds = settings["seeds"]
    rows = [row | {"seed": seeds[0]} for row in worst_cases(np.array(settings["horizons"]))]
    for seed in seeds:
        random = np.random.default_rng([seed, 150])
        found = single_functions(random, settings["steps"], fixed=seed == seeds[0])
        rows += [row | {"seed": seed} for row in found]
    for name, model in NOT_CONVEX.items():
        steps, squared = sgd(model, settings["sgd_steps"], settings["seeds"])
        last = steps >= settings["sgd_steps"] / 10
        for (i, rate), (j, seed) in itertools.product(
            enumerate(EXPONENTS), enumerate(settings["seeds"])
        ):
            curve = squared[:, i, j]
            where = {"function": name, "step_size": rate, "seed": seed}
            falls = -exponent(steps[last], curve[last])
            rows.append(where | {"quantity": "falls", "value": falls})
            left = np.exp(np.log(curve[last]).mean()) / curve[0]
            rows.append(where | {"quantity": "left", "value": left})
            where |= {"quantity": "squared_gradient"}
            rows += [where | {"step": s, "value": v} for s, v in zip(steps, curve, strict=True)]
    return tidy.from_rows(rows, CONDITIONS)


def worst_cases(horizons):
    """Yields the rows of the functions that are worst for so many steps [k]. Nothing is random:
    curvature, slope and distance are 1, which only sets the units."""
    for kind, (worst, bound, _) in CLASSES.items():
        where = {"function": f"worst {kind}", "step_size": "constant"}
        ends = np.array([worst(n, 1.0, 1.0)[-1] for n in horizons])
        found = exponent(horizons, ends)
        yield {"quantity": f"{kind}_exponent", "value": found}
        rate, claimed = CLAIMED[kind]
        yield {"quantity": rate, "value": float(abs(found - claimed) < EXACT)}
        share = (ends / bound(horizons)).max()
        yield where | {"quantity": "share_of_bound", "value": share}
        for n, end in zip(horizons, ends, strict=True):
            yield where | {"quantity": "error", "step": n, "value": end}


def single_functions(random, most, fixed):
    """Yields the rows of descent for `most` steps on single functions, those that are not random
    (FIXED) only if `fixed`."""
    for _, bound, single in CLASSES.values():
        for (name, step_size), descend in single.items():
            if name in FIXED and not fixed:
                continue
            where = {"function": name, "step_size": step_size}
            errors = descend(most, random)
            steps = np.arange(len(errors))
            if name != "logistic":  # its minimum is infinitely far: the bound says nothing
                share = (errors / bound(steps)).max()
                yield where | {"quantity": "share_of_bound", "value": share}
            reported = np.unique(np.geomspace(1, most, 60).astype(int))
            last = reported[reported >= most / 10]
            found = exponent(last, errors[last])
            yield where | {"quantity": "exponent_of_one_function", "value": found}
            for step in reported:
                yield where | {"quantity": "error", "step": step, "value": errors[step]}
