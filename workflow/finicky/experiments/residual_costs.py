"""Small convolutional networks with residual blocks and their relatives, of equal cost, and what
they cost: parameters, and multiplications by torch.utils.flop_counter.
"""

from functools import partial

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from finicky.experiments import stacked
from finicky.experiments.residual_blocks import (
    POST,
    dense_network,
    plain_network,
    residual_network,
)

CONVOLUTION = "convolution"
PLACES = 56  # a side, of ResNet-50's first stage


def variants(channels):
    """{form: build(seeds)}; wide and deep have about equally many multiplications, dense and the
    base, POST, about equally many parameters."""
    residual = partial(residual_network, channels=channels)
    return {
        POST: partial(residual, blocks=(2, 2)),
        "zero padding": partial(residual, blocks=(2, 2), shortcut="padding"),
        "plain": partial(plain_network, channels=channels, blocks=(2, 2)),
        "deep": partial(residual, blocks=(3, 4)),
        "wide": partial(residual_network, channels=2 * channels, blocks=(1, 1)),
        "dense": partial(dense_network, channels=channels, layers=(3, 2), growth=channels),
    }


COMPARED = {
    "wide_minus_deep": ("wide", "deep"),
    "dense_minus_residual": ("dense", POST),
    "dense_minus_plain": ("dense", "plain"),
    "projection_minus_padding": (POST, "zero padding"),
}


def parameters(network: nn.Module) -> int:
    """Parameters of one replica of R."""
    replicas = len(next(network.parameters()))
    return sum(p.numel() for p in network.parameters()) // replicas


def multiplications(network: nn.Module, x: torch.Tensor) -> int:
    """Multiplications of matrix products and convolutions for the input x [1, 1, ...] of a single
    replica. The counter counts a multiplication and an addition as two operations."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(x)
    return counter.get_total_flops() // 2


def costs(channels, seed):
    """Yields parameters and multiplications of each convolutional network; no seed changes them."""
    x = torch.zeros(1, 1, stacked.SIDE**2)
    for form, build in variants(channels).items():
        network = build([seed])
        where = {"network": CONVOLUTION, "form": form, "channels": channels, "seed": seed}
        counts = {
            "multiplications": multiplications(network, x) / 1e6,
            "parameters": parameters(network) / 1e3,
        }
        for quantity, value in counts.items():
            yield where | {"quantity": quantity, "value": value}


def bottleneck(seed):
    """Yields the rows of the bottleneck 256 → 64 → 256 and of what it is compared with: counted
    while the layers run on tensors without data, and checked against the formula."""
    stacks = {  # (inside, outside, kernel) of each convolution
        "bottleneck": [(256, 64, 1), (64, 64, 3), (64, 256, 1)],
        "one 3×3": [(256, 256, 3)],
        "two 3×3": [(256, 256, 3)] * 2,
        "two 3×3 on 64": [(64, 64, 3)] * 2,
    }
    counts = {form: counted(layers) for form, layers in stacks.items()}
    for form, count in counts.items():
        row = {"seed": seed, "form": form}
        yield row | {"quantity": "multiplications", "value": count / 1e6}
        if form != "bottleneck":
            less = float(counts["bottleneck"] < count)
            yield row | {"quantity": "computes_less", "value": less}


def counted(layers):
    """Multiplications of convolutions, one after the other, (inside, outside, kernel) each."""
    made = [stacked.Convolution([0], *sizes, init="zeros", bias=False) for sizes in layers]
    x = torch.zeros(1, 1, layers[0][0], PLACES, PLACES, device="meta")
    count = multiplications(nn.Sequential(*made).to("meta"), x)
    formula = sum(i * o * k**2 for i, o, k in layers) * PLACES**2
    if count != formula:
        raise AssertionError(f"{count} multiplications counted, {formula} by the formula")
    return count
