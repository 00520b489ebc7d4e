"""Claim cards: a claim in plain values, its words from the ledger, its numbers from claims.json."""

from finicky import numbers
from finicky.evidence import words
from finicky.evidence.rules import NOT_MEASURED, OPINION, RULES, subject
from finicky.page import conditions
from finicky.page.bars import slug
from finicky.page.maps import STATES, condition_map
from finicky.page.plots import Axis

LISTED = 6  # up to so many conditions a part's numbers are listed one by one


def card(claim, entry, twin, shown_in, experiments, paths, amendments=()):
    """One claim.

    claim: its entry in the ledger; entry: its entry in claims.json, or None; twin: its entry in the
    claims.json of the reference's first seed set, or None; shown_in: figures and tables that show
    its experiments' numbers; experiments: as `build.render` takes them; paths: the page's `Paths`;
    amendments: what changed about it after its results were known.
    """
    verdict = entry["verdict"] if entry else NOT_MEASURED
    measured = verdict not in (NOT_MEASURED, OPINION)
    entry = entry or {}
    parts = entry.get("parts") or [] if measured else []
    return {
        "id": claim["id"],
        "section": claim["section"],
        "line": claim["line"],
        "says": words.capitalised(claim["says"]),
        "number": claim.get("number", ""),
        "trap": claim.get("trap", ""),
        "verdict": verdict,
        "slug": slug(verdict),
        "subject": subject(claim["rule"]) if measured else None,
        "planned": [] if "parts" in claim else [by for by in claim["by"] if by != "none"],
        "reason": _reason(claim, entry, verdict),
        "why": entry.get("why") or claim.get("why") or "",
        "rule": claim["rule"],
        "rule_words": entry.get("rule_words") or "",
        "sentence": words.capitalised(entry.get("sentence") or "", "."),
        "where": [part for part in parts if part.get("where")],
        "carries": (entry.get("datasets") or {}).get("words", ""),
        "by_dataset": list((entry.get("datasets") or {}).get("verdicts", {}).items()),
        "other_seeds": list((entry.get("other_seeds") or {}).items()) if measured else [],
        "fragility": (entry.get("fragility") or {}).get("words", ""),
        "fragile": (entry.get("fragility") or {}).get("fragile", False),
        "amendments": amendments,
        "counts": entry.get("counts") or {},
        "groups": _groups(entry, twin) if measured else [],
        "maps": [
            condition_map(entry, part)
            for part in parts
            if len(conditions.of_part(entry, part)) > LISTED
        ],
        "also": [_also(part, claim["rule"]) for part in entry.get("also") or []],
        "power": _power(entry) if measured else "",
        "shown_in": shown_in,
        "evidence": _evidence(entry, experiments, paths) if measured else [],
    }


def _reason(claim, entry, verdict):
    """Why there is no verdict or half of one; that its experiment is planned is said anyway."""
    if not entry:
        return "its evidence is missing from this report"
    if verdict == NOT_MEASURED:
        return entry.get("reason") or "" if claim.get("parts") else ""
    return words.capitalised(entry.get("reason") or "")


def _power(entry):
    several = any(len(conditions.of_part(entry, part)) > 1 for part in entry["parts"])
    return words.power(entry, _is_point(entry["rule"]), several)


def _also(part, rule):
    return part | {
        "places": words.places(part),
        "failed": words.failure(part),
        "point": _is_point(rule),
    }


def _is_point(rule):
    """Whether a rule looks at every trial, so that what it measures has no interval."""
    return RULES[rule].fewest == 1 if rule in RULES else False


def _evidence(entry, experiments, paths):
    """The tables behind a claim, each with the quantities that it reads there."""
    quantities = {}
    for source in entry.get("evidence") or []:
        quantities.setdefault(source["experiment"], []).append(source["quantity"])
    rows = []
    for experiment, names in quantities.items():
        file = experiments.get(experiment, {}).get("table")
        rows.append(
            {
                "experiment": experiment,
                "quantities": names,
                "file": file,
                "href": file and paths.href(file),
                "command": paths.command([file]) if file else "",
            }
        )
    return rows


# ---- Numbers ------------------------------------------------------------------------------------


def _groups(entry, twin):
    """The claim's numbers by unit: each group has one axis that its plots share.

    A part with few conditions is listed condition by condition, since that is where it differs; of
    more, the average stands here and the map below.
    """
    twins = {_key(row): row for row in _rows(twin)} if twin else {}
    groups = {}
    for row in _rows(entry):
        groups.setdefault(row["unit"], []).append(row)
    return [_group(entry["rule"], unit, rows, twins) for unit, rows in groups.items()]


def _group(rule, unit, rows, twins):
    pairs = [(row, twins.get(_key(row))) for row in rows]
    axis = Axis(rule, rows, [twin for _, twin in pairs if twin])
    # One number of digits for the column, so that it aligns on the point.
    places = sorted(row["places"] for row in rows)[len(rows) // 2]
    rows = [
        row
        | {
            "places": places,
            "reference": twin["measured"] if twin else None,
            "plot": axis.plot(row, twin),
        }
        for row, twin in pairs
    ]
    return {
        "unit": words.unit_words(unit),
        "rows": rows,
        "ticks": axis.ticks if any(row["plot"] for row in rows) else [],
        "named": len(rows) > 1 or rows[0]["name"] != rows[0]["part"],
        "has_chapter": any(row["chapter"] is not None for row in rows),
        "has_reference": any(row["reference"] is not None for row in rows),
    }


def _key(row):
    return row["part"], row["name"]


def _rows(entry):
    """The numbers of a claim to list: its parts, those with few conditions split into these."""
    return [row for part in entry["parts"] for row in _part_rows(entry, part)]


def _part_rows(entry, part):
    common = {
        "part": part["name"],
        "chapter": part.get("chapter"),
        "chapter_places": numbers.printed_decimals(part.get("chapter")),
        "margin": part.get("margin"),
        "unit": part.get("unit") or "",
        "failed": "" if entry["rule"] == "existence" else words.failure(part),
        "point": _is_point(entry["rule"]),
    }
    found = conditions.of_part(entry, part)
    if not 1 < len(found) <= LISTED:
        name = f"{part['name']}: average" if len(found) > LISTED else part["name"]
        return [_row(common, part, name)]
    columns = [column for axis in conditions.axes(found) for column in axis]
    found.sort(key=lambda condition: conditions.order(conditions.at(condition, columns)))
    rows = []
    for condition in found:
        known = {c: condition["levels"][c] for c in columns if c in condition["levels"]}
        levels = words.level_words(known)
        name = levels if len(entry["parts"]) == 1 else f"{part['name']}, {levels}"
        rows.append(_row(common, condition, name))
    return rows


def _row(common, record, name):
    """One row: a part's or a condition's record under its name."""
    dropped = record.get("trains") is False
    return (
        common
        | {key: record.get(key) for key in ("measured", "ci_low", "ci_high", "n")}
        | {
            "name": name,
            "verdict": STATES["dropped"] if dropped else record["verdict"],
            "slug": "dropped" if dropped else slug(record["verdict"]),
            "places": words.places(common | record),
        }
    )
