"""The profiles of clusters, on a real SLURM that is started for it: the tables of a local run, bit
for bit, whatever happens to the jobs on the way. `make test-cluster`; not among `make test`.
"""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

from finicky import config as presets

from ..workflow.conftest import ROOT
from .one_node import OneNode, lacking

HERE = Path(__file__).parent
PATIENCE = 600  # seconds after which something will not happen any more
TABLES = ["runs", "curves", "layers"]
MADE_BY = {"seconds", "finished", "fused"}  # what two trainings of a run may differ in
SITE = {
    "account": None, "gpu_model": "fake", "status": "squeue", "jobs": 20, "exclusive": True,
    "cores": 3, "partitions": {"cpu": {}, "gpu": {"max_gpu": 1}},
}  # fmt: skip
# Two jobs; two runs are stored at a time.
LONG = {"images": 6400, "epochs": 5, "activation": ["relu", "tanh"], "seeds": 8, "fuse": 2}
RUNS = 32


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    if reason := lacking():
        pytest.skip(reason)
    with OneNode(tmp_path_factory.mktemp("cluster") / "slurm") as node:
        yield node


@pytest.fixture(scope="module")
def project(untrained, tmp_path_factory):
    """The untrained project, with a site and presets: `long`, and with as few trainings as possible
    `alone`, of whose experiments one must run alone, and `gpu`."""
    project = untrained.copy(tmp_path_factory.mktemp("project") / "with a space")
    project.write("workflow/profiles/site.yaml", yaml.safe_dump(SITE))
    project.configure("long", **LONG)
    smoke = presets.load(ROOT / "config/smoke.yaml", ROOT / "config/config.yaml")
    chosen = {slug: smoke["experiments"][slug] for slug in ("backprop", "losses")}
    project.configure("alone", init=["he"], experiments=chosen)
    project.configure("gpu", init=["he"], experiments={"losses": chosen["losses"]})
    return project


def tables(project):
    return {
        name: pd.read_parquet(project.folder / f"results/long/tables/{name}.parquet")
        for name in TABLES
    }


def assert_same(found, expected):
    for name in TABLES:
        ours, theirs = (
            table[name].drop(columns=MADE_BY & set(table[name])) for table in (found, expected)
        )
        pd.testing.assert_frame_equal(ours, theirs, check_exact=True)


def command(preset, *words, profile="slurm"):
    """A snakemake call on the cluster. It looks at its jobs sooner than it would elsewhere."""
    return [
        sys.executable, str(HERE / "impatient.py"), *words,
        "--profile", f"workflow/profiles/{profile}", "--configfile", f"config/{preset}.yaml",
    ]  # fmt: skip


def jobs_of(cluster, rule, before=()):
    known = {job["JobId"] for job in before}
    return [
        job
        for job in cluster.jobs()
        if job["JobId"] not in known and job["Comment"].startswith(f"rule_{rule}")
    ]


def test_where_slurm_does_not_start_one_line_says_why(tmp_path):
    """And .ci/run goes on without these tests."""
    if reason := lacking():
        pytest.skip(reason)
    (tmp_path / "munged").write_text("#!/bin/sh\necho no key >&2\necho at all >&2\nexit 1\n")
    (tmp_path / "munged").chmod(0o755)
    env = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    script = [sys.executable, HERE / "one_node.py"]
    done = subprocess.run(script, env=env, capture_output=True, text=True)
    [line] = done.stdout.splitlines()
    assert line == "SLURM does not start here: munged: no key at all"
    assert (done.returncode, done.stderr) == (0, "")


def test_a_whole_report(cluster, project):
    """Each rule gets what it asks for; what takes seconds is no job of the cluster's; progress is
    seen where Snakemake was started."""
    done = project.call(command("alone"), env=cluster.environment)
    assert done.returncode == 0, done.stdout
    assert (project.folder / "results/alone/report/index.html").exists()
    assert "2 of 2 runs to train" in done.stdout
    jobs = {job["Comment"]: job for job in cluster.jobs()}
    assert {name.partition("_wildcards")[0] for name in jobs} == {
        "rule_train", "rule_tables", "rule_explorer", "rule_experiment",
    }  # fmt: skip
    assert {job["Partition"] for job in jobs.values()} == {"cpu"}
    alone = jobs.pop("rule_experiment_wildcards_backprop")
    assert (alone["CPUs/Task"], alone["OverSubscribe"]) == ("3", "NO")
    assert {(job["CPUs/Task"], job["OverSubscribe"]) for job in jobs.values()} == {("1", "OK")}
    [training] = jobs_of(cluster, "train")
    assert training["TimeLimit"] == "00:05:00"


def wait_until(condition, process):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.2)


def stop(project):
    """Let the training processes hang, so that none is through before it is disturbed."""
    for process in project.processes():
        if any(".snakemake/scripts/" in word for word in process.cmdline()):
            process.send_signal(signal.SIGSTOP)


def hang(cluster, project):
    """Let them hang, and their time be over. SLURM looks for such jobs every half a minute."""
    stop(project)
    for job in cluster.jobs("RUNNING"):
        cluster.command("scontrol", "update", f"JobId={job['JobId']}", "EndTime=now")


DISTURBANCES = {
    "CANCELLED": lambda cluster, project: cluster.cancel(),
    "TIMEOUT": hang,
    "NODE_FAIL": lambda cluster, project: (stop(project), cluster.lose_node()),
}


def made_locally(untrained, folder):
    """The tables of `long`, made on this machine."""
    local = untrained.copy(folder)
    local.configure("long", **LONG)
    local.snakemake("long", "results/long/tables/runs.parquet")
    return tables(local)


def test_whatever_happens_to_the_jobs_the_tables_are_those_of_a_local_run(
    cluster, project, untrained, tmp_path, start
):
    """Cancelled, out of time, on a node that dies: each time the same command goes on."""
    target = "results/long/tables/runs.parquet"
    for state, disturb in DISTURBANCES.items():
        before, stored = cluster.jobs(), len(project.store())
        words = command("long", target, "--retries", "0", "--slurm-no-requeue")
        process = start(project, words, cluster.environment)
        wait_until(lambda stored=stored: len(project.store()) > stored, process)
        disturb(cluster, project)
        if state == "TIMEOUT":  # for which there is time now
            locally = made_locally(untrained, tmp_path / "with a space")
        elif state == "NODE_FAIL":
            wait_until(lambda: cluster.jobs("NODE_FAIL"), process)
            cluster.start_node()
        assert process.wait(PATIENCE) != 0
        assert {job["JobState"] for job in jobs_of(cluster, "train", before)} >= {state}
        assert not (project.folder / target).exists()
    kept = project.store()
    assert 0 < len(kept) < RUNS
    done = project.call(command("long", target), env=cluster.environment)
    assert done.returncode == 0, done.stdout
    assert kept.items() <= project.store().items()
    assert_same(tables(project), locally)


def test_a_gpu_is_asked_for_where_one_is_needed(cluster, project):
    """As far as SLURM goes; there is no CUDA here."""
    before = cluster.jobs()
    made = [f"results/gpu/{name}.parquet" for name in ("tables/runs", "experiments/losses")]
    words = command("gpu", *made, "--retries", "0", profile="slurm-gpu")
    done = project.call(words, env=cluster.environment)
    assert done.returncode == 1, done.stdout
    assert re.search("the training of mnist-cuda-.* failed: .*CUDA", done.stdout), done.stdout
    [training] = jobs_of(cluster, "train", before)
    assert (training["Partition"], training["TresPerJob"]) == ("gpu", "gres:gpu:fake:1")
    others = jobs_of(cluster, "experiment", before)
    assert {(job["Partition"], job["TresPerJob"]) for job in others} == {
        ("cpu", "gres:gpu:fake:0"),
    }  # fmt: skip
