"""Figure F35: linear models and their rivals, by the number of training images."""

import pandas as pd
from matplotlib.figure import Figure

from finicky.exhibits import style
from finicky.labels import in_order, label
from finicky.numbers import number

FIGURES = {
    "F35": "Test accuracy by the number of training images, on a scale spaced by the error that is "
    "left. Left: digits in the middle. Middle: digits moved by a few pixels at random. Lines are "
    "medians, bands the range of the seeds; at both ends the model that the chapter expects to win "
    "there. Right: what convolution gains over a network of one hidden layer; open: with all "
    "pixels rearranged by one permutation.",
}


def f35(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """F35, of the first data set, and the medians and ranges behind it."""
    table = table[table["dataset"] == in_order(table["dataset"])[0]]
    data = pd.concat(
        [
            style.summary(table[table["quantity"] == quantity], by).assign(quantity=quantity)
            for quantity, by in (
                ("accuracy", ["placement", "model", "images"]),
                ("gain_of_convolution", ["placement", "images"]),
            )
        ],
        ignore_index=True,
    )
    curves = data[data["quantity"] == "accuracy"]
    gains = data[data["quantity"] == "gain_of_convolution"]
    sizes, models = sorted(set(curves["images"])), in_order(curves["model"])
    fig, axes = style.panels([2.7], columns=3, left=0.4, right=0.75, between=(0.42, 0))
    here, there, gain = axes[0]
    # the middle panel's names take the space of the right panel's left third
    box = gain.get_position()
    gain.set_position((box.x0 + 0.1, box.y0, box.width - 0.1, box.height))
    for ax, placement, title in (
        (here, "centred", "Centred: accuracy (%)"),
        (there, "moved", "Moved: accuracy (%)"),
    ):
        of_place = curves[curves["placement"] == placement]
        highest = curves["high"].max()
        style.accuracy_axis(ax, "y", highest + 0.5 * (100 - highest))  # space for words
        _sizes(ax, sizes)
        ax.set_title(title, fontsize=8.5)
        for model in models:
            style.line(ax, of_place[of_place["model"] == model], "images", model)
        for at, word in ((0.02, "chapter:\nsimple ahead"), (0.98, "chapter:\nlearned ahead")):
            ax.text(
                at, 0.955, word, transform=ax.transAxes, fontsize=7.5, color=style.CHAPTER,
                ha="left" if at < 0.5 else "right", va="top",
            )  # fmt: skip
    style.label_ends(there, of_place, "images", "model")
    low, high = min(0, gains["low"].min()), max(0, gains["high"].max())
    gain.set_ylim(low - 0.05 * (high - low) - 0.1, high + 0.05 * (high - low) + 0.1)
    _sizes(gain, sizes)
    gain.set_title("Gain of convolution (pp)", fontsize=8.5)
    gain.axhline(0, color=style.INK, linewidth=0.8)
    for placement in ("centred", "moved", "permuted"):
        of_place = gains[gains["placement"] == placement]
        style.line(gain, of_place, "images", placement, dashed=placement == "permuted")
    style.label_ends(gain, gains, "images", "placement")
    style.footer(fig, data)
    most = curves[curves["images"] == sizes[-1]].set_index(["model", "placement"])["median"]
    ends = {
        model: f"{number(most[model, 'centred'], 1)} to {number(most[model, 'moved'], 1)} %"
        for model in models
    }
    fig.set_label(
        f"When digits move by a few pixels, a linear model's test accuracy goes from "
        f"{ends['linear']}, a convolution's from {ends['convolution']}, trained on "
        f"{label(int(sizes[-1]))} images."
    )
    return fig, data


def _sizes(ax, sizes):
    """A logarithmic axis of training images."""
    low, high = sizes[0] / 1.4, sizes[-1] * 1.4
    style.log_axis(ax, "x", low, high, [10.0**power for power in range(2, 6)])
    ax.set_xticks(ax.get_xticks(), [label(float(tick)) for tick in ax.get_xticks()])
    ax.set_xlabel("training images")
