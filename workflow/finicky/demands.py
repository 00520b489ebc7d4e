"""What a job asks a cluster for: minutes and megabytes, by a model of what it does.

Locally nobody is asked. A cluster kills what takes more, so three times the expected time is asked
for, and twice as much, time and memory, whenever a job is tried again. What was measured, was on
the default preset's seeds 1000 to 1004.
"""

import math

from finicky import data
from finicky.runs import largest_batch, memory, seconds

SLACK = 3  # times the expected seconds: other cores are slower, shared file systems slower still
FEWEST = 5  # minutes: schedulers think in minutes, and a first start reads PyTorch from afar
START = 15  # seconds until a job has imported what it needs and read its images

PROCESS = 700  # MB of a process with PyTorch; 103 training jobs had 753 at most, images included
SPARE = 1.5  # times the expected memory
CACHE = 2**22  # bytes: the largest level-2 cache of a core that counts for a fused batch
EVALUATED = 500  # images that a network is evaluated on at a time

# Experiments say nothing of their cost, and a preset may enlarge them. Of those of `default`, the
# 29 that were timed took 140 seconds, on a busy machine, and 1,350 MB at most. So much is asked for
# where nothing better is known, or was not enough.
EXPERIMENT_SECONDS = 1200
EXPERIMENT_MB = 3000
ON_GPU_MB = 8000  # host memory of a job on a GPU, whose libraries are large

# A run's rows in the grid's tables take 4 kB, mostly of layers; reading, joining and writing them
# as text holds a few copies.
ROWS_MB = 0.025
ROWS_SECONDS = 0.005


def minutes(expected, attempt=1):
    """Whole minutes to ask for, where a job should take `expected` seconds."""
    return max(FEWEST, math.ceil(SLACK * expected / 60)) * 2 ** (attempt - 1)


def training_minutes(shard, attempt=1):
    """Minutes for the runs of a shard: on one core, or of a GPU."""
    return minutes(START + sum(map(seconds, shard)), attempt)


def training_mb(shard, fuse="auto", attempt=1):
    """Megabytes for the runs of a shard, of which `fuse` train together."""
    if shard[0].device != "cpu":
        return ON_GPU_MB * 2 ** (attempt - 1)
    images = max(
        2 * data.inputs(run.dataset) * run.images for run in shard
    )  # as read, and as split
    networks = max(_fused_bytes(run, fuse) for run in shard)
    return math.ceil(SPARE * (PROCESS + (images + networks) / 1e6)) * 2 ** (attempt - 1)


def _fused_bytes(run, fuse):
    """Bytes of a fused batch: beside runs.memory its optimizer's two temporary values a parameter,
    and a few layers of the images of an evaluation."""
    network, batch = memory(run)
    count = largest_batch([run], CACHE) if fuse == "auto" else fuse
    evaluation = 4 * EVALUATED * (data.inputs(run.dataset) + 4 * run.width)
    return count * (1.5 * network + batch + evaluation)


def experiment_minutes(last=None, guess=None, attempt=1):
    """Minutes for an experiment; last: its durations.benchmark of the last time, guess: the seconds
    that a reference makes one expect, each None where it is not known.

    When that was not enough, it was another time: of other settings, or on another machine.
    """
    if attempt > 1:
        return minutes(max(last[0] if last else 0, guess or 0, EXPERIMENT_SECONDS), attempt)
    return minutes(last[0] if last else guess or EXPERIMENT_SECONDS)


def experiment_mb(rows, on_gpu=False, attempt=1):
    """Megabytes for an experiment that reads the rows of so many runs."""
    return math.ceil((ON_GPU_MB if on_gpu else EXPERIMENT_MB) + rows * ROWS_MB) * 2 ** (attempt - 1)


def gathering_minutes(rows, attempt=1):
    """Minutes for a job that reads the rows of so many runs."""
    return minutes(START + rows * ROWS_SECONDS, attempt)


def gathering_mb(rows, attempt=1):
    """Megabytes for a job that reads the rows of so many runs, without PyTorch."""
    return math.ceil(SPARE * (300 + rows * ROWS_MB)) * 2 ** (attempt - 1)
