"""What a job that failed leaves behind: one line on the terminal, the reason at its log's end."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from finicky import config, documents, failures, provenance, tables
from finicky.errors import Damaged, InputError
from finicky.evidence.judge import judge

from .toy_claims import claim, part

WORKFLOW = Path(__file__).parents[2] / "workflow"
JOB = """
import os, signal, sys
from types import SimpleNamespace
sys.path[:0] = [{workflow!r}, {scripts!r}]
from finicky.errors import InputError
from job import job

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run in background
snakemake = SimpleNamespace(rule="experiment", wildcards=["losses"], log=[{log!r}], config={{}})
with job(snakemake):
    print("12 rows")
    {body}
"""
KILLED = "killed, probably out of memory"
LONG = "x" * 400

# name: (what the job does, the reason, what it says on the terminal: "all" is the whole sentence)
ENDINGS = {
    "an error": ("raise ValueError('too tired')", "ValueError: too tired", "all"),
    "an error of two lines": ("raise ValueError('too\\n  bad')", "ValueError: too bad", "all"),
    "an error that says nothing": ("assert False", "AssertionError", "all"),
    "an error that says much": (
        f"raise ValueError('{LONG}')", f"ValueError: {LONG}"[:297] + "...", "all",
    ),
    "an error with a mark": ("raise ValueError('É')", "ValueError: É", "all"),
    "no memory": ("[0] * 10**18", "MemoryError", "all"),
    "bad input": (
        "raise InputError('a.yaml', 'seeds', 0, 'at least 1')",
        "a.yaml: seeds: found 0; allowed: at least 1",
        "a.yaml: seeds: found 0; allowed: at least 1",
    ),
    "a full disk": (
        "raise OSError(28, 'No space left on device', 'a.parquet')", "no room left on the disk", "",
    ),
    "an end in the middle": ("sys.exit('enough')", "enough", "all"),
    "Ctrl-C": ("os.kill(os.getpid(), signal.SIGINT)", "interrupted", ""),
    "a cluster's time limit": (
        "os.kill(os.getpid(), signal.SIGTERM)",
        "stopped by SIGTERM, which clusters send at a job's time limit",
        "all",
    ),
    "killed": ("os.kill(os.getpid(), signal.SIGKILL)", KILLED, ""),
}  # fmt: skip


@pytest.mark.parametrize("body, why, said", ENDINGS.values(), ids=list(ENDINGS))
def test_a_job_says_why_it_failed(tmp_path, body, why, said):
    log = tmp_path / "deep" / "losses.log"
    paths = {"workflow": str(WORKFLOW), "scripts": str(WORKFLOW / "scripts"), "log": str(log)}
    command = [sys.executable, "-c", JOB.format(body=body, **paths)]
    environment = {"PYTHONUTF8": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    failure = failures.of("experiment", ["losses"], log)
    assert done.returncode != 0 and failure.why == why
    whole = f"the experiment losses failed: {why}; log: {log}"
    assert str(failure) == whole
    assert done.stderr.splitlines() == ([] if not said else [whole if said == "all" else said])
    lines = log.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "12 rows"
    has_traceback = any(line.startswith("Traceback") for line in lines)
    assert has_traceback == (why != KILLED and said != why)


def test_a_job_that_never_started_left_no_log(tmp_path):
    failure = failures.of("train", ["mnist-02"], tmp_path / "none.log")
    assert str(failure).startswith("the training of mnist-02 failed: it never started; log: ")
    assert failures.of("judge", [], tmp_path / "none.log").job == "the step judge"


def test_a_job_on_a_full_disk_leaves_a_log_without_a_reason(tmp_path, monkeypatch):
    """The disk tells it; and nothing can be made without that job."""
    (tmp_path / "cut.log").write_text("12 ro")
    logs = [tmp_path / "cut.log", tmp_path / "not yet" / "none.log"]
    assert [failures.of("train", ["a"], log).why for log in logs] == [KILLED, "it never started"]
    monkeypatch.setattr(failures, "room", lambda folder: 4096)
    found = [failures.of("train", ["a"], log) for log in logs]
    assert {one.why for one in found} == {failures.NO_ROOM}
    assert not failures.can_be_left_out(found)
    found.append(failures.Failure("judge", "", failures.NOT_KEPT, "judge.log"))
    [line] = failures.unsaid(found)
    assert line.startswith("results: found no room left on the disk (3 jobs failed); allowed: ")


def test_a_job_that_was_through_was_not_killed(tmp_path):
    """Snakemake can fail after it, for example to write down how long it took."""
    (tmp_path / "a.log").write_text("12 rows\nfinished\n")
    found = failures.of("judge", [], tmp_path / "a.log")
    assert failures.unsaid([found]) == [
        "the step judge failed: Snakemake could not keep what it had finished; its message stands "
        f"above; log: {tmp_path / 'a.log'}"
    ]


def test_room_is_that_of_the_disk_where_a_folder_will_lie(tmp_path, monkeypatch):
    assert failures.room(tmp_path / "not" / "yet") > 0
    config.check_room(tmp_path)
    monkeypatch.setattr(failures, "room", lambda folder: 1000)
    with pytest.raises(InputError, match="^r: found 1,000 bytes of room on its disk; allowed: a m"):
        config.check_room("r")


def test_a_job_that_meets_a_damaged_file_removes_it(tmp_path):
    """It is made again; what is committed is not."""
    for folder, committed in {"tiny": False, "reference": True}.items():
        file = tmp_path / folder / "claims.json"
        file.parent.mkdir()
        file.write_text('[{"id": "C0')
        with pytest.raises(Damaged) as error:
            documents.read_json(file)
        assert str(error.value).startswith(f"{file}: found a damaged file: Unterminated string ")
        remedy = f"git checkout -- {file}" if committed else "the same command again"
        assert str(error.value).endswith(f"; allowed: {remedy}")
        error.value.remove()
        assert file.exists() == committed


def test_ctrl_c_gives_no_traceback_while_a_job_still_imports():
    """Other errors do."""
    command = [sys.executable, "-c", "print(flush=True); import time; time.sleep(60)"]
    environment = os.environ | {"PYTHONPATH": str(WORKFLOW)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(
        command, env=environment, **pipes,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.communicate()[1] == b"" and process.returncode == -signal.SIGINT
    command[-1] = "1 / 0"
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == "ZeroDivisionError: division by zero"


def test_failures_are_kept_in_an_order_of_their_own(tmp_path):
    two = [failures.Failure("table", "T13", "ä", "b"), failures.Failure("figure", "F01", "a", "b")]
    failures.write(tmp_path / "kept.json", two)
    assert failures.read(tmp_path / "kept.json") == two[::-1]
    assert failures.read(None) == []


# arguments: those of the second pass
CALLS = {
    "--cores 2 --config a=b": "--cores 2 --config a=b",
    "-F all": "all",
    "--cores 2 -R train -n": "--cores 2 -n",
    "--forcerun experiment figure --cores 1": "--cores 1",
    "--force --forceall -f": "",
}


@pytest.mark.parametrize("words, others", CALLS.items())
def test_a_second_pass_forces_nothing(words, others):
    assert failures.unforced(words.split()) == others.split()


def test_a_claim_says_how_its_experiment_failed():
    how = "the experiment toy failed: ValueError: no; log: a.log"
    [record], _ = judge({"claims": [claim(part())]}, {}, failures={"toy": how})
    assert record["verdict"] == "not measured"
    assert record["reason"] == how and record["sentence"] == f"not measured: {how}"
    [record], _ = judge({"claims": [claim(part())]}, {}, failures={"other": how})
    assert record["reason"] == "the experiment toy has not run"


def test_runs_that_are_missing_are_counted_even_if_all_are(tmp_path):
    none = tables.gather([tables.shard_table({})], {}, {})["runs"].to_pandas()
    none.to_parquet(tmp_path / "runs.parquet")
    none = pd.read_parquet(tmp_path / "runs.parquet")
    record = provenance.record(none, {"preset": "small"}, {}, 4, ["the training of a failed"])
    assert record["runs"]["total"] == 0 and record["missing"] == 4
    assert record["failures"] == ["the training of a failed"]
    assert record["wall_seconds"] == 0
    assert provenance.record(none, {"preset": "small"}, {})["missing"] == 0
