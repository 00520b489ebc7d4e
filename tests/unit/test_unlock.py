"""`make report` removes the lock of a dead run, and no other."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "workflow" / "scripts" / "unlock_if_dead.py"
SNAKEFILE = 'rule sleep:\n    output: "done.txt"\n    shell: "sleep 60"\n'


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    return tmp_path


@pytest.fixture
def start():
    """Start a process in its own group; all are killed at the end of the test."""
    processes = []

    def run(command, folder):
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        processes.append(subprocess.Popen(command, cwd=folder, start_new_session=True, **quiet))
        return processes[-1]

    yield run
    for process in processes:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def lock(folder):
    locks = folder / ".snakemake" / "locks"
    locks.mkdir(parents=True)
    (locks / "0.output.lock").write_text("done.txt\n")


def locked(folder):
    return any(folder.glob(".snakemake/locks/*"))


def unlock(folder):
    return subprocess.run([sys.executable, SCRIPT], cwd=folder, capture_output=True, text=True)


def idle(seconds, *words):
    """A command that sleeps, with more words on its command line."""
    return [sys.executable, "-c", f"import time; time.sleep({seconds})", *words]


def test_without_a_lock_nothing_is_said(folder):
    done = unlock(folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_lock_stays_while_snakemake_lives_and_goes_after_kill_9(folder, start):
    snakemake = start([sys.executable, "-m", "snakemake", "--cores", "1"], folder)
    for _ in range(300):
        if locked(folder):
            break
        time.sleep(0.1)
    done = unlock(folder)
    assert done.returncode == 1
    assert f"process {snakemake.pid}" in done.stderr and len(done.stderr.splitlines()) == 1
    assert locked(folder)

    os.killpg(snakemake.pid, signal.SIGKILL)
    snakemake.wait()
    assert locked(folder)
    assert unlock(folder).returncode == 0
    assert not locked(folder)


def test_a_run_in_another_folder_does_not_count(folder, start, tmp_path_factory):
    lock(folder)
    start(idle(60, "/usr/bin/snakemake"), tmp_path_factory.mktemp("other"))
    assert unlock(folder).returncode == 0
    assert not locked(folder)


def test_jobs_that_a_killed_run_left_are_waited_for(folder, start):
    lock(folder)
    job = start(idle(2, f"{folder}/.snakemake/scripts/tmp.train.py"), folder)
    done = unlock(folder)
    assert job.poll() == 0
    assert f"process {job.pid}" in done.stdout
    assert done.returncode == 0 and not locked(folder)


def test_a_run_on_another_machine_is_left_alone(folder):
    lock(folder)
    (folder / ".snakemake" / "finicky-host").write_text("login2\n")
    done = unlock(folder)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert "login2" in done.stderr
    assert locked(folder)


def test_the_advice_for_a_machine_that_is_gone_can_be_followed(folder):
    """Word by word: no snakemake is on the PATH, and afterwards the lock is gone."""
    lock(folder)
    (folder / ".snakemake" / "finicky-host").write_text("a container of yesterday\n")
    (folder / ".venv").symlink_to(sys.prefix)
    advice = re.search(r": (\.venv/bin/python [^,]*),", unlock(folder).stderr)[1]
    subprocess.run(advice, shell=True, cwd=folder, env={"PATH": "/bin:/usr/bin"}, check=True)
    assert not locked(folder) and unlock(folder).returncode == 0


def test_a_machine_without_a_name_is_this_one(folder):
    lock(folder)
    (folder / ".snakemake" / "finicky-host").write_text("\n")
    assert unlock(folder).returncode == 0
    assert not locked(folder)
