"""What Adam's bias correction does to its steps, and where Adam walks the wrong way."""

import pandas as pd
from matplotlib.figure import Figure

from finicky.exhibits import style
from finicky.exhibits.phrases import span
from finicky.experiments.adam import CONDITIONS, COUNTEREXAMPLES, REPORTED
from finicky.numbers import number, significant

FIGURES = {
    "F37": "Left: length of a step without the bias correction over that with it, by the step's "
    "number: of both moments, and of the first alone, which is the chapter's example and makes "
    "steps shorter. Middle and right: positions on two sums of linear functions on the interval "
    "from −1 to 1 whose minimum is −1 (theorem 1 of Reddi et al. 2018, and one for the usual β); "
    "lines are medians, bands go from the lowest to the highest seed.",
}


def f37(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Step length without bias correction; positions on the two counterexamples."""

    def of(quantity):
        rows = table[table["quantity"] == quantity]
        known = [axis for axis in CONDITIONS if rows[axis].notna().any() and axis != "decay"]
        return style.summary(rows, known).assign(quantity=quantity)

    names = ["uncorrected_over_corrected", "chapter_factor", "position"]
    data = pd.concat([of(name) for name in names], ignore_index=True)
    fig, axes = style.panels([2.6], columns=3, left=0.5, right=0.3, between=(0.65, 0))
    lengths, *examples = axes[0]
    _lengths(lengths, data)
    for ax, name in zip(examples, COUNTEREXAMPLES, strict=True):
        _walks(ax, COUNTEREXAMPLES[name], data[data["counterexample"] == name])
    style.footer(fig, data)
    ends = data[data["quantity"] == "position"].sort_values("step")
    ends = ends.groupby(["optimizer", "counterexample"])["median"].last()
    ratios = data[data["quantity"] == "uncorrected_over_corrected"].sort_values("step")
    first = ratios["median"].iloc[0]
    fig.set_label(
        f"Adam's first step without bias correction is {significant(first, 2)} times as long as "
        f"with it. On sums of functions whose minimum is −1, Adam ends at "
        f"{span(ends['adam'], places=1)} and AMSGrad at {span(ends['amsgrad'], places=1)}."
    )
    return fig, data


def _lengths(ax, data):
    """What leaving the correction out does to a step's length."""
    ax.set_title("Step without correction (×)", fontsize=8.5)
    style.log_axis(ax, "x", 1, REPORTED[-1], REPORTED[::2])
    style.log_axis(ax, "y", 0.08, 12, [0.1, 0.2, 0.5, 1, 2, 5, 10])
    ax.axhline(1, color=style.INK, linewidth=0.8)
    lines = (
        ("uncorrected_over_corrected", style.PLUM, "both moments", 120, (4, 2), "left"),
        ("chapter_factor", style.CHAPTER, "chapter: the first\nmoment alone", 3, (10, -4), "left"),
    )  # fmt: skip
    for quantity, colour, label, at, offset, ha in lines:
        rows = data[data["quantity"] == quantity].sort_values("step")
        ax.plot(rows["step"], rows["median"], color=colour)
        near = rows.iloc[(rows["step"] - at).abs().argmin()]
        ax.annotate(
            label, (near["step"], near["median"]), xytext=offset, textcoords="offset points",
            ha=ha, va="bottom" if offset[1] > 0 else "top", fontsize=7.5,
            color=style.CHAPTER if colour == style.CHAPTER else style.INK,
        )  # fmt: skip
    ax.set_xlabel("step t")


def _walks(ax, example, data):
    """Positions on a counterexample."""
    first, second = example["betas"]
    ax.set_title(f"Position, β = {first:g}, {second:g}", fontsize=8.5)
    ax.axhline(-1, color=style.INK, linewidth=1, linestyle=style.DASHES)
    ax.text(0.98, 0.02, "minimum", transform=ax.transAxes, fontsize=7.5, ha="right", va="bottom")
    for name, colour, label in (
        ("adam", style.PLUM, "Adam"),
        ("adamw", style.TAN, "AdamW"),
        ("amsgrad", style.BLUE, "AMSGrad"),
    ):
        rows = data[data["optimizer"] == name].sort_values("step")
        x = rows["step"] if example["falls"] else rows["step"] / example["period"]
        ax.fill_between(x, rows["low"], rows["high"], color=colour, alpha=0.15, linewidth=0)
        ax.plot(
            x, rows["median"], color=colour, label=label, linewidth=1.2,
            linestyle="--" if name == "adamw" else "-",
        )  # fmt: skip
    if example["falls"]:
        style.log_axis(ax, "x", 1, data["step"].max(), REPORTED[::2])
        ax.set_xlabel("step t")
    else:
        ax.set_xlabel(f"periods of {number(example['period'], 0)} steps")
    ax.set_ylim(-1.25, 1.4)
    ax.legend(
        loc="upper left", ncols=3, fontsize=7.5, handlelength=1.1, columnspacing=0.6, borderpad=0,
        borderaxespad=0.2,
    )  # fmt: skip
