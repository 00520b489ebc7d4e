"""Figure F02: the residual block, drawn, and the lengths of its two branches as measured; and a
table of what its variants cost and reach."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch

from finicky.exhibits import style
from finicky.exhibits.phrases import compared, of_all, span
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
from finicky.numbers import number

FIGURES = {
    "F02": "Left: the chapter's block with batch norm, in the middle of a trained network of fully "
    "connected layers; numbers are the lengths of the vectors at that place, for the median test "
    "image. Right: the branch's length over its input's, block by block, before training (open) "
    "and after it; below the dashed line a block would do almost nothing.",
}
TABLES = {
    "residual-costs": "Small convolutional networks of two stages: what they cost, counted, and "
    "their test accuracy after equal training, the median over the seeds with its interval in "
    "brackets. Each is compared with the ones of the same cost: wide and narrow, dense and "
    "residual, projection and zero padding.",
}
NETWORKS = {
    "deep": "narrow and deep: 3 + 4 blocks",
    "wide": "wide and shallow: 1 + 1 blocks",
    "BN, post-activation": "residual, projection: 2 + 2 blocks",
    "zero padding": "residual, zero padding: 2 + 2 blocks",
    "plain": "the same without shortcuts",
    "dense": "dense: 3 + 2 layers",
}
# form: colour, marker, name
FORMS = {
    "residual": (style.LAVENDER, "^", "no batch norm"),
    "BN, post-activation": (style.PLUM, "X", "BN, ReLU after +"),
    "BN, pre-activation": (style.SAGE, "D", "BN, pre-activation"),
}
DRAWN = "BN, post-activation"
ALMOST_NOTHING = 0.1
BODY = ["linear", "batch norm", "ReLU", "linear", "batch norm"]


def f02(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """F02, of the first data set, without weight decay, and the medians and ranges behind it."""
    table = table[table["dataset"].isna() | (table["dataset"] == table["dataset"].dropna().iloc[0])]
    rows = table[table["quantity"].isin(["input_norm", "branch_norm", "branch_over_input"])]
    rows = rows[rows["decay"].isna() | (rows["decay"] == 0)]
    rows = rows[rows["depth"] == rows["depth"].max()]
    data = style.summary(rows, ["quantity", "form", "when", "block_number"])
    fig, axes = style.panels([3.1], columns=2, left=0.15, right=1.3, between=(0.75, 0), top=0.4)
    middle = (int(data["block_number"].max()) + 1) // 2
    here = data[(data["form"] == DRAWN) & (data["when"] == "after training")]
    here = here[here["block_number"] == middle].set_index("quantity")["median"]
    _block(axes[0, 0], here, middle)
    _ratios(axes[0, 1], data[data["quantity"] == "branch_over_input"])
    style.footer(fig, data, {"solid": "after training", "dashed": "before"})
    trained = rows[rows["when"] == "after training"]
    style.note(fig, f"{trained['depth'].max()} layers, {style.trained_on(trained)}", at=0.46)
    ends = data[(data["quantity"] == "branch_over_input") & (data["when"] == "after training")]
    ends = ends.groupby("form")["median"].agg(["min", "max"])
    said = ", ".join(
        f"{span(ends.loc[form], places=2)} ({name})"
        for form, (*_, name) in FORMS.items()
        if form in ends.index
    )
    fig.set_label(
        f"After training, a residual block's branch is {said} times as long as its input; below "
        f"{ALMOST_NOTHING} it would do almost nothing."
    )
    return fig, data


def _block(ax, here, middle):
    """The block from the bottom up, with the shortcut on the right."""
    ax.set_title(f"Block {middle}, after training", fontsize=8.5)
    ax.set_xlim(0, 10)
    ax.set_ylim(-1.4, 11.8)
    ax.axis("off")
    arrow = {"color": style.INK, "linewidth": 1.1, "mutation_scale": 9, "shrinkA": 0, "shrinkB": 0}

    def line(*points, head=True):
        for start, end in zip(points[:-2], points[1:-1], strict=True):
            ax.plot(*zip(start, end, strict=True), color=style.INK, linewidth=1.1)
        form = "-|>" if head else "-"
        ax.add_patch(FancyArrowPatch(points[-2], points[-1], arrowstyle=form, **arrow))

    centre, side = 3.4, 7.6
    line((centre, -1.2), (centre, 0.6))
    for place, name in enumerate(BODY):
        low = 0.6 + 1.5 * place
        ax.add_patch(
            FancyBboxPatch(
                (centre - 1.7, low), 3.4, 0.9, boxstyle="round,pad=0.02,rounding_size=0.15",
                facecolor="none", edgecolor=style.PLUM, linewidth=1.2,
            )
        )  # fmt: skip
        ax.text(centre, low + 0.45, name, ha="center", va="center", fontsize=8)
        line((centre, low + 0.92), (centre, low + (1.5 if place < len(BODY) - 1 else 1.92)))
    top = 0.6 + 1.5 * len(BODY) + 0.75
    ax.add_patch(Circle((centre, top), 0.32, facecolor="none", edgecolor=style.INK, linewidth=1.1))
    ax.text(centre, top, "+", ha="center", va="center_baseline", fontsize=9)
    line((centre, -0.5), (side, -0.5), (side, top), (centre + 0.34, top))
    line((centre, top + 0.33), (centre, top + 1.9))
    ax.text(centre + 0.25, top + 1.1, "ReLU", fontsize=8, va="center")
    said = {
        "input_norm": (side + 0.2, 4.4, "|x| = "),
        "branch_norm": (-0.1, top - 0.66, "|F(x)| = "),
    }
    for quantity, (x, y, name) in said.items():
        ax.text(
            x, y, name + number(here[quantity], 1), fontsize=8.5, va="center", weight="bold",
        )  # fmt: skip
    ax.text(side + 0.2, 3.6, "shortcut", fontsize=8, va="center")


def _ratios(ax, data):
    """A line for each form, before and after training."""
    ax.set_title("|F(x)| / |x|, by block", fontsize=8.5)
    low, high = min(0.075, data["low"].min() / 1.2), 1.3 * data["high"].max()
    style.log_axis(ax, "y", low, high)
    ax.axhline(ALMOST_NOTHING, **style.CHAPTER_LINE)
    last = int(data["block_number"].max())
    ends = []
    for (form, when), rows in data.groupby(["form", "when"]):
        colour, marker, name = FORMS[form]
        rows = rows.sort_values("block_number")
        x, trained = rows["block_number"].astype(float), when == "after training"
        ax.fill_between(x, rows["low"], rows["high"], color=colour, alpha=0.15, linewidth=0)
        ax.plot(
            x, rows["median"], color=colour, marker=marker, clip_on=False,
            linestyle="-" if trained else style.DASHES,
            markerfacecolor=colour if trained else "none",
        )  # fmt: skip
        if trained:
            ends.append((rows["median"].iloc[-1], name))
    at = 0.0
    for height, name in sorted(ends):
        at = max(height, 1.2 * at)
        ax.annotate(
            name, (last, at), (8, 0), textcoords="offset points", fontsize=8, va="center",
            annotation_clip=False,
        )  # fmt: skip
    ax.text(1, 0.96 * ALMOST_NOTHING, "chapter: many blocks below", fontsize=8, va="top",
            color=style.CHAPTER)  # fmt: skip
    ax.set_xticks(sorted({1, last, *range(1, last, max(1, last // 6))}))
    ax.set_xlabel("block")


def residual_costs(table: pd.DataFrame, ledger: dict) -> Table:
    """A row for each convolutional network, of the first data set, by channels."""
    first = table["dataset"].dropna().iloc[0]
    table = table[table["dataset"].isna() | (table["dataset"] == first)]
    rows_of = rows_at(table, network="convolution")
    bodies = []
    for channels in sorted(set(rows_of["channels"].dropna())):
        mine, rows = rows_at(rows_of, channels=channels), []
        for form, name in NETWORKS.items():
            cells = [
                Cell(measured_cell(mine, quantity=quantity, form=form).value)  # counted: no seeds
                for quantity in ("parameters", "multiplications")
            ]  # fmt: skip
            cells += [
                measured_cell(mine, quantity="test_accuracy", form=form, rate=rate)
                for rate in ("chapter", "own best")
            ]
            rows.append(Row([name], cells))
        bodies.append(Body(f"{channels} and {2 * channels} channels (wide: twice as many)", rows))
    columns = [
        Column("parameters, thousands", "measured", "parameters"),
        Column("multiplications, millions", "measured", "multiplications"),
        Column("Adam at 0.001", "measured"),
        Column("own best rate", "measured"),
    ]
    notes = [f"All networks are {style.trained_on(rows_at(table, quantity='test_accuracy'))}."]
    groups = [("Cost", 2), ("Test accuracy, %", 2)]
    residual, plain, ahead = _accuracies(bodies, "zero padding", "plain")
    wide, deep, further = _accuracies(bodies, "wide", "deep")
    finding = (
        f"At own best rates a residual network padding with zeros reaches {residual}, the same "
        f"without shortcuts {plain} (clearly less at {ahead}), a wide and shallow one {wide}, "
        f"narrow and deep {deep} (at {further})."
    )
    return with_digits(["Network"], groups, columns, bodies, notes, finding=finding)


def _accuracies(bodies, one, other):
    """What two kinds of networks of like cost reach at their own best rates, and at how many
    widths (numbers of channels) the intervals set one ahead of the other."""
    rows = [{row.heads[0]: row.cells[-1] for row in body.rows} for body in bodies]
    pairs = [(cells[NETWORKS[one]], cells[NETWORKS[other]]) for cells in rows]
    reached = [span((cell.value for cell in cells), "%", 1) for cells in zip(*pairs, strict=True)]
    return *reached, of_all((compared(*pair, (False, False, True)) for pair in pairs), "widths")
