"""What every finding of a figure or table has to be, and every figure's colours."""

import re

from matplotlib.colors import to_hex
from matplotlib.text import Text

from finicky.exhibits import style

MOST_WORDS = 45  # with the smallest of data; on a whole report they are shorter
BLACK_OR_WHITE = {"#000000", "#ffffff"}  # on a colour: `style.text_on`


def finding(shown):
    """The sentence in which a figure or a refilled table says what it found.

    Fails unless it is one sentence, or two, of plain words with a number in it; and for a figure
    whose words are not in a colour that can be read on either of the page's papers, or whose lines
    and marks are not in one that stands out from both (tests/page/test_contrast.py).
    """
    said = shown.finding if hasattr(shown, "finding") else shown.get_label()
    assert re.fullmatch(r"[A-Z].*\d.*\.", said, re.DOTALL), said
    assert len(said.split()) <= MOST_WORDS, said
    assert not re.search(r"_|\bnan\b|\binf\b|\bNone\b|  |\n|-\d|\.\d{5}", said), said
    if not hasattr(shown, "finding"):
        _legible(shown)
    return said


def _legible(figure):
    letters = {style.INK, style.CHAPTER} | BLACK_OR_WHITE
    for text in figure.findobj(Text):
        if text.get_text():
            assert to_hex(text.get_color()) in letters, text
    marks = {style.INK, style.CHAPTER, "#ffffff", *style.PALETTE}
    for line in (line for ax in figure.axes for line in ax.lines):
        assert to_hex(line.get_color()) in marks, (line, line.get_color())
