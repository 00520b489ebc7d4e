"""What would turn a verdict: how few conditions, or how small a change of a margin.

A verdict that one condition or a quarter of a margin would turn hangs by a thread, and its card
says so. Nothing here decides anything.
"""

import math
from dataclasses import dataclass

from finicky.evidence import rules

NEAR = 1.25  # a margin that turns the verdict within this factor makes it fragile


@dataclass(frozen=True)
class Margin:
    """A margin of a part that would give the claim another verdict; factor: how many times as large
    as the ledger's it is, or the ledger's as it."""

    part: str
    margin: float
    verdict: str
    factor: float


@dataclass(frozen=True)
class Fragility:
    """conditions: how many conditions would have to fall out otherwise for another verdict, and
    `verdicts`, which ones that could be; None, and none, where no number of them would, or the
    claim has no conditions. below, above: the nearest smaller and larger margin that would; None
    where none would."""

    conditions: int | None
    verdicts: list[str]
    below: Margin | None
    above: Margin | None

    @property
    def fragile(self):
        """Whether one condition, or a margin within the factor NEAR, would turn the verdict."""
        return self.conditions == 1 or any(
            margin is not None and margin.factor <= NEAR for margin in (self.below, self.above)
        )


def fragility(parts, combine):
    """The fragility of one claim's verdict.

    parts: the claim's judged parts, each with `spec`, `rule`, `kept` (its conditions: low, high,
    verdict) and `count`; combine: list of the parts' verdicts -> the claim's verdict.
    """
    verdicts = [part.count.verdict for part in parts]
    now = combine(verdicts)
    conditions, others = _fewest_conditions(parts, verdicts, now, combine)
    below, above = _nearest_margins(parts, verdicts, now, combine)
    return Fragility(conditions, others, below, above)


def _fewest_conditions(parts, verdicts, now, combine):
    """(number of conditions, verdicts that they could give): the smallest change of counts."""
    fewest, found = None, set()
    for place, part in enumerate(parts):
        count = part.count
        if count.conditions < 2:
            continue
        for hold in range(count.conditions + 1):
            for fail in range(count.conditions - hold + 1):
                changed = _distance(count, hold, fail)
                if changed == 0 or (fewest is not None and changed > fewest):
                    continue
                whole = [
                    *[rules.REPRODUCED] * hold,
                    *[rules.NOT_REPRODUCED] * fail,
                    *[rules.UNDECIDED] * (count.conditions - hold - fail),
                ]
                verdict = rules.combine_conditions(whole).verdict
                other = combine([*verdicts[:place], verdict, *verdicts[place + 1 :]])
                if other != now:
                    found = {other} | (found if changed == fewest else set())
                    fewest = changed
    return fewest, sorted(found, key=rules.VERDICTS.index)


def _distance(count, hold, fail):
    """How many conditions differ at least between two ways to fall out."""
    now = (count.hold, count.fail, count.undecided)
    then = (hold, fail, count.conditions - hold - fail)
    return sum(max(0, after - before) for before, after in zip(now, then, strict=True))


def _nearest_margins(parts, verdicts, now, combine):
    """The nearest smaller and larger margin of any part that turn the claim's verdict."""
    smaller, larger = [], []
    for place, part in enumerate(parts):
        margin = part.spec.get("margin")
        if not margin or "margin" not in rules.RULES[part.rule].needs:
            continue
        for point in _turning_points(part):
            # A hair beyond the point, since inequalities are strict.
            beyond = point * (1 + 1e-9 if point > margin else 1 - 1e-9)
            verdict = _at(part, beyond)
            other = combine([*verdicts[:place], verdict, *verdicts[place + 1 :]])
            if other != now:
                factor = max(point / margin, margin / point)
                found = Margin(part.spec["name"], point, other, factor)
                (larger if point > margin else smaller).append(found)
    return tuple(min(found, key=_by_factor, default=None) for found in (smaller, larger))


def _by_factor(margin):
    return margin.factor


def _turning_points(part):
    """The positive margins at which some condition's verdict turns."""
    number = part.spec.get("number") or 0
    for condition in part.kept:
        for end in (condition.low, condition.high):
            if math.isfinite(end) and abs(end - number) > 0:
                yield abs(end - number)


def _at(part, margin):
    """The part's verdict if its margin were another."""
    rule = rules.RULES[part.rule]
    verdicts = [
        condition.verdict
        if math.isnan(condition.low)
        else rule.decide(condition.low, condition.high, margin, part.spec.get("number") or 0)
        for condition in part.kept
    ]
    return rules.combine_conditions(verdicts).verdict
