"""Two arms of a comparison: scored runs, paired by seed and by every axis that is not compared.

Every quantity is one number a seed. Two runs form a pair when they have the same seed (hence the
same order of the data and the same standard normals) and the same level on every axis except those
`across` which the comparison goes.
"""

import numpy as np
import pandas as pd

CHANCE = 10.0  # % accuracy of a guess among ten classes
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
]
KEY = [*CELL, "batch_size", "width", "seed"]
OUTCOMES = ["finite", "large", "inf", "nan"]  # from harmless to worst

# Columns of a measured table and their types; each experiment adds its conditions.
VALUES = {
    "quantity": "str",
    "seed": "Int64",
    "value": "float64",
    "a": "float64",
    "b": "float64",
    "outcome": "str",
}
CONDITIONS = {
    "dataset": "str",
    "images": "Int64",
    "epochs": "Int64",
    "depth": "Int64",
    "block": "str",
    "activation": "str",
    "init": "str",
    "optimizer": "str",
    "learning_rate": "float64",
}


def in_subgrids(runs: pd.DataFrame, *names: str) -> pd.DataFrame:
    """The runs of these sub-grids (`subgrids` holds a run's sub-grids, joined by commas)."""
    member = [not set(names).isdisjoint(have.split(",")) for have in runs["subgrids"]]
    return runs[np.array(member, dtype=bool)]


def by_epoch(runs: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """One row a run and epoch: the run's levels, `epoch`, `steps` (taken by the end of the epoch),
    the metrics and `outcome`, a number into OUTCOMES: the worst that had happened by then.

    From the epoch in which the loss became inf or NaN, accuracies are CHANCE and losses NaN,
    whatever the network then said about the images.
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
        score = CHANCE if metric.endswith("accuracy") else np.nan
        rows[metric] = rows[metric].astype("float64").mask(failed, score)
    return rows.drop(columns="whole_outcome")


def final(runs: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """`by_epoch` at the last epoch: one row a run."""
    rows = by_epoch(runs, curves)
    return rows[rows["epoch"] == rows["epochs"]]


def as_runs(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of `by_epoch` as runs that ended there, each once.

    Without a schedule a run's first epochs are a shorter run. So runs of different lengths can be
    compared after the same epoch, and a shorter run and the beginning of a longer one count once.
    """
    longest_first = rows.sort_values("epochs", ascending=False, kind="stable")
    return longest_first.assign(epochs=longest_first["epoch"]).drop_duplicates(KEY)


def pair(
    a: pd.DataFrame, b: pd.DataFrame, across: list[str], metric: str = "test_accuracy"
) -> pd.DataFrame:
    """Rows of arm `a` joined with rows of arm `b`: same KEY but for the columns `across`.

    Result: the shared columns of KEY, each of `across` twice (`init_a`, `init_b`), `a`, `b` (the
    metric of the two arms), `value` = a - b, the worse `outcome`, and `epoch` (after which).
    """
    shared = [column for column in KEY if column not in across]
    columns = [*KEY, metric, "outcome"]
    both = a[columns].merge(b[columns], on=shared, suffixes=("_a", "_b"))
    both = both.rename(columns={f"{metric}_a": "a", f"{metric}_b": "b"})
    both["value"] = both["a"] - both["b"]
    both["outcome"] = both[["outcome_a", "outcome_b"]].max(axis=1)
    both["epoch"] = both["epochs"]
    return both.drop(columns=["outcome_a", "outcome_b"])


def best_by_other_seeds(rows: pd.DataFrame, choice: str, by: str) -> pd.DataFrame:
    """For each seed, the run at the level of `choice` with the best mean `by` of the *other*
    seeds; the smaller level if two tie. A seed without others has none.

    Choosing on the seed that is scored would flatter the choice (Cawley and Talbot 2010).
    """
    cell = [column for column in KEY if column not in (choice, "seed")]
    seeds = rows.groupby([*cell, choice])[by]
    others = seeds.transform("count") - rows[by].notna()
    mean = (seeds.transform("sum") - rows[by].fillna(0)) / others.where(others > 0)
    # rounded, so that equal means stay equal whatever was subtracted
    ranked = rows.assign(mean=mean.round(6)).dropna(subset="mean")
    ranked = ranked.sort_values(["mean", choice], ascending=[False, True], kind="stable")
    return ranked.drop_duplicates([*cell, "seed"]).drop(columns="mean")


def best_level(scores: pd.DataFrame, seed):
    """The level with the best mean score of the other seeds, or of its own where it is alone; the
    first if two tie. scores: a row a level, a column a seed."""
    others = scores.drop(columns=seed) if scores.shape[1] > 1 else scores
    return others.mean(axis=1).idxmax()


def each(rows: pd.DataFrame, value: str | pd.Series) -> pd.DataFrame:
    """Runs as a quantity without arms: `value` is a column's name or its numbers."""
    numbers = rows[value] if isinstance(value, str) else value
    return rows.assign(value=numbers.astype("float64"), a=np.nan, b=np.nan)


def nan_reached(runs: pd.DataFrame, within: int | pd.Series | None = None) -> pd.DataFrame:
    """1 for runs whose loss became NaN (`within` so many steps, or ever), 0 for the others."""
    reached = runs["nan_step"].notna()
    if within is not None:
        reached &= runs["nan_step"].le(within).fillna(False).astype(bool)
    return each(runs, reached)


def tidy(rows: list[dict], conditions: dict[str, str]) -> pd.DataFrame:
    """The tidy table of rows {quantity, seed, value, conditions...}, which say their outcome by
    name if they are runs; all others are finite.

    `conditions` are the columns beside VALUES with their types.
    """
    types = VALUES | conditions
    table = pd.DataFrame([{"outcome": "finite"} | row for row in rows])
    return table.reindex(columns=list(types)).astype(types)


def measured(quantities: dict[str, pd.DataFrame], conditions: dict[str, str]) -> pd.DataFrame:
    """The tidy table of an experiment: its quantities one below the other.

    `conditions` are the columns beside VALUES with their types. Rows without a number (a metric
    that was not measured) are kept only if the run failed. An empty table has all columns.
    """
    types = VALUES | conditions
    parts = []
    for name, rows in quantities.items():
        part = rows.assign(quantity=name, outcome=rows["outcome"].map(OUTCOMES.__getitem__))
        part = part[part["value"].notna() | part["outcome"].isin(["inf", "nan"])]
        part = part.reindex(columns=list(types)).astype(types)
        parts.append(part.sort_values([*conditions, "seed"], kind="stable"))
    return pd.concat(parts, ignore_index=True)
