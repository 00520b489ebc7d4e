"""Stacked bars of 100 %: verdicts of claims, states of conditions."""

from collections import Counter

from finicky.evidence.rules import VERDICTS


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
    """Claims by verdict and basis: the segments of a bar, and the counts as a list."""
    counts = Counter((card["verdict"], card["basis"] == "literature") for card in cards)
    keys = [(verdict, literature) for verdict in VERDICTS for literature in (False, True)]
    return {
        "segments": [
            segment | {"verdict": segment["key"][0], "literature": segment["key"][1]}
            for segment in spans([(key, counts[key]) for key in keys])
        ],
        "counts": [
            {
                "verdict": verdict,
                "slug": slug(verdict),
                "count": counts[verdict, False] + counts[verdict, True],
                "literature": counts[verdict, True],
            }
            for verdict in VERDICTS
        ],
    }
