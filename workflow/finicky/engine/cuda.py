"""Training on a CUDA device: no loop over runs, one graph a step, many fused batches side by side.

A small network's step is a few dozen kernels of some microseconds, so what counts on a GPU is how
many there are and how they are started:

- All runs of a batch go through each kernel together. Those of one rate lie side by side, and of
  them those of one seed: one product for the first layer of each seed, whose images are broadcast,
  and one call of the optimizer for each rate.
- A step is captured in a CUDA graph. All that it needs lies on the device: the epoch's order, the
  number of the batch, the optimizer's step; what the losses are made of goes into a table that is
  read once an epoch, while the next one is already running. A learning rate that a schedule changes
  from step to step is no part of a graph: such runs take their steps without one.
- Several batches train at once, each on its own stream, in turns.

Runs that became NaN stay, and cost their share, until their batch ends: no row influences another,
and a product's rounding may depend on how many rows it has. For the same reason losses are summed
on the host: how PyTorch splits a sum over a whole row on a GPU depends on how many rows there are.
(What a probe finds is summed there all the same, and may differ in its last digits.) All but the
capture runs on any device, and on a CPU gives the bits of train.FusedBatch, where no batch is a
single image. Code in this file counts in the identity of a GPU's runs only.
"""

import itertools
import math
import sys
import time
import warnings
from collections import deque
from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch

from finicky.engine import probes, streams
from finicky.engine.evaluation import answers, scores
from finicky.engine.history import History
from finicky.engine.network import (
    BN_EPS,
    Architecture,
    Buffers,
    Network,
    Stacked,
    cross_entropy,
    mean_loss,
)
from finicky.engine.optimizers import OPTIMIZERS, check_in_place
from finicky.engine.schedules import scheduled_rates

STREAMS = 16  # batches side by side; more brought little on an H200
STEPS_A_TURN = 16  # steps of a batch that are started before it is the next one's turn
EVALUATION_BATCH = 2000  # images; the CPU's 500 would start four times as many kernels


def adjacent(keys):
    """Groups of equal neighbours: pairs (key, slice of their places)."""
    start = 0
    for key, members in itertools.groupby(keys):
        stop = start + sum(1 for _ in members)
        yield key, slice(start, stop)
        start = stop


def broadcast(matrix, count):
    """[count, n, m] of the same matrix [n, m], not copied."""
    return matrix.expand(count, *matrix.shape)


class BatchedNetwork(Network):
    """A Network whose runs go through the first layer a group at a time, not one by one.

    A run has the same bits in any batch because no operation here rounds by how many runs there
    are. cuBLAS's do in three cases (on an H100), which are avoided: a batch of a single product
    (two are made of it), products with a single row, and those that add to their result.
    """

    @property
    def on_gpu(self):
        """Whether cuBLAS makes the products."""
        return self.parameters.flat.is_cuda

    def _first_forward(self, buffers, z):
        p = self.parameters
        for group, part in adjacent(buffers.group):
            w, b, out = p.weights[0][part], p.biases[0][part], z[part]
            if len(w) > 1:
                torch.baddbmm(b, broadcast(buffers.x[group], len(w)), w, out=out)
            else:
                x, w, b = broadcast(buffers.x[group], 2), broadcast(w[0], 2), broadcast(b[0], 2)
                out.copy_(torch.baddbmm(b, x, w)[:1])

    def _first_gradient(self, buffers, delta, finished):
        for group, part in adjacent(buffers.group):
            x = broadcast(buffers.x[group], part.stop - part.start)
            torch.bmm(x.mT, delta[part], out=self.gradients.weights[0][part])

    def _centre(self, buffers, layer):
        if not self.on_gpu:
            return super()._centre(buffers, layer)
        b, z = buffers, buffers.z[layer]
        variance, mean = torch.var_mean(z, 1, correction=0, keepdim=True)
        torch.add(variance, BN_EPS, out=b.var[layer])
        z.sub_(b.mean[layer].copy_(mean))

    def _sum_over_batch(self, buffers, x, out):
        if not self.on_gpu:
            return super()._sum_over_batch(buffers, x, out)
        return torch.sum(x, 1, keepdim=True, out=out)


@dataclass
class Epoch:
    """What an epoch left behind, on its way to the host: read it after `arrived`."""

    number: int
    batches: list  # of each size of a batch: two tables, for `batch_scores`
    evaluations: dict  # split: two tables, for `totals`
    internals: dict | None  # probes.statistics, where the layers were probed
    arrived: Callable  # waits until all that is here


class CudaBatch:
    """Runs in training together on a GPU (or, without graphs, anywhere).

    They share everything but init, learning rate and seed. Their order here is by rate and seed:
    `places[i]` is the place in `runs` of the run in row i. What is enqueued runs on the stream that
    is current; `graphs=False` does without them.
    """

    def __init__(self, runs, dataset, device="cuda", dtype=torch.float32, graphs=True):
        one = runs[0]
        self.dataset, self.device, self.dtype = dataset, torch.device(device), dtype
        self.images, self.size, self.epochs = len(dataset.train.labels), one.batch_size, one.epochs
        self.steps_an_epoch = math.ceil(self.images / self.size)
        self.level = one.optimizer
        self.optimizer = OPTIMIZERS[one.optimizer].with_decay(one.weight_decay)
        self.scheduled, self.taken = one.schedule != "constant", 0  # steps taken, if scheduled
        self.captures = graphs and self.device.type == "cuda" and not self.scheduled
        self.places = sorted(
            range(len(runs)), key=lambda place: (runs[place].learning_rate, runs[place].seed)
        )
        self.runs = [runs[place] for place in self.places]
        self.architecture = Architecture.of(one, dataset)
        starts = [(run.init, run.seed) for run in self.runs]
        self.network = BatchedNetwork.initial(self.architecture, starts, dtype, device)
        flat = self.network.parameters.flat
        self.state = {name: torch.zeros_like(flat) for name in self.optimizer.state}
        self.step_count = torch.zeros((), device=device)
        self._make_buffers()

    def _make_buffers(self):
        runs, device = len(self.runs), self.device
        self.seeds = list(dict.fromkeys(run.seed for run in self.runs))
        group = [self.seeds.index(run.seed) for run in self.runs]
        self.group = torch.tensor(group, device=device)
        self.train = self.dataset.seen_by(self.runs)
        self.rates = [run.learning_rate for run in self.runs]
        self.batch_number = torch.zeros(1, dtype=torch.int64, device=device)
        whole, rest = divmod(self.images, self.size)
        counts = {size: n for size, n in ((self.size, whole), (rest, 1)) if size and n}
        self.buffers, self.order, self.picked, self.right = {}, {}, {}, {}
        for size, count in counts.items():
            self.buffers[size] = Buffers(self.architecture, group, size, self.dtype, device)
            # Which images the batches of this size have, and what came out: see network.score.
            shape = (count, len(self.seeds), size)
            self.order[size] = torch.zeros(shape, dtype=torch.int64, device=device)
            self.picked[size] = torch.zeros(count, runs, size, dtype=self.dtype, device=device)
            self.right[size] = torch.zeros(count, runs, size, dtype=torch.bool, device=device)
        self.graphs = {}

    # ---- a step

    def step(self, size):
        """One optimizer step of every run on its next batch, of `size` images; returns nothing."""
        b = self.load(size)
        labels = self.train.labels.expand(len(self.runs), 1, -1)
        targets = labels.gather(2, self.index.index_select(0, self.group).unsqueeze(1))
        self.network.forward(b)
        picked, answer = cross_entropy(b, targets)
        self.note(self.picked[size], picked)
        self.note(self.right[size], answer == targets)
        self.step_count.add_(1)
        self.network.backward(b)
        self.update()
        self.batch_number.add_(1)

    def load(self, size):
        """Buffers with the next batch in them; `self.index` [S, size] says which images it has."""
        b, order = self.buffers[size], self.order[size]
        self.index = order[0] if len(order) == 1 else order.index_select(0, self.batch_number)[0]
        pixels = self.dataset.train.images.index_select(0, self.index.reshape(-1))
        self.dataset.normalise(pixels.view(b.x.shape), b.x)
        return b

    def note(self, table, of_runs):
        """Write [R, 1, B] into the batch's place in a table [batches, R, B]."""
        if len(table) == 1:
            table.copy_(of_runs.transpose(0, 1))
        else:
            table.index_copy_(0, self.batch_number, of_runs.transpose(0, 1))

    def update(self):
        """The optimizer's step: one call for all runs of a rate."""
        if self.scheduled:
            self.rates = scheduled_rates(self.runs, self.taken)
            self.taken += 1
        flat, gradient = self.network.parameters.flat, self.network.gradients.flat
        for rate, part in adjacent(self.rates):
            state = {name: tensor[part] for name, tensor in self.state.items()}
            self.optimizer.update(flat[part], gradient[part], state, rate, self.step_count)

    # ---- graphs

    def prepare(self):
        """Try each size of step and capture it; afterwards all is as it was before."""
        changing = [self.network.parameters.flat, *self.state.values(), self.step_count]
        if self.architecture.batch_norm:
            changing += [self.network.running_mean, self.network.running_var]
        kept = [tensor.clone() for tensor in changing]
        self._try_steps(before=kept[0])
        if self.captures:
            try:
                self._capture()
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                self._go_without_graphs(error)
        for tensor, start in zip(changing, kept, strict=True):
            tensor.copy_(start)

    def _try_steps(self, before):
        """A step of each size as it is, so that errors in a user's code show as what they are."""
        for size in self.order:
            self._first_step(size)
            if self.step_count == 1:
                after, gradient = self.network.parameters.flat, self.network.gradients.flat
                check_in_place(self.level, before, after, gradient, self.rates)

    def _first_step(self, size):
        self.batch_number.zero_()
        self.step(size)

    def _capture(self):
        """A graph of a step of each size, in one memory pool: they never run at the same time."""
        with refusing_to_wait():
            for size in self.order:
                self._first_step(size)
        pool = torch.cuda.graph_pool_handle()
        for size in self.order:
            graph = torch.cuda.CUDAGraph()
            # On its own stream: graphs captured on one stream share cuBLAS's workspace, and
            # replayed at the same time they would overwrite each other's sums.
            with torch.cuda.graph(graph, pool=pool, stream=torch.cuda.current_stream()):
                self.step(size)
            self.graphs[size] = graph

    def _go_without_graphs(self, error):
        self.graphs, self.captures = {}, False
        torch.cuda.synchronize()
        reason = str(error).strip().splitlines()[0]
        print(
            f"optimizer {self.level}, activation {self.architecture.activation}: a step cannot be "
            f"captured in a CUDA graph and runs without one, several times slower ({reason}). "
            "An update rule or activation must not read values back (.item(), float(), if)",
            file=sys.stderr,
        )

    # ---- an epoch

    def start_epoch(self, epoch):
        """Load the epoch's order of images."""
        of_seeds = [streams.permutation(self.images, seed, "order", epoch) for seed in self.seeds]
        order, start = torch.stack(of_seeds), 0
        for size, on_device in self.order.items():
            count = len(on_device)
            part = order[:, start : start + count * size].view(-1, count, size).transpose(0, 1)
            self._upload(part.contiguous(), on_device)
            start += count * size
        if epoch == 1:
            self.prepare()
            self.taken = 0
        self.batch_number.zero_()

    def _upload(self, source, target):
        """Copy to the device; page-locked, so that nobody waits for what is still running there."""
        if self.device.type == "cuda":
            source = source.pin_memory()
        target.copy_(source, non_blocking=True)

    def steps(self):
        """Start the steps of an epoch, one each time that the iterator is asked."""
        for size, order in self.order.items():
            for _ in range(len(order)):
                if size in self.graphs:
                    self.graphs[size].replay()
                else:
                    self.step(size)
                yield

    def end_epoch(self, epoch):
        """Evaluate, probe, and send the epoch's numbers to the host: an Epoch."""
        batches = [self._download((self.picked[size], self.right[size])) for size in self.order]
        splits = self.dataset.splits_after(epoch, self.epochs, self.train)
        evaluations = {name: self._download(self.evaluate(split)) for name, split in splits.items()}
        internals = self.probe() if epoch in (1, self.epochs) else None
        return Epoch(epoch, batches, evaluations, internals, self.arrival())

    def evaluate(self, split):
        """`evaluation.answers` to all images of a split: [1, R, N] each."""
        parts = zip(*answers(self.network, self.dataset, split, EVALUATION_BATCH), strict=True)
        return [torch.cat(part, 2).transpose(0, 1) for part in parts]

    def probe(self):
        """probes.statistics, on their way to the host."""
        images, _ = self.dataset.first(probes.PROBE_IMAGES, self.dtype)
        targets = self.train.labels[..., : probes.PROBE_IMAGES]
        found = probes.statistics(self.network, images, targets)
        return dict(zip(found, self._download(found.values()), strict=True))

    def _download(self, tensors):
        """Copies on the host: complete when what was enqueued so far is done."""
        return [tensor.to("cpu", non_blocking=True, copy=True) for tensor in tensors]

    def arrival(self):
        """A function that waits until what was enqueued so far is done."""
        if self.device.type != "cuda":
            return lambda: None
        event = torch.cuda.Event()
        event.record()
        return event.synchronize


def read(epoch, histories, images):
    """Take an Epoch into its runs' histories."""
    epoch.arrived()
    of_sizes = [batch_scores(*tables) for tables in epoch.batches]
    losses, correct = (torch.cat(parts) for parts in zip(*of_sizes, strict=True))
    evaluations = {
        name: scores(*totals(*tables), tables[0].shape[2])
        for name, tables in epoch.evaluations.items()
    }
    internals = probes.by_run(epoch.internals) if epoch.internals else None
    columns = zip(losses.T.tolist(), correct.T.tolist(), strict=True)
    for row, (history, of_steps) in enumerate(zip(histories, columns, strict=True)):
        if history.ended:
            continue
        history.add_steps(*of_steps)
        if history.ended:
            continue
        history.end_epoch(epoch.number, images, {name: of[row] for name, of in evaluations.items()})
        if internals:
            history.add_layers(epoch.number, internals[row])


def batch_scores(picked, right):
    """Losses and counts of correct answers [batches, R] from two tables [batches, R, B]."""
    losses = mean_loss(picked.flatten(0, 1).unsqueeze(1))
    return losses.view(picked.shape[:2]), right.sum(2)


def totals(picked, right):
    """Summed losses (float64) and counts of correct answers [R] from two tables [1, R, N]."""
    return 0 - picked[0].sum(1, dtype=torch.float64), right[0].sum(1)


def training(runs, dataset, device, dtype, graphs):
    """Train a CudaBatch in pieces: each next() starts some steps; returns History.records.

    An epoch's numbers are read when the next one has been started, so that the device never waits.
    A run without company is trained twice: see BatchedNetwork.
    """
    alone = len(runs) == 1
    runs = runs * 2 if alone else runs
    batch = CudaBatch(runs, dataset, device, dtype, graphs)
    histories = [History(batch.steps_an_epoch) for _ in runs]
    internals, arrived, unread = batch.probe(), batch.arrival(), None
    arrived()
    for history, of_run in zip(histories, probes.by_run(internals), strict=True):
        history.add_layers(0, of_run)
    for epoch in range(1, batch.epochs + 1):
        batch.start_epoch(epoch)
        for done, _ in enumerate(batch.steps(), 1):
            if done % STEPS_A_TURN == 0:
                yield
        latest = batch.end_epoch(epoch)
        if unread:
            read(unread, histories, batch.images)
        unread = latest
        if all(history.ended for history in histories):
            break
    read(unread, histories, batch.images)
    records = [None] * len(runs)
    for place, history in zip(batch.places, histories, strict=True):
        history.fill(batch.epochs, batch.images)
        records[place] = history.record()
    return records[:1] if alone else records


@contextmanager
def refusing_to_wait():
    """Within it, PyTorch refuses (RuntimeError) what would make the host wait for the device."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this mode is a prototype
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode(before)


# ---------------------------------------------------------------- many batches at once


@dataclass
class Running:
    """A fused batch in training: its job, its turns, its stream, its share of the time."""

    runs: list
    dataset: object
    turns: object
    stream: object
    seconds: float = 0.0


class Scheduler:
    """Trains jobs, pairs (runs, dataset), `at_once` side by side as far as there is memory.

    A batch for which the memory does not suffice after all begins anew: with fewer others beside
    it or, if it was alone, as two halves.
    """

    def __init__(self, jobs, device, dtype, at_once, graphs):
        self.jobs, self.again, self.active = iter(jobs), deque(), []
        self.options = device, dtype, graphs
        self.on_gpu = torch.device(device).type == "cuda"
        self.streams = [new_stream(device) for _ in range(at_once)]
        self.memory = torch.cuda.mem_get_info()[0] if self.on_gpu else math.inf

    def finished(self):
        """Yields (runs, records) of each batch when it is finished."""
        clock = time.perf_counter()
        while self.begin():
            for running in list(self.active):
                records, failure = self.turn(running)
                clock, before = time.perf_counter(), clock
                for one in self.active:
                    one.seconds += (clock - before) / len(self.active)
                if failure is not None:
                    self.begin_anew(running, failure)
                elif records is not None:
                    self.active.remove(running)
                    self.streams.append(running.stream)
                    share = {"seconds": running.seconds / len(records), "fused": len(records)}
                    yield running.runs, [record | share for record in records]

    def begin(self):
        """Begin as many jobs as there are streams and memory; whether any is active now."""
        while self.streams and (
            job := self.again.popleft() if self.again else next(self.jobs, None)
        ):
            while len(job[0]) > 1 and bytes_needed(*job) > self.memory / 2:
                job, rest = halves(*job)
                self.again.appendleft(rest)
            taken = sum(bytes_needed(running.runs, running.dataset) for running in self.active)
            if self.active and taken + bytes_needed(*job) > self.memory:
                self.again.appendleft(job)
                break
            turns = training(*job, *self.options)
            self.active.append(Running(*job, turns, self.streams.pop()))
        return bool(self.active)

    def turn(self, running):
        """One turn of a batch: (records, if it is finished; the error, if memory lacked)."""
        try:
            with on_stream(running.stream), torch.no_grad():
                next(running.turns)
        except StopIteration as end:
            return end.value, None
        except torch.OutOfMemoryError as error:
            return None, error.with_traceback(None)  # a traceback would hold the batch's tensors
        return None, None

    def begin_anew(self, running, failure):
        """Put back a batch that lacked memory."""
        self.active.remove(running)
        job = running.runs, running.dataset
        if self.active:  # fewer side by side from now on: its stream is not used again
            self.again.appendleft(job)
        elif len(running.runs) > 1:
            self.streams.append(running.stream)
            self.again.extendleft(reversed(halves(*job)))
        else:
            raise failure
        if self.on_gpu:
            torch.cuda.empty_cache()


def train_each(jobs, device="cuda", dtype=torch.float32, at_once=STREAMS, graphs=True):
    """train.train_each on a GPU: many batches side by side."""
    return Scheduler(jobs, device, dtype, at_once, graphs).finished()


def new_stream(device):
    """A stream of a GPU; None elsewhere."""
    return torch.cuda.Stream() if torch.device(device).type == "cuda" else None


def on_stream(stream):
    """A context in which work goes to a stream of `new_stream`."""
    return torch.cuda.stream(stream) if stream else nullcontext()


def halves(runs, dataset):
    """A job as two."""
    middle = len(runs) // 2
    return [(runs[:middle], dataset), (runs[middle:], dataset)]


def bytes_needed(runs, dataset):
    """Estimated memory of a fused batch while it trains."""
    one = runs[0]
    shape = Architecture.of(one, dataset)
    state = len(OPTIMIZERS[one.optimizer].state)
    # Parameters and gradients; parameters and state once more while graphs are captured.
    vectors = (3 + 2 * state) * Stacked.row_length(shape)
    # z, u and y of each layer, of a step's two sizes; of a probe, with what it makes of them.
    layer = shape.hidden * shape.width * 3 * (2 * one.batch_size + 2 * probes.PROBE_IMAGES)
    evaluation = 6 * EVALUATION_BATCH * shape.width
    tables = 2 * one.images * (2 if one.label_noise else 1)  # with labels of each run's own
    return 4 * len(runs) * (vectors + layer + evaluation + tables)
