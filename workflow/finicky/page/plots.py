"""Dot-and-interval plots: the axis that the numbers of one claim and one unit share."""

import math

from finicky import numbers
from finicky.page import scale

WIDTH, PAD = 240, 10  # of a plot, in its own units (see the macro `plot` of the templates)


class Axis:
    """The horizontal axis of the plots of some rows, whose ends are the outermost of their
    numbers, intervals and zones.

    rule: the claim's rule; rows: records of claims.json, each with `references`, the numbers of
    other seed sets beside its own (None where there is none).
    """

    def __init__(self, rule, rows):
        self.rule = rule
        values = [0.0, 1.0] if rule == "existence" else []
        for row in rows:
            values += [row.get("chapter"), row.get("measured"), *self.zone(row)]
            values += [row.get("ci_low"), row.get("ci_high"), *row.get("references", ())]
        known = [value for value in values if value is not None and math.isfinite(value)]
        self.low, self.high = (min(known), max(known)) if known else (0.0, 1.0)
        if self.low == self.high:
            self.low, self.high = self.low - 1, self.high + 1
        places = numbers.decimals((self.high - self.low) / 4, 1)
        steps = [self.low, (self.low + self.high) / 2, self.high]
        self.ticks = [{"x": self.x(step), "text": numbers.number(step, places)} for step in steps]

    def zone(self, row):
        """The values that count as reproduced (scale.zone)."""
        return scale.zone(self.rule, row.get("margin"), row.get("chapter"))

    def x(self, value):
        """Place on the plot, in its units; ends of the axis for what lies beyond; None for none."""
        if value is None or math.isnan(value):
            return None
        if math.isinf(value):
            return float(WIDTH if value > 0 else 0)
        share = min(max((value - self.low) / (self.high - self.low), 0), 1)
        return round(PAD + share * (WIDTH - 2 * PAD), 1)

    def plot(self, row):
        """Where the marks of one row stand; None if there is nothing to see."""
        if row.get("measured") is None or self.x(self.zone(row)[0]) is None:
            return None
        low, high = (self.x(end) for end in self.zone(row))
        return {
            "zone": (low, max(round(high - low, 1), 1)),
            "chapter": self.x(row.get("chapter")),
            "low": self.x(row.get("ci_low")),
            "high": self.x(row.get("ci_high")),
            "measured": self.x(row["measured"]),
            "references": [self.x(one) for one in row.get("references", ()) if one is not None],
        }
