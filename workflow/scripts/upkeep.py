"""Verify, prune or merge what lies in results/: `make verify`, `make prune`, `make merge`.

Not a rule's script: python workflow/scripts/upkeep.py verify | prune [yes] | merge FOLDER. Exit
status 1 if a preset in config/ is bad, a run is at work here, or something was damaged.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from status import preset_files  # noqa: E402
from unlock_if_dead import reason_to_keep, snakemake_processes  # noqa: E402

from finicky import config as presets  # noqa: E402
from finicky import declarations, upkeep  # noqa: E402
from finicky.errors import InputError  # noqa: E402
from finicky.store import Store  # noqa: E402

RESULTS = Path("results")


def needs():
    """What all presets need. Raises InputError for the first bad one, whose needs are not known."""
    found, experiments = upkeep.Needs(), declarations.experiments()
    for file in preset_files():
        config = presets.load(file)
        presets.check(config, ["config/config.yaml", file], experiments)
        found.add(config, RESULTS)
    return found


def check_idle():
    """Raise InputError if a run is at work in this folder, whose files would be taken from it."""
    here = Path.cwd()
    schedulers, jobs = snakemake_processes(here)
    why = [f"a run at work (process {process})" for process in [*schedulers, *jobs]]
    locks = list(here.glob(".snakemake/locks/*.lock"))
    if locks and not why:
        why = list(filter(None, [reason_to_keep(locks, here)]))
    if why:
        raise InputError(here, None, why[0], "a folder in which nothing runs")


def verify():
    """Name what is damaged and remove it, so that the next `make report` makes it again; 1 if there
    was any."""
    check_idle()
    store, needed = Store(RESULTS / "store"), needs()
    files, runs = upkeep.damaged_files(RESULTS, needed), upkeep.damaged_runs(store, needed)
    for path, why in files.items():
        if path.is_relative_to(RESULTS / "reference"):
            print(f"{path} {why}: git has it (git checkout -- {path})")
        else:
            path.unlink()
            print(f"{path} {why}: removed, the next make report makes it again where it needs it")
    shards = [path for path in sorted(RESULTS.glob("*/shards/*.parquet")) if path not in files]
    for run_id, why in runs.items():
        path = store.path(run_id)
        path.unlink()
        shard = upkeep.restored(run_id, store, shards)
        how = f"restored from {shard}" if shard else "removed, the next make report trains it again"
        print(f"{path} {why}: {how}")
    left = upkeep.left_over(RESULTS)
    for path in left:
        path.unlink()
    if left:
        print(f"{len(left)} temporary files of killed jobs: removed")
    print(f"{len(store.files()):,} stored runs are whole, and so are all files with a hash")
    return int(bool(files or runs))


def prune(yes=""):
    """Say what no preset in config/ needs, and remove it if `yes`."""
    check_idle()
    files = upkeep.unneeded(RESULTS, needs())
    size = sum(path.stat().st_size for path in files)
    runs = sum(path.is_relative_to(RESULTS / "store") for path in files)
    what = f"{runs:,} stored runs, {len(files) - runs:,} shards and experiments"
    print(f"{len(files):,} files ({size:,} bytes) are needed by no preset in config/: {what}")
    if yes:
        for path in files:
            path.unlink()
        print("Removed.")
    elif files:
        print("Nothing is removed yet: make prune YES=1 removes them.")
    return 0


def merge(source):
    """Take over another store's runs."""
    found = upkeep.merge(source, Store(RESULTS / "store"))
    new, known = found.pop("new", 0), found.pop("known", 0)
    why = "; ".join(f"{count:,} {reason}" for reason, count in found.items())
    print(f"{new:,} new, {known:,} known, {found.total():,} refused{f' ({why})' if why else ''}")
    return 0


if __name__ == "__main__":
    task, *arguments = sys.argv[1:]
    try:
        sys.exit({"verify": verify, "prune": prune, "merge": merge}[task](*arguments))
    except InputError as error:
        sys.exit(str(error))
