"""Agreement with the reference results: does the reproduction reproduce?"""

from finicky import numbers
from finicky.evidence import words
from finicky.evidence.rules import subject


def agreement(claims, reference):
    """How verdicts and numbers compare with those of the reference; None without one.

    claims, reference: {id: entry of claims.json}. Compared are the claims for which both have
    measurements.
    """
    if not reference:
        return None
    both = [
        (entry, reference[claim])
        for claim, entry in sorted(claims.items())
        if claim in reference and _measured(entry) and _measured(reference[claim])
    ]
    differ = [ours["id"] for ours, theirs in both if ours["verdict"] != theirs["verdict"]]
    return {
        "agree": len(both) - len(differ),
        "total": len(both),
        "differ": differ,
        "largest": _largest(both),
    }


def _measured(entry):
    return any(part["n"] for part in entry["parts"])


def _largest(both):
    """The part whose medians lie farthest apart, in margins; None if none can be compared.

    Not errors of rounding, which are noise on either side of a tolerance.
    """
    largest = None
    for ours, theirs in both:
        if subject(ours["rule"]) != "experiment":
            continue
        twins = {part["name"]: part["measured"] for part in theirs["parts"]}
        for part in ours["parts"]:
            twin = twins.get(part["name"])
            if part["measured"] is None or twin is None or not part["margin"]:
                continue
            distance = abs(part["measured"] - twin)
            if largest is None or distance / part["margin"] > largest["margins"]:
                largest = {
                    "id": ours["id"],
                    "name": part["name"],
                    "ours": part["measured"],
                    "theirs": twin,
                    "unit": part.get("unit") or "",
                    "places": max(words.places(part), numbers.decimals(distance)),
                    "margins": distance / part["margin"],
                }
    return largest
