"""Choosing a learning rate, or any other level, without looking at the seed that is scored.

Choosing on the scored seed would flatter the choice (Cawley and Talbot 2010, Journal of Machine
Learning Research 11): for each seed the other seeds choose.
"""

import numpy as np
import pandas as pd

from finicky.experiments.pairing import KEY

# The learning rates that the chapter recommends; it gives none for SGD without momentum.
RECOMMENDED_RATES = {"momentum": 0.1, "rmsprop": 0.001, "adam": 0.001, "adamw": 0.0001}


def best_level(scores: pd.DataFrame, seed):
    """The level with the best mean score of the other seeds, or of its own where it is alone; the
    first if two tie. scores: one row per level, one column per seed."""
    others = scores.drop(columns=seed) if scores.shape[1] > 1 else scores
    return others.mean(axis=1).idxmax()


def best_by_other_seeds(rows: pd.DataFrame, choice: str, by: str) -> pd.DataFrame:
    """For each seed, the run at the level of `choice` with the best mean `by` of the *other*
    seeds; the smaller level if two tie. A seed without others has none."""
    cell = [column for column in KEY if column not in (choice, "seed")]
    seeds = rows.groupby([*cell, choice])[by]
    others = seeds.transform("count") - rows[by].notna()
    mean = (seeds.transform("sum") - rows[by].fillna(0)) / others.where(others > 0)
    # rounded, so that equal means stay equal whatever was subtracted
    ranked = rows.assign(mean=mean.round(6)).dropna(subset="mean")
    ranked = ranked.sort_values(["mean", choice], ascending=[False, True], kind="stable")
    return ranked.drop_duplicates([*cell, "seed"]).drop(columns="mean")


def best_place(scores: np.ndarray, row: int) -> int:
    """`best_level` for an array [seeds, levels]: the column that is best for the rows but `row`."""
    others = np.delete(scores, row, 0) if len(scores) > 1 else scores
    return int(others.mean(0).argmax())
