"""What one's own questions measure: hand-made tables, and the numbers that must come out."""

import math

import numpy as np
import pandas as pd
import pytest

from finicky.evidence import asked, judge
from finicky.exhibits import questions as shown
from finicky.experiments import questions as experiment
from finicky.experiments import tidy

COMPARE = {
    "id": "q", "form": "compare", "metric": "test_accuracy", "axis": "activation",
    "alongside": [], "a": "leaky_relu", "b": "relu", "where": {}, "best_rate": False,
    "number": None, "falls": False,
}  # fmt: skip
SINGLE = COMPARE | {"axis": None, "a": None, "b": None}
ACTIVATIONS = {"activation": ["relu", "leaky_relu"]}


def accuracies(by):
    """(accuracy at the start, in the limit) of a run: `by(run)`, from the first epoch on."""
    return lambda run: (by(run), by(run))


def layers(tables):
    """A table of two layers, before and after training: gradient norms 4 and 2, dead shares 0.25
    and, in the last layer, which is no hidden one, 1."""
    rows = [
        {"run": run, "epoch": epoch, "layer": layer, "gradient_norm": norm, "dead_share": dead,
         "activation_mean": 0.0, "activation_variance": 1.0, "saturated_share": 0.0}
        for run, epochs in zip(tables["runs"]["run"], tables["runs"]["epochs"], strict=True)
        for epoch in (0, epochs)
        for layer, norm, dead in ((1, 4.0, 0.25), (2, 2.0, 1.0))
    ]  # fmt: skip
    return tables | {"layers": pd.DataFrame(rows)}


@pytest.fixture
def measured(make_tables):
    """`measured(question, *products, **made_up)`: the rows of a question's answers."""

    def measured(question, *products, **made_up):
        tables = layers(make_tables(*({"depth": 2} | one for one in products), **made_up))
        table = tidy.measured(experiment, {"asked": [question]}, tables)
        return table[table["quantity"] == question["form"]]

    return measured


def leaky_ahead(run):
    return 90 + 2 * (run["activation"] == "leaky_relu") + 0.1 * run["seed"]


def test_arms_are_paired_by_seed_and_everything_else(measured):
    rows = measured(
        COMPARE, ACTIVATIONS | {"optimizer": ["sgd", "adam"]}, accuracy=accuracies(leaky_ahead)
    )
    assert len(rows) == 10 and rows["value"].round(9).eq(2).all()
    assert (rows["a"] - rows["b"]).round(9).eq(2).all()
    assert rows["activation"].isna().all() and set(rows["optimizer"]) == {"sgd", "adam"}


def test_of_losses_less_is_ahead(measured):
    rows = measured(
        COMPARE | {"metric": "test_loss"}, ACTIVATIONS, accuracy=accuracies(leaky_ahead)
    )
    assert (rows["value"] > 0).all() and rows["a"].isna().all()


def test_runs_for_tuning_alone_are_no_arms_at_fixed_rates(measured):
    rows = measured(COMPARE, ACTIVATIONS | {"purposes": "tuning"}, accuracy=accuracies(leaky_ahead))
    assert rows.empty


def test_runs_at_other_axes_than_the_chapters_are_arms(measured):
    """They serve none of its experiments, so they have no purpose."""
    products = ACTIVATIONS | {"purposes": "", "width": 64}
    rows = measured(COMPARE, products, accuracy=accuracies(leaky_ahead))
    assert len(rows) == 5 and set(rows["width"]) == {64}


def test_the_best_rival_is_chosen_by_the_other_seeds(measured):
    """tanh is the best by far for seed 0 alone, so only seed 0 does not meet it."""

    def accuracy(run):
        best = 99 if run["seed"] == 0 else 50
        return {"relu": 90, "tanh": best, "selu": 80}[run["activation"]]

    question = COMPARE | {"a": "relu", "b": None}
    products = {"activation": ["relu", "tanh", "selu"]}
    rows = measured(question, products, accuracy=accuracies(accuracy)).set_index("seed")
    assert rows["b"].round(6).to_dict() == {0: 80, 1: 80, 2: 80, 3: 80, 4: 80}


def test_each_arm_at_its_own_best_rate(measured):
    """0.1 suits leaky ReLU, 0.01 ReLU."""

    def accuracy(run):
        suits = (run["activation"] == "leaky_relu") == (run["learning_rate"] == 0.1)
        return 95 if suits else 60

    products = ACTIVATIONS | {"learning_rate": [0.01, 0.1], "purposes": "tuning"}
    rows = measured(COMPARE | {"best_rate": True}, products, accuracy=accuracies(accuracy))
    assert rows["value"].round(9).eq(0).all() and len(rows) == 5
    assert rows["learning_rate"].isna().all()


def test_a_trend_is_the_slope_per_doubling_in_the_claimed_direction(make_tables):
    tables = layers(
        make_tables(
            {"depth": [2, 4, 8]}, accuracy=accuracies(lambda run: 90 - 3 * math.log2(run["depth"]))
        )
    )
    for falls, slope in ((True, 3), (False, -3)):
        question = SINGLE | {"form": "trend", "axis": "depth", "falls": falls}
        table = tidy.measured(experiment, {"asked": [question]}, tables)
        rows = table[table["quantity"] == "trend"]
        assert len(rows) == 5 and rows["value"].round(9).eq(slope).all()
        assert rows["depth"].isna().all()


def test_a_value_is_itself_or_counted_from_a_number(measured):
    value = SINGLE | {"form": "value"}
    made_up = {"accuracy": accuracies(lambda run: 91)}
    assert measured(value, {}, **made_up)["value"].round(9).eq(91).all()
    assert measured(value | {"number": 90}, {}, **made_up)["value"].round(9).eq(1).all()
    below = value | {"number": 3, "metric": "test_loss"}
    assert (measured(below, {}, **made_up)["value"] > 0).all()  # a loss below 3 is ahead of 3


@pytest.mark.parametrize(
    "metric, numbers",
    [
        ("diverged", {0, 1}),
        ("trained", {0, 1}),
        ("reached_80", {0, 1}),
        ("gradient_ratio", {2}),
        ("start_loss", {2.3}),
    ],
)
def test_metrics(measured, metric, numbers):
    """One seed of five diverges in its first epoch; the others reach 80 % in the first."""
    form = "share" if numbers == {0, 1} else "value"
    rows = measured(
        SINGLE | {"form": form, "metric": metric}, {},
        accuracy=accuracies(lambda run: 85.0),
        end=lambda run: ("nan", 3) if run["seed"] == 0 else ("finite", None),
    )  # fmt: skip
    assert set(rows["value"]) == numbers
    if form == "share":
        does = rows.loc[rows["value"] == 1, "seed"]
        assert list(does) == ([0] if metric == "diverged" else [1, 2, 3, 4])
    else:
        assert rows["optimizer"].isna().all()  # it comes too late to matter


def test_dead_units_are_those_of_hidden_layers_in_percent(measured):
    rows = measured(SINGLE | {"form": "value", "metric": "dead_share"}, {})
    assert set(rows["value"]) == {25}


def test_steps_end_with_the_epoch_that_gets_there_or_one_beyond_the_last(measured):
    def accuracy(run):
        return (50.0, 90.0) if run["activation"] == "relu" else (50.0, 60.0)

    rows = measured(SINGLE | {"form": "value", "metric": "steps_to_65"}, ACTIVATIONS,
                    accuracy=accuracy)  # fmt: skip
    steps = rows.groupby("activation")["value"].unique().str[0].to_dict()
    assert steps == {"relu": 2 * 157, "leaky_relu": 3 * 157 + 1}


def test_a_question_without_runs_measures_nothing(measured):
    assert measured(COMPARE, {"activation": "relu"}).empty


# ---------------------------------------------------------------- judged and drawn


def own_claim(question, rule="ordering", **more):
    part = {"name": "p", "experiment": asked.EXPERIMENT, "quantity": question["form"],
            "where": {"question": question["id"]}, "unit": "pp", "margin": 0.5,
            "budget": experiment.BUDGET}  # fmt: skip
    return {
        "id": question["id"], "section": "questions", "by": [asked.EXPERIMENT], "rule": rule,
        "says": "it is ahead", "parts": [part], "conditions": ["depth", "optimizer"],
    } | more  # fmt: skip


def test_the_judge_takes_a_claim_of_ones_own(make_tables):
    """Ahead by 2 points with SGD, by none with Adam."""

    def accuracy(run):
        return 90 + 2 * (run["activation"] == "leaky_relu" and run["optimizer"] == "sgd")

    noise = np.random.default_rng(0)
    tables = layers(
        make_tables(
            ACTIVATIONS | {"depth": [2, 4], "optimizer": ["sgd", "adam"]},
            accuracy=accuracies(lambda run: accuracy(run) + 0.1 * noise.random()),
        )
    )
    table = tidy.measured(experiment, {"asked": [COMPARE]}, tables)
    [entry], _ = judge.judge({"claims": [own_claim(COMPARE)]}, {asked.EXPERIMENT: table})
    assert entry["verdict"] == "reproduced under conditions" and entry["line"] is None
    assert entry["parts"][0]["where"]["words"] == "with SGD"
    assert entry["trained"].startswith("10,000 images of MNIST, 3 epochs")


# Classes of a data set, what a network scores that does not train there, and one that does.
CLASSES = [(2, 58, 62), (3, 40, 45), (10, 18, 22), (100, 1.8, 4)]


@pytest.mark.parametrize("classes, guessing, learning", CLASSES)
def test_who_trains_is_told_by_the_data_sets_classes(make_tables, classes, guessing, learning):
    """Of three depths: at 2 both arms guess, at 4 both learn, at 6 leaky ReLU becomes NaN."""

    def accuracy(run):
        level = guessing if run["depth"] == 2 else learning
        return level + 0.01 * run["seed"] + 0.1 * (run["activation"] == "relu")

    def end(run):
        lost = (run["depth"], run["activation"]) == (6, "leaky_relu")
        return ("nan", 3) if lost else ("finite", None)

    own = {"dataset": "own", "classes": classes, "depth": [2, 4, 6], "purposes": ""}
    tables = layers(make_tables(ACTIVATIONS | own, accuracy=accuracies(accuracy), end=end))
    share = SINGLE | {"form": "share", "metric": "trained"}
    table = tidy.measured(experiment, {"asked": [COMPARE, share]}, tables)
    does = table[(table["quantity"] == "share") & (table["activation"] == "relu")]
    assert does.groupby("depth")["value"].unique().str[0].to_dict() == {2: 0, 4: 1, 6: 1}

    claim = own_claim(COMPARE, drop_untrained=True) | {"conditions": ["depth"]}
    [entry], _ = judge.judge({"claims": [claim]}, {asked.EXPERIMENT: table})
    at = {one["levels"]["depth"]: one for one in entry["conditions"]}
    assert {depth: one["trains"] for depth, one in at.items()} == {2: False, 4: True, 6: True}
    assert at[6]["failed_arm"] == "a" and at[6]["arms"][0] == pytest.approx(100 / classes)


@pytest.mark.parametrize(
    "three, hundred, trains", [(40, 1.8, False), (40, 4, True), (45, 1.8, True)]
)
def test_arms_on_two_data_sets_are_each_told_by_its_own_classes(
    make_tables, three, hundred, trains
):
    scores = {"three": three, "hundred": hundred}
    products = [
        {"dataset": name, "classes": classes, "purposes": ""}
        for name, classes in (("three", 3), ("hundred", 100))
    ]
    question = COMPARE | {"axis": "dataset", "a": "three", "b": "hundred"}
    tables = layers(make_tables(*products, accuracy=accuracies(lambda run: scores[run["dataset"]])))
    table = tidy.measured(experiment, {"asked": [question]}, tables)
    rows = table[table["quantity"] == "compare"]
    assert set(rows["classes_a"]) == {3} and set(rows["classes_b"]) == {100}
    claim = own_claim(question, drop_untrained=True)
    [entry], _ = judge.judge({"claims": [claim]}, {asked.EXPERIMENT: table})
    assert entry["conditions"][0]["trains"] is trains


def test_colours_of_the_sub_grids_begin_at_a_guess(make_tables):
    own = {"dataset": "own", "classes": 2, "purposes": ""}
    tables = layers(make_tables(ACTIVATIONS | own, accuracy=accuracies(lambda run: 70)))
    table = tidy.measured(experiment, {"asked": [COMPARE]}, tables)
    figure, _ = shown.sub_grids(table)
    (key,) = [ax for ax in figure.axes if ax.get_title() == "median test accuracy (%)"]
    assert [tick.get_text() for tick in key.get_xticklabels()] == ["50", "80", "90", "95", "98",
                                                                   "99"]  # fmt: skip


def test_figures_have_a_row_a_setting_and_a_cell_a_network(make_tables):
    tables = layers(
        make_tables(
            ACTIVATIONS | {"depth": [2, 4], "optimizer": ["sgd", "adam"]},
            accuracy=accuracies(leaky_ahead),
        )
    )
    table = tidy.measured(experiment, {"asked": [COMPARE]}, tables)
    figure, data = shown.settings(table)
    assert figure.get_label() == "q: in 4 settings the median is 2 points, in 4 of them above 0."
    assert sorted(data["setting"])[0] == "depth 2, Adam"
    figure, data = shown.sub_grids(table)
    assert len(data) == 8 and data["setting"].nunique() == 4
    assert "of 8 networks the best reaches 92.2 %" in figure.get_label().lower()


def test_without_a_question_there_is_nothing_to_draw(make_tables):
    table = tidy.measured(experiment, {"asked": []}, layers(make_tables({})))
    assert shown.settings(table) is None and shown.sub_grids(table) is None
