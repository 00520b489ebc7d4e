"""This machine's costs: a few steps and evaluations of four networks, measured in seconds."""

import itertools
import time
from contextlib import contextmanager

import torch

from finicky import machine
from finicky.engine import cuda, streams
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
    lines = {"steps": {}, "images": {}, "starts": {}}
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
    """Seconds of a step of one run, of an evaluated image, and of a step whatever its runs.

    From batches of GPU_FUSED and of half as many runs, as many side by side as in training.
    """
    few, many = GPU_FUSED // 2, GPU_FUSED
    seconds = {}
    for count in few, many:
        with side_by_side(depth, block, "adam", count, cuda.STREAMS, dataset) as batches:
            seconds[count] = seconds_a_step(batches) / len(batches)
            evaluation = evaluation_seconds(batches[0])
    step = (seconds[many] - seconds[few]) / (many - few)
    return {
        "steps": step,
        "starts": max(0.0, seconds[many] - many * step),
        "images": evaluation / len(dataset.test.labels) / many,
    }


@contextmanager
def side_by_side(depth, block, optimizer, count, at_once, dataset):
    """`at_once` CudaBatches of `count` runs, each on a stream of its own: [(batch, stream)]."""
    images, device = len(dataset.train.labels), dataset.train.labels.device
    runs = noisy_runs(depth, block, optimizer, count, a_seed=7, images=images, device=device.type)
    batches = []
    for _ in range(at_once):
        stream = cuda.new_stream(device)
        with cuda.on_stream(stream):
            batch = cuda.CudaBatch(runs, dataset, device)
            batch.start_epoch(1)
        batches.append((batch, stream))
    yield batches
    batches.clear()
    wait_for(device)
    if device.type == "cuda":
        torch.cuda.empty_cache()


def wait_for(device):
    """Until all that was started on the device is done."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()


def seconds_a_step(batches):
    """Seconds in which each of some batches side by side makes a step, in turns."""
    device = batches[0][0].device

    def epoch():
        for batch, stream in batches:
            with cuda.on_stream(stream):
                batch.batch_number.zero_()
        turns = [(batch.steps(), stream) for batch, stream in batches]
        for _ in range(batches[0][0].steps_an_epoch):
            for steps, stream in turns:
                with cuda.on_stream(stream):
                    next(steps)
        wait_for(device)

    return typical(epoch) / batches[0][0].steps_an_epoch


def evaluation_seconds(batch_and_stream):
    """Seconds of an evaluation of one batch on the test images."""
    batch, stream = batch_and_stream

    def evaluate():
        with cuda.on_stream(stream):
            batch.evaluate(batch.dataset.test)
        wait_for(batch.device)

    return typical(evaluate)


def typical(action):
    """Median seconds of a call, from as many as fit into SECONDS."""
    action()
    times, end = [], time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2]
