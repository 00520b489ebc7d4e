"""Cards, and the margin that a reader can move."""

import json

import pytest


@pytest.fixture(scope="session")
def movable(page):
    """What the page knows of the claims whose margin moves: {claim: ...}."""
    embedded = json.loads(page.locator("#conditions-data").text_content())
    return {name: one for name, one in embedded.items() if one["moves"]}


def test_a_card_that_is_closed_has_no_body_yet_and_an_open_one_has(visit, movable):
    name = next(iter(movable))
    tab = visit()
    inside = f"#{name} > :not(summary):not(noscript)"
    assert tab.locator(inside).count() == 0
    tab.click(f"#{name} > summary")
    assert tab.locator(inside).count() > 1
    assert tab.locator(f"#{name} noscript").count() == 0


def test_closed_again_a_card_costs_what_it_cost_before(visit, movable):
    tab = visit()
    count = "document.querySelectorAll('*').length"
    before = tab.evaluate(count)
    for name in list(movable)[:3]:
        tab.click(f"#{name} > summary")
        tab.locator(f"#{name} .margin output").wait_for()
        assert tab.evaluate(count) > before
        tab.click(f"#{name} > summary")
        tab.locator(f"#{name} .margin").wait_for(state="detached")
        assert tab.evaluate(count) == before
    tab.click(f"#{name} > summary")  # and it opens once more
    assert tab.locator(f"#{name} .margin output").text_content()


def test_moving_the_margin_moves_the_verdict_and_comes_back(visit, movable, claims):
    name = next(
        name for name in movable
        if claims[name]["verdict"] == "reproduced" and claims[name]["rule"] == "value"
    )  # fmt: skip
    tab = visit(f"#{name}")
    said = tab.locator(f"#{name} .margin output")
    assert "as the rule says" in said.text_content()
    assert said.text_content().endswith("The verdict: reproduced.")
    slider = tab.locator(f"#{name} input[type=range]")
    slider.focus()
    tab.keyboard.press("Home")  # a tenth of it
    told = said.text_content()
    assert "The verdict would be: " in told and told == said.text_content()
    heard = slider.get_attribute("aria-valuetext")
    assert heard and heard in told and "as the rule says" not in heard
    tab.get_by_role("button", name="Back to the margin of the rule").click()
    assert said.text_content().endswith("The verdict: reproduced.")
    assert tab.evaluate("document.activeElement.type") == "range"


def test_every_verdict_at_the_rules_own_margin_is_the_cards(visit, movable, claims):
    """Of all cards that have a slider: opened, they say what their badge says."""
    tab = visit()
    told = tab.evaluate(
        """async (names) => {
          const told = [];
          for (const name of names) {
            const card = document.getElementById(name);
            card.open = true;
            await new Promise((opened) => setTimeout(opened));
            told.push([name, card.querySelector(".margin output").textContent]);
            card.open = false;
          }
          return told;
        }""",
        list(movable),
    )
    assert len(told) == len(movable) > 20
    for name, text in told:
        assert text.endswith(f"The verdict: {claims[name]['verdict']}."), name


def test_some_verdict_is_another_at_a_tenth_or_at_ten_times_the_margin(visit, movable):
    tab = visit()
    changed = 0
    for name in list(movable)[:12]:
        tab.evaluate("(name) => { location.hash = name; }", name)
        slider = tab.locator(f"#{name} input[type=range]")
        own = tab.locator(f"#{name} .margin output").text_content().partition("The verdict: ")[2]
        for key in ("Home", "End"):
            slider.press(key)
            told = tab.locator(f"#{name} .margin output").text_content()
            changed += told.partition("The verdict would be: ")[2] != own
    assert changed > 0


def test_all_conditions_are_made_when_they_are_asked_for(visit, movable):
    name = next(
        name for name, one in movable.items() if any(len(part["rows"]) > 9 for part in one["parts"])
    )
    tab = visit(f"#{name}")
    assert tab.locator(f"#{name} .map").count() == 0
    tab.locator(f"#{name} .all > summary").first.click()
    cells = tab.locator(f"#{name} .map").first.locator("td:not(.none)")
    cells.first.wait_for()
    part = int(tab.locator(f"#{name} .counted").first.get_attribute("data-part"))
    assert cells.count() == len(movable[name]["parts"][part]["rows"])
