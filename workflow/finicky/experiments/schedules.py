"""Learning rate schedules: the chapter's four formulas, and what they do to a small network.

Networks are trained by the engine with momentum 0.9, the rate set at every step. A schedule's first
rate is chosen from a ladder by the validation accuracy of the other seeds.
"""

import itertools

import numpy as np
import pandas as pd

from finicky.experiments import arms

TITLE = "Learning rate schedules"
ANSWERS = ["C147", "C148", "C149"]
READS = []
DATASETS = ["mnist", "fashion_mnist"]
QUANTITIES = {
    "formula_error": ("", "formula against torch.optim.lr_scheduler, step by step: largest "
                      "deviation relative to the highest rate"),
    "warm_up_first_rate": ("", "warm-up's rate at step 0 over the highest"),
    "schedule_gain": ("pp", "test accuracy with the schedule minus that at a constant rate, each "
                      "from its best first rate"),
    "warm_up_gain": ("pp", "test accuracy with warm-up to this rate minus that without, 10 layers"),
    "accuracy": ("%", "test accuracy at the end, from the best first rate"),
    "rate": ("", "rate over the highest, by step"),
}  # fmt: skip
FIGURES = {
    "F27": "Left: the four formulas, over a training. Middle: what each gains over a constant "
    "rate in a network of two layers, each from its own best first rate; a dot is a seed, the bar "
    "the median, and the band is ±0.5 points. Right: what warming up to a rate and staying there "
    "gains over that rate from the start, in ten layers.",
}

CONDITIONS = {"dataset": "str", "problem": "str", "learning_rate": "float64", "step": "Int64"}
WARM_UP = 0.1  # share of the steps


# ---- The chapter's formulas: rate over the highest rate, at step t of T -------------------------


def step_decay(t, total):
    """γ^⌊t/k⌋ with γ = 0.1 and k a third of the training."""
    return 0.1 ** (t // max(1, total // 3))


def exponential_decay(t, total):
    """e^(-λt), with λ such that a hundredth is left at the end."""
    return np.exp(-np.log(100) / total * t)


def cosine(t, total):
    """(1 + cos(πt/T))/2: from the highest rate to zero."""
    return 0.5 * (1 + np.cos(np.pi * t / total))


def warm_up(t, total):
    """min(1, t/T_warmup): from zero, then constant."""
    return np.minimum(1, t / max(1, WARM_UP * total))


def warm_up_cosine(t, total):
    """Warm-up times cosine."""
    return warm_up(t, total) * cosine(t, total)


def constant(t, total):
    return 1.0 + 0 * t


SCHEDULES = {
    "step": step_decay,
    "exponential": exponential_decay,
    "cosine": cosine,
    "warm-up + cosine": warm_up_cosine,
    "warm-up": warm_up,
    "constant": constant,
}
CHAPTER = ["step", "exponential", "cosine", "warm-up + cosine"]


def by_pytorch(name, total, rate):
    """Rates [total] of torch.optim.lr_scheduler from the first step on; `warm-up` is LinearLR,
    which cannot start at zero and so begins with the formula's step 1."""
    import torch

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


# ---- Measuring ----------------------------------------------------------------------------------


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row a quantity, seed and condition; QUANTITIES says what each number is.

    settings: seeds, data; images, epochs, rates (first rates of 2 layers), warm_up_epochs,
    warm_up_rates (of 10 layers).
    """
    from finicky.engine import train as engine

    engine.prepare()
    seeds, rows = settings["seeds"], []
    for seed in seeds:
        rows += [row | {"seed": seed} for row in formulas(np.random.default_rng([seed, 147]))]
    for name in DATASETS:
        dataset = engine.Dataset(name, settings["data"], settings["images"])
        found = [
            *schedules(dataset, seeds, settings["epochs"], settings["rates"]),
            *warm_ups(dataset, seeds, settings["warm_up_epochs"], settings["warm_up_rates"]),
        ]
        rows += [row | {"dataset": name} for row in found]
    t = np.arange(0, 1001, 10)
    for name in CHAPTER:
        where = {"quantity": "rate", "problem": name, "seed": seeds[0]}
        factors = SCHEDULES[name](t, 1000)
        rows += [where | {"step": s, "value": v} for s, v in zip(t, factors, strict=True)]
    return arms.tidy(rows, CONDITIONS)


def formulas(random):
    """Each formula against PyTorch, for a training of random length and rate."""
    total, rate = int(random.integers(30, 400)) // 10 * 10, 10 ** random.uniform(-4, 1)
    t = np.arange(total)
    ours = {name: SCHEDULES[name](t, total) for name in ("step", "exponential", "cosine")}
    ours["warm-up"] = warm_up(t + 1, total)
    for name, factors in ours.items():
        error = np.abs(rate * factors - by_pytorch(name, total, rate)).max() / rate
        yield {"quantity": "formula_error", "problem": name, "value": error}
    yield {"quantity": "warm_up_first_rate", "value": float(warm_up(0, total))}


def trained(dataset, jobs):
    """Train (run, name of a schedule) pairs of one architecture; a row each: problem (the
    schedule), learning_rate, seed, outcome (a number into arms.OUTCOMES), validation and test
    accuracy (%), chance where the loss became inf or NaN."""
    from finicky.experiments import trainings

    scheduled = [(run, SCHEDULES[name]) for run, name in jobs]
    rows = trainings.trained(scheduled, dataset, trainings.Scheduled)
    ends = pd.DataFrame(rows).assign(problem=[name for _, name in jobs])
    names = {"validation_accuracy": "validation", "test_accuracy": "test"}
    return ends.rename(columns=names)[["problem", "learning_rate", "seed", *names.values(),
                                       "outcome"]]  # fmt: skip


def run_of(dataset, **levels):
    from finicky.runs import Run

    return Run(
        dataset="mnist", images=len(dataset.train.labels), block="plain", activation="relu",
        init="he", optimizer="momentum", batch_size=64, width=128, **levels,
    )  # fmt: skip


def schedules(dataset, seeds, epochs, rates):
    """The chapter's schedules and a constant rate, each from its best first rate."""
    names = ["constant", *CHAPTER]
    jobs = [
        (run_of(dataset, depth=2, epochs=epochs, learning_rate=rate, seed=seed), name)
        for name, rate, seed in itertools.product(names, rates, seeds)
    ]
    ends = trained(dataset, jobs)
    best = pd.concat([_best_by_other_seeds(mine) for _, mine in ends.groupby("problem")])
    at_constant = best[best["problem"] == "constant"].set_index("seed")
    for row in best.itertuples():
        where = {"problem": row.problem, "seed": row.seed, "learning_rate": row.learning_rate}
        yield where | _accuracy(row)
        if row.problem != "constant":
            yield {"problem": row.problem, "seed": row.seed} | _gain(
                "schedule_gain", row, at_constant.loc[row.seed]
            )


def _best_by_other_seeds(ends):
    """For each seed the row at the rate with the best mean validation accuracy of the others (of
    its own, where it is alone)."""
    scores = ends.pivot(index="learning_rate", columns="seed", values="validation")
    chosen = {seed: arms.best_level(scores, seed) for seed in scores.columns}
    return ends[ends["learning_rate"] == ends["seed"].map(chosen)]


def _accuracy(row):
    return {"quantity": "accuracy", "value": row.test, "outcome": arms.OUTCOMES[row.outcome]}


def _gain(quantity, a, b):
    """The difference of two rows' test accuracies, with the worse outcome."""
    outcome = arms.OUTCOMES[int(max(a.outcome, b.outcome))]
    return {"quantity": quantity, "value": a.test - b.test, "a": a.test, "b": b.test,
            "outcome": outcome}  # fmt: skip


def warm_ups(dataset, seeds, epochs, rates):
    """Ten layers at these rates, warmed up to and from the start."""
    jobs = [
        (run_of(dataset, depth=10, epochs=epochs, learning_rate=rate, seed=seed), name)
        for name, rate, seed in itertools.product(["warm-up", "constant"], rates, seeds)
    ]
    ends = trained(dataset, jobs).set_index(["problem", "learning_rate", "seed"])
    for rate, seed in itertools.product(rates, seeds):
        gain = _gain(
            "warm_up_gain", ends.loc["warm-up", rate, seed], ends.loc["constant", rate, seed]
        )
        yield {"learning_rate": rate, "seed": seed} | gain


# ---- Drawing ------------------------------------------------------------------------------------


def draw(table: pd.DataFrame) -> dict:
    """F27: figure id to (matplotlib Figure, data behind it)."""
    from finicky.page import figures

    colours = dict(
        zip(CHAPTER, [figures.BLUE, figures.SAGE, figures.PLUM, figures.VERMILLION], strict=True)
    )
    data = pd.concat(
        [
            figures.summary(table[table["quantity"] == quantity], by).assign(quantity=quantity)
            for quantity, by in (
                ("rate", ["problem", "step"]),
                ("schedule_gain", ["dataset", "problem"]),
                ("warm_up_gain", ["dataset", "learning_rate"]),
            )
        ],
        ignore_index=True,
    )
    with figures.style():
        fig, axes = figures.panels([2.5], columns=3, left=0.4, right=0.2, between=(0.6, 0))
        shapes, gains, warm = axes[0]
        shapes.set_title("Rate over the highest", fontsize=8.5)
        for name, colour in colours.items():
            rows = data[(data["quantity"] == "rate") & (data["problem"] == name)]
            shapes.plot(rows["step"] / 1000, rows["median"], color=colour, label=name)
        shapes.legend(loc="upper right", fontsize=7, handlelength=1.4, borderpad=0)
        shapes.set(xlabel="share of the steps", xlim=(0, 1), ylim=(0, 1.45))
        shapes.set_yticks([0, 0.5, 1])

        gains.set_title("Gain over a constant rate (pp)", fontsize=8.5)
        warm.set_title("Gain of warm-up (pp)", fontsize=8.5)
        for ax in (gains, warm):
            ax.axhspan(-0.5, 0.5, color=figures.INK, alpha=0.08, linewidth=0)
            ax.axhline(0, color=figures.INK, linewidth=0.8)
        for place, (name, colour) in enumerate(colours.items()):
            _seeds(gains, place, table[table["problem"] == name], "schedule_gain", colour)
        gains.set_xticks(range(len(colours)), [n.replace(" + ", "\n+ ") for n in colours])
        gains.tick_params(axis="x", labelsize=7)
        rates = sorted(set(data.loc[data["quantity"] == "warm_up_gain", "learning_rate"]))
        for place, rate in enumerate(rates):
            of_rate = table[table["learning_rate"] == rate]
            _seeds(warm, place, of_rate, "warm_up_gain", figures.VERMILLION)
        warm.set_xticks(range(len(rates)), [f"{rate:g}" for rate in rates])
        warm.set_xlabel("rate, momentum 0.9, 10 layers")
        fig.text(
            0.01,
            0.02,
            "dots: "
            + figures.seeds_said(data[data["quantity"] != "rate"])
            + " each; filled: MNIST, open: Fashion-MNIST; bars: medians",
        )
        medians = data[data["quantity"] == "schedule_gain"]
        fig.set_label(
            "Four schedules. Median gain over a constant rate: "
            + ", ".join(
                f"{row.problem} {row.median:.2f} points on {figures.look(row.dataset).label}"
                for row in medians.itertuples()
            )
            + "."
        )
    return {"F27": (fig, data)}


def _seeds(ax, place, table, quantity, colour):
    """The seeds' values as dots, their median as a bar: filled and left for MNIST."""
    for shift, (dataset, filling) in zip(
        (-0.17, 0.17), (("mnist", colour), ("fashion_mnist", "none")), strict=True
    ):
        values = table.loc[(table["quantity"] == quantity) & (table["dataset"] == dataset), "value"]
        x = place + shift
        ax.plot(
            np.full(len(values), x), values, "o", color=colour, markersize=3.5,
            markerfacecolor=filling,
        )  # fmt: skip
        ax.plot([x - 0.15, x + 0.15], [values.median()] * 2, color=colour, linewidth=1.6)
