"""Tables of questions and answers: the claims behind each answer, by their verdicts.

They need no experiment of their own, only claims.json. Their values look like those of a refilled
table (finicky/exhibits/tables.py says what the keys mean); a cell has `claims` besides, their ids.
"""

from finicky import numbers
from finicky.evidence import words
from finicky.evidence.rules import NOT_MEASURED, VERDICTS

HEADS = ["Question", "The chapter’s answer"]


def behind(entry):
    """The claims behind the answers of a table's entry in the ledger, each once, in their order."""
    return list(dict.fromkeys(claim for row in entry.get("rows", []) for claim in row["claims"]))


def table(entry, claims):
    """The table of an entry of the ledger that has `rows`; None if none of its claims has a
    verdict other than not measured.

    claims: {claim id: its entry in claims.json}; a claim without one is not measured. Where rows
    name `effects`, the numbers of these parts of claims stand in a column of their own.
    """
    found = {
        claim: claims[claim]["verdict"] if claim in claims else NOT_MEASURED
        for claim in behind(entry)
    }
    if not set(found.values()) - {NOT_MEASURED}:
        return None
    shown = [verdict for verdict in VERDICTS if verdict in found.values()]
    effects = any("effects" in row for row in entry["rows"])
    rows = []
    for row in entry["rows"]:
        cells = [_cell(text=_effects(row.get("effects", []), claims))] if effects else []
        for verdict in shown:
            cells.append(_cell([claim for claim in row["claims"] if found[claim] == verdict]))
        rows.append({"heads": [row["question"], row["answer"]], "cells": cells})
    columns = [
        {"label": verdict, "kind": "verdict", "quantity": "", "places": 0} for verdict in shown
    ]
    groups = [["Claims behind the answer, by verdict", len(shown)]]
    notes = []
    if effects:
        measured = {"label": "effect", "kind": "measured", "quantity": "", "places": 0}
        columns, groups = [measured, *columns], [["Measured", 1], *groups]
        notes = [
            "Effects: medians over the seeds with their intervals, averaged over the conditions "
            "of the claim."
        ]
    return {
        "heads": entry.get("heads", HEADS),
        "groups": groups,
        "columns": columns,
        "bodies": [{"label": "", "rows": rows}],
        "notes": notes,
        "shows": "Each answer with the claims behind it, by their verdicts.",
    }


def _effects(wanted, claims):
    """The numbers of these parts, those that were measured, each with its name."""
    said = []
    for effect in wanted:
        entry = claims.get(effect["claim"], {})
        parts = [*(entry.get("parts") or []), *(entry.get("also") or [])]
        named = (part for part in parts if part["name"].startswith(effect["part"]))
        part = next(named, {})  # what is shown beside has its condition behind its name
        if part.get("measured") is not None:
            said.append(f"{effect['part']}: {_number(part)}")
    return "; ".join(said)


def _number(part):
    """The measured number of a part with its interval, as text."""
    places = words.places(part)
    text = words.with_unit(numbers.number(part["measured"], places), part.get("unit") or "")
    if not words.has_interval(part):
        return text
    low, high = (numbers.number(part[end], places) for end in ("ci_low", "ci_high"))
    return f"{text} [{low}, {high}]"


def _cell(claims=(), text=""):
    nothing = dict.fromkeys(("value", "low", "high", "error"))
    return nothing | {"n": 0, "note": "", "text": text, "claims": list(claims)}
