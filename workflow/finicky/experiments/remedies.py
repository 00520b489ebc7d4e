"""Trainings with remedies against overfitting: an L2 penalty, dropout, moved images, and the
parameters of the best epoch.

Fully connected networks side by side, each with its own remedies at its own strengths, evaluated
along the way.
"""

import math
from dataclasses import dataclass

import pandas as pd
import torch
from torch import nn
from torch.nn import functional

from finicky.data import CHANCE
from finicky.engine import streams
from finicky.experiments import stacked, training
from finicky.experiments.stacked import SIDE

BATCH = 50
POINTS = 20  # about so many epochs at which a training is evaluated

# ---- Remedies -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Replica:
    """One training: its seed and rate, and how strong the remedies are that it has."""

    seed: int
    rate: float
    penalty: float = 0.0
    dropout: float = 0.0
    shift: int = 0


def network_of(replicas, settings) -> nn.Sequential:
    """Two hidden layers of ReLU, each followed by the replicas' dropout."""
    seeds, width = [replica.seed for replica in replicas], settings["width"]
    share = torch.tensor([[float(replica.dropout)] for replica in replicas])
    share = share.to(settings["device"])
    layers, inside = [], SIDE * SIDE
    for number in (1, 2):
        layers += [stacked.Dense(seeds, inside, width, name=number), stacked.Activation("relu")]
        if share.any():
            layers.append(stacked.Dropout(seeds, share, number))
        inside = width
    return nn.Sequential(*layers, stacked.Dense(seeds, width, 10, name=0))


class Shifts:
    """Augmentation: each image [B, R, 784] moved by its own number of pixels, up to the replica's
    shift each way; what leaves is lost, what comes in is black."""

    def __init__(self, replicas, black):
        self.shifts = torch.tensor([int(replica.shift) for replica in replicas])
        self.most, self.black = int(self.shifts.max()), black
        self.streams = [streams.generator(replica.seed, "shift") for replica in replicas]

    def __call__(self, x, step):
        """The images of a step, moved anew."""
        if not self.most:
            return x
        draws = torch.stack([torch.rand(2, len(x), generator=s) for s in self.streams], -1)
        offset = (draws * (2 * self.shifts + 1)).floor().long() - self.shifts  # [2, B, R]
        wide = SIDE + 2 * self.most
        padded = functional.pad(
            x.unflatten(-1, (SIDE, SIDE)), (self.most,) * 4, value=self.black
        ).flatten(2)
        place = self.most - offset.to(x.device)
        row, column = (place[..., None] + torch.arange(SIDE, device=x.device)).unbind()
        index = row[..., :, None] * wide + column[..., None, :]
        return padded.gather(2, index.flatten(2))


def penalise(replicas):
    """What adds the gradient 2λθ of each replica's penalty λ Σθ² to that of the loss."""
    penalties = torch.tensor([float(replica.penalty) for replica in replicas])

    def on_gradients(parameters):
        for parameter in parameters if penalties.any() else ():
            each = penalties.to(parameter.device).view(-1, *[1] * (parameter.dim() - 1))
            parameter.grad.add_(2 * each * parameter.detach())

    return on_gradients


# ---- Training ---------------------------------------------------------------------


class Kept:
    """The parameters of each replica where a score was lowest so far."""

    def __init__(self, network):
        self.network = network
        self.parameters = [p.detach().clone() for p in network.parameters()]
        self.lowest = torch.full((len(self.parameters[0]),), math.inf)

    @torch.no_grad()
    def look(self, scores):
        """Keep the replicas whose score, [R], is lower than before."""
        scores = torch.tensor(scores)
        better = scores < self.lowest
        self.lowest = torch.where(better, scores, self.lowest)
        for kept, now in zip(self.parameters, self.network.parameters(), strict=True):
            kept[better] = now[better]

    @torch.no_grad()
    def exchange(self):
        """Exchange the network's parameters and these."""
        for kept, now in zip(self.parameters, self.network.parameters(), strict=True):
            before = now.clone()
            now.copy_(kept)
            kept.copy_(before)


def trained(replicas, dataset, settings, keep=()) -> pd.DataFrame:
    """One row per replica: `learning_rate`, `seed`, scores at the `end`, a dict of <split>_loss and
    <split>_accuracy, and its `curve`, a list of these by epoch.

    keep: of "loss" and "error", of which validation score the best epoch's scores are wanted too.
    """
    images, epochs = len(dataset.train.labels), settings["epochs"]
    network = network_of(replicas, settings)
    recipe = stacked.Recipe(
        [replica.seed for replica in replicas],
        [replica.rate for replica in replicas],
        images,
        epochs,
        batch_size=BATCH,
        augment=Shifts(replicas, float(dataset.shift)),
        on_gradients=penalise(replicas),
    )
    splits = {
        "train": dataset.train,
        "validation": training.first(dataset.validation, settings["held_out"]),
    }
    every, curves = max(1, epochs // POINTS), [[] for _ in replicas]
    kept = {metric: Kept(network) for metric in keep}
    for step in stacked.each_step(network, dataset, recipe):
        if not step.ends_epoch or (step.epoch % every and step.epoch < epochs):
            continue
        now = scores(network, dataset, splits)
        for curve, at in zip(curves, now, strict=True):
            curve.append(at | {"epoch": step.epoch})
        measures = {
            "loss": [at["validation_loss"] for at in now],
            "error": [-at["validation_accuracy"] for at in now],
        }
        for metric, of in kept.items():
            of.look(measures[metric])
    everything = splits | {"test": dataset.test}
    places = {"end": scores(network, dataset, everything)}
    for metric, of in kept.items():
        of.exchange()
        places[metric] = scores(network, dataset, everything)
        of.exchange()
    return pd.DataFrame(
        {
            "seed": [replica.seed for replica in replicas],
            "learning_rate": [replica.rate for replica in replicas],
            "optimizer": "adam",
            "curve": curves,
            **places,
        }
    )


def scores(network, dataset, splits) -> list[dict]:
    """Of each replica {<split>_loss, <split>_accuracy}; NaN and chance where the loss is none."""
    found = [{} for _ in range(len(next(network.parameters())))]
    for name, split in splits.items():
        of_split = stacked.scores(network, dataset, split)
        for at, (loss, accuracy) in zip(found, of_split, strict=True):
            good = math.isfinite(loss)
            at[f"{name}_loss"] = loss if good else math.nan
            at[f"{name}_accuracy"] = accuracy if good else CHANCE
    return found
