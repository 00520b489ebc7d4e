"""Learning rates: the range that works by hand, equal budgets, the constructed problem, and what
the ladder's ends do."""

import numpy as np
import pandas as pd
import pytest
import torch

from finicky.engine import train
from finicky.exhibits import learning_rate as exhibit
from finicky.experiments import learning_rate as experiment
from finicky.experiments import tidy

from .engine_fixtures import OPTIMIZERS, TinyDataset, make_run, training_process
from .sentences import finding

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
    row = {"schedule": "constant", "outcome": 0, "test_accuracy": accuracy}
    row |= {"validation_accuracy": accuracy, "start_loss": 2.5, "running_loss": 1.0}
    return run.row() | row | levels


def test_ranges_below_the_own_best_and_the_best_of_all():
    rows = ladder("sgd", [50, 90, 90, 50]) + ladder("adam", [94.5, 95, 95, 95])
    found = experiment.ranges(pd.DataFrame(rows)).set_index(["optimizer", "tolerance"])
    assert found.loc[("sgd", 1.0), "decades"] == pytest.approx(1 + 2 / 40)
    assert found.loc[("adam", 1.0), "decades"] == pytest.approx(3)
    assert found.loc[("sgd", 1.0), "decades_of_all"] == 0
    assert found.loc[("sgd", 5.0), "decades_of_all"] == pytest.approx(1)


def test_the_highest_rate_of_the_ladder():
    rows = ladder("sgd", [20, 90, 90, 10])
    rows[3]["running_loss"] = 3.0
    found = experiment.at_the_highest(experiment.with_failures(pd.DataFrame(rows)))
    (end,) = found.to_dict("records")
    assert end["diverges_at_highest"] == 1 and end["nan_at_highest"] == 0


def test_too_low_is_measured_against_the_own_best():
    """From 2.5: the best goes down to 0.5, a hundredth of its rate to 2.4 or 2.2."""
    best = [make_row("sgd", 1, seed, 90) | {"running_loss": 0.5} for seed in (0, 1)]
    low = [make_row("sgd", 0.01, 0, 20) | {"running_loss": 2.4},
           make_row("sgd", 0.01, 1, 40) | {"running_loss": 2.2}]  # fmt: skip
    found = experiment.way_at(pd.DataFrame(low), pd.DataFrame(best)).sort_values("seed")
    assert found["way"].tolist() == pytest.approx([5, 15])
    assert found["slow"].tolist() == [1, 0]


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


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_least_squares_follow_pytorch(optimizer):
    random, rates = np.random.default_rng(1), [0.01, 0.1]
    features, labels = random.normal(size=(4, 9)), random.normal(size=4)
    ours = experiment.least_squares(optimizer, features, labels, np.array(rates), 50)
    for found, rate in zip(ours, rates, strict=True):
        weights = torch.zeros(9, dtype=torch.float64, requires_grad=True)
        theirs = OPTIMIZERS[optimizer]([weights], lr=rate)
        for _ in range(50):
            theirs.zero_grad()
            residual = torch.from_numpy(features) @ weights - torch.from_numpy(labels)
            (residual**2).mean().div(2).backward()
            theirs.step()
        np.testing.assert_allclose(found, weights.detach(), rtol=1e-9)


SETTINGS = {"images": 150, "epochs": 1, "rates": [0.001, 0.1], "long_epochs": 2,
            "long_rates": {"momentum": [0.1], "adam": [0.001]}, "seeds": [0, 1],
            "data": "nowhere", "device": "cpu"}  # fmt: skip


def test_trainings_have_their_optimizer_rate_and_schedule(dataset):
    ladders = [("sgd", "step", [0.01, 0.1]), ("adam", "constant", [0.001])]
    jobs = experiment.every_seed(ladders, [0, 1])
    ends = experiment.trained(dataset, SETTINGS, jobs, "fashion_mnist", 2)
    assert set(ends["dataset"]) == {"fashion_mnist"} and set(ends["epochs"]) == {2}
    key = ends.set_index(["optimizer", "learning_rate", "schedule", "seed"])
    assert list(key.index) == [
        ("sgd", 0.01, "step", 0), ("sgd", 0.01, "step", 1), ("sgd", 0.1, "step", 0),
        ("sgd", 0.1, "step", 1), ("adam", 0.001, "constant", 0), ("adam", 0.001, "constant", 1),
    ]  # fmt: skip
    run = make_run(optimizer="adam", learning_rate=0.001, batch_size=64, width=128, seed=1)
    (record,) = train.train([run], dataset)
    adam = key.loc["adam", 0.001, "constant", 1]
    assert adam["test_accuracy"] == record["curves"][-1]["test_accuracy"]
    assert adam["running_loss"] == record["curves"][-1]["running_loss"]
    (constant,) = train.train([make_run(learning_rate=0.01, batch_size=64, width=128)], dataset)
    loss = constant["curves"][-1]["running_loss"]
    assert key.loc["sgd", 0.01, "step", 0]["running_loss"] > loss + 0.01


def small_measurement(dataset, monkeypatch, **settings):
    monkeypatch.setattr(train, "Dataset", lambda *_: dataset)
    grid = pd.DataFrame(
        ladder("momentum", [90, 91], 0, [0.01, 0.1]) + ladder("adam", [80, 81], 0, [0.001, 0.01])
        + ladder("momentum", [90, 91], 1, [0.01, 0.1]) + ladder("adam", [80, 81], 1, [0.001, 0.01])
    )  # fmt: skip
    monkeypatch.setattr(experiment, "from_grid", lambda tables: grid.assign(depth=10))
    return experiment.measure(SETTINGS | settings, {})


def test_a_small_measurement_is_tidy_and_drawn(dataset, monkeypatch):
    table = small_measurement(dataset, monkeypatch)
    tidy.check(table, experiment)
    assert set(table["quantity"]) == set(experiment.QUANTITIES)
    gaps = table[(table["quantity"] == "momentum_minus_adam") & (table["depth"] == 10)]
    assert gaps["value"].tolist() == [10, 10] and set(gaps["block"]) == {"plain"}
    slow = table[table["quantity"] == "slow_at_hundredth"]
    assert len(slow) == 2 * 5 * 2 and slow["value"].isin([0, 1]).all()
    fig, behind = exhibit.f32(table)
    assert "ranges overlap" in finding(fig) and set(behind["tolerance"].dropna()) == {1, 5}
    assert set(exhibit.FIGURES) == {"F32"} and set(exhibit.TABLES) == {"T11"}


def test_none_is_the_most_forgiving_where_ranges_overlap_on_any_data_set():
    rows = [("mnist", "adam", 1.2), ("mnist", "sgd", 0.5)]
    rows += [("fashion_mnist", "adam", 1.0), ("fashion_mnist", "sgd", 0.6)]
    widths = pd.DataFrame(rows, columns=["dataset", "optimizer", "median"])
    apart = widths.assign(low=widths["median"] - 0.1, high=widths["median"] + 0.1)
    assert exhibit._finding(apart).endswith("Adam 1.0 to 1.2, SGD 0.5 to 0.6; Adam is the most "
                                            "forgiving.")  # fmt: skip
    apart.loc[3, "high"] = 0.95
    assert "so none is the most forgiving" in exhibit._finding(apart)


def test_a_single_seed_and_rate_are_tidy_too(dataset, monkeypatch):
    table = small_measurement(dataset, monkeypatch, seeds=[0], rates=[0.1])
    tidy.check(table, experiment)
    # there is no other seed to choose it
    assert not {"tuned_rate", "slow_at_hundredth"} & set(table["quantity"])
    assert exhibit.f32(table) and exhibit.t11(table, {})


def test_the_table_has_the_chapter_s_rates_beside_the_best():
    rows = [
        ("tuned_rate", 0.003, None), ("tuned_accuracy", 91.0, None), ("decades", 1.5, 1.0),
        ("recommended_accuracy", 90.0, None),
    ]  # fmt: skip
    table = pd.DataFrame(
        [
            {"quantity": quantity, "optimizer": "adam", "schedule": "constant", "tolerance": points,
             "dataset": "mnist", "seed": seed, "value": value, "outcome": "finite"}
            for quantity, value, points in rows for seed in range(5)
        ]
    )  # fmt: skip
    made = exhibit.t11(table, {})
    assert finding(made).endswith("in points of test accuracy: Adam 1.0.")
    (adam,) = (row for row in made.bodies[0].rows if row.heads == ["Adam"])
    assert [cell.text or cell.value for cell in adam.cells] == [
        "0.001", 90.0, "0.003", 91.0, 1.5, None
    ]  # fmt: skip
