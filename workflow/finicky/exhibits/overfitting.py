"""Figure F33: overfitting and its remedies."""

import pandas as pd
from matplotlib.figure import Figure

from finicky.exhibits import style
from finicky.exhibits.phrases import span
from finicky.labels import in_order, label

FIGURES = {
    "F33": "A network far larger than its training set, with Adam at 0.001; a row for each size of "
    "that set. Left: no remedy, loss on the training images and on held-out ones, with the epoch "
    "that early stopping takes. Middle and right: the held-out images with each remedy alone and "
    "with all of them, at the strengths that the other seeds choose. No remedy and early stopping "
    "share a line.",
}
REMEDIES = ["none", "L2", "dropout", "augmentation", "all"]
SPLITS = {"train": (style.DASHES, "training"), "validation": ("-", "held out")}


def f33(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """F33, of the first data set, and the medians and ranges behind it."""
    curves = table[table["quantity"].isin(["loss", "accuracy"])]
    curves = curves[curves["dataset"] == in_order(curves["dataset"])[0]]
    data = style.summary(curves, ["quantity", "images", "remedy", "split", "epoch"])
    sizes = sorted(set(data["images"]))
    fig, axes = style.panels(
        [1.9] * len(sizes), columns=3, left=0.4, right=1.05, between=(1.0, 0.8), bottom=0.75,
        top=0.5,
    )  # fmt: skip
    for row, images in zip(axes, sizes, strict=True):
        here = data[data["images"] == images]
        alone, losses, accuracies = row
        _alone(alone, here, f"{label(int(images))} images: loss (nats)")
        held = here[here["split"] == "validation"]
        _remedies(losses, held[held["quantity"] == "loss"], names=False)
        _remedies(accuracies, held[held["quantity"] == "accuracy"], names=True)
        losses.set_title("Held-out loss (nats)", fontsize=8.5)
        accuracies.set_title("Held-out accuracy (%)", fontsize=8.5)
    for ax in axes[-1]:
        ax.set_xlabel("epochs")
    style.footer(fig, data)
    epochs = label(int(data["epoch"].max()))
    style.note(fig, f"trained for {epochs} epochs in batches of 50")
    fig.set_label(_finding(data))
    return fig, data


def _finding(data):
    """From when on the held-out loss rises without a remedy, and which remedy gains the most."""
    held = data[data["split"] == "validation"]
    loss = held[(held["quantity"] == "loss") & (held["remedy"] == "none")]
    loss = loss.sort_values("epoch").groupby("images")
    lowest = loss["median"].min()
    epochs = loss.apply(lambda rows: rows.loc[rows["median"].idxmin(), "epoch"])
    rise = loss["median"].last() / lowest
    last = held[(held["epoch"] == held["epoch"].max()) & (held["quantity"] == "accuracy")]
    last = last.pivot(index="remedy", columns="images", values="median")
    gains = last.sub(last.loc["none"]).drop("none")
    best = gains.mean(axis=1).idxmax()
    helps = f"{label(best)} together help" if best == "all" else f"{label(best)} helps"
    return (
        f"Without a remedy held-out loss is lowest at epoch {span(epochs, places=0)} and ends "
        f"{span(rise)} times as high; of the remedies {helps} most, by "
        f"{span(gains.loc[best], 'points', 1)} of accuracy."
    )


def _alone(ax, here, title):
    """Training and held-out loss without a remedy, and the epoch of the lowest median."""
    rows = here[(here["remedy"] == "none") & (here["quantity"] == "loss")].sort_values("epoch")
    colour, ends = style.level_style("none").colour, []
    for split, (dashes, words) in SPLITS.items():
        mine = rows[rows["split"] == split]
        ax.fill_between(mine["epoch"], mine["low"], mine["high"], color=colour, alpha=0.2,
                        linewidth=0)  # fmt: skip
        ax.plot(mine["epoch"], mine["median"], color=colour, linestyle=dashes)
        end = mine.iloc[-1]
        ends.append((end["epoch"], end["median"], words, colour))
    held = rows[rows["split"] == "validation"]
    lowest = held.loc[held["median"].idxmin()]
    ax.plot(lowest["epoch"], lowest["median"], "o", color=style.INK, markersize=4)
    ax.annotate(
        "early stopping", (lowest["epoch"], lowest["median"]), xytext=(4, 12),
        textcoords="offset points", fontsize=7.5,
    )  # fmt: skip
    ax.set_ylim(0, 1.15 * max(rows["high"].max(), 0.1))
    style.name_ends(ax, ends)
    style.expected(ax, title, "training falls, held out rises")


def _remedies(ax, rows, names):
    """A line for each remedy by epoch; markers would hide the curves."""
    for remedy in REMEDIES:
        mine = rows[rows["remedy"] == remedy].sort_values("epoch")
        colour = style.level_style(remedy).colour
        ax.fill_between(mine["epoch"], mine["low"], mine["high"], color=colour, alpha=0.15,
                        linewidth=0)  # fmt: skip
        ax.plot(mine["epoch"], mine["median"], color=colour)
    later = rows[rows["epoch"] >= rows["epoch"].max() / 10]  # the first epochs are off the scale
    low, high = later["low"].min(), later["high"].max()
    ax.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    if names:
        style.label_ends(ax, rows, "epoch", "remedy")
