"""For how long networks were trained: templates filled from conditions and settings."""

import pandas as pd
import pytest

from finicky.evidence import budgets, trainings
from finicky.evidence.judge import judge

GRID = "{images} images of {dataset}, {epochs} epochs"


def rows(*levels, columns=("dataset", "images", "epochs")):
    return pd.DataFrame(levels, columns=list(columns))


def said(template, table, settings=None):
    return budgets.words(template, trainings.variants(template, table, settings or {}))


def test_conditions_say_it_where_they_are():
    table = rows(("mnist", 10_000, 3), ("mnist", 60_000, 10), ("fashion_mnist", 10_000, 3))
    assert (
        said(GRID, table)
        == "10,000 images of MNIST and Fashion-MNIST, 3 epochs; 60,000 images of MNIST, 10 epochs"
    )
    shuffled = table.iloc[[2, 0, 1, 1]]
    assert said(GRID, shuffled) == said(GRID, table)


def test_settings_say_what_no_column_says():
    table = rows(("mnist", None), ("fashion_mnist", None), columns=("dataset", "epochs"))
    assert said(GRID, table, {"images": 300, "epochs": 2}) == (
        "300 images of MNIST and Fashion-MNIST, 2 epochs"
    )
    assert said("{steps} steps of Adam", table, {"steps": 1500}) == "1,500 steps of Adam"


def test_a_budget_that_nothing_says_is_left_out():
    assert said(GRID, rows(("mnist", 300), columns=("dataset", "images"))) == ""
    assert said(GRID, rows()) == ""
    assert said("", rows(("mnist", 300, 1))) == ""
    assert said("{rates}", rows(("mnist", 300, 1)), {"rates": {"sgd": [0.1]}}) == ""


def test_rows_without_a_value_where_others_have_one_are_not_trained():
    table = rows(("mnist", None), ("mnist", 5.0), columns=("dataset", "epochs"))
    settings = {"images": 300, "epochs": 2}
    assert said(GRID, table, settings) == "300 images of MNIST, 5 epochs"
    at_the_start = trainings.variants(GRID, table.iloc[:1], settings, whole=table)
    assert budgets.words(GRID, at_the_start) == ""


def test_few_numbers_are_listed_and_many_are_a_range():
    def of(*epochs):
        return said("{epochs} epochs", rows(*[(n,) for n in epochs], columns=["epochs"]))

    assert of(3, 1, 2) == "1, 2 or 3 epochs"
    assert of(5, 3, 1, 2) == "1 to 5 epochs"
    assert (
        said("{bits} bits", rows((0,), columns=["seed"]), {"bits": [2, 3, 4, 7]}) == "2 to 7 bits"
    )


def test_settings_in_mappings_vary_together():
    template = "{trainings.images} images, {trainings.epochs} epochs"
    one = {"trainings": {"images": 500, "epochs": 30}}
    assert said(template, rows((0,), columns=["seed"]), one) == "500 images, 30 epochs"
    settings = {"trainings": [{"images": 500, "epochs": 30}, {"images": 2000, "epochs": 10}]}
    assert (
        said(template, rows((0,), columns=["seed"]), settings)
        == "500 images, 30 epochs; 2,000 images, 10 epochs"
    )


@pytest.mark.parametrize(
    "template, value, words",
    [
        ("{n} epochs of them", 1, "1 epoch of them"),
        ("{n} passes", 1, "1 pass"),
        ("{n} epochs", 21, "21 epochs"),
        ("{n} epochs", 10_001, "10,001 epochs"),
        ("{n} epochs", 0.1, "0.1 epochs"),
    ],
)
def test_one_is_singular(template, value, words):
    assert said(template, rows((value,), columns=["n"])) == words


# ---- In the judge's records ---------------------------------------------------------------------


def table(*levels):
    frames = [
        pd.DataFrame(
            {"quantity": quantity, "seed": range(5), "value": [1.0, 1.1, 1.2, 1.3, 1.4 + images]}
            | {"a": float("nan"), "b": float("nan"), "outcome": "finite"}
            | {"dataset": "mnist", "images": images, "epochs": epochs}
        )
        for quantity, images, epochs in levels
    ]
    return pd.concat(frames, ignore_index=True)


def part(name, quantity, budget=GRID):
    spec = {"name": name, "experiment": "toy", "quantity": quantity, "margin": 0.5, "unit": "pp"}
    return spec | {"budget": budget}


def judged(parts, tables, settings=None, conditions=("images", "epochs"), **keys):
    spec = {"id": "C001", "line": 1, "section": "s", "by": ["toy"], "rule": "ordering", "says": "s"}
    spec |= {"parts": parts, "conditions": list(conditions)} | keys
    ((record,), _) = judge({"claims": [spec]}, {"toy": tables}, settings)
    return record


def test_what_was_trained_names_the_budget_and_the_seeds():
    record = judged([part("gain", "a")], table(("a", 100, 3), ("a", 200, 3)))
    assert record["budget"] == "100 or 200 images of MNIST, 3 epochs"
    assert record["trained"] == "100 or 200 images of MNIST, 3 epochs; 5 seeds"
    assert record["parts"][0]["budget"] == record["budget"]


def test_parts_with_different_budgets_are_told_apart():
    record = judged(
        [part("short", "a"), part("long", "b"), part("law", "c", budget="")],
        table(("a", 100, 1), ("b", 100, 9), ("c", 100, 1)),
    )
    assert record["budget"] == (
        "short: 100 images of MNIST, 1 epoch; long: 100 images of MNIST, 9 epochs"
    )
    assert [one["budget"] is None for one in record["parts"]] == [False, False, True]


def test_many_parts_are_told_together():
    quantities = "abcd"
    record = judged(
        [part(name, name) for name in quantities],
        table(*((name, 100, epochs) for epochs, name in enumerate(quantities, 1))),
    )
    assert record["budget"] == "100 images of MNIST, 1 to 4 epochs"


def test_without_networks_no_budget():
    record = judged([part("law", "a", budget="")], table(("a", 100, 3)))
    assert record["budget"] is None and record["trained"] is None


def test_what_was_not_measured_was_not_trained():
    record = judged([part("gain", "b")], table(("a", 100, 3)))
    assert record["budget"] is None and record["verdict"] == "not measured"


def test_settings_come_from_the_experiment():
    spec = part("gain", "a", budget="{steps} steps")
    record = judged([spec], table(("a", 100, 3)), {"toy": {"steps": 7}, "other": {"steps": 9}})
    assert record["budget"] == "7 steps"


def test_what_is_shown_beside_names_its_own():
    record = judged(
        [part("gain", "a")], table(("a", 100, 3), ("b", 100, 5)), also=[part("later", "b")]
    )
    assert [one["budget"] for one in record["also"]] == ["100 images of MNIST, 5 epochs"]
