"""Comparisons of trained networks at two learning rates: the chapter's, and each arm's own best.

A table of runs has one row per arm, seed and choice, with `optimizer`, `learning_rate`,
`validation_accuracy`, `outcome` by name and the scores. A choice is a learning rate, maybe with
other levels that are chosen with it. What is chosen for a seed, the other seeds' held-out images
choose (`tuning`).
"""

import pandas as pd

from finicky.experiments import tuning
from finicky.runs import OUTCOMES

CHAPTER, OWN = "chapter", "own best"


def at_rates(
    runs: pd.DataFrame,
    arm: list[str],
    with_it: tuple[str, ...] = (),
    recommended: dict[str, float] = tuning.RECOMMENDED_RATES,
) -> pd.DataFrame:
    """One row per arm, seed and `rate`, CHAPTER or OWN; an optimizer without a recommended rate, or
    that was not trained at it, has OWN only.

    arm: columns that tell arms apart; with_it: columns chosen together with the learning rate;
    recommended: by optimizer, where not the chapter's alone.
    """
    theirs = runs[runs["learning_rate"] == runs["optimizer"].map(recommended)]
    choice = ["learning_rate", *with_it]
    return pd.concat(
        [
            best(theirs, arm, choice).assign(rate=CHAPTER),
            best(runs, arm, choice).assign(rate=OWN),
        ],
        ignore_index=True,
    )


def best(runs: pd.DataFrame, arm: list[str], choice: list[str]) -> pd.DataFrame:
    """For each arm and seed the row whose choice is the best for the other seeds."""
    rows = [runs[:0]]
    for _, mine in runs.groupby(arm, dropna=False):
        place = mine.groupby(choice, dropna=False).ngroup()
        scores = mine.assign(place=place).pivot(
            index="place", columns="seed", values="validation_accuracy"
        )
        for seed in scores.columns:
            rows.append(mine[(mine["seed"] == seed) & (place == tuning.best_level(scores, seed))])
    return pd.concat(rows)


def minus(
    a: pd.DataFrame, b: pd.DataFrame, on: list[str], metric: str = "test_accuracy"
) -> pd.DataFrame:
    """Rows of arm `a` minus rows of arm `b`, paired by the columns `on` and by seed: `value`, the
    sides `a` and `b`, and the worse `outcome`."""
    on = [*on, "seed"]
    both = a[[*on, metric, "outcome"]].merge(b[[*on, metric, "outcome"]], on=on)
    both = both.rename(columns={f"{metric}_x": "a", f"{metric}_y": "b"})
    worst = both[["outcome_x", "outcome_y"]].map(OUTCOMES.index).max(axis=1)
    both["outcome"] = worst.map(OUTCOMES.__getitem__)
    return both.drop(columns=["outcome_x", "outcome_y"]).assign(value=both["a"] - both["b"])


def once(rows: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """The rows without those at OWN that repeat the ones at CHAPTER in every seed: where the own
    best is the chapter's rate there is one measurement, and it would count twice.

    by: the columns of the conditions, without `rate`.
    """
    repeated = pd.Series(False, index=rows.index)
    for _, mine in rows.groupby(by, dropna=False):
        of = {rate: mine[mine["rate"] == rate].set_index("seed") for rate in (CHAPTER, OWN)}
        if of[CHAPTER]["value"].sort_index().equals(of[OWN]["value"].sort_index()):
            repeated[mine.index[mine["rate"] == OWN]] = True
    return rows[~repeated]
