"""Claim cards: rows that open, numbers, conditions, words, evidence."""

import json
import re

import pytest

from finicky.page import conditions, maps
from finicky.page.formulas import formula
from finicky.page.plots import Axis

# ---- A row that opens ---------------------------------------------------------------------------


def test_a_card_is_closed_and_its_row_says_claim_verdict_and_finding(page, entries, words):
    card = page.find(id="C062")
    assert card.name == "details" and not card.has_attr("open")
    row = card.find("summary")
    assert words(row.find(class_="id")) == "C062"
    assert words(row.find(class_="badge")) == "not reproduced"
    assert words(row.find(class_="says")) == "The chapter: He: 92 %, 98 %"
    assert words(row.find("h3")) == "Headline of C062."
    assert "Sentence of C062." in words(card.find("dl"))
    assert "hangs by a thread" not in words(row)


def test_without_a_headline_the_sentence_stands_there_once(entries, render, words):
    del entries["C062"]["headline"]
    card = render().find(id="C062")
    assert words(card.find("h3")) == "Sentence of C062."
    assert words(card).count("Sentence of C062.") == 1


def test_a_reason_that_the_headline_gives_is_not_given_twice(claims, entries, render, words):
    entries["C099"]["headline"] = "Undecided whether it is: the experiment grid has not run."
    assert words(render().find(id="C099")).count("has not run") == 1
    claims["C099"]["rule"] = entries["C099"]["rule"] = "source"
    entries["C099"]["reason"] = said = "the source prints no number to compare with"
    assert words(render().find(id="C099")).count(said) == 1
    claims["C099"]["rule"] = entries["C099"]["rule"] = "noninferiority"
    entries["C099"] |= {"headline": "Undecided.", "reason": "the experiment grid has not run"}
    assert words(render().find(id="C099")).count("has not run") == 1


def test_a_row_draws_the_number_that_speaks_most_against_the_claim(page):
    """94.63 under Adam lies farthest above 92; of the reproduced numbers, 0.3187 is nearest to its
    limit."""
    card = page.find(id="C062")
    tiny = card.select_one("summary .plot .median")["cx"]
    drawn = {row["data-at"]: row.select_one(".median")["cx"] for row in card.select("tr[data-at]")}
    assert tiny == drawn["0.1"] != drawn["0.0"]
    card = page.find(id="C180")
    assert card.select_one("summary .median")["cx"] == card.select_one("tr .median")["cx"]


def test_a_row_of_many_conditions_draws_how_many_hold(page):
    bar = page.find(id="C064").select("summary svg.bar rect")
    assert [rect["class"] for rect in bar] == [
        ["f-holds"], ["f-fails"], ["f-behind"], ["f-undecided"], ["f-dropped"]
    ]  # fmt: skip
    assert float(bar[0]["width"].rstrip("%")) == pytest.approx(3 / 8 * 100)
    assert not page.find(id="C098").select("summary .tiny")  # what was looked up has no plot


def test_drawings_need_no_style(page):
    """Where a server forbids the page's style, they are plain but true."""
    for mark in page.select(".card rect, .card circle, symbol .cut"):
        assert mark["fill"], mark
    for mark in page.select(".card path"):
        assert mark.get("fill") or mark.get("stroke"), mark
    for drawing in page.select(".card svg"):
        assert drawing["width"] and drawing["height"]


def test_the_body_of_a_card_is_text_until_it_is_opened(html, page):
    """Where scripts run, <noscript> holds no elements; the rest of a card is few."""
    closed = re.sub(r"<noscript>.*?</noscript>", "", html, flags=re.S)
    for card in re.findall(r'<details class="claim card".*?</details>', closed, flags=re.S):
        assert len(re.findall("<[a-z]", card)) <= 22
    for card in page.select(".card"):
        assert [child.name for child in card.find_all(recursive=False)] == ["summary", "noscript"]


@pytest.mark.parametrize(
    "text, html",
    [
        ("[0,1]^n and 2^-d", "[0,1]<sup>n</sup> and 2<sup>−d</sup>"),
        ("10^473,000 images", "10<sup>473,000</sup> images"),
        ("β^i g_{t−i}", "β<sup>i</sup> g<sub>t−i</sub>"),
        ("2/(n_in+n_out)", "2/(n<sub>in</sub>+n<sub>out</sub>)"),
        ("σ², x⁻¹⁰, kᴸ, W₂", "σ<sup>2</sup>, x<sup>−10</sup>, k<sup>L</sup>, W<sub>2</sub>"),
        ("x^(n+1) < y^{a b}", "x<sup>n+1</sup> &lt; y<sup>a b</sup>"),
        ("batch_norm_residual <b>", "batch_norm_residual &lt;b&gt;"),
        ("10 % a layer", "10\N{NO-BREAK SPACE}% a layer"),
    ],
)
def test_formulas_are_set_as_mathematics(text, html):
    assert formula(text) == html


# ---- Numbers ------------------------------------------------------------------------------------


def test_card_shows_the_numbers_of_claims_json(page, entries, numbers_of, words):
    card = page.find(id="C180")
    for part in entries["C180"]["parts"]:
        assert {part["chapter"], part["measured"]} <= set(numbers_of(card))
    cells = [words(cell) for cell in card.select("td.measured")]
    assert cells == ["0.319 [0.312, 0.322]", "91.0 [90.9, 91.3]"]
    assert "measured, nats, 5 seeds" in words(card.find("thead"))


def test_seeds_that_differ_from_row_to_row_have_a_column(entries, render, words):
    entries["C062"]["conditions"][0]["n"] = 4
    card = render().find(id="C062")
    assert [words(cell) for cell in card.select("[data-label=seeds]")] == ["4", "5", "5"]


def test_part_with_few_conditions_is_listed_condition_by_condition(page, words, numbers_of):
    heads = [words(head) for head in page.find(id="C062").select("tbody th")]
    assert heads == ["epoch 1, SGD", "epoch 1, Adam", "epoch 10"]
    assert 94.21 not in numbers_of(page.find(id="C062"))  # their average would hide them


def test_each_row_says_what_happened_to_its_own_runs(entries, render, words):
    sgd, adam = entries["C062"]["conditions"]
    sgd |= {"outcome": "nan", "failed_share": 0.6}
    entries["C062"]["parts"][0] |= {"outcome": "nan", "failed_share": 0.3}
    found = render().find(id="C062")
    assert [words(line) for line in found.select(".failed")] == [
        "a loss became NaN with 3 of 5 seeds"
    ]
    assert "NaN" in words(found.select("tbody tr")[0])


def test_an_average_says_in_how_many_conditions_a_loss_was_lost(entries, render, words):
    """The dropped condition does not count."""
    for place in (0, 2, 6):
        entries["C064"]["conditions"][place]["failed_share"] = 1.0
    card = render().find(id="C064")
    assert words(card.select_one(".failed")) == (
        "a loss became infinite or NaN in 2 of 7 conditions"
    )


def test_a_difference_shows_its_two_accuracies(entries, render, words):
    entries["C099"]["parts"][0] |= {
        "measured": 87.5, "ci_low": 87.4, "ci_high": 88.1, "n": 5, "arms": [97.81, 10.31],
    }  # fmt: skip
    cell = render().find(id="C099").select_one("td.measured")
    assert words(cell) == "87.5 [87.4, 88.1] (medians 97.8 % and 10.3 %)"


def test_one_number_for_all_seeds_is_not_told_as_several(entries, render, words):
    same = {"measured": 3.32, "ci_low": 3.32, "ci_high": 3.32}
    entries["C099"]["parts"][0] |= same | {"n": 5, "alike": True}
    card = render().find(id="C099")
    assert words(card.select_one("td.measured")) == "3.32 the same for every seed"
    assert "5 seeds" not in words(card.find("table"))
    entries["C099"]["parts"][0]["alike"] = False
    card = render().find(id="C099")
    assert words(card.select_one("td.measured")) == "3.32 spread below the last digit"


def test_how_often_something_happens_is_told_in_runs(page, words):
    assert words(page.find(id="C065").select_one("td.measured")) == "5 of 5 runs [0.55, 1.00]"


@pytest.mark.parametrize(
    "rule, measured, n, said",
    [
        ("construction", 1, 1, "built and checked: passes every check"),
        ("construction", 1, 7, "built and checked: passes every check, in 7 trials"),
        ("construction", 0, 1, "built and checked: a counterexample was found"),
        ("source", 1, 1, "the source agrees"),
        ("source", 0, 1, "the source disagrees"),
        ("source", None, 1, "the source prints no number to compare with"),
    ],
)  # fmt: skip
def test_what_passes_or_fails_is_no_measurement(claims, entries, render, words, rule, measured, n,
                                                said):  # fmt: skip
    claims["C183"]["rule"] = entries["C183"]["rule"] = rule
    entries["C183"]["parts"][0] |= {"measured": measured, "n": n, "name": "a tower"}
    card = render().find(id="C183")
    assert not card.select("table") and not card.select(".tiny")
    assert words(card.find("dt", string="A tower").find_next("dd")) == said


def test_a_construction_under_conditions_says_in_how_many_it_passes(claims, entries, render, words):
    claims["C064"]["rule"] = entries["C064"]["rule"] = "construction"
    entries["C064"]["parts"][0]["counts"] |= {"conditions": 7, "hold": 3}
    card = render().find(id="C064")
    assert "built and checked: passes in 3 of 7 conditions" in words(card.find("dl"))
    assert card.select_one(".counted") and not card.select("table.parts")


def test_number_that_is_not_there_is_a_dash_and_a_reason(page, words):
    card = page.find(id="C099")
    assert words(card.select_one("td.measured")) == "–"
    assert words(card.find("dt", string="Reason").find_next("dd")) == (
        "The experiment grid has not run"
    )


def test_a_unit_of_yes_and_no_is_not_printed(entries, render, words):
    entries["C183"]["parts"][0]["unit"] = "0/1"
    card = render().find(id="C183")
    assert "0/1" not in card.get_text()
    assert words(card.select_one("thead th")) == "measured, 5 seeds"


def test_what_looks_at_every_trial_shows_no_interval(claims, entries, render, words):
    claims["C180"]["rule"] = entries["C180"]["rule"] = "identity"
    worst = {"measured": 9.881e-15, "ci_low": 9.881e-15, "ci_high": 9.881e-15}
    entries["C180"]["parts"] = [entries["C180"]["parts"][0] | worst]
    card = render().find(id="C180")
    assert words(card.find("td", class_="measured")) == "1·10⁻¹⁴"
    assert "5 trials" in words(card.find("thead")) and not card.select("thead text")


@pytest.mark.parametrize(
    "rule, zone",
    [
        ("value", (85, 155)), ("ordering", (155, 240)), ("noninferiority", (85, 240)),
        ("sometimes", (155, 240)), ("trend", (120, 240)),
        ("identity", (None, None)),
    ],
)  # fmt: skip
def test_a_plot_shades_what_counts_as_reproduced(rule, zone):
    """On an axis from -5 to 5, in units of 22 around 120."""
    row = {"measured": 0.0, "ci_low": -5.0, "ci_high": 5.0, "margin": 35 / 22, "chapter": 0.0}
    axis = Axis(rule, [row])
    assert tuple(axis.x(end) for end in axis.zone(row)) == zone
    plot = axis.plot(row)
    assert plot is None if zone[0] is None else plot["zone"] == (zone[0], zone[1] - zone[0])


def test_the_axis_of_a_plot_holds_every_seed_set_as_well(inputs, render, words):
    """The chapter's zone alone ends at 92.23."""
    inputs["references"]["seeds-1000"][7]["parts"][1]["measured"] = 95.0
    inputs["references"]["seeds-2000"] = inputs["claims"]
    card = render().find(id="C180")
    _, table = card.find_all("table")
    assert [words(head) for head in table.select("thead th.num")][-2:] == [
        "seeds-1000", "seeds-2000"
    ]  # fmt: skip
    first, second = table.select("path.reference")
    assert first["d"].startswith("M230.0 ")
    x = float(table.select_one("circle.median")["cx"])
    assert x == pytest.approx(10 + 220 * (91.04 - 90.23) / (95 - 90.23), abs=0.06)
    assert second["d"].startswith(f"M{x} ")
    low, high = map(float, table["data-axis"].split())
    assert (low, high) == pytest.approx((90.23, 95))


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


def test_the_axis_that_tells_where_it_holds_comes_first():
    found = [levels(depth=depth, optimizer=name) for depth in (2, 10) for name in ("sgd", "adam")]
    states = [(one, one["levels"]["optimizer"] == "sgd") for one in found]
    axes = conditions.deciding_axes(states, [("depth",), ("optimizer",)])
    assert axes == [(("optimizer",), 1.0), (("depth",), 0.0)]
    assert conditions.deciding_axes([(one, True) for one in found], [("depth",)]) == [
        (("depth",), 0.0)
    ]


def test_no_name_of_an_axis_collides_with_a_number(entries, render, numbers_of):
    """Levels are nested, so an axis may be called like a key."""
    for place, condition in enumerate(entries["C062"]["conditions"]):
        condition["levels"] = {"measured": place + 7}
    card = render().find(id="C062")
    heads = [head.get_text(" ", strip=True) for head in card.select("tbody th")]
    assert heads == ["epoch 1, measured 7", "epoch 1, measured 8", "epoch 10"]
    assert 93.81 in numbers_of(card)


def test_many_conditions_are_counted_in_words_along_the_axes_that_decide(page, words):
    """Depth tells more than the optimizer of where it holds: at 20 it does in half, at 2 nowhere;
    of the seven that count, three of 56, 20 and 10 hold."""
    said = words(page.find(id="C064").select_one(".counted"))
    assert said.startswith(
        "8 conditions: 3 hold, 2 do not, 1 show the opposite, 1 undecided, "
        "1 where neither of the two trains. "
    )
    assert "by depth: 2 (0 of 2), 10 (1 of 2), 20 (1 of 2), 56 (1 of 1)." in said
    assert "by optimizer: SGD (2 of 3), Adam (1 of 4)." in said


def test_what_is_the_same_in_all_conditions_is_said_once(entries, render, words):
    for condition in entries["C064"]["conditions"]:
        condition["levels"] |= {"images": 10000}
    said = words(render().find(id="C064").select_one(".counted"))
    assert said.endswith("Throughout: images 10,000.")


def test_the_conditions_travel_to_the_script(page, entries):
    data = json.loads(page.find(id="conditions-data").string)
    claim = data["C064"]
    (part,) = claim["parts"]
    assert claim["rule"] == "ordering" and claim["moves"] is True
    names = {name: levels for name, levels in part["axes"]}
    assert names == {"depth": ["2", "10", "20", "56"], "optimizer": ["SGD", "Adam"]}
    assert [part["axes"][axis][0] for axis in part["top"]] == ["depth", "optimizer"]
    assert part["axes"][part["across"]][0] == "depth"
    given = {
        (names["depth"][row[0][0]], names["optimizer"][row[0][1]]): row[1:] for row in part["rows"]
    }
    states = list(maps.STATES)
    for one in entries["C064"]["conditions"]:
        level = one["levels"]
        state, text, low, high = given[
            str(level["depth"]), {"sgd": "SGD", "adam": "Adam"}[level["optimizer"]]
        ]
        assert states[state] == maps.state("ordering", one, 0.5)
        assert float(text.replace("−", "-")) == pytest.approx(one["measured"], abs=0.06)
        assert (low, high) == pytest.approx((one["ci_low"], one["ci_high"]), rel=1e-4)
    assert "axes" not in data["C062"]["parts"][0]  # its conditions are listed
    assert "C065" not in data and "C098" not in data  # no margin to move, no map


def test_what_is_listed_and_what_travels_have_the_same_order(page, entries):
    """A row's `data-at` is the place of its numbers in the script's data."""
    data = json.loads(page.find(id="conditions-data").string)["C062"]
    for row in page.find(id="C062").select("tr[data-at]"):
        part, condition = map(int, row["data-at"].split("."))
        low, high = data["parts"][part]["rows"][condition][3:]
        assert f"[{low:.1f}, {high:.1f}]" in row.get_text()


def test_optimizers_are_named_with_their_rates(entries, render):
    for condition in entries["C064"]["conditions"]:
        condition["levels"]["learning_rate"] = {"sgd": 0.01, "adam": 0.001}[
            condition["levels"]["optimizer"]
        ]
    data = json.loads(render().find(id="conditions-data").string)
    axes = dict(data["C064"]["parts"][0]["axes"])
    assert axes["optimizer"] == ["SGD at 0.01", "Adam at 0.001"]


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
        rule = words(render().find(id=claim).find("dt", string="Rule").find_next("dd"))
        return rule.removeprefix(f"The rule of {claim}. ")

    assert "decide" not in power("C062")
    effect = power("C062", detectable=0.513)
    assert "5 seeds that scatter like these decide, in 90 % of" in effect
    effect = power("C180", detectable=0.513, unit="%")
    assert "what lies 0.5 pp or more beyond a limit of the rule." in effect
    assert "in a typical condition" in power("C064", detectable=1.2)
    assert power("C065", detectable=0.979).endswith("what 98 % of all runs do, or only 2 %.")
    assert power("C180", detectable=0).endswith("agree like these decide any effect.")


# ---- Evidence, and claims without it -----------------------------------------------------------


def test_card_has_rule_sentence_why_evidence_and_command(page, words):
    text = words(page.find(id="C062"))
    assert "The rule of C062. Sentence of C062." in text
    assert "Chapter line 162" in text
    file = "results/smoke/experiments/ten-layers.parquet"
    assert f"snakemake {file} --cores all --configfile config/smoke.yaml" in text
    assert (
        "with the snakemake of .venv/bin ; where its table is there already, add --force ." in text
    )
    link = page.find(id="C062").find("a", string=file)
    assert link["href"] == "../experiments/ten-layers.parquet"
    assert words(link.parent) == f"{file} , test_accuracy"


def test_a_card_says_how_long_its_experiments_took(inputs, render, words):
    inputs["record"]["experiment_seconds"] = {"ten-layers": 81.2}
    again = render().find(id="C062").find("dt", string="Run again").find_next("dd")
    assert "; it took 1 min 21 s here, once the grid was trained; where" in words(again)


def test_a_place_of_the_chapter_is_named_after_its_heading(inputs, render, words):
    inputs["ledger"]["headings"] = [
        {"line": 170, "title": "After it"}, {"line": 3, "title": "Long before"},
        {"line": 150, "title": "Which <start>"},
    ]  # fmt: skip
    place = render().find(id="C062").find("dt", string="Chapter").find_next("dd")
    assert words(place) == "“Which <start>”, line 162"


def test_a_card_and_what_shows_its_numbers_link_each_other(page):
    card = page.find(id="C062")
    links = [a["href"] for a in card.find("dt", string="Shown in").find_next("dd").find_all("a")]
    assert links == ["#T03", "#F15"]
    assert page.find(id="F15").find("a", href="#C062")


def test_a_table_that_lies_elsewhere_is_linked_and_made_there(inputs, entries, render, words):
    """The benchmark's is no file of the preset."""
    file = "results/bench/engine.parquet"
    inputs["experiments"]["bench"]["table"] = file
    entries["C172"] |= {"verdict": "undecided"}
    card = render().find(id="C172")
    assert card.find("a", string=file)["href"] == "../../bench/engine.parquet"
    assert f"snakemake {file} --cores all --configfile config/smoke.yaml" in words(card)


def test_evidence_whose_table_is_not_in_the_report_is_named(inputs, render, words):
    inputs["experiments"]["ten-layers"]["table"] = None
    card = render().find(id="C062")
    assert "ten-layers, whose table is not in this report" in words(card)
    assert not card.select(".command")


def test_unmeasured_claim_is_one_line_with_its_plan_or_its_reason(page, words):
    assert page.find(id="C001").name == page.find(id="C172").name == "div"
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
