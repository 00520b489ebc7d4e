"""Stacked bars of 100 %: verdicts of claims, states of conditions."""

from collections import Counter

from finicky.evidence.rules import SUBJECTS, VERDICTS


def slug(verdict):
    """A verdict as part of a class or an id: `not-reproduced`."""
    return verdict.replace(" ", "-")


def spans(counts):
    """Place the counts that are not zero on a bar of 100 %: start and width of each.

    counts: pairs (key, count), in the order of the bar.
    """
    total = sum(count for _, count in counts) or 1
    start, found = 0.0, []
    for key, count in counts:
        if count:
            width = 100 * count / total
            found.append(
                {
                    "key": key,
                    "count": count,
                    "start": round(start, 3),
                    "width": round(width, 3),
                    "middle": round(start + width / 2, 3),
                }
            )
            start += width
    return found


def tally(cards):
    """Claims by verdict: the segments of a bar, and the counts as a list."""
    counts = Counter(card["verdict"] for card in cards)
    return {
        "segments": [
            segment | {"verdict": segment["key"]}
            for segment in spans([(verdict, counts[verdict]) for verdict in VERDICTS])
        ],
        "counts": [
            {"verdict": verdict, "slug": slug(verdict), "count": counts[verdict]}
            for verdict in VERDICTS
        ],
        "total": sum(counts.values()),
    }


def by_subject(cards):
    """One tally for each subject that has judged claims, experiments first: what is measured over
    seeds, what is checked, what a source says. Pairs (subject, tally)."""
    return [
        (subject, tally(own))
        for subject in SUBJECTS
        if (own := [card for card in cards if card["subject"] == subject])
    ]
