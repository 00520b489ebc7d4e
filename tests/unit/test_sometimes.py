import itertools
import math
import random

import pytest
from scipy.stats import binom

from finicky.evidence import rules
from finicky.evidence.rules import NOT_REPRODUCED as NO
from finicky.evidence.rules import REPRODUCED as YES
from finicky.evidence.rules import UNDECIDED as OPEN
from finicky.evidence.sometimes import at_least, false_hold, sometimes

NAN, INF = math.nan, math.inf


def condition(signs, first=0):
    """+ above the limit 0, - below it, 0 on it, ? unknown; one value a seed."""
    values = {"+": 1.0, "-": -1.0, "0": 0.0, "?": NAN}
    return {seed: values[sign] for seed, sign in enumerate(signs, first)}


def judge(*patterns):
    return sometimes([condition(pattern) for pattern in patterns], 0.0)


def test_a_false_condition_holds_as_seldom_as_the_interval_errs():
    assert false_hold(4) == 0
    assert false_hold(5) == 1 / 32
    assert false_hold(8) == 9 / 256
    assert false_hold(11) == pytest.approx(binom.sf(8, 11, 0.5))


def test_how_many_of_independent_events_happen():
    assert at_least(()) == [1, 0]
    equal = at_least((1 / 32,) * 226)
    assert equal[:227] == pytest.approx([binom.sf(n - 1, 226, 1 / 32) for n in range(227)])
    chances = [0.1, 0.5, 0.9]
    by_hand = [0.0] * 5
    for happened in itertools.product((0, 1), repeat=3):
        chance = math.prod(c if one else 1 - c for c, one in zip(chances, happened, strict=True))
        for number in range(sum(happened) + 1):
            by_hand[number] += chance
    assert at_least(tuple(chances)) == pytest.approx(by_hand)


def test_many_holding_conditions_are_no_luck():
    found = judge(*["+++++"] * 6, *["-----"] * 30, *["--+-+"] * 4)
    assert (found.verdict, found.conditions) == (YES, 40)
    assert (found.hold, found.fail, found.undecided) == (6, 30, 4)
    assert found.luck == pytest.approx(binom.sf(5, 40, 1 / 32))
    assert found.flips == 1 / 32
    assert binom.sf(found.need - 1, 40, 1 / 32) <= 0.05 < binom.sf(found.need - 2, 40, 1 / 32)


def test_too_few_holding_conditions_are_luck():
    found = judge(*["+++++"] * 3, *["-----"] * 37)
    assert found.luck > 0.05
    assert (found.verdict, found.need) == (OPEN, 4)


def test_another_pattern_as_frequent_makes_it_luck():
    """With the sign of one seed changed as many conditions hold: that seed does it."""
    found = judge(*["+++++"] * 6, *["++-++"] * 6, *["-----"] * 8)
    assert found.luck < 0.05
    assert (found.flips, found.verdict) == (2 / 32, OPEN)


def test_that_the_opposite_is_more_frequent_does_not_count():
    assert judge(*["+++++"] * 4, *["-----"] * 20).verdict == YES


def test_flips_by_hand_with_eight_seeds():
    """Seven of eight seeds suffice: a condition with all above also holds in 8 other flips."""
    found = judge(*["++++++++"] * 3)
    assert found.flips == 9 / 256
    found = judge("+++++++-", "++++++-+", "+++++-++")
    # all three hold: as they are, or with the signs of one, two or three of these seeds changed
    assert found.hold == 3
    by_hand = 0
    for flip in itertools.product((1, -1), repeat=8):
        by_hand += all(
            sum(sign * (-1 if place == odd else 1) > 0 for place, sign in enumerate(flip)) >= 7
            for odd in (7, 6, 5)
        )
    assert found.flips == by_hand / 256


def test_where_nothing_holds_two_thirds_have_to_fail():
    assert judge(*["-----"] * 4, *["+----"] * 2).verdict == NO
    assert judge(*["-----"] * 3, *["+----"] * 2).verdict == OPEN
    assert judge(*["-----"] * 9, "+++++").verdict == OPEN


def test_no_conditions_and_too_few_seeds_decide_nothing():
    nothing = sometimes([], 0.0)
    assert (nothing.verdict, nothing.conditions, nothing.luck) == (OPEN, 0, 1)
    few = judge(*["++++"] * 20)
    assert (few.verdict, few.hold, few.need, few.flips) == (OPEN, 0, 1, 1)


def test_a_single_condition_may_be_enough():
    """Then sometimes is always: the rule is the sign test itself."""
    found = judge("+++++")
    assert (found.verdict, found.luck, found.flips, found.need) == (YES, 1 / 32, 1 / 32, 1)


def test_values_on_the_limit_or_unknown_are_on_neither_side():
    assert judge("++++0", "++++?", "----0", "----?").undecided == 4


@pytest.mark.parametrize("seed", range(5))
def test_conditions_are_decided_as_by_the_rule_ordering(seed):
    rng = random.Random(seed)
    limit = 0.5
    conditions = [
        {s: rng.choice([rng.gauss(0.5, 1), 0.5, INF, -INF, NAN, 2, -2]) for s in range(n)}
        for n in rng.choices([4, 5, 6, 8, 11], k=40)
    ]
    conditions += [{s: 2.0 + s for s in range(8)}, {s: -2.0 - s for s in range(8)}]
    found = sometimes(conditions, limit)
    verdicts = [rules.decide("ordering", list(c.values()), limit)[0] for c in conditions]
    assert (found.hold, found.fail) == (verdicts.count(YES), verdicts.count(NO))
    assert found.hold and found.fail


def test_only_what_happens_in_common_is_flipped_together():
    """Conditions with seeds of their own cannot be lucky together."""
    apart = [condition("+++++", first=5 * place) for place in range(2)]
    assert sometimes(apart, 0.0).flips == 1 / 1024
    together = [condition("+++++") for _ in range(2)]
    assert sometimes(together, 0.0).flips == 1 / 32


def test_with_many_seeds_flips_are_drawn_the_same_each_time():
    rng = random.Random(0)
    conditions = [{seed: rng.gauss(0.4, 1) for seed in range(20)} for _ in range(30)]
    first = sometimes(conditions, 0.0)
    assert 0 < first.flips < 0.05 and first.hold
    rng.shuffle(conditions)
    assert sometimes(conditions, 0.0) == first


def test_a_limit_is_finite():
    with pytest.raises(ValueError, match="the limit is nan"):
        sometimes([], NAN)


@pytest.mark.parametrize(
    "shared, mirrored", [(0.0, False), (0.3, False), (0.9, False), (0.9, True)]
)
def test_it_errs_seldom_where_the_claim_is_true_nowhere(shared, mirrored):
    """All conditions lie on the limit. Of 300 trials, 15 are 5 % and 22 are few enough for it; in
    mirrored conditions 2 of 32 may err, for which 29 are."""
    rng = random.Random(1)
    wrong = 0
    for _ in range(300):
        common = [math.sqrt(shared) * rng.gauss(0, 1) for _ in range(5)]
        conditions = [
            {
                seed: (-1 if mirrored and place % 2 else 1) * common[seed]
                + math.sqrt(1 - shared) * rng.gauss(0, 1)
                for seed in range(5)
            }
            for place in range(40)
        ]
        wrong += sometimes(conditions, 0.0).verdict == YES
    assert wrong <= (29 if mirrored else 22)


def test_it_finds_what_is_true_somewhere():
    """Five conditions of forty lie four standard deviations above the limit, the rest below."""
    rng = random.Random(2)
    found = 0
    for _ in range(20):
        common = [0.5 * rng.gauss(0, 1) for _ in range(5)]
        conditions = [
            {seed: (4 if place < 5 else -4) + common[seed] + rng.gauss(0, 1) for seed in range(5)}
            for place in range(40)
        ]
        found += sometimes(conditions, 0.0).verdict == YES
    assert found >= 18
