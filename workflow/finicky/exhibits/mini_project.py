"""F01 and T13, both from mini-project: four recipes, epoch by epoch, beside the chapter's log."""

from dataclasses import replace

import pandas as pd

from finicky.exhibits import style
from finicky.exhibits.tables import (
    Body,
    Cell,
    Column,
    Row,
    Table,
    chapter_numbers,
    measured_cell,
    with_digits,
)
from finicky.labels import in_order, label
from finicky.numbers import number

FIGURES = {
    "F01": "The chapter's own picture, with seeds: each line is the median, the band reaches from "
    "the lowest to the highest seed. Where the bands of two recipes do not touch, their order is "
    "no accident of the seed. Accuracies are spaced by the error that is left, so that recipes "
    "that work and recipes that fail fit on one axis.",
}
TABLES = {
    "T13": "Every number that the chapter's log prints, beside ours: for training, means over the "
    "epoch's batches as they came; for the test set, the value after the epoch.",
}
METRICS = {
    "running_loss": "Training loss, nats",
    "running_accuracy": "Training accuracy, %",
    "test_loss": "Test loss, nats",
    "test_accuracy": "Test accuracy, %",
}
PRINTED = {  # the recipes of which the chapter prints a log
    "correct": "He, ReLU, Adam 0.001",
    "zeros": "Zero weights",
    "rate_10": "SGD at rate 10",
    "sigmoid": "Xavier, sigmoid",
}
TOP_LOSS = 5.0  # nats, where the picture ends: twice the loss of a guess among ten classes


def f01(table: pd.DataFrame):
    """F01: accuracy and loss by epoch, a line for each recipe, training solid and test dashed.

    Returns (Figure, summary behind it), or None without runs.
    """
    logged = table[table["quantity"].isin(METRICS)]
    if logged.empty:
        return None
    data = style.summary(logged, ["recipe", "quantity", "epoch"])
    losses = data[data["quantity"].str.endswith("loss")]
    fig, axes = style.panels([3.2], columns=2, left=0.4, right=1.0, between=(1.4, 0))
    accuracy, loss = axes[0]
    accuracy.set_title("Accuracy (%), spaced by the error left")
    accuracies = data[data["quantity"].str.endswith("accuracy")]
    style.accuracy_axis(accuracy, "y", highest=accuracies["high"].max())
    loss.set_title("Loss (nats), log scale")
    style.log_axis(loss, "y", low=0.8 * min(0.5, losses["low"].min()), high=TOP_LOSS)

    for ax, metric in ((accuracy, "accuracy"), (loss, "loss")):
        ax.set_xticks(sorted(set(data["epoch"])))
        ax.set_xlabel("epoch")
        running = data[data["quantity"] == f"running_{metric}"]
        test = data[data["quantity"] == f"test_{metric}"]
        for recipe in in_order(data["recipe"]):
            style.line(ax, running[running["recipe"] == recipe], "epoch", recipe)
            style.line(ax, test[test["recipe"] == recipe], "epoch", recipe, dashed=True)
        style.label_ends(ax, test, "epoch", "recipe")

    beyond = [
        f"↑ {label(recipe)}: up to {number(worst, 0)}"
        for recipe, worst in losses.groupby("recipe")["median"].max().items()
        if worst > TOP_LOSS
    ]
    loss.text(0.99, 0.975, "\n".join(beyond), transform=loss.transAxes, ha="right", va="top")
    style.footer(
        fig,
        data,
        {"solid": "training, mean during the epoch", "dashed": "test, after the epoch"},
    )
    last = data[(data["quantity"] == "test_accuracy") & data["median"].notna()]
    last = last.sort_values("epoch").groupby("recipe").tail(1)
    fig.set_label(
        "Accuracy and loss by epoch. Median test accuracy at the end: "
        + ", ".join(f"{label(row.recipe)} {row.median:.1f} %" for row in last.itertuples())
        + "."
    )
    return fig, data


def t13(table: pd.DataFrame, ledger: dict) -> Table:
    """T13: every number that the chapter's log prints, beside ours, epoch by epoch."""
    chapter = {}
    for metric in METRICS:
        said = chapter_numbers(ledger, {"C180", "C182", "C184"}, metric, "recipe", "epoch")
        chapter |= {(*levels, metric): cell for levels, cell in said.items()}
    chapter["rate_10", 1, "running_loss"] = Cell(text="NaN")  # C183
    bodies = []
    for recipe, name in PRINTED.items():
        rows = []
        for epoch in sorted({epoch for of, epoch, _ in chapter if of == recipe}):
            cells = []
            for metric in METRICS:
                cells.append(chapter.get((recipe, epoch, metric), Cell()))
                cell = measured_cell(table, quantity=metric, recipe=recipe, epoch=epoch)
                # How the run ended is said once a line, beside the loss that shows it.
                cells.append(cell if metric == "running_loss" else replace(cell, note=""))
            rows.append(Row([f"epoch {epoch}"], cells))
        if rows:
            bodies.append(Body(name, rows))
    groups = [(name, 2) for name in METRICS.values()]
    columns = [Column(kind, kind, metric) for metric in METRICS for kind in ("chapter", "measured")]
    return with_digits(["Recipe"], groups, columns, bodies)
