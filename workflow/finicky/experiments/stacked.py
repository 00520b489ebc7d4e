"""Small networks of PyTorch layers side by side, for what the engine has no parts for.

The engine (`training`) trains fully connected networks of one family. What an experiment needs
beyond it (convolutions, dropout, other normalisations, blocks of another order) is put together
here out of layers that hold R networks at once, the replicas: every parameter is stacked [R, ...],
activations are [B, R, features] or [B, R, channels, height, width], and no replica influences
another. Derivatives are autograd's, update rules the engine's, and replicas may differ in seed,
initialiser and learning rate.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from finicky.engine import streams
from finicky.engine.activations import ACTIVATIONS
from finicky.engine.evaluation import scores as means
from finicky.engine.initializers import initial_weights
from finicky.engine.optimizers import OPTIMIZERS

SIDE = 28  # pixels of an image's side
EPS = 1e-5  # of every normalisation, as in PyTorch
EVALUATED = 500  # images at once

# ---- Layers -------------------------------------------------------------------------------------


def first_weights(init, seeds: list[int], name, fan_in: int, fan_out: int) -> torch.Tensor:
    """Weights [R, fan_in, fan_out] of one layer; `init` is one level for all replicas or a list of
    R, `name` what the layer is called in the random streams."""
    inits = [init] * len(seeds) if isinstance(init, str) else init
    pairs = zip(inits, seeds, strict=True)
    return torch.stack([initial_weights(i, seed, name, fan_in, fan_out) for i, seed in pairs])


class Dense(nn.Module):
    """x W + b for [B, R, inputs]; biases start at 0."""

    def __init__(self, seeds, inputs, outputs, init="he", name=0, bias=True):
        super().__init__()
        self.weight = nn.Parameter(first_weights(init, seeds, name, inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(len(seeds), 1, outputs)) if bias else None

    def forward(self, x):
        """[B, R, inputs] to [B, R, outputs]."""
        x = x.transpose(0, 1)
        if self.bias is None:
            return torch.bmm(x, self.weight).transpose(0, 1)
        return torch.baddbmm(self.bias, x, self.weight).transpose(0, 1)


class Convolution(nn.Module):
    """A convolution whose padding keeps the size at stride 1; biases start at 0.

    The initialiser's fan-in is inside · kernel², its fan-out the number of channels.
    """

    def __init__(
        self, seeds, inside, outside, kernel=3, stride=1, init="he", name=0, bias=True
    ):  # fmt: skip
        super().__init__()
        start = first_weights(init, seeds, name, inside * kernel**2, outside)
        shape = (len(seeds), outside, inside, kernel, kernel)
        self.weight = nn.Parameter(start.mT.reshape(shape).contiguous())
        self.bias = nn.Parameter(torch.zeros(len(seeds), outside)) if bias else None
        self.stride, self.padding = stride, kernel // 2

    def forward(self, x):
        """[B, R, inside, h, w] to [B, R, outside, h', w']."""
        replicas = x.shape[1]
        bias = None if self.bias is None else self.bias.flatten()
        y = functional.conv2d(
            x.flatten(1, 2), self.weight.flatten(0, 1), bias, self.stride, self.padding,
            groups=replicas,
        )  # fmt: skip
        return y.unflatten(1, (replicas, -1))


class Normalisation(nn.Module):
    """y = γ (x - mean)/√(variance + eps) + β, with γ, β [R, channels] that start at 1 and 0.

    kind: over what mean and variance are taken. "batch": of each channel over the batch and all
    places (Ioffe & Szegedy 2015), and with `ghost` over that many images at a time (Hoffer et al.
    2017); evaluation uses running averages, momentum 0.1. Of each image alone: "layer", over all
    channels and places (Ba et al. 2016), "instance", over the places of each channel (Ulyanov et
    al. 2016), "group", over the places of each of `groups` groups of channels (Wu & He 2018).
    """

    def __init__(self, kind, replicas, channels, groups=4, ghost=None):
        super().__init__()
        self.kind, self.ghost = kind, ghost
        per_replica = {"batch": None, "layer": 1, "instance": channels, "group": groups}[kind]
        self.groups = per_replica and per_replica * replicas
        self.gain = nn.Parameter(torch.ones(replicas, channels))
        self.offset = nn.Parameter(torch.zeros(replicas, channels))
        self.register_buffer("running_mean", torch.zeros(replicas * channels))
        self.register_buffer("running_var", torch.ones(replicas * channels))

    def forward(self, x):
        """[B, R, channels, ...] to the same shape; ValueError where a batch has a single value."""
        flat, gain, offset = x.flatten(1, 2), self.gain.flatten(), self.offset.flatten()
        if self.groups:
            y = functional.group_norm(flat, self.groups, gain, offset, EPS)
        else:
            parts = flat.split(self.ghost) if self.ghost and self.training else [flat]
            running = self.running_mean, self.running_var
            y = [
                functional.batch_norm(part, *running, gain, offset, self.training, 0.1, EPS)
                for part in parts
            ]
            y = y[0] if len(y) == 1 else torch.cat(y)
        return y.view(x.shape)


class Dropout(nn.Module):
    """Sets each feature to 0 with probability `share` while training and divides what is left by
    1 - share (Srivastava et al. 2014, in the inverted form)."""

    def __init__(self, seeds, share, name=0):
        super().__init__()
        self.share = share
        self.streams = [streams.generator(seed, "dropout", name) for seed in seeds]

    def forward(self, x):
        """[B, R, ...] to the same shape."""
        if not self.training:
            return x
        shape = (x.shape[0], *x.shape[2:])
        draws = [torch.rand(shape, generator=stream) for stream in self.streams]
        kept = torch.stack(draws, 1).to(x.device) >= self.share
        return x * kept / (1 - self.share)


class Activation(nn.Module):
    """One of the engine's activations, by name."""

    def __init__(self, name):
        super().__init__()
        self.function = ACTIVATIONS[name].forward

    def forward(self, x):
        """Any shape; the engine's functions may overwrite what they get, so they get a copy."""
        return self.function(x.clone())


class Images(nn.Module):
    """Pixels [B, R, side²] as images [B, R, 1, side, side]."""

    def __init__(self, side=SIDE):
        super().__init__()
        self.side = side

    def forward(self, x):
        """See above."""
        return x.unflatten(-1, (1, self.side, self.side))


class Flatten(nn.Module):
    """[B, R, channels, height, width] as [B, R, features]."""

    def forward(self, x):
        """See above."""
        return x.flatten(2)


class GlobalMean(nn.Module):
    """The mean of each channel over all places: [B, R, C, h, w] to [B, R, C]."""

    def forward(self, x):
        """See above."""
        return x.mean((-2, -1))


class Residual(nn.Module):
    """after(shortcut(x) + body(x)); without a shortcut it is x itself (He et al. 2016)."""

    def __init__(self, body, shortcut=None, after=None):
        super().__init__()
        self.body = body
        self.shortcut = shortcut or nn.Identity()
        self.after = after or nn.Identity()

    def forward(self, x):
        """[B, R, ...] to what body and shortcut agree on."""
        return self.after(self.shortcut(x) + self.body(x))


# ---- Training -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recipe:
    """How R replicas train; lists have one entry a replica.

    images: how many each epoch has: the data set's first, or those that `subsets` name, int64
    [R, images]. Every epoch has its own order, named by seed and epoch as in the engine; the last
    batch may be smaller. schedule(step, steps): the factor of the rates at a step, from 0.
    augment(x, step): what becomes of the pixels [B, R, 784]. on_gradients(parameters): called
    before each update, may change the parameters' `grad`.
    """

    seeds: list[int]
    rates: list[float]
    images: int
    epochs: int
    optimizer: str = "adam"
    batch_size: int = 64
    schedule: Callable = lambda step, steps: 1.0
    subsets: torch.Tensor | None = None
    augment: Callable = lambda x, step: x
    on_gradients: Callable = lambda parameters: None

    @property
    def steps_an_epoch(self) -> int:
        """Batches of an epoch."""
        return math.ceil(self.images / self.batch_size)

    @property
    def steps(self) -> int:
        """Updates of the whole training."""
        return self.epochs * self.steps_an_epoch

    def batches(self, epoch) -> Iterator[torch.Tensor]:
        """Which images each replica sees, step by step: int64 [R, B]; epochs count from 1."""
        orders = {
            seed: streams.permutation(self.images, seed, "order", epoch) for seed in set(self.seeds)
        }
        order = torch.stack([orders[seed] for seed in self.seeds])
        if self.subsets is not None:
            order = self.subsets.gather(1, order)
        yield from order.split(self.batch_size, 1)


@dataclass(frozen=True)
class Step:
    """An update that has been made: its number and its epoch, from 1, whether it was the epoch's
    last, and the losses of its batch before the update, [R]."""

    number: int
    epoch: int
    ends_epoch: bool
    losses: torch.Tensor


def each_step(network: nn.Module, dataset, recipe: Recipe) -> Iterator[Step]:
    """Train replicas with cross-entropy; yields after each update, when the caller may look at the
    network (and switch it to evaluation: each step begins in training mode).

    Replicas whose loss became NaN stay among the others, which they don't touch.
    """
    device = dataset.train.labels.device
    parameters = list(network.to(device).parameters())
    rule = OPTIMIZERS[recipe.optimizer]
    states = [{name: torch.zeros_like(p) for name in rule.state} for p in parameters]
    counter, number = torch.zeros((), device=device), 0
    for epoch in range(1, recipe.epochs + 1):
        for place, index in enumerate(recipe.batches(epoch), 1):
            network.train()
            index = index.to(device)
            x = dataset.normalise(dataset.train.images[index.T])
            losses = cross_entropy(
                network(recipe.augment(x, number)), dataset.train.labels[index.T]
            )
            network.zero_grad(set_to_none=True)
            losses.sum().backward()
            recipe.on_gradients(parameters)
            counter += 1
            factor = float(recipe.schedule(number, recipe.steps))
            for parameter, state in zip(parameters, states, strict=True):
                _update(rule, parameter, state, recipe.rates, factor, counter)
            number += 1
            yield Step(number, epoch, place == recipe.steps_an_epoch, losses.detach())


@torch.no_grad()
def _update(rule, parameter, state, rates, factor, counter):
    """One call of the rule for the replicas of a rate that lie side by side."""
    if parameter.grad is None:  # a layer that the network does not use
        return
    start = 0
    for rate, members in itertools.groupby(rates):
        part = slice(start, start + sum(1 for _ in members))
        start = part.stop
        rows = {name: tensor[part].flatten(1) for name, tensor in state.items()}
        gradient = parameter.grad[part].flatten(1)
        rule.update(parameter[part].flatten(1), gradient, rows, rate * factor, counter)


def train(network: nn.Module, dataset, recipe: Recipe) -> nn.Module:
    """Train to the end; returns the network."""
    for _ in each_step(network, dataset, recipe):
        pass
    return network


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean loss in nats of each replica, [R], for logits [B, R, classes] and labels [B, R]."""
    each = functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
    return each.view(labels.shape).mean(0)


@torch.no_grad()
def scores(network: nn.Module, dataset, split) -> list[tuple[float, float]]:
    """(loss in nats, accuracy in %) of each replica on a split, in evaluation mode: R pairs."""
    network.eval()
    total, right = 0.0, 0
    for pixels, labels in zip(
        split.images.split(EVALUATED), split.labels.split(EVALUATED), strict=True
    ):
        logits = predict(network, dataset.normalise(pixels))
        each = labels.unsqueeze(1).expand(logits.shape[:2])
        total = total + cross_entropy(logits, each).double() * len(labels)
        right = right + (logits.argmax(2) == each).sum(0)
    return means(total, right, len(split.labels))


def predict(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Logits [B, R, classes] of the same images [B, 784] for all replicas, in the present mode."""
    replicas = len(next(network.parameters()))
    return network(x.unsqueeze(1).expand(-1, replicas, -1))


def finite(network: nn.Module) -> torch.Tensor:
    """Whether all parameters of each replica are finite: bool [R]."""
    return torch.stack([p.detach().isfinite().flatten(1).all(1) for p in network.parameters()]).all(
        0
    )
