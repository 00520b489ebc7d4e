"""Landscapes against differences, walks and their tuning against theory."""

import numpy as np
import pytest

from finicky.experiments import landscapes
from finicky.experiments.landscapes import Banana, Kinked, Ravine, Saddle


@pytest.mark.parametrize("landscape", [Ravine(30), Saddle(), Banana(), Kinked()])
def test_gradients_are_those_of_the_height(landscape):
    start = landscape.start(np.random.default_rng(1))
    for theta in (start, 0.6 * start, -start):
        for axis in range(len(theta)):
            nudge = np.zeros_like(theta)
            nudge[axis] = 1e-6
            rise = landscape.height(theta + nudge) - landscape.height(theta - nudge)
            assert landscape.gradient(theta)[axis] == pytest.approx(rise / 2e-6, rel=1e-4, abs=1e-6)


def path_of(*values):
    return (np.array([[[value]]]) for value in values)


def test_settled_is_when_it_comes_to_stay(monkeypatch):
    monkeypatch.setattr(landscapes, "STAY", 3)

    def settled(*values):
        return landscapes.settled(path_of(*values), np.abs, 0.1).item()

    assert settled(10, 5, 1, -1, 0, 0, 0, 0) == 2
    assert settled(10, 1, 1, 5, 1, 0, 0, 0, 0) == 4
    assert settled(10, 1, 1, 1, 1, 50, 50) == 1  # stayed for three steps: the goal is reached
    assert settled(10, 5, 1) == 2  # stays to the end
    assert settled(10, 5, np.nan, 5) == 3  # never


def test_descent_takes_the_steps_of_theory():
    landscape, rate = Ravine(100), 1.9
    positions = landscapes.walk(
        "gradient descent", landscape, np.array([[1.0, -1.0]]), [rate], [0], 900
    )
    along, across = landscapes.settled(positions, np.abs, 0.01)[0, 0]
    assert along == np.ceil(np.log(0.01) / np.log(1 - rate / 100))
    assert across == np.ceil(np.log(0.01) / np.log(rate - 1))


def test_the_best_rate_of_descent_in_a_ravine_is_the_textbook_s():
    rate, beta = landscapes.tuned("gradient descent", Ravine(100), [0])
    assert (rate, beta) == (pytest.approx(2 / 1.01), 0)
    rate, beta = landscapes.tuned("momentum", Ravine(100), [0, 0.65, 0.9])
    assert beta == 0.65  # Polyak's (9/11)² = 0.669


def test_nesterov_looks_ahead():
    rate, beta, landscape = 0.1, 0.5, Ravine(4)
    start = np.array([[1.0, 2.0]])
    positions = landscapes.walk("nesterov", landscape, start, [rate], [beta], 2)
    _, first, second = (theta[0, 0] for theta in positions)
    curvature, velocity = np.array([0.25, 1.0]), np.array([0.25, 2.0])
    assert first == pytest.approx([1 - 0.1 * 0.25, 2 - 0.1 * 2])
    velocity = beta * velocity + curvature * (first - rate * beta * velocity)
    assert second == pytest.approx(first - rate * velocity)


def test_polyak_s_momentum_circles_on_the_kinked_bowl():
    landscape = Kinked()
    for rule, arrives in (("momentum", False), ("nesterov", True)):
        rate, beta = landscape.best_for_quadratics[rule]
        starts = landscapes.starts_of(landscape, [0, 1])
        steps = landscapes.steps_to_goal(rule, landscape, starts, [rate], [beta])
        assert ((steps < landscape.horizon) == arrives).all()
