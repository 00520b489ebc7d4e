"""How many solutions are there? The dimension of the set of parameters that fit all examples, from
the rank of the Jacobian of a network's outputs. In float64, with more parameters than examples.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch.func import jacrev, vmap

EXAMPLES, INPUTS = 20, 50  # of a regression; INPUTS of its linear maps
NARROW, HIDDEN = 3, 30  # inputs and hidden units of the networks here
FITS = 1e-8  # largest residual, over the largest target, of what counts as a solution


class Case(NamedTuple):
    """A regression: f(parameters [N], x [n, inputs]) -> [n, outputs], and what its targets are."""

    network: str
    targets: str
    f: Callable
    parameters: int
    inputs: int


def two_layers(activation, outputs=1):
    """f(parameters, x [n, 3]) -> [n, outputs] of one hidden layer, and how many parameters."""
    sizes = [NARROW * HIDDEN, HIDDEN, HIDDEN * outputs, outputs]

    def f(parameters, x):
        w, b, v, c = parameters.split(sizes)
        return activation(x @ w.view(NARROW, HIDDEN) + b) @ v.view(HIDDEN, outputs) + c

    return f, sum(sizes)


def linear(parameters, x):
    """f(x) = x w."""
    return (x @ parameters)[:, None]


def two_linear_layers(parameters, x):
    """f(x) = x W v."""
    w, v = parameters.split([NARROW * HIDDEN, HIDDEN])
    return (x @ w.view(NARROW, HIDDEN) @ v)[:, None]


TANH, RELU, TEN = two_layers(torch.tanh), two_layers(torch.relu), two_layers(torch.tanh, 10)
CASES = [
    Case("linear", "random", linear, INPUTS, INPUTS),
    Case("two layers, tanh", "random", *TANH, NARROW),
    Case("two layers, ReLU", "random", *RELU, NARROW),
    Case("two layers, tanh", "one example twice", *TANH, NARROW),
    Case("two linear layers", "of a linear map", two_linear_layers, (NARROW + 1) * HIDDEN, NARROW),
    Case("two layers, tanh", "ten outputs", *TEN, NARROW),
    Case("two layers, tanh", "of two units", *TANH, NARROW),
]


def rows(seeds, solutions):
    """Rows {quantity, value, network, targets, seed} of every case: the worst of a seed's
    solutions, from so many starts; NaN if none was found. Sets torch to one thread."""
    torch.set_num_threads(1)  # two take ten times as long for such small matrices
    for case in CASES:
        for seed in seeds:
            x, y, found = solved(case, seed, solutions)
            ranks = [rank(case.f, x, parameters) for parameters in found]
            where = {"network": case.network, "targets": case.targets, "seed": seed}
            for quantity, equations in (
                ("dimension_error", EXAMPLES), ("equation_error", y.numel()),
            ):  # fmt: skip
                # |(N - rank) - (N - equations)|
                errors = [abs(equations - rank) for rank in ranks]
                worst = max(errors) if errors else np.nan
                yield where | {"quantity": quantity, "value": worst}


def solved(case, seed, solutions):
    """Inputs x [n, inputs], targets y [n, outputs], and solutions [S, N] of f(., x) = y."""
    random = np.random.default_rng([seed, 28])
    x = torch.tensor(random.standard_normal((EXAMPLES, case.inputs)))
    starts = torch.tensor(random.standard_normal((solutions, case.parameters)))
    if case.targets == "one example twice":
        x[1] = x[0]
    if case.targets == "of two units":
        teacher = padded(starts[:1])
        return x, case.f(teacher[0], x), teacher
    y = case.f(starts[0], x)
    if case.targets in ("random", "ten outputs"):
        y = torch.tensor(random.standard_normal(y.shape))
    if case.targets == "of a linear map":
        y = x @ torch.tensor(random.standard_normal((NARROW, 1)))
    return x, y, solve(case.f, x, y, starts)


def padded(parameters):
    """Networks of HIDDEN units all of whose weights but those of the first two units are zero."""
    used = np.zeros(parameters.shape[1], dtype=bool)
    unit = np.arange(HIDDEN) < 2
    used[:] = np.concatenate([np.tile(unit, NARROW), unit, unit, [True]])
    return parameters * parameters.new_tensor(used)


def solve(f, x, y, starts, steps=300):
    """Those of the starts [S, N] that Levenberg and Marquardt's method takes to f = y."""

    def residual(parameters):
        return (f(parameters, x) - y).flatten()

    residuals, jacobians = vmap(residual), vmap(jacrev(residual))
    points, r = starts, residuals(starts)
    damping = torch.ones(len(starts), 1, 1, dtype=x.dtype)
    identity = torch.eye(r.shape[1], dtype=x.dtype)
    for _ in range(steps):
        if r.abs().max() < 1e-12:
            break
        j = jacobians(points)
        step = j.mT @ torch.linalg.solve(j @ j.mT + damping * identity, r[..., None])
        moved = points - step[..., 0]
        tried = residuals(moved)
        better = tried.norm(dim=1) < r.norm(dim=1)
        points = torch.where(better[:, None], moved, points)
        r = torch.where(better[:, None], tried, r)
        damping = torch.where(better[:, None, None], damping / 5, damping * 4).clamp(1e-14, 1e8)
    return points[r.abs().amax(1) < FITS * y.abs().max()]


def rank(f, x, parameters):
    """Rank of the Jacobian of all outputs [n × outputs] by the parameters [N]: singular values
    above 1e-9 of the largest count."""
    jacobian = jacrev(lambda p: f(p, x).flatten())(parameters)
    return int(torch.linalg.matrix_rank(jacobian, rtol=1e-9))
