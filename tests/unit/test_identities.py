"""The two sides of an identity: errors, complex steps, and the tidy table."""

import numpy as np
import pytest

from finicky.experiments import identities


def test_errors_are_relative_to_the_largest_entry():
    assert identities.relative_error([1.0, 8.0], [1.0, 10.0]) == pytest.approx(0.2)
    assert identities.relative_error([0.5], [0.0]) == 0.5
    with pytest.raises(ValueError):
        identities.relative_error(np.ones((2, 1)), np.ones(2))


def test_nothing_is_no_evidence():
    """An error of 0 over no trials would reproduce every identity."""
    with pytest.raises(ValueError, match="no numbers to compare"):
        identities.relative_error(np.empty((0, 3)), np.empty((0, 3)))


def test_complex_steps_are_exact():
    jacobian = identities.complex_step_jacobian(lambda v: np.array([v[0] * v[1], np.exp(v[0])]),
                                                [2.0, 5.0])  # fmt: skip
    assert jacobian == pytest.approx(np.array([[5, 2], [np.exp(2), 0]]), rel=1e-15)


def test_a_complex_step_sees_what_a_difference_would_lose():
    (slope,) = identities.complex_step_jacobian(lambda v: 1e12 + np.sin(v), [0.3])[0]
    assert slope == pytest.approx(np.cos(0.3), rel=1e-15)
