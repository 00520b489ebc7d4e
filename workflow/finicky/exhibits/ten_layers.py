"""F15 and T03, both from ten-layers: accuracy by epoch from the chapter's five starts."""

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
from finicky.labels import in_order, label, optimizer_rates, trained_by
from finicky.runs import FAILED

FIGURES = {
    "F15": "Above: test accuracy by epoch for the five starts of the chapter's table; which of "
    "them train, and by how much they differ, depends on the optimizer. Below: every start after "
    "its first epoch, one point per seed.",
}
TABLES = {
    "T03": "Test accuracy in % from the chapter's five starts, with two optimizers, as the chapter "
    "names none.",
}
STARTS = ["he", "xavier", "normal_std_1", "normal_std_0.001", "zeros"]


def f15(table: pd.DataFrame):
    """F15: above, accuracy by epoch; below, every start after the first epoch; a column for each
    optimizer. Returns (Figure, summary behind it), or None without accuracies."""
    accuracy = table[table["quantity"] == "test_accuracy"].copy()
    if accuracy.empty:
        return None
    accuracy["trained_by"], optimizers = style.trained_by(accuracy)
    data = style.summary(accuracy, ["trained_by", "init", "epoch"])
    # below, worst start first, so best on top
    first = data[data["epoch"] == 1]
    starts = list(first.groupby("init")["median"].mean().sort_values(kind="stable").index)
    length = data.groupby("init")["epoch"].transform("max")
    curves = data[length == length.max()]

    fig, axes = style.panels(
        [2.9, 0.2 * len(starts) + 0.2],
        columns=len(optimizers),
        left=1.05,
        right=1.25,
        between=(1.5, 0.75),
    )
    for column, optimizer in enumerate(optimizers):
        above, below = axes[:, column]
        above.set_title(optimizer)
        style.accuracy_axis(above, "y", highest=data["high"].max())
        above.set_xticks(sorted(set(curves["epoch"])))
        above.set_xlabel("epoch")
        mine = curves[curves["trained_by"] == optimizer]
        for init in in_order(mine["init"]):
            style.line(above, mine[mine["init"] == init], "epoch", init)
        style.label_ends(above, mine, "epoch", "init")

        style.accuracy_axis(below, "x", highest=data["high"].max())
        below.grid(axis="both")
        below.set_xlabel("test accuracy (%) after epoch 1, one point per seed")
        below.set_ylim(-0.6, len(starts) - 0.4)
        labels = [label(init) for init in starts] if column == 0 else []
        below.set_yticks(range(len(starts)), labels or [""] * len(starts))
        runs = accuracy[(accuracy["trained_by"] == optimizer) & (accuracy["epoch"] == 1)]
        for init, seeds in runs.groupby("init"):
            drawn, row = style.level_style(init), starts.index(init)
            below.plot(
                seeds["value"],
                [row] * len(seeds),
                drawn.marker,
                color=drawn.colour,
                markersize=4,
                alpha=0.7,
                clip_on=False,
            )
            failed = seeds["outcome"].isin(FAILED).sum()
            if failed:
                below.annotate(
                    f"NaN: {failed} of {len(seeds)}",
                    (1.03, row),
                    va="center",
                    xycoords=("axes fraction", "data"),
                )
    axes[0, 0].set_ylabel("test accuracy (%)")
    style.footer(fig, data)
    said = first.sort_values("median", ascending=False).groupby("trained_by")
    fig.set_label(
        "Median test accuracy after epoch 1. "
        + " ".join(
            f"{optimizer}: "
            + ", ".join(f"{label(row.init)} {row.median:.1f} %" for row in rows.itertuples())
            + "."
            for optimizer, rows in said
        )
    )
    return fig, data


def t03(table: pd.DataFrame, ledger: dict) -> Table:
    """T03: test accuracy after epochs 1 and 10 by initialisation, for each optimizer."""
    accuracy = table[table["quantity"] == "test_accuracy"]
    claims = {"C062", "C063", "C066", "C067"}
    chapter = chapter_numbers(ledger, claims, "test_accuracy", "init", "epoch")
    chapter |= {("normal_std_1", epoch): Cell(text="NaN") for epoch in (1, 10)}  # C065
    optimizers = optimizer_rates(accuracy)
    groups, columns = [], []
    for said in ("1 epoch", "10 epochs"):
        groups.append((f"Test accuracy after {said}, %", 1 + len(optimizers)))
        columns.append(Column("chapter", "chapter"))
        columns += [Column(trained_by(*pair), "measured") for pair in optimizers]
    rows = []
    for init in STARTS:
        cells = []
        for epoch in (1, 10):
            cells.append(chapter.get((init, epoch), Cell()))
            cells += [
                measured_cell(
                    accuracy, init=init, epoch=epoch, optimizer=optimizer, learning_rate=rate
                )
                for optimizer, rate in optimizers
            ]
        rows.append(Row([label(init)], cells))
    return with_digits(["Initialisation"], groups, columns, [Body("", rows)])
