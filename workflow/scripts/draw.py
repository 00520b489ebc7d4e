"""Draw one figure of an experiment: SVG, PNG, and the CSV behind it."""

import importlib
from pathlib import Path

import pandas as pd
from job import job

from finicky.page import figures
from finicky.store import replaced

with job(snakemake):
    slug, name = snakemake.params.slug, snakemake.wildcards.figure
    experiment = importlib.import_module(f"finicky.experiments.{slug.replace('-', '_')}")
    drawn = experiment.draw(pd.read_parquet(snakemake.input.table))
    if name in drawn:
        figure, behind = drawn[name]
        figures.save_svg(figure, snakemake.output.svg, name)
        figures.save_png(figure, snakemake.output.png)
        with replaced(snakemake.output.csv) as temporary:
            behind.to_csv(temporary, index=False)
    else:
        # The page shows an empty figure as a gap.
        print(f"{name}: no runs to draw it from")
        for path in snakemake.output:
            Path(path).write_bytes(b"")
