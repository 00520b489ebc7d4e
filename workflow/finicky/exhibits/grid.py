"""F16, F20 and T07, all from the grid: heat maps of accuracy, and errors by depth."""

from dataclasses import replace

import pandas as pd

from finicky.data import CHANCE
from finicky.exhibits import style
from finicky.exhibits.phrases import span
from finicky.exhibits.tables import (
    Body,
    Cell,
    Column,
    Row,
    Table,
    measured_cell,
    part_numbers,
    rows_at,
    with_digits,
)
from finicky.labels import in_order, label, optimizer_rates, trained_by
from finicky.numbers import number
from finicky.runs import BLOCKS

FIGURES = {
    "F16": "Which initialisation suits which activation: read along a row for an initialiser that "
    "works everywhere, down a column for an activation that forgives. A bar below a number is the "
    "share of seeds whose loss became infinite or NaN. Other depths, blocks and budgets are in the "
    "explorer of the grid, further down this page.",
    "F20": "Error by depth of ReLU networks with He initialisation. Where the solid line climbs "
    "(training), networks fail to fit what they have seen, so the dashed one (test) does not climb "
    "for overfitting. A mark at NaN: every seed's loss became infinite or NaN. Diamonds: the "
    "chapter's numbers for plain networks, which it has from convolutional ones. The chapter "
    "expects residual connections to keep the lines from climbing.",
}
WITH_LEDGER = ["F20"]
TABLES = {
    "T07": "Training and test error on MNIST in % by depth, for every block that was trained: at "
    "fixed learning rates, and at the best one of each block and depth, chosen by the other seeds.",
}
SETTING = ["dataset", "images", "epochs"]
HEAT_MAP_DEPTHS = [2, 10]  # the page's explorer has the others
OWN = "own best"  # learning rate
FITS = 20  # % of training error, below which a network is said to fit its images
NAN_AT = 150  # %, where F20 marks networks whose seeds all became NaN: above every error


def f16(table: pd.DataFrame):
    """F16: a row of panels for each depth and block, a column for each optimizer and rate.

    Returns (Figure, summary behind it), or None without a panel: each needs two initialisers and
    two activations. Of several data sets and lengths of training, the one with the most cells is
    drawn, and of its depths HEAT_MAP_DEPTHS, or all if it has neither.
    """
    accuracy = rows_at(table, quantity="test_accuracy", rate="fixed").copy()
    accuracy["trained_by"], optimizers = style.trained_by(accuracy)
    panel = ["depth", "block", "trained_by"]
    data = style.summary(accuracy, [*SETTING, *panel, "init", "activation"])
    levels = data.groupby([*SETTING, *panel])[["init", "activation"]].transform("nunique")
    data = data[(levels >= 2).all(axis=1)]
    if data.empty:
        return None
    dataset, images, epochs = data.groupby(SETTING).size().idxmax()
    data = rows_at(data, dataset=dataset, images=images, epochs=epochs)
    chosen = data["depth"].isin(HEAT_MAP_DEPTHS)
    data = data[chosen] if chosen.any() else data

    columns = [optimizer for optimizer in optimizers if optimizer in set(data["trained_by"])]
    activations = in_order(data["activation"])
    rows = [
        (depth, block, in_order(cells["init"])[::-1])
        for depth, deep in data.groupby("depth")
        for block in in_order(deep["block"])
        for cells in [rows_at(deep, block=block)]
    ]
    few = len(columns) <= 2  # then a panel is wide enough for its whole title on one line
    fig, axes = style.panels(
        [0.23 * len(inits) for *_, inits in rows],
        len(columns),
        left=1.05,
        right=0.1,
        top=1.15 if few else 1.5,
        bottom=0.5 if few else 0.8,
        between=(0.15, 0.75 if few else 1.3),
    )
    for (depth, block, inits), line in zip(rows, axes, strict=True):
        name = f"{depth} layers, {label(block)}"
        for optimizer, ax in zip(columns, line, strict=True):
            cells = rows_at(data, depth=depth, block=block, trained_by=optimizer)
            style.heat_map(ax, cells, "activation", activations, "init", inits)
            if few:
                title = f"{name}, {optimizer}"
            else:  # the first panel's title runs on over the others'
                title = (f"{name}\n" if ax is line[0] else "") + optimizer.replace(" at ", "\nat ")
            ax.set_title(title, fontsize=8.5, pad=4)
            if ax is not line[0]:
                ax.set_yticklabels([])
    style.heat_map_key(fig, "median test accuracy (%)")
    said = f"{label(dataset)}, {_length(images, epochs)}"
    fig.text(
        0.08 / style.WIDTH,
        1 - 0.27 / fig.get_figheight(),
        f"{said}, {style.seeds_said(data)}",
    )
    best = data.loc[data["median"].idxmax()]
    fig.set_label(
        f"Of {len(data)} networks ({said}) {(data['median'] >= 90).sum()} reach 90 % of test "
        f"accuracy and {(data['failed'] == 1).sum()} become NaN from every seed; the best, "
        f"{label(best['init'])} with {label(best['activation'])} in {best['depth']} layers "
        f"({label(best['block'])}, {best['trained_by']}), reaches {number(best['median'], 1)} %."
    )
    return fig, data


def f20(table: pd.DataFrame, ledger: dict):
    """F20: error by depth for the four blocks, He and ReLU, at fixed learning rates; training solid
    and test dashed.

    A panel for each data set, length of training and optimizer that has at least half of the
    depths trained there; in each the chapter's numbers, those of claim C098. Returns (Figure,
    summary behind it), or None without a panel.
    """
    chapter = {
        (depth, part): cell.value
        for depth in (20, 56)
        for part in ("training", "test")
        if (cell := part_numbers(ledger, "C098").get(f"{depth} layers, {part} error"))
    }
    table = rows_at(table, init="he", activation="relu", rate="fixed")
    accuracy = table[table["quantity"].isin(["train_accuracy", "test_accuracy"])].copy()
    accuracy["value"] = 100 - accuracy["value"]
    accuracy["quantity"] = accuracy["quantity"].str.replace("accuracy", "error")
    accuracy["trained_by"], optimizers = style.trained_by(accuracy)
    data = style.summary(accuracy, [*SETTING, "trained_by", "quantity", "block", "depth"])
    depths = data.groupby([*SETTING, "trained_by"])["depth"].transform("nunique")
    in_setting = data.groupby(SETTING)["depth"].transform("nunique")
    data = data[(depths >= 2) & (depths >= in_setting / 2)]
    if data.empty:
        return None

    # two panels per row, each data set and length of training from a new row on
    places, row = [], 0
    for (dataset, images, epochs), cells in data.groupby(SETTING):
        said = f"{label(dataset)}, {_length(images, epochs)}"
        present = set(cells["trained_by"])
        for i, optimizer in enumerate(name for name in optimizers if name in present):
            panel = rows_at(cells, trained_by=optimizer)
            places.append((row + i // 2, i % 2, optimizer, said, panel))
        row = places[-1][0] + 1

    lowest = max(0.8 * min(data["low"].min(), 2), 0.02)
    fig, axes = style.panels(
        [2.4] * row, columns=2, left=0.55, right=1.1, top=0.6, between=(1.85, 1.0)
    )
    for ax in axes.flat:
        ax.axis("off")
    for row, column, optimizer, said, panel in places:
        ax = axes[row, column]
        ax.axis("on")
        ax.set_title(f"{optimizer}\n")
        ax.text(0, 1.03, said, transform=ax.transAxes)
        depths = sorted(set(panel["depth"]))
        style.log_axis(ax, "x", 0.93 * depths[0], 1.07 * depths[-1], _clear_of_each_other(depths))
        style.log_axis(ax, "y", lowest, 1.6 * NAN_AT, [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100])
        ax.tick_params(axis="x", labelsize=7.5)
        ax.set_xlabel("depth (layers)")
        ax.set_ylabel("error (%)" if column == 0 else "")
        chance = 100 - CHANCE
        ax.axhline(chance, color=style.INK, alpha=0.6, linewidth=0.8)
        ax.text(depths[0], chance, "chance", va="top", fontsize=7.5)

        for block in in_order(panel["block"]):
            mine = rows_at(panel, block=block)
            lost, known = mine[mine["failed"] == 1], mine[mine["failed"] < 1]
            style.line(ax, rows_at(known, quantity="train_error"), "depth", block)
            style.line(ax, rows_at(known, quantity="test_error"), "depth", block, dashed=True)
            colour, marker = style.level_style(block)
            ax.plot(lost["depth"], 0 * lost["depth"] + NAN_AT, marker, color=colour)
            if len(lost):
                ax.text(lost["depth"].min() / 1.08, NAN_AT, "NaN", fontsize=7.5, ha="right",
                        va="center")  # fmt: skip
        ends = rows_at(panel, quantity="test_error")
        ends = ends.assign(median=ends["median"].where(ends["failed"] < 1, NAN_AT))
        style.label_ends(ax, ends, "depth", "block")
        for (depth, part), percent in chapter.items():
            if depth in depths:
                fill = style.CHAPTER if part == "training" else "none"
                ax.plot(depth, percent, **style.CHAPTER_MARK | {"markerfacecolor": fill})
    lines = {"solid": "training error", "dashed": "test error"}
    room = axes[-1, 1] if places[-1][1] == 0 else None
    chapters = "the chapter's, plain (training filled)" if chapter else ""
    style.footer(fig, data, lines, chapters, room=room)
    fig.set_label(_who_survives_depth(data))
    return fig, data


def _clear_of_each_other(depths):
    """Of ascending depths those whose names have room on a logarithmic axis, from the deepest "
    "on."""
    kept = [depths[-1]]
    for depth in depths[-2::-1]:
        if kept[-1] / depth >= 1.35:
            kept.append(depth)
    return kept[::-1]


def _who_survives_depth(data):
    """In how many panels each block still fits its training images in the deepest networks, and
    what error it ends at; those whose seeds all became NaN have none."""
    train = data[data["quantity"] == "train_error"]
    panels = train.groupby([*SETTING, "trained_by"])["depth"]
    deepest = train[train["depth"] == panels.transform("max")].copy()
    deepest["median"] = deepest["median"].where(deepest["failed"] < 1)
    fits = (deepest["median"] < FITS).groupby(deepest["block"]).sum()
    said = []
    for block in sorted(in_order(fits.index), key=fits.get, reverse=True):
        errors = deepest.loc[deepest["block"] == block, "median"]
        lost = int(errors.isna().sum())
        nan = f", NaN in {lost}" * (0 < lost < len(errors))
        found = "NaN" if lost == len(errors) else span(errors, "%", 1) + nan
        said.append(f"{fits[block]} with {label(block)} ({found})")
    most, rest = said[0].split(" ", 1)
    count = f"{most} of {panels.ngroups} setting{'s' * (panels.ngroups > 1)} {rest}"
    return (
        f"Training error at {span(deepest['depth'], 'layers', 0)} is below {FITS} % in "
        f"{', '.join([count, *said[1:]])}."
    )


def t07(table: pd.DataFrame, ledger: dict) -> Table | None:
    """T07: training and test error by depth and block, beside the numbers of claim C098.

    Measured on fully connected networks: He, ReLU, MNIST, every length of training that has both a
    plain network of 20 layers and one of 56; without any, None. The chapter's numbers stand once.
    """
    start = rows_at(table, init="he", activation="relu", dataset="mnist")
    start = start[(start["depth"] >= 20) & (start["rate"] != "tried")]
    error = start[start["quantity"].isin(["train_accuracy", "test_accuracy"])].copy()
    error["value"] = 100 - error["value"]
    lengths = [
        length
        for length, group in error.groupby(["images", "epochs"])
        if _has_both(rows_at(group, block="plain"))
    ][::-1]
    if not lengths:
        return None
    ways = _ways(error)
    said = part_numbers(ledger, "C098")
    bodies = []
    for images, epochs in lengths:
        trained = rows_at(error, images=images, epochs=epochs)
        rows = []
        for block in BLOCKS:
            for depth in sorted(set(rows_at(trained, block=block)["depth"])):
                chapter = {} if bodies or block != "plain" else said
                cells = [
                    chapter.get(f"{depth} layers, {part} error", Cell())
                    for part in ("training", "test")
                ]
                cells += [
                    measured_cell(trained, block=block, depth=depth, quantity=quantity, **way)
                    for way in ways.values()
                    for quantity in ("train_accuracy", "test_accuracy")
                ]
                rows.append(Row([label(block), label(int(depth))], cells))
        bodies.append(Body(_length(images, epochs), rows))
    kinds = ["chapter"] + ["measured"] * len(ways)
    groups = [(f"{name}, error in %", 2) for name in ("Chapter", *ways)]
    columns = [Column(part, kind) for kind in kinds for part in ("training", "test")]
    notes = [
        "The chapter's numbers are literature: it ascribes them to He et al. (2015), who trained "
        "convolutional networks. Ours are fully connected networks of width 128; convolutions "
        "were not measured.",
        *_rates_chosen(start[start["quantity"] == "own_best_rate"]),
    ]
    made = with_digits(["Block", "Depth"], groups, columns, bodies, notes)
    return replace(made, finding=_at_20_and_56(bodies))


def _at_20_and_56(bodies):
    """Training errors of plain networks of 20 and of 56 layers, and there of the other blocks."""

    def errors(block, depth):
        rows = [row for body in bodies for row in body.rows if row.heads == [label(block), depth]]
        return span([cell.value for row in rows for cell in row.cells[2::2]], "%", 1)

    others = ", ".join(f"{label(block)} {errors(block, '56')}" for block in BLOCKS[1:])
    return (
        f"The training error of plain networks is {errors('plain', '20')} with 20 layers and "
        f"{errors('plain', '56')} with 56; there the others have: {others}."
    )


def _has_both(rows):
    """Whether networks of 20 and of 56 layers are among them."""
    return {20, 56} <= set(rows["depth"])


def _ways(error):
    """{name of a column group: its levels}: optimizers at the fixed rates and at own best ones at
    which both networks of 20 and of 56 layers were trained."""
    fixed, own = rows_at(error, rate="fixed"), rows_at(error, rate=OWN)
    ways = {
        trained_by(optimizer, rate): {"optimizer": optimizer, "learning_rate": rate}
        for optimizer, rate in optimizer_rates(fixed)
        if _has_both(rows_at(fixed, optimizer=optimizer, learning_rate=rate))
    }
    ways = {name: levels | {"rate": "fixed"} for name, levels in ways.items()}
    for optimizer in in_order(own["optimizer"]):
        if _has_both(rows_at(own, optimizer=optimizer)):
            ways[f"{label(optimizer)}, own best rate"] = {"optimizer": optimizer, "rate": OWN}
    return ways


def _rates_chosen(rates):
    """A note on the own best rates, if there are any: where one of them is the lowest or the
    highest of its ladder, a better one may lie beyond."""
    if rates.empty:
        return []
    cells = rates.groupby(["optimizer", "block", "depth", "images", "epochs"])
    at_edge = [
        f"{label(optimizer)}, {label(block)}, {depth} layers ("
        + " or ".join(label(rate) for rate in sorted(set(rows["value"])))
        + ")"
        for (optimizer, block, depth, *_), rows in cells
        if rows["edge"].any()
    ]
    found = f", so that a better one may lie beyond: {'; '.join(at_edge)}" if at_edge else ""
    return [
        "Own best rates are chosen for each seed by the other seeds' held-out images. In "
        f"{len(at_edge)} of {len(cells)} cases one is the lowest or the highest that was tried"
        f"{found}."
    ]


def _length(images, epochs):
    return f"{label(int(images))} images, {epochs} epoch{'s' if epochs > 1 else ''}"
