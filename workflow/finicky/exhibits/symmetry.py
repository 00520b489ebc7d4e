"""Figure F11: networks that start equal, and the war story."""

import math

import numpy as np
import pandas as pd

from finicky.exhibits import style
from finicky.exhibits.phrases import span
from finicky.labels import in_order, label, listed

FIGURES = {
    "F11": "Above, networks of two layers with biases, trained by Adam at 0.001: the rank of the "
    "first layer's weights while they train, and where they end. A rank of 1 means units that move "
    "as one; lines of equal rank stand side by side, a little off it. Below, the war story, a "
    "small convolutional network on a binary task: the chapter has its loss from zero weights stay "
    "at 0.69 = ln 2 for 100 epochs, and random ones repair it at once; with one image in ten of "
    "the class the loss to be stuck at is another.",
}
STARTS = {  # colour, marker
    "zeros": (style.GREY, "*"),
    "constant": (style.VERMILLION, "s"),
    "first layer zero": (style.TAN, "P"),
    "last layer zero": (style.OLIVE, "v"),
    "random": (style.BLUE, "o"),
}
LEARNS = 20  # % of test accuracy, twice a guess
STORIES = {  # start, activation, % of the class 1: colour, marker, dashed
    ("zeros", "relu", 50): (style.GREY, "*", False),
    ("zeros", "relu", 10): (style.TAN, "P", False),
    ("zeros", "sigmoid", 50): (style.VERMILLION, "s", False),
    ("random", "relu", 50): (style.BLUE, "o", False),
    ("random", "sigmoid", 50): (style.VERMILLION, "s", True),
}


def f11(table: pd.DataFrame):
    """Figure F11 and the data behind it."""
    table = table[table["dataset"] == table["dataset"].iloc[0]]
    plain = table[table["bias"] & (table["learning_rate"] == 0.001)]
    plain = plain[plain["depth"] == plain["depth"].min()]
    by = ["start", "activation"]
    ranks = style.summary(plain[plain["quantity"] == "rank"], [*by, "step"])
    ends = style.summary(plain[plain["quantity"] == "test_accuracy"], by)
    told = table[table["bias"] & table["quantity"].isin(["binary_loss", "binary_accuracy"])]
    told = style.summary(told, ["quantity", *by, "positives", "epoch"])
    fig, axes = style.panels([2.1, 2.1], columns=2, left=0.4, right=1.25, between=(2.45, 0.8))
    _ranks(axes[0, 0], ranks)
    _accuracies(axes[0, 1], ends, int(ranks["step"].max()))
    _losses(axes[1, 0], told[told["quantity"] == "binary_loss"])
    _learned(axes[1, 1], told[(told["quantity"] == "binary_accuracy") & (told["positives"] == 50)])
    style.footer(fig, ends)
    style.note(fig, "ranks: equal ones stand side by side")
    last = told[(told["epoch"] == told["epoch"].max()) & (told["quantity"] == "binary_loss")]
    zero = ends[ends["start"] == "zeros"].set_index("activation")["median"]
    stuck = last[last["start"] == "zeros"].sort_values("positives", ascending=False)
    losses = ", ".join(
        f"{span(rows['median'], places=2)} with {share} % of the class"
        for share, rows in stuck.groupby("positives", sort=False)
    )
    learn = [label(a) for a in in_order(zero.index) if zero[a] > LEARNS]
    fig.set_label(
        f"From zero weights networks of two layers reach {span(zero, '%', 0)}, above {LEARNS} % "
        + (f"with {listed(learn)}" if learn else f"with none of {len(zero)} activations")
        + f"; the story's loss is, after {told['epoch'].max()} epochs, {losses} (chapter: 0.69)."
    )
    data = [ranks.assign(quantity="rank"), ends.assign(quantity="test_accuracy"), told]
    return fig, pd.concat(data, ignore_index=True)


def _ranks(ax, ranks):
    """Rank by step: a line for each start and rank that its activations end at."""
    most = int(ranks["median"].max())
    ticks = [0, *(2**power for power in range(20) if 2**power <= most)]
    ax.set_title("Rank of the first layer's weights")
    ax.set_yscale("function", functions=(lambda y: np.log2(1 + y), lambda y: 2.0**y - 1))
    ax.set(ylim=(-0.3, 1.3 * most + 0.5), xlabel="training step")
    ax.set_yticks(ticks)
    ax.set_xscale("symlog", linthresh=1)
    steps = sorted(set(ranks["step"]))
    ax.set_xlim(-0.15, 1.25 * steps[-1])
    shown = [0, *(2**power for power in range(0, 30, 2) if 2**power <= steps[-1])]
    ax.set_xticks(shown, [label(step) for step in shown])
    ax.set_xticks([], minor=True)
    last = ranks[ranks["step"] == steps[-1]]
    names = []
    for place, start in enumerate(STARTS):
        colour, marker = STARTS[start]
        for rank, same in last[last["start"] == start].groupby("median"):
            one = ranks[ranks["start"] == start]
            one = one[one["activation"] == same["activation"].iloc[0]]
            shift = 2 ** (0.08 * (place - 2))  # lines of equal rank side by side
            height = shift * (1 + one["median"]) - 1
            ax.plot(one["step"], height, color=colour, marker=marker)
            said = _which(same["activation"], last[last["start"] == start]["activation"])
            names.append((steps[-1], rank, f"{start}: {said}", colour))
    style.name_ends(ax, names)


def _which(activations, every):
    """Some of all activations, in as few words as they need."""
    missing = set(every) - set(activations)
    if len(missing) < len(set(activations)):
        return "all" + "".join(f" but {label(a)}" for a in in_order(missing))
    return ", ".join(label(a) for a in in_order(activations))


def _accuracies(ax, ends, steps):
    """Test accuracy at the end, one row per activation."""
    activations = in_order(ends["activation"])
    ax.set_title(f"Test accuracy after {steps} steps (%)")
    ax.set(xlim=(0, 100), ylim=(len(activations) - 0.5, -0.7))
    ax.set_yticks(range(len(activations)), [label(a) for a in activations])
    ax.grid(axis="x")
    ax.grid(visible=False, axis="y")
    ax.axvline(10, **style.CHAPTER_LINE)
    ax.text(13, -0.45, "chapter, zeros: 10", fontsize=8, va="center", color=style.CHAPTER)
    for place, activation in enumerate(activations):
        for shift, start in enumerate(STARTS):
            colour, marker = STARTS[start]
            y = place + 0.13 * (shift - 2)
            mine = ends[(ends["activation"] == activation) & (ends["start"] == start)]
            for point in mine.itertuples():
                ax.plot([point.low, point.high], [y, y], color=colour, linewidth=1.6)
                ax.plot(point.median, y, marker, color=colour)
    first = ends[ends["activation"] == activations[-1]].set_index("start")
    names = [(start, *STARTS[start]) for start in STARTS if start in first.index]
    for place, (start, colour, marker) in enumerate(names):
        y = 0.72 - 0.12 * place
        ax.plot(1.05, y, marker, color=colour, transform=ax.transAxes, clip_on=False)
        ax.text(1.09, y, start, transform=ax.transAxes, fontsize=8, va="center_baseline")


def _losses(ax, told):
    """The story's training loss by epoch."""
    epochs = sorted(set(told["epoch"]))
    ax.set_title("War story: training loss")
    style.log_axis(ax, "x", 0.9, 1.12 * epochs[-1], [e for e in (1, 2, 5, 10, 20, 50, 100, 200, 500)
                                                    if e <= epochs[-1]])  # fmt: skip
    ax.set(ylim=(0, 0.8), xlabel="epoch")
    ax.axhline(math.log(2), **style.CHAPTER_LINE)
    ax.text(1, 0.735, "chapter, zeros: 0.69", fontsize=8, va="center", color=style.CHAPTER)
    names = []
    for (start, activation, positives), (colour, marker, dashed) in STORIES.items():
        rows = told[(told["start"] == start) & (told["activation"] == activation)]
        rows = rows[rows["positives"] == positives]
        if rows.empty:
            continue
        _line(ax, rows, colour, marker, dashed)
        said = _story(start, activation, positives)
        names.append((epochs[-1], rows["median"].iloc[-1], said, colour))
    style.name_ends(ax, names)


def _learned(ax, told):
    """The story's test accuracy by epoch."""
    epochs = sorted(set(told["epoch"]))
    ax.set_title("War story: test accuracy (%)")
    style.log_axis(ax, "x", 0.9, 1.12 * epochs[-1], [e for e in (1, 2, 5, 10, 20, 50, 100, 200, 500)
                                                    if e <= epochs[-1]])  # fmt: skip
    ax.set(ylim=(45, 100), xlabel="epoch")
    names = []
    for (start, activation, positives), (colour, marker, dashed) in STORIES.items():
        rows = told[(told["start"] == start) & (told["activation"] == activation)]
        if positives != 50 or rows.empty:
            continue
        _line(ax, rows, colour, marker, dashed)
        said = _story(start, activation, 50)
        names.append((epochs[-1], rows["median"].iloc[-1], said, colour))
    style.name_ends(ax, names)


def _line(ax, rows, colour, marker, dashed):
    """Medians and ranges by epoch."""
    ax.fill_between(rows["epoch"], rows["low"], rows["high"], color=colour, alpha=0.2, linewidth=0)
    ax.plot(rows["epoch"], rows["median"], color=colour, marker=marker,
            linestyle=style.DASHES if dashed else "-",
            markerfacecolor="none" if dashed else colour)  # fmt: skip


def _story(start, activation, positives):
    """What a line of the story shows."""
    return f"{start}, {label(activation)}" + ("" if positives == 50 else ", 1 in 10")
