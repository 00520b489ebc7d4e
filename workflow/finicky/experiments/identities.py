"""The two sides of an identity: how far apart they lie, and derivatives without rules of calculus.

An identity holds for a seed if the largest relative error over its random trials is at the level of
float64's rounding.
"""

import numpy as np

STEP = 1e-30  # of complex-step derivatives: nothing is subtracted, so it may be this small


def relative_error(found, expected) -> float:
    """max |found - expected| / max |expected|, for arrays of one shape; absolute where expected
    is 0 everywhere. Raises ValueError for different shapes, which NumPy would broadcast, and for
    no numbers, of which anything would be true."""
    found, expected = np.asarray(found), np.asarray(expected)
    if found.shape != expected.shape:
        raise ValueError(f"shapes {found.shape} and {expected.shape}")
    if not expected.size:
        raise ValueError("no numbers to compare")
    return float(np.abs(found - expected).max() / (np.abs(expected).max() or 1.0))


def complex_step_jacobian(function, x) -> np.ndarray:
    """[outputs, inputs] of an analytic function at x [inputs]: Im f(x + ih)/h, exact to rounding
    (Squire and Trapp 1998, SIAM Review 40)."""
    x = np.asarray(x, dtype=complex)
    columns = [np.imag(function(x + STEP * 1j * axis)) / STEP for axis in np.eye(len(x))]
    return np.stack(columns, axis=-1)


def variance_law(variance, batch, examples):
    """Variance of a mean of `batch` of `examples` drawn without replacement: σ²/B (N − B)/(N − 1)
    (Cochran 1977, Sampling Techniques, theorem 2.2; his S² has the divisor N − 1)."""
    return variance / batch * (examples - batch) / (examples - 1)
