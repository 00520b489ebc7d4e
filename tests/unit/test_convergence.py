"""Worst cases against the theorems' closed forms, gradients against differences."""

import numpy as np
import pytest

from finicky.exhibits import convergence as exhibit
from finicky.exhibits import style
from finicky.experiments import convergence, tidy

from .sentences import finding


@pytest.mark.parametrize("steps", [1, 10, 57])
def test_the_worst_smooth_function_leaves_its_bound(steps):
    errors = convergence.worst_smooth(steps, curvature=3.0, distance=2.0)
    assert len(errors) == steps + 1
    assert errors[-1] == pytest.approx(3 * 2**2 / (4 * steps + 2))


@pytest.mark.parametrize("steps", [1, 10, 57])
def test_the_worst_function_that_is_not_smooth_leaves_its_bound(steps):
    errors = convergence.worst_nonsmooth(steps, slope=3.0, distance=2.0)
    assert len(errors) == steps + 1
    assert errors[-1] == pytest.approx(3 * 2 / np.sqrt(steps + 1))


def test_single_functions_stay_below_their_bounds():
    random = np.random.default_rng(0)
    steps = np.arange(301)
    for function in (convergence.quadratic, convergence.quartic):
        assert (function(300, random) <= 1 / (4 * steps + 2)).all()
    assert (convergence.absolute_deviations(300, random) <= 1 / np.sqrt(steps + 1)).all()


def test_exponents_of_single_functions():
    steps = np.arange(1000, 4001)
    for function, power in ((convergence.quartic, -2), (convergence.logistic, -1)):
        errors = function(4000, None)[1000:]
        assert convergence.exponent(steps, errors) == pytest.approx(power, abs=0.02)


def test_one_step_of_each_single_function_by_hand():
    assert convergence.quartic(1, None) == pytest.approx([1 / 12, (2 / 3) ** 4 / 12])
    assert convergence.logistic(1, None) == pytest.approx([4 * np.log(2), 4 * np.log1p(np.exp(-2))])


def loss(model, weights, inputs, targets):
    if isinstance(model, convergence.Robust):
        residuals = inputs @ weights - targets
        return (residuals**2 / (1 + residuals**2)).mean() / 2
    first, last = weights[:-4].reshape(5, 4), weights[-4:]
    return ((np.tanh(inputs @ first) @ last - targets) ** 2).mean() / 2


@pytest.mark.parametrize("model", convergence.NOT_CONVEX.values())
def test_gradients_are_those_of_the_loss(model):
    random = np.random.default_rng(0)
    weights, inputs = random.normal(size=(3, model.size)), random.normal(size=(3, 7, 5))
    targets = np.array([model.target(x, random) for x in inputs])
    found = model.gradient(weights, inputs, targets)
    for copy in range(3):
        for parameter in range(model.size):
            nudge = np.zeros(model.size)
            nudge[parameter] = 1e-6
            up, down = (
                loss(model, weights[copy] + sign * nudge, inputs[copy], targets[copy])
                for sign in (1, -1)
            )
            assert found[copy, parameter] == pytest.approx((up - down) / 2e-6, abs=1e-7)


def test_sgd_does_not_depend_on_the_other_seeds():
    model = convergence.NOT_CONVEX["network"]
    steps, both = convergence.sgd(model, 200, [0, 1])
    _, alone = convergence.sgd(model, 200, [1])
    assert both.shape == (len(steps), 3, 2)
    assert both[:, :, 1] == pytest.approx(alone[:, :, 0], rel=1e-9)


def test_a_rate_that_falls_reaches_what_others_do_not():
    _, squared = convergence.sgd(convergence.NOT_CONVEX["network"], 20_000, [0, 1, 2])
    decaying, constant, too_fast = np.log(squared[-20:]).mean((0, 2))
    assert decaying < constant - 1
    assert constant < too_fast


def table_of(horizons, steps, sgd_steps, seeds=(0,)):
    settings = {"horizons": horizons, "steps": steps, "sgd_steps": sgd_steps, "seeds": list(seeds)}
    return convergence.measure(settings, {})


def test_the_table_is_as_declared():
    table = table_of([1, 2], 10, 10)  # the smallest settings
    tidy.check(table, convergence)
    assert set(table["quantity"]) == set(convergence.QUANTITIES)
    assert not table["value"].isna().any()


def test_the_figure_shows_the_worst_functions():
    with style.context():
        fig, behind = exhibit.f28(table_of([10, 30, 100], 100, 200))
    assert "the power −0.98 on the worst smooth" in finding(fig)
    dots = behind[behind["function"] == "worst smooth"]
    assert dots["median"].to_list() == pytest.approx([1 / 42, 1 / 122, 1 / 402])
    lines = [line for line in fig.axes[1].lines if line.get_color() == style.PLUM]
    constant = behind[(behind["function"] == "absolute deviations")
                      & (behind["step_size"] == "constant")]  # fmt: skip
    assert lines[0].get_ydata() == pytest.approx(constant["median"].to_numpy())


def test_what_is_not_random_is_written_down_once():
    table = table_of([10, 30], 10, 10, seeds=(3, 4))
    constructed = ["one_over_t", "one_over_root_t", "smooth_exponent", "nonsmooth_exponent"]
    once = table[
        table["quantity"].isin(constructed)
        | table["function"].isin([*convergence.FIXED, "worst smooth", "worst nonsmooth"])
    ]
    assert set(once["seed"]) == {3} and set(constructed) <= set(once["quantity"])
    assert set(table.loc[table["function"] == "quadratic", "seed"]) == {3, 4}


@pytest.mark.parametrize("kind, quantity", [("smooth", "one_over_t"),
                                            ("nonsmooth", "one_over_root_t")])  # fmt: skip
def test_another_rate_is_no_construction(monkeypatch, kind, quantity):
    """Errors that fall as N to the power -0.8 are neither rate."""
    horizons = np.array([10, 100, 1000])

    def checks():
        return [r["value"] for r in convergence.worst_cases(horizons) if r["quantity"] == quantity]

    assert checks() == [1]
    wrong = (lambda n, *_: np.array([n**-0.8]), *convergence.CLASSES[kind][1:])
    monkeypatch.setitem(convergence.CLASSES, kind, wrong)
    assert checks() == [0]
