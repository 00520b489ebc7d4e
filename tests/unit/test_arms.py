"""Arms of trainings: what is compared at which rate."""

import pandas as pd
import pytest

from finicky.experiments import arms


def trainings(scores, optimizer="sgd"):
    """Rows of {rate: (validation, test) of each seed}."""
    rows = [
        {"optimizer": optimizer, "learning_rate": rate, "seed": seed, "outcome": "finite",
         "validation_accuracy": validation, "test_accuracy": test}
        for rate, of in scores.items()
        for seed, (validation, test) in enumerate(of)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_a_ladder_has_the_recommended_rate():
    assert arms.ladder("sgd", [0.1]) == [0.01, 0.1]
    assert arms.ladder("adam", [0.001, 0.01]) == [0.001, 0.01]


def test_sgd_has_a_rate_of_the_grids():
    chosen = arms.at_rates(trainings({0.01: [(50, 51)] * 2, 0.1: [(60, 61)] * 2}), [])
    by_rate = chosen.set_index("rate")["learning_rate"]
    assert set(by_rate["chapter"]) == {0.01} and set(by_rate["own best"]) == {0.1}


def test_the_other_seeds_choose():
    rows = trainings({0.01: [(90, 1), (10, 2)], 0.1: [(50, 3), (60, 4)]})
    best = arms.at_rates(rows, []).query("rate == 'own best'").set_index("seed")["test_accuracy"]
    assert best.to_dict() == {0: 3, 1: 2}  # seed 1 prefers 0.1, seed 0 prefers 0.01


def test_a_comparison_at_both_rates_and_once_where_they_agree():
    a = trainings({0.01: [(50, 70), (50, 71)], 0.1: [(60, 80), (60, 82)]})
    b = trainings({0.01: [(50, 65), (50, 64)], 0.1: [(40, 30), (40, 30)]})
    rows = pd.DataFrame(arms.compared(a, b, "gain", depth=2))
    values = {rate: of["value"].tolist() for rate, of in rows.groupby("rate")}
    assert values == {"chapter": [5, 7], "own best": [15, 18]}
    assert set(rows["depth"]) == {2} and set(rows["quantity"]) == {"gain"}
    again = pd.DataFrame(arms.compared(b, b, "gain"))
    assert set(again["rate"]) == {"chapter"}


def test_a_network_that_is_nan_scores_chance():
    rows = arms.of_replicas([True, False], test_accuracy=[90.0, 80.0])
    assert [row["test_accuracy"] for row in rows] == [90.0, pytest.approx(10.0)]
    assert [row["outcome"] for row in rows] == ["finite", "nan"]
