"""Contrast of what a figure draws, on the page's two papers; axe-core does not see text in SVG."""

import re

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from matplotlib.colors import to_hex, to_rgb

from finicky.exhibits import style
from finicky.page import build

CSS = (build.TEMPLATES / "style.css").read_text(encoding="utf-8")
THEMES = {"light": CSS[: CSS.index("@media")], "dark": CSS[CSS.index("@media") :]}
LETTERS, MARKS = 4.5, 3  # WCAG 2.2, success criteria 1.4.3 and 1.4.11


def variable(name, theme):
    """The colour of a variable of style.css in a theme."""
    return re.search(rf"--{name}: (#[0-9a-f]{{6}});", THEMES[theme]).group(1)


def contrast(one, other):
    """Contrast ratio of two colours (WCAG 2.2, relative luminance)."""
    dark, light = sorted(style.luminance(to_rgb(colour)) for colour in (one, other))
    return (light + 0.05) / (dark + 0.05)


def colour_of(element, attribute, theme):
    """An element's fill or stroke as a theme shows it; None if it has none, or a faint one."""
    chain = [element, *element.parents]
    faint = [one for one in chain if float(one.get("opacity", 1)) < 0.5]
    given = next((one[attribute] for one in chain if one.get(attribute)), "none")
    if given == "none" or faint:
        return None
    if given == "currentColor":
        return variable("ink", theme)
    named = re.fullmatch(r"var\(--([a-z-]+), (#[0-9a-f]{6})\)", given)
    if named:
        assert named[2] == variable(named[1], "light"), "what stands in for it without a style"
        return variable(named[1], theme)
    return to_hex(given)


def test_the_dark_theme_lifts_the_darkest_of_the_figures_colours():
    lifted = dict(re.findall(r'\.drawing \[stroke="(#\w+)"\] { stroke: (#\w+); }', CSS))
    lifted_fills = dict(re.findall(r'\.drawing \[fill="(#\w+)"\] { fill: (#\w+); }', CSS))
    darkest = sorted(style.PALETTE, key=lambda colour: style.luminance(to_rgb(colour)))[:2]
    assert lifted == lifted_fills and set(lifted) == set(darkest)
    assert all(contrast(colour, variable("paper", "dark")) > 4 for colour in lifted.values())


@pytest.fixture
def drawn(tmp_path, inputs):
    """A built page's figure that draws with everything that style.py offers."""
    rows = [
        {"level": level, "x": x, "median": x + place, "low": x + place - 0.2,
         "high": x + place + 0.2, "n": 5, "failed": 0.0}
        for place, level in enumerate(style.LEVEL_STYLES) for x in (1, 2)
    ]  # fmt: skip
    data = pd.DataFrame(rows)
    with style.context():
        fig, axes = style.panels([9.0], columns=1)
        ax = axes[0, 0]
        for level, mine in data.groupby("level"):
            style.line(ax, mine, "x", level)
        style.label_ends(ax, data, "x", "level")
        for place, colour in enumerate(style.PALETTE):
            style.name(ax, "a name", (1, place), colour, "o")
            ax.barh(20 + place, 0.1, left=1.2, color=colour)
        ax.plot([1, 2], [3, 3], **style.CHAPTER_LINE)
        ax.plot(1.5, 4, **style.CHAPTER_MARK)
        style.expected(ax, "Title", "rises")
        style.footer(fig, data, {"solid": "one", "dashed": "other"}, "the chapter's")
        fig.set_label("Everything is 1.")
        style.save_svg(fig, tmp_path / "F15.svg", "F15")
    inputs["figures"]["F15"]["svg"] = (tmp_path / "F15.svg").read_text(encoding="utf-8")
    return BeautifulSoup(build.render(**inputs), "html5lib").select_one("#F15 .drawing svg")


@pytest.mark.parametrize("theme", THEMES)
def test_words_in_figures_can_be_read(drawn, theme):
    texts = [text for text in drawn.find_all("text") if text.get_text(strip=True)]
    found = {colour_of(text, "fill", theme) for text in texts}
    assert found == {variable("ink", theme), variable("chapter", theme)} and len(texts) > 50
    paper = variable("paper", theme)
    assert all(contrast(colour, paper) >= LETTERS for colour in found)


@pytest.mark.parametrize("theme", THEMES)
def test_lines_and_marks_in_figures_stand_out(drawn, theme):
    shapes = drawn.find_all(["path", "use", "rect"])
    found = {colour_of(one, which, theme) for one in shapes for which in ("fill", "stroke")}
    assert found - {None} >= {*style.PALETTE, variable("ink", theme), variable("chapter", theme)}
    paper = variable("paper", theme)
    assert all(contrast(colour, paper) >= MARKS for colour in found - {None})


def test_the_chapter_has_one_hue_in_cards_and_figures_in_either_theme():
    assert variable("chapter", "light") == style.CHAPTER
    hues = [np.array(to_rgb(variable("chapter", theme))) for theme in THEMES]
    angles = [np.degrees(np.arctan2(3**0.5 * (g - b), 2 * r - g - b)) for r, g, b in hues]
    assert abs(angles[0] - angles[1]) < 5


def test_words_on_a_colour_can_be_read():
    for colour in [*style.PALETTE, *map(tuple, style.HEAT(np.linspace(0, 1, 60))[:, :3])]:
        assert contrast(style.text_on(colour), to_hex(colour)) >= LETTERS


@pytest.mark.parametrize("theme", THEMES)
def test_the_pages_own_colours_stand_out(page, theme):
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
