"""Scoring, pairing and choosing: what all comparisons of runs rest on."""

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from finicky.experiments import arms, grid, mini_project, ten_layers

EXPERIMENTS = [grid, ten_layers, mini_project]


def constant(percent):
    return lambda run: (percent(run), percent(run))


def never(run):
    return "finite", None


def test_from_the_epoch_of_its_nan_a_run_scores_chance(make_tables):
    # 157 steps an epoch: step 200 lies in the second
    tables = make_tables(
        {"seed": 0}, accuracy=constant(lambda run: 90.0), end=lambda run: ("nan", 200)
    )
    # what a network full of NaN says about the images is not an accuracy
    tables["curves"].loc[tables["curves"]["epoch"] > 1, "test_accuracy"] = 9.8
    rows = arms.by_epoch(**tables).sort_values("epoch")
    assert rows["test_accuracy"].tolist() == [90.0, 10.0, 10.0]
    assert rows["outcome"].map(arms.OUTCOMES.__getitem__).tolist() == ["finite", "nan", "nan"]
    assert rows["test_loss"].isna().tolist() == [False, True, True]


def test_a_failed_run_without_metrics_scores_chance_whatever_its_step_says(make_tables):
    tables = make_tables({"seed": 0}, end=lambda run: ("inf", 1))
    tables["runs"]["inf_step"] = pd.NA
    rows = arms.final(**tables)
    assert rows["test_accuracy"].tolist() == [10.0]
    assert arms.OUTCOMES[rows["outcome"].iloc[0]] == "inf"


def test_a_large_loss_is_no_failure(make_tables):
    tables = make_tables(
        {"seed": 0}, accuracy=constant(lambda run: 70.0), end=lambda run: ("large", 3)
    )
    rows = arms.final(**tables)
    assert rows["test_accuracy"].tolist() == [70.0]
    assert arms.OUTCOMES[rows["outcome"].iloc[0]] == "large"


def test_pairs_share_seed_and_all_other_axes(make_tables):
    tables = make_tables(
        {"init": ["he", "xavier"], "depth": [6, 10], "seed": [0, 1]},
        {"init": "he", "depth": 20, "seed": [0, 1]},
        accuracy=constant(lambda run: run["depth"] + run["seed"] + 5 * (run["init"] == "he")),
        end=never,
    )
    rows = arms.final(**tables)
    he, xavier = rows[rows["init"] == "he"], rows[rows["init"] == "xavier"]
    pairs = arms.pair(he, xavier, across=["init"]).sort_values(["depth", "seed"])
    assert pairs[["depth", "seed"]].values.tolist() == [[6, 0], [6, 1], [10, 0], [10, 1]]
    assert pairs["value"].tolist() == [5.0] * 4
    assert pairs["b"].tolist() == [6.0, 7.0, 10.0, 11.0]
    assert set(pairs["init_a"]) == {"he"} and set(pairs["init_b"]) == {"xavier"}


def test_a_pair_has_the_worse_outcome(make_tables):
    tables = make_tables(
        {"init": ["he", "xavier"], "seed": 0},
        end=lambda run: ("nan", 1) if run["init"] == "xavier" else ("large", 1),
    )
    rows = arms.final(**tables)
    he, xavier = rows[rows["init"] == "he"], rows[rows["init"] == "xavier"]
    for a, b in ((he, xavier), (xavier, he)):
        pairs = arms.pair(a, b, across=["init"])
        assert arms.OUTCOMES[pairs["outcome"].iloc[0]] == "nan"


def test_the_seed_that_is_scored_does_not_choose(make_tables):
    # seed 0 does best at 0.1, the others at 0.01
    def accuracy(run):
        favourite = 0.1 if run["seed"] == 0 else 0.01
        return 90.0 if run["learning_rate"] == favourite else 80.0

    tables = make_tables(
        {"learning_rate": [0.01, 0.1], "seed": [0, 1, 2]}, accuracy=constant(accuracy), end=never
    )
    best = arms.best_by_other_seeds(arms.final(**tables), "learning_rate", by="test_accuracy")
    # for seed 1 the others are 0 and 2, who tie at 85: the smaller rate
    assert best.set_index("seed")["learning_rate"].to_dict() == {0: 0.01, 1: 0.01, 2: 0.01}


def test_one_seed_alone_chooses_nothing(make_tables):
    tables = make_tables({"learning_rate": [0.01, 0.1], "seed": 0})
    assert arms.best_by_other_seeds(arms.final(**tables), "learning_rate", by="test_accuracy").empty


def test_a_shorter_run_and_the_start_of_a_longer_one_count_once(make_tables):
    tables = make_tables({"epochs": [1, 3], "seed": 0}, end=never)
    rows = arms.as_runs(arms.by_epoch(**tables))
    assert sorted(rows["epoch"]) == [1, 2, 3]
    assert (rows["epochs"] == rows["epoch"]).all()


def test_subgrids_are_whole_names(make_tables):
    runs = make_tables(
        {"subgrids": ["rates", "rates-wide"], "seed": 0}, {"subgrids": "ten-layers", "seed": 1}
    )["runs"]
    assert runs["subgrids"].tolist() == ["rates,rates-wide", "ten-layers"]
    assert arms.in_subgrids(runs, "rates-wide")["seed"].tolist() == [0]
    assert arms.in_subgrids(runs, "wide").empty
    assert arms.in_subgrids(runs, "wide", "ten-layers")["seed"].tolist() == [1]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_without_runs_a_table_has_its_columns_and_types(experiment, make_tables, tmp_path):
    whole = make_tables({"seed": 0})
    empty = {name: table.iloc[:0] for name, table in whole.items()}
    table = experiment.measure({}, empty)
    types = arms.VALUES | experiment.CONDITIONS
    assert table.empty and table.dtypes.astype(str).to_dict() == types
    table.to_parquet(tmp_path / "empty.parquet")
    assert pd.read_parquet(tmp_path / "empty.parquet").dtypes.astype(str).to_dict() == types
    assert experiment.draw(table) == {}


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_the_order_of_the_runs_does_not_matter(experiment, rich_tables):
    shuffled = {
        name: table.sample(frac=1, random_state=1, ignore_index=True)
        for name, table in rich_tables.items()
    }
    pd.testing.assert_frame_equal(
        experiment.measure({}, rich_tables), experiment.measure({}, shuffled)
    )


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_quantity_declared_is_measured_and_no_other(experiment, rich_tables):
    table = experiment.measure({}, rich_tables)
    assert list(dict.fromkeys(table["quantity"])) == list(experiment.QUANTITIES)
    assert table["seed"].notna().all() and set(table["outcome"]) <= set(arms.OUTCOMES)
    condition = [*experiment.CONDITIONS, "quantity", "seed"]
    assert not table.duplicated(condition).any()


@pytest.mark.parametrize("experiment", EXPERIMENTS)
@pytest.mark.parametrize("lost", [0.5, 0.9, 0.99])
def test_missing_runs_make_fewer_rows_and_no_wrong_ones(experiment, lost, rich_tables):
    runs = rich_tables["runs"].sample(frac=1 - lost, random_state=0)
    table = experiment.measure({}, {"runs": runs, "curves": rich_tables["curves"]})
    whole = experiment.measure({}, rich_tables)
    assert len(table) < len(whole)
    pairs = table[table["a"].notna() & (table["quantity"] != "spread_halved_by_bn")]
    assert np.allclose(pairs["value"], pairs["a"] - pairs["b"])
    experiment.draw(table)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_the_literals_can_be_read_without_importing(experiment):
    tree = ast.parse(Path(experiment.__file__).read_text(encoding="utf-8"))
    literals = {
        node.targets[0].id: node.value for node in tree.body if isinstance(node, ast.Assign)
    }
    for name in ("TITLE", "ANSWERS", "READS", "QUANTITIES", "FIGURES"):
        assert ast.literal_eval(literals[name]) == getattr(experiment, name)


def test_measuring_loads_no_plotting():
    code = (
        "import sys; from finicky.experiments import grid, ten_layers, mini_project; "
        "sys.exit('matplotlib' in sys.modules or 'torch' in sys.modules)"
    )
    workflow = Path(arms.__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=workflow).returncode == 0


def test_the_table_has_the_columns_of_every_experiment():
    rows = [{"quantity": "q", "seed": 1, "value": 2}, {"quantity": "r", "seed": 1, "width": 8}]
    table = arms.tidy(rows, {"width": "Int64"})
    assert list(table.columns) == [*arms.VALUES, "width"]
    assert table["outcome"].eq("finite").all() and table[["a", "b"]].isna().all(axis=None)
    assert table["width"].isna().tolist() == [True, False] and table["width"].iloc[1] == 8


def test_the_best_level_is_chosen_by_the_other_seeds():
    scores = pd.DataFrame({0: {0.1: 90, 1.0: 70}, 1: {0.1: 50, 1.0: 60}})
    assert [arms.best_level(scores, seed) for seed in (0, 1)] == [1.0, 0.1]
    assert arms.best_level(pd.DataFrame({0: {0.1: 50, 1.0: 60}}), 0) == 1.0
