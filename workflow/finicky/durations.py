"""How a length of time is said.

In a module of its own, because training jobs say it too, and whatever they import trains again.
"""

import math


def duration(seconds):
    """Seconds as a person says them: `48 s`, `3 min 20 s`, `9 min`, `1 h 5 min`."""
    if seconds is None or not math.isfinite(seconds):
        return "\N{EN DASH}"
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.{1 if seconds < 10 else 0}f} s"
    large, small = ("min", "s") if whole < 3600 else ("h", "min")
    whole = whole if whole < 3600 else whole // 60
    rest = f" {whole % 60} {small}" if whole % 60 else ""
    return f"{whole // 60} {large}{rest}"
