"""Tables of questions and answers: the claims behind each answer, sorted by verdict."""

from finicky.page import answers

ENTRY = {
    "rows": [
        {"question": "Why?", "answer": "so", "claims": ["C064", "C001", "C062"]},
        {"question": "How?", "answer": "thus", "claims": ["C099", "C064"]},
    ]
}


def test_a_table_of_answers_sorts_claims_by_verdict():
    verdicts = {"C062": "reproduced", "C064": "reproduced", "C099": "not reproduced"}
    table = answers.table(ENTRY, {claim: {"verdict": v} for claim, v in verdicts.items()})
    assert table["heads"] == ["Question", "The chapter’s answer"] and not table["notes"]
    labels = [column["label"] for column in table["columns"]]
    assert labels == ["reproduced", "not reproduced", "not measured"]
    first, second = table["bodies"][0]["rows"]
    assert first["heads"] == ["Why?", "so"]
    assert [cell["claims"] for cell in first["cells"]] == [["C064", "C062"], [], ["C001"]]
    assert [cell["claims"] for cell in second["cells"]] == [["C064"], ["C099"], []]


def test_claims_behind_a_table_once_each():
    assert answers.behind(ENTRY) == ["C064", "C001", "C062", "C099"]
    assert answers.behind({"title": "no rows"}) == []


def test_without_any_evidence_there_is_no_table_of_answers():
    assert answers.table(ENTRY, {"C001": {"verdict": "not measured"}}) is None


def test_effects_stand_in_a_column_of_their_own():
    row = {"question": "Why?", "answer": "so", "claims": ["C064"]}
    effects = [{"claim": "C064", "part": "faster"}, {"claim": "C001", "part": "not there"}]
    part = {"name": "faster", "measured": -1.25, "ci_low": -1.5, "ci_high": -1.0, "unit": "pp"}
    claims = {"C064": {"verdict": "reproduced", "parts": [part], "also": []}}
    entry = {"heads": ["a", "b"], "rows": [row | {"effects": effects}, row]}
    table = answers.table(entry, claims)
    assert table["heads"] == ["a", "b"] and [c["label"] for c in table["columns"]] == [
        "effect", "reproduced",
    ]  # fmt: skip
    first, second = (one["cells"][0]["text"] for one in table["bodies"][0]["rows"])
    assert first == "faster: \u22121.2 pp [\u22121.5, \u22121.0]" and second == ""
    assert sum(span for _, span in table["groups"]) == len(table["columns"])
