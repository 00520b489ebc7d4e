from pathlib import Path

import pytest

from finicky import declarations
from finicky.evidence import ledger, places
from finicky.evidence.where import AT_LEAST, AT_MOST, IN, NOT_IN, AxisTest, Tally, Where

ROOT = Path(__file__).parents[2]
PLAIN = AxisTest("block", IN, ("plain",))
PLAIN_ONLY = AxisTest("block", NOT_IN, ("plain",))
NORMLESS = AxisTest("block", NOT_IN, ("batch_norm",))
SGD = AxisTest("optimizer", IN, ("sgd",))
MNIST = AxisTest("dataset", IN, ("mnist",))
DEEP = AxisTest("depth", AT_LEAST, (10,))
SHALLOW = AxisTest("depth", AT_MOST, (6,))
LATE = AxisTest("activation", NOT_IN, ("sigmoid",))
UNSATURATED = AxisTest("activation", NOT_IN, ("tanh", "sigmoid"))
NOTHING = Tally(0, 0, 0)


def found(clauses, exceptions=False, inside=NOTHING, outside=NOTHING, explains=True, luck=0.0):
    return Where(clauses, exceptions, 9, 10, inside, outside, luck, explains, ())


@pytest.mark.parametrize(
    "clauses, exceptions, said",
    [
        (((PLAIN, DEEP),), False, "in plain networks at depth 10 or more"),
        (((DEEP, PLAIN),), False, "in plain networks at depth 10 or more"),
        (((UNSATURATED,),), False, "everywhere but for tanh or sigmoid"),
        (((UNSATURATED,),), True, "for tanh or sigmoid"),
        (((SGD, UNSATURATED),), False, "with SGD, but not for tanh or sigmoid"),
        (((NORMLESS, LATE),), False, "everywhere but in batch-norm networks or for sigmoid"),
        (((PLAIN, DEEP), (SGD,)), True,
         "everywhere but in plain networks at depth 10 or more, or with SGD"),
        (((PLAIN_ONLY,),), True, "in plain networks"),
        (((MNIST, SHALLOW), (PLAIN_ONLY,)), True,
         "in plain networks, but not at depth 6 or less on MNIST"),
        (((MNIST, SHALLOW), (PLAIN_ONLY,)), False,
         "everywhere but in plain networks, but not at depth 6 or less on MNIST"),
        (((PLAIN_ONLY, LATE),), True, "in plain networks or for sigmoid"),
        (((PLAIN_ONLY,), (LATE,)), True, "in plain networks for sigmoid"),
        (((AxisTest("depth", AT_LEAST, (6,)), AxisTest("depth", AT_MOST, (20,))),), False,
         "at depth 6 to 20"),
        (((AxisTest("depth", IN, (6, 20)),),), False, "at depth 6 or 20"),
        (((AxisTest("remaining", AT_LEAST, (12.5,)),),), False,
         "with 12.5 % or more of the weights left"),
        (((AxisTest("init", IN, ("normal_std_0.001", "he")),),), False,
         "with He initialisation or weights of deviation 0.001"),
        (((AxisTest("activation", IN, ("identity", "relu")),),), False,
         "for ReLU or without an activation"),
        (((AxisTest("my_axis", IN, ("some_level",)),),), False, "for some level"),
        (((AxisTest("my_axis", AT_LEAST, (3,)),),), False, "at my axis 3 or more"),
        (((AxisTest("epochs", AT_MOST, (3,)),),), False, "with 3 or fewer epochs"),
        (((SGD, AxisTest("units", IN, (32,))),), False, "with SGD and 32 units"),
        ((), False, "nowhere"),
        ((), True, "everywhere"),
    ],
)  # fmt: skip
def test_a_place_is_said_in_plain_words(clauses, exceptions, said):
    assert places.where_words(found(clauses, exceptions)) == said


@pytest.mark.parametrize(
    "inside, outside, exceptions, said",
    [
        (Tally(6, 0, 0), Tally(0, 4, 0), False, "those with SGD"),
        (Tally(1, 0, 0), Tally(0, 4, 0), False, "the one with SGD"),
        (Tally(6, 0, 1), Tally(0, 4, 0), False, "all of them with SGD"),
        (Tally(6, 1, 0), Tally(0, 9, 0), False, "all of them with SGD"),
        (Tally(2, 0, 1), Tally(0, 4, 0), False, "both with SGD"),
        (Tally(6, 0, 0), Tally(1, 9, 0), False, "most of them with SGD"),
        (Tally(6, 0, 0), Tally(0, 4, 0), True, "namely all but those with SGD"),
        (Tally(6, 0, 1), Tally(0, 4, 0), True, "but in none with SGD"),
        (Tally(2, 0, 1), Tally(0, 4, 0), True, "neither with SGD"),
        (Tally(9, 0, 0), Tally(1, 9, 0), True, "but in only 1 of the 10 with SGD"),
    ],
)
def test_which_settings_says_no_more_than_is_true(inside, outside, exceptions, said):
    """Where some of a place are undecided or refuted, it does not hold "there" but only there."""
    assert places.which(found(((SGD,),), exceptions, inside, outside)) == said
    by_luck = found(((SGD,),), exceptions, inside, outside, luck=0.4)
    assert places.which(by_luck) == ("" if outside.hold else said)  # what knows exceptions


def test_a_place_left_out_is_not_told_where_most_of_the_rest_lies_elsewhere():
    """3 refuted at the place, 18 undecided elsewhere: "none there" would hide these."""
    assert places.which(found(((SGD,),), True, Tally(20, 0, 18), Tally(0, 3, 2))) == ""
    few = Tally(20, 0, 5), Tally(0, 3, 2)
    assert places.which(found(((SGD,),), True, *few)) == "but in none with SGD"
    some = Tally(9, 0, 3), Tally(0, 1, 1)
    assert places.which(found(((SGD,),), False, *some)) == "all of them with SGD"


def test_each_of_several_places_is_left_out_by_a_word_of_its_own():
    """`none with SGD, or at depth 10` would leave open whether both must be."""
    either = found(((SGD,), (DEEP,)), True, Tally(9, 0, 5), Tally(0, 3, 3))
    assert places.which(either) == "but in none with SGD, nor at depth 10 or more"
    assert places.where_words(either) == "everywhere but with SGD, or at depth 10 or more"


def test_a_rule_that_explains_nothing_says_nothing():
    assert places.which(found(((SGD,),), explains=False)) == ""
    assert not places.sharp(found(((SGD,),), explains=False))


def test_sharp_is_a_place_with_nothing_open_on_either_side():
    assert places.sharp(found(((SGD,),), False, Tally(3, 0, 0), Tally(0, 2, 0)))
    for inside, outside in (
        (Tally(3, 0, 1), Tally(0, 2, 0)),
        (Tally(3, 1, 0), Tally(0, 2, 0)),
        (Tally(3, 0, 0), Tally(0, 2, 1)),
        (Tally(3, 0, 0), Tally(1, 2, 0)),
    ):
        assert not places.sharp(found(((SGD,),), False, inside, outside))


def test_settings_name_what_was_varied():
    grid = [
        {"dataset": d, "images": i, "depth": n} for d, i in (("a", 1), ("b", 2)) for n in (2, 9)
    ]
    deep = [{"depth": n} for n in (2, 9, 20)]
    assert places.settings("3 of 4", grid) == "in 3 of 4 settings of depth and data set"
    assert places.settings("all 2", grid[:2]) == "for all 2 depths"
    assert places.settings("1 of 1", grid[:1]) == "in 1 of 1 settings"
    assert places.settings("2 of 3", deep, deep[:2]) == "for 2 of 3 depths, 2 and 9"
    assert places.settings("all 3", deep, deep) == "for all 3 depths"
    many = [dict(zip("vwxyz", bits, strict=True)) for bits in ("aaaaa", "babab", "abbba", "aabbb")]
    assert places.settings("none of 4", many).endswith("settings of v, w, x and more")


def test_every_condition_of_the_ledger_has_its_words():
    asked = {
        axis
        for one in ledger.load(ROOT / "config" / "claims.yaml")["claims"]
        for axis in one.get("conditions", [])
    }
    assert asked <= set(places.AXES), "axes without a noun and a phrase in places.AXES"


def test_no_level_stands_in_a_sentence_by_its_raw_name():
    for slug, experiment in declarations.experiments().items():
        for axis, levels in experiment.conditions.items():
            for level in levels if isinstance(levels, list) else []:
                said = places.where_words(found(((AxisTest(axis, IN, (level,)),),)))
                assert "_" not in said and "{" not in said, (slug, axis, level)
