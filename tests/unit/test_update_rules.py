"""Update rules against torch.optim in float64, and where the chapter's differ from it."""

import numpy as np
import pytest
import torch

from finicky.experiments import update_rules

STEPS, RATE = 60, 0.01
CURVATURES = np.array([0.3, 2.0, 7.0])


def gradients(seed=0):
    return np.random.default_rng(seed).normal(size=(STEPS, 3)) * [0.1, 1.0, 10.0]


def path_in_pytorch(make, slopes, start=(1.0, -2.0, 0.5)):
    """Parameters [steps, p] after each step of a torch.optim optimizer on given gradients."""
    parameter = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    optimizer, path = make([parameter]), []
    for slope in torch.tensor(slopes):
        parameter.grad = slope
        optimizer.step()
        path.append(parameter.detach().numpy().copy())
    return np.array(path)


def path_of(rule, slopes, start=(1.0, -2.0, 0.5)):
    """The same of rule(theta, gradient, state, step)."""
    theta, state, path = np.array(start), {}, []
    for step, slope in enumerate(slopes, start=1):
        theta = rule(theta, slope, state, step)
        path.append(theta)
    return np.array(path)


def test_momentum_is_pytorch_s():
    found = path_of(lambda t, g, s, k: update_rules.momentum(t, g, s, RATE, 0.7), gradients())
    theirs = path_in_pytorch(lambda p: torch.optim.SGD(p, RATE, momentum=0.7), gradients())
    np.testing.assert_allclose(found, theirs, rtol=1e-12)


@pytest.mark.parametrize("decay", [0.0, 0.5])
@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("betas, eps", [((0.9, 0.999), 1e-8), ((0.0, 0.1), 1e-8), ((0.5, 0.9), 1)])
def test_adam_is_pytorch_s(betas, eps, amsgrad, decay):
    constants = {"betas": betas, "eps": eps, "amsgrad": amsgrad}
    theirs = path_in_pytorch(
        lambda p: torch.optim.AdamW(p, RATE, weight_decay=decay, **constants), gradients()
    )
    found = path_of(
        lambda t, g, s, k: update_rules.adam(t, g, s, RATE, k, decay, **constants), gradients()
    )
    np.testing.assert_allclose(found, theirs, rtol=1e-12)


def test_amsgrad_may_be_chosen_for_each_row():
    """It changes the second half, where the gradients are smaller than before."""
    slopes = np.repeat(gradients()[:, None], 2, 1)
    slopes[STEPS // 2 :] /= 100
    starts = np.tile([1.0, -2.0, 0.5], (2, 1))

    def path(amsgrad):
        def step(theta, gradient, state, number):
            return update_rules.adam(theta, gradient, state, RATE, number, amsgrad=amsgrad)

        return path_of(step, slopes, starts)

    both = path(np.array([[False], [True]]))
    adam, ams = path(False)[:, 0], path(True)[:, 1]
    np.testing.assert_array_equal(both[:, 0], adam)
    np.testing.assert_array_equal(both[:, 1], ams)
    assert not np.allclose(adam[-1], ams[-1])


def test_moments_by_hand():
    state = {}
    update_rules.adam_moments(np.array([2.0]), state, 1, (0.5, 0.75))
    mean, square = update_rules.adam_moments(np.array([4.0]), state, 2, (0.5, 0.75))
    assert (state["m"], state["v"]) == (2.5, 4.75)
    assert (mean, square) == (pytest.approx(2.5 / 0.75), pytest.approx(4.75 / (1 - 0.75**2)))


def as_written(rule, slopes, eps=1e-8):
    def step(theta, gradient, state, number):
        return update_rules.as_written(rule, theta, gradient, state, number, RATE, eps=eps)

    return path_of(step, slopes)


@pytest.mark.parametrize("rule", ["gradient descent", "momentum", "adam", "adamw"])
def test_the_chapter_s_rules_are_pytorch_s(rule):
    theirs = path_in_pytorch(lambda p: update_rules.in_pytorch(rule, p, RATE), gradients())
    np.testing.assert_allclose(as_written(rule, gradients()), theirs, rtol=1e-12)


def test_rmsprop_s_eps_stands_under_the_root():
    def deviation(slopes):
        theirs = path_in_pytorch(lambda p: update_rules.in_pytorch("rmsprop", p, RATE), slopes)
        return np.abs(as_written("rmsprop", slopes) - theirs).max()

    assert deviation(gradients()) < 1e-4 and deviation(1e-6 * gradients()) > 0.01
    by_hand = 1 - RATE * 2e-4 / np.sqrt(0.1 * 4e-8 + 1e-8)
    assert as_written("rmsprop", np.full((1, 3), 2e-4))[0, 0] == pytest.approx(by_hand, rel=1e-12)


@np.errstate(invalid="ignore")
@pytest.mark.parametrize("rule", ["rmsprop", "adam", "adamw"])
def test_without_eps_a_gradient_of_zero_is_not_a_number(rule):
    slopes = gradients()
    slopes[:, 0] = 0
    path = as_written(rule, slopes, eps=0)
    assert np.isnan(path[:, 0]).all() and np.isfinite(path[:, 1:]).all()


def test_nesterov_looks_ahead_to_where_pytorch_is():
    """PyTorch's parameters are the points at which the gradient is taken."""
    theta, state = np.array([1.0, -2.0, 0.5]), {}
    parameter = torch.tensor(theta, requires_grad=True)
    optimizer = update_rules.in_pytorch("nesterov", [parameter], RATE)
    for step in range(1, STEPS + 1):
        ahead = update_rules.look_ahead("nesterov", theta, state, RATE, 0.9)
        np.testing.assert_allclose(ahead, parameter.detach().numpy(), rtol=1e-12)
        theta = update_rules.as_written(
            "nesterov", theta, CURVATURES * ahead, state, step, RATE, beta=0.9
        )
        parameter.grad = torch.tensor(CURVATURES) * parameter.detach()
        optimizer.step()
    assert update_rules.look_ahead("momentum", theta, state, RATE, 0.9) is theta


@pytest.mark.parametrize("rule", update_rules.RULES)
def test_pytorch_s_arrays_do_as_well(rule):
    def step(theta, gradient, state, number):
        return update_rules.as_written(rule, theta, gradient, state, number, RATE)

    state, theta = {}, torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    for number, gradient in enumerate(torch.tensor(gradients()), start=1):
        theta = step(theta, gradient, state, number)
    np.testing.assert_allclose(theta.numpy(), path_of(step, gradients())[-1], rtol=1e-12)


def test_an_unknown_rule_is_an_error():
    with pytest.raises(ValueError, match="no rule 'newton'; there are gradient descent, momentum"):
        update_rules.as_written("newton", np.ones(1), np.ones(1), {}, 1, RATE)
