"""The training job's script: what it was handed, it trains as it was planned, or says why not."""

import runpy
import sys
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as parquet
import pytest

from finicky.runs import Run
from finicky.store import Store

from .engine_fixtures import training_process

SCRIPTS = Path(__file__).parents[2] / "workflow/scripts"
LEVELS = {
    "dataset": "mnist", "images": 256, "epochs": 1, "depth": 2, "block": "plain",
    "activation": "relu", "init": "he", "optimizer": "sgd", "learning_rate": 0.01,
    "batch_size": 64, "width": 32,
}  # fmt: skip
RESULT = {"outcome": "finite", "seconds": 1.0, "fused": 1, "curves": [], "layers": []}


@pytest.fixture
def train(tmp_path, monkeypatch, capsys):
    """`train(shard)`: run the script on these runs; returns its exit status, and what it said."""
    monkeypatch.setattr(sys, "path", [str(SCRIPTS), *sys.path])

    def train(shard):
        snakemake = SimpleNamespace(
            params=SimpleNamespace(runs=shard, data="nowhere", store=tmp_path / "store"),
            config={"fuse": "auto"}, rule="train", wildcards=["a-shard"],
            log=[tmp_path / "train.log"], output=[tmp_path / "shard.parquet"],
        )  # fmt: skip
        try:
            runpy.run_path(str(SCRIPTS / "train.py"), {"snakemake": snakemake})
        except SystemExit as stopped:
            return stopped.code, capsys.readouterr().err
        return 0, capsys.readouterr().err

    return train


def stored(folder, count=2):
    shard = [Run(**LEVELS, seed=seed) for seed in range(count)]
    for run in shard:
        Store(folder / "store").write(run.id, asdict(run) | RESULT)
    return shard


def test_a_shard_of_stored_runs_is_written_from_the_store(train, tmp_path):
    shard = stored(tmp_path)
    assert train(shard) == (0, "")
    table = parquet.read_table(tmp_path / "shard.parquet")
    assert table["run"].to_pylist() == [run.id for run in shard]


def test_code_that_changed_since_the_plan_trains_nothing(train, tmp_path):
    """Its results would be stored under the ids of the code before."""
    shard = stored(tmp_path)
    vars(shard[1])["id"] = "planned with other code"
    code, said = train(shard)
    assert code == 1 and "code that was changed since the workflow was planned" in said
    assert not (tmp_path / "shard.parquet").exists()


def test_another_instruction_set_than_the_asked_for_trains_nothing(train):
    with training_process():
        code, said = train([replace(Run(**LEVELS, seed=0), instruction_set="ABACUS")])
    assert code == 1 and said.count("\n") == 1
    assert "PyTorch's instruction set: found " in said
    assert said.endswith("allowed: ABACUS, which the config's instruction_set asks for\n")
