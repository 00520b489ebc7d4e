"""Gather what the page's explorer shows: the grid's tables, with those of the reference's seeds."""

import json
from pathlib import Path

from job import job

from finicky import provenance
from finicky.page import explorer
from finicky.store import replaced

with job(snakemake):
    given = snakemake.input
    sets = provenance.references(given.references, snakemake.config)
    folders = [Path(given.runs).parent]
    folders += [Path("results/reference") / name / "tables" for name in sets]
    shown = explorer.view([explorer.read(folder) for folder in folders], snakemake.config)
    with replaced(snakemake.output[0]) as temporary:
        text = json.dumps(shown, sort_keys=True, separators=(",", ":"), allow_nan=False)
        Path(temporary).write_text(text, encoding="utf-8")
