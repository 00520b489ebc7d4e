"""Refill one table of the chapter: JSON, which the page prints, and CSV."""

import importlib
import json
from pathlib import Path

from job import job

from finicky import parquet
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
    else:
        with replaced(snakemake.output.json) as temporary:
            text = json.dumps(tables.as_json(table), indent=1, ensure_ascii=False, allow_nan=False)
            Path(temporary).write_text(text + "\n", encoding="utf-8")
        with replaced(snakemake.output.csv) as temporary:
            Path(temporary).write_text(tables.as_csv(table), encoding="utf-8")
