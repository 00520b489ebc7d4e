"""Figure F30: the gradient on its way back through the layers, for each remedy."""

import pandas as pd
from matplotlib.figure import Figure

from finicky.exhibits import style
from finicky.exhibits.phrases import span
from finicky.labels import label, listed
from finicky.numbers import significant

FIGURES = {
    "F30": "Gradient by a layer's sums over that at the last hidden layer, before training and "
    "after it with Adam at 0.001; below the dashed line less than a tenth arrives, and the chapter "
    "expects every remedy above it. Left: sigmoid from Xavier. Right: ReLU from the older uniform "
    "heuristic. Bottom left: weights of N(0, 1), whose gradient explodes; clipping moves it as a "
    "whole. Bottom right: share of the seeds that clipping keeps finite, in trainings that explode "
    "without it; the chapter expects all of them.",
}
NETWORKS = [("sigmoid", "xavier"), ("relu", "uniform_fan_in")]
# remedy: how it is drawn and called
REMEDIES = {"none": "plain", "ReLU": "relu", "batch norm": "batch_norm", "residual": "residual"}
VANISHED = 0.1
CLIPPED = {
    "none": (*style.level_style("normal_std_1"), "as it is"),
    "clipping": (style.TAN, "P", "clipped"),
}


def f30(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """F30, of the first data set, and the medians and ranges behind it."""
    table = table[table["dataset"] == table["dataset"].iloc[0]]
    axes_of = ["activation", "init", "depth", "remedy", "when", "optimizer", "layer", "threshold"]
    profiles = table[table["quantity"] == "gradient"]
    data = style.summary(profiles.fillna({"optimizer": "", "threshold": 0.0}), axes_of)
    data = data.assign(back=data.groupby("depth")["layer"].transform("max") - data["layer"])
    kept = finite_shares(table)
    fig, axes = style.panels(
        [1.7, 1.7, 3.2], columns=2, left=0.75, right=1.0, between=(1.75, 0.62), top=0.4
    )
    for column, (activation, init) in enumerate(NETWORKS):
        mine = data[(data["activation"] == activation) & (data["init"] == init)]
        deepest = mine[mine["depth"] == mine["depth"].max()]
        name = f"{label(activation)}, {label(init)}"
        for ax, title, rows in (
            (axes[0, column], f"{name}: before training", deepest[deepest["optimizer"] == ""]),
            (axes[1, column], f"{name}: after training", deepest[deepest["optimizer"] == "adam"]),
        ):
            _profiles(ax, rows, title, deepest)
    _clipping(axes[2, 0], data[data["init"] == "normal_std_1"])
    _kept(axes[2, 1], kept)
    for ax in axes[:, 0]:
        ax.set_ylabel("gradient, last layer = 1", fontsize=8)
    style.footer(fig, data)
    depth = int(data[data["activation"] == "sigmoid"]["depth"].max())
    style.note(fig, f"lines: {depth} layers, {style.trained_on(profiles)}")
    ends = data[
        (data["layer"] == 1) & (data["optimizer"] == "") & (data["activation"] == "sigmoid")
    ]
    ends = ends[ends["depth"] == ends["depth"].max()].set_index("remedy")["median"]
    remedied = ends.drop("none")
    saved = listed(ends.index[(ends >= VANISHED) & (ends.index != "none")]) or "no remedy"
    fig.set_label(
        f"Of the gradient at the last layer of {depth} sigmoid layers "
        f"{significant(ends['none'], 2)} "
        f"arrives at the first before training; {span(remedied)} with a remedy, a tenth or more "
        f"with {saved}."
    )
    return fig, pd.concat([data, kept], ignore_index=True)


def _decades(ax, data):
    """A logarithmic axis that holds these medians and ranges."""
    low, high = data["low"].min() / 3, data["high"].max() * 3
    span = 10 if high / low > 1e8 else 2 if high / low > 1e4 else 1
    style.log_axis(ax, "y", low, high, [10.0**power for power in range(-60, 61, min(span, 4))])


def _profiles(ax, rows, title, scale):
    """A line for each remedy; `scale`: what the axis has to hold."""
    ax.set_title(title, fontsize=8.5)
    _decades(ax, scale)
    _way_back(ax, scale)
    ax.axhline(VANISHED, color=style.INK, linestyle=style.DASHES, linewidth=0.9)
    ax.text(scale["back"].max(), 0.8 * VANISHED, "vanished", fontsize=7.5, ha="right", va="top",
            style="italic")  # fmt: skip
    drawn = rows.assign(remedy=rows["remedy"].map(REMEDIES))
    for remedy, mine in drawn.groupby("remedy"):
        style.line(ax, mine, "back", remedy)
    style.label_ends(ax, drawn, "back", "remedy")


def _way_back(ax, data):
    """An axis of layers, from the last hidden one to the first."""
    last = int(data["back"].max())
    ax.set_xlim(-0.04 * last, 1.04 * last)
    ax.set_xticks([0, last], ["last", "first"])
    ax.set_xlabel("hidden layer", labelpad=-6)


def _clipping(ax, rows):
    """The gradient that explodes, without and with clipping."""
    ax.set_title("N(0, 1) weights: before training", fontsize=8.5)
    _decades(ax, rows)
    _way_back(ax, rows)
    threshold = rows["threshold"].max()
    for remedy, mine in rows[rows["threshold"].isin([0, threshold])].groupby("remedy"):
        colour, marker, name = CLIPPED[remedy]
        mine = mine.sort_values("back")
        ax.fill_between(
            mine["back"], mine["low"], mine["high"], color=colour, alpha=0.2, linewidth=0
        )
        ax.plot(mine["back"], mine["median"], color=colour, marker=marker, clip_on=False)
        middle = mine.iloc[len(mine) // 2]
        ax.annotate(
            f"{name} to {threshold:g}" if remedy == "clipping" else name,
            (middle["back"], middle["median"]), (-6, 6), fontsize=8, ha="right",
            textcoords="offset points",
        )  # fmt: skip


def finite_shares(table) -> pd.DataFrame:
    """Share in % of the seeds that stay finite with clipping where most fail without, by training;
    at the highest threshold."""
    rows = table[table["quantity"] == "explosion_prevented"]
    rows = rows[rows["threshold"] == rows["threshold"].max()]
    rows = rows.assign(value=100 * rows["value"].clip(lower=0), outcome="finite")
    by = ["init", "depth", "optimizer", "learning_rate"]
    return style.summary(rows, by).assign(share=lambda d: rows.groupby(by)["value"].mean().values)


def _kept(ax, kept):
    """A bar for each training."""
    ax.set_title("Seeds that clipping keeps finite (%)", fontsize=8.5)
    kept = kept.sort_values(["init", "depth", "optimizer", "learning_rate"], ascending=False)
    places = range(len(kept))
    ax.barh(places, kept["share"], color=CLIPPED["clipping"][0], height=0.6)
    for place, row in zip(places, kept.itertuples(), strict=True):
        ax.text(row.share + 2, place, f"{row.share:.0f}", fontsize=8, va="center")
    ax.set_yticks(
        places,
        [
            f"{label(row.init)}, {row.depth} layers,\n{label(row.optimizer)} {row.learning_rate:g}"
            for row in kept.itertuples()
        ],
        fontsize=7.5,
    )
    ax.set_xlim(0, 112)
    ax.set_xticks([0, 50, 100])
    ax.grid(False)
