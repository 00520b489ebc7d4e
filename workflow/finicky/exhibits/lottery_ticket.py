"""Lottery tickets: the figure of accuracies by the share of weights that is left."""

import pandas as pd
from matplotlib.figure import Figure

from finicky.exhibits import style
from finicky.labels import label

FIGURES = {
    "F08": "Test accuracy by the share of weights that is left. Tickets keep the weights that are "
    "largest after training, set back to where they started; beside them the same mask over new "
    "weights, and as many of the old weights chosen at random. Dashed: the whole network, with a "
    "band of ±1 point. The first line to leave the band says what a sub-network lives on: its "
    "weights, its mask, or merely their number.",
}
# sparse network: its colour, and its name at the end of its line
DRAWN = {
    "ticket": (style.BLUE, "ticket"),
    "new weights": (style.VERMILLION, "its mask,\nnew weights"),
    "random mask": (style.GREY, "random\nmask"),
}


def f08(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """F08: accuracy by the share of weights that is left, one panel per data set."""
    rows = table[table["quantity"] == "accuracy"]
    data = style.summary(rows, ["dataset", "network", "remaining"])
    fig, axes = style.panels([2.6], columns=2, left=0.5, right=0.95, between=(1.3, 0))
    by_dataset = sorted(data.groupby("dataset"), reverse=True)
    for ax, (name, rows) in zip(axes[0], by_dataset, strict=True):
        draw_accuracies(ax, rows)
        ax.set_title(f"{label(name)}: test accuracy (%)")
    style.footer(fig, data)
    sparsest = data[data["remaining"] == data["remaining"].min()]
    fig.set_label(
        f"With {data['remaining'].min():.3g} % of the weights left: "
        + "; ".join(
            f"{label(name)} "
            + ", ".join(f"{row.network} {row.median:.1f} %" for row in rows.itertuples())
            for name, rows in sparsest.groupby("dataset")
        )
        + "."
    )
    return fig, data


def draw_accuracies(ax, rows):
    """Accuracy by the share of weights left, from the whole network on; one data set."""
    whole = rows.loc[rows["network"] == "whole", "median"].iloc[0]
    shares = sorted(set(rows["remaining"]))
    low, high = rows["low"].min(), rows["high"].max()
    style.log_axis(ax, "x", shares[0], 100, shares)
    ax.set_xlim(100, shares[0])
    ax.set_ylim(low - 0.05 * (high - low), max(high, whole + 1) + 0.05 * (high - low))
    ax.set_xlabel("weights left (%)")
    ax.axhspan(whole - 1, whole + 1, color=style.INK, alpha=0.08, linewidth=0)
    ax.axhline(whole, color=style.INK, linestyle=style.DASHES, linewidth=0.9)
    ends = []
    for network, (colour, name) in DRAWN.items():
        line = rows[rows["network"].isin([network, "whole"])].sort_values("remaining")
        ax.fill_between(
            line["remaining"], line["low"], line["high"], color=colour, alpha=0.2, linewidth=0
        )
        ax.plot(line["remaining"], line["median"], color=colour, clip_on=False)
        ends.append((line["median"].iloc[0], name, colour))
    taken = -100.0
    apart = 0.062 * (ax.get_ylim()[1] - ax.get_ylim()[0])
    for y, name, colour in sorted(ends):
        half = apart * (1 + name.count("\n")) / 2
        y = max(y, taken + half)
        taken = y + half
        ax.text(
            1.03, y, name, transform=ax.get_yaxis_transform(), color=colour, fontsize=7.5,
            va="center", linespacing=1,
        )  # fmt: skip
