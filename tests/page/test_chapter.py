"""The order of a section: each figure with its claims."""

from finicky.page import chapter


def view(name, *claims, **more):
    return {"id": name, "claims": list(claims)} | more


def order(cards, views, readers=None):
    made = chapter.groups([{"id": card} for card in cards], views, readers or {})
    return [([v["id"] for v in g["exhibits"]], [c["id"] for c in g["cards"]]) for g in made]


def test_a_figure_stands_before_the_first_card_that_rests_on_it():
    views = [view("F1", "C2", "C4"), view("T1", "C2", "C4"), view("F2", "C3")]
    assert order(["C1", "C2", "C3", "C4", "C5"], views) == [
        ([], ["C1"]),
        (["F1", "T1"], ["C2", "C4"]),
        (["F2"], ["C3"]),
        ([], ["C5"]),
    ]


def test_a_card_that_rests_on_two_brings_what_has_not_come_yet():
    views = [view("F1", "C1", "C2"), view("F2", "C2", "C3")]
    assert order(["C1", "C2", "C3"], views) == [(["F1"], ["C1"]), (["F2"], ["C2", "C3"])]


def test_cards_without_a_figure_keep_together():
    assert order(["C1", "C2", "C3"], [view("F1", "C3")]) == [
        ([], ["C1", "C2"]), (["F1"], ["C3"]),
    ]  # fmt: skip


def test_a_missing_figure_stands_with_the_claims_of_its_experiment():
    missing = {"id": "F1", "state": "gap", "by": "grid"}
    assert order(["C1", "C2"], [missing], {"grid": ["C2"]}) == [([], ["C1"]), (["F1"], ["C2"])]


def test_what_no_card_rests_on_comes_last():
    assert order(["C1"], [view("F1", "C9")]) == [([], ["C1"]), (["F1"], [])]
    assert order([], []) == []


def test_on_the_page_figures_and_cards_take_turns(page):
    section = page.find(id="initialisation")
    names = [e["id"] for e in section.select(".exhibit, .card")]
    # ten-layers: T03, F15 with C062, C065; C064 rests on the grid: F16
    assert names == ["F15", "T03", "C062", "C065", "F16", "C064"] or names == [
        "T03", "F15", "C062", "C065", "F16", "C064",
    ]  # fmt: skip
