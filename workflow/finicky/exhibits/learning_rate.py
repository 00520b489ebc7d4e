"""Figure F32 and table T11: which learning rates work, and what each optimizer reaches at them."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from finicky.exhibits import style
from finicky.exhibits.phrases import span
from finicky.exhibits.tables import (
    Body,
    Cell,
    Column,
    Row,
    Table,
    measured_cell,
    rows_at,
    with_digits,
)
from finicky.experiments.learning_rate import DATASETS, DECAYING, OPTIMIZERS, TOLERANCES
from finicky.experiments.tuning import RECOMMENDED_RATES
from finicky.labels import in_order, label

FIGURES = {
    "F32": "Top: test accuracy by learning rate for every optimizer, a network of two layers; "
    "bands go from the lowest to the highest seed, rings are the chapter's rates. Bottom: the "
    "rates at which an optimizer comes within 1 point (thick) or 5 points (thin) of its own best, "
    "with their width in decades within 1 point.",
}
TABLES = {
    "T11": "Each optimizer in a network of two layers: test accuracy at the chapter's learning "
    "rate and at the best one found, and how many decades of rates work.",
}


RING = style.CHAPTER_MARK | {"marker": "o", "markersize": 11}


def f32(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """F32, and the medians and ranges behind it."""

    def of(quantity, by):
        rows = table[table["quantity"] == quantity]
        return style.summary(rows, by).assign(quantity=quantity)

    way = ["dataset", "optimizer", "schedule"]
    data = pd.concat(
        [
            of("accuracy", [*way, "learning_rate"]),
            *(of(q, [*way, "tolerance"]) for q in ("decades", "range_low", "range_high")),
        ],
        ignore_index=True,
    )
    fig, axes = style.panels(
        [2.7, 1.9], columns=2, left=0.9, right=0.6, between=(0.65, 0.55), bottom=0.75, top=0.62
    )
    for column, name in enumerate(DATASETS):
        mine = data[data["dataset"] == name]
        _accuracies(axes[0, column], mine)
        _widths(axes[1, column], mine, named=column == 0)
        axes[0, column].set_title(label(name))
    axes[0, 0].set_ylabel("test accuracy (%)")
    handles = [
        Line2D([], [], color=colour, marker=marker, label=label(name))
        for name in OPTIMIZERS
        for colour, marker in [style.level_style(name)]
    ]
    handles.append(Line2D([], [], **RING | {"markersize": 8}, label="the chapter's rate"))
    fig.legend(handles=handles, ncols=6, loc="upper left", fontsize=8, borderaxespad=0.3)
    style.footer(fig, data)
    style.note(fig, "bars: within 1 point (thick), 5 points (thin) of the best")
    widths = data[(data["quantity"] == "decades") & (data["tolerance"] == TOLERANCES[0])]
    fig.set_label(_finding(widths[widths["schedule"] == "constant"]))
    return fig, data


def _finding(widths):
    """Over how many decades of rates each optimizer works, and whether the seeds' ranges set the
    widest apart from all others on every data set."""
    by = widths.groupby("optimizer")
    means = by["median"].mean().sort_values(ascending=False)
    spans = ", ".join(
        f"{label(o)} {span(by.get_group(o)['median'], places=1)}" for o in means.index
    )
    first = widths["optimizer"] == means.index[0]
    lowest = widths[first].set_index("dataset")["low"]
    others = widths[~first].groupby("dataset")["high"].max().reindex(lowest.index)
    ranked = f"{label(means.index[0])} is the most forgiving"
    apart = (lowest > others).all()
    return (
        f"Rates within a point of an optimizer's best accuracy span, in decades: {spans}; "
        + (ranked if apart else "their seeds' ranges overlap, so none is the most forgiving")
        + "."
    )


def _way_name(optimizer, schedule):
    name = label(optimizer)
    return name if schedule == "constant" else f"{name}, {schedule}"


def _rate_axis(ax, rates):
    powers = [10.0**power for power in range(-6, 3)]
    style.log_axis(ax, "x", 0.7 * min(rates), 1.4 * max(rates), powers)
    names = {tick: f"10{'⁻' if tick < 1 else ''}{'⁰¹²³⁴⁵⁶'[abs(round(np.log10(tick)))]}"
             for tick in ax.get_xticks()}  # fmt: skip
    ax.set_xticks(list(names), list(names.values()))


def _accuracies(ax, data):
    rows = data[(data["quantity"] == "accuracy") & (data["schedule"] == "constant")]
    _rate_axis(ax, rows["learning_rate"])
    style.accuracy_axis(ax, "y", rows["high"].max())
    for optimizer in OPTIMIZERS:
        mine = rows[rows["optimizer"] == optimizer]
        style.line(ax, mine, "learning_rate", optimizer)
        ring = mine[mine["learning_rate"] == RECOMMENDED_RATES.get(optimizer)]
        ax.plot(ring["learning_rate"], ring["median"], **RING)


def _widths(ax, data, named):
    """Bars of the rates that work, a line for each optimizer or schedule."""
    places = [(name, "constant") for name in OPTIMIZERS] + [("sgd", name) for name in DECAYING]
    _rate_axis(ax, data.loc[data["quantity"] == "accuracy", "learning_rate"])
    for place, (optimizer, schedule) in enumerate(places):
        mine = data[(data["optimizer"] == optimizer) & (data["schedule"] == schedule)]
        for tolerance, width in zip(TOLERANCES, (6, 1.8), strict=True):
            of = mine[mine["tolerance"] == tolerance].set_index("quantity")["median"]
            if "range_low" in of:
                ends = 10 ** of["range_low"], 10 ** of["range_high"]
                ax.plot(ends, [place, place], linewidth=width, solid_capstyle="butt",
                        color=style.level_style(optimizer).colour)  # fmt: skip
        wide = mine[(mine["tolerance"] == TOLERANCES[0]) & (mine["quantity"] == "decades")]
        for row in wide.itertuples():
            text = f"{row.median:.1f}"
            ax.text(1.03, place, text, transform=ax.get_yaxis_transform(), va="center", fontsize=8)
        if schedule == "constant" and optimizer in RECOMMENDED_RATES:
            ax.plot([RECOMMENDED_RATES[optimizer]], [place], **RING | {"markersize": 8})
    ax.set_ylim(len(places) - 0.4, -0.6)
    names = [_way_name(*place) for place in places] if named else []
    ax.set_yticks(range(len(places)) if named else [], names)
    ax.grid(False)
    ax.set_xlabel("learning rate")
    ax.text(1.03, -0.9, "decades", transform=ax.get_yaxis_transform(), va="center", fontsize=8)


def t11(table: pd.DataFrame, ledger: dict) -> Table:
    """T11: a part for each data set, a row for each optimizer."""
    bodies = []
    for dataset in in_order(table["dataset"].dropna()):
        of = rows_at(table, dataset=dataset)
        rows = []
        for optimizer in ["sgd", "momentum", "adam", "adamw", "rmsprop"]:  # the chapter's order
            rate = RECOMMENDED_RATES.get(optimizer)
            found = rows_at(of, quantity="tuned_rate", optimizer=optimizer)["value"]
            ends = [f"{end:g}" for end in (found.min(), found.max())] if len(found) else [""]
            cells = [
                Cell(text="" if rate is None else f"{rate:g}"),
                measured_cell(of, quantity="recommended_accuracy", optimizer=optimizer),
                Cell(n=len(found), text=" to ".join(dict.fromkeys(ends))),
                measured_cell(of, quantity="tuned_accuracy", optimizer=optimizer),
            ]
            cells += [
                measured_cell(
                    of,
                    quantity="decades",
                    optimizer=optimizer,
                    schedule="constant",
                    tolerance=tolerance,
                )
                for tolerance in TOLERANCES
            ]
            rows.append(Row([label(optimizer)], cells))
        bodies.append(Body(label(dataset), rows))
    groups = [("Chapter's rate", 2), ("Best rate found", 2), ("Decades of rates that work", 2)]
    columns = [
        Column("rate", "chapter", "rate"),
        Column("test accuracy, %", "measured"),
        Column("rate", "measured", "rate"),
        Column("test accuracy, %", "measured"),
        Column("within 1 point", "measured", "decades"),
        Column("within 5 points", "measured", "decades"),
    ]
    notes = [
        "The best rate is chosen for each seed by the other seeds' validation images; a rate works "
        "if its test accuracy is within 1 or 5 points of the optimizer's own best. The chapter "
        "gives no rate for SGD without momentum."
    ]
    costs = []
    for of in zip(*(body.rows for body in bodies), strict=True):  # an optimizer on every data set
        pairs = [(row.cells[3].value, row.cells[1].value) for row in of]
        points = [best - chapter for best, chapter in pairs if None not in (best, chapter)]
        if points:
            costs.append(f"{of[0].heads[0]} {span(points, places=1)}")
    finding = (
        "Against the best rate found the chapter's costs, in points of test accuracy: "
        f"{', '.join(costs)}."
        if costs
        else ""
    )
    return with_digits(["Optimizer"], groups, columns, bodies, notes, finding=finding)
