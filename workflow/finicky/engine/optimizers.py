"""Optimizers: PyTorch's update rules on the flat parameters of runs that share a learning rate.

An optimizer is a function `(parameters, gradient, state, learning_rate, step)` that updates the
parameters in place and returns nothing. `parameters`, `gradient` and every `state[...]` have the
shape [k, P]: P parameters of each of the k runs of one rate, which must not influence each other.
`learning_rate` is a float; `step`, a float32 tensor without dimensions on their device, counts from
1. `@optimizer(name, state=...)` names the state tensors, which start at zero.

Weight decay: the optimizer's own is part of its rule (AdamW's). Another λ is given to a rule that
takes `weight_decay`; for any other, λθ is added to the gradient of every parameter, as PyTorch's
optimizers do (an L2 penalty λ|θ|²/2; see Optimizer.with_decay).

How many runs come in one call is the caller's matter: on a CPU one at a time, while its gradient is
in the cache; on a GPU all runs of a rate, within a graph. There, only what is computed from `step`
by tensor operations changes from step to step.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch

from finicky.errors import InputError

FILE = "workflow/finicky/engine/optimizers.py"


@dataclass
class Optimizer:
    """An update rule and the names of its state tensors.

    `descends`: it is plain gradient descent, which the network can do within its backward pass.
    """

    update: Callable
    state: tuple[str, ...]
    descends: bool

    def with_decay(self, weight_decay):
        """The optimizer with this decay λ of all parameters; with None as it is, with its own."""
        if weight_decay is None:
            return self
        if "weight_decay" in inspect.signature(self.update).parameters:
            return replace(self, update=partial(self.update, weight_decay=weight_decay))

        def penalised(parameters, gradient, state, learning_rate, step):
            gradient.add_(parameters, alpha=weight_decay)
            self.update(parameters, gradient, state, learning_rate, step)

        return replace(self, update=penalised, descends=False)


OPTIMIZERS = {}


def check_in_place(name, before, parameters, gradient, learning_rates):
    """Raise InputError if the first step of the optimizer `name` did nothing.

    `before` [R, P] are the parameters before the step; `learning_rates` is a list of R floats. Runs
    with a rate or a gradient of 0 prove nothing; if none of the others has moved, the update did
    not happen in place. (Biases start at 0, so even the smallest step is seen.)
    """
    rates = torch.tensor(learning_rates, device=gradient.device)
    due = gradient.ne(0).any(1) & rates.ne(0)
    if due.any() and torch.equal(before[due], parameters[due]):
        raise InputError(
            FILE,
            name,
            "an optimizer that leaves the parameters as they were at its first step",
            "one that changes them in place; what it returns is not used",
        )


def optimizer(name, state=(), descends=False):
    """Register a function as the optimizer `name`, with these state tensors."""

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
def adamw(parameters, gradient, state, learning_rate, step, weight_decay=0.01):
    """Adam with the decoupled decay θ ← (1 - η λ) θ (Loshchilov & Hutter 2019, algorithm 2)."""
    adam_kernel(torch._fused_adamw_, parameters, gradient, state, learning_rate, step, weight_decay)


def adam_kernel(kernel, parameters, gradient, state, learning_rate, step, weight_decay):
    """One call of the kernel behind torch.optim.Adam(W)(fused=True)."""
    kernel(
        [parameters],
        [gradient],
        [state["mean"]],
        [state["square"]],
        [],
        [step],
        lr=learning_rate,
        beta1=0.9,
        beta2=0.999,
        weight_decay=weight_decay,
        eps=1e-8,
        amsgrad=False,
        maximize=False,
    )
