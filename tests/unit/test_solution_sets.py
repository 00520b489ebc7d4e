"""The dimension of the set of solutions: ranks by hand, and solutions that solve."""

import pytest
import torch

from finicky.experiments import solution_sets

from .engine_fixtures import training_process


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    with training_process():
        yield


def test_rank_of_the_jacobian_by_hand():
    x = torch.tensor([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [0.0, 1.0, 0.0]], dtype=torch.float64)
    weights = torch.zeros(3, dtype=torch.float64)
    assert solution_sets.rank(lambda w, x: (x @ w)[:, None], x, weights) == 2


def test_dimensions_of_solutions():
    rows = [r for r in solution_sets.rows([0], 3) if r["quantity"] == "dimension_error"]
    found = {(row["network"], row["targets"]): row["value"] for row in rows}
    assert found == {
        ("linear", "random"): 0,
        ("two layers, tanh", "random"): 0,
        ("two layers, ReLU", "random"): 0,
        ("two layers, tanh", "one example twice"): 1,
        ("two linear layers", "of a linear map"): 17,
        ("two layers, tanh", "ten outputs"): 180,
        ("two layers, tanh", "of two units"): 9,
    }


@pytest.mark.parametrize("case", solution_sets.CASES, ids=lambda case: f"{case[0]}, {case[1]}")
def test_what_counts_as_a_solution_fits(case):
    x, y, found = solution_sets.solved(case, seed=1, solutions=2)
    assert y.shape == (20, 10 if case.targets == "ten outputs" else 1)
    assert found.shape[1] == case.parameters and len(found)
    for parameters in found:
        assert (case.f(parameters, x) - y).abs().max() < 1e-7 * y.abs().max()


def test_a_network_padded_with_zeros_is_one_of_two_units():
    (parameters,) = solution_sets.padded(torch.ones(1, 151))
    w, b, v, c = parameters.split([90, 30, 30, 1])
    assert w.view(3, 30).sum(0).tolist() == [3, 3] + 28 * [0]
    assert b.tolist() == v.tolist() == [1, 1] + 28 * [0] and c.tolist() == [1]


def test_without_a_solution_there_is_no_number(monkeypatch):
    monkeypatch.setattr(solution_sets, "solve", lambda f, x, y, starts: starts[:0])
    rows = list(solution_sets.rows([0], 1))
    unsolved = [row["value"] for row in rows if row["targets"] != "of two units"]
    assert len(unsolved) == 12 and all(value != value for value in unsolved)
