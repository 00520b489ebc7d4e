"""On a GPU: the CPU's numbers, the same bits however batches are put together, graphs, memory.

The data sets are made here; `make test-gpu` runs this file where there is a GPU.
"""

import pytest
import torch

from finicky.engine import cuda
from finicky.engine.activations import ACTIVATIONS, activation
from finicky.engine.cuda import CudaBatch, train_each
from finicky.engine.optimizers import OPTIMIZERS
from finicky.engine.train import FusedBatch, Split, train
from finicky.errors import InputError
from finicky.runs import BLOCKS

from .engine_fixtures import (
    IDLE,
    TinyDataset,
    assert_curves,
    bits,
    make_run,
    registered,
    training_process,
)

DEVICE = "cuda"
pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="PyTorch sees no GPU on this machine"
)

# Initialisers, rates and seeds of a batch, mixed; N(0, 1) becomes NaN in a plain deep network.
MIXED = [("he", 0.01, 0), ("normal_std_1", 0.01, 0), ("xavier", 0.001, 1), ("lecun", 0.001, 0),
         ("he", 0.01, 2)]  # fmt: skip


@pytest.fixture(autouse=True)
def settings():
    with training_process():
        yield


def moved(dataset):
    """The data set, its images and labels on the GPU."""
    dataset.shift = dataset.shift.to(DEVICE)
    for name, split in dataset.splits().items():
        setattr(dataset, name, Split(split.images.to(DEVICE), split.labels.to(DEVICE)))
    return dataset


@pytest.fixture(scope="module")
def here():
    """On the CPU: 1,000 images, 15 whole batches of 64 and one of 40."""
    return TinyDataset(images=1000)


@pytest.fixture(scope="module")
def there():
    """The same on the GPU."""
    return moved(TinyDataset(images=1000))


def mixed_runs(**fields):
    fields = {"images": 1000, "batch_size": 64, "width": 128, "optimizer": "adam"} | fields
    return [
        make_run(init=init, learning_rate=rate, seed=seed, **fields) for init, rate, seed in MIXED
    ]


def on_gpu(runs, dataset, **options):
    """{run: its record}, trained as one job."""
    return {
        run: record
        for runs, records in train_each([(runs, dataset)], DEVICE, **options)
        for run, record in zip(runs, records, strict=True)
    }


def batch_losses(runs, dataset, steps, dtype, graphs=True):
    """Losses [steps, R] of a CudaBatch, in the order of `runs`."""
    with torch.cuda.stream(torch.cuda.Stream()), torch.no_grad():
        batch = CudaBatch(runs, dataset, DEVICE, dtype, graphs)
        tables = []
        for epoch in range(1, 3):
            batch.start_epoch(epoch)
            for _ in batch.steps():
                pass
            ended = batch.end_epoch(epoch)
            ended.arrived()
            tables += [cuda.batch_scores(*parts)[0] for parts in ended.batches]
    losses = torch.empty_like(torch.cat(tables))
    losses[:, batch.places] = torch.cat(tables)
    return losses[:steps]


def cpu_losses(runs, dataset, steps, dtype):
    batch = FusedBatch(runs, dataset, dtype=dtype)
    with torch.no_grad():
        for index, targets in [*batch.batches(1), *batch.batches(2)][:steps]:
            batch.step(index, targets)
    return torch.tensor([losses for losses, _ in batch.take_losses()], dtype=dtype).T


# ---------------------------------------------------------------- the CPU's numbers


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
@pytest.mark.parametrize("block", BLOCKS)
def test_thirty_steps_in_double_precision(block, optimizer, here, there):
    """Over the end of an epoch with its smaller batch."""
    fields = {"depth": 10, "block": block, "optimizer": optimizer, "width": 32}
    runs = [run for run in mixed_runs(**fields) if run.init != "normal_std_1"]
    theirs = cpu_losses(runs, here, 30, torch.float64)
    ours = batch_losses(runs, there, 30, torch.float64)
    torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
@pytest.mark.parametrize("block", BLOCKS)
def test_first_steps_in_single_precision(block, optimizer, here, there):
    """Three steps: what follows in batch-normalised networks is chaos on any two machines, and
    RMSProp's first steps, which have full size however small a gradient is, begin it."""
    runs = [run for run in mixed_runs(depth=6, block=block, optimizer=optimizer)
            if run.init != "normal_std_1"]  # fmt: skip
    theirs = cpu_losses(runs, here, 3, torch.float32)
    ours = batch_losses(runs, there, 3, torch.float32)
    torch.testing.assert_close(ours, theirs, rtol=5e-3, atol=1e-4)


@pytest.mark.parametrize("block", BLOCKS)
def test_a_training_from_start_to_end(block, here, there):
    """Curves, probes, and a run that becomes NaN among others, in double precision."""
    runs = mixed_runs(depth=10, block=block, optimizer="momentum", epochs=2, width=32)
    runs[1:2] = [make_run(**vars(runs[1]) | {"learning_rate": 1e100})]
    ours = train(runs, here, dtype=torch.float64)
    theirs = train(runs, there, DEVICE, torch.float64)
    assert [r["outcome"] for r in theirs] == [r["outcome"] for r in ours]
    assert theirs[1]["outcome"] == "nan"
    for cpu, gpu in zip(ours, theirs, strict=True):
        assert_curves(gpu["curves"], cpu["curves"], rel=1e-6)
        assert_curves(gpu["layers"], cpu["layers"], rel=1e-6)


# ---------------------------------------------------------------- the same bits


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("block", ["plain", "batch_norm_residual"])
def test_a_graph_gives_the_bits_of_its_steps(block, optimizer, there):
    runs = mixed_runs(depth=10, block=block, optimizer=optimizer)
    captured, stepwise = on_gpu(runs, there), on_gpu(runs, there, graphs=False)
    for run in runs:
        assert bits(captured[run]) == bits(stepwise[run]), run


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("depth", [2, 10])
@pytest.mark.parametrize("block", ["plain", "batch_norm_residual"])
def test_fused_as_alone(block, depth, optimizer, there):
    """On one card. The probes' sums over a run's values may end in other digits."""
    runs = mixed_runs(depth=depth, block=block, optimizer=optimizer)
    together = on_gpu(runs, there)
    for run in runs:
        alone = on_gpu([run], there)[run]
        assert bits(alone | {"layers": []}) == bits(together[run] | {"layers": []}), run
        for one, other in zip(alone["layers"], together[run]["layers"], strict=True):
            numbers = {name: value for name, value in other.items() if value is not None}
            assert {name: one[name] for name in numbers} == pytest.approx(
                numbers, rel=1e-4, abs=1e-6
            )


def test_sixteen_streams_as_one(there):
    jobs = [
        ([run for run in mixed_runs(depth=depth, block=block, activation=function)], there)
        for depth in (2, 10)
        for block in ("plain", "batch_norm_residual")
        for function in ("relu", "tanh", "sigmoid", "selu")
    ]
    assert len(jobs) == 16

    def trained(at_once):
        return {
            (run.depth, run.block, run.activation, run): bits(record)
            for runs, records in train_each(jobs, DEVICE, at_once=at_once)
            for run, record in zip(runs, records, strict=True)
        }

    assert trained(16) == trained(1)


# ---------------------------------------------------------------- a user's code in a graph


def nesterov(parameters, gradient, state, learning_rate, step):
    """Uses its state, the step as a tensor, and makes tensors of its own."""
    weight = 1 - 1 / (step + 1)
    velocity = state["velocity"].mul_(weight).add_(gradient)
    parameters.sub_(learning_rate * (gradient + weight * velocity))


def reads_back(parameters, gradient, state, learning_rate, step):
    """Asks for a value, which no graph can."""
    factor = 2.0 if step.item() > 3 else 1.0
    parameters.add_(gradient, alpha=-learning_rate * factor)


@pytest.mark.parametrize(("update", "captured"), [(nesterov, True), (reads_back, False)])
def test_a_users_optimizer(update, captured, here, there, capsys):
    with registered("own", update, ["velocity"]):
        runs = [make_run(images=1000, batch_size=64, optimizer="own", seed=s) for s in (0, 0, 1)]
        theirs = cpu_losses(runs, here, 30, torch.float64)
        ours = batch_losses(runs, there, 30, torch.float64)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
    said = capsys.readouterr().err
    assert said == "" if captured else said.startswith("optimizer own, activation relu: a step")


def softplus(z):
    return torch.nn.functional.softplus(z)


def branching(z):
    return z * 0.5 if z.sum().isnan().item() else z.clamp(min=0)


@pytest.mark.parametrize(("function", "captured"), [(softplus, True), (branching, False)])
def test_a_users_activation(function, captured, here, there, capsys):
    """Differentiated by autograd, in a graph."""
    activation("own")(function)
    try:
        runs = mixed_runs(depth=6, activation="own", width=32, block="batch_norm")
        theirs = cpu_losses(runs, here, 30, torch.float64)
        ours = batch_losses(runs, there, 30, torch.float64)
    finally:
        del ACTIVATIONS["own"]
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
    said = capsys.readouterr().err
    assert said == "" if captured else "activation own: a step cannot be captured" in said


@pytest.mark.parametrize("name", IDLE)
def test_an_optimizer_that_does_nothing(name, there):
    with registered(name, IDLE[name]), pytest.raises(InputError, match=name):
        on_gpu([make_run(images=1000, optimizer=name)], there)


# ---------------------------------------------------------------- memory


@pytest.mark.parametrize("share", ["of one batch", "of all"])
def test_out_of_memory_means_smaller_batches(share, there):
    """The card is made small; what does not fit begins anew, and nothing is lost."""
    jobs = [
        ([make_run(images=1000, batch_size=64, width=128, depth=20, optimizer="adam", seed=seed)
          for seed in range(8 * job, 8 * job + 8)], there)
        for job in range(8)
    ]  # fmt: skip
    total = torch.cuda.get_device_properties(0).total_memory

    def peak(jobs):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        list(train_each(jobs, DEVICE))
        return torch.cuda.max_memory_reserved()

    one, all_of_them = peak(jobs[:1]), peak(jobs)
    held = torch.cuda.memory_allocated()
    torch.cuda.empty_cache()
    room = held + 0.6 * (one - held) if share == "of one batch" else (one + all_of_them) / 2
    torch.cuda.set_per_process_memory_fraction(room / total)
    try:
        scheduler = cuda.Scheduler(jobs, DEVICE, torch.float32, 16, True)
        finished = [(runs, records) for runs, records in scheduler.finished()]
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    trained = [run for runs, _ in finished for run in runs]
    assert sorted(run.seed for run in trained) == list(range(64))
    assert all(record["outcome"] == "finite" for _, records in finished for record in records)
    assert len(scheduler.streams) < 16
    assert (len(finished) > len(jobs)) == (share == "of one batch")
