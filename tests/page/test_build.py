"""The page, parsed: what must be there, what must never be, and what a gap looks like."""

import base64
import copy
import hashlib
import re

import html5lib
import pandas as pd
import pytest
from bs4 import BeautifulSoup

from finicky.evidence.ledger import load
from finicky.evidence.rules import VERDICTS
from finicky.page import build


def parsed(html):
    return BeautifulSoup(html, "html5lib")


def words(element):
    return " ".join(element.get_text(" ").split())


def numbers_of(element):
    """The exact numbers that an element prints."""
    return [float(data["value"]) for data in element.select("data") if data["value"]]


# ---- Valid, self-contained, safe, repeatable ----------------------------------------------------


def test_is_valid_html(html):
    html5lib.HTMLParser(strict=True).parse(html)


def test_the_parser_that_judges_validity_is_strict():
    with pytest.raises(html5lib.html5parser.ParseError):
        html5lib.HTMLParser(strict=True).parse("<!DOCTYPE html><title>x</title><p></b>")


def test_same_inputs_give_the_same_bytes(html, inputs):
    assert build.render(**copy.deepcopy(inputs)) == html


def test_order_of_provenance_does_not_matter(ledger, claims, provenance):
    turned = {
        key: dict(reversed(value.items())) if isinstance(value, dict) else value
        for key, value in reversed(provenance.items())
    }
    first = build.render(ledger, claims, {}, {}, provenance)
    assert build.render(ledger, claims, {}, {}, turned) == first


def test_loads_nothing(page):
    for element in page.find_all(True):
        assert not element.get("src"), element
        assert element.name not in {"iframe", "object", "embed", "base"}
        href = element.get("href")
        if element.name == "link":
            assert href.startswith("data:")
        elif href is not None and element.name != "a":
            assert href.startswith("#"), element
    style = page.find("style").string
    assert "@import" not in style
    assert not re.search(r"url\((?!#)", style)


def test_policy_admits_exactly_the_style_and_script_of_the_page(page):
    policy = page.find("meta", attrs={"http-equiv": "Content-Security-Policy"})["content"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy and "http" not in policy
    for name in ("style", "script"):
        (element,) = page.find_all(name)
        digest = base64.b64encode(hashlib.sha256(element.string.encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy


def test_no_style_or_handler_attribute_that_the_policy_would_block(page):
    for element in page.find_all(True):
        assert not [name for name in element.attrs if name == "style" or name.startswith("on")]


def test_whatever_comes_from_outside_is_text(page):
    assert '<script>alert("x")</script>' in page.find(id="C001").get_text()
    assert '<script>alert("x")</script>' in page.find(id="F15").get_text()
    assert '<script>alert("x")</script>' in page.find(id="provenance").get_text()
    assert "Because of <b>He</b>." in page.find(id="C062").get_text()
    assert len(page.find_all("script")) == 1


# ---- Everything is there, once ------------------------------------------------------------------


def test_every_claim_table_and_figure_is_one_element(page, ledger):
    ids = [element["id"] for element in page.find_all(id=True)]
    assert len(ids) == len(set(ids))
    wanted = {claim["id"] for claim in ledger["claims"]} | set(ledger["tables"])
    assert wanted | set(ledger["figures"]) <= set(ids)


def test_every_link_within_the_page_arrives(page):
    ids = {element["id"] for element in page.find_all(id=True)}
    links = [element["href"] for element in page.find_all(href=re.compile("^#"))]
    assert links and {link[1:] for link in links} <= ids


def test_every_reference_to_an_element_arrives(page):
    ids = {element["id"] for element in page.find_all(id=True)}
    for attribute in ("aria-labelledby", "for"):
        for element in page.find_all(attrs={attribute: True}):
            assert element[attribute] in ids


@pytest.fixture(scope="module")
def real():
    """The ledger of the repository, and the page of it before anything has run."""
    ledger = load(build.TEMPLATES.parent / "config" / "claims.yaml")
    html = build.render(ledger, [], {}, {}, {})
    return ledger, html, parsed(html)


def test_the_real_ledger_without_any_evidence_has_all_its_elements(real):
    ledger, html, page = real
    html5lib.HTMLParser(strict=True).parse(html)
    ids = {element["id"] for element in page.find_all(id=True)}
    assert {claim["id"] for claim in ledger["claims"]} <= ids
    assert set(ledger["tables"]) | set(ledger["figures"]) <= ids


def test_sections_of_the_real_ledger_have_their_text(real):
    ledger, _, page = real
    for section in ledger["sections"]:
        assert len(words(page.find(id=section["id"]).find(class_="stake"))) > 150


def test_planned_tables_of_the_real_ledger_name_experiments(real):
    ledger, _, page = real
    for name in ledger["tables"]:
        element = page.find(id=name)
        assert "gap" in element.get("class") or words(element.find(class_="slug")), name


# ---- The answer ---------------------------------------------------------------------------------


def test_tally_counts_every_claim_once(page, claims):
    counts = {
        words(item.find("span")).split(" 1 on literature")[0]: int(item.find("b").string)
        for item in page.select(".legend li")
    }
    assert list(counts) == list(VERDICTS)
    assert sum(counts.values()) == len(claims)
    for verdict in VERDICTS:
        assert counts[verdict] == sum(claim["verdict"] == verdict for claim in claims)


def test_tally_bar_fills_its_width_and_hatches_literature(page):
    bar = page.select_one(".tally svg")
    solid = [rect for rect in bar.find_all("rect") if rect.get("class")]
    assert sum(float(rect["width"].rstrip("%")) for rect in solid) == pytest.approx(100, abs=0.01)
    (hatched,) = [rect for rect in bar.find_all("rect") if rect.get("fill") == "url(#hatch)"]
    assert float(hatched["width"].rstrip("%")) == pytest.approx(100 / 9, abs=0.01)


def test_facts_of_the_run_stand_at_the_top(page):
    facts = words(page.select_one(".facts"))
    assert "smoke" in facts and "40" in facts and "1 min 3 s" in facts
    assert "A CPU" in facts and "0123456789 with local changes" in facts


def test_agreement_with_the_reference(page):
    text = words(page.select_one(".agreement"))
    # seven claims are decided in both; one verdict was changed, one number by half a margin
    assert "on 6 of 7 claims" in text
    assert "C180 , training accuracy: 91.0 here, 91.5 % there, 0.50 of" in text
    assert "Different verdict: C062" in text


def test_without_reference_results_the_page_says_so(ledger, claims, provenance):
    page = parsed(build.render(ledger, claims, {}, {}, provenance))
    assert "No reference results" in words(page.select_one(".agreement"))
    assert "reference" not in words(page.find(id="C062").find("table"))


def test_surprise_of_a_number_is_its_distance_in_margins(claims):
    # |94.63 - 92| = 2.63 margins under Adam, the farthest of parts and conditions
    assert build.surprise(claims[1]) == pytest.approx(2.63 / 3.63)


def test_surprise_of_an_ordering_is_its_share_of_failing_conditions(claims):
    # 3 of 7 fail; the dropped one does not count
    assert build.surprise(claims[2]) == pytest.approx(3 / 8)


def test_surprise_of_an_existence_is_its_share_of_runs_without(claims):
    assert build.surprise(claims[7]) == pytest.approx(5 / 6)


def test_findings_are_ordered_by_surprise_and_only_against_the_chapter(page):
    links = [item.find("a")["href"] for item in page.select(".findings li")]
    assert links == ["#C183", "#C062", "#C064"]


def test_a_finding_shows_the_number_farthest_off(page):
    finding = page.select(".findings li")[1]
    assert numbers_of(finding) == [92, 94.63, 94.4, 94.9]
    assert "n = 5" in words(finding) and "epoch 1, Adam" in words(finding)


def test_a_finding_that_was_built_or_looked_up_shows_no_number(ledger, claims, provenance):
    """Passed or not is no number: the sentence says it."""
    claims[2]["rule"] = "construction"
    page = parsed(build.render(ledger, claims, {}, {}, provenance))
    (finding,) = [f for f in page.select(".findings li") if f.find("a")["href"] == "#C064"]
    assert not finding.select(".figures")


# ---- Cards --------------------------------------------------------------------------------------


def test_card_shows_the_numbers_of_claims_json(page, claims):
    card = page.find(id="C180")
    for part in claims[6]["parts"]:
        for key in ("chapter", "measured", "ci_low", "ci_high"):
            assert part[key] in numbers_of(card)


def test_part_with_few_conditions_is_listed_condition_by_condition(page):
    heads = [words(head) for head in page.find(id="C062").select("tbody th")]
    assert heads == ["epoch 1, SGD", "epoch 1, Adam", "epoch 10"]
    assert 94.21 not in numbers_of(page.find(id="C062"))  # their average would hide them


def test_part_with_many_conditions_has_a_map(page, claims):
    card = page.find(id="C064")
    table = card.find("table", class_="map")
    assert sorted(numbers_of(table)) == sorted(c["measured"] for c in claims[2]["conditions"])
    heads = table.select("thead tr:last-child th")
    assert [words(head) for head in heads] == ["2", "10", "20", "56"]
    states = [words(cell) for cell in table.find_all("td")]
    assert "−0.9 the opposite holds" in states  # its whole interval lies below -0.5
    assert sum("neither arm trains" in state for state in states) == 1
    strip = words(card.find(class_="where"))
    for count in ("3 holds", "2 does not hold", "1 the opposite holds", "1 undecided"):
        assert count in strip


def test_counts_by_level_add_up_to_the_conditions(page):
    table = page.find(id="C064").find("table", class_="levels")
    for body in table.find_all("tbody"):
        counts = [int(re.match(r"\d+", words(state)).group()) for state in body.select(".state")]
        assert sum(counts) == 8


def test_verdict_is_said_in_colour_word_and_shape(page, claims):
    for claim in claims:
        if claim["verdict"] == "not measured":
            continue
        badge = page.find(id=claim["id"]).find(class_="badge")
        slug = claim["verdict"].replace(" ", "-")
        assert claim["verdict"] in words(badge)
        assert f"c-{slug}" in badge["class"]
        assert badge.find("use")["href"] == f"#i-{slug}"


def test_card_has_rule_sentence_why_evidence_and_command(page):
    text = words(page.find(id="C062"))
    assert "Sentence of C062." in text
    assert "the rule of C062" in text
    assert "chapter, line 162" in text
    file = "results/smoke/experiments/ten-layers.parquet"
    assert f"snakemake {file} --cores 4 --configfile config/smoke.yaml" in text
    link = page.find(id="C062").find("a", string="experiments/ten-layers.parquet")
    assert link["href"] == "../experiments/ten-layers.parquet"


def test_literature_is_named_on_the_card(page):
    assert words(page.find(id="C098").find(class_="badge")) == "reproduced literature"


def test_unmeasured_claim_is_one_line_with_its_plan(page):
    line = page.find(id="C001")
    assert line.name == "li"
    assert "planned: linear-limits" in words(line)


def test_opinion_says_why_it_is_not_judged(page):
    assert "A likeness, nothing to measure." in words(page.find(id="C199"))


def test_number_that_is_not_there_is_a_dash_and_a_reason(page):
    card = words(page.find(id="C099"))
    assert "–" in card and "The experiment grid has not run" in card


def test_words_change_with_the_evidence(ledger, claims, provenance):
    before = build.render(ledger, claims, {}, {}, provenance)
    claims[1]["conditions"][1]["measured"] = 94.87
    after = build.render(ledger, claims, {}, {}, provenance)
    assert "94.87" in after and "94.87" not in before


def test_card_says_how_large_an_effect_its_seeds_decide(ledger, claims, provenance):
    def power(claim, **more):
        claims[claim]["parts"][0] |= more
        card = parsed(build.render(ledger, claims, {}, {}, provenance)).find(id=claims[claim]["id"])
        head = card.find("dt", string="Power")
        return words(head.find_next("dd")) if head else None

    assert power(1) is None
    assert power(1, reach=0.513).startswith("5 seeds that scatter like these decide, in 90 % of")
    assert "what lies 0.5 pp or more beyond a limit of the rule." in power(6, reach=0.513, unit="%")
    assert "in a typical condition" in power(2, reach=1.2)
    assert power(3, reach=0.979).endswith("what 98 % of all runs do, or only 2 %.")
    assert power(6, reach=0).endswith("agree like these decide any effect.")


def test_what_looks_at_every_trial_shows_no_interval(ledger, claims, provenance):
    ledger["claims"][6]["rule"] = claims[6]["rule"] = "identity"
    claims[6]["parts"] = [
        claims[6]["parts"][0] | {"measured": 9.881e-15, "ci_low": 9.881e-15, "ci_high": 9.881e-15}
    ]
    card = parsed(build.render(ledger, claims, {}, {}, provenance)).find(id="C180")
    cell = card.find("td", class_="measured")
    assert words(cell) == "1·10⁻¹⁴" and not card.select("thead text")


def test_answers_link_to_their_claims(ledger, claims, provenance):
    ledger["tables"]["T02"]["rows"] = [
        {"question": "Why?", "answer": "so", "claims": ["C064", "C062"]}
    ]
    table = parsed(build.render(ledger, claims, {}, {}, provenance)).find(id="T02")
    cells = [[link["href"] for link in cell.find_all("a")] for cell in table.select("tbody td")]
    assert cells == [["#C064"], ["#C062"]]
    assert table.select("thead use")[1]["href"] == "#i-not-reproduced"


def test_the_method_shows_how_the_rules_were_judged(ledger, claims, provenance):
    row = {"rule": "ordering", "metric": "normal", "seeds": 5, "distance": "on", "shared": 0.0,
           "combined": "conditions", "count": 1, "quantity": "wrongly_for", "value": 3.125,
           "error": 0.2}  # fmt: skip
    tables = {"calibration": pd.DataFrame([row])}
    html = build.render(ledger, claims, tables, {}, provenance)
    html5lib.HTMLParser(strict=True).parse(html)
    page = parsed(html)
    assert "3.1 ± 0.2" in words(page.select_one("#method #calibration-table"))
    assert "gap" in page.find(id="calibration")["class"]  # it was measured and not drawn
    assert "2.04 standard deviations of its seeds’ numbers with 5 seeds" in words(
        page.find(id="method")
    )


# ---- Gaps ---------------------------------------------------------------------------------------


def test_missing_figure_of_an_experiment_that_exists_is_a_gap(page):
    gap = page.find(id="F16")
    assert gap.name == "figure" and "gap" in gap["class"]
    assert "grid should have delivered this figure" in words(gap)


def test_planned_figure_and_table_name_their_experiment(page):
    assert "planned: approximation" in words(page.find(id="F03"))
    assert "planned: variance" in words(page.find(id="T02"))


def test_missing_table_is_a_gap(ledger, claims, provenance, tables):
    del tables["grid"]
    page = parsed(build.render(ledger, claims, tables, {}, provenance))
    assert "gap" in page.find(id="T07")["class"]
    assert "gap" not in page.find(id="T03")["class"]


def test_broken_figure_is_a_gap(ledger, claims, provenance, figures):
    figures["F15"]["svg"] = "<svg><g></svg>"
    page = parsed(build.render(ledger, claims, {}, figures, provenance))
    assert "gap" in page.find(id="F15")["class"]


def test_claim_without_evidence_is_named(ledger, claims, provenance):
    page = parsed(build.render(ledger, claims[2:], {}, {}, provenance))
    assert "evidence is missing" in words(page.find(id="C062"))
    assert sum(int(item.find("b").string) for item in page.select(".legend li")) == len(claims)


def test_page_without_provenance_says_not_recorded(ledger, claims):
    html = build.render(ledger, claims, {}, {}, {})
    html5lib.HTMLParser(strict=True).parse(html)
    assert "not recorded" in words(parsed(html).select_one(".facts"))


def test_long_list_of_diverged_runs_is_cut_in_sight(ledger, claims, provenance):
    provenance["diverged"] *= build.DIVERGED_SHOWN + 7
    section = parsed(build.render(ledger, claims, {}, {}, provenance)).find(id="provenance")
    assert f"{build.DIVERGED_SHOWN + 7} runs" in words(section)
    rows = section.find("code", string="ab" * 10).find_parent("table").select("tbody tr")
    assert len(rows) == build.DIVERGED_SHOWN


# ---- For everyone -------------------------------------------------------------------------------


def test_headings_start_at_one_and_skip_no_level(page):
    levels = [int(heading.name[1]) for heading in page.find_all(re.compile("^h[1-6]$"))]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(deeper - level <= 1 for level, deeper in zip(levels, levels[1:], strict=False))


def test_landmarks_and_skip_link(page):
    assert page.html["lang"] == "en"
    assert len(page.find_all("main")) == 1
    assert page.find("nav")["aria-label"]
    skip = page.body.find("a")
    assert "skip" in skip["class"] and page.find(id=skip["href"][1:])


def test_table_headers_have_a_scope(page):
    tables = page.find_all("table")
    assert tables
    for head in page.find_all("th"):
        assert head.get("scope") in {"row", "col", "rowgroup", "colgroup"}, head


def test_columns_of_every_table_match_its_heads(page):
    for table in page.find_all("table"):
        widths, spanning = set(), []
        for row in table.find_all("tr"):
            width = sum(int(cell.get("colspan", 1)) for cell in row.find_all(["th", "td"]))
            widths.add(width + sum(span for _, span in spanning))
            spanning = [(rows - 1, span) for rows, span in spanning if rows > 1]
            spanning += [
                (int(cell["rowspan"]) - 1, int(cell.get("colspan", 1)))
                for cell in row.find_all(attrs={"rowspan": True})
                if int(cell["rowspan"]) > 1
            ]
        assert len(widths) == 1, (table.get("class"), widths)


def test_figures_have_a_name_and_decoration_is_hidden(page):
    for drawing in page.find_all("svg"):
        hidden = drawing.get("aria-hidden") == "true"
        assert hidden or (drawing["role"] == "img" and drawing["aria-label"])
    assert page.find(id="F15").find("svg")["aria-label"] == 'a "curve"'


def test_what_scrolls_can_be_reached_by_keyboard(page):
    for box in page.select(".scroll, .drawing, pre"):
        assert box["tabindex"] == "0"


def test_controls_that_need_the_script_are_hidden_without_it(page):
    assert page.find("form").has_attr("hidden")
    for control in page.select("form input, form select"):
        assert control.find_parent("label") or page.find("label", attrs={"for": control["id"]})


def contrast(one, other):
    """Contrast ratio of two colours like #1c1d20 (WCAG 2.2, relative luminance)."""

    def luminance(colour):
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted([luminance(one), luminance(other)], reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_contrast(page, theme):
    light, dark = page.find("style").string.split("prefers-color-scheme: dark", 1)
    block = light if theme == "light" else dark[: dark.index("Base")]
    colour = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block))
    tints = [colour[name] for name in colour if name.endswith("-tint")]
    papers = [colour["paper"], colour["sheet"], colour["wash"]]
    for text in ("ink", "soft", "link", "chapter", "no"):
        assert min(contrast(colour[text], paper) for paper in papers[:2]) >= 4.5, text
    assert min(contrast(colour["ink"], tint) for tint in [*tints, colour["none-fill"]]) >= 4.5
    for fill in ("yes", "partly", "no", "open", "view"):
        on = colour.get(f"on-{fill}", colour["on"])
        assert contrast(on, colour[fill]) >= 4.5, fill
        assert min(contrast(colour[fill], paper) for paper in papers + tints) >= 3, fill
    assert contrast(colour["none"], colour["paper"]) >= 3


# ---- The benchmark ------------------------------------------------------------------------------


def bench_summary():
    work = {
        "R": 8, "instruction_set": "AVX2", "ms_per_run_step": 0.412, "ratio_to_textbook": 17.25,
        "gemm_efficiency": 0.618, "probe_share": 0.0123,
        "spread": {"ratio_to_one_by_one": {"low": 2.01, "high": 2.34}},
        "ways": {"textbook": 0.12, "vmap": 1.31, "stacked autograd": 1.45, "engine": 2.11},
    }  # fmt: skip
    return {"works": {"mlp2": work}, "start_seconds": {"median": 1.6, "low": 1.5, "high": 1.7}}


def test_benchmark_stands_on_the_page(inputs):
    drawing = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path d="M0 0"/></svg>'
    files = {"JSON": "../../bench/engine.json"}
    bench = {"summary": bench_summary(), "svg": drawing, "alt": "speed", "files": files}
    soup = parsed(build.render(**inputs, bench=bench))
    cells = [cell.get_text(strip=True) for cell in soup.select("#bench tbody td")]
    assert cells[:3] == ["8", "0.41", "0.12"]
    assert cells[5].startswith("2.11") and "[2.01, 2.34]" in cells[5]
    assert cells[6:] == ["17.2", "62", "1.2"]
    assert soup.select_one("#bench svg")["aria-label"] == "speed"


def test_a_missing_benchmark_says_how_to_make_it(inputs):
    soup = parsed(build.render(**inputs))
    assert "make bench" in soup.select_one("#cost").get_text()
    assert soup.select_one("#bench") is None
