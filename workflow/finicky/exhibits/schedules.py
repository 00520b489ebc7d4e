"""Figure F27: the schedules of the learning rate, and what each is worth."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from finicky.exhibits import style
from finicky.experiments.rate_schedules import CHAPTER
from finicky.labels import label

FIGURES = {
    "F27": "Left: the four formulas, over a training. Middle: what each gains over a constant "
    "rate in a network of two layers, each from its own best highest rate; a dot is a "
    "seed, the bar the median, and the band is ±0.5 points. Right: the share of seeds that "
    "diverge, or end without having learned, in ten layers at one rate, from the start and after "
    "warming up to it.",
}
FILLINGS = {"mnist": True, "fashion_mnist": False}  # whether its dots are filled


def f27(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """F27, and the medians and ranges behind it."""
    colours = dict(
        zip(CHAPTER, [style.BLUE, style.SAGE, style.PLUM, style.VERMILLION], strict=True)
    )
    data = pd.concat(
        [
            style.summary(table[table["quantity"] == quantity], by).assign(quantity=quantity)
            for quantity, by in (
                ("rate", ["schedule", "step"]),
                ("schedule_gain", ["dataset", "schedule"]),
                ("diverged", ["dataset", "schedule", "learning_rate"]),
            )
        ],
        ignore_index=True,
    )
    fig, axes = style.panels([2.5], columns=3, left=0.4, right=0.2, between=(0.6, 0))
    shapes, gains, failures = axes[0]
    shapes.set_title("Rate over the highest", fontsize=8.5)
    for name, colour in colours.items():
        rows = data[(data["quantity"] == "rate") & (data["schedule"] == name)]
        shapes.plot(rows["step"] / 1000, rows["median"], color=colour, label=name)
    shapes.legend(loc="upper right", fontsize=7, handlelength=1.4, borderpad=0)
    shapes.set(xlabel="share of the steps", xlim=(0, 1), ylim=(0, 1.45))
    shapes.set_yticks([0, 0.5, 1])

    gains.set_title("Gain over a constant rate (pp)", fontsize=8.5)
    gains.axhspan(-0.5, 0.5, color=style.INK, alpha=0.08, linewidth=0)
    gains.axhline(0, color=style.INK, linewidth=0.8)
    for place, (name, colour) in enumerate(colours.items()):
        _seeds(gains, place, table[table["schedule"] == name], "schedule_gain", colour)
    gains.set_xticks(range(len(colours)), [n.replace(" + ", "\n+ ") for n in colours])
    gains.tick_params(axis="x", labelsize=7)
    _failures(failures, table[table["quantity"] == "diverged"])
    fig.text(
        0.01,
        0.02,
        "dots: "
        + style.seeds_said(data[data["quantity"] != "rate"])
        + "; filled: MNIST, open: Fashion-MNIST; bars: medians",
    )
    medians = data[data["quantity"] == "schedule_gain"]
    fig.set_label(
        "Four schedules. Median gain over a constant rate: "
        + ", ".join(
            f"{row.schedule} {row.median:.2f} points on {label(row.dataset)}"
            for row in medians.itertuples()
        )
        + "."
    )
    return fig, data


def _seeds(ax, place, table, quantity, colour):
    """The seeds' values as dots, their median as a bar: filled and left for MNIST."""
    for shift, (dataset, filled) in zip((-0.17, 0.17), FILLINGS.items(), strict=True):
        values = table.loc[(table["quantity"] == quantity) & (table["dataset"] == dataset), "value"]
        x = place + shift
        ax.plot(
            np.full(len(values), x), values, "o", color=colour, markersize=3.5,
            markerfacecolor=colour if filled else "none",
        )  # fmt: skip
        ax.plot([x - 0.15, x + 0.15], [values.median()] * 2, color=colour, linewidth=1.6)


def _failures(ax, runs):
    """Share of the seeds that diverge at each rate, with warm-up and without."""
    ax.set_title("Seeds that diverge (%)", fontsize=8.5)
    rates = sorted(set(runs["learning_rate"]))
    ways = (("constant", "from the start", style.PLUM), ("warm-up", "warmed up", style.VERMILLION))
    for schedule, name, colour in ways:
        for dataset, filled in FILLINGS.items():
            mine = runs[(runs["schedule"] == schedule) & (runs["dataset"] == dataset)]
            shares = 100 * mine.groupby("learning_rate")["value"].mean()
            ax.plot(
                [rates.index(rate) for rate in shares.index], shares, "o-", color=colour,
                markersize=4, linewidth=1, clip_on=False, label=name if dataset == "mnist" else "",
                markerfacecolor=colour if filled else "none",
            )  # fmt: skip
    ax.set(ylim=(0, 100), xlabel="rate, momentum 0.9, 10 layers")
    ax.set_xticks(range(len(rates)), [f"{rate:g}" for rate in rates])
    ax.legend(loc="upper left", fontsize=7, handlelength=1.4, borderpad=0)
