"""F15 and T03, both from ten-layers: accuracy by epoch from the chapter's five starts."""

import pandas as pd
from matplotlib.lines import Line2D

from finicky.exhibits import style
from finicky.exhibits.phrases import compared, of_all, span
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
from finicky.labels import in_order, label, listed, optimizer_rates, trained_by
from finicky.numbers import number
from finicky.runs import FAILED

FIGURES = {
    "F15": "Above: test accuracy by epoch for the five starts of the chapter's table, whose "
    "numbers for epochs 1 and 10 are marked (it names no optimizer). Below: every start after its "
    "first epoch, one point per seed. A start whose loss became NaN has no point.",
}
WITH_LEDGER = ["F15"]
TABLES = {
    "T03": "Test accuracy in % from the chapter's five starts, with two optimizers, as the chapter "
    "names none.",
}
STARTS = ["he", "xavier", "normal_std_1", "normal_std_0.001", "zeros"]


def f15(table: pd.DataFrame, ledger: dict):
    """F15: above, accuracy by epoch, with the chapter's numbers; below, every start after the first
    epoch; a column for each optimizer. Returns (Figure, summary behind it), or None without
    accuracies."""
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
    printed = _printed(ledger)

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
        lost = mine.groupby("init")["failed"].transform("min") == 1
        for init in in_order(mine[~lost]["init"]):
            style.line(above, mine[mine["init"] == init], "epoch", init)
        for (init, epoch), cell in printed.items():
            if cell.value:
                above.plot(epoch, cell.value, **_mark(init))
        style.label_ends(above, mine[~lost], "epoch", "init")
        names = [f"{label(init)}: NaN" for init in in_order(mine[lost]["init"])]
        above.text(0.5, 0.12, "\n".join(names), transform=above.transAxes, fontsize=8, ha="center")

        style.accuracy_axis(below, "x", highest=data["high"].max())
        below.grid(axis="both")
        below.set_xlabel("test accuracy (%) after epoch 1, one point per seed")
        below.set_ylim(-0.6, len(starts) - 0.4)
        labels = [label(init) for init in starts] if column == 0 else []
        below.set_yticks(range(len(starts)), labels or [""] * len(starts))
        runs = accuracy[(accuracy["trained_by"] == optimizer) & (accuracy["epoch"] == 1)]
        for init, seeds in runs.groupby("init"):
            drawn, row = style.level_style(init), starts.index(init)
            failed = seeds["outcome"].isin(FAILED)
            below.plot(
                seeds["value"][~failed],
                [row] * (~failed).sum(),
                drawn.marker,
                color=drawn.colour,
                markersize=4,
                alpha=0.7,
                clip_on=False,
            )
            said = printed.get((init, 1), Cell()).value
            if said:
                below.plot(said, row, **_mark(init))
            if failed.any():
                below.annotate(
                    f"NaN: {failed.sum()} of {len(seeds)}",
                    (0.03, row),
                    fontsize=8,
                    va="center",
                    xycoords=("axes fraction", "data"),
                )
    axes[0, 0].set_ylabel("test accuracy (%)")
    style.footer(fig, data)
    marked = in_order({init for (init, _), cell in printed.items() if cell.value})
    handles = [Line2D([], [], **_mark(init), label=f"chapter: {label(init)}") for init in marked]
    fig.legend(handles=handles, ncols=len(handles) or 1, fontsize=8, loc="lower right",
               borderpad=0, handletextpad=0.2, columnspacing=1.2)  # fmt: skip
    fig.set_label(_finding(first, optimizers))
    return fig, data


def _mark(init):
    """How the chapter's number for a start is drawn: hollow, in the start's own shape."""
    return style.CHAPTER_MARK | {"marker": style.level_style(init).marker}


def _finding(first, optimizers):
    """Whether He initialisation is ahead of Xavier after the first epoch, by optimizer."""
    words = "behind", "level with", "ahead of"
    said = []
    for optimizer in optimizers:
        mine = first[first["trained_by"] == optimizer].set_index("init")
        if {"he", "xavier"} <= set(mine.index):
            he, xavier = mine.loc["he"], mine.loc["xavier"]
            said.append(
                f"{compared(he, xavier, words)} Xavier's under {optimizer} "
                f"({number(he['median'], 1)} and {number(xavier['median'], 1)} %)"
            )
    if not said:
        return f"After one epoch in ten layers starts reach {span(first['median'], '%', 1)}."
    return f"After one epoch in ten layers He initialisation is {listed(said)}."


def _printed(ledger):
    """The accuracies in the chapter's table: {(start, epoch): a cell}."""
    claims = {"C062", "C063", "C066", "C067"}
    return chapter_numbers(ledger, claims, "test_accuracy", "init", "epoch")


def t03(table: pd.DataFrame, ledger: dict) -> Table:
    """T03: test accuracy after epochs 1 and 10 by initialisation, for each optimizer."""
    accuracy = table[table["quantity"] == "test_accuracy"]
    chapter = _printed(ledger)
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
    of_he = dict(zip((trained_by(*pair) for pair in optimizers), rows[0].cells[1:], strict=False))
    said = ", ".join(
        f"{number(cell.value, 1)} % with {name}" for name, cell in of_he.items() if cell.n
    )
    off = [
        ours.value - row.cells[place].value
        for row in rows
        for place in (0, 1 + len(optimizers))
        if row.cells[place].value is not None
        for ours in row.cells[place + 1 : place + 1 + len(optimizers)]
        if ours.value is not None
    ]
    finding = (
        f"He initialisation reaches {said or 'nothing'} after one epoch; "
        f"{of_all((abs(points) <= 1 for points in off), 'measured accuracies')} lie within a point "
        "of the chapter's table."
    )
    body = [Body("", rows)]
    return with_digits(["Initialisation"], groups, columns, body, finding=finding)
