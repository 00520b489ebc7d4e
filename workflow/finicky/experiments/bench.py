"""What does a training step cost, and how near is the engine to the machine's limit?

Every way of training takes turns in one process on one core: a few steps of each, over and over, so
that a slow moment of the machine falls on all of them. A repetition's times are compared with each
other; medians of these ratios are reported. Nothing here can pass or fail: it measures.
"""

import os
import subprocess
import sys
import time

from finicky.experiments import tidy

TITLE = "What the training costs"
READS = []
DATASETS = ["mnist"]
ALONE = True
SETTINGS = {"repetitions": ("count", "turns of each way")}
QUANTITIES = {
    "ms_per_run_step": ("ms", "time of one optimizer step of one network"),
    "ratio_to_textbook": ("", "the textbook loop's time over this one's"),
    "ratio_to_one_by_one": ("", "the time one by one over this one's"),
    "gemm_efficiency": ("", "time of the step's matrix products alone over its time"),
    "share_of_step": ("", "time of a part of the engine's step over the sum of its parts"),
    "flops_per_byte": ("FLOP/B", "matrix products of a step over the bytes it must move"),
    "gflops": ("GFLOP/s", "matrix products of a step over its time"),
    "probe_share": ("", "time of a run's probes over the run's time, 10,000 images, 3 epochs"),
    "start_seconds": ("s", "from the start of a process to an imported training engine"),
    "copy_gb_per_second": ("GB/s", "memory read and written by a copy that no cache holds"),
    "gpu_minus_cpu": ("ms", "time of one small network's step on the GPU minus that on one core"),
}
CONDITIONS = {
    "work": ["mlp2", "mlp2_sgd", "mlp10", "mlp56", "mlp56_bn_res"],
    "way": ["textbook", "one by one", "vmap", "stacked autograd", "engine", "products"],
    "fused": "integer",
    "part": ["images", "forward", "loss", "backward", "optimizer"],
    "instruction_set": "text",  # as PyTorch names it
}
# work: depth, block, optimizer
WORKS = {
    "mlp2": (2, "plain", "adam"),
    "mlp2_sgd": (2, "plain", "sgd"),
    "mlp10": (10, "plain", "adam"),
    "mlp56": (56, "plain", "adam"),
    "mlp56_bn_res": (56, "batch_norm_residual", "adam"),
}
IMAGES = 60_000
TURN = 0.1  # seconds of steps in a turn


def measure(settings, tables):
    """One row per quantity, work, way and repetition (`seed`); QUANTITIES says what each number is.

    settings: as declared, with `data` and `device`, which is "cpu": the GPU is compared with it in
    `gpu_minus_cpu`. tables: none are read. `fused` is the number of networks that train together.
    """
    import torch

    from finicky import machine, runs
    from finicky.engine.network import Architecture
    from finicky.experiments import baselines, training

    dataset = training.prepared("mnist", settings, IMAGES)
    repetitions = range(settings["repetitions"])
    rows = []

    def found(quantity, seed, value, **where):
        rows.append({"quantity": quantity, "seed": seed, "value": value} | where)

    for work, (depth, block, optimizer) in WORKS.items():
        shape = Architecture(depth, block, "relu")
        size = runs.fused_size(runs.parameters(depth, shape.width), machine.l2_cache_bytes())
        given = (shape, optimizer, dataset)
        ways = {
            "textbook": baselines.Textbook(*given, settings["data"]),
            "one by one": baselines.OneByOne(*given),
            "vmap": baselines.Vmap(*given, size),
            "stacked autograd": baselines.StackedAutograd(*given, size),
            "engine": baselines.Engine(*given, size),
            "products": baselines.Products(shape, size),
        }
        times = take_turns(ways, repetitions)
        for way, trainer in ways.items():
            for seed, ms in enumerate(times[way]):
                where = {"work": work, "way": way, "fused": trainer.runs}
                found("ms_per_run_step", seed, ms, **where)
                found("ratio_to_textbook", seed, times["textbook"][seed] / ms, **where)
                found("ratio_to_one_by_one", seed, times["one by one"][seed] / ms, **where)
                found("gemm_efficiency", seed, times["products"][seed] / ms, **where)
                found("gflops", seed, ways["products"].flops / ms / 1e6, **where)
        here = {"work": work, "way": "engine", "fused": size}
        found("flops_per_byte", 0, ways["products"].flops / traffic(shape, optimizer), **here)
        for seed in repetitions:
            for part, share in shares(ways["engine"]).items():
                found("share_of_step", seed, share, part=part, **here)
            found("probe_share", seed, probe_share(ways["engine"], times["engine"][seed]), **here)
    for seed in repetitions:
        found("start_seconds", seed, start_seconds())
        found("copy_gb_per_second", seed, copy_rate())
    for seed, difference in enumerate(gpu_minus_cpu(settings, repetitions)):
        found("gpu_minus_cpu", seed, difference)
    table = tidy.from_rows(rows, CONDITIONS)
    return table.assign(instruction_set=torch.backends.cpu.get_cpu_capability())


def traffic(architecture, optimizer, batch=64):
    """Bytes that one step of one run moves at least, were there no cache: each operand per kernel.

    Parameters: read forward and backward, gradients written; Adam reads four vectors and writes
    three, descent within the backward pass reads and writes one. Activations: written, read by the
    next layer, read twice backward, and as much for their gradients. Images: as bytes and floats.
    """
    weights = sum(fan_in * fan_out for fan_in, fan_out in architecture.fans())
    of_weights = {"adam": 1 + 1 + 1 + 7, "sgd": 1 + 1 + 2}[optimizer] * weights
    of_activations = 8 * batch * architecture.width * architecture.hidden
    of_images = batch * architecture.inputs * 5
    return 4 * (of_weights + of_activations + of_images)


def take_turns(ways, repetitions):
    """Milliseconds per run and step of every way: {way: one number per repetition}, in turns."""
    counts = {}
    for way, trainer in ways.items():
        for _ in range(3):
            trainer.step()
        counts[way] = max(1, round(TURN / timed(trainer.step, 3)))
    times = {way: [] for way in ways}
    for _ in repetitions:
        for way, trainer in ways.items():
            times[way].append(1000 * timed(trainer.step, counts[way]) / trainer.runs)
    return times


def timed(action, count):
    """Mean seconds of `count` calls, a GPU's work included."""
    import torch

    start = time.perf_counter()
    for _ in range(count):
        action()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / count


def shares(engine):
    """Share of each part of the engine's step: {part: fraction}, timed within whole steps.

    Only here is a fused batch looked into: between its parts stand clocks, taken off at the end.
    """
    from functools import partial

    import torch

    batch, spent = engine.batch, {}

    def clocked(part, action, *arguments):
        start = time.perf_counter()
        result = action(*arguments)
        spent[part] = spent.get(part, 0.0) + time.perf_counter() - start
        return result

    whole = {
        name: getattr(batch, name)
        for name in ("load", "compute_loss", "backward_and_update", "update")
    }
    forward = batch.network.forward
    try:
        for name, action in whole.items():
            setattr(batch, name, partial(clocked, name, action))
        batch.network.forward = partial(clocked, "forward", forward)
        with torch.no_grad():
            for _ in range(max(5, round(50 / batch.architecture.depth))):
                engine.step()
    finally:
        for name in whole:
            delattr(batch, name)
        del batch.network.forward
    update = spent.pop("update", 0.0)
    parts = {"images": spent["load"], "forward": spent["forward"], "loss": spent["compute_loss"],
             "backward": spent["backward_and_update"] - update, "optimizer": update}  # fmt: skip
    return {part: seconds / sum(parts.values()) for part, seconds in parts.items()}


def probe_share(engine, ms_per_run_step):
    """Time of a short run's three probes over the time of its 471 steps."""
    from finicky.engine.probes import PROBE_IMAGES, probe

    batch = engine.batch
    images = batch.dataset.first(PROBE_IMAGES, batch.dtype)
    seconds = timed(lambda: probe(batch.network, *images), 1) / engine.runs
    return 3 * seconds / (471 * ms_per_run_step / 1000)


def start_seconds():
    """Time for a process to start and import what a training job imports."""
    command = [sys.executable, "-c", "import pyarrow.parquet, finicky.engine.train"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    start = time.perf_counter()
    subprocess.run(command, env=environment, check=True)
    return time.perf_counter() - start


def copy_rate():
    """GB/s read and written together while one core copies 256 MB."""
    import torch

    source = torch.ones(2**26)
    target = torch.empty_like(source)
    target.copy_(source)
    return 2 * source.nbytes / timed(lambda: target.copy_(source), 3) / 1e9


def gpu_minus_cpu(settings, repetitions):
    """Milliseconds by which a two-layer network's step is slower on the GPU: one per repetition.

    NaN where this machine has no GPU.
    """
    import torch

    from finicky.engine.network import Architecture
    from finicky.experiments import baselines, training

    if not torch.cuda.is_available():
        return [float("nan") for _ in repetitions]
    shape = Architecture(2, "plain", "relu")
    ways = {}
    for device in ("cpu", "cuda"):
        dataset = training.prepared("mnist", settings | {"device": device}, IMAGES)
        ways[device] = baselines.Engine(shape, "adam", dataset, 1, device)
    times = take_turns(ways, repetitions)
    return [gpu - cpu for gpu, cpu in zip(times["cuda"], times["cpu"], strict=True)]
