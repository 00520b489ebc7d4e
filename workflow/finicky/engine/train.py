"""Training: a fused batch of runs from start to end."""

import math
import time
from dataclasses import dataclass

import torch

from finicky import data
from finicky.engine import streams
from finicky.engine.network import Architecture, Buffers, Network, cross_entropy, score
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

    def splits(self):
        """The splits that trained networks are evaluated on, by name."""
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in splits.items() if split is not None}

    def probe(self, count, dtype):
        """The first `count` training images, normalised [count, 784], and their labels."""
        pixels, labels = self.train.images[:count], self.train.labels[:count]
        return self.normalise(pixels, torch.empty_like(pixels, dtype=dtype)), labels

    def normalise(self, pixels, out):
        """(pixels/255 - mean)/deviation into `out` (floating, pixels' shape)."""
        out.copy_(pixels)
        return torch.add(self.shift.to(out.dtype), out, alpha=self.scale, out=out)


class History:
    """What one run has shown so far."""

    def __init__(self, batches):
        self.batches = batches  # in an epoch
        self.start_loss = None
        self.first = {"large": None, "inf": None, "nan": None}
        self.steps = 0
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
        if any(math.isnan(loss) for loss, _ in evaluations.values()):
            # The epoch's last update broke the network: the next loss would have been NaN.
            self.first["nan"] = self.steps + 1
            evaluations = {}
        for split in ("train", "validation", "test"):
            loss, accuracy = evaluations.get(split, (None, None))
            row |= {f"{split}_loss": finite(loss), f"{split}_accuracy": accuracy}
        self.curves.append(row)
        self._new_epoch()

    def fill(self, epochs, images):
        """Add rows without numbers for the epochs that the run did not live to see."""
        for epoch in range(len(self.curves) + 1, epochs + 1):
            self.end_epoch(epoch, images, {})

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
        targets = split.labels[start : start + EVALUATION_BATCH].expand(runs, 1, -1)
        logits = network.predict(dataset.normalise(pixels, room[: len(pixels)]))
        picked = torch.log_softmax(logits, 1).gather(1, targets)
        loss -= picked.sum((1, 2), dtype=torch.float64)
        correct += (logits.max(1, keepdim=True).indices == targets).sum((1, 2))
    n = len(split.labels)
    return [
        (total / n, 100 * right / n)
        for total, right in zip(loss.tolist(), correct.tolist(), strict=True)
    ]


class FusedBatch:
    """Runs in training together: their networks, the optimizer's state, and room for a batch.

    The runs share everything but init, learning rate and seed; those of one seed see the same
    images in the same order, which are loaded once for all of them: S streams for R runs.
    """

    def __init__(self, runs, dataset, device="cpu", dtype=torch.float32):
        one = runs[0]
        self.runs, self.dataset, self.device, self.dtype = runs, dataset, device, dtype
        self.images, self.size = len(dataset.train.labels), one.batch_size
        self.architecture = Architecture(one.depth, one.block, one.activation, one.width)
        starts = [(run.init, run.seed) for run in runs]
        self.network = Network.initial(self.architecture, starts, dtype, device)
        self.optimizer = OPTIMIZERS[one.optimizer]
        self.rates = [run.learning_rate for run in runs]
        self.steps = 0
        rows = self.network.parameters.flat
        self.states = [{n: torch.zeros_like(row) for n in self.optimizer.state} for row in rows]
        self._make_room()

    def _make_room(self):
        self.seeds = list(dict.fromkeys(run.seed for run in self.runs))
        self.stream = [self.seeds.index(run.seed) for run in self.runs]
        sizes = {self.size, self.images % self.size or self.size}
        shape = (self.architecture, self.stream)
        self.buffers = {size: Buffers(*shape, size, self.dtype, self.device) for size in sizes}
        room = (len(self.seeds) * self.size, self.architecture.inputs)
        self.pixels = torch.empty(room, dtype=torch.uint8, device=self.device)
        self.seen = []
        parameters, gradients = self.network.parameters.flat, self.network.gradients.flat
        self.rows = list(zip(parameters, gradients, self.states, self.rates, strict=True))

    def keep(self, rows):
        """Go on with some of the runs only, given by their places."""
        self.network = self.network.keep(rows)
        for name in ("runs", "rates", "states"):
            setattr(self, name, [getattr(self, name)[row] for row in rows])
        self._make_room()

    def batches(self, epoch):
        """The batches of an epoch: pairs (index int64 [S, B], targets int64 [R, 1, B]).

        An index says which training images each stream has next, its targets what each run is to
        answer.
        """
        orders = [streams.permutation(self.images, seed, "order", epoch) for seed in self.seeds]
        order = torch.stack(orders).to(self.device)
        targets = self.dataset.train.labels[order][self.stream].unsqueeze(1)
        return list(zip(order.split(self.size, 1), targets.split(self.size, 2), strict=True))

    def step(self, index, targets):
        """One optimizer step of every run on a batch of `batches`."""
        b = self.load(index)
        self.network.forward(b)
        self.look(b, targets)
        self.learn(b)

    def load(self, index):
        """Buffers with the images `index` [S, B] in them, normalised."""
        b = self.buffers[index.shape[1]]
        pixels = self.pixels[: index.numel()]
        # As bytes through the caches: a quarter of the memory traffic of gathered floats.
        torch.index_select(self.dataset.train.images, 0, index.reshape(-1), out=pixels)
        self.dataset.normalise(pixels.view(b.x.shape), b.x)
        return b

    def look(self, buffers, targets):
        """The loss' gradient by the logits; what was seen goes to `take_losses`."""
        self.seen.append((*cross_entropy(buffers, targets), targets))

    def learn(self, buffers):
        """Backward pass and update."""
        self.steps += 1
        if self.optimizer.descends:
            self.network.descend(buffers, self.rates)
        else:
            self.network.backward(buffers, self.update)

    def update(self, run):
        """The optimizer's step of one run, whose gradient is complete."""
        self.optimizer.update(*self.rows[run], self.steps)

    def take_losses(self):
        """Batch losses and counts of correct answers since the last call: two lists a run.

        Many steps at once, while the code for it is in the cache: within the steps, between matrix
        products, these small sums would take five times as long.
        """
        losses, correct = zip(*(score(*step) for step in self.seen), strict=True)
        self.seen.clear()
        columns = (torch.stack(rows, 1).tolist() for rows in (losses, correct))
        return list(zip(*columns, strict=True))


@torch.no_grad()
def train(runs, dataset, device="cpu", dtype=torch.float32):
    """Train runs that share everything but init, learning rate and seed.

    `runs` are finicky.runs.Run, `dataset` a Dataset of their images. Returns one record a run
    (History.record plus `seconds` and `fused`), the same bits however the runs are fused.
    """
    began = time.perf_counter()
    batch, epochs = FusedBatch(runs, dataset, device, dtype), runs[0].epochs
    every = [History(math.ceil(batch.images / batch.size)) for _ in runs]
    going = every

    def look_inside(epoch):
        internals = probe(batch.network, *dataset.probe(PROBE_IMAGES, dtype))
        for history, inside in zip(going, internals, strict=True):
            history.add_layers(epoch, inside)

    look_inside(0)
    for epoch in range(1, epochs + 1):
        going = train_epoch(batch, going, epoch)
        if not going:
            break
        evaluations = {n: evaluate(batch.network, dataset, s) for n, s in dataset.splits().items()}
        for row, history in enumerate(going):
            mine = {name: of[row] for name, of in evaluations.items()}
            history.end_epoch(epoch, batch.images, mine)
        if epoch in (1, epochs):
            look_inside(epoch)
    for history in every:
        history.fill(epochs, batch.images)
    seconds = (time.perf_counter() - began) / len(runs)
    return [{**history.record(), "seconds": seconds, "fused": len(runs)} for history in every]


def train_epoch(batch, histories, epoch):
    """One epoch of a fused batch; returns the histories of the runs that have not ended."""
    batches = batch.batches(epoch)
    for done in range(1, len(batches) + 1):
        batch.step(*batches[done - 1])
        if done % CHECK_EVERY == 0 or done == len(batches):
            for history, (losses, correct) in zip(histories, batch.take_losses(), strict=True):
                history.add_steps(losses, correct)
            alive = [row for row, history in enumerate(histories) if not history.ended]
            if len(alive) < len(histories):
                histories = [histories[row] for row in alive]
                if not histories:
                    break
                batch.keep(alive)
                batches = batch.batches(epoch)
    return histories
