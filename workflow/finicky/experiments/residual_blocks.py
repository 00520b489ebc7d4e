"""Residual blocks and their relatives out of the layers of `stacked`, R replicas at once.

Layers of one name have the same standard normals in every network, so that two forms of a block
start from the same weights where these have the same shape.
"""

from itertools import count

import torch
from torch import nn
from torch.nn import functional

from finicky.experiments import stacked
from finicky.experiments.stacked import Activation, Convolution, Dense, GlobalMean, Normalisation

CLASSES = 10
POOLED = 4  # pixels of a side that are averaged before a convolutional network
RESIDUAL, POST, PRE = "residual", "BN, post-activation", "BN, pre-activation"


class Blocks(nn.Module):
    """A stem, blocks one after the other, and a head, with all that goes into a block kept in
    `inputs` by each call."""

    def __init__(self, stem, blocks, head):
        super().__init__()
        self.stem, self.blocks, self.head = stem, nn.ModuleList(blocks), head

    def forward(self, x):
        """[B, R, 784] to logits [B, R, classes]."""
        self.inputs, h = [], self.stem(x)
        for block in self.blocks:
            self.inputs.append(h)
            h = block(h)
        return self.head(h)


# ---- Fully connected ----------------------------------------------------------------------------


def fully_connected(form: str, seeds: list[int], depth: int, width: int) -> Blocks:
    """A ReLU network of the engine's shape, depth = 2 + 2 × blocks, with blocks of one form:
    RESIDUAL, as the chapter draws it, POST, the same with batch norm, PRE (He et al. 2016)."""
    names = count()

    def dense(inside=width, outside=width):
        return Dense(seeds, inside, outside, name=next(names))

    def norm():
        return Normalisation("batch", len(seeds), width)

    def block():
        if form == RESIDUAL:
            return stacked.Residual(nn.Sequential(dense(), relu(), dense()), after=relu())
        if form == POST:
            body = nn.Sequential(dense(), norm(), relu(), dense(), norm())
            return stacked.Residual(body, after=relu())
        body = nn.Sequential(norm(), relu(), dense(), norm(), relu(), dense())
        return stacked.Residual(body)

    stem = [dense(stacked.SIDE**2, width)]
    stem += {RESIDUAL: [relu()], POST: [norm(), relu()], PRE: []}[form]
    blocks = [block() for _ in range(depth // 2 - 1)]
    head = [norm(), relu()] if form == PRE else []
    return Blocks(nn.Sequential(*stem), blocks, nn.Sequential(*head, dense(width, CLASSES)))


def relu():
    """A ReLU layer."""
    return Activation("relu")


# ---- Convolutional: two stages, the second with half the side ----------------------------------


class Pooled(nn.Module):
    """Pixels [B, R, 784] as images of averages, [B, R, 1, 7, 7]."""

    def forward(self, x):
        """See above."""
        images = x.flatten(0, 1).view(-1, 1, stacked.SIDE, stacked.SIDE)
        return functional.avg_pool2d(images, POOLED).unflatten(0, x.shape[:2])


class Padding(nn.Module):
    """The shortcut without parameters: every second place, and zeros for the channels that are new
    (option A of He et al. 2015)."""

    def __init__(self, new):
        super().__init__()
        self.new = new

    def forward(self, x):
        """[B, R, c, h, w] to [B, R, c + new, ⌈h/2⌉, ⌈w/2⌉]."""
        return functional.pad(x[..., ::2, ::2], (0, 0, 0, 0, 0, self.new))


class Dense2d(nn.Module):
    """One layer of a dense block: its own maps beside all that it reads (Huang et al. 2017)."""

    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, x):
        """[B, R, c, h, w] to [B, R, c + growth, h, w]."""
        return torch.cat([x, self.body(x)], 2)


class Halved(nn.Module):
    """The mean of each two by two places; an odd last one is left out."""

    def forward(self, x):
        """[B, R, c, h, w] to [B, R, c, ⌊h/2⌋, ⌊w/2⌋]."""
        return functional.avg_pool2d(x.flatten(1, 2), 2).unflatten(1, x.shape[1:3])


class Builder:
    """Makes the layers of a convolutional network, naming them in order."""

    def __init__(self, seeds):
        self.seeds, self.names = seeds, count()

    def conv(self, inside, outside, kernel=3, stride=1, name=None):
        """Without bias, as batch norm follows or precedes."""
        name = next(self.names) if name is None else name
        return Convolution(self.seeds, inside, outside, kernel, stride, name=name, bias=False)

    def norm(self, channels):
        return Normalisation("batch", len(self.seeds), channels)

    def stem(self, channels):
        return nn.Sequential(Pooled(), self.conv(1, channels), self.norm(channels), relu())

    def head(self, channels, before=()):
        return nn.Sequential(
            *before, GlobalMean(), Dense(self.seeds, channels, CLASSES, name="classes")
        )

    def pair(self, inside, outside, stride):
        """Two convolutions of a block, without what follows the addition."""
        return nn.Sequential(
            self.conv(inside, outside, stride=stride), self.norm(outside), relu(),
            self.conv(outside, outside), self.norm(outside),
        )  # fmt: skip

    def projection(self, inside, outside):
        """A 1×1 convolution of stride 2 (option B)."""
        convolution = self.conv(inside, outside, 1, 2, name="shortcut")
        return nn.Sequential(convolution, self.norm(outside))

    def residual(self, channels, blocks, shortcut):
        """Two stages of so many blocks, (first, second)."""
        for stage, block in ((s, b) for s in (1, 2) for b in range(blocks[s - 1])):
            outside = stage * channels
            grows = stage == 2 and block == 0
            body = self.pair(channels if grows else outside, outside, 2 if grows else 1)
            yield stacked.Residual(body, shortcut() if grows else None, relu())

    def dense(self, channels, layers, growth):
        """Two stages of so many layers, (first, second), with a transition of a 1×1 convolution
        between them."""
        for stage in (1, 2):
            for _ in range(layers[stage - 1]):
                yield Dense2d(
                    nn.Sequential(self.norm(channels), relu(), self.conv(channels, growth))
                )
                channels += growth
            if stage == 1:
                yield nn.Sequential(
                    self.norm(channels), relu(), self.conv(channels, channels, 1), Halved()
                )


def residual_network(seeds, channels, blocks, shortcut="projection") -> Blocks:
    """Two stages of so many residual blocks, (first, second), with `channels` and twice as many;
    shortcut: what it is where the number changes, "projection" or "padding"."""
    make = Builder(seeds)
    shortcuts = {
        "projection": lambda: make.projection(channels, 2 * channels),
        "padding": lambda: Padding(channels),
    }
    stem = make.stem(channels)
    blocks = list(make.residual(channels, blocks, shortcuts[shortcut]))
    return Blocks(stem, blocks, make.head(2 * channels))


def plain_network(seeds, channels, blocks) -> Blocks:
    """The same layers with no shortcut."""
    made = residual_network(seeds, channels, blocks, "padding")
    plain = [nn.Sequential(block.body, relu()) for block in made.blocks]
    return Blocks(made.stem, plain, made.head)


def dense_network(seeds, channels, layers, growth) -> Blocks:
    """Two stages of dense layers."""
    make = Builder(seeds)
    stem, blocks = make.stem(channels), list(make.dense(channels, layers, growth))
    last = channels + sum(layers) * growth
    return Blocks(stem, blocks, make.head(last, (make.norm(last), relu())))
