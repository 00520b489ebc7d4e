"""The refilled tables: right numbers in the right cells, gaps where there is nothing."""

import csv
import io
import json
import math

import pandas as pd
import pytest

from finicky.exhibits import calibration, grid, mini_project, ten_layers
from finicky.exhibits.tables import (
    Body,
    Cell,
    Column,
    Row,
    Table,
    as_csv,
    as_json,
    measured_cell,
    part_numbers,
    with_digits,
)

from .sentences import finding


def part(quantity, number=None, name="p", **where):
    """One part of a claim as the ledger has it."""
    values = {"name": name, "quantity": quantity, "where": where}
    return values if number is None else values | {"number": number}


@pytest.fixture
def ledger():
    log = {"running_loss": 0.3124, "running_accuracy": 91.23, "test_loss": 0.1456}
    errors = {
        "20 layers, training error": 15, "20 layers, test error": 18,
        "56 layers, training error": 25, "56 layers, test error": 28,
    }  # fmt: skip
    parts = {
        "C062": [
            part("test_accuracy", 92, init="he", epoch=1),
            part("test_accuracy", 98, init="he", epoch=10),
            part("he_minus_xavier", 7, init="he", epoch=1),
        ],
        "C098": [part("agrees", number, name, fact=name) for name, number in errors.items()],
        "C180": [part(name, number, recipe="correct", epoch=1) for name, number in log.items()],
        "C185": [part("test_accuracy", 10, recipe="correct", epoch=5)],
    }
    claims = [{"id": name, "parts": of} for name, of in parts.items()]
    return {"claims": [*claims, {"id": "C199"}]}


def rows(quantity, values, outcome="finite", **levels):
    """Rows of a measured table: one value per seed."""
    return [
        {"quantity": quantity, "seed": seed, "value": value, "outcome": outcome} | levels
        for seed, value in enumerate(values)
    ]


@pytest.fixture
def ten():
    found = []
    for optimizer, rate in (("sgd", 0.01), ("adam", 0.001)):
        common = {"optimizer": optimizer, "learning_rate": rate}
        for epoch in (1, 10):
            common["epoch"] = epoch
            found += rows("test_accuracy", [93.5, 93.9, 93.8, 93.6, 94.1], init="he", **common)
            found += rows("test_accuracy", [10.0] * 5, "nan", init="normal_std_1", **common)
    return pd.DataFrame(found)


@pytest.fixture
def cells():
    found = []
    common = {"dataset": "mnist", "images": 60000, "epochs": 2, "activation": "relu", "init": "he"}
    common |= {"optimizer": "adam", "learning_rate": 0.001, "rate": "fixed"}
    for block, depth, accuracy in (("plain", 20, 95.0), ("plain", 56, 80.0), ("residual", 20, 96)):
        for quantity, less in (("train_accuracy", 0.0), ("test_accuracy", 1.0)):
            values = [accuracy - less + tenth / 10 for tenth in range(5)]
            found += rows(quantity, values, depth=depth, block=block, **common)
    return pd.DataFrame(found)


@pytest.fixture
def log():
    values = [0.31, 0.32, 0.33, 0.34, 0.35]
    found = rows("running_loss", values, recipe="correct", epoch=1)
    found += rows("running_loss", [None] * 5, "nan", recipe="rate_10", epoch=1)
    return pd.DataFrame(found + rows("test_accuracy", [10.0] * 5, "nan", recipe="rate_10", epoch=1))


def row(table, *heads):
    (found,) = [row for body in table.bodies for row in body.rows if row.heads == list(heads)]
    return found.cells


# ---- The chapter's tables -----------------------------------------------------------------------


def test_ten_layers_has_the_chapters_numbers_beside_both_optimizers(ledger, ten):
    table = ten_layers.t03(ten, ledger)
    assert finding(table) == (
        "He initialisation reaches 93.8 % with SGD at 0.01, 93.8 % with Adam at 0.001 after one "
        "epoch; none of 4 measured accuracies lie within a point of the chapter's table."
    )
    cells = row(table, "He")
    by = ["chapter", "SGD at 0.01", "Adam at 0.001"]
    assert [column.label for column in table.columns] == by * 2
    assert (cells[0].value, cells[3].value) == (92, 98)
    assert (cells[1].value, cells[1].low, cells[1].high, cells[1].n) == (93.8, 93.5, 94.1, 5)


def test_ten_layers_keeps_the_five_rows_of_the_chapter(ledger, ten):
    (body,) = ten_layers.t03(ten, ledger).bodies
    assert [row.heads[0] for row in body.rows] == ["He", "Xavier", "N, σ = 1", "N, σ = 0.001",
                                                   "zeros"]  # fmt: skip
    assert body.rows[-1].cells[1].n == 0  # not run: an empty cell


def test_failed_runs_are_said_beside_their_chance_accuracy(ledger, ten):
    cells = row(ten_layers.t03(ten, ledger), "N, σ = 1")
    assert cells[1].value == 10 and cells[1].note == "NaN in 5 of 5"
    assert cells[0].text == "NaN"


def test_degradation_is_in_errors_beside_the_published_ones(ledger, cells):
    table = grid.t07(cells, ledger)
    shallow, deep = row(table, "plain", "20"), row(table, "plain", "56")
    assert [cell.value for cell in shallow[:2]] == [15, 18]
    assert [cell.value for cell in deep[:2]] == [25, 28]
    assert [round(cell.value, 6) for cell in shallow[2:]] == [4.8, 5.8]
    assert [round(cell.value, 6) for cell in deep[2:]] == [19.8, 20.8]
    assert (round(deep[2].low, 6), round(deep[2].high, 6)) == (19.6, 20)
    assert [group for group, _ in table.groups] == ["Chapter, error in %",
                                                    "Adam at 0.001, error in %"]  # fmt: skip
    assert finding(table).startswith(
        "The training error of plain networks is 4.8 % with 20 layers and 19.8 % with 56;"
    )
    assert table.bodies[0].label.endswith("images, 2 epochs")
    assert "literature" in table.notes[0]


def test_the_published_errors_are_those_of_plain_networks_and_stand_once(ledger, cells):
    table = grid.t07(pd.concat([cells, cells.assign(epochs=1)]), ledger)
    longer, shorter = table.bodies
    assert longer.rows[0].cells[0].value == 15 and shorter.rows[0].cells[0].value is None
    assert shorter.label.endswith("images, 1 epoch")
    (residual,) = [row for row in longer.rows if row.heads[0] == "residual"]
    assert residual.cells[0].value is None and residual.cells[2].n == 5


def test_degradation_at_own_best_rates_stands_beside_the_fixed_ones(ledger, cells):
    own = cells.assign(rate="own best", learning_rate=None, value=cells["value"] + 2)
    tried = cells.assign(rate="tried", learning_rate=0.01)
    chosen = own[own["quantity"] == "test_accuracy"].assign(
        quantity="own_best_rate", value=0.01, edge=own["depth"] == 56
    )
    table = grid.t07(pd.concat([cells, own, tried, chosen]), ledger)
    assert [group for group, _ in table.groups][1:] == [
        "Adam at 0.001, error in %",
        "Adam, own best rate, error in %",
    ]
    deep = row(table, "plain", "56")
    assert [round(cell.value, 6) for cell in deep[2:]] == [19.8, 20.8, 17.8, 18.8]
    assert table.notes[1] == (
        "Own best rates are chosen for each seed by the other seeds' held-out images. In 1 of 3 "
        "cases one is the lowest or the highest that was tried, so that a better one may lie "
        "beyond: Adam, plain, 56 layers (0.01)."
    )


def test_without_20_and_56_plain_layers_there_is_no_table_of_degradation(ledger, cells):
    assert grid.t07(cells[cells["depth"] == 20], ledger) is None
    assert grid.t07(cells.iloc[:0], ledger) is None


def test_mini_project_has_every_printed_number_and_the_nan(ledger, log):
    table = mini_project.t13(log, ledger)
    assert table.finding == "", "no test accuracy to compare"
    correct, diverged = (body.rows[0].cells for body in table.bodies)
    assert [cell.value for cell in correct[::2]] == [0.3124, 91.23, 0.1456, None]
    assert (correct[1].value, correct[1].low, correct[1].high) == (0.33, 0.31, 0.35)
    assert (diverged[0].text, diverged[1].text) == ("NaN", "NaN")
    assert diverged[1].note == "NaN in 5 of 5"
    assert diverged[7].value == 10 and diverged[7].note == "", "said once a line"


def test_calibration_shows_the_worst_of_shapes_and_sides(ledger):
    found = [
        {"rule": "ordering", "shape": shape, "seeds": 5, "distance": distance, "shared": 0.5,
         "combined": combined, "count": count, "clear": clear,
         "quantity": quantity, "value": value, "error": 0.25}
        for combined, count, clear in (
            ("conditions", 1, None), ("conditions, some clear", 226, 23), ("parts", 20, None),
        )
        for shape, distance, quantity, value in (
            ("normal", "on", "wrongly_for", 3.0), ("skewed", "on", "wrongly_against", 3.5),
            ("normal", "inside", "wrongly_for", 1.0), ("normal", "clear", "undecided", 10.0),
            ("skewed", "clear", "undecided", 12.0), ("normal", "clear", "wrongly_for", 0.0),
        )
    ]  # fmt: skip
    table = calibration.calibration_table(pd.DataFrame(found), ledger)
    assert [label for label, _ in table.groups][0] == "Wrong on the limit, %"
    (single,), several = (body.rows for body in table.bodies)
    assert single.heads == ["ordering"]
    assert [row.heads for row in several] == [
        ["226 conditions, 23 of them clear"], ["20 parts"],
    ]  # fmt: skip
    expected = [(3.5, 0.25), (1, 0.25), (10, 0.25)]
    assert [(cell.value, cell.error) for cell in single.cells] == expected


# ---- What tables share --------------------------------------------------------------------------


def test_fewer_than_five_seeds_have_no_interval(log):
    cell = measured_cell(log[log["seed"] < 2], recipe="correct", quantity="running_loss")
    assert cell.value == 0.315 and cell.n == 2 and math.isnan(cell.low)


def test_an_unmeasured_condition_is_an_empty_cell(log):
    assert measured_cell(log, recipe="zeros") == Cell()


def test_numbers_of_a_claims_parts_by_name(ledger):
    assert part_numbers(ledger, "C098")["56 layers, test error"] == Cell(value=28)
    moved = ledger["claims"][1]["parts"].pop()
    ledger["claims"][1]["also"] = [moved]
    assert part_numbers(ledger, "C098")["56 layers, test error"] == Cell(value=28)
    del ledger["claims"][1]["parts"][0]["number"]
    assert len(part_numbers(ledger, "C098")) == 3
    assert part_numbers(ledger, "C199") == part_numbers(ledger, "C999") == {}


def test_digits_follow_the_intervals(ledger, log):
    table = mini_project.t13(log, ledger)
    # the interval of the loss is 0.04 wide, which one digit more than 0.01 would not survive
    assert [column.places for column in table.columns[:2]] == [4, 2]


def test_columns_of_one_quantity_have_the_same_digits():
    wide, narrow = Cell(1.0, 0.5, 9.5, 5), Cell(1.0, 0.99, 1.01, 5)
    columns = [Column("a", "measured", "x"), Column("b", "measured", "x"), Column("c", "measured")]
    body = Body("", [Row(["r"], [wide, narrow, narrow]), Row(["s"], [narrow] * 3)])
    made = with_digits(["head"], [("", 3)], columns, [body])
    first, second, other = (column.places for column in made.columns)
    assert first == second == other == 3
    made = with_digits(["head"], [("", 3)], columns, [Body("", [Row(["r"], [wide, wide, narrow])])])
    assert [column.places for column in made.columns] == [1, 1, 3]
    counted = Body("", [Row(["r"], [wide, wide, Cell(4384.0)])])
    assert with_digits(["head"], [("", 3)], columns, [counted]).columns[2].places == 0


@pytest.fixture
def table():
    cells = [Cell(value=92), Cell(93.5, math.nan, math.inf, 2, note="NaN in 1 of 2")]
    columns = [Column("chapter", "chapter"), Column("ours", "measured")]
    body = Body("part 1", [Row(["He", "plain"], cells), Row(["zeros", ""], [Cell(), Cell()])])
    return Table(["Start", ""], [("Accuracy, %", 2)], columns, [body], ["a note"], "it shows")


def test_json_is_plain_and_finite(table):
    plain = json.loads(json.dumps(as_json(table), allow_nan=False))
    chapter, ours = plain["bodies"][0]["rows"][0]["cells"]
    assert (chapter["value"], chapter["n"]) == (92, 0)
    assert (ours["value"], ours["low"], ours["high"], ours["n"]) == (93.5, None, None, 2)
    assert plain["seeds"] == [2] and plain["over"] == "seed"
    assert plain["notes"] == ["a note"] and plain["shows"] == "it shows"
    assert plain["groups"] == [["Accuracy, %", 2]]


def test_csv_has_a_line_per_cell(table):
    lines = list(csv.DictReader(io.StringIO(as_csv(table))))
    assert len(lines) == 4
    assert lines[1] == {
        "part": "part 1", "Start": "He", "kind": "plain", "group": "Accuracy, %", "column": "ours",
        "value": "93.5", "low": "", "high": "", "error": "", "n": "2", "text": "",
        "note": "NaN in 1 of 2",
    }  # fmt: skip
    assert set(lines[3].values()) == {"part 1", "zeros", "Accuracy, %", "ours", ""}
