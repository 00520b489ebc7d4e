"""Claim cards: numbers, conditions, words, evidence."""

import re

import pytest

from finicky.page import conditions
from finicky.page.plots import Axis

# ---- Numbers ------------------------------------------------------------------------------------


def test_card_shows_the_numbers_of_claims_json(page, entries, numbers_of):
    card = page.find(id="C180")
    for part in entries["C180"]["parts"]:
        for key in ("chapter", "measured", "ci_low", "ci_high"):
            assert part[key] in numbers_of(card)


def test_part_with_few_conditions_is_listed_condition_by_condition(page, words, numbers_of):
    heads = [words(head) for head in page.find(id="C062").select("tbody th")]
    assert heads == ["epoch 1, SGD", "epoch 1, Adam", "epoch 10"]
    assert 94.21 not in numbers_of(page.find(id="C062"))  # their average would hide them


def test_number_that_is_not_there_is_a_dash_and_a_reason(page, words):
    card = words(page.find(id="C099"))
    assert "–" in card and "The experiment grid has not run" in card


def test_a_unit_of_yes_and_no_is_not_printed(entries, render, words):
    entries["C183"]["parts"][0]["unit"] = "0/1"
    card = render().find(id="C183")
    assert "0/1" not in card.get_text()
    assert [words(head) for head in card.select("thead th")][:2] == ["measured", "seeds"]


def test_what_looks_at_every_trial_shows_no_interval(claims, entries, render, words):
    claims["C180"]["rule"] = entries["C180"]["rule"] = "identity"
    worst = {"measured": 9.881e-15, "ci_low": 9.881e-15, "ci_high": 9.881e-15}
    entries["C180"]["parts"] = [entries["C180"]["parts"][0] | worst]
    card = render().find(id="C180")
    cell = card.find("td", class_="measured")
    assert words(cell) == "1·10⁻¹⁴" and not card.select("thead text")


@pytest.mark.parametrize(
    "rule, zone",
    [
        ("value", (85, 155)), ("ordering", (155, 240)), ("noninferiority", (85, 240)),
        ("identity", (None, None)),
    ],
)  # fmt: skip
def test_a_plot_shades_what_counts_as_reproduced(rule, zone):
    """On an axis from -5 to 5, in units of 22 around 120."""
    row = {"measured": 0.0, "ci_low": -5.0, "ci_high": 5.0, "margin": 35 / 22, "chapter": 0.0}
    axis = Axis(rule, [row], [])
    assert tuple(axis.x(end) for end in axis.zone(row)) == zone
    plot = axis.plot(row, None)
    assert plot is None if zone[0] is None else plot["zone"] == (zone[0], zone[1] - zone[0])


def test_the_axis_of_a_plot_holds_the_reference_as_well(inputs, render):
    """The chapter's zone alone ends at 92.23."""
    inputs["references"]["seeds-1000"][7]["parts"][1]["measured"] = 95.0
    card = render().find(id="C180")
    assert card.select("path.reference")[1]["d"].startswith("M230.0 ")
    x = float(card.select("circle.median")[1]["cx"])
    assert x == pytest.approx(10 + 220 * (91.04 - 90.23) / (95 - 90.23), abs=0.06)


# ---- Conditions ---------------------------------------------------------------------------------


def levels(**axes):
    return {"levels": axes}


def test_columns_that_change_together_are_one_axis():
    found = [
        levels(dataset="mnist", images=10000, epochs=3, optimizer="sgd", learning_rate=0.01),
        levels(dataset="mnist", images=60000, epochs=10, optimizer="sgd", learning_rate=0.01),
        levels(dataset="mnist", images=60000, epochs=10, optimizer="adam", learning_rate=0.01),
        levels(dataset="mnist", images=60000, epochs=10, optimizer="adam", learning_rate=0.001),
    ]
    assert conditions.axes(found) == [("images", "epochs"), ("optimizer", "learning_rate")]


def test_a_level_that_is_not_there_is_a_place_of_its_own():
    found = [levels(depth=2), levels(depth=10), levels()]
    assert conditions.axes(found) == [("depth",)]
    places = sorted({conditions.at(one, ("depth",)) for one in found}, key=conditions.order)
    assert places == [(None,), (2,), (10,)]


def test_no_name_of_an_axis_collides_with_a_number(entries, render, numbers_of):
    """Levels are nested, so an axis may be called like a key."""
    for place, condition in enumerate(entries["C062"]["conditions"]):
        condition["levels"] = {"measured": place + 7}
    card = render().find(id="C062")
    heads = [head.get_text(" ", strip=True) for head in card.select("tbody th")]
    assert heads == ["epoch 1, measured 7", "epoch 1, measured 8", "epoch 10"]
    assert 93.81 in numbers_of(card)


def test_part_with_many_conditions_has_a_map(page, entries, words, numbers_of):
    card = page.find(id="C064")
    table = card.find("table", class_="map")
    assert sorted(numbers_of(table)) == sorted(
        condition["measured"] for condition in entries["C064"]["conditions"]
    )
    heads = table.select("thead tr:last-child th")
    assert [words(head) for head in heads] == ["2", "10", "20", "56"]
    states = [words(cell) for cell in table.find_all("td")]
    assert "−0.9 the opposite holds" in states  # its whole interval lies below -0.5
    assert sum("neither arm trains" in state for state in states) == 1
    strip = words(card.find(class_="where"))
    for count in ("3 holds", "2 does not hold", "1 the opposite holds", "1 undecided"):
        assert count in strip


def test_a_map_names_optimizers_with_their_rates_and_what_is_the_same(entries, render, words):
    for condition in entries["C064"]["conditions"]:
        rate = {"sgd": 0.01, "adam": 0.001}[condition["levels"]["optimizer"]]
        condition["levels"] |= {"learning_rate": rate, "images": 10000}
    card = render().find(id="C064")
    rows = [words(head) for head in card.select("table.map tbody th")]
    assert len(rows) == 2 and "SGD" in rows[0] and "0.01" in rows[0] and "Adam" in rows[1]
    assert words(card.find(class_="fixed")) == "Throughout: images 10 000."


def test_counts_by_level_add_up_to_the_conditions(page, words):
    table = page.find(id="C064").find("table", class_="levels")
    for body in table.find_all("tbody"):
        counts = [int(re.match(r"\d+", words(state)).group()) for state in body.select(".state")]
        assert sum(counts) == 8


# ---- Words --------------------------------------------------------------------------------------


def test_verdict_is_said_in_colour_word_and_shape(page, entries, words):
    for claim, entry in entries.items():
        if entry["verdict"] == "not measured":
            continue
        badge = page.find(id=claim).find(class_="badge")
        slug = entry["verdict"].replace(" ", "-")
        assert entry["verdict"] in words(badge)
        assert f"c-{slug}" in badge["class"]
        assert badge.find("use")["href"] == f"#i-{slug}"


def test_literature_is_named_on_the_card(page, words):
    assert words(page.find(id="C098").find(class_="badge")) == "reproduced literature"


def test_opinion_says_why_it_is_not_judged(page, words):
    assert "A likeness, nothing to measure." in words(page.find(id="C199"))


def test_words_change_with_the_evidence(entries, render, words):
    before = words(render())
    entries["C062"]["conditions"][1]["measured"] = 99.87
    assert "99.9" in words(render()) and "99.9" not in before


def test_a_trap_is_for_readers_a_note_for_authors(claims, render, words):
    claims["C062"] |= {"trap": "Mind the optimizer.", "note": "ask the authors"}
    page = render()
    trap = page.find(id="C062").find("dt", string="Trap")
    assert words(trap.find_next("dd")) == "Mind the optimizer."
    assert "ask the authors" not in page.get_text()
    assert page.find(id="C064").find("dt", string="Trap") is None


def test_card_says_how_large_an_effect_its_seeds_decide(entries, render, words):
    def power(claim, **more):
        entries[claim]["parts"][0] |= more
        head = render().find(id=claim).find("dt", string="Power")
        return words(head.find_next("dd")) if head else None

    assert power("C062") is None
    effect = power("C062", detectable=0.513)
    assert effect.startswith("5 seeds that scatter like these decide, in 90 % of")
    effect = power("C180", detectable=0.513, unit="%")
    assert "what lies 0.5 pp or more beyond a limit of the rule." in effect
    assert "in a typical condition" in power("C064", detectable=1.2)
    assert power("C065", detectable=0.979).endswith("what 98 % of all runs do, or only 2 %.")
    assert power("C180", detectable=0).endswith("agree like these decide any effect.")


# ---- Evidence, and claims without it -----------------------------------------------------------


def test_card_has_rule_sentence_why_evidence_and_command(page, words):
    text = words(page.find(id="C062"))
    assert "Sentence of C062." in text
    assert "the rule of C062" in text
    assert "chapter, line 162" in text
    file = "results/smoke/experiments/ten-layers.parquet"
    assert f"snakemake {file} --cores 4 --configfile config/smoke.yaml" in text
    link = page.find(id="C062").find("a", string=file)
    assert link["href"] == "../experiments/ten-layers.parquet"
    assert "quantity test_accuracy" in words(link.parent)


def test_a_table_that_lies_elsewhere_is_linked_and_made_there(inputs, entries, render, words):
    """The benchmark's is no file of the preset."""
    file = "results/bench/engine.parquet"
    inputs["experiments"]["bench"]["table"] = file
    entries["C172"] |= {"verdict": "undecided"}
    card = render().find(id="C172")
    assert card.find("a", string=file)["href"] == "../../bench/engine.parquet"
    assert f"snakemake {file} --cores 4 --configfile config/smoke.yaml" in words(card)


def test_evidence_whose_table_is_not_in_the_report_is_named(inputs, render, words):
    inputs["experiments"]["ten-layers"]["table"] = None
    card = render().find(id="C062")
    assert "ten-layers , whose table is not in this report" in words(card)
    assert not card.select(".command")


def test_unmeasured_claim_is_one_line_with_its_plan_or_its_reason(page, words):
    assert page.find(id="C001").name == page.find(id="C172").name == "li"
    assert "planned: linear-limits" in words(page.find(id="C001"))
    assert "the experiment bench has not run" in words(page.find(id="C172"))
    assert "planned" not in words(page.find(id="C172"))


def test_claim_without_evidence_is_named(inputs, render, words):
    page = render(claims=inputs["claims"][2:])
    assert "evidence is missing" in words(page.find(id="C062"))
    gone = inputs["claims"][1]
    assert gone["id"] == "C062" and gone["verdict"] != "not measured"
    before = sum(entry["verdict"] == "not measured" for entry in inputs["claims"])
    assert f"{before + 1} are not measured" in words(page.select(".rest")[-1])
