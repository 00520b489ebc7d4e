"""Tables of questions and answers: what was found about the claims behind each answer."""

from finicky.page import answers

ENTRY = {
    "rows": [
        {"question": "Why?", "answer": "so", "claims": ["C064", "C001", "C062"]},
        {"question": "How?", "answer": "thus", "claims": ["C099", "C064"]},
    ]
}


def test_an_answer_is_what_was_found_about_the_claims_behind_it():
    """In the ledger's order, each with its verdict; of what was not measured, what it says."""
    claims = {
        "C062": {"verdict": "reproduced", "headline": "it comes to 92 %", "says": "x"},
        "C064": {"verdict": "not reproduced", "sentence": "an old file.", "says": "x"},
        "C001": {"verdict": "not measured", "headline": "no", "says": "claimed"},
    }
    table = answers.table(ENTRY, claims)
    assert table["heads"] == ["Question", "The chapter’s answer"] and not table["notes"]
    first, second = table["bodies"][0]["rows"]
    assert first["heads"] == ["Why?", "so"]
    [cell] = first["cells"]
    assert cell["findings"] == [
        {"id": "C064", "verdict": "not reproduced", "text": "An old file."},
        {"id": "C001", "verdict": "not measured", "text": "Claimed."},
        {"id": "C062", "verdict": "reproduced", "text": "It comes to 92 %."},
    ]
    found = [one["verdict"] for one in second["cells"][0]["findings"]]
    assert found == ["not measured", "not reproduced"]
    assert sum(span for _, span in table["groups"]) == len(table["columns"]) == 1


def test_claims_behind_a_table_once_each():
    assert answers.behind(ENTRY) == ["C064", "C001", "C062", "C099"]
    assert answers.behind({"title": "no rows"}) == []


def test_without_any_evidence_there_is_no_table_of_answers():
    assert answers.table(ENTRY, {"C001": {"verdict": "not measured", "says": "x"}}) is None


def test_effects_stand_in_a_column_of_their_own():
    row = {"question": "Why?", "answer": "so", "claims": ["C064"]}
    effects = [{"claim": "C064", "part": "faster"}, {"claim": "C001", "part": "not there"}]
    part = {"name": "faster", "measured": -1.25, "ci_low": -1.5, "ci_high": -1.0, "unit": "pp"}
    claims = {"C064": {"verdict": "reproduced", "sentence": "", "parts": [part], "also": []}}
    entry = {"heads": ["a", "b"], "rows": [row | {"effects": effects}, row]}
    table = answers.table(entry, claims)
    assert table["heads"] == ["a", "b"] and [c["kind"] for c in table["columns"]] == [
        "measured", "verdict",
    ]  # fmt: skip
    first, second = (one["cells"][0]["text"] for one in table["bodies"][0]["rows"])
    assert first == "faster: \u22121.2 pp [\u22121.5, \u22121.0]" and second == ""
    assert sum(span for _, span in table["groups"]) == len(table["columns"])
