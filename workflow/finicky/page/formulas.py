"""Formulas in the ledger's sentences, set as mathematics: raised and lowered characters."""

import re

from markupsafe import Markup, escape

RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿᵀᴸᵈᵏˣ", "0123456789+−nTLdkx", strict=True))
LOWERED = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋ᵢₖₙ", "0123456789+−ikn", strict=True))
POWER = re.compile(r"\^(?:\{([^{}]+)\}|\(([^()]+)\)|([−-]?\w+(?:,\d{3})*))")
PERCENT = re.compile(r"(?<=\d) (?=%)")
INDEX = re.compile(r"(?<![^\W_])([^\W\d_])_(?:\{([^{}]+)\}|([^\W_]+))(?!\w)")


def formula(text):
    """Text as HTML in which x^2, x^{a+b}, σ² and n_in, g_{t−i}, z₁ are raised and lowered, and no
    line ends between a number and its %; anything else is escaped. Only a single letter has an
    index: names_like_this are left alone."""
    html = PERCENT.sub("\N{NO-BREAK SPACE}", str(escape(text)))
    html = POWER.sub(lambda found: _tag("sup", _first(found)), html)
    html = INDEX.sub(lambda found: found[1] + _tag("sub", found[2] or found[3]), html)
    for tag, characters in (("sup", RAISED), ("sub", LOWERED)):
        html = re.sub(
            f"[{''.join(characters)}]+",
            lambda found, tag=tag, plain=characters: _tag(tag, found[0].translate(_table(plain))),
            html,
        )
    return Markup(html)


def _first(found):
    return next(group for group in found.groups() if group is not None).replace("-", "−")


def _tag(name, text):
    return f"<{name}>{text}</{name}>"


def _table(characters):
    return str.maketrans(characters)
