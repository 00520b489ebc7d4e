"""Fetch and verify one data set."""

import json
from pathlib import Path

from job import job

from finicky import data
from finicky.store import replaced

with job(snakemake):
    name, marker = snakemake.wildcards.dataset, Path(snakemake.output[0])
    data.fetch(name, marker.parents[1], snakemake.params.folder)
    with replaced(marker) as temporary:
        Path(temporary).write_text(json.dumps(data.hashes(name), indent=1) + "\n", encoding="utf-8")
