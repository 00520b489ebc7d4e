"""Which solution does gradient descent find, and how many are there?

Regression: the norm of what gradient descent finds against the least norm that fits, for linear
maps and small networks from several starts. Classification: the angle to the maximum-margin (SVM)
direction, step by step. And the dimension of the set of solutions (experiments/solution_sets.py).
All in float64, full batch, with more weights than examples unless said otherwise: trainings of
their own, since the engine's networks have too many weights to be solved exactly.
"""

from functools import partial

import numpy as np
import pandas as pd
from scipy.integrate import solve_ivp
from scipy.optimize import linprog, nnls
from scipy.special import expit

from finicky.experiments import solution_sets, tidy, update_rules
from finicky.experiments.solution_sets import EXAMPLES, FITS, INPUTS

TITLE = "Implicit bias: least norm, largest margin, and the set of solutions"
READS = []
SETTINGS = {
    "fit_steps": ("steps", "steps of gradient descent at most, of the regressions"),
    "margin_steps": (
        {"type": "integer", "minimum": 10, "maximum": 100000000},
        "steps of logistic regression",
    ),
    "flow_to": (
        {"type": "number", "minimum": 10, "maximum": 1.0e30},
        "largest time of gradient flow, in steps of rate 1/L",
    ),
    "solutions": (
        {"type": "integer", "minimum": 1, "maximum": 1000},
        "solutions per seed and network, at which the rank is taken",
    ),
}
QUANTITIES = {
    "excess_norm": ("", "norm of all weights that gradient descent finds, over the least norm that "
                    "fits (ReLU: over that of an equal network), minus 1"),
    "nearest_error": ("", "linear: distance from the solution that is nearest to the start, over "
                      "that solution's norm"),
    "function_excess": ("", "norm of the linear map that is found over the least norm, minus 1"),
    "angle_falls": ("halvings per decade", "halvings of the angle to the SVM direction per tenfold "
                    "of steps, over the last hundredfold"),
    "margin_rises": ("halvings per decade", "halvings of the share of the SVM's margin that is "
                     "still missing per tenfold of steps, over the last hundredfold"),
    "power_of_log": ("", "exponent p of angle ∝ (log t)^-p along gradient flow, over the later "
                     "half of log t"),
    "angle_left": ("°", "angle to the SVM direction after the last step"),
    "margin_left": ("%", "share of the SVM's margin that is missing after the last step"),
    "angle": ("°", "angle to the SVM direction, by step"),
    "dimension_error": ("dimensions", "how far the dimension of the Jacobian's kernel at a "
                        "solution is from N - n"),
    "equation_error": ("dimensions", "how far it is from N minus the number of equations "
                       "(outputs × n)"),
}  # fmt: skip
CONDITIONS = {
    "network": [
        "linear",
        "two linear layers",
        "two diagonal linear layers",
        "two layers, ReLU",
        "two layers, tanh",
    ],
    "start_scale": "number",
    "targets": ["random", "one example twice", "of a linear map", "ten outputs", "of two units"],
    "inputs": "integer",
    "examples": "integer",
    "optimizer": ["gradient descent", "adam", "gradient flow"],
    "step": "number",
}
BUDGET = {
    "at most {fit_steps} steps of gradient descent": [
        "excess_norm",
        "nearest_error",
        "function_excess",
    ],
    "{margin_steps} steps of gradient descent": [
        "angle_falls",
        "margin_rises",
        "angle_left",
        "margin_left",
        "angle",
    ],
}
UNITS = 16  # of a hidden layer of the regressions


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, condition and seed; QUANTITIES says what each number is.

    start_scale: the weights at the start over common ones (variance 1/fan-in, He's 2/fan-in for
    ReLU). inputs and examples are those of a classification.
    """
    seeds = settings["seeds"]
    rows = [
        *least_norm(seeds, settings["fit_steps"]),
        *largest_margin(seeds, settings["margin_steps"], settings["flow_to"]),
        *solution_sets.rows(seeds, settings["solutions"]),
    ]
    return tidy.from_rows(rows, CONDITIONS)


# ---- Regression: the least norm -----------------------------------------------------------------


def transposed(matrices):
    return np.swapaxes(matrices, -1, -2)


class Linear:
    """f(x) = w x."""

    start_scales = [0, 1, 0.001]
    common = [(INPUTS, INPUTS)]  # length of each array of weights, and its fan-in
    gain = 1  # variance of the first layer's weights times their fan-in

    def predict(self, x, weights):
        return (x @ self.map(weights)[..., None])[..., 0]

    def map(self, weights):
        return weights[0]

    def back(self, x, weights, delta):
        return [(delta[:, None] @ x)[:, 0]]

    def least(self, x, y, weights):
        return np.linalg.norm(np.linalg.pinv(x) @ y)


class TwoLayers(Linear):
    """f(x) = v W x: the least norm is that of balanced layers of rank one, ‖W‖² = ‖v‖² = ‖vW‖."""

    start_scales = [1, 0.001]
    common = [(INPUTS * UNITS, INPUTS), (UNITS, UNITS)]

    def split(self, weights):
        return weights[0].reshape(-1, INPUTS, UNITS), weights[1]

    def map(self, weights):
        first, second = self.split(weights)
        return (first @ second[..., None])[..., 0]

    def back(self, x, weights, delta):
        first, second = self.split(weights)
        of_map = super().back(x, weights, delta)[0]
        of_first = of_map[:, :, None] * second[:, None]
        return [of_first.reshape(len(x), -1), (of_map[:, None] @ first)[:, 0]]

    def least(self, x, y, weights):
        return np.sqrt(2 * super().least(x, y, weights))


class Diagonal(TwoLayers):
    """f(x) = Σ v_i u_i x_i: as u² + v² ≥ 2|uv|, the least norm belongs to the map of least ℓ1
    norm, which linear programming finds."""

    common = [(INPUTS, 1), (INPUTS, 1)]

    def map(self, weights):
        return weights[0] * weights[1]

    def back(self, x, weights, delta):
        of_map = (delta[:, None] @ x)[:, 0]
        return [of_map * weights[1], of_map * weights[0]]

    def least(self, x, y, weights):
        found = linprog(np.ones(2 * INPUTS), A_eq=np.hstack([x, -x]), b_eq=y)
        return np.sqrt(2 * found.fun)


class Relu(TwoLayers):
    """f(x) = v max(0, Wx). Scaling a unit's weights so that both sides are as long leaves f alone
    (C021) and makes the norm smaller: the least norm is that or less."""

    start_scales = [1]
    gain = 2  # He

    def predict(self, x, weights):
        first, second = self.split(weights)
        return (np.maximum(x @ first, 0) @ second[..., None])[..., 0]

    def back(self, x, weights, delta):
        first, second = self.split(weights)
        hidden = np.maximum(x @ first, 0)
        inward = delta[..., None] * second[:, None] * (hidden > 0)
        of_first = transposed(x) @ inward
        return [of_first.reshape(len(x), -1), (delta[:, None] @ hidden)[:, 0]]

    def least(self, x, y, weights):
        first, second = (w[0] for w in self.split([w[None] for w in weights]))
        return np.sqrt(2 * (np.linalg.norm(first, axis=0) * np.abs(second)).sum())


MODELS = {
    "linear": Linear(),
    "two linear layers": TwoLayers(),
    "two diagonal linear layers": Diagonal(),
    "two layers, ReLU": Relu(),
}


def regression(seed):
    """Random inputs [n, d] and targets [n], about 1 in size."""
    random = np.random.default_rng([seed, 25])
    return random.standard_normal((EXAMPLES, INPUTS)), random.standard_normal(EXAMPLES)


def start_of(model, scale, seed):
    """Weights at the start, a list of arrays: `scale` times common ones, whose variance is
    1/fan-in, or He's 2/fan-in for ReLU."""
    random = np.random.default_rng([seed, 26])
    return [
        scale * np.sqrt((model.gain if layer == 0 else 1) / fan_in) * random.standard_normal(length)
        for layer, (length, fan_in) in enumerate(model.common)
    ]


def descend(model, x, y, weights, steps):
    """Gradient descent on Σ (f(x) - y)²/2n until everything fits; returns weights and residuals."""
    rate = 1 / (np.linalg.norm(x, 2, axis=(1, 2)) ** 2 / EXAMPLES)[:, None]
    if type(model) is not Linear:
        rate = rate / 10  # the curvature grows with the weights
    for step in range(steps):
        residual = model.predict(x, weights) - y
        if step % 50 == 0 and (np.abs(residual).max(1) < FITS * np.abs(y).max(1) / 10).all():
            break
        moves = model.back(x, weights, residual / EXAMPLES)
        weights = [w - rate * move for w, move in zip(weights, moves, strict=True)]
    return weights, model.predict(x, weights) - y


def least_norm(seeds, steps):
    """Rows of all models and starts. What does not fit after all steps counts as NaN."""
    x, y = (np.stack(arrays) for arrays in zip(*map(regression, seeds), strict=True))
    for name, model in MODELS.items():
        for scale in model.start_scales:
            starts = [start_of(model, scale, seed) for seed in seeds]
            began = [np.stack(w) for w in zip(*starts, strict=True)]
            weights, residual = descend(model, x, y, began, steps)
            for k, seed in enumerate(seeds):
                mine = [w[k] for w in weights]
                fits = np.abs(residual[k]).max() < FITS * np.abs(y[k]).max()
                where = {"network": name, "start_scale": scale, "seed": seed}
                norm = np.linalg.norm(np.concatenate(mine))
                excess = abs(norm / model.least(x[k], y[k], mine) - 1) if fits else np.nan
                yield where | {"quantity": "excess_norm", "value": excess}
                inverse = np.linalg.pinv(x[k])
                if name == "linear":
                    nearest = began[0][k] + inverse @ (y[k] - x[k] @ began[0][k])
                    error = np.linalg.norm(mine[0] - nearest) / np.linalg.norm(nearest)
                    yield where | {"quantity": "nearest_error", "value": error}
                if not isinstance(model, Relu):
                    found = np.linalg.norm(model.map([w[None] for w in mine])[0])
                    excess = abs(found / np.linalg.norm(inverse @ y[k]) - 1) if fits else np.nan
                    yield where | {"quantity": "function_excess", "value": excess}


# ---- Classification: the largest margin ---------------------------------------------------------


def separated(random, inputs, examples):
    """Normal points labelled by a random direction, none nearer to the plane across it than 0.3:
    each times its label, [n, d]."""
    direction = random.standard_normal(inputs)
    direction /= np.linalg.norm(direction)
    points = random.standard_normal((10 * examples, inputs))
    side = points @ direction
    far = np.abs(side) > 0.3
    return (points * np.sign(side)[:, None])[far][:examples]


def crowded(random):
    """Random labels of random points in more dimensions than points: always separable."""
    return random.standard_normal((EXAMPLES, INPUTS))


POINTS = {  # (inputs, examples)
    (2, 40): partial(separated, inputs=2, examples=40),
    (10, 100): partial(separated, inputs=10, examples=100),
    (INPUTS, EXAMPLES): crowded,
}


def largest_margin_direction(signed):
    """The w of least norm with signed w ≥ 1, for signed inputs [n, d]: the hard-margin SVM without
    bias, as least distance programming by non-negative least squares (Lawson and Hanson 1974,
    chapter 23)."""
    n, d = signed.shape
    target = np.append(np.zeros(d), 1.0)
    matrix = np.vstack([signed.T, np.ones(n)])
    residual = matrix @ nnls(matrix, target)[0] - target
    return -residual[:d] / residual[d]


def angle_and_margin(w, signed, best):
    """Angle to `best` in degrees, and the share of its margin that w lacks in %; w [d]."""
    w, unit = w / np.linalg.norm(w), best / np.linalg.norm(best)
    angle = 2 * np.arctan2(np.linalg.norm(w - unit), np.linalg.norm(w + unit))
    return np.degrees(angle), 100 * (1 - (signed @ w).min() / (signed @ unit).min())


def logistic_descent(signed, steps, adam=False):
    """Gradient descent from zero on the mean of log(1 + e^-margin), at rate 1/L; or Adam at 0.01.

    signed: [S, n, d]. Returns some 80 steps [k] and the weights there [k, S, d].
    """
    count = signed.shape[1]
    rate = 4 * count / np.linalg.norm(signed, 2, axis=(1, 2))[:, None] ** 2
    reported = np.unique(np.geomspace(1, steps, 80).astype(int))
    w, state, found = np.zeros((len(signed), signed.shape[2])), {}, []
    wanted, columns = set(reported.tolist()), np.ascontiguousarray(transposed(signed))
    for step in range(1, steps + 1):
        pull = expit(-(signed @ w[..., None]))
        gradient = -(columns @ pull)[..., 0] / count
        if adam:
            w = update_rules.adam(w, gradient, state, 0.01, step, eps=1e-30)
        else:
            w = w - rate * gradient
        if step in wanted:
            found.append(w)
    return reported, np.array(found)


def logistic_flow(signed, until):
    """Gradient flow from zero on the same loss for one seed, time in units of 1/L: the times, from
    1 to `until`, and the weights there [times, d].

    In s = log t the flow w' = -t ∇loss is stiff, and an implicit method takes it to any t.
    """
    rate = 4 / np.linalg.norm(signed, 2) ** 2  # 1/L over n
    basis = np.linalg.qr(signed.T)[0]  # w never leaves the span of the inputs
    z = signed @ basis
    start = rate * z.T @ np.full(len(z), 0.5) * 1e-3  # t = 0.001, where the slope is still constant

    def slope(s, w):
        return rate * np.exp(s) * z.T @ expit(-(z @ w))

    def jacobian(s, w):
        pull = expit(-(z @ w))
        return -rate * np.exp(s) * (z.T * (pull * (1 - pull))) @ z

    times = np.geomspace(1, until, 100)
    span = (np.log(1e-3), np.log(until))
    found = solve_ivp(
        slope, span, start, "Radau", np.log(times).clip(*span), jac=jacobian, rtol=1e-8, atol=1e-10
    )
    return times, found.y.T @ basis.T


def halvings(steps, values):
    """By how many halvings `values` fall per tenfold of `steps`, over the last hundredfold."""
    last = steps >= steps[-1] / 100
    return -np.polyfit(np.log10(steps[last]), np.log2(values[last]), 1)[0]


def largest_margin(seeds, steps, until):
    """Rows of all POINTS."""
    for (inputs, examples), points in POINTS.items():
        signed = np.stack([points(np.random.default_rng([seed, 27])) for seed in seeds])
        descents = {
            "gradient descent": logistic_descent(signed, steps),
            "adam": logistic_descent(signed, steps, adam=True),
        }
        for k, seed in enumerate(seeds):
            best = largest_margin_direction(signed[k])
            paths = {name: (times, found[:, k]) for name, (times, found) in descents.items()}
            paths["gradient flow"] = logistic_flow(signed[k], until)
            for optimizer, (times, weights) in paths.items():
                where = {"inputs": inputs, "examples": examples, "optimizer": optimizer}
                for row in along(optimizer, times, weights, signed[k], best):
                    yield where | {"seed": seed} | row


def along(optimizer, times, weights, signed, best):
    """Rows of one path: weights [k, d] at times [k], and the SVM's direction `best` [d]."""
    angles, gaps = np.array([angle_and_margin(w, signed, best) for w in weights]).T
    found = {"angle_left": angles[-1], "margin_left": gaps[-1]}
    if optimizer == "gradient flow":
        late = times >= np.sqrt(times[-1])
        loglog = np.log(np.log(times[late]))
        found["power_of_log"] = -np.polyfit(loglog, np.log(angles[late]), 1)[0]
    else:
        found["angle_falls"] = halvings(times, angles)
        found["margin_rises"] = halvings(times, gaps)
    for quantity, value in found.items():
        yield {"quantity": quantity, "value": value}
    for time, angle in zip(times, angles, strict=True):
        yield {"quantity": "angle", "step": time, "value": angle}
