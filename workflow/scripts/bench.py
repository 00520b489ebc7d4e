"""Sum up the engine's benchmark, as JSON."""

import json
from pathlib import Path

from job import job

from finicky import parquet
from finicky.exhibits import bench
from finicky.store import replaced

with job(snakemake):
    found = bench.summary(parquet.read_frame(snakemake.input.table))
    with replaced(snakemake.output[0]) as temporary:
        Path(temporary).write_text(
            json.dumps(found, indent=1, allow_nan=False) + "\n", encoding="utf-8"
        )
