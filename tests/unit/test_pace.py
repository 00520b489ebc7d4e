"""Batches side by side, and the costs that were fitted to their times on an H100."""

import torch

from finicky import pace
from finicky.runs import NOMINAL, NOMINAL_GPU, seconds

from .engine_fixtures import make_run, training_process


def test_a_gpus_cost_by_depth_block_and_size():
    """µs of a run-step on an H100, 16 batches side by side: what NOMINAL_GPU was fitted to."""
    for depth, block, measured in (
        (2, "plain", 2.22), (10, "plain", 6.23), (56, "plain", 29.3),
        (56, "batch_norm_residual", 45.1),
    ):  # fmt: skip
        run = make_run(
            depth=depth,
            block=block,
            images=60_000,
            epochs=10,
            batch_size=64,
            width=128,
            device="cuda",
        )
        microseconds = 1e6 * NOMINAL_GPU.seconds(run) / run.steps
        assert measured < microseconds < 1.3 * measured, "with start, evaluations and probes"
        assert NOMINAL_GPU.seconds(run, fused=5) > 1.1 * NOMINAL_GPU.seconds(run)
        assert NOMINAL_GPU.seconds(run) < NOMINAL.seconds(run) / 50


# Fused batches of 42 architectures out of `full`, which an H100 trained in 166 s (torch 2.11):
# batches, runs in each, depth, block, images, epochs.
PIECE = [
    (2, 35, 2, "plain", 60_000, 5), (2, 35, 2, "batch_norm", 60_000, 5),
    (4, 35, 6, "plain", 60_000, 5), (4, 35, 6, "batch_norm", 60_000, 5),
    (3, 35, 10, "plain", 60_000, 5), (4, 35, 10, "batch_norm", 60_000, 5),
    (4, 35, 20, "plain", 60_000, 5), (4, 35, 20, "batch_norm", 60_000, 5),
    (4, 35, 56, "plain", 60_000, 5), (4, 35, 56, "batch_norm", 60_000, 5),
    (1, 22, 2, "batch_norm", 60_000, 10), (1, 22, 20, "plain", 60_000, 10),
    (1, 22, 44, "plain", 60_000, 10), (1, 22, 80, "plain", 60_000, 10),
    (1, 77, 10, "plain", 60_000, 10), (1, 77, 10, "batch_norm", 60_000, 10),
    (1, 110, 10, "plain", 55_000, 10),
]  # fmt: skip


def test_a_gpus_cost_of_a_whole_job():
    """Within 30 % of what such a job took, start, evaluations and probes included."""
    assert sum(batches for batches, *_ in PIECE) == 42
    estimated, runs = 0.0, 0
    for batches, count, depth, block, images, epochs in PIECE:
        run = make_run(depth=depth, block=block, images=images, epochs=epochs, batch_size=64,
                       width=128, device="cuda")  # fmt: skip
        estimated += batches * count * seconds(run)
        runs += batches * count
    assert runs == 1577 and 166 / 1.3 < estimated < 166 * 1.3


def test_batches_side_by_side_share_a_draw_and_leave_no_trace():
    draw = pace.network.initial_weights
    with training_process(), torch.no_grad():
        with pace.side_by_side(2, "plain", "sgd", 3, 2, pace.Noise(128)) as side:
            assert side.runs == 6 and pace.network.initial_weights is draw
            batches = [batch for batch, _, _ in side.batches]
            for _ in range(5):  # an epoch has two
                side.step()
            assert [int(batch.step_count) for batch in batches] == [5, 5]
        assert side.batches == []
    one, other = (batch.network.parameters.flat for batch in batches)
    assert torch.equal(one, other)
