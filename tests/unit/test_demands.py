"""What jobs ask a cluster for: enough, and not absurdly much."""

import pytest

from finicky import demands, runs
from finicky.runs import seconds

from .engine_fixtures import make_run


def shard(count=8, **fields):
    usual = {"images": 60000, "epochs": 5, "depth": 20, "width": 128, "batch_size": 64}
    return [make_run(**usual | fields | {"seed": seed}) for seed in range(count)]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_shard_gets_two_to_four_times_the_time_that_it_should_take(device):
    for size in (200, 900):
        one = seconds(shard(1, device=device)[0])
        runs = shard(round(size / one), device=device)
        asked = 60 * demands.training_minutes(runs)
        assert 2 * sum(map(seconds, runs)) <= asked <= 4 * sum(map(seconds, runs))


def test_nobody_asks_for_less_than_a_few_minutes():
    assert demands.training_minutes(shard(1, images=150, epochs=1)) == demands.FEWEST
    assert demands.gathering_minutes(1) == demands.experiment_minutes((1.0, 0)) == demands.FEWEST


def test_another_attempt_gets_twice_the_time_and_memory():
    runs = shard()
    for ask in (demands.training_minutes, demands.training_mb):
        assert ask(runs, attempt=3) == 4 * ask(runs)
    for ask in (demands.gathering_minutes, demands.gathering_mb, demands.experiment_mb):
        assert ask(10_000, attempt=2) == 2 * ask(10_000)


def test_the_memory_of_a_training_job():
    """What jobs of the default preset took at most, 753 MB, twice at most; more where a network's
    width, a fused batch or the images need it."""
    usual = demands.training_mb(shard(images=10000, depth=6, epochs=3))
    assert 753 < usual < 2 * 753
    assert demands.training_mb(shard()) > usual
    wide = make_run(width=4096, depth=10, images=10000)
    weights = 16 * runs.parameters(10, 4096) / 1e6  # 2,500 MB of them, gradients and moments
    assert demands.training_mb([wide]) > 753 + weights
    assert demands.training_mb([wide], fuse=4) > 753 + 4 * weights


def test_an_experiment_asks_for_what_it_took_until_that_is_not_enough():
    assert demands.experiment_minutes((600.0, 0)) == 30
    unknown = demands.experiment_minutes()
    assert 60 * unknown > 2 * 140  # the longest that was timed of the default preset
    assert demands.experiment_minutes((600.0, 0), attempt=2) == 2 * unknown
    assert demands.experiment_minutes((6000.0, 0), attempt=2) == 2 * 300


def test_an_experiment_that_never_ran_here_asks_for_what_a_reference_tells():
    assert demands.experiment_minutes(guess=5200.0) == 260
    assert demands.experiment_minutes(guess=20.0) == demands.FEWEST
    assert demands.experiment_minutes((600.0, 0), guess=5200.0) == 30
    assert demands.experiment_minutes(guess=20.0, attempt=2) == 2 * demands.experiment_minutes()
    assert demands.experiment_minutes(guess=5200.0, attempt=2) == 2 * 260


def test_readers_of_a_large_grid_get_more_memory():
    assert demands.experiment_mb(25_000) > demands.experiment_mb(0) > 1350
    assert demands.experiment_mb(0, on_gpu=True) > demands.experiment_mb(0)
    assert demands.gathering_mb(25_000) > demands.gathering_mb(2_655) > 200
