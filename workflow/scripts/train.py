"""Train the runs of one shard that are not stored yet, then write the shard's file."""

import sys
import traceback
from datetime import UTC, datetime

import pyarrow.parquet as parquet
from job import job

from finicky import machine, runs, tables
from finicky.errors import InputError
from finicky.progress import Progress
from finicky.store import Store, replaced


def train_missing(missing, plan, store, config):
    """Train runs in fused batches; each batch is stored as soon as it is finished.

    On a CPU a batch that raises costs no other; on a GPU those that train beside it.
    """
    # Only here: a job whose runs are all stored ends without importing PyTorch.
    from finicky.engine import train as engine

    device = missing[0].device
    place = machine.description(device) | {"instruction_set": engine.prepare()}
    progress = Progress(plan.subgrids, store, sys.stderr)
    size = None if config["fuse"] == "auto" else config["fuse"]
    batches = runs.fused_batches(missing, machine.l2_cache_bytes(), size)
    loaded, errors = {}, []
    for some in [[batch] for batch in batches] if device == "cpu" else [batches]:
        try:
            for batch, records in engine.train_each(with_data(some, loaded, engine), device):
                for run, record in zip(batch, records, strict=True):
                    finished = datetime.now(UTC).isoformat(timespec="seconds")
                    store.write(run.id, run.row() | record | place | {"finished": finished})
                    print(f"{run.id} {record['outcome']} {record['seconds']:.2f} s {run}")
                progress.show()
        except (InputError, OSError):  # the others would meet with the same
            raise
        except Exception as error:
            traceback.print_exc(file=sys.stdout)
            errors.append(error)
    if errors:
        raise errors[0]


def with_data(batches, loaded, engine):
    """Pairs of a fused batch and its data set, which is loaded when it is needed, into `loaded`.

    A CPU keeps the last one only; on a GPU batches of several may train side by side.
    """
    for batch in batches:
        one = batch[0]
        if one.images not in loaded:
            if one.device == "cpu":
                loaded.clear()
            where = snakemake.params.data
            loaded[one.images] = engine.Dataset(one.dataset, where, one.images, one.device)
        yield batch, loaded[one.images]


with job(snakemake):
    store = Store(snakemake.params.store)
    plan = runs.plan(snakemake.config)
    shard = plan.shards[snakemake.wildcards.shard]
    records = {run.id: store.read(run.id) for run in shard}
    missing = [run for run in shard if records[run.id] is None]
    print(f"{len(shard)} runs, {len(missing)} to train")
    for run in missing:
        if run.id in store:
            print(f"{run.id} is stored in a damaged file, {store.path(run.id)}: trained again")
    if missing:
        train_missing(missing, plan, store, snakemake.config)
    records |= {run.id: store.read(run.id) for run in missing}
    with replaced(snakemake.output[0]) as temporary:
        parquet.write_table(tables.shard_table(records), temporary, compression="zstd")
