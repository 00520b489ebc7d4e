"""Ten layers of ReLU on all training images: how much does the start decide?

The chapter's table gives accuracies after epoch 1 and 10 for five starts and does not name the
optimizer; here each start is trained with SGD and with Adam. Further starts (other fan-in rules, a
ladder of single scales, the small scales read as deviation and as variance) run for one epoch.
"""

import pandas as pd

from finicky.data import CHANCE
from finicky.experiments import pairing, tidy, tuning
from finicky.experiments.pairing import pair

TITLE = "Ten layers: five initialisations, ten epochs"
READS = ["runs", "curves"]
PURPOSES = ["ten-layers"]
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
CONDITIONS = {
    "optimizer": "level",
    "learning_rate": "number",
    "init": "level",
    "epoch": "integer",
    "best_deviation": "number",
    "images": "integer",
    "epochs": "integer",
}
BUDGET = "{images} images of MNIST, {epochs} epochs"
SINGLE_SCALE = "normal_std_"  # with its standard deviation: one normal distribution for all layers
# N(0, 0.0001) with 0.0001 read as a deviation, and as a variance
TINY = ["normal_std_0.0001", "normal_std_0.01"]


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, condition and seed; QUANTITIES says what each number is.

    settings: none are read. tables: the gathered `runs` and `curves`, of which the sub-grids for
    "ten-layers" are used. Conditions beside the axes: `epoch`, after which, which is `epochs` again
    save where it does not matter; `best_deviation`, the standard deviation of the single scale that
    He is compared with.
    """
    runs = pairing.for_purpose(tables["runs"], "ten-layers")
    runs = runs[runs["dataset"] == "mnist"]
    epochs = pairing.as_runs(pairing.by_epoch(runs, tables["curves"]))
    first = epochs[epochs["epoch"] == 1]
    he, xavier = epochs[epochs["init"] == "he"], epochs[epochs["init"] == "xavier"]

    scales = first[first["init"].str.startswith(SINGLE_SCALE)]
    best_scale = tuning.best_by_other_seeds(scales, "init", by="running_accuracy")
    he_minus_best_scale = pair(he, best_scale, across=["init"])
    deviation = he_minus_best_scale["init_b"].str.removeprefix(SINGLE_SCALE).astype("float64")
    tiny = first[first["init"].isin(TINY)]

    # whether and when a run became NaN is no matter of an epoch
    normal = epochs[epochs["init"] == "normal_std_1"].sort_values("epoch", kind="stable")
    run = [axis for axis in pairing.KEY if axis != "epochs"]
    whole = normal.drop_duplicates(run, keep="last").drop(columns="epoch")
    opening = normal[normal["epoch"] == 1].drop(columns="epoch")

    return tidy.from_quantities(
        {
            "test_accuracy": tidy.one_number(epochs, "test_accuracy"),
            "nan_reached": tidy.one_number(whole, pairing.nan_reached(whole)),
            "nan_within_100_steps": tidy.one_number(whole, pairing.nan_reached(whole, within=100)),
            "nan_in_first_epoch": tidy.one_number(
                opening, pairing.nan_reached(opening, within=opening["steps"])
            ),
            "below_twice_chance": tidy.one_number(tiny, 2 * CHANCE - tiny["test_accuracy"]),
            "he_minus_best_scale": he_minus_best_scale.assign(best_deviation=deviation),
            "he_minus_xavier": pair(he, xavier, across=["init"]).query("epoch in [1, 10]"),
        },
        CONDITIONS,
    )
