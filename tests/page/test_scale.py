"""The common scale of all claims: margins, and what surprises on it."""

import math

import pytest

from finicky.evidence import rules
from finicky.page import overview, scale

PART = {
    "name": "p", "chapter": 92, "measured": 94.5, "ci_low": 94, "ci_high": 95, "n": 5, "margin": 2,
    "verdict": "not reproduced",
}  # fmt: skip


def entry(rule, *records, **of):
    """A claim of one part with conditions that are (verdict, low, high)."""
    found = [
        {"part": "p", "verdict": verdict, "n": 5, "ci_low": low, "ci_high": high, "trains": None}
        for verdict, low, high in records
    ]
    return {"rule": rule, "parts": [PART | of], "conditions": found}


def test_every_rule_has_a_kind_and_every_kind_a_title():
    assert set(scale.KIND_OF) == set(rules.KINDS)
    assert set(scale.TITLES) == set(scale.KIND_OF.values())


def test_a_number_is_counted_in_margins_from_the_chapters():
    own = scale.of("value", PART)
    assert own.at(94) == 1 and own.at(90) == -1 and own.at(None) is None
    assert own.missed(93, 93.5) == 0 and own.missed(95, 99) == 0.5 and own.missed(80, 86) == 2


@pytest.mark.parametrize(
    ("rule", "holds", "fails"),
    [("ordering", 2.1, 1.9), ("sometimes", 2.1, 1.9), ("noninferiority", -1.9, -2.1)],
)
def test_a_comparison_starts_at_no_difference(rule, holds, fails):
    """What the judge calls reproduced and not reproduced lies on either side of the zone's end."""
    own = scale.of(rule, PART)
    assert own.at(0) == 0
    for value, verdict in (holds, rules.REPRODUCED), (fails, rules.NOT_REPRODUCED):
        assert rules.RULES[rule].decide(value, value, 2, 0) == verdict
        assert (own.missed(value, value) == 0) == (verdict == rules.REPRODUCED)


def test_without_a_margin_half_the_interval_is_the_unit():
    own = scale.of("trend", PART | {"margin": None})
    assert own.at(0.5) == 1 and own.low == 0
    assert scale.of("trend", PART | {"margin": None, "ci_low": None}) is None
    assert scale.of("ordering", PART | {"margin": 0}).low == 0


def test_how_often_something_happens_is_counted_from_half_of_the_runs():
    assert [scale.of("existence", PART).at(share) for share in (0, 0.5, 1)] == [-1, 0, 1]


def test_what_passes_or_fails_has_no_place():
    assert all(scale.of(rule, PART) is None for rule in ("identity", "construction", "source"))


def test_surprise_grows_with_distance_and_with_the_share_of_the_domain():
    near, far = ("not reproduced", 94, 94.5), ("not reproduced", 98, 99)
    holds = ("reproduced", 91, 92)
    one = scale.surprise(entry("value", near, holds))
    assert one == 0  # exactly on the margin
    assert scale.surprise(entry("value", far, holds)) == pytest.approx(2 / 3 / 3)
    assert scale.surprise(entry("value", far, far)) == pytest.approx(4 / 3 / 3)
    assert scale.surprise(entry("value", *[far] * 10)) == pytest.approx(20 / 3 / 11)


def test_a_counterexample_and_a_run_without_are_one_margin_off():
    failed = entry("construction", measured=0.0, ci_low=None, ci_high=None)
    assert scale.surprise(failed) == pytest.approx(0.5 / 2)
    never = entry("existence", measured=0.0, ci_low=0, ci_high=0.45)
    assert scale.surprise(never) == pytest.approx(5 * 0.5 / 6)
    once = entry("existence", measured=0.2, ci_low=0, ci_high=0.45)
    assert scale.surprise(once) == pytest.approx(4 * 0.5 / 6)


def test_what_holds_or_is_open_surprises_nobody():
    assert scale.surprise(entry("value", ("reproduced", 98, 99), ("undecided", 98, 99))) == 0


def test_places_keep_the_order_of_margins_and_stay_on_the_drawing():
    margins = [-1e9, -100, -10, -1, 0, 1, 10, 100, math.inf]
    places = [overview.place(one) for one in margins]
    assert places == sorted(places) and places[0] == overview.LEFT and places[-1] == overview.RIGHT
    assert places[4] == (overview.LEFT + overview.RIGHT) / 2 and overview.place(None) is None
