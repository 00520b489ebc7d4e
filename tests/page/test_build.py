"""The page, parsed: what must be there, what must never be, and that everybody can read it."""

import base64
import hashlib
import re
import subprocess
import sys
from collections import Counter
from copy import deepcopy

import html5lib
import pytest
import yaml
from bs4 import BeautifulSoup

from finicky import declarations
from finicky.evidence.ledger import load
from finicky.page import build, provenance

ROOT = build.TEMPLATES.parent

# ---- Valid, self-contained, safe, repeatable ----------------------------------------------------


def test_is_valid_html(html):
    html5lib.HTMLParser(strict=True).parse(html)


def test_the_parser_that_judges_validity_is_strict():
    with pytest.raises(html5lib.html5parser.ParseError):
        html5lib.HTMLParser(strict=True).parse("<!DOCTYPE html><title>x</title><p></b>")


def test_same_inputs_give_the_same_bytes(html, inputs):
    assert build.render(**inputs) == html


def test_order_of_provenance_does_not_matter(html, inputs):
    inputs["record"] = {
        key: dict(reversed(value.items())) if isinstance(value, dict) else value
        for key, value in reversed(inputs["record"].items())
    }
    assert build.render(**inputs) == html


def test_order_of_experiments_figures_and_tables_does_not_matter(inputs):
    for slug in ("ten-layers", "grid"):
        inputs["experiments"][slug]["figures"][f"own-{slug}"] = "A figure of one's own."
    html = build.render(**inputs)
    for name in ("experiments", "figures", "tables"):
        inputs[name] = dict(reversed(inputs[name].items()))
    assert build.render(**inputs) == html


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
        texts = [one.string for one in page.find_all(name) if not one.has_attr("type")]
        digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()) for text in texts]
        admitted = " ".join(f"'sha256-{digest.decode()}'" for digest in digests)
        assert f"; {name}-src {admitted};" in policy


def test_no_style_or_handler_attribute_that_the_policy_would_block(page):
    for element in page.find_all(True):
        assert not [name for name in element.attrs if name == "style" or name.startswith("on")]


def test_whatever_comes_from_outside_is_text(page):
    for name in ("C001", "F15", "T03", "provenance"):
        assert '<script>alert("x")</script>' in page.find(id=name).get_text(), name
    assert "Because of <b>He</b>." in page.find(id="C062").get_text()
    scripts = [one for one in page.find_all("script") if not one.has_attr("type")]
    assert len(scripts) == len(build.SCRIPTS)


def test_the_page_needs_neither_data_frames_nor_plotting_nor_training():
    """It reads files; each of these packages costs seconds."""
    done = subprocess.run(
        [sys.executable, "-c", "import sys, finicky.page.build; print(*sys.modules)"],
        cwd=ROOT / "workflow",
        capture_output=True,
        text=True,
    )
    loaded = set(done.stdout.split())
    assert "finicky.page.cards" in loaded, done.stderr
    assert not {"pandas", "scipy", "matplotlib", "torch"} & loaded
    assert not {name for name in loaded if name.startswith(("finicky.exp", "finicky.exh"))}


# ---- Everything is there, once ------------------------------------------------------------------


def test_every_claim_table_and_figure_is_one_element(page, inputs):
    ledger = inputs["ledger"]
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
    ledger = load(ROOT / "config" / "claims.yaml")
    html = build.render(ledger, [], {}, {}, {}, {})
    return ledger, html, BeautifulSoup(html, "html5lib")


def test_the_real_ledger_without_any_evidence_has_all_its_elements(real):
    ledger, html, page = real
    html5lib.HTMLParser(strict=True).parse(html)
    ids = {element["id"] for element in page.find_all(id=True)}
    assert {claim["id"] for claim in ledger["claims"]} <= ids
    assert set(ledger["tables"]) | set(ledger["figures"]) <= ids


def test_sections_of_the_real_ledger_have_their_text(real, words):
    ledger, _, page = real
    for section in ledger["sections"]:
        assert len(words(page.find(id=section["id"]).find(class_="stake"))) > 150


def test_every_figure_and_table_of_the_chapter_is_made_and_what_stands_apart_exists(real):
    ledger, _, _ = real
    texts = yaml.safe_load((build.TEMPLATES / "texts.yaml").read_text())
    made = {
        name for one in declarations.exhibits().values() for name in (*one.figures, *one.tables)
    }
    answered = {name for name, table in ledger["tables"].items() if "rows" in table}
    assert set(ledger["tables"]) | set(ledger["figures"]) <= made | answered
    apart = {name for titles in texts["exhibits"].values() for name in titles}
    assert apart and apart <= made - set(ledger["tables"]) - set(ledger["figures"])


# ---- The answer ---------------------------------------------------------------------------------


def test_every_judged_claim_counts_once_under_its_subject(page, inputs, words):
    """Experiments come first; opinions and what is not measured stand apart."""
    titles = [words(title) for title in page.select(".tally .subject")]
    assert titles[0].startswith("By experiment: ")
    assert [title.split(":")[0] for title in titles[1:]] == ["By literature"]
    judged = [e for e in inputs["claims"] if e["verdict"] not in ("opinion", "not measured")]
    for tally, title, literature in zip(page.select(".tally"), titles, (False, True), strict=True):
        own = [e for e in judged if (e["subject"] == "literature") == literature]
        counts = {
            words(item.find("span")): int(item.find("b").string)
            for item in tally.select(".legend li")
        }
        assert counts == Counter(e["verdict"] for e in own)
        assert title.endswith(f": {len(own)} claims")
    rest = " ".join(words(line) for line in page.select(".rest"))
    assert rest.endswith(
        "1 is an opinion, which is listed and not judged. 2 are not measured in this report."
    )


def test_a_tally_fills_its_bar(page):
    for bar in page.select(".tally svg.bar"):
        rects = bar.find_all("rect")
        places = [[float(rect[key].rstrip("%")) for key in ("x", "width")] for rect in rects]
        ends = [0, *(x + width for x, width in places)]
        assert [x for x, _ in places] == pytest.approx(ends[:-1], abs=0.01)
        assert ends[-1] == pytest.approx(100, abs=0.01)


def test_fragile_verdicts_and_amendments_are_listed_and_on_their_cards(inputs, words):
    claims = deepcopy(inputs["claims"])
    [entry] = [entry for entry in claims if entry["id"] == "C064"]
    entry["fragility"] = {"words": "One condition would turn it.", "fragile": True}
    amendment = {"claims": ["C064"], "date": "2026-11-26", "change": "It was <b>so</b>.",
                 "why": "Because.", "before": {"C064": "undecided"}}  # fmt: skip
    changed = inputs | {"claims": claims, "amendments": [amendment]}
    page = BeautifulSoup(build.render(**changed), "html5lib")
    card, method = words(page.find(id="C064")), page.find(id="method")
    assert "One condition would turn it." in card and "hangs by a thread" in card
    assert "It was <b>so</b>. Because. Verdict before: undecided." in card
    assert [link["href"] for link in method.find(id="fragile").find_next("p").find_all("a")] == [
        "#C064"
    ]
    assert "C064 : It was <b>so</b>" in words(method.find(id="amendments").find_next("ul"))


def test_a_card_says_whether_its_verdict_carries_over_and_the_verdict_on_each_data_set(
    inputs, words
):
    claims = deepcopy(inputs["claims"])
    [entry] = [entry for entry in claims if entry["id"] == "C064"]
    entry["datasets"] = {
        "verdicts": {"mnist": "reproduced", "fashion_mnist": "undecided"},
        "words": "The verdict carries <b>over</b>.",
    }
    page = BeautifulSoup(build.render(**inputs | {"claims": claims}), "html5lib")
    card = page.find(id="C064")
    assert words(card.find("dt", string="Data sets").find_next("dd")) == (
        "The verdict carries <b>over</b>. "
        "Over all conditions of each: MNIST reproduced; Fashion-MNIST undecided."
    )
    assert page.find(id="C099").find("dt", string="Data sets") is None


def test_facts_of_the_run_stand_at_the_top(page, words):
    facts = words(page.select_one(".facts"))
    assert "smoke" in facts and "40" in facts and "1 min 3 s" in facts
    assert "A CPU" in facts and "0123456789 with local changes" in facts


# ---- Provenance ---------------------------------------------------------------------------------


def test_page_without_provenance_says_not_recorded(inputs, words):
    html = build.render(**inputs | {"record": {}})
    html5lib.HTMLParser(strict=True).parse(html)
    assert "not recorded" in words(BeautifulSoup(html, "html5lib").select_one(".facts"))


def test_diverged_runs_are_listed_by_network(inputs, render, words):
    """One row for the seeds of a network, with the worst outcome and the first and last step."""
    one = inputs["record"]["diverged"][0]
    inputs["record"]["diverged"] += [
        one | {"seed": 2, "outcome": "large", "step": 3},
        one | {"seed": 1, "learning_rate": 0.1, "step": None},
    ]
    section = render().find(id="provenance")
    assert "3 runs of 2 networks; in 1 of them the loss only grew over 1,000-fold" in words(section)
    rows = section.find(string="worst").find_parent("table").select("tbody tr")
    cells = [[words(cell) for cell in row.find_all("td")][8:] for row in rows]
    assert cells == [["0.01", "0, 2", "nan", "3–7"], ["0.1", "1", "nan", "–"]]


def test_a_long_list_of_diverged_networks_is_cut_in_sight(inputs, render, words):
    one, shown = inputs["record"]["diverged"][0], provenance.DIVERGED_SHOWN
    inputs["record"]["diverged"] = [one | {"depth": 2 + 2 * n} for n in range(shown + 7)]
    section = render().find(id="provenance")
    assert f"{shown + 7} runs" in words(section) and f"the first {shown};" in words(section)
    rows = section.find(string="worst").find_parent("table").select("tbody tr")
    assert len(rows) == shown


def test_provenance_tells_machines_apart_and_warns_of_several_sets(inputs, render, words):
    one = {"cpu": "A CPU", "instruction_set": "AVX2", "runs": 30, "experiments": ["adam"]}
    other = one | {"instruction_set": "AVX512", "runs": 10, "experiments": []}
    inputs["record"]["machines"] = [one]
    assert "The runs come from" not in words(render().find(id="provenance"))
    inputs["record"]["machines"] = [one, other]
    said = words(render().find(id="provenance"))
    assert "The runs come from 2 instruction sets (AVX2: 30, AVX512: 10)" in said
    inputs["record"]["machines"] = [one, other | {"runs": 0}]  # an experiment has no pairs of runs
    assert "The runs come from" not in words(render().find(id="provenance"))


def test_provenance_lists_the_experiments_of_this_report(page, words):
    rows = {
        words(row.find("th")): row
        for row in page.select("#provenance tr")
        if row.find("a", href=re.compile("parquet"))
    }
    assert set(rows) == {"ten-layers", "grid", "mini-project", "sources", "calibration"}
    row = rows["ten-layers"]
    assert row.find("a")["href"] == "../experiments/ten-layers.parquet"
    assert "The title of ten-layers" in words(row)
    assert "workflow/finicky/experiments/ten_layers.py" in words(row)


def test_provenance_says_how_to_do_it_again(page, words):
    said = [words(code) for code in page.select("#provenance .command")]
    assert said[:2] == [
        "make report PRESET=smoke",
        "snakemake --cores all --configfile config/smoke.yaml",
    ]
    files = [f"results/smoke/experiments/{slug}.parquet" for slug in ("grid", "ten-layers")]
    assert said[2] == f"snakemake {' '.join(files)} --cores all --configfile config/smoke.yaml"


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
    name = 'He reaches 93.8 % in a "curve". Curves.'
    assert page.find(id="F15").find("svg")["aria-label"] == name


def test_what_scrolls_can_be_reached_by_keyboard(page):
    for box in page.select(".scroll, .drawing, pre"):
        assert box["tabindex"] == "0"


def test_controls_that_need_the_script_are_hidden_without_it(page):
    assert page.find("form").has_attr("hidden")
    for control in page.select("form input, form select"):
        assert control.find_parent("label") or page.find("label", attrs={"for": control["id"]})
