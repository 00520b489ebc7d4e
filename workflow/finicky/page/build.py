"""The page: one self-contained HTML file from the ledger, the evidence, figures and tables.

`render` is a pure function: the same inputs give the same bytes. It prepares plain values, the
templates in `report/` say how they look. Every number on the page comes from its arguments.
"""

import hashlib
from base64 import b64encode
from pathlib import Path

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from finicky import labels, numbers
from finicky.durations import duration
from finicky.evidence import words
from finicky.evidence.intervals import POWER, decided_distance
from finicky.evidence.ledger import heading
from finicky.evidence.rules import KINDS, NOT_MEASURED, NOT_REPRODUCED, VERDICTS
from finicky.evidence.words import rule_in_words
from finicky.page import bars, chapter, provenance, scale
from finicky.page.agreement import agreement
from finicky.page.cards import card
from finicky.page.colours import colours
from finicky.page.exhibits import Exhibits, places
from finicky.page.findings import FIRST, findings, too_few_seeds
from finicky.page.formulas import formula
from finicky.page.index import as_json, index
from finicky.page.maps import STATES
from finicky.page.overview import overview
from finicky.page.paths import Paths
from finicky.runs import levels

TEMPLATES = Path(__file__).parents[3] / "report"
# What is put into the page, in this order; only an explorer needs the library of its curves.
VENDORED = "vendor/uplot-1.6.32.min"
STYLES, EXPLORER_STYLES = ["style.css"], [f"{VENDORED}.css", "explorer.css"]
SCRIPTS = ["script.js", "cards.js"]
EXPLORER_SCRIPTS = [f"{VENDORED}.js", "explorer-grid.js", "explorer-charts.js", "explorer.js"]


def render(
    ledger, claims, experiments, figures, tables, record, references=None, amendments=(),
    other_devices=None, grid=None, templates=TEMPLATES, example=False,
):  # fmt: skip
    """The report as one HTML page; returns its text.

    ledger: the loaded config/claims.yaml. claims: the list of claims.json.
    experiments: every experiment there is: {slug: {"title", "file": its module, "table": its
    parquet file, or None if it is not in this report, "exhibit": its exhibit's module or None,
    "figures", "tables": {id: caption}}}.
    figures: {id: {"svg": text, "finding": a sentence, "files": {name: file}}}. tables: {id:
    {"table": plain values, as exhibits/tables.py writes them, "files"}}. record: the loaded
    provenance.json. references: {seed set: the list of its claims.json}, whose numbers stand beside
    ours. amendments: the list of config/amendments.yaml. other_devices: {"cpu" or "cuda": the list
    of claims.json of the same preset there}. grid: what the explorer shows, as `explorer.view`
    gives it, or None. templates: the folder `report/`. example: whether this is the example page,
    which lies in results/reference/, links what is committed there and leaves out large drawings.
    All files are given as paths from the repository's root.

    What is missing (a claim's evidence, a figure, a table, an experiment) leaves a visible gap.
    """
    texts = yaml.safe_load((templates / "texts.yaml").read_text(encoding="utf-8"))
    context = _context(
        ledger,
        by_id(claims),
        experiments,
        figures,
        tables,
        record,
        {name: by_id(entries) for name, entries in sorted((references or {}).items())},
        list(amendments),
        texts,
        Paths(str(record.get("preset", "default")), example),
    )
    context["other_devices"] = [
        (device, agreement(by_id(claims), by_id(theirs)))
        for device, theirs in sorted((other_devices or {}).items())
    ]
    context["grid"] = None
    if grid is not None:
        context["grid"] = as_json({key: grid[key] for key in grid if key != "details"})
        context["details"] = Markup("\n".join(grid["details"]))  # base64

    def text(name):
        return (templates / name).read_text(encoding="utf-8")

    css = "\n".join(text(name) for name in [*STYLES, *(EXPLORER_STYLES if grid else ())])
    scripts = [text(name) for name in [*SCRIPTS, *(EXPLORER_SCRIPTS if grid else ())]]
    context["colour"] = colours(css)
    template = _environment(templates).get_template("index.html.j2")
    return template.render(
        css=Markup(css),
        scripts=[Markup(script) for script in scripts],
        policy=_policy(css, scripts),
        **context,
    )


def by_id(entries):
    """{claim: its entry} of a claims.json."""
    return {entry["id"]: entry for entry in entries}


def _context(
    ledger, claims, experiments, figures, tables, record, references, amendments, texts, paths
):  # fmt: skip
    """Everything that index.html.j2 reads; `claims` and each of `references` by id."""
    exhibits = Exhibits(ledger, experiments, figures, tables, claims, texts, paths)
    took = record.get("experiment_seconds") or {}
    experiments = {slug: one | {"seconds": took.get(slug)} for slug, one in experiments.items()}
    cards = {
        claim["id"]: card(
            claim,
            claims.get(claim["id"]),
            {name: of.get(claim["id"]) for name, of in references.items()},
            exhibits.showing(claim["id"]),
            experiments,
            paths,
            heading(ledger, claim["line"]) if "line" in claim else "",
            [one for one in amendments if claim["id"] in one["claims"]],
        )
        | {"needs": _foundations(claim, claims)}
        for claim in ledger["claims"]
    }
    # the chapter's claims are counted and ranked; the reader's own are answered, each by itself
    of_chapter = {name: one for name, one in cards.items() if one["line"] is not None}
    own = [one for one in cards.values() if one["line"] is None]
    config = record.get("config") or {}
    too_few = too_few_seeds(record) if of_chapter else None
    datasets = labels.in_order(record.get("data") or {})
    return {
        "known": set(cards),
        "chapter": bool(of_chapter),
        "example": paths.example,
        "title": config.get("title") or _title(of_chapter, own),
        "about": config.get("about", ""),
        "own": own,
        "total": len(of_chapter or cards),
        "tally": bars.tally((of_chapter or cards).values()),
        "subjects": bars.by_subject(list(of_chapter.values())),
        "fragile": [one for one in cards.values() if one["fragile"]],
        "amendments": amendments,
        "decided": sum(1 for one in cards.values() if one["subject"]),
        "verdicts": [(verdict, bars.slug(verdict)) for verdict in VERDICTS],
        "states": STATES,
        "too_few_seeds": too_few,
        "findings": [] if too_few else findings(claims, of_chapter),
        "first": FIRST,
        "panels": overview(ledger["sections"], claims, cards) if len(cards) > 1 else [],
        "embedded": as_json(
            {name: one["embedded"] for name, one in cards.items() if one["embedded"]}
        ),
        "index": as_json(index(ledger, claims, cards, datasets)),
        "kinds": list(scale.TITLES.items()),
        "datasets": datasets,
        "widths": _widths(config),
        "sections": [
            chapter.section(section, list(cards.values()), exhibits, texts, paths)
            for section in ledger["sections"]
        ],
        "agreements": [(name, agreement(claims, of)) for name, of in references.items()],
        "provenance": provenance.view(record, experiments, paths),
        "sub_grids": exhibits.of("explore")[0],
        "method": exhibits.of("method")[0],
        "cost": exhibits.of("cost")[0],
        "power": numbers.number(100 * POWER, 0),
        "distances": [(n, numbers.number(decided_distance(n), 2)) for n in (5, 8, 11)],
        "rules": {kind: rule_in_words(kind) for kind in KINDS},
    }


def _foundations(claim, claims):
    """What a claim rests on: its id, verdict and whether that takes the ground away."""
    found = []
    for name in claim.get("needs", []):
        verdict = claims[name]["verdict"] if name in claims else NOT_MEASURED
        found.append({"id": name, "verdict": verdict, "failed": verdict == NOT_REPRODUCED})
    return found


def _widths(config):
    """The widths of a config's networks, in words: those of its sub-grids, or its own. Empty where
    it trains none."""
    grids = (config.get("grid") or {}).values()
    widths = sorted({w for grid in grids for w in levels(grid, "width", config)} - {None})
    return labels.listed(list(map(str, widths)), "or") if widths else ""


def _title(of_chapter, own):
    """What the page is called where the config does not say it."""
    if of_chapter:
        return f"{len(of_chapter)} claims about training neural networks, put to the test"
    if len(own) == 1:
        return own[0]["says"].rstrip(".") + ": is it so?"
    return f"{len(own)} questions about training neural networks"


def _environment(templates):
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
        "duration": duration,
        "level": labels.label,
        "places": places,
        "slug": bars.slug,
        "formula": formula,
        "many": words.many,
        "capitalise": words.capitalised,
        "unit_words": words.unit_words,
        "has_interval": words.has_interval,
    }
    return environment


def _policy(css, scripts):
    """The content policy of the page: its own style and scripts, and images that it contains."""
    return "; ".join(
        [
            "default-src 'none'",
            f"style-src {_hash(css)}",
            f"script-src {' '.join(map(_hash, scripts))}",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def _hash(text):
    """The source expression that admits exactly this inline text (CSP level 3, section 2.3.1)."""
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
