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
from finicky.experiments import arms, identities
from finicky.runs import Run

TITLE = "Batch size: noise, time, sharpness, generalisation"
ANSWERS = ["C153", "C154", "C155"]
READS = []
DATASETS = ["mnist"]
ALONE = True
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
    "time_to_loss": ("ms", "time to that loss, at the fastest rate"),
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
FIGURES = {
    "F29": "By batch size, the rightmost being the full batch. Gradient: measured noise and the "
    "laws with and without replacement. Time: to the same training loss, each size at its fastest "
    "rate. Sharpness and gap: where that loss is reached, at equal rates (solid, the same "
    "colours in both) and at each size's own best rate (dashed).",
}

CONDITIONS = {
    "batch_size": "Int64",
    "learning_rate": "float64",
    "tuning": "str",
    "reading": "str",
}
LOOK = 256  # images between two looks at the training loss
OWN = "own best rate"
RESCALED = 10


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row a quantity, condition and seed (for times: repetition); see QUANTITIES.

    settings: {"images": N, "width", "batch_sizes": below N, "rates", "loss": at which training
    stops, "steps": at most, "draws": batches a size, "turn": seconds that a size is timed for
    before the next one has its turn}.
    """
    engine.prepare()
    dataset = engine.Dataset("mnist", settings["data"], settings["images"])
    sizes = [*settings["batch_sizes"], settings["images"]]
    rows = []
    for seed in settings["seeds"]:
        random = np.random.default_rng([seed, 154])
        found = [*every_batch(random), *noise(dataset, settings, sizes, seed, random)]
        rows += [{"quantity": q, "seed": seed, "value": v, **where} for q, v, where in found]
    ends = trained(dataset, settings, sizes)
    rows += at_the_loss(ends, settings["seeds"])
    rows += in_time(ends, dataset, settings, sizes)
    return arms.tidy(rows, CONDITIONS)


# ---- Noise of the gradient ----------------------------------------------------------------------


def variance_law(variance, batch, examples):
    """Variance of a mean of `batch` of `examples` drawn without replacement: σ²/B (N − B)/(N − 1)
    (Cochran 1977, Sampling Techniques, theorem 2.2; his S² has the divisor N − 1)."""
    return variance / batch * (examples - batch) / (examples - 1)


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
        laws.append(identities.relative_error(spread, variance_law(variance, size, examples)))
    yield "bias", max(biases), {}
    yield "law_error", max(laws), {}


def inner_products(network, dataset):
    """Inner products [N, N] of the gradients of single training images, float64.

    A layer's gradient by its weights is the outer product of its input h and of δ, the gradient by
    its sums, so two images' inner product is (h·h')(δ·δ'), and that of the biases (δ·δ').
    """
    parts = network.parameters
    pixels = dataset.train.images
    x = dataset.normalise(pixels, torch.empty_like(pixels, dtype=torch.float64))
    weights = [weight[0].double() for weight in parts.weights]
    biases = [bias[0].double() for bias in parts.biases]
    hidden = torch.relu(x @ weights[0] + biases[0])
    last = torch.softmax(hidden @ weights[1] + biases[1], 1)
    last -= nn.functional.one_hot(dataset.train.labels, last.shape[1])
    first = last @ weights[1].T * (hidden > 0)
    whole = sum((h @ h.T + 1) * (d @ d.T) for h, d in ((x, first), (hidden, last)))
    return whole.numpy()


def noise(dataset, settings, sizes, seed, random):
    """Yields variance_slope and gradient_noise of a network at its start."""
    architecture = Architecture(2, "plain", "relu", settings["width"])
    network = Network.initial(architecture, [("he", seed)])
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
    for reading, replace, most in (
        ("with replacement", True, examples),
        ("without replacement, up to a tenth", False, examples / 10),
        ("without replacement, up to half", False, examples),
    ):
        used = doublings <= most
        slope = np.polyfit(np.log(doublings[used]), np.log(variances[replace][used]), 1)[0]
        yield "variance_slope", slope, {"reading": reading}
    for size in sizes:
        spread = variance(size, False) if size < examples else 0.0
        yield "gradient_noise", 100 * np.sqrt(spread) / full, {"batch_size": size}


# ---- Training to a loss -------------------------------------------------------------------------


def trained(dataset, settings, sizes) -> pd.DataFrame:
    """A row a run that reached the loss: batch_size, learning_rate, seed, steps, losses and errors,
    validation accuracy, sharpness, flat parameters and the architecture. InputError if none did."""
    rows = []
    for size, rate in itertools.product(sizes, settings["rates"]):
        runs = [
            Run(
                dataset="mnist", images=settings["images"], epochs=1, depth=2, block="plain",
                activation="relu", init="he", optimizer="sgd", learning_rate=rate, batch_size=size,
                width=settings["width"], seed=seed,
            )
            for seed in settings["seeds"]
        ]  # fmt: skip
        rows += to_loss(runs, dataset, settings["loss"], settings["steps"])
    if not rows:
        enough = f"enough steps for some run to reach a loss of {settings['loss']:g}"
        raise InputError("experiments", "batch-size.steps", settings["steps"], enough)
    for row in rows:
        row["sharpness"] = sharpness(row["flat"], row["architecture"], dataset)
    return pd.DataFrame(rows)


@torch.no_grad()
def to_loss(runs, dataset, loss, steps) -> list[dict]:
    """Train until the loss of all training images is at most `loss`; a row a run that gets there
    within these steps."""
    batch, rows = engine.FusedBatch(runs, dataset), []
    every = max(1, min(LOOK // batch.size, engine.CHECK_EVERY))
    for epoch in itertools.count(1):
        batches = batch.batches(epoch)
        for at in range(len(batches)):
            if batch.steps == steps:
                return rows
            batch.step(*batches[at])
            if batch.steps % every:
                continue
            batch.take_losses()
            losses = np.array([now for now, _ in engine.evaluate(batch.network, dataset,
                                                                 dataset.train)])  # fmt: skip
            there = np.flatnonzero(losses <= loss).tolist()
            if there:
                rows += scored(batch, there, dataset)
            going = np.flatnonzero(losses > loss).tolist()  # what is NaN goes nowhere
            if not going:
                return rows
            if len(going) < len(batch.runs):
                batch.keep(going)
                batches = batch.batches(epoch)


def scored(batch, places, dataset) -> list[dict]:
    """Rows of the runs at these places of a fused batch."""
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
                "flat": network.parameters.flat[row].clone(),
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
    x, labels = dataset.probe(len(dataset.train.labels), flat.dtype)
    flat = flat.clone().requires_grad_()
    loss = nn.functional.cross_entropy(outputs(flat, architecture, x), labels)
    (gradient,) = torch.autograd.grad(loss, flat, create_graph=True)

    def product(vector):
        vector = torch.as_tensor(vector.ravel(), dtype=flat.dtype)
        return torch.autograd.grad(gradient, flat, vector, retain_graph=True)[0].numpy()

    hessian = LinearOperator((len(flat), len(flat)), product, dtype=np.float32)
    start = gradient.detach().numpy()
    return float(eigsh(hessian, 1, which="LA", v0=start, tol=1e-3, return_eigenvectors=False)[0])


def rescale(flat, architecture, factor):
    """The same function with the first layer times `factor` and the second's weights over it, which
    ReLU lets through (Dinh et al. 2017, section 3)."""
    parts = Stacked(architecture, flat.clone()[None])
    parts.weights[0].mul_(factor)
    parts.biases[0].mul_(factor)
    parts.weights[1].div_(factor)
    return parts.flat[0]


# ---- What comes of it ---------------------------------------------------------------------------


def at_the_loss(ends, seeds) -> list[dict]:
    """Rows of sharpness and gap, and their comparisons; all runs have the same training loss."""
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
        add("gap", end.seed, end.gap_loss, reading="loss", **where)
        add("gap", end.seed, end.gap_error, reading="error", **where)
    best = chosen(ends, seeds, "validation_accuracy", highest=True)
    for end in best.itertuples():
        add("tuned_sharpness", end.seed, end.sharpness, batch_size=end.batch_size)
        add("tuned_gap", end.seed, end.gap_error, batch_size=end.batch_size)
    same = {f"rate {rate:g}": of for rate, of in ends.groupby("learning_rate")}
    for (tuning, of), seed in itertools.product({**same, OWN: best}.items(), seeds):
        mine = of[of["seed"] == seed].set_index("batch_size")
        smallest, full = ends["batch_size"].min(), ends["batch_size"].max()
        if {smallest, full} <= set(mine.index):
            ratio = mine.loc[full, "sharpness"] / mine.loc[smallest, "sharpness"]
            add("full_sharper", seed, np.log2(ratio), tuning=tuning)
            gain = mine.loc[smallest, "test_accuracy"] - mine.loc[full, "test_accuracy"]
            add("smallest_minus_full", seed, gain, tuning=tuning)
    for seed, mine in ends.groupby("seed"):
        for reading in ("loss", "error"):
            correlation = spearmanr(mine["sharpness"], mine[f"gap_{reading}"]).statistic
            add("gap_correlation", seed, correlation, reading=reading)
    return rows


def chosen(ends, seeds, by, highest) -> pd.DataFrame:
    """For each batch size and seed the run at the rate with the best mean of `by` over the other
    seeds, among the rates at which all seeds reached the loss."""
    rows = []
    for _, mine in ends.groupby("batch_size"):
        complete = mine.groupby("learning_rate")["seed"].transform("size") == len(seeds)
        table = mine[complete].pivot(index="seed", columns="learning_rate", values=by)
        for seed in table.index:
            others = (table.drop(index=seed) if len(table) > 1 else table).mean()
            rate = others.idxmax() if highest else others.idxmin()
            rows.append(mine[(mine["seed"] == seed) & (mine["learning_rate"] == rate)])
    return pd.concat(rows)


def in_time(ends, dataset, settings, sizes) -> list[dict]:
    """Rows of time: steps are counted in training, and a step is timed, the sizes in turns."""
    rows = []
    fastest = chosen(ends, settings["seeds"], "steps", highest=False)
    fastest = fastest.set_index(["seed", "batch_size"])
    full = sizes[-1]
    for seed in settings["seeds"]:
        step, room = {}, {}
        for size in sizes:
            step[size], room[size] = timed_step(dataset, settings, size, seed)
        times = {
            size: fastest.loc[(seed, size), "steps"] * step[size]
            for size in sizes
            if (seed, size) in fastest.index
        }
        for size, seconds in times.items():
            where = {"seed": seed, "batch_size": size}
            steps = fastest.loc[(seed, size), "steps"]
            found = {
                "time_to_loss": 1e3 * seconds,
                "epochs_to_loss": steps * size / full,
                "memory": room[size] / 1024,
            }
            if size < full and full in times:
                found["full_over_batch"] = np.log2(times[full] / seconds)
            rows += [where | {"quantity": q, "value": float(v)} for q, v in found.items()]
    first = ends[ends["batch_size"] == min(sizes)].drop_duplicates("seed")
    for end in first.itertuples():
        flat = rescale(end.flat, end.architecture, RESCALED)
        ratio = sharpness(flat, end.architecture, dataset) / end.sharpness
        x, _ = dataset.probe(200, torch.float64)
        before, after = (outputs(f.double(), end.architecture, x).numpy() for f in (end.flat, flat))
        change = identities.relative_error(after, before)
        rows.append({"quantity": "rescaled_sharpness", "seed": end.seed, "value": ratio})
        rows.append({"quantity": "rescaled_outputs", "seed": end.seed, "value": change})
    return rows


@torch.no_grad()
def timed_step(dataset, settings, size, seed) -> tuple[float, int]:
    """Seconds of a step (the median) and bytes of the batch's buffers, for one run alone."""
    run = Run(
        dataset="mnist", images=settings["images"], epochs=1, depth=2, block="plain",
        activation="relu", init="he", optimizer="sgd", learning_rate=0.01, batch_size=size,
        width=settings["width"], seed=seed,
    )  # fmt: skip
    batch = engine.FusedBatch([run], dataset)
    index, targets = batch.batches(1)[0]
    seconds, end = [], time.perf_counter() + settings["turn"]
    while time.perf_counter() < end or len(seconds) < 20:
        began = time.perf_counter()
        batch.step(index, targets)
        seconds.append(time.perf_counter() - began)
        batch.take_losses()
    buffers = batch.buffers[size]
    tensors = [buffers.x, *buffers.z, buffers.logits, buffers.delta, *buffers.deltas, batch.pixels]
    return statistics.median(seconds), sum(t.numel() * t.element_size() for t in tensors)


# ---- Figure -------------------------------------------------------------------------------------


def draw(table: pd.DataFrame) -> dict:
    """F29: figure id to (matplotlib Figure, data behind it)."""
    from finicky.page import figures

    def of(quantity, *by):
        rows = table[table["quantity"] == quantity]
        return figures.summary(rows, ["batch_size", *by]).assign(quantity=quantity)

    data = pd.concat(
        [
            *(of(q) for q in ("gradient_noise", "time_to_loss", "tuned_sharpness", "tuned_gap")),
            of("sharpness", "learning_rate"),
            of("gap", "learning_rate", "reading"),
        ],
        ignore_index=True,
    )
    data = data[data["reading"].isna() | (data["reading"] == "error")]
    data = data[data["n"] == data["n"].max()]  # rates at which every seed reached the loss
    with figures.style():
        fig, axes = figures.panels(
            [2.1, 2.1], columns=2, left=0.55, right=0.95, between=(1.2, 0.75), bottom=0.75
        )
        (gradient, seconds), (sharp, gap) = axes
        _noise(gradient, data[data["quantity"] == "gradient_noise"], figures)
        _time(seconds, data[data["quantity"] == "time_to_loss"], figures)
        _by_rate(sharp, data, "sharpness", "tuned_sharpness", figures)
        _by_rate(gap, data, "gap", "tuned_gap", figures)
        gradient.set_title("Noise of the gradient (%)")
        seconds.set_title("Time to the loss (ms)")
        sharp.set_title("Sharpness at the loss, by rate")
        gap.set_title("Test minus training error (pp)")
        for ax in axes.flat:
            sizes = sorted(set(data["batch_size"]))
            low = 0.3 if ax is sharp else 0.75  # room for the names of the lines
            figures.log_axis(ax, "x", low * sizes[0], 1.35 * sizes[-1], sizes)
        for ax in axes[1]:
            ax.set_xlabel("images in a batch")
        figures.footer(fig, data, {"solid": "a rate", "dashed": "own best rate"})
        medians = data[data["quantity"] == "tuned_sharpness"].set_index("batch_size")["median"]
        fig.set_label(
            "Noise, time to a loss, sharpness and gap by batch size. Median sharpness at each "
            "size's own best rate: "
            + ", ".join(f"{value:.0f} at {size}" for size, value in medians.items())
            + "."
        )
    return {"F29": (fig, data)}


def _band(ax, rows, colour, dashed=False, band=True):
    """Medians, and unless `band` is False the range of the seeds, by batch size."""
    from finicky.page import figures

    x = rows["batch_size"].astype(float)
    if band:
        ax.fill_between(x, rows["low"], rows["high"], color=colour, alpha=0.2, linewidth=0)
    marker = {"marker": "s", "linestyle": figures.DASHES} if dashed else {"marker": "o"}
    ax.plot(x, rows["median"], color=colour, **marker)


def _noise(ax, rows, figures):
    """Measured noise and both laws, which meet the first point."""
    rows = rows.sort_values("batch_size")
    full = int(rows["batch_size"].max())
    sizes = np.geomspace(rows["batch_size"].min(), full, 200)
    first = rows.iloc[0]
    one = first["median"] / np.sqrt(variance_law(1, first["batch_size"], full))
    law = {"color": figures.INK, "linewidth": 0.9}
    ax.plot(sizes, one * np.sqrt(variance_law(1, sizes, full)), **law)
    ax.plot(sizes, one / np.sqrt(sizes), linestyle=figures.DASHES, **law)
    ax.text(1.02 * full, one / np.sqrt(full), " chapter:\n 1/√B", va="center", fontsize=8)
    ax.text(0.5 * full, 0.055 * first["median"], "drawn without\nreplacement", ha="right",
            fontsize=8)  # fmt: skip
    seen = rows[rows["median"] > 0]
    figures.log_axis(ax, "y", 0.04 * first["median"], 1.6 * first["high"])
    _band(ax, seen, figures.BLUE)


def _time(ax, rows, figures):
    figures.log_axis(ax, "y", 0.7 * rows["low"].min(), 1.4 * rows["high"].max())
    _band(ax, rows.sort_values("batch_size"), figures.BLUE)
    ax.text(0.02, 0.98, "chapter: rises", transform=ax.transAxes, fontsize=8, va="top")


def _by_rate(ax, data, quantity, tuned, figures):
    """A line a learning rate, and dashed the own best rates. Sharpness names the lines at their
    first points; the gaps lie too close for names and bands."""
    rows = data[data["quantity"] == quantity].sort_values("batch_size")
    colours = [figures.SAGE, figures.BLUE, figures.PLUM, figures.VERMILLION, figures.OLIVE]
    named = quantity == "sharpness"
    if named:
        figures.log_axis(ax, "y", 0.7 * rows["low"].min(), 1.6 * rows["high"].max())
    for colour, (rate, mine) in zip(colours, rows.groupby("learning_rate"), strict=False):
        _band(ax, mine, colour, band=named)
        if named:
            first = mine.iloc[0]
            ax.text(0.87 * first["batch_size"], first["median"], f"{rate:g}", color=colour,
                    fontsize=8, ha="right", va="center")  # fmt: skip
    _band(ax, data[data["quantity"] == tuned].sort_values("batch_size"), figures.INK, dashed=True)
    if not named:
        low, high = ax.get_ylim()
        ax.set_ylim(low, high + 0.12 * (high - low))  # room for the chapter's word
    ax.text(0.98, 0.98, "chapter: rises", transform=ax.transAxes, fontsize=8, va="top", ha="right")
