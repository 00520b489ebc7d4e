"""Is the identity near for a residual block? Its output with zero weights, and the identity as a
task for two layers with their input added and without.
"""

import itertools
from collections.abc import Iterator

import pandas as pd
import torch
from torch import nn

from finicky.engine import streams
from finicky.engine.activations import ACTIVATIONS
from finicky.engine.initializers import initial_weights
from finicky.engine.optimizers import OPTIMIZERS
from finicky.experiments import arms, identities, stacked

ANY, OUTPUTS = "any sign", "outputs of the activation"
ACTIVE = ["relu", "leaky_relu", "tanh", "sigmoid", "selu"]
LEARNED = ["relu", "tanh"]  # activations of the task
TARGETS = ["identity", "rotation"]
POINTS = 128  # of the task, as many for its tests
SIZE = 16  # numbers that a block with zero weights gets


# ---- Zero weights -------------------------------------------------------------------------------


def zero_weights(seeds: list[int], trials: int) -> Iterator[dict]:
    """Yields the rows of plain layers and of residual blocks whose weights are zero."""
    for activation, seed in itertools.product(ACTIVE, seeds):
        u = torch.randn(trials, 1, SIZE, generator=streams.generator(seed, "zero weights"))
        inputs = {ANY: u, OUTPUTS: ACTIVATIONS[activation].forward(u.clone())}
        with torch.no_grad():
            row = {"quantity": "plain_output", "seed": seed, "activation": activation}
            yield row | {"value": float(zero_layer(activation)(u).abs().max())}
            row["quantity"] = "block_error"
            for name, x in inputs.items():
                error = identities.relative_error(zero_block(activation)(x), x)
                yield row | {"value": error, "after_addition": True, "inputs": name}
            if activation == ACTIVE[0]:  # nothing after the addition: no matter what is inside
                error = identities.relative_error(zero_block(activation, after=False)(u), u)
                yield {
                    "quantity": "block_error", "seed": seed, "value": error,
                    "after_addition": False,
                }  # fmt: skip


def zero_layer(activation: str) -> nn.Module:
    """A plain layer f(Wx + b), its weights zero."""
    return nn.Sequential(stacked.Dense([0], SIZE, SIZE, "zeros"), stacked.Activation(activation))


def zero_block(activation: str, after: bool = True) -> nn.Module:
    """A residual block of two layers, its weights zero, with the activation after the addition or
    with nothing there."""
    body = nn.Sequential(zero_layer(activation), stacked.Dense([0], SIZE, SIZE, "zeros"))
    return stacked.Residual(body, after=stacked.Activation(activation) if after else None)


# ---- The identity as a task ---------------------------------------------------------------------


def learned(settings: dict) -> Iterator[dict]:
    """Yields the rows of the task: two plain layers against a residual block of the same two."""
    for activation in LEARNED:
        tables = [
            task(activation, optimizer, rate, settings)
            for optimizer, rates in settings["identity_rates"].items()
            for rate in arms.ladder(optimizer, rates)
        ]
        rows = pd.concat(tables, ignore_index=True)
        for (inputs, target, decay), of in rows.groupby(["inputs", "target", "decay"]):
            sides = [of[of["residual"] == residual] for residual in (False, True)]
            where = {"activation": activation, "inputs": inputs, "target": target, "decay": decay}
            for row in arms.compared(*sides, "plain_over_residual", "decades", **where):
                yield row | {"a": None, "b": None}  # no accuracies


def task(activation, optimizer, rate, settings) -> pd.DataFrame:
    """Train W f(Vx + c) + b, with x added and without, on every task side by side, by the gradient
    of all points; one row each: `decades`, log10 of the mean squared error at new points, and
    `validation_accuracy`, by which rates are chosen: minus the same at other new points."""
    n, rule = settings["identity_width"], OPTIMIZERS[optimizer]
    tasks = [
        {"seed": seed, "inputs": inputs, "target": target, "decay": decay, "residual": residual}
        for seed, inputs, target, decay, residual in itertools.product(
            settings["seeds"], [ANY, OUTPUTS], TARGETS, settings["decays"], [False, True]
        )
    ]
    x = torch.stack([points(of, activation, n) for of in tasks])  # [R, 3 POINTS, n]
    y = torch.stack([wanted(of, points_of, n) for of, points_of in zip(tasks, x, strict=True)])
    added, decay = (
        torch.tensor([float(of[name]) for of in tasks]).view(-1, 1, 1)
        for name in ("residual", "decay")
    )
    first, second = (
        torch.stack([initial_weights("he", of["seed"], f"task {i}", n, n) for of in tasks])
        for i in (1, 2)
    )
    parameters = [first, torch.zeros(len(tasks), 1, n), second, torch.zeros(len(tasks), 1, n)]
    states = [{s: torch.zeros_like(p.flatten(1)) for s in rule.state} for p in parameters]
    count = torch.zeros(())

    def errors(x, y):
        v, c, w, b = parameters
        hidden = ACTIVATIONS[activation].forward(torch.baddbmm(c, x, v))
        return (torch.baddbmm(b, hidden, w) + added * x - y).square().mean((1, 2))

    for _ in range(settings["identity_steps"]):
        for p in parameters:
            p.requires_grad_()
        weights = (parameters[0].square() + parameters[2].square()) * decay
        loss = errors(x[:, :POINTS], y[:, :POINTS]).sum() + weights.sum()
        gradients = torch.autograd.grad(loss, parameters)
        count += 1
        for p, gradient, state in zip(parameters, gradients, states, strict=True):
            rule.update(p.detach_().view(len(p), -1), gradient.flatten(1), state, rate, count)
    held_out, test = (errors(x[:, some], y[:, some]).log10() for some in
                      (slice(POINTS, 2 * POINTS), slice(2 * POINTS, None)))  # fmt: skip
    ends = {"decades": test.tolist(), "validation_accuracy": (-held_out).tolist()}
    table = pd.DataFrame(tasks).assign(**ends, optimizer=optimizer, learning_rate=rate)
    return table.assign(outcome=["finite" if sound else "nan" for sound in test.isfinite()])


def points(of, activation, n):
    """Inputs of a task: to train on, to choose rates by, to test, [3 POINTS, n]."""
    u = torch.randn(3 * POINTS, n, generator=streams.generator(of["seed"], "points"))
    return u if of["inputs"] == ANY else ACTIVATIONS[activation].forward(u)


def wanted(of, x, n):
    """What a task wants for its inputs x [points, n]: x itself, or x turned at random."""
    if of["target"] == "identity":
        return x
    return x @ rotation(n, of["seed"])


def rotation(n, seed):
    """A random orthogonal matrix [n, n] (Mezzadri 2007, math-ph/0609050)."""
    normal = torch.randn(n, n, dtype=torch.float64, generator=streams.generator(seed, "rotation"))
    q, r = torch.linalg.qr(normal)
    return (q * r.diagonal().sign()).float()
