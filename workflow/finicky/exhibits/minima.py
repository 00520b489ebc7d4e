"""Minima: the figure of final losses by width and of losses along paths."""

import pandas as pd
from matplotlib.figure import Figure

from finicky.exhibits import style
from finicky.exhibits.phrases import span
from finicky.experiments.minima import CURVE, LOW, MATCHED, STRAIGHT

FIGURES = {
    "F06": "Left: losses at the end of equal trainings from different starts, by width. Middle and "
    "right: training loss between two trained networks of three hidden layers: on the straight "
    "line, on that line after one network's units are put into the order that fits the other's "
    "best, and on a curve with one bend that is trained to be low. The chapter expects a path that "
    "stays in the band.",
}


# path: colour, words, and where they point from and to: height in the axes, share of the way
PATHS = {
    STRAIGHT: (style.GREY, "straight", 0.6, 0.55),
    MATCHED: (style.PLUM, "straight after\nmatching", 0.4, 0.6),
    CURVE: (style.BLUE, "trained\ncurve", 0.16, 0.7),
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
    fig, axes = style.panels([2.5], columns=3, left=0.45, right=0.85, between=(0.75, 0), top=0.5)
    spread, *between = axes[0]
    draw_losses(spread, losses, final)
    for ax, width in zip(between, (widths[0], widths[-1]), strict=True):
        draw_paths(ax, along[along["width"] == width], named=ax is between[-1])
        ax.set_title(f"Training loss on a path,\nwidth {width} (nats)", fontsize=8.5)
    style.footer(fig, along)
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


def draw_paths(ax, along, named):
    """Training loss by the share of the way, with the band that counts as low; one width."""
    leader = {"arrowstyle": "-", "linewidth": 0.5, "color": style.INK, "alpha": 0.5}
    edge = along[along["share"].isin([0, 1])]["median"].max() + LOW
    ax.axhspan(0, edge, color=style.INK, alpha=0.08, linewidth=0)
    for path, (colour, words, height, share) in PATHS.items():
        rows = along[along["path"] == path]
        if rows.empty:
            continue
        ax.fill_between(
            rows["share"], rows["low"], rows["high"], color=colour, alpha=0.2, linewidth=0
        )
        ax.plot(rows["share"], rows["median"], color=colour)
        if named:
            point = rows.iloc[(rows["share"] - share).abs().argmin()]
            ax.annotate(
                words, tuple(point[["share", "median"]]), (1.06, height), fontsize=7.5,
                textcoords=ax.transAxes, va="center", annotation_clip=False, arrowprops=leader,
            )  # fmt: skip
    ax.set(xlim=(0, 1), xlabel="share of the way")
    ax.set_ylim(0, 1.5 * along["median"].max())
    ax.set_xticks([0, 0.5, 1])
