"""Figures made fit for the page."""

import xml.etree.ElementTree as ET

import pytest

from finicky.page import svg


def test_styles_become_classes_that_figures_share(figures):
    sheet = svg.StyleSheet()
    first = svg.adopt(figures["F15"]["svg"], "F15", "a curve", sheet)
    second = svg.adopt(figures["F15"]["svg"], "F16", "a curve", sheet)
    assert "style=" not in first + second and "<style" not in first + second
    assert sheet.css().splitlines() == [
        ".s0{stroke: #0072b2; fill: none}",
        ".s1{font: 9px sans-serif}",
    ]


def test_ids_of_two_figures_do_not_clash(figures):
    drawn = svg.adopt(figures["F15"]["svg"], "F15", "a curve", svg.StyleSheet())
    assert 'id="F15-p1"' in drawn and 'clip-path="url(#F15-p1)"' in drawn


def test_only_the_drawing_is_kept(figures):
    drawn = svg.adopt(figures["F15"]["svg"], "F15", "a curve", svg.StyleSheet())
    assert "alert" not in drawn and "metadata" not in drawn and "xmlns" not in drawn
    assert "epoch &lt; 10" in drawn


def test_size_becomes_a_view_box(figures):
    drawn = svg.adopt(figures["F15"]["svg"], "F15", "a curve", svg.StyleSheet())
    root = ET.fromstring(drawn)
    assert root.get("viewBox") == "0 0 90 60" and root.get("width") is None
    assert root.get("role") == "img" and root.get("aria-label") == "a curve"


def test_references_that_leave_the_document_are_dropped():
    source = (
        '<svg viewBox="0 0 1 1"><image href="https://example.org/a.png"/>'
        '<image href="data:image/png;base64,AA=="/><use href="#a"/>'
        '<rect style="fill: url(https://example.org)"/></svg>'
    )
    drawn = svg.adopt(source, "F1", "x", sheet := svg.StyleSheet())
    assert "example.org" not in drawn + sheet.css()
    assert "data:image/png" in drawn and 'href="#F1-a"' in drawn


@pytest.mark.parametrize("source", ["<svg><g></svg>", "no xml"])
def test_broken_source_is_an_error(source):
    with pytest.raises(ET.ParseError):
        svg.adopt(source, "F1", "x", svg.StyleSheet())


def test_other_xml_is_an_error():
    with pytest.raises(ValueError, match="not <svg>"):
        svg.adopt("<html></html>", "F1", "x", svg.StyleSheet())
