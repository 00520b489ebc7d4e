"""How the angle between gradient descent's weights and the largest margin falls."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from finicky.exhibits import style
from finicky.exhibits.phrases import span
from finicky.labels import label

FIGURES = {
    "F38": "The angle between the weights of logistic regression and the direction of the largest "
    "margin, by step, on logarithmic axes. The chapter has gradient descent end there; its limit "
    "of "
    "small rates is carried on to a trillion steps, beside the law of one over the logarithm of "
    "the steps.",
}


STYLES = {  # optimizer: its colour, dashed, its name
    "gradient descent": (style.BLUE, False, "gradient descent"),
    "gradient flow": (style.BLUE, True, "its limit of small rates"),
    "adam": (style.PLUM, False, "Adam"),
}


def f38(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """The angle by step, a panel for each number of inputs and examples."""
    angles = table[table["quantity"] == "angle"]
    data = style.summary(angles, ["inputs", "examples", "optimizer", "step"])
    points = sorted(set(zip(data["inputs"], data["examples"], strict=True)))
    fig, axes = style.panels(
        [2.4], columns=len(points), left=0.6, right=0.15, between=(0.3, 0), top=0.75
    )
    lowest = max(0.1, 0.6 * data["median"].min())
    for ax, (inputs, examples) in zip(axes[0], points, strict=True):
        said = "towards 0" if ax is axes[0, 0] else ""
        style.expected(ax, f"{inputs} inputs, {examples} examples", said)
        mine = data[(data["inputs"] == inputs) & (data["examples"] == examples)]
        _angles(ax, mine, lowest)
        if ax is not axes[0, 0]:
            ax.set_yticklabels([])
    axes[0, 0].set_ylabel("angle to the largest margin (°)")
    handles = [
        Line2D([], [], color=colour, linestyle=style.DASHES if dashed else "-", label=said)
        for colour, dashed, said in STYLES.values()
    ]
    handles.append(Line2D([], [], color=style.INK, linestyle=":", linewidth=1, label="∝ 1/log t"))
    fig.legend(handles=handles, ncols=4, loc="upper left", fontsize=8, borderaxespad=0.3)
    style.footer(fig, data)
    fig.set_label(_finding(data))
    return fig, data


def _finding(data):
    """The angles that are left, and after how many steps."""
    last = data.sort_values("step").groupby(["optimizer", "inputs", "examples"]).tail(1)
    last = last.set_index("optimizer")
    left = {name: f"{span(last.loc[[name], 'median'], places=1)}°" for name in STYLES}
    steps = label(int(last.loc["gradient descent", "step"].max()))
    return (
        f"After {steps} steps on separable data, gradient descent is still "
        f"{left['gradient descent']}"
        f" away from the direction of the largest margin, after {_power(last['step'].max())} steps "
        f"{left['gradient flow']}; Adam is {left['adam']} away."
    )


def _angles(ax, data, lowest):
    """One panel: each optimizer's angle, and the law that gradient flow keeps."""
    end = data["step"].max()
    powers = [10.0**power for power in range(0, 40, 3)]
    style.log_axis(ax, "x", 1, end, powers)
    shown = [power for power in powers if power <= end]
    ax.set_xticks(shown, [_power(power) for power in shown])
    style.log_axis(ax, "y", lowest, 120, [0.1, 0.3, 1, 3, 10, 30, 90])
    ax.set_xlabel("steps t")
    for optimizer, (colour, dashed, _) in STYLES.items():
        rows = data[data["optimizer"] == optimizer]
        ax.fill_between(
            rows["step"], rows["low"], rows["high"], color=colour, linewidth=0,
            alpha=0.1 if dashed else 0.2,
        )  # fmt: skip
        ax.plot(
            rows["step"], rows["median"], color=colour, linewidth=1 if dashed else 1.8,
            linestyle=style.DASHES if dashed else "-",
        )  # fmt: skip
    flow = data[(data["optimizer"] == "gradient flow") & (data["step"] >= 10)]
    law = flow["median"].iloc[-1] * np.log(flow["step"].iloc[-1]) / np.log(flow["step"])
    ax.plot(flow["step"], law, color=style.INK, linestyle=":", linewidth=1)


def _power(number):
    """10³ and the like."""
    exponent = str(round(np.log10(number)))
    return "10" + exponent.translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
