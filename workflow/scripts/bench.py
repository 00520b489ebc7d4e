"""Run the engine's benchmark: its table, its summary, its figure."""

import json
from pathlib import Path

from job import job

from finicky.experiments import bench
from finicky.page import figures
from finicky.store import replaced

with job(snakemake):
    table = bench.measure({"data": snakemake.params.data, "repetitions": 9}, {})
    with replaced(snakemake.output.table) as temporary:
        table.to_parquet(temporary, index=False)
    with replaced(snakemake.output.summary) as temporary:
        Path(temporary).write_text(json.dumps(bench.summary(table), indent=1) + "\n")
    figure, behind = bench.draw(table)["bench"]
    figures.save_svg(figure, snakemake.output.svg, "bench")
    figures.save_png(figure, snakemake.output.png)
    with replaced(snakemake.output.csv) as temporary:
        behind.to_csv(temporary, index=False)
