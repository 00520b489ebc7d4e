"""All effects in one plot: which claims have a mark, where it stands, and the same as text."""

import pytest

from finicky.page import overview


def marks(page):
    """{claim: its mark} of the page's plot."""
    return {mark["href"].lstrip("#"): mark for mark in page.select("svg.forest a")}


def across(element, name):
    return float(element[name].rstrip("%"))


def test_every_judged_claim_is_a_mark_or_is_named_as_checked(page, inputs):
    judged = {
        entry["id"]
        for entry in inputs["claims"]
        if entry["verdict"] not in ("not measured", "opinion")
    }
    checked = {link["href"].lstrip("#") for link in page.select(".checked a")}
    assert set(marks(page)) | checked == judged and not set(marks(page)) & checked
    assert {"C098", "C099"} <= checked  # a source; a claim whose experiment has not run


def test_a_mark_stands_where_its_number_lies_in_margins(page):
    # C062: epoch 1 is 2.21 margins above the chapter's 92, epoch 10 only 0.6 below its own
    mark = marks(page)["C062"]
    assert across(mark.circle, "cx") == overview.place(94.21 - 92)
    interval = mark.find("line", class_="s-not-reproduced")
    ends = [across(interval, end) for end in ("x1", "x2")]
    assert ends == [overview.place(end - 92) for end in (93.87, 94.62)]
    spread = mark.find("line", class_="spread")
    lowest, highest = overview.place(93.81 - 92), overview.place(94.63 - 92)
    assert [across(spread, end) for end in ("x1", "x2")] == [lowest, highest]
    assert across(mark.find("line", class_="chapter"), "x1") == overview.place(0)
    zone = mark.find("rect", class_="zone")
    assert across(zone, "x") == overview.place(-1)
    assert across(zone, "width") == pytest.approx(overview.place(1) - overview.place(-1), abs=0.01)


def test_a_comparison_has_no_number_of_the_chapter_and_its_zone_is_open(page):
    mark = marks(page)["C064"]
    assert not mark.find("line", class_="chapter")
    zone = mark.find("rect", class_="zone")
    assert across(zone, "x") + across(zone, "width") == pytest.approx(overview.RIGHT, abs=0.02)


def test_a_mark_says_claim_verdict_and_finding(page):
    said = marks(page)["C062"].title.string
    assert said == "C062, not reproduced: Headline of C062."


def test_marks_carry_their_colours(page):
    """A page without its style is plain, but true."""
    for shape in page.select("svg.forest a rect, svg.forest circle, svg.forest text"):
        assert shape["fill"].startswith("#")
    for line in page.select("svg.forest line"):
        assert line["stroke"].startswith("#")


def test_marks_of_a_panel_do_not_overlap_and_lie_inside(page):
    for drawing in page.select("svg.forest"):
        heights = [float(circle["cy"]) for circle in drawing.select("circle")]
        steps = [b - a for a, b in zip(heights, heights[1:], strict=False)]
        assert all(step >= overview.ROW for step in steps)
        assert heights[0] > 0 and heights[-1] < float(drawing["height"])


def test_the_text_says_the_same(page):
    lines = [line for text in page.select("#overview pre") for line in text.string.splitlines()]
    said = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines if line.startswith("C")}
    assert set(said) == set(marks(page))
    assert said["C062"].split("  ")[0] == "not reproduced"
    assert said["C062"].endswith(" 2.2 [1.9, 2.6]")


def test_without_evidence_there_is_no_plot(render):
    page = render(claims=[], references={})
    assert not page.find(id="overview")
    assert not page.select('a[href="#overview"]')
