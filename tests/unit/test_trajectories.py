"""The chapter's rules against PyTorch, momentum's gains against theory, curvature against autograd,
and what figure and table show."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from finicky import data
from finicky.exhibits import style
from finicky.exhibits import trajectories as exhibit
from finicky.experiments import tidy, trajectories

from .engine_fixtures import training_process
from .sentences import finding


def largest(rule, kind, eps):
    problem = trajectories.random_problem(np.random.default_rng(3), kind)
    reference = trajectories.by_pytorch(rule, *problem)
    assert len(reference) == 100
    path = trajectories.by_chapter(rule, *problem, eps)
    return trajectories.deviation(path, reference, problem[0])


@pytest.mark.parametrize("kind", trajectories.GRADIENTS)
@pytest.mark.parametrize("rule", ["gradient descent", "momentum", "adam", "adamw"])
def test_rules_as_in_the_text_are_pytorch_s(rule, kind):
    assert largest(rule, kind, 1e-8) < 1e-12


def test_eps_within_the_root_matters_for_tiny_gradients():
    assert largest("rmsprop", "ordinary", 1e-8) < 1e-6
    assert largest("rmsprop", "tiny", 1e-8) > 1e-3


@pytest.mark.parametrize("rule", ["rmsprop", "adam", "adamw"])
def test_without_eps_a_gradient_of_zero_is_not_a_number(rule):
    assert largest(rule, "zero", 0) == np.inf
    assert largest(rule, "ordinary", 0) < 1e-6


def test_velocity_is_the_weighted_sum_and_no_average():
    gradients = np.array([[1.0], [10.0], [100.0]])
    assert trajectories.velocities(gradients, 0.5)[:, 0].tolist() == [1, 10.5, 105.25]
    rows = {row["quantity"]: row["value"] for row in trajectories.formulas(0, 3)}
    assert rows["velocity_error"] < 1e-13
    assert rows["velocity_is_an_average"] == 0
    assert rows["weight_sum"] == pytest.approx(10)


def rows_of(rows, quantity, *columns):
    return [tuple(row[c] for c in columns) for row in rows if row["quantity"] == quantity]


def test_momentum_damps_where_descent_swings_slower_than_its_own_decay():
    rows = list(trajectories.ravines([10, 100], [0, 1]))
    (wide,), (narrow,) = (
        [gain for number, gain in rows_of(rows, "damped_across", "condition_number", "value")
         if number == of] for of in (10, 100)
    )  # fmt: skip
    assert wide < 0 < narrow
    same = dict(rows_of(rows, "damped_across_same_rate", "learning_rate", "value"))
    # √0.9 = 0.949: descent's |1 - rate| is smaller up to a rate of 1.949
    assert [rate for rate, gain in same.items() if gain > 0] == [1.98, 2.5]
    assert rows_of(rows, "crosses_floor", "value") == [(100.0,)] * 4
    assert rows_of(rows, "crosses_floor_slowly", "value") == [(0.0,)] * 4
    checks = dict(rows_of(rows, "damps_across", "condition_number", "value"))
    assert checks == {10: wide > 0.14, 100: narrow > 0.14}
    checks = dict(rows_of(rows, "damps_across_same_rate", "learning_rate", "value"))
    assert checks == {rate: gain > 0.14 for rate, gain in same.items()}
    assert set(rows_of(rows, "speeds_along_same_rate", "value")) == {(1.0,)}
    assert rows_of(rows, "slower_when_flatter", "condition_number")[0] == (100,)


def test_what_momentum_gains_does_not_depend_on_the_start():
    landscape = trajectories.Ravine(30)
    starts = trajectories.starts_of(landscape, range(4))
    for rule in ("gradient descent", "momentum"):
        found = {tuple(trajectories.swing(rule, landscape, start[None], 1.5)) for start in starts}
        assert len(found) == 1
    rows = list(trajectories.ravines([10], [5, 6]))
    for quantity in ("damped_across", "faster_along", "damps_across", "speeds_along"):
        assert rows_of(rows, quantity, "seed") == [(5,)]


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


def test_an_unordered_list_of_ravines_is_compared_all_the_same(smallest):
    rows = smallest[smallest["quantity"] == "slower_when_flatter"]
    assert rows["condition_number"].tolist() == [100]


@pytest.fixture(scope="module")
def smallest():
    random = np.random.default_rng(0)
    labels = np.arange(200, dtype=np.uint8) % 10
    pixels = (random.uniform(0, 25, (200, 784)) * (1 + labels[:, None])).astype(np.uint8)
    settings = {"condition_numbers": [100, 10], "trials": 1, "images": 150, "epochs": 1}
    with pytest.MonkeyPatch.context() as patch, training_process():
        patch.setattr(data, "load", lambda name, folder: (pixels, labels, None, None))
        return trajectories.measure(settings | {"seeds": [0], "data": "nowhere"}, {})


def test_the_table_is_as_declared(smallest):
    tidy.check(smallest, trajectories)
    assert set(smallest["quantity"]) == set(trajectories.QUANTITIES)
    assert not smallest["value"].isna().any()


def test_the_figure_shows_the_steps_measured(smallest):
    with style.context():
        fig, behind = exhibit.f26(smallest)
    assert "plain descent" in finding(fig)
    assert {"median and range of 1 seed", "walks from one start"} <= {
        text.get_text() for text in fig.texts
    }
    steps = behind[behind["quantity"] == "steps"].set_index(["landscape", "optimizer"])["median"]
    panel = fig.axes[3]
    names = [text.get_text() for text in panel.get_yticklabels()]
    (mark,) = [
        line for line in panel.lines
        if line.get_marker() != "None" and line.get_ydata()[0] == names.index("descent")
    ]  # fmt: skip
    assert mark.get_xdata()[0] == steps["ravine", "gradient descent"]


def test_the_table_of_rules_has_the_largest_deviation():
    deviations = {
        "ordinary": [1e-16, 3e-16, 2e-16],
        "tiny": [0.01, 0.06, 0.02],
        "zero": [0.0, math.inf, 0.0],
    }
    rows = [
        {"quantity": "table_deviation", "optimizer": "adamw", "gradients": size, "seed": seed,
         "value": value}
        for size, values in deviations.items()
        for seed, value in enumerate(values)
    ]  # fmt: skip
    table = exhibit.t12(pd.DataFrame(rows), {})
    assert "printed rules" in finding(table)
    names = [row.heads for row in table.bodies[0].rows]
    assert names == [["Gradient descent"], ["Momentum"], ["RMSProp"], ["Adam"], ["AdamW"]]
    cells = table.bodies[0].rows[-1].cells
    assert [cell.text for cell in cells[:3]] == ["3·10⁻¹⁶", "0.0600", "0/0"]
    assert table.seeds == [3] and not any(cell.n for cell in cells[3:])
