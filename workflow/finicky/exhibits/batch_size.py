"""Figure F29 and table T10: what the size of a batch changes."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from finicky.exhibits import style
from finicky.exhibits.tables import Body, Cell, Column, Row, Table, measured_cell, with_digits
from finicky.experiments.identities import variance_law
from finicky.labels import label

FIGURES = {
    "F29": "By batch size, the rightmost being the full batch. Gradient: measured noise and the "
    "laws with and without replacement. Time: to the same training loss, each size at its fastest "
    "rate. Sharpness and gap: where that loss is reached, at equal rates (solid, the same "
    "colours in both) and at each size's own best rate (dashed).",
}
TABLES = {
    "T10": "The chapter's words, and what was measured: medians over the seeds, with their "
    "intervals in brackets.",
}


def f29(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """F29, and the medians and ranges behind it."""

    def of(quantity, *by):
        rows = table[table["quantity"] == quantity]
        return style.summary(rows, ["batch_size", *by]).assign(quantity=quantity)

    data = pd.concat(
        [
            *(of(q) for q in ("gradient_noise", "time_to_loss", "tuned_sharpness", "tuned_gap")),
            of("sharpness", "learning_rate"),
            of("gap", "learning_rate", "metric"),
        ],
        ignore_index=True,
    )
    data = data[data["metric"].isna() | (data["metric"] == "error")]
    data = data[data["n"] == data["n"].max()]  # rates at which every seed reached the loss
    fig, axes = style.panels(
        [2.1, 2.1], columns=2, left=0.55, right=0.95, between=(1.2, 0.75), bottom=0.75
    )
    (gradient, seconds), (sharp, gap) = axes
    _noise(gradient, data[data["quantity"] == "gradient_noise"])
    _time(seconds, data[data["quantity"] == "time_to_loss"])
    _by_rate(sharp, data, "sharpness", "tuned_sharpness")
    _by_rate(gap, data, "gap", "tuned_gap")
    gradient.set_title("Noise of the gradient (%)")
    seconds.set_title("Time to the loss (ms)")
    sharp.set_title("Sharpness at the loss, by rate")
    gap.set_title("Test minus training error (pp)")
    for ax in axes.flat:
        sizes = sorted(set(data["batch_size"]))
        low = 0.3 if ax is sharp else 0.75  # space for the names of the lines
        style.log_axis(ax, "x", low * sizes[0], 1.35 * sizes[-1], sizes)
    for ax in axes[1]:
        ax.set_xlabel("images in a batch")
    style.footer(fig, data, {"solid": "one rate for all", "dashed": "own best rate"})
    medians = data[data["quantity"] == "tuned_sharpness"].set_index("batch_size")["median"]
    fig.set_label(
        "Noise, time to a loss, sharpness and gap by batch size. Median sharpness at each size's "
        "own best rate: "
        + ", ".join(f"{value:.0f} at {size}" for size, value in medians.items())
        + "."
    )
    return fig, data


def _band(ax, rows, colour, dashed=False, band=True):
    """Medians, and unless `band` is False the range of the seeds, by batch size."""
    x = rows["batch_size"].astype(float)
    if band:
        ax.fill_between(x, rows["low"], rows["high"], color=colour, alpha=0.2, linewidth=0)
    marker = {"marker": "s", "linestyle": style.DASHES} if dashed else {"marker": "o"}
    ax.plot(x, rows["median"], color=colour, **marker)


def _noise(ax, rows):
    """Measured noise and both laws, which meet the first point."""
    rows = rows.sort_values("batch_size")
    full = int(rows["batch_size"].max())
    sizes = np.geomspace(rows["batch_size"].min(), full, 200)
    first = rows.iloc[0]
    one = first["median"] / np.sqrt(variance_law(1, first["batch_size"], full))
    law = {"color": style.INK, "linewidth": 0.9}
    ax.plot(sizes, one * np.sqrt(variance_law(1, sizes, full)), **law)
    ax.plot(sizes, one / np.sqrt(sizes), linestyle=style.DASHES, **law)
    ax.text(1.02 * full, one / np.sqrt(full), " chapter:\n 1/√B", va="center", fontsize=8)
    ax.text(0.5 * full, 0.055 * first["median"], "drawn without\nreplacement", ha="right",
            fontsize=8)  # fmt: skip
    seen = rows[rows["median"] > 0]
    style.log_axis(ax, "y", 0.04 * first["median"], 1.6 * first["high"])
    _band(ax, seen, style.BLUE)


def _time(ax, rows):
    style.log_axis(ax, "y", 0.7 * rows["low"].min(), 1.4 * rows["high"].max())
    _band(ax, rows.sort_values("batch_size"), style.BLUE)
    ax.text(0.02, 0.98, "chapter: rises", transform=ax.transAxes, fontsize=8, va="top")


def _by_rate(ax, data, quantity, tuned):
    """A line for each learning rate, and dashed the own best rates. Sharpness names the lines at
    their first points; the gaps lie too close for names and bands."""
    rows = data[data["quantity"] == quantity].sort_values("batch_size")
    colours = [style.SAGE, style.BLUE, style.PLUM, style.VERMILLION, style.OLIVE]
    named = quantity == "sharpness"
    if named:
        style.log_axis(ax, "y", 0.7 * rows["low"].min(), 1.6 * rows["high"].max())
    for colour, (rate, mine) in zip(colours, rows.groupby("learning_rate"), strict=False):
        _band(ax, mine, colour, band=named)
        if named:
            first = mine.iloc[0]
            ax.text(0.87 * first["batch_size"], first["median"], f"{rate:g}", color=colour,
                    fontsize=8, ha="right", va="center")  # fmt: skip
    _band(ax, data[data["quantity"] == tuned].sort_values("batch_size"), style.INK, dashed=True)
    if not named:
        low, high = ax.get_ylim()
        ax.set_ylim(low, high + 0.12 * (high - low))  # space for the chapter's word
    ax.text(0.98, 0.98, "chapter: rises", transform=ax.transAxes, fontsize=8, va="top", ha="right")


def t10(table: pd.DataFrame, ledger: dict) -> Table:
    """T10: a row for each batch size, below the chapter's words on small and full batches."""
    quantities = {  # quantity: the measured column, what the chapter says of small and full batches
        "gradient_noise": ("gradient noise, %", "noisy", "exact"),
        "time_to_loss": ("time to the loss, ms", "fast", "slow"),
        "epochs_to_loss": ("epochs to the loss", "", ""),
        "memory": ("memory, KiB", "", "memory intensive"),
        "tuned_sharpness": ("sharpness", "flat minimum", "sharp minimum"),
        "tuned_gap": ("test minus training error, pp", "", ""),
    }
    sizes = sorted(set(table["batch_size"].dropna()))
    rows = []
    for side, batch in ((1, "mini-batch"), (2, "full batch")):
        cells = [Cell(text=words[side]) for words in quantities.values()]
        rows.append(Row([batch, "chapter"], cells))
    for size in sizes:
        name = label(int(size)) + (" (full)" if size == sizes[-1] else "")
        cells = {q: measured_cell(table, quantity=q, batch_size=size) for q in quantities}
        cells["memory"] = replace(cells["memory"], low=math.nan, high=math.nan)  # it is counted
        rows.append(Row([name, "measured"], list(cells.values())))
    columns = [Column(words[0], "measured", name) for name, words in quantities.items()]
    notes = [
        "All runs end at the same training loss. Time and epochs at the rate that gets there in "
        "the fewest steps, sharpness (largest eigenvalue of the Hessian) and error at the rate "
        "with the best validation accuracy, both chosen by the other seeds. Memory: what a batch "
        "adds to the network."
    ]
    return with_digits(["Batch", ""], [("", len(columns))], columns, [Body("", rows)], notes)
