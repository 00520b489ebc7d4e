"""Figure of backpropagation: what a gradient costs."""

import pandas as pd
from matplotlib.lines import Line2D

from finicky.exhibits import style
from finicky.exhibits.phrases import span
from finicky.numbers import number

FIGURES = {
    "F25": "Left: what a gradient costs in forward passes of the same network. A line along the "
    "upper dashed one costs in proportion to the parameters, a flat one the same for any number. "
    "Right: the time of a backward pass by the matrix products it needs. A deep network needs two "
    "where its forward pass needs one; the first layer, whose input needs no gradient, and with it "
    "a network of two layers, needs one. What lies above the slanted line is other work.",
}


def f25(table: pd.DataFrame):
    """Figure F25 and the data behind it."""
    costs = table[table["quantity"].isin(["differences_cost", "backward_cost"])]
    by_size = style.summary(costs, ["quantity", "parameters"])
    shapes = table[table["quantity"].isin(["count_ratio", "time_ratio"])]
    by_shape = style.summary(shapes, ["quantity", "depth", "width"])
    slopes = table[table["quantity"].str.endswith("_slope")]
    slope = slopes.groupby("quantity")["value"].agg(["median", "min", "max"])
    times = by_shape.loc[by_shape["quantity"] == "time_ratio", "median"]

    fig, axes = style.panels([3.1], columns=2, left=0.5, right=0.85, between=(0.95, 0))
    _sizes(axes[0, 0], by_size, slope)
    _shapes(axes[0, 1], by_shape)
    fig.text(0.06 / fig.get_figwidth(), 0.08 / fig.get_figheight(),
             f"median and range of {slopes['seed'].nunique()} interleaved repetitions "
             "on one core", fontsize=8)  # fmt: skip
    fig.set_label(
        "A gradient's cost in forward passes grows with the number of parameters to the power "
        f"{number(slope.loc['differences_slope', 'median'])} by finite differences, "
        f"{number(slope.loc['backward_slope', 'median'])} by backpropagation: one backward pass "
        f"takes the time of {span(times, places=2)} forward passes."
    )
    return fig, pd.concat([by_size, by_shape], ignore_index=True)


def _sizes(ax, data, slope):
    """Cost by number of parameters, log-log, with what the chapter says as dashed lines."""
    ax.set_title("A gradient's cost (forward passes)")
    right = 2 * float(data["parameters"].max())
    top = 60 * data["high"].max()
    for which, low, high in (("x", 20, right), ("y", 0.4, top)):
        powers = [10**power for power in range(10) if low <= 10**power <= high]
        style.log_axis(ax, which, low, high, powers)
        names = ["10" + "⁰¹²³⁴⁵⁶⁷⁸⁹"[len(str(power)) - 1] for power in powers]
        getattr(ax, f"set_{which}ticks")(powers, names)
    ax.set_xlabel("parameters")
    ax.plot([20, min(top, right)], [20, min(top, right)], **style.CHAPTER_LINE)
    ax.plot([20, right], [1, 1], **style.CHAPTER_LINE)
    ax.text(0.9 * right, 0.88, "chapter: 1", ha="right", va="top", color=style.CHAPTER)
    ax.text(0.9 * right, 0.008 * right, "chapter:\n1 a parameter", va="top", ha="right",
            color=style.CHAPTER)  # fmt: skip
    ways = {
        "differences": (style.VERMILLION, "finite differences", 24, 0.8 * top, "left", -1),
        "backward": (style.BLUE, "backward pass", 0.9 * right, 40, "right", -2),
    }
    for way, (colour, name, x, y, side, at) in ways.items():
        rows = data[data["quantity"] == f"{way}_cost"].sort_values("parameters")
        sizes = rows["parameters"].astype(float)
        ax.fill_between(sizes, rows["low"], rows["high"], color=colour, alpha=0.2, linewidth=0)
        ax.plot(sizes, rows["median"], "o-", color=colour)
        fit = slope.loc[f"{way}_slope"]
        said = f"slope {fit['median']:.3f} ({fit['min']:.3f} to {fit['max']:.3f})"
        end = (sizes.iloc[at], rows["median"].iloc[at])
        leader = {"arrowstyle": "-", "color": colour, "linewidth": 0.8, "shrinkB": 4}
        text = f"{name}\n{said.replace('-', '−')}"
        ax.annotate(text, end, (x, y), va="top", ha=side, arrowprops=leader)


def _shapes(ax, data):
    """Timed cost of a backward pass over its counted cost; one point per shape of network."""
    ax.set_title("Backward pass, timed (forward passes)")
    counted = data[data["quantity"] == "count_ratio"].set_index(["depth", "width"])["median"]
    timed = data[data["quantity"] == "time_ratio"].set_index(["depth", "width"])
    ax.set(xlim=(0.95, 2.05), xticks=[1, 1.25, 1.5, 1.75, 2])
    ax.set_ylim(0, max(2.9, 1.05 * timed["high"].max()))
    ax.set_xlabel("counted: operations of the matrix products")
    ax.plot([0.95, 2.05], [0.95, 2.05], color=style.INK, linewidth=0.9)
    ax.plot([0.95, 2.05], [1, 1], **style.CHAPTER_LINE)
    ax.text(2.07, 1, "chapter: 1", va="center", color=style.CHAPTER)
    ax.text(2.07, 2.05, "as counted", va="center")
    handles = []
    colours = [style.BLUE, style.VERMILLION, style.SAGE, style.PLUM, style.TAN]
    for place, (depth, rows) in enumerate(timed.groupby("depth")):
        colour, marker = colours[place % len(colours)], "osD^v"[place % len(colours)]
        ax.vlines(counted[rows.index], rows["low"], rows["high"], color=colour, linewidth=1)
        ax.plot(counted[rows.index], rows["median"], marker, color=colour)
        label = f"{depth} layers"
        handles.append(Line2D([], [], color=colour, marker=marker, linestyle="", label=label))
    ax.legend(handles=handles, loc="upper left", fontsize=8, handletextpad=0.2, borderpad=0)
