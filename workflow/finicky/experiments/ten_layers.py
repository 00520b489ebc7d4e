"""Ten layers of ReLU on all training images: how much does the start decide?

The chapter's table gives accuracies after epoch 1 and 10 for five starts and does not name the
optimizer; here each start is trained with SGD and with Adam. Further starts (other fan-in rules, a
ladder of single scales, the small scales read as deviation and as variance) run for one epoch.
"""

import pandas as pd

from finicky.experiments import arms
from finicky.experiments.arms import pair

TITLE = "Ten layers: five initialisations, ten epochs"
ANSWERS = ["C049", "C059", "C060", "C061", "C062", "C063", "C064", "C065", "C066", "C067"]
READS = ["runs", "curves"]
QUANTITIES = {
    "test_accuracy": ("%", "test accuracy after each epoch"),
    "nan_reached": ("0/1", "whether the loss became NaN, from N(0, 1)"),
    "nan_within_100_steps": ("0/1", "whether it did so within 100 steps, from N(0, 1)"),
    "nan_in_first_epoch": ("0/1", "whether it did so in the first epoch, from N(0, 1)"),
    "below_twice_chance": ("pp", "20 % minus test accuracy after epoch 1, from N(0, 0.0001)"),
    "he_minus_best_scale": ("pp", "test accuracy after epoch 1: He minus the single scale that is "
                            "best by the other seeds' training accuracy"),
    "he_minus_xavier": ("pp", "test accuracy after epoch 1 and 10: He minus Xavier"),
}  # fmt: skip
FIGURES = {
    "F15": "Above: test accuracy by epoch for the five starts of the chapter's table; which of "
    "them train, and by how much they differ, depends on the optimizer. Below: every start after "
    "its first epoch, one point a seed.",
}

CONDITIONS = {
    "optimizer": "str",
    "learning_rate": "float64",
    "init": "str",
    "epoch": "Int64",
    "best_scale": "str",
}

# N(0, 0.0001) with 0.0001 read as a deviation, and as a variance
TINY = ["normal_std_0.0001", "normal_std_0.01"]


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row a quantity, condition and seed; QUANTITIES says what each number is.

    `tables`: the gathered `runs` and `curves`, of which the sub-grids "ten-layers" and
    "ten-layers-starts" are used. Extra condition: `best_scale`, the single scale that He is
    compared with.
    """
    runs = arms.in_subgrids(tables["runs"], "ten-layers", "ten-layers-starts")
    runs = runs[runs["dataset"] == "mnist"]
    epochs = arms.as_runs(arms.by_epoch(runs, tables["curves"]))
    first = epochs[epochs["epoch"] == 1]
    he, xavier = epochs[epochs["init"] == "he"], epochs[epochs["init"] == "xavier"]

    scales = first[first["init"].str.startswith("normal_std_")]
    best_scale = arms.best_by_other_seeds(scales, "init", by="train_accuracy")
    tiny = first[first["init"].isin(TINY)]

    # whether and when a run became NaN is no matter of an epoch
    normal = epochs[epochs["init"] == "normal_std_1"].sort_values("epoch", kind="stable")
    run = [axis for axis in arms.KEY if axis != "epochs"]
    whole = normal.drop_duplicates(run, keep="last").drop(columns="epoch")
    opening = normal[normal["epoch"] == 1].drop(columns="epoch")

    return arms.measured(
        {
            "test_accuracy": arms.each(epochs, "test_accuracy"),
            "nan_reached": arms.nan_reached(whole),
            "nan_within_100_steps": arms.nan_reached(whole, within=100),
            "nan_in_first_epoch": arms.nan_reached(opening, within=opening["steps"]),
            "below_twice_chance": arms.each(tiny, 2 * arms.CHANCE - tiny["test_accuracy"]),
            "he_minus_best_scale": pair(he, best_scale, across=["init"]).rename(
                columns={"init_b": "best_scale"}
            ),
            "he_minus_xavier": pair(he, xavier, across=["init"]).query("epoch in [1, 10]"),
        },
        CONDITIONS,
    )


def draw(table: pd.DataFrame) -> dict:
    """F15: figure id to (matplotlib Figure, data behind it). Without accuracies: no figure."""
    from finicky.page import figures

    accuracy = table[table["quantity"] == "test_accuracy"]
    if accuracy.empty:
        return {}
    accuracy = accuracy.copy()
    accuracy["trained_by"], optimizers = figures.trained_by(accuracy)
    data = figures.summary(accuracy, ["trained_by", "init", "epoch"])
    # below, worst start first, so best on top
    first = data[data["epoch"] == 1]
    starts = list(first.groupby("init")["median"].mean().sort_values(kind="stable").index)
    length = data.groupby("init")["epoch"].transform("max")
    curves = data[length == length.max()]

    with figures.style():
        fig, axes = figures.panels(
            [2.9, 0.2 * len(starts) + 0.2],
            columns=len(optimizers),
            left=1.05,
            right=1.25,
            between=(1.5, 0.75),
        )
        for column, trained_by in enumerate(optimizers):
            above, below = axes[:, column]
            above.set_title(trained_by)
            figures.accuracy_axis(above, "y", highest=data["high"].max())
            above.set_xticks(sorted(set(curves["epoch"])))
            above.set_xlabel("epoch")
            mine = curves[curves["trained_by"] == trained_by]
            for init in figures.in_order(mine["init"]):
                figures.line(above, mine[mine["init"] == init], "epoch", init)
            figures.label_ends(above, mine, "epoch", "init")

            figures.accuracy_axis(below, "x", highest=data["high"].max())
            below.grid(axis="both")
            below.set_xlabel("test accuracy (%) after epoch 1, a point a seed")
            below.set_ylim(-0.6, len(starts) - 0.4)
            labels = [figures.look(init).label for init in starts] if column == 0 else []
            below.set_yticks(range(len(starts)), labels or [""] * len(starts))
            runs = accuracy[(accuracy["trained_by"] == trained_by) & (accuracy["epoch"] == 1)]
            for init, seeds in runs.groupby("init"):
                drawn, row = figures.look(init), starts.index(init)
                below.plot(
                    seeds["value"],
                    [row] * len(seeds),
                    drawn.marker,
                    color=drawn.colour,
                    markersize=4,
                    alpha=0.7,
                    clip_on=False,
                )
                failed = seeds["outcome"].isin(["inf", "nan"]).sum()
                if failed:
                    below.annotate(
                        f"NaN: {failed} of {len(seeds)}",
                        (1.03, row),
                        va="center",
                        xycoords=("axes fraction", "data"),
                    )
        axes[0, 0].set_ylabel("test accuracy (%)")
        figures.footer(fig, data)
        said = first.sort_values("median", ascending=False).groupby("trained_by")
        fig.set_label(
            "Median test accuracy after epoch 1. "
            + " ".join(
                f"{optimizer}: "
                + ", ".join(
                    f"{figures.look(row.init).label} {row.median:.1f} %"
                    for row in rows.itertuples()
                )
                + "."
                for optimizer, rows in said
            )
        )
    return {"F15": (fig, data)}
