"""Schedules by hand and against PyTorch, and trainings whose rate the engine sets."""

import numpy as np
import pandas as pd
import pytest

from finicky.engine import train
from finicky.exhibits import schedules as exhibit
from finicky.experiments import best_rates, rate_schedules, schedules, tidy
from finicky.runs import OUTCOMES

from .engine_fixtures import TinyDataset, make_run, training_process
from .sentences import finding

SETTINGS = {"images": 150, "epochs": 1, "rates": [0.01, 0.1], "warm_up_epochs": 1,
            "warm_up_rates": [0.04], "seeds": [0], "data": "nowhere", "device": "cpu"}  # fmt: skip


@pytest.mark.parametrize(
    "name, t, factor",
    [
        ("step", 29, 1), ("step", 30, 0.1), ("step", 60, 0.01), ("exponential", 90, 0.01),
        ("cosine", 0, 1), ("cosine", 45, 0.5), ("cosine", 90, 0), ("warm-up", 0, 0),
        ("warm-up", 3, 1 / 3), ("warm-up", 9, 1), ("warm-up", 80, 1), ("constant", 80, 1),
        ("warm-up + cosine", 45, 0.5),
    ],
)  # fmt: skip
def test_formulas_by_hand(name, t, factor):
    assert rate_schedules.SCHEDULES[name](t, 90) == pytest.approx(factor, abs=1e-12)


def test_formulas_are_pytorch_s():
    found = [row for seed in range(5) for row in schedules.formulas(np.random.default_rng(seed))]
    errors = [row["value"] for row in found if row["quantity"] == "formula_error"]
    assert len(errors) == 20 and max(errors) < 1e-9
    assert [r["value"] for r in found if r["quantity"] == "warm_up_first_rate"] == [0] * 5


@pytest.fixture
def dataset():
    with training_process():
        yield TinyDataset()


def trained(data, names, rates, **levels):
    """Trainings like `make_run`'s but for width and batch size."""
    levels = {"dataset": "mnist", "depth": 2, "epochs": 2} | levels
    return schedules.trained(data, SETTINGS, names, rates, **levels)


def test_a_constant_schedule_trains_as_the_engine_does(dataset):
    rates = [0.01, 0.05]
    ends = trained(dataset, ["constant"], rates)
    runs = [
        make_run(optimizer="momentum", learning_rate=rate, batch_size=64, width=128)
        for rate in rates
    ]
    expected = [record["curves"][-1]["test_accuracy"] for record in train.train(runs, dataset)]
    assert ends["test_accuracy"].to_list() == expected
    assert ends["learning_rate"].to_list() == rates


def test_every_training_has_its_own_schedule(dataset):
    """The cosine takes half as long a way as the constant rate."""
    names = ["cosine", "constant"]
    ends = trained(dataset, names, [0.001], epochs=8, dataset="fashion_mnist")
    assert ends["schedule"].to_list() == names and set(ends["dataset"]) == {"fashion_mnist"}
    way = ends["start_loss"] - ends["validation_loss"]
    assert 0.4 < way[0] / way[1] < 0.8


def test_a_rate_that_overflows_scores_chance(dataset):
    (end,) = trained(dataset, ["warm-up"], [1e30]).to_dict("records")
    assert end["outcome"] >= OUTCOMES.index("inf")
    assert end["test_accuracy"] == end["validation_accuracy"] == 10


def test_the_rate_is_chosen_by_the_other_seeds():
    ends = pd.DataFrame(
        [(0, 0.1, 90), (0, 0.2, 99), (1, 0.1, 95), (1, 0.2, 80), (2, 0.1, 70), (2, 0.2, 80)],
        columns=["seed", "learning_rate", "validation_accuracy"],
    )
    best = best_rates.best(ends.assign(schedule="step"), ["schedule"], ["learning_rate"])
    best = best.set_index("seed")["learning_rate"]
    assert best.to_dict() == {0: 0.1, 1: 0.2, 2: 0.1}


def test_the_worse_outcome_is_a_gain_s():
    ends = pd.DataFrame({"test_accuracy": [90.0, 10.0], "outcome": [0, 3]})
    row = schedules.gain("schedule_gain", ends.iloc[0], ends.iloc[1])
    assert row == {"quantity": "schedule_gain", "value": 80, "a": 90, "b": 10, "outcome": "nan"}


def test_what_diverges():
    """A network that is dead in the end has a finite loss and says one class."""
    ends = pd.DataFrame({"outcome": [0, 0, 1, 3], "validation_accuracy": [80, 11.2, 60, 10]})
    assert schedules.diverged(ends).to_list() == [False, True, True, True]


def test_the_share_of_divergence_that_warm_up_prevents(monkeypatch):
    """Without warm-up both rates diverge for seed 0 and one for seed 1, with it one for seed 0."""

    def trained(data, settings, names, rates, **levels):
        return pd.DataFrame(
            [(name, rate, seed, 0, 10 if dead else 90)
             for name, dying in (("warm-up", [(0, 0.1)]),
                                 ("constant", [(0, 0.1), (0, 0.05), (1, 0.1)]))
             for seed in (0, 1) for rate in rates for dead in [(seed, rate) in dying]],
            columns=["schedule", "learning_rate", "seed", "outcome", "validation_accuracy"],
        )  # fmt: skip

    monkeypatch.setattr(schedules, "trained", trained)
    settings = SETTINGS | {"warm_up_rates": [0.05, 0.1], "seeds": [0, 1]}
    rows = list(schedules.warm_ups(None, "mnist", settings))
    prevented = {r["seed"]: r["value"] for r in rows if r["quantity"] == "divergence_prevented"}
    assert prevented == {0: 50, 1: 50}
    assert sum(r["value"] for r in rows if r["quantity"] == "diverged") == 4


def test_a_small_measurement_is_tidy_and_drawn(dataset, monkeypatch):
    monkeypatch.setattr(train, "Dataset", lambda *_: dataset)
    table = schedules.measure(SETTINGS, {})
    tidy.check(table, schedules)
    assert set(table["quantity"]) == set(schedules.QUANTITIES)
    gains = table[table["quantity"] == "schedule_gain"]
    assert (gains["value"] == gains["a"] - gains["b"]).all() and len(gains) == 8
    fig, behind = exhibit.f27(table)
    assert "on Fashion-MNIST" in finding(fig)
    assert set(behind["quantity"]) == {"rate", "schedule_gain", "diverged"}
    assert set(exhibit.FIGURES) == {"F27"}
