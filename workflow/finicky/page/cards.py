"""Claim cards: a claim in plain values, its words from the ledger, its numbers from claims.json."""

from finicky import numbers
from finicky.evidence import words
from finicky.evidence.rules import NOT_MEASURED, OPINION, RULES, subject
from finicky.page import conditions, maps, scale
from finicky.page.bars import slug
from finicky.page.plots import Axis


def card(claim, entry, twins, shown_in, experiments, paths, heading="", amendments=()):
    """One claim.

    claim: its entry in the ledger; entry: its entry in claims.json, or None; twins: {seed set of
    the reference: its entry in that claims.json, or None}; shown_in: figures and tables that show
    its experiments' numbers; experiments: as `build.render` takes them; paths: the page's `Paths`;
    heading: of the chapter, under which the claim stands; amendments: what changed about it after
    its results were known.
    """
    verdict = entry["verdict"] if entry else NOT_MEASURED
    measured = verdict not in (NOT_MEASURED, OPINION)
    entry = entry or {}
    parts = entry.get("parts") or [] if measured else []
    other_seeds = entry.get("other_seeds") or {} if measured else {}
    mapped = [part for part in parts if maps.is_mapped(entry, part)]
    checked = claim["rule"] in maps.CHECKED
    groups = _groups(entry, twins) if measured and not checked else []
    checks = [_check(part, claim["rule"]) for part in parts] if checked else []
    reason = _reason(claim, entry, verdict)
    sentence = words.capitalised(entry.get("sentence") or "", ".") if measured else ""
    headline = words.finding(entry | {"sentence": sentence}) or words.capitalised(reason, ".")
    states = [
        maps.state(entry["rule"], one, part.get("margin") or 0)
        for part in mapped
        for one in conditions.of_part(entry, part)
    ]
    # The average of a map says little where its conditions differ: the bar of its states does.
    against = None if mapped else scale.farthest(entry, groups)
    return {
        "id": claim["id"],
        "section": claim["section"],
        "line": claim.get("line"),
        "whose": "The chapter" if "line" in claim else "The claim",
        "heading": heading,
        "says": words.capitalised(claim["says"]),
        "number": claim.get("number", ""),
        "trap": claim.get("trap", ""),
        "verdict": verdict,
        "slug": slug(verdict),
        "subject": subject(claim["rule"]) if measured else None,
        "planned": [] if "parts" in claim else [by for by in claim["by"] if by != "none"],
        "headline": headline,
        "trained": entry.get("trained") or "",
        "sentence": "" if sentence == headline else _of_part(sentence, parts),
        "reason": "" if _said(reason, " ".join([headline, sentence, *_words(checks)])) else reason,
        "why": entry.get("why") or claim.get("why") or "",
        "rule": claim["rule"],
        "rule_words": entry.get("rule_words") or "",
        "where": [
            part
            for part in parts
            if part.get("where") and not _said(part["where"]["words"], sentence)
        ],
        "carries": (entry.get("datasets") or {}).get("words", ""),
        "by_dataset": list((entry.get("datasets") or {}).get("verdicts", {}).items()),
        "other_seeds": list(other_seeds.items()),
        "fragility": (entry.get("fragility") or {}).get("words", ""),
        "fragile": (entry.get("fragility") or {}).get("fragile", False),
        "turns": any(theirs != verdict for theirs in other_seeds.values()),
        "amendments": amendments,
        "groups": groups,
        "references": list(twins) if groups else [],
        "checks": checks,
        "maps": [maps.condition_map(entry, part) for part in mapped],
        "against": against,
        "bar": maps.counts(states),
        "counted": maps.said(states) if states else "",
        "also": [_also(part, claim["rule"]) for part in entry.get("also") or []],
        "power": _power(entry) if measured else "",
        "shown_in": shown_in,
        "evidence": _evidence(entry, experiments, paths) if measured else [],
        "embedded": maps.embedded(entry) if measured else None,
    }


def _reason(claim, entry, verdict):
    """Why there is no verdict or half of one; that its experiment is planned is said anyway."""
    if not entry:
        return "its evidence is missing from this report"
    if verdict == NOT_MEASURED:
        return entry.get("reason") or "" if claim.get("parts") else ""
    return words.capitalised(entry.get("reason") or "")


def _said(text, elsewhere):
    return not text or text.lower().rstrip(".") in elsewhere.lower()


def _of_part(sentence, parts):
    """The sentence of a claim of one part, which does not name it, with its name."""
    if len(parts) != 1 or not sentence:
        return sentence
    return f"{words.capitalised(parts[0]['name'])}: {sentence[0].lower()}{sentence[1:]}"


def _power(entry):
    several = any(len(conditions.of_part(entry, part)) > 1 for part in entry["parts"])
    return words.power(entry, _is_point(entry["rule"]), several)


def _check(part, rule):
    return {
        "name": part["name"],
        "slug": slug(part["verdict"]),
        "verdict": part["verdict"],
        "words": words.built(part, rule),
    }


def _also(part, rule):
    return part | {
        "places": words.places(part),
        "failed": words.failure(part),
        "point": _is_point(rule),
        "alike": part.get("alike", False),
    }


def _words(checks):
    return [check["words"] for check in checks]


def _is_point(rule):
    return rule in RULES and RULES[rule].point


def _evidence(entry, experiments, paths):
    """The tables behind a claim, each with the quantities that it reads there."""
    quantities = {}
    for source in entry.get("evidence") or []:
        quantities.setdefault(source["experiment"], []).append(source["quantity"])
    rows = []
    for experiment, names in quantities.items():
        known = experiments.get(experiment, {})
        file = known.get("table")
        rows.append(
            {
                "experiment": experiment,
                "quantities": names,
                "file": file,
                "href": file and paths.href(file),
                "command": paths.command([file]) if file else "",
                "seconds": known.get("seconds") or 0,
            }
        )
    return rows


# ---- Numbers ------------------------------------------------------------------------------------


def _groups(entry, twins):
    """The claim's numbers by unit: each group has one axis that its plots share.

    A part with few conditions is listed condition by condition, since that is where it differs; of
    more, the average stands here and the map below.
    """
    beside = [
        {_key(row): row["measured"] for row in _rows(twin)} if twin else {}
        for twin in twins.values()
    ]
    groups = {}
    for row in _rows(entry):
        references = [known.get(_key(row)) for known in beside]
        groups.setdefault(row["unit"], []).append(row | {"references": references})
    return [_group(entry["rule"], unit, rows) for unit, rows in groups.items()]


def _group(rule, unit, rows):
    axis = Axis(rule, rows)
    # One number of digits for the column, so that it aligns on the point.
    usual = sorted(row["places"] for row in rows)[len(rows) // 2]
    places = max(words.apart(row, usual) for row in rows)
    rows = [
        row | {"places": places, "spread": _spread(row, places), "plot": axis.plot(row)}
        for row in rows
    ]
    plotted = any(row["plot"] for row in rows)
    seeds = {row["n"] for row in rows if not row["alike"]}
    return {
        "unit": words.unit_words(unit),
        "rows": rows,
        "axis": [axis.low, axis.high] if plotted else None,
        "ticks": axis.ticks if plotted else [],
        "named": len(rows) > 1 or rows[0]["name"] != rows[0]["part"],
        "has_chapter": any(row["chapter"] is not None for row in rows),
        "trials": "trial" if _is_point(rule) else "seed",
        "seeds": seeds.pop() if len(seeds) == 1 else None,
        "has_seeds": bool(seeds),
        "references": any(one is not None for row in rows for one in row["references"]),
    }


def _key(row):
    return row["part"], row["name"]


def _rows(entry):
    """The numbers of a claim to list: its parts, those with few conditions split into these. `at`
    says where a row's record stands in maps.embedded: `part.condition`, or `part` for a whole."""
    return [
        row for place, part in enumerate(entry["parts"]) for row in _part_rows(entry, part, place)
    ]


def _part_rows(entry, part, place):
    rule = entry["rule"]
    common = {
        "part": part["name"],
        "chapter": part.get("chapter"),
        "chapter_places": numbers.printed_decimals(part.get("chapter")),
        "margin": part.get("margin"),
        "unit": part.get("unit") or "",
        "point": _is_point(rule),
    }
    found = maps.in_order(conditions.of_part(entry, part))
    if maps.is_mapped(entry, part):
        failed = words.failures([one for one in found if one.get("trains") is not False])
        row = _row(common, part, f"{part['name']}: average of its conditions", rule, str(place))
        return [row | {"failed": "" if rule == "existence" else failed}]
    if len(found) < 2:
        return [_row(common, part, part["name"], rule, f"{place}.0")]
    columns = [column for axis in conditions.axes(found) for column in axis]
    rows = []
    for number, condition in enumerate(found):
        known = {c: condition["levels"][c] for c in columns if c in condition["levels"]}
        levels = words.level_words(known)
        name = levels if len(entry["parts"]) == 1 else f"{part['name']}, {levels}"
        rows.append(_row(common, condition, name, rule, f"{place}.{number}"))
    return rows


def _spread(row, places):
    """A row's interval as text, or why there is none to print."""
    if row["alike"]:
        return f"the same for every {'trial' if row['point'] else 'seed'}"
    if row["point"] or row["measured"] is None:
        return ""
    if not words.has_interval(row):
        return "no interval"
    low, high = (numbers.number(row[end], places) for end in ("ci_low", "ci_high"))
    return f"[{low}, {high}]" if low != high else "spread below the last digit"


def _row(common, record, name, rule, at):
    """One row: a part's or a condition's record under its name."""
    dropped = record.get("trains") is False
    row = common | {key: record.get(key) for key in ("measured", "ci_low", "ci_high", "n")}
    often = rule == "existence" and "." in at and record.get("measured") is not None
    return row | {
        "at": at,
        "name": name,
        "verdict": maps.STATES["dropped"] if dropped else record["verdict"],
        "slug": "dropped" if dropped else slug(record["verdict"]),
        "places": words.places(row),
        "alike": record.get("alike", False),
        "runs": f"{round(record['measured'] * record['n'])} of {record['n']} runs" if often else "",
        "arms": words.arms(record),
        "failed": "" if rule == "existence" else words.failure(record),
    }
