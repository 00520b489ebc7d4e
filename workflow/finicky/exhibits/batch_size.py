"""Figure F29 and table T10: what the size of a batch changes."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from finicky.exhibits import style
from finicky.exhibits.phrases import compared
from finicky.exhibits.tables import Body, Cell, Column, Row, Table, measured_cell, with_digits
from finicky.experiments.identities import variance_law
from finicky.labels import label
from finicky.numbers import significant

FIGURES = {
    "F29": "By batch size, the rightmost being the full batch. Gradient: measured noise (blue) and "
    "the law of batches drawn without replacement. Time: to the same training loss, each size at "
    "its fastest rate. Sharpness (largest eigenvalue of the Hessian) and gap: where that loss is "
    "reached, at each size's own best rate (blue) and at one rate for all (grey, a line for each).",
}
TABLES = {
    "T10": "The chapter's words, and what was measured.",
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
        [2.1, 2.1], columns=2, left=0.55, right=0.95, between=(1.2, 0.95), bottom=0.75, top=0.5
    )
    (gradient, seconds), (sharp, gap) = axes
    _noise(gradient, data[data["quantity"] == "gradient_noise"])
    _time(seconds, data[data["quantity"] == "time_to_loss"])
    ends = {
        sharp: _by_rate(sharp, data, "sharpness", "tuned_sharpness"),
        gap: _by_rate(gap, data, "gap", "tuned_gap"),
    }
    for ax, title, said in (
        (gradient, "Noise of the gradient (%)", "falls like 1/√B"),
        (seconds, "Time to the loss (ms)", "rises with the batch"),
        (sharp, "Sharpness where the loss is reached", "rises with the batch"),
        (gap, "Test minus training error (pp)", "rises with the batch"),
    ):
        style.expected(ax, title, said)
        sizes = sorted(set(data["batch_size"]))
        style.log_axis(ax, "x", 0.75 * sizes[0], 1.35 * sizes[-1], sizes)
    for ax in axes[1]:
        ax.set_xlabel("images in a batch")
        style.name_ends(ax, ends[ax])
    style.footer(fig, data)
    style.note(fig, "blue: own best rate; grey: one rate for all sizes")
    fig.set_label(_finding(data))
    return fig, data


def _finding(data):
    """How the full batch compares with the smallest in sharpness and in time."""
    (small, full), (fast, slow) = (
        data[data["quantity"] == quantity].sort_values("batch_size").iloc[[0, -1]].itertuples()
        for quantity in ("tuned_sharpness", "time_to_loss")
    )
    words = "less sharp than", "as sharp as", "sharper than"
    return (
        f"Trained to one loss, each at its best rate, the full batch ends "
        f"{compared(full, small, words)} batches of {small.batch_size} (largest curvature "
        f"{significant(full.median, 2)} and {significant(small.median, 2)}) and takes "
        f"{significant(slow.median / fast.median, 2)} times as long."
    )


def _band(ax, rows, colour):
    """Medians and range of the seeds by batch size."""
    x = rows["batch_size"].astype(float)
    ax.fill_between(x, rows["low"], rows["high"], color=colour, alpha=0.2, linewidth=0)
    ax.plot(x, rows["median"], color=colour, marker="o")


def _noise(ax, rows):
    """Measured noise and both laws, which meet the first point."""
    rows = rows.sort_values("batch_size")
    full = int(rows["batch_size"].max())
    sizes = np.geomspace(rows["batch_size"].min(), full, 200)
    first = rows.iloc[0]
    one = first["median"] / np.sqrt(variance_law(1, first["batch_size"], full))
    law = {"color": style.INK, "linewidth": 0.9}
    ax.plot(sizes, one * np.sqrt(variance_law(1, sizes, full)), **law)
    ax.plot(sizes, one / np.sqrt(sizes), **style.CHAPTER_LINE)
    ax.text(1.02 * full, one / np.sqrt(full), " chapter:\n 1/√B", va="center", fontsize=8,
            color=style.CHAPTER)  # fmt: skip
    ax.text(0.5 * full, 0.055 * first["median"], "drawn without\nreplacement", ha="right",
            fontsize=8)  # fmt: skip
    seen = rows[rows["median"] > 0]
    style.log_axis(ax, "y", 0.04 * first["median"], 1.6 * first["high"])
    _band(ax, seen, style.BLUE)


def _time(ax, rows):
    style.log_axis(ax, "y", 0.7 * rows["low"].min(), 1.4 * rows["high"].max())
    _band(ax, rows.sort_values("batch_size"), style.BLUE)


def _by_rate(ax, data, quantity, tuned):
    """The own best rates with their range, and grey a line for each learning rate; returns the ends
    of the lines with their names."""
    rows = data[data["quantity"] == quantity].sort_values("batch_size")
    best = data[data["quantity"] == tuned].sort_values("batch_size")
    if quantity == "sharpness":
        low, high = (pd.concat([rows, best])[end] for end in ("low", "high"))
        style.log_axis(ax, "y", 0.7 * low.min(), 1.6 * high.max())
    ends = []
    for rate, mine in rows.groupby("learning_rate"):
        if len(mine) == 1:
            continue
        ax.plot(mine["batch_size"].astype(float), mine["median"], color=style.GREY, linewidth=0.9)
        end = mine.iloc[-1]
        ends.append((float(end["batch_size"]), end["median"], f"rate {label(rate)}", style.GREY))
    _band(ax, best, style.BLUE)
    end = best.iloc[-1]
    ends.append((float(end["batch_size"]), end["median"], "own best", style.BLUE))
    return ends


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
        rows.append(Row([batch, "chapter"], cells, chapter=True))
    for size in sizes:
        name = label(int(size)) + (" (full)" if size == sizes[-1] else "")
        cells = {q: measured_cell(table, quantity=q, batch_size=size) for q in quantities}
        memory = cells["memory"].value  # is counted
        cells["memory"] = Cell(None if memory is None else float(round(memory)))
        rows.append(Row([name, "measured"], list(cells.values())))
    columns = [Column(words[0], "measured", name) for name, words in quantities.items()]
    notes = [
        "All runs end at the same training loss. Time and epochs at the rate that gets there in "
        "the fewest steps, sharpness (largest eigenvalue of the Hessian) and error at the rate "
        "with the best validation accuracy, both chosen by the other seeds. Memory: what a batch "
        "adds to the network."
    ]
    ends = zip(quantities, rows[2].cells, rows[-1].cells, strict=True)
    went = {
        quantity: " to ".join(significant(c.value, 2) for c in cells if c.value is not None)
        for quantity, *cells in ends
    }
    finding = (
        f"From batches of {rows[2].heads[0]} to the full batch the gradient's noise goes from "
        f"{went['gradient_noise']} %, the time to the same loss from {went['time_to_loss']} ms, "
        f"memory from {went['memory']} KiB, sharpness from {went['tuned_sharpness']}."
    )
    body = [Body("", rows)]
    return with_digits(["Batch", ""], [("", len(columns))], columns, body, notes, finding=finding)
