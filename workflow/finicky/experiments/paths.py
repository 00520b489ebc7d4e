"""Is a residual network an ensemble of paths? Counting them, cutting them, and weighing them.

L blocks are expanded into 2^L paths. Blocks of trained networks are deleted and exchanged, and
layers of plain ones. The gradient is split by the number of blocks that a path goes through, which
is exact: the coefficients of a polynomial that is carried back through the network.
"""

import math
from dataclasses import replace
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
import torch

from finicky.data import CHANCE
from finicky.engine import streams
from finicky.experiments import chains, identities, tidy, training
from finicky.experiments.best_rates import CHAPTER
from finicky.experiments.chains import CHAPTERS_RATE
from finicky.runs import BLOCKS

TITLE = "Paths through a residual network: how many, how needed, how long"
READS = []
DATASETS = ["mnist", "fashion_mnist"]
SETTINGS = {
    "datasets": ("datasets", "data sets"),
    "trials": ("trials", "random networks per seed whose paths are listed"),
    "width": ("width", "units of a hidden layer"),
    "depths": (
        {"type": "array", "minItems": 1, "uniqueItems": True,
         "items": {"type": "integer", "minimum": 6, "multipleOf": 2, "maximum": 1000}},
        "of the networks of which blocks and layers are deleted",
    ),
    "length_depths": (
        {"type": "array", "minItems": 2, "uniqueItems": True,
         "items": {"type": "integer", "minimum": 18, "multipleOf": 2, "maximum": 1000}},
        "of the residual networks whose paths are weighed after training, at the chapter's rate",
    ),
    "start_depths": (
        {"type": "array", "minItems": 2, "uniqueItems": True,
         "items": {"type": "integer", "minimum": 18, "multipleOf": 2, "maximum": 1000}},
        "of those whose paths are weighed at the start",
    ),
    "images": ("images", "training images"),
    "epochs": ("epochs", "of training"),
    "rates": ("rates", "of Adam, among which each kind of network has its own best"),
    "test_images": ("test_images", "on which networks with blocks missing are scored"),
    "draws": ("count", "random orders in which blocks are deleted or exchanged"),
    "probe_images": ("test_images", "that gradients are taken of"),
    "samples": ("count", "single paths of each length, as Veit et al. draw them"),
}  # fmt: skip
QUANTITIES = {
    "count_error": ("", "paths found by walking through a network of L blocks against 2^L, largest "
                    "relative error over L"),
    "sum_error": ("", "sum of what all 2^L paths give for an input against the network's output, "
                  "largest relative error over random networks in float64"),
    "gradient_sum_error": ("", "sum of all paths' gradients against the network's, likewise"),
    "drop": ("pp", "test accuracy lost when one block is deleted, mean over the blocks"),
    "median_drop": ("pp", "the same, median over the blocks"),
    "largest_drop": ("pp", "the same, the block that costs most"),
    "drop_at": ("pp", "the same, by block"),
    "below_twice_chance": ("pp", "20 % minus the test accuracy that is left when one layer, or two "
                           "neighbours, of a plain network are deleted, mean over them"),
    "plain_minus_residual": ("pp", "accuracy lost: two neighbouring layers of the plain network "
                             "minus one block of the residual one, means over them"),
    "smoothness": ("pp", "50 % minus the largest fall from n to n + 1 deleted blocks as a share of "
                   "the whole fall, from none to all; mean accuracies over random orders"),
    "accuracy_left": ("%", "test accuracy by the number of deleted blocks, mean over orders"),
    "exchange_drop": ("pp", "test accuracy lost when two random blocks change places, mean"),
    "path_length": ("blocks", "mean number of blocks on a path, weighed by gradient"),
    "share_of_length": ("%", "of the gradient, by the number of blocks on a path"),
    "growth": ("", "power q with which the mean path length grows as (ln L)^q, fitted"),
    "growth_at_least_log": ("", "the same, but 1 where growth is slower than that of log L, which "
                            "is an upper bound"),
    "power_of_blocks": ("", "power p with which the mean path length grows as L^p, fitted"),
    "test_accuracy": ("%", "of the whole network"),
}  # fmt: skip
BUDGET = {
    "{images} images of {dataset}, {epochs} epochs": [
        "drop",
        "median_drop",
        "largest_drop",
        "drop_at",
        "below_twice_chance",
        "plain_minus_residual",
        "smoothness",
        "accuracy_left",
        "exchange_drop",
        "path_length",
        "share_of_length",
        "growth",
        "growth_at_least_log",
        "power_of_blocks",
        "test_accuracy",
    ],
}
LIMITS = {
    "images % 64 != 1": "no batch of one image",
}
CONDITIONS = {
    "dataset": "level",
    "depth": "integer",
    "block": "level",
    "after_the_sum": ["nothing after the sum", "ReLU after the sum"],
    "stage": ["at the start", "trained"],
    "rate": ["chapter", "own best"],
    "images": "integer",
    "epochs": "integer",
    "deleted": ["one layer", "two layers"],
    "paths": ["all of a length together", "single paths"],
    "blocks": ["linear blocks", "ReLU blocks", "small ReLU blocks"],
    "place": "integer",
    "number": "integer",
}


TOGETHER, SINGLE = "all of a length together", "single paths"
ONE, TWO = "one layer", "two layers"
START, TRAINED = "at the start", "trained"
MOST_LISTED = 10  # blocks of a network whose paths are all listed
SMALL = 0.01  # of F, for blocks that are nearly the identity


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, condition and seed; QUANTITIES says what each number is."""
    rows = []
    for seed in settings["seeds"]:
        random = np.random.default_rng([seed, 107])
        found = listed(random, settings["trials"])
        rows += [{"quantity": q, "seed": seed, "value": v, **where} for q, v, where in found]
    for name in settings["datasets"]:
        dataset = training.prepared(name, settings, settings["images"])
        ends = {
            kind: chains.train(kind, dataset, name, settings, rates)[-1]
            for kind, rates in to_train(settings)
        }
        found = [*lesions(ends, dataset, settings), *lengths(ends, dataset, settings)]
        rows += [row | {"dataset": name} for row in found]
    return tidy.from_rows(rows, CONDITIONS)


def to_train(settings):
    """Yields (kind, learning rates): where blocks are deleted every kind of the engine's at all
    rates, elsewhere the residual ones, clean too, at the chapter's."""
    for depth in sorted({*settings["depths"], *settings["length_depths"]}):
        for block in BLOCKS:
            kind = chains.Kind(depth, block, settings["width"])
            if depth in settings["depths"]:
                yield kind, chains.rates_of(settings)
            elif block in chains.RESIDUAL:
                yield kind, [chains.CHAPTERS_RATE]
            if depth in settings["length_depths"] and block in chains.RESIDUAL:
                yield replace(kind, clean=True), [chains.CHAPTERS_RATE]


# ---- All paths of small random networks ---------------------------------------------------------


def listed(random, trials):
    """Yields (quantity, largest error over the trials, where) of networks of random blocks whose
    paths are listed."""
    counts = [abs(len(set(paths(blocks))) / 2**blocks - 1) for blocks in range(1, MOST_LISTED + 1)]
    yield "count_error", max(counts), {}
    for name, scale, relu in (
        ("linear blocks", 1.0, False),
        ("ReLU blocks", 1.0, True),
        ("small ReLU blocks", SMALL, True),
    ):
        sums, gradients = [], []
        for trial in range(trials):
            width, blocks = 3 + trial % 4, 2 + trial % 5
            inner, outer = random.normal(0, 1 / math.sqrt(width), (2, blocks, width, width))
            network = Blocks(inner, scale * outer, relu)
            x = random.normal(0, 1, width)
            sums.append(network.sum_error(x))
            gradients.append(network.gradient_sum_error(x))
        yield "sum_error", max(sums), {"blocks": name}
        yield "gradient_sum_error", max(gradients), {"blocks": name}


def paths(blocks, at=0):
    """Yields every way from the first block to the end: the numbers of the blocks that it goes
    through; at each there are two ways on, through it and around it."""
    if at == blocks:
        yield ()
        return
    for rest in paths(blocks, at + 1):
        yield rest
        yield (at, *rest)


class Blocks:
    """x + F(x) again and again, F(x) = V f(U x), f a ReLU or nothing; U, V of blocks [L, n, n]."""

    def __init__(self, inner, outer, relu):
        self.inner, self.outer, self.relu = inner, outer, relu

    def body(self, number, x):
        """F of a block."""
        h = self.inner[number] @ x
        return self.outer[number] @ (np.maximum(h, 0) if self.relu else h)

    def derivative(self, number, x):
        """∂F/∂x of a block at its own input x."""
        on = self.inner[number] @ x > 0 if self.relu else np.ones(len(x))
        return self.outer[number] @ (on[:, None] * self.inner[number])

    def sum_error(self, x):
        """The paths' outputs, each of them blocks in a row without the others, against the
        network's."""
        total = np.zeros_like(x)
        for path in paths(len(self.inner)):
            h = x
            for number in path:
                h = self.body(number, h)
            total += h
        y = x
        for number in range(len(self.inner)):
            y = y + self.body(number, y)
        return identities.relative_error(total, y)

    def gradient_sum_error(self, x):
        """The paths' products of derivatives, each taken at the hidden values of the whole network,
        against the network's derivative by complex steps."""
        derivatives, h = [], x
        for number in range(len(self.inner)):
            derivatives.append(self.derivative(number, h))
            h = h + self.body(number, h)
        total = np.zeros((len(x), len(x)))
        for path in paths(len(self.inner)):
            product = np.eye(len(x))
            for number in path:
                product = derivatives[number] @ product
            total += product
        return identities.relative_error(total, identities.complex_step_jacobian(self.whole, x))

    def whole(self, x):
        """The network's output; of complex x as an analytic function's, by the sign of the real
        part."""
        for number in range(len(self.inner)):
            h = self.inner[number] @ x
            x = x + self.outer[number] @ (h * (h.real > 0) if self.relu else h)
        return x


# ---- Blocks taken out of trained networks -------------------------------------------------------


def lesions(ends, dataset, settings):
    """Yields rows of what trained networks lose with their blocks; ends: {kind: Trained}."""
    for depth in settings["depths"]:
        lost = {}
        for block in BLOCKS:
            trained = ends[chains.Kind(depth, block, settings["width"])]
            rows, lost[block] = of_kind(trained, dataset, settings)
            yield from rows
        for plain, residual in zip(("plain", "batch_norm"), chains.RESIDUAL, strict=True):
            for rate, seed in lost[plain] | lost[residual]:
                loss, other = (
                    # where an arm's own best rate is the chapter's, that is its arm
                    lost[block].get((rate, seed), lost[block][CHAPTER, seed])
                    for block in (plain, residual)
                )
                levels = {"depth": depth, "block": plain, "rate": rate, "seed": seed}
                levels |= chains.budget(settings)
                yield {"quantity": "plain_minus_residual", "value": loss - other, **levels}


def of_kind(trained, dataset, settings):
    """(rows of the trained networks of one kind with blocks missing or exchanged, accuracy lost
    with one block, or two plain layers, by (at which rate, seed))."""
    arms = trained.arms(chains.accuracies(trained, dataset, "validation"))
    used = sorted({row for _, _, row in arms})
    statistics, _ = chains.inputs(dataset, "train")
    chain = chains.folded(trained.kind, trained.flat[used], statistics, torch.float32)
    tested = chains.inputs(dataset, "test", settings["test_images"], torch.float32)
    lesion = Lesion(chain, *tested)
    left = lesion.without(lesion.blocks)
    seeds = [trained.seeds[row] for row in used]
    found = [*one_missing(lesion, left), *many_missing(lesion, seeds, settings["draws"])]
    rows, lost = [], {}
    for rate, seed, row in arms:
        place = used.index(row)
        levels = {"rate": rate, "seed": seed, "outcome": trained.outcome(row)}
        levels |= chains.budget(settings)
        for quantity, values, where in found:
            numbers = {name: float(of[place]) for name, of in values.items()}
            rows.append({"quantity": quantity, **trained.kind.levels, **levels, **numbers, **where})
        lost[rate, seed] = float((lesion.whole - left.mean(0))[place])
    return rows, lost


class Lesion:
    """Chains of R networks that are scored with units missing or in another order.

    units: functions from hidden values to hidden values; `blocks` are residual blocks or pairs of
    plain layers, `layers` single plain layers. whole: accuracy in % [R].
    """

    def __init__(self, chain, images, labels):
        self.chain, self.images, self.labels = chain, images, labels
        self.first = chain.first(images)
        self.blocks = [partial(chain.block, number) for number in range(chain.kind.blocks)]
        self.layers = []
        if not chain.residual:
            numbers = range(1, chain.kind.depth - 1)
            self.layers = [lambda h, n=number: chain.layer(n, h).relu_() for number in numbers]
        self.whole = self.scored(self.blocks, np.ones((len(self.first), len(self.blocks))))

    def scored(self, units, kept):
        """Accuracy in % [R] if network r goes through those units whose kept[r, unit] is 1."""
        h = self.first
        for unit, keeps in zip(units, torch.as_tensor(kept).bool().T, strict=True):
            h = torch.where(keeps[:, None, None], unit(h), h)
        return np.array(self.chain.accuracy(h, self.labels))

    def without(self, units):
        """Accuracy [units, R] without each unit in turn."""
        every = np.ones((len(self.first), 1))
        return np.array([self.scored(units, every * kept) for kept in 1 - np.eye(len(units))])

    def exchanged(self, orders):
        """Accuracy [R] with the blocks in the orders [R, L]."""
        parts = [list(part) for part in (self.chain.weights, self.chain.biases)]
        every = torch.arange(len(orders))
        for part in parts:
            for inner in (1, 2):
                blocks = torch.stack(part[inner:-1:2])  # [L, R, ...]
                part[inner:-1:2] = list(blocks[torch.as_tensor(orders).T, every])
        other = Lesion(chains.Chain(self.chain.kind, *parts), self.images, self.labels)
        return other.whole


def one_missing(lesion, left):
    """Yields (quantity, its numbers by name [R], where) for one unit missing at a time; left:
    accuracies [blocks, R] without each block."""
    if lesion.chain.residual:
        fall = lesion.whole - left
        for quantity, average in (
            ("drop", np.mean), ("median_drop", np.median), ("largest_drop", np.max)
        ):  # fmt: skip
            lost = average(fall, 0)
            yield quantity, {"value": lost, "a": lesion.whole, "b": lesion.whole - lost}, {}
        for place, lost in enumerate(fall, 1):
            yield "drop_at", {"value": lost}, {"place": place}
        return
    for deleted, remains in ((ONE, lesion.without(lesion.layers)), (TWO, left)):
        mean = remains.mean(0)
        numbers = {"value": 2 * CHANCE - mean, "a": lesion.whole, "b": mean}
        yield "below_twice_chance", numbers, {"deleted": deleted}
        for place, lost in enumerate(lesion.whole - remains, 1):
            yield "drop_at", {"value": lost}, {"deleted": deleted, "place": place}


def many_missing(lesion, seeds, draws):
    """Yields the same for blocks that are deleted in random orders, or change places; seeds: of
    the networks."""
    count = len(lesion.blocks)
    curves, exchanges = [], []
    for draw in range(draws):
        keys = {seed: streams.permutation(count, seed, "paths", draw).numpy() for seed in seeds}
        orders = np.array([keys[seed] for seed in seeds])
        ranks = orders.argsort(1)
        curves.append([lesion.scored(lesion.blocks, ranks >= n) for n in range(count + 1)])
        changed = np.arange(count) + 0 * orders
        pairs = orders[:, :2]
        np.put_along_axis(changed, pairs, pairs[:, ::-1], 1)
        exchanges.append(lesion.exchanged(changed))
    curve = np.mean(curves, 0)  # [blocks deleted, R]
    for number, accuracy in enumerate(curve):
        yield "accuracy_left", {"value": accuracy}, {"number": number}
    numbers = {"value": 50 - largest_step(curve), "a": curve[0], "b": curve[-1]}
    yield "smoothness", numbers, {}
    mean = np.mean(exchanges, 0)
    yield "exchange_drop", {"value": lesion.whole - mean, "a": lesion.whole, "b": mean}, {}
    yield "test_accuracy", {"value": lesion.whole}, {}


def largest_step(curve):
    """The largest fall between neighbours of curve [n, R] as % of the fall from the first to the
    last, [R]; 100 where there is none."""
    whole = curve[0] - curve[-1]
    step = (curve[:-1] - curve[1:]).max(0)
    return np.where(whole > 0, 100 * step / np.maximum(whole, 1e-9), 100.0)


# ---- Paths weighed by their gradient ------------------------------------------------------------


def lengths(ends, dataset, settings):
    """Yields rows of path lengths of residual networks, and of how they grow with blocks."""
    stages = (
        ({"stage": START}, settings["start_depths"]),
        (
            {"stage": TRAINED, "rate": CHAPTER, **chains.budget(settings)},
            settings["length_depths"],
        ),
    )
    for (stage, depths), block, clean in product(stages, chains.RESIDUAL, (False, True)):
        means = {}
        for depth in depths:
            kind = chains.Kind(depth, block, settings["width"], clean)
            flat = chains.starts(kind, settings["seeds"])
            if stage["stage"] == TRAINED:
                trained = ends[kind]
                rates = zip(trained.seeds, trained.rates, strict=True)
                at = {seed: i for i, (seed, rate) in enumerate(rates) if rate == CHAPTERS_RATE}
                flat = trained.flat[[at[seed] for seed in settings["seeds"]]]
            for ways, shares in weighed(kind, flat, dataset, settings).items():
                where = {"block": block, "after_the_sum": kind.levels["after_the_sum"], **stage}
                where |= {"paths": ways}
                means.setdefault(ways, (where, {}))[1][kind.blocks] = (
                    np.arange(len(shares)) @ shares
                )
                for seed, of_seed in zip(settings["seeds"], shares.T, strict=True):
                    yield from of_lengths(of_seed, {**where, "depth": depth, "seed": seed})
        for where, by_blocks in means.values():
            blocks, mean = np.array(list(by_blocks)), np.array(list(by_blocks.values()))
            for seed, of_seed in zip(settings["seeds"], mean.T, strict=True):
                yield from growth(blocks, of_seed, {**where, "seed": seed})


def of_lengths(shares, where):
    """Yields rows of one network: the shares [L + 1] of gradient by blocks on a path, and their
    mean length."""
    yield row("path_length", np.arange(len(shares)) @ shares, where)
    for number, share in enumerate(shares):
        yield row("share_of_length", 100 * share, where | {"number": number})


def growth(blocks, lengths, where):
    """Yields rows of the powers with which mean lengths grow with blocks: of ln L, and of L."""
    power = np.polyfit(np.log(np.log(blocks)), np.log(lengths), 1)[0]
    yield row("growth", power, where)
    yield row("growth_at_least_log", max(power, 1.0), where)
    yield row("power_of_blocks", np.polyfit(np.log(blocks), np.log(lengths), 1)[0], where)


def row(quantity, value, where):
    """A row of a number, which is not finite where a network is not."""
    outcome = "finite" if math.isfinite(value) else "nan"
    return {"quantity": quantity, "value": float(value), "outcome": outcome, **where}


def weighed(kind, flat, dataset, settings):
    """{what is weighed: share of the gradient's norm by blocks on a path, [L + 1, R]}, mean over
    images; the gradient is by the first hidden values."""
    chain = chains.folded(kind, flat, chains.inputs(dataset, "train")[0])
    images, labels = chains.inputs(dataset, "test", settings["probe_images"])
    hidden = chain.hidden(images)
    slopes = chains.Slopes.at(chain, hidden)
    last = chains.last_gradient(chain, hidden[-1], labels)
    norms = {
        TOGETHER: by_length(slopes, last).norm(dim=3),
        SINGLE: of_single_paths(slopes, last, settings["samples"]),
    }
    return {name: (of / of.sum(0)).mean(2).numpy() for name, of in norms.items()}


def by_length(slopes, last):
    """The sum of the gradients of all paths through k blocks, for k = 0 ... L: [L + 1, R, B, n].

    They are the coefficients of t^k in the product of all I + t ∂F/∂x (each behind the slopes of
    the ReLU after it), carried back from `last` [R, B, n].
    """
    sums = last[None]
    for number in reversed(range(len(slopes.inner))):
        behind = slopes.after(number, sums)
        none = torch.zeros_like(last)[None]
        sums = torch.cat([behind, none]) + torch.cat([none, slopes.body(number, behind)])
    return sums


def of_single_paths(slopes, last, samples):
    """Norms of the gradient along random single paths of each length, their mean times the number
    of such paths, [L + 1, R, B] (Veit et al. 2016, section 5)."""
    blocks = len(slopes.inner)
    chosen = torch.zeros(blocks + 1, samples, blocks, dtype=torch.bool)
    random = streams.generator("paths", blocks)
    for length, of_length in enumerate(chosen):
        for path in of_length:
            path[torch.randperm(blocks, generator=random)[:length]] = True
    taken = chosen.flatten(0, 1)
    v = last.expand(len(taken), *last.shape)
    for number in reversed(range(blocks)):
        behind = slopes.after(number, v)
        through = slopes.body(number, behind)
        v = torch.where(taken[:, number, None, None, None], through, behind)
    norms = v.norm(dim=3).unflatten(0, (blocks + 1, samples)).mean(1)
    counts = [float(math.comb(blocks, length)) for length in range(blocks + 1)]
    return norms * torch.tensor(counts, dtype=norms.dtype)[:, None, None]
