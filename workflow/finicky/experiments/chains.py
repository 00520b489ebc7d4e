"""The engine's networks taken apart: chains of blocks that can be left out and differentiated.

A chain holds R trained or fresh networks of one kind side by side. Batch norm's statistics are
taken once from given images and then held fixed, so that it is a part of the weights (`folded`) and
each image has a gradient of its own. A kind of network has the engine's blocks, or, `clean`,
residual blocks without the ReLU after the sum, which the engine does not have.
"""

import itertools
import math
from dataclasses import dataclass

import pandas as pd
import torch
from torch.nn import functional

from finicky import machine
from finicky import runs as planning
from finicky.data import CHANCE
from finicky.engine.activations import Activation
from finicky.engine.network import BN_EPS, Architecture, Network, Stacked
from finicky.experiments import training, tuning
from finicky.experiments.best_rates import CHAPTER, OWN

CHAPTERS_RATE = tuning.RECOMMENDED_RATES["adam"]
RELU, NOTHING = "ReLU after the sum", "nothing after the sum"
BATCH_NORM = ("batch_norm", "batch_norm_residual")
RESIDUAL = ("residual", "batch_norm_residual")
SCORED = 1000  # images


@dataclass(frozen=True)
class Kind:
    """Networks of one kind: layers, block, units, and whether nothing follows a residual sum."""

    depth: int
    block: str
    width: int
    clean: bool = False

    @property
    def architecture(self) -> Architecture:
        """The engine's."""
        return Architecture(self.depth, self.block, "relu", self.width)

    @property
    def blocks(self) -> int:
        """Residual blocks, or pairs of plain layers."""
        return self.depth // 2 - 1

    @property
    def levels(self) -> dict:
        """As columns of a table; plain networks have no sum."""
        levels = {"depth": self.depth, "block": self.block}
        if self.block in RESIDUAL:
            levels["after_the_sum"] = NOTHING if self.clean else RELU
        return levels


@dataclass(frozen=True)
class Chain:
    """R networks as layers: weights[l] [R, in, out], biases[l] [R, 1, out], of depth many layers.

    Layer 0 and a ReLU make the first hidden values, layers 2b + 1 and 2b + 2 are block b, the last
    layer makes the logits.
    """

    kind: Kind
    weights: list[torch.Tensor]
    biases: list[torch.Tensor]

    @property
    def residual(self) -> bool:
        """Whether its blocks add their input."""
        return self.kind.block in RESIDUAL

    def keep(self, rows: list[int]) -> "Chain":
        """Some of the networks only."""
        parts = ([part[rows] for part in parts] for parts in (self.weights, self.biases))
        return Chain(self.kind, *parts)

    def layer(self, number: int, h: torch.Tensor) -> torch.Tensor:
        """Sums [R, B, out] of a layer, from what is below it."""
        return torch.baddbmm(self.biases[number], h, self.weights[number])

    def first(self, x: torch.Tensor) -> torch.Tensor:
        """First hidden values [R, B, width] of images [B, 784], the same for all networks."""
        return self.layer(0, x.expand(len(self.weights[0]), *x.shape)).relu()

    def block(self, number: int, h: torch.Tensor) -> torch.Tensor:
        """Hidden values behind a block."""
        z = self.layer(2 * number + 2, self.layer(2 * number + 1, h).relu_())
        if self.residual:
            z = z + h
        return z if self.residual and self.kind.clean else z.relu_()

    def last(self, h: torch.Tensor) -> torch.Tensor:
        """Logits [R, B, classes]."""
        return self.layer(-1, h)

    def hidden(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Hidden values in front of each block, and behind the last: L + 1 of [R, B, width]."""
        values = [self.first(x)]
        for number in range(self.kind.blocks):
            values.append(self.block(number, values[-1]))
        return values

    def accuracy(self, h: torch.Tensor, labels: torch.Tensor) -> list[float]:
        """Right answers in % [R] for last hidden values [R, B, width]; chance for a network whose
        answers are not finite."""
        logits = self.last(h)
        right = 100 * (logits.argmax(2) == labels).double().mean(1)
        finite = logits.isfinite().all(2).all(1)
        return right.where(finite, torch.tensor(CHANCE, dtype=right.dtype)).tolist()


@dataclass(frozen=True)
class Slopes:
    """The derivative of a chain at the hidden values of B images, block by block.

    inner[b], outer[b] [R, B, width]: 1 where the ReLU inside block b, or after it, lets through.
    """

    chain: Chain
    inner: list[torch.Tensor]
    outer: list[torch.Tensor]

    @classmethod
    def at(cls, chain: Chain, hidden: list[torch.Tensor]) -> "Slopes":
        """At `chain.hidden(x)`."""
        inner, outer = [], []
        for number, h in enumerate(hidden[:-1]):
            inner.append((chain.layer(2 * number + 1, h) > 0).to(h.dtype))
            behind = hidden[number + 1]
            clean = chain.residual and chain.kind.clean
            outer.append(torch.ones_like(behind) if clean else (behind > 0).to(h.dtype))
        return cls(chain, inner, outer)

    def after(self, number: int, v: torch.Tensor) -> torch.Tensor:
        """A gradient behind a block, brought in front of the ReLU after it; [..., R, B, width]."""
        return v * self.outer[number]

    def body(self, number: int, v: torch.Tensor) -> torch.Tensor:
        """(∂F/∂x)ᵀ v for the block's two layers F, v brought in front of the last ReLU."""
        first, second = self.chain.weights[2 * number + 1 : 2 * number + 3]
        return ((v @ second.mT) * self.inner[number]) @ first.mT

    def back(self, number: int, v: torch.Tensor) -> torch.Tensor:
        """A gradient behind a block, brought to its front."""
        v = self.after(number, v)
        through = self.body(number, v)
        return v + through if self.chain.residual else through

    def derivatives(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Of a block's output and of its F by its input, for every image: two [R, B, out, in]; for
        plain layers, where there is no sum, F is the block itself."""
        runs, images, width = self.inner[number].shape
        basis = torch.eye(width, dtype=self.inner[number].dtype)
        basis = basis[:, None, None].expand(width, runs, images, width)
        whole = self.back(number, basis).permute(1, 2, 0, 3)
        own = self.body(number, basis).permute(1, 2, 0, 3) if self.chain.residual else whole
        return whole, own


def last_gradient(chain: Chain, h: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Direction of the gradient of each image's loss by the last hidden values h: [R, B, width].

    softmax - one-hot underflows where a network is sure of its answer. So each image's is divided
    by its largest probability of a wrong class, which drops out of all ratios along the chain.
    """
    logits = chain.last(h)
    own = functional.one_hot(labels, logits.shape[2]).bool().expand(logits.shape)
    wrong = logits.masked_fill(own, -math.inf)
    delta = (wrong - wrong.amax(2, keepdim=True)).exp()
    delta = torch.where(own, -delta.sum(2, keepdim=True), delta)
    return delta @ chain.weights[-1].mT


def folded(
    kind: Kind, flat: torch.Tensor, images: torch.Tensor | None = None, dtype=torch.float64
) -> Chain:
    """The chain of flat parameters [R, P]. With batch norm, γ (z − mean)/√(variance + eps) + β with
    mean and variance over `images` [B, 784] becomes a part of the layer in front of it."""
    parts = Stacked(kind.architecture, flat.detach().cpu().to(dtype))
    chain = Chain(kind, parts.weights, parts.biases)
    if kind.block not in BATCH_NORM:
        return chain
    chain = Chain(kind, list(parts.weights), list(parts.biases))
    images = images.to(dtype)

    def fold(number, h):
        z = chain.layer(number, h)
        scale = parts.gammas[number] * (z.var(1, False, keepdim=True) + BN_EPS).rsqrt()
        shift = parts.betas[number] - z.mean(1, keepdim=True) * scale
        chain.weights[number] = chain.weights[number] * scale
        chain.biases[number] = chain.biases[number] * scale + shift

    fold(0, images.expand(len(flat), *images.shape))
    h = chain.first(images)
    for number in range(kind.blocks):
        fold(2 * number + 1, h)
        fold(2 * number + 2, chain.layer(2 * number + 1, h).relu())
        h = chain.block(number, h)
    return chain


# ---- Training -----------------------------------------------------------------------------------


class CleanNetwork(Network):
    """The engine's residual networks, but without the ReLU after a sum.

    The engine asks its activation for one hidden layer after the other, upwards and then downwards;
    behind a sum, this one lets all through. So it serves whole passes, and no `probe`.
    """

    def __init__(self, architecture, *parts):
        super().__init__(architecture, *parts)
        relu, sums = self.activation, [*map(architecture.adds_input, range(architecture.hidden))]
        up, down = itertools.cycle(sums), itertools.cycle(reversed(sums))
        self.activation = Activation(
            lambda u: u if next(up) else relu.forward(u),
            lambda delta, y: delta if next(down) else relu.backward(delta, y),
        )


class CleanBatch(training.Batch):
    """Trainings of `CleanNetwork`s side by side."""

    def __init__(self, trainings, dataset):
        super().__init__(trainings, dataset)
        engine = self.network
        self.network = CleanNetwork(
            self.architecture, engine.parameters.flat, engine.running_mean, engine.running_var
        )
        self._make_buffers()


@dataclass(frozen=True)
class Trained:
    """Networks of one kind after training: a row of `flat` [R, P] for each seed and rate."""

    kind: Kind
    seeds: list[int]
    rates: list[float]
    flat: torch.Tensor

    def outcome(self, row: int) -> str:
        """Of one of them: "finite", or "nan" where a parameter is not."""
        return "finite" if self.flat[row].isfinite().all() else "nan"

    def arms(self, scores: list[float]) -> list[tuple[str, int, int]]:
        """(at which rate, seed, row) for the chapter's rate and for the rate that is best by the
        scores [R] of the other seeds; without the second where it is the first for every seed, as
        one training is not two."""
        pairs = list(zip(self.rates, self.seeds, strict=True))
        table = pd.Series(scores, index=pd.MultiIndex.from_tuples(pairs)).unstack()
        best = {seed: tuning.best_level(table, seed) for seed in table.columns}
        arms = [(CHAPTER, seed, pairs.index((CHAPTERS_RATE, seed))) for seed in best]
        if set(best.values()) != {CHAPTERS_RATE}:
            arms += [(OWN, seed, pairs.index((rate, seed))) for seed, rate in best.items()]
        return arms


def rates_of(settings: dict) -> list[float]:
    """The learning rates of the settings and the chapter's, ascending."""
    return sorted({*settings["rates"], CHAPTERS_RATE})


def budget(settings: dict) -> dict:
    """How long networks are trained, as columns of a table."""
    return {"images": settings["images"], "epochs": settings["epochs"]}


def starts(kind: Kind, seeds: list[int]) -> torch.Tensor:
    """First parameters [seeds, P], He's."""
    return Network.initial(kind.architecture, [("he", seed) for seed in seeds]).parameters.flat


def inputs(
    dataset, split: str, count: int = SCORED, dtype=torch.float64
) -> tuple[torch.Tensor, torch.Tensor]:
    """The first images of a split [B, 784] and their labels, on the CPU."""
    part = getattr(dataset, split)
    return dataset.normalise(part.images[:count], dtype=dtype).cpu(), part.labels[:count].cpu()


def accuracies(trained: Trained, dataset, split: str) -> list[float]:
    """Accuracy in % of each network on the first SCORED images of a split; batch norm's statistics
    are those of as many training images."""
    statistics, _ = inputs(dataset, "train")
    chain = folded(trained.kind, trained.flat, statistics, torch.float32)
    x, labels = inputs(dataset, split, dtype=torch.float32)
    h = chain.first(x)
    for number in range(trained.kind.blocks):
        h = chain.block(number, h)
    return chain.accuracy(h, labels)


def train(
    kind: Kind, dataset, name: str, settings: dict, rates: list[float], every_epoch: bool = False
) -> list[Trained]:
    """Train by Adam, every seed at every rate; at their start, after each of the settings' epochs
    if `every_epoch`, and at the end. name: of the data set."""
    levels = {"depth": kind.depth, "block": kind.block, "width": kind.width, "dataset": name}
    pairs = list(itertools.product(settings["seeds"], rates))
    size = planning.fused_size(
        planning.parameters(kind.depth, kind.width), machine.l2_cache_bytes()
    )
    epochs = range(settings["epochs"] + 1) if every_epoch else (0, settings["epochs"])
    length = Stacked.row_length(kind.architecture)
    kept = {epoch: torch.empty(len(pairs), length) for epoch in epochs}
    for first in range(0, len(pairs), size):
        rows = slice(first, first + size)
        trainings = [
            training.Training(
                training.run(settings, settings["images"], seed, learning_rate=rate, **levels)
            )
            for seed, rate in pairs[rows]
        ]
        batch = (CleanBatch if kind.clean else training.Batch)(trainings, dataset)
        flat = batch.network.parameters.flat
        kept[0][rows] = flat.cpu()
        an_epoch = math.ceil(batch.images / batch.size)
        for step in training.each_step(batch, settings["epochs"] * an_epoch):
            epoch, rest = divmod(step, an_epoch)
            if not rest and epoch in kept:
                kept[epoch][rows] = flat.cpu()
    seeds, at = (list(of) for of in zip(*pairs, strict=True))
    return [Trained(kind, seeds, at, of_epoch) for of_epoch in kept.values()]
