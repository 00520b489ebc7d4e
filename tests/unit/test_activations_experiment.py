"""Slopes fail with a wrong sign, zeros are read off the tables, times are compared."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from finicky.exhibits import activations as exhibit
from finicky.exhibits import style
from finicky.experiments import activations, tidy

from .sentences import finding


def test_the_slope_of_the_sigmoid():
    found = dict(activations.slopes(np.random.default_rng(0), 50))
    assert max(found["slope_error"], found["quarter_error"], found["tail_error"]) < 1e-12
    assert found["flat_from"] == pytest.approx(17, abs=0.5)


@pytest.mark.parametrize(
    "name, wrong, error",
    [
        ("slope", lambda x: activations.sigmoid(x) * (1 + activations.sigmoid(x)), "slope_error"),
        ("slope", lambda x: activations.sigmoid(x) ** 2, "quarter_error"),
        ("tail", lambda x: np.exp(-np.abs(x)) / (1 - np.exp(-np.abs(x))) ** 2, "tail_error"),
    ],
)
def test_a_wrong_formula_is_seen(monkeypatch, name, wrong, error):
    monkeypatch.setattr(activations, name, wrong)
    assert dict(activations.slopes(np.random.default_rng(0), 50))[error] > 1e-6


@pytest.fixture
def tables(make_tables):
    """Runs whose layers have 50 % zeros at the start and 60 and 80 % in the end."""
    tables = make_tables({"optimizer": "adam", "learning_rate": 0.001, "depth": [2, 10]})
    rows = [
        {"run": run, "epoch": epoch, "layer": layer, "saturated_share": share, "dead_share": 0.1}
        for run in tables["runs"]["run"]
        for epoch, shares in ((0, (0.5, 0.5)), (1, (0, 0)), (3, (0.6, 0.8)))
        for layer, share in enumerate([*shares, None], 1)
    ]
    return tables | {"layers": pd.DataFrame(rows)}


def test_zeros_are_means_over_hidden_layers(tables):
    values = activations.zeros(tables).groupby("quantity")["value"]
    assert values.unique().map(list).to_dict() == {
        "always_zero": [pytest.approx(10)],
        "zeros_after_training": [pytest.approx(70)],
        "zeros_at_start": [pytest.approx(50)],
    }
    table = activations.zeros(tables)
    assert (table["a"] == table["b"]).all() and table["a"].gt(90).all()
    assert table["quantity"].value_counts().to_dict() == {
        "always_zero": 10, "zeros_after_training": 10, "zeros_at_start": 10,
    }  # fmt: skip


def test_a_start_is_one_measurement_whatever_comes_after_it(make_tables):
    """Two optimizers, and one of them with two rates: three trainings a seed, from one start."""
    tables = make_tables(
        {"optimizer": "adam", "learning_rate": 0.001},
        {"optimizer": "sgd", "learning_rate": [0.01, 0.1]},
        accuracy=lambda run: (10, 90 if run["optimizer"] == "adam" else 10),
    )
    rows = [
        {"run": run, "epoch": epoch, "layer": 1, "saturated_share": 0.5, "dead_share": 0.1}
        for run in tables["runs"]["run"]
        for epoch in (0, 3)
    ]
    found = activations.zeros(tables | {"layers": pd.DataFrame(rows)})
    start = found[found["quantity"] == "zeros_at_start"]
    assert len(start) == start["seed"].nunique()
    after = ["images", "epochs", "optimizer", "learning_rate"]
    assert start[after].isna().all(axis=None) and start["a"].gt(60).all()
    assert len(found[found["quantity"] == "zeros_after_training"]) == 3 * len(start)


def test_a_cell_with_a_failed_run_is_left_out(tables):
    runs = tables["runs"]
    first = runs.index[runs["depth"] == 10][0]
    runs.loc[first, ["outcome", "nan_step"]] = ["nan", 7]
    found = activations.zeros(tables).groupby("quantity")["depth"].agg(set)
    assert found["zeros_after_training"] == found["always_zero"] == {2}
    assert found["zeros_at_start"] == {2, 10}  # which it does not change


def test_a_faster_relu_is_seen(monkeypatch):
    """ReLU costs 3, its rivals 4 and 6, by a clock that the calls themselves advance."""
    now = [0.0]
    costs = {"relu": 3, "sigmoid": 4, "tanh": 6}

    def call(name, *_):
        return lambda: now.__setitem__(0, now[0] + costs[name])

    monkeypatch.setattr(activations.time, "process_time", lambda: now[0])
    monkeypatch.setattr(activations, "activation_alone", call)
    monkeypatch.setattr(activations, "training_step", call)
    settings = {"seeds": [0, 1], "width": [8], "depth": [2], "step_width": [4, 8], "turn": 100}
    rows = pd.DataFrame(activations.timed(settings))
    saved = rows.groupby(["quantity", "activation"])["value"].unique().map(list).to_dict()
    assert saved == {
        (quantity, rival): [pytest.approx(share)] * len(saved[quantity, rival])
        for quantity in ("activation_saved", "step_saved")
        for rival, share in (("sigmoid", 25), ("tanh", 50))
    }
    sizes = rows[rows["quantity"] == "step_saved"].groupby("width").size()
    assert sizes.to_dict() == {4: 4, 8: 4}


@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh"])
def test_a_training_step_trains(name, monkeypatch):
    """A second call continues the first: Adam's step counter is at 2."""
    from torch import optim

    made = []
    adam = optim.Adam
    monkeypatch.setattr(optim, "Adam", lambda *a, **k: made.append(adam(*a, **k)) or made[-1])
    step = activations.training_step(name, 3, 8)
    step()
    step()
    states = made[0].state.values()
    assert len(states) == 6 and all(state["step"] == 2 for state in states)
    assert all(state["exp_avg_sq"].abs().sum() > 0 for state in states)


SMALLEST = {
    "seeds": [0, 1], "trials": 1, "width": [1], "depth": [2], "step_width": [1], "turn": 0.001,
}  # fmt: skip


@pytest.fixture
def table(tables):
    return activations.measure(SMALLEST, tables)


def test_the_smallest_settings_make_a_whole_table(table):
    tidy.check(table, activations)
    assert set(table["quantity"]) == set(activations.QUANTITIES)


def test_the_figure_says_its_numbers(table):
    with style.context():
        fig, behind = exhibit.f09(table)
    assert "50 % of hidden units are zero at the start, 70 % after training" in finding(fig)
    assert set(behind["quantity"]) >= {"activation_saved", "step_saved"}
    words = {text.get_text() for text in fig.findobj(Text)}
    assert {"than sigmoid", "than tanh", "ReLU"} <= words


def test_without_networks_there_is_no_figure(table):
    assert exhibit.f09(table[table["dataset"].isna()]) is None
