"""Figure F18: what a step meets, and which learning rates work, with and without batch norm."""

import itertools

import pandas as pd
from matplotlib.lines import Line2D

from finicky.exhibits import style
from finicky.exhibits.covariate_shift import trained_for
from finicky.exhibits.phrases import of_all, span
from finicky.labels import in_order, label, listed

FIGURES = {
    "F18": "Plain gradient descent, by learning rate. Left: range of the loss from a half to four "
    "steps along the gradient. Middle: cosine between the gradients there and the one of the "
    "step; 1 would be a gradient that stays. Both for networks that learn, 20 % accuracy and more. "
    "Right: test accuracy after the training, whose right end shows the largest rates. The chapter "
    "expects batch norm to lie lower on the left, higher in the middle, and to reach further on "
    "the right.",
}
COLUMNS = {  # quantity: title, the chapter's expectation
    "loss_range": ("Range of the loss (nats)", "lower with batch norm"),
    "cosine": ("Cosine of the gradients", "higher with batch norm"),
    "accuracy": ("Test accuracy (%)", "further right with it"),
}
LEARNS = 20  # % of test accuracy
REACHED = 80  # % of test accuracy, by the largest rate that the title compares


def f18(table: pd.DataFrame):
    """Figure F18 and the data behind it: of the first data set."""
    table = table[table["dataset"] == in_order(table["dataset"])[0]]
    shown = table[table["quantity"].isin(COLUMNS) & table["learning_rate"].notna()]
    shown = shown[shown["optimizer"] == "sgd"]
    cell = ["activation", "depth", "block", "learning_rate"]
    data = style.summary(shown, ["quantity", *cell])
    accuracy = data[data["quantity"] == "accuracy"].set_index(cell)["median"]
    learns = accuracy.loc[pd.MultiIndex.from_frame(data[cell])].to_numpy() >= LEARNS
    data = data[learns | (data["quantity"] == "accuracy")]
    networks = list(itertools.product(sorted(set(data["depth"])), in_order(data["activation"])))
    fig, axes = style.panels(
        [1.2] * len(networks), columns=3, left=0.55, right=0.15, top=0.78, between=(0.45, 0.35)
    )
    for row, (depth, activation) in zip(axes, networks, strict=True):
        mine = data[(data["depth"] == depth) & (data["activation"] == activation)]
        for ax, quantity in zip(row, COLUMNS, strict=True):
            _by_rate(ax, data, mine[mine["quantity"] == quantity], quantity)
        row[0].set_ylabel(f"{label(activation)}, {depth} layers", weight="bold")
    for ax, (title, expected) in zip(axes[0], COLUMNS.values(), strict=True):
        style.expected(ax, title, expected)
    handles = [
        Line2D([], [], color=colour, marker=marker, label=label(block))
        for block in ("plain", "batch_norm")
        for colour, marker in [style.level_style(block)]
    ]
    fig.legend(handles=handles, ncols=2, loc="upper left", fontsize=8, borderaxespad=0.3)
    for ax in axes[-1]:
        ax.set_xlabel("learning rate")
    style.footer(fig, data)
    fig.text(0.985, 0.08 / fig.get_figheight(), trained_for(table), fontsize=8, ha="right",
             va="baseline")  # fmt: skip
    fig.set_label(_finding(table[table["optimizer"] == "sgd"], data))
    return fig, data


def _finding(table, data):
    """How much further batch norm reaches, over the networks that are drawn; those that reach the
    accuracy at no rate, with it or without, have no largest one."""
    reached = table[(table["quantity"] == "largest_rate") & (table["reached"] == REACHED)]
    reached = reached.groupby(["depth", "activation", "block"])["value"].median().unstack()
    best = data[data["quantity"] == "accuracy"]
    best = best.groupby(["depth", "activation", "block"])["median"].max().unstack()
    times = 10 ** (reached["batch_norm"] - reached["plain"])[(best >= REACHED).any(axis=1)].dropna()
    never = [f"{label(a)} with {d} layers" for d, a in reached.index.difference(times.index)]
    return (
        "The largest learning rate of plain gradient descent that reaches "
        f"{REACHED} % accuracy is {span(times)} times as large with batch norm as without, larger "
        f"in {of_all(times > 1, 'networks')}"
        + (f"; no rate gets there for {listed(never)}." if never else ".")
    )


def _by_rate(ax, data, rows, quantity):
    """A line for each block; the axes are those of all networks."""
    every = data[data["quantity"] == quantity]
    rates, powers = data["learning_rate"], [10.0**power for power in range(-6, 5)]
    style.log_axis(ax, "x", 0.7 * rates.min(), 1.4 * rates.max(), powers)
    if quantity == "loss_range":
        style.log_axis(ax, "y", 0.6 * every["low"].min(), 1.6 * every["high"].max(), powers)
    elif quantity == "cosine":
        ax.set_ylim(min(-0.3, every["low"].min() - 0.05), 1.02)
        ax.axhline(0, color=style.INK, linewidth=0.6)
    else:
        ax.set_ylim(0, 100)
    for block, of_block in rows.groupby("block"):
        style.line(ax, of_block, "learning_rate", block)
