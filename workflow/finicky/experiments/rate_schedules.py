"""Learning rate schedules, as the chapter writes them: the rate over the highest one, at step t of
T (steps count from 0; t may be a number or an array)."""

import numpy as np

WARM_UP = 0.1  # share of the steps


def step_decay(t, total):
    """γ^⌊t/k⌋ with γ = 0.1 and k a third of the training."""
    return 0.1 ** (t // max(1, total // 3))


def exponential_decay(t, total):
    """e^(-λt), with λ such that a hundredth is left at the end."""
    return np.exp(-np.log(100) / total * t)


def cosine(t, total):
    """(1 + cos(πt/T))/2: from the highest rate to zero."""
    return 0.5 * (1 + np.cos(np.pi * t / total))


def warm_up(t, total):
    """min(1, t/T_warmup): from zero, then constant."""
    return np.minimum(1, t / max(1, WARM_UP * total))


def warm_up_cosine(t, total):
    """Warm-up times cosine."""
    return warm_up(t, total) * cosine(t, total)


def constant(t, total):
    """1 at every step."""
    return 1.0 + 0 * t


SCHEDULES = {
    "step": step_decay,
    "exponential": exponential_decay,
    "cosine": cosine,
    "warm-up + cosine": warm_up_cosine,
    "warm-up": warm_up,
    "constant": constant,
}
CHAPTER = ["step", "exponential", "cosine", "warm-up + cosine"]
