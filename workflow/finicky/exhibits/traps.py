"""Figure F34: five traps, with and without."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from finicky.exhibits import style
from finicky.labels import label
from finicky.numbers import number

FIGURES = {
    "F34": "Above: test accuracy in the trap (square) and out of it (circle), at the recommended "
    "rate (SGD: 0.01) and at each side's own best one, after equal training; where the own best "
    "rates are the recommended ones there is one line. Below, left and middle: test accuracy that "
    "is lost by staying in training mode, for batch norm by the number of images asked at once, "
    "for dropout by the share that is dropped, in the shallowest networks. Right: whether training "
    "recovers from a loss that is NaN, as it is and if updates that are not finite are skipped. "
    "The chapter expects circles to the right, losses above 0, and no recovery.",
}
TRAINED = {  # quantity: title; a is out of the trap, b in it
    "scaled_minus_raw": "Pixels from 0 to 255",
    "relu_minus_sigmoid": "Sigmoid, not ReLU",
    "shuffled_minus_sorted": "Images sorted by class",
}
OUT, IN = (style.BLUE, "o"), (style.VERMILLION, "s")
SCALE = "mean 0, deviation 1"
ORDERS = {"mixed": (style.BLUE, "o"), "sorted by class": (style.VERMILLION, "s")}
OPTIMIZERS = ["sgd", "adam"]
RATES = ["chapter", "own best"]


def f34(table: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """F34, of the first data set, and the medians and ranges behind it."""
    first = table["dataset"].dropna().iloc[0]
    table = table[table["dataset"].isna() | (table["dataset"] == first)]
    fig, axes = style.panels(
        [2.3, 1.8], columns=3, left=1.25, right=0.15, between=(0.45, 0.95), top=0.6, bottom=0.7
    )
    arms = pd.concat([_arms(table, quantity) for quantity in TRAINED], ignore_index=True)
    rows = sorted({(row.depth, row.optimizer, row.rate) for row in arms.itertuples()}, key=_place)
    for ax, (quantity, title) in zip(axes[0], TRAINED.items(), strict=True):
        _dumbbells(ax, arms[arms["quantity"] == quantity], rows, ax is axes[0, 0])
        ax.set_title(title, fontsize=8.5)
    lost = table[table["quantity"] == "accuracy_lost"]
    lost = lost[lost["depth"] == lost["depth"].min()]
    normed = style.summary(lost[lost["layer"] == "batch norm"], ["order", "batch_size"])
    dropped = style.summary(lost[lost["layer"] == "dropout"], ["dropout"])
    _batches(axes[1, 0], normed)
    _dropout(axes[1, 1], dropped)
    _recovery(axes[1, 2], table)
    handles = [
        Line2D([], [], color=colour, marker=marker, linestyle="", label=said)
        for (colour, marker), said in ((OUT, "out of the trap"), (IN, "in it"))
    ]
    fig.legend(
        handles=handles, ncols=2, fontsize=8, loc="upper right", borderpad=0, borderaxespad=0.2
    )
    style.footer(fig, arms)
    style.note(fig, style.trained_on(table))
    loss = arms.assign(gap=arms["out"] - arms["into"]).groupby("quantity")["gap"].median()
    said = "; ".join(
        f"{TRAINED[name][0].lower()}{TRAINED[name][1:]}: {number(gap, 0)}"
        for name, gap in loss.items()
    )
    fig.set_label(
        f"Points of test accuracy that a trap costs, median over what is shown: {said}; batch norm "
        f"left in training mode up to {number(normed['median'].max(), 0)}, dropout up to "
        f"{number(dropped['median'].max(), 0)}."
    )
    return fig, pd.concat([arms, normed, dropped], ignore_index=True)


def _place(row):
    depth, optimizer, rate = row
    return depth, OPTIMIZERS.index(optimizer), RATES.index(rate)


def _arms(table, quantity):
    """Medians and ranges of both arms of a comparison, by depth, optimizer and rate."""
    rows = table[table["quantity"] == quantity]
    rows = rows[rows["scale"].isna() | (rows["scale"] == SCALE)]
    by = ["depth", "optimizer", "rate"]
    sides = {
        name: style.summary(rows.assign(value=rows[arm]), by)
        for name, arm in (("out", "a"), ("into", "b"))
    }
    data = sides["out"][[*by, "n"]].assign(quantity=quantity)
    for name, side in sides.items():
        data = data.assign(
            **{name: side["median"], f"{name}_low": side["low"], f"{name}_high": side["high"]}
        )
    return data


def _dumbbells(ax, data, rows, named):
    """Both arms of each comparison, on a scale spaced by the error that is left."""
    highest = max(data["out_high"].max(), data["into_high"].max())
    style.accuracy_axis(ax, "x", highest)
    for at in data.itertuples():
        place = -rows.index((at.depth, at.optimizer, at.rate))
        ax.plot([at.into, at.out], [place] * 2, color=style.INK, alpha=0.35, linewidth=0.9)
        sides = ((OUT, at.out, at.out_low, at.out_high), (IN, at.into, at.into_low, at.into_high))
        for (colour, marker), middle, low, high in sides:
            ax.plot([low, high], [place] * 2, color=colour, linewidth=2.4, alpha=0.35)
            ax.plot(middle, place, marker=marker, color=colour, clip_on=False, markersize=5)
    ax.set_ylim(-len(rows) + 0.5, 0.5)
    names = [
        f"{depth} layers, {label(optimizer)}" if rate == "chapter" else "own best rate"
        for depth, optimizer, rate in rows
    ]
    ax.set_yticks([-place for place in range(len(rows))], names if named else [])
    ax.grid(True, axis="x")
    ax.grid(False, axis="y")
    ax.set_xlabel("test accuracy (%)")
    ticks = [tick for tick in ax.get_xticks() if tick not in (98, 99)]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])


def _batches(ax, data):
    """Accuracy lost by batch norm, by the number of images asked at once."""
    ax.set_title("Batch norm: lost (pp)", fontsize=8.5)
    sizes = sorted(set(data["batch_size"]))
    style.log_axis(ax, "x", sizes[0] / 1.3, sizes[-1] * 1.3, [float(size) for size in sizes])
    for order, rows in data.groupby("order"):
        colour, marker = ORDERS[order]
        rows = rows.sort_values("batch_size")
        x = rows["batch_size"].astype(float)
        ax.fill_between(x, rows["low"], rows["high"], color=colour, alpha=0.2, linewidth=0)
        ax.plot(x, rows["median"], color=colour, marker=marker, clip_on=False)
        end = rows.iloc[len(rows) // 2]
        ax.annotate(
            order, (end["batch_size"], end["median"]), (4, 9), textcoords="offset points",
            fontsize=8, ha="center", va="bottom",
        )  # fmt: skip
    low, high = ax.get_ylim()
    ax.set_ylim(min(low, 0), high + 0.12 * (high - low))
    ax.set_xlabel("images asked at once")


def _dropout(ax, data):
    """Accuracy lost by dropout, by its share."""
    ax.set_title("Dropout: lost (pp)", fontsize=8.5)
    shares = data["dropout"].tolist()
    for place, row in enumerate(data.itertuples()):
        ax.plot([place] * 2, [row.low, row.high], color=style.PLUM, linewidth=5, alpha=0.3)
        ax.plot(place, row.median, marker="X", color=style.PLUM, markersize=7)
        ax.annotate(
            f"{row.median:.1f}", (place, row.median), (9, 0), textcoords="offset points",
            fontsize=8, va="center",
        )  # fmt: skip
    ax.set_xlim(-0.6, len(shares) - 0.2)
    ax.set_ylim(min(0, data["low"].min()) - 1, None)
    ax.set_xticks(range(len(shares)), [label(float(share)) for share in shares])
    ax.set_xlabel("share dropped")


def _recovery(ax, table):
    """Whether training recovers from each way to a NaN, as it is and if such updates are left out;
    in words."""
    ax.set_title("After a NaN: recovers?", fontsize=8.5)
    causes = list(table["cause"].dropna().unique())
    ax.set_xlim(0, 1)
    ax.set_ylim(-len(causes) + 0.3, 1)
    ax.axis("off")
    columns = {"never_recovers": (0.69, "as it is"), "recovers_if_skipped": (0.94, "skipped")}
    for quantity, (x, head) in columns.items():
        ax.text(x, 0.55, head, fontsize=7.5, ha="center", style="italic")
        rows = table[table["quantity"] == quantity].groupby("cause")["value"]
        for place, cause in enumerate(causes):
            of = rows.get_group(cause) if cause in rows.groups else pd.Series([float("nan")])
            of = 1 - of if quantity == "never_recovers" else of
            said = {1.0: "yes", 0.0: "no"}.get(of.mean(), f"{100 * of.mean():.0f} %")
            ax.text(x, -place, said, ha="center", va="center", fontsize=8.5, weight="bold")
    for place, cause in enumerate(causes):
        ax.text(0, -place, cause.replace(", ", ",\n"), fontsize=7.5, va="center")
