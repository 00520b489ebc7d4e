"""Figure F36: first-layer weights, and linear probes layer by layer."""

import math

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from finicky.exhibits import style
from finicky.exhibits.phrases import span
from finicky.labels import in_order, label, listed

FIGURES = {
    "F36": "Above: weights of first-layer units at the start and after training, and what changed, "
    "each picture by its own largest value; of one network, the units whose trained weights vary "
    "most smoothly from pixel to pixel. "
    "Below: accuracy of linear probes by layer, in trained networks of several depths (solid) and "
    "with the random weights of the start (dashed); lines are medians, bands the range of the "
    "seeds.",
}
TICKS = [20, 40, 60, 70, 80, 85, 90, 92, 94, 95, 96, 97, 98, 99]  # of accuracy


def f36(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """F36, and the medians and ranges of the probes behind it."""
    probes = table[table["quantity"].isin(["probe", "probe_untrained"])]
    data = style.summary(probes, ["quantity", "dataset", "depth", "layer"])
    names, depths = in_order(data["dataset"]), sorted(set(data["depth"]))
    fig, axes = style.panels(
        [1.65, 2.3], columns=len(names), left=0.55, right=0.95, between=(1.05, 0.75)
    )
    top, end = axes[0, 0].get_position(), axes[0, -1].get_position()
    for ax in axes[0, 1:]:
        ax.remove()
    axes[0, 0].set_position((top.x0, top.y0, end.x1 - top.x0, top.height))
    _filters(axes[0, 0], table)
    for ax, name in zip(axes[1], names, strict=True):
        _probes(ax, data[data["dataset"] == name], depths)
        style.expected(ax, f"{label(name)}: accuracy (%)", "rises with every layer")
    style.footer(fig, data)
    fig.set_label(_finding(data[(data["quantity"] == "probe") & (data["depth"] == depths[-1])]))
    return fig, data


def _finding(probes):
    """Where linear probes are best, and what the layers behind lose; of the deepest networks."""
    by = probes.pivot(index="layer", columns="dataset", values="median")
    best, lost = by.idxmax(), by.max() - by.iloc[-1]
    end = f" and loses {span(lost, 'points', 1)} up to the last" if lost.max() > 0 else ", the last"
    return (
        f"In trained networks of {probes['depth'].max()} layers a linear probe gains "
        f"{span(by.max() - by.iloc[0], 'points', 1)} from the pixels to hidden layer "
        f"{listed([label(layer) for layer in sorted(set(best))], 'or')} of {by.index.max()}{end}."
    )


def _probes(ax, data, depths):
    """Accuracy by layer: a line for each depth, dashed the random weights of the deepest."""
    colours = [style.BLUE, style.VERMILLION, style.PLUM, style.OLIVE]
    style.accuracy_axis(ax, "y", data["high"].max())
    low, high = (style.by_error(end) for end in (data["low"].min(), data["high"].max()))
    spread = max(high - low, 0.1)
    ax.set_ylim(style.from_error(low - 0.06 * spread), style.from_error(high + 0.1 * spread))
    low, high = ax.get_ylim()
    ax.set_yticks([tick for tick in TICKS if low <= tick <= high])
    ax.yaxis.set_major_formatter("{x:g}")
    ax.set(xlabel="hidden layer (0: pixels)", xlim=(-0.2, max(depths) - 0.6))
    ax.set_xticks(range(0, max(depths), 1 if max(depths) < 12 else 2))
    lines = [("probe_untrained", depths[-1], style.GREY, style.DASHES)]
    lines += [("probe", d, c, "-") for d, c in zip(depths, colours, strict=False)]
    for quantity, depth, colour, dashes in lines:
        rows = data[(data["depth"] == depth) & (data["quantity"] == quantity)]
        ax.fill_between(
            rows["layer"], rows["low"], rows["high"], color=colour, alpha=0.2, linewidth=0
        )
        ax.plot(
            rows["layer"], rows["median"], color=colour, linestyle=dashes, marker="o",
            markerfacecolor=colour if dashes == "-" else "none",
        )  # fmt: skip
        name = "random weights" if quantity == "probe_untrained" else f"{depth} layers"
        _name(ax, rows, name, depth == depths[-1])


def _filters(ax, table):
    """The weights of some units side by side: at the start, trained, and the change; nothing if
    their network became NaN."""
    rows = table[table["quantity"] == "filter"]
    if rows.empty:
        ax.set_axis_off()
        return
    rows = rows[rows["dataset"] == rows["dataset"].iloc[0]]
    gap, side = 3, math.isqrt(rows["pixel"].nunique())
    start, trained = (
        rows[rows["trained"] == after].pivot(index="unit", columns="pixel", values="value")
        for after in (False, True)
    )
    strips = []
    for pictures in (start, trained, trained - start):
        largest = pictures.abs().max(axis=1).replace(0, 1)  # a dead unit does not change
        scaled = pictures.div(largest, axis=0).to_numpy()
        tiles = np.full((len(scaled), side + gap, side + gap), np.nan)
        tiles[:, :side, :side] = scaled.reshape(-1, side, side)
        strips.append(np.concatenate(list(tiles), 1))
    ax.imshow(
        np.concatenate(strips)[:-gap, :-gap], cmap="PuOr", vmin=-1, vmax=1, interpolation="nearest"
    )  # fmt: skip
    ax.set_title("First-layer weights: orange negative, purple positive", fontsize=8.5)
    middles = [side / 2 + place * (side + gap) for place in range(3)]
    ax.set_yticks(middles, ["start", "trained", "change"])
    ax.set_xticks([])
    ax.tick_params(length=0)
    ax.grid(False)
    ax.spines[:].set_visible(False)


def _name(ax, rows, name, is_last):
    """A line's name right of its end, or above it where another line goes on."""
    end = rows.sort_values("layer").iloc[-1]
    ax.annotate(
        name, (end["layer"], end["median"]), xytext=(6, 0) if is_last else (2, 9),
        textcoords="offset points", fontsize=7.5, va="center", annotation_clip=False,
    )  # fmt: skip
