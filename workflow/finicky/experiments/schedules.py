"""Learning rate schedules: the chapter's four formulas, and what they do to a small network.

Networks are trained with momentum 0.9, the rate set at every step. A schedule's highest rate is
chosen from a ladder by the validation accuracy of the other seeds.
"""

import itertools

import numpy as np
import pandas as pd
import torch

from finicky.data import CHANCE
from finicky.experiments import best_rates, tidy, training
from finicky.experiments.rate_schedules import CHAPTER, SCHEDULES, WARM_UP, warm_up
from finicky.runs import OUTCOMES

TITLE = "Learning rate schedules"
READS = []
DATASETS = ["mnist", "fashion_mnist"]
SETTINGS = {
    "images": ("images", "training images"),
    "epochs": ("epochs", "passes over them, of networks of 2 layers"),
    "rates": ("rates", "highest rates to choose from, at 2 layers"),
    "warm_up_epochs": ("epochs", "passes over the images, of networks of 10 layers"),
    "warm_up_rates": ("rates", "large rates, which are warmed up to, at 10 layers"),
}
QUANTITIES = {
    "formula_error": ("", "formula against torch.optim.lr_scheduler, step by step: largest "
                      "deviation relative to the highest rate"),
    "warm_up_first_rate": ("", "warm-up's rate at step 0 over the highest"),
    "schedule_gain": ("pp", "test accuracy with the schedule minus that at a constant rate, each "
                      "from its best highest rate"),
    "divergence_prevented": ("pp", "share of the runs of 10 layers at large rates that diverge, or "
                             "end without having learned, minus their share with warm-up to them"),
    "share_diverged": ("%", "that share, without warm-up (constant) and with it"),
    "diverged": ("0/1", "whether a run at this rate does so"),
    "accuracy": ("%", "test accuracy at the end, from the best highest rate"),
    "rate": ("", "rate over the highest, by step"),
}  # fmt: skip
CONDITIONS = {
    "dataset": "level",
    "schedule": ["step", "exponential", "cosine", "warm-up + cosine", "warm-up", "constant"],
    "learning_rate": "number",
    "step": "integer",
}
BUDGET = {
    "{images} images of {dataset}, {epochs} epochs": [
        "schedule_gain",
        "accuracy",
    ],
    "{images} images of {dataset}, {warm_up_epochs} epochs": [
        "divergence_prevented",
        "share_diverged",
        "diverged",
    ],
}


def by_pytorch(name, total, rate):
    """Rates [total] of torch.optim.lr_scheduler from the first step on; `warm-up` is LinearLR,
    which cannot start at zero and so begins with the formula's step 1."""
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], rate)
    schedulers = torch.optim.lr_scheduler
    warm = max(1, round(WARM_UP * total))
    scheduler = {
        "step": lambda: schedulers.StepLR(optimizer, max(1, total // 3), 0.1),
        "exponential": lambda: schedulers.ExponentialLR(optimizer, np.exp(-np.log(100) / total)),
        "cosine": lambda: schedulers.CosineAnnealingLR(optimizer, total),
        "warm-up": lambda: schedulers.LinearLR(optimizer, 1 / warm, 1.0, warm - 1),
    }[name]()
    rates = []
    for _ in range(total):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return np.array(rates)


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, seed and condition; QUANTITIES says what each number is."""
    seeds, rows = settings["seeds"], []
    for seed in seeds:
        rows += [row | {"seed": seed} for row in formulas(np.random.default_rng([seed, 147]))]
    for name in DATASETS:
        data = training.prepared(name, settings, settings["images"])
        found = [*schedules(data, name, settings), *warm_ups(data, name, settings)]
        rows += [row | {"dataset": name} for row in found]
    t = np.arange(0, 1001, 10)
    for name in CHAPTER:
        where = {"quantity": "rate", "schedule": name, "seed": seeds[0]}
        factors = SCHEDULES[name](t, 1000)
        rows += [where | {"step": s, "value": v} for s, v in zip(t, factors, strict=True)]
    return tidy.from_rows(rows, CONDITIONS)


def formulas(random):
    """Yields rows: each formula against PyTorch, for a training of random length and rate."""
    total, rate = int(random.integers(30, 400)) // 10 * 10, 10 ** random.uniform(-4, 1)
    t = np.arange(total)
    ours = {name: SCHEDULES[name](t, total) for name in ("step", "exponential", "cosine")}
    ours["warm-up"] = warm_up(t + 1, total)
    for name, factors in ours.items():
        error = np.abs(rate * factors - by_pytorch(name, total, rate)).max() / rate
        yield {"quantity": "formula_error", "schedule": name, "value": error}
    yield {"quantity": "warm_up_first_rate", "value": float(warm_up(0, total))}


def trained(data, settings, names, rates, **levels) -> pd.DataFrame:
    """Train on `data` with every schedule of `names`, highest rate of `rates` and seed; levels: of
    the runs. One row per training, as `training.train` makes them, with its `schedule`."""
    jobs = list(itertools.product(names, rates, settings["seeds"]))
    trainings = [
        training.Training(
            training.run(
                settings, settings["images"], seed,
                optimizer="momentum", learning_rate=rate, **levels,
            ),
            schedule=SCHEDULES[name],
        )
        for name, rate, seed in jobs
    ]  # fmt: skip
    ends = pd.DataFrame(training.train(trainings, data))
    return ends.assign(schedule=[name for name, _, _ in jobs])


def schedules(data, name, settings):
    """Yields rows: the chapter's schedules and a constant rate, each from its best highest rate."""
    levels = {"dataset": name, "depth": 2, "epochs": settings["epochs"]}
    ends = trained(data, settings, ["constant", *CHAPTER], settings["rates"], **levels)
    best = best_rates.best(ends, ["schedule"], ["learning_rate"])
    at_constant = best[best["schedule"] == "constant"].set_index("seed")
    for row in best.itertuples():
        where = {"schedule": row.schedule, "seed": row.seed}
        accuracy = {"value": row.test_accuracy, "outcome": OUTCOMES[row.outcome]}
        yield where | {"quantity": "accuracy", "learning_rate": row.learning_rate} | accuracy
        if row.schedule != "constant":
            yield where | gain("schedule_gain", row, at_constant.loc[row.seed])


def gain(quantity, a, b) -> dict:
    """The difference of two rows' test accuracies, with the worse outcome."""
    accuracies = {"a": a.test_accuracy, "b": b.test_accuracy}
    outcome = OUTCOMES[int(max(a.outcome, b.outcome))]
    difference = a.test_accuracy - b.test_accuracy
    return {"quantity": quantity, "value": difference, "outcome": outcome} | accuracies


def warm_ups(data, name, settings):
    """Yields rows: which trainings of ten layers diverge at these rates, warmed up to or not."""
    levels = {"dataset": name, "depth": 10, "epochs": settings["warm_up_epochs"]}
    ends = trained(
        data, settings, ["warm-up", "constant"], settings["warm_up_rates"], **levels
    ).assign(diverged=diverged)
    for row in ends.itertuples():
        where = {"schedule": row.schedule, "learning_rate": row.learning_rate, "seed": row.seed}
        yield where | {"quantity": "diverged", "value": float(row.diverged)}
    shares = 100 * ends.groupby(["schedule", "seed"])["diverged"].mean()
    for (schedule, seed), share in shares.items():
        yield {"quantity": "share_diverged", "schedule": schedule, "seed": seed, "value": share}
    for seed, prevented in (shares["constant"] - shares["warm-up"]).items():
        yield {"quantity": "divergence_prevented", "seed": seed, "value": prevented}


def diverged(ends: pd.DataFrame) -> pd.Series:
    """Whether each training's loss grew beyond 1000 times its start, to infinity or to NaN, or its
    network ends with less than twice the accuracy of chance on the validation images: a loss that
    explodes can kill all ReLUs, and a dead network's loss is finite."""
    return (ends["outcome"] > 0) | (ends["validation_accuracy"] < 2 * CHANCE)
