"""Run one experiment's measurement."""

import importlib

import pandas as pd
from job import job

from finicky import machine
from finicky.experiments import tidy
from finicky.store import replaced

with job(snakemake):
    slug = snakemake.wildcards.slug
    experiment = importlib.import_module(f"finicky.experiments.{slug.replace('-', '_')}")
    files = dict(zip(experiment.READS, snakemake.input.tables, strict=True))
    tables = {name: pd.read_parquet(path) for name, path in files.items()}
    table = tidy.measured(experiment, snakemake.params.settings, tables)
    with replaced(snakemake.output[0]) as temporary:
        tidy.write(table, temporary, machine.description(snakemake.params.settings["device"]))
    print(table.groupby("quantity").size().to_string())
