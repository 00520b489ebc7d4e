"""The GPU's bench, on a CPU: what it prints, not how fast anything is."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from finicky import pace
from finicky.engine import cuda, network
from finicky.experiments.bench import WORKS

from .engine_fixtures import training_process

SCRIPT = Path(__file__).parents[2] / "workflow/scripts/gpu_bench.py"


@pytest.fixture
def bench(monkeypatch):
    """The script's names; everything small."""
    monkeypatch.setattr(pace, "SECONDS", 0)
    monkeypatch.setattr(pace, "IMAGES", 128)
    with training_process():
        yield runpy.run_path(str(SCRIPT))


def test_last_line(bench, capsys):
    works = {"mlp2": (2, "plain", "adam"), "mlp56_bn_res": (4, "batch_norm", "sgd")}
    draw = network.initial_weights
    bench["main"]("cpu", works, [(3, 1), (3, 2)], images=300)
    *_, last = capsys.readouterr().out.splitlines()
    found = json.loads(last)
    assert network.initial_weights is draw, "starts are drawn once for this only"
    assert found["copy_gb_per_second"] > 0 and found["float32_tflop_per_second"] > 0
    steps = [row for row in found["rows"] if "us_per_run_step" in row]
    assert [(row["work"], row["R"], row["streams"]) for row in steps] == [
        (work, 3, streams) for work in works for streams in (1, 2)
    ]
    assert all(row["us_per_run_step"] > 0 for row in steps)
    jobs = [row for row in found["rows"] if "job_seconds" in row]
    sizes = [(row["work"], row["R"], row["streams"], row["epochs"]) for row in jobs]
    assert sizes == [("mlp2", 3, 2, 2), ("mlp56_bn_res", 3, 2, 1)]
    for row in jobs:
        assert row["share_of_evaluation"] > 0 and row["share_of_probes"] > 0
        assert row["share_of_all_but_steps"] < 1


def test_works_are_the_bench_s(bench):
    """The five of `make bench`, so that both can be laid side by side."""
    assert bench["main"].__defaults__[1] is WORKS and set(bench["EPOCHS"]) < set(WORKS)
    assert max(streams for _, streams in bench["card"].SIZES) == cuda.STREAMS


def test_a_bare_machine_has_what_it_needs():
    """PyTorch, NumPy, pandas, pyarrow: nothing of the workflow is installed there."""
    absent = ["jsonschema", "snakemake", "yaml", "scipy", "sklearn", "matplotlib", "torchvision"]
    code = f"""
import runpy, sys
sys.modules |= dict.fromkeys({absent})
runpy.run_path({str(SCRIPT)!r})"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
