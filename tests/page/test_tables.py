"""The refilled tables: right numbers in the right cells, gaps where there is nothing."""

import pandas as pd

from finicky.page import tables as maker
from finicky.page.tables import refill, update_rules


def row(table, *heads):
    (found,) = [
        row for body in table.bodies for row in body.rows if row.heads == list(heads)
    ]  # fmt: skip
    return found.cells


def test_ten_layers_has_the_chapters_numbers_beside_both_optimizers(ledger, tables):
    table = refill(ledger, tables, {})["T03"]
    cells = row(table, "He")
    assert [column.label for column in table.columns] == ["chapter", "SGD 0.01", "Adam 0.001"] * 2
    assert (cells[0].value, cells[3].value) == (92, 98)
    assert (cells[1].value, cells[1].low, cells[1].high, cells[1].n) == (93.8, 93.5, 94.1, 5)


def test_ten_layers_keeps_the_five_rows_of_the_chapter(ledger, tables):
    (body,) = refill(ledger, tables, {})["T03"].bodies
    assert len(body.rows) == 5
    assert row(refill(ledger, tables, {})["T03"], "zeros")[1].n == 0  # not run: an empty cell


def test_failed_runs_are_said_beside_their_chance_accuracy(ledger, tables):
    cell = row(refill(ledger, tables, {})["T03"], "N, σ = 1")[1]
    assert cell.value == 10 and cell.note == "NaN in 5 of 5"
    assert row(refill(ledger, tables, {})["T03"], "N, σ = 1")[0].text == "NaN"


def test_degradation_is_in_errors_beside_the_published_ones(ledger, tables):
    table = refill(ledger, tables, {})["T07"]
    shallow, deep = row(table, "plain", "20"), row(table, "plain", "56")
    assert [cell.value for cell in shallow[:2]] == [15, 18]
    assert [cell.value for cell in deep[:2]] == [25, 28]
    assert [round(cell.value, 6) for cell in shallow[2:]] == [4.8, 5.8]
    assert [round(cell.value, 6) for cell in deep[2:]] == [19.8, 20.8]
    assert (round(deep[2].low, 6), round(deep[2].high, 6)) == (19.6, 20)
    assert table.bodies[0].label.endswith("images, 2 epochs")
    assert "literature" in table.notes[0]


def test_mini_project_has_every_printed_number_and_the_nan(ledger, tables):
    table = refill(ledger, tables, {})["T13"]
    correct = table.bodies[0].rows[0].cells
    assert [cell.value for cell in correct[::2]] == [0.3124, 91.23, 0.1456, None]
    assert (correct[1].value, correct[1].low, correct[1].high) == (0.33, 0.31, 0.35)
    diverged = table.bodies[1].rows[0].cells
    assert (diverged[0].text, diverged[1].text) == ("NaN", "NaN")
    assert diverged[1].note == "NaN in 5 of 5"


def test_fewer_than_five_seeds_have_no_interval(ledger, tables):
    tables["mini-project"] = tables["mini-project"][tables["mini-project"]["seed"] < 2]
    cell = refill(ledger, tables, {})["T13"].bodies[0].rows[0].cells[1]
    assert cell.value == 0.315 and cell.n == 2 and cell.low != cell.low


def test_missing_or_empty_experiments_leave_their_table_out(ledger, tables):
    assert set(refill(ledger, tables, {})) == {"T03", "T07", "T13"}
    del tables["grid"]
    tables["ten-layers"] = tables["ten-layers"].iloc[:0]
    assert set(refill(ledger, tables, {})) == {"T13"}


def test_digits_follow_the_intervals(ledger, tables):
    table = refill(ledger, tables, {})["T13"]
    # the interval of the loss is 0.04 wide, which one digit more than 0.01 would not survive
    assert [column.places for column in table.columns[:2]] == [4, 2]


def test_t12_shows_the_largest_deviation_of_every_rule(ledger):
    """Over the seeds; where the printed rule divides zero by zero, that."""
    rows = [
        {"quantity": quantity, "optimizer": optimizer, "gradients": size, "seed": seed,
         "value": value * (seed + 1), "outcome": "finite"}
        for quantity in ("table_deviation", "text_deviation")
        for optimizer in ("descent", "momentum", "rmsprop", "adam", "adamw")
        for size, value in {"ordinary": 1e-16, "tiny": 0.02, "zero": float("inf")}.items()
        for seed in range(3)
    ]  # fmt: skip
    table = update_rules(ledger, pd.DataFrame(rows))
    assert [row.heads for row in table.bodies[0].rows][-1] == ["AdamW"]
    assert [cell.text for cell in table.bodies[0].rows[0].cells[:3]] == [
        "3·10⁻¹⁶",
        "0.0600",
        "0/0",
    ]
    assert table.seeds == [3] and "Largest" in table.shows


def test_a_table_of_answers_sorts_claims_by_verdict(ledger):
    ledger["tables"]["T02"]["rows"] = [
        {"question": "Why?", "answer": "so", "claims": ["C064", "C001", "C062"]},
        {"question": "How?", "answer": "thus", "claims": ["C099"]},
    ]
    verdicts = {"C062": "reproduced", "C064": "reproduced", "C099": "not reproduced"}
    table = refill(ledger, {}, verdicts)["T02"]
    assert [column.label for column in table.columns] == [
        "reproduced",
        "not reproduced",
        "not measured",
    ]
    first, second = table.bodies[0].rows
    assert first.heads == ["Why?", "so"]
    assert [cell.claims for cell in first.cells] == [("C064", "C062"), (), ("C001",)]
    assert [cell.claims for cell in second.cells] == [(), ("C099",), ()]


def test_answers_without_any_evidence_leave_their_table_out(ledger):
    ledger["tables"]["T02"]["rows"] = [{"question": "?", "answer": "!", "claims": ["C001"]}]
    assert "T02" not in refill(ledger, {}, {"C001": "not measured"})


def test_calibration_shows_the_worst_of_shapes_and_sides():
    rows = [
        {"rule": "ordering", "metric": metric, "seeds": 5, "distance": distance, "shared": 0.5,
         "combined": combined, "count": count, "quantity": quantity, "value": value, "error": 0.25}
        for combined, count in (("conditions", 1), ("parts", 20))
        for metric, distance, quantity, value in (
            ("normal", "on", "wrongly_for", 3.0), ("skewed", "on", "wrongly_against", 3.5),
            ("normal", "inside", "wrongly_for", 1.0), ("normal", "clear", "undecided", 10.0),
            ("skewed", "clear", "undecided", 12.0), ("normal", "clear", "wrongly_for", 0.0),
        )
    ]  # fmt: skip
    table = maker.calibration(pd.DataFrame(rows))
    assert [label for label, _ in table.groups][0] == "Wrong on the limit, %"
    single, several = (body.rows[0] for body in table.bodies)
    assert (single.heads, several.heads) == (["ordering"], ["20 parts"])
    assert [(cell.value, cell.error) for cell in single.cells] == [
        (3.5, 0.25),
        (1, 0.25),
        (10, 0.25),
    ]
