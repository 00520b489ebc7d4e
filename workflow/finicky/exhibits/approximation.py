"""Figure of approximation: bumps that add up, and errors of built and of trained networks."""

import math

import numpy as np
import pandas as pd

from finicky.exhibits import style
from finicky.exhibits.phrases import span
from finicky.experiments.approximation import TARGETS, bumps, sigmoid
from finicky.labels import listed

FIGURES = {
    "F03": "First panel: the chapter's proof, bumps that are differences of two sigmoids add up to "
    "a function. The others: error by number of units on two logarithmic scales, where a power law "
    "is a straight line. Where trained networks lie above the built broken line, which has the "
    "same ReLUs, descent misses weights that exist; where they lie below, it finds better ones "
    "than evenly spaced kinks.",
}
FUNCTIONS = {"wave": "sin 4πx", "kink": "|x − 0.4|", "root": "√x"}
# network or optimizer: colour, marker, name
KINDS = {
    "bumps": (style.GREY, "s", "bumps, built"),
    "broken line": (style.BLUE, "o", "broken line, built"),
    "gradient_descent": (style.OLIVE, "v", "trained, descent"),
    "adam": (style.PLUM, "X", "trained, Adam"),
}


def f03(table: pd.DataFrame):
    """Figure F03 and the data behind it."""
    errors = table[(table["quantity"] == "rms_error") & (table["dimension"] == 1)]
    errors = errors[errors["target"] != "jump"]
    kinds = errors["network"].where(errors["network"] != "trained", errors["optimizer"])
    data = style.summary(errors.assign(kind=kinds), ["target", "kind", "units"])
    fig, axes = style.panels([2.3, 2.3], columns=2, left=0.55, right=1.3, between=(1.75, 0.85))
    sums = _bumps(axes[0, 0])
    for ax, (target, function) in zip(axes.ravel()[1:], FUNCTIONS.items(), strict=True):
        ax.set_title(f"RMS error for {function}")
        _errors(ax, data[(data["target"] == target) & (data["units"] <= 256)])
    style.footer(fig, data)
    fig.set_label(_finding(data))
    return fig, pd.concat([data, sums])


def _finding(data):
    """How trained networks compare with built ones that have the same ReLUs."""
    units = data.loc[data["kind"] == "adam", "units"].max()
    last = data[data["units"] == units].pivot(index="target", columns="kind", values="median")
    ratios = (last["adam"] / last["broken line"]).dropna()
    better = [FUNCTIONS[target] for target in FUNCTIONS if ratios.get(target, 1) < 1]
    worse = [FUNCTIONS[target] for target in FUNCTIONS if ratios.get(target, 1) > 1]
    sides = [f"{said} for {listed(of)}" for said, of in (("less", better), ("more", worse)) if of]
    return (
        f"Trained by Adam, a network of {units} hidden units errs {span(ratios)} times as much as "
        f"one built by hand from the same ReLUs: {', '.join(sides) or 'as much for all'}."
    )


def _bumps(ax, units=28):
    """The chapter's proof at work: single bumps, their sum, the function; the data drawn."""
    f = TARGETS["wave"][1]
    x = np.linspace(0, 1, 801)
    weights, biases, out, _ = bumps(f, units)
    single = sigmoid(x[:, None] @ weights + biases) * out
    single = single[:, : units // 2] + single[:, units // 2 :]
    total = single.sum(1)
    ax.set_title(f"{units // 2} bumps of two sigmoids")
    ax.plot(x, single, color=style.GREY, linewidth=0.8)
    ax.plot(x, f(x[:, None]), color=style.INK, linestyle=style.DASHES, linewidth=1)
    ax.plot(x, total, color=style.VERMILLION)
    ax.set(xlabel="x", xlim=(0, 1), ylim=(-1.15, 1.15))
    key = {
        "the function": style.INK,
        "sum of bumps": style.VERMILLION,
        "single bumps": style.GREY,
    }
    for row, (words, colour) in enumerate(key.items()):
        at, dashed = 0.87 - 0.2 * row, colour == style.INK
        ax.plot([1.03, 1.08], [at] * 2, color=colour, transform=ax.transAxes, clip_on=False,
                linestyle=style.DASHES if dashed else "-")  # fmt: skip
        ax.text(1.1, at, words, fontsize=8, va="center", transform=ax.transAxes)
    return pd.DataFrame({"target": "wave", "x": x, "function": f(x[:, None]), "sum": total})


def _errors(ax, data):
    """One function's errors by units, one named line per network or optimizer."""
    style.log_axis(ax, "x", 6, 300, [8, 16, 32, 64, 128, 256])
    style.log_axis(ax, "y", 0.6 * max(data["low"].min(), 2e-5), 1.6 * data["high"].max(),
                   [10.0**power for power in range(-6, 2)])  # fmt: skip
    ax.set_xlabel("hidden units")
    names = []
    for kind, line in data.groupby("kind"):
        colour, marker, words = KINDS[kind]
        ax.fill_between(line["units"], line["low"], line["high"], color=colour, alpha=0.2,
                        linewidth=0)  # fmt: skip
        ax.plot(line["units"], line["median"], color=colour, marker=marker, clip_on=False)
        names.append((line["median"].iloc[-1], line["units"].iloc[-1], words))
    bottom, top = np.log(ax.get_ylim())
    place = -1.0
    leader = {"arrowstyle": "-", "linewidth": 0.5, "alpha": 0.5, "color": style.INK}
    for height, at, words in sorted(names):
        place = max((math.log(height) - bottom) / (top - bottom), place + 0.085)
        ax.annotate(words, (at, height), (1.05, place), fontsize=8, va="center",
                    textcoords="axes fraction", arrowprops=leader)  # fmt: skip
