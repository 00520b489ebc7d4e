"""Refill one table of the chapter: JSON, which the page prints, and CSV."""

from pathlib import Path

from job import job

from finicky import documents, parquet
from finicky.evidence import ledger
from finicky.exhibits import makers, tables
from finicky.store import replaced

with job(snakemake):
    name = snakemake.wildcards.table
    measured = parquet.read_frame(snakemake.input.table)
    chapter = ledger.load(snakemake.input.ledger)
    table = makers.refilled(snakemake.params.slug, name, measured, chapter)
    if table is None:
        # The page shows an empty table as a gap.
        print(f"{name}: no runs to refill it from")
        for path in snakemake.output:
            Path(path).write_bytes(b"")
        documents.checksum_file(snakemake.output.json).unlink(missing_ok=True)  # of the last time
    else:
        documents.write_json(snakemake.output.json, tables.as_json(table))
        with replaced(snakemake.output.csv) as temporary:
            Path(temporary).write_text(tables.as_csv(table), encoding="utf-8")
