"""Minima: the figure of final losses by width and of losses along paths."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from finicky.exhibits import style
from finicky.exhibits.phrases import span
from finicky.experiments.minima import CURVE, LOW, MATCHED, STRAIGHT

FIGURES = {
    "F06": "Left: losses at the end of equal trainings from different starts, by width. Middle and "
    "right: training loss between two trained networks of three hidden layers: on the straight "
    "line, on that line after one network's units are put into the order that fits the other's "
    "best, and on a curve with one bend that is trained to be low. The chapter expects a path that "
    "stays in its band.",
}


# path: colour, words
PATHS = {
    STRAIGHT: (style.GREY, "straight"),
    MATCHED: (style.PLUM, "straight after matching"),
    CURVE: (style.BLUE, "trained curve"),
}


def f06(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame] | None:
    """F06: final losses by width; training loss along paths, of the narrowest and widest networks.

    None if no path could be followed, as both ends failed.
    """
    along = style.summary(table[table["quantity"] == "path_loss"], ["width", "path", "share"])
    if along.empty:
        return None
    losses = table[table["quantity"].isin(["final_train_loss", "final_test_loss"])]
    final = style.summary(losses, ["quantity", "width"])
    widths = sorted(set(along["width"]))
    starts = span(losses.groupby(["quantity", "width"]).size(), places=0)
    fig, axes = style.panels([2.5], columns=3, left=0.45, right=0.15, between=(0.75, 0), top=0.5,
                             bottom=0.95)  # fmt: skip
    spread, *between = axes[0]
    draw_losses(spread, losses, final)
    for ax, width in zip(between, (widths[0], widths[-1]), strict=True):
        draw_paths(ax, along[along["width"] == width])
        ax.set_ylim(0, 1.03 * along["high"].max())  # one scale for both
        ax.set_title(f"Training loss on a path,\nwidth {width} (nats)", fontsize=8.5)
    handles = [Line2D([], [], color=colour, label=words) for colour, words in PATHS.values()]
    handles.append(Patch(color=style.CHAPTER, alpha=0.2, linewidth=0, label="chapter: stays here"))
    fig.legend(handles=handles, ncols=4, fontsize=8, loc="lower right", borderaxespad=0,
               bbox_to_anchor=(1, 0.3 / fig.get_figheight()))  # fmt: skip
    style.footer(fig, along)
    style.note(fig, f"left: a dot is a start, {starts} of each width")
    barriers = table[table["quantity"] == "barrier"].groupby(["path", "width"])["value"].median()
    heights = {
        path: span(barriers[barriers.index.get_level_values("path") == path], "nats")
        for path in PATHS
    }
    fig.set_label(
        f"Between two trained networks the training loss rises by {heights[STRAIGHT]} on the "
        f"straight line, by {heights[MATCHED]} once their units are matched, and by "
        f"{heights[CURVE]} on a trained curve."
    )
    return fig, pd.concat([final, along.assign(quantity="path_loss")], ignore_index=True)


def draw_losses(ax, losses, final):
    """Every start's final losses by width, and their medians."""
    ax.set_title("Final loss of every start\n(nats)", fontsize=8.5)
    for quantity, colour, name, nudge in (
        ("final_train_loss", style.BLUE, "training", 0.94),
        ("final_test_loss", style.VERMILLION, "test", 1.06),
    ):
        rows = losses[losses["quantity"] == quantity]
        ax.plot(
            rows["width"] * nudge, rows["value"], "o", color=colour, markersize=2, markeredgewidth=0
        )
        middle = final[final["quantity"] == quantity]
        ax.plot(middle["width"] * nudge, middle["median"], color=colour, linewidth=0.8)
        ax.annotate(name, tuple(middle[["width", "median"]].iloc[-1]), xytext=(6, 0),
                    textcoords="offset points", fontsize=7.5, va="center",
                    annotation_clip=False)  # fmt: skip
    ticks = sorted(set(losses["width"]))
    style.log_axis(ax, "x", 0.8 * ticks[0], 1.25 * ticks[-1], ticks)
    low, high = losses["value"].min(), losses["value"].max()
    decades = [digit * 10.0**power for power in range(-5, 2) for digit in (1, 3)]
    style.log_axis(ax, "y", 0.8 * low, 1.3 * high, decades)
    ax.set_xlabel("hidden units")


def draw_paths(ax, along):
    """Training loss by the share of the way, with the band that counts as low; one width."""
    edge = along[along["share"].isin([0, 1])]["median"].max() + LOW
    ax.axhspan(0, edge, color=style.CHAPTER, alpha=0.2, linewidth=0)
    for path, (colour, _) in PATHS.items():
        rows = along[along["path"] == path]
        ax.fill_between(
            rows["share"], rows["low"], rows["high"], color=colour, alpha=0.2, linewidth=0
        )
        ax.plot(rows["share"], rows["median"], color=colour)
    ax.set(xlim=(0, 1), xlabel="share of the way")
    ax.set_xticks([0, 0.5, 1])
