"""How many digits a number deserves, and how it is written: its thousands apart by commas."""

import math
import re

MINUS = "\N{MINUS SIGN}"
MOST_DECIMALS = 4
SMALL, LARGE = 1e-3, 1e5  # beyond them, significant digits are written with a power of ten
ROUNDING = 1e-6  # below it, numbers are errors of rounding


def decimals(width, fallback=2):
    """Digits after the point that an interval of this `width` supports, from 0 to 4.

    The rounding rule of the Particle Data Group (Review of Particle Physics, section 5.3): two
    significant digits of the width if it starts below 3.55, else one. A width that is missing
    says nothing about precision, so the `fallback` (the printed number's own digits) is used;
    so is it for a width of zero, where every seed gave the same number.
    """
    if width is None or not math.isfinite(width) or width <= 0:
        return min(max(fallback, 0), MOST_DECIMALS)
    exponent = math.floor(math.log10(width))
    two_digits = width / 10**exponent < 3.55
    return min(max(two_digits - exponent, 0), MOST_DECIMALS)


def printed_decimals(value):
    """Digits after the point of a number as a person wrote it: 97.82 has 2, 92 has 0."""
    if value is None or not math.isfinite(value):
        return 0
    text = f"{value:.10g}"
    return 0 if "e" in text or "." not in text else len(text.split(".")[1])


def number(value, places=2):
    """A number as text with a real minus sign; an en dash for what is not there.

    Numbers of 100,000 and more, and small ones that `places` would round to zero, are written
    with a power of ten.
    """
    if value is None or not math.isfinite(value):
        return "\N{EN DASH}"
    if value and (abs(value) >= LARGE or abs(value) < 0.5 * 10 ** -max(places, MOST_DECIMALS)):
        return scientific(value)
    text = f"{value:,.{places}f}"
    if float(f"{value:.{places}f}") == 0:
        text = text.lstrip("-")
    return text.replace("-", MINUS)


def scientific(value):
    """A finite number with a power of ten: two significant digits, 6.1·10⁶.

    Below a millionth one, 1·10⁻¹⁴: so small are the errors of rounding, of which only the size
    says something. An exact power of ten, as tolerances are, stands alone: 10⁻¹².
    """
    mantissa, exponent = f"{value:.{0 if abs(value) < ROUNDING else 1}e}".split("e")
    power = f"10{_superscript(int(exponent))}"
    alone = value == float(f"1e{exponent}")
    return power if alone else f"{mantissa}·{power}".replace("-", MINUS)


def significant(value, digits):
    """A number to so many significant digits, like Python's format `,g` but for powers of ten."""
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    if value and not SMALL <= abs(value) < LARGE:
        return scientific(value)
    text = f"{value:,.{digits}g}"
    return (f"{value:,.0f}" if "e" in text else text).replace("-", MINUS)


def grouped(text):
    """A number that is text already, its thousands apart: `10000.5` is 10,000.5."""
    return re.sub(r"(?<![\d.])\d{4,}", lambda whole: f"{int(whole[0]):,}", text)


def exact(value):
    """The number in full for `<data value>`: the shortest text that reads back as the same."""
    return "" if value is None or not math.isfinite(value) else repr(float(value))


def _superscript(exponent):
    digits = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    return str(exponent).translate(digits)
