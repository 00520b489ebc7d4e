"""Errors of descent by step beside the bounds of their class, and SGD's gradients."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from finicky.exhibits import style
from finicky.experiments.convergence import NOT_CONVEX
from finicky.numbers import number

FIGURES = {
    "F28": "Above: error by step. Each dot is one function, made to be the worst for that number "
    "of steps: they lie on the chapter's rates (dashed), which are bounds. Lines are single "
    "functions, which may do as badly for a while and better later on, or be stopped by a constant "
    "rate. Below: squared gradient of the whole loss under SGD with one example per step, on two "
    "losses that are smooth and not convex, with constant and with falling rates.",
}


def f28(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Errors on smooth and on other functions; squared gradients under SGD."""
    curves = table[table["quantity"].isin(["error", "squared_gradient"])]
    data = style.summary(curves, ["quantity", "function", "step_size", "step"])
    fig, axes = style.panels([2.2, 2.2], columns=2, left=0.6, right=1.15, between=(1.75, 0.85))
    smooth, nonsmooth, *noisy = axes.flat
    _errors(
        smooth, data, "worst smooth", lambda t: 1 / (4 * t + 2), "1/t",
        {
            ("logistic", "constant"): (style.PLUM, "log(1 + e⁻ˣ): 1/t", 9),
            ("quadratic", "constant"): (style.BLUE, "quadratics", 0),
            ("quartic", "constant"): (style.SAGE, "x⁴: 1/t²", 0),
        },
    )  # fmt: skip
    smooth.set_title("Smooth: error / (L R²)")
    _errors(
        nonsmooth, data, "worst nonsmooth", lambda t: 1 / np.sqrt(t + 1),
        "1/√t",
        {
            ("absolute deviations", "constant"):
                (style.PLUM, "mean |Xw − y|,\nconstant rate", -8),
            ("absolute deviations", "decaying"): (style.BLUE, "rate ∝ 1/√t", 0),
        },
    )  # fmt: skip
    nonsmooth.set_title("Not smooth: error / (G R)")
    for ax, name in zip(noisy, NOT_CONVEX, strict=True):
        ax.set_title(f"‖∇f‖² under SGD, {name}")
        _lines(
            ax, data,
            {
                (name, "decaying too fast"): (style.TAN, "rate ∝ 1/t²", 5),
                (name, "constant"): (style.PLUM, "constant rate", -5),
                (name, "decaying"): (style.BLUE, "rate ∝ 1/t⁰·⁶", 0),
            },
        )  # fmt: skip
    style.footer(fig, data[data["quantity"] == "squared_gradient"])
    found = {
        kind: table.loc[table["quantity"] == f"{kind}_exponent", "value"].median()
        for kind in ("smooth", "nonsmooth")
    }
    fig.set_label(
        "Descent's error falls with the steps to the power "
        f"{number(found['smooth'])} on the worst smooth convex functions and "
        f"{number(found['nonsmooth'])} on the worst that are not smooth; the chapter's bounds say "
        "−1 and −1/2."
    )
    return fig, data


def _errors(ax, data, worst, bound, name, lines):
    """The worst functions as dots on their bound, single functions as lines."""
    _lines(ax, data, lines)
    steps = np.geomspace(1, ax.get_xlim()[1], 50)
    ax.plot(steps, bound(steps), **style.CHAPTER_LINE)
    dots = data[data["function"] == worst]
    ax.plot(dots["step"], dots["median"], "o", color=style.VERMILLION, zorder=3)
    end = steps[-1], bound(steps[-1])
    _name(ax, end, "worst functions;", 9)
    _name(ax, end, f"chapter: {name}", -1, style.CHAPTER)


def _lines(ax, data, lines):
    """Medians and ranges by step on logarithmic axes, each line named at its end.

    lines: {(function, step size): (colour, name, points by which the name is moved up)}.
    """
    data = data.set_index(["function", "step_size"])
    shown = data[data.index.isin(list(lines)) & (data["step"] > 0)]
    low, high = shown["low"].min(), shown["high"].max()
    ticks = [10.0**power for power in range(-16, 7, 2 if high / low > 1e5 else 1)]
    style.log_axis(ax, "x", 1, shown["step"].max(), [1, 100, 10000])
    style.log_axis(ax, "y", low / 2, high * 3, ticks)
    ax.set_xlabel("steps t")
    for line, (colour, name, up) in lines.items():
        rows = shown[shown.index == line]
        ax.fill_between(
            rows["step"], rows["low"], rows["high"], color=colour, alpha=0.2, linewidth=0
        )
        ax.plot(rows["step"], rows["median"], color=colour, linewidth=1.2)
        _name(ax, rows[["step", "median"]].iloc[-1], name, up)


def _name(ax, point, name, up, colour=style.INK):
    ax.annotate(
        name, tuple(point), xytext=(5, up), textcoords="offset points", fontsize=7.5, va="center",
        annotation_clip=False, color=colour,
    )  # fmt: skip
