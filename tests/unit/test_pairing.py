"""Scoring and pairing: what all comparisons of the grid's runs rest on, and the experiments that
only compare."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from finicky import documents
from finicky.exhibits import grid as shown_grid
from finicky.exhibits import mini_project as shown_mini_project
from finicky.exhibits import style
from finicky.exhibits import ten_layers as shown_ten_layers
from finicky.experiments import grid, mini_project, pairing, ten_layers, tidy
from finicky.runs import OUTCOMES

EXPERIMENTS = [grid, ten_layers, mini_project]
EXHIBITS = {grid: shown_grid, ten_layers: shown_ten_layers, mini_project: shown_mini_project}


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


# ---- Experiments that only compare --------------------------------------------------------------


def show(experiment, table):
    """Every figure and table of an experiment's exhibit, by id."""
    exhibit, ledger = EXHIBITS[experiment], documents.read("config/claims.yaml", "the ledger")
    with style.context():
        figures = {name: getattr(exhibit, name.lower())(table) for name in exhibit.FIGURES}
    tables = getattr(exhibit, "TABLES", {})
    return figures, {name: getattr(exhibit, name.lower())(table, ledger) for name in tables}


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_without_runs_a_table_has_its_columns_and_no_figure(experiment, make_tables):
    whole = make_tables({"seed": 0})
    empty = {name: table.iloc[:0] for name, table in whole.items()}
    table = experiment.measure({}, empty)
    tidy.check(table, experiment)
    assert table.empty
    assert table.dtypes.astype(str).to_dict() == tidy.columns(experiment.CONDITIONS)
    figures, _ = show(experiment, table)
    assert not any(figures.values())


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
    tidy.check(table, experiment)
    assert list(dict.fromkeys(table["quantity"])) == list(experiment.QUANTITIES)
    assert table["seed"].notna().all()
    condition = [*experiment.CONDITIONS, "quantity", "seed"]
    assert not table.duplicated(condition).any()
    figures, tables = show(experiment, table)
    assert all(figures.values()) and all(tables.values())


@pytest.mark.parametrize("experiment", EXPERIMENTS)
@pytest.mark.parametrize("lost", [0.5, 0.9, 0.99])
def test_missing_runs_make_fewer_rows_and_no_wrong_ones(experiment, lost, rich_tables):
    runs = rich_tables["runs"].sample(frac=1 - lost, random_state=0)
    table = experiment.measure({}, {"runs": runs, "curves": rich_tables["curves"]})
    whole = experiment.measure({}, rich_tables)
    assert len(table) < len(whole)
    pairs = table[table["a"].notna() & (table["quantity"] != "spread_halved_by_bn")]
    assert np.allclose(pairs["value"], pairs["a"] - pairs["b"])
    show(experiment, table)


def test_comparing_loads_neither_plotting_nor_torch():
    code = (
        "import sys; from finicky.experiments import grid, ten_layers, mini_project; "
        "sys.exit('matplotlib' in sys.modules or 'torch' in sys.modules)"
    )
    workflow = Path(pairing.__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=workflow).returncode == 0
