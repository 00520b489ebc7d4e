"""The chapter's mini project: four recipes for a network of two layers, and the repair of one.

A correct setup, zero weights, SGD at rate 10 and sigmoid, as in the chapter's own script; SGD at
0.1 shows whether a smaller rate repairs the third.
"""

import pandas as pd

from finicky.experiments import pairing, tidy
from finicky.experiments.pairing import pair

TITLE = "Mini project: four recipes, epoch by epoch"
READS = ["runs", "curves"]
PURPOSES = ["mini-project"]
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
CONDITIONS = {
    "recipe": ["correct", "zeros", "rate_10", "sigmoid", "rate_0.1"],
    "epoch": "integer",
    "images": "integer",
    "epochs": "integer",
}
BUDGET = "{images} images of MNIST, {epochs} epochs"
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
    """One row per quantity, recipe, epoch and seed; QUANTITIES says what each number is.

    settings: none are read. tables: the gathered `runs` and `curves`, of which the sub-grids for
    "mini-project" are used. From the epoch on in which a run failed, its losses are NaN and
    `outcome` says how it failed.
    """
    runs = pairing.for_purpose(tables["runs"], "mini-project")
    runs = runs[runs["dataset"] == "mnist"]
    levels = pd.DataFrame(
        [(recipe, *levels) for recipe, levels in RECIPES.items()],
        columns=["recipe", "activation", "init", "optimizer", "learning_rate"],
    )
    epochs = pairing.as_runs(pairing.by_epoch(runs, tables["curves"])).merge(levels)

    def of(recipe: str) -> pd.DataFrame:
        return epochs[epochs["recipe"] == recipe]

    across = ["activation", "init", "optimizer", "learning_rate"]
    relu_minus_sigmoid = pair(of("correct"), of("sigmoid"), across)
    repairs = [
        pair(of(repair), of("rate_10"), across).assign(recipe=repair)
        for repair in ("rate_0.1", "correct")
    ]
    opening = of("rate_10").query("epoch == 1")

    return tidy.from_quantities(
        {
            **{metric: tidy.one_number(epochs, metric) for metric in METRICS},
            "nan_in_first_epoch": tidy.one_number(
                opening, pairing.nan_reached(opening, within=opening["steps"])
            ),
            "relu_minus_sigmoid": relu_minus_sigmoid.query("epoch in [1, 5]"),
            "repair_gain": pd.concat(repairs).query("epoch == 3"),
        },
        CONDITIONS,
    )
