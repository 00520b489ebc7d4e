"""The map of a part's conditions: how many hold, along the axes that decide, and every one of them.

What the HTML says is short, counts alone. The conditions themselves travel as compact values
(`embedded`), from which report/cards.js draws maps when a card is opened and judges anew when the
reader moves a margin.
"""

from collections import Counter

from finicky import numbers
from finicky.evidence import words
from finicky.evidence.rules import REPRODUCED, RULES, UNDECIDED, shows_the_opposite
from finicky.labels import axis_label, label
from finicky.page import conditions
from finicky.page.bars import spans

# States of a condition, in the order in which counts are shown.
STATES = {
    "holds": "holds",
    "fails": "does not hold",
    "behind": "the opposite holds",
    "undecided": "undecided",
    "dropped": "neither of the two trains",
}
# The same of several conditions: `11 hold, 1 undecided`.
COUNTED = STATES | {"holds": "hold", "fails": "do not", "behind": "show the opposite"}
COUNTED |= {"dropped": "where neither of the two trains"}
CHECKED = {"construction", "source"}  # rules of what passes or fails: no measurement, no axis
LISTED = 6  # up to so many conditions a part's numbers are listed one by one
WIDEST = 9  # levels that a map has as columns
# Rules whose margin turns verdicts by the intervals alone; a margin of 0 stays where it is.
MOVABLE = {"ordering", "noninferiority", "value", "scaling", "equivalence"}
TOLD = 0.05  # an axis whose levels tell less of where a part holds is not named
NOTHING = "\N{EN DASH}"


def is_mapped(entry, part):
    """Whether a part's conditions are shown in a map: they are too many to be listed one by one, or
    there are no numbers to list, as they only pass or fail."""
    fewest = 1 if entry["rule"] in CHECKED else LISTED
    return len(conditions.of_part(entry, part)) > fewest


def condition_map(entry, part):
    """The conditions of one part of a claim's entry in claims.json in counts.

    Returns its name, its `place` among the claim's parts, the counts by state in words (`said`),
    what is the same throughout (`fixed`), and `lines`: for each axis that decides, how many
    conditions of each level hold.
    """
    found = conditions.of_part(entry, part)
    axes = conditions.axes(found)
    split = {column for axis in axes for column in axis}
    fixed = {
        column: level
        for condition in found
        for column, level in condition["levels"].items()
        if column not in split
    }
    counting = _counting(entry, part, found)
    told = [axis for axis, share in conditions.deciding_axes(counting, axes)[:2] if share >= TOLD]
    return {
        "part": part["name"] if len(entry["parts"]) > 1 else "",
        "place": entry["parts"].index(part),
        "said": said([state(entry["rule"], one, part.get("margin") or 0) for one in found]),
        "fixed": [(axis_label(column), label(level)) for column, level in fixed.items()],
        "lines": [
            {
                "axis": _axis_name(axis),
                "levels": [
                    {"name": _level_name(axis, level), "hold": sum(own), "of": len(own)}
                    for level, own in _by_level(counting, axis)
                ],
            }
            for axis in told
        ],
    }


def state(rule, condition, margin):
    """What a condition says, a key of STATES."""
    if condition.get("trains") is False:
        return "dropped"
    if condition["verdict"] == REPRODUCED:
        return "holds"
    if condition["verdict"] == UNDECIDED:
        return "undecided"
    return "behind" if shows_the_opposite(rule, condition.get("ci_high"), margin) else "fails"


def counts(states):
    """Conditions by state: the segments of a bar."""
    found = Counter(states)
    return spans([(key, found[key]) for key in STATES])


def said(states):
    """`12 conditions: 11 hold, 1 undecided`."""
    found = Counter(states)
    listed = ", ".join(f"{found[key]} {word}" for key, word in COUNTED.items() if found[key])
    return f"{words.many(len(states), 'condition')}: {listed}"


def _counting(entry, part, found):
    """Pairs (condition, whether it holds) of the conditions that were not dropped."""
    margin = part.get("margin") or 0
    states = [(one, state(entry["rule"], one, margin)) for one in found]
    return [(one, said == "holds") for one, said in states if said != "dropped"]


def _by_level(counting, axis):
    levels = {}
    for condition, holds in counting:
        levels.setdefault(conditions.at(condition, axis), []).append(holds)
    return sorted(levels.items(), key=lambda pair: conditions.order(pair[0]))


# ---- For the script -----------------------------------------------------------------------------


def embedded(entry):
    """What report/cards.js needs of a claim's entry in claims.json, in short; None for nothing.

    `rule`; whether its margin can be moved (`moves`); `parts`, each with `name`, `unit`, `margin`,
    `number` (the chapter's), and `rows`, its conditions in the order of the card: [places on the
    axes, state, measured number as text, low, high]. A part that `is_mapped` has a
    map: `axes` [name, [levels]], `top` (the two axes that decide most, as indices) and `across`
    (whose levels are the columns of the map of all).
    """
    parts = [_embedded_part(entry, part) for part in entry["parts"]]
    moves = entry["rule"] in MOVABLE and any(part["margin"] for part in parts)
    if not moves and not any("axes" in part for part in parts):
        return None
    return {"rule": entry["rule"], "moves": moves, "parts": parts}


def _embedded_part(entry, part):
    unit = part.get("unit") or ""
    found = in_order(conditions.of_part(entry, part))
    axes = conditions.axes(found) if is_mapped(entry, part) else []
    levels = {
        axis: sorted({conditions.at(c, axis) for c in found}, key=conditions.order) for axis in axes
    }
    values = {
        "name": part["name"],
        "unit": words.unit_words("pp" if unit == "%" else unit),
        "margin": part.get("margin"),
        "number": part.get("chapter"),
        "rows": [
            [
                [levels[axis].index(conditions.at(one, axis)) for axis in axes],
                list(STATES).index(state(entry["rule"], one, part.get("margin") or 0)),
                numbers.number(one["measured"], words.places(one | {"unit": unit})),
                *_ends(entry["rule"], part, one),
            ]
            for one in found or [part]
        ],
    }
    if not axes:
        return values
    deciding = conditions.deciding_axes(_counting(entry, part, found), axes)
    across = max(axes, key=lambda axis: (len(levels[axis]) <= WIDEST, len(levels[axis])))
    return values | {
        "axes": [
            [_axis_name(axis), [_level_name(axis, level) for level in levels[axis]]]
            for axis in axes
        ],
        "top": [axes.index(axis) for axis, _ in deciding[:2]],
        "across": axes.index(across),
    }


def in_order(found):
    """Conditions in the order in which a card lists them: axis by axis."""
    columns = [column for axis in conditions.axes(found) for column in axis]
    return sorted(found, key=lambda one: conditions.order(conditions.at(one, columns)))


def _ends(rule, part, record):
    """The ends of a record's interval to five digits, unless these would turn its verdict."""
    exact = [record.get(end) for end in ("ci_low", "ci_high")]
    short = [None if end is None else float(f"{end:.5g}") for end in exact]
    same = _verdict(rule, part, *exact) == _verdict(rule, part, *short)
    return [_whole(end) for end in (short if same else exact)]


def _verdict(rule, part, low, high):
    if low is None or high is None:
        return None
    return RULES[rule].decide(low, high, part.get("margin") or 0, part.get("chapter") or 0)


def _whole(number):
    return int(number) if number is not None and number.is_integer() else number


def _axis_name(axis):
    return axis_label(axis[0]) if axis[0] == "optimizer" else ", ".join(map(axis_label, axis))


def _level_name(axis, level):
    """A place on an axis below the axis's name: `Adam 0.001`; `10,000, 3` of images and epochs."""
    if len(axis) > 1 and isinstance(level[0], str):
        known = {c: one for c, one in zip(axis, level, strict=True) if one is not None}
        return words.level_words(known)
    return ", ".join(NOTHING if one is None else label(one) for one in level)
