"""Record where a preset's numbers came from."""

import json
from pathlib import Path

from job import job

from finicky import parquet, provenance
from finicky.store import replaced

with job(snakemake):
    runs = parquet.read_frame(snakemake.input.runs)
    params = snakemake.params
    record = provenance.record(
        runs, params.config, params.benchmarks, params.planned, params.failures,
        snakemake.input.experiments, params.code,
    )  # fmt: skip
    with replaced(snakemake.output[0]) as temporary:
        Path(temporary).write_text(
            json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8"
        )
