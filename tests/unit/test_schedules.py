"""Schedules by hand and against PyTorch, and trainings whose rate the engine sets."""

import numpy as np
import pandas as pd
import pytest

from finicky.engine import train
from finicky.experiments import arms, schedules

from .engine_fixtures import TinyDataset, make_run, training_process


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
    assert schedules.SCHEDULES[name](t, 90) == pytest.approx(factor, abs=1e-12)


def test_formulas_are_pytorch_s():
    found = [row for seed in range(5) for row in schedules.formulas(np.random.default_rng(seed))]
    errors = [row["value"] for row in found if row["quantity"] == "formula_error"]
    assert len(errors) == 20 and max(errors) < 1e-9
    assert [r["value"] for r in found if r["quantity"] == "warm_up_first_rate"] == [0] * 5


@pytest.fixture
def dataset():
    with training_process():
        yield TinyDataset()


def test_a_constant_schedule_trains_as_the_engine_does(dataset):
    runs = [make_run(optimizer="momentum", learning_rate=rate) for rate in (0.01, 0.05)]
    ends = schedules.trained(dataset, [(run, "constant") for run in runs])
    expected = [record["curves"][-1]["test_accuracy"] for record in train.train(runs, dataset)]
    assert ends["test"].to_list() == expected


def test_a_rate_that_overflows_scores_chance(dataset):
    run = make_run(learning_rate=1e30)
    (end,) = schedules.trained(dataset, [(run, "warm-up")]).to_dict("records")
    assert end["outcome"] >= arms.OUTCOMES.index("inf")
    assert end["test"] == end["validation"] == 10


def test_the_rate_is_chosen_by_the_other_seeds():
    ends = pd.DataFrame(
        [(0, 0.1, 90), (0, 0.2, 99), (1, 0.1, 95), (1, 0.2, 80), (2, 0.1, 70), (2, 0.2, 80)],
        columns=["seed", "learning_rate", "validation"],
    )
    best = schedules._best_by_other_seeds(ends).set_index("seed")["learning_rate"]
    assert best.to_dict() == {0: 0.1, 1: 0.2, 2: 0.1}


def test_a_smoke_run_draws(dataset, monkeypatch):
    monkeypatch.setattr(train, "Dataset", lambda name, folder, images: dataset)
    settings = {"images": 150, "epochs": 1, "rates": [0.01, 0.1], "warm_up_epochs": 1,
                "warm_up_rates": [0.04], "seeds": [0], "data": "nowhere"}  # fmt: skip
    table = schedules.measure(settings, {})
    assert set(table["quantity"]) == set(schedules.QUANTITIES)
    gains = table[table["quantity"] == "schedule_gain"]
    assert (gains["value"] == gains["a"] - gains["b"]).all() and len(gains) == 8
    fig, behind = schedules.draw(table)["F27"]
    assert "points on Fashion-MNIST" in fig.get_label()
    assert set(behind["quantity"]) == {"rate", "schedule_gain", "warm_up_gain"}
