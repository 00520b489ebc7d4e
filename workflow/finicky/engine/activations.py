"""Activations: each forward beside its backward.

`@activation(name)` registers y = f(z). If `@backward_of(name)` follows, f may overwrite z, and the
backward is `(gradient, y) -> gradient`, in place, the derivative written in terms of the output y.
An activation without one is differentiated by autograd from its kept input: slower, always right.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

aten = torch.ops.aten


@dataclass
class Activation:
    """`forward(z)` gives y; `backward(gradient, y)` multiplies by f'(z) in place, or is None."""

    forward: Callable
    backward: Callable | None = None

    @property
    def keeps_input(self):
        """Whether the backward pass needs z, as there is no derivative in terms of y."""
        return self.backward is None

    def pull_back(self, gradient, y, z=None):
        """gradient · f'(z), overwriting `gradient`. Shapes alike; `z` only if `keeps_input`."""
        if self.backward is not None:
            return self.backward(gradient, y)
        with torch.enable_grad():
            leaf = z.detach().requires_grad_()
            (derivative,) = torch.autograd.grad(self.forward(leaf), leaf, gradient)
        return gradient.copy_(derivative)

    def slope(self, y, z=None):
        """f'(z) at every element: a new tensor of y's shape."""
        return self.pull_back(torch.ones_like(y), y, z)

    def steepest(self):
        """The largest |f'| on [-10, 10], to call a unit saturated relative to it."""
        z = torch.linspace(-10, 10, 4001)
        return float(self.slope(self.forward(z.clone()), z).abs().max())


ACTIVATIONS = {}


def activation(name):
    """Register a function z -> y as the activation `name`."""

    def register(function):
        ACTIVATIONS[name] = Activation(function)
        return function

    return register


def backward_of(name):
    """Register `(gradient, y) -> gradient · f'` as the derivative of the activation `name`."""

    def register(function):
        ACTIVATIONS[name].backward = function
        return function

    return register


@activation("identity")
def identity(z):
    """y = z: a deep linear network, the control for what non-linearity adds."""
    return z


@backward_of("identity")
def identity_backward(gradient, y):
    """f' = 1."""
    return gradient


@activation("relu")
def relu(z):
    """y = max(0, z)."""
    return z.relu_()


@backward_of("relu")
def relu_backward(gradient, y):
    """f' = 1 where y > 0, else 0 (PyTorch's choice at 0)."""
    return aten.threshold_backward.grad_input(gradient, y, 0, grad_input=gradient)


LEAK = 0.01


@activation("leaky_relu")
def leaky_relu(z):
    """y = z where z > 0, else 0.01 z (Maas et al. 2013)."""
    return torch.nn.functional.leaky_relu_(z, LEAK)


@backward_of("leaky_relu")
def leaky_relu_backward(gradient, y):
    """f' = 1 where y > 0, else 0.01; y has the sign of z."""
    return aten.leaky_relu_backward.grad_input(gradient, y, LEAK, True, grad_input=gradient)


@activation("tanh")
def tanh(z):
    """y = tanh z."""
    return z.tanh_()


@backward_of("tanh")
def tanh_backward(gradient, y):
    """f' = 1 - y²."""
    return aten.tanh_backward.grad_input(gradient, y, grad_input=gradient)


@activation("sigmoid")
def sigmoid(z):
    """y = 1/(1 + e⁻ᶻ)."""
    return z.sigmoid_()


@backward_of("sigmoid")
def sigmoid_backward(gradient, y):
    """f' = y (1 - y)."""
    return aten.sigmoid_backward.grad_input(gradient, y, grad_input=gradient)


SELU_SCALE = 1.0507009873554804934193349852946
SELU_ALPHA = 1.6732632423543772848170429916717


@activation("selu")
def selu(z):
    """y = λ z where z > 0, else λ α (eᶻ - 1) (Klambauer et al. 2017, eq. 2)."""
    return torch.selu_(z)


@backward_of("selu")
def selu_backward(gradient, y):
    """f' = λ where y > 0, else y + λ α."""
    return aten.elu_backward.grad_input(
        gradient, SELU_ALPHA, SELU_SCALE, 1.0, True, y, grad_input=gradient
    )
