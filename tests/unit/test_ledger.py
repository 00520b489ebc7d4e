import copy
import re
from pathlib import Path

import pytest
import yaml

from finicky import declarations
from finicky.errors import InputError
from finicky.evidence import ledger

ROOT = Path(__file__).parents[2]
REAL = ROOT / "config" / "claims.yaml"

SMALL = {
    "sections": [{"id": "start", "title": "Start"}],
    "tables": {"T01": {"title": "A table", "line": 5, "section": "start", "refill": "numbers"}},
    "figures": {"F01": {"title": "A figure", "line": 6, "section": "start", "by": "toy-grid"}},
    "claims": [
        {
            "id": "C001",
            "line": 7,
            "section": "start",
            "by": ["toy-grid"],
            "rule": "value",
            "says": "the gain is one",
            "conditions": ["optimizer", "depth"],
            "parts": [
                {
                    "name": "gain",
                    "experiment": "toy-grid",
                    "quantity": "gain",
                    "where": {"depth": [2, 10], "optimizer": "sgd"},
                    "number": 1,
                    "margin": 0.1,
                }
            ],
        },
        {
            "id": "C002",
            "line": 8,
            "section": "start",
            "by": [],
            "rule": "opinion",
            "says": "it is nice",
            "reason": "a matter of taste",
        },
    ],
}


@pytest.fixture
def experiments(tmp_path):
    """What one experiment module declares, which nobody may import."""
    folder = tmp_path / "experiments"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "toy_grid.py").write_text(
        'TITLE = "Toy"\nQUANTITIES = {"gain": ("pp", "a gain"), "often": ("0/1", "how often")}\n'
        'CONDITIONS = {"optimizer": "level", "depth": "integer", "start": ["cold", "warm"]}\n'
        'BUDGET = "{depth} epochs"\n'
        'raise RuntimeError("imported")\n'
    )
    return declarations.experiments(folder)


@pytest.fixture
def load(tmp_path, experiments):
    def load(document):
        path = tmp_path / "claims.yaml"
        text = document if isinstance(document, str) else yaml.safe_dump(document, sort_keys=False)
        path.write_text(text, encoding="utf-8")
        return ledger.load(path, experiments)

    return load


@pytest.fixture
def refused(load, tmp_path):
    """The message, without the file, of a ledger that must be refused."""

    def refused(document):
        with pytest.raises(InputError) as error:
            load(document)
        message = str(error.value)
        assert "\n" not in message
        assert message.startswith(str(tmp_path))
        return message.split(": ", 1)[1]

    return refused


def changed(change):
    document = copy.deepcopy(SMALL)
    change(document)
    return document


def first_part(document):
    return document["claims"][0]["parts"][0]


def test_a_good_ledger_comes_back_with_units_and_budgets_as_its_experiments_declare(load):
    document = load(SMALL)
    assert first_part(document).pop("unit") == "pp"
    assert first_part(document).pop("budget") == "{depth} epochs"
    assert document == SMALL


def test_how_often_something_happens_is_a_share_of_runs(load):
    def existence(document):
        document["claims"][0]["rule"] = "existence"
        first_part(document).update(quantity="often")

    assert first_part(load(changed(existence)))["unit"] == "share of runs"


def test_a_table_of_answers_names_claims_of_the_ledger(load, refused):
    def with_claims(*claims):
        row = {"question": "Why?", "answer": "so", "claims": list(claims)}
        table = {"title": "t", "line": 1, "section": SMALL["sections"][0]["id"], "refill": "x"}
        return changed(lambda document: document["tables"].update(T01=table | {"rows": [row]}))

    known = SMALL["claims"][0]["id"]
    assert load(with_claims(known))["tables"]["T01"]["rows"][0]["claims"] == [known]
    assert refused(with_claims(known, "C999")).startswith("tables.T01.rows[0].claims: found C999")


def test_the_effects_of_an_answer_are_parts_of_claims(load, refused):
    def with_effect(part):
        claim = SMALL["claims"][0]["id"]
        row = {"question": "Why?", "answer": "so", "claims": [claim]}
        row["effects"] = [{"claim": claim, "part": part}]
        table = {"title": "t", "line": 1, "section": SMALL["sections"][0]["id"], "refill": "x"}
        return changed(lambda document: document["tables"].update(T01=table | {"rows": [row]}))

    load(with_effect(first_part(SMALL)["name"]))
    assert "tables.T01.rows[0].effects: found nothing" in refused(with_effect("nothing"))


@pytest.mark.parametrize(
    "change, message",
    [
        (
            lambda d: first_part(d).update(margn=1),
            r"claims\[C001\]\.parts\[gain\]: found unknown key 'margn'; allowed: name, experiment",
        ),
        (
            lambda d: d.update(colour="red"),
            r"found unknown key 'colour'; allowed: sections, headings, tables, figures, claims",
        ),
        (
            lambda d: first_part(d).update(margin="one"),
            r"claims\[C001\]\.parts\[gain\]\.margin: found 'one'; allowed: a finite number",
        ),
        (
            lambda d: first_part(d).update(margin=float("nan")),
            r"claims\[C001\]\.parts\[gain\]\.margin: found nan; allowed: a finite number",
        ),
        (
            lambda d: first_part(d).update(margin=10**400),
            r"claims\[C001\]\.parts\[gain\]\.margin: found 1000.*; allowed: at most 1e\+300",
        ),
        (
            lambda d: first_part(d).update(margin=-1),
            r"claims\[C001\]\.parts\[gain\]\.margin: found -1; allowed: at least 0",
        ),
        (
            lambda d: d["claims"][1].update(line="seven"),
            r"claims\[C002\]\.line: found 'seven'; allowed: a whole number",
        ),
        (
            lambda d: d["claims"][0].update(rule="order"),
            r"claims\[C001\]\.rule: found order; allowed: ordering, sometimes, eq",
        ),
        (
            lambda d: d["claims"][0].pop("says"),
            r"claims\[C001\]: found no key 'says'; allowed: every one of id, line",
        ),
        (
            lambda d: d["claims"][0].update(conditions=["optimiser"]),
            r"claims\[C001\]\.conditions: found optimiser; allowed: the conditions of toy-gr",
        ),
        (
            lambda d: first_part(d)["where"].update(rate=1),
            r"claims\[C001\]\.parts\[gain\]\.where: found rate; allowed: the conditions of toy",
        ),
        (
            lambda d: first_part(d)["where"].update(optimizer="adamm"),
            r"claims\[C001\]\.parts\[gain\]\.where\.optimizer: found 'adamm'; allowed: sgd, mom",
        ),
        (
            lambda d: first_part(d)["where"].update(start=["cold", "hot"]),
            r"claims\[C001\]\.parts\[gain\]\.where\.start: found 'hot'; allowed: cold, warm",
        ),
        (
            lambda d: first_part(d)["where"].update(depth="10"),
            r"claims\[C001\]\.parts\[gain\]\.where\.depth: found '10'; allowed: of the kind inte",
        ),
        (
            lambda d: d["claims"][1].update(id="C001"),
            r"claims\[C001\]\.id: found C001 2 times; allowed: each id once",
        ),
        (
            lambda d: d["claims"][1].update(section="end"),
            r"claims\[C002\]\.section: found end; allowed: start",
        ),
        (
            lambda d: d["tables"]["T01"].update(section="end"),
            r"tables\.T01\.section: found end; allowed: start",
        ),
        (
            lambda d: d["tables"].update(X1=d["tables"]["T01"]),
            r"tables: found 'X1'; allowed: text of the form \^T",
        ),
        (
            lambda d: first_part(d).update(quantity="loss"),
            r"claims\[C001\]\.parts\[gain\]\.quantity: found loss; allowed: what toy-grid makes",
        ),
        (
            lambda d: first_part(d).update(experiment="grid"),
            r"claims\[C001\]\.parts\[gain\]\.experiment: found grid; allowed: toy-grid",
        ),
        (
            lambda d: d["claims"][0].update(by=["other"]),
            r"claims\[C001\]\.parts\[gain\]\.experiment: found toy-grid; allowed: an exp",
        ),
        (
            lambda d: d["claims"][0].update(
                also=[first_part(d) | {"name": "more", "quantity": "x"}]
            ),
            r"claims\[C001\]\.also\[more\]\.quantity: found x",
        ),
        (
            lambda d: d["claims"][0].update(also=[first_part(d)]),
            r"claims\[C001\]\.parts\[gain\]: found gain 2 times; allowed: each name once",
        ),
        (
            lambda d: first_part(d).pop("margin"),
            r"claims\[C001\]\.parts\[gain\]: found no key 'margin'; allowed: a margin, which",
        ),
        (
            lambda d: first_part(d).pop("number"),
            r"claims\[C001\]\.parts\[gain\]: found no key 'number'; allowed: a number, which",
        ),
        (
            lambda d: d["claims"][1].pop("reason"),
            r"claims\[C002\]: found no key 'reason'",
        ),
        (
            lambda d: d["claims"][0].update(rule="opinion", reason="taste"),
            r"claims\[C001\]\.parts: found parts; allowed: no parts",
        ),
        (
            lambda d: d["claims"][0].pop("parts"),
            r"claims\[C001\]\.conditions: found conditions without parts",
        ),
    ],
)
def test_bad_entries_are_named_in_one_line(refused, change, message):
    assert re.match(message, refused(changed(change)))


def test_a_key_given_twice_is_an_error(refused):
    text = yaml.safe_dump(SMALL) + "claims: []\n"
    assert re.match(r"line \d+: found key 'claims' twice in one mapping", refused(text))


def test_broken_yaml_is_named_with_its_line(refused):
    assert re.match(r"line \d+: found .*; allowed: valid YAML", refused("claims: [1,\n"))


@pytest.mark.parametrize("text", ["", "- a list\n"])
def test_a_ledger_that_is_no_mapping_is_refused(refused, text):
    assert re.search("allowed: keys with values", "x: " + refused(text))


def test_a_missing_ledger_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.yaml: found no such file"):
        ledger.load(tmp_path / "nowhere.yaml")


# ---- The real ledger ----------------------------------------------------------------------------


def test_the_real_ledger_loads_with_the_real_experiments():
    assert len(ledger.load(REAL)["claims"]) >= 200


@pytest.fixture(scope="module")
def real():
    return yaml.safe_load(REAL.read_text(encoding="utf-8"))


def test_the_real_ledger_is_complete(real):
    assert {claim["id"] for claim in real["claims"]} >= {f"C{i:03}" for i in range(1, 201)}
    assert list(real["tables"]) == [f"T{i:02}" for i in range(1, 14)]
    assert list(real["figures"]) == [f"F{i:02}" for i in range(1, 39)]


def test_every_claim_that_its_experiments_can_answer_is_judged(real):
    made = set(declarations.experiments())
    for claim in real["claims"]:
        if claim["rule"] != "opinion" and set(claim["by"]) <= made:
            assert "parts" in claim, claim["id"]
            assert "why" in claim, claim["id"]


# ---- Amendments ---------------------------------------------------------------------------------


def amendments(tmp_path, document, text):
    path = tmp_path / "amendments.yaml"
    path.write_text(text, encoding="utf-8")
    return ledger.amendments(path, document)


ENTRY = 'claims: [C001], date: "2026-01-02", change: a, why: b, before: {C001: undecided}'


def test_amendments_come_latest_first(tmp_path):
    text = f"- {{{ENTRY}}}\n- {{{ENTRY.replace('2026-01', '2026-03')}}}\n"
    listed = amendments(tmp_path, SMALL, text)
    assert [one["date"] for one in listed] == ["2026-03-02", "2026-01-02"]


@pytest.mark.parametrize(
    "old, new, said",
    [
        (
            "claims: [C001]",
            "claims: [C999]",
            "[0].claims: found C999; allowed: claims of the ledger",
        ),
        ("claims: [C001]", "claims: []", "[0].claims: found []; allowed: at least 1 item"),
        ("{C001:", "{C999:", "[0].claims: found C999; allowed: claims of the ledger"),
        ("why: b, ", "", "[0]: found no key 'why'; allowed"),
        ("why:", "by: c, why:", "found unknown key 'by'"),
        ("undecided", "maybe", "[0].before.C001: found 'maybe'; allowed: reproduced"),
    ],
)
def test_a_wrong_amendment_is_named_in_one_line(tmp_path, old, new, said):
    with pytest.raises(InputError) as error:
        amendments(tmp_path, SMALL, f"- {{{ENTRY.replace(old, new)}}}\n")
    assert said in str(error.value) and "\n" not in str(error.value)


def test_a_line_stands_under_the_last_heading_before_it():
    real = ledger.load(REAL)
    lines = [one["line"] for one in real["headings"]]
    assert lines == sorted(set(lines)) and len(lines) > 80
    assert all(ledger.heading(real, claim["line"]) for claim in real["claims"])
    assert ledger.heading(real, 685) == ledger.heading(real, 678) == "Empirical Validation"
    assert ledger.heading(real, 677) != "Empirical Validation"
    assert ledger.heading(real, 1) == ledger.heading({}, 685) == ""


def test_the_real_amendments_load():
    document = ledger.load(REAL)
    listed = ledger.amendments(ROOT / "config/amendments.yaml", document)
    assert listed and all(one["change"] and one["why"] for one in listed)
