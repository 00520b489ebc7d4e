"""Figure F31: dead units by learning rate, start and activation."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from finicky.exhibits import style
from finicky.exhibits.phrases import span
from finicky.labels import in_order, label, listed

FIGURES = {
    "F31": "Hidden units whose input is positive for no training image, after training, by "
    "learning rate; the lowest rate is the recommended one (SGD: 0.01), lines are starts. Left: "
    "ReLU, where such a unit is dead. Right: leaky ReLU, where it still gets a hundredth of the "
    "gradient. Before training, a random start of any scale has the share at the dotted line. "
    "At a rate where the loss of a start became NaN, its name stands in place of a point.",
}
ACTIVATIONS = {  # what is counted, and what the chapter says of it
    "relu": ("dead ReLUs", "rises; low from He, Xavier"),
    "leaky_relu": ("never positive, leaky ReLU", "low"),
}


def f31(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """F31, of the first data set and the deepest networks, and the medians and ranges behind it."""
    table = table[table["dataset"] == table["dataset"].iloc[0]]
    dead = table[table["quantity"].isin(["dead", "dead_at_start"])]
    depth = int(dead["depth"].max())
    dead = dead[dead["depth"] == depth]
    start = dead[(dead["quantity"] == "dead_at_start") & dead["init"].isna()]["value"].median()
    by = ["activation", "init", "optimizer", "learning_rate"]
    rows = dead[dead["quantity"] == "dead"]
    counted = rows.groupby(by)["value"].transform(lambda values: values.notna().all())
    data = style.summary(rows[counted], by)
    lost = rows[~counted].drop_duplicates(by)
    optimizers = [name for name in ("sgd", "adam") if name in set(data["optimizer"])]
    fig, axes = style.panels(
        [2.0] * len(optimizers), columns=2, left=0.5, right=1.1, between=(1.45, 0.9), top=0.5
    )
    for row, optimizer in enumerate(optimizers):
        for column, (activation, (name, chapter)) in enumerate(ACTIVATIONS.items()):
            mine, without = (
                of[(of["optimizer"] == optimizer) & (of["activation"] == activation)]
                for of in (data, lost)
            )
            rates = sorted(set(data[data["optimizer"] == optimizer]["learning_rate"]))
            _panel(axes[row, column], mine, without, rates, start)
            style.expected(axes[row, column], f"{label(optimizer)}: {name} (%)", chapter)
    style.footer(fig, data)
    style.note(fig, f"{depth} layers, {style.trained_on(table)}")
    fig.set_label(_finding(data, depth))
    return fig, data


def _finding(data, depth):
    """Dead ReLUs with He and Xavier initialisation at the lowest and the highest rates, by
    optimizer."""
    good = data[(data["activation"] == "relu") & data["init"].isin(["he", "xavier"])]
    said = []
    for optimizer, rows in good.groupby("optimizer"):
        at = rows.groupby("learning_rate")["median"]
        low, high = (span(at.get_group(end), places=0) for end in (min(at.groups), max(at.groups)))
        said.append(
            f"{low} % at {label(min(at.groups))} and {high} % at {label(max(at.groups))} "
            f"({label(optimizer)})"
        )
    return (
        f"In {depth} layers started by He or Xavier, the share of dead ReLUs after training is "
        f"{listed(said)}."
    )


def _panel(ax, data, without, rates, start):
    """A line for each start, by learning rate; the starts `without` a point are named."""
    style.log_axis(ax, "x", rates[0] / 1.9, rates[-1] * 1.9, rates)
    ax.set_ylim(-3, 103)
    ax.axhline(start, color=style.INK, linestyle=":", linewidth=0.9)
    for init, rows in data.groupby("init"):
        style.line(ax, rows, "learning_rate", init)
    style.label_ends(ax, data, "learning_rate", "init")
    for rate, rows in without.groupby("learning_rate"):
        taken = np.sort([0, 100, *data.loc[data["learning_rate"] == rate, "median"]])
        widest = np.diff(taken).argmax()
        names = "\n".join(label(init) for init in in_order(rows["init"]))
        ax.text(rate, taken[widest : widest + 2].mean(), f"NaN:\n{names}", fontsize=7.5,
                ha="center", va="center")  # fmt: skip
    ax.set_xlabel("learning rate")
