"""Deep networks with batch norm before their first step: how gradients grow, and the law of it.

The law holds for wide networks (Yang et al. 2019, ICLR, arXiv:1902.08129): behind batch norm the
batch of a unit is a random direction in the B − 1 dimensions that are left without the mean, on the
sphere of radius √B, whatever the weights' scale. So backward every layer multiplies the squared
gradient by the same factor.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from finicky.engine.activations import ACTIVATIONS
from finicky.engine.initializers import initial_weights
from finicky.engine.network import BN_EPS
from finicky.engine.streams import permutation

LEVELS = ["relu", "leaky_relu", "tanh", "sigmoid", "selu", "identity"]
CLASSES = 10


@dataclass(frozen=True)
class Look:
    """What networks of R seeds show at the start.

    missing: 1 minus the variance of the typical normalised unit of the last hidden layer, [R];
    gradients: length of the loss' gradient by each hidden layer's sums, [R, layers]; growth: the
    factor from a layer to the one before, geometric mean over the middle half, [R].
    """

    missing: np.ndarray
    gradients: np.ndarray

    @property
    def growth(self):
        layers = self.gradients.shape[1]
        first, last = layers // 4, layers - 1 - layers // 4
        ratio = self.gradients[:, first] / self.gradients[:, last]
        return ratio ** (1 / (last - first))


def look(dataset, seeds, init, activation, depth, width, size) -> Look:
    """Networks of `depth` layers, one a seed, by a batch of `size` training images of its own."""
    seen = [_look(dataset, seed, init, activation, depth, width, size) for seed in seeds]
    missing, gradients = zip(*seen, strict=True)  # seed by seed, to spare memory
    return Look(np.array(missing), np.array(gradients))


def _look(dataset, seed, init, activation, depth, width, size):
    function, device = ACTIVATIONS[activation].forward, dataset.train.images.device
    chosen = permutation(len(dataset.train.labels), seed, "start")[:size].to(device)
    h, sums = dataset.normalise(dataset.train.images[chosen]), []
    for layer in range(depth - 1):
        z = h @ initial_weights(init, seed, layer, h.shape[1], width).to(device)
        sums.append(z.requires_grad_())
        variance, mean = torch.var_mean(z, 0, unbiased=False)
        h = function((z - mean) * (variance + BN_EPS).rsqrt())
    logits = h @ initial_weights(init, seed, depth - 1, width, CLASSES).to(device)
    loss = functional.cross_entropy(logits, dataset.train.labels[chosen])
    lengths = [g.double().norm().item() for g in torch.autograd.grad(loss, sums)]
    return (BN_EPS / (variance + BN_EPS)).median().item(), lengths


def growth_law(activation: str, size: float = math.inf) -> float:
    """The factor by which the gradient grows from a layer to the one before, infinitely wide, for
    batches of `size` images, 5 and more.

    With x, y two images' values of one unit behind batch norm, coordinates of a point on that
    sphere (correlation −1/(B − 1)), it is the root of B/(B − 3) times
    ((1 − 1/B) E f'(x)² − E x²f'(x)²/B + E (1 + xy) f'(x)f'(y)/B) / E (f(x)² − f(x)f(y)).
    For the identity that is √((B − 2)/(B − 3)) (Yang et al. 2019); for large batches, where x and y
    are independent normals, √(E f'²/Var f): √(π/(π − 1)) for ReLU, and by Poincaré's inequality at
    least 1 for every f.
    """
    share = 1 / size if math.isfinite(size) else 0.0
    x, y, weight = _two_images(share)
    f_x, slope_x = _with_slope(activation, x)
    f_y, slope_y = _with_slope(activation, y)

    def mean(values):
        return (weight * values).sum().item()

    forward = mean(f_x * (f_x - f_y))
    alone = (1 - share) * mean(slope_x**2) - share * mean((x * slope_x) ** 2)
    together = share * mean((1 + x * y) * slope_x * slope_y)
    return math.sqrt((alone + together) / forward / (1 - 3 * share))


def _two_images(share, radii=400, angles=360):
    """Values x, y of two images and the weight of each, on a grid in polar coordinates whose rays
    miss the kinks at 0; share: 1/B."""
    r = (torch.arange(radii, dtype=torch.float64) + 0.5)[:, None]
    if share:
        r *= math.sqrt(1 / share - 1) / radii
        weight = r * (1 - r**2 * share / (1 - share)) ** ((1 / share - 5) / 2)
    else:
        r *= 10 / radii
        weight = r * torch.exp(-(r**2) / 2)
    angle = (torch.arange(angles, dtype=torch.float64) + 0.5) * 2 * math.pi / angles
    rho = -share / (1 - share)
    x = r * angle.cos()
    y = rho * x + math.sqrt(1 - rho**2) * r * angle.sin()
    return x, y, weight / (weight.sum() * angles)


def _with_slope(activation, z):
    """f(z) and f'(z)."""
    leaf = z.clone().requires_grad_()
    y = ACTIVATIONS[activation].forward(leaf.clone())
    return y.detach(), torch.autograd.grad(y.sum(), leaf)[0]
