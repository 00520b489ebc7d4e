"""Training: fused batches of runs from start to end.

`train` and `train_each` are the entries for every device; FusedBatch is how a CPU trains.
"""

import math
import time
from dataclasses import dataclass

import torch

from finicky import data
from finicky.engine import streams
from finicky.engine.evaluation import evaluate
from finicky.engine.history import History
from finicky.engine.network import Architecture, Buffers, Network, cross_entropy, score
from finicky.engine.optimizers import OPTIMIZERS, check_in_place
from finicky.engine.probes import PROBE_IMAGES, probe
from finicky.engine.schedules import scheduled_rates

CHECK_EVERY = 64  # steps between two readings of the losses


@dataclass
class Split:
    """Images uint8 [N, pixels] and labels int64 [N], or [R, 1, N] where R runs have their own."""

    images: torch.Tensor
    labels: torch.Tensor


class Dataset:
    """A data set as tensors, split for trainings on its first `images` permuted training images.

    One fixed permutation, the same for every seed, orders the training images: the first `images`
    are trained on, the last ones, data.held_out, are the validation set if they are not among them
    (else None).
    """

    classes = 10  # if a subclass with images of its own does not say otherwise

    def __init__(self, name, folder, images, device="cpu"):
        arrays = data.load(name, folder)
        mean, deviation = data.normalisation(name, arrays[0])
        self.classes = data.described(name)["classes"]
        train_images, train_labels, test_images, test_labels = map(torch.from_numpy, arrays)
        # (x/255 - mean)/deviation as one multiplication and one addition.
        self.scale = 1 / (255 * deviation)
        self.shift = torch.tensor(-mean / deviation, device=device)
        order = streams.permutation(len(train_labels), "subset")

        def split(rows):
            labels = train_labels[rows].long()
            return Split(train_images[rows].to(device), labels.to(device))

        self.train = split(order[:images])
        self.validation = None
        held_out = data.held_out(len(order))
        if held_out and images <= len(order) - held_out:
            self.validation = split(order[-held_out:])
        self.test = Split(test_images.to(device), test_labels.long().to(device))

    @property
    def inputs(self):
        """How many numbers an image has."""
        return self.train.images.shape[1]

    def seen_by(self, runs):
        """The training images with the labels that these runs, all of one label noise, are given.

        Of the n labels of a seed, round(noise × n) are another class, each of the others as likely
        as any; less noise changes a part of what more of it changes. The other splits stay clean.
        """
        noise, clean = runs[0].label_noise, self.train.labels
        if not noise:
            return self.train
        of_seed = {}
        for seed in dict.fromkeys(run.seed for run in runs):
            replaced = streams.permutation(len(clean), seed, "label noise")
            replaced = replaced[: round(noise * len(clean))]
            by = streams.generator(seed, "noisy labels")
            labels = clean.cpu().clone()
            labels[replaced] += torch.randint(1, self.classes, clean.shape, generator=by)[replaced]
            of_seed[seed] = labels.remainder_(self.classes)
        labels = torch.stack([of_seed[run.seed] for run in runs]).unsqueeze(1)
        return Split(self.train.images, labels.to(clean.device))

    def splits(self, train=None):
        """The splits that trained networks are evaluated on, by name; `train`: as `seen_by`."""
        splits = {"train": train or self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in splits.items() if split is not None}

    def splits_after(self, epoch, epochs, train=None):
        """Those that are evaluated after an epoch of so many: before the last, the test images.

        Evaluating all of them every time would take more than a third of a short training.
        """
        return self.splits(train) if epoch == epochs else {"test": self.test}

    def first(self, count, dtype):
        """The first `count` training images, normalised [count, pixels], and their labels."""
        return self.normalise(self.train.images[:count], dtype=dtype), self.train.labels[:count]

    def normalise(self, pixels, out=None, dtype=torch.float32):
        """(pixels/255 - mean)/deviation, in pixels' shape.

        Into `out`, a floating tensor, or else into a new one of the type `dtype`.
        """
        if out is None:
            out = torch.empty_like(pixels, dtype=dtype)
        out.copy_(pixels)
        return torch.add(self.shift.to(out.dtype), out, alpha=self.scale, out=out)


def prepare():
    """Set up a training process: one thread, and denormals flushed; returns the instruction set.

    Dying networks otherwise crawl through denormal arithmetic.
    """
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    return torch.backends.cpu.get_cpu_capability()


class FusedBatch:
    """Runs in training together: their networks, the optimizer's state, and buffers for a batch.

    The runs share everything but init, learning rate and seed. Those of one seed are a group: they
    see the same images in the same order, which are loaded once for all of them. `rates` holds the
    learning rates, one float a run, and may be replaced before any step; a schedule replaces them
    before each. `train` are the training images with the runs' labels (Dataset.seen_by).
    """

    def __init__(self, runs, dataset, device="cpu", dtype=torch.float32):
        one = runs[0]
        self.runs, self.dataset, self.device, self.dtype = runs, dataset, device, dtype
        self.images, self.size = len(dataset.train.labels), one.batch_size
        self.architecture = Architecture.of(one, dataset)
        starts = [(run.init, run.seed) for run in runs]
        self.network = Network.initial(self.architecture, starts, dtype, device)
        self.optimizer = OPTIMIZERS[one.optimizer].with_decay(one.weight_decay)
        self.rates = [run.learning_rate for run in runs]
        self.steps = 0
        self.step_count = torch.zeros((), device=device)  # the same, for the optimizer
        flat = self.network.parameters.flat
        self.state = {name: torch.zeros_like(flat) for name in self.optimizer.state}
        self._make_buffers()

    def _make_buffers(self):
        self.seeds = list(dict.fromkeys(run.seed for run in self.runs))
        self.group = [self.seeds.index(run.seed) for run in self.runs]
        self.train = self.dataset.seen_by(self.runs)
        sizes = {self.size, self.images % self.size or self.size}
        shape = (self.architecture, self.group)
        self.buffers = {size: Buffers(*shape, size, self.dtype, self.device) for size in sizes}
        pixels = (len(self.seeds) * self.size, self.architecture.inputs)
        self.pixels = torch.empty(pixels, dtype=torch.uint8, device=self.device)
        self.unread = []
        # What the optimizer gets of each run: parameters, gradient and state, [1, P].
        tensors = (self.network.parameters.flat, self.network.gradients.flat, *self.state.values())
        self.slices = [
            (parameters, gradient, dict(zip(self.state, state, strict=True)))
            for parameters, gradient, *state in zip(*(t.split(1) for t in tensors), strict=True)
        ]

    def keep(self, rows):
        """Go on with some of the runs only, given by their places."""
        self.network = self.network.keep(rows)
        self.state = {name: tensor[rows] for name, tensor in self.state.items()}
        for name in ("runs", "rates"):
            setattr(self, name, [getattr(self, name)[row] for row in rows])
        self._make_buffers()

    def batches(self, epoch):
        """The batches of an epoch: pairs (index int64 [S, B], targets int64 [R, 1, B]).

        An index says which training images each of the S groups has next, its targets what each run
        is to answer.
        """
        orders = [streams.permutation(self.images, seed, "order", epoch) for seed in self.seeds]
        order = torch.stack(orders).to(self.device)
        labels = self.train.labels.expand(len(self.runs), 1, -1)
        targets = labels.gather(2, order[self.group].unsqueeze(1))
        return list(zip(order.split(self.size, 1), targets.split(self.size, 2), strict=True))

    def step(self, index, targets):
        """One optimizer step of every run on a batch of `batches`."""
        b = self.load(index)
        self.network.forward(b)
        self.compute_loss(b, targets)
        self.backward_and_update(b)

    def load(self, index):
        """Buffers with the images `index` [S, B] in them, normalised."""
        b = self.buffers[index.shape[1]]
        pixels = self.pixels[: index.numel()]
        # As bytes through the caches: a quarter of the memory traffic of gathered floats.
        torch.index_select(self.dataset.train.images, 0, index.reshape(-1), out=pixels)
        self.dataset.normalise(pixels.view(b.x.shape), b.x)
        return b

    def compute_loss(self, buffers, targets):
        """The loss' gradient by the logits; what `take_losses` makes the losses of is kept."""
        self.unread.append((*cross_entropy(buffers, targets), targets))

    def backward_and_update(self, buffers):
        """Backward pass and optimizer step: of each run as soon as its gradient is complete."""
        if self.runs[0].schedule != "constant":
            self.rates = scheduled_rates(self.runs, self.steps)
        self.steps += 1
        if self.optimizer.descends:
            column = self.network.rate_column(self.rates)
            return self.network.descend(buffers, self.rates, column)
        self.step_count.add_(1)
        before = self.network.parameters.flat.clone() if self.steps == 1 else None
        self.network.backward(buffers, self.update)
        if before is not None:
            after, gradient = self.network.parameters.flat, self.network.gradients.flat
            check_in_place(self.runs[0].optimizer, before, after, gradient, self.rates)

    def update(self, run):
        """The optimizer's step of one run, whose gradient is complete."""
        self.optimizer.update(*self.slices[run], self.rates[run], self.step_count)

    def take_losses(self):
        """Batch losses and counts of correct answers since the last call: two lists a run.

        Many steps at once, while the code for it is in the cache: within the steps, between matrix
        products, these small sums would take five times as long.
        """
        losses, correct = zip(*(score(*step) for step in self.unread), strict=True)
        self.unread.clear()
        columns = (torch.stack(of_steps, 1).tolist() for of_steps in (losses, correct))
        return list(zip(*columns, strict=True))


def train(runs, dataset, device="cpu", dtype=torch.float32):
    """Train runs that share everything but init, learning rate and seed.

    `runs` are finicky.runs.Run, `dataset` a Dataset of their images. Returns one record a run
    (History.record plus `seconds` and `fused`), the same bits however the runs are fused.
    """
    ((_, records),) = train_each([(runs, dataset)], device, dtype)
    return records


def train_each(jobs, device="cpu", dtype=torch.float32):
    """Train many fused batches; yields (runs, records as `train`'s) of each when it is finished.

    `jobs` yields pairs (runs, dataset). A CPU takes one after the other; a GPU many at once, so
    that they finish in another order, and those that do not fit into its memory in parts.
    """
    if torch.device(device).type == "cpu":
        for runs, dataset in jobs:
            yield runs, _train_fused(runs, dataset, dtype)
    else:
        from finicky.engine import cuda  # code that a CPU's runs do not depend on

        yield from cuda.train_each(jobs, device, dtype)


@torch.no_grad()
def _train_fused(runs, dataset, dtype):
    began = time.perf_counter()
    batch, epochs = FusedBatch(runs, dataset, dtype=dtype), runs[0].epochs
    histories = [History(math.ceil(batch.images / batch.size)) for _ in runs]
    alive = histories

    def probe_layers(epoch):
        images, _ = dataset.first(PROBE_IMAGES, dtype)
        internals = probe(batch.network, images, batch.train.labels[..., :PROBE_IMAGES])
        for history, of_run in zip(alive, internals, strict=True):
            history.add_layers(epoch, of_run)

    probe_layers(0)
    for epoch in range(1, epochs + 1):
        alive = train_epoch(batch, alive, epoch)
        if not alive:
            break
        splits = dataset.splits_after(epoch, epochs, batch.train)
        evaluations = {name: evaluate(batch.network, dataset, s) for name, s in splits.items()}
        for place, history in enumerate(alive):
            of_run = {name: of[place] for name, of in evaluations.items()}
            history.end_epoch(epoch, batch.images, of_run)
        if epoch in (1, epochs):
            probe_layers(epoch)
    for history in histories:
        history.fill(epochs, batch.images)
    seconds = (time.perf_counter() - began) / len(runs)
    return [{**h.record(), "seconds": seconds, "fused": len(runs)} for h in histories]


def train_epoch(batch, histories, epoch):
    """One epoch of a fused batch; returns the histories of the runs that have not ended."""
    batches = batch.batches(epoch)
    for done in range(1, len(batches) + 1):
        batch.step(*batches[done - 1])
        if done % CHECK_EVERY == 0 or done == len(batches):
            for history, (losses, correct) in zip(histories, batch.take_losses(), strict=True):
                history.add_steps(losses, correct)
            alive = [place for place, history in enumerate(histories) if not history.ended]
            if len(alive) < len(histories):
                histories = [histories[place] for place in alive]
                if not histories:
                    break
                batch.keep(alive)
                batches = batch.batches(epoch)
    return histories
