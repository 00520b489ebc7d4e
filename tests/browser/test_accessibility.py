"""axe-core in the states that a reader gets the page into, the tab order, and the focus."""

import hashlib
import re
from pathlib import Path

import pytest

from .conftest import PHONE

VENDOR = Path(__file__).parents[1] / "vendor"
AXE = (VENDOR / "axe-4.14.1.min.js").read_text(encoding="utf-8")
# Figures are one image each to axe, and their thousands of shapes most of its time;
# tests/page/test_contrast.py looks into them.
EMPTIED = (
    "document.querySelectorAll('.drawing svg').forEach((drawing) => drawing.replaceChildren())"
)
RUN = """async (within) => {
  const found = await axe.run(within, { resultTypes: ["violations"] });
  return found.violations.map((one) => [one.id, one.nodes.map((node) => node.html.slice(0, 300))]);
}"""


def violations(tab, within="html"):
    """What axe-core finds there: [[rule, [elements]]]."""
    tab.evaluate(EMPTIED)
    tab.evaluate(AXE)
    return tab.evaluate(RUN, within)


def test_vendored_files_are_as_they_were_released():
    text = (VENDOR / "README.md").read_text(encoding="utf-8")
    listed = dict(
        re.findall(r"^\| `([^`]+)` \| `[^`]+` \| `([0-9a-f]{64})` \|$", text, re.MULTILINE)
    )
    assert listed == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.iterdir()
        if path.name != "README.md"
    }


def test_axe_would_find_something(visit):
    tab = visit()
    tab.evaluate("document.querySelector('#search').labels[0].remove()")
    tab.evaluate("document.querySelector('#search').removeAttribute('placeholder')")
    assert [rule for rule, _ in violations(tab, "#filter")] == ["label"]


def test_the_page_as_it_opens(visit):
    assert violations(visit()) == []


def test_the_page_in_the_dark_with_cards_opened(visit):
    tab = visit(color_scheme="dark")
    tab.evaluate(
        "document.querySelectorAll('.card').forEach((card, i) => { card.open = i % 15 === 0; })"
    )
    tab.evaluate(
        "document.querySelectorAll('.card[open] .all').forEach((all) => { all.open = true; })"
    )
    assert tab.locator(".card[open] .map").count()
    assert violations(tab) == []


def test_a_card_of_each_kind_on_a_phone(visit, claims):
    tab = visit(**PHONE)
    tab.locator("#filters > summary").click()
    measured = [one for one in claims.values() if one["parts"]]
    for first in {one["rule"]: one["id"] for one in reversed(measured)}.values():
        tab.evaluate("(name) => { document.getElementById(name).open = true; }", first)
    assert violations(tab, ".card[open], .contents") == []


@pytest.mark.parametrize(
    "options", [{}, {"color_scheme": "dark"}, PHONE], ids=["light", "dark", "phone"]
)
def test_the_explorer_in_use(visit, options):
    tab = visit("#explore", **options)
    tab.locator("#explore-map td:not(.untrained)").first.click()
    tab.get_by_role("button", name="Keep, to compare").click()
    tab.locator("#explore-map td:not(.untrained)").last.click()
    tab.locator(".cells.two article").last.wait_for()
    for details in tab.locator("#explore-cells details > summary").all():
        details.click()
    assert violations(tab, "#explore") == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_guessing_game(visit, scheme):
    tab = visit("#predict?deck=3", color_scheme=scheme)
    assert violations(tab) == []
    tab.locator(".guesses button").first.click()
    tab.locator("#predict-card .card").wait_for()
    assert violations(tab, "#predict") == []


def test_what_was_searched(visit):
    tab = visit("#find?q=xavier")
    tab.locator("#found-claims .card").first.wait_for()
    assert violations(tab, "#found") == []


FOCUSED = """() => {
  const one = document.activeElement;
  const style = getComputedStyle(one);
  const box = one.getBoundingClientRect();
  return {
    place: one === document.body ? "" : one.id || one.textContent.trim().slice(0, 40),
    outline: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
    seen: box.width > 0 && box.bottom > 0 && box.top < innerHeight,
  };
}"""


def test_the_tabulator_goes_down_the_page_and_where_it_is_can_be_seen(visit):
    tab = visit()
    places = []
    for _ in range(30):
        tab.keyboard.press("Tab")
        focused = tab.evaluate(FOCUSED)
        assert focused["outline"] and focused["seen"], focused
        places.append(focused["place"])
    assert places[0] == "Skip to the chapter"
    expected = ["changes", "chosen by rule", "Predict first", "search"]
    assert [place for place in places if place in expected] == expected
    assert "" not in places  # it is never lost


def test_the_skip_link_leads_past_everything_to_the_chapter(visit):
    tab = visit()
    tab.keyboard.press("Tab")
    tab.keyboard.press("Enter")
    assert tab.evaluate("document.activeElement.id") == "chapter"
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.closest('.body') !== null")


def test_a_card_opens_by_keyboard(visit):
    tab = visit()
    summary = tab.locator(".card > summary").first
    summary.focus()
    tab.keyboard.press("Enter")
    assert tab.locator(".card").first.get_attribute("open") is not None
