"""What the page says first: the claims farthest from the chapter, agreement with the reference."""

import copy
import json

import pytest

from finicky.page import findings, scale

# ---- Findings -----------------------------------------------------------------------------------


def test_surprise_adds_up_over_parts_and_conditions(entries):
    """Epoch 1 is 0.5 and 1.4 margins off its own, with SGD and Adam; epoch 10 holds."""
    assert scale.surprise(entries["C062"]) == pytest.approx((0.5 / 1.5 + 1.4 / 2.4) / 4)


def test_surprise_leaves_out_what_was_dropped(entries):
    # margin 0.5: three of seven fail, their upper ends at 0.2, -0.7 and 0.3
    off = [(0.5 - end) / 0.5 for end in (0.2, -0.7, 0.3)]
    expected = sum(x / (1 + x) for x in off) / 8
    assert scale.surprise(entries["C064"]) == pytest.approx(expected)


def test_findings_are_ordered_by_surprise_and_only_against_the_chapter(page):
    links = [item.find("a")["href"] for item in page.select(".findings li")]
    assert links == ["#C183", "#C062", "#C064"]


def test_findings_are_dealt_over_the_sections():
    """The first ones each of another section, then no more than two of one."""
    part = {"name": "p", "verdict": "not reproduced", "n": 5, "chapter": 0, "margin": 1,
            "ci_low": 9, "ci_high": 9, "measured": 9}  # fmt: skip
    sections = ["a", "a", "a", "b", "b", "c", "d", "d"]
    claims, cards = {}, {}
    for place, section in enumerate(sections):
        name = f"C{place}"
        off = part | {"ci_low": 90 - place}  # less and less far off
        claims[name] = {"rule": "value", "verdict": "not reproduced", "parts": [off]}
        cards[name] = {"id": name, "section": section, "groups": []}
    shown = [card["id"] for card in findings.findings(claims, cards)]
    assert shown == ["C0", "C3", "C5", "C1", "C4", "C6", "C7"]
    claims["C1"]["parts"][0]["ci_low"] = 95  # now the farthest
    shown = [card["id"] for card in findings.findings(claims, cards)]
    assert shown == ["C1", "C3", "C5", "C0", "C4", "C6", "C7"]


def test_a_finding_is_a_sentence_with_verdict_plot_and_the_number_farthest_off(page, words):
    finding = page.select(".findings li")[1]
    assert words(finding.select_one(".says")) == "Headline of C062."
    assert "not reproduced" in words(finding.select_one(".badge"))
    assert finding.select_one("svg.plot .median")
    said = words(finding.select_one(".figures"))
    assert "chapter 92" in said and "94.6" in said and "epoch 1, Adam" in said


def test_a_finding_whose_conditions_are_mapped_shows_how_they_fall_out(page, words):
    """Their average may lie on the chapter's side while most of them do not."""
    finding = page.select(".findings li")[2]
    assert finding.find("a")["href"] == "#C064"
    assert not finding.select(".plot") and finding.select(".figures .bar rect")
    said = words(finding.select_one(".figures"))
    assert said.startswith("8 conditions: 3 hold, 2 do not, 1 show the opposite, 1 undecided")


def test_a_finding_that_was_built_or_looked_up_has_no_plot(entries, claims, render):
    """Passed or not is no number: the sentence says it."""
    for one in entries["C064"], claims["C064"]:
        one["rule"] = "construction"
    found = {item.find("a")["href"]: item for item in render().select(".findings li")}
    assert found["#C062"].select(".plot") and not found["#C064"].select(".plot")


def test_a_preset_of_too_few_seeds_says_so_and_shows_no_findings(inputs, render, words):
    assert not render().select(".banner")
    inputs["record"]["config"]["seeds"] = 2
    page = render()
    said = words(page.select_one(".banner"))
    assert "decides nothing" in said and "2 seeds of each network" in said and "below 5" in said
    assert not page.select(".findings")
    assert findings.too_few_seeds({}) is None


# ---- Agreement ----------------------------------------------------------------------------------


def test_agreement_with_the_reference(page, words):
    text = words(page.select_one(".agreement"))
    # five claims are measured in both; one verdict was changed, one number by half a margin
    assert "on 4 of 5 claims" in text
    assert "C180 , training accuracy: 91.0 here, 91.5 % there, 0.50 of" in text
    assert "Different verdict: C062" in text


def test_errors_of_rounding_are_no_deviation(entries, inputs, render, words):
    """Twice 10⁻¹² instead of once are 10⁶ of a tiny margin and mean nothing."""
    for one in inputs["claims"], inputs["references"]["seeds-1000"]:
        log = next(entry for entry in one if entry["id"] == "C180")
        log["rule"] = "identity"
    assert "C180" not in words(render().select_one(".agreement"))


def test_a_verdict_that_depends_on_the_seeds_is_told_on_its_card(inputs, render, words):
    entry = inputs["claims"][1]
    verdict = entry["verdict"]
    entry["other_seeds"] = {"seeds-1000": verdict, "seeds-2000": "undecided"}
    page = render()
    said = words(page.find(id=entry["id"]))
    assert f"Other seeds seeds-1000: {verdict}; seeds-2000: undecided." in said
    assert "The verdict depends on the seeds." in said and "turns with other seeds" in said
    assert json.loads(page.find(id="index").string)[entry["id"]]["fragile"]
    entry["other_seeds"]["seeds-2000"] = verdict
    page = render()
    said = words(page.find(id=entry["id"]))
    assert "depends on the seeds" not in said and "turns with" not in said
    assert not json.loads(page.find(id="index").string)[entry["id"]]["fragile"]


def test_two_seed_sets_are_two_agreements(inputs, render, words):
    inputs["references"]["seeds-2000"] = inputs["claims"]
    first, second = map(words, render().select(".agreement"))
    assert "the reference results, seeds-1000 on 4 of 5" in first
    assert "the reference results, seeds-2000 on 5 of 5" in second


def test_agreement_with_another_device(inputs, render, words):
    """The same preset, made on a GPU before: its verdicts beside these."""
    theirs = copy.deepcopy(inputs["claims"])
    theirs[1]["verdict"] = theirs[2]["verdict"] = "undecided"
    _, other = render(other_devices={"cuda": theirs}).select(".agreement")
    said = words(other)
    assert said.startswith("Agrees with this preset as a GPU gave it on 3 of 5 claims.")
    assert said.endswith("Different verdict: C062 , C064 .")
    assert "as a CPU gave it" in words(render(other_devices={"cpu": theirs}))
    assert len(render(other_devices={}).select(".agreement")) == 1


def test_the_card_is_named(inputs, render, words):
    """Beside the processor, and in the provenance; a CPU's report says that there was none."""
    assert "GPU none" in words(render().find(id="provenance"))
    inputs["record"]["machine"]["gpu"] = "A card"
    page = render()
    assert "GPU A card" in words(page.find(id="provenance"))
    assert "A CPU; A card" in words(page.select_one(".facts"))


def test_without_reference_results_the_page_says_so(render, words):
    page = render(references={})
    assert "No reference results" in words(page.select_one(".agreement"))
    assert "reference" not in words(page.find(id="C062").find("table"))
