"""Adam's formulas: what the bias correction does, what Adam stores, where it fails, what it does
for gradients that are rare.
"""

import itertools
from zlib import crc32

import numpy as np
import pandas as pd

from finicky.experiments import arms

TITLE = "Adam: bias correction, memory, the counterexample, sparse gradients"
ANSWERS = ["C138", "C139", "C142", "C143", "C197"]
READS = []
QUANTITIES = {
    "first_estimate_error": ("", "corrected moments after the first step against the gradient and "
                             "its square, random β: largest relative error"),
    "constant_gradient_error": ("", "the same after 1 to 1000 steps of one constant gradient"),
    "correction_fades": ("doublings per decade", "how the correction's effect on the step's length "
                         "falls with the step's number, fitted over 10,000 steps"),
    "uncorrected_over_corrected": ("×", "step's length without the correction over that with it"),
    "chapter_factor": ("×", "1 - 0.9^t, the factor that the chapter shows"),
    "matters_until": ("steps", "last step whose length the correction changes by more than 10 %"),
    "first_moment_until": ("steps", "the same for the correction of the first moment alone"),
    "numbers_stored": ("", "numbers in the state of torch.optim over parameters, the step counter "
                       "of each tensor left out"),
    "adam_fails": ("0/1", "Adam ends in the worse half, where the minimum lies at the other end"),
    "amsgrad_fixes": ("0/1", "AMSGrad ends within a tenth of the interval from the minimum"),
    "adamw_fixes": ("0/1", "AdamW, λ = 0.01, does"),
    "adamw_of_any_decay_fixes": ("0/1", "AdamW does with some λ from 0.01 to 10"),
    "position": ("", "position by step, from -1 (the minimum) to 1"),
    "final_position": ("", "mean position over the last period"),
    "sparse_gain": ("doublings", "excess test loss of SGD over Adam's, rare features, best rates"),
    "dense_gain": ("doublings", "the same with dense features"),
    "sparse_beyond_dense": ("doublings", "sparse_gain minus dense_gain"),
}  # fmt: skip
FIGURES = {
    "F37": "Left: how much longer a step is without the bias correction, by its number. The "
    "chapter's example is the first moment alone, which would make steps shorter; the second "
    "moment wins, and its correction lasts for thousands of steps. Middle and right: two sums of "
    "linear functions on the interval from −1 to 1 whose minimum is −1 (theorem 1 of Reddi et al. "
    "2018, and one for the usual β). Adam walks to the far end and AdamW with it, AMSGrad to the "
    "minimum; lines are medians, bands go from the lowest to the highest seed.",
}

CONDITIONS = {"problem": "str", "optimizer": "str", "step": "Int64"}
LOOKS = [1, 10, 100, 1000, 10000]  # steps at which the correction is reported
DECAYS = [0.01, 0.1, 1.0, 10.0]
# Sums of linear functions on [-1, 1]: the slope is `rare` once a period and -1 else, so the mean
# slope is positive. rate: a constant, over √t where falls.
COUNTEREXAMPLES = {
    # Reddi, Kale and Kumar 2018 (ICLR), theorem 1, with C = 3: β1 = 0, β2 = 1/(1 + C²)
    "theorem 1": {"betas": (0.0, 0.1), "period": 3, "rare": 3.0, "rate": 0.5, "falls": True,
                  "periods": 3000},
    # their theorem 2: every β1 < √β2 has such a sum; this one is for the usual β
    "usual β": {"betas": (0.9, 0.999), "period": 25_000, "rare": 250_000.0, "rate": 0.02,
                "falls": False, "periods": 8},
}  # fmt: skip
FEATURES, BATCH, STREAMS = 100, 16, 8
RATES = 2.0 ** np.arange(-13, -1)  # of Adam; SGD gets 20 times as much


def moments(gradients, betas):
    """Moments after each step, without and with correction: four arrays like gradients [t, ...]."""
    first = second = np.zeros_like(gradients[0])
    found = []
    for step, gradient in enumerate(gradients, start=1):
        first = betas[0] * first + (1 - betas[0]) * gradient
        second = betas[1] * second + (1 - betas[1]) * gradient**2
        corrected = first / (1 - betas[0] ** step), second / (1 - betas[1] ** step)
        found.append((first, second, *corrected))
    return tuple(np.array(part) for part in zip(*found, strict=True))


def project(x):
    return np.clip(x, -1, 1)


def descend(x, slopes, betas, rates, amsgrad=False, decay=0.0, within=project):
    """Positions after each step of Adam, AMSGrad or AdamW, as torch.optim computes them.

    x: starts [variants, seeds]; slopes, rates: sequences of numbers, one a step; amsgrad and decay
    broadcast to x; within: what brings a position back into its domain.
    """
    first = second = largest = np.zeros_like(x)
    for step, (slope, rate) in enumerate(zip(slopes, rates, strict=True), start=1):
        first = betas[0] * first + (1 - betas[0]) * slope
        second = betas[1] * second + (1 - betas[1]) * slope**2
        largest = np.maximum(largest, second)
        square = np.where(amsgrad, largest, second) / (1 - betas[1] ** step)
        mean = first / (1 - betas[0] ** step)
        x = within(x * (1 - rate * decay) - rate * mean / (np.sqrt(square) + 1e-8))
        yield x


# ---- Measuring ----------------------------------------------------------------------------------


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row a quantity, seed and condition; QUANTITIES says what each number is.

    settings: seeds; trials (a seed, of the identities), sparse_steps (of the regressions).
    """
    seeds, rows = settings["seeds"], []
    for seed in seeds:
        random = np.random.default_rng([seed, 138])
        found = [*identities(random, settings["trials"]), *correction(random), *memory(random)]
        rows += [row | {"seed": seed} for row in found]
    for problem in COUNTEREXAMPLES:
        rows += counterexample(problem, seeds)
    rows += sparse_and_dense(seeds, settings["sparse_steps"])
    return arms.tidy(rows, CONDITIONS)


def identities(random, trials):
    """The corrected moments of a first gradient, and of one that stays the same."""
    worst = {"first_estimate_error": 0.0, "constant_gradient_error": 0.0}
    for quantity, steps in itertools.product(worst, [1000] * trials):
        steps = 1 if quantity == "first_estimate_error" else steps
        betas = random.choice([0, 0.9, 0.999, random.uniform()], 2)
        gradient = random.normal(size=random.integers(1, 9)) * 10 ** random.uniform(-6, 6)
        *_, mean, square = moments(np.tile(gradient, (steps, 1)), betas)
        errors = np.abs(mean / gradient - 1).max(), np.abs(square / gradient**2 - 1).max()
        worst[quantity] = max(worst[quantity], *errors)
    for quantity, error in worst.items():
        yield {"quantity": quantity, "value": error}


def correction(random):
    """What the correction does to the length of a step, on a stream of noisy gradients."""
    steps = np.arange(1, LOOKS[-1] + 1)
    gradients = random.normal(random.normal(), 1, LOOKS[-1])
    first, second, mean, square = moments(gradients, (0.9, 0.999))
    ratio = first / (np.sqrt(second) + 1e-8) / (mean / (np.sqrt(square) + 1e-8))
    changed = np.abs(np.log2(ratio))
    spaced = np.unique(np.geomspace(1, LOOKS[-1], 200).astype(int))
    slope = np.polyfit(np.log10(spaced), changed[spaced - 1], 1)[0]
    yield {"quantity": "correction_fades", "value": -slope}
    for quantity, effect in (
        ("matters_until", changed),
        ("first_moment_until", np.abs(np.log2(first / mean))),
    ):
        yield {"quantity": quantity, "value": steps[effect > np.log2(1.1)].max()}
    for step in spaced:
        where = {"step": step}
        yield where | {"quantity": "uncorrected_over_corrected", "value": ratio[step - 1]}
        yield where | {"quantity": "chapter_factor", "value": first[step - 1] / mean[step - 1]}


def memory(random):
    """Numbers that torch.optim keeps for each parameter, for a network of random shape."""
    import torch

    widths = random.integers(1, 40, 4)
    makers = {
        "sgd": lambda p: torch.optim.SGD(p, 0.1),
        "momentum": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9),
        "rmsprop": lambda p: torch.optim.RMSprop(p),
        "adam": lambda p: torch.optim.Adam(p),
        "amsgrad": lambda p: torch.optim.Adam(p, amsgrad=True),
        "adamw": lambda p: torch.optim.AdamW(p),
    }
    for name, maker in makers.items():
        shapes = [*itertools.pairwise(widths), *((width,) for width in widths[1:])]
        parameters = [torch.ones(*map(int, shape), requires_grad=True) for shape in shapes]
        optimizer = maker(parameters)
        sum(parameter.sum() for parameter in parameters).backward()
        optimizer.step()
        stored = sum(
            kept.numel()
            for state in optimizer.state.values()
            for key, kept in state.items()
            if key != "step" and kept is not None
        )
        whole = sum(parameter.numel() for parameter in parameters)
        yield {"quantity": "numbers_stored", "optimizer": name, "value": stored / whole}


def counterexample(problem, seeds):
    """Adam, AMSGrad and AdamW on one of COUNTEREXAMPLES, each seed from a start of its own."""
    settings = COUNTEREXAMPLES[problem]
    variants = ["adam", "amsgrad", *(f"adamw {decay:g}" for decay in DECAYS)]
    amsgrad = np.array([[name == "amsgrad"] for name in variants])
    decay = np.array([[0.0], [0.0], *([decay] for decay in DECAYS)])
    starts = [np.random.default_rng([seed, 143]).uniform(-1, 1) for seed in seeds]
    steps = settings["period"] * settings["periods"]
    slopes = np.full(steps, -1.0)
    slopes[:: settings["period"]] = settings["rare"]
    rates = settings["rate"] / (np.sqrt(np.arange(1, steps + 1)) if settings["falls"] else 1)
    rates = np.broadcast_to(rates, steps)
    looks = set(np.unique(np.geomspace(1, steps, 60).astype(int)))
    if not settings["falls"]:
        looks = set(np.linspace(1, steps, 160).astype(int))
    last, rows = np.zeros((len(variants), len(seeds))), []

    def add(quantity, values, **where):
        where |= {"quantity": quantity, "problem": problem}
        rows.extend(
            where | {"seed": seed, "value": float(value)}
            for seed, value in zip(seeds, values, strict=True)
        )

    start = np.tile(starts, (len(variants), 1))
    positions = descend(start, slopes, settings["betas"], rates, amsgrad, decay)
    for step, x in enumerate(positions, start=1):
        if step > steps - settings["period"]:
            last += x / settings["period"]
        if step in looks:
            for name, place in zip(variants[:3], x, strict=False):
                add("position", place, optimizer=name.split()[0], step=step)
    for name, place in zip(variants, last, strict=True):
        add("final_position", place, optimizer=name)
    add("adam_fails", last[0] > 0)
    add("amsgrad_fixes", last[1] < -0.8)
    add("adamw_fixes", last[2] < -0.8)
    add("adamw_of_any_decay_fixes", (last[2:] < -0.8).any(0))
    return rows


def sparse_and_dense(seeds, steps):
    """Logistic regression on rare and on dense features: SGD against Adam, each at its best rate.

    A rate is chosen from RATES on STREAMS of its own; a seed's number is of STREAMS as well. Excess
    losses are averaged as logarithms.
    """
    gains = {}
    for kind in ("sparse", "dense"):
        left = {}
        for optimizer in ("sgd", "adam"):
            of_tuning = [("tuning", stream) for stream in range(STREAMS)]
            tuning = np.log2(excess_loss(kind, optimizer, RATES, of_tuning, steps))
            best = RATES[[tuning.mean(1).argmin()]]
            scored = [(seed, stream) for seed in seeds for stream in range(STREAMS)]
            losses = np.log2(excess_loss(kind, optimizer, best, scored, steps))
            left[optimizer] = losses.reshape(len(seeds), STREAMS).mean(1)
        gains[kind] = left["sgd"] - left["adam"]
    for quantity, values in (
        ("sparse_gain", gains["sparse"]),
        ("dense_gain", gains["dense"]),
        ("sparse_beyond_dense", gains["sparse"] - gains["dense"]),
    ):
        for seed, value in zip(seeds, values, strict=True):
            yield {"quantity": quantity, "seed": seed, "value": value}


def logistic(x):
    return 0.5 * (1 + np.tanh(x / 2))


def excess_loss(kind, optimizer, rates, names, steps):
    """Excess test loss [rates, streams] of logistic regression with a fresh batch a step, the mean
    over ten looks in the second half of the steps.

    kind "sparse": feature j of FEATURES is 1 with probability 1/j, like words; "dense": standard
    normal. Labels are drawn from a logistic model, whose own loss is subtracted; its
    probabilities are the test labels, so that the excess is never negative.
    """
    streams = [np.random.default_rng([crc32(repr(name).encode()), 197]) for name in names]
    chances = 1 / np.arange(1, FEATURES + 1)

    def draw_inputs(random, count):
        if kind == "dense":
            return random.normal(size=(count, FEATURES))
        return (random.uniform(size=(count, FEATURES)) < chances).astype(float)

    scale = 1 / np.sqrt(FEATURES if kind == "dense" else chances.sum())
    truth = [2 * scale * random.normal(size=FEATURES) for random in streams]

    def batch(count):
        inputs = np.array([draw_inputs(random, count) for random in streams])
        sure = np.array([x @ w for x, w in zip(inputs, truth, strict=True)])
        draws = np.array([random.logistic(size=count) for random in streams])
        return inputs, sure, (draws < sure).astype(float)

    tested, sure, _ = batch(2000)
    answers = logistic(sure)

    def loss(weights):
        logits = weights @ tested.transpose(0, 2, 1)
        return (np.logaddexp(0, logits) - answers[:, None] * logits).mean(-1)

    best = loss(np.array(truth)[:, None])
    looks, excess = set(np.linspace(steps / 2, steps, 10).astype(int)), 0
    weights = np.zeros((len(streams), len(rates), FEATURES))
    rate = np.reshape(rates, (1, -1, 1))
    first = second = np.zeros_like(weights)
    for step in range(1, steps + 1):
        inputs, _, labels = batch(BATCH)
        logits = weights @ inputs.transpose(0, 2, 1)
        errors = logistic(logits) - labels[:, None]
        gradient = errors @ inputs / BATCH
        if optimizer == "sgd":
            weights = weights - 20 * rate * gradient
        else:
            first = 0.9 * first + 0.1 * gradient
            second = 0.999 * second + 0.001 * gradient**2
            mean, square = first / (1 - 0.9**step), second / (1 - 0.999**step)
            weights = weights - rate * mean / (np.sqrt(square) + 1e-8)
        if step in looks:
            excess = excess + (loss(weights) - best) / len(looks)
    return excess.T


# ---- Drawing ------------------------------------------------------------------------------------


def draw(table: pd.DataFrame) -> dict:
    """F37: figure id to (matplotlib Figure, data behind it)."""
    from finicky.page import figures

    def of(quantity):
        rows = table[table["quantity"] == quantity]
        known = [axis for axis in CONDITIONS if rows[axis].notna().any()]
        return figures.summary(rows, known).assign(quantity=quantity)

    names = ["uncorrected_over_corrected", "chapter_factor", "position"]
    data = pd.concat([of(name) for name in names], ignore_index=True)
    with figures.style():
        fig, axes = figures.panels([2.6], columns=3, left=0.5, right=0.3, between=(0.65, 0))
        lengths, *examples = axes[0]
        _lengths(lengths, data, figures)
        for ax, problem in zip(examples, COUNTEREXAMPLES, strict=True):
            _walks(ax, problem, data[data["problem"] == problem], figures)
        figures.footer(fig, data)
        ends = data[data["quantity"] == "position"].sort_values("step")
        ends = ends.groupby(["problem", "optimizer"])["median"].last()
        fig.set_label(
            "Step length without bias correction over that with it, by step; positions on two "
            "counterexamples whose minimum is at -1. At the end: "
            + ", ".join(
                f"{problem}, {optimizer} {x:.2f}" for (problem, optimizer), x in ends.items()
            )
            + "."
        )
    return {"F37": (fig, data)}


def _lengths(ax, data, figures):
    """What leaving the correction out does to a step's length."""
    ax.set_title("Step without correction (×)", fontsize=8.5)
    figures.log_axis(ax, "x", 1, LOOKS[-1], LOOKS[::2])
    figures.log_axis(ax, "y", 0.08, 12, [0.1, 0.2, 0.5, 1, 2, 5, 10])
    ax.axhline(1, color=figures.INK, linewidth=0.8)
    lines = (
        ("uncorrected_over_corrected", figures.PLUM, "both moments:\nlonger", 120, (4, 2), "left"),
        ("chapter_factor", figures.GREY, "first moment alone,\nas in the chapter", 3, (10, -4),
         "left"),
    )  # fmt: skip
    for quantity, colour, label, at, offset, ha in lines:
        rows = data[data["quantity"] == quantity].sort_values("step")
        ax.plot(rows["step"], rows["median"], color=colour)
        near = rows.iloc[(rows["step"] - at).abs().argmin()]
        ax.annotate(
            label, (near["step"], near["median"]), xytext=offset, textcoords="offset points",
            ha=ha, va="bottom" if offset[1] > 0 else "top", fontsize=7.5,
        )  # fmt: skip
    ax.set_xlabel("step t")


def _walks(ax, problem, data, figures):
    """Positions on a counterexample."""
    settings = COUNTEREXAMPLES[problem]
    steps = settings["period"] * settings["periods"]
    first, second = settings["betas"]
    ax.set_title(f"Position, β = {first:g}, {second:g}", fontsize=8.5)
    ax.axhline(-1, color=figures.INK, linewidth=1, linestyle=figures.DASHES)
    ax.text(0.98, 0.02, "minimum", transform=ax.transAxes, fontsize=7.5, ha="right", va="bottom")
    for name, colour, label in (
        ("adam", figures.PLUM, "Adam"),
        ("adamw", figures.TAN, "AdamW"),
        ("amsgrad", figures.BLUE, "AMSGrad"),
    ):
        rows = data[data["optimizer"] == name].sort_values("step")
        x = rows["step"] if settings["falls"] else rows["step"] / settings["period"]
        ax.fill_between(x, rows["low"], rows["high"], color=colour, alpha=0.15, linewidth=0)
        ax.plot(
            x, rows["median"], color=colour, label=label, linewidth=1.2,
            linestyle="--" if name == "adamw" else "-",
        )  # fmt: skip
    if settings["falls"]:
        figures.log_axis(ax, "x", 1, steps, LOOKS[::2])
        ax.set_xlabel("step t")
    else:
        ax.set_xlabel(f"periods of {settings['period']:,} steps")
    ax.set_ylim(-1.25, 1.4)
    ax.legend(
        loc="upper left", ncols=3, fontsize=7.5, handlelength=1.3, columnspacing=0.8, borderpad=0,
        borderaxespad=0.2,
    )  # fmt: skip
