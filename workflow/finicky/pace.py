"""This machine's costs: a few steps and evaluations of four networks, measured in seconds."""

import functools
import itertools
import time
from contextlib import contextmanager

import torch

from finicky import machine
from finicky.engine import cuda, network, streams
from finicky.engine import train as engine
from finicky.errors import InputError
from finicky.runs import GPU_FUSED, RUNS_A_SEED, Cost, Run, fused_size, parameters

DEPTHS = (2, 20)
SECONDS = 0.2  # of steps, and of evaluations, of each network
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


@torch.no_grad()
def cost_here(device="cpu"):
    """The Cost of this machine, by networks of 2 and 20 layers, plain and batch-normalised."""
    engine.prepare()
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("config", "device", "cuda, and PyTorch sees no GPU here", "cpu or auto")
    dataset = Noise(IMAGES, device)
    return fitted(measured_on_gpu if device == "cuda" else measured_on_cpu, dataset)


def fitted(measured, dataset):
    """A Cost from what `measured(depth, block, dataset)` finds at DEPTHS, {line: seconds}."""
    lines = {"steps": {}, "images": {}, "starts": {}, "setups": {}}
    for normalised, block in enumerate(["plain", "batch_norm"]):
        points = [measured(depth, block, dataset) for depth in DEPTHS]
        for name in points[0]:
            first, last = (point[name] for point in points)
            slope = (last - first) / (DEPTHS[1] - DEPTHS[0])
            lines[name][bool(normalised)] = (first - slope * (DEPTHS[0] - 1), slope)
    return Cost(**{name: line for name, line in lines.items() if line})


def measured_on_cpu(depth, block, dataset):
    """Seconds of a step, and of an evaluated image, of one run of a network."""
    size = fused_size(parameters(depth, 128), machine.l2_cache_bytes())
    batch = engine.FusedBatch(noisy_runs(depth, block, "adam", size), dataset)
    batches = itertools.cycle(batch.batches(1))

    def step():
        batch.step(*next(batches))
        if len(batch.unread) == engine.CHECK_EVERY:
            batch.take_losses()

    split = engine.Split(dataset.train.images[:500], dataset.train.labels[:500])
    evaluation = typical(lambda: engine.evaluate(batch.network, dataset, split))
    return {"steps": typical(step) / size, "images": evaluation / 500 / size}


def measured_on_gpu(depth, block, dataset):
    """Seconds of a step of one run, of an evaluated image, of a step whatever its runs, and of the
    start of a fused batch.

    From batches of GPU_FUSED and of half as many runs, as many side by side as in training.
    """
    few, many = GPU_FUSED // 2, GPU_FUSED
    seconds = {}
    for count in few, many:
        with side_by_side(depth, block, "adam", count, cuda.STREAMS, dataset) as side:
            seconds[count] = seconds_a_step(side) / cuda.STREAMS
            evaluation = evaluation_seconds(side)
    step = (seconds[many] - seconds[few]) / (many - few)
    return {
        "steps": step,
        "starts": max(0.0, seconds[many] - many * step),
        "images": evaluation / len(dataset.test.labels) / many,
        "setups": setup_seconds(depth, block, many, dataset),
    }


# ---------------------------------------------------------------- many batches at once


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


def evaluation_seconds(side):
    """Seconds of an evaluation on the test images of one batch of a SideBySide."""
    batch, stream, _ = side.batches[0]

    def evaluate():
        with cuda.on_stream(stream):
            batch.evaluate(batch.dataset.test)
        wait_for(side.device)

    return typical(evaluate)


def setup_seconds(depth, block, count, dataset):
    """Seconds until a fused batch can take its first step: weights drawn, steps captured."""
    device = dataset.train.labels.device
    runs = noisy_runs(depth, block, "adam", count, images=len(dataset.train.labels))

    def begin():
        with cuda.on_stream(cuda.new_stream(device)):
            cuda.CudaBatch(runs, dataset, device).start_epoch(1)
        wait_for(device)

    return typical(begin)


def typical(action):
    """Median seconds of a call, from as many as fit into SECONDS."""
    action()
    times, end = [], time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2]
