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
    "seed, the bar the median, and the band is ±0.5 points. Right: what warming up to a rate and "
    "staying there gains over that rate from the start, in ten layers.",
}


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
                ("warm_up_gain", ["dataset", "learning_rate"]),
            )
        ],
        ignore_index=True,
    )
    fig, axes = style.panels([2.5], columns=3, left=0.4, right=0.2, between=(0.6, 0))
    shapes, gains, warm = axes[0]
    shapes.set_title("Rate over the highest", fontsize=8.5)
    for name, colour in colours.items():
        rows = data[(data["quantity"] == "rate") & (data["schedule"] == name)]
        shapes.plot(rows["step"] / 1000, rows["median"], color=colour, label=name)
    shapes.legend(loc="upper right", fontsize=7, handlelength=1.4, borderpad=0)
    shapes.set(xlabel="share of the steps", xlim=(0, 1), ylim=(0, 1.45))
    shapes.set_yticks([0, 0.5, 1])

    gains.set_title("Gain over a constant rate (pp)", fontsize=8.5)
    warm.set_title("Gain of warm-up (pp)", fontsize=8.5)
    for ax in (gains, warm):
        ax.axhspan(-0.5, 0.5, color=style.INK, alpha=0.08, linewidth=0)
        ax.axhline(0, color=style.INK, linewidth=0.8)
    for place, (name, colour) in enumerate(colours.items()):
        _seeds(gains, place, table[table["schedule"] == name], "schedule_gain", colour)
    gains.set_xticks(range(len(colours)), [n.replace(" + ", "\n+ ") for n in colours])
    gains.tick_params(axis="x", labelsize=7)
    rates = sorted(set(data.loc[data["quantity"] == "warm_up_gain", "learning_rate"]))
    for place, rate in enumerate(rates):
        of_rate = table[table["learning_rate"] == rate]
        _seeds(warm, place, of_rate, "warm_up_gain", style.VERMILLION)
    warm.set_xticks(range(len(rates)), [f"{rate:g}" for rate in rates])
    warm.set_xlabel("rate, momentum 0.9, 10 layers")
    fig.text(
        0.01,
        0.02,
        "dots: "
        + style.seeds_said(data[data["quantity"] != "rate"])
        + " each; filled: MNIST, open: Fashion-MNIST; bars: medians",
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
    for shift, (dataset, filling) in zip(
        (-0.17, 0.17), (("mnist", colour), ("fashion_mnist", "none")), strict=True
    ):
        values = table.loc[(table["quantity"] == quantity) & (table["dataset"] == dataset), "value"]
        x = place + shift
        ax.plot(
            np.full(len(values), x), values, "o", color=colour, markersize=3.5,
            markerfacecolor=filling,
        )  # fmt: skip
        ax.plot([x - 0.15, x + 0.15], [values.median()] * 2, color=colour, linewidth=1.6)
