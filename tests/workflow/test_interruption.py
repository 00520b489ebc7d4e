"""Interrupted work resumes by the same command, to the same bits; what was finished stays."""

import os
import signal
import sys
import time

import pandas as pd
import pytest

LONG = {
    "images": 6400,
    "epochs": 5,
    "activation": ["relu", "tanh"],
    "seeds": 4,
    "fuse": 2,
}  # 16 runs in two jobs; two runs are stored at a time
RUNS = 16
TABLE = "results/long/tables/curves.parquet"
PATIENCE = 120  # seconds after which something will not happen any more


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
    """The results of the long preset, and its table, without an interruption."""
    project = untrained.copy(tmp_path_factory.mktemp("undisturbed") / "with a space")
    project.configure("long", **LONG)
    trained, _ = project.train("long")
    assert len(trained) == RUNS
    return bits(project), pd.read_parquet(project.folder / TABLE)


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


def resume(project):
    """What `make report` does: remove a dead lock, then snakemake. Returns what was said; asserts
    that what is stored by then is not trained again."""
    unlock = "workflow/scripts/unlock_if_dead.py"
    unlocked = project.call([sys.executable, unlock, "--configfile", "config/long.yaml"])
    assert unlocked.returncode == 0, unlocked.stdout
    kept = project.store()
    assert 0 < len(kept) < RUNS
    done = project.call(project.command("long", TABLE))
    assert done.returncode == 0, done.stdout
    assert f"{RUNS - len(kept)} of {RUNS} runs to train" in done.stdout
    assert kept.items() <= project.store().items()
    return unlocked.stdout


def assert_undisturbed(project, undisturbed):
    expected, table = undisturbed
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
