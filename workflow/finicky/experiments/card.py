"""What a GPU can do and what it does: its limits, a step by how many runs share it, a whole job.

Every function takes a device and works on a CPU too. Images are noise (pace.Noise), so that neither
files nor a network are needed; the CPU's side of a comparison is the caller's.
"""

import time
from dataclasses import replace

import torch

from finicky import pace
from finicky.engine import cuda
from finicky.runs import GPU_FUSED

# Runs of a fused batch (R), and how many batches side by side, each on its stream.
SIZES = [(GPU_FUSED, 1), (GPU_FUSED, cuda.STREAMS), (140, 1), (140, 4)]


def name(device):
    """The card's name."""
    return torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else device


def limits(device):
    """(GB/s read and written together by a copy, TFLOP/s of a matrix product in float32)."""
    small = torch.device(device).type == "cpu"
    floats, side = (2**20, 512) if small else (2**28, 8192)
    source = torch.ones(floats, device=device)
    target = torch.empty_like(source)
    copy = 2 * source.nbytes / each(lambda: target.copy_(source), 10, device)
    square = torch.randn(side, side, device=device)
    product = 2 * side**3 / each(lambda: square @ square, 3, device)
    return copy / 1e9, product / 1e12


def each(action, count, device):
    """Mean seconds of a call, after a first one."""
    action()
    pace.wait_for(device)
    start = time.perf_counter()
    for _ in range(count):
        action()
    pace.wait_for(device)
    return (time.perf_counter() - start) / count


@torch.no_grad()
def run_step(work, count, streams, device, repetitions=1):
    """Seconds of a step of one run among `count` × `streams`: one number per repetition.

    work: (depth, block, optimizer).
    """
    dataset = pace.Noise(pace.IMAGES, device)
    with pace.side_by_side(*work, count, streams, dataset) as side:
        return [pace.seconds_a_step(side) / side.runs for _ in range(repetitions)]


@torch.no_grad()
def job(work, epochs, images, count, streams, step, device):
    """A job as the grid has it, one batch for each stream: its seconds, and what of it is no step.

    step: seconds of a run's step in it. `share_of_all_but_steps`: evaluation, probes, capture,
    start; of them `share_of_evaluation` and `share_of_probes`, as they take with nothing beside.
    """
    depth, block, optimizer = work
    dataset = pace.Noise(images, device)
    kind = torch.device(device).type
    runs = [
        replace(run, epochs=epochs)
        for run in pace.noisy_runs(depth, block, optimizer, count, 7, images, kind)
    ]
    with pace.one_draw_for_a_seed():
        start = time.perf_counter()
        for _ in cuda.train_each([(runs, dataset)] * streams, device):
            pass
        seconds = time.perf_counter() - start
        evaluation, probes = alone(runs, dataset, device)
    return {
        "job_seconds": seconds,
        "share_of_all_but_steps": 1 - step * runs[0].steps * count * streams / seconds,
        "share_of_evaluation": streams * evaluation / seconds,
        "share_of_probes": streams * probes / seconds,
    }


def alone(runs, dataset, device):
    """Seconds of all evaluations, and of all probes, of one batch from start to end."""
    with cuda.on_stream(cuda.new_stream(device)):
        batch = cuda.CudaBatch(runs, dataset, device)
        test = each(lambda: batch.evaluate(dataset.test), 3, device)
        training = each(lambda: batch.evaluate(dataset.train), 1, device)
        probe = each(batch.probe, 3, device)
    epochs = runs[0].epochs
    return epochs * test + training, (2 if epochs == 1 else 3) * probe
