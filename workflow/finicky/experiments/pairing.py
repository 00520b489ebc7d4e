"""The grid's runs as rows, and comparisons of two arms: runs paired by seed and by every axis that
is not compared.

Every quantity is one number per seed. Two runs form a pair when they have the same seed (hence the
same order of the data and the same standard normals) and the same level on every axis except those
`across` which the comparison goes.
"""

import numpy as np
import pandas as pd

from finicky.runs import OUTCOMES

CELL = [
    "dataset",
    "images",
    "epochs",
    "depth",
    "block",
    "activation",
    "init",
    "optimizer",
    "learning_rate",
    "weight_decay",
    "schedule",
    "label_noise",
]
KEY = [*CELL, "batch_size", "width", "seed"]


def for_purpose(runs: pd.DataFrame, purpose: str) -> pd.DataFrame:
    """The runs of the sub-grids that serve a purpose (`purposes` holds a run's, by commas)."""
    member = [purpose in have.split(",") for have in runs["purposes"]]
    return runs[np.array(member, dtype=bool)]


def by_epoch(runs: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """One row per run and epoch: the run's levels, `epoch`, `steps` (taken by the end of the
    epoch), the metrics and `outcome`, a number into OUTCOMES: the worst that had happened by then.

    From the epoch in which the loss became inf or NaN, accuracies are those of a guess and losses
    NaN, whatever the network then said about the images.
    """
    rows = runs.rename(columns={"outcome": "whole_outcome"}).merge(curves, on="run")
    rows["steps"] = rows["epoch"] * -(-rows["images"] // rows["batch_size"])
    rows["outcome"] = 0
    for severity, name in enumerate(OUTCOMES[1:], start=1):
        rows[f"{name}_step"] = rows[f"{name}_step"].astype("Int64")
        happened = rows[f"{name}_step"].le(rows["steps"]).fillna(False).astype(bool)
        rows.loc[happened, "outcome"] = severity
    # a NaN may come with the last update, after the last loss was looked at
    silent = rows["test_accuracy"].isna() & rows["whole_outcome"].isin(["inf", "nan"])
    rows.loc[silent, "outcome"] = rows["whole_outcome"].map(OUTCOMES.index)
    failed = rows["outcome"] >= OUTCOMES.index("inf")
    for metric in curves.columns.difference(["run", "epoch"]):
        score = 100 / rows["classes"] if metric.endswith("accuracy") else np.nan
        rows[metric] = rows[metric].astype("float64").mask(failed, score)
    return rows.drop(columns="whole_outcome")


def final(runs: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """`by_epoch` at the last epoch: one row per run."""
    rows = by_epoch(runs, curves)
    return rows[rows["epoch"] == rows["epochs"]]


def as_runs(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of `by_epoch` as runs that ended there, each once.

    At a constant rate a run's first epochs are a shorter run. So runs of different lengths can be
    compared after the same epoch, and a shorter run and the beginning of a longer one count once.
    """
    longest_first = rows.sort_values("epochs", ascending=False, kind="stable")
    return longest_first.assign(epochs=longest_first["epoch"]).drop_duplicates(KEY)


def pair(
    a: pd.DataFrame, b: pd.DataFrame, across: list[str], metric: str = "test_accuracy"
) -> pd.DataFrame:
    """Rows of arm `a` joined with rows of arm `b`: same KEY but for the columns `across`; an
    optimizer comes with its weight decay, AdamW with its own.

    Result: the shared columns of KEY, each of `across` twice (`init_a`, `init_b`), `a`, `b` (the
    metric of the two arms), `value` = a - b, the worse `outcome`, and `epoch` (after which).
    """
    if "optimizer" in across:
        across = [*across, "weight_decay"]
    shared = [column for column in KEY if column not in across]
    columns = [*KEY, metric, "outcome"]
    both = a[columns].merge(b[columns], on=shared, suffixes=("_a", "_b"))
    both = both.rename(columns={f"{metric}_a": "a", f"{metric}_b": "b"})
    both["value"] = both["a"] - both["b"]
    both["outcome"] = both[["outcome_a", "outcome_b"]].max(axis=1)
    both["epoch"] = both["epochs"]
    return both.drop(columns=["outcome_a", "outcome_b"])


def nan_reached(runs: pd.DataFrame, within: int | pd.Series | None = None) -> pd.Series:
    """Whether each run's loss became NaN (`within` so many steps, or ever)."""
    reached = runs["nan_step"].notna()
    if within is not None:
        reached &= runs["nan_step"].le(within).fillna(False).astype(bool)
    return reached
