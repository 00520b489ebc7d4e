"""Choosing a level by the other seeds: the scored seed has no say."""

import numpy as np
import pandas as pd
import pytest

from finicky.experiments import pairing, tuning


def never(run):
    return "finite", None


def test_the_seed_that_is_scored_does_not_choose(make_tables):
    # seed 0 does best at 0.1, the others at 0.01
    def accuracy(run):
        favourite = 0.1 if run["seed"] == 0 else 0.01
        return (90.0, 90.0) if run["learning_rate"] == favourite else (80.0, 80.0)

    tables = make_tables(
        {"learning_rate": [0.01, 0.1], "seed": [0, 1, 2]}, accuracy=accuracy, end=never
    )
    runs = pairing.final(**tables)
    best = tuning.best_by_other_seeds(runs, "learning_rate", by="test_accuracy")
    # for seed 1 the others are 0 and 2, who tie at 85: the smaller rate
    assert best.set_index("seed")["learning_rate"].to_dict() == {0: 0.01, 1: 0.01, 2: 0.01}
    own = runs.set_index(["seed", "learning_rate"])["test_accuracy"]
    assert best.set_index("seed")["test_accuracy"].to_dict() == {
        seed: own[seed, 0.01] for seed in (0, 1, 2)
    }


def test_each_cell_chooses_for_itself(make_tables):
    def accuracy(run):
        good = (run["learning_rate"] == 0.1) == (run["depth"] == 6)
        return (90.0, 90.0) if good else (80.0, 80.0)

    product = {"learning_rate": [0.01, 0.1], "depth": [6, 10], "seed": [0, 1]}
    runs = pairing.final(**make_tables(product, accuracy=accuracy, end=never))
    best = tuning.best_by_other_seeds(runs, "learning_rate", by="test_accuracy")
    assert best.set_index(["depth", "seed"])["learning_rate"].to_dict() == {
        (6, 0): 0.1, (6, 1): 0.1, (10, 0): 0.01, (10, 1): 0.01,
    }  # fmt: skip


def test_a_number_that_is_missing_does_not_count(make_tables):
    runs = pairing.final(**make_tables({"learning_rate": [0.01, 0.1], "seed": [0, 1, 2]}))
    low, second = runs["learning_rate"] == 0.01, runs["seed"] == 1
    runs["score"] = np.where(low, 50.0, 60.0)
    runs.loc[~low & second, "score"] = np.nan
    best = tuning.best_by_other_seeds(runs, "learning_rate", by="score")
    assert set(best["learning_rate"]) == {0.1} and set(best["seed"]) == {0, 1, 2}


def test_one_seed_alone_chooses_nothing(make_tables):
    runs = pairing.final(**make_tables({"learning_rate": [0.01, 0.1], "seed": 0}))
    assert tuning.best_by_other_seeds(runs, "learning_rate", by="test_accuracy").empty


SCORES = pd.DataFrame({0: {0.1: 90, 1.0: 70}, 1: {0.1: 50, 1.0: 60}})


def test_the_best_level_is_chosen_by_the_other_seeds():
    assert [tuning.best_level(SCORES, seed) for seed in (0, 1)] == [1.0, 0.1]
    assert tuning.best_level(pd.DataFrame({0: {0.1: 50, 1.0: 60}}), 0) == 1.0
    assert tuning.best_level(pd.DataFrame({0: {0.1: 5, 1.0: 5}, 1: {0.1: 5, 1.0: 5}}), 0) == 0.1


@pytest.mark.parametrize("row", [0, 1])
def test_the_best_place_is_the_best_level_of_an_array(row):
    found = tuning.best_place(SCORES.to_numpy().T, row)
    assert SCORES.index[found] == tuning.best_level(SCORES, row)
    assert tuning.best_place(np.array([[50, 60, 60]]), 0) == 1
