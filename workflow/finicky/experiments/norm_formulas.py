"""Batch norm's formulas as the chapter prints them, forward and backward.

Arrays are one feature of a batch, [B], or several, [B, features]; by_y is the gradient of the loss
by y, and so on (Ioffe and Szegedy 2015, section 3, has the same derivation).
"""

import numpy as np

EPS = 1e-5  # the chapter's, and PyTorch's default


def normalised(x, eps=EPS):
    """x̂, μ and σ² of a batch; NumPy or torch."""
    mean = x.mean(0)
    variance = ((x - mean) ** 2).mean(0)
    return (x - mean) / (variance + eps) ** 0.5, mean, variance


def jacobian(x_hat, variance, eps):
    """∂x̂/∂x of one feature, [B, B]."""
    batch = len(x_hat)
    bracket = np.eye(batch) - np.ones((batch, batch)) / batch - np.outer(x_hat, x_hat) / batch
    return bracket / np.sqrt(variance + eps)


def by_gamma(by_y, x_hat):
    """∂L/∂γ."""
    return (by_y * x_hat).sum(0)


def by_beta(by_y):
    """∂L/∂β."""
    return by_y.sum(0)


def by_normalised(by_y, gamma):
    """∂L/∂x̂."""
    return by_y * gamma


def by_variance(by_x_hat, x, mean, variance, eps):
    """∂L/∂σ²."""
    return (by_x_hat * (x - mean) * -0.5 * (variance + eps) ** -1.5).sum(0)


def by_mean(by_x_hat, by_sigma, x, mean, variance, eps):
    """∂L/∂μ; by_sigma is ∂L/∂σ²."""
    direct = (by_x_hat * -1 / np.sqrt(variance + eps)).sum(0)
    return direct + by_sigma * (-2 / len(x)) * (x - mean).sum(0)


def by_input(by_x_hat, by_sigma, by_mu, x, mean, variance, eps):
    """∂L/∂x along three paths."""
    direct = by_x_hat / np.sqrt(variance + eps)
    return direct + by_sigma * 2 / len(x) * (x - mean) + by_mu / len(x)


def simplified(by_x_hat, x_hat, variance, eps):
    """∂L/∂x from ∂L/∂x̂ alone."""
    batch = len(x_hat)
    bracket = batch * by_x_hat - by_x_hat.sum(0) - x_hat * (by_x_hat * x_hat).sum(0)
    return bracket / (batch * np.sqrt(variance + eps))


def summary(by_y, x_hat, gamma, variance, eps):
    """∂L/∂x from ∂L/∂y, with γ in front."""
    batch = len(x_hat)
    bracket = batch * by_y - by_y.sum(0) - x_hat * (by_y * x_hat).sum(0)
    return gamma / (batch * np.sqrt(variance + eps)) * bracket
