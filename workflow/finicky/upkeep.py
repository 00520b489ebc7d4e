"""Keeping results sound: what is damaged, what nobody needs, and taking over another store.

A stored run is right if its checksum is, and if its levels lead to the id under which it lies.
What other code trained lies under ids of that code: of no use here, but not damaged.
"""

import re
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow.compute

from finicky import documents, parquet
from finicky.errors import Damaged, InputError
from finicky.questions import experiments
from finicky.runs import Run, of_record, plan
from finicky.store import Store

DEVICES = ("cpu", "cuda")
# What `store.replaced` calls a file that it is writing.
TEMPORARY = re.compile(r"\..+\.[a-z0-9_]{8}")
OLD = 3600  # seconds: nobody writes one file for so long
APART = ("data", "reference")  # folders of results of which nothing is removed here


@dataclass
class Needs:
    """What the presets in config/ need of results: runs by id, and of their own folders, shards
    {path: ids of their runs} and experiments' files."""

    runs: dict[str, Run] = field(default_factory=dict)
    shards: dict[Path, list[str]] = field(default_factory=dict)
    experiments: set[Path] = field(default_factory=set)

    def add(self, config, results):
        """Add what a preset needs, on any device: which one, a command line may say. `config` is
        checked, `results` the folder of all presets."""
        folder = Path(results) / config["preset"]
        made = experiments(config)
        self.experiments |= {folder / "experiments" / f"{slug}.parquet" for slug in made}
        for device in DEVICES:
            planned = plan(config | {"device": device})
            self.runs |= {run.id: run for run in planned.subgrids}
            for name, members in planned.shards.items():
                self.shards[folder / "shards" / f"{name}.parquet"] = [run.id for run in members]


# ---- Verifying ----------------------------------------------------------------------------------


def levels(record):
    """The run that a record says it is of (runs.of_record); None if it does not say."""
    try:
        return of_record(record)
    except (KeyError, TypeError):
        return None


def identities(record):
    """The ids that the present code gives to the run of a record, if it may train anywhere and if
    it has to on its instruction set; none where it gives none."""
    try:
        run = levels(record)
        return {run.id, replace(run, instruction_set=record["instruction_set"]).id}
    except (AttributeError, KeyError, TypeError, ValueError):
        return set()


def anywhere(run):
    """The same run, with no instruction set that it has to train on."""
    return replace(run, instruction_set=None)


def damaged_runs(store, needs):
    """{run id: what is wrong} of the stored runs that are not what they should be."""
    found = {}
    for run_id in store.files():
        record = store.read(run_id)
        if record is None:
            found[run_id] = "is damaged"
        elif run_id in needs.runs and levels(record) != anywhere(needs.runs[run_id]):
            found[run_id] = "has the levels of another run"
    return found


def damaged_files(results, needs):
    """{path: what is wrong} of the files below the folder of results that carry a hash: parquet
    files (tables, shards, experiments, evidence), JSON, benchmark and reference."""
    found = {}
    for checksum in sorted(Path(results).glob("**/*.json.sha256")):
        path = checksum.with_suffix("")
        try:
            if path.is_file():
                documents.read_json(path)
        except Damaged:
            found[path] = "is damaged"
    for path in sorted(Path(results).glob("**/*.parquet")):
        try:
            table = parquet.read(path)
        except Damaged:
            found[path] = "is damaged"
            continue
        if path in needs.shards and table["run"].to_pylist() != needs.shards[path]:
            found[path] = "has the runs of another shard"
    return found


def restored(run_id, store, shards):
    """Store a run as the first of these shards' files has it (without some of what its record said
    about the machine). Returns that file, or None."""
    for path in shards:
        table = parquet.read(path)
        here = pyarrow.compute.equal(table["run"], run_id)
        for row in table.filter(here).to_pylist():
            record = {key: value for key, value in row.items() if key != "run"}
            if run_id in identities(record):
                store.write(run_id, record)
                return path
    return None


# ---- Pruning ------------------------------------------------------------------------------------


def unneeded(results, needs):
    """The files that no preset needs: stored runs; shards and experiments of presets' folders."""
    results = Path(results)
    stored = Store(results / "store").files()
    found = [path for run_id, path in stored.items() if run_id not in needs.runs]
    found += sorted(set(results.glob("*/shards/*.parquet")) - needs.shards.keys())
    found += sorted(set(results.glob("*/experiments/*.parquet")) - needs.experiments)
    return [path for path in found if path.relative_to(results).parts[0] not in APART]


def left_over(results, now=None):
    """The temporary files that killed jobs left behind: those that are older than any job takes to
    write one."""
    now = time.time() if now is None else now
    found = []
    for path in sorted(Path(results).glob("**/.*")):
        own = path.relative_to(results).parts[0] not in APART
        own = own and TEMPORARY.fullmatch(path.name) and path.is_file()
        if own and now - path.stat().st_mtime > OLD:
            found.append(path)
    return found


# ---- Merging ------------------------------------------------------------------------------------


def merge(source, store):
    """Copy the records of another store that are whole and would have the same ids here. Returns a
    Counter of `new` and `known` ones, and of the reasons why others were refused.

    Raises InputError where `source` is no store, or is this one.
    """
    source = Path(source)
    records = Store(source)
    theirs = records.files()
    if not theirs:
        raise InputError("FROM", None, f"{source}, which holds no runs", "another results/store")
    if store.folder.exists() and source.samefile(store.folder):
        raise InputError("FROM", None, f"{source}, this very store", "another results/store")
    found = Counter()
    for run_id in theirs:
        record = records.read(run_id)
        if record is None:
            found["damaged"] += 1
        elif run_id not in identities(record):
            found["trained by other code, or another version of PyTorch"] += 1
        elif store.read(run_id) is not None:
            found["known"] += 1
        else:
            store.write(run_id, record)
            found["new"] += 1
    return found
