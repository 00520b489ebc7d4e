"""What does a training step cost, and how near is the engine to the machine's limit?

Every way of training takes turns in one process on one core: a few steps of each, over and over, so
that a slow moment of the machine falls on all of them. A repetition's times are compared with each
other; medians of these ratios are reported. Nothing here can pass or fail: it measures.

Where there is a GPU, it is timed as well: by how many networks share a step, beside what the card
can do at best; and one small network on it, and many, in turns with one core.
"""

import os
import subprocess
import sys
import time
from contextlib import ExitStack

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
    "us_per_run_step": ("µs", "time of one optimizer step of one network on the GPU"),
    "ratio_to_core": ("", "one core's time over the GPU's, both with fused networks"),
    "gpu_copy_gb_per_second": ("GB/s", "the card's memory read and written by a copy"),
    "gpu_product_gflops": ("GFLOP/s", "the card's rate in a large matrix product in float32"),
    "gpu_minus_cpu": ("ms", "time of a small network's step on the GPU minus that on one core"),
}
CONDITIONS = {
    "work": ["mlp2", "mlp2_sgd", "mlp10", "mlp56", "mlp56_bn_res"],
    "way": ["textbook", "one by one", "vmap", "stacked autograd", "engine", "products",
            "one network, eager", "one network, a graph", "many networks, graphs"],  # on a GPU
    "fused": "integer",
    "streams": "integer",  # fused batches side by side on the GPU
    "part": ["images", "forward", "loss", "backward", "optimizer"],
    "instruction_set": "text",  # as PyTorch names it
    "card": "text",  # likewise, of what ran on it
}  # fmt: skip
BUDGET = {}  # steps are timed; nothing has to be learnt
# work: depth, block, optimizer
WORKS = {
    "mlp2": (2, "plain", "adam"),
    "mlp2_sgd": (2, "plain", "sgd"),
    "mlp10": (10, "plain", "adam"),
    "mlp56": (56, "plain", "adam"),
    "mlp56_bn_res": (56, "batch_norm_residual", "adam"),
}
SMALL = "mlp2"  # the mini project's network
MANY = "many networks, graphs"
IMAGES = 60_000
TURN = 0.1  # seconds of steps in a turn


def measure(settings, tables):
    """One row per quantity, work, way and repetition (`seed`); QUANTITIES says what each number is.

    settings: as declared, with `data` and `device`, which is "cpu". tables: none are read. `fused`
    is the number of networks that train together. Without a GPU there are no rows of one.
    """
    import torch

    from finicky import machine, runs
    from finicky.engine.network import Architecture
    from finicky.experiments import baselines, training

    dataset = training.prepared("mnist", settings, IMAGES)
    repetitions = range(settings["repetitions"])
    rows, flops, core = [], {}, {}

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
        flops[work], core[work] = ways["products"].flops, times["engine"]
        if work == SMALL:
            small = ways["engine"]
        for way, trainer in ways.items():
            for seed, ms in enumerate(times[way]):
                where = {"work": work, "way": way, "fused": trainer.runs}
                found("ms_per_run_step", seed, ms, **where)
                found("ratio_to_textbook", seed, times["textbook"][seed] / ms, **where)
                found("ratio_to_one_by_one", seed, times["one by one"][seed] / ms, **where)
                found("gemm_efficiency", seed, times["products"][seed] / ms, **where)
                found("gflops", seed, flops[work] / ms / 1e6, **where)
        here = {"work": work, "way": "engine", "fused": size}
        found("flops_per_byte", 0, flops[work] / traffic(shape, optimizer), **here)
        for seed in repetitions:
            for part, share in shares(ways["engine"]).items():
                found("share_of_step", seed, share, part=part, **here)
            found("probe_share", seed, probe_share(ways["engine"], times["engine"][seed]), **here)
    for seed in repetitions:
        found("start_seconds", seed, start_seconds())
        found("copy_gb_per_second", seed, copy_rate())
    device = gpu()
    if device:
        rows += on_gpu(device, flops, core, repetitions)
        rows += gpu_minus_cpu(device, small, repetitions)
    table = tidy.from_rows(rows, CONDITIONS)
    return table.assign(instruction_set=torch.backends.cpu.get_cpu_capability())


def traffic(architecture, optimizer, on_gpu=False, batch=64):
    """Bytes that one step of one run moves at least, were there no cache: each operand per kernel.

    Parameters: read forward and backward, gradients written; Adam reads four vectors and writes
    three, descent reads two and writes one, on a CPU within the backward pass, where no gradient is
    written or read. Activations: written, read by the next layer, read twice backward, and as much
    for their gradients. Images: as bytes and floats.
    """
    weights = sum(fan_in * fan_out for fan_in, fan_out in architecture.fans())
    update = {"adam": 1 + 7, "sgd": 4 if on_gpu else 2}[optimizer]
    of_activations = 8 * batch * architecture.width * architecture.hidden
    of_images = batch * architecture.inputs * 5
    return 4 * ((1 + 1 + update) * weights + of_activations + of_images)


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


# ---- On a GPU -----------------------------------------------------------------------------------


def gpu():
    """The device that stands for this machine's GPU; None without one."""
    import torch

    return "cuda" if torch.cuda.is_available() else None


def on_gpu(device, flops, core, repetitions):
    """Rows of what the card can do, and of a step of every work by how many networks share it.

    flops: of a run-step, {work: number}; core: milliseconds of one on one core, {work: a list}.
    """
    from finicky.engine.network import Architecture
    from finicky.experiments import card

    rows = []

    def found(quantity, seed, value, **where):
        row = {"quantity": quantity, "seed": seed, "value": value, "card": card.name(device)}
        rows.append(row | where)

    for seed in repetitions:
        copy, product = card.limits(device)
        found("gpu_copy_gb_per_second", seed, copy)
        found("gpu_product_gflops", seed, 1000 * product)
    for work, (depth, block, optimizer) in WORKS.items():
        here = {"work": work, "way": MANY}
        moved = traffic(Architecture(depth, block, "relu"), optimizer, on_gpu=True)
        found("flops_per_byte", 0, flops[work] / moved, **here)
        for fused, streams in card.SIZES:
            where = here | {"fused": fused, "streams": streams}
            steps = card.run_step(WORKS[work], fused, streams, device, len(repetitions))
            for seed, seconds in enumerate(steps):
                found("us_per_run_step", seed, 1e6 * seconds, **where)
                found("gflops", seed, flops[work] / seconds / 1e9, **where)
                found("ratio_to_core", seed, core[work][seed] / 1000 / seconds, **where)
    return rows


def gpu_minus_cpu(device, small, repetitions):
    """Rows of how much slower SMALL is on the GPU, one network or many, than fused on one core.

    small: the engine with it, on the CPU; they take turns.
    """
    import torch

    from finicky import pace
    from finicky.experiments import card

    sizes = {  # fused, streams, whether a step is a graph
        "one network, eager": (1, 1, False),
        "one network, a graph": (1, 1, True),
        MANY: (*max(card.SIZES, key=lambda size: size[1]), True),
    }
    with torch.no_grad(), ExitStack() as stack:
        noise, ways = pace.Noise(pace.IMAGES, device), {"engine": small}
        for way, (fused, streams, graphs) in sizes.items():
            side = pace.side_by_side(*WORKS[SMALL], fused, streams, noise, graphs)
            ways[way] = stack.enter_context(side)
        times = take_turns(ways, repetitions)
    rows = []
    for way, (fused, streams, _) in sizes.items():
        where = {"work": SMALL, "way": way, "fused": fused, "streams": streams}
        where["card"] = card.name(device)
        for seed, (ms, core) in enumerate(zip(times[way], times["engine"], strict=True)):
            found = {"gpu_minus_cpu": ms - core}
            if fused == 1:  # on_gpu has the others
                found["us_per_run_step"] = 1000 * ms
            rows += [{"quantity": q, "seed": seed, "value": v} | where for q, v in found.items()]
    return rows
