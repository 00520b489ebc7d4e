"""Deep links, search, filters: what the hash says, the page shows."""

SHOWN = "() => Array.from(document.querySelectorAll('#found-claims > *'), (one) => one.id)"


def top(tab, selector):
    """How far below the window's top an element begins, in pixels."""
    return tab.locator(selector).evaluate("(one) => one.getBoundingClientRect().top")


def test_a_deep_link_opens_its_card_and_goes_there(visit, claims):
    [name, *_] = [name for name, one in reversed(claims.items()) if one["parts"]]
    tab = visit(f"#{name}")
    assert tab.locator(f"#{name}").get_attribute("open") is not None
    assert tab.locator(f"#{name} .how").is_visible()
    assert -1 <= top(tab, f"#{name}") <= 400


def test_a_link_on_the_page_opens_its_card_and_back_returns(visit):
    tab = visit()
    link = tab.locator(".findings .says a").first
    name = link.get_attribute("href")
    link.click()
    tab.wait_for_function("(name) => document.querySelector(name).open", arg=name)
    assert 0 <= top(tab, name) <= 400
    tab.go_back()
    assert tab.evaluate("location.hash") == ""


def test_search_ranks_shows_what_it_found_and_is_cleared(visit, claims):
    tab = visit()
    everywhere = tab.locator(".claim").count()
    tab.fill("#search", "he xavier")
    found = tab.evaluate(SHOWN)
    assert found[0] == "C064" and len(found) < 60
    assert tab.locator("#matches").text_content() == (
        f"{len(found)} of {len(claims)} claims, best match first"
    )
    assert not tab.locator(".answer").is_visible() and not tab.locator("#method").is_visible()
    assert tab.evaluate("location.hash") == "#find?q=he+xavier"
    tab.fill("#search", "qwertz")
    assert tab.evaluate(SHOWN) == []
    assert tab.locator("#matches").text_content().startswith("Nothing matches.")
    assert tab.locator("#found-elsewhere a[href='#explore']").is_visible()
    tab.click("#clear")
    tab.wait_for_function("document.querySelector('#found').hidden")
    assert tab.locator(".answer").is_visible() and tab.locator(".claim").count() == everywhere
    assert tab.input_value("#search") == "" and tab.evaluate("location.hash") == ""
    ids = tab.evaluate("Array.from(document.querySelectorAll('.claim'), (one) => one.id)")
    assert tab.evaluate(SHOWN) == [] and set(ids) == set(claims)


def test_the_number_of_a_claim_finds_it_first(visit):
    tab = visit()
    tab.fill("#search", "c064")
    assert tab.evaluate(SHOWN)[0] == "C064"


def test_filters_pass_what_they_name_and_stand_in_the_link(visit, claims, index):
    tab = visit()
    tab.click("#filters > summary")
    tab.select_option("#section", "optimizers")
    for box in tab.locator("[name=verdict]").all():
        box.set_checked(box.get_attribute("value") == "not-reproduced")
    expected = [
        name for name, one in claims.items()
        if one["section"] == "optimizers" and one["verdict"] == "not reproduced"
    ]  # fmt: skip
    assert expected and tab.evaluate(SHOWN) == expected
    assert tab.evaluate("location.hash") == "#find?section=optimizers&verdict=not-reproduced"
    tab.click("#clear")
    tab.check("[name=fragile]")
    assert tab.evaluate(SHOWN) == [name for name in claims if index[name]["fragile"]]


def test_a_link_restores_search_and_filters_and_back_leaves_them(visit, claims):
    tab = visit("#find?q=adam&verdict=undecided,opinion&section=optimizers")
    assert tab.input_value("#search") == "adam" and tab.input_value("#section") == "optimizers"
    checked = tab.locator("[name=verdict]:checked").evaluate_all("(all) => all.map((b) => b.value)")
    assert checked == ["undecided", "opinion"]
    assert tab.locator("#filters").get_attribute("open") is not None
    found = tab.evaluate(SHOWN)
    assert {claims[name]["section"] for name in found} == {"optimizers"}
    assert {claims[name]["verdict"] for name in found} <= {"undecided", "opinion"}
    tab.evaluate("location.hash = '#method'")
    tab.wait_for_function("document.querySelector('#found').hidden")
    assert tab.input_value("#search") == "" and tab.locator("#method").is_visible()
    tab.go_back()
    tab.wait_for_function("!document.querySelector('#found').hidden")
    assert tab.evaluate(SHOWN) == found and tab.input_value("#search") == "adam"
