"""Remove the Snakemake lock of a run that was killed; leave the lock of a run that is alive.

`make report` calls this before it starts Snakemake. Snakemake's locks name files, not processes,
so a lock is taken for dead only if
- it is this user's, and the last `make report` here ran on this machine (a cluster's login nodes
  share the folder, not their processes), and
- no Snakemake process on this machine works in this folder.
Jobs that the killed run left behind are waited for: what they finish is kept.

Exit status 0: there is no lock (any more). 1: the lock stays, and one line says why.
"""

import os
import platform
import sys
import time
from pathlib import Path

import psutil

HOST = Path(".snakemake/finicky-host")


def snakemake_processes(folder: Path) -> tuple[list[int], list[int]]:
    """Ids of the Snakemake processes that work in `folder`: (those that schedule, their jobs)."""
    schedulers, jobs = [], []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words, cwd = process.info["cmdline"] or [], process.info["cwd"]
        if not cwd or not os.path.exists(cwd) or not os.path.samefile(cwd, folder):
            continue
        if process.pid == os.getpid():  # Snakemake's own, where it asks
            continue
        if any(".snakemake/scripts/" in word for word in words):
            jobs.append(process.pid)
        elif any(os.path.basename(word) == "snakemake" for word in words):
            (jobs if "subprocess" in words else schedulers).append(process.pid)
    return schedulers, jobs


def reason_to_keep(locks: list[Path], folder: Path) -> str | None:
    """Why the lock may belong to a run that is alive, and what to do; or None."""
    by_hand = ". If no run is alive: .venv/bin/python -m snakemake --unlock, and then again"
    here = platform.node()
    host = HOST.read_text(encoding="utf-8").strip() if HOST.exists() else here
    if host not in ("", here):
        return (
            f"the last run was started on {host}, whose processes are not seen from here: go on "
            f"there, unless that machine is gone (a container, a renamed computer){by_hand}"
        )
    if os.geteuid() != 0 and any(lock.stat().st_uid != os.geteuid() for lock in locks):
        return f"it is another user's{by_hand}"
    schedulers, _ = snakemake_processes(folder)
    if schedulers:
        return f"a run is at work in this folder (process {schedulers[0]}): let it end, or stop it"
    return None


def wait_for_jobs(folder: Path) -> None:
    """Return when no job of a killed run is at work any more; say once that we wait."""
    told = False
    while jobs := snakemake_processes(folder)[1]:
        if not told:
            print(f"Waiting for the last jobs of a killed run (process {jobs[0]})", flush=True)
            told = True
        time.sleep(0.5)


def refusal() -> str:
    """Why Snakemake cannot lock this folder, in one line; it asks when it has met a lock."""
    folder = Path.cwd()
    reason = reason_to_keep(locks_in(folder), folder) or (
        "no run is at work on this machine: if none is on another one either, make report removes "
        "the lock, or .venv/bin/python -m snakemake --unlock"
    )
    return f".snakemake/locks: the folder is locked and {reason}"


def locks_in(folder: Path) -> list[Path]:
    return list(folder.glob(".snakemake/locks/*.lock"))


def main() -> int:
    folder = Path.cwd()
    locks = locks_in(folder)
    if locks:
        reason = reason_to_keep(locks, folder)
        if reason:
            print(f".snakemake/locks: the folder is locked and {reason}", file=sys.stderr)
            return 1
        wait_for_jobs(folder)
        print("Removing the lock of a killed run", flush=True)
        for lock in locks:
            lock.unlink(missing_ok=True)
    HOST.parent.mkdir(exist_ok=True)
    HOST.write_text(platform.node() + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
