"""The chapter's sections as the page tells them: each figure and table with its claims."""

from finicky.evidence.rules import NOT_MEASURED
from finicky.page import bars


def section(section, cards, exhibits, texts, paths):
    """One section: its text, its tables of answers, its groups, and what is not there yet.

    section: an entry of the ledger's sections; cards: all cards in the ledger's order; exhibits:
    the page's `Exhibits`; texts: the loaded texts.yaml; paths: the page's `Paths`.
    """
    own = [one for one in cards if one["section"] == section["id"]]
    judged = [one for one in own if one["verdict"] != NOT_MEASURED]
    shown, planned = exhibits.of(section["id"])
    answers = [one for one in shown if one.get("cells_link")]
    rest = [one for one in shown if one not in answers]
    files = {row["file"] for one in own for row in one["evidence"] if row["file"]}
    return {
        "id": section["id"],
        "title": section["title"],
        "stake": texts["sections"].get(section["id"], ""),
        "answers": answers,
        "groups": groups(judged, rest, exhibits.readers),
        "planned": planned,
        "unmeasured": [one for one in own if one["verdict"] == NOT_MEASURED],
        "tally": bars.tally(own),
        "total": len(own),
        "command": paths.command(sorted(files)),
    }


def groups(cards, views, readers):
    """Figures and tables with the cards that rest on them, in the order of the first of these.

    cards: of one section, in their order; views: its figures and tables, shown or missing; readers:
    {experiment: ids of the claims that read it}. A figure stands right before the first card that
    reads its numbers, and the others that do follow; cards that rest on none stand by themselves
    in between. What no card of the section rests on comes last. Returns a list of {"exhibits",
    "cards"}.
    """
    resting = {view["id"]: view.get("claims") or readers.get(view.get("by"), ()) for view in views}
    made, home = [], {}  # home: {figure or table: its group}
    for card in cards:
        on = [view for view in views if card["id"] in resting[view["id"]]]
        new = [view for view in on if view["id"] not in home]
        if new:
            group = {"exhibits": new, "cards": [card]}
            made.append(group)
            home |= {view["id"]: group for view in new}
        elif on:
            home[on[0]["id"]]["cards"].append(card)
        elif made and not made[-1]["exhibits"]:
            made[-1]["cards"].append(card)
        else:
            made.append({"exhibits": [], "cards": [card]})
    left = [view for view in views if view["id"] not in home]
    return [*made, {"exhibits": left, "cards": []}] if left else made
