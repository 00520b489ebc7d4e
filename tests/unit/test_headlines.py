import json
import re
from pathlib import Path

import pytest

from finicky.errors import InputError
from finicky.evidence import headlines, ledger
from finicky.evidence.judge import where_record
from finicky.evidence.where import where

from .toy_claims import AHEAD, BEHIND, EQUAL, OPEN, claim, judged, part, rows

ROOT = Path(__file__).parents[2]
SAYS = {"says": "leaky ReLU is ahead"}
TEMPLATES = {
    "reproduced": "It is ahead in {hold} of {of} settings, by {lowest} to {highest}.",
    "reproduced under conditions": "It is ahead {settings}; the difference: {lowest} to {highest}.",
    "not reproduced": "It is not ahead: difference {measured} ({interval}), n = {n}.",
}


def mapped(*values, **keys):
    """The headline of a claim with one condition for each list of seeds' values, by depth."""
    spec = claim(part(**keys), conditions=["depth"], headline=TEMPLATES, **SAYS)
    record, _ = judged(spec, *(rows(v, depth=d) for d, v in enumerate(values, 1)))
    return record["headline"]


def test_other_data_give_other_words():
    assert mapped(AHEAD, AHEAD) == "It is ahead in 2 of 2 settings, by 1.2 to 1.2 points."
    assert mapped(*[AHEAD] * 6, *[BEHIND] * 6) == (
        "It is ahead only at depth 6 or less; the difference: −2.0 to 1.2 points."
    )
    turned = mapped(*[BEHIND] * 6, *[AHEAD] * 6)
    assert turned == "It is ahead only at depth 7 or more; the difference: −2.0 to 1.2 points."
    assert mapped(BEHIND, BEHIND).startswith("It is not ahead: difference −2.0 points (−3.0 to")


def test_undecided_says_why():
    assert mapped(OPEN) == (
        "Undecided whether leaky ReLU is ahead: the interval lies on both sides of the limit."
    )


def test_a_place_that_nothing_explains_is_counted():
    mixed = [AHEAD, BEHIND] * 8
    assert mapped(*mixed).startswith("It is ahead for 8 of 16 depths; the difference")


def test_without_a_template_the_claim_and_its_verdict():
    record, _ = judged(claim(part(), **SAYS), rows(AHEAD))
    assert record["headline"] == "Leaky ReLU is ahead: reproduced."
    spec = claim(part(), conditions=["depth"], **SAYS)
    record, _ = judged(spec, rows(BEHIND, depth=1))
    assert record["headline"] == "Leaky ReLU is ahead: not reproduced."
    record, _ = judged(spec, rows(BEHIND, depth=1), rows(BEHIND, depth=2))
    said = "Leaky ReLU is ahead: not reproduced: it holds for none of 2 depths."
    assert record["headline"] == said


def test_a_slot_without_evidence_says_nothing_false():
    """A condition whose rows have no level on the axis has nothing to count."""
    spec = claim(part(), conditions=["depth"], headline=TEMPLATES, **SAYS)
    record, _ = judged(spec, rows(AHEAD))
    assert record["headline"] == "Leaky ReLU is ahead: reproduced."


def test_parts_are_told_one_by_one():
    spec = claim(
        part("early", quantity="gain"),
        part("late", quantity="loss"),
        headline={"reproduced under conditions": "It depends: {parts}; so much for {holding}."},
        **SAYS,
    )
    record, _ = judged(spec, rows(AHEAD), rows(EQUAL, quantity="loss"))
    assert record["headline"] == (
        "It depends: “early” holds; “late” does not; so much for “early”."
    )


def named(*names, slot="{parts}"):
    """The headline of a claim of named parts of which only the last does not hold."""
    specs = [part(name, quantity=f"q{i}") for i, name in enumerate(names)]
    spec = claim(*specs, headline={"reproduced under conditions": f"In part: {slot}."}, **SAYS)
    found = [AHEAD] * (len(names) - 1) + [EQUAL]
    record, _ = judged(spec, *(rows(v, quantity=f"q{i}") for i, v in enumerate(found)))
    return record["headline"]


def test_parts_that_came_out_alike_stand_together():
    assert named("early", "late", "never") == (
        "In part: “early” and “late” hold; “never” does not."
    )


def test_a_choice_says_of_a_part_how_it_came_out():
    slot = "it {1:starts|does not start} ahead and {2:stays|does not stay} so"
    assert named("x", "y", slot=slot) == "In part: it starts ahead and does not stay so."


def test_a_choice_about_a_part_that_is_open_says_nothing_false():
    found = {"x": AHEAD, "y": EQUAL, "z": OPEN}
    templates = {"reproduced under conditions": "It {3:stays|does not stay} ahead."}
    spec = claim(*(part(name, quantity=name) for name in found), headline=templates, **SAYS)
    record, _ = judged(spec, *(rows(values, quantity=name) for name, values in found.items()))
    assert record["headline"] == (
        "Leaky ReLU is ahead: reproduced under conditions; “x” holds; “y” does not; "
        "“z” is undecided."
    )


@pytest.mark.parametrize(
    "values, said",
    [
        ([AHEAD] * 4, "for all 4 depths"),
        ([AHEAD] * 11 + [BEHIND], "for 11 of 12 depths"),
        ([BEHIND] * 4, "for none of 4 depths"),
        ([AHEAD] * 6 + [BEHIND] * 6, "only at depth 6 or less"),
        ([AHEAD] * 6 + [OPEN] + [BEHIND] * 6, "in 6 of 13 settings, those at depth 6 or less"),
        ([AHEAD] * 4 + [OPEN] * 2 + [AHEAD, *[BEHIND] * 4], "in 5 of 11 settings, all of them at"),
        ([AHEAD], "in the one setting tried"),
        ([BEHIND], "in no setting tried"),
    ],
)
def test_settings_say_which_and_not_more_than_is_true(values, said):
    templates = dict.fromkeys([*TEMPLATES, "undecided"], "It is ahead {settings}.")
    spec = claim(part(), conditions=["depth"], headline=templates, **SAYS)
    record, _ = judged(spec, *(rows(v, depth=d) for d, v in enumerate(values, 1)))
    assert record["headline"].startswith(f"It is ahead {said}")


def test_what_was_varied_is_told_once():
    templates = dict.fromkeys(TEMPLATES, "It leads {1.settings} and stays so {2.settings}.")
    parts = part("early", quantity="q0"), part("late", quantity="q1")
    spec = claim(*parts, conditions=["depth", "dataset"], headline=templates, **SAYS)
    found = [
        rows(AHEAD, quantity=f"q{i}", depth=depth, dataset=dataset)
        for i in range(2)
        for depth in (2, 10)
        for dataset in ("mnist", "fashion_mnist")
    ]
    record, _ = judged(spec, *found)
    assert record["headline"] == (
        "It leads in all 4 settings of depth and data set and stays so in all 4."
    )


@pytest.mark.parametrize(
    "unit, values, said",
    [("doublings", [3.0] * 5, "8"), ("decades", [3.05] * 5, "1,100"), ("pp", [3.0] * 5, None)],
)
def test_a_factor_is_what_a_logarithm_multiplies_by(unit, values, said):
    spec = claim(part(unit=unit), headline={"reproduced": "It is {factor} times."}, **SAYS)
    record, _ = judged(spec, rows(values))
    plain = "Leaky ReLU is ahead: reproduced."
    assert record["headline"] == (f"It is {said} times." if said else plain)


def test_undecided_counts_what_is_decided():
    assert mapped(AHEAD, AHEAD, OPEN, OPEN) == (
        "Undecided whether leaky ReLU is ahead: "
        "it holds for 2 of 4 depths, 1 and 2 (undecided in 2)."
    )


@pytest.mark.parametrize(
    "values, said", [([AHEAD] * 6, "."), ([AHEAD] * 5 + [OPEN], "; 1 undecided.")]
)
def test_what_is_undecided_stands_behind_what_was_found(values, said):
    """Else a range of which every number lies beyond the limit contradicts `5 of 6`."""
    spec = claim(part(), conditions=["depth"], headline={"reproduced": "It leads{open}."}, **SAYS)
    record, _ = judged(spec, *(rows(v, depth=d) for d, v in enumerate(values, 1)))
    assert record["headline"] == f"It leads{said}"


@pytest.mark.parametrize(
    "values, said",
    [
        ([AHEAD] * 5 + [OPEN], "."),
        ([AHEAD] * 4 + [[-value for value in AHEAD]] * 2, ", and as far behind in 2."),
    ],
)
def test_settings_that_show_the_opposite_are_counted(values, said):
    templates = dict.fromkeys(["reproduced", "reproduced under conditions"], "It leads{behind}.")
    spec = claim(part(), conditions=["depth"], headline=templates, **SAYS)
    record, _ = judged(spec, *(rows(v, depth=d) for d, v in enumerate(values, 1)))
    assert record["headline"] == f"It leads{said}"


@pytest.mark.parametrize(
    "rule, values, runs",
    [
        ("existence", [1, 1, 1, 0, 1, 1, 1, 1], "7 of 8 runs"),
        ("construction", [1] * 5, "5 of 5"),
        ("construction", [0] * 5, "0 of 5"),
        ("identity", [1e-16] * 5, "5 of 5"),
    ],
)
def test_runs(rule, values, runs):
    keys = {"margin": 1e-9} if rule == "identity" else {"margin": None}
    templates = dict.fromkeys(["reproduced", "not reproduced"], "Seen in {runs}.")
    spec = claim(part(unit="0/1", **keys), rule=rule, headline=templates, **SAYS)
    record, _ = judged(spec, rows([float(value) for value in values]))
    assert record["headline"] == f"Seen in {runs}."


@pytest.mark.parametrize(
    "keys, text, wrong",
    [
        ({}, "{gain}", "no slot; allowed are"),
        ({}, "{hold}", "the claim has no conditions"),
        ({}, "{2.measured}", "the claim has 1 part"),
        ({}, "{parts}", "for claims of several parts"),
        ({}, "{chapter}", "no number of the chapter"),
        ({}, "{runs}", "the rule ordering counts no runs"),
        ({}, "{2:is|is not}", "the claim has 1 part"),
        ({}, "{measured", "a brace that is part of no slot"),
    ],
)
def test_slots_are_checked_before_anything_runs(keys, text, wrong):
    spec = claim(part(), headline={"reproduced": text, "not reproduced": "No."}, **keys)
    found = dict(headlines.problems(spec))
    assert wrong in found["reproduced"]


def test_every_verdict_that_can_come_needs_words():
    spec = claim(part(), conditions=["depth"], headline={"undecided": "Open."})
    assert [verdict for verdict, _ in headlines.problems(spec)] == [
        "reproduced", "not reproduced", "reproduced under conditions",
    ]  # fmt: skip


def test_the_ledger_names_the_slot(tmp_path):
    text = (ROOT / "config" / "claims.yaml").read_text(encoding="utf-8")
    broken = text.replace("{1.hold}", "{1.holds}", 1)
    path = tmp_path / "claims.yaml"
    path.write_text(broken, encoding="utf-8")
    with pytest.raises(InputError, match=r"headline\.\w.*\{1\.holds\}: no slot"):
        ledger.load(path)


def test_every_claim_that_is_judged_has_a_headline():
    entries = ledger.load(ROOT / "config" / "claims.yaml")["claims"]
    without = {claim["id"] for claim in entries if "headline" not in claim}
    assert without == {claim["id"] for claim in entries if claim["rule"] == "opinion"}


# ---- The ledger's own words on the committed reference ----------------------------------------

MOST_WORDS = 50
FAULTS = {
    "an answer instead of a sentence": r"[:;,] (yes|no)[.,;:)]|– ",
    "a doubled or dangling mark": r"(?<!al)[.][,;:.]|[,;:][,;:.]|\s[,;:.)]|\(\s|\(\)|\s\s",
    "a level or a part by its raw name": r"[a-z]{3,}_[a-z]|\b(nan|inf|None|True|False)\b",
    "a limit in signs": r"[≤≥]",
    "a unit that is none in words": r"\bpp\b|0/1",
    "a slot that was not filled": r"[{}]",
}


@pytest.fixture(
    scope="module", params=sorted(ROOT.glob("results/reference/*/claims.json")), ids=str
)
def said(request):
    """Every headline that today's words make of a reference: {id: (headline, entry)}."""
    claims = {
        claim["id"]: claim for claim in ledger.load(ROOT / "config" / "claims.yaml")["claims"]
    }
    found = {}
    for entry in json.loads(request.param.read_text(encoding="utf-8")):
        for one in entry["parts"]:
            if one["where"]:
                kept = [
                    condition
                    for condition in entry["conditions"]
                    if condition["part"] == one["name"] and condition["trains"] is not False
                ]
                verdicts = [condition["verdict"] for condition in kept]
                one["where"] = where_record(where([c["levels"] for c in kept], verdicts))
        if headline := headlines.headline(claims[entry["id"]], entry):
            found[entry["id"]] = headline, entry
    return found


def test_the_reference_needs_no_plain_headline(said):
    """Whatever was found there, the ledger's own words say it; but not every undecided claim has
    words of its own."""
    decided = {name: one for name, one in said.items() if one[1]["verdict"] != "undecided"}
    for name, (headline, entry) in decided.items():
        assert headline != headlines._plain(entry), name


@pytest.mark.parametrize("fault", FAULTS)
def test_no_headline_of_the_reference_has_the_fault(said, fault):
    faults = {name: re.search(FAULTS[fault], headline) for name, (headline, _) in said.items()}
    assert {name: found[0] for name, found in faults.items() if found} == {}


def test_headlines_of_the_reference_are_one_short_sentence(said):
    for name, (headline, _) in said.items():
        assert re.fullmatch(r"[^a-z].*[.]", headline), name
        assert len(headline.split()) <= MOST_WORDS, (name, headline)


def test_no_template_is_an_enumeration():
    """Also of the verdicts that no reference gave."""
    for one in ledger.load(ROOT / "config" / "claims.yaml")["claims"]:
        for text in one.get("headline", {}).values():
            assert not re.search(FAULTS["an answer instead of a sentence"], text), one["id"]
            assert not re.search(FAULTS["a doubled or dangling mark"], text), one["id"]


def test_factors_are_asked_of_logarithms_alone():
    for one in ledger.load(ROOT / "config" / "claims.yaml")["claims"]:
        text = " ".join(one.get("headline", {}).values())
        for number in re.findall(r"\{(?:(\d+)\.)?\w*factor\}", text):
            assert one["parts"][int(number or 1) - 1]["unit"] in headlines.BASES, one["id"]
