"""One scale for the numbers of all claims: margins.

Claims are about percentages, nats, slopes, shares of runs. What compares them is what their rules
compare: how far a number lies from what the claim names, counted in the rule's margins.
"""

import math
from dataclasses import dataclass

from finicky.evidence.rules import NOT_REPRODUCED, RULES, subject
from finicky.page import conditions

# What is measured, as the page groups and filters: {kind: the rules of it}. What is not measured is
# of the kind of its subject.
MEASURED = {
    "comparison": ("ordering", "sometimes", "noninferiority", "trend"),
    "number": ("value", "scaling", "equivalence"),
    "occurrence": ("existence",),
}
TITLES = {
    "comparison": "comparisons",
    "number": "numbers",
    "occurrence": "how often it happens",
    "mathematics": "mathematics",
    "literature": "literature",
    "opinion": "opinions",
}
KIND_OF = {rule: subject(rule) for rule in RULES} | {"opinion": "opinion"}
KIND_OF |= {rule: kind for kind, rules in MEASURED.items() for rule in rules}


@dataclass(frozen=True)
class Scale:
    """Where a part's numbers lie, in margins: 0 is what the claim names (the chapter's number, no
    difference, half of the runs), `low` to `high` is what its rule takes as reproduced."""

    origin: float
    margin: float
    low: float
    high: float

    def at(self, value):
        """The place of a value in the part's unit; None for none."""
        return None if value is None else (value - self.origin) / self.margin

    def missed(self, low, high):
        """By how many margins an interval lies outside of what counts as reproduced; 0 if it does
        not."""
        return max(self.at(low) - self.high, self.low - self.at(high), 0.0)


def zone(rule, margin, number):
    """The values that count as reproduced, (low, high), in the unit of a part; an end may be
    infinite, both are NaN for a rule that has no such values.

    margin, number: of the part, None where it has none; number is the chapter's.
    """
    kind, margin, number = KIND_OF[rule], margin or 0, number or 0
    if kind == "number":
        return number - margin, number + margin
    if kind == "occurrence":
        return 0.5, math.inf
    if kind == "comparison":
        return {"noninferiority": -margin, "trend": 0}.get(rule, margin), math.inf
    return math.nan, math.nan


def of(rule, part):
    """The scale of a part of a claim in claims.json; None for what passes or fails and for a part
    that has nothing to count in.

    A rule without a margin counts in half the length of the part's interval; how often something
    happens, in halves of all runs.
    """
    kind = KIND_OF[rule]
    origin = {"comparison": 0.0, "number": part.get("chapter") or 0.0, "occurrence": 0.5}.get(kind)
    unit = 0.5 if kind == "occurrence" else part.get("margin") or _half_length(part)
    if origin is None or not unit:
        return None
    low, high = zone(rule, part.get("margin"), part.get("chapter"))
    return Scale(origin, unit, (low - origin) / unit, (high - origin) / unit)


def _half_length(part):
    low, high = part.get("ci_low"), part.get("ci_high")
    return None if low is None or high is None else (high - low) / 2


def farthest(entry, groups):
    """The number that speaks most against a claim, of those that came out like it, if there are
    any: its interval lies farthest outside of what counts as reproduced, or closest to its limit.

    entry: of claims.json; groups: of its card. A row of theirs that has a plot; None of none.
    """
    rows = [row for group in groups for row in group["rows"] if row["plot"]]
    rows = [row for row in rows if row["verdict"] == entry["verdict"]] or rows
    parts = {part["name"]: part for part in entry.get("parts") or []}

    def against(row):
        own = of(entry["rule"], parts[row["part"]])
        if own is None or row["ci_low"] is None or row["ci_high"] is None:
            return -math.inf
        return max(own.at(row["ci_high"]) - own.high, own.low - own.at(row["ci_low"]))

    return max(rows, key=against, default=None)


def surprise(entry):
    """How much of a judged claim's domain falls out against it, and how far: 0 to below 1.

    Every case that fails (a condition, or a part without any) counts m / (1 + m), if its whole
    interval lies m margins outside of what counts as reproduced, so that no single number can
    drown the rest. What passes or fails is one margin off: a counterexample, a source that
    differs, and by an existence rule each run in which it does not happen. Their sum is divided
    by the number of cases plus one: ten of ten are more than one of one.
    """
    cases, against = 0, 0.0
    for part in entry["parts"]:
        for record in conditions.deciding(entry, part):
            several = record["n"] if entry["rule"] == "existence" else 1
            cases += several
            if record["verdict"] == NOT_REPRODUCED:
                against += several * _against(entry["rule"], part, record)
    return against / (cases + 1)


def _against(rule, part, record):
    """What one failing record counts, from 0 to 1; 1/2 is one margin off."""
    if rule == "existence":
        return (1 - record["measured"]) / 2
    scale = of(rule, part)
    if scale is None or record["ci_low"] is None or record["ci_high"] is None:
        return 1 / 2
    missed = scale.missed(record["ci_low"], record["ci_high"])
    return missed / (1 + missed)
