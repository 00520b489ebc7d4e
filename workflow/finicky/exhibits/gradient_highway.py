"""Figure F21, tables T08 and T09: gradients through plain and residual layers, and the formulas."""

import math

import pandas as pd
from matplotlib.figure import Figure

from finicky.exhibits import style
from finicky.exhibits.phrases import of_all, span
from finicky.exhibits.residual import (
    NOTHING,
    PLAIN,
    RELU,
    RESIDUAL,
    START,
    TRAINED,
    first_data_set,
    footer,
    kinds,
    named,
    summary,
    trained_for,
)
from finicky.exhibits.tables import Body, Cell, Column, Row, Table, measured_cell, with_digits
from finicky.labels import label
from finicky.numbers import number

FIGURES = {
    "F21": "How many times a gradient doubles from the last hidden values back to the first. Top "
    "left: networks of the grid's kinds at their start, with the chapter's bound. Top right: how "
    "often it halves in plain networks whose gradient falls; kᴸ is a line of slope 1, and the "
    "slope fitted to each stands beside it. Bottom left: before and after training. Bottom right: "
    "the smallest singular value of a block's derivative, median over blocks and images.",
}
TABLES = {
    "T08": "The chapter's bounds and what was measured: gradient at the first over that at the "
    "last hidden values, in doublings (−1 is half, 3 is eight times), the largest norm M of a "
    "block's ∂F/∂x, or of two plain layers, and how often the chapter's bound held.",
    "T09": "The chapter's formulas, and the largest relative error over random trials in float64: "
    "as the chapter's formula has a block, and with a ReLU after the sum, as its code has it.",
}
SMALL = "normal_std_0.01"


# ---- The figure ---------------------------------------------------------------------------------


def f21(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """F21, and the medians and ranges behind it."""
    table = first_data_set(table)
    kind = ["depth", "block", "after_the_sum", "stage", "rate"]
    plain = ["activation", "init"]
    data = pd.concat(
        [
            *(summary(table, q, kind) for q in ("gradient_ratio", "smallest_singular_value")),
            summary(table, "plain_ratio", [*plain, "layers"]),
            summary(table, "fall_power", plain),
        ],
        ignore_index=True,
    )
    fig, axes = style.panels(
        [2.5, 1.9], columns=2, left=1.15, right=1.65, between=(1.35, 0.8), bottom=0.95
    )
    ratios = data[data["quantity"] == "gradient_ratio"]
    _at_the_start(axes[0, 0], ratios[ratios["stage"] == START])
    _through_layers(axes[0, 1], data)
    _after_training(axes[1, 0], ratios)
    _smallest(axes[1, 1], data[data["quantity"] == "smallest_singular_value"])
    footer(fig, data, trained_for(table))
    fig.set_label(_finding(ratios[ratios["stage"] == START]))
    return fig, data


def _finding(ratios):
    """How often the gradient doubles on its way back through the deepest networks."""
    depth = ratios["depth"].max()
    at = ratios[ratios["depth"] == depth].groupby("block")["median"]
    said = {block: span(rows, places=1) for block, rows in at}
    known = [block for block in PLAIN + RESIDUAL if block in said]
    blocks = ", ".join(f"{label(block)} {said[block]}" for block in known)
    return (
        f"On its way back through {depth:.0f} layers at the start a gradient grows by 2ⁿ (falls "
        f"if n is negative), n = {blocks}."
    )


def _by_depth(ax, rows):
    depths = sorted(set(rows["depth"]))
    style.log_axis(ax, "x", 0.9 * depths[0], 1.1 * depths[-1], depths)
    for block, after, mine in kinds(rows):
        style.line(ax, mine, "depth", block, dashed=after == NOTHING)


def _at_the_start(ax, ratios):
    """Doublings by depth, and the chapter's bound."""
    ax.set_title("At the start (doublings)")
    low, high = ratios["low"].min(), ratios["high"].max()
    ax.set_ylim(low - 0.1 * (high - low), high + 0.1 * (high - low))
    _by_depth(ax, ratios)
    style.label_ends(ax, ratios[ratios["after_the_sum"] != NOTHING], "depth", "block")
    ax.axhline(0, **style.CHAPTER_LINE)
    ax.text(0.97, 0, "chapter: residual ≥ 0", transform=ax.get_yaxis_transform(), fontsize=8,
            ha="right", va="bottom", color=style.CHAPTER)  # fmt: skip
    ax.set_xlabel("layers (dashed: nothing after the sum)")


def _through_layers(ax, data):
    """Halvings by number of square layers, of networks whose gradient falls: slope p."""
    ax.set_title("Plain networks (halvings)")
    powers = data[data["quantity"] == "fall_power"].set_index(["activation", "init"])["median"]
    falls = data[(data["quantity"] == "plain_ratio") & (data["median"] < 0)]
    layers = sorted(set(falls["layers"]))
    style.log_axis(ax, "x", 0.9 * layers[0], 1.1 * layers[-1], layers)
    style.log_axis(ax, "y", 0.7, 1.5 * -falls["low"].min(), [4.0**power for power in range(6)])
    ends = []
    for (activation, init), power in powers.items():
        rows = falls[(falls["activation"] == activation) & (falls["init"] == init)]
        drawn, x = style.level_style(activation), rows["layers"].astype(float)
        ax.fill_between(x, -rows["high"], -rows["low"], color=drawn.colour, alpha=0.2, linewidth=0)
        ax.plot(x, -rows["median"], color=drawn.colour, marker=drawn.marker, markersize=3.5,
                linestyle=style.DASHES if init == SMALL else "-", linewidth=1.3)  # fmt: skip
        start = label(init).removeprefix("N, ")
        said = f"{label(activation)}, {start}: {number(power, 2)}"
        ends.append((x.iloc[-1], -rows["median"].iloc[-1], said, drawn.colour))
    style.name_ends(ax, ends)
    ax.text(0.03, 0.97, "power p of Lᵖ; chapter: 1", transform=ax.transAxes, fontsize=8, va="top",
            color=style.CHAPTER)  # fmt: skip
    ax.set_xlabel("layers L")


def _after_training(ax, ratios):
    """A row for each kind at the depth that is trained: start hollow, trained full."""
    depth = ratios.loc[ratios["stage"] == TRAINED, "depth"].max()
    ax.set_title(f"{depth:.0f} layers (doublings)")
    names = []
    for place, (block, after, rows) in enumerate(kinds(ratios[ratios["depth"] == depth])):
        drawn = style.level_style(block)
        names.append(named(block, after))
        for stage, rate in ((START, ""), (TRAINED, "chapter")):
            row = rows[(rows["stage"] == stage) & (rows["rate"] == rate)]
            fill = drawn.colour if stage == TRAINED else "none"
            ax.hlines(place, row["low"], row["high"], color=drawn.colour, linewidth=3, alpha=0.35)
            ax.plot(row["median"], [place] * len(row), drawn.marker, color=drawn.colour,
                    markerfacecolor=fill)  # fmt: skip
    ax.set_ylim(len(names) - 0.5, -0.6)
    ax.set_yticks(range(len(names)), names)
    ax.grid(False)
    ax.grid(True, axis="x")
    ax.axvline(0, color=style.INK, linewidth=0.9)
    ax.set_xlabel("hollow: start, full: trained\n*: nothing after the sum")


def _smallest(ax, least):
    """Smallest singular values at the start, median over blocks and images."""
    ax.set_title("Smallest singular value")
    ax.set_ylim(0, 1.15)
    shown = least[(least["stage"] == START) & (least["after_the_sum"] == NOTHING)]
    _by_depth(ax, shown)
    style.label_ends(ax, shown, "depth", "block")
    ax.axhline(1, **style.CHAPTER_LINE)
    ax.text(0.02, 1.01, "chapter: at least 1", transform=ax.get_yaxis_transform(), fontsize=8,
            va="bottom", color=style.CHAPTER)  # fmt: skip
    ax.set_xlabel("layers; nothing after the sum\n(with a ReLU there: 0)")


# ---- The tables ---------------------------------------------------------------------------------


def t08(table: pd.DataFrame, ledger: dict) -> Table:
    """T08: the chapter's two rows, and a row for each kind of network and depth."""
    table = first_data_set(table)
    quantities = {
        "gradient_ratio": "gradient, first over last, doublings",
        "largest_norm": "largest norm M",
        "bound_holds": "bound held, % of images",
    }
    stages = {"At the start": {"stage": START}, "Trained": {"stage": TRAINED, "rate": "chapter"}}
    chapter = {"standard": "≤ L log₂ M: vanishes if M < 1", "residual": "≥ 0: never vanishes"}
    blank = [Cell()] * (len(quantities) * len(stages) - 1)
    bodies = [
        Body(
            "The chapter",
            [Row([name, "any"], [Cell(text=s), *blank], True) for name, s in chapter.items()],
        )
    ]
    for title, blocks in {"Standard": PLAIN, "Residual": RESIDUAL}.items():
        rows = []
        for block in blocks:
            for after in (RELU, NOTHING) if block in RESIDUAL else (None,):
                mine = table[table["block"] == block]
                if after:
                    mine = mine[mine["after_the_sum"] == after]
                name = label(block) + (f", {after}" if after else "")
                for depth in sorted(set(mine["depth"].dropna())):
                    cells = [
                        measured_cell(mine, quantity=quantity, depth=depth, **stage)
                        for quantity in quantities
                        for stage in stages.values()
                    ]
                    rows.append(Row([name, f"{depth}"], cells))
        bodies.append(Body(title, rows))
    columns = [Column(stage, "measured", q) for q in quantities for stage in stages]
    groups = [(said, len(stages)) for said in quantities.values()]
    notes = [
        "L counts blocks, or pairs of plain layers; M is the largest norm over the blocks and over "
        "images. With batch norm, its statistics are taken from training images and held fixed. "
        f"He initialisation; {trained_for(table)} at 0.001."
    ]
    held = [row.cells[4].value for body in bodies[1:] for row in body.rows if row.cells[4].n]
    finding = (
        f"The chapter's bound on the gradient holds on all images in "
        f"{of_all((share == 100 for share in held), 'kinds of networks')} at the start, on the "
        f"median seed; elsewhere it holds on {span((s for s in held if s < 100), '%', 0)}."
        if min(held) < 100
        else f"The chapter's bound on the gradient holds on all images in all {len(held)} kinds of "
        "networks at the start, on the median seed."
    )
    return with_digits(["Network", "Layers"], groups, columns, bodies, notes, finding=finding)


def t09(table: pd.DataFrame, ledger: dict) -> Table:
    """T09: the chapter's five formulas, each with its check and the claims about it."""

    def worst(quantity, **levels):
        rows = table[table["quantity"] == quantity]
        for column, level in levels.items():
            rows = rows[rows[column] == level]
        largest = rows["value"].max() if len(rows) else math.nan
        return Cell(n=len(rows), text="0" if largest == 0 else number(largest, 2))

    def by_sum(quantity):
        return [worst(quantity, after_the_sum=after) for after in (NOTHING, RELU)]

    flow = [worst("flow_error", form=form) for form in ("transposed", "as printed")]
    checked = {
        ("residual block", "y = F(x) + x"): (
            "derivative I + ∂F/∂x", by_sum("block_error"), ["C101", "C103"]),
        ("gradient flow", "∂L/∂x = (I + ∂F/∂x) · ∂L/∂y"): (
            "gradients as columns, as printed", [flow[1], Cell()], ["C103", "C104", "C106"]),
        ("gradient flow", "∂L/∂x = (I + ∂F/∂x)ᵀ · ∂L/∂y"): (
            "the same, transposed", [flow[0], Cell()], []),
        ("identity mapping", "F(x) = 0 ⟹ y = x"): (
            "zero weights", by_sum("identity_error"), ["C100", "C101"]),
        ("ensemble view", "y = Σ (paths through network)"): (
            "the derivative as a sum over 2ᴸ paths", by_sum("expansion_error"),
            ["C107", "C108", "C109", "C111"]),
        ("effective depth", "most gradients flow through O(log L) layers"): (
            "growth of path lengths", [Cell(), Cell()], ["C110"]),
    }  # fmt: skip
    rows = [
        Row(list(heads), [Cell(text=check), *cells, Cell(claims=tuple(claims))])
        for heads, (check, cells, claims) in checked.items()
    ]
    columns = [
        Column("what is checked", "measured", "check"),
        Column("nothing after the sum", "measured", "error"),
        Column("ReLU after the sum", "measured", "error"),
        Column("claims", "measured", "claims"),
    ]
    groups = [("", 1), ("Largest relative error", 2), ("", 1)]
    notes = [
        "An error near 10⁻¹⁵ is rounding, one near 1 means that the formula is not this block's. "
        "Outputs add up over paths only if F is linear (C107); gradients always do."
    ]
    about_a_block = ["block_error", "identity_error", "expansion_error"]
    worst_of = table[table["quantity"].isin(about_a_block)].groupby(["after_the_sum", "quantity"])
    worst_of = worst_of["value"].max()
    exact = {after: span(worst_of.get(after, ())) for after in (NOTHING, RELU)}
    finding = (
        "Relative errors of the chapter's formulas of a residual block are "
        f"{exact[NOTHING]} with nothing after the sum, but {exact[RELU]} with its code's ReLU; "
        f"the gradient flow's is {flow[1].text} as printed, for columns, and {flow[0].text} "
        "transposed."
    )
    body = [Body("", rows)]
    return with_digits(["Concept", "Formula"], groups, columns, body, notes, finding=finding)
