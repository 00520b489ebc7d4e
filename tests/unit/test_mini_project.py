"""The mini project against numbers worked out by hand."""

import pytest

from finicky.exhibits import mini_project as shown
from finicky.exhibits import style
from finicky.experiments import mini_project
from finicky.numbers import number

from .sentences import finding

SAID = {"quantity": "test_accuracy", "where": {"recipe": "correct", "epoch": 5}, "number": 97.82}
LEDGER = {"claims": [{"id": "C180", "parts": [SAID]}]}

PURPOSES = ["comparison", "mini-project"]
MINI = {"purposes": PURPOSES, "images": 60_000, "depth": 2, "epochs": 5}
ADAM = {"optimizer": "adam", "learning_rate": 0.001}
CORRECT = MINI | ADAM
SIGMOID = MINI | ADAM | {"activation": "sigmoid", "init": "xavier"}
SGD = MINI | {"epochs": 3, "optimizer": "sgd"}


def never(run):
    return "finite", None


def rows_of(table, quantity, columns):
    return table.loc[table["quantity"] == quantity, columns].values.tolist()


def test_recipes_are_known_by_their_levels_among_runs_for_this_purpose(make_tables):
    tables = make_tables(
        CORRECT | {"init": ["he", "zeros", "lecun"]}, SIGMOID, SGD | {"learning_rate": [10.0, 0.1]},
        CORRECT | {"purposes": "comparison", "width": 64},
    )  # fmt: skip
    table = mini_project.measure({}, tables)
    tested = table[table["quantity"] == "test_accuracy"]
    assert tested.groupby("recipe").size().to_dict() == {
        "correct": 25, "rate_0.1": 15, "rate_10": 15, "sigmoid": 25, "zeros": 25,
    }  # fmt: skip


def test_the_four_metrics_of_an_epoch(make_tables):
    tables = make_tables(CORRECT | {"seed": 0}, accuracy=lambda run: (95.0, 95.0), end=never)
    table = mini_project.measure({}, tables)
    curves = tables["curves"]
    for metric in mini_project.METRICS:
        rows = rows_of(table, metric, ["epoch", "value"])
        assert rows == [[epoch + 1, value] for epoch, value in enumerate(curves[metric])]


def test_after_a_nan_losses_are_missing_and_accuracies_chance(make_tables):
    tables = make_tables(SGD | {"learning_rate": 10.0, "seed": 0}, end=lambda run: ("nan", 1000))
    table = mini_project.measure({}, tables)
    tested = table[table["quantity"] == "test_accuracy"]
    assert tested["outcome"].tolist() == ["finite", "nan", "nan"]
    assert tested["value"].tolist()[1:] == [10.0, 10.0]
    losses = table[table["quantity"] == "test_loss"]
    assert losses["value"].isna().tolist() == [False, True, True]
    # step 1000 lies in the second epoch
    assert rows_of(table, "nan_in_first_epoch", ["recipe", "value"]) == [["rate_10", 0.0]]


def test_nan_in_the_first_epoch(make_tables):
    tables = make_tables(
        SGD | {"learning_rate": 10.0, "seed": [0, 1]},
        end=lambda run: ("nan", 938) if run["seed"] else ("large", 1),
    )
    assert rows_of(mini_project.measure({}, tables), "nan_in_first_epoch", "value") == [0, 1]


def test_relu_against_sigmoid_after_epochs_1_and_5(make_tables):
    tables = make_tables(
        CORRECT | {"seed": 0}, SIGMOID | {"seed": 0},
        accuracy=lambda run: (96.0, 96.0) if run["activation"] == "relu" else (92.0, 92.0),
        end=never,
    )  # fmt: skip
    table = mini_project.measure({}, tables)
    assert rows_of(table, "relu_minus_sigmoid", ["epoch", "value"]) == [[1, 4.0], [5, 4.0]]


def test_repairs_are_compared_after_the_third_epoch(make_tables):
    tables = make_tables(
        CORRECT | {"seed": 0}, SGD | {"learning_rate": [10.0, 0.1], "seed": 0},
        accuracy=lambda run: (95.0, 95.0) if run["optimizer"] == "sgd" else (97.0, 97.0),
        end=never,
    )  # fmt: skip
    rows = rows_of(mini_project.measure({}, tables), "repair_gain", ["recipe", "epoch", "value"])
    assert rows == [["correct", 3, 87.0], ["rate_0.1", 3, 85.0]]  # SGD at 10 is at chance


@pytest.fixture
def drawing():
    with style.context():
        yield


def test_the_recipes_are_those_declared():
    assert list(mini_project.RECIPES) == mini_project.CONDITIONS["recipe"]
    assert list(shown.METRICS) == mini_project.METRICS


def test_a_smoke_run_of_one_epoch_and_seed_draws(make_tables, drawing):
    tables = make_tables(CORRECT | {"epochs": 1, "seed": 0, "init": ["he", "zeros"]})
    table = mini_project.measure({}, tables)
    assert rows_of(table, "repair_gain", "value") == []
    fig, data = shown.f01(table, {"claims": []})
    assert "median and range of 1 seed" in {text.get_text() for text in fig.texts}


def test_the_figure_says_what_lies_beyond_its_scale(rich_tables, drawing):
    table = mini_project.measure({}, rich_tables)
    one = (table["recipe"] == "rate_10") & (table["seed"] == table["seed"].max())
    table.loc[one & (table["quantity"] == "running_loss"), "value"] *= 20
    fig, data = shown.f01(table, LEDGER)
    accuracy, loss = fig.axes
    marks = [line for line in accuracy.lines if line.get_color() == style.CHAPTER]
    assert [(*line.get_xdata(), *line.get_ydata()) for line in marks] == [(5, 97.82)]
    names = {text.get_text() for text in accuracy.texts}
    assert {"correct", "sigmoid", "zeros", "SGD at 10", "SGD at 0.1"} <= names
    worst = data[(data["recipe"] == "rate_10") & data["quantity"].str.endswith("loss")][
        "high"
    ].max()
    said = {text.get_text() for text in loss.texts}
    assert f"↑ SGD at 10: up to {number(worst, 0)}" in said
    assert "chapter, SGD at 10: NaN in epoch 1" in said
    assert marks[0].get_marker() == style.level_style("correct").marker
    assert data.loc[data["recipe"] == "correct", "n"].eq(5).all()
    last = data.query("recipe == 'correct' and quantity == 'test_accuracy' and epoch == 5")
    assert f"{last['median'].iloc[0]:.1f} %" in finding(fig)
    assert "the recommended recipe" in finding(fig)


def test_a_figure_of_losses_that_are_all_nan(make_tables, drawing):
    tables = make_tables(SGD | {"learning_rate": 10.0}, end=lambda run: ("nan", 1))
    fig, data = shown.f01(mini_project.measure({}, tables), {"claims": []})
    assert data.loc[data["quantity"] == "test_loss", "median"].isna().all()
    assert "SGD at 10 (5 of 5 NaN)" in {text.get_text() for text in fig.axes[0].texts}
    assert pytest.approx(10.0) == data.query("quantity == 'test_accuracy'")["median"].max()
