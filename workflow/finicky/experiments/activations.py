"""How sparse are ReLU networks, how fast is a ReLU, and how flat is a sigmoid?

Zeros are counted in the grid's networks, at the start and after training. ReLU, sigmoid and tanh
take turns on one core, alone and in whole training steps. The sigmoid's slope is compared with
derivatives that know no formula for it.
"""

import itertools
import statistics
import time

import numpy as np
import pandas as pd

from finicky.experiments import pairing, tidy
from finicky.experiments.identities import complex_step_jacobian, relative_error
from finicky.runs import OUTCOMES

TITLE = "Activations: zeros, speed and slopes"
READS = ["runs", "curves", "layers"]
ALONE = True
SETTINGS = {
    "trials": ("count", "points per seed at which the sigmoid's slope is compared"),
    "width": ("widths", "units of an activation that is timed alone, on 64 images"),
    "depth": ("depths", "layers of the networks whose training steps are timed"),
    "step_width": ("widths", "units of their hidden layers"),
    "turn": ("seconds", "processor time for each condition, in each repetition"),
}
QUANTITIES = {
    "zeros_at_start": ("%", "units that are zero, over images and hidden layers, at the start: one "
                       "number an architecture and seed; a and b: the best test accuracy that any "
                       "training reached from there"),
    "zeros_after_training": ("%", "the same after the last epoch, of every training; a and b: its "
                             "test accuracy"),
    "always_zero": ("%", "units that are zero for every one of 128 images, after the last epoch"),
    "activation_saved": ("%", "by how much less time a ReLU takes, forward and backward"),
    "step_saved": ("%", "by how much less time a training step with ReLU takes"),
    "slope_error": ("", "largest relative error of σ(x)(1 − σ(x))"),
    "quarter_error": ("", "relative difference of the largest slope and 1/4"),
    "tail_error": ("", "largest relative error of the slope far out, e^−|x|/(1 + e^−|x|)²"),
    "flat_from": ("", "least x at which σ(x)(1 − σ(x)) is 0 in float32"),
}  # fmt: skip
CONDITIONS = {
    "dataset": "level",
    "images": "integer",
    "epochs": "integer",
    "depth": "integer",
    "block": "level",
    "activation": "level",
    "init": "level",
    "optimizer": "level",
    "learning_rate": "number",
    "width": "integer",
}
BUDGET = {
    "{images} images of {dataset}, {epochs} epochs": [
        "zeros_after_training",
        "always_zero",
    ],
}
RIVALS = ["sigmoid", "tanh"]
IMAGES, PIXELS, CLASSES = 64, 784, 10  # of what is timed


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, condition and seed (for times: repetition); see QUANTITIES.

    tables: the gathered runs, curves and layers.
    """
    from finicky.engine.train import prepare

    prepare()
    rows = []
    for seed in settings["seeds"]:
        found = slopes(np.random.default_rng([seed, 38]), settings["trials"])
        rows += [{"quantity": quantity, "seed": seed, "value": value} for quantity, value in found]
    rows += timed(settings)
    return pd.concat([zeros(tables), tidy.from_rows(rows, CONDITIONS)], ignore_index=True)


# ---- Zeros --------------------------------------------------------------------------------------


START = ["dataset", "depth", "block", "activation", "init", "batch_size", "width", "seed"]


def zeros(tables) -> pd.DataFrame:
    """Shares of zeros in the chapter's ReLU networks from He's start, means over hidden layers.

    After training, cells in which a run failed are left out: its units have no values in the end.
    """
    runs = tables["runs"]
    runs = runs[(runs["activation"] == "relu") & (runs["init"] == "he") & (runs["purposes"] != "")]
    ends = pairing.final(runs, tables["curves"])
    shares = {"saturated_share": "zeros", "dead_share": "always"}  # flat is zero, for a ReLU
    layers = tables["layers"].dropna(subset="saturated_share").rename(columns=shares)
    means = 100 * layers.groupby(["run", "epoch"])[["zeros", "always"]].mean()
    means = means.reset_index().rename(columns={"epoch": "moment"})
    both = ends.merge(means, on="run")
    both["a"] = both["b"] = both["test_accuracy"]
    worst = both.groupby(pairing.CELL)["outcome"].transform("max")
    end = both[(both["moment"] == both["epochs"]) & (worst < OUTCOMES.index("inf"))]
    start = starts(both[both["moment"] == 0])
    return tidy.from_quantities(
        {
            "zeros_at_start": start.assign(value=start["zeros"]),
            "zeros_after_training": end.assign(value=end["zeros"]),
            "always_zero": end.assign(value=end["always"]),
        },
        CONDITIONS,
    )


def starts(rows: pd.DataFrame) -> pd.DataFrame:
    """Each start of `rows` once: optimizer, learning rate, epochs and the number of images come
    after it, and the images that are counted over are the same. a and b: the best of its
    trainings."""
    best = rows.groupby(START)["a"].transform("max")
    once = rows.assign(a=best, b=best, outcome=0).drop_duplicates(START)
    return once.drop(columns=["optimizer", "learning_rate", "epochs", "images"])


# ---- Speed --------------------------------------------------------------------------------------
# Timed in plain PyTorch on one core, as a reader would write it: what is asked is what ReLU saves
# there, not in the engine.


def activation_alone(name: str, width: int):
    """A call that sends [64, width] values through an activation and a gradient back."""
    import torch

    values = torch.randn(IMAGES, width, generator=torch.Generator().manual_seed(0))
    gradient, function = torch.ones_like(values), getattr(torch, name)
    values.requires_grad_()

    def call():
        torch.autograd.grad(function(values), values, gradient)

    return call


def training_step(name: str, depth: int, width: int):
    """A call that trains a network of `depth` layers by one step of Adam."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    kind = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}[name]
    widths, layers = [PIXELS] + [width] * (depth - 1) + [CLASSES], []
    for fan_in, fan_out in itertools.pairwise(widths):
        layers += [nn.Linear(fan_in, fan_out), kind()]
    model = nn.Sequential(*layers[:-1])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, fused=True)
    images, labels = torch.randn(IMAGES, PIXELS), torch.randint(CLASSES, (IMAGES,))

    def call():
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()

    return call


def medians(calls: dict, turn: float) -> dict:
    """Median processor seconds of each call; they take turns, call by call, for `turn` seconds."""
    times = {name: [] for name in calls}
    for call in calls.values():
        call()
    end = time.process_time() + turn
    while time.process_time() < end or len(times["relu"]) < 5:
        for name, call in calls.items():
            began = time.process_time()
            call()
            times[name].append(time.process_time() - began)
    return {name: statistics.median(spent) for name, spent in times.items()}


def timed(settings) -> list[dict]:
    """How much time a ReLU saves, in each repetition, as shares of its rivals' time."""
    names = ["relu", *RIVALS]
    tasks = [
        ("activation_saved", {"width": width}, {n: activation_alone(n, width) for n in names})
        for width in settings["width"]
    ] + [
        (
            "step_saved",
            {"depth": depth, "width": width},
            {name: training_step(name, depth, width) for name in names},
        )
        for depth, width in itertools.product(settings["depth"], settings["step_width"])
    ]
    rows = []
    for seed in settings["seeds"]:
        for quantity, where, calls in tasks:
            spent = medians(calls, settings["turn"])
            for rival in RIVALS:
                saved = 100 * (1 - spent["relu"] / spent[rival])
                rows.append(
                    {"quantity": quantity, "seed": seed, "activation": rival, "value": saved}
                    | where
                )
    return rows


# ---- The sigmoid's slope ------------------------------------------------------------------------


def sigmoid(x):
    """1/(1 + e^−x), for complex x as well."""
    return 1 / (1 + np.exp(-x))


def slope(x):
    """σ(x)(1 − σ(x))."""
    return sigmoid(x) * (1 - sigmoid(x))


def tail(x):
    """The same, without the difference that loses all digits far out."""
    return np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x))) ** 2


def by_complex_step(x):
    """The sigmoid's derivative at x [n], by complex steps."""
    return np.array([complex_step_jacobian(sigmoid, point[None])[0, 0] for point in x])


def slopes(random, trials: int):
    """Yields (quantity, value) of what is said of the sigmoid's slope."""
    import torch
    from scipy import optimize

    x = np.append(random.uniform(-30, 30, trials), 0)
    yield "slope_error", relative_error(slope(x), by_complex_step(x))

    left, right = random.uniform(-20, -1e-3), random.uniform(1e-3, 20)
    top = optimize.minimize_scalar(lambda x: -slope(x), bounds=(left, right), method="bounded")
    largest = max(-top.fun, slope(x).max(), by_complex_step(x).max())
    yield "quarter_error", abs(4 * largest - 1)

    far = np.exp(random.uniform(np.log(10), np.log(600), trials)) * random.choice([-1, 1], trials)
    yield (
        "tail_error",
        max(
            relative_error(tail(one), exact)
            for one, exact in zip(far, by_complex_step(far), strict=True)
        ),
    )

    grid = torch.arange(0, 20, 0.001)
    y = torch.sigmoid(grid)
    yield "flat_from", float(grid[y * (1 - y) == 0][0])
