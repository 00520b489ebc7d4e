"""Tables of questions and answers: the claims behind each answer, by their verdicts.

They need no experiment of their own, only claims.json. Their values look like those of a refilled
table (finicky/exhibits/tables.py says what the keys mean); a cell has `claims` besides, their ids.
"""

from finicky.evidence.rules import NOT_MEASURED, VERDICTS


def behind(entry):
    """The claims behind the answers of a table's entry in the ledger, each once, in their order."""
    return list(dict.fromkeys(claim for row in entry.get("rows", []) for claim in row["claims"]))


def table(entry, verdicts):
    """The table of an entry of the ledger that has `rows`; None if none of its claims has a
    verdict other than not measured.

    verdicts: {claim id: verdict}; a claim without one is not measured.
    """
    found = {claim: verdicts.get(claim, NOT_MEASURED) for claim in behind(entry)}
    if not set(found.values()) - {NOT_MEASURED}:
        return None
    shown = [verdict for verdict in VERDICTS if verdict in found.values()]
    rows = [
        {
            "heads": [row["question"], row["answer"]],
            "cells": [
                _cell([claim for claim in row["claims"] if found[claim] == verdict])
                for verdict in shown
            ],
        }
        for row in entry["rows"]
    ]
    return {
        "heads": ["Question", "The chapter’s answer"],
        "groups": [["Claims behind the answer, by verdict", len(shown)]],
        "columns": [
            {"label": verdict, "kind": "verdict", "quantity": "", "places": 0} for verdict in shown
        ],
        "bodies": [{"label": "", "rows": rows}],
        "notes": [],
        "shows": "Each answer with the claims behind it, by their verdicts.",
    }


def _cell(claims):
    nothing = dict.fromkeys(("value", "low", "high", "error"))
    return nothing | {"n": 0, "note": "", "text": "", "claims": claims}
