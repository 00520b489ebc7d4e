"""What the engine's steps cost: networks on noise, many batches of them side by side."""

import functools
import time
from contextlib import contextmanager

import torch

from finicky.engine import cuda, network, streams
from finicky.engine import train as engine
from finicky.runs import RUNS_A_SEED, Run

SECONDS = 0.2  # of steps that are timed
IMAGES = 2048


class Noise(engine.Dataset):
    """Random images: what a step costs does not depend on what is in the picture."""

    def __init__(self, images, device="cpu"):
        random = streams.generator("pace")
        pixels = torch.randint(0, 256, (images, 784), generator=random).to(torch.uint8)
        labels = torch.randint(0, 10, (images,), generator=random)
        self.train = engine.Split(pixels.to(device), labels.to(device))
        self.validation = None
        self.test = engine.Split(self.train.images[:10_000], self.train.labels[:10_000])
        self.scale, self.shift = 1 / 255, torch.tensor(0.0, device=device)


def noisy_runs(depth, block, optimizer, count, a_seed=RUNS_A_SEED, images=IMAGES, device="cpu"):
    """`count` runs that can train together, `a_seed` of each seed."""
    return [
        Run(
            "mnist", images, 1, depth, block, "relu", "he", optimizer, 1e-4, 64, 128,
            seed=run // a_seed, device=device,
        )
        for run in range(count)
    ]  # fmt: skip


class SideBySide:
    """Fused batches of the same runs on a data set's device, each on a stream of its own."""

    def __init__(self, runs, at_once, dataset, graphs=True):
        self.device = dataset.train.labels.device
        self.runs = len(runs) * at_once  # that a step trains
        self.batches = []
        for _ in range(at_once):
            stream = cuda.new_stream(self.device)
            with cuda.on_stream(stream):
                batch = cuda.CudaBatch(runs, dataset, self.device, graphs=graphs)
                batch.start_epoch(1)
            self.batches.append((batch, stream, over_and_over(batch)))

    def step(self):
        """Start a step of every batch; `wait_for` the device and it is done."""
        for _, stream, steps in self.batches:
            with cuda.on_stream(stream):
                next(steps)


def over_and_over(batch):
    """The steps of a CudaBatch's epoch, again and again: each next() starts one."""
    while True:
        batch.batch_number.zero_()
        yield from batch.steps()


@contextmanager
def side_by_side(depth, block, optimizer, count, at_once, dataset, graphs=True):
    """A SideBySide of `at_once` batches of `count` runs each; its memory is free afterwards.

    A single run has its copy beside it, as in training (cuda.training), and counts as one.
    """
    images, device = len(dataset.train.labels), dataset.train.labels.device
    runs = noisy_runs(depth, block, optimizer, count, a_seed=7, images=images, device=device.type)
    with one_draw_for_a_seed():
        side = SideBySide(runs * 2 if count == 1 else runs, at_once, dataset, graphs)
    side.runs = count * at_once
    try:
        yield side
    finally:
        side.batches.clear()
        wait_for(device)
        if device.type == "cuda":
            torch.cuda.empty_cache()


@contextmanager
def one_draw_for_a_seed():
    """Within it, runs of one seed and initialiser share a draw of their weights: drawing 35 of each
    takes longer than timing them, and changes no time."""
    draw = network.initial_weights
    network.initial_weights = functools.cache(draw)
    try:
        yield
    finally:
        network.initial_weights = draw


def wait_for(device):
    """Until all that was started on the device is done."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()


def seconds_a_step(side):
    """Seconds in which each batch of a SideBySide makes a step."""
    steps = side.batches[0][0].steps_an_epoch

    def epoch():
        for _ in range(steps):
            side.step()
        wait_for(side.device)

    return typical(epoch) / steps


def typical(action):
    """Median seconds of a call, from as many as fit into SECONDS."""
    action()
    times, end = [], time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2]
