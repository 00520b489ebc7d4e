"""Learning rates: the range that works by hand, equal budgets, the constructed problem, and what
the ladder's ends do."""

import numpy as np
import pandas as pd
import pytest

from finicky.engine import train
from finicky.experiments import learning_rate as experiment
from finicky.experiments import trainings
from finicky.page import tables

from .engine_fixtures import TinyDataset, make_run, training_process

RATES = [0.001, 0.01, 0.1, 1.0]


@pytest.fixture
def dataset():
    with training_process():
        yield TinyDataset()


@pytest.mark.parametrize(
    "accuracies, threshold, expected",
    [
        ([50, 90, 90, 50], 90, (1, -2, -1)),
        ([50, 90, 90, 50], 70, (2, -2.5, -0.5)),
        ([90, 90, 50, 90], 70, (2, -3, 0)),  # the hole is not counted
        ([50, 90, 50, 50], 80, (0.5, -2.25, -1.75)),
        ([90, 91, 92, 93], 80, (3, -3, 0)),  # nothing is known beyond the ladder
    ],
)
def test_the_working_range_by_hand(accuracies, threshold, expected):
    assert experiment.working_range(RATES, accuracies, threshold) == pytest.approx(expected)


def test_no_rate_works():
    width, low, high = experiment.working_range(RATES, [50, 60, 70, 60], 90)
    assert width == 0 and np.isnan(low) and np.isnan(high)


def ladder(optimizer, accuracies, seed=0, rates=RATES, **levels):
    """Rows of one optimizer's ladder, the validation accuracy that of the test."""
    return [
        make_row(optimizer, rate, seed, accuracy, **levels)
        for rate, accuracy in zip(rates, accuracies, strict=True)
    ]


def make_row(optimizer, rate, seed, accuracy, **levels):
    run = make_run(optimizer=optimizer, learning_rate=rate, seed=seed)
    row = {"problem": "constant", "outcome": 0, "test_accuracy": accuracy}
    row |= {"validation_accuracy": accuracy, "start_loss": 2.5, "train_loss": 1.0}
    return vars(run) | row | levels


def test_ranges_below_the_own_best_and_the_best_of_all():
    rows = ladder("sgd", [50, 90, 90, 50]) + ladder("adam", [94.5, 95, 95, 95])
    found = experiment.ranges(pd.DataFrame(rows)).set_index(["optimizer", "tolerance"])
    assert found.loc[("sgd", 1.0), "decades"] == pytest.approx(1 + 2 / 40)
    assert found.loc[("adam", 1.0), "decades"] == pytest.approx(3)
    assert found.loc[("sgd", 1.0), "decades_of_all"] == 0
    assert found.loc[("sgd", 5.0), "decades_of_all"] == pytest.approx(1)


def test_the_ends_of_the_ladder():
    rows = ladder("sgd", [20, 90, 90, 10])
    rows[0]["train_loss"], rows[1]["train_loss"], rows[3]["train_loss"] = 2.4, 0.5, 3.0
    found = experiment.extremes(experiment.with_failures(pd.DataFrame(rows)))
    (end,) = found.to_dict("records")
    assert end["diverges_at_highest"] == 1 and end["nan_at_highest"] == 0
    assert end["way_at_lowest"] == pytest.approx(5) and end["slow_at_lowest"] == 1


def test_a_run_that_was_large_or_nan_diverged():
    rows = pd.DataFrame([make_row("sgd", 1, 0, 50) | {"outcome": o} for o in (0, 1, 3)])
    found = experiment.with_failures(rows)
    assert found["diverged"].tolist() == [0, 1, 1] and found["nan_reached"].tolist() == [0, 0, 1]


def test_budgets_are_equal_and_rates_chosen_by_the_other_seeds():
    rows = []
    for seed, best in enumerate([(80, 70), (90, 60), (85, 50)]):
        rows += ladder("momentum", [99, *best], seed, [0.01, 0.1, 0.3])
        rows += ladder("adam", [70, 75], seed, [0.001, 0.01])
    found = experiment.comparisons(pd.DataFrame(rows))
    difference = found["momentum_minus_adam"].sort_values("seed")
    assert difference["value"].tolist() == [5, 15, 10]  # 99, at the lowest rate, is out of reach
    assert found["adam_worse"]["value"].tolist() == [1, 1, 1]
    chapter = found["recommended_momentum_minus_adam"].sort_values("seed")
    assert chapter["value"].tolist() == [10, 20, 15]


def test_adam_fails_on_the_constructed_problem():
    found = list(experiment.constructed(range(3), RATES, steps=300))
    for _, momentum, adam in found:
        assert momentum == 100 and 50 < adam < 70  # the share of positive examples, 60 %


def test_momentum_finds_the_solution_of_least_norm():
    random = np.random.default_rng(0)
    features, labels = random.normal(size=(4, 9)), random.normal(size=4)
    (weights,) = experiment.least_squares("momentum", features, labels, np.array([0.1]), 3000)
    np.testing.assert_allclose(weights, np.linalg.pinv(features) @ labels, atol=1e-8)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_schedule_reaches_every_optimizer(dataset, optimizer):
    """A factor of one half is half of the rate, for plain SGD within the backward pass too."""
    run = make_run(optimizer=optimizer, learning_rate=0.02)
    (half,) = trainings.trained([(run, lambda t, total: 0.5)], dataset, trainings.Scheduled)
    (plain,) = trainings.trained([make_run(optimizer=optimizer, learning_rate=0.01)], dataset)
    (other,) = trainings.trained([run], dataset)
    assert half["train_loss"] == plain["train_loss"] != other["train_loss"]
    record = train.train([make_run(optimizer=optimizer, learning_rate=0.01)], dataset)[0]
    assert plain["test_accuracy"] == record["curves"][-1]["test_accuracy"]
    assert plain["start_loss"] == record["start_loss"]


def test_a_training_that_breaks_at_its_last_update_scores_chance(dataset):
    run = make_run(learning_rate=1e38, images=150, batch_size=150, epochs=1)
    (row,) = trainings.trained([run], dataset)
    assert row["outcome"] == 3 and row["test_accuracy"] == row["validation_accuracy"] == 10
    assert np.isnan(row["train_loss"])


def test_a_smoke_run_draws(dataset, monkeypatch):
    monkeypatch.setattr(train, "Dataset", lambda name, folder, images: dataset)
    grid = pd.DataFrame(
        ladder("momentum", [90, 91], 0, [0.01, 0.1]) + ladder("adam", [80, 81], 0, [0.001, 0.01])
        + ladder("momentum", [90, 91], 1, [0.01, 0.1]) + ladder("adam", [80, 81], 1, [0.001, 0.01])
    )  # fmt: skip
    monkeypatch.setattr(experiment, "from_grid", lambda tables: grid.assign(depth=10))
    settings = {"images": 150, "epochs": 1, "rates": [0.001, 0.1], "long_epochs": 2,
                "long_rates": {"momentum": [0.1], "adam": [0.001]}, "seeds": [0, 1],
                "data": "nowhere"}  # fmt: skip
    table = experiment.measure(settings, {})
    assert set(table["quantity"]) == set(experiment.QUANTITIES)
    gaps = table[(table["quantity"] == "momentum_minus_adam") & (table["depth"] == 10)]
    assert gaps["value"].tolist() == [10, 10]
    fig, behind = experiment.draw(table)["F32"]
    assert "Decades" in fig.get_label() and set(behind["tolerance"].dropna()) == {1, 5}


def test_the_table_has_the_chapter_s_rates_beside_the_best():
    rows = [("tuned_rate", 0.003, None), ("tuned_accuracy", 91.0, None), ("decades", 1.5, 1.0)]
    table = pd.DataFrame(
        [
            {"quantity": quantity, "optimizer": "adam", "problem": "constant", "tolerance": points,
             "dataset": "mnist", "seed": seed, "value": value, "outcome": "finite"}
            for quantity, value, points in rows for seed in range(5)
        ]
    )  # fmt: skip
    made = tables.choosing({}, table)
    (adam,) = (row for row in made.bodies[0].rows if row.heads == ["Adam"])
    assert [cell.text or cell.value for cell in adam.cells] == [
        "0.001", None, "0.003", 91.0, 1.5, None
    ]  # fmt: skip
