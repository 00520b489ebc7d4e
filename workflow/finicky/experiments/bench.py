"""What does a training step cost, and how near is the engine to the machine's limit?

Every way of training takes turns in one process on one core: a few steps of each, over and over, so
that a slow moment of the machine falls on all of them. A repetition's times are compared with each
other; medians of these ratios are reported. Nothing here can pass or fail: it measures.
"""

import os
import statistics
import subprocess
import sys
import time

import pandas as pd

TITLE = "What the training costs"
ANSWERS = ["C172"]
READS = []
QUANTITIES = {
    "ms_per_run_step": ("ms", "time of one optimizer step of one network"),
    "ratio_to_textbook": ("×", "the textbook loop's time over this one's"),
    "ratio_to_one_by_one": ("×", "the time one by one over this one's"),
    "gemm_efficiency": (
        "",
        "time of the step's matrix products alone over its time",
    ),
    "share_of_step": ("", "time of a part of the engine's step over the sum of its parts"),
    "flops_per_byte": ("FLOP/B", "matrix products of a step over the bytes it must move"),
    "gflops": ("GFLOP/s", "matrix products of a step over its time"),
    "probe_share": ("", "time of a run's probes over the run's time, 10,000 images, 3 epochs"),
    "start_seconds": ("s", "from the start of a process to an imported training engine"),
    "copy_gb_per_second": ("GB/s", "memory read and written by a copy that no cache holds"),
    "gpu_minus_cpu": ("ms", "time of one small network's step on the GPU minus that on one core"),
}
FIGURES = {"bench": "Each work's speed against the machine's two limits; where a step's time goes."}

# work: depth, block, optimizer
WORKS = {
    "mlp2": (2, "plain", "adam"),
    "mlp2_sgd": (2, "plain", "sgd"),
    "mlp10": (10, "plain", "adam"),
    "mlp56": (56, "plain", "adam"),
    "mlp56_bn_res": (56, "batch_norm_residual", "adam"),
}
TURN = 0.1  # seconds of steps in a turn


def measure(settings, tables):
    """One row a quantity, work, way and repetition (`seed`).

    settings: {"data": folder of the data sets, "repetitions": 9}.
    """
    import torch

    from finicky import machine, runs
    from finicky.engine import train as engine
    from finicky.engine.network import Architecture
    from finicky.experiments import baselines

    engine.prepare()
    dataset = engine.Dataset("mnist", settings["data"], 60000)
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
                where = {"work": work, "way": way, "R": trainer.runs}
                found("ms_per_run_step", seed, ms, **where)
                found("ratio_to_textbook", seed, times["textbook"][seed] / ms, **where)
                found("ratio_to_one_by_one", seed, times["one by one"][seed] / ms, **where)
                found("gemm_efficiency", seed, times["products"][seed] / ms, **where)
                found("gflops", seed, ways["products"].flops / ms / 1e6, **where)
        here = {"work": work, "way": "engine", "R": size}
        found("flops_per_byte", 0, ways["products"].flops / traffic(shape, optimizer), **here)
        for seed in repetitions:
            for part, share in shares(ways["engine"]).items():
                found("share_of_step", seed, share, part=part, **here)
            found("probe_share", seed, probe_share(ways["engine"], times["engine"][seed]), **here)
    for seed in repetitions:
        found("start_seconds", seed, start_seconds())
        found("copy_gb_per_second", seed, copy_rate())
    for seed, difference in enumerate(gpu_minus_cpu(settings["data"], repetitions)):
        found("gpu_minus_cpu", seed, difference)
    table = pd.DataFrame(rows).assign(a=float("nan"), b=float("nan"), outcome="finite")
    return table.assign(instruction_set=torch.backends.cpu.get_cpu_capability())


def traffic(architecture, optimizer, batch=64):
    """Bytes that one run-step moves at least, were there no cache: every operand once a kernel.

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
    """Milliseconds a run-step of every way: {way: one number a repetition}, in turns."""
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
    """Share of each part of the engine's step: {part: fraction}, timed within whole steps."""
    from functools import partial

    import torch

    batch, spent = engine.batch, {}

    def clocked(part, action, *arguments):
        start = time.perf_counter()
        result = action(*arguments)
        spent[part] = spent.get(part, 0.0) + time.perf_counter() - start
        return result

    whole = {name: getattr(batch, name) for name in ("load", "look", "learn", "update")}
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
    parts = {"images": spent["load"], "forward": spent["forward"], "loss": spent["look"],
             "backward": spent["learn"] - update, "optimizer": update}  # fmt: skip
    return {part: seconds / sum(parts.values()) for part, seconds in parts.items()}


def probe_share(engine, ms_per_run_step):
    """Time of a short run's three probes over the time of its 471 steps."""
    from finicky.engine.probes import PROBE_IMAGES, probe

    batch = engine.batch
    images = batch.dataset.probe(PROBE_IMAGES, batch.dtype)
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


def gpu_minus_cpu(folder, repetitions):
    """Milliseconds by which a two-layer network's step is slower on the GPU: one a repetition.

    NaN where this machine has no GPU.
    """
    import torch

    from finicky.engine import train as engine
    from finicky.engine.network import Architecture
    from finicky.experiments import baselines

    if not torch.cuda.is_available():
        return [float("nan") for _ in repetitions]
    shape = Architecture(2, "plain", "relu")
    ways = {
        device: baselines.Engine(
            shape, "adam", engine.Dataset("mnist", folder, 60000, device), 1, device
        )
        for device in ("cpu", "cuda")
    }
    times = take_turns(ways, repetitions)
    return [gpu - cpu for gpu, cpu in zip(times["cuda"], times["cpu"], strict=True)]


def summary(table):
    """What results/bench/engine.json holds: {"works": {work: ...}, and medians of the rest}.

    Under "spread", and outside of the works, a number is {"median", "low", "high"} over the
    repetitions. What was not measured here (a GPU) is left out.
    """

    def spread(rows):
        values = rows["value"].tolist()
        return {"median": statistics.median(values), "low": min(values), "high": max(values)}

    works = {}
    for work, rows in table.dropna(subset="work").groupby("work", sort=False):
        engine = rows[rows["way"] == "engine"]
        found = {q: spread(part) for q, part in engine.groupby("quantity") if q != "share_of_step"}
        ways = rows[rows["quantity"] == "ratio_to_one_by_one"].groupby("way", sort=False)
        parts = engine[engine["quantity"] == "share_of_step"].groupby("part", sort=False)
        works[work] = {q: numbers["median"] for q, numbers in found.items()} | {
            "R": int(engine["R"].iloc[0]),
            "instruction_set": engine["instruction_set"].iloc[0],
            "spread": found,
            "ways": {way: spread(part)["median"] for way, part in ways},
            "shares": {name: spread(part)["median"] for name, part in parts},
        }
    rest = table[table["work"].isna()].dropna(subset="value").groupby("quantity")
    return {"works": works} | {quantity: spread(rows) for quantity, rows in rest}


def draw(table):
    """The figure `bench`: speed against the machine's limits, and the parts of a step."""
    from finicky.page import figures

    rows = table[table["way"].isin(["engine", "one by one", "textbook"])]
    speed = figures.summary(rows[rows["quantity"] == "gflops"], ["work", "way"])
    intensity = table[table["quantity"] == "flops_per_byte"].set_index("work")["value"]
    speed["flops_per_byte"] = speed["work"].map(intensity)
    limit = table[(table["quantity"] == "gflops") & (table["way"] == "products")]["value"].median()
    memory = table[table["quantity"] == "copy_gb_per_second"]["value"].median()
    share = figures.summary(table[table["quantity"] == "share_of_step"], ["work", "part"])

    with figures.style():
        fig, axes = figures.panels([3.1], columns=2, left=0.55, right=0.75, between=(1.75, 0))
        roof, parts = axes[0]
        draw_roofline(roof, figures, speed, limit, memory)
        draw_parts(parts, figures, share)
        seeds = table["seed"].max() + 1
        fig.text(0.06 / fig.get_figwidth(), 0.08 / fig.get_figheight(),
                 f"median of {seeds} interleaved turns on one core", fontsize=8)  # fmt: skip
        engine = speed[speed["way"] == "engine"].set_index("work")["median"]
        fig.set_label(
            f"Speed of a training step against the limit of {limit:.0f} GFLOP/s that the matrix "
            "products alone reach: "
            + ", ".join(f"{work} {engine[work]:.0f}" for work in WORKS)
            + " GFLOP/s; and the share of each part of a step."
        )
    return {"bench": (fig, speed)}


def draw_roofline(ax, figures, speed, limit, memory):
    """GFLOP/s over FLOP a byte: two limits, and a point for every work and way."""
    ax.set_title("Speed (GFLOP/s)")
    figures.log_axis(ax, "x", 1, 100)
    figures.log_axis(ax, "y", 0.4 * speed["median"].min(), 2.5 * limit)
    ax.set_xlabel("FLOP per byte that a step must move")
    crossing = limit / memory
    ax.plot([1, crossing, 100], [memory, limit, limit], color=figures.INK, linewidth=1)
    ax.text(95, 1.1 * limit, f"matrix products alone: {limit:.0f}", ha="right", va="bottom")
    ax.text(1.15, 3 * memory, f"from memory:\n{memory:.0f} GB/s", ha="left", va="bottom")
    looks = {"engine": ("he", "o"), "one by one": ("xavier", "s"), "textbook": ("zeros", "^")}
    for way, (level, marker) in looks.items():
        points = speed[speed["way"] == way]
        colour = figures.look(level).colour
        ax.plot(points["flops_per_byte"], points["median"], marker, color=colour)
        last = points.sort_values("flops_per_byte").iloc[-1]
        ax.text(1.12 * last["flops_per_byte"], last["median"], way, color=colour, va="center")


def draw_parts(ax, figures, share):
    """Stacked bars: the share of each part of the engine's step, by work."""
    from matplotlib.colors import to_rgb

    ax.set_title("Parts of the engine's step (%)")
    order = ["images", "forward", "loss", "backward", "optimizer"]
    levels = ["lecun", "he", "uniform_fan_in", "xavier", "normal_std_1"]
    for y, work in enumerate(reversed(WORKS)):
        left = 0.0
        rows = share[share["work"] == work].set_index("part")["median"]
        for part, level in zip(order, levels, strict=True):
            width = 100 * rows.get(part, 0.0)
            colour = figures.look(level).colour
            ax.barh(y, width, left=left, height=0.62, color=colour)
            if width >= 9:
                ink = "black" if figures.luminance(to_rgb(colour)) > 0.2 else "white"
                ax.text(left + width / 2, y, f"{width:.0f}", ha="center", va="center", color=ink)
            if y == len(WORKS) - 1:
                ax.text(left + width / 2, y + 0.42, part, ha="center", va="bottom", color=colour,
                        rotation=30 if width < 12 else 0, fontsize=8)  # fmt: skip
            left += width
    ax.set_yticks(range(len(WORKS)), labels=list(reversed(WORKS)))
    ax.set_xlim(0, 100)
    ax.set_ylim(-0.5, len(WORKS) - 0.1)
