"""Which claims the page shows first: those whose evidence lies farthest from the chapter."""

from finicky.evidence.intervals import FEWEST
from finicky.evidence.rules import NOT_REPRODUCED, UNDER_CONDITIONS
from finicky.page import scale

FIRST = 3  # stand on the first screen, each of another section
SHOWN = 8  # in all, at most two of a section


def findings(claims, cards):
    """The most surprising claims (scale.surprise) among those decided against, at least in part.

    claims: {id: entry of claims.json}; cards: {id: card}. Returns cards.
    """
    against = [
        (-scale.surprise(entry), claim)
        for claim, entry in claims.items()
        if entry["verdict"] in (NOT_REPRODUCED, UNDER_CONDITIONS) and claim in cards
    ]
    ordered = [claim for _, claim in sorted(against)]
    shown = _dealt(ordered, [], 1, cards)[:FIRST]
    shown = _dealt(ordered, shown, 2, cards)[:SHOWN]
    return [cards[claim] for claim in shown]


def _dealt(ordered, shown, most, cards):
    """The claims shown and, in their order, others, so that no section has more than `most`."""
    shown = list(shown)
    for claim in ordered:
        section = [one for one in shown if cards[one]["section"] == cards[claim]["section"]]
        if claim not in shown and len(section) < most:
            shown.append(claim)
    return shown


def too_few_seeds(record):
    """How many seeds a preset trains, if these are too few to decide anything; else None.

    record: the loaded provenance.json, whose `config` says it.
    """
    seeds = (record.get("config") or {}).get("seeds")
    return {"seeds": seeds, "fewest": FEWEST} if seeds is not None and seeds < FEWEST else None
