"""Ways to a loss that is NaN, and what training does after it.

A small network of two layers learns to tell two clusters of points apart, until something makes one
batch's loss NaN; then it goes on with clean batches, at a good rate.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from finicky.engine.optimizers import OPTIMIZERS

POINTS, INPUTS, UNITS, BATCH = 256, 20, 16, 32
BEFORE = 60  # steps before
APART = 0.7  # of each cluster from 0, in every input
RATES = {"sgd": 0.1, "adam": 0.003}
TOO_HIGH = 1e30
SURE = 1e4


# ---- Losses: from logits z and labels y (0 or 1) to the loss, and what autograd goes back from ---


def from_logits(z, y):
    """max(z, 0) − zy + log(1 + e^−|z|), which is finite for every finite z."""
    return functional.binary_cross_entropy_with_logits(z, y)


def from_probabilities(z, y):
    """−y log p − (1 − y) log(1 − p), as textbooks print it: 0 · log 0 for a sure, right answer."""
    p = torch.sigmoid(z)
    return -(y * torch.log(p) + (1 - y) * torch.log(1 - p)).mean()


def backward_by_hand(z, y):
    """Backward pass from the gradient by the logits, p − y, worked out on paper: the loss itself is
    not differentiated."""
    z.backward((torch.sigmoid(z) - y).detach() / len(z))


@dataclass(frozen=True)
class Cause:
    """A way to a NaN: how the loss is computed, how it is differentiated, what the batch that
    breaks it is made of, and at which rate it is trained on."""

    loss: Callable = from_logits
    by_hand: bool = False
    spoil: Callable = lambda x, y: x
    rate: float | None = None


def nan_in_one(x, y):
    """One input of the first point is NaN."""
    x = x.clone()
    x[0, 0] = torch.nan
    return x


def sure(x, y):
    """The first point lies where its cluster's centre is, but that many times as far out."""
    x = x.clone()
    x[0] = SURE * APART * (2 * y[0] - 1)
    return x


CAUSES = {
    "rate too high": Cause(rate=TOO_HIGH),
    "NaN in an image": Cause(spoil=nan_in_one),
    "log 0, automatic gradient": Cause(loss=from_probabilities, spoil=sure),
    "log 0, gradient p − y": Cause(loss=from_probabilities, by_hand=True, spoil=sure),
}


# ---- Training -----------------------------------------------------------------------------------


def clusters(seed):
    """Points [POINTS, INPUTS] of two clusters, and their labels [POINTS, 1]."""
    random = torch.Generator().manual_seed(seed)
    y = (torch.arange(POINTS) % 2).float()[:, None]
    x = torch.randn(POINTS, INPUTS, generator=random) + APART * (2 * y - 1)
    return x, y


def network(seed):
    """Two layers, He."""
    random = torch.Generator().manual_seed(seed + 1)
    layers = [nn.Linear(INPUTS, UNITS), nn.ReLU(), nn.Linear(UNITS, 1)]
    with torch.no_grad():
        for layer in layers[::2]:
            deviation = (2 / layer.in_features) ** 0.5
            layer.weight.copy_(deviation * torch.randn(layer.weight.shape, generator=random))
            layer.bias.zero_()
    return nn.Sequential(*layers)


def losses_after(cause: Cause, optimizer: str, seed: int, steps: int, skips: bool = False):
    """(whether the loss became NaN, the losses of so many steps afterwards).

    skips: leave out updates whose gradient is not finite. The rate that is too high is used until
    the loss is NaN; the spoilt batch comes once.
    """
    (x, y), made, rule = clusters(seed), network(seed), OPTIMIZERS[optimizer]
    states = [{name: torch.zeros(1, p.numel()) for name in rule.state} for p in made.parameters()]
    batches = itertools.cycle(torch.arange(POINTS).split(BATCH))
    count = torch.zeros(())

    def step(rate=RATES[optimizer], spoil=lambda x, y: x):
        index = next(batches)
        z, target = made(spoil(x[index], y[index])), y[index]
        loss = cause.loss(z, target)
        made.zero_grad()
        if cause.by_hand:
            backward_by_hand(z, target)
        else:
            loss.backward()
        if not skips or all(p.grad.isfinite().all() for p in made.parameters()):
            count.add_(1)
            with torch.no_grad():
                for p, state in zip(made.parameters(), states, strict=True):
                    rule.update(p.view(1, -1), p.grad.view(1, -1), state, rate, count)
        return loss.item()

    for _ in range(BEFORE):
        step()
    for _ in range(1 if cause.rate is None else steps):
        loss = step(cause.rate or RATES[optimizer], cause.spoil)
        if math.isnan(loss):
            break
    return math.isnan(loss), [step() for _ in range(steps)]


def measured(seeds: list[int], steps: int) -> list[dict]:
    """Rows of never_recovers and recovers_if_skipped for every cause, optimizer and seed. Where the
    loss was not NaN there is nothing to recover from, hence no row."""
    rows = []
    for (name, cause), optimizer, seed in itertools.product(CAUSES.items(), RATES, seeds):
        for skips, quantity in ((False, "never_recovers"), (True, "recovers_if_skipped")):
            broke, losses = losses_after(cause, optimizer, seed, steps, skips)
            recovered = any(map(math.isfinite, losses))
            row = {"cause": name, "optimizer": optimizer, "seed": seed, "quantity": quantity}
            if broke:
                rows.append(row | {"value": float(recovered == skips)})
    return rows
