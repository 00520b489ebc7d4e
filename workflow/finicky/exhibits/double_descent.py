"""Double descent: the figure of errors by size."""

import pandas as pd
from matplotlib.figure import Figure

from finicky.evidence.intervals import median_interval
from finicky.exhibits import style
from finicky.exhibits.phrases import span
from finicky.experiments.double_descent import FEATURES, TRAINED
from finicky.labels import listed

FIGURES = {
    "F07": "Test error (solid) and training error (dashed) by size, with true and with wrong "
    "labels. The vertical line is where the chapter expects the peak: as many "
    "features as images on the left; on the right as many weights as numbers to be fitted, ten a "
    "training image. The triangles mark the smallest size that fits, measured.",
}


COLOURS = [style.BLUE, style.VERMILLION, style.SAGE, style.PLUM, style.TAN, style.OLIVE]
TICKS = [1, 3, 10, 30, 100, 300, 1000, 3000, 10000, 30000, 100000]


def f07(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """F07: errors by size, random features on the left, networks on the right."""
    shown = table[table["quantity"].isin(["test_error", "train_error"])]
    data = style.summary(shown, ["model", "share_of_wrong_labels", "quantity", "size"])
    cell = ["model", "share_of_wrong_labels"]
    counted = table[table["quantity"] == "as_many_weights"].groupby("model")["value"].median()
    fits = table[table["quantity"] == "fits_from"].groupby(cell)["value"].median()
    fig, axes = style.panels([2.7], columns=2, left=0.45, right=1.25, between=(1.35, 0))
    for ax, model, axis in (
        (axes[0, 0], FEATURES, "random features N"),
        (axes[0, 1], TRAINED, "hidden units"),
    ):
        draw_errors(ax, data[data["model"] == model], fits.get(model, pd.Series(dtype=float)))
        ax.set_title(f"Error (%), {model}")
        ax.set_xlabel(axis)
        ax.axvline(counted[model], **style.CHAPTER_LINE)
        side, offset = ("right", -3) if model == FEATURES else ("left", 3)
        ax.annotate(
            "chapter:\npeak", (counted[model], 91), xytext=(offset, 0), va="top", ha=side,
            textcoords="offset points", fontsize=7.5, color=style.CHAPTER,
        )  # fmt: skip
    style.footer(fig, data)
    fig.text(0.99, 0.08 / fig.get_figheight(), "solid: test, dashed: training", fontsize=8,
             ha="right")  # fmt: skip
    fig.set_label(_finding(table))
    return fig, data


def _finding(table):
    """For which models the runs decide that test error has a peak where they begin to fit, and how
    high it is; for which they decide that it has none; and for which neither, with their count."""
    cell = ["quantity", "model", "share_of_wrong_labels"]
    medians = table.groupby(cell)["value"].median()
    runs = table[table["quantity"] == "peaks_and_falls"].groupby(cell[1:])["value"].agg(list)
    peaks = {of: _decided(flags) for of, flags in runs.items()}
    sides = {True: [], False: [], None: []}
    for model in runs.index.unique("model"):
        shares = list(runs[model].index)
        alike = len({peaks[model, share] for share in shares}) == 1
        for some in [shares] if alike else [[share] for share in shares]:
            peak, flags = peaks[model, some[0]], sum((runs[model, share] for share in some), [])
            words = f"a {model}" if model == TRAINED else model
            words += "" if alike else f" with {said(some[0])}"
            count = f" ({sum(flags):.0f} of {len(flags)} runs)" * (peak is None)
            sides[peak].append(words + count)

    def points(quantity):
        return span((medians.get((quantity, *of)) for of, peak in peaks.items() if peak), places=1)

    found = []
    if sides[True]:
        heights = f"{points('rise')} points up, {points('second_fall')} down"
        found.append(f"shows for {listed(sides[True])} ({heights})")
    if sides[False]:
        found.append(f"does not show for {listed(sides[False])}")
    if sides[None]:
        found.append(f"is undecided for {listed(sides[None])}")
    if not sides[True]:
        errors = table[table["quantity"] == "test_error"]
        largest = errors[errors["size"] == errors.groupby("model")["size"].transform("max")]
        last = largest.groupby(["model", "share_of_wrong_labels"])["value"].median()
        found[-1] += f"; with the largest it is {span(last, '%', 1)}"
    return f"A peak of test error near the smallest model that fits {listed(found)}."


def _decided(flags):
    """Whether more than half of all runs have a peak, told by the interval of these runs' median;
    None if they do not decide it."""
    low, high = median_interval(flags)
    return bool(low) if low == high else None


def said(share):
    """A share of wrong labels in words."""
    return f"{100 * share:g} % of labels wrong" if share else "true labels"


def draw_errors(ax, data, fits):
    """Errors of one model by size; fits: {share of wrong labels: smallest size that fits}."""
    sizes = sorted(set(data["size"]))
    style.log_axis(ax, "x", sizes[0], max(sizes[-1], sizes[0] + 1), TICKS)
    ax.set_ylim(-1, 92)
    shares = sorted(set(data["share_of_wrong_labels"]))
    for place, share in enumerate(shares):
        colour = COLOURS[place % len(COLOURS)]
        for quantity, line in (("test_error", "-"), ("train_error", style.DASHES)):
            rows = data[(data["share_of_wrong_labels"] == share) & (data["quantity"] == quantity)]
            ax.fill_between(
                rows["size"], rows["low"], rows["high"], color=colour, alpha=0.2, linewidth=0
            )
            ax.plot(
                rows["size"], rows["median"], color=colour, linestyle=line,
                linewidth=1.6 if line == "-" else 1,
            )  # fmt: skip
            if quantity == "test_error":
                ax.annotate(
                    said(share).replace(" of labels", "\nof labels"),
                    tuple(rows[["size", "median"]].iloc[-1]), xytext=(5, 0), va="center",
                    textcoords="offset points", fontsize=8, annotation_clip=False,
                )  # fmt: skip
        if share in fits:
            ax.plot(fits[share], 0, "^", color=colour, clip_on=False, zorder=4)
