"""Schedules, step by step against torch.optim.lr_scheduler, and in both ways of training."""

import math

import pytest
import torch
from torch.optim import lr_scheduler as theirs

from finicky import sources
from finicky.engine import cuda, schedules, train

from .engine_fixtures import OPTIMIZERS, TinyDataset, bits, make_run, training_process

STEPS = [10, 11, 12, 100, 157]


def warm_up(optimizer, steps):
    first = schedules.warming(steps)
    return theirs.LinearLR(optimizer, 1 / first, total_iters=first - 1 or 1)


def warm_up_cosine(optimizer, steps):
    first = schedules.warming(steps)
    cosine = theirs.CosineAnnealingLR(optimizer, steps - first)
    return theirs.SequentialLR(optimizer, [warm_up(optimizer, steps), cosine], [first])


THEIRS = {
    "constant": lambda optimizer, steps: theirs.ConstantLR(optimizer, 1.0),
    "step": lambda optimizer, steps: theirs.StepLR(optimizer, math.ceil(steps / 3)),
    "linear": lambda optimizer, steps: theirs.LinearLR(optimizer, 1.0, 0.0, steps),
    "cosine": theirs.CosineAnnealingLR,
    "warm_up": warm_up,
    "warm_up_cosine": warm_up_cosine,
}


def rates_of(name, steps, learning_rate=0.3):
    """PyTorch's rate at every step."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], learning_rate)
    scheduler = THEIRS[name](optimizer, steps)
    for _ in range(steps):
        yield optimizer.param_groups[0]["lr"]
        optimizer.step()
        scheduler.step()


@pytest.mark.filterwarnings("ignore:The epoch parameter")
@pytest.mark.parametrize("name", THEIRS)
@pytest.mark.parametrize("steps", STEPS)
def test_every_step_is_pytorch_s(name, steps):
    ours = [schedules.rate(name, 0.3, step, steps) for step in range(steps)]
    assert ours == pytest.approx(list(rates_of(name, steps)), rel=1e-9, abs=1e-12)


def test_every_registered_schedule_is_compared():
    assert list(THEIRS) == sources.levels("schedule") == list(schedules.SCHEDULES)


@pytest.mark.parametrize(("step", "steps"), [(0, 0), (10, 10), (-1, 10)])
@pytest.mark.parametrize("name", THEIRS)
def test_a_schedule_without_the_step(name, step, steps):
    with pytest.raises(ValueError, match=f"a schedule of {steps} steps has no step {step}"):
        schedules.rate(name, 0.1, step, steps)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("name", list(THEIRS)[1:])
def test_a_training_takes_each_step_at_its_rate(name, optimizer):
    """Against PyTorch's optimizer and scheduler, on the same gradients, to the last step."""
    run = make_run(schedule=name, optimizer=optimizer, learning_rate=0.05, epochs=4)
    with training_process(), torch.no_grad():
        batch = train.FusedBatch([run], TinyDataset(), dtype=torch.float64)
        twin = batch.network.parameters.flat.clone().requires_grad_()
        theirs_ = OPTIMIZERS[optimizer]([twin], lr=run.learning_rate)
        scheduler = THEIRS[name](theirs_, run.steps)
        for epoch in range(1, run.epochs + 1):
            for step in batch.batches(epoch):
                b = batch.load(step[0])
                batch.network.forward(b)
                batch.compute_loss(b, step[1])
                batch.network.backward(b)
                twin.grad = batch.network.gradients.flat.clone()
                batch.step(*step)
                theirs_.step()
                scheduler.step()
                torch.testing.assert_close(
                    batch.network.parameters.flat, twin.detach(), rtol=1e-9, atol=1e-12
                )
    assert batch.steps == run.steps == 20


@pytest.mark.parametrize("name", list(THEIRS)[1:])
def test_a_gpu_s_way_has_the_same_bits(name):
    runs = [
        make_run(schedule=name, optimizer="adam", learning_rate=rate, seed=seed)
        for seed, rate in [(0, 0.01), (1, 0.001), (0, 0.001)]
    ]
    with training_process():
        dataset = TinyDataset()
        ((_, records),) = cuda.train_each([(runs, dataset)], "cpu")
        assert list(map(bits, records)) == list(map(bits, train.train(runs, dataset)))
