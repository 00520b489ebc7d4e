"""Adam's formulas: what the bias correction does, what Adam stores, where it fails, what it does
for gradients that are rare.
"""

import itertools
from zlib import crc32

import numpy as np
import pandas as pd

from finicky.experiments import tidy, update_rules

TITLE = "Adam: bias correction, memory, the counterexample, sparse gradients"
READS = []
SETTINGS = {
    "trials": ("trials", "random gradients per seed, of the identities"),
    "sparse_steps": ("steps", "steps of the regressions on sparse and on dense features"),
    "periods": ("count", "periods of the counterexample with the usual β, of 25,000 steps"),
}
QUANTITIES = {
    "first_estimate_error": ("", "corrected moments after the first step against the gradient and "
                             "its square, random β: largest relative error"),
    "constant_gradient_error": ("", "the same after 1 to 1000 steps of one constant gradient"),
    "early_only": ("0/1", "1 if the correction changes the length of the first step by more than "
                   "10 % and of step 10,000 by less; the gradients cancel, so one number"),
    "correction_fades": ("doublings per decade", "how the correction's effect on the step's length "
                         "falls with the step's number, fitted over 10,000 steps"),
    "uncorrected_over_corrected": ("×", "step's length without the correction over that with it"),
    "chapter_factor": ("×", "1 - 0.9^t, the factor that the chapter shows"),
    "matters_until": ("steps", "last step whose length the correction changes by more than 10 %"),
    "first_moment_until": ("steps", "the same for the correction of the first moment alone"),
    "two_more": ("0/1", "1 if Adam's numbers_stored is 2"),
    "numbers_stored": ("", "numbers in the state of torch.optim per parameter, the step counter of "
                       "each tensor left out"),
    "adam_fails": ("0/1", "Adam ends in the worse half, where the minimum lies at the other end"),
    "amsgrad_fixes": ("0/1", "AMSGrad ends within a tenth of the interval from the minimum"),
    "adamw_fixes": ("0/1", "AdamW with λ = 0.01 does"),
    "adamw_of_any_decay_fixes": ("0/1", "AdamW does with some λ from 0.01 to 10"),
    "position": ("", "position by step, from -1 (the minimum) to 1"),
    "final_position": ("", "mean position over the last period"),
    "sparse_gain": ("doublings", "excess test loss of SGD over Adam's, rare features, best rates"),
    "dense_gain": ("doublings", "the same with dense features"),
    "sparse_beyond_dense": ("doublings", "sparse_gain minus dense_gain"),
}  # fmt: skip
CONDITIONS = {
    "counterexample": ["theorem 1", "usual β"],
    "optimizer": ["sgd", "momentum", "rmsprop", "adam", "amsgrad", "adamw"],
    "decay": "number",
    "step": "integer",
}
BUDGET = {
    "logistic regression, {sparse_steps} steps": [
        "sparse_gain",
        "dense_gain",
        "sparse_beyond_dense",
    ],
}
MUCH = 0.1  # of a step's length: a change that matters
REPORTED = [1, 10, 100, 1000, 10000]  # steps at which the correction is reported
DECAYS = [0.01, 0.1, 1.0, 10.0]  # λ of AdamW
# Sums of linear functions on [-1, 1]: the slope is `rare` once a period and -1 else, so the mean
# slope is positive. rate: a constant, over √t where falls.
COUNTEREXAMPLES = {
    # Reddi, Kale and Kumar 2018 (ICLR), theorem 1, with C = 3: β1 = 0, β2 = 1/(1 + C²)
    "theorem 1": {"betas": (0.0, 0.1), "period": 3, "rare": 3.0, "rate": 0.5, "falls": True,
                  "periods": 3000},
    # their theorem 2: every β1 < √β2 has such a sum; this one is for the usual β
    "usual β": {"betas": (0.9, 0.999), "period": 25_000, "rare": 250_000.0, "rate": 0.02,
                "falls": False},
}  # fmt: skip
FEATURES, BATCH = 100, 16
REPEATS = 8  # regressions per seed
RATES = 2.0 ** np.arange(-13, -1)  # of Adam; SGD gets 20 times as much


# ---- Measuring ----------------------------------------------------------------------------------


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, seed and condition; QUANTITIES says what each number is."""
    seeds, rows = settings["seeds"], []
    for seed in seeds:
        random = np.random.default_rng([seed, 138])
        found = [*identities(random, settings["trials"])]
        if seed == seeds[0]:  # what follows is the same whatever is drawn
            found += [*correction(random), *memory(random)]
        rows += [row | {"seed": seed} for row in found]
    for name in COUNTEREXAMPLES:
        rows += counterexample(name, seeds, settings["periods"])
    rows += sparse_and_dense(seeds, settings["sparse_steps"])
    return tidy.from_rows(rows, CONDITIONS)


# ---- Bias correction and memory -----------------------------------------------------------------


def moments(gradients, betas):
    """Moments after each step, without and with correction: four arrays like gradients [t, ...]."""
    state, found = {}, []
    for step, gradient in enumerate(gradients, start=1):
        corrected = update_rules.adam_moments(gradient, state, step, betas)
        found.append((state["m"], state["v"], *corrected))
    return tuple(np.array(part) for part in zip(*found, strict=True))


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
    """What the correction does to the length of a step, on a sequence of noisy gradients. They
    cancel in the ratio of the lengths, up to Adam's eps."""
    steps = np.arange(1, REPORTED[-1] + 1)
    gradients = random.normal(random.normal(), 1, REPORTED[-1])
    first, second, mean, square = moments(gradients, (0.9, 0.999))
    ratio = first / (np.sqrt(second) + 1e-8) / (mean / (np.sqrt(square) + 1e-8))
    changed = np.abs(np.log2(ratio))
    spaced = np.unique(np.geomspace(1, REPORTED[-1], 200).astype(int))
    slope = np.polyfit(np.log10(spaced), changed[spaced - 1], 1)[0]
    yield {"quantity": "correction_fades", "value": -slope}
    much = np.log2(1 + MUCH)
    yield {"quantity": "early_only", "value": float(changed[0] > much > changed[-1])}
    for quantity, effect in (
        ("matters_until", changed),
        ("first_moment_until", np.abs(np.log2(first / mean))),
    ):
        yield {"quantity": quantity, "value": steps[effect > much].max()}
    for step in spaced:
        where = {"step": step}
        yield where | {"quantity": "uncorrected_over_corrected", "value": ratio[step - 1]}
        yield where | {"quantity": "chapter_factor", "value": first[step - 1] / mean[step - 1]}


def memory(random):
    """Numbers that torch.optim keeps for each parameter, for a network of random shape."""
    import torch

    widths = random.integers(1, 40, 4)
    for name in ("sgd", "momentum", "rmsprop", "adam", "amsgrad", "adamw"):
        shapes = [*itertools.pairwise(widths), *((width,) for width in widths[1:])]
        parameters = [torch.ones(*map(int, shape), requires_grad=True) for shape in shapes]
        rule = "gradient descent" if name == "sgd" else name
        optimizer = update_rules.in_pytorch(rule, parameters, 0.1)
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
        if name == "adam":
            yield {"quantity": "two_more", "value": float(stored == 2 * whole)}


# ---- The counterexample -------------------------------------------------------------------------


def walk(x, slopes, betas, rates, amsgrad=False, decay=0.0):
    """Positions after each step of Adam, AMSGrad or AdamW, each kept within [-1, 1].

    x: starts [variants, seeds]; slopes, rates: sequences of numbers, one per step; amsgrad and
    decay broadcast to x.
    """
    state = {}
    for step, (slope, rate) in enumerate(zip(slopes, rates, strict=True), start=1):
        moved = update_rules.adam(x, slope, state, rate, step, decay, betas=betas, amsgrad=amsgrad)
        x = moved.clip(-1, 1)
        yield x


def counterexample(name, seeds, periods):
    """Rows of Adam, AMSGrad and AdamW on one of COUNTEREXAMPLES, each seed from its own start.

    periods: how many are walked, unless the example says it.
    """
    example = {"periods": periods} | COUNTEREXAMPLES[name]
    variants = [("adam", None), ("amsgrad", None), *(("adamw", decay) for decay in DECAYS)]
    amsgrad = np.array([[optimizer == "amsgrad"] for optimizer, _ in variants])
    decay = np.array([[decay or 0.0] for _, decay in variants])
    steps = example["period"] * example["periods"]
    slopes = np.full(steps, -1.0)
    slopes[:: example["period"]] = example["rare"]
    rates = example["rate"] / (np.sqrt(np.arange(1, steps + 1)) if example["falls"] else 1)
    rates = np.broadcast_to(rates, steps)
    if example["falls"]:
        shown = set(np.geomspace(1, steps, 60).astype(int))
    else:
        shown = set(np.linspace(1, steps, 160).astype(int))
    rows = []

    def add(quantity, values, variant=(None, None), step=None):
        where = {"optimizer": variant[0], "decay": variant[1], "step": step}
        where |= {"quantity": quantity, "counterexample": name}
        rows.extend(
            where | {"seed": seed, "value": float(value)}
            for seed, value in zip(seeds, values, strict=True)
        )

    starts = [np.random.default_rng([seed, 143]).uniform(-1, 1) for seed in seeds]
    start = np.tile(starts, (len(variants), 1))
    last = np.zeros_like(start)  # mean position over the last period
    positions = walk(start, slopes, example["betas"], rates, amsgrad, decay)
    for step, x in enumerate(positions, start=1):
        if step > steps - example["period"]:
            last += x / example["period"]
        if step in shown:
            for variant, place in zip(variants[:3], x, strict=False):
                add("position", place, variant, step)
    for variant, place in zip(variants, last, strict=True):
        add("final_position", place, variant)
    add("adam_fails", last[0] > 0)
    add("amsgrad_fixes", last[1] < -0.8)
    add("adamw_fixes", last[2] < -0.8)
    add("adamw_of_any_decay_fixes", (last[2:] < -0.8).any(0))
    return rows


# ---- Sparse gradients ---------------------------------------------------------------------------


def sparse_and_dense(seeds, steps):
    """Logistic regression on rare and on dense features: SGD against Adam, each at its best rate.

    A rate is chosen from RATES on REPEATS regressions of its own; a seed's number is the mean of
    REPEATS as well. Excess losses are averaged as logarithms.
    """
    gains = {}
    for kind in ("sparse", "dense"):
        left = {}
        for optimizer in ("sgd", "adam"):
            for_tuning = [("tuning", repeat) for repeat in range(REPEATS)]
            tuning = np.log2(excess_loss(kind, optimizer, RATES, for_tuning, steps))
            best = RATES[[tuning.mean(1).argmin()]]
            scored = [(seed, repeat) for seed in seeds for repeat in range(REPEATS)]
            losses = np.log2(excess_loss(kind, optimizer, best, scored, steps))
            left[optimizer] = losses.reshape(len(seeds), REPEATS).mean(1)
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
    """Excess test loss [rates, regressions] of logistic regression with a fresh batch per step,
    the mean over ten evaluations in the second half of the steps.

    kind: "sparse", feature j of FEATURES is 1 with probability 1/j, like words, or "dense",
    standard normal; optimizer: "sgd" or "adam"; names: one per regression, which seed its random
    numbers. Labels are drawn from a logistic model, whose own loss is subtracted; its
    probabilities are the test labels, so that the excess is never negative.
    """
    generators = [np.random.default_rng([crc32(repr(name).encode()), 197]) for name in names]
    chances = 1 / np.arange(1, FEATURES + 1)

    def draw_inputs(random, count):
        if kind == "dense":
            return random.normal(size=(count, FEATURES))
        return (random.uniform(size=(count, FEATURES)) < chances).astype(float)

    scale = 1 / np.sqrt(FEATURES if kind == "dense" else chances.sum())
    truth = [2 * scale * random.normal(size=FEATURES) for random in generators]

    def batch(count):
        inputs = np.array([draw_inputs(random, count) for random in generators])
        logits = np.array([x @ w for x, w in zip(inputs, truth, strict=True)])
        draws = np.array([random.logistic(size=count) for random in generators])
        return inputs, logits, (draws < logits).astype(float)

    test_inputs, true_logits, _ = batch(2000)
    test_labels = logistic(true_logits)

    def loss(weights):
        logits = weights @ test_inputs.transpose(0, 2, 1)
        return (np.logaddexp(0, logits) - test_labels[:, None] * logits).mean(-1)

    best = loss(np.array(truth)[:, None])
    evaluated, excess = set(np.linspace(max(1, steps / 2), steps, 10).astype(int)), 0
    weights, state = np.zeros((len(names), len(rates), FEATURES)), {}
    rate = np.reshape(rates, (1, -1, 1))
    for step in range(1, steps + 1):
        inputs, _, labels = batch(BATCH)
        errors = logistic(weights @ inputs.transpose(0, 2, 1)) - labels[:, None]
        gradient = errors @ inputs / BATCH
        if optimizer == "sgd":
            weights = weights - 20 * rate * gradient
        else:
            weights = update_rules.adam(weights, gradient, state, rate, step)
        if step in evaluated:
            excess = excess + (loss(weights) - best) / len(evaluated)
    return excess.T
