"""The page: one self-contained HTML file from the ledger, the evidence and the figures.

`render` is a pure function: the same inputs give the same bytes. It prepares plain values, the
templates in `report/` say how they look. Every number on the page comes from its arguments.
"""

import hashlib
import math
import xml.etree.ElementTree as ET
from base64 import b64encode
from collections import Counter
from pathlib import Path

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from finicky import numbers
from finicky.evidence.intervals import POWER, decided_distance
from finicky.evidence.rules import (
    KINDS,
    NOT_MEASURED,
    NOT_REPRODUCED,
    OPINION,
    REPRODUCED,
    RULES,
    UNDECIDED,
    UNDER_CONDITIONS,
    VERDICTS,
    in_words,
)
from finicky.page import svg
from finicky.page.figures import LOOKS
from finicky.page.tables import MAKERS, calibration, level_name, refill

TEMPLATES = Path(__file__).parents[3] / "report"
# What an entry of `conditions` holds besides its axes.
NOT_AXES = {"part", "verdict", "n", "measured", "ci_low", "ci_high", "trains", "outcome"}
AXIS_NAMES = {"init": "initialisation", "learning_rate": "learning rate"}
# States of a condition, in the order in which counts are shown.
STATES = {
    "holds": "holds",
    "fails": "does not hold",
    "behind": "the opposite holds",
    "undecided": "undecided",
    "dropped": "neither arm trains",
}
VALUE_RULES = {"value", "scaling", "equivalence"}
PASS_OR_FAIL = {"construction", "source"}  # rules whose measured number is 1 or 0
FINDINGS = 5
LOOK_ORDER = {name: place for place, name in enumerate(LOOKS)}
WIDEST = 9  # levels that a map has as columns
LISTED = 6  # up to so many conditions a part's numbers are listed one by one
DIVERGED_SHOWN = 200
PLOT_WIDTH, PLOT_PAD = 240, 10


def render(
    ledger, claims, tables, figures, provenance, reference=None, bench=None, templates=TEMPLATES
):
    """The report as one HTML page; returns its text.

    ledger: the loaded config/claims.yaml. claims: the list of claims.json. tables: {experiment
    slug: DataFrame}, one number a seed. figures: {id: {"svg": text, "caption", "alt", "files":
    {name: path relative to the page}}}. provenance: the loaded provenance.json. reference:
    {"claims", "provenance"} of the reference results, or None. bench: {"summary": the loaded
    results/bench/engine.json, "svg", "alt", "files"} of the last benchmark, or None. templates:
    the folder `report/`.

    What is missing (a claim's evidence, a figure, a table, an experiment) leaves a visible gap.
    """
    texts = yaml.safe_load((templates / "texts.yaml").read_text(encoding="utf-8"))
    sheet = svg.StyleSheet()
    page = _Page(ledger, claims, tables, figures, provenance, reference, texts, sheet)
    context = page.context() | {"cost": page.cost(bench)}
    css = (templates / "style.css").read_text(encoding="utf-8") + "\n" + sheet.css() + "\n"
    script = (templates / "script.js").read_text(encoding="utf-8")
    environment = Environment(
        loader=FileSystemLoader(templates),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {
        "number": numbers.number,
        "exact": numbers.exact,
        "duration": numbers.duration,
        "level": level_name,
        "has_interval": _has_interval,
    }
    policy = "; ".join(
        [
            "default-src 'none'",
            f"style-src {_hash(css)}",
            f"script-src {_hash(script)}",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    template = environment.get_template("index.html.j2")
    return template.render(css=Markup(css), script=Markup(script), policy=policy, **context)


def surprise(entry):
    """How far the evidence of a judged claim lies from the chapter: 0 (not at all) to below 1.

    By value rules: x / (1 + x), where x is the distance of the measured median from the chapter's
    number in margins, so 1/2 lies exactly on the margin; the largest over parts and conditions.
    By all other rules: failing conditions / (conditions + 1), so ten of ten surprise more than one
    of one; for a claim about how often something happens that has no conditions, runs in which it
    does not / (runs + 1).
    """
    return max((_gap(entry, part) for part in entry["parts"]), default=0.0)


def _gap(entry, part):
    readings = _counting(entry, part)
    if entry["rule"] in VALUE_RULES and part.get("margin"):
        margins = max((_distance(part, reading) for reading in readings), default=0.0)
        return margins / (1 + margins)
    if entry["rule"] == "existence" and readings == [part] and part["measured"] is not None:
        return (1 - part["measured"]) * part["n"] / (part["n"] + 1)
    failing = sum(reading["verdict"] == NOT_REPRODUCED for reading in readings)
    return failing / (len(readings) + 1)


def _distance(part, reading):
    """From the chapter's number (0 for an equivalence) to a measured one, in margins."""
    if reading["measured"] is None:
        return 0.0
    return abs(reading["measured"] - (part.get("chapter") or 0)) / part["margin"]


def _conditions(entry, part):
    return [c for c in entry.get("conditions") or [] if c["part"] == part["name"]]


def _counting(entry, part):
    """What decides a part: the conditions that were not dropped, or itself if it has none."""
    conditions = _conditions(entry, part)
    return [c for c in conditions if c["trains"] is not False] if conditions else [part]


class _Page:
    """The inputs of one page, and the plain values that its templates print."""

    def __init__(self, ledger, claims, tables, figures, provenance, reference, texts, sheet):
        self.ledger, self.figures, self.provenance = ledger, figures, provenance
        self.tables, self.texts, self.sheet = tables, texts, sheet
        self.preset = str(provenance.get("preset", "default"))
        self.evidence = {entry["id"]: entry for entry in claims}
        verdicts = {claim: entry["verdict"] for claim, entry in self.evidence.items()}
        self.refilled = refill(ledger, tables, verdicts)
        self.reference = reference
        self.reference_claims = {
            entry["id"]: entry for entry in (reference or {"claims": []})["claims"]
        }
        # Experiments that exist by now: what they should have delivered is a gap, not a plan.
        self.built = set(tables) | {
            part["experiment"] for claim in ledger["claims"] for part in claim.get("parts", [])
        }

    def context(self):
        """Everything that index.html.j2 reads."""
        cards = {claim["id"]: self.card(claim) for claim in self.ledger["claims"]}
        sections = [self.section(section, cards) for section in self.ledger["sections"]]
        return {
            "known": set(cards),
            "total": len(cards),
            "tally": _tally(cards.values()),
            "decided": sum(1 for card in cards.values() if card["basis"]),
            "verdicts": [(verdict, _slug(verdict)) for verdict in VERDICTS],
            "states": STATES,
            "findings": self.findings(cards),
            "sections": sections,
            "agreement": self.agreement(),
            "provenance": self.provenance_view(),
            "calibration": self.calibration(),
            "power": numbers.number(100 * POWER, 0),
            "reach": [(n, numbers.number(decided_distance(n), 2)) for n in (5, 8, 11)],
            "rules": {kind: in_words(kind) for kind in KINDS},
            "slug": _slug,
        }

    def cost(self, bench):
        """The last benchmark: rows of its table and its drawing; None if there was none."""
        if bench is None:
            return None
        works = bench["summary"]["works"]
        return {
            "works": works,
            "instruction_set": ", ".join(sorted({w["instruction_set"] for w in works.values()})),
            "start": bench["summary"]["start_seconds"],
            "svg": Markup(svg.adopt(bench["svg"], "bench", bench["alt"], self.sheet)),
            "files": list(bench["files"].items()),
        }

    def calibration(self):
        """The verdict rules, judged: a figure and a table for the method, if they are there."""
        if "calibration" not in self.tables:
            return []
        entry = {"title": "The verdict rules, judged", "line": None, "by": "calibration"}
        table = {
            "kind": "table",
            "id": "calibration-table",
            "title": "How often the rules are wrong",
            "line": None,
            "state": "shown",
            "table": calibration(self.tables["calibration"]),
            "files": [("calibration.parquet", "../experiments/calibration.parquet")],
        }
        return [self.figure("calibration", entry), table]

    # ---- Sections -------------------------------------------------------------------------------

    def section(self, section, cards):
        """One section of the chapter: its text, tables, figures and cards."""
        name = section["id"]
        own = [cards[claim["id"]] for claim in self.ledger["claims"] if claim["section"] == name]
        shown, planned = [], []
        for kind, view in (("tables", self.table), ("figures", self.figure)):
            for key, entry in sorted(self.ledger[kind].items()):
                if entry["section"] == name:
                    element = view(key, entry)
                    (planned if element["state"] == "planned" else shown).append(element)
        files = sorted({row["file"] for card in own for row in card["evidence"]})
        return {
            "id": name,
            "title": section["title"],
            "stake": self.texts["sections"].get(name, ""),
            "shown": shown,
            "planned": planned,
            "judged": [card for card in own if card["verdict"] != NOT_MEASURED],
            "unmeasured": [card for card in own if card["verdict"] == NOT_MEASURED],
            "tally": _tally(own),
            "total": len(own),
            "command": self.command(files),
        }

    def table(self, key, entry):
        """A refilled table, the gap where it should stand, or the plan for it."""
        view = {"kind": "table", "id": key, "title": entry["title"], "line": entry["line"]}
        if key in self.refilled and key not in MAKERS:
            files = [("claims.json", "claims.json")]
            return view | {"state": "shown", "table": self.refilled[key], "files": files}
        if key in self.refilled:
            csv = [(f"{MAKERS[key][0]}.parquet", f"../experiments/{MAKERS[key][0]}.parquet")]
            return view | {"state": "shown", "table": self.refilled[key], "files": csv}
        if key in MAKERS:
            return view | {"state": "gap", "by": [MAKERS[key][0]]}
        behind = {claim for row in entry.get("rows", []) for claim in row["claims"]}
        by = [by for claim in self.ledger["claims"] if claim["id"] in behind for by in claim["by"]]
        planned = list(dict.fromkeys(by)) or self.texts["planned_tables"].get(key, [])
        return view | {"state": "planned", "by": planned, "refill": entry.get("refill", "")}

    def figure(self, key, entry):
        """A figure as inline SVG, the gap where it should stand, or the plan for it."""
        by = _list(entry.get("by"))
        view = {
            "kind": "figure",
            "id": key,
            "title": entry["title"],
            "line": entry["line"],
            "by": by,
        }
        figure = self.figures.get(key)
        if figure is None:
            return view | {"state": "gap" if set(by) & self.built else "planned", "refill": ""}
        try:
            alt = figure.get("alt") or figure.get("caption") or entry["title"]
            drawn = svg.adopt(figure["svg"], key, alt, self.sheet)
        except (ET.ParseError, ValueError, KeyError):
            return view | {"state": "gap"}
        caption = figure.get("caption") or ""
        return view | {
            "state": "shown",
            "svg": Markup(drawn),
            "caption": caption,
            "files": list(figure.get("files", {}).items()),
        }

    # ---- Cards ----------------------------------------------------------------------------------

    def card(self, claim):
        """One claim: the ledger's words and what the evidence says."""
        entry = self.evidence.get(claim["id"], {})
        verdict = entry.get("verdict", NOT_MEASURED)
        measured = verdict not in (NOT_MEASURED, OPINION)
        reason = entry.get("reason") or ""
        if not entry:
            reason = "its evidence is missing from this report"
        elif verdict == NOT_MEASURED and not claim.get("parts"):
            reason = ""  # that its experiment is planned is said anyway
        return {
            "id": claim["id"],
            "section": claim["section"],
            "line": claim["line"],
            "says": _sentence(claim["says"]),
            "number": claim.get("number", ""),
            "note": claim.get("note", ""),
            "verdict": verdict,
            "slug": _slug(verdict),
            "basis": entry.get("basis") if measured else None,
            "by": [slug for slug in _list(claim.get("by")) if slug != "none"],
            "reason": _sentence(reason) if verdict != NOT_MEASURED else reason,
            "why": entry.get("why") or claim.get("why") or "",
            "rule": claim["rule"],
            "rule_words": entry.get("rule_words") or "",
            "sentence": _sentence(entry.get("sentence") or "", "."),
            "holds_where": _list(entry.get("holds_where")),
            "counts": entry.get("counts") or {},
            "groups": self.part_groups(entry) if measured else [],
            "maps": [
                _condition_map(entry, part)
                for part in (entry.get("parts") or [] if measured else [])
                if len(_conditions(entry, part)) > LISTED
            ],
            "also": [_also(part, claim["rule"]) for part in entry.get("also") or []],
            "power": _power(entry) if measured else "",
            "evidence": self.evidence_rows(entry) if measured else [],
        }

    def part_groups(self, entry):
        """The claim's numbers by unit: each group has one axis that its plots share.

        A part with few conditions is listed condition by condition, since that is where it
        differs; of more, the average stands here and the map below.
        """
        twins = {
            _row_key(row): row
            for row in _rows(self.reference_claims.get(entry["id"], {"parts": []}))
        }
        groups = {}
        for row in _rows(entry):
            groups.setdefault(row["unit"], []).append(row)
        views = []
        for unit, rows in groups.items():
            axis = _Axis(entry["rule"], rows, twins)
            # One number of digits for the column, so that it aligns on the point.
            places = sorted(row["places"] for row in rows)[len(rows) // 2]
            for row in rows:
                row["places"] = places
                twin = twins.get(_row_key(row))
                row["reference"] = twin["measured"] if twin else None
                row["plot"] = axis.plot(row, twin)
            views.append(
                {
                    "unit": unit,
                    "rows": rows,
                    "ticks": axis.ticks if any(row["plot"] for row in rows) else [],
                    "named": len(rows) > 1 or rows[0]["name"] != rows[0]["part"],
                    "has_chapter": any(row["chapter"] is not None for row in rows),
                    "has_reference": any(row["reference"] is not None for row in rows),
                }
            )
        return views

    def evidence_rows(self, entry):
        rows = []
        for source in entry.get("evidence") or []:
            file = source["file"]
            rows.append(source | {"href": f"../{file}", "command": self.command([file])})
        return rows

    def command(self, files):
        """The shell command that makes these files of the preset's folder; empty for none."""
        if not files:
            return ""
        preset = "" if self.preset == "default" else f" --configfile config/{self.preset}.yaml"
        paths = " ".join(f"results/{self.preset}/{file}" for file in files)
        return f"snakemake {paths} --cores 4{preset}"

    # ---- The answer -----------------------------------------------------------------------------

    def findings(self, cards):
        """The most surprising claims (`surprise`) among those decided against, at least in part."""
        candidates = sorted(
            (-surprise(entry), entry["id"])
            for entry in self.evidence.values()
            if entry["verdict"] in (NOT_REPRODUCED, UNDER_CONDITIONS)
            and entry.get("basis") == "measured"
            and entry["id"] in cards
        )
        findings = []
        for score, claim in candidates[:FINDINGS]:
            card, entry = cards[claim], self.evidence[claim]
            worst = max(entry["parts"], key=lambda part: _gap(entry, part))
            rows = [
                row
                for group in card["groups"]
                for row in group["rows"]
                if row["part"] == worst["name"] and row["measured"] is not None
            ]
            if entry["rule"] in VALUE_RULES:
                rows.sort(key=lambda row: -_distance(worst, row))
            else:  # every other rule asks for more than a limit
                rows.sort(key=lambda row: row["measured"])
            row = rows[0] if rows and entry["rule"] not in PASS_OR_FAIL else None
            findings.append({"card": card, "row": row, "score": -score})
        return findings

    def agreement(self):
        """How the verdicts and numbers compare with the reference results; None without them."""
        if not self.reference:
            return None
        both = [
            (entry, self.reference_claims[claim])
            for claim, entry in sorted(self.evidence.items())
            if claim in self.reference_claims
            and not {entry["verdict"], self.reference_claims[claim]["verdict"]}
            & {NOT_MEASURED, OPINION}
        ]
        largest = None
        for ours, theirs in both:
            twins = {part["name"]: part for part in theirs["parts"]}
            for part in ours["parts"]:
                twin = twins.get(part["name"], {})
                if part["measured"] is None or twin.get("measured") is None or not part["margin"]:
                    continue
                margins = abs(part["measured"] - twin["measured"]) / part["margin"]
                if largest is None or margins > largest["margins"]:
                    largest = {
                        "id": ours["id"],
                        "name": part["name"],
                        "ours": part["measured"],
                        "theirs": twin["measured"],
                        "unit": part.get("unit") or "",
                        "places": max(_places(part), numbers.decimals(margins * part["margin"])),
                        "margins": margins,
                    }
        differ = [ours["id"] for ours, theirs in both if ours["verdict"] != theirs["verdict"]]
        return {
            "agree": len(both) - len(differ),
            "total": len(both),
            "differ": differ,
            "largest": largest,
            "provenance": self.reference.get("provenance") or {},
        }

    def provenance_view(self):
        """The provenance with every key present, in an order that does not depend on its writer."""
        given = self.provenance
        diverged = sorted(given.get("diverged") or [], key=lambda run: str(run.get("run")))
        seconds = sorted((given.get("seconds") or {}).items(), key=lambda item: (-item[1], item[0]))
        return {
            "preset": self.preset,
            "command": given.get("command") or "",
            "commit": given.get("commit") or "",
            "dirty": bool(given.get("dirty")),
            "date": given.get("date") or "",
            "versions": sorted((given.get("versions") or {}).items()),
            "machine": given.get("machine") or {},
            "data": sorted((given.get("data") or {}).items()),
            "config": yaml.safe_dump(given.get("config") or {}, sort_keys=True, allow_unicode=True),
            "runs": given.get("runs") or {},
            "diverged": diverged[:DIVERGED_SHOWN],
            "diverged_total": len(diverged),
            "seconds": seconds,
            "longest": max((value for _, value in seconds), default=0) or 1,
            "wall_seconds": given.get("wall_seconds"),
            "experiments": sorted(self.tables),
            "all": "make report" + ("" if self.preset == "default" else f" PRESET={self.preset}"),
            "configfile": f"config/{'config' if self.preset == 'default' else self.preset}.yaml",
        }


class _Axis:
    """The horizontal axis that the dot-and-interval plots of one unit share."""

    def __init__(self, rule, parts, twins):
        self.rule = rule
        values = [0.0, 1.0] if rule == "existence" else []
        for part in parts:
            twin = twins.get(_row_key(part), {})
            values += [part.get("chapter"), part.get("measured"), twin.get("measured")]
            values += [part.get("ci_low"), part.get("ci_high"), *self.zone(part)]
        known = [value for value in values if value is not None and math.isfinite(value)]
        self.low, self.high = (min(known), max(known)) if known else (0.0, 1.0)
        if self.low == self.high:
            self.low, self.high = self.low - 1, self.high + 1
        places = numbers.decimals((self.high - self.low) / 4, 1)
        steps = [self.low, (self.low + self.high) / 2, self.high]
        self.ticks = [{"x": self.x(step), "text": numbers.number(step, places)} for step in steps]

    def zone(self, part):
        """The values that count as reproduced, (low, high); an end may be infinite."""
        margin, number = part.get("margin") or 0, part.get("chapter") or 0
        if self.rule in {"value", "scaling", "equivalence"}:
            return number - margin, number + margin
        if self.rule in {"ordering", "trend"}:
            return margin, math.inf
        if self.rule == "noninferiority":
            return -margin, math.inf
        if self.rule == "existence":
            return 0.5, math.inf
        return math.nan, math.nan

    def x(self, value):
        """Place on the plot, in its units; ends of the axis for what lies beyond; None for none."""
        if value is None or math.isnan(value):
            return None
        share = min(max((value - self.low) / (self.high - self.low), 0), 1)
        if math.isinf(value):
            return float(PLOT_WIDTH if value > 0 else 0)
        return round(PLOT_PAD + share * (PLOT_WIDTH - 2 * PLOT_PAD), 1)

    def plot(self, part, twin):
        """Where the marks of one part stand; None if there is nothing to see."""
        if part.get("measured") is None or self.x(self.zone(part)[0]) is None:
            return None
        low, high = (self.x(end) for end in self.zone(part))
        return {
            "zone": (low, max(round(high - low, 1), 1)),
            "chapter": self.x(part.get("chapter")),
            "low": self.x(part.get("ci_low")),
            "high": self.x(part.get("ci_high")),
            "measured": self.x(part["measured"]),
            "reference": self.x(twin.get("measured")) if twin else None,
        }


def _rows(entry):
    """The numbers of a claim to list: its parts, those with few conditions split into these."""
    rows = []
    for part in entry["parts"]:
        conditions = _conditions(entry, part)
        failed = "" if entry["rule"] == "existence" else _failed(part)
        common = {
            "part": part["name"],
            "chapter": part.get("chapter"),
            "chapter_places": numbers.printed_decimals(part.get("chapter")),
            "margin": part.get("margin"),
            "unit": part.get("unit") or "",
            "failed": failed,
            "point": _is_point(entry["rule"]),
        }
        split = 1 < len(conditions) <= LISTED
        axes = _axes(conditions)
        conditions.sort(key=lambda c: [_place(level) for axis in axes for level in _at(c, axis)])
        for reading in conditions if split else [part]:
            name = part["name"]
            if split:
                levels = ", ".join(_said(axis, _at(reading, axis)) for axis in axes)
                name = levels if len(entry["parts"]) == 1 else f"{name}, {levels}"
            elif len(conditions) > LISTED:
                name = f"{name}: average"
            dropped = reading.get("trains") is False
            rows.append(
                common
                | {key: reading.get(key) for key in ("measured", "ci_low", "ci_high", "n")}
                | {
                    "name": name,
                    "verdict": STATES["dropped"] if dropped else reading["verdict"],
                    "slug": "dropped" if dropped else _slug(reading["verdict"]),
                    "places": _places(common | reading),
                }
            )
    return rows


def _row_key(row):
    return row["part"], row["name"]


def _levels(condition):
    """The axes of a condition and their levels."""
    return {k: v for k, v in condition.items() if k not in NOT_AXES and v is not None}


def _axes(conditions):
    """The axes along which these conditions differ, as tuples of columns.

    A learning rate belongs to its optimizer; columns that always change together (images and
    epochs, where each training set has its own length) are one axis.
    """
    columns = dict.fromkeys(column for condition in conditions for column in _levels(condition))
    axes = []
    for column in columns:
        if len({c.get(column) for c in conditions}) == 1:
            continue
        for place, axis in enumerate(axes):
            merged = len({_at(c, (*axis, column)) for c in conditions})
            alone = {
                len({_at(c, axis) for c in conditions}),
                len({c.get(column) for c in conditions}),
            }
            if (axis[0] == "optimizer" and column == "learning_rate") or alone == {merged}:
                axes[place] = (*axis, column)
                break
        else:
            axes.append((column,))
    return axes


def _at(condition, axis):
    """Where a condition lies on an axis: its levels in the axis's columns."""
    return tuple(condition.get(column) for column in axis)


def _said(axis, level):
    """A level within a sentence: names speak for themselves, numbers need their axis."""
    named = isinstance(level[0], str)
    return _level(level[:1]) if named else f"{_axis_name(axis)} {_level(level)}"


def _condition_map(entry, part):
    """The conditions of one part: counts, counts by level of each axis, and the whole map."""
    conditions, margin = _conditions(entry, part), part.get("margin") or 0
    cells = [
        {
            "at": condition,
            "state": _state(entry["rule"], condition, margin),
            "measured": condition["measured"],
            "places": _places(condition | {"unit": part.get("unit")}),
        }
        for condition in conditions
    ]
    axes = _axes(conditions)
    split = {column for axis in axes for column in axis}
    fixed = {k: v for c in conditions for k, v in _levels(c).items() if k not in split}
    levels = {axis: _ordered({_at(condition, axis) for condition in conditions}) for axis in axes}
    by_axis = [
        {
            "axis": _axis_name(axis),
            "levels": [
                {
                    "name": _level(level),
                    "counts": _states([cell for cell in cells if _at(cell["at"], axis) == level]),
                }
                for level in levels[axis]
            ],
        }
        for axis in axes
    ]
    return {
        "part": part["name"] if len(entry["parts"]) > 1 else "",
        "total": len(cells),
        "counts": _states(cells),
        "fixed": [(_axis_name((column,)), level_name(level)) for column, level in fixed.items()],
        "by_axis": by_axis,
        "grid": _grid(cells, levels),
    }


def _grid(cells, levels):
    """The map: the axis with most levels that fit as columns, every other axis as row heads."""
    across = max(levels, key=lambda axis: (len(levels[axis]) <= WIDEST, len(levels[axis])))
    down = [axis for axis in levels if axis != across]
    rows = {}
    for cell in cells:
        key = tuple(_at(cell["at"], axis) for axis in down)
        rows.setdefault(key, {})[_at(cell["at"], across)] = cell
    order = {axis: {level: place for place, level in enumerate(levels[axis])} for axis in down}
    keys = sorted(
        rows, key=lambda key: [order[axis][level] for axis, level in zip(down, key, strict=True)]
    )
    return {
        "across": _axis_name(across),
        "columns": [_level(level) for level in levels[across]],
        "down": [_axis_name(axis) for axis in down],
        "rows": [
            {
                "heads": [_level(level) for level in key],
                "cells": [rows[key].get(level) for level in levels[across]],
            }
            for key in keys
        ],
    }


def _state(rule, condition, margin):
    if condition.get("trains") is False:
        return "dropped"
    if condition["verdict"] == REPRODUCED:
        return "holds"
    if condition["verdict"] == UNDECIDED:
        return "undecided"
    high = condition.get("ci_high")
    behind = rule in {"ordering", "trend"} and high is not None and high < -margin
    return "behind" if behind else "fails"


def _states(cells):
    counts = Counter(cell["state"] for cell in cells)
    return _spans([(state, counts[state]) for state in STATES])


def _tally(cards):
    """Counts by verdict and basis, with the place of each segment on a bar of 100 %."""
    counts = Counter((card["verdict"], card["basis"] == "literature") for card in cards)
    keys = [(verdict, literature) for verdict in VERDICTS for literature in (False, True)]
    segments = _spans([(key, counts[key]) for key in keys])
    return {
        "segments": [
            segment | {"verdict": segment["key"][0], "literature": segment["key"][1]}
            for segment in segments
        ],
        "counts": [
            {
                "verdict": verdict,
                "slug": _slug(verdict),
                "count": counts[verdict, False] + counts[verdict, True],
                "literature": counts[verdict, True],
            }
            for verdict in VERDICTS
        ],
    }


def _spans(counts):
    """Place the counts that are not zero on a bar of 100 %: start and width of each."""
    total = sum(count for _, count in counts) or 1
    start, spans = 0.0, []
    for key, count in counts:
        if count:
            width = 100 * count / total
            spans.append(
                {
                    "key": key,
                    "count": count,
                    "start": round(start, 3),
                    "width": round(width, 3),
                    "middle": round(start + width / 2, 3),
                }
            )
            start += width
    return spans


def _sentence(text, end=""):
    """Start with a capital, unless the first word is a symbol (γ, n-bit); close with `end`."""
    word = text.split(" ")[0].rstrip(":,;")
    if word.isascii() and word.isalpha() and word.islower() and (len(word) > 1 or word == "a"):
        text = text[0].upper() + text[1:]
    return text if not text or not end or text[-1] in ".!?" else text + end


def _also(part, rule):
    return part | {"places": _places(part), "failed": _failed(part), "point": _is_point(rule)}


def _is_point(rule):
    """Whether a rule looks at every trial, so that what it measures has no interval."""
    return RULES[rule].fewest == 1 if rule in RULES else False


def _power(entry):
    """How large an effect the seeds of a claim decide with power POWER, in words; empty if none
    is known."""
    parts = [part for part in entry["parts"] if part.get("reach") is not None]
    if not parts:
        return ""
    n = _range({part["n"] for part in parts}, 0)
    often = f"in {numbers.number(100 * POWER, 0)} % of cases"
    most = max(part["reach"] for part in parts)
    share = numbers.number(100 * most, 0)
    if entry["rule"] == "existence":
        rest = numbers.number(100 - 100 * most, 0)
        return f"{n} runs decide, {often}, what {share} % of all runs do, or only {rest} %"
    if _is_point(entry["rule"]):
        return f"{n} seeds meet, {often}, a flaw that shows in {share} % of all seeds"
    if most == 0:
        return f"{n} seeds that agree like these decide any effect"
    by_unit = {}
    for part in parts:
        by_unit.setdefault("pp" if part["unit"] == "%" else part["unit"], set()).add(part["reach"])
    sizes = "; ".join(
        f"{_range(found, numbers.decimals(max(found)))} {unit}".strip()
        for unit, found in by_unit.items()
    )
    several = any(len(_conditions(entry, part)) > 1 for part in parts)
    where = " in a typical condition" if several else ""
    what = f"what lies {sizes} or more beyond a limit of the rule{where}"
    return f"{n} seeds that scatter like these decide, {often}, {what}"


def _range(found, places):
    """Numbers as text: the one, or the smallest to the largest."""
    ends = dict.fromkeys(numbers.number(end, places) for end in (min(found), max(found)))
    return " to ".join(ends)


def _places(part):
    """Digits of a measured number; at least one, since margins are fractions of a point."""
    fallback = max(numbers.printed_decimals(part.get("chapter")), 2)
    if (part.get("unit") or "").startswith("share"):
        return 2
    if not _has_interval(part):
        return fallback
    return max(1, numbers.decimals(part["ci_high"] - part["ci_low"], fallback))


def _has_interval(part):
    """Whether there is an interval and both of its ends are known."""
    if part.get("point"):
        return False
    ends = (part.get("ci_low"), part.get("ci_high"))
    return all(end is not None and math.isfinite(end) for end in ends)


def _failed(part):
    words = {"large": "loss became large", "inf": "loss became infinite", "nan": "loss became NaN"}
    word = words.get(part.get("outcome"))
    share = part.get("failed_share")
    if not word:
        return ""
    return word + (f" in {numbers.number(100 * share, 0)} % of the runs" if share else "")


def _axis_name(axis):
    if axis[0] == "optimizer":
        return "optimizer"
    return ", ".join(AXIS_NAMES.get(column, column.replace("_", " ")) for column in axis)


def _level(levels):
    """A level of an axis in words: `Adam 0.001`, `10 000, 3`."""
    words = ["\N{EN DASH}" if level is None else level_name(level) for level in levels]
    return (" " if isinstance(levels[0], str) else ", ").join(words)


def _ordered(levels):
    """Levels of an axis: names in the order of the figures' looks, numbers by size."""
    return sorted(levels, key=lambda level: [_place(column) for column in level])


def _place(level):
    if isinstance(level, str):
        return 2, LOOK_ORDER.get(level, len(LOOK_ORDER)), level
    return (0, 0, "") if level is None else (1, level, "")


def _list(value):
    """One or several, as a list."""
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _slug(verdict):
    return verdict.replace(" ", "-")


def _hash(text):
    """The source expression that admits exactly this inline text (CSP level 3, section 2.3.1)."""
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
