"""The guessing game: nothing tells the answer before the guess, and a deck is the same for all."""

import re

DECK = "#predict?deck=7"


def play(tab, index):
    """Guess all cards of a deck alike; returns [(claim's words, verdict)] and the score's words."""
    met = []
    while tab.locator("#predict-ask").is_visible():
        says = tab.locator("#predict-says").text_content()
        tab.locator(".guesses button").first.click()
        card = tab.locator("#predict-card .card")
        met.append((says, index[card.get_attribute("id")]["verdict"]))
        tab.click("#predict-next")
    return met, tab.locator("#predict-status").text_content()


def test_before_the_guess_no_verdict_can_be_read_or_heard(visit, claims):
    tab = visit(DECK)
    heard = tab.locator("body").aria_snapshot()
    seen = tab.locator("body").inner_text()
    assert "Claim 1 of 10" in heard and "Claim 1 of 10" in seen
    for text in (heard, seen):
        for verdict in ("reproduced", "not reproduced", "reproduced under conditions"):
            assert len(re.findall(rf"(?<!not ){verdict}(?! under)", text)) == 1  # its button
        assert "undecided" not in text and "by a thread" not in text
        assert not any(one["headline"] in text for one in claims.values() if one["headline"])
    assert tab.locator(".plot:visible, .bar:visible, .contents:visible, .card:visible").count() == 0


def test_ten_guesses_and_a_score(visit, index):
    tab = visit(DECK)
    met, told = play(tab, index)
    right = sum(verdict == "reproduced" for _, verdict in met)
    assert len(met) == len(set(met)) == 10
    assert told == f"You foresaw {right} of 10. Believing the chapter every time: {right}."
    assert tab.locator("#predict-list li").count() == 10
    assert tab.locator("#predict-deck").get_attribute("href") == DECK


def test_the_same_link_deals_a_class_the_same_claims(visit, index):
    first, other = (play(visit(DECK), index)[0] for _ in range(2))
    assert first == other
    assert play(visit("#predict?deck=8"), index)[0] != first


def test_after_the_guess_stands_the_finding_and_the_card(visit, index, claims):
    name = next(name for name, one in index.items() if one["verdict"] == "not-reproduced")
    tab = visit(f"#predict?cards={name}")
    tab.locator(".guesses button").first.click()
    said = tab.locator("#predict-status").text_content()
    assert said.startswith("You guessed reproduced. It is: not reproduced.")
    assert claims[name]["headline"] in said
    assert tab.locator(f"#predict-card #{name} .how").is_visible()


def test_escape_brings_everything_back(visit):
    tab = visit()
    before = tab.evaluate("document.querySelector('main').innerHTML.length")
    tab.click("#start a")
    tab.locator("#predict-ask").wait_for()
    tab.keyboard.press("Escape")
    tab.wait_for_function("document.querySelector('#predict').hidden")
    assert tab.locator(".answer .tallies").is_visible() and tab.locator(".contents").is_visible()
    assert tab.evaluate("location.hash") == ""
    assert abs(tab.evaluate("document.querySelector('main').innerHTML.length") - before) < 500


def test_a_second_link_in_the_same_tab_deals_its_own_claims(visit):
    tab = visit(DECK)
    first = tab.locator("#predict-says").text_content()
    tab.evaluate("location.hash = '#predict?deck=11'")
    tab.wait_for_function(
        "(said) => document.querySelector('#predict-says').textContent !== said", arg=first
    )
    assert tab.locator("#predict-status").text_content() == "Claim 1 of 10"
