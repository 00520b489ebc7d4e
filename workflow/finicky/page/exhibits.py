"""Figures and refilled tables: shown, missing (a gap) or planned, each with the claims that read
the same experiment.

Which experiment makes which, and the captions, is what the exhibits' modules declare; drawings and
tables themselves come as files.
"""

import xml.etree.ElementTree as ET

from markupsafe import Markup

from finicky.evidence import words
from finicky.numbers import decimals
from finicky.page import answers, svg

LEDGER = "config/claims.yaml"  # where the rows of a table of answers stand
EXAMPLE_MOST = 60_000  # characters of a drawing on the example page, which is committed


class Exhibits:
    """All figures and tables of one page, by id, in `views`.

    ledger, experiments, figures, tables: as `build.render` takes them; claims: {claim id:
    its entry in claims.json}; texts: the loaded texts.yaml; paths: the page's `Paths`.

    Every view has kind (figure, table), id, title, label (the id, or the title of what is not the
    chapter's), line (None for what is not the chapter's), section, refill (what the ledger plans
    for a table) and state: `shown`; `gap`, if the experiment has run and did not deliver it;
    `planned`, if no module makes it yet, or the experiment that makes it is not in this report.
    What is shown has its finding, a sentence, which may be empty. The `svg` of a drawing that is
    too large for the example page is empty.
    """

    def __init__(self, ledger, experiments, figures, tables, claims, texts, paths):
        self.ledger, self.experiments, self.texts = ledger, experiments, texts
        self.figures, self.tables, self.claims = figures, tables, claims
        self.paths = paths
        self.makers = {
            name: slug
            for slug, one in sorted(experiments.items())
            for name in (*one["figures"], *one["tables"])
        }
        self.readers = _readers(ledger)
        self.views = {}
        for kind in ("table", "figure"):
            for name, entry in sorted(ledger[f"{kind}s"].items()):
                self.views[name] = self._view(kind, name, entry)
        for name, entry in self._others():
            kind = "figure" if name in experiments[self.makers[name]]["figures"] else "table"
            self.views[name] = self._view(kind, name, entry)

    def of(self, section):
        """What stands in a section, or in another part of the page: (shown and gaps, planned)."""
        found = [view for view in self.views.values() if view["section"] == section]
        planned = [view for view in found if view["state"] == "planned"]
        return [view for view in found if view["state"] != "planned"], planned

    def showing(self, claim):
        """The figures and tables shown whose experiments a claim reads."""
        return [view for view in self.views.values() if claim in view.get("claims", ())]

    def _others(self):
        """What is made in this report and is not the chapter's: (id, entry) with the place that
        texts.yaml gives it, or else the section of the first claim that reads its experiment."""
        placed = {
            name: {"title": title, "section": part}
            for part, titles in self.texts["exhibits"].items()
            for name, title in titles.items()
        }
        made = {name: slug for name, slug in self.makers.items() if self._has_run(slug)}
        sections = {claim["id"]: claim["section"] for claim in self.ledger["claims"]}
        for name, slug in made.items():
            readers = self.readers.get(slug)
            section = sections[readers[0]] if readers else "method"
            placed.setdefault(name, {"title": self.experiments[slug]["title"], "section": section})
        for name, entry in placed.items():
            if name in made and name not in self.views:
                yield name, entry | {"line": None}

    def _has_run(self, slug):
        return self.experiments[slug]["table"] is not None

    def _view(self, kind, name, entry):
        view = {
            "kind": kind,
            "id": name,
            "title": entry["title"],
            "label": name if entry["line"] else entry["title"],
            "line": entry["line"],
            "section": entry["section"],
            "refill": entry.get("refill", ""),
        }
        maker = self.makers.get(name)
        if maker is None:
            return view | (self._answers(entry) or self._planned(name, entry))
        if not self._has_run(maker):
            return view | {"state": "planned", "planned": [], "left_out": maker}
        shown = self._drawing(name, view) if kind == "figure" else self._table(name)
        if shown is None:
            return view | {"state": "gap", "by": maker}
        one = self.experiments[maker]
        return view | shown | {
            "state": "shown",
            "caption": one[f"{kind}s"][name],
            "claims": self.readers.get(maker, []),
            "cells_link": False,
            "sources": [one["exhibit"], one["file"]],
        }  # fmt: skip

    def _drawing(self, name, view):
        """A figure as inline SVG; None if there is none, or none that can be drawn."""
        figure = self.figures.get(name)
        if figure is None:
            return None
        finding = figure.get("finding") or ""
        try:  # its accessible name: what was found, and what is drawn
            drawn = svg.adopt(figure["svg"], name, f"{finding} {view['title']}.".strip())
        except (ET.ParseError, ValueError):
            return None
        too_large = self.paths.example and len(drawn) > EXAMPLE_MOST
        files = self.paths.links(figure["files"])
        return {"finding": finding, "svg": "" if too_large else Markup(drawn), "files": files}

    def _table(self, name):
        given = self.tables.get(name)
        if given is None:
            return None
        return {"table": given["table"], "files": self.paths.links(given["files"])} | _cells(
            given["table"]
        )

    def _answers(self, entry):
        """A table of questions and answers; None if it is none, or has no verdicts yet."""
        filled = answers.table(entry, self.claims) if "rows" in entry else None
        return filled and {
            "state": "shown",
            "table": filled,
            "caption": "",
            "files": self.paths.links({"JSON": f"{self.paths.folder}/report/claims.json"}),
            "claims": answers.behind(entry),
            "cells_link": True,
            "sources": [LEDGER],
        } | _cells(filled)  # fmt: skip

    def _planned(self, name, entry):
        """Planned: by the experiments of the claims behind it, or the one that the ledger names."""
        behind = set(answers.behind(entry))
        by = [by for claim in self.ledger["claims"] if claim["id"] in behind for by in claim["by"]]
        if "by" in entry:
            by.append(entry["by"])
        return {"state": "planned", "planned": list(dict.fromkeys(by)), "left_out": None}


def _readers(ledger):
    """{experiment: ids of the claims whose parts read it, in the ledger's order}."""
    readers = {}
    for claim in ledger["claims"]:
        parts = claim.get("parts", []) + claim.get("also", [])
        for slug in dict.fromkeys(part["experiment"] for part in parts):
            readers.setdefault(slug, []).append(claim["id"])
    return readers


def _cells(table):
    """What a table found and what its cells are, so that its caption can say it: medians over so
    many seeds, with intervals or without; numbers of the chapter."""
    pairs = [
        ("chapter" if row.get("chapter") else column["kind"], cell)
        for body in table["bodies"]
        for row in body["rows"]
        for column, cell in zip(table["columns"], row["cells"], strict=True)
    ]
    medians = [c for _, c in pairs if c["n"] and c["value"] is not None and c["error"] is None]
    return {
        "seeds": sorted({cell["n"] for cell in medians}),
        "intervals": any(words.has_interval(_record(cell)) for cell in medians),
        "finding": table.get("finding", ""),
        "has_chapter": any(
            kind == "chapter" and (cell["value"] is not None or cell["text"])
            for kind, cell in pairs
        ),
    }


def places(cell, usual):
    """Digits after the point of a table's cell: as `usual` in its column, but where its own
    interval is far wider than the others', what that supports."""
    if None in (cell["low"], cell["high"]):
        return usual
    own = decimals(cell["high"] - cell["low"], usual)
    return own if own < usual - 2 else usual


def _record(cell):
    return {"ci_low": cell["low"], "ci_high": cell["high"]}
