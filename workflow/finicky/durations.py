"""Lengths of time: how they are said, and what a job took."""

import csv
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


def benchmark(file):
    """Seconds, and GiB of memory (0 where it was not measured), of a job, from the file that the
    workflow leaves; None where it holds none: it is missing, or the job was killed meanwhile."""
    try:
        with open(file, encoding="utf-8", newline="") as lines:
            first = next(csv.DictReader(lines, delimiter="\t"), {})
        seconds = float(first["s"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    try:
        return seconds, float(first["max_rss"]) / 1024
    except (ValueError, KeyError, TypeError):
        return seconds, 0.0
