"""What does the size of a batch change: the noise of the gradient, the time to a loss, the
sharpness of where training ends, the gap to new images?

Plain SGD on one small training set, from single batches of a few images to the full batch. Every
run stops at the same training loss, since sharpness and gap both change with it.
"""

import itertools
import statistics
import time

import numpy as np
import pandas as pd
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from scipy.stats import spearmanr
from torch import nn

from finicky.engine import train as engine
from finicky.engine.network import Architecture, Network, Stacked
from finicky.errors import InputError
from finicky.experiments import identities, tidy, training, tuning

TITLE = "Batch size: noise, time, sharpness, generalisation"
READS = []
DATASETS = ["mnist"]
ALONE = True
SETTINGS = {
    "images": (
        {"type": "integer", "minimum": 32, "maximum": 16384},  # all their inner products are kept
        "training images, which are the full batch",
    ),
    "width": ("width", "hidden units"),
    "batch_sizes": ("counts", "images in a batch, besides the full one"),
    "rates": ("rates", "learning rates that every batch size is trained at"),
    "loss": (
        {"type": "number", "exclusiveMinimum": 0, "maximum": 2.3},  # of a guess: ln 10
        "training loss at which training stops, in nats",
    ),
    "steps": ("steps", "most steps of a run"),
    "draws": (
        {"type": "integer", "minimum": 2, "maximum": 100000},
        "batches of each size that are drawn for the gradient's noise",
    ),
    "turn": (
        {"type": "number", "minimum": 0, "maximum": 3600},
        "seconds that each size and seed is timed for, at least 20 steps",
    ),
}
LIMITS = {
    "batch_sizes < images": "batches smaller than the full one",
}
QUANTITIES = {
    "bias": ("", "mean over all batches of a small set against the full gradient, largest relative "
             "error"),
    "law_error": ("", "their variance against σ²/B · (N − B)/(N − 1), largest relative error"),
    "variance_slope": ("", "slope of log variance over log B, by how batches are drawn"),
    "gradient_noise": ("%", "root mean square deviation of a batch's gradient over the length of "
                       "the full one, at the start"),
    "sharpness": ("", "largest eigenvalue of the Hessian of the training loss, by rate"),
    "gap": ("", "test minus training loss in nats or error in points, by rate"),
    "test_accuracy": ("%", "test accuracy at the training loss that all reach, by rate"),
    "steps_to_loss": ("steps", "steps to that loss, by rate"),
    "epochs_to_loss": ("epochs", "passes over the images to that loss, at the fastest rate"),
    "time_to_loss": ("ms", "time to that loss, at the fastest rate; each seed is timed once"),
    "memory": ("KiB", "activations, gradients by them and images of a batch"),
    "tuned_sharpness": ("", "sharpness at the batch size's own best rate"),
    "tuned_gap": ("pp", "test minus training error at the batch size's own best rate"),
    "full_sharper": ("doublings", "log2 of the full batch's sharpness over the smallest batch's"),
    "gap_correlation": ("", "rank correlation of sharpness and gap over a seed's runs"),
    "smallest_minus_full": ("pp", "test accuracy: smallest minus full batch, same training loss"),
    "rescaled_sharpness": ("×", "sharpness after one layer is multiplied by 10 and the next "
                           "divided by 10, over that before"),
    "rescaled_outputs": ("", "change of the outputs by that, relative"),
    "full_over_batch": ("doublings", "log2 of the full batch's time to the loss over the batch's"),
}  # fmt: skip
CONDITIONS = {
    "batch_size": "integer",
    "learning_rate": "number",
    "tuning": ["one rate for all", "own best rate"],
    "sampling": [
        "with replacement",
        "without replacement, up to a tenth",
        "without replacement, up to half",
    ],
    "metric": ["loss", "error"],
}
BUDGET = {
    "{images} images of MNIST, to a loss of {loss} nats or {steps} steps": [
        "sharpness",
        "gap",
        "test_accuracy",
        "steps_to_loss",
        "epochs_to_loss",
        "time_to_loss",
        "tuned_sharpness",
        "tuned_gap",
        "full_sharper",
        "gap_correlation",
        "smallest_minus_full",
        "rescaled_sharpness",
        "rescaled_outputs",
        "full_over_batch",
    ],
}
EVALUATE_EVERY = 256  # images between two evaluations of the training loss
ONE, OWN = "one rate for all", "own best rate"
RESCALED = 10  # one layer times this, the next over it


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, condition and seed (for times: repetition); see QUANTITIES."""
    sizes = [*settings["batch_sizes"], settings["images"]]
    dataset = training.prepared("mnist", settings, settings["images"])
    rows = []
    for seed in settings["seeds"]:
        random = np.random.default_rng([seed, 154])
        found = [*every_batch(random), *noise(dataset, settings, sizes, seed, random)]
        rows += [{"quantity": q, "seed": seed, "value": v, **where} for q, v, where in found]
    ends = trained(dataset, settings, sizes)
    rows += at_the_loss(ends, settings["seeds"], min(sizes), max(sizes))
    rows += in_time(ends, dataset, settings, sizes)
    rows += rescaled(ends[ends["batch_size"] == min(sizes)].drop_duplicates("seed"), dataset)
    return tidy.from_rows(rows, CONDITIONS)


# ---- Noise of the gradient ----------------------------------------------------------------------


def every_batch(random, examples=10):
    """Yields bias and law_error over every batch of every size of ten random gradients."""
    gradients = random.normal(1, 1, (examples, 7)) * 10 ** random.uniform(-2, 2)
    full = gradients.mean(0)
    variance = ((gradients - full) ** 2).sum(1).mean()
    biases, laws = [], []
    for size in range(1, examples):
        batches = itertools.combinations(range(examples), size)
        means = np.array([gradients[list(batch)].mean(0) for batch in batches])
        biases.append(identities.relative_error(means.mean(0), full))
        spread = ((means - full) ** 2).sum(1).mean()
        law = identities.variance_law(variance, size, examples)
        laws.append(identities.relative_error(spread, law))
    yield "bias", max(biases), {}
    yield "law_error", max(laws), {}


def inner_products(network, dataset):
    """Inner products [N, N] of the gradients of single training images, float64.

    A layer's gradient by its weights is the outer product of its input h and of δ, the gradient by
    its sums, so two images' inner product is (h·h')(δ·δ'), and that of the biases (δ·δ').
    """
    parts = network.parameters
    pixels = dataset.train.images
    x = dataset.normalise(pixels, dtype=torch.float64)
    weights = [weight[0].double() for weight in parts.weights]
    biases = [bias[0].double() for bias in parts.biases]
    hidden = torch.relu(x @ weights[0] + biases[0])
    last = torch.softmax(hidden @ weights[1] + biases[1], 1)
    last -= nn.functional.one_hot(dataset.train.labels, last.shape[1])
    first = last @ weights[1].T * (hidden > 0)
    whole = sum((h @ h.T + 1) * (d @ d.T) for h, d in ((x, first), (hidden, last)))
    return whole.cpu().numpy()


def noise(dataset, settings, sizes, seed, random):
    """Yields variance_slope and gradient_noise of a network at its start."""
    architecture = Architecture(2, "plain", "relu", settings["width"])
    network = Network.initial(architecture, [("he", seed)], device=settings["device"])
    products = inner_products(network, dataset)
    examples = len(products)
    full = np.sqrt(products.mean())
    centre = products.mean(0)
    products = products - centre - centre[:, None] + products.mean()

    def variance(size, replace):
        batches = np.zeros((settings["draws"], examples))
        for batch in batches:
            if replace:
                np.add.at(batch, random.integers(examples, size=size), 1 / size)
            else:
                batch[random.permutation(examples)[:size]] = 1 / size
        return float(((batches @ products) * batches).sum(1).mean())

    doublings = 2 ** np.arange(0, int(np.log2(examples)))
    variances = {
        replace: np.array([variance(size, replace) for size in doublings])
        for replace in (True, False)
    }
    for sampling, replace, most in (
        ("with replacement", True, examples),
        ("without replacement, up to a tenth", False, examples / 10),
        ("without replacement, up to half", False, examples),
    ):
        used = doublings <= most
        slope = np.polyfit(np.log(doublings[used]), np.log(variances[replace][used]), 1)[0]
        yield "variance_slope", slope, {"sampling": sampling}
    for size in sizes:
        spread = variance(size, False) if size < examples else 0.0
        yield "gradient_noise", 100 * np.sqrt(spread) / full, {"batch_size": size}


# ---- Training to a loss -------------------------------------------------------------------------


def trained(dataset, settings, sizes) -> pd.DataFrame:
    """One row per run that reached the loss: batch_size, learning_rate, seed, steps, gaps in loss
    and error, validation and test accuracy, sharpness, parameters (flat [P]) and architecture.
    InputError if none did."""
    rows = []
    for size, rate in itertools.product(sizes, settings["rates"]):
        runs = [run(settings, seed, size, rate) for seed in settings["seeds"]]
        rows += to_loss(runs, dataset, settings["loss"], settings["steps"])
    if not rows:
        enough = f"enough steps for some run to reach a loss of {settings['loss']:g}"
        raise InputError("experiments", "batch-size.steps", settings["steps"], enough)
    for row in rows:
        row["sharpness"] = sharpness(row["parameters"], row["architecture"], dataset)
    return pd.DataFrame(rows)


def run(settings, seed, size, rate):
    """A run of plain SGD in batches of this size, at this rate."""
    levels = {"optimizer": "sgd", "learning_rate": rate, "batch_size": size}
    return training.run(settings, settings["images"], seed, width=settings["width"], **levels)


@torch.no_grad()
def to_loss(runs, dataset, loss, steps) -> list[dict]:
    """Train until the loss of all training images is at most `loss`; one row per run that gets
    there within these steps, as `scored` makes it."""
    batch, rows = training.Batch([training.Training(run) for run in runs], dataset), []
    every = max(1, min(EVALUATE_EVERY // batch.size, engine.CHECK_EVERY))
    for step in training.each_step(batch, steps):
        if step % every:
            continue
        evaluated = engine.evaluate(batch.network, dataset, dataset.train)
        losses = np.array([now for now, _ in evaluated])
        there = np.flatnonzero(losses <= loss).tolist()
        if there:
            rows += scored(batch, there, dataset)
        going = np.flatnonzero(losses > loss).tolist()  # what is NaN goes nowhere
        if not going:
            break
        if len(going) < len(batch.runs):
            batch.keep(going)
    return rows


def scored(batch, places, dataset) -> list[dict]:
    """The rows of the runs at these places of a fused batch."""
    network = batch.network.keep(places)
    scores = {n: engine.evaluate(network, dataset, s) for n, s in dataset.splits().items()}
    rows = []
    for row, place in enumerate(places):
        run = batch.runs[place]
        (train, train_accuracy), (test, test_accuracy) = scores["train"][row], scores["test"][row]
        rows.append(
            {
                "batch_size": run.batch_size,
                "learning_rate": run.learning_rate,
                "seed": run.seed,
                "steps": batch.steps,
                "validation_accuracy": scores["validation"][row][1],
                "test_accuracy": test_accuracy,
                "gap_loss": test - train,
                "gap_error": train_accuracy - test_accuracy,
                "parameters": network.parameters.flat[row].clone(),
                "architecture": batch.architecture,
            }
        )
    return rows


# ---- Sharpness ----------------------------------------------------------------------------------


def outputs(flat, architecture, x):
    """Logits of the images x [N, 784] for flat parameters [P] of a network of two layers."""
    parts = Stacked(architecture, flat[None])
    hidden = torch.relu(x @ parts.weights[0][0] + parts.biases[0][0])
    return hidden @ parts.weights[1][0] + parts.biases[1][0]


def sharpness(flat, architecture, dataset) -> float:
    """The largest eigenvalue of the Hessian of the training loss, by Lanczos' method with products
    of the Hessian and a vector (Pearlmutter 1994)."""
    x, labels = dataset.first(len(dataset.train.labels), flat.dtype)
    flat = flat.clone().requires_grad_()
    loss = nn.functional.cross_entropy(outputs(flat, architecture, x), labels)
    (gradient,) = torch.autograd.grad(loss, flat, create_graph=True)

    def product(vector):
        vector = torch.as_tensor(vector.ravel(), dtype=flat.dtype, device=flat.device)
        return torch.autograd.grad(gradient, flat, vector, retain_graph=True)[0].cpu().numpy()

    hessian = LinearOperator((len(flat), len(flat)), product, dtype=np.float32)
    start = gradient.detach().cpu().numpy()
    return float(eigsh(hessian, 1, which="LA", v0=start, tol=1e-3, return_eigenvectors=False)[0])


def rescale(flat, architecture, factor):
    """The same function with the first layer times `factor` and the second's weights over it, which
    ReLU lets through (Dinh et al. 2017, section 3)."""
    parts = Stacked(architecture, flat.clone()[None])
    parts.weights[0].mul_(factor)
    parts.biases[0].mul_(factor)
    parts.weights[1].div_(factor)
    return parts.flat[0]


def rescaled(ends, dataset) -> list[dict]:
    """Rows of sharpness and outputs after `rescale`, for runs that `trained` returned."""
    rows = []
    for end in ends.itertuples():
        flat = rescale(end.parameters, end.architecture, RESCALED)
        ratio = sharpness(flat, end.architecture, dataset) / end.sharpness
        x, _ = dataset.first(200, torch.float64)
        before, after = (
            outputs(of.double(), end.architecture, x).cpu().numpy() for of in (end.parameters, flat)
        )
        change = identities.relative_error(after, before)
        rows.append({"quantity": "rescaled_sharpness", "seed": end.seed, "value": ratio})
        rows.append({"quantity": "rescaled_outputs", "seed": end.seed, "value": change})
    return rows


# ---- What comes of it ---------------------------------------------------------------------------


def at_the_loss(ends, seeds, smallest, full) -> list[dict]:
    """Rows of sharpness and gap, and their comparisons; all runs have the same training loss.
    smallest, full: the batch sizes that are compared."""
    rows = []

    def add(quantity, seed, value, **where):
        rows.append({"quantity": quantity, "seed": int(seed), "value": float(value), **where})

    for end in ends.itertuples():
        where = {"batch_size": end.batch_size, "learning_rate": end.learning_rate}
        for quantity, value in (
            ("sharpness", end.sharpness),
            ("test_accuracy", end.test_accuracy),
            ("steps_to_loss", end.steps),
        ):
            add(quantity, end.seed, value, **where)
        add("gap", end.seed, end.gap_loss, metric="loss", **where)
        add("gap", end.seed, end.gap_error, metric="error", **where)
    best = chosen(ends, seeds, "validation_accuracy", highest=True)
    for end in best.itertuples():
        add("tuned_sharpness", end.seed, end.sharpness, batch_size=end.batch_size)
        add("tuned_gap", end.seed, end.gap_error, batch_size=end.batch_size)
    ways = [({"tuning": ONE, "learning_rate": r}, of) for r, of in ends.groupby("learning_rate")]
    for (where, of), seed in itertools.product([*ways, ({"tuning": OWN}, best)], seeds):
        mine = of[of["seed"] == seed].set_index("batch_size")
        if {smallest, full} <= set(mine.index):
            ratio = mine.loc[full, "sharpness"] / mine.loc[smallest, "sharpness"]
            add("full_sharper", seed, np.log2(ratio), **where)
            gain = mine.loc[smallest, "test_accuracy"] - mine.loc[full, "test_accuracy"]
            add("smallest_minus_full", seed, gain, **where)
    for seed, mine in ends.groupby("seed"):
        for metric in ("loss", "error"):
            if len(mine) > 2:  # of fewer runs there is no correlation
                correlation = spearmanr(mine["sharpness"], mine[f"gap_{metric}"]).statistic
                add("gap_correlation", seed, correlation, metric=metric)
    return rows


def chosen(ends, seeds, by, highest) -> pd.DataFrame:
    """For each batch size and seed the run at the rate with the best mean of `by` over the other
    seeds, among the rates at which all seeds reached the loss; empty where there is none."""
    rows = [ends[:0]]
    for _, mine in ends.groupby("batch_size"):
        complete = mine.groupby("learning_rate")["seed"].transform("size") == len(seeds)
        scores = mine[complete].pivot(index="learning_rate", columns="seed", values=by)
        for seed in scores.columns:
            rate = tuning.best_level(scores if highest else -scores, seed)
            rows.append(mine[(mine["seed"] == seed) & (mine["learning_rate"] == rate)])
    return pd.concat(rows)


def in_time(ends, dataset, settings, sizes) -> list[dict]:
    """Rows of time: steps are counted in training, and a step is timed, the sizes in turns."""
    rows = []
    fastest = chosen(ends, settings["seeds"], "steps", highest=False)
    fastest = fastest.set_index(["seed", "batch_size"])["steps"]
    full = max(sizes)
    for seed in settings["seeds"]:
        timed = {size: timed_step(dataset, settings, size, seed) for size in sizes}
        reached = [size for size in sizes if (seed, size) in fastest.index]
        times = {size: fastest[seed, size] * timed[size][0] for size in reached}
        for size, seconds in times.items():
            where = {"seed": seed, "batch_size": size}
            found = {
                "time_to_loss": 1e3 * seconds,
                "epochs_to_loss": fastest[seed, size] * size / full,
                "memory": timed[size][1] / 1024,
            }
            if size < full and full in times:
                found["full_over_batch"] = np.log2(times[full] / seconds)
            rows += [where | {"quantity": q, "value": float(v)} for q, v in found.items()]
    return rows


@torch.no_grad()
def timed_step(dataset, settings, size, seed) -> tuple[float, int]:
    """Seconds of a step (the median) and bytes of the batch's buffers, for one run alone."""
    batch = training.Batch([training.Training(run(settings, seed, size, 0.01))], dataset)
    index, targets = batch.batches(1)[0]

    def now():
        if batch.device != "cpu":
            torch.cuda.synchronize()
        return time.perf_counter()

    seconds, end = [], now() + settings["turn"]
    while now() < end or len(seconds) < 20:
        began = now()
        batch.step(index, targets)
        seconds.append(now() - began)
        batch.take_losses()
    return statistics.median(seconds), training.buffer_bytes(batch)
