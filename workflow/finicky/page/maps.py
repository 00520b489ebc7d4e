"""The map of a part's conditions: counts, counts by level of each axis, and every condition."""

from collections import Counter

from finicky.evidence import words
from finicky.evidence.rules import REPRODUCED, UNDECIDED
from finicky.labels import axis_label, label
from finicky.page import conditions
from finicky.page.bars import spans

# States of a condition, in the order in which counts are shown.
STATES = {
    "holds": "holds",
    "fails": "does not hold",
    "behind": "the opposite holds",
    "undecided": "undecided",
    "dropped": "neither arm trains",
}
WIDEST = 9  # levels that a map has as columns
NOTHING = "\N{EN DASH}"


def condition_map(entry, part):
    """The conditions of one part of a claim's entry in claims.json, as the page prints them."""
    found, margin = conditions.of_part(entry, part), part.get("margin") or 0
    cells = [
        {
            "at": condition,
            "state": state(entry["rule"], condition, margin),
            "measured": condition["measured"],
            "places": words.places(condition | {"unit": part.get("unit")}),
        }
        for condition in found
    ]
    axes = conditions.axes(found)
    split = {column for axis in axes for column in axis}
    fixed = {
        column: level
        for condition in found
        for column, level in condition["levels"].items()
        if column not in split
    }
    levels = {
        axis: sorted({conditions.at(c, axis) for c in found}, key=conditions.order) for axis in axes
    }
    return {
        "part": part["name"] if len(entry["parts"]) > 1 else "",
        "total": len(cells),
        "counts": _counts(cells),
        "fixed": [(axis_label(column), label(level)) for column, level in fixed.items()],
        "by_axis": [
            {
                "axis": _axis_name(axis),
                "levels": [
                    {
                        "name": _level_name(axis, level),
                        "counts": _counts(
                            [cell for cell in cells if conditions.at(cell["at"], axis) == level]
                        ),
                    }
                    for level in levels[axis]
                ],
            }
            for axis in axes
        ],
        "grid": _grid(cells, levels),
    }


def state(rule, condition, margin):
    """What a condition says, a key of STATES."""
    if condition.get("trains") is False:
        return "dropped"
    if condition["verdict"] == REPRODUCED:
        return "holds"
    if condition["verdict"] == UNDECIDED:
        return "undecided"
    high = condition.get("ci_high")
    behind = rule in {"ordering", "trend"} and high is not None and high < -margin
    return "behind" if behind else "fails"


def _counts(cells):
    counts = Counter(cell["state"] for cell in cells)
    return spans([(key, counts[key]) for key in STATES])


def _grid(cells, levels):
    """The map: the axis with most levels that fit as columns, every other axis as row heads."""
    across = max(levels, key=lambda axis: (len(levels[axis]) <= WIDEST, len(levels[axis])))
    down = [axis for axis in levels if axis != across]
    rows = {}
    for cell in cells:
        key = tuple(conditions.at(cell["at"], axis) for axis in down)
        rows.setdefault(key, {})[conditions.at(cell["at"], across)] = cell
    keys = sorted(rows, key=lambda key: [conditions.order(level) for level in key])
    return {
        "across": _axis_name(across),
        "columns": [_level_name(across, level) for level in levels[across]],
        "down": [_axis_name(axis) for axis in down],
        "rows": [
            {
                "heads": [_level_name(axis, level) for axis, level in zip(down, key, strict=True)],
                "cells": [rows[key].get(level) for level in levels[across]],
            }
            for key in keys
        ],
    }


def _axis_name(axis):
    return axis_label(axis[0]) if axis[0] == "optimizer" else ", ".join(map(axis_label, axis))


def _level_name(axis, level):
    """A place on an axis below the axis's name: `Adam 0.001`; `10 000, 3` of images and epochs."""
    if len(axis) > 1 and isinstance(level[0], str):
        known = {c: one for c, one in zip(axis, level, strict=True) if one is not None}
        return words.level_words(known)
    return ", ".join(NOTHING if one is None else label(one) for one in level)
