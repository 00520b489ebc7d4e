"""The small networks of the experiments on normalisation, on images halved to 14 × 14 pixels.

Both kinds leave room for layers before and after each activation, of which the experiments make
normalisations, dropout, or nothing.
"""

import copy
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from finicky.engine import train as engine
from finicky.experiments import stacked, training
from finicky.experiments.stacked import Activation, Convolution, Dense

SIDE, CLASSES = stacked.SIDE // 2, 10
CHANNELS = [8, 16]  # of the convolutional network's layers, 3 × 3 at stride 2
FULLY, CONVOLUTIONAL = "fully connected", "convolutional"
INITS = {"relu": "he", "tanh": "xavier", "sigmoid": "xavier"}

# ---- Images and networks ------------------------------------------------------------------------


def prepared(name: str, settings: dict, images: int) -> engine.Dataset:
    """`training.prepared` with every image `halved`."""
    dataset = copy.copy(training.prepared(name, settings, images))
    for split_name, split in dataset.splits().items():
        setattr(dataset, split_name, engine.Split(halved(split.images), split.labels))
    return dataset


def halved(images: torch.Tensor) -> torch.Tensor:
    """Images uint8 [N, 784] at half their size, [N, 196]: means of 2 × 2 pixels, rounded."""
    pixels = images.view(-1, 1, stacked.SIDE, stacked.SIDE).float()
    return functional.avg_pool2d(pixels, 2).round().to(torch.uint8).flatten(1)


def network(
    kind: str,
    seeds: list[int],
    before: Callable = lambda channels, layer: [],
    after: Callable = lambda channels, layer: [],
    activation: str = "relu",
    bias: bool = True,
    hidden_layers: int = 2,
    width: int = 64,
) -> nn.Sequential:
    """Networks of a kind, one for each of `seeds` side by side.

    before, after: (channels, number of the layer, from 1) -> layers before, after each activation.
    bias: of the hidden layers. Where a normalisation follows it has none: β does the same, and
    under Adam a bias whose gradient is rounding alone would wander by the rate at each step, and
    running averages lag behind. hidden_layers and width are the fully connected network's.
    """
    init, layers, inside = INITS[activation], [], SIDE * SIDE
    sizes = [width] * hidden_layers
    if kind == CONVOLUTIONAL:
        layers, inside, sizes = [stacked.Images(SIDE)], 1, CHANNELS
    for number, size in enumerate(sizes, 1):
        if kind == CONVOLUTIONAL:
            layers.append(Convolution(seeds, inside, size, 3, 2, init, number, bias))
        else:
            layers.append(Dense(seeds, inside, size, init, number, bias))
        layers += [*before(size, number), Activation(activation), *after(size, number)]
        inside = size
    if kind == CONVOLUTIONAL:
        side = -(-SIDE // 2 ** len(sizes))
        layers, inside = [*layers, stacked.Flatten()], inside * side**2
    return nn.Sequential(*layers, Dense(seeds, inside, CLASSES, init=init, name=0))


def batch_norms(network: nn.Module) -> list[nn.Module]:
    """Its layers of batch norm, from the first on."""
    return [layer for layer in network.modules() if getattr(layer, "kind", None) == "batch"]


# ---- Statistics of all training images -----------------------------------------------------------


@torch.no_grad()
def take_statistics(network: nn.Module, dataset) -> None:
    """Replace the running averages of every batch norm by mean and variance over all training
    images, of what it gets when the layers below it have theirs (Wu & Johnson 2021, section 3)."""
    for layer in batch_norms(network):
        sums = Sums()
        for x in passing(network, layer, dataset):
            sums.add(x)
        layer.running_mean.copy_(sums.mean)
        layer.running_var.copy_(sums.variance)


def passing(network, layer, dataset):
    """Yields what a layer gets, [B, R, ...], for all training images, in evaluation mode."""
    caught = []
    handle = layer.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
    network.eval()
    for pixels in dataset.train.images.split(stacked.EVALUATED):
        stacked.predict(network, dataset.normalise(pixels))
        yield caught.pop()
    handle.remove()


class Sums:
    """Mean and variance [R · C] of values [B, R, C, ...] that come in parts, in float64."""

    def __init__(self):
        self.count, self.total, self.square = 0, 0.0, 0.0

    def add(self, x):
        """Another part."""
        x = (
            x.flatten(1, 2).double().flatten(2)
            if x.dim() > 3
            else x.flatten(1, 2).double()[..., None]
        )
        self.count += x.shape[0] * x.shape[2]
        self.total = self.total + x.sum((0, 2))
        self.square = self.square + x.square().sum((0, 2))

    @property
    def mean(self):
        """[R · C]."""
        return self.total / self.count

    @property
    def variance(self):
        """[R · C], over all values, without Bessel's correction."""
        return (self.square / self.count - self.mean.square()).clamp_min(0)


def active(network, dataset):
    """Yields (number of a layer, share of active units of each replica): outputs above 0 of a ReLU
    network, over all training images, with the averages that it has."""
    layers = [layer for layer in network if isinstance(layer, Activation)]
    for number, layer in enumerate(layers, 1):
        parts = passing(network, layer, dataset)
        above = torch.cat([(x > 0).flatten(2).double().mean(2) for x in parts])
        yield number, above.mean(0).tolist()


# ---- Running averages ---------------------------------------------------------------------------


class RunningAverages:
    """Running averages of one layer's batch statistics, taken while it trains: `means` and
    `variances`, {key: [R · C]}, from 0 and 1. kept: by key, the share of the old value that each
    keeps."""

    def __init__(self, layer, kept):
        self.layer, self.kept = layer, kept
        self.means = {key: torch.zeros_like(layer.running_mean) for key in kept}
        self.variances = {key: torch.ones_like(layer.running_var) for key in kept}
        self.handle = layer.register_forward_pre_hook(self._take)

    @torch.no_grad()
    def _take(self, layer, inputs):
        if not layer.training:
            return
        of_unit = inputs[0].flatten(1, 2).movedim(0, -1).flatten(1)
        variance, mean = torch.var_mean(of_unit, 1)  # over n - 1, as in PyTorch
        for key, kept in self.kept.items():
            self.means[key].lerp_(mean, 1 - kept)
            self.variances[key].lerp_(variance, 1 - kept)

    def put(self, key):
        """Evaluate the layer with the averages of this key."""
        self.layer.running_mean.copy_(self.means[key])
        self.layer.running_var.copy_(self.variances[key])

    def errors(self, key) -> dict[str, torch.Tensor]:
        """Their differences, [R], from the statistics that the layer has now: {statistic: ratio of
        root mean squares}."""
        replicas = len(self.layer.gain)
        mean, variance = self.layer.running_mean, self.layer.running_var
        pairs = {
            "mean": (self.means[key] - mean, variance.sqrt()),
            "variance": (self.variances[key] - variance, variance),
        }
        return {
            statistic: error.view(replicas, -1).norm(dim=1) / scale.view(replicas, -1).norm(dim=1)
            for statistic, (error, scale) in pairs.items()
        }
