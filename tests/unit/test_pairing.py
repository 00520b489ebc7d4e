"""Scoring and pairing: what all comparisons of the grid's runs rest on."""

import pandas as pd

from finicky.experiments import pairing
from finicky.runs import OUTCOMES


def constant(percent):
    return lambda run: (percent(run), percent(run))


def never(run):
    return "finite", None


# ---- Runs as rows -------------------------------------------------------------------------------


def test_from_the_epoch_of_its_nan_a_run_scores_chance(make_tables):
    # 157 steps an epoch: step 200 lies in the second
    tables = make_tables(
        {"seed": 0}, accuracy=constant(lambda run: 90.0), end=lambda run: ("nan", 200)
    )
    # what a network full of NaN says about the images is not an accuracy
    tables["curves"].loc[tables["curves"]["epoch"] > 1, "test_accuracy"] = 9.8
    rows = pairing.by_epoch(**tables).sort_values("epoch")
    assert rows["test_accuracy"].tolist() == [90.0, 10.0, 10.0]
    assert rows["outcome"].map(OUTCOMES.__getitem__).tolist() == ["finite", "nan", "nan"]
    assert rows["test_loss"].isna().tolist() == [False, True, True]
    assert rows["steps"].tolist() == [157, 314, 471]


def test_a_failed_run_without_metrics_scores_chance_whatever_its_step_says(make_tables):
    tables = make_tables({"seed": 0}, end=lambda run: ("inf", 1))
    tables["runs"]["inf_step"] = pd.NA
    rows = pairing.final(**tables)
    assert rows["test_accuracy"].tolist() == [10.0]
    assert OUTCOMES[rows["outcome"].iloc[0]] == "inf"


def test_a_large_loss_is_no_failure(make_tables):
    tables = make_tables(
        {"seed": 0}, accuracy=constant(lambda run: 70.0), end=lambda run: ("large", 3)
    )
    rows = pairing.final(**tables)
    assert rows["test_accuracy"].tolist() == [70.0]
    assert OUTCOMES[rows["outcome"].iloc[0]] == "large"


def test_a_shorter_run_and_the_start_of_a_longer_one_count_once(make_tables):
    tables = make_tables({"epochs": [1, 3], "seed": 0}, end=never)
    rows = pairing.as_runs(pairing.by_epoch(**tables))
    assert sorted(rows["epoch"]) == [1, 2, 3]
    assert (rows["epochs"] == rows["epoch"]).all()


def test_purposes_are_whole_names(make_tables):
    runs = make_tables(
        {"purposes": ["tuning", "tuning-wide"], "seed": 0}, {"purposes": "ten-layers", "seed": 1}
    )["runs"]
    assert runs["purposes"].tolist() == ["tuning,tuning-wide", "ten-layers"]
    assert pairing.for_purpose(runs, "tuning-wide")["seed"].tolist() == [0]
    assert pairing.for_purpose(runs, "ten-layers")["seed"].tolist() == [1]
    assert pairing.for_purpose(runs, "wide").empty
    assert pairing.for_purpose(runs.iloc[:0], "tuning").empty


def test_a_run_of_two_subgrids_has_the_purposes_of_both(make_tables):
    tables = make_tables({"seed": 0}, {"purposes": "tuning", "seed": [0, 1]})
    assert pairing.for_purpose(tables["runs"], "comparison")["seed"].tolist() == [0]
    assert pairing.for_purpose(tables["runs"], "tuning")["seed"].tolist() == [0, 1]


def test_nan_reached_ever_or_within_so_many_steps():
    runs = pd.DataFrame({"nan_step": pd.array([3, 100, pd.NA], "Int64"), "length": [2, 100, 5]})
    assert pairing.nan_reached(runs).tolist() == [True, True, False]
    assert pairing.nan_reached(runs, within=99).tolist() == [True, False, False]
    assert pairing.nan_reached(runs, within=runs["length"]).tolist() == [False, True, False]


# ---- Pairs --------------------------------------------------------------------------------------


def test_pairs_share_seed_and_all_other_axes(make_tables):
    tables = make_tables(
        {"init": ["he", "xavier"], "depth": [6, 10], "seed": [0, 1]},
        {"init": "he", "depth": 20, "seed": [0, 1]},
        accuracy=constant(lambda run: run["depth"] + run["seed"] + 5 * (run["init"] == "he")),
        end=never,
    )
    rows = pairing.final(**tables)
    he, xavier = rows[rows["init"] == "he"], rows[rows["init"] == "xavier"]
    pairs = pairing.pair(he, xavier, across=["init"]).sort_values(["depth", "seed"])
    assert pairs[["depth", "seed"]].values.tolist() == [[6, 0], [6, 1], [10, 0], [10, 1]]
    assert pairs["value"].tolist() == [5.0] * 4
    assert pairs["b"].tolist() == [6.0, 7.0, 10.0, 11.0]
    assert set(pairs["init_a"]) == {"he"} and set(pairs["init_b"]) == {"xavier"}


def test_a_pair_has_the_worse_outcome(make_tables):
    tables = make_tables(
        {"init": ["he", "xavier"], "seed": 0},
        end=lambda run: ("nan", 1) if run["init"] == "xavier" else ("large", 1),
    )
    rows = pairing.final(**tables)
    he, xavier = rows[rows["init"] == "he"], rows[rows["init"] == "xavier"]
    for a, b in ((he, xavier), (xavier, he)):
        pairs = pairing.pair(a, b, across=["init"])
        assert OUTCOMES[pairs["outcome"].iloc[0]] == "nan"


# ---- Axes that came later -----------------------------------------------------------------------


def test_runs_at_different_levels_of_any_axis_are_no_pair(make_tables):
    for axis, other in {"width": 64, "batch_size": 32, "weight_decay": 0.1, "schedule": "cosine",
                        "label_noise": 0.2}.items():  # fmt: skip
        tables = make_tables({"init": "he"}, {"init": ["he", "xavier"], axis: other}, end=never)
        rows = pairing.final(**tables)
        he, xavier = (rows[rows["init"] == init] for init in ("he", "xavier"))
        pairs = pairing.pair(he, xavier, ["init"])
        assert len(he) == 10 and len(pairs) == 5 and set(pairs[axis]) == {other}


def test_an_optimizer_is_compared_with_its_own_decay(make_tables):
    tables = make_tables({"optimizer": ["adam", "adamw"], "learning_rate": 0.001}, end=never)
    rows = pairing.final(**tables)
    adam, adamw = (rows[rows["optimizer"] == name] for name in ("adam", "adamw"))
    assert set(adamw["weight_decay"]) == {0.01}
    assert len(pairing.pair(adam, adamw, ["optimizer"])) == 5


def test_a_failed_run_scores_a_guess_among_its_classes(make_tables):
    tables = make_tables({"seed": [0, 1]}, end=lambda run: ("nan", 1))
    tables["runs"]["classes"] = [4, 100]
    assert sorted(pairing.final(**tables)["test_accuracy"]) == [1.0, 25.0]
