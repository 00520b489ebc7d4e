"""Fetch and verify one data set."""

from job import job

from finicky import data

with job(snakemake):
    data.fetch(snakemake.wildcards.dataset, snakemake.params.data, snakemake.params.folder)
