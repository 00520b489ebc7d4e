"""Verify, prune and merge: what is damaged, what nobody needs, what another store has."""

import importlib.util
import os
import runpy
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import yaml

from finicky import config, documents, parquet, runs, tables
from finicky.store import Store

ROOT = Path(__file__).parents[2]
MINE = {
    "preset": "mine",
    "seeds": 2,
    "grid": {
        "small": {
            "dataset": ["mnist"],
            "images": 256,
            "epochs": 1,
            "depth": [2, 4],
            "block": ["plain"],
            "activation": ["relu"],
            "init": ["he", "xavier"],
            "optimizer": ["sgd"],
        }
    },
}
OUTCOME = {"outcome": "finite", "start_loss": 2.25, "seconds": 1.5, "fused": 2, "host": "here"}
CURVES = [{"epoch": 1, "test_loss": 0.125, "test_accuracy": 97.0}]


def write_yaml(path, content):
    Path(path).write_text(yaml.safe_dump(content), encoding="utf-8")


def record(run):
    """What a job stores of a run, made up."""
    row = dict.fromkeys(tables.SHARD.names[1:])
    curve = dict.fromkeys(list(tables.CURVES)[1:])
    return row | asdict(run) | OUTCOME | {"curves": [curve | CURVES[0]], "layers": []}


class Folder:
    """A folder with one preset besides `default`, all of whose results are there, made up."""

    def __init__(self):
        Path("config").mkdir()
        base = config.load(ROOT / "config/config.yaml", ROOT / "config/config.yaml")
        base["grid"] = {"depth": base["grid"]["degradation-batch-norm"]}
        write_yaml("config/config.yaml", base)
        one = {"losses": base["experiments"]["losses"]}
        mine = MINE | {"experiments": dict.fromkeys(base["experiments"]) | one}
        write_yaml("config/mine.yaml", mine)
        self.store = Store("results/store")
        self.plan = runs.plan(config.load("config/mine.yaml"))
        for run in self.plan.subgrids:
            self.store.write(run.id, record(run))
        for name, members in self.plan.shards.items():
            self.shard(name, members)
        for name in ("runs", "curves", "layers"):
            parquet.write(pd.DataFrame({"run": ["a"]}), f"results/mine/tables/{name}.parquet")
        parquet.write(pd.DataFrame({"value": [1.5]}), "results/mine/experiments/losses.parquet")

    def shard(self, name, members):
        """Write a shard's file."""
        table = tables.shard_table({run.id: record(run) for run in members})
        parquet.write(table, f"results/mine/shards/{name}.parquet")

    def files(self):
        """{path: content} of the results."""
        return {str(p): p.read_bytes() for p in Path("results").rglob("*") if p.is_file()}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Folder()


@pytest.fixture
def call(monkeypatch, capsys):
    """`call(task, *arguments)`: exit status and the lines that the script said."""
    scripts = ROOT / "workflow/scripts"
    monkeypatch.syspath_prepend(str(scripts))
    spec = importlib.util.spec_from_file_location("upkeep_script", scripts / "upkeep.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)

    def call(task, *arguments):
        status = getattr(script, task)(*arguments)
        return status, capsys.readouterr().out.splitlines()

    return call


def flip(path):
    """Flip one bit in the middle of a file."""
    content = bytearray(Path(path).read_bytes())
    content[len(content) // 2] ^= 1
    Path(path).write_bytes(content)


def some_run(folder):
    return next(iter(folder.plan.subgrids))


# ---------------------------------------------------------------- verify


def test_whole_results_are_left_as_they_are(folder, call):
    before = folder.files()
    assert call("verify") == (0, ["8 stored runs are whole, and so are all files with a hash"])
    assert folder.files() == before


def test_a_damaged_file_is_named_and_removed(folder, call):
    for path in (
        next(Path("results/mine/shards").iterdir()),
        Path("results/mine/tables/curves.parquet"),
        Path("results/mine/experiments/losses.parquet"),
    ):
        before = folder.files()
        flip(path)
        status, [line, _] = call("verify")
        assert status == 1 and line.startswith(f"{path} is damaged: removed")
        del before[str(path)]
        assert folder.files() == before


@pytest.mark.parametrize("damaged", ["claims.json", "claims.json.sha256"])
def test_json_of_other_numbers_is_found_and_removed(folder, call, damaged):
    """Though it can be read. Without a checksum nothing is known of it."""
    path = Path("results/mine/report/claims.json")
    documents.write_json(path, [{"id": "C001", "median": 1.5}])
    Path("results/mine/other.json").write_text('{"median": 1.5}')
    assert call("verify")[0] == 0
    (path.parent / damaged).write_text((path.parent / damaged).read_text().replace("5", "7"))
    status, [line, _] = call("verify")
    assert status == 1 and line.startswith(f"{path} is damaged: removed")
    assert not path.exists() and Path("results/mine/other.json").exists()
    assert call("verify")[0] == 0  # the checksum that is left says nothing


def test_a_damaged_run_is_restored_from_its_shard(folder, call):
    run = some_run(folder)
    before = folder.files()
    flip(folder.store.path(run.id))
    status, [line, _] = call("verify")
    assert status == 1 and "is damaged: restored from results/mine/shards/" in line
    assert folder.files() == before


def test_a_damaged_run_that_no_shard_has_is_removed(folder, call):
    run = some_run(folder)
    shutil.rmtree("results/mine/shards")
    before = folder.files()
    flip(folder.store.path(run.id))
    status, [line, last] = call("verify")
    assert status == 1 and "the next make report trains it again" in line
    assert last.startswith("7 stored runs")
    del before[str(folder.store.path(run.id))]
    assert folder.files() == before


def test_a_record_with_the_levels_of_another_run_is_found(folder, call):
    """Though its checksum is right."""
    one, other, *_ = folder.plan.subgrids
    folder.store.write(one.id, record(other))
    status, [line, _] = call("verify")
    assert status == 1 and f"{one.id}.json has the levels of another run: restored" in line
    assert folder.store.read(one.id) == record(one)


def test_a_shard_with_the_runs_of_another_is_found(folder, call):
    (name, _), (_, others) = list(folder.plan.shards.items())[:2]
    folder.shard(name, others)
    status, [line, _] = call("verify")
    assert status == 1 and f"{name}.parquet has the runs of another shard: removed" in line


def test_the_reference_is_named_and_never_removed(folder, call):
    path = Path("results/reference/one/evidence.parquet")
    parquet.write(pd.DataFrame({"value": [1.5]}), path)
    flip(path)
    status, [line, _] = call("verify")
    assert status == 1 and line.startswith(f"{path} is damaged: git has it") and path.exists()


def test_left_over_temporary_files_are_removed_when_they_are_old(folder, call):
    """Only what `replaced` leaves, and nothing young: it may be another machine's."""
    old, young = folder.store.folder / "00/.x.json.abcd_123", Path("results/.y.csv.abcdefgh")
    kept = [young, Path("results/.keep"), Path("results/data/.z.gz.abcdefgh")]
    for path in [old, *kept]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        if path != young:
            os.utime(path, (time.time() - 7200,) * 2)
    status, [line, _] = call("verify")
    assert status == 0 and line.startswith("1 temporary files")
    assert not old.exists() and all(path.exists() for path in kept)


# ---------------------------------------------------------------- what jobs do


@pytest.fixture
def job(folder, monkeypatch):
    """`job(name, **what)`: run a rule's script as its job; its log. `what` is the job's input."""
    scripts = ROOT / "workflow/scripts"
    monkeypatch.syspath_prepend(str(scripts))

    def job(name, output, **given):
        preset = config.load("config/mine.yaml")
        snakemake = SimpleNamespace(
            rule=name, wildcards=[], log=[f"{name}.log"], config=preset, output=output,
            input=SimpleNamespace(**given),
            params=SimpleNamespace(store="results/store", failed=[]),
        )  # fmt: skip
        before = signal.getsignal(signal.SIGTERM)
        try:
            runpy.run_path(str(scripts / f"{name}.py"), {"snakemake": snakemake})
        finally:
            signal.signal(signal.SIGTERM, before)
        return Path(f"{name}.log").read_text(encoding="utf-8")

    return job


class Output(dict):
    """Named outputs, as Snakemake gives them."""

    __getattr__ = dict.__getitem__


def test_a_damaged_shard_is_made_again_from_the_store(folder, job):
    shards = sorted(Path("results/mine/shards").iterdir())
    before = folder.files()
    flip(shards[0])
    output = Output({name: f"{name}.parquet" for name in tables.TABLES}, dictionary="README.md")
    log = job("tables", output, shards=shards)
    assert f"{shards[0]}: found a damaged file" in log and "made again from the store" in log
    assert folder.files() == before
    assert parquet.read("runs.parquet").num_rows == 8

    flip(shards[0])
    folder.store.path(parquet.read(shards[1])["run"][0].as_py()).unlink()  # not one of its runs
    job("tables", output, shards=shards)
    shutil.rmtree("results/store")
    flip(shards[0])
    with pytest.raises(SystemExit):
        job("tables", output, shards=shards)
    assert not shards[0].exists()  # its runs are to be trained again


def test_a_job_that_meets_with_a_damaged_table_says_so_and_removes_it(folder, job, capsys):
    """But not of the reference, which no rule makes."""
    for folder_of in ("mine/tables", "reference/one"):
        path = Path(f"results/{folder_of}/runs.parquet")
        parquet.write(pd.DataFrame({"run": ["a"]}), path)
        flip(path)
        with pytest.raises(SystemExit):
            job("provenance", ["provenance.json"], runs=path)
        [line] = capsys.readouterr().err.splitlines()
        assert line.startswith(f"{path}: found a damaged file: its SHA-256 is another; allowed: ")
        assert path.exists() == ("reference" in path.parts)


class Paths(Output):
    """The same; as a list, they are the paths."""

    def __iter__(self):
        return iter(self.values())


def test_a_table_that_is_left_empty_has_no_checksum_of_before(tmp_path, monkeypatch):
    scripts = ROOT / "workflow/scripts"
    output = Paths(json="T01.json", csv="T01.csv")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(scripts))
    nothing = SimpleNamespace(t01=lambda table, ledger: None)
    monkeypatch.setitem(sys.modules, "finicky.exhibits.nothing", nothing)
    parquet.write(pd.DataFrame({"value": [1.5]}), "table.parquet")
    documents.write_json(output.json, {"heads": []})
    snakemake = SimpleNamespace(
        rule="table", log=["log"], config={}, output=output,
        input=SimpleNamespace(table="table.parquet", ledger=str(ROOT / "config/claims.yaml")),
        wildcards=SimpleNamespace(table="T01"), params=SimpleNamespace(slug="nothing"),
    )  # fmt: skip
    before = signal.getsignal(signal.SIGTERM)
    try:
        runpy.run_path(str(scripts / "refill.py"), {"snakemake": snakemake})
    finally:
        signal.signal(signal.SIGTERM, before)
    assert Path("T01.json").read_bytes() == b""
    assert not documents.checksum_file("T01.json").exists()


# ---------------------------------------------------------------- prune


def test_prune_lists_and_removes_only_when_asked(folder, call):
    """Runs, shards and experiments that no preset needs; another device's are needed."""
    run = some_run(folder)
    other_code = "0123456789abcdef0123"
    folder.store.write(other_code, record(run))
    on_gpu = runs.Run(**asdict(run) | {"device": "cuda"})
    folder.store.write(on_gpu.id, record(on_gpu))
    parquet.write(pd.DataFrame({"run": ["a"]}), "results/mine/shards/mnist-old-0123.parquet")
    parquet.write(pd.DataFrame({"value": [1.5]}), "results/mine/experiments/adam.parquet")
    for apart in ("data/mnist/shards", "reference/one/experiments"):
        parquet.write(pd.DataFrame({"value": [1.5]}), f"results/{apart}/x.parquet")
    before = folder.files()
    gone = {
        str(folder.store.path(other_code)),
        "results/mine/shards/mnist-old-0123.parquet",
        "results/mine/experiments/adam.parquet",
    }
    size = sum(len(before[path]) for path in gone)
    status, [line, hint] = call("prune")
    assert status == 0 and "YES=1" in hint
    assert line == (
        f"3 files ({size:,} bytes) are needed by no preset in config/: 1 stored runs, 2 shards "
        "and experiments"
    )
    assert folder.files() == before
    call("prune", "yes")
    assert before.keys() - folder.files().keys() == gone


def test_a_bad_preset_stops_prune(folder):
    """What it needs is not known."""
    Path("config/bad.yaml").write_text("preset: bad\nseeds: none\n", encoding="utf-8")
    shutil.rmtree("results/mine")
    before = folder.files()
    script = [sys.executable, ROOT / "workflow/scripts/upkeep.py", "prune", "yes"]
    done = subprocess.run(script, capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == "" and folder.files() == before
    assert done.stderr.startswith("config/bad.yaml: seeds: found 'none'")
    assert len(done.stderr.splitlines()) == 1


def test_nothing_is_removed_while_a_run_is_at_work(folder):
    script = [sys.executable, ROOT / "workflow/scripts/upkeep.py"]
    words = [sys.executable, "-c", "input()", "snakemake"]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as process:
        for task in ("verify", "prune"):
            done = subprocess.run([*script, task], capture_output=True, text=True)
            assert done.returncode == 1 and f"(process {process.pid})" in done.stderr
            assert len(done.stderr.splitlines()) == 1
        process.communicate(b"\n")


# ---------------------------------------------------------------- merge


def test_merge_copies_what_is_whole_and_ours(folder, call):
    there = Store("there")
    new, known, damaged, misplaced = list(folder.plan.subgrids)[:4]
    for run in (new, known, damaged):
        there.write(run.id, record(run))
    there.write(misplaced.id, record(new))
    flip(there.path(damaged.id))
    there.write("0123456789abcdef0123", record(new))
    for run in (new, damaged, misplaced):
        folder.store.path(run.id).unlink()
    status, [line] = call("merge", "there")
    assert status == 0
    assert line == (
        "1 new, 1 known, 3 refused "
        "(1 damaged; 2 trained by other code, or another version of PyTorch)"
    ) or line.endswith("(2 trained by other code, or another version of PyTorch; 1 damaged)")
    assert folder.store.read(new.id) == record(new)
    assert damaged.id not in folder.store and misplaced.id not in folder.store


def test_merge_mends_what_is_damaged_here(folder, call):
    run = some_run(folder)
    Store("there").write(run.id, record(run))
    flip(folder.store.path(run.id))
    assert call("merge", "there") == (0, ["1 new, 0 known, 0 refused"])
    assert folder.store.read(run.id) == record(run)


@pytest.mark.parametrize("source", ["", "nowhere", "config", "results/store", "results/./store"])
def test_merge_needs_another_store(folder, source):
    script = [sys.executable, ROOT / "workflow/scripts/upkeep.py", "merge", source]
    done = subprocess.run(script, capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == "" and len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("FROM: found ") and "another results/store" in done.stderr
