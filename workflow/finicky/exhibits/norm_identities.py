"""Figure of what ε takes from batch norm, and of gradients in deep networks that have it."""

import numpy as np
import pandas as pd

from finicky.exhibits import style
from finicky.labels import label

FIGURES = {
    "norm-start": "Left: what ε = 10⁻⁵ takes. A normalised feature lacks ε/(σ² + ε) of its "
    "variance (line: the law, points: measured), and about as much of the correlation that its "
    "gradient should lose stays. Right: the factor by which the gradient grows with every layer "
    "on its way back, in networks before their first step, whatever the scale of the weights. "
    "Lines: the exact law of wide networks; points: networks of finite width. The chapter says "
    "that gradients cannot explode; above 1 they do, in deep networks.",
}
SHOWN = {"relu": 0, "tanh": 1, "selu": 0, "sigmoid": 0, "identity": -1}  # and how far up the name


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
    fig, axes = style.panels([2.7], columns=2, left=0.55, right=0.75, between=(1.0, 0))
    _lost(axes[0, 0], lost)
    _growth(axes[0, 1], growth)
    axes[0, 1].set_xlabel(f"images in a batch; {depth} layers of {width} units")
    measured = growth[growth["quantity"] == "gradient_growth"]
    style.footer(fig, measured)
    largest = measured[measured["batch_size"] == measured["batch_size"].max()]
    fig.set_label(
        f"Growth of the gradient a layer at {largest['batch_size'].max()} images: "
        + ", ".join(f"{label(row.activation)} {row.median:.3f}" for row in largest.itertuples())
        + "."
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
        place = (0.97, 0.9) if quantity == "variance_missing" else (0.03, 0.25)
        ax.text(*place, name, color=colour, transform=ax.transAxes, fontsize=8, va="top",
                ha="right" if place[0] > 0.5 else "left")  # fmt: skip
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
    ax.axhline(1, color=style.INK, linestyle=style.DASHES, linewidth=0.9)
    ax.text(0.98, 0.98, "above 1: exponential in depth", transform=ax.transAxes, fontsize=7.5,
            ha="right", va="top")  # fmt: skip
    for activation, up in SHOWN.items():
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
        ax.annotate(label(activation), (sizes[-1], law["median"].iloc[-1]), (12, 5 * up),
                    textcoords="offset points", color=colour, fontsize=8, va="center",
                    annotation_clip=False)  # fmt: skip
    ax.set_title("Growth of the gradient, a layer")
