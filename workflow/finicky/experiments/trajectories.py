"""What the five update rules do, step by step: against PyTorch, on landscapes with known shape, and
RMSProp's scale against the curvature of a network.

How a walk is tuned and when it has arrived, experiments/landscapes.py says. "Best momentum" also
picks its β from a ladder.
"""

import itertools

import numpy as np
import pandas as pd

from finicky import data
from finicky.experiments import tidy, update_rules
from finicky.experiments.landscapes import (
    BETAS,
    CLOSE,
    LANDSCAPES,
    Ravine,
    settled,
    starts_of,
    steps_to_goal,
    tuned,
    walk,
)

TITLE = "Update rules: against PyTorch, and on a ravine, a saddle and a banana"
READS = []
DATASETS = ["mnist"]
SETTINGS = {
    "condition_numbers": (
        {
            "type": "array",
            "minItems": 1,
            "uniqueItems": True,
            "items": {"type": "number", "minimum": 1, "maximum": 100000},
        },
        "condition numbers of the ravines; each is compared with a tenth of it, if that is there",
    ),
    "trials": ("trials", "sequences of random gradients per seed"),
    "images": ("images", "training images of the network whose curvature is measured"),
    "epochs": ("epochs", "its epochs"),
}
QUANTITIES = {
    "table_deviation": ("", "chapter's summary rule (no eps) against torch.optim over 100 steps: "
                        "largest deviation of a parameter, relative to its start"),
    "text_deviation": ("", "the same for the rule in the chapter's text, with its eps"),
    "velocity_error": ("", "velocity against the sum of β^i times past gradients: largest error, "
                       "relative to the sum of magnitudes"),
    "velocity_is_an_average": ("0/1", "whether every velocity lies in the range of the gradients "
                               "it averages"),
    "weight_sum": ("", "sum of the weights in the velocity after 200 steps, β = 0.9"),
    "slower_when_flatter": ("doublings", "steps of descent in a ravine, over its steps in one with "
                            "a tenth of the condition number"),
    "slower_near_saddle": ("doublings", "steps of descent from a start at a tenth of the distance "
                           "to the saddle's ridge, over those from the start itself"),
    "crosses_floor": ("% of steps", "steps of descent that change the side of the ravine's floor"),
    "crosses_floor_slowly": ("% of steps", "the same at a quarter of the best rate"),
    "damped_across": ("doublings", "steps until the swing across the ravine is 1 %: descent's over "
                     "those of momentum 0.9, each at its best rate; the start cancels, so one "
                     "number"),
    "faster_along": ("doublings", "steps until the distance along the floor is 1 %: descent's over "
                     "those of momentum 0.9, each at its best rate; one number"),
    "damped_across_same_rate": ("doublings", "damped_across in the ravine of condition number 100, "
                                "both at the same rate (times the largest curvature)"),
    "faster_along_same_rate": ("doublings", "faster_along in that ravine at the same rate"),
    "damps_across": ("0/1", "1 if damped_across is above 0.14: a tenth of the steps saved"),
    "speeds_along": ("0/1", "the same for faster_along"),
    "damps_across_same_rate": ("0/1", "the same for damped_across_same_rate"),
    "speeds_along_same_rate": ("0/1", "the same for faster_along_same_rate"),
    "nesterov_saves": ("doublings", "steps of momentum 0.9 over those of Nesterov's, best rates"),
    "nesterov_saves_tuned": ("doublings", "the same with the best β of a ladder for each"),
    "polyak_converges": ("0/1", "whether the parameters that are best for quadratics reach the "
                         "goal on the kinked bowl"),
    "rank_correlation": ("", "Spearman's correlation of RMSProp's root mean square gradient with "
                         "the Hessian's diagonal, over the weights of a network"),
    "exponent_beyond_three_quarters": ("", "e − 0.75, for the root mean square gradient growing as "
                                       "curvature to the power e (Theil-Sen slope)"),
    "exponent": ("", "e itself: 1 for Newton's scaling, 0.5 for a root of the diagonal"),
    "steps": ("steps", "steps to the goal at the best rate, by landscape"),
    "steps_by_number": ("steps", "the same by condition number of a ravine"),
    "path_x": ("", "first coordinate of the walk drawn"),
    "path_y": ("", "second coordinate of the walk drawn"),
    "curvature": ("", "Hessian's diagonal, first seed, last epoch"),
    "root_mean_square": ("", "RMSProp's root mean square gradient there"),
}  # fmt: skip
CONDITIONS = {
    "landscape": ["ravine", "saddle", "banana", "kinked"],
    "optimizer": [
        "gradient descent",
        "momentum",
        "best momentum",
        "nesterov",
        "rmsprop",
        "adam",
        "adamw",
    ],
    "condition_number": "number",
    "learning_rate": "number",
    "gradients": ["ordinary", "tiny", "zero"],
    "epoch": "integer",
    "step": "integer",
    "parameter": "integer",
}
BUDGET = {
    "{images} images of MNIST, {epochs} epochs": [
        "rank_correlation",
        "exponent_beyond_three_quarters",
        "exponent",
        "curvature",
        "root_mean_square",
    ],
}
RULES = ["gradient descent", "momentum", "rmsprop", "adam", "adamw"]  # of the summary table
GRADIENTS = ["ordinary", "tiny", "zero"]
WALKERS = ["gradient descent", "momentum", "nesterov", "rmsprop", "adam"]
WORTH = 0.14  # doublings: a tenth of the steps saved
SAME_RATES = [0.5, 1.0, 1.5, 1.9, 1.98, 2.5]  # descent swings above 1 and diverges above 2


# ---- Measuring ----------------------------------------------------------------------------------


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, seed and condition; QUANTITIES says what each number is."""
    seeds, rows = settings["seeds"], []
    for seed in seeds:
        rows += [row | {"seed": seed} for row in formulas(seed, settings["trials"])]
    rows += ravines(sorted(settings["condition_numbers"]), seeds)
    rows += walks(seeds)
    pixels, labels = data.load("mnist", settings["data"])[:2]
    for seed in seeds:
        chosen = np.random.default_rng(seed).permutation(len(pixels))[: settings["images"]]
        found = list(curvatures(seed, pixels[chosen], labels[chosen], settings["epochs"]))
        first = seed == seeds[0]  # whose weights are drawn
        rows += [row for row in found if first or "parameter" not in row]
    return tidy.from_rows(rows, CONDITIONS)


# ---- The rules as formulas ----------------------------------------------------------------------


def formulas(seed, trials):
    """The rules as formulas: against PyTorch, and the velocity as a sum of past gradients."""
    random = np.random.default_rng([seed, 12])
    for rule, kind in itertools.product(RULES, GRADIENTS):
        problems = [random_problem(random, kind) for _ in range(trials)]
        references = [by_pytorch(rule, *problem) for problem in problems]
        for quantity, eps in (("table_deviation", 0), ("text_deviation", 1e-8)):
            worst = max(
                deviation(by_chapter(rule, *problem, eps), reference, problem[0])
                for problem, reference in zip(problems, references, strict=True)
            )
            yield {"quantity": quantity, "optimizer": rule, "gradients": kind, "value": worst}
    errors, inside = [], []
    for _ in range(trials):
        beta = random.choice([0, 0.9, 1, random.uniform()])
        gradients = random.normal(size=(random.integers(1, 200), random.integers(1, 9)))
        velocity = velocities(gradients, beta)
        weights = beta ** np.arange(len(gradients), dtype=float)
        total = weights @ gradients[::-1]
        errors.append(np.max(np.abs(velocity[-1] - total) / (weights @ np.abs(gradients[::-1]))))
        averaged = velocities(gradients, 0.9)
        inside.append(np.all((averaged >= gradients.min(0)) & (averaged <= gradients.max(0))))
    yield {"quantity": "velocity_error", "value": max(errors)}
    yield {"quantity": "velocity_is_an_average", "value": float(all(inside))}
    yield {"quantity": "weight_sum", "value": velocities(np.ones((200, 1)), 0.9)[-1, 0]}


def random_problem(random, kind):
    """(parameters [p], gradients [100, p], rate) with p from 1 to 8; kind: one of GRADIENTS."""
    size = random.integers(1, 9)
    theta = random.choice([-1, 1], size) * random.uniform(0.5, 2, size)
    exponent = random.uniform(-12, -6, size) if kind == "tiny" else random.uniform(-1, 1, size)
    signs = random.choice([-1, 1], (100, size))
    gradients = 10**exponent * signs * random.uniform(0.5, 1.5, (100, size))
    if kind == "zero":
        gradients[:, 0] = 0
    return theta, gradients, 10 ** random.uniform(-4, -2)


def by_pytorch(rule, theta, gradients, rate):
    """Parameters [steps, p] after each step of torch.optim."""
    import torch

    parameter = torch.tensor(theta, requires_grad=True)
    optimizer, found = update_rules.in_pytorch(rule, [parameter], rate), []
    for gradient in torch.tensor(gradients):
        parameter.grad = gradient
        optimizer.step()
        found.append(parameter.detach().numpy().copy())
    return np.array(found)


@np.errstate(invalid="ignore")  # without eps a gradient of zero gives 0/0
def by_chapter(rule, theta, gradients, rate, eps):
    """Parameters [steps, p] after each step of the chapter's rule."""
    state, found = {}, []
    for step, gradient in enumerate(gradients, start=1):
        theta = update_rules.as_written(rule, theta, gradient, state, step, rate, eps=eps)
        found.append(theta)
    return np.array(found)


def deviation(path, reference, start):
    """Largest deviation of two paths [steps, p], relative to the start [p]; infinite where one is
    NaN (0/0)."""
    away = np.abs(path - reference) / np.abs(start)
    return np.nan_to_num(away, nan=np.inf).max()


def velocities(gradients, beta):
    """The velocities [steps, p] that momentum builds from gradients [steps, p]."""
    state, found = {}, []
    for gradient in gradients:
        update_rules.momentum(np.zeros_like(gradient), gradient, state, 1.0, beta)
        found.append(state["v"])
    return np.array(found)


# ---- Walks on landscapes ------------------------------------------------------------------------


def doublings(slow, fast):
    """How often `fast` has to be doubled to give `slow`."""
    return np.log2(slow / fast)


def ravines(condition_numbers, seeds):
    """Rows of descent and momentum in ravines; condition_numbers: ascending."""
    steps, rows = {}, []
    compared = "gradient descent", "momentum"

    def add(quantity, values, **where):
        rows.extend(
            {"quantity": quantity, "seed": seed, "value": value} | where
            for seed, value in zip(seeds, values, strict=True)
        )

    def add_gains(landscape, starts, rates, kind="", **where):
        """What momentum gains on descent along and across, at these rates of the two; rates: by
        name. Both rules are linear, so that one start has the number of them all."""
        gains = doublings(*(swing(rule, landscape, starts[:1], rates[rule]) for rule in compared))
        for gain, number, check in zip(
            gains, ("faster_along", "damped_across"), ("speeds_along", "damps_across"), strict=True
        ):
            add_once(f"{number}{kind}", gain, **where)
            add_once(f"{check}{kind}", float(gain > WORTH), **where)

    def add_once(quantity, value, **where):
        rows.append({"quantity": quantity, "seed": seeds[0], "value": value} | where)

    for number in condition_numbers:
        here = {"condition_number": number}
        landscape = Ravine(number)
        starts, rates = starts_of(landscape, seeds), {}
        for name, rule, betas in (
            ("gradient descent", "gradient descent", [0]),
            ("momentum", "momentum", [0.9]),
            ("best momentum", "momentum", BETAS),
        ):
            rate, beta = tuned(rule, landscape, betas)
            rates[name] = rate
            steps[name, number] = steps_to_goal(rule, landscape, starts, [rate], [beta])[0]
            add("steps_by_number", steps[name, number], optimizer=name, **here)
        add_gains(landscape, starts, rates, **here)
        for quantity, rate in (
            ("crosses_floor", rates["gradient descent"]),
            ("crosses_floor_slowly", rates["gradient descent"] / 4),
        ):
            walked = int(steps["gradient descent", number].min())
            positions = walk("gradient descent", landscape, starts, [rate], [0], walked)
            across = np.array([theta[0, :, 1] for theta in positions])
            add(quantity, 100 * (across[1:] * across[:-1] < 0).mean(0), **here)
        if ("gradient descent", number / 10) in steps:
            wider = steps["gradient descent", number / 10]
            add("slower_when_flatter", doublings(steps["gradient descent", number], wider), **here)

    landscape = LANDSCAPES["ravine"]
    starts = starts_of(landscape, seeds)
    for rate in SAME_RATES:
        both = dict.fromkeys(compared, rate)
        add_gains(landscape, starts, both, "_same_rate", learning_rate=rate)
    return rows


def swing(rule, landscape, starts, rate):
    """Steps [along, across] until the distance of the first of `starts` stays within CLOSE."""
    positions = walk(rule, landscape, starts, [rate], [0.9], landscape.horizon)
    return settled(positions, np.abs, CLOSE)[0, 0]


def walks(seeds):
    """Every rule on every landscape; Nesterov's against Polyak's momentum."""
    for name, landscape in LANDSCAPES.items():
        starts, needed = starts_of(landscape, seeds), {}

        def rows(quantity, values, name=name, **where):
            where |= {"quantity": quantity, "landscape": name}
            return [where | {"seed": s, "value": v} for s, v in zip(seeds, values, strict=True)]

        for rule in WALKERS:
            rate, beta = tuned(rule, landscape)
            needed[rule] = steps_to_goal(rule, landscape, starts, [rate], [beta])[0]
            yield from rows("steps", needed[rule], optimizer=rule)
            if starts.shape[1] == 2:
                positions = walk(rule, landscape, starts[:1], [rate], [beta], int(needed[rule][0]))
                yield from path(positions, landscape=name, optimizer=rule, seed=seeds[0])
            if rule == "gradient descent" and name == "saddle":
                nearer = steps_to_goal(rule, landscape, starts * [1, 0.1], [rate], [beta])[0]
                yield from rows("slower_near_saddle", doublings(nearer, needed[rule]))
        yield from rows("nesterov_saves", doublings(needed["momentum"], needed["nesterov"]))
        for rule in ("momentum", "nesterov"):
            rate, beta = tuned(rule, landscape, BETAS)
            needed[rule] = steps_to_goal(rule, landscape, starts, [rate], [beta])[0]
        yield from rows("nesterov_saves_tuned", doublings(needed["momentum"], needed["nesterov"]))
        if name == "kinked":
            for rule, (rate, beta) in landscape.best_for_quadratics.items():
                steps = steps_to_goal(rule, landscape, starts, [rate], [beta])[0]
                yield from rows("polyak_converges", steps < landscape.horizon, optimizer=rule)


def path(positions, **where):
    """Rows of the coordinates of a walk's first configuration and start, some 300 steps of it."""
    walked = np.array([theta[0, 0] for theta in positions])
    steps = np.unique(np.linspace(0, len(walked) - 1, 300).astype(int))
    for step, (quantity, axis) in itertools.product(steps, (("path_x", 0), ("path_y", 1))):
        yield where | {"quantity": quantity, "step": step, "value": walked[step, axis]}


# ---- RMSProp's scale against curvature ----------------------------------------------------------
# A network and a loop of its own: the Hessian's diagonal is compared weight by weight, exactly and
# in float64, which the engine's 100,000 weights in float32 do not allow.

SHAPES = [(49, 12), (12,), (12, 10), (10,)]  # its weights and biases: 730 in all


def parts_of(weights):
    """The flat weights [730] as matrices and vectors of SHAPES."""
    sizes = [int(np.prod(shape)) for shape in SHAPES]
    return [part.view(shape) for part, shape in zip(weights.split(sizes), SHAPES, strict=True)]


def loss(weights, images, labels):
    """Cross-entropy of 12 tanh units and 10 classes; images [n, 49], labels [n]."""
    import torch

    w1, b1, w2, b2 = parts_of(weights)
    return torch.nn.functional.cross_entropy(torch.tanh(images @ w1 + b1) @ w2 + b2, labels)


def hessian_diagonal(weights, images, labels):
    """The diagonal [730] of the Hessian of `loss`, exactly.

    For a weight it is its input squared times the second derivative by what it feeds, averaged
    over the images: p(1 - p) at the logits; at a unit with output h and outgoing weights w, by the
    chain rule twice, h'² Var_p(w) + h'' w·(p - y).
    """
    import torch

    w1, b1, w2, b2 = parts_of(weights)
    h = torch.tanh(images @ w1 + b1)
    p = torch.softmax(h @ w2 + b2, 1)
    slope = 1 - h**2
    spread = p @ (w2**2).T - (p @ w2.T) ** 2
    pull = (p - torch.nn.functional.one_hot(labels, 10)) @ w2.T
    at_units = slope**2 * spread - 2 * h * slope * pull
    at_logits = p * (1 - p)
    blocks = [images.T**2 @ at_units, at_units.sum(0), h.T**2 @ at_logits, at_logits.sum(0)]
    return torch.cat([block.flatten() for block in blocks]) / len(images)


def curvatures(seed, pixels, labels, epochs):
    """Rows about RMSProp's scale of each weight and the Hessian's diagonal, in a network.

    pixels: uint8 [n, 784], which are averaged to 7 x 7; labels [n]. Batches of 64, rate 0.001;
    measured after the first and the last epoch. The rows with a `parameter` are the weights of
    positive curvature after the last.
    """
    import torch
    from scipy import stats

    torch.set_num_threads(1)  # the same bits however many cores there are
    pooled = pixels.reshape(-1, 7, 4, 7, 4).mean((2, 4)).reshape(-1, 49)
    images = torch.tensor((pooled - pooled.mean()) / pooled.std())
    labels = torch.tensor(labels.astype(int))
    generator = torch.Generator().manual_seed(seed)
    scales = [49**-0.5, 0, 12**-0.5, 0]
    weights = torch.cat([
        scale * torch.randn(int(np.prod(shape)), generator=generator, dtype=torch.float64)
        for shape, scale in zip(SHAPES, scales, strict=True)
    ]).requires_grad_()  # fmt: skip
    optimizer = update_rules.in_pytorch("rmsprop", [weights], 1e-3)
    for epoch in range(1, epochs + 1):
        for batch in torch.randperm(len(images), generator=generator).split(64):
            optimizer.zero_grad()
            loss(weights, images[batch], labels[batch]).backward()
            optimizer.step()
        if epoch not in (1, epochs):
            continue
        diagonal = hessian_diagonal(weights.detach(), images, labels).numpy()
        scale = optimizer.state[weights]["square_avg"].sqrt().numpy()
        curved = diagonal > 0
        exponent = stats.theilslopes(np.log(scale[curved]), np.log(diagonal[curved])).slope
        found = {
            "rank_correlation": stats.spearmanr(scale, np.abs(diagonal)).statistic,
            "exponent": exponent,
            "exponent_beyond_three_quarters": exponent - 0.75,
        }
        for quantity, value in found.items():
            yield {"quantity": quantity, "epoch": epoch, "seed": seed, "value": value}
    for quantity, values in (("curvature", diagonal), ("root_mean_square", scale)):
        for parameter in np.flatnonzero(curved):
            where = {"quantity": quantity, "epoch": epoch, "seed": seed, "parameter": parameter}
            yield where | {"value": values[parameter]}
