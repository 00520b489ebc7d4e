"""Optimizers, step by step against torch.optim in float64; and those that do nothing."""

import pytest
import torch

from finicky.engine.optimizers import OPTIMIZERS as OURS
from finicky.engine.train import FusedBatch, train
from finicky.errors import InputError

from .engine_fixtures import IDLE, TinyDataset, make_run, registered
from .engine_fixtures import OPTIMIZERS as THEIRS


@pytest.mark.parametrize("name", THEIRS)
def test_twenty_steps(name):
    """Four runs of two rates, two in a call, on gradients of all sizes."""
    random = torch.Generator().manual_seed(0)
    rates = [0.1, 0.1, 0.003, 0.003]
    flat = torch.randn(4, 48, generator=random, dtype=torch.float64)
    states = [{key: torch.zeros(2, 48).double() for key in OURS[name].state} for _ in range(2)]
    twins = [row.clone().requires_grad_() for row in flat]
    optimizers = [THEIRS[name]([twin], lr=rate) for twin, rate in zip(twins, rates, strict=True)]
    sizes = torch.logspace(-9, 2, 48, dtype=torch.float64)
    for step in range(1, 21):
        gradients = torch.randn(4, 48, generator=random, dtype=torch.float64) * sizes
        gradients[:, 0] = 0
        for state, pair in zip(states, (slice(0, 2), slice(2, 4)), strict=True):
            given = flat[pair], gradients[pair].clone(), state, rates[pair][0]
            OURS[name].update(*given, torch.tensor(float(step)))
        for row in range(4):
            twins[row].grad = gradients[row].clone()
            optimizers[row].step()
            torch.testing.assert_close(
                flat[row], twins[row].detach(), rtol=1e-12, atol=1e-14, msg=f"{name}, step {step}"
            )


@pytest.mark.parametrize("name", THEIRS)
def test_state_starts_at_zero_and_is_used(name):
    """State that is declared is written to; state that is needed is declared."""
    parameters = torch.zeros(1, 16)
    state = {key: torch.zeros(1, 16) for key in OURS[name].state}
    OURS[name].update(parameters, torch.ones(1, 16), state, 0.1, torch.tensor(1.0))
    assert parameters.lt(0).all()
    assert all(vector.ne(0).all() for vector in state.values())
    assert len(state) == len(OURS[name].state)


@pytest.mark.parametrize("name", THEIRS)
def test_runs_of_one_rate_do_not_influence_each_other(name):
    """To the bit: a CPU calls run by run what a GPU calls once."""
    random = torch.Generator().manual_seed(0)
    together, gradients = torch.randn(2, 3, 112, generator=random)
    apart = together.clone()
    state, alone = ({key: torch.zeros(3, 112) for key in OURS[name].state} for _ in range(2))
    for step in map(torch.tensor, (1.0, 2.0, 3.0)):
        OURS[name].update(together, gradients, state, 0.1, step)
        for run in range(3):
            of_run = {key: tensor[run : run + 1] for key, tensor in alone.items()}
            part = slice(run, run + 1)
            OURS[name].update(apart[part], gradients[part], of_run, 0.1, step)
    assert torch.equal(together, apart)


# ---------------------------------------------------------------- a user's optimizer


@pytest.mark.parametrize("name", IDLE)
@pytest.mark.parametrize("init", ["he", "zeros"])
def test_an_optimizer_that_does_nothing_is_noticed(name, init):
    runs = [make_run(optimizer=name, init=init, seed=seed) for seed in (0, 1)]
    with registered(name, IDLE[name]), pytest.raises(InputError) as caught:
        train(runs, TinyDataset())
    assert str(caught.value) == (
        f"workflow/finicky/engine/optimizers.py: {name}: found an optimizer that leaves the "
        "parameters as they were at its first step; allowed: one that changes them in place; "
        "what it returns is not used"
    )


def slow(parameters, gradient, state, learning_rate, step):
    parameters.sub_(gradient, alpha=learning_rate)
    return parameters


@pytest.mark.parametrize("rates", [[1e-30], [0.0], [0.0, 0.1]])
def test_what_moves_little_or_has_no_rate_yet_is_no_error(rates):
    """Biases start at 0, where the smallest step is seen; a warm-up starts with a rate of 0."""
    runs = [make_run(optimizer="slow", seed=seed) for seed in range(len(rates))]
    with registered("slow", slow), torch.no_grad():
        batch = FusedBatch(runs, TinyDataset())
        batch.rates = rates
        batch.step(*batch.batches(1)[0])


def test_what_an_optimizer_is_given():
    """[k, P] of runs with one rate, state from zero, a rate, the step as a tensor from 1."""
    steps = []

    def watched(parameters, gradient, state, learning_rate, step):
        shapes = {tuple(t.shape) for t in (parameters, gradient, state["memory"])}
        assert len(shapes) == 1 and len(parameters.shape) == 2
        assert type(learning_rate) is float and step.shape == () and step.is_floating_point()
        assert state["memory"].eq(step - 1).all()
        state["memory"].add_(1)
        steps.append(float(step))
        parameters.add_(gradient, alpha=-learning_rate)

    with registered("watched", watched, ["memory"]):
        (mine, _) = train([make_run(optimizer="watched", seed=seed) for seed in (0, 1)],
                          TinyDataset())  # fmt: skip
    assert steps == [step for step in range(1, 11) for _ in range(2)]
    (theirs,) = train([make_run(optimizer="sgd")], TinyDataset())
    assert mine["curves"][-1]["test_loss"] == pytest.approx(theirs["curves"][-1]["test_loss"])
