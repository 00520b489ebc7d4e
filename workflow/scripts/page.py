"""Render the report."""

from pathlib import Path

from job import job

from finicky import provenance
from finicky.documents import read_json
from finicky.evidence import ledger
from finicky.page import build, inputs
from finicky.store import replaced

# The folder that results/ is in. The page's links are relative to it, whatever a module's prefix.
PLACE = Path(snakemake.output[0]).parents[3]


with job(snakemake):
    given, wanted = snakemake.input, snakemake.params
    claims = ledger.load(given.ledger if wanted.chapter else None, own=wanted.own)
    page = build.render(
        claims,
        read_json(given.claims),
        wanted.experiments,
        inputs.read_figures(given.figures, PLACE),
        inputs.read_tables(given.tables, PLACE),
        read_json(given.provenance),
        provenance.references(given.references, snakemake.config),
        ledger.amendments(given.amendments, claims) if wanted.chapter else [],
        {Path(path).suffixes[0].strip("."): read_json(path) for path in given.other_devices},
        read_json(given.grid),
        build.TEMPLATES,
    )
    with replaced(snakemake.output[0]) as temporary:
        Path(temporary).write_text(page, encoding="utf-8")
