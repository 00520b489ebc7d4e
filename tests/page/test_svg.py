"""Figures made fit for the page."""

import xml.etree.ElementTree as ET

import pytest

from finicky.page import svg


@pytest.fixture
def drawn(figures):
    return svg.adopt(figures["F15"]["svg"], "F15", "a curve")


def test_styles_become_attributes_so_that_a_drawing_needs_no_style_sheet(drawn):
    assert "style" not in drawn
    root = ET.fromstring(drawn)
    path = root.find(".//path").attrib
    assert (path["stroke"], path["fill"]) == ("#0072b2", "none")
    assert root.find(".//text").get("font-size") == "9px"
    assert root.get("font-family") == "sans-serif"


@pytest.mark.parametrize(
    "style, found",
    [
        ("fill: none; stroke-width: 0.8;", {"fill": "none", "stroke-width": "0.8"}),
        ("font: italic 700 9px/1.2 'A B', serif",
         {"font-style": "italic", "font-weight": "700", "font-size": "9px",
          "font-family": "'A B', serif"}),
        ("font: caption; behavior: url(x.htc)", {}),
        ("fill: url(https://example.org); stroke: url(#a)", {"stroke": "url(#a)"}),
    ],
)  # fmt: skip
def test_declarations_as_attributes(style, found):
    assert svg.properties(style) == found


def test_fonts_that_differ_stay_with_their_texts():
    drawn = svg.adopt(
        '<svg viewBox="0 0 1 1"><text style="font-family: serif">a</text>'
        '<text style="font-family: sans-serif">b</text></svg>', "F1", "x",
    )  # fmt: skip
    root = ET.fromstring(drawn)
    assert [text.get("font-family") for text in root] == ["serif", "sans-serif"]
    assert root.get("font-family") is None


def test_ids_of_two_figures_do_not_clash_and_those_that_nobody_names_are_dropped(drawn):
    assert 'id="F15-p1"' in drawn and 'clip-path="url(#F15-p1)"' in drawn
    assert 'id="F15-a"' not in drawn


def test_only_the_drawing_is_kept(drawn):
    assert "alert" not in drawn and "metadata" not in drawn and "xmlns" not in drawn
    assert "epoch &lt; 10" in drawn


def test_what_is_not_seen_and_groups_that_say_nothing_are_dropped():
    source = (
        '<svg viewBox="0 0 1 1"><g id="figure_1"><g id="patch_1"><path d="M 0 0 \nL 1 1" '
        'style="fill: none"/></g><g clip-path="url(#p)"><path d="M 0 0 \nL 1 1" '
        'style="fill: none; stroke: #000000"/></g></g></svg>'
    )
    root = ET.fromstring(svg.adopt(source, "F1", "x"))
    [path] = root
    assert path.get("d") == "M 0 0 L 1 1" and path.get("clip-path") == "url(#F1-p)"


def test_turns_by_nothing_and_digits_that_nobody_sees_are_dropped():
    source = (
        '<svg viewBox="0 0 9 9"><path d="M 1.23456 2.00004 L 3 4.5" stroke="#000"/>'
        '<text x="1.00071" transform="rotate(-0 1.5 2)">a</text>'
        '<text transform="translate(1 2.3456) rotate(-90)">b</text></svg>'
    )
    path, level, turned = ET.fromstring(svg.adopt(source, "F1", "x"))
    assert path.get("d") == "M 1.23 2 L 3 4.5"
    assert level.get("x") == "1" and level.get("transform") is None
    assert turned.get("transform") == "translate(1 2.35) rotate(-90)"


def joined(*marks):
    """The elements that a drawing of these marks has in the page, but for its definitions."""
    shapes = (
        '<path id="tick" d="M 0 0 L 0 3" stroke="#000"/><path id="dot" d="M 1 0 C 1 1 0 1 0 0 z"/>'
    )
    source = f'<svg viewBox="0 0 9 9"><defs>{shapes}</defs>{"".join(marks)}</svg>'
    return [one for one in ET.fromstring(svg.adopt(source, "F1", "x")) if one.tag != "defs"]


def test_marks_that_look_the_same_and_follow_each_other_are_one_path():
    dots = [f'<use href="#dot" x="{x}" y="2" fill="#f00"/>' for x in (1, 3)]
    [path] = joined('<g clip-path="url(#c)">', *dots, "</g>")
    assert path.get("d") == "M 2 2 C 2 3 1 3 1 2 z M 4 2 C 4 3 3 3 3 2 z"
    assert path.get("clip-path") == "url(#F1-c)" and path.get("fill") == "#f00"


def test_ticks_are_joined_across_their_labels():
    ticks = [f'<use href="#tick" x="{x}" y="8"/><text>{x}</text>' for x in (1, 5)]
    path, *texts = joined(*ticks)
    assert path.get("d") == "M 1 8 L 1 11 M 5 8 L 5 11" and path.get("stroke") == "#000"
    assert [text.text for text in texts] == ["1", "5"]


@pytest.mark.parametrize(
    "marks",
    [
        [f'<use href="#dot" x="{x}" fill="#f00" fill-opacity=".5"/>' for x in (1, 3)],
        [f'<use href="#dot" x="{x}" fill="#f00" stroke="#fff"/>' for x in (1, 3)],
        ['<use href="#dot" x="1"/><use href="#tick" x="3"/><use href="#dot" x="5"/>'],
        [
            '<use href="#dot" x="1"/>',
            '<path fill="#00f" d="M 0 0 L 1 1 L 2 0"/>',
            '<use href="#dot" x="5"/>',
        ],
    ],
    ids=["see-through", "edges", "ticks", "another"],
)
def test_marks_that_lie_over_each_other_or_over_others_stay(marks):
    """Joined they would look otherwise: points would lie below what they lie on."""
    assert len(joined(*marks)) == sum(mark.count("<") for mark in marks)


def test_a_clip_path_stays_where_it_is_for_what_is_moved():
    [group] = joined('<g clip-path="url(#c)"><path transform="scale(2)" d="M 0 0 L 1 1"/></g>')
    assert group.tag == "g" and group.get("clip-path") == "url(#F1-c)"


def test_size_becomes_a_view_box(drawn):
    root = ET.fromstring(drawn)
    assert root.get("viewBox") == "0 0 90 60" and root.get("width") is None
    assert root.get("role") == "img" and root.get("aria-label") == "a curve"


def test_references_that_leave_the_document_are_dropped():
    source = (
        '<svg viewBox="0 0 1 1"><image href="https://example.org/a.png"/>'
        '<image href="data:image/png;base64,AA=="/><use href="#a"/>'
        '<rect style="fill: url(https://example.org)"/></svg>'
    )
    drawn = svg.adopt(source, "F1", "x")
    assert "example.org" not in drawn
    assert "data:image/png" in drawn and 'href="#F1-a"' in drawn


@pytest.mark.parametrize("source", ["<svg><g></svg>", "no xml"])
def test_broken_source_is_an_error(source):
    with pytest.raises(ET.ParseError):
        svg.adopt(source, "F1", "x")


def test_other_xml_is_an_error():
    with pytest.raises(ValueError, match="not <svg>"):
        svg.adopt("<html></html>", "F1", "x")
