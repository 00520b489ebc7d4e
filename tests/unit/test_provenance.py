"""Where the numbers came from, as the page tells it."""

import copy
import json
import os
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import pytest

from finicky import data, provenance
from finicky.experiments import tidy

CONFIG = {"preset": "small", "seeds": 2, "grid": [{"name": "a"}]}


def row(run, finished="2026-01-01T00:01:40+00:00", **changes):
    """One row of the table of runs."""
    levels = {
        "run": run, "dataset": "mnist", "images": 640, "epochs": 1, "depth": 10, "block": "plain",
        "activation": "relu", "init": "normal_std_1", "optimizer": "sgd", "learning_rate": 0.01,
        "seed": 0, "outcome": "finite", "large_step": None, "inf_step": None, "nan_step": None,
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
    """Benchmark files as Snakemake leaves them, by stage."""

    def measured(path, seconds):
        file = tmp_path / "benchmarks" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"s\th:m:s\tmax_rss\n{seconds}\t0:00:01\t-\n")
        return str(file)

    return {
        "judge": [measured("judge.tsv", 1.25)],
        "figures": [measured("figures/F01.tsv", 2.5), measured("figures/F02.tsv", 3.5)],
    }


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
        "run": "b", "dataset": "mnist", "images": 640, "epochs": 1, "depth": 10, "block": "plain",
        "activation": "relu", "init": "normal_std_1", "optimizer": "sgd", "learning_rate": 0.01,
        "seed": 0, "outcome": "large", "step": 7,
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


def test_cores_are_of_the_machine_of_the_runs_or_not_told(benchmarks, monkeypatch):
    there = {"cpu": "one cpu", "cores": 7, "memory_gib": 3}
    monkeypatch.setattr(provenance.machine, "description", lambda: there)
    own = provenance.record(table(row("a")), CONFIG, benchmarks)["machine"]
    assert (own["cores"], own["memory_gib"]) == (7, 3)
    mixed = provenance.record(table(row("a"), row("b", cpu="another")), CONFIG, benchmarks)
    assert mixed["machine"]["cores"] is None and mixed["machine"]["memory_gib"] is None


def test_runs_and_experiments_say_which_kinds_of_machine_they_come_from(benchmarks, tmp_path):
    one = {"vendor": "V", "cpu": "one cpu", "gpu": None, "settings": "", "instruction_set": "AVX2"}
    experiments = {
        "adam": one, "numpy": one | {"instruction_set": None}, "other": one | {"cpu": "another"},
    }  # fmt: skip
    paths = [tmp_path / f"{slug}.parquet" for slug in [*experiments, "old"]]
    for path, where in zip(paths, experiments.values(), strict=False):
        tidy.write(pd.DataFrame({"value": [1.0]}), path, where | {"host": path.stem})
    pd.DataFrame({"value": [1.0]}).to_parquet(paths[-1])  # from before machines were recorded
    runs = table(row("a", vendor="V"), row("b", vendor="V"), row("c", instruction_set="AVX512"))
    found = provenance.record(runs, CONFIG, benchmarks, experiments=paths)["machines"]
    nothing = dict.fromkeys(one)
    told = one | {"settings": None}
    assert found == [
        told | {"runs": 2, "experiments": ["adam", "numpy"]},
        nothing | {"cpu": "one cpu", "instruction_set": "AVX512", "runs": 1, "experiments": []},
        told | {"cpu": "another", "runs": 0, "experiments": ["other"]},
        nothing | {"runs": 0, "experiments": ["old"]},
    ]
    assert pd.read_parquet(paths[0]).equals(pd.DataFrame({"value": [1.0]}))


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
    # b trained for 30 s, a beside it in the last 10 of these, and the other jobs at once, later.
    assert record["wall_seconds"] == pytest.approx(30 + 3.5, abs=0.2)
    assert record["experiment_seconds"] == {}
    each = benchmarks | {"experiments": benchmarks["figures"]}
    assert provenance.record(runs, CONFIG, each)["experiment_seconds"] == {"F01": 2.5, "F02": 3.5}


@pytest.mark.parametrize(
    "content", ["", "s\th:m:s\n", "s\n-\n", "s\n\n", "\0\xff", "other\n1\n", None]
)
def test_a_benchmark_file_without_a_time_is_no_time(benchmarks, tmp_path, content):
    """It is missing, or its job was killed as it was written."""
    file = tmp_path / "benchmarks/figures/F03.tsv"
    if content is not None:
        file.write_bytes(content.encode("latin-1"))
    files = {**benchmarks, "figures": [*benchmarks["figures"], file], "tables": [file]}
    assert provenance.stage_seconds(files) == {"judge": 1.2, "figures": 6.0}


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
def test_the_wall_time_is_the_length_of_the_union(spans, wall, tmp_path):
    rows = []
    for start, end in spans:
        finished = datetime.fromtimestamp(1_700_000_000 + end, UTC).isoformat()
        # Two runs trained together: each has its share of the batch's time.
        rows += [row(f"{start}-{i}", finished, seconds=(end - start) / 2, fused=2) for i in (0, 1)]
    assert provenance.wall(table(*rows), {}) == pytest.approx(wall)
    beside = tmp_path / "beside.tsv"
    beside.write_text("s\n4\n")
    end = 1_700_000_000 + max(end for _, end in spans) + 3
    os.utime(beside, (end, end))  # it began a second before the training ended
    assert provenance.wall(table(*rows), {"judge": [beside]}) == pytest.approx(wall + 3)


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


def recorded(benchmarks):
    record = provenance.record(table(row("a")), CONFIG, benchmarks)
    return record["commit"], record["dirty"]


# What may be written into a checkout, and whether it is then another than the commit.
WRITTEN = {
    "nothing": ({}, False),
    "a known file": ({"file": "2"}, True),
    "results": ({"results/a": "", "notes": ""}, False),
    "an experiment of one's own": ({"workflow/mine.py": ""}, True),
    "a preset of one's own": ({"config/a b/mine.yaml": ""}, True),
    "the preset that is made": ({f"config/{CONFIG['preset']}.yaml": ""}, False),
    "what git ignores": ({"workflow/mine.pyc": "", ".git/info/exclude": "*.pyc"}, False),
}


@pytest.mark.parametrize("files, dirty", WRITTEN.values(), ids=list(WRITTEN))
def test_the_commit_and_whether_the_checkout_was_changed(checkout, benchmarks, files, dirty):
    for name, text in files.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)
    assert recorded(benchmarks) == (checkout("rev-parse", "HEAD"), dirty)


def test_variables_of_git_change_nothing(checkout, benchmarks, tmp_path, monkeypatch):
    """A hook, say, sets them; they may name another repository."""
    commit = checkout("rev-parse", "HEAD")
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "elsewhere"))
    assert recorded(benchmarks) == (commit, False)


def inside(checkout, folder):
    """An archive that was unpacked inside another repository: its commit says nothing of it."""
    Path("unpacked/workflow").mkdir(parents=True)
    return Path("unpacked")


def not_begun(checkout, folder):
    """A repository without a commit."""
    subprocess.run(["git", "init", "-q", folder / "new"], check=True)
    return folder / "new"


def refused(checkout, folder):
    """A checkout that git cannot read (so it is with another user's, too)."""
    Path(".git/HEAD").write_text("nonsense")
    return Path()


def broken(checkout, folder):
    """One whose commit can be read, but not compared."""
    Path(".git/index").write_bytes(b"nonsense")
    return Path()


def nowhere(checkout, folder):
    """No checkout at all."""
    return folder


@pytest.mark.parametrize("place", [inside, not_begun, refused, broken, nowhere])
def test_where_git_does_not_know_neither_commit_nor_changes_are_recorded(
    checkout, benchmarks, tmp_path, monkeypatch, place
):
    monkeypatch.chdir(place(checkout, tmp_path))
    assert recorded(benchmarks) == (None, None)


def test_without_git_there_is_no_commit(benchmarks, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert recorded(benchmarks) == (None, None)


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
