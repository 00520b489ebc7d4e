"""Saddles: how rare are minima among critical points, and what helps to leave a saddle?

The chapter counts signs: d eigenvalues, each positive with probability 1/2. Here minima are counted
for three kinds of random function and for the loss of small networks. Then steps are counted until
gradient descent has left a saddle, with and without noise, with and without momentum.
"""

import math
from functools import partial

import numpy as np
import pandas as pd

from finicky.experiments import tidy, tuning, update_rules

TITLE = "Critical points: how rare minima are, and how saddles are left"
READS = []
SETTINGS = {
    "dimensions": (
        {"type": "object",
         "required": ["separable", "random_matrix", "smooth_random_function"],
         "propertyNames": {"enum": ["separable", "random_matrix", "smooth_random_function"]},
         "additionalProperties": {
             "type": "array", "minItems": 2, "uniqueItems": True,
             "items": {"type": "integer", "minimum": 1, "maximum": 100}}},
        "of each kind of random function",
    ),
    # with fewer signs, all may be negative, and no logarithm is left
    "size": (
        {"type": "integer", "minimum": 50, "maximum": 100000},
        "matrices, or signs, per dimension and seed",
    ),
    "units": (
        {"type": "array", "minItems": 1, "uniqueItems": True,
         "items": {"type": "integer", "minimum": 1, "maximum": 50}},
        "hidden units of the small networks whose critical points are searched for",
    ),
    "inputs": (
        {"type": "array", "minItems": 1, "uniqueItems": True,
         "items": {"type": "integer", "minimum": 1, "maximum": 50}},
        "of these networks; each number of inputs with each number of units",
    ),
    "examples": ({"type": "integer", "minimum": 2, "maximum": 10000}, "that these are trained on"),
    "decay": ({"type": "number", "exclusiveMinimum": 0, "maximum": 10}, "their weight decay"),
    "network_starts": ("count", "places that a search starts from, per seed"),
    "newton_steps": ("steps", "of a search"),
    "escape_starts": ("count", "places beside a saddle, per seed"),
    "escape_steps": ("steps", "after which a saddle counts as not left"),
}  # fmt: skip
QUANTITIES = {
    "log2_share_of_minima": ("bits", "log2 of the probability that a random critical point is a "
                             "minimum"),
    "share_of_minima": ("%", "share of minima among the critical points found of a small network"),
    "bits_a_dimension": ("bits", "slope of log2 of the probability of a minimum by dimension; of "
                         "networks, of all sizes with so many inputs, by maximum likelihood"),
    "saddles_above_half": ("pp", "share of saddles among critical points minus 50 %"),
    "escaped_in": ("steps", "median steps until a saddle is left; no more than were allowed"),
    "saved_by_noise": ("%", "steps to leave a saddle that noise saves"),
    "saved_by_momentum": ("%", "steps to leave a saddle that momentum saves"),
}  # fmt: skip
CONDITIONS = {
    "ensemble": ["random_matrix", "separable", "smooth_random_function", "small_network"],
    "inputs": "integer",
    "dimension": "integer",
    "landscape": ["flat saddle", "steep saddle", "zero weights"],
    "start": ["beside it", "exactly on it"],
    "noise": ["isotropic", "none", "mini-batch"],
    "tuning": ["each at its best", "same rate"],
    "momentum": "number",
    "learning_rate": "number",
}
HIGH = 10  # dimensions from which on "high dimension" is taken to be


# ---- Random functions: log2 of the share of minima -----------------------------------------------


def separable(dimension, size, rng):
    """f(x) = g1(x1) + ... + gd(xd), the gs random and even in law: the Hessian is diagonal, its
    signs are independent. Simulated sign by sign, as in `goe`."""
    return sum(math.log2((rng.standard_normal(size) > 0).mean()) for _ in range(dimension))


def goe(dimension, size, rng):
    """A symmetric matrix with independent normal entries, variance 1 off the diagonal, 2 on it.

    By multilevel splitting: `size` positive definite matrices grow by a row and a column at a time.
    With Cholesky factor L and new column v, the larger matrix is positive definite if and only if
    its new diagonal entry exceeds |L⁻¹v|²; the mean of that probability is a factor of the result,
    and matrices are drawn anew by it (Cérou and Guyader 2007, Stochastic Analysis and Applications
    25). Large dimensions: log P = -(ln 3)/4 d² (Dean and Majumdar 2006, PRL 97, 160201).
    """
    from scipy.special import ndtr, ndtri

    bits, factor = 0.0, np.zeros((size, 0, 0))
    for k in range(dimension):
        v = rng.standard_normal((size, k))
        y = np.linalg.solve(factor, v[..., None])[..., 0]
        least = (y**2).sum(1)
        chance = ndtr(-least / math.sqrt(2))
        bits += math.log2(chance.mean())
        # systematic resampling
        places = (np.arange(size) + rng.random()) / size * chance.sum()
        chosen = np.searchsorted(chance.cumsum(), places).clip(max=size - 1)
        tail = rng.random(size) * chance[chosen]
        entry = -math.sqrt(2) * ndtri(tail)
        larger = np.zeros((size, k + 1, k + 1))
        larger[:, :k, :k], larger[:, k, :k] = factor[chosen], y[chosen]
        larger[:, k, k] = np.sqrt(np.maximum(entry - least[chosen], 1e-300))
        factor = larger
    return bits


def gaussian_field(dimension, size, rng):
    """The critical points of a smooth Gaussian field with covariance exp(-|x - y|²/2).

    By Kac and Rice they are counted with weight |det H|, where H is a `goe` matrix plus a standard
    normal multiple of the identity. Fyodorov (2004, PRL 92, 240601; Auffinger, Ben Arous and Černý
    2013, lemma 3.3) turns that weight into one more eigenvalue: over the eigenvalues x of `goe`
    matrices of size d + 1, the critical points with k negative directions weigh exp(-x²/4) for the
    (k+1)th smallest x. So the minima are the smallest one's share.
    """
    normal = rng.standard_normal((size, dimension + 1, dimension + 1))
    eigenvalues = np.linalg.eigvalsh((normal + normal.transpose(0, 2, 1)) / math.sqrt(2))
    weights = np.exp(-(eigenvalues**2) / 4).mean(0)
    return math.log2(weights[0] / weights.sum())


ENSEMBLES = {"separable": separable, "random_matrix": goe, "smooth_random_function": gaussian_field}


# ---- Small networks: critical points found by Newton's method ------------------------------------


def critical_points(inputs, units, settings):
    """Hessians' eigenvalues at distinct critical points of small networks' losses: a list of
    [n, (inputs + 2) units], one per seed.

    The network is sum_j v_j tanh(w_j·x + b_j); the loss is the mean squared error on random targets
    plus a little weight decay, which makes critical points isolated. As in Dauphin et al. (2014,
    section 4) Newton's method starts from places along gradient descent: |gradient|² is minimised
    from there (Levenberg and Marquardt), in float64 on the CPU, with Hessians, which the engine has
    not. Points with the same loss count once: they are copies by symmetry.
    """
    import torch
    from torch.func import grad, jacrev, vmap

    seeds, starts = settings["seeds"], settings["network_starts"]
    size = (inputs + 2) * units
    drawn = [np.random.default_rng([seed, units, inputs]) for seed in seeds]
    data = np.array([rng.standard_normal((inputs + 1, settings["examples"])) for rng in drawn])
    data = torch.tensor(data).repeat_interleave(starts, 0)
    points = np.concatenate([2 * rng.standard_normal((starts, size)) for rng in drawn])
    points = torch.tensor(points)

    def loss(parameters, data):
        (v, b), w = parameters.view(-1, units)[:2], parameters.view(-1, units)[2:]
        error = torch.tanh(data[:-1].T @ w + b) @ v - data[-1]
        return (error**2).mean() + settings["decay"] * (parameters**2).sum()

    gradient, hessian = vmap(grad(loss)), vmap(jacrev(grad(loss)))
    for k in range(starts - 1):  # the k-th start of a seed descends for 4k steps
        moving = torch.arange(len(points)) % starts > k
        for _ in range(4):
            points[moving] -= 0.2 * gradient(points[moving], data[moving])
    damping = torch.full((len(points), 1, 1), 1e-2, dtype=torch.float64)
    identity = torch.eye(size, dtype=torch.float64)
    g = gradient(points, data)
    for _ in range(settings["newton_steps"]):
        h = hessian(points, data)
        # where this is singular to rounding, the step is not finite and no better
        step = torch.linalg.solve_ex(h @ h + damping * identity, h @ g[..., None])[0][..., 0]
        g_moved = gradient(points - step, data)
        better = g_moved.norm(dim=1) < g.norm(dim=1)
        points = torch.where(better[:, None], points - step, points)
        g = torch.where(better[:, None], g_moved, g)
        damping = torch.where(better[:, None, None], damping / 4, damping * 4).clamp(1e-14, 1e6)

    losses, still = vmap(loss)(points, data), g.norm(dim=1) < 1e-9
    eigenvalues = torch.linalg.eigvalsh(hessian(points, data))
    still &= eigenvalues.abs().amin(1) > 1e-7
    of_seeds = []
    for seed in range(len(seeds)):
        mine = still.view(len(seeds), starts)[seed].nonzero()[:, 0] + seed * starts
        _, first = np.unique(losses[mine].numpy().round(7), return_index=True)
        of_seeds.append(eigenvalues[mine[first]].numpy())
    return of_seeds


def bits_a_dimension(dimensions, minima, points):
    """Slope of log2 P by dimension, for `minima` of so many critical `points` found at each of the
    dimensions (lists); NaN for fewer than two dimensions with points, or without any minimum.

    Maximum likelihood of independent points with log P a line: counts may be 0, which has no
    logarithm, and sizes with many points say more.
    """
    from scipy.optimize import minimize

    found = np.array([dimensions, minima, points], float).T
    d, k, n = found[found[:, 2] > 0].T
    if len(d) < 2 or not k.any():
        return math.nan
    low, high = d.min(), d.max()

    def surprise(ends):
        """Minus the log likelihood, of the -log P at the lowest and at the highest dimension."""
        log_p = -(ends[0] * (high - d) + ends[1] * (d - low)) / (high - low)
        return -(k * log_p + (n - k) * np.log(-np.expm1(log_p))).sum()

    ends = minimize(surprise, [1.0, 1.0], bounds=[(1e-9, 100)] * 2).x
    return (ends[0] - ends[1]) / (high - low) / math.log(2)


# ---- Leaving a saddle ----------------------------------------------------------------------------


class Quadratic:
    """½ Σ h_i x_i² - ½ γ x_1² + ¼ x_1⁴, h_i from 0.1 to 1: a saddle of 20 directions at 0.

    One direction leads down, with curvature γ (`down`), to minima at x_1 = ±√γ. A start is left
    behind once the loss is below half of the minimum, -γ²/4.
    """

    directions = 20
    rates = [0.03, 0.1, 0.3, 1.0, 1.9, 3.0]
    rate = 0.1
    noises = ["isotropic"]

    def __init__(self, seed, down):
        rng = np.random.default_rng([seed, 17])
        self.curvatures = np.exp(rng.uniform(math.log(0.1), 0, self.directions))
        self.curvatures[0] = -down
        self.enough = -(down**2) / 8
        self.scale, self.noise_scale = 0.3 * math.sqrt(down), 0.1 * down

    def start(self, kind, starts, rng):
        x = self.scale * rng.standard_normal((starts, self.directions))
        if kind == "exactly on it":
            x[:, 0] = 0
        return x

    def loss(self, x):
        return (self.curvatures * x**2).sum(1) / 2 + x[:, 0] ** 4 / 4

    def gradient(self, x, chosen):
        gradient = self.curvatures * x
        gradient[:, 0] += x[:, 0] ** 3
        return gradient


class TinyNetwork:
    """A network of one hidden layer without biases, tanh, whose saddle is at zero weights.

    There the gradient of every single example is zero. The teacher is such a network too; a start
    is left behind once the loss is below nine tenths of that at zero.
    """

    inputs, units, examples, batch = 5, 8, 64, 8
    rates = [0.01, 0.03, 0.1, 0.3, 1.0]
    rate, noise_scale = 0.03, 0.001
    noises = ["isotropic", "mini-batch"]

    def __init__(self, seed):
        rng = np.random.default_rng([seed, 18])
        self.x = rng.standard_normal((self.examples, self.inputs))
        hidden = np.tanh(self.x @ rng.standard_normal((self.inputs, 3)))
        self.y = hidden @ np.array([1.0, 1.0, 1.0]) / math.sqrt(3)
        self.enough = 0.9 * (self.y**2).mean()

    def start(self, kind, starts, rng):
        scale = 0 if kind == "exactly on it" else 1e-3
        return scale * rng.standard_normal((starts, self.units * (self.inputs + 1)))

    def parts(self, parameters):
        first = parameters[:, : self.units * self.inputs]
        return first.reshape(-1, self.inputs, self.units), parameters[:, first.shape[1] :]

    def loss(self, parameters):
        w, v = self.parts(parameters)
        return ((np.einsum("reh,rh->re", np.tanh(self.x @ w), v) - self.y) ** 2).mean(1)

    def gradient(self, parameters, chosen):
        w, v = self.parts(parameters)
        x, y = (self.x, self.y) if chosen is None else (self.x[chosen], self.y[chosen])
        hidden = np.tanh(x @ w)
        error = 2 * (np.einsum("reh,rh->re", hidden, v) - y) / y.shape[-1]
        back = error[..., None] * v[:, None] * (1 - hidden**2)
        of_w = np.swapaxes(np.broadcast_to(x, (len(w), *x.shape[-2:])), 1, 2) @ back
        of_v = np.einsum("re,reh->rh", error, hidden)
        return np.concatenate([of_w.reshape(len(w), -1), of_v], axis=1)


LANDSCAPES = {
    "steep saddle": partial(Quadratic, down=0.1),
    "flat saddle": partial(Quadratic, down=0.01),
    "zero weights": TinyNetwork,
}
MOMENTUM = 0.9


def escape(landscape, kind, seed, settings, rate, momentum=0.0, noise="none"):
    """Median steps over starts until the saddle is left; settings["escape_steps"] if never.

    Starts are the same whatever the optimizer.
    """
    rng = np.random.default_rng([seed, 19])
    x = landscape.start(kind, settings["escape_starts"], rng)
    state, left = {}, np.full(len(x), settings["escape_steps"])
    with np.errstate(over="ignore", invalid="ignore"):  # a rate may be too large
        for step in range(settings["escape_steps"]):
            loss = landscape.loss(x)
            left = np.where((loss < landscape.enough) & (left > step), step, left)
            if (left <= step).all() or not np.isfinite(loss).all():
                break
            chosen = None
            if noise == "mini-batch":
                chosen = rng.integers(landscape.examples, size=(len(x), landscape.batch))
            gradient = landscape.gradient(x, chosen)
            if noise == "isotropic":
                gradient = gradient + landscape.noise_scale * rng.standard_normal(x.shape)
            x = update_rules.momentum(x, gradient, state, rate, momentum)
            if not state["v"].any():  # nothing moves, and nothing ever will
                break
    return float(np.median(left))


# ---- The table -----------------------------------------------------------------------------------


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, condition and seed; QUANTITIES says what each number is."""
    rows = []

    def found(quantity, seed, value, **where):
        rows.append({"quantity": quantity, "seed": seed, "value": float(value)} | where)

    for seed in settings["seeds"]:
        for number, (name, share_of_minima) in enumerate(ENSEMBLES.items()):
            bits = []
            for d in settings["dimensions"][name]:
                rng = np.random.default_rng([seed, number, d])
                bits.append(share_of_minima(d, settings["size"], rng))
                where = {"ensemble": name, "dimension": d}
                found("log2_share_of_minima", seed, bits[-1], **where)
                if d >= HIGH:  # as many maxima as minima, all others are saddles
                    found("saddles_above_half", seed, 50 - 200 * 2 ** bits[-1], **where)
            slope = np.polyfit(settings["dimensions"][name], bits, 1)[0]
            found("bits_a_dimension", seed, slope, ensemble=name)
    for inputs in settings["inputs"]:
        _networks(found, inputs, settings)

    for landscape in LANDSCAPES:
        for kind in ("exactly on it", "beside it"):
            _escapes(found, landscape, kind, settings)
    return tidy.from_rows(rows, CONDITIONS)


def _networks(found, inputs, settings):
    """Shares of minima and of saddles in networks of every size, and how the former fall."""
    seeds = settings["seeds"]
    counts = {seed: [] for seed in seeds}  # (dimension, minima, points)
    for units in settings["units"]:
        dimension = (inputs + 2) * units
        where = {"ensemble": "small_network", "inputs": inputs, "dimension": dimension}
        for seed, eigenvalues in zip(seeds, critical_points(inputs, units, settings), strict=True):
            minima = (eigenvalues > 0).all(1)
            counts[seed].append((dimension, minima.sum(), len(minima)))
            if not len(eigenvalues):
                continue
            found("share_of_minima", seed, 100 * minima.mean(), **where)
            if dimension >= HIGH:
                saddles = ~minima & ~(eigenvalues < 0).all(1)
                found("saddles_above_half", seed, 100 * saddles.mean() - 50, **where)
    for seed, of_sizes in counts.items():
        slope = bits_a_dimension(*zip(*of_sizes, strict=True))
        if not math.isnan(slope):
            found("bits_a_dimension", seed, slope, ensemble="small_network", inputs=inputs)


def _escapes(found, name, kind, settings):
    """Steps to leave a saddle, plain and noisy and with momentum, and what the latter two save."""
    saddles = {seed: LANDSCAPES[name](seed) for seed in settings["seeds"]}
    seeds, landscape = list(saddles), saddles[settings["seeds"][0]]
    steps = {}
    for seed, saddle in saddles.items():

        def count(rate, momentum=0.0, noise="none", seed=seed, saddle=saddle):
            taken = escape(saddle, kind, seed, settings, rate, momentum, noise)
            steps[seed, rate, momentum, noise] = taken
            found("escaped_in", seed, taken, landscape=name, start=kind, noise=noise,
                  momentum=momentum, learning_rate=rate)  # fmt: skip

        for noise in ("none", *landscape.noises):
            count(landscape.rate, noise=noise)
        # on the manifold no rate makes plain descent leave: one rate says it all
        ladder = landscape.rates if kind == "beside it" else [landscape.rate]
        for rate in ladder:
            for momentum in (0.0, MOMENTUM):
                if (seed, rate, momentum, "none") not in steps:
                    count(rate, momentum)

    def at_best(momentum):
        """Steps of each seed at the rate of the ladder that is fastest on the other seeds."""
        taken = np.array([[steps[s, rate, momentum, "none"] for rate in ladder] for s in seeds])
        return [taken[row, tuning.best_place(-taken, row)] for row in range(len(seeds))]

    def saved(less, more):
        return 100 * (1 - less / more)

    for row, seed in enumerate(seeds):
        plain = steps[seed, landscape.rate, 0.0, "none"]
        for noise in landscape.noises:
            noisy = steps[seed, landscape.rate, 0.0, noise]
            found("saved_by_noise", seed, saved(noisy, plain), landscape=name, start=kind,
                  noise=noise)  # fmt: skip
        faster = steps[seed, landscape.rate, MOMENTUM, "none"]
        found("saved_by_momentum", seed, saved(faster, plain), landscape=name, start=kind,
              tuning="same rate")  # fmt: skip
        if len(ladder) > 1:
            plain, faster = (at_best(momentum)[row] for momentum in (0.0, MOMENTUM))
            found("saved_by_momentum", seed, saved(faster, plain), landscape=name, start=kind,
                  tuning="each at its best")  # fmt: skip
