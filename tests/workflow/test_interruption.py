"""Interrupted work resumes by the same command, to the same bits; what was finished stays."""

import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from functools import partial

import pandas as pd
import psutil
import pytest

from .conftest import at_once

LONG = {
    "images": 6400,
    "epochs": 5,
    "activation": ["relu", "tanh"],
    "seeds": 4,
    "fuse": 2,
}  # 16 runs in two jobs; two runs are stored at a time
RUNS = 16
TABLE = "results/long/tables/curves.parquet"
KILLS = 20  # of which each has a random moment and a random victim
VICTIMS = ["snakemake", "a job", "all"]
PATIENCE = 600  # seconds after which something will not happen any more


def wait_until(condition):
    """Return when the condition holds; fail if it never does."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def bits(project):
    """Results of the stored runs, without time and company."""
    changing = ("seconds", "finished", "fused")
    return {
        run: {key: value for key, value in record.items() if key not in changing}
        for run, record in project.runs().items()
    }


@pytest.fixture(scope="module")
def undisturbed(untrained, tmp_path_factory):
    """The results of the long preset, its table, and how long it took, without an interruption."""
    project = untrained.copy(tmp_path_factory.mktemp("undisturbed") / "with a space")
    project.configure("long", **LONG)
    began = time.monotonic()
    trained, _ = project.train("long")
    assert len(trained) == RUNS
    return bits(project), pd.read_parquet(project.folder / TABLE), time.monotonic() - began


@pytest.fixture
def interrupted(untrained, tmp_path, start):
    """`interrupted(stop)`: a project whose training `stop(process)` ended after its first runs."""

    def interrupted(stop, cores=2):
        project = untrained.copy(tmp_path / "with a space")
        project.configure("long", **LONG)
        process = start(project, project.command("long", TABLE, cores=cores))
        wait_until(lambda: project.store() or process.poll() is not None)
        stop(process)
        process.wait(PATIENCE)
        assert process.returncode != 0
        assert not (project.folder / TABLE).exists()
        return project

    return interrupted


def unlock(project):
    """What `make report` does first. Returns what was said."""
    done = project.call([sys.executable, "workflow/scripts/unlock_if_dead.py"])
    assert done.returncode == 0, done.stdout
    return done.stdout


def resume(project):
    """What `make report` does: remove a dead lock, then snakemake. Returns what was said; asserts
    that what is stored by then is not trained again."""
    unlocked = unlock(project)
    kept = project.store()
    assert 0 < len(kept) < RUNS
    done = project.call(project.command("long", TABLE))
    assert done.returncode == 0, done.stdout
    assert f"{RUNS - len(kept)} of {RUNS} runs to train" in done.stdout
    assert kept.items() <= project.store().items()
    return unlocked


def workers(process):
    """The jobs of a Snakemake process."""
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(process.pid).children(recursive=True)
    return []


def assert_undisturbed(project, undisturbed):
    expected, table, _ = undisturbed
    assert bits(project) == expected
    pd.testing.assert_frame_equal(pd.read_parquet(project.folder / TABLE), table, check_exact=True)
    assert project.processes() == []


def test_ctrl_c(interrupted, undisturbed):
    project = interrupted(lambda process: os.killpg(process.pid, signal.SIGINT))
    wait_until(lambda: project.processes() == [])
    assert resume(project) == ""
    assert_undisturbed(project, undisturbed)


def test_kill_9_of_all_processes(interrupted, undisturbed):
    project = interrupted(lambda process: os.killpg(process.pid, signal.SIGKILL))
    wait_until(lambda: project.processes() == [])
    assert "Removing the lock" in resume(project)
    assert_undisturbed(project, undisturbed)


def test_kill_9_of_snakemake_alone(interrupted, undisturbed):
    """Its job lives on: it is waited for, and what it finishes counts."""
    project = interrupted(lambda process: process.kill(), cores=1)
    assert project.processes() != []
    said = resume(project)
    assert "Waiting for the last jobs" in said and "Removing the lock" in said
    assert_undisturbed(project, undisturbed)


def test_kill_9_at_random_moments(untrained, undisturbed, tmp_path, start):
    """Of Snakemake, of a job, of all of them: each time the same command goes on where it was. What
    is stored is never trained again, and at the end of each chain of kills all is as undisturbed.
    """
    span = 1.5 * undisturbed[-1]  # two at once take longer

    def half_of_them(number):
        """How many there were, by their victims."""
        draw, kills, chains = random.Random(number), Counter(), itertools.count(1)
        while kills.total() < KILLS / 2:
            project = untrained.copy(tmp_path / f"chain {number}.{next(chains)}")
            project.configure("long", **LONG)
            status = None
            while status != 0:
                unlock(project)
                kept = project.store()
                process = start(project, project.command("long", TABLE))
                if kills.total() < KILLS / 2:
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(draw.uniform(0, span))
                    victim, jobs = draw.choice(VICTIMS), workers(process)
                    if process.poll() is None:
                        kills[victim] += 1
                        if victim == "snakemake":
                            process.kill()
                        elif victim == "a job" and jobs:
                            with suppress(psutil.NoSuchProcess):
                                draw.choice(jobs).kill()
                        else:
                            os.killpg(process.pid, signal.SIGKILL)
                status = process.wait(PATIENCE)
                assert kept.items() <= project.store().items()
            assert_undisturbed(project, undisturbed)
            said = (project.folder / "output.log").read_text(encoding="utf-8")
            assert "Traceback" not in said
        return kills

    one, other = at_once([partial(half_of_them, number) for number in range(2)])
    assert all((one + other)[victim] for victim in VICTIMS)


def test_sigterm_to_the_jobs(interrupted, undisturbed):
    """What a cluster sends at the time limit: each job ends with its line."""
    project = interrupted(lambda process: [job.terminate() for job in workers(process)])
    said = (project.folder / "output.log").read_text(encoding="utf-8")
    why = "stopped by SIGTERM, which clusters send at a job's time limit; log: results/long/logs/"
    assert said.count(why) in (1, 2) and "Traceback" not in said  # one may have been through
    resume(project)
    assert_undisturbed(project, undisturbed)


def test_an_orphan_and_the_job_of_the_next_call_write_the_same_shard(
    interrupted, undisturbed, start
):
    """Whoever unlocks by hand need not wait for what a killed Snakemake left behind."""
    orphans = []

    def stop(process):
        orphans.extend(workers(process))
        for job in orphans:
            job.suspend()
        process.kill()

    project = interrupted(stop, cores=1)
    (orphan,) = orphans
    kept = project.store()
    for lock in project.folder.glob(".snakemake/locks/*"):
        lock.unlink()
    process = start(project, project.command("long", TABLE))
    wait_until(lambda: len(project.store()) > len(kept) or process.poll() is not None)
    orphan.resume()
    assert process.poll() is None and process.wait(PATIENCE) == 0
    wait_until(lambda: project.processes() == [])
    assert_undisturbed(project, undisturbed)
    log = project.snakemake("long", TABLE)
    assert "to train" not in log
    assert_undisturbed(project, undisturbed)


def test_a_second_call_in_the_same_folder(untrained, undisturbed, tmp_path, start):
    """It is told in one line who is at work, and never to unlock the folder under them."""
    project = untrained.copy(tmp_path / "with a space")
    project.configure("long", **LONG)
    process = start(project, project.command("long", TABLE))
    wait_until(lambda: project.store() or process.poll() is not None)
    at_work = [psutil.Process(process.pid), *workers(process)]
    for one in at_work:
        one.suspend()
    second = project.call(project.command("long", TABLE))
    for one in at_work:
        one.resume()
    told = f"locked and a run is at work in this folder (process {process.pid}): let it end"
    assert second.returncode == 1 and second.stdout.count(told) == 1
    assert "--unlock" not in second.stdout and "Error" not in second.stdout
    assert process.wait(PATIENCE) == 0
    assert_undisturbed(project, undisturbed)
