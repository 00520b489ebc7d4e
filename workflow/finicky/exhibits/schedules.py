"""Figure F27: the schedules of the learning rate, and what each is worth."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from finicky.exhibits import style
from finicky.exhibits.phrases import span
from finicky.experiments.rate_schedules import CHAPTER
from finicky.labels import label, listed

FIGURES = {
    "F27": "Left: the four formulas, over a training. Middle: what each gains over a constant "
    "rate in a network of two layers, each from its own best highest rate; a dot is a seed, the "
    "bar the median, and the band is ±0.5 points. Right: the share of seeds that diverge, or end "
    "without having learned, in ten layers at one rate, from the start and after warming up to it.",
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
    fig, axes = style.panels(
        [1.15, 1.15], columns=3, left=0.4, right=0.2, between=(0.6, 0.45), top=0.65
    )
    (shapes, gains), failures = (_whole(fig, axes[:, column]) for column in (0, 1)), axes[:, 2]
    handles = [Line2D([], [], color=colour, label=name) for name, colour in colours.items()]
    fig.legend(handles=handles, ncols=4, loc="upper left", fontsize=8, borderaxespad=0.3)
    shapes.set_title("Rate over the highest", fontsize=8.5)
    for name, colour in colours.items():
        rows = data[(data["quantity"] == "rate") & (data["schedule"] == name)]
        shapes.plot(rows["step"] / 1000, rows["median"], color=colour)
    shapes.set(xlabel="share of the steps", xlim=(0, 1), ylim=(0, 1.05))
    shapes.set_yticks([0, 0.5, 1])

    style.expected(gains, "Gain over a constant rate (pp)", "above 0")
    gains.axhspan(-0.5, 0.5, color=style.INK, alpha=0.08, linewidth=0)
    gains.axhline(0, color=style.INK, linewidth=0.8)
    for place, (name, colour) in enumerate(colours.items()):
        _seeds(gains, place, table[table["schedule"] == name], "schedule_gain", colour)
    gains.set_xticks([])
    gains.set_xlabel("filled: MNIST, open: Fashion-MNIST")
    for ax, dataset in zip(failures, FILLINGS, strict=True):
        rows = table[(table["quantity"] == "diverged") & (table["dataset"] == dataset)]
        _failures(ax, rows, dataset)
    failures[0].set_xticklabels([])
    failures[1].set_xlabel("rate, momentum 0.9, 10 layers")
    seeds = style.seeds_said(data[data["quantity"] != "rate"])
    style.note(fig, f"dots: {seeds}; bars: medians")
    medians = data[data["quantity"] == "schedule_gain"].groupby("dataset")["median"]
    said = listed(f"{span(of, 'points', 1)} on {label(name)}" for name, of in medians)
    fig.set_label(
        f"Against a constant rate, four schedules gain {said} in test accuracy, each from its own "
        "best highest rate."
    )
    return fig, data


def _whole(fig, column):
    """One pair of axes in the place of a column of two."""
    above, below = (ax.get_position() for ax in column)
    for ax in column:
        ax.remove()
    return fig.add_axes((below.x0, below.y0, below.width, above.y1 - below.y0))


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


def _failures(ax, runs, dataset):
    """Share of the seeds (%) that diverge at each rate, from the start and with warm-up."""
    ax.set_title(f"{label(dataset)}: diverge (%)", fontsize=8.5)
    rates = sorted(set(runs["learning_rate"]))
    ends = []
    for schedule, said, colour in (
        ("constant", "from the start", style.GREY), ("warm-up", "warmed up", style.VERMILLION),
    ):  # fmt: skip
        shares = 100 * runs[runs["schedule"] == schedule].groupby("learning_rate")["value"].mean()
        x = [rates.index(rate) for rate in shares.index]
        dashed = schedule == "constant"
        ax.plot(
            x, shares, color=colour, clip_on=False, marker="s" if dashed else "o",
            linestyle=style.DASHES if dashed else "-",
            markerfacecolor="none" if dashed else colour,
        )  # fmt: skip
        ends.append((said, colour, dashed))
    for place, (said, colour, dashed) in enumerate(ends):
        style.name(
            ax, said, (0.03, 0.92 - 0.17 * place), colour, "s" if dashed else "o",
            within="axes fraction", dashed=dashed, hollow=dashed, size=7.5,
        )  # fmt: skip
    ax.set(ylim=(0, 105), yticks=[0, 50, 100])
    ax.set_xticks(range(len(rates)), [f"{rate:g}" for rate in rates])
