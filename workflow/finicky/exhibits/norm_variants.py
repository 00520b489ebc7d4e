"""Figure F19 and table T05: four normalisations and none by batch size."""

import pandas as pd
from matplotlib.figure import Figure

from finicky.exhibits import style
from finicky.exhibits.phrases import of_all
from finicky.exhibits.tables import Body, Cell, Column, Row, Table, measured_cell, with_digits
from finicky.labels import in_order, label, listed
from finicky.numbers import number

FIGURES = {
    "F19": "Test accuracy by batch size, on a scale spaced by the error that is left: a fully "
    "connected network with two hidden layers and a convolutional one with two, all on the same "
    "images, halved to 14 × 14 pixels. Above, each arm at its own best learning rate; below, Adam "
    "at 0.001, the chapter's. Shaded: where the chapter advises against batch norm, and where it "
    "recommends it.",
}
TABLES = {
    "T05": "What the chapter says of four normalisations, and the test accuracy (%) by batch size, "
    "each at its own best learning rate.",
}
NORMALISATIONS = {  # what the chapter's table says: over what, best for what
    "batch norm": ("across the batch", "large batches, CNNs, fully connected"),
    "layer norm": ("across features", "transformers, RNNs, small batches"),
    "instance norm": ("per instance and channel", "style transfer, GANs"),
    "group norm": ("across groups of channels", "small batches, object detection"),
    "none": ("", ""),
}
NETWORKS = ["fully connected", "convolutional"]
RATES = {"own best": "own best rates", "chapter": "Adam at 0.001"}
SMALL, LARGE = 8, 32  # the chapter's limits: below, above
IN_THE_TABLE = [1, 4, 16, 64, 256]  # batch sizes; the figure has all


def f19(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """F19, of the first data set and optimizer, and the medians and ranges behind it."""
    data = style.summary(accuracies(table), ["rate", "network", "normalisation", "batch_size"])
    sizes = sorted(set(data["batch_size"]))
    fig, axes = style.panels(
        [2.2, 2.2], columns=2, left=0.6, right=1.15, between=(1.25, 0.6), bottom=0.75
    )
    for row, (rate, words) in zip(axes, RATES.items(), strict=True):
        for ax, network in zip(row, NETWORKS, strict=True):
            here = data[(data["rate"] == rate) & (data["network"] == network)]
            style.accuracy_axis(ax, "y", max(94, data["high"].max()))
            style.log_axis(ax, "x", sizes[0] / 1.3, sizes[-1] * 1.3, sizes)
            _advice(ax, sizes, named=rate == "own best")
            for name, mine in here.groupby("normalisation"):
                style.line(ax, mine, "batch_size", name)
            style.label_ends(ax, here, "batch_size", "normalisation")
            ax.set_title(f"{label(network).capitalize()}, {words}", fontsize=8.5)
    for ax in axes[1]:
        ax.set_xlabel("images in a batch")
    for ax in axes[:, 0]:
        ax.set_ylabel("test accuracy (%)")
    style.footer(fig, data)
    style.note(fig, style.trained_on(table))
    fig.set_label(_finding(data))
    return fig, data


def accuracies(table):
    """The rows of test accuracy of the first data set and of Adam."""
    rows = table[table["quantity"] == "test_accuracy"]
    rows = rows[rows["dataset"] == in_order(rows["dataset"])[0]]
    return rows[rows["optimizer"] == "adam"]


def _advice(ax, sizes, named):
    """The chapter's advice on batch norm as shaded ranges."""
    for low, high, words, side in (
        (sizes[0] / 1.3, SMALL, "chapter:\nno batch norm", "left"),
        (LARGE, sizes[-1] * 1.3, "chapter:\nbatch norm", "right"),
    ):
        ax.axvspan(low, high, color=style.CHAPTER, alpha=0.07, linewidth=0)
        if named:
            at = low * 1.06 if side == "left" else high / 1.06
            ax.text(at, 0.98, words, transform=ax.get_xaxis_transform(), fontsize=7.5, ha=side,
                    va="top", color=style.CHAPTER)  # fmt: skip


def _finding(data):
    """Below which batch size batch norm falls behind, and by how much at the smallest."""
    own = data[data["rate"] == "own best"]
    said = []
    for network in NETWORKS:
        by = own[own["network"] == network]
        by = by.pivot(index="batch_size", columns="normalisation", values="median")
        ahead = by.idxmax(axis=1) == "batch norm"
        others = by.drop(columns="batch norm")
        where = (
            f"best in {of_all(ahead, 'batch sizes')}" if ahead.any() else "best at no batch size"
        )
        behind = others.iloc[0].max() - by["batch norm"].iloc[0]
        said.append(
            f"{where} of {network} networks, {number(behind, 1)} points behind another at batches "
            f"of {by.index[0]}"
        )
    return f"Batch norm is {'; it is '.join(said)}."


def t05(table: pd.DataFrame, ledger: dict) -> Table:
    """T05: a row for each normalisation and network, a column for some of the batch sizes."""
    rows = accuracies(table)
    own = rows[rows["rate"] == "own best"]
    sizes = sorted(set(own["batch_size"]))
    shown = [size for size in sizes if size in IN_THE_TABLE]
    medians = own.groupby(["network", "batch_size", "normalisation"])["value"].median()
    bodies = []
    for network in NETWORKS:
        lines = []
        for name, said in NORMALISATIONS.items():
            here = own[(own["network"] == network) & (own["normalisation"] == name)]
            if here.empty:
                continue
            best = [s for s in sizes if medians[network, s].idxmax() == name]
            cells = [measured_cell(here, batch_size=size) for size in shown]
            ahead = Cell(text=", ".join(label(int(size)) for size in best) or "nowhere")
            lines.append(Row([label(name)], [*(Cell(text=text) for text in said), *cells, ahead]))
        bodies.append(Body(label(network), lines))
    columns = [
        Column("normalises", "chapter"),
        Column("best for", "chapter"),
        *(Column(label(int(size)), "measured") for size in shown),
        Column("highest at", "measured", "size"),
    ]
    groups = [("Chapter", 2), ("Images in a batch", len(shown)), ("", 1)]
    ranks = medians.groupby(level=["network", "batch_size"]).idxmax().map(lambda cell: cell[-1])
    wins = ranks.value_counts()
    first, *others = (f"{name}{{}} in {wins[name]}" for name in in_order(wins.index))
    said = listed([first.format(" has the highest accuracy"), *(one.format("") for one in others)])
    finding = f"Of {len(ranks)} pairs of network and batch size, {said}."
    every = listed([label(int(size)) for size in sizes])
    notes = [_budget(table), f"Highest at: of all batch sizes measured, {every}."]
    return with_digits(["Method"], groups, columns, bodies, notes, finding=finding)


def _budget(table):
    """How long was trained, in words."""
    return (
        f"Every network was {style.trained_on(table)}, so larger batches mean fewer updates: "
        "compare down a column. One unit of a fully connected layer has no places to normalise "
        "over, so there is no instance norm. The rate is chosen by the other seeds on held-out "
        "images."
    )
