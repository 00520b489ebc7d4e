"""On a GPU: the CPU's numbers over the first steps, and the same outcomes afterwards."""

import pytest
import torch

from finicky.engine.optimizers import OPTIMIZERS
from finicky.engine.train import FusedBatch, Split, train
from finicky.runs import BLOCKS

from .engine_fixtures import TinyDataset, make_run

DEVICE = "cuda"
pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="PyTorch sees no GPU on this machine"
)


def moved(dataset):
    """The data set, its images and labels on the GPU."""
    dataset.shift = dataset.shift.to(DEVICE)
    for name, split in dataset.splits().items():
        setattr(dataset, name, Split(split.images.to(DEVICE), split.labels.to(DEVICE)))
    return dataset


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
@pytest.mark.parametrize("block", BLOCKS)
def test_first_steps_are_the_cpu_s(block, optimizer):
    runs = [
        make_run(depth=6, block=block, optimizer=optimizer, learning_rate=0.001, seed=seed)
        for seed in (0, 0, 1)
    ]
    losses = []
    for device, dataset in ("cpu", TinyDataset()), (DEVICE, moved(TinyDataset())):
        batch = FusedBatch(runs, dataset, device)
        with torch.no_grad():
            for index, targets in batch.batches(1):
                batch.step(index, targets)
        losses.append(torch.tensor([losses for losses, _ in batch.take_losses()]))
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-3, atol=1e-4)


def test_a_training_from_start_to_end():
    """Evaluations, probes and a run that becomes NaN among others."""
    runs = [make_run(init=init, learning_rate=rate) for init, rate in (("he", 0.1), ("he", 1e30))]
    ours, theirs = (
        train(runs, *where) for where in ((TinyDataset(),), (moved(TinyDataset()), DEVICE))
    )
    assert [r["outcome"] for r in theirs] == [r["outcome"] for r in ours] == ["finite", "nan"]
    for cpu, gpu in zip(ours[0]["curves"], theirs[0]["curves"], strict=True):
        assert gpu["test_accuracy"] == pytest.approx(cpu["test_accuracy"], abs=5)
