"""Which claims the page shows first: those whose evidence lies farthest from the chapter."""

from finicky.evidence.rules import NOT_REPRODUCED, UNDER_CONDITIONS
from finicky.page import conditions

VALUE_RULES = {"value", "scaling", "equivalence"}
PASS_OR_FAIL = {"construction", "source"}  # rules whose measured number is 1 or 0
SHOWN = 5


def surprise(entry):
    """How far the evidence of a judged claim lies from the chapter: 0 (not at all) to below 1.

    By value rules: x / (1 + x), where x is the distance of the measured median from the chapter's
    number in margins, so 1/2 lies exactly on the margin; the largest over parts and conditions.
    By all other rules: failing conditions / (conditions + 1), so ten of ten surprise more than one
    of one; for a claim about how often something happens that has no conditions, runs in which it
    does not / (runs + 1).
    """
    return max((_gap(entry, part) for part in entry["parts"]), default=0.0)


def findings(claims, cards):
    """The most surprising claims among those measured and decided against, at least in part.

    claims: {id: entry of claims.json}; cards: {id: card}. Each with its card and the row of numbers
    that lies farthest off, or None where no number says it.
    """
    candidates = sorted(
        (-surprise(entry), claim)
        for claim, entry in claims.items()
        if entry["verdict"] in (NOT_REPRODUCED, UNDER_CONDITIONS)
        and claim in cards
        and cards[claim]["subject"] == "experiment"
    )
    return [
        {"card": cards[claim], "row": _farthest(claims[claim], cards[claim])}
        for _, claim in candidates[:SHOWN]
    ]


def _farthest(entry, card):
    if entry["rule"] in PASS_OR_FAIL:
        return None
    worst = max(entry["parts"], key=lambda part: _gap(entry, part))
    rows = [
        row
        for group in card["groups"]
        for row in group["rows"]
        if row["part"] == worst["name"] and row["measured"] is not None
    ]
    if entry["rule"] in VALUE_RULES:
        return max(rows, key=lambda row: _distance(worst, row), default=None)
    return min(rows, key=lambda row: row["measured"], default=None)  # they ask for more, not less


def _gap(entry, part):
    records = conditions.deciding(entry, part)
    if entry["rule"] in VALUE_RULES and part.get("margin"):
        margins = max((_distance(part, record) for record in records), default=0.0)
        return margins / (1 + margins)
    if entry["rule"] == "existence" and records == [part] and part["measured"] is not None:
        return (1 - part["measured"]) * part["n"] / (part["n"] + 1)
    failing = sum(record["verdict"] == NOT_REPRODUCED for record in records)
    return failing / (len(records) + 1)


def _distance(part, record):
    """From the chapter's number (0 for an equivalence) to a measured one, in margins."""
    if record["measured"] is None:
        return 0.0
    return abs(record["measured"] - (part.get("chapter") or 0)) / part["margin"]
