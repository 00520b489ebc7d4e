"""Comparisons at the chapter's rate and at each arm's own best, by hand."""

import pandas as pd
import pytest

from finicky.experiments import best_rates

ARMS = ["arm"]


def made_up(scores, optimizer="adam"):
    """Runs of {(arm, rate): validation accuracies by seed}; they test one point lower."""
    return pd.DataFrame(
        [
            {"arm": arm, "optimizer": optimizer, "learning_rate": rate, "seed": seed,
             "validation_accuracy": score, "test_accuracy": score - 1, "outcome": "finite"}
            for (arm, rate), of_seeds in scores.items()
            for seed, score in enumerate(of_seeds)
        ]
    )  # fmt: skip


def rates(chosen, rate):
    rows = chosen[chosen["rate"] == rate].sort_values("seed")
    return rows["learning_rate"].tolist()


def test_the_other_seeds_choose():
    runs = made_up({("a", 0.001): [50, 50, 90], ("a", 0.01): [60, 60, 10]})
    chosen = best_rates.at_rates(runs, ARMS)
    assert rates(chosen, "chapter") == [0.001] * 3
    # for the last seed the others are best at 0.01, for which it is bad
    assert rates(chosen, "own best") == [0.001, 0.001, 0.01]


def test_an_optimizer_without_a_rate_in_the_chapter_has_its_own_only():
    runs = made_up({("a", 0.001): [50, 50], ("a", 0.01): [60, 60]}, optimizer="sgd")
    chosen = best_rates.at_rates(runs, ARMS)
    assert set(chosen["rate"]) == {"own best"} and rates(chosen, "own best") == [0.01, 0.01]


def test_what_is_chosen_with_the_rate_is_chosen_at_the_chapter_s_too():
    weak = made_up({("a", 0.001): [50, 50], ("a", 0.01): [90, 90]}).assign(strength=1)
    strong = made_up({("a", 0.001): [70, 70], ("a", 0.01): [80, 80]}).assign(strength=2)
    chosen = best_rates.at_rates(pd.concat([weak, strong]), ARMS, ("strength",))
    found = chosen.set_index(["rate", "seed"])[["learning_rate", "strength"]]
    assert found.loc[("chapter", 0)].tolist() == [0.001, 2]
    assert found.loc[("own best", 0)].tolist() == [0.01, 1]


def test_arms_are_paired_by_seed_and_the_worse_outcome_counts():
    a, b = made_up({("a", 0.001): [80, 90]}), made_up({("b", 0.001): [70, 95]})
    b.loc[1, "outcome"] = "nan"
    rows = best_rates.minus(a, b.iloc[::-1], ["optimizer"]).sort_values("seed")
    assert rows["value"].tolist() == [10, -5]
    assert rows["a"].tolist() == [79, 89] and rows["b"].tolist() == [69, 94]
    assert rows["outcome"].tolist() == ["finite", "nan"]


@pytest.mark.parametrize("own, left", [([1, 2], 2), ([1, 3], 4), ([2, 1], 4)])
def test_one_measurement_counts_once(own, left):
    """The own best rate is dropped where it gave the chapter's numbers, seed by seed."""
    rows = pd.DataFrame(
        [
            {"size": 8, "rate": rate, "seed": seed, "value": value}
            for rate, values in (("chapter", [1, 2]), ("own best", own))
            for seed, value in enumerate(values)
        ]
    )
    other = rows.assign(size=16, value=[1, 2, 5, 6])
    kept = best_rates.once(pd.concat([rows, other], ignore_index=True), ["size"])
    assert len(kept[kept["size"] == 8]) == left and len(kept[kept["size"] == 16]) == 4
