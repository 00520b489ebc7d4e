"""All effects in one forest plot: every judged claim a mark, on the common scale of margins."""

import math

from finicky import numbers
from finicky.evidence.rules import NOT_MEASURED, OPINION
from finicky.page import conditions, scale

FARTHEST = 100  # margins; what lies beyond is drawn at the edge
LEFT, RIGHT = 15.0, 96.0  # of the plot, in % of the drawing's width; ids stand to the left
ROW, TOP, BOTTOM = 17, 20, 6  # heights in pixels
TICKS = (-100, -10, -1, 0, 1, 10, 100)
DRAWN = ("comparison", "number", "occurrence")  # kinds that have a distance


def overview(sections, claims, cards):
    """The plot's panels, one a section that has judged claims.

    sections: of the ledger; claims: {id: entry of claims.json}; cards: {id: card}. Returns a list
    of {"title", "id", "height", "kinds", "marks", "ticks", "checked"}: marks are the claims with a
    distance, places in % of the width and in pixels; checked are the cards of those that pass or
    fail, and of those without a number.
    """
    panels = []
    for section in sections:
        own = [
            card
            for card in cards.values()
            if card["section"] == section["id"] and card["verdict"] not in (NOT_MEASURED, OPINION)
        ]
        if own:
            panels.append(_panel(section, own, claims))
    return panels


def _panel(section, cards, claims):
    effects, checked = {kind: [] for kind in DRAWN}, []
    for card in cards:
        entry = claims[card["id"]]
        effect = _effect(entry)
        if effect is None:
            checked.append(card)
        else:
            effects[scale.KIND_OF[entry["rule"]]].append((effect, card))
    kinds, marks, y = [], [], TOP
    for kind, found in effects.items():
        if found:
            kinds.append({"label": scale.TITLES[kind], "y": y + 12})
            y += ROW
        for effect, card in sorted(found, key=lambda pair: (-pair[0]["at"], pair[1]["id"])):
            marks.append(_drawn(effect) | {"card": card, "y": y, "middle": y + ROW / 2})
            y += ROW
    return {
        "id": section["id"],
        "title": section["title"],
        "height": y + BOTTOM,
        "kinds": kinds,
        "marks": marks,
        "ticks": [{"x": place(tick), "text": numbers.number(tick, 0)} for tick in TICKS],
        "checked": checked,
    }


def _effect(entry):
    """The numbers of the part that lies nearest to failing, or farthest beyond, in margins: its
    average with interval, the lowest and the highest condition, and the zone of its rule; None
    where no part has a number on the scale."""
    found = []
    for part in entry["parts"]:
        own = scale.of(entry["rule"], part)
        if own is None or part.get("measured") is None:
            continue
        at = own.at(part["measured"])
        medians = [
            own.at(one["measured"])
            for one in conditions.deciding(entry, part)
            if one["measured"] is not None
        ]
        effect = {
            "part": part["name"],
            "at": at,
            "low": own.at(part.get("ci_low")),
            "high": own.at(part.get("ci_high")),
            "least": min(medians, default=at),
            "most": max(medians, default=at),
            "zone": (own.low, own.high),
            "named": scale.KIND_OF[entry["rule"]] == "number",
        }
        found.append((min(at - own.low, own.high - at), effect))
    return min(found, key=lambda pair: pair[0], default=(0, None))[1]


def _drawn(effect):
    """The places of an effect's marks, and its numbers as text."""
    ends = [effect["low"], effect["high"]]
    said = numbers.significant(effect["at"], 2)
    if None not in ends:
        said += f" [{', '.join(numbers.significant(end, 2) for end in ends)}]"
    zone = [place(end) for end in effect["zone"]]
    return {
        "part": effect["part"],
        "said": said,
        "named": place(0) if effect["named"] else None,
        "zone": (zone[0], round(zone[1] - zone[0], 2)),
        **{key: place(effect[key]) for key in ("at", "low", "high", "least", "most")},
    }


def place(margins):
    """Where so many margins stand on the plot, in % of its width: evenly near 0, by powers of ten
    farther out; None for none."""
    if margins is None:
        return None
    share = math.asinh(min(max(margins, -FARTHEST), FARTHEST)) / math.asinh(FARTHEST)
    return round(LEFT + (RIGHT - LEFT) * (share + 1) / 2, 2)
