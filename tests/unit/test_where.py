import itertools
import random

import pytest

from finicky.evidence.rules import NOT_REPRODUCED as NO
from finicky.evidence.rules import REPRODUCED as YES
from finicky.evidence.rules import UNDECIDED as OPEN
from finicky.evidence.where import AT_LEAST, AT_MOST, IN, NOT_IN, AxisTest, Tally, where

GRID = {
    "block": ["plain", "residual", "batch_norm"],
    "optimizer": ["sgd", "adam", "rmsprop", "momentum"],
    "activation": ["relu", "tanh", "sigmoid", "selu", "identity"],
    "depth": [2, 6, 10, 20],
}
PLAIN = AxisTest("block", IN, ("plain",))
NORMLESS = AxisTest("block", NOT_IN, ("batch_norm",))
SGD = AxisTest("optimizer", IN, ("sgd",))
DEEP = AxisTest("depth", AT_LEAST, (10,))
SHALLOW = AxisTest("depth", AT_MOST, (6,))
UNSATURATED = AxisTest("activation", NOT_IN, ("sigmoid", "tanh"))
# Which description is planted: (clauses, exceptions)
PLANTED = {
    "a level": (((PLAIN,),), False),
    "all but two levels": (((UNSATURATED,),), False),
    "from a level on": (((DEEP,),), False),
    "up to a level": (((SHALLOW,),), False),
    "between": (((AxisTest("depth", AT_LEAST, (6,)), AxisTest("depth", AT_MOST, (10,))),), False),
    "two tests": (((PLAIN, DEEP),), False),
    "three tests": (((NORMLESS, UNSATURATED, DEEP),), False),
    "three tests, a level between others": (
        ((NORMLESS, UNSATURATED, AxisTest("depth", IN, (6,))),),
        False,
    ),
    "one of two clauses": (((PLAIN, DEEP), (SGD,)), False),
    "a clause on an earlier axis": (((UNSATURATED, DEEP), (PLAIN,)), False),
    "everywhere but there": (((PLAIN, DEEP),), True),
    "everywhere but in two places": (((PLAIN, DEEP), (SGD,)), True),
}


def full(grid):
    return [dict(zip(grid, levels, strict=True)) for levels in itertools.product(*grid.values())]


def planted(conditions, rule):
    clauses, exceptions = rule
    passes = [
        any(all(test.passes(condition) for test in clause) for clause in clauses)
        for condition in conditions
    ]
    return [YES if passed != exceptions else NO for passed in passes]


def with_noise(verdicts, places, rng):
    flipped = set(rng.sample(range(len(verdicts)), places))
    return [
        (NO if verdict == YES else YES) if place in flipped else verdict
        for place, verdict in enumerate(verdicts)
    ]


def same_rule(found, rule):
    clauses, exceptions = rule
    assert found.exceptions == exceptions
    assert {frozenset(clause) for clause in found.clauses} == set(map(frozenset, clauses))


@pytest.mark.parametrize("rule", PLANTED.values(), ids=PLANTED)
def test_a_planted_rule_is_found_word_for_word(rule):
    conditions = full(GRID)
    found = where(conditions, planted(conditions, rule))
    same_rule(found, rule)
    assert (found.right, found.of) == (240, 240)
    assert found.explains and found.beyond_luck


@pytest.mark.parametrize("rule", PLANTED.values(), ids=PLANTED)
def test_a_planted_rule_is_found_on_an_unbalanced_grid_with_noise_and_gaps(rule):
    rng = random.Random(5)
    conditions = [
        condition
        for condition in full(GRID)
        if condition["optimizer"] in ("sgd", "adam") or rng.random() < 0.5
    ]
    truth = planted(conditions, rule)
    verdicts = with_noise(truth, round(0.05 * len(truth)), rng)
    for place in rng.sample(range(len(truth)), 20):
        verdicts[place] = OPEN
    found = where(conditions, verdicts)
    assert [found.covers(condition) for condition in conditions] == [v == YES for v in truth]
    # Where it seldom holds, more than a third of what holds is noise.
    rare = 5 * truth.count(YES) < len(truth)
    assert rare or (found.explains and found.beyond_luck)
    assert found.of == len(conditions) - 20
    assert found.inside.undecided + found.outside.undecided == 20


def test_what_is_inside_and_outside_is_counted():
    conditions = [{"block": block, "run": run} for block in ("plain", "other") for run in "abcdef"]
    verdicts = [YES, YES, YES, YES, YES, OPEN, NO, NO, NO, NO, YES, OPEN]
    found = where(conditions, verdicts)
    assert found.clauses == ((PLAIN,),)
    assert (found.inside, found.outside) == (Tally(5, 0, 1), Tally(1, 4, 1))
    assert (found.right, found.of, found.tests) == (9, 10, 1)


def test_undecided_conditions_are_no_mistakes_but_are_left_outside():
    conditions = [{"images": images} for images in (100, 300, 1000, 3000, 10000)]
    found = where(conditions, [NO, OPEN, YES, YES, YES])
    assert found.clauses == ((AxisTest("images", AT_LEAST, (1000,)),),)
    assert (found.inside, found.outside) == (Tally(3, 0, 0), Tally(0, 1, 1))


def test_a_single_level_of_an_ordered_axis_is_named():
    conditions = [{"width": width, "run": run} for width in (16, 128) for run in "abcd"]
    found = where(conditions, [NO] * 4 + [YES] * 4)
    assert found.clauses == ((AxisTest("width", IN, (128,)),),)


def test_a_level_between_others_takes_one_test():
    conditions = [{"depth": depth, "run": run} for depth in (2, 6, 10) for run in "abc"]
    found = where(conditions, [NO] * 3 + [YES] * 3 + [NO] * 3)
    assert (found.clauses, found.tests) == (((AxisTest("depth", IN, (6,)),),), 1)


def test_of_equal_rules_the_one_that_leaves_undecided_conditions_outside_is_given():
    conditions = [{"a": "x", "b": "x"}] * 3 + [{"a": "y", "b": "y"}] * 3 + [{"a": "x", "b": "y"}]
    found = where(conditions, [YES] * 3 + [NO] * 3 + [OPEN])
    assert found.clauses == ((AxisTest("b", IN, ("x",)),),)


def test_of_equal_rules_the_one_that_names_fewer_levels_is_given():
    conditions = [{"a": a, "b": "x" if a in "pq" else b} for a in "pqrs" for b in "yz"]
    assert where(conditions, [YES] * 4 + [NO] * 4).clauses == ((AxisTest("b", IN, ("x",)),),)


def test_scattered_levels_of_an_ordered_axis_are_no_rule():
    depths = [6, 10, 20, 32, 44, 56]
    conditions = [{"depth": depth, "run": run} for depth in depths for run in range(3)]
    verdicts = [YES if condition["depth"] in (10, 32, 56) else NO for condition in conditions]
    assert not where(conditions, verdicts).explains


def test_a_numeric_axis_with_a_word_is_not_ordered():
    conditions = [{"rate": rate, "run": run} for rate in (0.1, "best", True) for run in "abc"]
    found = where(conditions, [YES] * 3 + [NO] * 6)
    assert found.clauses == ((AxisTest("rate", IN, (0.1,)),),)


# ---- Aliases ------------------------------------------------------------------------------------


def test_an_alias_is_dropped_and_named():
    rates = {"sgd": 0.01, "adam": 0.001, "rmsprop": 0.001, "momentum": 0.01}
    conditions = [
        {
            **condition,
            "learning_rate": rates[condition["optimizer"]],
            "rate": condition["optimizer"],
        }
        for condition in full(GRID)
    ]
    found = where(conditions, planted(conditions, (((SGD,),), False)))
    assert found.clauses == ((SGD,),)
    assert found.dropped == (("learning_rate", "optimizer"), ("rate", "optimizer"))
    axes = ["rate", "depth", "optimizer"]
    found = where(conditions, planted(conditions, (((SGD,),), False)), axes)
    assert found.clauses == ((AxisTest("rate", IN, ("sgd",)),),)
    assert found.dropped == (("optimizer", "rate"),)


def test_a_finer_axis_does_not_replace_the_one_that_is_preferred():
    rates = {"sgd": [0.1, 0.01], "adam": [0.001, 0.0001]}
    conditions = [
        {"optimizer": optimizer, "rate": rate, "run": run}
        for optimizer, several in rates.items()
        for rate in several
        for run in "abc"
    ]
    found = where(conditions, [YES] * 6 + [NO] * 6)
    assert found.clauses == ((SGD,),)
    assert found.dropped == ()


def test_an_axis_that_numbers_the_conditions_drops_no_other():
    conditions = [{"number": str(n), **condition} for n, condition in enumerate(full(GRID))]
    found = where(conditions, planted(conditions, (((SGD,),), False)))
    assert found.clauses == ((SGD,),)
    assert found.dropped == ()


def test_an_axis_with_one_level_is_no_axis():
    conditions = [{"dataset": "mnist", "block": block} for block in ("plain", "residual")]
    found = where(conditions, [YES, NO])
    assert found.clauses == ((PLAIN,),)
    assert found.dropped == ()


def test_axes_may_be_missing():
    conditions = [{"block": "plain"}] * 5 + [{"block": "residual", "noise": "mini-batch"}] * 2
    conditions += [{"block": "plain", "noise": noise} for noise in ("mini-batch", "none") * 3]
    verdicts = [NO] * 7 + [YES, NO] * 3
    found = where(conditions, verdicts)
    assert found.clauses == ((PLAIN, AxisTest("noise", IN, ("mini-batch",))),)
    assert (found.right, found.of) == (13, 13)
    # "not in" does not hold where there is no level
    assert not AxisTest("noise", NOT_IN, ("none",)).passes({"block": "plain"})


# ---- What is no explanation ---------------------------------------------------------------------


def test_no_conditions_and_nothing_decided():
    for conditions, verdicts in (
        ([], []),
        ([{"block": "plain"}], [OPEN]),
        ([{}, {}], [OPEN, OPEN]),
    ):
        found = where(conditions, verdicts)
        assert (found.clauses, found.exceptions, found.of) == ((), False, 0)
        assert (found.explains, found.luck) == (False, None)


def test_one_sided_maps_hold_everywhere_or_nowhere_which_explains_nothing():
    conditions = full(GRID)
    everywhere = where(conditions, [YES] * 200 + [OPEN] * 40)
    assert (everywhere.clauses, everywhere.exceptions) == ((), True)
    assert everywhere.inside == Tally(200, 0, 40)
    nowhere = where(conditions, [NO] * 240)
    assert (nowhere.clauses, nowhere.exceptions) == ((), False)
    assert (nowhere.right, nowhere.of) == (240, 240)
    assert not everywhere.explains and not nowhere.explains


@pytest.mark.parametrize("usual", [YES, NO])
def test_that_one_side_is_rare_explains_nothing(usual):
    conditions = full(GRID)
    rng = random.Random(1)
    found = where(conditions, with_noise([usual] * 240, 12, rng))
    assert found.right >= 228  # 95 % are told right by "everywhere" or "nowhere" alone
    assert not found.explains


@pytest.mark.parametrize("share", [0.5, 0.25])
def test_random_verdicts_are_not_explained(share):
    grid = {axis: GRID[axis] for axis in ("block", "optimizer", "depth")}
    conditions = full(grid)
    explained = 0
    for seed in range(20):
        rng = random.Random(seed)
        found = where(conditions, rng.choices([YES, NO], [share, 1 - share], k=len(conditions)))
        explained += found.explains
    assert explained <= 1


def test_few_conditions_are_explained_by_luck():
    """A list of levels is no rule, and one exception of three conditions can always be named."""
    several = [{"activation": name} for name in GRID["activation"]]
    listed = where(several, [YES, NO, NO, YES, NO])
    assert listed.clauses == ((AxisTest("activation", IN, ("relu", "selu")),),)
    assert (listed.explains, listed.luck, listed.beyond_luck) == (True, 1, False)
    corner = [{"a": "x", "b": "x"}, {"a": "x", "b": "y"}, {"a": "y", "b": "x"}]
    found = where(corner, [NO, YES, YES])
    assert (found.right, found.of, found.luck, found.explains) == (3, 3, 1, False)


def test_a_list_of_many_levels_is_no_description():
    numbers = [{"number": str(number)} for number in range(20)]
    found = where(numbers, [YES, NO] * 10)
    (test,) = found.clauses[0]
    assert len(test.levels) <= 4
    assert not found.explains
    found = where(numbers, [YES] * 4 + [NO] * 16)
    assert found.clauses == ((AxisTest("number", IN, ("0", "1", "2", "3")),),)
    found = where(numbers, [YES] * 17 + [NO] * 3)
    assert found.clauses == ((AxisTest("number", NOT_IN, ("17", "18", "19")),),)


def test_luck_is_the_share_of_all_ways_to_hand_out_the_verdicts():
    """Of the 126 ways to choose 4 of 3 x 3 fields, 9 are two rows by two columns."""
    conditions = full({"row": "abc", "column": "abc"})
    verdicts = planted(
        conditions, (((AxisTest("row", NOT_IN, "a"), AxisTest("column", NOT_IN, "b")),), False)
    )
    assert where(conditions, verdicts).luck == pytest.approx(9 / 126)


def test_random_ways_to_hand_out_the_verdicts_count_the_given_one():
    conditions = full({"block": ["plain", "other"], "depth": [2, 10], "activation": list("abcdef")})
    tests = (PLAIN, AxisTest("depth", IN, (10,)), AxisTest("activation", NOT_IN, ("e", "f")))
    found = where(conditions, planted(conditions, ((tests,), False)))
    same_rule(found, ((tests,), False))
    assert found.luck == pytest.approx(2 / 201)  # one of the 200 is as good


def test_a_further_test_has_to_pay():
    """Where one test is enough, one exception of forty is no second test; all of a kind are."""
    conditions = full({"block": ["plain", "residual"], "run": list("abcdefghij"), "depth": [2, 6]})
    verdicts = planted(conditions, (((PLAIN,),), False))
    verdicts[0] = NO
    found = where(conditions, verdicts)
    assert found.clauses == ((PLAIN,),)
    assert (found.right, found.of) == (39, 40)
    verdicts[1] = NO
    found = where(conditions, verdicts)
    assert found.clauses == ((PLAIN, AxisTest("run", NOT_IN, ("a",))),)
    assert (found.right, found.of) == (40, 40)


def test_one_verdict_a_condition():
    with pytest.raises(ValueError, match="1 conditions, but 2 verdicts"):
        where([{"block": "plain"}], [YES, NO])


# ---- The search ---------------------------------------------------------------------------------


def test_the_order_of_the_conditions_does_not_matter():
    grid = {axis: GRID[axis] for axis in ("block", "depth")} | {"normalised": [False, True]}
    rng = random.Random(3)
    conditions = full(grid)
    truth = planted(conditions, (((PLAIN, DEEP),), True))
    pairs = list(zip(conditions, with_noise(truth, 2, rng), strict=True))
    first = where(*zip(*pairs, strict=True))
    assert 0.01 < first.luck < 1  # from shuffles
    for _ in range(5):
        rng.shuffle(pairs)
        assert where(*zip(*pairs, strict=True), axes=list(grid)) == first


def fewest_mistakes(conditions, verdicts, most):
    """By brute force: every rule of at most so many tests."""
    axes = list(dict.fromkeys(axis for condition in conditions for axis in condition))
    picks = {1: set(), 2: set()}
    for axis in axes:
        levels = sorted({condition[axis] for condition in conditions if axis in condition})
        runs = itertools.combinations(range(len(levels) + 1), 2)
        if isinstance(levels[0], str):
            sets = [(1, some) for n in range(1, 5) for some in itertools.combinations(levels, n)]
        else:
            inner = [(i, j) for i, j in runs if j - i < len(levels)]
            sets = [(1 if i == 0 or j == len(levels) or j == i + 1 else 2, levels[i:j])
                    for i, j in inner]  # fmt: skip
        for tests, some in sets:
            picks[tests].add(tuple(condition.get(axis) in some for condition in conditions))
    conjunctions = {1: picks[1], 2: picks[2] | both(picks[1], picks[1], min)}
    conjunctions[3] = both(conjunctions[2], picks[1], min)
    rules = set(conjunctions[1])
    if most >= 2:
        rules |= conjunctions[2] | both(conjunctions[1], conjunctions[1], max)
    if most >= 3:
        rules |= conjunctions[3] | both(conjunctions[2], conjunctions[1], max)
    wrong = [
        sum(v != OPEN and (v == YES) != p for v, p in zip(verdicts, rule, strict=True))
        for rule in rules
    ]
    decided = sum(verdict != OPEN for verdict in verdicts)
    return min(*wrong, *(decided - mistakes for mistakes in wrong))


def both(one, other, by):
    return {tuple(map(by, a, b)) for a, b in itertools.product(one, other)}


@pytest.mark.parametrize("seed", range(12))
def test_the_search_finds_what_brute_force_finds(seed):
    rng = random.Random(seed)
    conditions = [
        {"kind": rng.choice("abc"), "size": rng.choice([1, 2, 3, 4]), "colour": rng.choice("rgb")}
        for _ in range(14)
    ]
    if seed % 2:
        for condition in rng.sample(conditions, 4):
            del condition["colour"]
    verdicts = rng.choices([YES, NO, OPEN], [2, 2, 1], k=14)
    found = where(conditions, verdicts)
    if found.tests:
        assert found.of - found.right == fewest_mistakes(conditions, verdicts, found.tests)
    told = [found.covers(condition) for condition in conditions]
    assert sum(told) == found.inside.hold + found.inside.fail + found.inside.undecided
    right = [(v == YES) == t for v, t in zip(verdicts, told, strict=True) if v != OPEN]
    assert sum(right) == found.right
