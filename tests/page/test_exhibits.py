"""Figures and tables: shown, missing, planned; linked with their claims; placed on the page."""

import re

import html5lib
import pytest
from bs4 import BeautifulSoup

from finicky.page import build

# ---- Shown --------------------------------------------------------------------------------------


def test_a_figure_has_its_finding_as_title_and_below_it_topic_caption_line_and_files(page, words):
    finding, topic = map(words, page.find(id="F15").find("figcaption").find_all("p"))
    assert finding == 'He reaches 93.8 % in a "curve".'
    assert topic.startswith("F15 Curves. Caption of F15:") and "Line 6 of the chapter" in topic
    drawing = page.find(id="F15").find("svg")
    assert drawing["aria-label"] == f"{finding} Curves."
    title = page.find(id=page.find(id="F15")["aria-labelledby"])
    assert words(title) == finding and "93.8\u00a0% in" in title.get_text()
    assert page.find(id="F15").find("a", string="CSV")["href"] == "../figures/F15.csv"


def test_a_table_has_its_finding_as_title_and_without_one_its_topic(inputs, render, words):
    inputs["tables"]["T03"]["table"]["finding"] = "He reaches 93.8 %."
    page = render()
    assert words(page.find(id="T03").find(class_="finding")) == "He reaches 93.8 %."
    assert page.find(id="T13").find(class_="finding") is None
    assert page.find(id="T13")["aria-labelledby"] == "T13-topic"


def test_answers_find_how_many_of_their_claims_have_which_verdict(inputs, render, words):
    inputs["ledger"]["tables"]["T02"]["rows"] = [
        {"question": "Why?", "answer": "so", "claims": ["C064", "C062"]}
    ]
    found = [claim["verdict"] for claim in inputs["claims"] if claim["id"] in ("C064", "C062")]
    said = words(render().find(id="T02").find(class_="finding"))
    assert said.startswith("Of the 2 claims behind these answers, ")
    assert all(f"{found.count(verdict)} {verdict}" in said for verdict in found)


def test_a_table_prints_the_values_of_its_file(page, words, numbers_of):
    table = page.find(id="T03")
    assert [words(row) for row in table.select("tbody tr")][:2] == [
        "He 92 93.8 [93.5, 94.1]",
        "N, σ = 1 NaN 10.0 [10.0, 10.0] NaN in 5 of 5",
    ]
    assert numbers_of(table) == [92, 93.81, 10]
    assert [words(head) for head in table.select("thead tr:last-child th")] == [
        "chapter",
        "SGD at 0.01",
    ]
    assert words(table.find(class_="note")) == "A note."
    links = {link.string: link["href"] for link in table.select(".source a")}
    assert links == {"CSV": "../refilled/T03.csv", "JSON": "../refilled/T03.json"}


@pytest.mark.parametrize(
    "name, said",
    [
        ("T03", "Median over 5 seeds, its interval in brackets; the chapter’s numbers in italics."),
        ("T13", "Median over 2 seeds; the chapter’s numbers in italics."),
        ("calibration-table", "What it shows."),
    ],
)
def test_a_caption_says_what_the_cells_are(page, words, name, said):
    caption = words(page.find(id=name).find("figcaption"))
    assert f"Caption of {name}. {said}" in caption
    assert ("Median" in caption) == ("Median" in said)


def test_a_caption_says_what_n_counts(inputs, render, words):
    inputs["tables"]["T13"]["table"]["over"] = "turn"
    assert "Median over 2 turns;" in words(render().find(id="T13").find("figcaption"))


def test_a_cell_whose_interval_is_far_wider_than_its_columns_has_the_digits_of_its_own(
    inputs, render, words
):
    (row, *_), places = inputs["tables"]["T13"]["table"]["bodies"][0]["rows"], 4
    inputs["tables"]["T13"]["table"]["columns"][1]["places"] = places
    row["cells"][1] |= {"value": 4610.6777, "low": 430.17159, "high": 85599.2338, "n": 5}
    said = words(render().find(id="T13").select("tbody td")[1])
    assert said == "4,611 [430, 85,599]"
    row["cells"][1] |= {"value": 32.0, "low": 31.999, "high": 32.001}
    assert words(render().find(id="T13").select("tbody td")[1]) == "32.0000 [31.9990, 32.0010]"


def test_a_cell_without_interval_says_its_n_or_its_error(page, words):
    assert words(page.find(id="T13").select("tbody td")[1]) == "0.32 n = 2"
    assert "3.1 ± 0.2" in words(page.find(id="calibration-table"))


def test_answers_link_to_their_claims(inputs, render):
    inputs["ledger"]["tables"]["T02"]["rows"] = [
        {"question": "Why?", "answer": "so", "claims": ["C064", "C062"]}
    ]
    table = render().find(id="T02")
    cells = [[link["href"] for link in cell.find_all("a")] for cell in table.select("tbody td")]
    assert cells == [["#C064", "#C062"]]
    verdicts = {claim["id"]: claim["verdict"] for claim in inputs["claims"]}
    said = [item.b.get_text() for item in table.select("td li")]
    assert said == [verdicts["C064"], verdicts["C062"]]
    assert table.find("a", string="JSON")["href"] == "claims.json"


def test_a_row_of_the_chapter_s_words_is_set_as_the_chapter_s(inputs, render, words):
    table = inputs["tables"]["T03"]["table"]
    table["bodies"][0]["rows"][0]["chapter"] = True
    table["columns"] = [column | {"kind": "measured"} for column in table["columns"]]
    shown = render().find(id="T03")
    first, second = shown.select("tbody tr")[:2]
    assert {cell["class"][0] for cell in first.find_all("td")} == {"chapter"}
    assert {cell["class"][0] for cell in second.find_all("td")} == {"measured"}
    assert "the chapter’s numbers in italics" in words(shown)


def test_a_cell_that_names_claims_links_to_them(inputs, render):
    rows = inputs["tables"]["T03"]["table"]["bodies"][0]["rows"]
    rows[0]["cells"][1] = rows[0]["cells"][1] | {"value": None, "claims": ["C062", "C064"]}
    first = render().find(id="T03").select_one("tbody tr")
    assert [link["href"] for link in first.select("td a")] == ["#C062", "#C064"]


# ---- Links --------------------------------------------------------------------------------------


def links(element, ids):
    """The ids among these that an element links to."""
    found = {link["href"][1:] for link in element.find_all("a", href=re.compile("^#"))}
    return found & set(ids)


def test_cards_and_exhibits_link_each_other(inputs, render):
    inputs["ledger"]["tables"]["T02"]["rows"] = [
        {"question": "Why?", "answer": "so", "claims": ["C064", "C199", "C001"]}
    ]
    page = render()
    claims = [claim["id"] for claim in inputs["ledger"]["claims"]]
    exhibits = [element["id"] for element in page.select(".exhibit:not(.gap)")]
    forth = {(claim, name) for name in exhibits for claim in links(page.find(id=name), claims)}
    back = {(claim, name) for claim in claims for name in links(page.find(id=claim), exhibits)}
    assert forth == back
    ten_layers = {(claim, name) for claim in ("C062", "C065") for name in ("F15", "T03")}
    answers = {("C064", "T02"), ("C199", "T02"), ("C001", "T02")}
    log = {("C180", "T13"), ("C183", "T13")}
    assert forth == ten_layers | answers | log


def test_an_exhibit_names_its_source_files(page, words):
    for name in ("F15", "T03"):
        source = words(page.find(id=name).find(class_="behind"))
        assert "workflow/finicky/exhibits/ten_layers.py" in source
        assert "workflow/finicky/experiments/ten_layers.py" in source


# ---- Gaps and plans -----------------------------------------------------------------------------


def test_what_an_experiment_did_not_deliver_is_a_gap(page, words):
    for name, kind in (("F16", "figure"), ("T07", "table")):
        gap = page.find(id=name)
        assert gap.name == "figure" and "gap" in gap["class"]
        assert f"grid should have delivered this {kind}" in words(gap)
    assert "gap" not in page.find(id="T03")["class"]


@pytest.mark.parametrize("drawing", ["<svg><g></svg>", "<html></html>"])
def test_broken_figure_is_a_gap(inputs, render, drawing):
    inputs["figures"]["F15"]["svg"] = drawing
    assert "gap" in render().find(id="F15")["class"]


def test_planned_figure_and_table_name_their_experiment(page, words):
    assert "planned: approximation" in words(page.find(id="F03"))
    assert "Three starts : variances" in words(page.find(id="T02"))


def test_what_a_left_out_experiment_makes_is_no_gap(page, words):
    for name in ("F06", "T05"):
        line = page.find(id=name)
        assert "planned" in line["class"] and "minima makes it and is not in this report" in words(
            line
        )


def test_answers_without_evidence_are_planned_by_the_experiments_of_their_claims(
    inputs, render, words
):
    inputs["ledger"]["tables"]["T13"] |= {
        "rows": [{"question": "?", "answer": "!", "claims": ["C001", "C172"]}]
    }
    inputs["experiments"]["mini-project"]["tables"] = {}
    assert "planned: linear-limits , bench" in words(render().find(id="T13"))


# ---- What is not the chapter's ------------------------------------------------------------------


def test_the_method_shows_how_the_rules_were_judged(page, words):
    method = page.find(id="method")
    table = method.find(id="calibration-table")
    assert words(table.find("figcaption")).startswith("How often the rules are wrong.")
    assert "gap" in method.find(id="calibration")["class"]  # it was measured and not drawn
    assert "2.04 standard deviations of its seeds’ numbers with 5 seeds" in words(method)


def test_a_missing_benchmark_says_how_to_make_it(page, words):
    assert "make bench" in words(page.find(id="cost"))
    assert page.find(id="bench") is None and page.find(id="bench-table") is None


def test_benchmark_stands_on_the_page(inputs, words):
    files = {kind: f"results/bench/bench.{kind.lower()}" for kind in ("CSV", "SVG", "PNG")}
    inputs["experiments"]["bench"]["table"] = "results/bench/engine.parquet"
    inputs["figures"]["bench"] = inputs["figures"]["F15"] | {"finding": "Fast: 3.", "files": files}
    inputs["tables"]["bench-table"] = inputs["tables"]["T13"]
    html = build.render(**inputs)
    html5lib.HTMLParser(strict=True).parse(html)
    cost = BeautifulSoup(html, "html5lib").find(id="cost")
    assert cost.find(id="bench").find("svg")["aria-label"].startswith("Fast: 3. ")
    assert cost.find(id="bench").find("a", string="PNG")["href"] == "../../bench/bench.png"
    assert "0.32 n = 2" in words(cost.find(id="bench-table"))
    assert "make bench" not in words(cost)


def test_an_own_figure_stands_where_its_experiment_is_first_read(inputs, render, words):
    """A reader's figure needs no edit of the ledger or of the texts."""
    inputs["experiments"]["grid"]["figures"] = {"mine": "See.", "F16": "See."}
    inputs["figures"]["mine"] = inputs["figures"]["F15"]
    mine = render().find(id="initialisation").find(id="mine")
    assert words(mine.find("figcaption")).endswith("The title of grid. See. CSV")


def test_an_own_figure_that_no_claim_reads_stands_in_the_method(inputs, render):
    inputs["experiments"]["calibration"]["figures"] = {"mine": "See."}
    inputs["figures"]["mine"] = inputs["figures"]["F15"]
    assert render().find(id="method").find(id="mine")
