"""Where the numbers came from, as the page tells it."""

import copy
import json
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version

import pandas as pd
import pytest

from finicky import data, provenance

CONFIG = {"preset": "small", "seeds": 2, "grid": [{"name": "a"}]}


def row(run, finished="2026-01-01T00:01:40+00:00", **changes):
    """One row of the table of runs."""
    levels = {
        "run": run, "dataset": "mnist", "depth": 10, "block": "plain", "activation": "relu",
        "init": "normal_std_1", "optimizer": "sgd", "learning_rate": 0.01, "seed": 0,
        "outcome": "finite", "large_step": None, "inf_step": None, "nan_step": None,
        "seconds": 10.0, "fused": 1, "device": "cpu", "cpu": "one cpu", "gpu": None,
        "instruction_set": "AVX2",
        "finished": finished,
    }  # fmt: skip
    return levels | changes


def table(*rows):
    steps = dict.fromkeys(["large_step", "inf_step", "nan_step"], "float64")
    return pd.DataFrame(rows).astype(steps)


@pytest.fixture
def benchmarks(tmp_path):
    """A folder as Snakemake's benchmarks fill it."""

    def measured(path, seconds):
        file = tmp_path / "benchmarks" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"s\th:m:s\tmax_rss\n{seconds}\t0:00:01\t-\n")

    measured("judge.tsv", 1.25)
    measured("figures/F01.tsv", 2.5)
    measured("figures/F02.tsv", 3.5)
    measured("train/mnist-02-plain-relu-0.tsv", 100.0)
    return tmp_path / "benchmarks"


def test_runs_are_counted_by_outcome_and_failed_ones_listed(benchmarks):
    runs = table(
        row("a"),
        row("b", outcome="large", large_step=7),
        row("c", outcome="inf", large_step=3, inf_step=5),
        row("d", outcome="nan", large_step=2, inf_step=4, nan_step=6, dataset="fashion_mnist"),
    )
    record = provenance.record(runs, CONFIG, benchmarks)
    assert record["runs"] == {"total": 4, "finite": 1, "large": 1, "inf": 1, "nan": 1}
    steps = {failed["run"]: (failed["outcome"], failed["step"]) for failed in record["diverged"]}
    assert steps == {"b": ("large", 7), "c": ("inf", 5), "d": ("nan", 6)}
    assert record["diverged"][0] == {
        "run": "b", "dataset": "mnist", "depth": 10, "block": "plain", "activation": "relu",
        "init": "normal_std_1", "optimizer": "sgd", "learning_rate": 0.01, "seed": 0,
        "outcome": "large", "step": 7,
    }  # fmt: skip
    assert record["data"] == {name: data.hashes(name) for name in ("fashion_mnist", "mnist")}


def test_nothing_failed_and_it_is_plain_json(benchmarks):
    record = provenance.record(table(row("a")), copy.deepcopy(CONFIG), benchmarks)
    assert record["diverged"] == []
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["config"] == CONFIG and record["preset"] == "small"
    assert record["versions"]["torch"] == version("torch")
    when = datetime.fromisoformat(record["date"])
    assert when.utcoffset().total_seconds() == 0 and when <= datetime.now(UTC)


def test_the_machines_of_all_runs_are_named(benchmarks):
    runs = table(row("a"), row("b", cpu="another", instruction_set="AVX512"), row("c"))
    machine = provenance.record(runs, CONFIG, benchmarks)["machine"]
    assert machine["cpu"] == "another, one cpu"
    assert machine["instruction_set"] == "AVX2, AVX512"
    assert machine["gpu"] is None


def test_the_cards_of_all_runs_are_named(benchmarks):
    runs = [row("a"), row("b", device="cuda", gpu="one card"), row("c", device="cuda", gpu="b")]
    record = provenance.record(table(*runs), CONFIG, benchmarks)
    assert record["machine"]["gpu"] == "b, one card"
    nameless = provenance.record(table(row("a", device="cuda")), CONFIG, benchmarks)
    assert nameless["machine"]["gpu"] == "not recorded"


def test_times_are_summed_by_stage_and_training_comes_from_the_runs(benchmarks):
    runs = table(row("a", seconds=10), row("b", seconds=30))
    record = provenance.record(runs, CONFIG, benchmarks)
    assert record["seconds"] == {"training": 40.0, "figures": 6.0, "judge": 1.2}
    # b trained in the last 30 s, a beside it in the last 10 of these.
    assert record["wall_seconds"] == pytest.approx(30 + 6 + 1.2, abs=0.11)


@pytest.mark.parametrize(
    "spans, wall",
    [
        ([(0, 10)], 10),
        ([(0, 10), (20, 25)], 15),
        ([(0, 10), (5, 15)], 15),
        ([(0, 10), (2, 3)], 10),
        ([(0, 10), (10, 20)], 20),
        ([(0, 10), (2, 3), (9, 12)], 12),
        ([(5, 15), (0, 10), (12, 13), (30, 31)], 16),
    ],
)
def test_training_wall_is_the_length_of_the_union(spans, wall):
    rows = []
    for start, end in spans:
        finished = datetime.fromtimestamp(1_700_000_000 + end, UTC).isoformat()
        # Two runs trained together: each has its share of the batch's time.
        rows += [row(f"{start}-{i}", finished, seconds=(end - start) / 2, fused=2) for i in (0, 1)]
    assert provenance.training_wall(table(*rows)) == pytest.approx(wall)


@pytest.mark.parametrize(
    "preset, command", [("default", "make report"), ("smoke", "make report PRESET=smoke")]
)
def test_the_command_is_the_one_to_type(preset, command):
    assert provenance.command({"preset": preset}) == command


# ---------------------------------------------------------------- git


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A git checkout with one commit as the working folder; returns a function that calls git."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    monkeypatch.chdir(folder)
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org"]

    def git(*arguments):
        done = subprocess.run(["git", *who, *arguments], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "-q")
    (folder / "file").write_text("1")
    git("add", "file")
    git("commit", "-q", "-m", "first")
    return git


def test_the_commit_and_whether_the_checkout_was_changed(checkout, benchmarks, tmp_path):
    def recorded():
        record = provenance.record(table(row("a")), CONFIG, benchmarks)
        return record["commit"], record["dirty"]

    commit = checkout("rev-parse", "HEAD")
    assert recorded() == (commit, False)
    (tmp_path / "checkout/results").write_text("untracked files change nothing")
    assert recorded() == (commit, False)
    (tmp_path / "checkout/file").write_text("2")
    assert recorded() == (commit, True)


def test_without_a_checkout_there_is_no_commit(benchmarks, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    record = provenance.record(table(row("a")), CONFIG, benchmarks)
    assert record["commit"] is None and record["dirty"] is False


def test_without_git_there_is_no_commit(benchmarks, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    record = provenance.record(table(row("a")), CONFIG, benchmarks)
    assert record["commit"] is None and record["dirty"] is False


# ---------------------------------------------------------------- the reference's seed sets


def seed_set(folder, name, **config):
    """A seed set of the reference; returns the path of its claims.json."""
    claims = folder / name / "claims.json"
    claims.parent.mkdir()
    claims.write_text(json.dumps([{"id": "C001"}]), encoding="utf-8")
    record = {"config": {"preset": name, "seeds": 5, "grid": {"a": {"epochs": 3}}} | config}
    claims.with_name("provenance.json").write_text(json.dumps(record), encoding="utf-8")
    return claims


def test_only_seed_sets_of_the_same_settings_are_compared_with(tmp_path):
    config = {"preset": "default", "seeds": 5, "grid": {"a": {"epochs": 3}}, "first_seed": 0}
    files = [
        seed_set(tmp_path, "same", first_seed=1000, device="cuda", shard_seconds=3),
        seed_set(tmp_path, "longer", grid={"a": {"epochs": 4}}),
        seed_set(tmp_path, "more", seeds=11),
    ]
    assert provenance.references(files, config) == {"same": [{"id": "C001"}]}
    assert provenance.references([], config) == {}
