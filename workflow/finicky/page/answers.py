"""Tables of questions and answers: what was found about the claims behind each answer.

They need no experiment of their own, only claims.json. Their values look like those of a refilled
table (finicky/exhibits/tables.py says what the keys mean); a cell has `findings` besides: of each
claim behind the answer its id, its verdict and what was found, as a sentence.
"""

from finicky import numbers
from finicky.evidence import words
from finicky.evidence.rules import NOT_MEASURED, VERDICTS
from finicky.labels import listed

HEADS = ["Question", "The chapter’s answer"]
CLAIMS = "Claims behind the answer"


def behind(entry):
    """The claims behind the answers of a table's entry in the ledger, each once, in their order."""
    return list(dict.fromkeys(claim for row in entry.get("rows", []) for claim in row["claims"]))


def table(entry, claims):
    """The table of an entry of the ledger that has `rows`; None if none of its claims has a
    verdict other than not measured.

    claims: {claim id: its entry in claims.json}; a claim without one is not measured. Where rows
    name `effects`, the numbers of these parts of claims stand in a column of their own.
    """
    found = {claim: _finding(claim, claims.get(claim)) for claim in behind(entry)}
    if all(finding["verdict"] == NOT_MEASURED for finding in found.values()):
        return None
    effects = any("effects" in row for row in entry["rows"])
    rows = []
    for row in entry["rows"]:
        cells = [_cell(text=_effects(row.get("effects", []), claims))] if effects else []
        cells.append(_cell([found[claim] for claim in row["claims"]]))
        rows.append({"heads": [row["question"], row["answer"]], "cells": cells})
    columns, groups = [_column("verdict and finding", "verdict")], [[CLAIMS, 1]]
    notes = []
    if effects:
        columns = [_column("effect", "measured"), *columns]
        groups = [["Measured", 1], *groups]
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
        "shows": "Each answer with the claims behind it: their verdicts, and what was found.",
        "finding": _counted([finding["verdict"] for finding in found.values()]),
    }


def _counted(verdicts):
    """How many of the claims behind the answers have which verdict, in a sentence."""
    tally = [(verdicts.count(verdict), verdict) for verdict in VERDICTS if verdict in verdicts]
    said = listed(f"{count} {verdict}" for count, verdict in tally)
    return f"Of the {len(verdicts)} claims behind these answers, {said}."


def _column(label, kind):
    return {"label": label, "kind": kind, "quantity": "", "places": 0}


def _finding(claim, entry):
    """A claim behind an answer: its id, verdict and finding; of an unmeasured one, what it says."""
    if entry is None or entry["verdict"] == NOT_MEASURED:
        says = words.capitalised(entry["says"], ".") if entry else ""
        return {"id": claim, "verdict": NOT_MEASURED, "text": says}
    return {"id": claim, "verdict": entry["verdict"], "text": words.finding(entry)}


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


def _cell(findings=(), text=""):
    nothing = dict.fromkeys(("value", "low", "high", "error"))
    return nothing | {"n": 0, "note": "", "text": text, "findings": list(findings)}
