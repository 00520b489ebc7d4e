"""The chapter's mini project: four recipes for a network of two layers, and the repair of one.

A correct setup, zero weights, SGD at rate 10 and sigmoid, as in the chapter's own script; SGD at
0.1 shows whether a smaller rate repairs the third.
"""

import pandas as pd

from finicky.experiments import arms
from finicky.experiments.arms import pair

TITLE = "Mini project: four recipes, epoch by epoch"
ANSWERS = ["C180", "C181", "C182", "C183", "C184", "C185", "C187", "C200"]
READS = ["runs", "curves"]
QUANTITIES = {
    "running_loss": ("nats", "training loss, mean over the epoch's batches as they came"),
    "running_accuracy": ("%", "training accuracy, mean over the epoch's batches as they came"),
    "test_loss": ("nats", "test loss after the epoch"),
    "test_accuracy": ("%", "test accuracy after the epoch"),
    "nan_in_first_epoch": ("0/1", "whether the loss became NaN in the first epoch, SGD at 10"),
    "relu_minus_sigmoid": ("pp", "test accuracy after epoch 1 and 5: the correct recipe minus "
                           "sigmoid"),
    "repair_gain": ("pp", "test accuracy after epoch 3: this recipe minus SGD at 10"),
}  # fmt: skip
FIGURES = {
    "F01": "The chapter's own picture, with seeds: each line is the median, the band reaches from "
    "the lowest to the highest seed. Where the bands of two recipes do not touch, their order is "
    "no accident of the seed. Accuracies are spaced by the error that is left, so that recipes "
    "that work and recipes that fail fit on one axis.",
}

CONDITIONS = {"recipe": "str", "epoch": "Int64"}
TOP_LOSS = 5.0  # nats, where the picture ends: twice the loss of a guess among ten classes
METRICS = ["running_loss", "running_accuracy", "test_loss", "test_accuracy"]

# The levels that make a recipe: activation, init, optimizer, learning rate
RECIPES = {
    "correct": ("relu", "he", "adam", 0.001),
    "zeros": ("relu", "zeros", "adam", 0.001),
    "rate_10": ("relu", "he", "sgd", 10.0),
    "sigmoid": ("sigmoid", "xavier", "adam", 0.001),
    "rate_0.1": ("relu", "he", "sgd", 0.1),
}


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row a quantity, recipe, epoch and seed; QUANTITIES says what each number is.

    `tables`: the gathered `runs` and `curves`, of which the sub-grid "mini-project" is used. From
    the epoch in which a run failed on, its losses are NaN with the outcome said.
    """
    runs = arms.in_subgrids(tables["runs"], "mini-project")
    runs = runs[runs["dataset"] == "mnist"]
    levels = pd.DataFrame(
        [(recipe, *levels) for recipe, levels in RECIPES.items()],
        columns=["recipe", "activation", "init", "optimizer", "learning_rate"],
    )
    epochs = arms.as_runs(arms.by_epoch(runs, tables["curves"])).merge(levels)

    def of(recipe: str) -> pd.DataFrame:
        return epochs[epochs["recipe"] == recipe]

    across = ["activation", "init", "optimizer", "learning_rate"]
    relu_minus_sigmoid = pair(of("correct"), of("sigmoid"), across)
    repairs = [
        pair(of(repair), of("rate_10"), across).assign(recipe=repair)
        for repair in ("rate_0.1", "correct")
    ]
    opening = of("rate_10").query("epoch == 1")

    return arms.measured(
        {
            **{metric: arms.each(epochs, metric) for metric in METRICS},
            "nan_in_first_epoch": arms.nan_reached(opening, within=opening["steps"]),
            "relu_minus_sigmoid": relu_minus_sigmoid.query("epoch in [1, 5]"),
            "repair_gain": pd.concat(repairs).query("epoch == 3"),
        },
        CONDITIONS,
    )


def draw(table: pd.DataFrame) -> dict:
    """F01: figure id to (matplotlib Figure, data behind it). Without runs: no figure."""
    from finicky import numbers
    from finicky.page import figures

    logged = table[table["quantity"].isin(METRICS)]
    if logged.empty:
        return {}
    data = figures.summary(logged, ["recipe", "quantity", "epoch"])
    losses = data[data["quantity"].str.endswith("loss")]
    with figures.style():
        fig, axes = figures.panels([3.2], columns=2, left=0.4, right=1.0, between=(1.4, 0))
        accuracy, loss = axes[0]
        accuracy.set_title("Accuracy (%), spaced by the error left")
        accuracies = data[data["quantity"].str.endswith("accuracy")]
        figures.accuracy_axis(accuracy, "y", highest=accuracies["high"].max())
        loss.set_title("Loss (nats), log scale")
        figures.log_axis(loss, "y", low=0.8 * min(0.5, losses["low"].min()), high=TOP_LOSS)

        for ax, metric in ((accuracy, "accuracy"), (loss, "loss")):
            ax.set_xticks(sorted(set(data["epoch"])))
            ax.set_xlabel("epoch")
            running = data[data["quantity"] == f"running_{metric}"]
            test = data[data["quantity"] == f"test_{metric}"]
            for recipe in figures.in_order(data["recipe"]):
                figures.line(ax, running[running["recipe"] == recipe], "epoch", recipe)
                figures.line(ax, test[test["recipe"] == recipe], "epoch", recipe, dashed=True)
            figures.label_ends(ax, test, "epoch", "recipe")

        beyond = [
            f"↑ {figures.look(recipe).label}: up to {numbers.number(worst, 0)}"
            for recipe, worst in losses.groupby("recipe")["median"].max().items()
            if worst > TOP_LOSS
        ]
        loss.text(0.99, 0.975, "\n".join(beyond), transform=loss.transAxes, ha="right", va="top")
        figures.footer(
            fig,
            data,
            {"solid": "training, mean during the epoch", "dashed": "test, after the epoch"},
        )
        last = data[(data["quantity"] == "test_accuracy") & data["median"].notna()]
        last = last.sort_values("epoch").groupby("recipe").tail(1)
        fig.set_label(
            "Accuracy and loss by epoch. Median test accuracy at the end: "
            + ", ".join(
                f"{figures.look(row.recipe).label} {row.median:.1f} %" for row in last.itertuples()
            )
            + "."
        )
    return {"F01": (fig, data)}
