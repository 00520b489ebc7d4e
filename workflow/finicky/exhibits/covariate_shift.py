"""Figure F17: internal covariate shift by layer, and accuracy against it."""

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from finicky.exhibits import style
from finicky.exhibits.phrases import span
from finicky.labels import in_order, label

FIGURES = {
    "F17": "Left and middle: internal covariate shift by layer, each network at its own best "
    "rate. Moments: how far a unit's mean and deviation move from the start to the end of "
    "training; gradients: how much the step of the layers before changes a layer's gradient. "
    "Right: test accuracy by the shift in moments, filled at the own best rate, hollow at the "
    "chapter's, 0.1. Two networks have a shift put in behind batch norm. The chapter expects no "
    "shift with batch norm, and accuracy to fall with the shift.",
}
NETWORKS = {  # network: colour, marker, name
    "plain": (*style.level_style("plain"), "plain"),
    "batch norm": (*style.level_style("batch_norm"), "batch norm"),
    "shift drawn anew": (style.PLUM, "X", "shift drawn anew"),
    "drifting shift": (style.BLUE, "o", "drifting shift"),
}
WORDS = {  # definition: title of its column, on a logarithmic axis
    "moments": "Moments (deviations)",
    "gradients": "Gradients (relative change)",
}
EXPECTED = ["batch norm at 0", "batch norm at 0", "falls with the shift"]


def f17(table: pd.DataFrame):
    """Figure F17 and the data behind it: of the first data set."""
    table = table[table["dataset"] == in_order(table["dataset"])[0]]
    layers = table[table["quantity"] == "layer_shift"]
    own = layers[layers["rate"] == "own best"]
    shifts = style.summary(own, ["activation", "network", "definition", "layer"])
    scatter = _accuracy_by_shift(table, layers)
    activations = in_order(shifts["activation"])
    fig, axes = style.panels(
        [1.35] * len(activations), columns=3, left=0.5, right=0.15, top=0.78, between=(0.5, 0.3)
    )
    for row, activation in zip(axes, activations, strict=True):
        mine = shifts[shifts["activation"] == activation]
        for ax, definition in zip(row, WORDS, strict=False):
            of_definition = mine[mine["definition"] == definition]
            _layers(ax, of_definition, shifts[shifts["definition"] == definition])
        _scatter(row[2], scatter[scatter["activation"] == activation], scatter)
        row[0].set_ylabel(label(activation), weight="bold")
    titles = [*WORDS.values(), "Accuracy (%) by shift"]
    for ax, title, expected in zip(axes[0], titles, EXPECTED, strict=True):
        style.expected(ax, title, expected)
    axes[-1, 0].set_xlabel("hidden layer")
    axes[-1, 1].set_xlabel("layer")
    axes[-1, 2].set_xlabel("shift of moments (deviations)")
    handles = [
        Line2D([], [], color=colour, marker=marker, label=name)
        for colour, marker, name in NETWORKS.values()
    ]
    fig.legend(handles=handles, ncols=4, loc="upper left", fontsize=8, borderaxespad=0.3)
    style.footer(fig, shifts)
    fig.text(0.985, 0.08 / fig.get_figheight(), trained_for(table), fontsize=8, ha="right",
             va="baseline")  # fmt: skip
    fig.set_label(_finding(scatter[scatter["rate"] == "own best"]))
    return fig, pd.concat([shifts, scatter], ignore_index=True)


def _finding(best):
    """What batch norm does to the shift, and what a shift put in behind it does to accuracy."""
    by = best.set_index("network")
    shifts = {name: span(by.loc[[name], "shift"]) for name in ("plain", "batch norm")}
    normed = by.loc[["batch norm"]].set_index("activation")["accuracy"]
    put_in = by.loc[["drifting shift"]].set_index("activation")["accuracy"]
    return (
        f"From first to last step, units' moments, mean over layers, move by {shifts['plain']} "
        f"deviations in plain networks and {shifts['batch norm']} with batch norm; a drifting "
        f"shift put in behind it costs {span(normed - put_in, 'points', 1)} of accuracy."
    )


def trained_for(table: pd.DataFrame) -> str:
    """The data and the length of the trainings in words, of a table with these columns."""
    name, images, epochs = table[["dataset", "images", "epochs"]].dropna().iloc[0]
    length = "1 epoch" if epochs == 1 else f"{epochs} epochs"
    return f"{label(name)}, {label(int(images))} images, {length}"


def _accuracy_by_shift(table, layers):
    """Median accuracy and shift of moments of each network, with their ranges."""
    cell = ["activation", "network", "rate"]
    moments = layers[layers["definition"] == "moments"]
    shift = moments.groupby([*cell, "seed"])["value"].mean().groupby(cell)
    accuracy = table[table["quantity"] == "accuracy"].groupby(cell)["value"]
    found = {
        "shift": shift.median(), "shift_low": shift.min(), "shift_high": shift.max(),
        "accuracy": accuracy.median(), "low": accuracy.min(), "high": accuracy.max(),
    }  # fmt: skip
    return pd.DataFrame(found).reset_index()


def _layers(ax, rows, of_all):
    """Shift by layer, a line for each network; `of_all` sets the axis for every activation."""
    low, high = _limits(of_all["low"], of_all["high"])
    style.log_axis(ax, "y", low, high, [10.0**power for power in range(-4, 5)])
    for network, (colour, marker, _) in NETWORKS.items():
        mine = rows[rows["network"] == network].sort_values("layer")
        ax.fill_between(mine["layer"].astype(float), mine["low"].clip(low), mine["high"],
                        color=colour, alpha=0.2, linewidth=0)  # fmt: skip
        ax.plot(mine["layer"], mine["median"].clip(low), color=colour, marker=marker)
    ax.set_xticks(sorted(set(rows["layer"])))


def _scatter(ax, rows, of_all):
    """Accuracy by shift; filled at the own best rate, hollow at the chapter's."""
    low, high = _limits(of_all["shift_low"], of_all["shift_high"])
    style.log_axis(ax, "x", low, high, [10.0**power for power in range(-4, 5)])
    style.accuracy_axis(ax, "y", of_all["high"].max())
    for one in rows.itertuples():
        colour, marker, _ = NETWORKS[one.network]
        ax.errorbar(
            one.shift, one.accuracy,
            xerr=[[one.shift - one.shift_low], [one.shift_high - one.shift]],
            yerr=[[one.accuracy - one.low], [one.high - one.accuracy]],
            color=colour, marker=marker, elinewidth=0.8, linestyle="none",
            markerfacecolor=colour if one.rate == "own best" else "none",
        )  # fmt: skip


def _limits(low, high):
    """Limits of a logarithmic axis around positive numbers."""
    low = low[low > 0].min()
    return (0.6 * low, 1.6 * high.max()) if np.isfinite(low) else (0.1, 10.0)
