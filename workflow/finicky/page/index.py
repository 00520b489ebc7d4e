"""What search, filters and the guessing game of the page know of each claim."""

import json

from markupsafe import Markup

from finicky.labels import in_order, label
from finicky.page.scale import KIND_OF


def index(ledger, claims, cards, datasets):
    """{claim: section, verdict (its slug), kind, data (names of data sets), fragile (or other with
    other seeds), says, headline}, in the ledger's order; one that is not the chapter's is its
    reader's `own`.

    ledger: the loaded claims.yaml; claims: {id: entry of claims.json}; cards: {id: card};
    datasets: names of the data sets of this report.
    """
    return {
        claim["id"]: {
            "section": claim["section"],
            "verdict": cards[claim["id"]]["slug"],
            "kind": KIND_OF[claim["rule"]],
            "data": _datasets(claim, claims.get(claim["id"], {}), datasets),
            "fragile": cards[claim["id"]]["fragile"] or cards[claim["id"]]["turns"],
            "says": cards[claim["id"]]["says"],
            "headline": cards[claim["id"]]["headline"],
        }
        | ({} if "line" in claim else {"own": True})
        for claim in ledger["claims"]
    }


def as_json(values):
    """Values as the text of a `<script type="application/json">`, which `</script>` cannot end."""
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))


def _datasets(claim, entry, datasets):
    """The data sets whose images a claim's numbers come from, as far as its evidence says."""
    named = [part.get("where", {}).get("dataset") for part in claim.get("parts", [])]
    named += [one["levels"].get("dataset") for one in entry.get("conditions") or []]
    found = {name for name in named if isinstance(name, str)}
    budget = entry.get("budget") or ""
    for name in sorted(datasets, key=lambda name: -len(label(name))):  # Fashion-MNIST before MNIST
        if label(name) in budget:
            found.add(name)
            budget = budget.replace(label(name), "")
    return in_order(found)
