"""What would turn a verdict, by hand."""

from types import SimpleNamespace

import pytest

from finicky.evidence import rules
from finicky.evidence.fragility import fragility

YES, NO, OPEN = rules.REPRODUCED, rules.NOT_REPRODUCED, rules.UNDECIDED
SOMETIMES = rules.UNDER_CONDITIONS


def part(intervals, name="gain", rule="ordering", **spec):
    """A part whose conditions have these intervals."""
    spec = {"name": name, "margin": 0.5} | spec
    kept = [
        SimpleNamespace(
            low=low,
            high=high,
            verdict=rules.RULES[rule].decide(low, high, spec["margin"], spec.get("number", 0)),
        )
        for low, high in intervals
    ]
    count = rules.combine_conditions([condition.verdict for condition in kept])
    return SimpleNamespace(spec=spec, rule=rule, kept=kept, count=count)


def found(*parts):
    return fragility(list(parts), rules.combine_parts)


def test_one_number_turns_with_its_margin_alone():
    of_one = found(part([(0.6, 0.9)]))
    assert of_one.conditions is None
    assert (of_one.above.margin, of_one.above.verdict) == (0.6, OPEN)
    assert of_one.above.factor == pytest.approx(1.2) and of_one.below is None
    assert of_one.fragile
    assert not found(part([(2.0, 3.0)])).fragile


def test_so_many_conditions_turn_a_count():
    # 4 of 20 hold, 2 are needed: three others make it "not reproduced"
    count = found(part([(1, 2)] * 4 + [(-2, 0)] * 16))
    assert (count.conditions, count.verdicts) == (3, [NO])
    # 2 of 4 hold, the others are undecided: one more is two thirds, one refuted is on either side
    either = found(part([(1, 2)] * 2 + [(0, 2)] * 2))
    assert (either.conditions, either.verdicts) == (1, [YES, SOMETIMES])
    hanging = found(part([(1, 2)] * 2 + [(-2, 0)] * 18))
    assert hanging.conditions == 1 and hanging.fragile


def test_a_margin_that_turns_enough_conditions():
    # of ten conditions two are needed on either side: at 0.9 the second to hold is lost
    of_ten = found(part([(1.5, 2), (0.9, 2)] + [(-1, 0)] * 8))
    assert (of_ten.above.margin, of_ten.above.verdict) == (0.9, NO)


def test_the_nearest_of_several_parts_is_named():
    both = found(part([(0.6, 1)], "near"), part([(5, 6)], "far"))
    assert both.above.part == "near"


def test_a_value_turns_on_both_sides():
    value = found(part([(97.6, 97.9)], rule="value", number=97.8, margin=0.4))
    assert value.below.margin == pytest.approx(0.2) and value.below.verdict == OPEN
    assert value.above is None
