"""Bench rows of a GPU as JSON: python workflow/scripts/gpu_bench.py (a minute; needs no data).

Microseconds of a run-step by work, runs of a batch (R) and batches side by side (streams); what
the card can do in the same process; and how much of a job goes into anything but steps.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch  # noqa: E402

from finicky.engine import train  # noqa: E402
from finicky.experiments import bench, card  # noqa: E402

EPOCHS = {"mlp56": 1, "mlp56_bn_res": 1}  # of a whole job; else two
IMAGES = 60_000


def main(device="cuda", works=bench.WORKS, sizes=card.SIZES, images=IMAGES):
    """The rows, printed as they come, and all of them as JSON on the last line."""
    train.prepare()
    copy, product = card.limits(device)
    found = {"torch": torch.__version__, "card": card.name(device), "copy_gb_per_second": copy,
             "float32_tflop_per_second": product, "rows": []}  # fmt: skip
    print(json.dumps(found), flush=True)
    for work, levels in works.items():
        rows = list(rows_of(levels, EPOCHS.get(work, 2), sizes, images, device))
        found["rows"] += [{"work": work} | row for row in rows]
        print(json.dumps(found["rows"][-len(rows) :]), flush=True)
    print(json.dumps(found))


def rows_of(levels, epochs, sizes, images, device):
    """A row for each size, and one for a job of as many streams as the most of them."""
    steps = {}
    for count, streams in sizes:
        (steps[count, streams],) = card.run_step(levels, count, streams, device)
        size = {"R": count, "streams": streams}
        yield size | {"us_per_run_step": 1e6 * steps[count, streams]}
    count, streams = max(sizes, key=lambda size: size[1])
    step = steps[count, streams]
    job = card.job(levels, epochs, images, count, streams, step, device)
    yield {"R": count, "streams": streams, "images": images, "epochs": epochs} | job


if __name__ == "__main__":
    if torch.cuda.is_available():
        main()
    else:
        print(json.dumps({"card": None, "why": "PyTorch sees no GPU on this machine"}))
