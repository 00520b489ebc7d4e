"""Figure of activations: their shapes and slopes, zeros in ReLU networks, and the time saved."""

import numpy as np
import pandas as pd

from finicky.exhibits import style
from finicky.exhibits.phrases import span
from finicky.experiments.activations import IMAGES, RIVALS, sigmoid, slope
from finicky.labels import label

FIGURES = {
    "F09": "Above: three activations and their slopes; the sigmoid's is at most 1/4, as the "
    "chapter says. Below left: the share of zeros in ReLU networks, over images and units, at the "
    "start and after training; the band is the chapter's 50 %, ± 10. Below right: the time that a "
    "ReLU saves; a dot is a repetition, the bar the median.",
}


def f09(table: pd.DataFrame):
    """Figure F09 and the data behind it; None if no ReLU network was trained with Adam at 0.001."""
    zeros = table[table["quantity"].isin(["zeros_at_start", "zeros_after_training"])]
    zeros = zeros[zeros["dataset"] == "mnist"]
    start = zeros[zeros["quantity"] == "zeros_at_start"]
    end = zeros[(zeros["optimizer"] == "adam") & (zeros["learning_rate"] == 0.001)]
    if end.empty:
        return None
    images, epochs = end[["images", "epochs"]].value_counts().index[0]
    end = end[(end["images"] == images) & (end["epochs"] == epochs)]
    drawn = pd.MultiIndex.from_frame(end[["depth", "block"]])
    start = start[pd.MultiIndex.from_frame(start[["depth", "block"]]).isin(drawn)]
    zeros = pd.concat([start, end])
    speed = table[table["quantity"].isin(["activation_saved", "step_saved"])]
    shares = style.summary(zeros, ["quantity", "block", "depth"])
    speeds = [
        style.summary(speed[speed["quantity"] == quantity], ["quantity", "activation", *axes])
        for quantity, axes in (("activation_saved", ["width"]), ("step_saved", ["depth", "width"]))
    ]

    timed = speed[["quantity", "width", "depth"]].drop_duplicates()
    height = max(2.3, 0.29 * len(timed))
    fig, axes = style.panels([1.9, height], columns=2, left=0.4, right=1.0, between=(1.85, 0.75))
    _functions(*axes[0])
    _zeros(axes[1, 0], shares, images, epochs)
    _speed(axes[1, 1], speed)
    lines = {"solid": "after training, Adam", "dashed": "at the start (below left)"}
    style.footer(fig, shares, lines)
    plain = shares[shares["block"] == "plain"]
    start, end = (
        span(plain.loc[plain["quantity"] == quantity, "median"], "%", 0)
        for quantity in ("zeros_at_start", "zeros_after_training")
    )
    saved = [span(rows["median"], "%", 0) for rows in speeds]
    fig.set_label(
        f"In plain ReLU networks {start} of hidden units are zero at the start, {end} after "
        f"training; ReLU saves {saved[0]} of the activation's time, {saved[1]} of a whole step's."
    )
    return fig, pd.concat([shares, *speeds], ignore_index=True)


def _functions(left, right):
    """The activations, and their slopes."""
    x = np.linspace(-5, 5, 401)
    curves = {
        "relu": (np.maximum(x, 0), (x > 0).astype(float)),
        "sigmoid": (sigmoid(x), slope(x)),
        "tanh": (np.tanh(x), 1 - np.tanh(x) ** 2),
    }
    names = {  # x and y of the names in both panels
        "relu": ((1.4, 1.75), (5.2, 1.0)),
        "sigmoid": ((5.2, 1.15), (5.2, 0.14)),
        "tanh": ((5.2, 0.75), (-1.0, 0.6)),
    }
    left.set(title="Activation", ylim=(-1.1, 2), xlim=(-5, 5), xlabel="x")
    right.set(title="Slope", ylim=(0, 1.08), xlim=(-5, 5), xlabel="x")
    right.set_yticks([0, 0.25, 0.5, 1], ["0", "1/4", "1/2", "1"])
    right.axhline(0.25, **style.CHAPTER_LINE)
    for name, both in curves.items():
        colour = style.level_style(name).colour
        for ax, y, place in zip((left, right), both, names[name], strict=True):
            ax.plot(x, y, color=colour)
            style.name(ax, label(name), place, colour, right=place[0] < 5)


def _zeros(ax, shares, images, epochs):
    """Share of zeros by depth: after training (solid) for each block, at the start (dashed)."""
    ax.set_title("Units that are zero (%)")
    depths = sorted(set(shares["depth"]))
    style.log_axis(ax, "x", depths[0], max(depths[-1], depths[0] + 1), depths)
    ax.set(ylim=(0, 100))
    length = "1 epoch" if epochs == 1 else f"{epochs} epochs"
    ax.set_xlabel(f"layers; MNIST, {label(images)} images, {length}")
    ax.axhspan(40, 60, color=style.CHAPTER, alpha=0.12, linewidth=0)
    for (block, quantity), rows in shares.groupby(["block", "quantity"]):
        style.line(ax, rows, "depth", block, dashed=quantity == "zeros_at_start")
    style.label_ends(ax, shares[shares["quantity"] == "zeros_after_training"], "depth", "block")


def _speed(ax, speed):
    """Time saved, one line each: the activation alone by size, and whole steps by depth."""
    ax.set_title("Time that ReLU saves (%)")
    alone = speed[speed["quantity"] == "activation_saved"]
    steps = speed[speed["quantity"] == "step_saved"]
    timed = [
        (f"{_in_words(IMAGES * width)}\nvalues", rows) for width, rows in alone.groupby("width")
    ] + [
        (f"a step, {depth} layers\nof {label(width)} units", rows)
        for (depth, width), rows in steps.groupby(["depth", "width"])
    ]
    low = min(0.0, speed["value"].min())
    ax.set(xlim=(low - 4, max(20, speed["value"].max() + 4)), ylim=(len(timed) - 0.5, -0.9))
    ax.grid(False)
    ax.axvline(0, color=style.INK, linewidth=0.8)
    ax.axvline(5, color=style.INK, linestyle=style.DASHES, linewidth=0.9)
    ax.text(6, -0.62, "more than 5 %", fontsize=7.5, va="center")
    for place, (_, rows) in enumerate(timed):
        for shift, rival in zip((-0.16, 0.16), RIVALS, strict=True):
            values = rows.loc[rows["activation"] == rival, "value"]
            colour, marker = style.level_style(rival)
            y = place + shift
            ax.plot(values, np.full(len(values), y), marker, color=colour, markersize=3)
            ax.plot([values.median()] * 2, [y - 0.15, y + 0.15], color=colour, linewidth=1.6)
            if place == 0:
                at = (1.02, place + 2 * shift)
                within = ax.get_yaxis_transform()
                style.name(ax, f"than {label(rival)}", at, colour, marker, within=within)
    ax.set_yticks(range(len(timed)), [name for name, _ in timed], fontsize=7.5)


def _in_words(count: int) -> str:
    """A count as a reader says it, e.g. 8 thousand."""
    return f"{count / 1e6:.0f} million" if count >= 1e6 else f"{count / 1e3:.0f} thousand"
