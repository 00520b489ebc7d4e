"""Networks at their start, looked into: stacked [R, ...], in float64, so that what grows or shrinks
by orders of magnitude a layer stays in range. Activations are the engine's, biases 0.
"""

import numpy as np
import torch

from finicky.engine.activations import ACTIVATIONS
from finicky.engine.initializers import initial_weights
from finicky.runs import canonical_init

CLASSES = 10


def fans(widths) -> list[tuple[int, int]]:
    """(fan_in, fan_out) of every layer of a network with these widths, inputs and classes too."""
    return list(zip(widths[:-1], widths[1:], strict=True))


def prescribed(init: str, fan_in: int, fan_out: int) -> float:
    """The variance that an initialiser gives the weights of a layer; "fan_out" is 1/n_out."""
    family, _, number = canonical_init(init).rpartition("_")
    if family == "normal_std":
        return float(number) ** 2
    return {
        "lecun": 1 / fan_in,
        "fan_out": 1 / fan_out,
        "xavier": 2 / (fan_in + fan_out),
        "he": 2 / fan_in,
        "uniform_fan_in": 1 / (3 * fan_in),
        "zeros": 0.0,
    }[init]


def layer_weights(init: str, starts: list, layer: int, fan_in: int, fan_out: int) -> torch.Tensor:
    """The first weights [R, in, out] of a layer, one replica for each of `starts`: whatever the
    random streams take for a seed."""
    level = "lecun" if init == "fan_out" else init
    drawn = torch.stack([initial_weights(level, start, layer, fan_in, fan_out) for start in starts])
    return drawn.double() * ((fan_in / fan_out) ** 0.5 if init == "fan_out" else 1.0)


def weights(init: str, starts: list, widths) -> list[torch.Tensor]:
    """Those of every layer of a network with these widths."""
    return [layer_weights(init, starts, layer, *fan) for layer, fan in enumerate(fans(widths))]


def orthogonal(init: str, matrices: torch.Tensor) -> torch.Tensor:
    """Random orthogonal matrices made of square ones [R, n, n], scaled to the initialiser's
    variance (Saxe et al. 2014, arXiv:1312.6120; signs as Mezzadri 2007, arXiv:math-ph/0609050)."""
    n = matrices.shape[-1]
    q, r = torch.linalg.qr(matrices)
    q = q * r.diagonal(dim1=1, dim2=2).sign().unsqueeze(1)
    return q * (n * prescribed(init, n, n)) ** 0.5


def forward(layers, activation: str, x: torch.Tensor, residual: bool = False) -> list[torch.Tensor]:
    """Outputs [R, N, units] of every hidden layer, given their weights, for images x [N, inputs].

    With `residual`, every second layer from the third on adds what went into its block, before the
    activation, as in the engine.
    """
    outputs, h = [], x.expand(len(layers[0]), *x.shape)
    for layer, w in enumerate(layers):
        u = torch.bmm(h, w)
        if residual and layer >= 2 and layer % 2 == 0:
            u = u + outputs[layer - 2]
        h = ACTIVATIONS[activation].forward(u)
        outputs.append(h)
    return outputs


def logit_gradient(outputs, last, labels) -> torch.Tensor:
    """Gradient of each image's own cross-entropy by the logits, [R, N, classes]."""
    gradient = torch.softmax(torch.bmm(outputs[-1], last), 2)
    gradient[:, torch.arange(len(labels)), labels] -= 1
    return gradient


def backward(outputs, layers, activation: str, gradient) -> list[torch.Tensor]:
    """Gradients [R, N, units] by the inputs of every hidden layer's activation, first to last.

    outputs: of `forward` without residual connections; layers: weights, those after the last hidden
    layer included; gradient: by the logits.
    """
    function, gradients = ACTIVATIONS[activation], []
    for y, w in zip(reversed(outputs), reversed(layers[1:]), strict=True):
        gradient = function.pull_back(torch.bmm(gradient, w.mT), y)
        gradients.append(gradient)
    return gradients[::-1]


def jacobians(layers, activation: str, outputs, after: list[int], residual: bool = False):
    """Yields ∂h_l/∂h_1 [R, units, units], transposed, for each hidden layer l of `after`, from 1
    and ascending, at a single image: outputs [R, 1, units] of `forward` for it."""
    function = ACTIVATIONS[activation]
    here = torch.eye(outputs[0].shape[-1], dtype=torch.float64, device=outputs[0].device)
    here = here.expand(len(outputs[0]), *here.shape)
    before = here
    for layer in range(1, max(after)):
        product = torch.bmm(here, layers[layer])
        if residual and layer % 2 == 0:
            product = product + before
        here = product * function.slope(outputs[layer])
        if layer % 2 == 0:
            before = here
        if layer + 1 in after:
            yield here


def singular_values(matrices: torch.Tensor) -> np.ndarray:
    """Singular values [R, n], descending."""
    return torch.linalg.svdvals(matrices).cpu().numpy()


# ---- Statistics of a layer's values [R, N, units] -----------------------------------------------

STATISTICS = ["second moment", "variance", "variance over images"]
ROUNDING = 1e-26  # of the second moment: a smaller variance is float64's rounding of equal values


def mean_square(values) -> np.ndarray:
    """E[v²] of each replica over images and units, [R]."""
    return values.square().mean((1, 2)).cpu().numpy()


def statistics(values) -> np.ndarray:
    """The STATISTICS of each replica, [3, R]: over images and units together, and the variance over
    images, mean over units; NaN for a variance that is lost in rounding."""
    centre = values.mean(1, keepdim=True)
    over_images = (values - centre).square_().mean((1, 2))
    over_units = centre.var(2, correction=0).squeeze(1)
    second = over_images + centre.square().mean((1, 2))
    found = torch.stack([second, over_images + over_units, over_images])
    return found.where(found > ROUNDING * second, torch.nan).cpu().numpy()
