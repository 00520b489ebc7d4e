"""The page as it is read: whole without scripts, on a phone, on paper, behind a strict server."""

import copy
import re

import pytest
from bs4 import BeautifulSoup
from html5lib import HTMLParser

from finicky.page import build

EVIL = '<script>document.title = "run"</script><img src=x onerror="document.title = 1">'
WIDER = """() => Array.from(document.querySelectorAll("body *"))
  .filter((one) => one.getBoundingClientRect().right > innerWidth + 1
    && !one.closest(".scroll, .drawing, pre, .vh, svg, .command"))
  .map((one) => one.tagName + "#" + one.id + "." + one.className)"""


def test_two_renders_are_the_same_bytes(html, inputs):
    assert build.render(**inputs) == html


def test_the_whole_page_is_valid_html(html):
    HTMLParser(strict=True).parse(html)


# What has four digits and is no quantity: names, addresses, code.
NAMES = "script, style, code, pre, .id, .hashes, a[href^=http], time"
NO_QUANTITY = re.compile(
    r"arXiv:\S+|\b(19|20)\d\d(-\d\d-\d\d\S*)?\b|\b[Ll]ines? \d+|\b10\d\d(?=, 10\d\d)|"
    r"(?<=, )10\d\d\b|^10\d\d$|PRL 97, 160201|PRL 98, 150201"
)


def test_thousands_are_set_apart_by_commas_everywhere(html):
    """In sentences, tables, figures and the bodies of cards, which stand in <noscript>."""
    page = BeautifulSoup(html, "html.parser")
    for one in page.select(NAMES):
        one.decompose()
    texts = [NO_QUANTITY.sub("", text) for text in page.find_all(string=True)]
    bare = [text for text in texts if re.search(r"(?<![\d.,#–-])\d{4,}(?![\d\w-])", text)]
    assert bare == []
    assert [text for text in texts if re.search(r"\d[ \u202f\u2009\xa0]\d{3}(?!\d)", text)] == []
    assert sum(bool(re.search(r"\d,\d{3}(?!\d)", text)) for text in texts) > 100


@pytest.mark.parametrize("width", [360, 768, 1024, 1366, 1920])
def test_nothing_sticks_out_of_the_page(visit, width):
    tab = visit("#explore", viewport={"width": width, "height": 800})
    tab.evaluate(
        "document.querySelectorAll('.card').forEach((one, i) => { one.open = i % 10 === 0; })"
    )
    tab.locator("#explore-map td:not(.untrained)").first.click()
    tab.locator("#explore-cells article").wait_for()
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.evaluate(WIDER) == []


def test_refilled_tables_show_all_their_columns_on_a_laptop(page):
    """None is wider than its place, so that nothing is cut."""
    wider = page.evaluate(
        """() => Array.from(document.querySelectorAll(".exhibit .scroll"))
          .filter((one) => one.scrollWidth > one.clientWidth + 1)
          .map((one) => [one.closest(".exhibit").id, one.scrollWidth, one.clientWidth])"""
    )
    assert wider == []


@pytest.mark.parametrize("width", [390, 1366])
def test_drawings_are_laid_out_when_they_come_near_in_the_place_kept_for_them(visit, width):
    tab = visit(viewport={"width": width, "height": 768})
    seen = "(all) => all.map((one) => one.checkVisibility({ contentVisibilityAuto: true }))"
    heights = "(all) => all.map((one) => one.getBoundingClientRect().height)"
    drawings, inside = tab.locator(".drawing"), tab.locator(".drawing > svg")
    assert not any(inside.evaluate_all(seen))
    before = drawings.evaluate_all(heights)
    for drawing in drawings.all():
        drawing.scroll_into_view_if_needed()
        tab.wait_for_timeout(100)
    assert drawings.evaluate_all(heights) == pytest.approx(before, abs=1)
    assert inside.last.evaluate("(one) => one.checkVisibility({ contentVisibilityAuto: true })")


def test_a_tables_first_column_leaves_room_for_its_numbers_on_a_phone(visit):
    tab = visit(viewport={"width": 390, "height": 844})
    widest = tab.evaluate(
        """Math.max(...Array.from(document.querySelectorAll(".numbers tbody th:first-child"))
          .filter((one) => !one.matches(".group"))
          .map((one) => one.getBoundingClientRect().width))"""
    )
    assert 0 < widest < 195


def test_three_findings_are_above_the_fold_of_a_laptop(page):
    page.evaluate("scrollTo(0, 0)")
    findings = page.locator(".findings > .first > li")
    assert findings.count() == 3
    for one in findings.all():
        box = one.bounding_box()
        assert box["y"] + box["height"] <= 768
        assert one.locator(".figures svg").count() == 1


def test_without_scripts_everything_stands_there(visit, claims, inputs):
    tab = visit(java_script_enabled=False)
    assert tab.locator("#filter:visible, #start:visible, #explore-app:visible").count() == 0
    assert "explorer needs JavaScript" in tab.locator("#explore > noscript").inner_text()
    for name in [*inputs["figures"], *inputs["tables"]]:
        drawn = tab.locator(f"#{name} .drawing svg, #{name} table, .exhibit[id='{name}'] table")
        assert drawn.first.is_visible(), name
    assert tab.locator(".claim").count() == len(claims)
    name = next(name for name, one in claims.items() if one["parts"] and one["conditions"])
    tab.click(f"#{name} > summary")
    assert tab.locator(f"#{name} .how").is_visible() and tab.locator(f"#{name} .parts").is_visible()
    assert tab.locator(f"#{name} .headline").inner_text()


def test_a_script_in_a_claim_a_level_or_a_config_is_text(visit, inputs, tmp_path):
    evil = copy.deepcopy({name: inputs[name] for name in ("ledger", "claims", "record", "grid")})
    first = evil["ledger"]["claims"][0]
    first["says"] = evil["claims"][0]["says"] = EVIL
    evil["claims"][0]["headline"] = EVIL
    evil["record"]["config"]["preset"] = evil["record"]["preset"] = EVIL
    evil["record"]["machine"]["cpu"] = EVIL
    for axis in evil["grid"]["axes"]:
        axis["levels"][0]["label"] = EVIL
    path = tmp_path / "evil.html"
    path.write_text(build.render(**inputs | evil), encoding="utf-8")
    tab = visit(f"#{first['id']}", file=path)
    tab.evaluate("location.hash = '#explore'")
    tab.locator("#explore-map td").first.wait_for()
    tab.fill("#search", "script")
    assert tab.title().startswith("Finicky: ")
    assert tab.locator("img").count() == 0
    assert tab.locator(f"#{first['id']} .says").inner_text() == f"The chapter: {EVIL}"
    assert EVIL in tab.locator("#explore-map").text_content()


def test_a_partial_run_shows_its_gaps(visit, inputs, tmp_path):
    """What is missing is named: a figure that was not drawn, an experiment that did not run."""
    lost = copy.deepcopy({name: inputs[name] for name in ("claims", "experiments")})
    lost["experiments"]["ten-layers"]["table"] = None
    figures = {name: one for name, one in inputs["figures"].items() if name != "F01"}
    for entry in lost["claims"]:
        if entry["by"] == ["ten-layers"]:
            entry |= {"verdict": "not measured", "parts": [], "conditions": [], "evidence": [],
                      "reason": "the experiment ten-layers has not run"}  # fmt: skip
    unmeasured = [one["id"] for one in lost["claims"] if one["by"] == ["ten-layers"]]
    path = tmp_path / "partial.html"
    page = build.render(**inputs | lost | {"figures": figures, "grid": None})
    path.write_text(page, encoding="utf-8")
    tab = visit(file=path)
    assert "Missing here: mini-project should have delivered" in tab.locator("#F01").inner_text()
    assert tab.locator("#explore").count() == 0
    assert unmeasured
    tab.evaluate("(name) => { location.hash = name; }", unmeasured[0])
    tab.locator(f"#{unmeasured[0]}").wait_for()
    assert "ten-layers" in tab.locator(f"#{unmeasured[0]} .plan").inner_text()


COLOURLESS = """() => {
  const black = "rgb(0, 0, 0)";
  const painted = (one) => ["fill", "stroke"].map((what) => getComputedStyle(one)[what]);
  const coloured = (one) => painted(one).some((colour) => ![black, "none"].includes(colour));
  const marks = ".tally rect, .plot :is(.zone, .interval, .median), .forest :is(circle, rect)";
  const wide = (one) => one.getBBox().width > 200 && one.getBBox().height > 100;
  const shapes = Array.from(document.querySelectorAll(".drawing svg :is(path, rect, use)"))
    .filter((one) => !one.closest("defs, clipPath"));
  return {
    marks: Array.from(document.querySelectorAll(marks)).filter((one) => !coloured(one)).length,
    icons: Array.from(document.querySelectorAll(".tally .icon"))
      .filter((one) => getComputedStyle(one).color === black).length,
    covers: shapes.filter((one) => painted(one)[0] === black && wide(one)).length,
    drawings: Array.from(document.querySelectorAll(".drawing"))
      .filter((one) => !shapes.some((shape) => one.contains(shape) && coloured(shape))).length,
  };
}"""


def test_a_server_that_forbids_the_pages_style_leaves_it_plain_but_true(locked_in):
    font = locked_in.evaluate("getComputedStyle(document.body).fontFamily")
    assert "system-ui" not in font  # the style is not there
    assert locked_in.locator(".tally rect, .forest circle").count() > 10
    assert set(locked_in.evaluate(COLOURLESS).values()) == {0}
    assert locked_in.locator(".card > summary").first.is_visible()


def test_on_paper_it_is_at_most_forty_pages(visit):
    pages = re.findall(rb"/Type\s*/Page\b", visit().pdf(format="A4", prefer_css_page_size=True))
    assert 5 < len(pages) <= 40


def test_the_switch_prints_every_card_opened(visit):
    tab = visit()
    few = len(re.findall(rb"/Type\s*/Page\b", tab.pdf(format="A4", prefer_css_page_size=True)))
    tab.click("#filters > summary")
    tab.check("#print-all")
    many = len(re.findall(rb"/Type\s*/Page\b", tab.pdf(format="A4", prefer_css_page_size=True)))
    assert many > 1.3 * few
    assert tab.locator(".card[open]").count() == 0
