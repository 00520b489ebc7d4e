"""Optimizers: PyTorch's update rules on the flat parameters of one run.

An optimizer is a function `(parameters, gradient, state, learning_rate, step)` that updates the
flat vectors [P] in place; `step` counts from 1. `@optimizer(name, state=...)` names its state
vectors [P], which start at zero. Calling it run by run costs nothing measurable, lets every run
have its own rate, and makes a run's bits independent of its neighbours.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch


@dataclass
class Optimizer:
    """An update rule and the names of its state vectors.

    `descends`: it is plain gradient descent, which the network can do within its backward pass.
    """

    update: Callable
    state: tuple[str, ...]
    descends: bool


OPTIMIZERS = {}


def optimizer(name, state=(), descends=False):
    """Register a function as the optimizer `name`, with these state vectors."""

    def register(function):
        OPTIMIZERS[name] = Optimizer(function, tuple(state), descends)
        return function

    return register


@optimizer("sgd", descends=True)
def sgd(parameters, gradient, state, learning_rate, step):
    """θ ← θ - η g (Robbins & Monro 1951)."""
    parameters.add_(gradient, alpha=-learning_rate)


@optimizer("momentum", state=["velocity"])
def momentum(parameters, gradient, state, learning_rate, step):
    """v ← 0.9 v + g; θ ← θ - η v (Polyak 1964, in PyTorch's form: no dampening)."""
    velocity = state["velocity"].mul_(0.9).add_(gradient)
    parameters.add_(velocity, alpha=-learning_rate)


@optimizer("rmsprop", state=["square", "scratch"])
def rmsprop(parameters, gradient, state, learning_rate, step):
    """s ← 0.9 s + 0.1 g²; θ ← θ - η g/(√s + 1e-8) (Hinton 2012, lecture 6e; PyTorch's eps)."""
    square = state["square"].mul_(0.9).addcmul_(gradient, gradient, value=0.1)
    root = torch.sqrt(square, out=state["scratch"]).add_(1e-8)
    parameters.addcdiv_(gradient, root, value=-learning_rate)


@optimizer("adam", state=["mean", "square"])
def adam(parameters, gradient, state, learning_rate, step):
    """Kingma & Ba (2015), algorithm 1: β = 0.9, 0.999, eps = 1e-8 outside of the root."""
    adam_kernel(torch._fused_adam_, parameters, gradient, state, learning_rate, step, 0.0)


@optimizer("adamw", state=["mean", "square"])
def adamw(parameters, gradient, state, learning_rate, step):
    """Adam with the decoupled decay θ ← (1 - η 0.01) θ (Loshchilov & Hutter 2019, algorithm 2)."""
    adam_kernel(torch._fused_adamw_, parameters, gradient, state, learning_rate, step, 0.01)


def adam_kernel(kernel, parameters, gradient, state, learning_rate, step, weight_decay):
    """One call of the kernel behind torch.optim.Adam(W)(fused=True)."""
    kernel(
        [parameters],
        [gradient],
        [state["mean"]],
        [state["square"]],
        [],
        [counter(step, parameters.device)],
        lr=learning_rate,
        beta1=0.9,
        beta2=0.999,
        weight_decay=weight_decay,
        eps=1e-8,
        amsgrad=False,
        maximize=False,
    )


@lru_cache(maxsize=1)
def counter(step, device):
    """The step as the kernel wants it; the runs of a fused batch ask for the same one in turn."""
    return torch.tensor(float(step), device=device)
