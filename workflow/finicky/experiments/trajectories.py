"""What the five update rules do, step by step: against PyTorch, and on landscapes with known shape.

Every walk here is noise-free and in float64. A rule's rate is the one of a ladder of 34 that takes
it to the goal soonest from the slowest of eight starts; the seeds' own starts are scored only.
The goal is a ten-thousandth of the error at the start, and a walk has to stay there for 100 steps.
"Best momentum" also picks its β from a ladder.
"""

import itertools

import numpy as np
import pandas as pd

from finicky.experiments import arms

TITLE = "Update rules: against PyTorch, and on a ravine, a saddle and a banana"
ANSWERS = ["C132", "C133", "C134", "C135", "C136", "C137", "C158"]
READS = []
DATASETS = ["mnist"]
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
                      "those of momentum 0.9, each at its best rate"),
    "faster_along": ("doublings", "steps until the distance along the floor is 1 %: descent's over "
                     "those of momentum 0.9, each at its best rate"),
    "damped_across_same_rate": ("doublings", "damped_across in the ravine of condition number 100, "
                                "both at the same rate (times the largest curvature)"),
    "faster_along_same_rate": ("doublings", "faster_along in that ravine at the same rate"),
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
FIGURES = {
    "F26": "Above: walks from one start, each rule at its own best rate, with the steps to the "
    "goal; all axes are drawn as the rules see them, so the rules that scale each coordinate have "
    "the ravine's axes for a gift. Below, left: steps by how narrow the ravine is, on both axes "
    "logarithmic, beside the laws: descent pays the condition number, momentum with the right β "
    "its root. Middle: what momentum 0.9 gains on descent, each at its best rate; below zero it is "
    "slower. Right: RMSProp's scale for each weight of a small network against the curvature that "
    "Newton's method would use; the chapter's claim is the steep line.",
}

CONDITIONS = {
    "problem": "str",
    "optimizer": "str",
    "condition_number": "float64",
    "learning_rate": "float64",
    "gradients": "str",
    "epoch": "Int64",
    "step": "Int64",
    "parameter": "Int64",
}
GOAL = 1e-4  # of the error at the start
CLOSE = 1e-2  # of the distance at the start: the root of GOAL
STAY = 100  # steps
TUNING_STARTS = 8
SAME_RATES = [0.5, 1.0, 1.5, 1.9, 1.98, 2.5]  # descent swings above 1 and diverges above 2
BETAS = [0, 0.2, 0.4, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.98]
BY_CURVATURE = 2.0 ** np.arange(-6, 2.25, 0.25)  # rates times the largest curvature
BY_LENGTH = 2.0 ** np.arange(-13, 4, 0.5)  # rates of rules whose steps are lengths
WALKERS = ["descent", "momentum", "nesterov", "rmsprop", "adam"]
KINDS = ["ordinary", "tiny", "zero"]
VIEWS = {  # problem: title, x from, to, y from, to
    "ravine": ("Ravine, κ = 100", -1.15, 1.15, -1.15, 1.15),
    "saddle": ("Saddle", -1.0, 1.6, -0.5, 1.7),
    "banana": ("Banana (Rosenbrock)", -1.6, 1.6, -0.7, 1.9),
}


# ---- The chapter's rules ------------------------------------------------------------------------


def update(rule, theta, gradient, state, step, rate, beta=0.9, eps=1e-8):
    """One step of a rule as the chapter writes it; returns the new parameters.

    theta, gradient: arrays of one shape, rate and beta broadcast to it. state: a dict, at first
    empty, updated in place. step counts from 1. eps: 1e-8 as in the text, 0 as in the summary
    table. Adam's β are 0.9 and 0.999, AdamW's λ is 0.01. Nesterov's rule wants the gradient at
    `look_ahead`.
    """
    if rule == "descent":
        return theta - rate * gradient
    if rule in ("momentum", "nesterov"):
        state["v"] = beta * state.get("v", 0) + gradient
        return theta - rate * state["v"]
    if rule == "rmsprop":
        state["v"] = beta * state.get("v", 0) + (1 - beta) * gradient**2
        return theta - rate * gradient / np.sqrt(state["v"] + eps)
    state["m"] = 0.9 * state.get("m", 0) + 0.1 * gradient
    state["v"] = 0.999 * state.get("v", 0) + 0.001 * gradient**2
    mean, square = state["m"] / (1 - 0.9**step), state["v"] / (1 - 0.999**step)
    decay = 0.01 * theta if rule == "adamw" else 0
    return theta - rate * (mean / (np.sqrt(square) + eps) + decay)


def look_ahead(rule, theta, state, rate, beta):
    """Where the rule wants the gradient."""
    return theta - rate * beta * state.get("v", 0) if rule == "nesterov" else theta


# ---- Landscapes: functions of [..., dimensions] -------------------------------------------------


class Landscape:
    """A function of [..., dimensions]: its `error` falls to 0 at the goal, its `gradient` leads
    there; `height` is the function itself, up to a constant.

    steepest: the largest curvature on the way; horizon: steps after which a walk is given up.
    """

    def height(self, theta):
        return self.error(theta)


class Ravine(Landscape):
    """(x²/κ + y²)/2: curvature 1/κ along the floor, 1 across. Its error is the squared distance,
    so that floor and wall count alike."""

    steepest = 1.0

    def __init__(self, condition_number):
        self.condition_number = condition_number
        self.horizon = int(5 * condition_number + 400)
        self.curvatures = np.array([1 / condition_number, 1.0])

    def height(self, theta):
        return (self.curvatures * theta**2).sum(-1) / 2

    def error(self, theta):
        return (theta**2).sum(-1)

    def gradient(self, theta):
        return self.curvatures * theta

    def start(self, random):
        return random.uniform(0.5, 1, 2) * random.choice([-1, 1], 2)


class Saddle(Landscape):
    """x²/2 - y²/2 + y⁴/4: a saddle at 0, minima at (0, ±1)."""

    steepest, horizon = 2.0, 1000

    def error(self, theta):
        x, y = theta[..., 0], theta[..., 1]
        return x**2 / 2 + (y**2 - 1) ** 2 / 4

    def gradient(self, theta):
        x, y = theta[..., 0], theta[..., 1]
        return np.stack([x, y**3 - y], -1)

    def start(self, random):
        return np.array([random.uniform(1, 1.5), 10 ** random.uniform(-3, -2)])


class Banana(Landscape):
    """(1 - x)² + 100 (y - x²)² (Rosenbrock 1960), minimum at (1, 1)."""

    steepest, horizon = 1000.0, 4000

    def error(self, theta):
        x, y = theta[..., 0], theta[..., 1]
        return (1 - x) ** 2 + 100 * (y - x**2) ** 2

    def gradient(self, theta):
        x, y = theta[..., 0], theta[..., 1]
        bend = 200 * (y - x**2)
        return np.stack([-2 * (1 - x) - 2 * x * bend, bend], -1)

    def start(self, random):
        return np.array([-1.2, 1.0]) + random.uniform(-0.1, 0.1, 2)


class Kinked(Landscape):
    """Curvature 25, but 1 for x from 1 to 2: convex, and Polyak's momentum may circle on it.

    Lessard, Recht and Packard (2016, SIAM J. Optimization 26), section 4.6.
    """

    steepest, horizon = 25.0, 1000
    # rates and β that are best for quadratics of curvature 1 to 25 (the paper's table 1)
    best_for_quadratics = {
        "momentum": (1 / 9, 4 / 9),
        "nesterov": (4 / 76, (76**0.5 - 2) / (76**0.5 + 2)),
    }

    def error(self, theta):
        x = theta[..., 0]
        middle, beyond = np.clip(x - 1, 0, None), np.clip(x - 2, 0, None)
        return 12.5 * x**2 - 12 * middle**2 + 12 * beyond**2

    def gradient(self, theta):
        middle, beyond = np.clip(theta - 1, 0, None), np.clip(theta - 2, 0, None)
        return 25 * theta - 24 * middle + 24 * beyond

    def start(self, random):
        return random.uniform(3.07, 3.46, 1)


# ---- Walking ------------------------------------------------------------------------------------


def walk(rule, landscape, starts, rates, betas, steps):
    """Yield the positions [configurations, starts, dimensions] at the start and after each step.

    starts: [starts, dimensions]; rates, betas: [configurations].
    """
    theta = np.broadcast_to(starts, (len(rates), *starts.shape))
    rates, betas = (np.reshape(values, (-1, 1, 1)) for values in (rates, betas))
    state = {}
    yield theta
    for step in range(1, steps + 1):
        gradient = landscape.gradient(look_ahead(rule, theta, state, rates, betas))
        theta = update(rule, theta, gradient, state, step, rates, betas)
        yield theta


@np.errstate(over="ignore", invalid="ignore")  # a rate too large ends in infinity
def settled(positions, measure, share, enough=np.all):
    """Steps until `measure` of a position has come within `share` of its value at the start, to
    stay there for STAY steps or to the end.

    measure: positions [configurations, ...] -> values [configurations, ...] >= 0. Returns an array
    like values; walks that do not settle get the number of steps walked. The walk ends early when
    `enough` (np.all or np.any) configurations have settled with all their values.
    """
    for step, theta in enumerate(positions):
        values = measure(theta)
        if step == 0:
            limit = share * values
            since = np.zeros(values.shape)
        outside = ~(values <= limit)  # NaN is outside
        since[outside & (step - since <= STAY)] = step + 1
        if enough((step - since > STAY).reshape(len(since), -1).all(1)):
            break
    return np.minimum(since, step)


def ladder(rule, landscape, betas):
    """All combinations of the rule's rates and these β: two arrays [configurations]."""
    if rule in ("rmsprop", "adam"):
        rates = BY_LENGTH
    else:
        flattest = landscape.steepest / getattr(landscape, "condition_number", 1)
        textbook = 2 / (landscape.steepest + flattest)  # best for descent on quadratics
        rates = np.append(BY_CURVATURE / landscape.steepest, textbook)
    return (np.array(column) for column in zip(*itertools.product(rates, betas), strict=True))


def tuned(rule, landscape, betas=(0.9,)):
    """The rate and β that reach the goal soonest from the slowest of TUNING_STARTS starts."""
    random = np.random.default_rng([2026, 11])
    starts = np.array([landscape.start(random) for _ in range(TUNING_STARTS)])
    rates, betas = ladder(rule, landscape, betas)
    needed = reach(rule, landscape, starts, rates, betas, np.any)
    best = needed.max(1).argmin()
    return rates[best], betas[best]


def reach(rule, landscape, starts, rates, betas, enough=np.all):
    """Steps to the goal [configurations, starts]."""
    positions = walk(rule, landscape, starts, rates, betas, landscape.horizon)
    return settled(positions, landscape.error, GOAL, enough)


def starts_of(landscape, seeds):
    """[seeds, dimensions]: one start a seed."""
    return np.array([landscape.start(np.random.default_rng([seed, 26])) for seed in seeds])


# ---- Measuring ----------------------------------------------------------------------------------


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row a quantity, seed and condition; QUANTITIES says what each number is.

    settings: seeds, data; condition_numbers (of the ravines, ascending), trials (streams of
    gradients a seed), images and epochs (of RMSProp's network).
    """
    rows = []
    for seed in settings["seeds"]:
        rows += [row | {"seed": seed} for row in formulas(seed, settings["trials"])]
    rows += ravines(settings["condition_numbers"], settings["seeds"])
    rows += walks(settings["seeds"])
    from finicky import data

    pixels, labels = data.load("mnist", settings["data"])[:2]
    for seed in settings["seeds"]:
        chosen = np.random.default_rng(seed).permutation(len(pixels))[: settings["images"]]
        found = list(curvatures(seed, pixels[chosen], labels[chosen], settings["epochs"]))
        first = seed == settings["seeds"][0]  # whose weights are drawn
        rows += [row for row in found if first or "parameter" not in row]
    return arms.tidy(rows, CONDITIONS)


def formulas(seed, trials):
    """The rules as formulas: against PyTorch, and the velocity as a sum of past gradients."""
    random = np.random.default_rng([seed, 12])
    for rule, kind in itertools.product(["descent", "momentum", "rmsprop", "adam", "adamw"], KINDS):
        streams = [gradient_stream(random, kind) for _ in range(trials)]
        references = [by_pytorch(rule, *stream) for stream in streams]
        for quantity, eps in (("table_deviation", 0), ("text_deviation", 1e-8)):
            worst = max(
                deviation(by_chapter(rule, *stream, eps), reference, stream[0])
                for stream, reference in zip(streams, references, strict=True)
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


def gradient_stream(random, kind):
    """(parameters [p], gradients [100, p], rate) with p from 1 to 8 and magnitudes of one kind."""
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
    optimizer = {
        "descent": lambda p: torch.optim.SGD(p, rate),
        "momentum": lambda p: torch.optim.SGD(p, rate, momentum=0.9),
        "rmsprop": lambda p: torch.optim.RMSprop(p, rate, alpha=0.9),
        "adam": lambda p: torch.optim.Adam(p, rate),
        "adamw": lambda p: torch.optim.AdamW(p, rate, weight_decay=0.01),
    }[rule]([parameter])
    path = []
    for gradient in torch.tensor(gradients):
        parameter.grad = gradient
        optimizer.step()
        path.append(parameter.detach().numpy().copy())
    return np.array(path)


@np.errstate(invalid="ignore")  # without eps a gradient of zero gives 0/0
def by_chapter(rule, theta, gradients, rate, eps):
    """Parameters [steps, p] after each step of the chapter's rule."""
    state, path = {}, []
    for step, gradient in enumerate(gradients, start=1):
        theta = update(rule, theta, gradient, state, step, rate, eps=eps)
        path.append(theta)
    return np.array(path)


def deviation(path, reference, start):
    """Largest deviation of two paths [steps, p], relative to the start [p]; infinite where one is
    NaN (0/0)."""
    away = np.abs(path - reference) / np.abs(start)
    return np.nan_to_num(away, nan=np.inf).max()


def velocities(gradients, beta):
    """The velocities [steps, p] that momentum builds from gradients [steps, p]."""
    state, found = {}, []
    for step, gradient in enumerate(gradients, start=1):
        update("momentum", np.zeros_like(gradient), gradient, state, step, 1.0, beta)
        found.append(state["v"])
    return np.array(found)


def doublings(slow, fast):
    """How often `fast` has to be doubled to give `slow`."""
    return np.log2(slow / fast)


def ravines(condition_numbers, seeds):
    """Descent and momentum in ravines from wide to narrow."""
    steps, rows = {}, []

    def add(quantity, values, **where):
        rows.extend(
            {"quantity": quantity, "seed": seed, "value": value} | where
            for seed, value in zip(seeds, values, strict=True)
        )

    def swing(rule, landscape, starts, rate):
        """Steps [(along, across), seeds] until the distance stays within CLOSE."""
        positions = walk(rule, landscape, starts, [rate], [0.9], landscape.horizon)
        return settled(positions, np.abs, CLOSE)[0].T

    for number in condition_numbers:
        here = {"condition_number": number}
        landscape = Ravine(number)
        starts, rates = starts_of(landscape, seeds), {}
        for name, rule, betas in (
            ("descent", "descent", [0]),
            ("momentum", "momentum", [0.9]),
            ("best momentum", "momentum", BETAS),
        ):
            rate, beta = tuned(rule, landscape, betas)
            rates[name] = rate
            steps[name, number] = reach(rule, landscape, starts, [rate], [beta])[0]
            add("steps_by_number", steps[name, number], optimizer=name, **here)
        gain = doublings(*(swing(r, landscape, starts, rates[r]) for r in ("descent", "momentum")))
        add("faster_along", gain[0], **here)
        add("damped_across", gain[1], **here)
        for quantity, rate in (
            ("crosses_floor", rates["descent"]),
            ("crosses_floor_slowly", rates["descent"] / 4),
        ):
            walked = int(steps["descent", number].min())
            positions = walk("descent", landscape, starts, [rate], [0], walked)
            across = np.array([theta[0, :, 1] for theta in positions])
            add(quantity, 100 * (across[1:] * across[:-1] < 0).mean(0), **here)
        if ("descent", number / 10) in steps:
            wider = steps["descent", number / 10]
            add("slower_when_flatter", doublings(steps["descent", number], wider), **here)

    landscape = Ravine(100)
    starts = starts_of(landscape, seeds)
    for rate in SAME_RATES:
        gain = doublings(*(swing(r, landscape, starts, rate) for r in ("descent", "momentum")))
        add("faster_along_same_rate", gain[0], learning_rate=rate)
        add("damped_across_same_rate", gain[1], learning_rate=rate)
    return rows


def walks(seeds):
    """Every rule on every landscape; Nesterov's against Polyak's momentum."""
    landscapes = {
        "ravine": Ravine(100), "saddle": Saddle(), "banana": Banana(), "kinked": Kinked(),
    }  # fmt: skip
    for problem, landscape in landscapes.items():
        starts, needed = starts_of(landscape, seeds), {}

        def rows(quantity, values, problem=problem, **where):
            where |= {"quantity": quantity, "problem": problem}
            return [where | {"seed": s, "value": v} for s, v in zip(seeds, values, strict=True)]

        for rule in WALKERS:
            rate, beta = tuned(rule, landscape)
            needed[rule] = reach(rule, landscape, starts, [rate], [beta])[0]
            yield from rows("steps", needed[rule], optimizer=rule)
            if problem in VIEWS:
                positions = walk(rule, landscape, starts[:1], [rate], [beta], int(needed[rule][0]))
                yield from drawn(positions, problem=problem, optimizer=rule, seed=seeds[0])
            if rule == "descent" and problem == "saddle":
                nearer = reach(rule, landscape, starts * [1, 0.1], [rate], [beta])[0]
                yield from rows("slower_near_saddle", doublings(nearer, needed[rule]))
        yield from rows("nesterov_saves", doublings(needed["momentum"], needed["nesterov"]))
        for rule in ("momentum", "nesterov"):
            rate, beta = tuned(rule, landscape, BETAS)
            needed[rule] = reach(rule, landscape, starts, [rate], [beta])[0]
        yield from rows("nesterov_saves_tuned", doublings(needed["momentum"], needed["nesterov"]))
        if problem == "kinked":
            for rule, (rate, beta) in landscape.best_for_quadratics.items():
                steps = reach(rule, landscape, starts, [rate], [beta])[0]
                yield from rows("polyak_converges", steps < landscape.horizon, optimizer=rule)


def drawn(positions, **where):
    """A walk's coordinates, thinned to some 300 points."""
    path = np.array([theta[0, 0] for theta in positions])
    steps = np.unique(np.linspace(0, len(path) - 1, 300).astype(int))
    for step, (quantity, axis) in itertools.product(steps, (("path_x", 0), ("path_y", 1))):
        yield where | {"quantity": quantity, "step": step, "value": path[step, axis]}


SHAPES = [(49, 12), (12,), (12, 10), (10,)]  # weights and biases of RMSProp's network


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
    """RMSProp's scale of each weight against the Hessian's diagonal, in a network in training.

    pixels: uint8 [n, 784], which are averaged to 7 x 7; labels [n]. Batches of 64, rate 0.001;
    scored after the first and the last epoch. The rows with a `parameter` are the weights at last.
    """
    import torch
    from scipy import stats

    pooled = pixels.reshape(-1, 7, 4, 7, 4).mean((2, 4)).reshape(-1, 49)
    images = torch.tensor((pooled - pooled.mean()) / pooled.std())
    labels = torch.tensor(labels.astype(int))
    generator = torch.Generator().manual_seed(seed)
    scales = [49**-0.5, 0, 12**-0.5, 0]
    weights = torch.cat([
        scale * torch.randn(int(np.prod(shape)), generator=generator, dtype=torch.float64)
        for shape, scale in zip(SHAPES, scales, strict=True)
    ]).requires_grad_()  # fmt: skip
    optimizer = torch.optim.RMSprop([weights], 1e-3, alpha=0.9)
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


# ---- Drawing ------------------------------------------------------------------------------------


def draw(table: pd.DataFrame) -> dict:
    """F26: figure id to (matplotlib Figure, data behind it)."""
    from finicky.page import figures

    looks = {
        "descent": figures.look("sgd")._replace(label="descent"),
        "momentum": figures.look("momentum")._replace(label="momentum 0.9"),
        "nesterov": figures.Look(figures.BLUE, "o", "Nesterov 0.9"),
        "rmsprop": figures.look("rmsprop"),
        "adam": figures.look("adam"),
        "best momentum": figures.Look(figures.VERMILLION, "D", "best momentum"),
    }

    def of(quantity):
        rows = table[table["quantity"] == quantity]
        known = [axis for axis in CONDITIONS if rows[axis].notna().any()]
        return figures.summary(rows, known).assign(quantity=quantity)

    shown = ["steps", "path_x", "path_y", "steps_by_number", "faster_along", "damped_across"]
    shown += ["curvature", "root_mean_square", "exponent"]
    data = pd.concat([of(quantity) for quantity in shown], ignore_index=True)
    with figures.style():
        fig, axes = figures.panels(
            [2.0, 2.1], columns=3, left=0.5, right=0.3, between=(0.6, 1.3), bottom=0.75
        )
        for ax, problem in zip(axes[0], VIEWS, strict=True):
            _landscape(ax, problem, data[data["problem"] == problem], looks)
        _by_condition_number(axes[1, 0], data[data["quantity"] == "steps_by_number"], looks)
        _gains(axes[1, 1], data, figures)
        exponent = data[data["quantity"] == "exponent"].sort_values("epoch").iloc[-1]
        _scales(axes[1, 2], data, exponent, figures)
        steps = data[data["quantity"] == "steps"]
        fig.text(0.01, 0.01, f"medians of {figures.seeds_said(steps)}; walks from one start")
        fig.set_label(
            "Walks of five update rules on a ravine, a saddle and a banana; steps by condition "
            "number; gain of momentum; RMSProp's scale against curvature, growing with power "
            f"{exponent['median']:.2f}."
        )
    return {"F26": (fig, data)}


def _landscape(ax, problem, data, looks):
    """Contours of the error, the walks, and the steps that each rule needs."""
    from finicky.page.figures import INK

    title, left, right, low, high = VIEWS[problem]
    grid = np.stack(np.meshgrid(np.linspace(left, right, 70), np.linspace(low, high, 70)), -1)
    height = {"ravine": Ravine(100), "saddle": Saddle(), "banana": Banana()}[problem].height(grid)
    levels = height.max() * 2.0 ** np.arange(-12, 0, 1.5)
    ax.contour(*np.moveaxis(grid, -1, 0), height, levels, colors=INK, alpha=0.22, linewidths=0.5)
    steps = data[data["quantity"] == "steps"].set_index("optimizer")["median"]
    for rule in WALKERS:
        walked = data[data["optimizer"] == rule].sort_values("step")
        x = walked.loc[walked["quantity"] == "path_x", "median"]
        y = walked.loc[walked["quantity"] == "path_y", "median"]
        colour, marker, label = looks[rule]
        ax.plot(
            x, y, color=colour, marker=marker, markersize=2.5, markevery=0.12,
            linewidth=0.5 if rule == "descent" else 1.1,
            label=f"{label}: {steps[rule]:.0f}",
        )  # fmt: skip
        ax.plot(x.iloc[:1], y.iloc[:1], "o", color=INK, markersize=4, zorder=3)
    ax.set(xlim=(left, right), ylim=(low, high))
    ax.set_title(title, fontsize=8.5)
    ax.grid(False)
    ax.legend(
        loc="upper left", bbox_to_anchor=(-0.12, -0.1), ncols=2, fontsize=7, handlelength=1.4,
        columnspacing=0.5, borderpad=0, borderaxespad=0.4, title="steps to the goal, median",
        title_fontsize=7, alignment="left",
    )  # fmt: skip


def _by_condition_number(ax, data, looks):
    """Steps by condition number, beside the laws."""
    from finicky.page import figures

    numbers = np.sort(data["condition_number"].unique())
    ax.set_title("Steps by condition number", fontsize=8.5)
    low, high = numbers[0] / 1.3, numbers[-1] * 1.3
    figures.log_axis(ax, "x", low, high, [1, 10, 100, 1000, 10000])
    figures.log_axis(ax, "y", 2, 1e4, [10, 100, 1000, 10000])
    names = {  # where a line's name stands: at which of its points, offset, alignment
        "descent": (-2, (-7, 2), "right", "bottom"),
        "momentum": (0, (-4, 7), "left", "bottom"),
        "best momentum": (2, (2, -13), "left", "top"),
    }
    for rule, (at, offset, ha, va) in names.items():
        rows = data[data["optimizer"] == rule].sort_values("condition_number")
        colour, marker, label = looks[rule]
        ax.plot(rows["condition_number"], rows["median"], color=colour, marker=marker)
        point = rows.iloc[at if len(rows) > 2 else 0]
        ax.annotate(
            label, (point["condition_number"], point["median"]), fontsize=7.5, xytext=offset,
            ha=ha, va=va, textcoords="offset points",
        )  # fmt: skip
    for law, power, va in (("∝ κ", 1, "bottom"), ("∝ √κ", 0.5, "top")):
        line = np.log(1 / CLOSE) / 2 * numbers**power
        ax.plot(numbers, line, color=figures.INK, linestyle=figures.DASHES, linewidth=0.9)
        ax.annotate(
            law, (numbers[-1], line[-1]), fontsize=7.5, xytext=(2, 6 if va == "bottom" else -8),
            ha="right", va=va, textcoords="offset points",
        )  # fmt: skip
    ax.set_xlabel("condition number κ")


def _gains(ax, data, figures):
    """What momentum 0.9 gains on descent across and along the ravine."""
    ax.set_title("Gain of momentum 0.9", fontsize=8.5)
    ax.axhline(0, color=figures.INK, linewidth=0.8)
    parts = (
        ("damped_across", "across", figures.PLUM, "s", (4, -9)),
        ("faster_along", "along", figures.BLUE, "o", (-24, 4)),
    )
    for quantity, label, colour, marker, offset in parts:
        rows = data[data["quantity"] == quantity].sort_values("condition_number")
        ax.plot(rows["condition_number"], rows["median"], color=colour, marker=marker)
        at = len(rows) // 2
        ax.annotate(
            label, (rows["condition_number"].iloc[at], rows["median"].iloc[at]), fontsize=7.5,
            xytext=offset, textcoords="offset points",
        )  # fmt: skip
    numbers = data["condition_number"].dropna()
    figures.log_axis(ax, "x", numbers.min() / 1.3, numbers.max() * 1.3, [1, 10, 100, 1000, 10000])
    ax.text(
        0.03, 0.96, "doublings of the steps saved", transform=ax.transAxes, fontsize=7.5, va="top"
    )
    ax.text(0.97, 0.04, "below 0: descent sooner", transform=ax.transAxes, fontsize=7.5, ha="right")
    ax.set_xlabel("condition number κ")


def _scales(ax, data, exponent, figures):
    """RMSProp's scale of each weight against the Hessian's diagonal."""
    wide = data[data["parameter"].notna()].pivot(
        index="parameter", columns="quantity", values="median"
    )
    curvature, scale = wide["curvature"], wide["root_mean_square"]
    ax.set_title("RMSProp's √E[g²]", fontsize=8.5)
    ax.plot(curvature, scale, ".", color=figures.SAGE, markersize=2.5, alpha=0.6)
    ends = np.quantile(curvature, [0.02, 0.995])
    middle = np.exp(np.log(curvature).median()), np.exp(np.log(scale).median())
    for power, label in ((1, "chapter: ∝ H"), (0.5, "∝ √H")):
        ax.plot(
            ends, middle[1] * (ends / middle[0]) ** power, color=figures.INK, linewidth=1,
            linestyle=figures.DASHES if power == 1 else "-",
        )  # fmt: skip
        ax.annotate(
            label, (ends[1], middle[1] * (ends[1] / middle[0]) ** power), fontsize=7.5,
            ha="right", va="bottom", xytext=(-4, 3), textcoords="offset points",
        )  # fmt: skip
    low, high = np.quantile(scale, [0.002, 0.998])
    ticks = [10.0**power for power in range(-8, 3)]
    figures.log_axis(ax, "x", ends[0] / 2, ends[1] * 2, ticks)
    figures.log_axis(ax, "y", low / 2, high * 20, ticks)
    ax.text(
        0.03, 0.97, f"exponent {exponent['median']:.2f}\n({exponent['low']:.2f} to "
        f"{exponent['high']:.2f})", transform=ax.transAxes, fontsize=7.5, va="top",
    )  # fmt: skip
    ax.set_xlabel("Hessian's diagonal H")
