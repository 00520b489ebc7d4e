"""Gather the shards of a preset into its tidy tables, as parquet and CSV."""

from pathlib import Path

import pyarrow.csv
import pyarrow.parquet as parquet
from job import job

from finicky import runs, tables
from finicky.store import Store, replaced

with job(snakemake):
    shards = [parquet.read_table(path) for path in snakemake.input.shards]
    plan = runs.plan(snakemake.config)
    store = Store(snakemake.params.store)
    for shard in snakemake.params.failed:
        records = {run.id: store.read(run.id) for run in plan.shards[shard]}
        records = {run: record for run, record in records.items() if record is not None}
        print(f"{shard} failed: {len(records)} of its {len(plan.shards[shard])} runs are stored")
        shards.append(tables.shard_table(records))
    subgrids = {run.id: names for run, names in plan.subgrids.items()}
    purposes = {run.id: names for run, names in plan.purposes.items()}
    for name, table in tables.gather(shards, subgrids, purposes).items():
        path = Path(snakemake.output[name])
        with replaced(path) as temporary:
            parquet.write_table(table, temporary, compression="zstd")
        with replaced(path.with_suffix(".csv")) as temporary:
            pyarrow.csv.write_csv(table, temporary)
        print(f"{name}: {table.num_rows} rows")
    with replaced(snakemake.output.dictionary) as temporary:
        Path(temporary).write_text(tables.dictionary(), encoding="utf-8")
