"""Weight initialisers: each turns standard normals into a layer's first weights.

An initialiser is a function `(z, fan_in, fan_out[, number]) -> weights`. `z` holds standard
normals [fan_in, fan_out], the same for every initialiser of one seed and layer, so that differences
between initialisers are paired. A level may carry a number: `normal_std_0.001` calls `normal_std`
with 0.001.
"""

import math

import torch

from finicky.engine import streams

INITIALIZERS = {}


def initializer(name):
    """Register a function as the initialiser `name` (a level of the axis `init`)."""

    def register(function):
        INITIALIZERS[name] = function
        return function

    return register


@initializer("zeros")
def zeros(z, fan_in, fan_out):
    """All weights 0."""
    return torch.zeros_like(z)


@initializer("normal_std")
def normal_std(z, fan_in, fan_out, deviation):
    """N(0, deviation²), whatever the fans."""
    return z * deviation


@initializer("uniform_fan_in")
def uniform_fan_in(z, fan_in, fan_out):
    """U(±1/√fan_in), the heuristic that Glorot & Bengio (2010, eq. 1) set out to replace.

    erf(z/√2) is uniform on (-1, 1) when z is standard normal, so this one is paired too.
    """
    return torch.erf(z / math.sqrt(2)) / math.sqrt(fan_in)


@initializer("lecun")
def lecun(z, fan_in, fan_out):
    """Variance 1/fan_in (LeCun et al. 1998, Efficient BackProp, eq. 16)."""
    return z / math.sqrt(fan_in)


@initializer("xavier")
def xavier(z, fan_in, fan_out):
    """Variance 2/(fan_in + fan_out) (Glorot & Bengio 2010, eq. 12), Gaussian form."""
    return z * math.sqrt(2 / (fan_in + fan_out))


@initializer("he")
def he(z, fan_in, fan_out):
    """Variance 2/fan_in (He et al. 2015, eq. 10)."""
    return z * math.sqrt(2 / fan_in)


def initial_weights(level, seed, layer, fan_in, fan_out):
    """First weights of one layer of one run: float32 [fan_in, fan_out].

    Drawn on the CPU from the stream (seed, "weights", layer). Raises KeyError for an unknown level.
    """
    z = torch.randn(fan_in, fan_out, generator=streams.generator(seed, "weights", layer))
    if level in INITIALIZERS:
        return INITIALIZERS[level](z, fan_in, fan_out)
    family, _, number = level.rpartition("_")
    return INITIALIZERS[family](z, fan_in, fan_out, float(number))
