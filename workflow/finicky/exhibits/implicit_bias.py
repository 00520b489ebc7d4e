"""How the angle between gradient descent's weights and the largest margin falls."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from finicky.exhibits import style

FIGURES = {
    "F38": "The angle between the weights of logistic regression and the direction of the largest "
    "margin, by step, on logarithmic axes. Gradient descent from zero (solid) and its limit of "
    "small rates, carried on to a trillion (dashed), fall ever more slowly: like one over the "
    "logarithm of the steps, the dotted line. Adam heads elsewhere.",
}


STYLES = {  # optimizer: colour, its name, from which step on it stands, offset, alignment
    "gradient flow": (style.BLUE, "gradient\nflow", np.inf, (4, -4), "left"),
    "gradient descent": (style.BLUE, "gradient\ndescent", 3e4, (-3, -22), "right"),
    "adam": (style.PLUM, "Adam", 5, (0, 12), "left"),
}


def f38(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """The angle by step, a panel for each number of inputs and examples."""
    angles = table[table["quantity"] == "angle"]
    data = style.summary(angles, ["inputs", "examples", "optimizer", "step"])
    points = sorted(set(zip(data["inputs"], data["examples"], strict=True)))
    fig, axes = style.panels(
        [2.4], columns=len(points), left=0.45, right=0.6, between=(0.75, 0), top=0.5
    )
    for ax, (inputs, examples) in zip(axes[0], points, strict=True):
        ax.set_title(f"{inputs} inputs, {examples} examples", fontsize=8.5)
        mine = data[(data["inputs"] == inputs) & (data["examples"] == examples)]
        _angles(ax, mine, names_descent=ax is axes[0, -1])
    axes[0, 0].set_title(f"Angle to the SVM (°)\n{axes[0, 0].get_title('left')}", fontsize=8.5)
    style.footer(fig, data)
    fig.text(0.99, 0.08 / fig.get_figheight(), "dotted: ∝ 1/log t", fontsize=8, ha="right")
    left = table[table["quantity"] == "angle_left"].groupby(["inputs", "examples", "optimizer"])
    fig.set_label(
        "Angle to the direction of the largest margin after the last step: "
        + ", ".join(
            f"{value:.3g}° by {optimizer} ({inputs} inputs, {examples} examples)"
            for (inputs, examples, optimizer), value in left["value"].median().items()
        )
        + "."
    )
    return fig, data


def _angles(ax, data, names_descent):
    """One panel: each optimizer's angle, and the law that gradient flow keeps."""
    end = data["step"].max()
    powers = [10.0**power for power in range(0, 40, 3)]
    style.log_axis(ax, "x", 1, end, powers)
    shown = [power for power in powers if power <= end]
    ax.set_xticks(shown, [_power(power) for power in shown])
    lowest = max(0.1, 0.6 * data["median"].min())
    style.log_axis(ax, "y", lowest, 120, [0.1, 0.3, 1, 3, 10, 30, 90])
    ax.set_xlabel("steps t")
    for optimizer, (colour, name, at, offset, side) in STYLES.items():
        rows, flows = data[data["optimizer"] == optimizer], optimizer == "gradient flow"
        ax.fill_between(
            rows["step"], rows["low"], rows["high"], color=colour, linewidth=0,
            alpha=0.1 if flows else 0.2,
        )  # fmt: skip
        ax.plot(
            rows["step"], rows["median"], color=colour, linewidth=1 if flows else 1.8,
            linestyle=style.DASHES if flows else "-",
        )  # fmt: skip
        if optimizer != "gradient descent" or names_descent:
            point = rows[rows["step"] >= min(at, rows["step"].max())].iloc[0]
            ax.annotate(
                name, tuple(point[["step", "median"]]), xytext=offset, ha=side,
                textcoords="offset points", fontsize=7.5, annotation_clip=False,
            )  # fmt: skip
    flow = data[(data["optimizer"] == "gradient flow") & (data["step"] >= 10)]
    law = flow["median"].iloc[-1] * np.log(flow["step"].iloc[-1]) / np.log(flow["step"])
    ax.plot(flow["step"], law, color=style.INK, linestyle=":", linewidth=1)


def _power(number):
    """10³ and the like."""
    exponent = str(round(np.log10(number)))
    return "10" + exponent.translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
