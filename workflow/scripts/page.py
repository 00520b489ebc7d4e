"""Render the report."""

import os
from pathlib import Path
from xml.etree import ElementTree

from job import job

from finicky import provenance
from finicky.documents import read_json
from finicky.errors import Damaged
from finicky.evidence import ledger
from finicky.page import build
from finicky.store import replaced

# The folder that results/ is in. The page's links are relative to it, whatever a module's prefix.
PLACE = Path(snakemake.output[0]).parents[3]


def beside(path, kinds):
    """The files of the same name that have these endings: {ending in capitals: path}."""
    path = Path(os.path.relpath(path, PLACE))
    return {kind.upper(): str(path.with_suffix(f".{kind}")) for kind in kinds}


def read_figure(path):
    """A figure as the page takes it: its SVG, the finding that this carries, its files."""
    text = Path(path).read_text(encoding="utf-8")
    try:
        finding = ElementTree.fromstring(text).get("aria-label")
    except ElementTree.ParseError as error:
        raise Damaged(path, error) from None
    return {"svg": text, "finding": finding, "files": beside(path, ["csv", "svg", "png"])}


def read_table(path):
    """A refilled table as the page takes it: its values and its files."""
    return {"table": read_json(path), "files": beside(path, ["csv", "json"])}


def read_all(paths, read):
    """{id: content}; empty files are what could not be drawn or refilled, a gap on the page."""
    return {Path(path).stem: read(path) for path in paths if Path(path).stat().st_size}


with job(snakemake):
    given, wanted = snakemake.input, snakemake.params
    claims = ledger.load(given.ledger if wanted.chapter else None, own=wanted.own)
    page = build.render(
        claims,
        read_json(given.claims),
        wanted.experiments,
        read_all(given.figures, read_figure),
        read_all(given.tables, read_table),
        read_json(given.provenance),
        provenance.references(given.references, snakemake.config),
        ledger.amendments(given.amendments, claims) if wanted.chapter else [],
        {Path(path).suffixes[0].strip("."): read_json(path) for path in given.other_devices},
        read_json(given.grid),
        build.TEMPLATES,
    )
    with replaced(snakemake.output[0]) as temporary:
        Path(temporary).write_text(page, encoding="utf-8")
