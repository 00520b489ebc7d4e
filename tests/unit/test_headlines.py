import json
from pathlib import Path

import pytest

from finicky.errors import InputError
from finicky.evidence import headlines, ledger

from .toy_claims import AHEAD, BEHIND, EQUAL, OPEN, claim, judged, part, rows

ROOT = Path(__file__).parents[2]
SAYS = {"says": "leaky ReLU is ahead"}
TEMPLATES = {
    "reproduced": "It is ahead in {hold} of {of} settings, by {lowest} to {highest}.",
    "reproduced under conditions": "It is ahead {where}; the difference is {lowest} to {highest}.",
    "not reproduced": "It is not ahead: difference {measured} ({interval}), n = {n}.",
}


def mapped(*values, **keys):
    """The headline of a claim with one condition for each list of seeds' values, by depth."""
    spec = claim(part(**keys), conditions=["depth"], headline=TEMPLATES, **SAYS)
    record, _ = judged(spec, *(rows(v, depth=d) for d, v in enumerate(values, 1)))
    return record["headline"]


def test_other_data_give_other_words():
    assert mapped(AHEAD, AHEAD) == "It is ahead in 2 of 2 settings, by 1.2 to 1.2 pp."
    assert mapped(*[AHEAD] * 6, *[BEHIND] * 6) == (
        "It is ahead for depth ≤ 6; the difference is −2.0 to 1.2 pp."
    )
    turned = mapped(*[BEHIND] * 6, *[AHEAD] * 6)
    assert turned == "It is ahead for depth ≥ 7; the difference is −2.0 to 1.2 pp."
    assert mapped(BEHIND, BEHIND).startswith("It is not ahead: difference −2.0 pp (−3.0 to")


def test_undecided_says_why():
    assert mapped(OPEN) == (
        "Undecided whether leaky ReLU is ahead: the interval lies on both sides of the limit."
    )


def test_a_place_that_nothing_explains_is_counted():
    mixed = [AHEAD, BEHIND] * 8
    assert mapped(*mixed).startswith("It is ahead in 8 of 16 settings, which no short rule tells")


def test_without_a_template_the_claim_and_its_verdict():
    record, _ = judged(claim(part(), **SAYS), rows(AHEAD))
    assert record["headline"] == "Leaky ReLU is ahead: reproduced."
    record, _ = judged(claim(part(), conditions=["depth"], **SAYS), rows(BEHIND, depth=1))
    assert record["headline"] == "Leaky ReLU is ahead: not reproduced: it holds in 0 of 1 settings."


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
    assert record["headline"] == "It depends: early: yes; late: no; so much for early."


def named(*names, slot="{parts}"):
    """The headline of a claim of named parts of which only the last does not hold."""
    specs = [part(name, quantity=f"q{i}") for i, name in enumerate(names)]
    spec = claim(*specs, headline={"reproduced under conditions": f"In part: {slot}."}, **SAYS)
    found = [AHEAD] * (len(names) - 1) + [EQUAL]
    record, _ = judged(spec, *(rows(v, quantity=f"q{i}") for i, v in enumerate(found)))
    return record["headline"]


def test_parts_that_came_out_alike_stand_together():
    assert named("early", "late", "never") == "In part: early and late: yes; never: no."
    assert named("early", "late, tuned", "net: a, b") == (
        "In part: early and “late, tuned”: yes; “net: a, b”: no."
    )


def test_an_outcome_follows_the_words_of_the_template():
    slot = "it starts ahead: {1.outcome}; it stays so: {2.outcome}"
    assert named("x: a minus b", "y", slot=slot) == (
        "In part: it starts ahead: yes; it stays so: no."
    )


@pytest.mark.parametrize(
    "values, outcome",
    [
        ([AHEAD] * 4, "yes"),
        ([AHEAD] * 11 + [BEHIND], "yes, in 11 of 12 settings"),
        ([BEHIND] * 11 + [AHEAD], "no, only in 1 of 12 settings"),
        ([BEHIND] * 4, "no"),
        ([AHEAD] * 6 + [BEHIND] * 6, "only for depth ≤ 6"),
        ([AHEAD, BEHIND] * 8, "in 8 of 16 settings"),
    ],
)
def test_an_outcome_counts_the_conditions_that_disagree(values, outcome):
    templates = dict.fromkeys(TEMPLATES, "It does: {outcome}.")
    spec = claim(part(), conditions=["depth"], headline=templates, **SAYS)
    record, _ = judged(spec, *(rows(v, depth=d) for d, v in enumerate(values, 1)))
    assert record["headline"] == f"It does: {outcome}."


def test_undecided_counts_what_is_decided():
    assert mapped(AHEAD, AHEAD, OPEN, OPEN) == (
        "Undecided whether leaky ReLU is ahead: it holds in 2 of 4 settings, fails in none "
        "and is open in 2."
    )


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
        ({"conditions": ["depth"]}, "{where}", "only where the verdict is"),
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


@pytest.mark.parametrize("path", sorted(ROOT.glob("results/reference/*/claims.json")), ids=str)
def test_the_reference_needs_no_plain_headline(path):
    """Whatever was found there, the ledger's own words say it."""
    claims = {
        claim["id"]: claim for claim in ledger.load(ROOT / "config" / "claims.yaml")["claims"]
    }
    for entry in json.loads(path.read_text(encoding="utf-8")):
        found = headlines.headline(claims[entry["id"]], entry)
        if found and entry["verdict"] != "undecided":
            assert found != headlines._plain(entry), entry["id"]
