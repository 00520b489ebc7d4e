"""Figures F22 and F23: blocks taken out of trained networks, and paths weighed by gradient."""

import math

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from finicky.exhibits import style
from finicky.exhibits.phrases import span
from finicky.exhibits.residual import (
    NOTHING,
    PLAIN,
    RESIDUAL,
    START,
    TRAINED,
    first_data_set,
    footer,
    kinds,
    named,
    summary,
    trained_for,
)
from finicky.labels import label
from finicky.numbers import number

FIGURES = {
    "F22": "Left: accuracy lost when one block is deleted, by its place, or two neighbouring "
    "layers of a plain network; the chapter says 0.5 points for a block. Right: accuracy that is "
    "left after blocks are deleted one after another in random orders. Each kind at its own best "
    "learning rate.",
    "F23": "Top: how many paths go through so many blocks (grey), and how much gradient they "
    "carry, for the deepest networks at their start and after training. Bottom: mean length by "
    "number of blocks, all paths of a length together and single paths as Veit et al. weigh them. "
    "Lines are networks at their start, rings trained ones; beside them stand three laws from "
    "one point, of which the chapter names log L.",
}
TOGETHER, SINGLE = "all of a length together", "single paths"
LAW = {"color": style.INK, "linewidth": 0.8, "linestyle": ":"}
DROPS = [0, 0.5, 2, 5, 20, 80]


# ---- Blocks taken out ---------------------------------------------------------------------------


def f22(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """F22, and the medians and ranges behind it; of the deepest networks."""
    table = first_data_set(table)
    kind = ["depth", "block", "rate"]
    data = pd.concat(
        [
            summary(table, "drop_at", [*kind, "deleted", "place"]),
            summary(table, "accuracy_left", [*kind, "number"]),
            summary(table, "drop", kind),
        ],
        ignore_index=True,
    )
    shown = at_own_best(data[data["depth"] == data["depth"].max()])
    fig, axes = style.panels([2.8], columns=2, left=0.6, right=1.15, between=(0.75, 0), bottom=0.8)
    _by_place(axes[0, 0], shown)
    _one_after_another(axes[0, 1], shown)
    footer(fig, data, f"{shown['depth'].max():.0f} layers, {trained_for(table)}")
    means = shown[shown["quantity"] == "drop"].set_index("block")["median"]
    losses = ", ".join(
        f"{label(block)} {number(means[block], 1)}" for block in PLAIN + RESIDUAL if block in means
    )
    fig.set_label(
        f"One block deleted from networks of {shown['depth'].max():.0f} layers costs, on average "
        f"over the blocks, these points of accuracy (chapter: 0.5 if residual): {losses}."
    )
    return fig, data


def at_own_best(data):
    """Each block's rows at its own best rate, which may be the chapter's."""
    own = data[data["rate"] == "own best"]
    chapter = data[(data["rate"] == "chapter") & ~data["block"].isin(own["block"])]
    return pd.concat([own, chapter])


def _by_place(ax, data):
    """Accuracy lost, one line per kind."""
    ax.set_title("Accuracy lost with one block (pp)")
    rows = data[(data["quantity"] == "drop_at") & (data["deleted"] != "one layer")]
    ax.set_yscale("symlog", linthresh=2, linscale=0.8)
    ax.set_yticks(DROPS, [number(tick, 1 if tick == 0.5 else 0) for tick in DROPS])
    ax.set_yticks([], minor=True)
    ax.set_ylim(min(-1, 1.2 * rows["low"].min()), 100)
    for block, mine in rows.groupby("block"):
        style.line(ax, mine, "place", block)
    ax.axhline(0.5, **style.CHAPTER_LINE)
    ax.text(0.02, 0.45, "chapter: 0.5", transform=ax.get_yaxis_transform(), fontsize=8, va="top",
            color=style.CHAPTER)  # fmt: skip
    places = sorted(set(rows["place"]))
    ax.set_xticks(places[:: math.ceil(len(places) / 10)])
    ax.set_xlabel("block, or pair of plain layers")


def _one_after_another(ax, data):
    """Accuracy by number of deleted blocks."""
    ax.set_title("Accuracy left (%)")
    rows = data[data["quantity"] == "accuracy_left"]
    ax.set_ylim(0, 102)
    ax.axhline(10, color=style.INK, linewidth=0.7, linestyle=":")
    for block, mine in rows.groupby("block"):
        style.line(ax, mine, "number", block)
    _name_where_apart(ax, rows)
    numbers = sorted(set(rows["number"]))
    ax.set_xticks(numbers[:: math.ceil(len(numbers) / 10)])
    ax.set_xlabel("blocks deleted (dotted: a guess)")


def _name_where_apart(ax, rows):
    """Names at the right, in the order of the accuracies that are left on average."""
    means = rows.groupby("block")["median"].mean().sort_values(ascending=False)
    for place, block in enumerate(means.index):
        drawn, y = style.level_style(block), 0.95 - 0.1 * place
        ax.plot([1.04], [y], drawn.marker, color=drawn.colour, transform=ax.transAxes,
                clip_on=False)  # fmt: skip
        ax.text(1.085, y, label(block), transform=ax.transAxes, fontsize=8, va="center_baseline")


# ---- Paths --------------------------------------------------------------------------------------


def f23(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """F23, and the medians and ranges behind it."""
    table = first_data_set(table)
    kind = ["depth", "block", "after_the_sum", "stage", "paths"]
    data = pd.concat(
        [
            summary(table, "share_of_length", [*kind, "number"]),
            summary(table, "path_length", kind),
            summary(table, "growth", kind[1:]),
        ],
        ignore_index=True,
    )
    data["blocks"] = data["depth"] / 2 - 1
    fig, axes = style.panels(
        [2.0, 2.4], columns=2, left=0.55, right=1.3, between=(0.75, 0.75), bottom=0.8
    )
    for ax, stage in zip(axes[0], (START, TRAINED), strict=True):
        _shares(ax, data[data["stage"] == stage], stage)
    axes[0, 0].set_ylabel("share of gradient or paths (%)", fontsize=8)
    for ax, paths in zip(axes[1], (TOGETHER, SINGLE), strict=True):
        _lengths(ax, data[(data["quantity"] == "path_length") & (data["paths"] == paths)], paths)
    _names(axes[0, 1], data)
    footer(fig, data, trained_for(table))
    powers = data[(data["quantity"] == "growth") & (data["paths"] == TOGETHER)]
    lengths = data[(data["quantity"] == "path_length") & (data["paths"] == TOGETHER)]
    lengths = lengths[lengths["depth"] == lengths["depth"].max()]
    grows = span(powers.loc[powers["stage"] == START, "median"])
    fig.set_label(
        f"Through {lengths['blocks'].max():.0f} residual blocks the gradient takes paths of "
        f"{span(lengths['median'])} blocks on average, which grow with the power {grows} of log L "
        "at the start; the chapter has power 1."
    )
    return fig, data


def _shares(ax, data, stage):
    """Share of the gradient, and of the paths, by blocks on a path; of the deepest networks."""
    rows = data[(data["quantity"] == "share_of_length") & (data["paths"] == TOGETHER)]
    rows = rows[rows["depth"] == rows["depth"].max()]
    blocks = int(rows["blocks"].max())
    ax.set_title(f"{blocks} blocks, {stage}")
    numbers = np.arange(blocks + 1)
    paths = [100 * math.comb(blocks, k) / 2**blocks for k in numbers]
    ax.fill_between(numbers, paths, color=style.GREY, alpha=0.35, linewidth=0)
    top = int(np.argmax(paths))
    ax.text(top, paths[top], "paths", fontsize=8, ha="center", va="bottom")
    for block, after, mine in kinds(rows):
        drawn = style.level_style(block)
        ax.plot(mine["number"], mine["median"], color=drawn.colour,
                linestyle=style.DASHES if after == NOTHING else "-")  # fmt: skip
    ax.set_ylim(0, 1.15 * max(rows["median"].max(), max(paths)))
    ax.set_xlim(0, blocks)
    ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.set_xlabel("blocks on a path")


def _lengths(ax, rows, paths):
    """Mean length by number of blocks, and the laws."""
    ax.set_title(f"Mean length, {'paths together' if paths == TOGETHER else paths}")
    blocks = rows["blocks"]
    ticks = [2**power for power in range(12)]
    style.log_axis(ax, "x", 0.85 * blocks.min(), 1.18 * blocks.max(), ticks)
    style.log_axis(ax, "y", 0.8 * rows["low"].min(), 1.25 * rows["high"].max(), ticks)
    for block, after, mine in kinds(rows[rows["stage"] == START]):
        style.line(ax, mine, "blocks", block, dashed=after == NOTHING)
    for block, _, mine in kinds(rows[rows["stage"] == TRAINED]):
        ax.plot(mine["blocks"], mine["median"], "o", markersize=8, markerfacecolor="none",
                color=style.level_style(block).colour)  # fmt: skip
    first = rows[(rows["stage"] == START) & (blocks == blocks[rows["stage"] == START].min())]
    x = np.array([first["blocks"].iloc[0], 1.1 * blocks.max()])
    fine = np.geomspace(*x, 50)
    start = math.sqrt(first["median"].min() * first["median"].max())
    for law, said in ((np.log, "log L"), (np.sqrt, "√L"), (np.asarray, "L")):
        y = start * law(fine) / law(fine[:1])
        inside = y <= ax.get_ylim()[1]
        drawn = style.CHAPTER_LINE if said == "log L" else LAW
        ax.plot(fine[inside], y[inside], **drawn)
        ax.annotate(said, (fine[inside][-1], y[inside][-1]), (3, 0), textcoords="offset points",
                    fontsize=8, va="center", color=drawn["color"])  # fmt: skip
    ax.set_xlabel("L, blocks")


def _names(ax, data):
    """The kinds at the right of the axes."""
    rows = data[data["quantity"] == "path_length"]
    for place, (block, after, _) in enumerate(kinds(rows)):
        drawn, y = style.level_style(block), 0.95 - 0.14 * place
        ax.plot([1.04, 1.14], [y, y], color=drawn.colour, transform=ax.transAxes, clip_on=False,
                linestyle=style.DASHES if after == NOTHING else "-")  # fmt: skip
        ax.text(1.17, y, named(block, after), transform=ax.transAxes, fontsize=8,
                va="center_baseline")  # fmt: skip
    ax.text(1.04, 0.95 - 0.14 * (place + 1.1), "* nothing after\n  the sum", fontsize=8,
            transform=ax.transAxes, va="top")  # fmt: skip
