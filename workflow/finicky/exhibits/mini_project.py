"""F01 and T13, both from mini-project: four recipes, epoch by epoch, beside the chapter's log."""

from dataclasses import replace

import pandas as pd

from finicky.exhibits import style
from finicky.exhibits.phrases import of_all, span
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
from finicky.labels import in_order, label, listed
from finicky.numbers import number

FIGURES = {
    "F01": "The chapter's own picture, with seeds: each line is the median, the band reaches from "
    "the lowest to the highest seed; the numbers that the chapter prints stand in its colour, with "
    "the mark of their recipe, filled for training. Accuracies are spaced by the error that is "
    "left, so that recipes that work and recipes that fail fit on one axis.",
}
WITH_LEDGER = ["F01"]
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
LEARNED = 50  # % of test accuracy, of which a recipe that has not learned is far
TOP_LOSS = 5.0  # nats, where the picture ends: twice the loss of a guess among ten classes


def f01(table: pd.DataFrame, ledger: dict):
    """F01: accuracy and loss by epoch, a line for each recipe, training solid and test dashed, with
    the chapter's numbers. Returns (Figure, summary behind it), or None without runs.
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

    printed = _printed(ledger)
    for ax, metric in ((accuracy, "accuracy"), (loss, "loss")):
        ax.set_xticks(sorted(set(data["epoch"])))
        ax.set_xlabel("epoch")
        running = data[data["quantity"] == f"running_{metric}"]
        test = data[data["quantity"] == f"test_{metric}"]
        for recipe in in_order(data["recipe"]):
            style.line(ax, running[running["recipe"] == recipe], "epoch", recipe)
            style.line(ax, test[test["recipe"] == recipe], "epoch", recipe, dashed=True)
        style.label_ends(ax, test, "epoch", "recipe")
        for (recipe, epoch, quantity), cell in printed.items():
            if quantity.endswith(metric) and cell.value and cell.value <= ax.get_ylim()[1]:
                fill = style.CHAPTER if quantity.startswith("running") else "none"
                mark = {"marker": style.level_style(recipe).marker, "markerfacecolor": fill}
                ax.plot(epoch, cell.value, **style.CHAPTER_MARK | mark)

    beyond = [
        (f"↑ {label(recipe)}: up to {number(worst, 0)}", style.INK)
        for recipe, worst in losses.groupby("recipe")["high"].max().items()
        if worst > TOP_LOSS
    ] + [
        (f"chapter, {label(recipe)}: {cell.text} in epoch {epoch}", style.CHAPTER)
        for (recipe, epoch, _), cell in printed.items()
        if cell.text
    ]
    for line, (words, colour) in enumerate(beyond):
        loss.text(0.99, 0.975 - 0.055 * line, words, transform=loss.transAxes, ha="right", va="top",
                  fontsize=8, color=colour)  # fmt: skip
    style.footer(
        fig,
        data,
        {"solid": "training, during the epoch", "dashed": "test, after it"},
        chapter="the chapter's (training filled)",
        marker=style.level_style("correct").marker,
    )
    last = data[(data["quantity"] == "test_accuracy") & data["median"].notna()]
    fig.set_label(_finding(last.sort_values("epoch").groupby("recipe").tail(1)))
    return fig, data


def _finding(last):
    """Which recipes have learned at their end, and what they and the others reach."""
    last = last.set_index("recipe")["median"]
    said = []
    for learned, words in ((True, "learn the digits"), (False, "learn nothing")):
        of = last[(last >= LEARNED) == learned]
        if len(of):
            names = listed(
                "the recommended recipe" if recipe == "correct" else label(recipe)
                for recipe in in_order(of.index)
            )
            said.append(f"{names} {words} ({span(of, '%', 1)} of test accuracy)")
    return f"Of the mini project's recipes {'; '.join(said)}."


def _printed(ledger):
    """What the chapter prints: {(recipe, epoch, quantity): a cell}; its NaN is a word."""
    found = {("rate_10", 1, "running_loss"): Cell(text="NaN")}  # C183
    for metric in METRICS:
        said = chapter_numbers(ledger, {"C180", "C182", "C184"}, metric, "recipe", "epoch")
        found |= {(*levels, metric): cell for levels, cell in said.items()}
    return found


def t13(table: pd.DataFrame, ledger: dict) -> Table:
    """T13: every number that the chapter's log prints, beside ours, epoch by epoch."""
    chapter = _printed(ledger)
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
    off = [
        measured.value - said.value
        for body in bodies
        for row in body.rows
        for said, measured in zip(row.cells[6::8], row.cells[7::8], strict=True)
        if said.value is not None and measured.value is not None
    ]
    near = of_all((abs(points) <= 1 for points in off), "numbers")
    finding = (
        f"Our test accuracies lie {span(off, 'points', 1)} off the {len(off)} that the chapter's "
        f"log prints; {near} within one point."
    )
    return with_digits(["Recipe"], groups, columns, bodies, finding=finding if off else "")
