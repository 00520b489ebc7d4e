"""This machine's costs: a few steps and evaluations of four networks, measured in two seconds."""

import itertools
import time

import torch

from finicky import machine
from finicky.engine import streams
from finicky.engine import train as engine
from finicky.runs import RUNS_A_SEED, Cost, Run, fused_size, parameters

DEPTHS = (2, 20)
SECONDS = 0.2  # of steps, and of evaluations, of each network


class Noise(engine.Dataset):
    """Random images: what a step costs does not depend on what is in the picture."""

    def __init__(self, images):
        random = streams.generator("pace")
        pixels = torch.randint(0, 256, (images, 784), generator=random).to(torch.uint8)
        self.train = engine.Split(pixels, torch.randint(0, 10, (images,), generator=random))
        self.validation, self.test = None, self.train
        self.scale, self.shift = 1 / 255, torch.tensor(0.0)


@torch.no_grad()
def cost_here():
    """The Cost of this machine, by networks of 2 and 20 layers, plain and batch-normalised."""
    engine.prepare()
    dataset = Noise(2048)
    steps, images = {}, {}
    for normalised, block in enumerate(["plain", "batch_norm"]):
        points = [measured(depth, block, dataset) for depth in DEPTHS]
        for lines, (first, last) in zip((steps, images), zip(*points, strict=True), strict=True):
            slope = (last - first) / (DEPTHS[1] - DEPTHS[0])
            lines[bool(normalised)] = (first - slope * (DEPTHS[0] - 1), slope)
    return Cost(steps, images)


def measured(depth, block, dataset):
    """Seconds of a step, and of an evaluated image, of one run of a network."""
    size = fused_size(parameters(depth, 128), machine.l2_cache_bytes())
    batch = engine.FusedBatch(
        [
            Run(
                "mnist", 2048, 1, depth, block, "relu", "he", "adam", 1e-4, 64, 128,
                seed=run // RUNS_A_SEED,
            )
            for run in range(size)
        ],
        dataset,
    )  # fmt: skip
    batches = itertools.cycle(batch.batches(1))

    def step():
        batch.step(*next(batches))
        if len(batch.seen) == engine.CHECK_EVERY:
            batch.take_losses()

    split = engine.Split(dataset.train.images[:500], dataset.train.labels[:500])
    return (
        typical(step) / size,
        typical(lambda: engine.evaluate(batch.network, dataset, split)) / 500 / size,
    )


def typical(action):
    """Median seconds of a call, from as many as fit into SECONDS."""
    action()
    times, end = [], time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2]
