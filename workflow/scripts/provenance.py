"""Record where a preset's numbers came from."""

import json
from pathlib import Path

import pandas as pd
from job import job

from finicky import provenance
from finicky.store import replaced

with job(snakemake):
    runs = pd.read_parquet(snakemake.input.runs)
    params = snakemake.params
    record = provenance.record(
        runs, params.config, params.benchmarks, params.planned, params.failures,
        snakemake.input.experiments, params.code,
    )  # fmt: skip
    with replaced(snakemake.output[0]) as temporary:
        Path(temporary).write_text(
            json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8"
        )
