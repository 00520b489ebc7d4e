"""The judge, judged: known truths, verdicts counted as by hand, and no rule that errs too often."""

import json

import numpy as np
import pytest
from scipy.stats import binom

from finicky.evidence import intervals, rules
from finicky.exhibits import calibration as exhibit
from finicky.exhibits import style, tables
from finicky.experiments import calibration, tidy

SETTINGS = {"seeds": [3], "trials": 12, "sizes": [5], "shared": [0.5]}


@pytest.fixture(scope="module")
def table():
    return calibration.measure(SETTINGS, {})


def test_the_table_is_as_declared(table):
    tidy.check(table, calibration)
    assert set(table["distance"]) == set(calibration.CONDITIONS["distance"])
    assert set(table["combined"]) == set(calibration.CONDITIONS["combined"])
    assert set(table["shape"]) == set(calibration.CONDITIONS["shape"]) == set(calibration.SHAPES)


def test_every_kind_of_rule_is_simulated(table):
    kinds = calibration.different_rules()
    assert set(kinds) == set(calibration.CONDITIONS["rule"]) == set(table["rule"])
    assert {(rules.RULES[kind].measure, rules.RULES[kind].decide) for kind in kinds} == {
        (rule.measure, rule.decide) for rule in rules.RULES.values()
    }


@pytest.mark.parametrize("shape", calibration.SHAPES)
def test_shapes_have_median_0_and_deviation_1(shape):
    z = np.random.default_rng(0).normal(size=200_000)
    x = calibration.SHAPES[shape](z)
    below, above = np.mean(x < -1e-9), np.mean(x > 1e-9)
    assert below <= 0.505 and above <= 0.505
    assert x.std() == pytest.approx(1, abs=0.03)
    order = np.argsort(z)
    assert np.all(np.diff(x[order]) >= 0)  # monotone, so paired seeds stay paired


@pytest.mark.parametrize(
    ("kind", "distance", "true"),
    [
        ("ordering", "zero", rules.NOT_REPRODUCED),
        ("ordering", "inside", rules.NOT_REPRODUCED),
        ("ordering", "on", rules.UNDECIDED),
        ("ordering", "outside", rules.REPRODUCED),
        ("noninferiority", "inside", rules.REPRODUCED),
        ("noninferiority", "outside", rules.NOT_REPRODUCED),
        ("value", "inside", rules.REPRODUCED),
        ("value", "outside", rules.NOT_REPRODUCED),
        ("existence", "outside", rules.REPRODUCED),
        ("identity", "on", rules.REPRODUCED),
        ("construction", "outside", rules.NOT_REPRODUCED),
    ],
)
def test_truth_by_distance(kind, distance, true):
    assert calibration.truth(kind, calibration.effects(kind, 5)[distance], "normal") == true


def test_within_the_gap_of_two_modes_every_number_is_a_median():
    effect = calibration.effects("ordering", 5)["outside"]
    assert calibration.truth("ordering", effect, "bimodal") == rules.UNDECIDED


def test_says():
    assert calibration.says(rules.UNDER_CONDITIONS, rules.REPRODUCED) == (False, True, False)
    assert calibration.says(rules.UNDER_CONDITIONS, rules.UNDECIDED, "parts") == (
        True,
        False,
        False,
    )
    assert calibration.says(rules.UNDECIDED, rules.REPRODUCED) == (False, False, True)


def share(table, quantity, **levels):
    for column, level in levels.items():
        table = table[table[column] == level]
    (row,) = table[table["quantity"] == quantity].to_dict("records")
    return row["value"], row["error"]


SINGLE = {"combined": "conditions", "count": 1, "shape": "normal"}


def test_shares_are_those_of_the_binomial_distribution():
    """On the limit five seeds agree in 1 of 32 cases a side, whatever the rule."""
    settings = SETTINGS | {"trials": 60, "shared": [0.0]}
    table = calibration.measure(settings, {})
    for kind in ("ordering", "value", "existence"):
        for side in ("wrongly_for", "wrongly_against"):
            value, error = share(table, side, rule=kind, distance="on", **SINGLE)
            assert value == pytest.approx(100 / 32, abs=4 * error) and 0 < error < 1
    value, error = share(table, "undecided", rule="ordering", distance="clear", **SINGLE)
    assert value == pytest.approx(10, abs=4 * error)
    of_four = share(table, "wrongly_for", rule="ordering", distance="on", shape="normal",
                    combined="parts", count=4)  # fmt: skip
    # one part over its own limit is not enough: another has to be refuted
    mixed = 1 - 2 * binom.pmf(0, 4, 1 / 32) + binom.pmf(0, 4, 2 / 32)
    assert of_four[0] == pytest.approx(100 * mixed, abs=4 * of_four[1])


def test_what_never_happens_is_never_counted(table):
    """Far from the limit no rule is wrong, and a flaw is the only thing that escapes."""
    sure = table[table["distance"].isin(["zero", "clear"]) & (table["quantity"] != "undecided")]
    assert (sure["value"] == 0).all()
    value, error = share(table, "wrongly_for", rule="construction", distance="outside", **SINGLE)
    assert value == pytest.approx(100 * 0.8**5, abs=4 * error)


def test_off_the_limit_no_rule_of_chance_is_wrong_in_more_than_5_percent(table):
    chance = ~table["rule"].isin(["identity", "construction"])
    off = table[chance & (table["distance"] != "on") & (table["quantity"] != "undecided")]
    assert set(off["combined"]) == {"conditions", "parts"} and (off["count"] == 200).any()
    assert (off["value"] - 3 * off["error"] <= 5).all()


def test_dropping_conditions_goes_through_the_judge(table):
    rows = table[table["combined"] == "conditions, some dropped"]
    assert set(rows["count"]) == {20} and set(rows["quantity"]) == set(calibration.QUANTITIES)
    assert rows.set_index("quantity")["value"]["undecided"] > 70


def test_the_same_seed_gives_the_same_table(table):
    again = calibration.measure(SETTINGS, {})
    assert again.equals(table)


def test_the_smallest_settings_are_enough():
    smallest = {"seeds": [0], "trials": 2, "sizes": [5], "shared": [1]}
    tidy.check(calibration.measure(smallest, {}), calibration)


def test_a_figure_that_says_the_worst(table):
    with style.context():
        figure, data = exhibit.calibration(table)
    assert len(figure.axes) == 10 and set(data["seeds"]) == {5}
    wrong = data[data["quantity"] != "undecided"]["value"].max()
    assert f"{wrong:.1f} % on claims of several" in figure.get_label()


def test_the_table_shows_the_worst_of_both_sides(table):
    shown = exhibit.calibration_table(table, {})
    single, several = shown.bodies
    assert [row.heads[0] for row in single.rows] == list(dict.fromkeys(table["rule"]))
    assert [row.heads[0] for row in several.rows] == [
        "20 conditions", "200 conditions", "20 conditions, some dropped", "4 parts", "20 parts",
    ]  # fmt: skip
    on_the_limit = single.rows[0].cells[0]
    rows = table[(table["rule"] == "ordering") & (table["distance"] == "on")]
    rows = rows[(rows["combined"] == "conditions") & (rows["count"] == 1)]
    rows = rows[rows["quantity"] != "undecided"]
    assert on_the_limit.value == rows["value"].max() > 0 and on_the_limit.n == 5
    assert json.dumps(tables.as_json(shown), allow_nan=False)


def test_clear_is_what_the_intervals_promise():
    assert calibration.effects("trend", 11)["clear"] == pytest.approx(
        calibration.SPREAD * intervals.decided_distance(11)
    )
