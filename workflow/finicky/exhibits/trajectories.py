"""How the update rules walk and what they scale, and each printed rule against PyTorch's."""

import math

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from finicky.exhibits import style
from finicky.exhibits.tables import Body, Cell, Column, Row, Table, rows_at, with_digits
from finicky.experiments.landscapes import CLOSE, LANDSCAPES
from finicky.experiments.trajectories import CONDITIONS, GRADIENTS, WALKERS
from finicky.labels import label
from finicky.numbers import number, significant

FIGURES = {
    "F26": "Above: walks from one start, each rule at its own best rate, and the steps to the "
    "goal; "
    "all axes are drawn as the rules see them, so the rules that scale each coordinate have the "
    "ravine's axes for a gift. Below, left: steps by how narrow the ravine is, on logarithmic "
    "axes, beside two laws. Middle: what momentum 0.9 gains on descent, each at its best rate, in "
    "doublings; below zero it is slower. Right: RMSProp's scale for each weight of a small network "
    "against the curvature that Newton's method would use; the chapter has the two in proportion.",
}
TABLES = {
    "T12": "Largest deviation of the parameters from torch.optim's in double precision, relative "
    "to their start, over all seeds.",
}
RULE_NAMES = {
    "gradient descent": "Gradient descent",
    "momentum": "Momentum",
    "rmsprop": "RMSProp",
    "adam": "Adam",
    "adamw": "AdamW",
}
STYLES = {  # name, colour and marker of each optimizer
    "gradient descent": ("descent", *style.level_style("sgd")),
    "momentum": ("momentum 0.9", *style.level_style("momentum")),
    "best momentum": ("best momentum", style.VERMILLION, "D"),
    "nesterov": ("Nesterov 0.9", style.BLUE, "o"),
    "rmsprop": ("RMSProp", *style.level_style("rmsprop")),
    "adam": ("Adam", *style.level_style("adam")),
}
AGREES = 1e-6  # relative deviation, up to which a printed rule is said to follow PyTorch's
VIEWS = {  # landscape: title, x from, to, y from, to
    "ravine": ("Ravine, κ = 100", -1.15, 1.15, -1.15, 1.15),
    "saddle": ("Saddle", -1.0, 1.6, -0.5, 1.7),
    "banana": ("Banana (Rosenbrock)", -1.6, 1.6, -0.7, 1.9),
}


def f26(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Walks on three landscapes, steps and gains by condition number, RMSProp's scale."""

    def of(quantity):
        rows = table[table["quantity"] == quantity]
        known = [axis for axis in CONDITIONS if rows[axis].notna().any()]
        return style.summary(rows, known).assign(quantity=quantity)

    shown = ["steps", "path_x", "path_y", "steps_by_number", "faster_along", "damped_across"]
    shown += ["curvature", "root_mean_square", "exponent"]
    data = pd.concat([of(quantity) for quantity in shown], ignore_index=True)
    fig, axes = style.panels(
        [1.75, 0.95, 2.1], columns=3, left=0.95, right=0.15, between=(0.55, 0.6), bottom=0.75
    )
    steps = data[data["quantity"] == "steps"]
    for column, name in enumerate(VIEWS):
        _landscape(axes[0, column], name, data[data["landscape"] == name])
        _steps(axes[1, column], steps[steps["landscape"] == name], named=column == 0)
    for column in (1, 2):
        axes[1, column].set_yticklabels([])
    by_number = data[data["quantity"] == "steps_by_number"]
    _by_condition_number(axes[2, 0], by_number)
    _gains(axes[2, 1], data)
    exponent = data[data["quantity"] == "exponent"].sort_values("epoch").iloc[-1]
    _scales(axes[2, 2], data, exponent)
    style.footer(fig, steps)
    style.note(fig, "walks from one start")
    fig.set_label(_finding(by_number, exponent))
    return fig, data


def _finding(by_number, exponent):
    """Where momentum 0.9 begins to pay, and with which power RMSProp's scale grows."""
    wide = by_number.pivot(index="condition_number", columns="optimizer", values="median")
    pays = wide.index[wide["momentum"] < wide["gradient descent"]]
    ratio = (wide["gradient descent"] / wide["momentum"]).iloc[-1]
    numbers = [label(wide.index[-1]), label(pays.min()) if len(pays) else ""]
    first = (
        f"Momentum 0.9 beats plain descent from condition number {numbers[1]} on, "
        f"{significant(ratio, 2)}-fold at {numbers[0]}"
        if len(pays)
        else f"Momentum 0.9 never beats plain descent up to condition number {numbers[0]}"
    )
    return (
        f"{first}; RMSProp's scale grows with the curvature to the power "
        f"{number(exponent['median'])}, where Newton's method, and the chapter, have 1."
    )


def _landscape(ax, name, data):
    """Contours of the height, the walks, and the steps that each rule needs."""
    title, left, right, low, high = VIEWS[name]
    grid = np.stack(np.meshgrid(np.linspace(left, right, 70), np.linspace(low, high, 70)), -1)
    height = LANDSCAPES[name].height(grid)
    levels = height.max() * 2.0 ** np.arange(-12, 0, 1.5)
    ax.contour(
        *np.moveaxis(grid, -1, 0), height, levels, colors=style.INK, alpha=0.22, linewidths=0.5
    )
    for rule in WALKERS:
        walked = data[data["optimizer"] == rule].sort_values("step")
        x = walked.loc[walked["quantity"] == "path_x", "median"]
        y = walked.loc[walked["quantity"] == "path_y", "median"]
        _, colour, marker = STYLES[rule]
        ax.plot(
            x, y, color=colour, marker=marker, markersize=2.5, markevery=0.12,
            linewidth=0.5 if rule == "gradient descent" else 1.1,
        )  # fmt: skip
        ax.plot(x.iloc[:1], y.iloc[:1], "o", color=style.INK, markersize=4, zorder=3)
    ax.set(xlim=(left, right), ylim=(low, high))
    ax.set_title(title, fontsize=8.5)
    ax.grid(False)


def _steps(ax, steps, named):
    """Steps to the goal, a row for each rule; the first panel names the rules."""
    rules = [rule for rule in WALKERS if rule in set(steps["optimizer"])]
    for row in steps.itertuples():
        _, colour, marker = STYLES[row.optimizer]
        place = rules.index(row.optimizer)
        ax.plot([row.low, row.high], [place, place], color=colour, linewidth=1)
        ax.plot(row.median, place, marker, color=colour, clip_on=False)
    style.log_axis(ax, "x", 5, 2e4, [10, 100, 1000, 10000])
    ax.set_ylim(len(rules) - 0.5, -0.5)
    ax.set_yticks(range(len(rules)), [STYLES[rule][0] for rule in rules] if named else [])
    ax.grid(True, axis="x")
    ax.grid(False, axis="y")
    ax.set_title("steps to the goal", fontsize=8, weight="normal", pad=3)


def _by_condition_number(ax, data):
    """Steps by condition number, beside the laws."""
    numbers = np.sort(data["condition_number"].unique())
    ax.set_title("Steps by condition number", fontsize=8.5)
    low, high = numbers[0] / 1.3, numbers[-1] * 1.3
    style.log_axis(ax, "x", low, high, [1, 10, 100, 1000, 10000])
    style.log_axis(ax, "y", 2, 1e4, [10, 100, 1000, 10000])
    names = {  # where a line's name stands: at which of its points, offset, alignment
        "gradient descent": (-2, (-7, 2), "right", "bottom"),
        "momentum": (0, (-4, 7), "left", "bottom"),
        "best momentum": (2, (2, -13), "left", "top"),
    }
    for rule, (at, offset, ha, va) in names.items():
        rows = data[data["optimizer"] == rule].sort_values("condition_number")
        name, colour, marker = STYLES[rule]
        ax.plot(rows["condition_number"], rows["median"], color=colour, marker=marker)
        point = rows.iloc[at if len(rows) > 2 else 0]
        ax.annotate(
            name, (point["condition_number"], point["median"]), fontsize=7.5, xytext=offset,
            ha=ha, va=va, textcoords="offset points",
        )  # fmt: skip
    for law, power, va in (("∝ κ", 1, "bottom"), ("∝ √κ", 0.5, "top")):
        line = np.log(1 / CLOSE) / 2 * numbers**power
        ax.plot(numbers, line, color=style.INK, linestyle=style.DASHES, linewidth=0.9)
        ax.annotate(
            law, (numbers[-1], line[-1]), fontsize=7.5, xytext=(2, 6 if va == "bottom" else -8),
            ha="right", va=va, textcoords="offset points",
        )  # fmt: skip
    ax.set_xlabel("condition number κ")


def _gains(ax, data):
    """What momentum 0.9 gains on descent across and along the ravine."""
    ax.set_title("Gain of momentum 0.9", fontsize=8.5)
    ax.axhline(0, color=style.INK, linewidth=0.8)
    parts = (
        ("damped_across", "across", style.PLUM, "s", (4, -9)),
        ("faster_along", "along", style.BLUE, "o", (-24, 4)),
    )
    for quantity, name, colour, marker, offset in parts:
        rows = data[data["quantity"] == quantity].sort_values("condition_number")
        ax.plot(rows["condition_number"], rows["median"], color=colour, marker=marker)
        at = len(rows) // 2
        ax.annotate(
            name, (rows["condition_number"].iloc[at], rows["median"].iloc[at]), fontsize=7.5,
            xytext=offset, textcoords="offset points",
        )  # fmt: skip
    numbers = data["condition_number"].dropna()
    style.log_axis(ax, "x", numbers.min() / 1.3, numbers.max() * 1.3, [1, 10, 100, 1000, 10000])
    ax.text(
        0.03, 0.96, "doublings of the steps saved", transform=ax.transAxes, fontsize=7.5, va="top"
    )
    ax.text(0.97, 0.04, "below 0: descent sooner", transform=ax.transAxes, fontsize=7.5, ha="right")
    ax.set_xlabel("condition number κ")


def _scales(ax, data, exponent):
    """RMSProp's scale of each weight against the Hessian's diagonal."""
    wide = data[data["parameter"].notna()].pivot(
        index="parameter", columns="quantity", values="median"
    )
    curvature, scale = wide["curvature"], wide["root_mean_square"]
    ax.set_title("RMSProp's √E[g²]", fontsize=8.5)
    ax.plot(curvature, scale, ".", color=style.SAGE, markersize=2.5)
    ends = np.quantile(curvature, [0.02, 0.995])
    middle = np.exp(np.log(curvature).median()), np.exp(np.log(scale).median())
    for power, name in ((1, "chapter: ∝ H"), (0.5, "∝ √H")):
        drawn = style.CHAPTER_LINE if power == 1 else {"color": style.INK, "linewidth": 1}
        ax.plot(ends, middle[1] * (ends / middle[0]) ** power, **drawn)
        ax.annotate(
            name, (ends[1], middle[1] * (ends[1] / middle[0]) ** power), fontsize=7.5,
            ha="right", va="bottom", xytext=(-4, 3), textcoords="offset points",
            color=drawn["color"],
        )  # fmt: skip
    low, high = np.quantile(scale, [0.002, 0.998])
    ticks = [10.0**power for power in range(-8, 3)]
    style.log_axis(ax, "x", ends[0] / 2, ends[1] * 2, ticks)
    style.log_axis(ax, "y", low / 2, high * 20, ticks)
    ax.text(
        0.03, 0.97, f"exponent {exponent['median']:.2f}\n({exponent['low']:.2f} to "
        f"{exponent['high']:.2f})", transform=ax.transAxes, fontsize=7.5, va="top",
    )  # fmt: skip
    ax.set_xlabel("Hessian's diagonal H")


def t12(table: pd.DataFrame, ledger: dict) -> Table:
    """Every printed update rule against torch.optim, step by step, by size of the gradients."""
    versions = {"table_deviation": "The table's rule", "text_deviation": "The text's rule"}
    rows = [
        Row(
            [name],
            [
                _worst(table, quantity=version, optimizer=rule, gradients=size)
                for version in versions
                for size in GRADIENTS
            ],
        )
        for rule, name in RULE_NAMES.items()
    ]
    groups = [(name, len(GRADIENTS)) for name in versions.values()]
    columns = [
        Column(f"{size} gradients", "measured", version)
        for version in versions
        for size in GRADIENTS
    ]
    notes = [
        "Zero: a weight whose gradient is always 0. The table leaves out eps: there it divides 0 "
        "by 0, and tiny gradients make full steps. RMSProp's text has eps inside the root, PyTorch "
        "outside."
    ]
    off = table[table["quantity"] == "table_deviation"].groupby("optimizer")["value"].max()
    agrees = sum(off < AGREES)
    finding = (
        f"Of the table's {len(off)} printed rules {agrees} follow torch.optim to within "
        f"{significant(AGREES, 1)} of the start, whatever the gradients' size."
    )
    return with_digits(["Rule"], groups, columns, [Body("", rows)], notes, finding=finding)


def _worst(table, **levels):
    """The largest number of one condition, which is infinite where the rule divides 0 by 0."""
    found = rows_at(table, **levels)["value"]
    worst = max(found, default=math.nan)
    return Cell(n=len(found), text={math.inf: "0/0", 0.0: "0"}.get(worst) or number(worst, 4))
