"""The tidy table of an experiment, and the refusal of every table that is not what was declared."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from finicky.errors import InputError
from finicky.experiments import tidy

CONDITIONS = {
    "width": "integer",
    "rate": "number",
    "biased": "boolean",
    "init": "level",
    "words": "text",
    "path": ["straight", "curve"],
}
MODULE = SimpleNamespace(
    CONDITIONS=CONDITIONS,
    QUANTITIES={"q": ("%", "one"), "r": ("0/1", "another")},
    __file__="experiments/made_up.py",
)


def test_columns_have_the_types_of_their_kinds():
    types = {"width": "Int64", "rate": "float64", "biased": "boolean"}
    types |= {"init": "str", "words": "str", "path": "str"}
    assert tidy.columns(CONDITIONS) == tidy.VALUES | types


def test_rows_become_a_table_with_all_columns():
    rows = [{"quantity": "q", "seed": 1, "value": 2}, {"quantity": "r", "seed": 1, "width": 8}]
    table = tidy.from_rows(rows, CONDITIONS)
    assert table.dtypes.astype(str).to_dict() == tidy.columns(CONDITIONS)
    assert table["outcome"].eq("finite").all() and table[["a", "b"]].isna().all(axis=None)
    assert table["width"].isna().tolist() == [True, False] and table["width"].iloc[1] == 8


def test_rows_of_runs_say_their_outcome():
    rows = [{"quantity": "q", "seed": 1, "value": 10, "outcome": "nan"}]
    assert tidy.from_rows(rows, CONDITIONS)["outcome"].tolist() == ["nan"]


def frame(**columns):
    return pd.DataFrame({"seed": [2, 1], "a": np.nan, "b": np.nan} | columns)


def test_quantities_become_a_table_sorted_by_condition_and_seed():
    measured = frame(value=[3.0, 4.0], outcome=[0, 1], width=[8, 8], unused=[0, 0])
    other = frame(value=[5.0, 6.0], outcome=[0, 2], width=[4, 2])
    table = tidy.from_quantities({"q": measured, "r": other}, CONDITIONS)
    assert table["quantity"].tolist() == ["q", "q", "r", "r"]
    assert table["seed"].tolist() == [1, 2, 1, 2] and table["width"].tolist() == [8, 8, 2, 4]
    assert table["outcome"].tolist() == ["large", "finite", "inf", "finite"]
    assert table.dtypes.astype(str).to_dict() == tidy.columns(CONDITIONS)


def test_what_was_not_measured_is_left_out_unless_the_run_failed():
    rows = frame(value=[np.nan, np.nan], outcome=[0, 3])
    table = tidy.from_quantities({"q": rows}, CONDITIONS)
    assert table["seed"].tolist() == [1] and table["outcome"].tolist() == ["nan"]


def test_no_rows_are_a_table_with_its_columns_and_types(tmp_path):
    rows = frame(value=[3.0, 4.0], outcome=[0, 1]).iloc[:0]
    for table in (tidy.from_quantities({"q": rows}, CONDITIONS), tidy.from_rows([], CONDITIONS)):
        table.to_parquet(tmp_path / "empty.parquet")
        for empty in (table, pd.read_parquet(tmp_path / "empty.parquet")):
            assert empty.empty
            assert empty.dtypes.astype(str).to_dict() == tidy.columns(CONDITIONS)
            tidy.check(empty, MODULE)


def test_one_number_has_no_two_sides():
    rows = pd.DataFrame({"seed": [0, 1], "loss": [2, 3], "a": [1.0, 1.0]})
    assert tidy.one_number(rows, "loss")["value"].tolist() == [2.0, 3.0]
    yes = tidy.one_number(rows, rows["loss"] > 2)
    assert yes["value"].tolist() == [0.0, 1.0] and yes[["a", "b"]].isna().all(axis=None)


GOOD = {"quantity": "q", "seed": 1, "value": 2.0, "path": "curve", "width": 3, "init": "he"}


def test_a_table_as_declared_passes():
    tidy.check(tidy.from_rows([GOOD, {"quantity": "r", "seed": 2}], CONDITIONS), MODULE)


def wrong(**changes):
    return lambda table: table.assign(**changes)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda table: table.drop(columns="width"), "CONDITIONS: found a table of quantity, seed,"),
        (wrong(depth=3), "words, path, depth; allowed: quantity, seed,"),
        (lambda table: table[sorted(table)], "CONDITIONS: found a table of a, b, biased,"),
        (wrong(quantity="s"), "quantity: found 's'; allowed: q, r"),
        (wrong(quantity=None), "quantity: found a row without one; allowed: q, r"),
        (wrong(outcome=None), "outcome: found a row without one; allowed: finite, large"),
        (lambda table: None, "measure returns: found nothing; allowed: the table that"),
        (lambda table: {"q": 1}, "measure returns: found a dict; allowed: the table that"),
        (wrong(outcome="broken"), "outcome: found 'broken'; allowed: finite, large, inf, nan"),
        (wrong(path="crooked"), "path: found 'crooked'; allowed: straight, curve"),
        (wrong(value="2.0"), "value: found str; allowed: numbers"),
        (wrong(a="90"), "a: found str; allowed: numbers"),
        (wrong(b="90"), "b: found str; allowed: numbers"),
        (wrong(seed="1"), "seed: found str; allowed: numbers"),
        (wrong(width="wide"), "width: found str; allowed: numbers"),
        (wrong(rate="fast"), "rate: found str; allowed: numbers"),
        (wrong(biased="yes"), "biased: found str; allowed: numbers"),
    ],
)
def test_a_wrong_table_is_refused_with_one_line_that_names_the_module(spoil, said):
    table = spoil(tidy.from_rows([GOOD], CONDITIONS))
    with pytest.raises(InputError) as caught:
        tidy.check(table, MODULE)
    message = str(caught.value)
    assert message.startswith("experiments/made_up.py: ") and "\n" not in message
    assert said in message


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"value": "high"}, "q.value: found 'high'; allowed: of the type float64"),
        ({"a": "90 %"}, "q.a: found '90 %'; allowed: of the type float64"),
        ({"value": [1, 2]}, "q.value: found [1, 2]; allowed: of the type float64"),
        ({"seed": 1.5}, "q.seed: found 1.5; allowed: of the type Int64"),
        ({"seed": "one"}, "q.seed: found 'one'; allowed: of the type Int64"),
        ({"width": "wide"}, "q.width: found 'wide'; allowed: of the type Int64"),
        ({"biased": 3}, "q.biased: found 3.0; allowed: of the type boolean"),
        ({"quantity": "s"}, "quantity: found 's'; allowed: q, r"),
        ({"path": "crooked"}, "path: found 'crooked'; allowed: straight, curve"),
    ],
)
def test_a_wrong_row_is_refused_with_one_line_that_names_module_and_quantity(row, said):
    def measure(settings, tables):
        return tidy.from_rows([GOOD, GOOD | row, GOOD], CONDITIONS)

    with pytest.raises(InputError) as caught:
        tidy.measured(SimpleNamespace(measure=measure, **vars(MODULE)), {}, {})
    assert str(caught.value) == f"experiments/made_up.py: {said}"


def test_a_text_among_the_rows_of_a_frame_is_named_too():
    def measure(settings, tables):
        return tidy.from_quantities({"r": frame(value=["low", 4.0], outcome=[0, 1])}, CONDITIONS)

    with pytest.raises(InputError, match="^experiments/made_up.py: r.value: found 'low'; allowed"):
        tidy.measured(SimpleNamespace(measure=measure, **vars(MODULE)), {}, {})


def test_other_files_keep_their_names():
    def measure(settings, tables):
        raise InputError("results/data/mnist", None, "no such file", "images")

    with pytest.raises(InputError, match="^results/data/mnist: found no such file"):
        tidy.measured(SimpleNamespace(measure=measure, **vars(MODULE)), {}, {})
