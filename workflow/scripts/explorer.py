"""Gather what the page's explorer shows: the grid's tables, with those of the reference's seeds."""

from pathlib import Path

from job import job

from finicky import documents, provenance
from finicky.page import explorer

with job(snakemake):
    given = snakemake.input
    sets = provenance.references(given.references, snakemake.config)
    folders = [Path(given.runs).parent]
    every = {Path(path).parent.name: Path(path).parent / "tables" for path in given.references}
    folders += [every[name] for name in sets]
    shown = explorer.view([explorer.read(folder) for folder in folders], snakemake.config)
    packed = {"indent": None, "separators": (",", ":")}
    documents.write_json(snakemake.output[0], shown, sort_keys=True, **packed)
