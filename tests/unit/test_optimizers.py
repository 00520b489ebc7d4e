"""Optimizers, step by step against torch.optim in float64."""

import pytest
import torch

from finicky.engine.optimizers import OPTIMIZERS as OURS

from .engine_fixtures import OPTIMIZERS as THEIRS


@pytest.mark.parametrize("name", THEIRS)
def test_twenty_steps(name):
    """Two runs in one flat buffer, each with its own rate, on gradients of all sizes."""
    random = torch.Generator().manual_seed(0)
    rates = [0.1, 0.003]
    flat = torch.randn(2, 48, generator=random, dtype=torch.float64)
    states = [{key: torch.zeros_like(row) for key in OURS[name].state} for row in flat]
    twins = [row.clone().requires_grad_() for row in flat]
    optimizers = [THEIRS[name]([twin], lr=rate) for twin, rate in zip(twins, rates, strict=True)]
    sizes = torch.logspace(-9, 2, 48, dtype=torch.float64)
    for step in range(1, 21):
        gradients = torch.randn(2, 48, generator=random, dtype=torch.float64) * sizes
        gradients[:, 0] = 0
        for row, rate in enumerate(rates):
            OURS[name].update(flat[row], gradients[row].clone(), states[row], rate, step)
            twins[row].grad = gradients[row].clone()
            optimizers[row].step()
            torch.testing.assert_close(
                flat[row], twins[row].detach(), rtol=1e-12, atol=1e-14, msg=f"{name}, step {step}"
            )


@pytest.mark.parametrize("name", THEIRS)
def test_state_starts_at_zero_and_is_used(name):
    """State that is declared is written to; state that is needed is declared."""
    parameters = torch.zeros(16)
    state = {key: torch.zeros(16) for key in OURS[name].state}
    OURS[name].update(parameters, torch.ones(16), state, 0.1, 1)
    assert parameters.lt(0).all()
    assert all(vector.ne(0).all() for vector in state.values())
    assert len(state) == len(OURS[name].state)
