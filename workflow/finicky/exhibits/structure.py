"""Structure in images: the figure of dimensions, neighbours' labels and memorised tasks."""

import pandas as pd
from matplotlib.figure import Figure

from finicky.exhibits import style
from finicky.exhibits.phrases import span
from finicky.experiments.structure import NOISE, RANDOM, SIDE, TASKS, TRUE
from finicky.labels import label

FIGURES = {
    "F10": "Left: intrinsic dimension as two nearest neighbours tell it, by the number of images. "
    "With few points in many dimensions it comes out too low: white noise has 784. Noise with the "
    "images' covariance (dashed) has the same principal components as they. "
    "Middle: how often an image and its k-th nearest neighbour are of one class, and two images "
    "drawn at random. Right: accuracy on new images (solid) and on those trained on (dashed).",
}


COLOURS = {TRUE: style.SAGE, RANDOM: style.VERMILLION, NOISE: style.LAVENDER}


def f10(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """F10: intrinsic dimension, labels of neighbours, and accuracy by the task; three panels."""
    data = pd.concat(
        [
            style.summary(table[table["quantity"].isin(quantities)], ["quantity", *by])
            for quantities, by in (
                (["dimension"], ["dataset", "noise", "images"]),
                (["same_label"], ["dataset", "rank"]),
                (["train_accuracy", "test_accuracy"], ["task", "width", "images"]),
            )
        ],
        ignore_index=True,
    )
    fig, axes = style.panels([2.7], columns=3, left=0.45, right=0.95, between=(1.35, 0))
    draw_dimensions(axes[0, 0], data[data["quantity"] == "dimension"])
    random_pair = table[(table["quantity"] == "same_label") & table["rank"].isna()]
    draw_labels(axes[0, 1], data[data["quantity"] == "same_label"], random_pair["value"])
    widest = data[data["width"] == data["width"].max()]
    draw_accuracies(axes[0, 2], widest)
    style.footer(fig, data)
    ends = data[(data["quantity"] == "dimension") & (data["images"] == data["images"].max())]
    last = widest[widest["images"] == widest["images"].max()].set_index(["quantity", "task"])
    dimensions = {
        noise: span(ends.loc[ends["noise"] == noise, "median"], places=0)
        for noise in ("none", "equal covariance")
    }
    new = {task: last.loc[("test_accuracy", task), "median"] for task in TASKS}
    fig.set_label(
        f"By their two nearest neighbours, images have {dimensions['none']} dimensions, noise of "
        "the "
        f"same covariance {dimensions['equal covariance']}; networks reach {new[TRUE]:.0f} % on "
        f"new images with true labels, {new[RANDOM]:.0f} % with random ones."
    )
    return fig, data


def draw_dimensions(ax, data):
    """Dimension by the number of images, for images and both kinds of noise."""
    ax.set_title("Intrinsic dimension")
    counts = sorted(set(data["images"]))
    style.log_axis(ax, "x", counts[0], max(counts[-1], counts[0] + 1), counts)
    style.log_axis(ax, "y", 5, 1000, [5, 10, 20, 50, 100, 200, 500])
    ax.set_xlabel("images")
    ax.axhline(SIDE**2, color=style.INK, linestyle=style.DASHES, linewidth=0.9)
    ax.text(counts[0], 0.95 * SIDE**2, f" {SIDE**2} pixels", fontsize=7.5, va="top")
    ends = []
    for (dataset, noise), rows in data.groupby(["dataset", "noise"]):
        name = label(dataset).replace("Fashion-MNIST", "Fashion")
        colour = style.BLUE if dataset == "mnist" else style.TAN
        if noise == "equal size":
            if dataset != "mnist":
                continue  # white noise of the same size once more
            name, colour = "white noise", style.PLUM
        elif noise == "equal covariance":
            name = f"noise like {name}"
        band(ax, rows, "images", colour, noise == "equal covariance")
        ends.append((counts[-1], rows["median"].iloc[-1], name, colour))
    style.name_ends(ax, ends)


def draw_labels(ax, data, random_pair):
    """Share of pairs with one label by rank of the neighbour; dots at the end: a random pair."""
    ax.set_title("Same label (%)")
    style.log_axis(ax, "x", 1, data["rank"].max(), [1, 10, 100, 1000])
    ax.set(ylim=(0, 100), xlabel="rank of the neighbour")
    ax.axhline(random_pair.median(), color=style.INK, linestyle=style.DASHES, linewidth=0.9)
    ax.text(1.1, random_pair.median() + 1.5, "two at random", fontsize=7.5, va="bottom")
    for dataset, rows in data.dropna(subset="rank").groupby("dataset"):
        colour = style.BLUE if dataset == "mnist" else style.TAN
        band(ax, rows, "rank", colour)
        at = (0.42, 0.95 if dataset == "mnist" else 0.88)
        style.name(ax, label(dataset), at, colour, within="axes fraction")


def draw_accuracies(ax, data):
    """Accuracy by the number of images trained on, for true labels, random ones, and noise."""
    ax.set_title(f"Accuracy (%), {int(data['width'].max())} units")
    counts = sorted(set(data["images"]))
    style.log_axis(ax, "x", counts[0], max(counts[-1], counts[0] + 1), counts)
    ax.set(ylim=(0, 104), xlabel="images trained on")
    ax.set_yticks([0, 10, 50, 100])
    ax.text(1.03, 100, "all, images\ntrained on", transform=ax.get_yaxis_transform(), fontsize=7.5,
            va="center", linespacing=1)  # fmt: skip
    ends = []
    for (quantity, task), rows in data.groupby(["quantity", "task"]):
        band(ax, rows, "images", COLOURS[task], quantity == "train_accuracy")
        if quantity == "test_accuracy":
            ends.append((counts[-1], rows["median"].iloc[-1], task, COLOURS[task]))
    style.name_ends(ax, ends)


def band(ax, rows, x, colour, dashed=False):
    """Median and range of the seeds."""
    ax.fill_between(rows[x], rows["low"], rows["high"], color=colour, alpha=0.2, linewidth=0)
    ax.plot(
        rows[x], rows["median"], color=colour, linestyle=style.DASHES if dashed else "-",
        clip_on=False,
    )  # fmt: skip
