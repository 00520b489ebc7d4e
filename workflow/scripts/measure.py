"""Run one experiment's measurement."""

import importlib

from job import job

from finicky import machine, parquet
from finicky.experiments import tidy

with job(snakemake):
    slug = snakemake.wildcards.slug
    experiment = importlib.import_module(f"finicky.experiments.{slug.replace('-', '_')}")
    files = dict(zip(experiment.READS, snakemake.input.tables, strict=True))
    tables = {name: parquet.read_frame(path) for name, path in files.items()}
    table = tidy.measured(experiment, snakemake.params.settings, tables)
    tidy.write(table, snakemake.output[0], machine.description(snakemake.params.settings["device"]))
    print(table.groupby("quantity").size().to_string())
