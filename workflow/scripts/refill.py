"""Refill one table of the chapter: JSON, which the page prints, and CSV."""

import importlib
from pathlib import Path

from job import job

from finicky import documents, parquet
from finicky.evidence import ledger
from finicky.exhibits import tables
from finicky.store import replaced

with job(snakemake):
    slug, name = snakemake.params.slug, snakemake.wildcards.table
    exhibit = importlib.import_module(f"finicky.exhibits.{slug.replace('-', '_')}")
    refill = getattr(exhibit, name.lower().replace("-", "_"))
    table = refill(parquet.read_frame(snakemake.input.table), ledger.load(snakemake.input.ledger))
    if table is None or not table.seeds:
        # The page shows an empty table as a gap.
        print(f"{name}: no runs to refill it from")
        for path in snakemake.output:
            Path(path).write_bytes(b"")
        documents.checksum_file(snakemake.output.json).unlink(missing_ok=True)  # of the last time
    else:
        documents.write_json(snakemake.output.json, tables.as_json(table))
        with replaced(snakemake.output.csv) as temporary:
            Path(temporary).write_text(tables.as_csv(table), encoding="utf-8")
