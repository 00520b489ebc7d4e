"""Gather the shards of a preset into its tidy tables, as parquet and CSV."""

from pathlib import Path

import pyarrow.csv
from job import job

from finicky import parquet, runs, tables
from finicky.errors import Damaged
from finicky.store import Store, replaced


def gathered(paths, plan, store):
    """The shards' tables. A damaged file costs nothing while the store has its runs."""
    for path in map(Path, paths):
        try:
            yield parquet.read(path)
        except Damaged as error:
            members = plan.shards[path.stem]
            records = stored(members, store)
            if len(records) < len(members):
                raise
            print(f"{error}: made again from the store")
            parquet.write(tables.shard_table(records), path)
            yield parquet.read(path)


def stored(members, store):
    """{run id: record} of those runs that the store has."""
    records = {run.id: store.read(run.id) for run in members}
    return {run: record for run, record in records.items() if record is not None}


with job(snakemake):
    plan, store = runs.plan(snakemake.config), Store(snakemake.params.store)
    shards = list(gathered(snakemake.input.shards, plan, store))
    for shard in snakemake.params.failed:
        records = stored(plan.shards[shard], store)
        print(f"{shard} failed: {len(records)} of its {len(plan.shards[shard])} runs are stored")
        shards.append(tables.shard_table(records))
    subgrids = {run.id: names for run, names in plan.subgrids.items()}
    purposes = {run.id: names for run, names in plan.purposes.items()}
    for name, table in tables.gather(shards, subgrids, purposes).items():
        path = Path(snakemake.output[name])
        parquet.write(table, path)
        with replaced(path.with_suffix(".csv")) as temporary:
            pyarrow.csv.write_csv(table, temporary)
        print(f"{name}: {table.num_rows} rows")
    with replaced(snakemake.output.dictionary) as temporary:
        Path(temporary).write_text(tables.dictionary(), encoding="utf-8")
