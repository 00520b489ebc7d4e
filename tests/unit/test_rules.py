import math

import pytest

from finicky.evidence import rules
from finicky.evidence.rules import NOT_REPRODUCED as NO
from finicky.evidence.rules import REPRODUCED as YES
from finicky.evidence.rules import UNDECIDED as OPEN
from finicky.evidence.rules import UNDER_CONDITIONS as SOME
from finicky.evidence.rules import combine_conditions, combine_parts, decide
from finicky.evidence.words import rule_in_words

NAN, INF = math.nan, math.inf


def verdict(kind, values, margin=None, number=None):
    return decide(kind, values, margin, number)[0]


@pytest.mark.parametrize(
    "kind, values, margin, number, expected",
    [
        ("ordering", [0.6, 0.7, 0.8, 0.9, 1.0], 0.5, None, YES),
        ("ordering", [0.5, 0.7, 0.8, 0.9, 1.0], 0.5, None, OPEN),  # inequalities are strict
        ("ordering", [0.4, 0.3, 0.2, 0.1, -9.0], 0.5, None, NO),
        ("ordering", [0.4, 0.3, 0.2, 0.1, 0.5], 0.5, None, OPEN),
        ("ordering", [0.1, 0.2, 0.3, 0.4, 0.5], 0.0, None, YES),
        ("noninferiority", [-0.4, 0.0, 0.0, 0.0, 3.0], 0.5, None, YES),
        ("noninferiority", [-0.5, 0.0, 0.0, 0.0, 3.0], 0.5, None, OPEN),
        ("noninferiority", [-0.6, -0.7, -0.8, -0.9, -1.0], 0.5, None, NO),
        ("equivalence", [-0.9, -0.1, 0.0, 0.1, 0.9], 1.0, None, YES),
        ("equivalence", [-1.0, -0.1, 0.0, 0.1, 0.9], 1.0, None, OPEN),
        ("equivalence", [1.1, 1.2, 1.3, 1.4, 1.5], 1.0, None, NO),
        ("equivalence", [-1.1, -1.2, -1.3, -1.4, -1.5], 1.0, None, NO),
        ("value", [97.0, 97.5, 97.8, 98.0, 98.7], 1.0, 97.82, YES),
        ("value", [96.8, 97.5, 97.8, 98.0, 98.7], 1.0, 97.82, OPEN),
        ("value", [96.0, 96.1, 96.2, 96.3, 96.4], 1.0, 97.82, NO),
        ("value", [2.31, 2.32, INF, INF, INF], 0.001, 2.3026, NO),
        ("value", [2.3026, 2.3026, 2.3026, 2.3026, INF], 0.001, 2.3026, OPEN),
        ("scaling", [-1.05, -1.0, -1.0, -0.98, -0.95], 0.1, -1.0, YES),
        ("scaling", [-0.5, -0.5, -0.5, -0.5, -0.5], 0.1, -1.0, NO),
        ("existence", [1, 1, 1, 1, 1], None, None, YES),
        ("existence", [1, 1, 1, 1, 0], None, None, OPEN),
        ("existence", [0, 0, 0, 0, 0], None, None, NO),
        ("existence", [1] * 9 + [0] * 2, None, None, YES),
        ("existence", [1] * 8 + [0] * 3, None, None, OPEN),
        ("existence", [1, 1, 1, 1, NAN], None, None, OPEN),
        ("existence", [0, 0, 0, 0, NAN], None, None, OPEN),
        ("trend", [0.1, 0.2, 0.3, 0.4, 0.5], None, None, YES),
        ("trend", [0.0, 0.2, 0.3, 0.4, 0.5], None, None, OPEN),
        ("trend", [-0.1, -0.2, -0.3, -0.4, -0.5], None, None, NO),
        ("identity", [1e-15, 1e-12], 1e-12, None, YES),
        ("identity", [1e-15, 2e-12], 1e-12, None, NO),
        ("identity", [1e-15, NAN], 1e-12, None, NO),
        ("construction", [1, 1], None, None, YES),
        ("construction", [1, 0], None, None, NO),
        ("source", [1], None, None, YES),
        ("source", [0], None, None, NO),
        ("source", [NAN], None, None, OPEN),
    ],
)
def test_rules_decide_as_by_hand(kind, values, margin, number, expected):
    assert verdict(kind, values, margin, number) == expected


@pytest.mark.parametrize("kind", [kind for kind in rules.RULES if rules.RULES[kind].fewest > 1])
@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_fewer_than_five_seeds_decide_nothing(kind, n):
    assert verdict(kind, [1.0] * n, 0.5, 1.0) == OPEN


def test_eleven_seeds_decide_if_nine_agree():
    assert verdict("ordering", [1.0] * 9 + [-5.0] * 2, 0.5) == YES
    assert verdict("ordering", [1.0] * 8 + [-5.0] * 3, 0.5) == OPEN


def test_an_unknown_value_decides_only_what_it_cannot_change():
    assert verdict("ordering", [1.0] * 4 + [NAN], 0.5) == OPEN
    assert verdict("ordering", [1.0] * 10 + [NAN], 0.5) == YES
    assert verdict("value", [97.8] * 4 + [NAN], 1, 97.82) == OPEN


def test_decide_reports_what_it_looked_at():
    assert decide("ordering", [3.0, 1.0, 2.0, 5.0, 4.0], 0.5) == (YES, 3.0, 1.0, 5.0)
    _, share, low, high = decide("existence", [1, 1, 1, 0, 0])
    assert share == 0.6 and low < 0.5 < high
    assert decide("identity", [1e-15, 1e-14], 1e-12)[1] == 1e-14


@pytest.mark.parametrize(
    "total, need", [(1, 1), (4, 1), (5, 2), (20, 2), (21, 3), (50, 5), (200, 20)]
)
def test_need_keeps_stray_conditions_from_counting(total, need):
    def combined(hold, fail):
        return combine_conditions([YES] * hold + [NO] * fail + [OPEN] * (total - hold - fail))

    assert combined(total, 0).verdict == YES
    assert combined(0, total).verdict == NO
    assert combined(0, 0).verdict == OPEN
    if total > 1:
        assert combined(total - need, need).verdict == SOME
        assert combined(need, total - need).verdict == SOME
        assert combined(need, need).verdict == SOME
    if need > 1:
        assert combined(total - need + 1, need - 1).verdict == YES
        assert combined(need - 1, total - need + 1).verdict == NO
    count = combined(total, 0)
    assert (count.conditions, count.hold, count.fail, count.need) == (total, total, 0, need)


def test_two_thirds_are_exact():
    assert combine_conditions([YES] * 4 + [OPEN] * 2).verdict == YES
    assert combine_conditions([YES] * 3 + [OPEN] * 2).verdict == OPEN
    assert combine_conditions([NO] * 20 + [OPEN] * 10).verdict == NO
    assert combine_conditions([NO] * 19 + [OPEN] * 10).verdict == OPEN


def test_no_condition_left_is_undecided():
    assert combine_conditions([]).verdict == OPEN


@pytest.mark.parametrize(
    "parts, expected",
    [
        ([YES], YES),
        ([YES, YES], YES),
        ([YES, NO], SOME),
        ([YES, OPEN], OPEN),  # undecided in part: nothing is refuted
        ([YES, OPEN, NO], SOME),
        ([SOME], SOME),
        ([SOME, YES], SOME),
        ([SOME, NO], SOME),
        ([SOME, OPEN], SOME),
        ([NO], NO),
        ([NO, OPEN], NO),
        ([OPEN, OPEN], OPEN),
        ([], OPEN),
    ],
)
def test_parts_combine(parts, expected):
    assert combine_parts(parts) == expected


@pytest.mark.parametrize(
    "hold, fail, undecided, expected",
    [
        (1, 0, 19, OPEN),  # one of twenty may be luck
        (1, 19, 0, NO),
        (2, 18, 0, SOME),
        (0, 1, 19, OPEN),
        (0, 2, 18, NO),
        (1, 3, 0, SOME),  # of fewer than five every one counts
        (20, 0, 0, YES),
        (19, 1, 0, SOME),
    ],
)
def test_stray_parts_do_not_count(hold, fail, undecided, expected):
    assert combine_parts([YES] * hold + [NO] * fail + [OPEN] * undecided) == expected


@pytest.mark.parametrize(
    "kind, values, expected",
    [
        ("ordering", [1.0, 2.0, 3.0, 4.0, 5.0], 2.0365 * math.sqrt(2.5)),
        ("value", [3.0] * 5, 0.0),
        ("value", [3.0] * 4, NAN),
        ("value", [3.0] * 4 + [INF], NAN),
        ("existence", [1.0] * 5, 0.9 ** (1 / 5)),
        ("identity", [1e-16] * 5, 1 - 0.1 ** (1 / 5)),
        ("construction", [1.0], NAN),  # made once: it leaves nothing to chance
        ("source", [1.0], NAN),
    ],
)
def test_detectable_is_the_smallest_effect_that_the_seeds_decide(kind, values, expected):
    assert rules.RULES[kind].detectable(values) == pytest.approx(expected, rel=1e-4, nan_ok=True)


@pytest.mark.parametrize(
    "kind, margin, number, unit, words",
    [
        ("value", 1, 97.82, "%", "the whole interval lies within ±1 pp of 97.82 %"),
        ("value", 0.02, None, "nats", "the whole interval lies within ±0.02 nats of the chapter's number"),  # noqa: E501
        ("ordering", 0.5, None, "pp", "the whole interval lies above 0.5 pp"),
        ("ordering", 0, None, "pp", "the whole interval lies above 0 pp"),
        ("noninferiority", 0.5, None, "pp", "the whole interval lies above −0.5 pp"),
        ("equivalence", 1, None, "pp", "the whole interval lies within ±1 pp of no difference"),
        ("identity", 1e-12, None, "", "the largest relative error over random trials is at most 10⁻¹²"),  # noqa: E501
    ],
)  # fmt: skip
def test_rules_in_words(kind, margin, number, unit, words):
    assert rule_in_words(kind, margin, number, unit) == f"reproduced if {words}"


@pytest.mark.parametrize("kind", rules.KINDS)
def test_every_kind_has_words_before_its_margin_is_fixed(kind):
    words = rule_in_words(kind)
    assert "None" not in words and "{" not in words
