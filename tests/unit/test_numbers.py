"""How numbers are printed."""

import math

import pytest

from finicky import numbers
from finicky.durations import duration


@pytest.mark.parametrize(
    ("width", "places"),
    [(12, 0), (6, 0), (3, 1), (0.94, 1), (0.3, 2), (0.04, 2), (0.02, 3), (1e-9, 4)],
)
def test_digits_that_an_interval_supports(width, places):
    assert numbers.decimals(width) == places


@pytest.mark.parametrize("width", [0, None, math.nan, math.inf])
def test_no_interval_falls_back(width):
    assert numbers.decimals(width, fallback=3) == 3


@pytest.mark.parametrize(("value", "places"), [(92, 0), (97.82, 2), (2.3026, 4), (None, 0)])
def test_printed_digits(value, places):
    assert numbers.printed_decimals(value) == places


@pytest.mark.parametrize(
    ("value", "places", "text"),
    [
        (97.816, 2, "97.82"),
        (-0.5, 1, "−0.5"),
        (-0.001, 2, "0.00"),
        (60000, 0, "60,000"),
        (-1234.5, 1, "−1,234.5"),
        (6.1e6, 2, "6.1·10⁶"),
        (3.24e-5, 4, "3.2·10⁻⁵"),
        (-3.2e-7, 4, "−3·10⁻⁷"),
        (9.881e-15, 2, "1·10⁻¹⁴"),  # an error of rounding: its size is all it says
        (1e-12, 2, "10⁻¹²"),
        (None, 2, "–"),
        (math.nan, 2, "–"),
    ],
)
def test_number(value, places, text):
    assert numbers.number(value, places) == text


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (97.816, 4, "97.82"),
        (-0.25, 5, "−0.25"),
        (0, 5, "0"),
        (1e-12, 6, "10⁻¹²"),
        (9.881e-15, 5, "1·10⁻¹⁴"),
        (-0.00034, 5, "−3.4·10⁻⁴"),
        (math.inf, 5, "∞"),
        (-math.inf, 5, "−∞"),
        (60000, 4, "60,000"),
        (1234.56, 6, "1,234.56"),
        (6.12e6, 4, "6.1·10⁶"),
    ],
)
def test_significant_digits(value, digits, text):
    assert numbers.significant(value, digits) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [("10000", "10,000"), ("−1200.25", "−1,200.25"), ("999", "999"), ("0.00015", "0.00015")],
)
def test_thousands_of_what_is_text_already(text, said):
    assert numbers.grouped(text) == said


def test_exact_reads_back():
    assert float(numbers.exact(0.1 + 0.2)) == 0.1 + 0.2
    assert numbers.exact(None) == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(2.25, "2.2 s"), (48, "48 s"), (200, "3 min 20 s"), (3900, "1 h 5 min"), (None, "–")],
)
def test_duration(seconds, text):
    assert duration(seconds) == text
