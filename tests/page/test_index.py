"""What the page's script knows of each claim."""

import json
import re

from finicky.page import build, index


def of(page):
    return json.loads(page.find("script", id="index").string)


def test_every_claim_is_in_the_index_in_the_ledgers_order(page, inputs):
    assert list(of(page)) == [claim["id"] for claim in inputs["ledger"]["claims"]]
    assert of(page)["C064"] == {
        "section": "initialisation", "verdict": "reproduced-under-conditions",
        "kind": "comparison", "data": [], "fragile": False, "says": "He is ahead of Xavier",
        "headline": "Headline of C064.",
    }  # fmt: skip


def test_the_index_leads_to_elements_and_filters_offer_what_it_holds(page):
    for claim, one in of(page).items():
        assert "claim" in page.find(id=claim)["class"]
        for name in ("section", "kind"):
            assert page.select_one(f'#{name} option[value="{one[name]}"]')
        assert page.select_one(f'#filter [name=verdict][value="{one["verdict"]}"]')


def test_data_sets_come_from_conditions_parts_and_budget(inputs, entries, claims, render):
    inputs["record"]["data"] = {"mnist": {}, "fashion_mnist": {}}
    entries["C064"]["conditions"][0]["levels"]["dataset"] = "fashion_mnist"
    entries["C062"]["budget"] = "10,000 images of Fashion-MNIST, 3 epochs"
    entries["C180"]["budget"] = "10,000 images of MNIST and Fashion-MNIST, 3 epochs"
    claims["C183"]["parts"][0]["where"] = {"dataset": "mnist"}
    page = render()
    found = {claim: one["data"] for claim, one in of(page).items()}
    assert found["C064"] == found["C062"] == ["fashion_mnist"]
    assert found["C180"] == ["mnist", "fashion_mnist"] and found["C183"] == ["mnist"]
    options = [option["value"] for option in page.select("#data option")]
    assert options == ["", "mnist", "fashion_mnist"]


def test_no_text_ends_the_block():
    values = {"C001": "</script><script>alert(1)</script>"}
    text = index.as_json(values)
    assert "<" not in text and json.loads(text) == values


def test_the_game_is_hidden_until_the_script_shows_it(page):
    assert page.find(id="predict").has_attr("hidden") and page.find(id="start").has_attr("hidden")
    assert [button["value"] for button in page.select(".guesses button")] == [
        "reproduced", "reproduced-under-conditions", "not-reproduced",
    ]  # fmt: skip


def test_every_element_that_the_script_names_is_there(page):
    """Its $(...) are ids of the page."""
    script = (build.TEMPLATES / "script.js").read_text(encoding="utf-8")
    wanted = set(re.findall(r'\$\("([a-z-]+)"\)', script))
    assert len(wanted) > 15 and all(page.find(id=name) for name in wanted), wanted
