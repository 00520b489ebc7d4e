"""Which solution does gradient descent find, and how many are there?

Regression: the norm of what gradient descent finds against the least norm that fits, for linear
maps and small networks from several starts. Classification: the angle to the maximum-margin (SVM)
direction, step by step. And the dimension of the set of solutions, from the rank of the Jacobian.
All in float64, full batch, with more weights than examples unless said otherwise.
"""

from functools import partial

import numpy as np
import pandas as pd

from finicky.experiments import arms

TITLE = "Implicit bias: least norm, largest margin, and the set of solutions"
ANSWERS = ["C025", "C026", "C191"]
READS = []
QUANTITIES = {
    "excess_norm": ("", "norm of all weights that gradient descent finds, over the least norm that "
                    "fits (ReLU: over that of an equal network), minus 1"),
    "nearest_error": ("", "linear: distance from the solution that is nearest to the start, over "
                      "that solution's norm"),
    "function_excess": ("", "norm of the linear map that is found over the least norm, minus 1"),
    "angle_falls": ("halvings", "halvings of the angle to the SVM direction a tenfold of steps, "
                    "over the last hundredfold"),
    "margin_rises": ("halvings", "halvings of the share of the SVM's margin that is still missing "
                     "a tenfold of steps, over the last hundredfold"),
    "power_of_log": ("", "exponent p of angle ∝ (log t)^-p along gradient flow, over the later "
                     "half of log t"),
    "angle_left": ("°", "angle to the SVM direction after the last step"),
    "margin_left": ("%", "share of the SVM's margin that is missing after the last step"),
    "angle": ("°", "angle to the SVM direction, by step"),
    "dimension_error": ("", "dimension of the Jacobian's kernel at a solution against N - n"),
    "equation_error": ("", "the same against N minus the number of equations (outputs × n)"),
}  # fmt: skip
FIGURES = {
    "F38": "The angle between the weights of logistic regression and the direction of the largest "
    "margin, by step, on logarithmic axes. Gradient descent from zero (solid) and its limit of "
    "small rates, carried on to a trillion (dashed), fall ever more slowly: like one over the "
    "logarithm of the steps, the dotted line. Adam heads elsewhere.",
}

CONDITIONS = {
    "network": "str",
    "start": "str",
    "problem": "str",
    "optimizer": "str",
    "step": "float64",
}
EXAMPLES, INPUTS, UNITS = 20, 50, 16  # of the regressions
FITS = 1e-8  # largest residual, over the largest target, of what counts as a solution


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row a quantity, condition and seed; QUANTITIES says what each number is.

    settings: seeds; fit_steps (of gradient descent at most), margin_steps (of logistic regression),
    flow_to (largest time of gradient flow), solutions (a seed and problem, for the rank).
    """
    seeds = settings["seeds"]
    rows = [
        *least_norm(seeds, settings["fit_steps"]),
        *largest_margin(seeds, settings["margin_steps"], settings["flow_to"]),
        *dimensions(seeds, settings["solutions"]),
    ]
    return arms.tidy(rows, CONDITIONS)


def transposed(matrices):
    return np.swapaxes(matrices, -1, -2)


# ---- Regression: the least norm -----------------------------------------------------------------
#
# A model turns its weights, a list of arrays with seeds first, into predictions [S, n], and the
# gradient of the loss by these into gradients of the weights; `least` is the least norm that fits.


class Linear:
    """f(x) = w x."""

    starts = ["zero", "common", "a thousandth of it"]
    common = [(INPUTS, INPUTS)]  # length of each array of weights, and its fan-in

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

    starts = ["common", "a thousandth of it"]
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
        from scipy.optimize import linprog

        found = linprog(np.ones(2 * INPUTS), A_eq=np.hstack([x, -x]), b_eq=y)
        return np.sqrt(2 * found.fun)


class Relu(TwoLayers):
    """f(x) = v max(0, Wx). Scaling a unit's weights so that both sides are as long leaves f alone
    (C021) and makes the norm smaller: the least norm is that or less."""

    starts = ["common"]
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


def start_of(model, kind, seed):
    """Weights at the start; a common start has variance 1/fan-in, or He's 2/fan-in for ReLU."""
    random = np.random.default_rng([seed, 26])
    factor = {"zero": 0, "common": 1, "a thousandth of it": 1e-3}[kind]
    gain = getattr(model, "gain", 1)
    return [
        factor * np.sqrt((gain if layer == 0 else 1) / fan_in) * random.standard_normal(length)
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
        for kind in model.starts:
            began = [np.stack(w) for w in zip(*(start_of(model, kind, s) for s in seeds),
                                              strict=True)]  # fmt: skip
            weights, residual = descend(model, x, y, began, steps)
            for k, seed in enumerate(seeds):
                mine = [w[k] for w in weights]
                fits = np.abs(residual[k]).max() < FITS * np.abs(y[k]).max()
                where = {"network": name, "start": kind, "seed": seed}
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


PROBLEMS = {
    "2 inputs, 40 examples": partial(separated, inputs=2, examples=40),
    "10 inputs, 100 examples": partial(separated, inputs=10, examples=100),
    "50 inputs, 20 examples": crowded,
}


def largest_margin_direction(signed):
    """The w of least norm with signed w ≥ 1, for signed inputs [n, d]: the hard-margin SVM without
    bias, as least distance programming by non-negative least squares (Lawson and Hanson 1974,
    chapter 23)."""
    from scipy.optimize import nnls

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

    signed: [S, n, d]. Returns the steps looked at and the weights there [looks, S, d].
    """
    from scipy.special import expit

    count = signed.shape[1]
    rate = 4 * count / np.linalg.norm(signed, 2, axis=(1, 2))[:, None] ** 2
    looks = np.unique(np.geomspace(1, steps, 80).astype(int))
    w = np.zeros((len(signed), signed.shape[2]))
    first, second, seen = np.zeros_like(w), np.zeros_like(w), []
    wanted, columns = set(looks.tolist()), np.ascontiguousarray(transposed(signed))
    for step in range(1, steps + 1):
        pull = expit(-(signed @ w[..., None]))
        gradient = -(columns @ pull)[..., 0] / count
        if adam:
            first += 0.1 * (gradient - first)
            second += 0.001 * (gradient**2 - second)
            unbiased = second / (1 - 0.999**step)
            w = w - 0.01 * first / (1 - 0.9**step) / (np.sqrt(unbiased) + 1e-30)
        else:
            w = w - rate * gradient
        if step in wanted:
            seen.append(w)
    return looks, np.array(seen)


def logistic_flow(signed, until):
    """Gradient flow from zero on the same loss for one seed, time in units of 1/L: the times, from
    1 to `until`, and the weights there [times, d].

    In s = log t the flow w' = -t ∇loss is stiff, and an implicit method takes it to any t.
    """
    from scipy.integrate import solve_ivp
    from scipy.special import expit

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
    """By how many halvings `values` fall a tenfold of `steps`, fitted over the last hundredfold."""
    last = steps >= steps[-1] / 100
    return -np.polyfit(np.log10(steps[last]), np.log2(values[last]), 1)[0]


def largest_margin(seeds, steps, until):
    """Rows of every problem."""
    for name, problem in PROBLEMS.items():
        signed = np.stack([problem(np.random.default_rng([seed, 27])) for seed in seeds])
        ways = {
            "gradient descent": logistic_descent(signed, steps),
            "adam": logistic_descent(signed, steps, adam=True),
        }
        for k, seed in enumerate(seeds):
            best = largest_margin_direction(signed[k])
            paths = {way: (looks, seen[:, k]) for way, (looks, seen) in ways.items()}
            paths["gradient flow"] = logistic_flow(signed[k], until)
            for way, (looks, seen) in paths.items():
                where = {"problem": name, "optimizer": way, "seed": seed}
                angles, gaps = np.array([angle_and_margin(w, signed[k], best) for w in seen]).T
                found = {"angle_left": angles[-1], "margin_left": gaps[-1]}
                if way == "gradient flow":
                    late = looks >= np.sqrt(until)
                    loglog = np.log(np.log(looks[late]))
                    found["power_of_log"] = -np.polyfit(loglog, np.log(angles[late]), 1)[0]
                else:
                    found["angle_falls"] = halvings(looks, angles)
                    found["margin_rises"] = halvings(looks, gaps)
                for quantity, value in found.items():
                    yield where | {"quantity": quantity, "value": value}
                for look, angle in zip(looks, angles, strict=True):
                    yield where | {"quantity": "angle", "step": look, "value": angle}


# ---- The set of solutions -----------------------------------------------------------------------

NARROW, HIDDEN = 3, 30  # inputs and hidden units of the networks whose Jacobian is taken


def network(activation, outputs=1):
    """f(parameters, x [n, 3]) -> [n, outputs] of one hidden layer, and how many parameters."""
    sizes = [NARROW * HIDDEN, HIDDEN, HIDDEN * outputs, outputs]

    def f(parameters, x):
        w, b, v, c = parameters.split(sizes)
        return activation(x @ w.view(NARROW, HIDDEN) + b) @ v.view(HIDDEN, outputs) + c

    return f, sum(sizes)


def cases(torch):
    """{name: (f, N, inputs d, what the targets are, changes to the inputs)}."""

    def linear(parameters, x):
        return (x @ parameters)[:, None]

    def collapsed(parameters, x):
        w, v = parameters.split([NARROW * HIDDEN, HIDDEN])
        return (x @ w.view(NARROW, HIDDEN) @ v)[:, None]

    plain, tenfold = network(torch.tanh), network(torch.tanh, 10)
    return {
        "linear": (linear, INPUTS, INPUTS, "random"),
        "tanh network": (*plain, NARROW, "random"),
        "ReLU network": (*network(torch.relu), NARROW, "random"),
        "one example twice": (*plain, NARROW, "twice"),
        "two linear layers, 3 inputs": (collapsed, (NARROW + 1) * HIDDEN, NARROW, "linear"),
        "ten outputs": (*tenfold, NARROW, "random"),
        "a network of 2 units, padded": (*plain, NARROW, "teacher"),
    }


def dimensions(seeds, solutions):
    """Rows of every case: the worst of a seed's solutions; NaN if none was found."""
    import torch

    for name, (f, size, inputs, kind) in cases(torch).items():
        for seed in seeds:
            random = np.random.default_rng([seed, 28])
            x = torch.tensor(random.standard_normal((EXAMPLES, inputs)))
            starts = torch.tensor(random.standard_normal((solutions, size)))
            teacher = starts.clone()
            if kind == "twice":
                x[1] = x[0]
            if kind == "teacher":
                teacher = padded(teacher)
            y = f(teacher[0], x)
            if kind == "random":
                y = torch.tensor(random.standard_normal(y.shape))
            if kind == "linear":
                y = x @ torch.tensor(random.standard_normal((NARROW, 1)))
            if kind == "teacher":
                found, starts = teacher[:1], teacher[:1]
            else:
                found = solve(f, x, y, starts)
            ranks = [rank(f, x, parameters) for parameters in found]
            where = {"problem": name, "seed": seed}
            for quantity, equations in (
                ("dimension_error", EXAMPLES), ("equation_error", y.numel()),
            ):  # fmt: skip
                # |(N - rank) - (N - equations)|
                errors = [abs(equations - rank) for rank in ranks]
                worst = max(errors) if errors else np.nan
                yield where | {"quantity": quantity, "value": worst}


def padded(parameters):
    """Networks of HIDDEN units all of whose weights but those of the first two units are zero."""
    used = np.zeros(parameters.shape[1], dtype=bool)
    unit = np.arange(HIDDEN) < 2
    used[:] = np.concatenate([np.tile(unit, NARROW), unit, unit, [True]])
    return parameters * parameters.new_tensor(used)


def solve(f, x, y, starts, steps=300):
    """Those of the starts [S, N] that Levenberg and Marquardt's method takes to f = y."""
    import torch
    from torch.func import jacrev, vmap

    def residual(parameters):
        return (f(parameters, x) - y).flatten()

    residuals, jacobians = vmap(residual), vmap(jacrev(residual))
    points, r = starts, residuals(starts)
    damping = torch.ones(len(starts), 1, 1, dtype=x.dtype)
    identity = torch.eye(r.shape[1], dtype=x.dtype)
    for _ in range(steps):
        if r.abs().max() < 1e-12:
            break
        j = jacobians(points)
        step = j.mT @ torch.linalg.solve(j @ j.mT + damping * identity, r[..., None])
        moved = points - step[..., 0]
        tried = residuals(moved)
        better = tried.norm(dim=1) < r.norm(dim=1)
        points = torch.where(better[:, None], moved, points)
        r = torch.where(better[:, None], tried, r)
        damping = torch.where(better[:, None, None], damping / 5, damping * 4).clamp(1e-14, 1e8)
    return points[r.abs().amax(1) < FITS * y.abs().max()]


def rank(f, x, parameters):
    """Rank of the Jacobian of all outputs [n × outputs] by the parameters [N]: singular values
    above 1e-9 of the largest count."""
    import torch
    from torch.func import jacrev

    jacobian = jacrev(lambda p: f(p, x).flatten())(parameters)
    return int(torch.linalg.matrix_rank(jacobian, rtol=1e-9))


# ---- Drawing ------------------------------------------------------------------------------------


def draw(table: pd.DataFrame) -> dict:
    """F38: figure id to (matplotlib Figure, data behind it)."""
    from finicky.page import figures

    colours = {
        "gradient flow": figures.BLUE, "gradient descent": figures.BLUE, "adam": figures.PLUM,
    }  # fmt: skip
    data = figures.summary(table[table["quantity"] == "angle"], ["problem", "optimizer", "step"])
    with figures.style():
        fig, axes = figures.panels(
            [2.4], columns=3, left=0.45, right=0.6, between=(0.75, 0), top=0.5
        )
        for ax, problem in zip(axes[0], PROBLEMS, strict=True):
            ax.set_title(problem, fontsize=8.5)
            mine = data[data["problem"] == problem]
            powers = [10.0**power for power in range(0, 40, 3)]
            figures.log_axis(ax, "x", 1, mine["step"].max(), powers)
            shown = [power for power in powers if power <= mine["step"].max()]
            ax.set_xticks(shown, [_power(power) for power in shown])
            figures.log_axis(
                ax, "y", max(0.1, 0.6 * mine["median"].min()), 120, [0.1, 0.3, 1, 3, 10, 30, 90]
            )
            ax.set_xlabel("steps t")
            for way, colour in colours.items():
                rows, flows = mine[mine["optimizer"] == way], way == "gradient flow"
                ax.fill_between(
                    rows["step"], rows["low"], rows["high"], color=colour, linewidth=0,
                    alpha=0.1 if flows else 0.2,
                )  # fmt: skip
                ax.plot(
                    rows["step"], rows["median"], color=colour, linewidth=1 if flows else 1.8,
                    linestyle=figures.DASHES if flows else "-",
                )  # fmt: skip
                words, after, offset, side = {
                    "gradient flow": ("gradient\nflow", mine["step"].max(), (4, -4), "left"),
                    "gradient descent": ("gradient\ndescent", 3e4, (-3, -22), "right"),
                    "adam": ("Adam", 5, (0, 12), "left"),
                }[way]
                if way != "gradient descent" or problem == list(PROBLEMS)[-1]:
                    point = rows[rows["step"] >= min(after, rows["step"].max())].iloc[0]
                    ax.annotate(
                        words, tuple(point[["step", "median"]]), xytext=offset, ha=side,
                        textcoords="offset points", fontsize=7.5, annotation_clip=False,
                    )  # fmt: skip
            flow = mine[(mine["optimizer"] == "gradient flow") & (mine["step"] >= 10)]
            law = flow["median"].iloc[-1] * np.log(flow["step"].iloc[-1]) / np.log(flow["step"])
            ax.plot(flow["step"], law, color=figures.INK, linestyle=":", linewidth=1)
        axes[0, 0].set_title("Angle to the SVM (°)\n2 inputs, 40 examples", fontsize=8.5)
        figures.footer(fig, data)
        fig.text(0.99, 0.08 / fig.get_figheight(), "dotted: ∝ 1/log t", fontsize=8, ha="right")
        left = table[(table["quantity"] == "angle_left")].groupby(["problem", "optimizer"])
        fig.set_label(
            "Angle to the direction of the largest margin after the last step: "
            + ", ".join(
                f"{value:.3g}° by {way} ({problem})"
                for (problem, way), value in left["value"].median().items()
            )
            + "."
        )
    return {"F38": (fig, data)}


def _power(number):
    """10³ and the like."""
    exponent = str(round(np.log10(number)))
    return "10" + exponent.translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
