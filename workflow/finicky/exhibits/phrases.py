"""What the sentences share in which figures and tables say what they found: spans of numbers, and
words that turn when the data turn."""

from collections.abc import Iterable

import pandas as pd

from finicky.numbers import number, significant


def span(values: Iterable[float], unit: str = "", places: int | None = None) -> str:
    """The smallest to the largest of some numbers: `4 to 13 %`, or the one if both print alike.

    places: digits after the point; if None, two significant digits. Numbers that are missing do not
    count; without any it says `not measured`.
    """
    known = pd.Series(list(values), dtype=float).dropna()
    if known.empty:
        return "not measured"
    ends = [
        significant(end, 2) if places is None else number(end, places)
        for end in (known.min(), known.max())
    ]
    said = " to ".join(dict.fromkeys(ends))
    return f"{said} {unit}" if unit else said


def compared(one, other, words: tuple[str, str, str]) -> str:
    """Which of the words (below, level, above) says where `one` lies beside `other`.

    Both have the fields low and high of a `style.summary`; they are level where these ranges of
    their seeds touch.
    """
    below, level, above = words
    if one.low > other.high:
        return above
    return below if one.high < other.low else level


def of_all(flags: Iterable[bool], noun: str) -> str:
    """How many of some things are so: `all 4 starts`, `3 of 4 starts`, `none of 4 starts`."""
    flags = list(flags)
    true = sum(map(bool, flags))
    if true == len(flags) > 1:
        return f"all {true} {noun}"
    return f"{true or 'none'} of {len(flags)} {noun}"
