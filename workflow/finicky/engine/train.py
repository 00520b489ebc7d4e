"""Training: a fused batch of runs from start to end."""

import math
import time
from dataclasses import dataclass

import torch

from finicky import data
from finicky.engine import streams
from finicky.engine.network import Architecture, Buffers, Network, cross_entropy
from finicky.engine.optimizers import OPTIMIZERS
from finicky.engine.probes import PROBE_IMAGES, probe

VALIDATION_IMAGES = 5000
EVALUATION_BATCH = 500
CHECK_EVERY = 64  # steps between two looks at the losses
LARGE = 1000  # a loss this many times its start counts as large


@dataclass
class Split:
    """Images uint8 [N, 784] and labels int64 [N]."""

    images: torch.Tensor
    labels: torch.Tensor


class Dataset:
    """A data set as tensors, split for trainings on its first `images` permuted training images.

    One fixed permutation, the same for every seed, orders the training images: the first `images`
    are trained on, the last 5,000 are the validation set if they are not among them (else None).
    """

    def __init__(self, name, folder, images, device="cpu"):
        arrays = [torch.from_numpy(a) for a in data.load(name, folder)]
        train_images, train_labels, test_images, test_labels = arrays
        self.classes = data.DATASETS[name]["classes"]
        mean, deviation = data.DATASETS[name]["mean"], data.DATASETS[name]["std"]
        # (x/255 - mean)/deviation as one multiplication and one addition.
        self.scale = 1 / (255 * deviation)
        self.shift = torch.tensor(-mean / deviation, device=device)
        order = streams.permutation(len(train_labels), "subset")

        def split(rows):
            labels = train_labels[rows].long()
            return Split(train_images[rows].to(device), labels.to(device))

        self.train = split(order[:images])
        self.validation = None
        if images <= len(order) - VALIDATION_IMAGES:
            self.validation = split(order[-VALIDATION_IMAGES:])
        self.test = Split(test_images.to(device), test_labels.long().to(device))

    def normalise(self, pixels, out):
        """(pixels/255 - mean)/deviation into `out` (floating, pixels' shape)."""
        out.copy_(pixels)
        return torch.add(self.shift.to(out.dtype), out, alpha=self.scale, out=out)


class History:
    """What one run has shown so far."""

    def __init__(self, batches):
        self.start_loss = None
        self.first = {"large": None, "inf": None, "nan": None}
        self.steps = 0
        self.batches = batches
        self.curves = []
        self.layers = []
        self._new_epoch()

    def _new_epoch(self):
        self.loss_sum, self.correct = 0.0, 0

    @property
    def ended(self):
        """Whether the loss is NaN: nothing can bring the run back."""
        return self.first["nan"] is not None

    @property
    def outcome(self):
        """The worst that happened: nan, inf, large or finite."""
        return next((kind for kind in ("nan", "inf", "large") if self.first[kind]), "finite")

    def add_steps(self, losses, correct):
        """Take in the batch losses and counts of correct answers of the latest steps."""
        for loss in losses:
            self.steps += 1
            if self.start_loss is None:
                self.start_loss = loss
            self.loss_sum += loss
            if math.isnan(loss):
                kind = "nan"
            elif math.isinf(loss):
                kind = "inf"
            elif loss > LARGE * self.start_loss:
                kind = "large"
            else:
                continue
            if self.first[kind] is None:
                self.first[kind] = self.steps
        self.correct += sum(correct)

    def end_epoch(self, epoch, images, evaluations):
        """Close an epoch; `evaluations` maps a split to (loss, accuracy), empty after the end."""
        row = {"epoch": epoch, "running_loss": None, "running_accuracy": None}
        if not self.ended:
            row["running_loss"] = finite(self.loss_sum / self.batches)
            row["running_accuracy"] = 100 * self.correct / images
        for split in ("train", "validation", "test"):
            loss, accuracy = evaluations.get(split, (None, None))
            row |= {f"{split}_loss": finite(loss), f"{split}_accuracy": accuracy}
        self.curves.append(row)
        self._new_epoch()

    def add_layers(self, epoch, internals):
        """Take in what a probe saw (probes.probe) at the end of `epoch`, 0 for the start."""
        for layer, values in enumerate(zip(*internals.values(), strict=True), 1):
            named = dict(zip(internals, map(finite, values), strict=True))
            self.layers.append({"epoch": epoch, "layer": layer, **named})

    def record(self):
        """The run's result as plain Python; everything not finite is None."""
        return {
            "outcome": self.outcome,
            **{f"{kind}_step": step for kind, step in self.first.items()},
            "start_loss": finite(self.start_loss),
            "curves": self.curves,
            "layers": self.layers,
        }


def finite(value):
    """The value, or None where it is missing, infinite or NaN."""
    return value if value is not None and math.isfinite(value) else None


def prepare():
    """Set up a training process: one thread, and denormals flushed; returns the instruction set.

    Dying networks otherwise crawl through denormal arithmetic.
    """
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    return torch.backends.cpu.get_cpu_capability()


@torch.no_grad()
def evaluate(network, dataset, split):
    """(loss, accuracy in %) of each network on a split, in evaluation mode: a list of R pairs."""
    runs, dtype = len(network.parameters.flat), network.parameters.flat.dtype
    loss = torch.zeros(runs, dtype=torch.float64, device=split.labels.device)
    correct = torch.zeros(runs, dtype=torch.int64, device=split.labels.device)
    room = torch.empty(EVALUATION_BATCH, split.images.shape[1], dtype=dtype, device=loss.device)
    for start in range(0, len(split.labels), EVALUATION_BATCH):
        pixels = split.images[start : start + EVALUATION_BATCH]
        labels = split.labels[start : start + EVALUATION_BATCH]
        logits = network.predict(dataset.normalise(pixels, room[: len(pixels)]))
        picked = torch.log_softmax(logits, 2).gather(2, labels.expand(runs, -1).unsqueeze(2))
        loss -= picked.sum((1, 2), dtype=torch.float64)
        correct += (logits.argmax(2) == labels).sum(1)
    n = len(split.labels)
    return [
        (total / n, 100 * right / n)
        for total, right in zip(loss.tolist(), correct.tolist(), strict=True)
    ]


@torch.no_grad()
def train(runs, dataset, device="cpu", dtype=torch.float32):
    """Train runs that share everything but init, optimizer, learning rate and seed.

    `runs` are finicky.runs.Run, `dataset` a Dataset of their images. Returns one record a run
    (History.record plus `seconds` and `fused`), the same bits however the runs are fused.
    """
    began = time.perf_counter()
    one = runs[0]
    images, batch = len(dataset.train.labels), one.batch_size
    steps = math.ceil(images / batch)
    architecture = Architecture(one.depth, one.block, one.activation, one.width)
    network = Network.initial(architecture, [(r.init, r.seed) for r in runs], dtype, device)
    histories = [History(steps) for _ in runs]
    states = [
        {
            name: torch.zeros_like(network.parameters.flat[0])
            for name in OPTIMIZERS[r.optimizer].state
        }
        for r in runs
    ]
    active = list(range(len(runs)))

    probe_room = torch.empty(
        min(PROBE_IMAGES, images), architecture.inputs, dtype=dtype, device=device
    )
    probe_images = dataset.normalise(dataset.train.images[: len(probe_room)], probe_room)

    def look_inside(epoch):
        internals = probe(network, probe_images, dataset.train.labels[: len(probe_room)])
        for run, inside in zip(active, internals, strict=True):
            histories[run].add_layers(epoch, inside)

    def rooms():
        """Buffers for a full and for the last, smaller batch; a batch's bytes; losses, counts."""
        sizes = {batch, images - (steps - 1) * batch}
        buffers = {size: Buffers(architecture, len(active), size, dtype, device) for size in sizes}
        pixels = torch.empty(
            len(active) * batch, architecture.inputs, dtype=torch.uint8, device=device
        )
        losses = torch.empty(CHECK_EVERY, len(active), dtype=dtype, device=device)
        correct = torch.empty(CHECK_EVERY, len(active), dtype=torch.int64, device=device)
        return buffers, pixels, losses, correct

    look_inside(0)
    buffers, pixels, losses, correct = rooms()
    step = 0
    for epoch in range(1, one.epochs + 1):
        if not active:
            break
        order = epoch_orders(runs, active, images, epoch).to(device)
        labels = dataset.train.labels[order].unsqueeze(2)
        checked = step
        for start in range(0, images, batch):
            index = order[:, start : start + batch]
            b = buffers[index.shape[1]]
            rows = pixels[: index.numel()]
            torch.index_select(dataset.train.images, 0, index.reshape(-1), out=rows)
            dataset.normalise(rows.view(b.x.shape), b.x)
            network.forward(b)
            cross_entropy(
                b, labels[:, start : start + batch], losses[step - checked], correct[step - checked]
            )
            network.backward(b)
            step += 1
            for row, run in enumerate(active):
                OPTIMIZERS[runs[run].optimizer].update(
                    network.parameters.flat[row],
                    network.gradients.flat[row],
                    states[run],
                    runs[run].learning_rate,
                    step,
                )
            if step - checked == CHECK_EVERY or start + batch >= images:
                for run, loss, right in zip(
                    active,
                    losses[: step - checked].T.tolist(),
                    correct[: step - checked].T.tolist(),
                    strict=True,
                ):
                    histories[run].add_steps(loss, right)
                checked = step
                alive = [row for row, run in enumerate(active) if not histories[run].ended]
                if len(alive) < len(active):
                    network, order, labels = network.keep(alive), order[alive], labels[alive]
                    active = [active[row] for row in alive]
                    if not active:
                        break
                    buffers, pixels, losses, correct = rooms()
        evaluations = {
            name: evaluate(network, dataset, split)
            for name in ("train", "validation", "test")
            if active and (split := getattr(dataset, name)) is not None
        }
        for row, run in enumerate(active):
            mine = {name: values[row] for name, values in evaluations.items()}
            histories[run].end_epoch(epoch, images, mine)
        if active and epoch in (1, one.epochs):
            look_inside(epoch)
    for history in histories:
        for epoch in range(len(history.curves) + 1, one.epochs + 1):
            history.end_epoch(epoch, images, {})
    seconds = (time.perf_counter() - began) / len(runs)
    return [{**h.record(), "seconds": seconds, "fused": len(runs)} for h in histories]


def epoch_orders(runs, active, images, epoch):
    """The order of the training images in an epoch, int64 [active runs, images]."""
    seeds = {runs[run].seed for run in active}
    orders = {seed: streams.permutation(images, seed, "order", epoch) for seed in seeds}
    return torch.stack([orders[runs[run].seed] for run in active])
