"""What the page says first: the claims farthest from the chapter, agreement with the reference."""

import copy

import pytest

from finicky.page.findings import surprise

# ---- Findings -----------------------------------------------------------------------------------


def test_surprise_of_a_number_is_its_distance_in_margins(entries):
    # |94.63 - 92| = 2.63 margins under Adam, the farthest of parts and conditions
    assert surprise(entries["C062"]) == pytest.approx(2.63 / 3.63)


def test_surprise_of_an_ordering_is_its_share_of_failing_conditions(entries):
    # 3 of 7 fail; the dropped one does not count
    assert surprise(entries["C064"]) == pytest.approx(3 / 8)


def test_surprise_of_an_existence_is_its_share_of_runs_without(entries):
    assert surprise(entries["C183"]) == pytest.approx(5 / 6)


def test_findings_are_ordered_by_surprise_and_only_against_the_chapter(page):
    links = [item.find("a")["href"] for item in page.select(".findings li")]
    assert links == ["#C183", "#C062", "#C064"]


def test_a_finding_shows_the_number_farthest_off(page, words, numbers_of):
    finding = page.select(".findings li")[1]
    assert numbers_of(finding) == [92, 94.63, 94.4, 94.9]
    assert "n = 5" in words(finding) and "epoch 1, Adam" in words(finding)


def test_a_finding_that_was_built_or_looked_up_shows_no_number(entries, render):
    """Passed or not is no number: the sentence says it."""
    entries["C064"]["rule"] = "construction"
    found = {item.find("a")["href"]: item for item in render().select(".findings li")}
    assert found["#C062"].select(".figures") and not found["#C064"].select(".figures")


# ---- Agreement ----------------------------------------------------------------------------------


def test_agreement_with_the_reference(page, words):
    text = words(page.select_one(".agreement"))
    # seven claims are decided in both; one verdict was changed, one number by half a margin
    assert "on 6 of 7 claims" in text
    assert "C180 , training accuracy: 91.0 here, 91.5 % there, 0.50 of" in text
    assert "Different verdict: C062" in text


def test_a_verdict_that_depends_on_the_seeds_is_told_on_its_card(inputs, render, words):
    entry = inputs["claims"][1]
    verdict = entry["verdict"]
    entry["other_seeds"] = {"seeds-1000": verdict, "seeds-2000": "undecided"}
    said = words(render().find(id=entry["id"]))
    assert f"Other seeds seeds-1000: {verdict}; seeds-2000: undecided." in said
    assert "The verdict depends on the seeds." in said
    entry["other_seeds"]["seeds-2000"] = verdict
    assert "depends on the seeds" not in words(render().find(id=entry["id"]))


def test_two_seed_sets_are_two_agreements(inputs, render, words):
    inputs["references"]["seeds-2000"] = inputs["claims"]
    first, second = map(words, render().select(".agreement"))
    assert "the reference results, seeds-1000 on 6 of 7" in first
    assert "the reference results, seeds-2000 on 7 of 7" in second


def test_agreement_with_another_device(inputs, render, words):
    """The same preset, made on a GPU before: its verdicts beside these."""
    theirs = copy.deepcopy(inputs["claims"])
    theirs[1]["verdict"] = theirs[2]["verdict"] = "undecided"
    _, other = render(other_devices={"cuda": theirs}).select(".agreement")
    said = words(other)
    assert said.startswith("Agrees with this preset as a GPU gave it on 5 of 7 claims.")
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
