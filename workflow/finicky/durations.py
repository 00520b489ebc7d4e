"""Lengths of time: how they are said, what a job took, and what many took together."""

import csv
import math
import os
from collections import Counter


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


def span(file):
    """(start, end) of a job in seconds since 1970, from the same file, which is written as the job
    ends; None where `benchmark` knows none."""
    found = benchmark(file)
    if found is None:
        return None
    end = os.stat(file).st_mtime
    return end - found[0], end


def shares(spans):
    """Seconds of wall time of each stage, of {stage: (start, end) of its jobs}. Each moment is
    shared alike by the jobs at work in it, so their sum is the length of the union of all spans."""
    ends = [(at, change, stage) for stage, jobs in spans.items() for job in jobs
            for at, change in zip(job, (1, -1), strict=True)]  # fmt: skip
    found, at_work, before = dict.fromkeys(spans, 0.0), Counter(), 0.0
    for at, change, stage in sorted(ends):
        for each, count in at_work.items():
            if count:
                found[each] += (at - before) * count / at_work.total()
        at_work[stage] += change
        before = at
    return found
