"""Fetch and verify one data set."""

import json
from pathlib import Path

from job import job

from finicky import data
from finicky.store import replaced

with job(snakemake):
    name = snakemake.wildcards.dataset
    data.fetch(name, snakemake.params.data, snakemake.params.folder)
    with replaced(snakemake.output[0]) as temporary:
        Path(temporary).write_text(json.dumps(data.hashes(name), indent=1) + "\n")
