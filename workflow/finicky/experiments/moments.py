"""Moments of signals and gradients in wide networks with random weights, layer by layer, exact.

With independent weights of mean zero and biases zero, the inputs z of a wide layer's units are
Gaussian for any one image, with variance q = n_in Var(w) E[h²] over the layer below (He et al.
2015, arXiv:1502.01852, section 2.2; Poole et al. 2016, arXiv:1606.05340, equation 3). Backward, a
layer multiplies the gradient's mean square by n_out Var(w) E[f′(z)²] (Schoenholz et al. 2017,
arXiv:1611.01232). The Gaussian means are closed forms for ReLU and leaky ReLU, else
integrals.
"""

import math

import numpy as np

LEAK = 0.01
SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


def _tanh_slope(z):
    return 1 - np.tanh(z) ** 2


def _sigmoid(z):
    return 0.5 + 0.5 * np.tanh(z / 2)


def _sigmoid_slope(z):
    return _sigmoid(z) * _sigmoid(-z)


def _selu(z):
    return SELU_SCALE * np.where(z > 0, z, SELU_ALPHA * np.expm1(np.minimum(z, 0)))


def _selu_slope(z):
    return SELU_SCALE * np.where(z > 0, 1.0, SELU_ALPHA * np.exp(np.minimum(z, 0)))


SMOOTH = {  # on each side of 0: f and f′
    "tanh": (np.tanh, _tanh_slope),
    "sigmoid": (_sigmoid, _sigmoid_slope),
    "selu": (_selu, _selu_slope),
}
SLOPES = {"identity": 1.0, "relu": 0.0, "leaky_relu": LEAK}  # left of 0; right of it 1


def _half_line(edges=(0, 0.003, 0.03, 0.3, 1, 3, 6, 10), order=24):
    """Nodes and weights of ∫ g(z) φ(z) dz over z > 0: Gauss-Legendre panel by panel."""
    x, w = np.polynomial.legendre.leggauss(order)
    edges = np.array(edges, float)
    middle, half = (edges[1:] + edges[:-1]) / 2, (edges[1:] - edges[:-1]) / 2
    nodes = (middle[:, None] + half[:, None] * x).ravel()
    weights = (half[:, None] * w).ravel() * np.exp(-(nodes**2) / 2) / math.sqrt(2 * math.pi)
    return nodes, weights


# Gauss-Hermite nodes lie too far apart for a sigmoid of a z of deviation 30, and straddle SELU's
# kink at 0; panels that narrow towards 0, on each side by themselves, are exact for both.
NODES, WEIGHTS = _half_line()


def gaussian_mean(function, q) -> np.ndarray:
    """E[g(z)] for z ~ N(0, q), for each q; g smooth on each side of 0, of the scale of 1."""
    z = np.sqrt(np.asarray(q, float))[..., None] * NODES
    return (function(z) + function(-z)) @ WEIGHTS


def after(activation: str, q) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(E[f(z)], E[f(z)²], E[f′(z)²]) for z ~ N(0, q), each in q's shape."""
    q = np.asarray(q, float)
    if activation in SLOPES:
        left = SLOPES[activation]
        half = (1 + left**2) / 2
        return (1 - left) * np.sqrt(q / (2 * math.pi)), half * q, np.full_like(q, half)
    f, slope = SMOOTH[activation]
    mean = gaussian_mean(f, q)
    return mean, gaussian_mean(lambda z: f(z) ** 2, q), gaussian_mean(lambda z: slope(z) ** 2, q)


def recursion(activation: str, fans, variances, inputs) -> dict[str, np.ndarray]:
    """A wide network's moments, of images whose pixels have the mean squares `inputs` [N].

    fans: (n_in, n_out) of every layer, the linear output layer last; variances: of its weights.
    Means over units, by layer [hidden, N]: `mean` and `second` moment of its outputs, and
    `gradient`, the mean square of the gradient by its inputs over that by the logits.
    """
    layers = list(zip(fans, variances, strict=True))
    second, means, seconds, slopes = np.asarray(inputs, float), [], [], []
    for (fan_in, _), variance in layers[:-1]:
        mean, second, slope = after(activation, fan_in * variance * second)
        means.append(mean)
        seconds.append(second)
        slopes.append(slope)
    gradient, gradients = np.ones_like(second), []
    for slope, ((_, fan_out), variance) in zip(slopes[::-1], layers[:0:-1], strict=True):
        gradient = fan_out * variance * slope * gradient
        gradients.append(gradient)
    return {
        "mean": np.array(means),
        "second": np.array(seconds),
        "gradient": np.array(gradients[::-1]),
    }


# ---- The moments of a rectified Gaussian --------------------------------------------------------

RELU_MEAN = 1 / math.sqrt(2 * math.pi)  # of ReLU(z) for z ~ N(0, 1)
RELU_SECOND = 0.5
RELU_VARIANCE = RELU_SECOND - RELU_MEAN**2
