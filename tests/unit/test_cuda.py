"""The GPU's way of training, without its graphs, on a CPU: the bits of the CPU's own way."""

import sys
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

from finicky.engine import cuda, train
from finicky.engine.cuda import CudaBatch, adjacent, train_each
from finicky.engine.network import Network
from finicky.engine.optimizers import OPTIMIZERS
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

# Initialisers (N(0, 1) becomes NaN in plain deep networks), rates and seeds of a batch, mixed.
MIXED = [
    ("he", 0.01, 0),
    ("normal_std_1", 0.01, 0),
    ("xavier", 0.001, 1),
    ("zeros", 0.01, 1),
    ("normal_std_1", 0.1, 2),
    ("lecun", 0.001, 0),
    ("he", 0.01, 2),
]


@pytest.fixture(autouse=True)
def settings(monkeypatch):
    """A GPU takes plain descent for an optimizer like any other; so does the CPU's way here."""
    monkeypatch.setitem(OPTIMIZERS, "sgd", replace(OPTIMIZERS["sgd"], descends=False))
    with training_process():
        yield


@pytest.fixture(scope="module")
def dataset():
    """150 images: at 64 a batch the third and last one has 22, at 32 the fifth one."""
    return TinyDataset()


def mixed_runs(**fields):
    return [
        make_run(init=init, learning_rate=rate, seed=seed, **fields) for init, rate, seed in MIXED
    ]


def batched(jobs, **options):
    """{runs: records' bits} of jobs trained the GPU's way, here."""
    return {
        tuple(runs): list(map(bits, records))
        for runs, records in train_each(jobs, "cpu", **options)
    }


def assert_bits(runs, dataset):
    (records,) = batched([(runs, dataset)]).values()
    assert records == list(map(bits, train.train(runs, dataset)))


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "rmsprop", "adam", "adamw"])
@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("depth", [2, 10])
def test_bits_are_the_cpu_s(dataset, block, optimizer, depth):
    sizes = {"width": 128, "batch_size": 64} if depth == 2 else {"width": 32, "epochs": 3}
    assert_bits(mixed_runs(block=block, optimizer=optimizer, depth=depth, **sizes), dataset)


@pytest.mark.parametrize("block", ["batch_norm", "batch_norm_residual"])
def test_a_gpu_s_sums_over_a_batch(dataset, monkeypatch, block):
    """There they are reductions, not products: other bits, the same numbers."""
    runs = mixed_runs(block=block, depth=6, optimizer="momentum", width=16)
    monkeypatch.setattr(cuda.BatchedNetwork, "on_gpu", True)
    ((_, ours),) = train_each([(runs, dataset)], "cpu", torch.float64)
    for one, other in zip(ours, train.train(runs, dataset, dtype=torch.float64), strict=True):
        assert_curves(one["curves"], other["curves"], rel=1e-9)
        assert_curves(one["layers"], other["layers"], rel=1e-6)


@pytest.mark.parametrize("activation", ["leaky_relu", "tanh", "sigmoid", "selu", "identity"])
def test_bits_of_other_activations(dataset, activation):
    runs = mixed_runs(activation=activation, depth=6, block="residual", optimizer="adam")
    assert_bits(runs, dataset)


@pytest.mark.parametrize(
    ("images", "batch_size"), [(128, 64), (20, 64), (64, 64), (70, 64), (150, 150)]
)
def test_sizes_of_batches(images, batch_size):
    """No smaller batch, only a smaller one, a single one, two of which one is tiny."""
    runs = mixed_runs(images=images, batch_size=batch_size, optimizer="adam", epochs=3)
    assert_bits(runs, TinyDataset(images=images))


@pytest.mark.parametrize("order", [MIXED, MIXED[::-1], MIXED[2:3], MIXED[:1] * 3])
def test_any_mix_of_seeds_and_rates(dataset, order):
    runs = [
        make_run(init=init, learning_rate=rate, seed=seed, depth=6, optimizer="momentum")
        for init, rate, seed in order
    ]
    assert_bits(runs, dataset)


def exploding(count, **fields):
    """Runs of which the first `count` become NaN within an epoch."""
    inits = ["normal_std_1"] * count + ["he"] * (4 - count)
    fields = {"depth": 10, "width": 128, "batch_size": 64, "epochs": 4, "optimizer": "sgd"} | fields
    return [make_run(init=init, seed=seed, **fields) for seed, init in enumerate(inits)]


@pytest.mark.parametrize("count", [0, 1, 3, 4])
def test_runs_that_became_nan(dataset, monkeypatch, count):
    """They stay and change nothing; if all have ended, the training is over."""
    seen, forward = [], Network.forward

    def watched(network, *args, **options):
        seen.append(len(network.parameters.flat))
        return forward(network, *args, **options)

    expected = list(map(bits, train.train(exploding(count), dataset)))
    monkeypatch.setattr(Network, "forward", watched)
    (records,) = batched([(exploding(count), dataset)]).values()
    assert records == expected
    assert set(seen) == {4}
    # A start's probe, two trials, three steps an epoch, probes after the first and last one; that
    # all have ended is known after the second one.
    assert len(seen) == (1 + 2 + 4 * 3 + 2 if count < 4 else 1 + 2 + 2 * 3 + 1)


def test_nan_by_the_last_update_of_an_epoch(dataset):
    runs = exploding(2, batch_size=150)
    assert_bits(runs, dataset)


@pytest.mark.parametrize("at_once", [1, 2, 16])
def test_many_batches_side_by_side(dataset, monkeypatch, at_once):
    """Of several sizes of data, lengths and architectures; each is complete when it is yielded."""
    monkeypatch.setattr(cuda, "STEPS_A_TURN", 2)
    small = TinyDataset(images=70)
    jobs = [
        (mixed_runs(optimizer="adam"), dataset),
        (mixed_runs(depth=6, block="batch_norm", epochs=1), dataset),
        (mixed_runs(images=70, epochs=5), small),
        (mixed_runs(depth=6, activation="tanh")[:1], dataset),
    ]
    found = batched(jobs, at_once=at_once)
    assert len(found) == len(jobs)
    for runs, of in jobs:
        assert found[tuple(runs)] == list(map(bits, train.train(runs, of)))
    if at_once == 1:
        assert [list(runs) for runs in found] == [runs for runs, _ in jobs]
    else:
        assert list(found)[0] != tuple(jobs[0][0]), "the shortest is finished first"


def test_a_job_is_taken_when_its_turn_comes(dataset):
    """So that data sets are loaded one by one."""
    taken = []

    def jobs():
        for seed in range(4):
            taken.append(seed)
            yield [make_run(seed=seed)], dataset

    finished = train_each(jobs(), "cpu", at_once=2)
    next(finished)
    assert taken == [0, 1]
    assert len(list(finished)) == 3 and taken == [0, 1, 2, 3]


def test_shares_of_the_time_add_up(dataset):
    jobs = [(mixed_runs(optimizer=optimizer), dataset) for optimizer in ("sgd", "adam")]
    records = [record for _, of_batch in train_each(jobs, "cpu") for record in of_batch]
    assert all(record["seconds"] > 0 for record in records)
    assert [record["fused"] for record in records] == [len(MIXED)] * 2 * len(MIXED)


# ---------------------------------------------------------------- memory


@pytest.fixture
def small_memory(monkeypatch):
    """`small_memory(rows)`: batches side by side may have so many rows; more raise PyTorch's error.

    Returns the list of attempts: rows of the batch that was begun.
    """
    attempts, load = [], CudaBatch.start_epoch

    def limit(rows, scheduler):
        def start(batch, epoch):
            attempts.append(len(batch.runs))
            if sum(len(running.runs) for running in scheduler().active) > rows:
                raise torch.OutOfMemoryError("CUDA out of memory")
            load(batch, epoch)

        monkeypatch.setattr(CudaBatch, "start_epoch", start)
        return attempts

    return limit


def with_little_memory(small_memory, jobs, rows, **options):
    scheduler = cuda.Scheduler(jobs, "cpu", torch.float32, options.get("at_once", 16), True)
    attempts = small_memory(rows, lambda: scheduler)
    found = {
        run: bits(record)
        for runs, records in scheduler.finished()
        for run, record in zip(runs, records, strict=True)
    }
    return found, attempts


@pytest.mark.parametrize("rows", [1, 2, 5, 8, 100])
def test_out_of_memory_means_smaller_batches(dataset, small_memory, rows):
    """Whatever fits, each run is trained, once, to the same bits."""
    jobs = [(mixed_runs(optimizer=optimizer), dataset) for optimizer in ("sgd", "adam", "rmsprop")]
    runs = [run for job, _ in jobs for run in job]
    expected = [bits(record) for job in jobs for record in train.train(*job)]
    found, attempts = with_little_memory(small_memory, jobs, rows)
    assert [found[run] for run in runs] == expected
    if rows < len(MIXED):
        assert any(len(MIXED) > attempt for attempt in attempts)
    if rows == 100:
        assert attempts == [len(MIXED)] * 3 * 2


def test_a_run_that_does_not_fit_alone(dataset, small_memory):
    with pytest.raises(torch.OutOfMemoryError):
        with_little_memory(small_memory, [(mixed_runs(), dataset)], 0)


def test_batches_are_cut_to_the_memory_that_is_there(dataset):
    """Half of it at most for one batch, all of it together."""
    scheduler = cuda.Scheduler(
        [(mixed_runs(), dataset), (mixed_runs(epochs=1), dataset)], "cpu", torch.float32, 16, True
    )
    scheduler.memory = 4.5 * cuda.bytes_needed([make_run()], dataset)
    assert scheduler.begin()
    assert [len(running.runs) for running in scheduler.active] == [1, 2]
    found = [run for runs, _ in scheduler.finished() for run in runs]
    assert sorted(map(repr, found)) == sorted(map(repr, mixed_runs() + mixed_runs(epochs=1)))


@pytest.mark.parametrize("depth", [2, 56])
@pytest.mark.parametrize("block", ["plain", "batch_norm"])
def test_estimated_memory(depth, block):
    """At least the tensors that a batch holds all the time."""
    runs = [make_run(depth=depth, block=block, optimizer="adam", width=128, batch_size=64)] * 3
    dataset = TinyDataset()
    batch = CudaBatch(runs, dataset, "cpu")
    vectors = 4 * batch.network.parameters.flat.nbytes
    buffers = sum(
        tensor.nbytes
        for b in batch.buffers.values()
        for tensor in vars(b).values()
        if isinstance(tensor, torch.Tensor)
    )
    assert vectors + buffers < cuda.bytes_needed(runs, dataset) < 20 * vectors + 1e8


# ---------------------------------------------------------------- parts


def test_adjacent():
    assert list(adjacent([0, 0, 1, 0])) == [(0, slice(0, 2)), (1, slice(2, 3)), (0, slice(3, 4))]
    assert list(adjacent([])) == []


def test_one_call_of_the_optimizer_for_each_rate(dataset, monkeypatch):
    """[k, P] for the k runs of a rate; the step counts from 1, as a tensor."""
    calls = []
    runs = mixed_runs(optimizer="adam", epochs=1)
    batch = CudaBatch(runs, dataset, "cpu")
    update = batch.optimizer.update

    def watched(parameters, gradient, state, learning_rate, step):
        shapes = {tuple(t.shape) for t in (parameters, gradient, *state.values())}
        assert step.shape == () and step.dtype == torch.float32
        calls.append((shapes, learning_rate, float(step)))
        update(parameters, gradient, state, learning_rate, step)

    monkeypatch.setattr(batch.optimizer, "update", watched)
    with torch.no_grad():
        batch.start_epoch(1)
        calls.clear()
        for _ in batch.steps():
            pass
    length = batch.network.parameters.flat.shape[1]
    of_rates = [(0.001, 2), (0.01, 4), (0.1, 1)]
    assert calls == [
        ({(k, length)}, rate, step) for step in (1, 2, 3, 4, 5) for rate, k in of_rates
    ]


def test_rows_are_ordered_by_rate_and_seed(dataset):
    batch = CudaBatch(mixed_runs(), dataset, "cpu")
    keys = [(run.learning_rate, run.seed) for run in batch.runs]
    assert keys == sorted(keys)
    assert [MIXED[place][1:] for place in batch.places] == keys


def test_trying_leaves_no_trace(dataset):
    batch = CudaBatch(mixed_runs(block="batch_norm", optimizer="adam"), dataset, "cpu")
    tensors = [
        batch.network.parameters.flat, batch.network.running_mean, batch.network.running_var,
        batch.step_count, *batch.state.values(),
    ]  # fmt: skip
    kept = [tensor.clone() for tensor in tensors]
    with torch.no_grad():
        batch.start_epoch(1)
    assert all(map(torch.equal, tensors, kept))


class Graph:
    """A CUDA graph of one step, as far as CudaBatch uses it: replays what was captured."""

    made = []

    def __init__(self):
        self.captured = []
        self.made.append(self)

    def replay(self):
        for batch, size in self.captured:
            STEP(batch, size)


STEP = CudaBatch.step


@pytest.fixture
def graphs(monkeypatch):
    """CUDA's graphs acted out; the list of those that were made."""
    capturing = []

    @contextmanager
    def capture(graph, pool, stream):
        assert (pool, stream) == ("pool", "stream")
        capturing.append(graph)
        yield
        capturing.pop()

    def step(batch, size):
        if capturing:
            capturing[-1].captured.append((batch, size))
        else:
            STEP(batch, size)

    monkeypatch.setattr(CudaBatch, "step", step)
    monkeypatch.setattr(Graph, "made", [])
    for name, value in {
        "graph": capture, "CUDAGraph": Graph, "graph_pool_handle": lambda: "pool",
        "current_stream": lambda: "stream", "get_sync_debug_mode": lambda: 0,
        "set_sync_debug_mode": lambda mode: None, "synchronize": lambda: None,
    }.items():  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, value)
    make = CudaBatch.__init__

    def capturing_batch(batch, *args):
        make(batch, *args)
        batch.captures = True

    monkeypatch.setattr(CudaBatch, "__init__", capturing_batch)
    return Graph.made


@pytest.mark.parametrize("block", ["plain", "batch_norm"])
def test_a_graph_for_each_size_of_a_batch(dataset, graphs, block):
    """Captured once, replayed at every step, to the same bits."""
    assert_bits(mixed_runs(optimizer="adam", block=block, epochs=3), dataset)
    assert [[size for _, size in graph.captured] for graph in graphs] == [[32], [22]]


def test_a_step_that_cannot_be_captured(dataset, graphs, monkeypatch, capsys):
    """Trains all the same; a lack of memory is no such thing."""

    def refuse(mode):
        if mode == "error":
            raise RuntimeError("called a synchronizing CUDA operation")

    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", refuse)
    assert_bits(mixed_runs(optimizer="adam"), dataset)
    assert graphs == [] and "runs without one" in capsys.readouterr().err

    def lack(mode):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", lack)
    with pytest.raises(torch.OutOfMemoryError):
        batched([(mixed_runs()[:1], dataset)])


def test_without_a_graph_a_message_says_why(dataset, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    batch = CudaBatch(mixed_runs(optimizer="adam"), dataset, "cpu")
    batch._go_without_graphs(RuntimeError("called a synchronizing CUDA operation\nat line 1"))
    said = capsys.readouterr().err
    assert said.startswith("optimizer adam, activation relu: a step cannot be captured")
    assert "(called a synchronizing CUDA operation)" in said and said.count("\n") == 1
    assert not batch.captures


def test_other_devices_come_here(dataset, monkeypatch):
    """train and train_each are the entries for every device."""
    asked = []

    def instead(jobs, device, dtype):
        asked.append((device, dtype))
        return ((runs, [{} for _ in runs]) for runs, _ in jobs)

    monkeypatch.setattr(cuda, "train_each", instead)
    assert train.train([make_run()], dataset, "cuda") == [{}]
    assert asked == [("cuda", torch.float32)]
    train.train([make_run()], dataset)
    assert len(asked) == 1 and "finicky.engine.cuda" in sys.modules


@pytest.mark.parametrize("name", IDLE)
def test_an_optimizer_that_does_nothing_is_noticed_here_too(dataset, name):
    with registered(name, IDLE[name]), pytest.raises(InputError, match=name):
        list(train_each([([make_run(optimizer=name)], dataset)], "cpu"))
