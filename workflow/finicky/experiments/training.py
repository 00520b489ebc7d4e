"""Trainings of an experiment's own, by the engine: fused, on the device of the settings.

A `Training` is a run and what is special about it: a schedule, a start, an update rule of its own,
its choice of images. `train` trains any number of them and scores what comes out. An experiment
that looks inside builds a `Batch` and trains it by `to_the_end`, which calls it after each epoch,
or by `each_step`, which stops after each update.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch

from finicky import machine
from finicky import runs as planning
from finicky.data import chance
from finicky.engine import train as engine
from finicky.engine.network import Buffers, Network, cross_entropy
from finicky.runs import FAILED, OUTCOMES, Run

DEFAULTS = {
    "dataset": "mnist",
    "epochs": 1,
    "depth": 2,
    "block": "plain",
    "activation": "relu",
    "init": "he",
    "optimizer": "adam",
    "learning_rate": 0.001,
    "batch_size": 64,
    "width": 128,
}


def prepared(name: str, settings: dict, images: int) -> engine.Dataset:
    """A data set for trainings on its first `images` images, on the device of the settings; sets
    the process up for training."""
    engine.prepare()
    return engine.Dataset(name, settings["data"], images, settings["device"])


def first(split: engine.Split, count: int) -> engine.Split:
    """The first images of a split."""
    return engine.Split(split.images[:count], split.labels[:count])


def one_batch(network: Network, x: torch.Tensor) -> Buffers:
    """Buffers in which all networks of a stack get the same images, x [B, inputs], as a batch."""
    runs = len(network.parameters.flat)
    buffers = Buffers(network.architecture, [0] * runs, len(x), x.dtype, x.device)
    buffers.x[0] = x
    return buffers


@torch.no_grad()
def gradients(network: Network, x: torch.Tensor, labels: torch.Tensor) -> None:
    """Fill the networks' gradients with those of the mean loss of images x [B, inputs], labels
    int64 [B], in training mode."""
    buffers = one_batch(network, x)
    network.forward(buffers)
    cross_entropy(buffers, labels.expand(len(network.parameters.flat), 1, -1))
    network.backward(buffers)


def run(settings: dict, images: int, seed: int, **levels) -> Run:
    """A run with DEFAULTS but for `levels`, on the device of the settings."""
    return Run(**DEFAULTS | levels, images=images, seed=seed, device=settings["device"])


@dataclass(frozen=True)
class Training:
    """A run, and what the grid has no level for.

    schedule(step, steps): the learning rate at a step (from 0) of so many, over the run's own.
    start: its first parameters, flat [P]. rule(parameters, gradient, state, learning_rate, step):
    an update rule instead of the optimizer's, with the optimizer's state. Which images it trains
    on: `block`, the number of a block of run.images images of the data set, or `subset`, indices
    int64 [run.images]; with neither, all training images of the data set. Both, or either of them
    with label noise: ValueError.
    """

    run: Run
    schedule: Callable | None = None
    start: torch.Tensor | None = None
    rule: Callable | None = None
    block: int | None = None
    subset: torch.Tensor | None = None

    def __post_init__(self):
        if self.block is not None and self.subset is not None:
            raise ValueError("a block and a subset of the images")
        if self.chooses and self.run.label_noise:
            raise ValueError("label noise of images of its own")

    @property
    def chooses(self) -> bool:
        """Whether it has images of its own."""
        return self.block is not None or self.subset is not None

    @property
    def choice(self) -> tuple:
        """Equal for trainings on the same images; a subset is equal to itself only."""
        return self.block, id(self.subset)

    def images(self) -> torch.Tensor:
        """Which images of the data set it trains on, int64 [run.images]; only if it `chooses`."""
        if self.subset is not None:
            return self.subset
        return torch.arange(self.run.images) + self.block * self.run.images


class Batch(engine.FusedBatch):
    """Trainings side by side. They share what a fused batch's runs share; either all of them or
    none choose their images, and those of one seed the same ones; of plain SGD, which does without
    a gradient, either all or none have a rule (ValueError)."""

    def __init__(self, trainings: list[Training], dataset: engine.Dataset):
        runs = [training.run for training in trainings]
        choices = {(training.run.seed, training.choice) for training in trainings}
        if len({training.chooses for training in trainings}) > 1:
            raise ValueError("some trainings choose their images and others do not")
        if len(choices) > len({run.seed for run in runs}):
            raise ValueError("two runs of one seed cannot have images of their own")
        self.trainings = trainings
        super().__init__(runs, dataset, runs[0].device)
        if any(training.rule for training in trainings) and self.optimizer.descends:
            if not all(training.rule for training in trainings):
                raise ValueError("some runs of plain SGD have a rule and others do not")
            self.optimizer = replace(self.optimizer, descends=False)  # a rule wants the gradient
        if trainings[0].chooses:
            self.images = runs[0].images
            self._make_buffers()
        for row, training in zip(self.network.parameters.flat, trainings, strict=True):
            if training.start is not None:
                row.copy_(training.start)

    def keep(self, rows):
        self.trainings = [self.trainings[row] for row in rows]
        super().keep(rows)

    def batches(self, epoch):
        if not self.trainings[0].chooses:
            return super().batches(epoch)
        of_seed = {training.run.seed: training for training in self.trainings}
        chosen = torch.stack([of_seed[seed].images() for seed in self.seeds]).to(self.device)
        indices = [chosen.gather(1, index) for index, _ in super().batches(epoch)]
        labels = self.dataset.train.labels
        return [(index, labels[index][self.group].unsqueeze(1)) for index in indices]

    def backward_and_update(self, buffers):
        if any(training.schedule for training in self.trainings):
            self.rates = [self._rate(training) for training in self.trainings]
        super().backward_and_update(buffers)

    def _rate(self, training):
        factor = training.schedule or (lambda step, steps: 1.0)
        return training.run.learning_rate * float(factor(self.steps, training.run.steps))

    def scores(self, split: str) -> list[tuple[float, float]]:
        """(loss, accuracy in %) of each network on a split: of the training images, on those that
        it chose."""
        whole = self.train if split == "train" else getattr(self.dataset, split)
        if split != "train" or not self.trainings[0].chooses:
            return engine.evaluate(self.network, self.dataset, whole)
        found = []
        for row, training in enumerate(self.trainings):
            chosen = training.images().to(self.device)
            own = engine.Split(whole.images[chosen], whole.labels[chosen])
            found += engine.evaluate(self.network.keep([row]), self.dataset, own)
        return found

    def update(self, run):
        rule = self.trainings[run].rule or self.optimizer.update
        rule(*self.slices[run], self.rates[run], self.step_count)


@torch.no_grad()
def to_the_end(
    batch: engine.FusedBatch, after_epoch: Callable = lambda epoch, going: False
) -> tuple[list[engine.History], list[engine.History]]:
    """Train a fused batch for its epochs, or until all its runs have ended.

    `after_epoch(epoch, going)` is called with the histories of the runs that go on, in the batch's
    order; if it returns True the training stops. Returns the histories of all runs, and of those
    that have not ended.
    """
    every = going = [engine.History(math.ceil(batch.images / batch.size)) for _ in batch.runs]
    for epoch in range(1, batch.runs[0].epochs + 1):
        going = engine.train_epoch(batch, going, epoch)
        if not going or after_epoch(epoch, going):
            break
    return every, going


def each_step(batch: engine.FusedBatch, steps: int) -> Iterator[int]:
    """Train a fused batch for so many steps, epoch after epoch, whatever its runs' own epochs are;
    yields the number of steps done, after each one.

    Before the next step the caller may look at the batch, or go on with some of its runs only
    (`batch.keep`). Nobody takes note of losses: runs that became NaN stay in it.
    """
    for epoch in itertools.count(1):
        runs, batches = batch.runs, batch.batches(epoch)
        for place in range(len(batches)):
            if batch.steps >= steps:
                return
            with torch.no_grad():
                batch.step(*batches[place])
            batch.unread.clear()
            yield batch.steps
            if batch.runs is not runs:
                runs, batches = batch.runs, batch.batches(epoch)


def buffer_bytes(batch: engine.FusedBatch) -> int:
    """Bytes that a fused batch without batch norm needs for the images of one step, beyond its
    networks and their optimizers' state: pixels, activations, and the gradients by these."""
    b = batch.buffers[batch.size]
    tensors = [batch.pixels, b.x, *b.z, b.logits, b.delta, *b.deltas]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@torch.no_grad()
def train(
    trainings: list[Training | Run],
    dataset: engine.Dataset,
    splits: tuple[str, ...] = ("validation", "test"),
    parameters: bool = False,
) -> list[dict]:
    """Train any number of trainings on one data set; returns one row per training, in their order.

    A row has the run's levels, `start_loss` (of the first step), `running_loss` (mean of the batch
    losses of the last epoch; NaN where one became infinite or NaN), <split>_loss and
    <split>_accuracy (%) at the end for each of `splits` ("train": the images that it chose, if it
    did; "validation", "test"; NaN and chance for a run whose loss became infinite or NaN),
    `outcome`, a number into OUTCOMES, and with `parameters` its last ones, flat [P], or None for a
    run that became NaN or has infinite weights.
    Raises ValueError for a split that the data set does not have.
    """
    missing = [name for name in splits if getattr(dataset, name) is None]
    if missing:
        raise ValueError(f"the data set has no {missing[0]} images")
    wrapped = [t if isinstance(t, Training) else Training(t) for t in trainings]
    rows = {}
    for places in _fused(wrapped):
        batch = Batch([wrapped[place] for place in places], dataset)
        every, going = to_the_end(batch, partial(_end_epoch, batch, splits))
        flat = {id(h): row for h, row in zip(going, batch.network.parameters.flat, strict=False)}
        for place, history in zip(places, every, strict=True):
            rows[place] = _row(wrapped[place].run, history, splits)
            if parameters:
                last = flat.get(id(history))
                lost = last is None or history.ended or not last.isfinite().all()
                rows[place]["parameters"] = None if lost else last.clone()
    return [rows[place] for place in range(len(wrapped))]


def _end_epoch(batch, splits, epoch, going):
    """Close an epoch; after the last one, with the networks' scores."""
    scores = {}
    if epoch == batch.runs[0].epochs:
        scores = {name: batch.scores(name) for name in splits}
    for row, history in enumerate(going):
        history.end_epoch(epoch, batch.images, {name: of[row] for name, of in scores.items()})


def _fused(trainings):
    """Places of trainings, split into fused batches: same architecture, length and optimizer, what
    a Batch asks for, and as many as the level-2 cache allows; runs of one seed, which share their
    images, together."""
    groups, choices = defaultdict(list), defaultdict(list)
    for place, training in enumerate(trainings):
        run, of_seed = training.run, choices[training.run.seed]
        if training.choice not in of_seed:
            of_seed.append(training.choice)
        key = (*planning.architecture_key(run), *planning.fusion_key(run))
        key += (training.rule is None, training.chooses, of_seed.index(training.choice))
        groups[key].append(place)
    for group in groups.values():
        one = trainings[group[0]].run
        group.sort(key=lambda place: trainings[place].run.seed)
        size = planning.fused_size(planning.parameters_of(one), machine.l2_cache_bytes())
        count = math.ceil(len(group) / size)
        bounds = [round(i * len(group) / count) for i in range(count + 1)]
        yield from (group[start:end] for start, end in itertools.pairwise(bounds))


def _row(run, history, splits):
    row = run.row() | {"start_loss": history.start_loss, "running_loss": math.nan}
    row["outcome"] = OUTCOMES.index(history.outcome)
    failed = history.outcome in FAILED
    for name in splits:
        loss, accuracy = math.nan, chance(run.dataset)
        if not failed:
            loss, accuracy = (history.curves[-1][f"{name}_{what}"] for what in ("loss", "accuracy"))
        row |= {f"{name}_loss": loss, f"{name}_accuracy": accuracy}
    if not failed:
        row["running_loss"] = history.curves[-1]["running_loss"]
    return row
