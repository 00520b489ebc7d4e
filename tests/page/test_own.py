"""The page of claims of one's own: it opens with their answers, alone or before the chapter's."""

from copy import deepcopy

import html5lib
import pytest
from bs4 import BeautifulSoup

from finicky.page import build

from .conftest import condition, experiment, part, record

SPEC = {"name": "leaky ReLU minus ReLU", "experiment": "questions", "quantity": "compare",
        "where": {"question": "leaky-helps"}, "unit": "pp", "margin": 0.5}  # fmt: skip
LEAKY = {
    "id": "leaky-helps", "section": "questions", "by": ["questions"], "rule": "ordering",
    "says": "leaky ReLU is ahead of ReLU.", "parts": [SPEC], "conditions": ["depth", "optimizer"],
}  # fmt: skip
VALUE = LEAKY | {
    "id": "seventy", "rule": "value", "says": "it reaches 70 %", "needs": ["leaky-helps"],
    "parts": [SPEC | {"name": "test accuracy", "unit": "%", "number": 70, "margin": 2}],
}  # fmt: skip
SECTION = {"id": "questions", "title": "Questions"}


def judged(verdict="not reproduced"):
    """The records of LEAKY, on eight settings, and of VALUE, a single one."""
    conditions = [
        condition(SPEC["name"], "reproduced" if depth > 4 else "not reproduced", 0.1 * depth,
                  0.1 * depth - 0.05, 0.1 * depth + 0.05, True, depth=depth, optimizer=optimizer)
        for depth in (2, 4, 6, 8)
        for optimizer in ("sgd", "adam")
    ]  # fmt: skip
    leaky = part(SPEC["name"], None, 0.5, 0.45, 0.55, verdict, margin=0.5, unit="pp")
    value = part("test accuracy", 70, 55.9, 49.8, 57.6, "not reproduced", margin=2)
    return [
        record({"line": None} | LEAKY, verdict, [leaky], conditions),
        record({"line": None} | VALUE, "not reproduced", [value]),
    ]


@pytest.fixture
def own(inputs):
    """`own(**more)`: the HTML of a page of own claims alone, `more` of it otherwise."""

    def own(**more):
        ledger = {"sections": [SECTION], "tables": {}, "figures": {},
                  "claims": deepcopy([LEAKY, VALUE])}  # fmt: skip
        asked = experiment("questions", ["settings", "sub-grids"])
        asked["figures"] = {"settings": "Every setting.", "sub-grids": "Every sub-grid."}
        figures = {name: deepcopy(inputs["figures"]["F15"]) for name in asked["figures"]}
        given = inputs | {"ledger": ledger, "claims": judged(), "figures": figures, "tables": {},
                          "experiments": {"questions": asked}, "references": {}}  # fmt: skip
        return build.render(**given | more)

    return own


def parsed(html):
    return BeautifulSoup(html, "html5lib")


def test_it_opens_with_the_answers_and_has_no_claim_of_the_chapter(own, words):
    html = own()
    html5lib.HTMLParser(strict=True).parse(html)
    page = parsed(html)
    answer = page.find(class_="answer")
    assert words(answer.h1) == "2 questions about training neural networks"
    first, second = answer.select(".findings li")
    assert words(first.find(class_="claimed")) == "The claim: Leaky ReLU is ahead of ReLU."
    assert first.find(class_="plot") and first.select(".figures svg.bar")
    assert "8 conditions: 4 hold" in words(first)
    assert "named 70 %" in words(second) and "chapter" not in words(second)
    assert [card["id"] for card in page.select(".claim")] == ["leaky-helps", "seventy"]
    assert all(card.has_attr("open") for card in page.select("details.claim"))
    assert page.find(id="amendments") is None and page.find(id="surprise") is None
    for said in ("The chapter:", "line 1", "Agrees with", "not measured in this report"):
        assert said not in words(page.find(class_="page")).replace("The chapter’s", "")


def test_its_parts_stand_in_the_order_of_a_readers_questions(own):
    page = parsed(own())
    order = [element["id"] for element in page.select("[id]")]
    wanted = ["answered", "questions", "settings", "leaky-helps", "overview", "sub-grids", "cost"]
    places = [order.index(name) for name in wanted]
    assert places == sorted(places)


def test_title_and_text_are_the_configs(own, inputs, words):
    record = inputs["record"] | {"config": {"seeds": 2, "title": "Leaky?", "about": "Why & how."}}
    page = parsed(own(record=record))
    assert words(page.h1) == "Leaky?" and page.title.string == "Finicky: Leaky?"
    assert words(page.find(class_="lede")) == "Why & how."
    assert page.find(class_="banner") is None  # the seeds of its sub-grids were checked


def test_one_question_is_the_title(own, words):
    ledger = {"sections": [SECTION], "tables": {}, "figures": {}, "claims": [LEAKY]}
    page = parsed(own(ledger=ledger, claims=judged()[:1]))
    assert words(page.h1) == "Leaky ReLU is ahead of ReLU: is it so?"
    assert page.find(id="overview") is None  # one mark is no comparison


@pytest.mark.parametrize("verdict, failed", [("not reproduced", True), ("reproduced", False)])
def test_a_card_shows_what_it_rests_on_and_whether_that_failed(own, words, verdict, failed):
    page = parsed(own(claims=judged(verdict)))
    card = page.find(id="seventy")
    text = words(parsed(card.noscript.decode_contents(formatter=None)))
    assert f"Rests on leaky-helps , {verdict}." in text
    assert ("does not hold, whatever its own verdict" in text) is failed
    assert (card.find(class_="thread") is not None) is failed
    assert ("which failed" in words(page.find(class_="answer"))) is failed


def test_beside_the_chapters_claims_they_come_first_and_are_not_counted(inputs, words):
    ledger = inputs["ledger"]
    ledger |= {"sections": [SECTION, *ledger["sections"]], "claims": [LEAKY, *ledger["claims"]]}
    of_chapter = len(inputs["claims"])
    claims = [*judged()[:1], *inputs["claims"]]
    page = parsed(build.render(**inputs | {"claims": claims}))
    assert words(page.h1).startswith(f"{of_chapter} claims about training")
    assert page.find(class_="answer").find(class_="first").li.find(class_="claimed")
    sections = [section["id"] for section in page.select("section.part[id]")]
    assert sections.index("questions") < sections.index("initialisation")
    assert page.find(id="leaky-helps").has_attr("open") and not page.find(id="C064").has_attr(
        "open"
    )
