"""Trainings of an experiment's own, by the engine: fused, and scored when they end."""

import math
from collections.abc import Callable
from dataclasses import asdict
from functools import partial

import torch

from finicky.engine import train as engine
from finicky.experiments import arms

FUSE = 8  # trainings side by side


class Scheduled(engine.FusedBatch):
    """Runs in training together whose rates change from step to step.

    jobs: pairs (Run, factor); factor(step, steps) is the rate over the run's own, steps from 0.
    """

    def __init__(self, jobs: list[tuple], dataset: engine.Dataset):
        super().__init__([run for run, _ in jobs], dataset)
        self.factors = [factor for _, factor in jobs]

    def keep(self, rows):
        self.factors = [self.factors[row] for row in rows]
        super().keep(rows)

    def learn(self, buffers):
        self.rates = [
            run.learning_rate * float(factor(self.steps, run.steps))
            for run, factor in zip(self.runs, self.factors, strict=True)
        ]
        self.rows = [(*row[:3], rate) for row, rate in zip(self.rows, self.rates, strict=True)]
        super().learn(buffers)


class InBlocks(engine.FusedBatch):
    """Runs in training together, each on a block of its own of the data set's training images.

    The run at place p has the `images` images from p × images on. Runs of one seed would share
    their images: there must be one run a seed (ValueError).
    """

    def __init__(self, runs: list, dataset: engine.Dataset, images: int, places: list[int]):
        super().__init__(runs, dataset)
        if len(self.seeds) < len(runs):
            raise ValueError("two runs of one seed cannot have blocks of their own")
        self.images = images
        self.first = dict(zip(self.seeds, (images * place for place in places), strict=True))
        self._make_room()

    def batches(self, epoch):
        starts = torch.tensor([[self.first[seed]] for seed in self.seeds])
        moved = [index + starts for index, _ in super().batches(epoch)]
        return [(index, self.dataset.train.labels[index].unsqueeze(1)) for index in moved]


@torch.no_grad()
def to_the_end(
    batch: engine.FusedBatch, look: Callable = lambda epoch, going: False
) -> tuple[list[engine.History], list[engine.History]]:
    """Train a fused batch for its epochs, or until all its runs have ended.

    `look(epoch, going)` is called after each epoch with the histories of the runs that go on, in
    the batch's order; if it returns True the training stops. Returns the histories of all runs, and
    of those that have not ended.
    """
    every = going = [engine.History(math.ceil(batch.images / batch.size)) for _ in batch.runs]
    for epoch in range(1, batch.runs[0].epochs + 1):
        going = engine.train_epoch(batch, going, epoch)
        if not going or look(epoch, going):
            break
    return every, going


@torch.no_grad()
def trained(
    jobs: list, dataset: engine.Dataset, fused: Callable = engine.FusedBatch, fuse: int = FUSE
) -> list[dict]:
    """Train jobs that share everything but start, rate and seed; a row a job, in their order.

    `fused(jobs, dataset)` makes the batch that trains some of them. A row has the run's levels,
    `start_loss` (of the first step), `train_loss` (mean over the last epoch; NaN where it became
    infinite or NaN), validation_accuracy and test_accuracy at the end in % (chance for such a run),
    and `outcome`, a number into arms.OUTCOMES.
    """
    rows = []
    for start in range(0, len(jobs), fuse):
        batch = fused(jobs[start : start + fuse], dataset)
        runs = batch.runs
        every, _ = to_the_end(batch, partial(_score_the_last, batch))
        rows += [_row(run, history) for run, history in zip(runs, every, strict=True)]
    return rows


def _score_the_last(batch, epoch, going):
    """Close an epoch; after the last one, with the networks' scores."""
    scores, dataset = {}, batch.dataset
    if epoch == batch.runs[0].epochs:
        splits = {"validation": dataset.validation, "test": dataset.test}
        scores = {n: engine.evaluate(batch.network, dataset, s) for n, s in splits.items()}
    for row, history in enumerate(going):
        mine = {name: of[row] for name, of in scores.items()}
        history.end_epoch(epoch, batch.images, mine)


def _row(run, history):
    row = asdict(run) | {"start_loss": history.start_loss, "train_loss": math.nan}
    row |= {"validation_accuracy": arms.CHANCE, "test_accuracy": arms.CHANCE}
    if history.outcome not in ("inf", "nan"):
        end = history.curves[-1]
        row |= {name: end[name] for name in ("validation_accuracy", "test_accuracy")}
        row["train_loss"] = end["running_loss"]
    return row | {"outcome": arms.OUTCOMES.index(history.outcome)}
