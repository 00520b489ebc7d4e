"""Fetch and verify one data set."""

from pathlib import Path

from job import job

from finicky import data

with job(snakemake):
    data.fetch(
        snakemake.wildcards.dataset, Path(snakemake.output[0]).parents[1], snakemake.params.folder
    )
