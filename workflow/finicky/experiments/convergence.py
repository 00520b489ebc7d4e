"""How fast does descent converge? The worst functions of their class, some gentler ones, and SGD.

An O(.) rate bounds a whole class of functions, so its exponent shows on the function that is worst
for each number of steps, not on any one function. Errors are in units of L R² (smooth: L bounds
the curvature, R is the distance from the start to the minimum) or G R (not smooth: G bounds the
slope).
"""

import itertools

import numpy as np
import pandas as pd

from finicky.experiments import arms

TITLE = "Rates of convergence: worst cases, ordinary cases, and SGD"
ANSWERS = ["C150", "C151", "C152"]
READS = []
QUANTITIES = {
    "smooth_exponent": ("", "log-log slope of the error after N steps at 1/L on the worst smooth "
                        "convex function for N, by N"),
    "nonsmooth_exponent": ("", "log-log slope of the best error in N subgradient steps of "
                           "R/(G √(N + 1)) on the worst function for N, by N"),
    "share_of_bound": ("", "largest error over the bound of its class, at any step"),
    "exponent_of_one_function": ("", "log-log slope by step over the last decade on one function"),
    "falls_decaying": ("", "exponent with which SGD's squared gradient falls over the last decade "
                       "of steps, rate ∝ t^-0.6"),
    "falls_constant": ("", "the same at a constant rate"),
    "falls_too_fast": ("", "the same with a rate ∝ t^-2"),
    "left_decaying": ("", "squared gradient at the end over that at the start, rate ∝ t^-0.6"),
    "left_constant": ("", "the same at a constant rate"),
    "left_too_fast": ("", "the same with a rate ∝ t^-2"),
    "error": ("L R² or G R", "error by step"),
    "squared_gradient": ("", "SGD's squared gradient norm of the whole loss by step"),
}  # fmt: skip
FIGURES = {
    "F28": "Above: error by step. Each dot is one function, made to be the worst for that number "
    "of steps: they lie on the chapter's rates (dashed), which are bounds. Lines are single "
    "functions, which may do as badly for a while and better later on, or be stopped by a constant "
    "rate. Below: squared gradient of the whole loss under SGD with one example a step, on two "
    "losses that are smooth and not convex. It goes to zero only with a rate that falls, and not "
    "too fast.",
}

CONDITIONS = {"problem": "str", "step": "Int64"}
NETWORK = 5, 4  # inputs and units
EXAMPLES = 100
EXPONENTS = {"decaying": 0.6, "constant": 0.0, "too_fast": 2.0}  # of SGD's falling rate


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


def constant_rate(steps, random):
    """`absolute_deviations` at a constant rate."""
    return absolute_deviations(steps, random, constant=True)


SMOOTH = {"quadratic": quadratic, "quartic": quartic, "logistic": logistic}
NONSMOOTH = {"absolute": absolute_deviations, "absolute, constant rate": constant_rate}


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


def sgd(problem, steps, seeds):
    """SGD with one example a step, at each of EXPONENTS.

    Returns (steps looked at [k], squared norms of the whole gradient [k, rates, seeds]).
    """
    streams = [np.random.default_rng([seed, 152]) for seed in seeds]
    inputs = np.array([random.normal(size=(EXAMPLES, NETWORK[0])) for random in streams])
    targets = np.array(
        [problem.target(x, random) for x, random in zip(inputs, streams, strict=True)]
    )
    start = np.array([random.normal(size=problem.size) for random in streams])
    order = np.array([random.integers(EXAMPLES, size=steps) for random in streams])
    exponents, count = np.array(list(EXPONENTS.values())), len(EXPONENTS)
    weights = np.tile(start, (count, 1))  # [rates x seeds, parameters]
    inputs, targets = np.tile(inputs, (count, 1, 1)), np.tile(targets, (count, 1))
    order, copies = np.tile(order, (count, 1)), np.arange(count * len(seeds))
    looks = np.unique(np.geomspace(1, steps, 150).astype(int))
    found = []
    for step in range(steps + 1):
        if step in looks or step == 0:
            whole = problem.gradient(weights, inputs, targets)
            found.append((whole**2).sum(1).reshape(count, len(seeds)))
        if step == steps:
            break
        chosen = order[:, step]
        one = problem.gradient(
            weights, inputs[copies, chosen][:, None], targets[copies, chosen][:, None]
        )
        rates = problem.rate * (1 + step / problem.delay) ** -exponents
        weights = weights - np.repeat(rates, len(seeds))[:, None] * one
    return np.append(0, looks), np.array(found)


# ---- Measuring ----------------------------------------------------------------------------------


def exponent(x, y):
    """Slope of log y by log x."""
    return np.polyfit(np.log(x), np.log(y), 1)[0]


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row a quantity, seed and condition; QUANTITIES says what each number is.

    settings: seeds; horizons (numbers of steps for which the worst functions are made), steps (on
    single functions), sgd_steps.
    """
    rows = []
    for seed in settings["seeds"]:
        rows += [row | {"seed": seed} for row in convex(seed, settings)]
    for name, problem in NOT_CONVEX.items():
        steps, squared = sgd(problem, settings["sgd_steps"], settings["seeds"])
        last = steps >= settings["sgd_steps"] / 10
        for (i, rate), (j, seed) in itertools.product(
            enumerate(EXPONENTS), enumerate(settings["seeds"])
        ):
            curve, where = squared[:, i, j], {"problem": name, "seed": seed}
            falls = -exponent(steps[last], curve[last])
            rows.append(where | {"quantity": f"falls_{rate}", "value": falls})
            left = np.exp(np.log(curve[last]).mean()) / curve[0]
            rows.append(where | {"quantity": f"left_{rate}", "value": left})
            where |= {"quantity": "squared_gradient", "problem": f"{name}, {rate}"}
            rows += [where | {"step": s, "value": v} for s, v in zip(steps, curve, strict=True)]
    return arms.tidy(rows, CONDITIONS)


def convex(seed, settings):
    """The rows of one seed about convex functions."""
    random = np.random.default_rng([seed, 150])
    horizons = np.array(settings["horizons"])
    bounds = {  # class: its worst function, its bound by step, its single functions
        "smooth": (worst_smooth, lambda t: 1 / (4 * t + 2), SMOOTH),
        "nonsmooth": (worst_nonsmooth, lambda t: 1 / np.sqrt(t + 1), NONSMOOTH),
    }
    for kind, (worst, bound, single) in bounds.items():
        steepest, distance = 10 ** random.uniform(-1, 1, 2)
        unit = steepest * distance ** (2 if kind == "smooth" else 1)
        ends = np.array([worst(n, steepest, distance)[-1] / unit for n in horizons])
        yield {"quantity": f"{kind}_exponent", "value": exponent(horizons, ends)}
        share = (ends / bound(horizons)).max()
        yield {"quantity": "share_of_bound", "problem": f"worst {kind}", "value": share}
        for n, end in zip(horizons, ends, strict=True):
            yield {"quantity": "error", "problem": f"worst {kind}", "step": n, "value": end}
        for name, function in single.items():
            errors = function(settings["steps"], random)
            steps = np.arange(len(errors))
            if name != "logistic":  # its minimum is infinitely far: the bound says nothing
                share = (errors / bound(steps)).max()
                yield {"quantity": "share_of_bound", "problem": name, "value": share}
            looks = np.unique(np.geomspace(1, settings["steps"], 60).astype(int))
            last = looks[looks >= settings["steps"] / 10]
            found = exponent(last, errors[last])
            yield {"quantity": "exponent_of_one_function", "problem": name, "value": found}
            for step in looks:
                where = {"quantity": "error", "problem": name, "step": step}
                yield where | {"value": errors[step]}


# ---- Drawing ------------------------------------------------------------------------------------


def draw(table: pd.DataFrame) -> dict:
    """F28: figure id to (matplotlib Figure, data behind it)."""
    from finicky.page import figures

    curves = table[table["quantity"].isin(["error", "squared_gradient"])]
    data = figures.summary(curves, ["quantity", "problem", "step"])
    with figures.style():
        fig, axes = figures.panels(
            [2.2, 2.2], columns=2, left=0.6, right=1.15, between=(1.75, 0.85)
        )
        smooth, nonsmooth, *noisy = axes.flat
        _errors(
            smooth, data, "worst smooth", lambda t: 1 / (4 * t + 2), "worst: 1/t,\nas claimed",
            {
                "logistic": (figures.PLUM, "log(1 + e⁻ˣ): 1/t", 9),
                "quadratic": (figures.BLUE, "quadratics", 0),
                "quartic": (figures.SAGE, "x⁴: 1/t²", 0),
            },
        )  # fmt: skip
        smooth.set_title("Smooth: error / (L R²)")
        _errors(
            nonsmooth, data, "worst nonsmooth", lambda t: 1 / np.sqrt(t + 1),
            "worst: 1/√t,\nas claimed",
            {
                "absolute, constant rate": (figures.PLUM, "mean |Xw − y|,\nconstant rate", -6),
                "absolute": (figures.BLUE, "rate ∝ 1/√t", 0),
            },
        )  # fmt: skip
        nonsmooth.set_title("Not smooth: error / (G R)")
        for ax, problem in zip(noisy, NOT_CONVEX, strict=True):
            ax.set_title(f"‖∇f‖² under SGD, {problem}")
            _lines(
                ax, data,
                {
                    f"{problem}, too_fast": (figures.TAN, "rate ∝ 1/t²", 0),
                    f"{problem}, constant": (figures.PLUM, "constant rate", 0),
                    f"{problem}, decaying": (figures.BLUE, "rate ∝ 1/t⁰·⁶", 0),
                },
            )  # fmt: skip
        figures.footer(fig, data[data["quantity"] == "squared_gradient"])
        found = {
            kind: table.loc[table["quantity"] == f"{kind}_exponent", "value"].median()
            for kind in ("smooth", "nonsmooth")
        }
        fig.set_label(
            f"Error by step: exponent {found['smooth']:.2f} on the worst smooth convex functions, "
            f"{found['nonsmooth']:.2f} on those that are not smooth; squared gradient under SGD."
        )
    return {"F28": (fig, data)}


def _errors(ax, data, worst, bound, name, lines):
    """The worst functions as dots on their bound, single functions as lines."""
    from finicky.page import figures

    _lines(ax, data, lines)
    steps = np.geomspace(1, ax.get_xlim()[1], 50)
    ax.plot(steps, bound(steps), color=figures.INK, linestyle=figures.DASHES, linewidth=1)
    dots = data[data["problem"] == worst]
    ax.plot(dots["step"], dots["median"], "o", color=figures.VERMILLION, zorder=3)
    _name(ax, (steps[-1], bound(steps[-1])), name, 4)


def _lines(ax, data, lines):
    """Medians and ranges by step on logarithmic axes, each line named at its end.

    lines: {problem: (colour, name, points by which the name is moved up)}.
    """
    from finicky.page import figures

    shown = data[data["problem"].isin(list(lines)) & (data["step"] > 0)]
    low, high = shown["low"].min(), shown["high"].max()
    ticks = [10.0**power for power in range(-16, 7, 2 if high / low > 1e5 else 1)]
    figures.log_axis(ax, "x", 1, shown["step"].max(), [1, 100, 10000])
    figures.log_axis(ax, "y", low / 2, high * 3, ticks)
    ax.set_xlabel("steps t")
    for problem, (colour, name, up) in lines.items():
        rows = shown[shown["problem"] == problem]
        ax.fill_between(
            rows["step"], rows["low"], rows["high"], color=colour, alpha=0.2, linewidth=0
        )
        ax.plot(rows["step"], rows["median"], color=colour, linewidth=1.2)
        _name(ax, rows[["step", "median"]].iloc[-1], name, up)


def _name(ax, point, name, up):
    ax.annotate(
        name, tuple(point), xytext=(5, up), textcoords="offset points", fontsize=7.5, va="center",
        annotation_clip=False,
    )  # fmt: skip
