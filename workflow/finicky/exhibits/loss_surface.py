"""Figure F24: loss surfaces of deep plain and residual networks, and their Hessians' spectra."""

import numpy as np
import pandas as pd
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from finicky.exhibits import style
from finicky.exhibits.phrases import compared, span
from finicky.exhibits.residual import (
    PLAIN,
    RESIDUAL,
    START,
    TRAINED,
    first_data_set,
    footer,
    summary,
    trained_for,
)
from finicky.labels import label
from finicky.numbers import number, significant

FIGURES = {
    "F24": "Top: training loss on a plane through the deepest networks after training, along two "
    "random directions scaled to each unit's weights, from −1 to 1 (one seed, each kind at its own "
    "best learning rate; the cross is the network). The chapter: sharp peaks and valleys if plain, "
    "smooth if residual; flat is what has not trained. Colours end at 0.1 and at 100 nats, however "
    "far the losses go. Bottom left: eigenvalues of the Hessian there. Bottom right: how even "
    "their sizes are at the start (hollow) and after training at the chapter's rate (full), 1 if "
    "all have the same size.",
}
BLOCKS = ["plain", "residual", "batch_norm", "batch_norm_residual"]
SCALE = LogNorm(0.1, 100)  # nats


def f24(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """F24, and the numbers behind it."""
    table = first_data_set(table)
    drawn = table[table["quantity"].isin(["loss_at", "density_at"])].dropna(axis=1, how="all")
    kind = ["depth", "block", "stage", "rate"]
    data = pd.concat([summary(table, q, kind) for q in ("evenness", "test_accuracy")])
    depth = int(data["depth"].max())
    fig, axes = style.panels(
        [1.4, 2.2], columns=4, left=0.6, right=0.85, between=(0.35, 0.9), bottom=0.8
    )
    planes = drawn[drawn["quantity"] == "loss_at"]
    for ax, block in zip(axes[0], BLOCKS, strict=True):
        _plane(ax, planes[planes["block"] == block], block)
    axes[0, 0].set_ylabel("second direction", fontsize=8)
    _key(fig, axes[0, -1])
    wide = [_wide(fig, pair, shift) for pair, shift in ((axes[1, :2], 0), (axes[1, 2:], 0.75))]
    _spectra(wide[0], drawn[drawn["quantity"] == "density_at"], depth)
    _evenness(wide[1], data[(data["quantity"] == "evenness") & (data["depth"] == depth)])
    footer(fig, data, f"{depth} layers, {trained_for(table)}")
    even = data[(data["quantity"] == "evenness") & (data["rate"] == "chapter")]
    fig.set_label(_finding(even[even["depth"] == depth].set_index("block"), planes, depth))
    return fig, pd.concat([drawn, data], ignore_index=True)


def _finding(even, planes, depth):
    """The losses on each plane, and whether residual networks curve more evenly than those without
    shortcuts, with and without batch norm, beyond the ranges of the seeds."""
    known = [block for block in BLOCKS if block in set(planes["block"])]
    losses = {block: planes.loc[planes["block"] == block, "value"] for block in known}
    spans = ", ".join(f"{label(block)} {span(of)}" for block, of in losses.items())
    pairs = []
    for pair in zip(RESIDUAL, PLAIN, strict=True):
        if set(pair) <= set(even.index):
            one, other = (even.loc[block] for block in pair)
            found = compared(one, other, ("below", "level with", "above"))
            sizes = (
                f"{label(block)} {significant(even.loc[block, 'median'], 2)}" for block in pair
            )
            pairs.append(f" {found} ".join(sizes))
    said = f"; evenness of eigenvalues: {', '.join(pairs)}" if pairs else ""
    return f"Loss around networks of {depth} layers, in nats: {spans}{said}."


def _plane(ax, rows, block):
    """Loss on the plane, on a logarithmic scale of colours."""
    ax.set_title(label(block), fontsize=8.5)
    ax.grid(False)
    if rows.empty:
        return
    grid = rows.pivot(index="y", columns="x", values="value")
    span = float(grid.columns.max())
    ax.imshow(
        grid.clip(SCALE.vmin, SCALE.vmax),
        norm=SCALE,
        cmap=style.HEAT,
        origin="lower",
        extent=(-span, span, -span, span),
        interpolation="nearest",
        aspect="auto",
    )
    ax.plot([0], [0], "+", color="#ffffff", markersize=6)
    ax.set_xticks([-span, 0, span], [number(tick, 0) for tick in (-span, 0, span)])
    ax.set_yticks([-span, 0, span], [number(tick, 0) for tick in (-span, 0, span)])
    ax.set_xlabel("first direction", fontsize=8)


def _key(fig, ax):
    """The scale of the planes' colours, right of the last."""
    place = ax.get_position()
    width = fig.get_figwidth()
    bar = fig.add_axes((place.x1 + 0.12 / width, place.y0, 0.1 / width, place.height))
    fig.colorbar(ScalarMappable(SCALE, style.HEAT), cax=bar)
    bar.set_yticks([0.1, 1, 10, 100], ["≤ 0.1", "1", "10 nats", "≥ 100"])
    bar.set_yticks([], minor=True)


def _wide(fig, pair, shift):
    """One pair of axes in the place of two; `shift`: inches that it starts farther right."""
    first, last = (ax.get_position() for ax in pair)
    for ax in pair:
        ax.remove()
    left = first.x0 + shift / fig.get_figwidth()
    return fig.add_axes((left, first.y0, last.x1 - left, first.height))


def _spectra(ax, rows, depth):
    """Eigenvalues and the shares of all eigenvalues that they stand for, both on log scales."""
    ax.set_title(f"Hessian's eigenvalues, {depth} layers")
    ax.set_xscale("symlog", linthresh=1e-2, linscale=0.6)
    ax.set_yscale("log")
    for block in BLOCKS:
        mine = rows[(rows["block"] == block) & (rows["value"] > 0)]
        drawn = style.level_style(block)
        ax.plot(mine["eigenvalue"], mine["value"], drawn.marker, color=drawn.colour, markersize=4,
                label=label(block))  # fmt: skip
    if len(rows):
        reach = 3 * rows["eigenvalue"].abs().max()
        top = max(0, int(np.floor(np.log10(reach))))
        powers = np.array([top // 2, top] if top > 2 else [top])  # names that have room
        ticks = [*-(10.0 ** powers[::-1]), 0, *10.0**powers]
        ax.set_xlim(-reach, reach)
        ax.set_xticks(ticks, [_power(tick) for tick in ticks])
        ax.set_xticks([], minor=True)
    ax.set_ylim(1e-6, 3)
    ax.set_yticks([1e-6, 1e-4, 1e-2, 1], [_power(tick) for tick in (1e-6, 1e-4, 1e-2, 1)])
    ax.set_yticks([], minor=True)
    ax.set_xlabel("eigenvalue")
    ax.legend(loc="upper right", fontsize=7.5, borderpad=0, handletextpad=0)
    ax.set_ylabel("share of all eigenvalues")


def _power(tick):
    if tick in (0, 1):
        return str(int(tick))
    exponent = f"{round(np.log10(abs(tick))):d}".translate(
        str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    )
    return f"{'−' if tick < 0 else ''}10{exponent}"


def _evenness(ax, rows):
    """A row for each kind: start hollow, trained at the chapter's rate full."""
    style.expected(ax, "Evenness of their sizes", "higher if residual")
    low, high = rows["low"].min(), rows["high"].max()
    style.log_axis(ax, "x", 0.5 * low, 2 * high, [10.0**power for power in range(-8, 1)])
    ticks = ax.get_xticks()
    ax.set_xticks(ticks, [_power(tick) for tick in ticks])
    for place, block in enumerate(BLOCKS):
        drawn = style.level_style(block)
        for stage, rate in ((START, ""), (TRAINED, "chapter")):
            row = rows[(rows["block"] == block) & (rows["stage"] == stage) & (rows["rate"] == rate)]
            ax.hlines([place] * len(row), row["low"], row["high"], color=drawn.colour, linewidth=3,
                      alpha=0.35)  # fmt: skip
            ax.plot(row["median"], [place] * len(row), drawn.marker, color=drawn.colour,
                    markerfacecolor=drawn.colour if stage == TRAINED else "none")  # fmt: skip
    ax.set_ylim(len(BLOCKS) - 0.5, -0.5)
    ax.set_yticks(range(len(BLOCKS)), [label(block) for block in BLOCKS])
    ax.grid(False)
    ax.grid(True, axis="x")
    ax.set_xlabel("start hollow, trained full")
