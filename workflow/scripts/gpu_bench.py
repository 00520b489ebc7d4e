"""Bench rows of a GPU as JSON: python workflow/scripts/gpu_bench.py (a minute; needs no data).

Microseconds of a run-step by work, runs of a batch (R) and batches side by side (streams); what
the card can do in the same process; and how much of a job goes into anything but steps.
"""

import functools
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch  # noqa: E402

from finicky import pace  # noqa: E402
from finicky.engine import cuda, network, train  # noqa: E402

WORKS = {  # name: (depth, block, optimizer, epochs of a whole job of 60,000 images)
    "mlp2": (2, "plain", "adam", 2),
    "mlp2_sgd": (2, "plain", "sgd", 2),
    "mlp10": (10, "plain", "adam", 2),
    "mlp56": (56, "plain", "adam", 1),
    "mlp56_bn_res": (56, "batch_norm_residual", "adam", 1),
}
IMAGES = 60_000
SIZES = [(35, 1), (35, 16), (140, 1), (140, 4)]  # R, streams


def main(device="cuda", works=WORKS, sizes=SIZES, images=IMAGES):
    """The rows, printed as they come, and all of them as JSON on the last line."""
    train.prepare()
    # The same start for all runs of a seed and layer: drawing 35 of each takes longer than a bench.
    network.initial_weights = functools.cache(network.initial_weights)
    found = {"torch": torch.__version__, "card": card(device), **limits(device), "rows": []}
    print(json.dumps(found), flush=True)
    with torch.no_grad():
        for work, (depth, block, optimizer, epochs) in works.items():
            rows = [
                {"work": work, "R": count, "streams": streams,
                 "us_per_run_step": step(depth, block, optimizer, count, streams, device)}
                for count, streams in sizes
            ]  # fmt: skip
            best = min(row["us_per_run_step"] for row in rows if row["R"] == sizes[0][0])
            rows.append(
                {"work": work} | job(depth, block, optimizer, epochs, images, best, sizes, device)
            )
            print(json.dumps(rows), flush=True)
            found["rows"] += rows
    print(json.dumps(found))


def card(device):
    """The card's name."""
    return torch.cuda.get_device_name() if device == "cuda" else device


def limits(device, side=8192, floats=2**28):
    """GB/s read and written together by a copy; TFLOP/s of a product in float32."""
    if device == "cpu":
        side, floats = 512, 2**20
    source = torch.ones(floats, device=device)
    target = torch.empty_like(source)
    seconds = each(lambda: target.copy_(source), 10, device)
    copy = 2 * source.nbytes / seconds / 1e9
    square = torch.randn(side, side, device=device)
    product = 2 * side**3 / each(lambda: square @ square, 3, device) / 1e12
    return {"copy_gb_per_second": copy, "float32_tflop_per_second": product}


def each(action, count, device):
    """Mean seconds of a call, after a first one."""
    action()
    pace.wait_for(device)
    start = time.perf_counter()
    for _ in range(count):
        action()
    pace.wait_for(device)
    return (time.perf_counter() - start) / count


def step(depth, block, optimizer, count, streams, device):
    """Microseconds of a run-step of so many batches side by side."""
    dataset = pace.Noise(pace.IMAGES, device)
    with pace.side_by_side(depth, block, optimizer, count, streams, dataset) as batches:
        return 1e6 * pace.seconds_a_step(batches) / count / streams


def job(depth, block, optimizer, epochs, images, microseconds, sizes, device):
    """A job as the grid has it, one batch for each stream: its time, and what of it is no step.

    `share_of_all_but_steps`: evaluation, probes, capture, start; of them `share_of_evaluation` and
    `share_of_probes` as they take when nothing runs beside them.
    """
    count, streams = sizes[0][0], max(streams for _, streams in sizes)
    dataset = pace.Noise(images, device)
    runs = pace.noisy_runs(depth, block, optimizer, count, a_seed=7, images=images, device=device)
    runs = [type(run)(**vars(run) | {"epochs": epochs}) for run in runs]
    start = time.perf_counter()
    for _ in cuda.train_each([(runs, dataset)] * streams, device):
        pass
    seconds = time.perf_counter() - start
    steps = microseconds * 1e-6 * runs[0].steps * count * streams
    evaluation, probe = alone(runs, dataset, device)
    return {
        "R": count,
        "streams": streams,
        "job_seconds": seconds,
        "images": images,
        "epochs": epochs,
        "share_of_all_but_steps": 1 - steps / seconds,
        "share_of_evaluation": streams * evaluation / seconds,
        "share_of_probes": streams * probe / seconds,
    }


def alone(runs, dataset, device):
    """Seconds of all evaluations, and of all probes, of one batch."""
    with cuda.on_stream(cuda.new_stream(device)):
        batch = cuda.CudaBatch(runs, dataset, device)
        test = each(lambda: batch.evaluate(dataset.test), 3, device)
        training = each(lambda: batch.evaluate(dataset.train), 1, device)
        probe = each(batch.probe, 3, device)
    epochs = runs[0].epochs
    return epochs * test + training, (2 if epochs == 1 else 3) * probe


if __name__ == "__main__":
    if torch.cuda.is_available():
        main()
    else:
        print(json.dumps({"card": None, "why": "PyTorch sees no GPU on this machine"}))
