"""The measured cost: sane on any machine. How well it predicts is for a quiet machine to say."""

import math

import pytest
import torch

from finicky import pace
from finicky.errors import InputError
from finicky.pace import cost_here
from finicky.runs import NOMINAL, NOMINAL_GPU

from .engine_fixtures import make_run, training_process


@pytest.fixture(scope="module")
def cost():
    with training_process():
        return cost_here()


@pytest.mark.parametrize("block", ["plain", "batch_norm"])
def test_deeper_networks_and_more_images_cost_more(cost, block):
    run = make_run(block=block, images=10000, width=128, batch_size=64)
    small, deep = (cost.seconds(make_run(**vars(run) | {"depth": d})) for d in (2, 56))
    more = cost.seconds(make_run(**vars(run) | {"images": 60000}))
    assert 0 < small < deep and small < more < math.inf


def test_it_measures_what_the_nominal_cost_says_of_one_machine(cost):
    """Of the same order: a slip in units would be far off."""
    run = make_run(images=10000, epochs=3, depth=20, width=128, batch_size=64)
    assert 0.05 < cost.seconds(run) / NOMINAL.seconds(run) < 20


def test_a_gpus_cost_by_depth_block_and_size():
    """µs of a run-step on an H200, 16 batches side by side: what NOMINAL_GPU was fitted to."""
    for depth, block, measured in (
        (2, "plain", 1.9), (10, "plain", 5.4), (56, "plain", 25.6),
        (56, "batch_norm_residual", 39.9),
    ):  # fmt: skip
        run = make_run(
            depth=depth, block=block, images=60_000, epochs=10, batch_size=64, device="cuda"
        )
        microseconds = 1e6 * NOMINAL_GPU.seconds(run) / run.steps
        assert measured < microseconds < 1.25 * measured, "with evaluations and probes"
        assert NOMINAL_GPU.seconds(run, fused=5) > 1.1 * NOMINAL_GPU.seconds(run)
        assert NOMINAL_GPU.seconds(run) < NOMINAL.seconds(run) / 50


def test_the_gpus_measurement_without_a_gpu(monkeypatch):
    """The way it is taken, on a CPU: few runs, few batches side by side."""
    monkeypatch.setattr(pace, "GPU_FUSED", 4)
    monkeypatch.setattr(pace, "SECONDS", 0)
    monkeypatch.setattr(pace.cuda, "STREAMS", 2)
    with training_process(), torch.no_grad():
        found = pace.fitted(pace.measured_on_gpu, pace.Noise(128))
    assert set(found.steps) == set(found.starts) == set(found.images) == {False, True}
    assert all(math.isfinite(n) for lines in vars(found).values() if isinstance(lines, dict)
               for line in lines.values() for n in line)  # fmt: skip


def test_a_gpu_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="PyTorch sees no GPU here"):
        cost_here("cuda")
