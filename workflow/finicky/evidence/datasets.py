"""Does a verdict carry over to other data? The verdict within each data set.

Data sets are compared where all else is the same: in the conditions that every one of them has.
"""

from dataclasses import dataclass

from finicky.evidence import rules
from finicky.labels import in_order

AXIS = "dataset"


@dataclass(frozen=True)
class Verdict:
    """A claim on one data set: over all its conditions, and over those that all data sets have."""

    dataset: str
    verdict: str
    shared: str


@dataclass(frozen=True)
class Carried:
    """How a claim falls out on several data sets.

    same, opposite, open: shared conditions that are decided alike on all of them, decided otherwise
    on some, undecided on one at least. generalises: the verdict over the shared conditions is the
    same on all; None where it is undecided on one, or nothing is shared. Under conditions it is the
    same only if two thirds of the conditions decided on all are decided alike.
    """

    verdicts: tuple
    same: int
    opposite: int
    open: int
    generalises: bool | None

    @property
    def shared(self):
        return self.same + self.opposite + self.open


def carried(parts, count):
    """How a claim falls out on each data set; None unless its conditions are on several.

    parts: its parts, each with `kept`, its conditions that count; those without a data set are left
    out. count: (part, conditions) -> rules.Count.
    """
    found = in_order(c.levels[AXIS] for part in parts for c in part.kept if AXIS in c.levels)
    if len(found) < 2:
        return None
    parts = [part for part in parts if any(AXIS in c.levels for c in part.kept)]
    groups = [_shared(part, found) for part in parts]
    verdicts = tuple(
        Verdict(
            name,
            _combined([count(part, _on(part, name)) for part in parts]),
            _combined(
                [
                    count(part, [group[name] for group in shared])
                    for part, shared in zip(parts, groups, strict=True)
                    if shared
                ]
            ),
        )
        for name in found
    )
    outcomes = [{group[name].verdict for name in found} for shared in groups for group in shared]
    undecided = sum(rules.UNDECIDED in one for one in outcomes)
    same = sum(len(one) == 1 and rules.UNDECIDED not in one for one in outcomes)
    opposite = len(outcomes) - undecided - same
    generalises = _generalises({one.shared for one in verdicts}, same, opposite)
    return Carried(verdicts, same, opposite, undecided, generalises)


def _on(part, name):
    return [c for c in part.kept if c.levels.get(AXIS) == name]


def _shared(part, names):
    """The conditions of a part that all data sets have: {name: condition} for each."""
    groups = {}
    for condition in part.kept:
        levels = dict(condition.levels)
        name = levels.pop(AXIS, None)
        groups.setdefault(tuple(sorted(levels.items())), {})[name] = condition
    return [group for group in groups.values() if all(name in group for name in names)]


def _combined(counts):
    return rules.combine_parts([one.verdict for one in counts]) if counts else rules.UNDECIDED


def _generalises(verdicts, same, opposite):
    if rules.UNDECIDED in verdicts or not same + opposite:
        return None
    if len(verdicts) > 1:
        return False
    return verdicts != {rules.UNDER_CONDITIONS} or 3 * same >= 2 * (same + opposite)
