"""The judge, judged: known truths, verdicts counted as by hand, and no rule that errs too often."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from finicky.evidence import intervals, rules
from finicky.exhibits import calibration as exhibit
from finicky.exhibits import style, tables
from finicky.experiments import calibration, tidy

from .sentences import finding

SETTINGS = {"seeds": [3], "trials": 12, "sizes": [5], "shared": [0.5]}


@pytest.fixture(scope="module")
def table():
    return calibration.measure(SETTINGS, {})


def test_the_table_is_as_declared(table):
    tidy.check(table, calibration)
    assert set(table["distance"]) == set(calibration.CONDITIONS["distance"])
    assert set(table["combined"]) == set(calibration.CONDITIONS["combined"])
    assert set(table["shape"]) == set(calibration.CONDITIONS["shape"])
    assert set(calibration.SHAPES) < set(table["shape"])


def test_every_kind_of_rule_is_simulated(table):
    kinds = calibration.different_rules()
    every = {*kinds, "sometimes"}  # which decides conditions like an ordering, but not claims
    assert every == set(calibration.CONDITIONS["rule"]) == set(table["rule"])
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


HOLDS, MIXED, FAILS, OPEN = (
    rules.REPRODUCED, rules.UNDER_CONDITIONS, rules.NOT_REPRODUCED, rules.UNDECIDED,
)  # fmt: skip
FOR, AGAINST, BOTH, RIGHT = (True, False), (False, True), (True, True), (False, False)


@pytest.mark.parametrize(
    ("true", "said"),
    [
        ([HOLDS], {HOLDS: RIGHT, MIXED: AGAINST, FAILS: AGAINST}),
        ([FAILS], {HOLDS: FOR, MIXED: FOR, FAILS: RIGHT}),
        ([OPEN], {HOLDS: FOR, MIXED: BOTH, FAILS: AGAINST}),
        ([HOLDS, FAILS], {HOLDS: FOR, MIXED: RIGHT, FAILS: AGAINST}),
        ([HOLDS, OPEN, OPEN, OPEN], {HOLDS: FOR, MIXED: AGAINST, FAILS: AGAINST}),
        ([HOLDS] * 22 + [FAILS] * 204, {HOLDS: FOR, MIXED: FOR, FAILS: RIGHT}),
        ([HOLDS] * 23 + [FAILS] * 203, {HOLDS: FOR, MIXED: RIGHT, FAILS: AGAINST}),
    ],
)
def test_which_side_of_a_verdict_is_wrong(true, said):
    true = rules.combine_conditions(true)
    for verdict, sides in said.items():
        assert calibration.says(verdict, true) == (*sides, False)
    assert calibration.says(OPEN, true) == (False, False, True)


def test_of_parts_a_mixed_verdict_says_that_some_hold():
    for true, sides in {HOLDS: RIGHT, FAILS: FOR, OPEN: FOR}.items():
        assert calibration.says(MIXED, calibration.alike(true), "parts") == (*sides, False)


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
    sure = table[table["distance"].isin(["zero", "clear"]) & table["clear"].isna()]
    sure = sure[sure["quantity"] != "undecided"]
    assert (sure["value"] == 0).all()
    value, error = share(table, "wrongly_for", rule="construction", distance="outside", **SINGLE)
    assert value == pytest.approx(100 * 0.8**5, abs=4 * error)


def test_off_the_limit_no_rule_of_chance_is_wrong_in_more_than_5_percent(table):
    chance = ~table["rule"].isin(["identity", "construction"])
    once = table["clear"].isna() & (table["combined"] != "conditions, each twice")
    off = table[chance & once & (table["distance"] != "on") & (table["quantity"] != "undecided")]
    assert set(off["combined"]) == {"conditions", "parts"} and (off["count"] == 200).any()
    assert (off["value"] - 3 * off["error"] <= 5).all()


ON = {"distance": "on", "shape": "normal", "rule": "ordering"}


@pytest.fixture(scope="module")
def independent():
    """The rows of claims whose conditions differ; all share nothing."""
    return calibration.measure(SETTINGS | {"trials": 60, "shared": [0.0]}, {})


def test_one_measurement_under_two_names_counts_twice(independent):
    """Of ten conditions one over the limit on either side is enough: it makes two."""
    found = share(independent, "wrongly_for", combined="conditions, each twice", **ON)
    mixed = 1 - 2 * binom.pmf(0, 10, 1 / 32) + binom.pmf(0, 10, 2 / 32)
    assert found[0] == pytest.approx(100 * mixed, abs=4 * found[1]) and found[0] > 5


def test_of_few_conditions_luck_in_one_is_enough_beside_another_that_holds(independent):
    p, missed = 1 / 32, 1 - intervals.POWER
    for clear in (1, 2):
        others = 4 - clear
        fails = 1 - (1 - p) ** others
        alone = missed**clear * ((1 - p) ** others - (1 - 2 * p) ** others)
        value, error = share(independent, "wrongly_against", clear=clear, count=4, **ON)
        assert value == pytest.approx(100 * (fails - alone), abs=4 * error) and 5 < value < 10


@pytest.mark.parametrize("clear", [20, 22, 23, 25])
def test_near_the_number_that_a_side_needs_what_is_missed_decides(independent, clear):
    at = {"clear": clear, "count": 226, "rule": "ordering", "shape": "normal", "distance": "zero"}
    assert rules.need(226) == 23
    assert share(independent, "wrongly_for", **at)[0] == 0
    missed = binom.cdf(22, clear, intervals.POWER) if clear >= 23 else 0
    value, error = share(independent, "wrongly_against", **at)
    assert value == pytest.approx(100 * missed, abs=max(4 * error, 0.01))


def test_sometimes_is_no_more_often_wrong_than_luck_allows(independent, table):
    at = {"rule": "sometimes", "combined": "conditions", "count": 20, "shape": "normal"}
    value, error = share(independent, "wrongly_for", distance="on", **at)
    assert 0 < value <= 100 * binom.sf(2, 20, 1 / 32) + 4 * error  # three of twenty are needed
    assert share(independent, "undecided", distance="clear", **at)[0] == 0
    for rows in (independent, table):
        alone = rows[(rows["rule"] == "sometimes") & (rows["combined"] != "conditions, bad seeds")]
        wrong = alone[alone["quantity"] != "undecided"]
        assert set(wrong["count"]) == {20, 200}
        assert (wrong["value"] - 3 * wrong["error"] <= 5).all()


def test_seeds_that_are_bad_for_all_conditions_are_missed(independent):
    """Where none of the five is bad (70 % each), what is left lies above more often than not."""
    at = {"rule": "sometimes", "combined": "conditions, bad seeds"}
    value, error = share(independent, "wrongly_for", **at)
    assert value == pytest.approx(100 * (1 - calibration.BAD) ** 5, abs=4 * error) and value > 5


def test_a_claim_about_sometimes_goes_through_its_rule():
    numbers = calibration.MARGIN + np.array([[1.0] * 5] * 3 + [[-1.0] * 5] * 17)
    assert calibration.on_claim("sometimes", numbers) == HOLDS
    assert calibration.on_claim("sometimes", numbers[3:]) == FAILS
    assert calibration.on_claim("ordering", numbers) == MIXED


def test_what_conditions_share_leaves_medians_on_the_limit():
    mirrored = calibration.mirrored(np.random.default_rng(0).normal(size=(3, 6, 5)))
    assert np.allclose(mirrored[:, ::2] + mirrored[:, 1::2], 2 * calibration.MARGIN)
    assert np.unique(mirrored).size == 3 * 6 * 5
    bad = calibration.with_bad_seeds(np.random.default_rng(0), 2000, 20, 5) < calibration.MARGIN
    assert bad.mean() == pytest.approx(0.5, abs=0.01)
    assert bad.all(axis=1).mean() == pytest.approx(calibration.BAD, abs=0.02)


def test_what_was_added_changed_nothing_that_was_there(table, monkeypatch):
    """The rows before there were claims whose conditions differ: the same random numbers."""
    for added in ("of_several", "on_the_limit"):
        monkeypatch.setattr(calibration, added, lambda *args: [])
    before = calibration.measure(SETTINGS, {})
    assert len(before) < len(table) and before["clear"].isna().all()
    keys = ["rule", "shape", "distance", "combined", "count", "clear", "quantity"]
    both = table.merge(before, on=[*keys, "seed", "seeds", "shared"], suffixes=("", "_before"))
    assert len(both) == len(before)
    assert (both["value"] == both["value_before"]).all()
    assert (both["error"] == both["error_before"]).all()


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
    assert len(figure.axes) == 2 and set(data["seeds"]) == {5}
    wrong = data[data["quantity"] != "undecided"]["value"].max()
    assert f"{wrong:.1f} % of claims of several" in finding(figure)


def test_a_line_reaches_from_the_best_rule_to_the_worst_and_a_maximum_says_its_case(table):
    one = table[table["rule"] == "ordering"]
    other = one.assign(rule="existence", value=one["value"] / 2)
    rows = pd.concat([one, one.assign(rule="value"), other], ignore_index=True)
    on = (rows["combined"] == "parts") & (rows["count"] == 4) & (rows["distance"] == "on")
    rows.loc[on & (rows["quantity"] == "wrongly_for") & (rows["rule"] != "existence"), "value"] = 77
    rows.loc[on & (rows["quantity"] != "undecided") & (rows["rule"] == "existence"), "value"] = 33
    with style.context():
        figure, _ = exhibit.calibration(rows)
    lines = [list(line.get_xdata()) for line in figure.axes[0].get_lines()]
    assert [33, 77] in lines and [77] in lines
    assert "77.0 % of claims of several conditions or parts that lie alike (4 parts)" in finding(
        figure
    )


def test_the_table_shows_the_worst_of_both_sides(table):
    shown = exhibit.calibration_table(table, {})
    assert "luck decides at most" in finding(shown)
    single, several, sometimes = shown.bodies
    rules = [rule for row in single.rows for rule in row.heads[0].split(", ")]
    assert sorted(rules) == sorted(calibration.different_rules())
    shown_values = [tuple(cell.value for cell in row.cells) for row in single.rows]
    assert len(set(shown_values)) == len(shown_values)  # equal rules share a row
    assert [row.heads[0] for row in several.rows] == [
        "20 conditions", "200 conditions", "200 conditions, bad seeds", "20 conditions, each twice",
        "20 conditions, half mirrored", "4 conditions, 1 of them clear",
        "4 conditions, 2 of them clear",
        *(f"226 conditions, {clear} of them clear" for clear in range(20, 26)),
        "20 conditions, some dropped", "4 parts", "20 parts",
    ]  # fmt: skip
    assert [row.heads[0] for row in sometimes.rows] == [
        "20 conditions", "200 conditions", "200 conditions, bad seeds",
        "20 conditions, half mirrored",
    ]  # fmt: skip
    on_the_limit = single.rows[0].cells[0]
    rows = table[(table["rule"] == "ordering") & (table["distance"] == "on")]
    rows = rows[(rows["combined"] == "conditions") & (rows["count"] == 1)]
    rows = rows[rows["quantity"] != "undecided"]
    assert on_the_limit.value == rows["value"].max() > 0 and on_the_limit.n == 5
    assert json.dumps(tables.as_json(shown), allow_nan=False)


def test_a_note_lists_all_that_stays_above_the_promise(table):
    quiet = table.assign(value=table["value"].clip(upper=5), error=0.1)
    assert exhibit.calibration_table(quiet, {}).notes == [
        "Wrong on the limit in more than 5 %: none.",
        "Wrong elsewhere in more than 5 %: none.",
    ]
    rows = (quiet["quantity"] == "wrongly_for") & (quiet["count"] == 20)
    planted = {("sometimes", "on"): 7.4, ("value", "inside"): 5.3, ("trend", "on"): 5.1}
    for (rule, distance), value in planted.items():
        at = rows & (quiet["rule"] == rule) & (quiet["distance"] == distance)
        at &= quiet["combined"].isin(["conditions", "conditions, half mirrored"])
        quiet.loc[at, "value"] = value
    on, off = exhibit.calibration_table(quiet, {}).notes
    assert on == (
        "Wrong on the limit in more than 5 %: A claim about what happens sometimes: "
        "20 conditions (7.4 %, 5 seeds); 20 conditions, half mirrored (7.4 %, 5 seeds)."
    )
    assert off == (
        "Wrong elsewhere in more than 5 %: A claim of several, any of the rules that depend on "
        "chance: 20 conditions (5.3 %, 5 seeds)."
    )


def test_clear_is_what_the_intervals_promise():
    assert calibration.effects("trend", 11)["clear"] == pytest.approx(
        calibration.SPREAD * intervals.decided_distance(11)
    )
