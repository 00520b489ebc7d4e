"""The conditions of a claim's part: which of them decide it, and along which axes they differ.

An *axis* here is a tuple of columns, since some columns change together: an optimizer's learning
rate belongs to it, and each training set has its own number of epochs.
"""

from finicky import labels


def of_part(entry, part):
    """The conditions of one part of a claim's entry in claims.json."""
    return [c for c in entry.get("conditions") or [] if c["part"] == part["name"]]


def deciding(entry, part):
    """What decides a part: the conditions that were not dropped, or itself if it has none."""
    conditions = of_part(entry, part)
    return [c for c in conditions if c["trains"] is not False] if conditions else [part]


def axes(conditions):
    """The axes along which these conditions differ.

    Columns that always change together are one axis, an optimizer and its learning rates too.
    """
    columns = dict.fromkeys(column for condition in conditions for column in condition["levels"])
    found = []
    for column in columns:
        count = len({at(c, (column,)) for c in conditions})
        if count == 1:
            continue
        for place, axis in enumerate(found):
            both = len({at(c, (*axis, column)) for c in conditions})
            together = {len({at(c, axis) for c in conditions}), count} == {both}
            if together or (axis[0] == "optimizer" and column == "learning_rate"):
                found[place] = (*axis, column)
                break
        else:
            found.append((column,))
    return found


def deciding_axes(states, axes):
    """Axes in the order in which their levels tell where a part holds: by the share of the variance
    of its outcome (1 where it holds, else 0) that lies between them. Pairs (axis, share).

    states: pairs (condition, whether it holds) of those that count; axes: as `axes` gives them.
    """
    total = sum(holds for _, holds in states) / len(states) if states else 0
    whole = len(states) * total * (1 - total)
    found = []
    for axis in axes:
        levels = {}
        for condition, holds in states:
            levels.setdefault(at(condition, axis), []).append(holds)
        between = sum(len(own) * (sum(own) / len(own) - total) ** 2 for own in levels.values())
        found.append((axis, between / whole if whole else 0.0))
    return sorted(found, key=lambda pair: -pair[1])


def at(condition, axis):
    """Where a condition lies on an axis: its levels in the axis's columns, None for one that is
    not there."""
    return tuple(condition["levels"].get(column) for column in axis)


def order(level):
    """A key that sorts the places of an axis: numbers by size, names as in the figures."""
    return [_place(one) for one in level]


def _place(level):
    if level is None:
        return 0, 0, 0
    return (2, *labels.place(level)) if isinstance(level, str) else (1, level, 0)
