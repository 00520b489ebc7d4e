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

from finicky.experiments import arms
from finicky.experiments.identities import complex_step_jacobian, relative_error

TITLE = "Activations: zeros, speed and slopes"
ANSWERS = ["C036", "C037", "C038"]
READS = ["runs", "curves", "layers"]
ALONE = True
QUANTITIES = {
    "zeros_at_start": ("%", "units that are zero, over images and hidden layers, at the start; a "
                       "and b: the test accuracy that training then reached"),
    "zeros_after_training": ("%", "the same after the last epoch"),
    "always_zero": ("%", "units that are zero for every one of 128 images, after the last epoch"),
    "activation_saved": ("%", "by how much less time a ReLU takes, forward and backward"),
    "step_saved": ("%", "by how much less time a training step with ReLU takes"),
    "slope_error": ("", "largest relative error of σ(x)(1 − σ(x))"),
    "quarter_error": ("", "relative difference of the largest slope and 1/4"),
    "tail_error": ("", "largest relative error of the slope far out, e^−|x|/(1 + e^−|x|)²"),
    "flat_from": ("", "least x at which σ(x)(1 − σ(x)) is 0 in float32"),
}  # fmt: skip
FIGURES = {
    "F09": "Above: three activations and their slopes; the sigmoid's is at most 1/4. Below left: "
    "the share of zeros in ReLU networks, over images and units, at the start and after training; "
    "the band is 50 ± 10 %. Below right: the time that a ReLU saves; a dot is a repetition, the "
    "bar the median. What counts for a reader is the whole training step.",
}

CONDITIONS = arms.CONDITIONS | {"width": "Int64"}
RIVALS = ["sigmoid", "tanh"]
IMAGES, PIXELS, CLASSES = 64, 784, 10  # of what is timed


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row a quantity, condition and seed (for times: repetition); see QUANTITIES.

    `tables`: the gathered runs, curves and layers. settings: seeds; trials (points a seed); width
    (units of an activation that is timed alone, 64 images), depth, step_width (of the networks),
    turn (seconds that a condition is timed for, in each repetition).
    """
    from finicky.engine.train import prepare

    prepare()
    rows = []
    for seed in settings["seeds"]:
        found = slopes(np.random.default_rng([seed, 38]), settings["trials"])
        rows += [{"quantity": quantity, "seed": seed, "value": value} for quantity, value in found]
    rows += timed(settings)
    return pd.concat([zeros(tables), arms.tidy(rows, CONDITIONS)], ignore_index=True)


# ---- Zeros --------------------------------------------------------------------------------------


def zeros(tables) -> pd.DataFrame:
    """Shares of zeros in the grid's ReLU networks from He's start, means over hidden layers.

    Cells in which a run failed are left out: its units have no values in the end.
    """
    runs = tables["runs"]
    runs = runs[(runs["activation"] == "relu") & (runs["init"] == "he")]
    ends = arms.final(runs, tables["curves"])
    worst = ends.groupby(arms.CELL)["outcome"].transform("max")
    ends = ends[worst < arms.OUTCOMES.index("inf")]
    shares = {"saturated_share": "zeros", "dead_share": "always"}  # flat is zero, for a ReLU
    layers = tables["layers"].dropna(subset="saturated_share").rename(columns=shares)
    means = 100 * layers.groupby(["run", "epoch"])[["zeros", "always"]].mean()
    means = means.reset_index().rename(columns={"epoch": "moment"})
    both = ends.merge(means, on="run")
    both["a"] = both["b"] = both["test_accuracy"]
    start, end = both[both["moment"] == 0], both[both["moment"] == both["epochs"]]
    return arms.measured(
        {
            "zeros_at_start": start.assign(value=start["zeros"]),
            "zeros_after_training": end.assign(value=end["zeros"]),
            "always_zero": end.assign(value=end["always"]),
        },
        CONDITIONS,
    )


# ---- Speed --------------------------------------------------------------------------------------


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
    """A call that trains a network of `depth` layers by one step of Adam, in plain PyTorch."""
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
    works = [
        ("activation_saved", {"width": width}, {n: activation_alone(n, width) for n in names})
        for width in settings["width"]
    ] + [
        (
            "step_saved",
            {"depth": depth, "width": settings["step_width"]},
            {n: training_step(n, depth, settings["step_width"]) for n in names},
        )
        for depth in settings["depth"]
    ]
    rows = []
    for seed in settings["seeds"]:
        for quantity, where, calls in works:
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


# ---- Drawing ------------------------------------------------------------------------------------


def draw(table: pd.DataFrame) -> dict:
    """F09: figure id to (matplotlib Figure, data behind it)."""
    from finicky.page import figures

    zero = table[table["quantity"].isin(["zeros_at_start", "zeros_after_training"])]
    zero = zero[zero["dataset"] == "mnist"]
    commonest = zero[["images", "epochs"]].value_counts().index[0]
    zero = zero[(zero["images"] == commonest[0]) & (zero["epochs"] == commonest[1])]
    zero = zero[(zero["optimizer"] == "adam") & (zero["learning_rate"] == 0.001)]
    speed = table[table["quantity"].isin(["activation_saved", "step_saved"])]
    shares = figures.summary(zero, ["quantity", "block", "depth"])
    speeds = [
        figures.summary(speed[speed["quantity"] == quantity], ["quantity", "activation", axis])
        for quantity, axis in (("activation_saved", "width"), ("step_saved", "depth"))
    ]
    data = pd.concat([shares, *speeds], ignore_index=True)
    with figures.style():
        fig, axes = figures.panels([1.9, 2.3], columns=2, left=0.4, right=0.8, between=(1.65, 0.75))
        draw_functions(*axes[0])
        draw_zeros(axes[1, 0], shares, commonest)
        draw_speed(axes[1, 1], speed)
        figures.footer(
            fig, shares, {"solid": "after training, Adam", "dashed": "at the start (below left)"}
        )
        plain = shares[shares["block"] == "plain"].groupby("quantity")["median"]
        fig.set_label(
            "ReLU, sigmoid and tanh with their slopes. Zeros in plain ReLU networks: "
            + " to ".join(f"{end:.0f}" for end in plain.agg(["min", "max"]).loc["zeros_at_start"])
            + " % at the start, "
            + " to ".join(
                f"{end:.0f}" for end in plain.agg(["min", "max"]).loc["zeros_after_training"]
            )
            + " % after training with Adam. Time that ReLU saves: "
            + ", ".join(
                f"{rows['median'].min():.0f} to {rows['median'].max():.0f} % of {what}"
                for rows, what in zip(
                    speeds, ("the activation's", "a training step's"), strict=True
                )
            )
            + "."
        )
    return {"F09": (fig, data)}


def draw_functions(left, right):
    """The activations, and their slopes."""
    from finicky.page import figures

    x = np.linspace(-5, 5, 401)
    curves = {
        "relu": (np.maximum(x, 0), (x > 0).astype(float)),
        "sigmoid": (sigmoid(x), slope(x)),
        "tanh": (np.tanh(x), 1 - np.tanh(x) ** 2),
    }
    names = {  # x and y of the names in both panels
        "relu": ((1.4, 1.75), (5.2, 1.0)),
        "sigmoid": ((5.2, 1.1), (5.2, 0.14)),
        "tanh": ((5.2, 0.8), (-1.2, 0.6)),
    }
    left.set(title="Activation", ylim=(-1.1, 2), xlim=(-5, 5), xlabel="x")
    right.set(title="Slope", ylim=(0, 1.08), xlim=(-5, 5), xlabel="x")
    right.set_yticks([0, 0.25, 0.5, 1], ["0", "1/4", "1/2", "1"])
    right.axhline(0.25, color=figures.INK, linestyle=figures.DASHES, linewidth=0.9)
    for name, both in curves.items():
        drawn = figures.look(name)
        for ax, y, place in zip((left, right), both, names[name], strict=True):
            ax.plot(x, y, color=drawn.colour)
            side = "left" if place[0] > 5 else "right"
            ax.text(*place, drawn.label, color=drawn.colour, ha=side, va="center")


def draw_zeros(ax, shares, commonest):
    """Share of zeros by depth: after training (solid) for each block, at the start (dashed)."""
    from finicky.page import figures

    ax.set_title("Units that are zero (%)")
    depths = sorted(set(shares["depth"]))
    figures.log_axis(ax, "x", depths[0], max(depths[-1], depths[0] + 1), depths)
    ax.set(ylim=(0, 100))
    epochs = "1 epoch" if commonest[1] == 1 else f"{commonest[1]} epochs"
    ax.set_xlabel(f"layers; MNIST, {commonest[0]:,} images, {epochs}")
    ax.axhspan(40, 60, color=figures.INK, alpha=0.08, linewidth=0)
    for (block, quantity), rows in shares.groupby(["block", "quantity"]):
        figures.line(ax, rows, "depth", block, dashed=quantity == "zeros_at_start")
    figures.label_ends(ax, shares[shares["quantity"] == "zeros_after_training"], "depth", "block")


def draw_speed(ax, speed):
    """Time saved, a row each: the activation alone by size, and whole steps by depth."""
    from finicky.page import figures

    ax.set_title("Time that ReLU saves (%)")
    works = [
        (f"{in_words(IMAGES * width)}\nvalues", speed[speed["width"] == width])
        for width in sorted(set(speed.loc[speed["quantity"] == "activation_saved", "width"]))
    ]
    alone = speed["quantity"] == "activation_saved"
    works = [(name, rows[rows["quantity"] == "activation_saved"]) for name, rows in works] + [
        (f"a step,\n{depth} layers", speed[(speed["depth"] == depth) & ~alone])
        for depth in sorted(set(speed.loc[~alone, "depth"]))
    ]
    low = min(0.0, speed["value"].min())
    ax.set(xlim=(low - 4, max(20, speed["value"].max() + 4)), ylim=(len(works) - 0.5, -0.9))
    ax.grid(False)
    ax.axvline(0, color=figures.INK, linewidth=0.8)
    ax.axvline(5, color=figures.INK, linestyle=figures.DASHES, linewidth=0.9)
    ax.text(6, -0.62, "more than 5 %", fontsize=7.5, va="center")
    for place, (_, rows) in enumerate(works):
        for shift, rival in zip((-0.16, 0.16), RIVALS, strict=True):
            values, drawn = rows.loc[rows["activation"] == rival, "value"], figures.look(rival)
            y = place + shift
            ax.plot(values, np.full(len(values), y), drawn.marker, color=drawn.colour, markersize=3)
            ax.plot([values.median()] * 2, [y - 0.15, y + 0.15], color=drawn.colour, linewidth=1.6)
            if place == 0:
                ax.text(
                    1.02, y, f"than {drawn.label}", color=drawn.colour, fontsize=7.5, va="center",
                    transform=ax.get_yaxis_transform(),
                )  # fmt: skip
    ax.set_yticks(range(len(works)), [name for name, _ in works], fontsize=7.5)


def in_words(count: int) -> str:
    """A count as a reader says it, e.g. 8 thousand."""
    return f"{count / 1e6:.0f} million" if count >= 1e6 else f"{count / 1e3:.0f} thousand"
