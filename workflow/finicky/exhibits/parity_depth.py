"""Figure of parity: what networks need by construction, and what training finds."""

import numpy as np
import pandas as pd

from finicky.exhibits import style
from finicky.exhibits.phrases import span
from finicky.labels import label

FIGURES = {
    "F04": "Left: networks that give the parity of every input, checked on all of them. One hidden "
    "layer needs 2ⁿ⁻¹ units only if its units are ANDs; threshold units and ReLUs that count the "
    "ones need n, fewer than the deep tree. Right: what training finds with as few units; where a "
    "line falls, weights that are known to exist are missed, and where lines part, depth matters.",
}
# network: colour, marker, name, and how far up the name stands, in points
NETWORKS = {
    "and_or": (style.VERMILLION, "s", "ANDs and an OR: 2ⁿ⁻¹", 0),
    "tree": (style.PLUM, "X", "tree of XORs, ⌈log₂ n⌉ layers", 6),
    "thresholds": (style.BLUE, "o", "thresholds, one layer: n", 1),
    "relus": (style.SAGE, "D", "ReLUs, one layer: n", -9),
    "cosine": (style.GREY, "v", "cosine: 1 unit", 0),
}
LAYERS = [(style.BLUE, "o"), (style.LAVENDER, "^"), (style.PLUM, "X")]


def f04(table: pd.DataFrame):
    """Figure F04 and the data behind it."""
    built = table[table["quantity"] == "units"]
    trained = style.summary(table[table["quantity"] == "learned"], ["bits", "layers", "units"])
    fig, axes = style.panels([3.1], columns=2, left=0.5, right=1.05, between=(2.1, 0))
    _sizes(axes[0, 0], built)
    ends = _learned(axes[0, 1], trained)
    style.footer(fig, trained)
    most = int(built["bits"].max())
    units = built[built["bits"] == most].set_index("network")["value"]
    fig.set_label(
        f"The parity of {most} bits takes {label(int(units['and_or']))} hidden units in one layer "
        "of "
        f"ANDs, but {units['thresholds']:.0f} thresholds, and {units['tree']:.0f} in a deep tree; "
        f"training finds {trained['bits'].max()} bits from "
        f"{span((height for height, *_ in ends), '%', 0)} of starts."
    )
    return fig, pd.concat([built.dropna(axis=1, how="all"), trained])


def _sizes(ax, built):
    """Hidden units of the networks that are built, by bits."""
    bits = np.arange(2, built["bits"].max() + 1)
    ax.set_title("Hidden units (log scale)")
    style.log_axis(ax, "y", 0.8, 1.4 * 2.0 ** bits[-1], [4.0**power for power in range(16)])
    ax.plot(bits, 2.0**bits, **style.CHAPTER_LINE)
    ax.annotate("the chapter, one layer: 2ⁿ", (bits[-1], 2.0 ** bits[-1]), (7, 2),
                textcoords="offset points", fontsize=8, va="center",
                color=style.CHAPTER)  # fmt: skip
    for name, (colour, marker, said, up) in NETWORKS.items():
        rows = built[built["network"] == name].sort_values("bits")
        hollow = name == "relus"  # lies on the thresholds' line
        ax.plot(rows["bits"], rows["value"], color=colour, marker=marker, clip_on=False,
                markersize=7 if hollow else 4.5, linewidth=0 if hollow else 1.6,
                markerfacecolor="none" if hollow else colour)  # fmt: skip
        ax.annotate(said, (rows["bits"].iloc[-1], rows["value"].iloc[-1]), (7, up),
                    textcoords="offset points", fontsize=8, va="center")  # fmt: skip
    ax.set_xlabel("n, bits")
    ax.set_xticks([tick for tick in range(2, 64, 2) if tick <= bits[-1]])


def _learned(ax, trained):
    """Share of starts that learn, one line per number of hidden layers; returns for each line
    (its last share, layers, bits there)."""
    ax.set_title("Starts that learn all inputs (%)")
    ax.set_ylim(-3, 103)
    ends = []
    for place, (layers, rows) in enumerate(trained.groupby("layers")):
        colour, marker = LAYERS[place % len(LAYERS)]
        ax.fill_between(rows["bits"], rows["low"], rows["high"], color=colour, alpha=0.2,
                        linewidth=0)  # fmt: skip
        ax.plot(rows["bits"], rows["median"], color=colour, marker=marker, clip_on=False)
        ends.append((rows["median"].iloc[-1], layers, rows["bits"].iloc[-1]))
    at = -np.inf
    for height, layers, bits in sorted(ends):
        at = max(height, at + 6)
        ax.annotate(f"{layers} hidden layer" + "s" * int(layers > 1), (bits, at), (7, 0),
                    textcoords="offset points", fontsize=8, va="center")  # fmt: skip
    ax.set_xlabel(f"n, bits ({trained['units'].max()} units a layer)")
    ax.set_xticks(sorted(set(trained["bits"])))
    return ends
