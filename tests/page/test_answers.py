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
    table = answers.table(ENTRY, verdicts)
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
    assert answers.table(ENTRY, {"C001": "not measured"}) is None
