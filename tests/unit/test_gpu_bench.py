"""The GPU's bench, on a CPU: what it prints, not how fast anything is."""

import json
import runpy
from pathlib import Path

import pytest

from finicky import pace
from finicky.engine import cuda, network

from .engine_fixtures import training_process

SCRIPT = Path(__file__).parents[2] / "workflow/scripts/gpu_bench.py"


@pytest.fixture
def bench(monkeypatch):
    """The script's names; everything small."""
    monkeypatch.setattr(pace, "SECONDS", 0)
    monkeypatch.setattr(pace, "IMAGES", 128)
    monkeypatch.setattr(network, "initial_weights", network.initial_weights)
    with training_process():
        yield runpy.run_path(str(SCRIPT))


def test_last_line(bench, capsys):
    works = {"mlp2": (2, "plain", "adam", 2), "bn": (4, "batch_norm", "sgd", 1)}
    bench["main"]("cpu", works, [(3, 1), (3, 2)], images=300)
    *_, last = capsys.readouterr().out.splitlines()
    found = json.loads(last)
    assert found["copy_gb_per_second"] > 0 and found["float32_tflop_per_second"] > 0
    steps = [row for row in found["rows"] if "us_per_run_step" in row]
    assert [(row["work"], row["R"], row["streams"]) for row in steps] == [
        (work, 3, streams) for work in works for streams in (1, 2)
    ]
    assert all(row["us_per_run_step"] > 0 for row in steps)
    jobs = [row for row in found["rows"] if "job_seconds" in row]
    assert [row["work"] for row in jobs] == list(works)
    for row in jobs:
        assert row["share_of_evaluation"] > 0 and row["share_of_probes"] > 0
        assert row["share_of_all_but_steps"] < 1


def test_works_are_the_bench_s(bench):
    """The five of `make bench`, so that both can be laid side by side."""
    from finicky.experiments.bench import WORKS

    assert {name: work[:3] for name, work in bench["WORKS"].items()} == WORKS
    assert max(streams for _, streams in bench["SIZES"]) == cuda.STREAMS
