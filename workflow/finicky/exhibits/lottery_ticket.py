"""Lottery tickets: the figure of accuracies by the share of weights that is left."""

import pandas as pd
from matplotlib.figure import Figure

from finicky.exhibits import style
from finicky.exhibits.phrases import span
from finicky.labels import label

FIGURES = {
    "F08": "Test accuracy by the share of weights that is left. Tickets keep the weights that are "
    "largest after training, set back to where they started; beside them the same mask over new "
    "weights, and as many of the old weights chosen at random. Dashed: the whole network, with a "
    "band of ±1 point. The chapter expects tickets to stay in it, and what has new weights to "
    "leave it.",
}
# sparse network: its colour, and its name at the end of its line
DRAWN = {
    "ticket": (style.BLUE, "ticket"),
    "new weights": (style.VERMILLION, "its mask, new weights"),
    "random mask": (style.GREY, "random mask"),
}


def f08(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """F08: accuracy by the share of weights that is left, one panel per data set."""
    rows = table[table["quantity"] == "accuracy"]
    data = style.summary(rows, ["dataset", "network", "remaining"])
    fig, axes = style.panels([2.6], columns=2, left=0.5, right=1.5, between=(1.85, 0))
    by_dataset = sorted(data.groupby("dataset"), reverse=True)
    for ax, (name, rows) in zip(axes[0], by_dataset, strict=True):
        draw_accuracies(ax, rows)
        ax.set_title(f"{label(name)}: test accuracy (%)")
    style.footer(fig, data)
    down_to = {network: span(_holds_down_to(data, network), "%") for network in DRAWN}
    fig.set_label(
        "Winning tickets stay within a point of the whole network's accuracy down to "
        f"{down_to['ticket']} of its weights, their masks over new weights down to "
        f"{down_to['new weights']}, random masks down to {down_to['random mask']}."
    )
    return fig, data


def _holds_down_to(data, network):
    """For each data set the least share of weights (%) down to which a sparse network stays within
    a point of the whole one; 100 if nowhere."""
    for _, rows in data.groupby("dataset"):
        whole = rows.loc[rows["network"] == "whole", "median"].iloc[0]
        mine = rows[rows["network"] == network].sort_values("remaining", ascending=False)
        held = (mine["median"] >= whole - 1).cumprod().astype(bool)
        yield mine.loc[held, "remaining"].min() if held.any() else 100.0


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
        ends.append((shares[0], line["median"].iloc[0], name, colour))
    style.name_ends(ax, ends)
