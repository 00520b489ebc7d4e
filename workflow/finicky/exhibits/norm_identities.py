"""Figure of what ε takes from batch norm, and of gradients in deep networks that have it."""

import numpy as np
import pandas as pd

from finicky.exhibits import style
from finicky.exhibits.phrases import span
from finicky.labels import label

FIGURES = {
    "norm-start": "Left: what ε = 10⁻⁵ takes. A normalised feature lacks ε/(σ² + ε) of its "
    "variance (line: the law, points: measured), and about as much of the correlation that its "
    "gradient ought to lose stays. Right: the factor by which the gradient grows with every layer "
    "on its way back, in networks before their first step, whatever the scale of the weights. "
    "Lines: the exact law of wide networks; points: networks of finite width. The chapter says "
    "that gradients cannot explode; above 1 they do, in deep networks.",
}
SHOWN = ["relu", "tanh", "selu", "sigmoid", "identity"]


def norm_start(table: pd.DataFrame):
    """The figure and the data behind it."""
    table = table.assign(outcome="finite")
    lost = style.summary(
        table[table["quantity"].isin(["variance_missing", "correlation_left"])],
        ["quantity", "deviation"],
    )
    growth = table[table["quantity"].isin(["gradient_growth", "growth_law"])]
    width = growth["width"].min()
    growth = growth[growth["width"].isna() | (growth["width"] == width)]
    growth = style.summary(growth, ["quantity", "activation", "batch_size"])
    depth = table.loc[table["quantity"] == "gradient_growth", "depth"].max()
    fig, axes = style.panels([2.7], columns=2, left=0.55, right=0.85, between=(1.0, 0), top=0.5)
    _lost(axes[0, 0], lost)
    _growth(axes[0, 1], growth)
    axes[0, 1].set_xlabel(f"images in a batch; {depth} layers of {width} units")
    measured = growth[growth["quantity"] == "gradient_growth"]
    style.footer(fig, measured)
    largest = measured[measured["batch_size"] == measured["batch_size"].max()]
    fig.set_label(
        f"With batch norm the gradient changes by a factor of {span(largest['median'], places=2)} "
        "a "
        f"layer on its way back, at {largest['batch_size'].max()} images in a batch: over {depth} "
        f"layers {span(largest['median'] ** depth).replace(' to ', '-fold to ')}-fold."
    )
    return fig, pd.concat([lost, growth], ignore_index=True)


def _lost(ax, lost):
    """What is missing of variance 1, and left of correlation, by deviation."""
    rows = lost[lost["deviation"] > 0]
    low, high = rows["deviation"].min(), rows["deviation"].max()
    style.log_axis(ax, "x", 0.6 * low, 1.6 * high, [0.001, 0.01, 0.1, 1, 10])
    style.log_axis(ax, "y", 1e-8, 2, [1e-8, 1e-6, 1e-4, 0.01, 1])
    ax.set_yticks(ax.get_yticks(), ["10⁻⁸", "10⁻⁶", "10⁻⁴", "0.01", "1"])
    sigma = np.geomspace(0.6 * low, 1.6 * high, 200)
    ax.plot(sigma, 1e-5 / (sigma**2 + 1e-5), color=style.INK, linewidth=0.9)
    names = {
        "variance_missing": (style.BLUE, "o", "missing of\nvariance 1"),
        "correlation_left": (style.VERMILLION, "s", "correlation\nwith x̂ left"),
    }
    for quantity, (colour, marker, name) in names.items():
        mine = rows[rows["quantity"] == quantity].sort_values("deviation")
        ax.plot(mine["deviation"], mine["median"], marker, color=colour, markersize=5)
        above = quantity == "variance_missing"
        style.name(ax, name, (0.97, 0.85) if above else (0.03, 0.2), colour, marker, right=above,
                   within="axes fraction")  # fmt: skip
    ax.axhline(0.01, color=style.INK, linestyle=style.DASHES, linewidth=0.9)
    ax.annotate("read as none: 0.01", (1.6 * high, 0.01), (0, 3), ha="right", fontsize=7.5,
                textcoords="offset points")  # fmt: skip
    ax.set_title("What ε leaves undone")
    ax.set_xlabel("deviation σ of the feature")


def _growth(ax, growth):
    """Growth by batch size: laws as lines, networks as points with their range."""
    measured = growth[growth["quantity"] == "gradient_growth"]
    sizes = sorted(set(measured["batch_size"]))
    style.log_axis(ax, "x", 0.8 * sizes[0], 1.25 * sizes[-1], sizes)
    top = growth["high"].max()
    ax.set_ylim(0.98, top + 0.04)
    ax.axhline(1, **style.CHAPTER_LINE)
    ends = []
    for activation in SHOWN:
        colour, marker = style.level_style(activation)
        mine = growth[growth["activation"] == activation].sort_values("batch_size")
        law = mine[mine["quantity"] == "growth_law"]
        seen = measured[measured["activation"] == activation]
        if seen.empty:
            continue
        ax.plot(law["batch_size"], law["median"], color=colour)
        ax.errorbar(
            seen["batch_size"], seen["median"],
            yerr=[seen["median"] - seen["low"], seen["high"] - seen["median"]],
            color=colour, marker=marker, linestyle="none", elinewidth=0.8, clip_on=False,
        )  # fmt: skip
        ends.append((sizes[-1], law["median"].iloc[-1], label(activation), colour))
    style.name_ends(ax, ends)
    style.expected(ax, "Growth of the gradient, a layer", "not above 1")
