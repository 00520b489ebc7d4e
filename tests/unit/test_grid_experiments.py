"""What holds for every experiment that only reads the grid's runs."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from finicky import exhibits
from finicky.exhibits import grid as grid_shown
from finicky.exhibits import mini_project as mini_project_shown
from finicky.exhibits import style
from finicky.exhibits import ten_layers as ten_layers_shown
from finicky.experiments import grid, mini_project, ten_layers, tidy

EXPERIMENTS = {grid: grid_shown, ten_layers: ten_layers_shown, mini_project: mini_project_shown}
LEDGER = {"claims": []}
# Their sides a and b are accuracies that stand beside the number, which is not their difference.
NO_DIFFERENCE = ["spread_halved_by_bn", "train_rise_beyond_half"]


def drawn(experiment, table):
    """The experiment's figures, those without data aside."""
    shown = EXPERIMENTS[experiment]
    numbers = getattr(shown, "WITH_LEDGER", ())
    with style.context():
        figures = {
            name: getattr(shown, name.lower())(table, *[LEDGER] * (name in numbers))
            for name in shown.FIGURES
        }
    return {name: figure for name, figure in figures.items() if figure}


def refilled(experiment, table):
    """The experiment's tables, those without our numbers aside."""
    shown = EXPERIMENTS[experiment]
    tables = [getattr(shown, name.lower())(table, LEDGER) for name in shown.TABLES]
    return [table for table in tables if table is not None and table.seeds]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_without_runs_a_table_has_its_columns_and_types(experiment, make_tables, tmp_path):
    whole = make_tables({"seed": 0})
    empty = {name: table.iloc[:0] for name, table in whole.items()}
    table = experiment.measure({}, empty)
    tidy.check(table, experiment)
    types = tidy.columns(experiment.CONDITIONS)
    assert table.empty and table.dtypes.astype(str).to_dict() == types
    table.to_parquet(tmp_path / "empty.parquet")
    assert pd.read_parquet(tmp_path / "empty.parquet").dtypes.astype(str).to_dict() == types
    assert drawn(experiment, table) == {} and refilled(experiment, table) == []


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


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_figure_and_table_declared_is_made(experiment, rich_tables):
    table = experiment.measure({}, rich_tables)
    shown = EXPERIMENTS[experiment]
    assert list(drawn(experiment, table)) == list(shown.FIGURES)
    assert len(refilled(experiment, table)) == len(shown.TABLES)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
@pytest.mark.parametrize("lost", [0.5, 0.9, 0.99])
def test_missing_runs_make_fewer_rows_and_no_wrong_ones(experiment, lost, rich_tables):
    runs = rich_tables["runs"].sample(frac=1 - lost, random_state=0)
    table = experiment.measure({}, {"runs": runs, "curves": rich_tables["curves"]})
    whole = experiment.measure({}, rich_tables)
    assert len(table) < len(whole)
    pairs = table[table["a"].notna() & ~table["quantity"].isin(NO_DIFFERENCE)]
    assert np.allclose(pairs["value"], pairs["a"] - pairs["b"])
    drawn(experiment, table)
    refilled(experiment, table)


def test_measuring_loads_neither_plotting_nor_pytorch():
    code = (
        "import sys; from finicky.experiments import grid, ten_layers, mini_project; "
        "sys.exit('matplotlib' in sys.modules or 'torch' in sys.modules)"
    )
    workflow = Path(exhibits.__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=workflow).returncode == 0
