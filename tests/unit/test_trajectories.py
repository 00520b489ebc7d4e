"""Update rules against PyTorch and by hand, landscapes against autograd, walks against theory."""

import numpy as np
import pytest
import torch

from finicky import data
from finicky.experiments import trajectories
from finicky.experiments.trajectories import Banana, Kinked, Ravine, Saddle

RULES = ["descent", "momentum", "rmsprop", "adam", "adamw"]


def largest(rule, kind, eps):
    stream = trajectories.gradient_stream(np.random.default_rng(3), kind)
    reference = trajectories.by_pytorch(rule, *stream)
    assert len(reference) == 100
    path = trajectories.by_chapter(rule, *stream, eps)
    return trajectories.deviation(path, reference, stream[0])


@pytest.mark.parametrize("kind", trajectories.KINDS)
@pytest.mark.parametrize("rule", ["descent", "momentum", "adam", "adamw"])
def test_rules_as_in_the_text_are_pytorch_s(rule, kind):
    assert largest(rule, kind, 1e-8) < 1e-12


def test_eps_within_the_root_matters_for_tiny_gradients():
    assert largest("rmsprop", "ordinary", 1e-8) < 1e-6
    assert largest("rmsprop", "tiny", 1e-8) > 1e-3


@pytest.mark.parametrize("rule", ["rmsprop", "adam", "adamw"])
def test_without_eps_a_gradient_of_zero_is_not_a_number(rule):
    assert largest(rule, "zero", 0) == np.inf
    assert largest(rule, "ordinary", 0) < 1e-6


def test_nesterov_looks_ahead():
    rate, beta, landscape = 0.1, 0.5, Ravine(4)
    start = np.array([[1.0, 2.0]])
    positions = trajectories.walk("nesterov", landscape, start, [rate], [beta], 2)
    _, first, second = (theta[0, 0] for theta in positions)
    curvature, velocity = np.array([0.25, 1.0]), np.array([0.25, 2.0])
    assert first == pytest.approx([1 - 0.1 * 0.25, 2 - 0.1 * 2])
    velocity = beta * velocity + curvature * (first - rate * beta * velocity)
    assert second == pytest.approx(first - rate * velocity)


def test_velocity_is_the_weighted_sum_and_no_average():
    gradients = np.array([[1.0], [10.0], [100.0]])
    assert trajectories.velocities(gradients, 0.5)[:, 0].tolist() == [1, 10.5, 105.25]
    rows = {row["quantity"]: row["value"] for row in trajectories.formulas(0, 3)}
    assert rows["velocity_error"] < 1e-13
    assert rows["velocity_is_an_average"] == 0
    assert rows["weight_sum"] == pytest.approx(10)


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
    monkeypatch.setattr(trajectories, "STAY", 3)

    def settled(*values):
        return trajectories.settled(path_of(*values), np.abs, 0.1).item()

    assert settled(10, 5, 1, -1, 0, 0, 0, 0) == 2
    assert settled(10, 1, 1, 5, 1, 0, 0, 0, 0) == 4
    assert settled(10, 1, 1, 1, 1, 50, 50) == 1  # stayed for three steps: the goal is reached
    assert settled(10, 5, 1) == 2  # stays to the end
    assert settled(10, 5, np.nan, 5) == 3  # never


def test_descent_takes_the_steps_of_theory():
    landscape, rate = Ravine(100), 1.9
    positions = trajectories.walk("descent", landscape, np.array([[1.0, -1.0]]), [rate], [0], 900)
    along, across = trajectories.settled(positions, np.abs, 0.01)[0, 0]
    assert along == np.ceil(np.log(0.01) / np.log(1 - rate / 100))
    assert across == np.ceil(np.log(0.01) / np.log(rate - 1))


def test_the_best_rate_of_descent_in_a_ravine_is_the_textbook_s():
    rate, beta = trajectories.tuned("descent", Ravine(100), [0])
    assert (rate, beta) == (pytest.approx(2 / 1.01), 0)
    rate, beta = trajectories.tuned("momentum", Ravine(100), [0, 0.65, 0.9])
    assert beta == 0.65  # Polyak's (9/11)² = 0.669


def rows_of(rows, quantity, *columns):
    return [tuple(row[c] for c in columns) for row in rows if row["quantity"] == quantity]


def test_momentum_damps_where_descent_swings_slower_than_its_own_decay():
    rows = list(trajectories.ravines([10, 100], [0]))
    (wide,), (narrow,) = (
        [gain for number, gain in rows_of(rows, "damped_across", "condition_number", "value")
         if number == of] for of in (10, 100)
    )  # fmt: skip
    assert wide < 0 < narrow
    same = dict(rows_of(rows, "damped_across_same_rate", "learning_rate", "value"))
    # √0.9 = 0.949: descent's |1 - rate| is smaller up to a rate of 1.949
    assert [rate for rate, gain in same.items() if gain > 0] == [1.98, 2.5]
    assert rows_of(rows, "crosses_floor", "value") == [(100.0,), (100.0,)]
    assert rows_of(rows, "crosses_floor_slowly", "value") == [(0.0,), (0.0,)]
    assert rows_of(rows, "slower_when_flatter", "condition_number")[0] == (100,)


def test_polyak_s_momentum_circles_on_the_kinked_bowl():
    landscape = Kinked()
    for rule, arrives in (("momentum", False), ("nesterov", True)):
        rate, beta = landscape.best_for_quadratics[rule]
        starts = trajectories.starts_of(landscape, [0, 1])
        steps = trajectories.reach(rule, landscape, starts, [rate], [beta])
        assert ((steps < landscape.horizon) == arrives).all()


def test_hessian_diagonal_is_autograd_s():
    generator = torch.Generator().manual_seed(0)
    weights, images = (
        0.3 * torch.randn(shape, generator=generator, dtype=torch.float64)
        for shape in ((730,), (7, 49))
    )
    labels = torch.tensor([0, 1, 2, 3, 9, 9, 5])
    weights.requires_grad_()
    (gradient,) = torch.autograd.grad(
        trajectories.loss(weights, images, labels), weights, create_graph=True
    )
    found = trajectories.hessian_diagonal(weights.detach(), images, labels)
    for index in range(0, 730, 13):
        (row,) = torch.autograd.grad(gradient[index], weights, retain_graph=True)
        assert found[index].item() == pytest.approx(row[index].item(), rel=1e-10, abs=1e-15)


def test_a_smoke_run_draws(monkeypatch):
    random = np.random.default_rng(0)
    labels = np.arange(200, dtype=np.uint8) % 10
    pixels = (random.uniform(0, 25, (200, 784)) * (1 + labels[:, None])).astype(np.uint8)
    monkeypatch.setattr(data, "load", lambda name, folder: (pixels, labels, None, None))
    settings = {"condition_numbers": [10, 100], "trials": 1, "images": 150, "epochs": 1}
    table = trajectories.measure(settings | {"seeds": [0], "data": "nowhere"}, {})
    assert set(table["quantity"]) == set(trajectories.QUANTITIES)
    assert not table["value"].isna().any()
    fig, behind = trajectories.draw(table)["F26"]
    assert "medians of 1 seed; walks from one start" in {text.get_text() for text in fig.texts}
    steps = behind[behind["quantity"] == "steps"].set_index(["problem", "optimizer"])["median"]
    legend = [text.get_text() for text in fig.axes[0].get_legend().get_texts()]
    assert f"descent: {steps['ravine', 'descent']:.0f}" in legend
