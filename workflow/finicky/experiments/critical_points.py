"""Saddles: how rare are minima among critical points, and what helps to leave a saddle?

The chapter counts signs: d eigenvalues, each positive with probability 1/2. Here minima are counted
for three kinds of random function and for the loss of small networks. Then steps are counted until
gradient descent has left a saddle, with and without noise, with and without momentum.
"""

import math
from functools import partial

import numpy as np
import pandas as pd

from finicky.experiments import arms

TITLE = "Critical points: how rare minima are, and how saddles are left"
ANSWERS = ["C015", "C016", "C017", "C018"]
READS = []
QUANTITIES = {
    "log2_share_of_minima": ("bits", "log2 of the probability that a random critical point is a "
                             "minimum"),
    "share_of_minima": ("%", "share of minima among the critical points found of a small network"),
    "bits_a_dimension": ("bits", "slope of log2 of that probability by dimension"),
    "saddles_above_half": ("pp", "share of saddles among critical points minus 50 %"),
    "escaped_in": ("steps", "median steps until a saddle is left; no more than were allowed"),
    "saved_by_noise": ("%", "steps to leave a saddle that noise saves"),
    "saved_by_momentum": ("%", "steps to leave a saddle that momentum saves"),
}  # fmt: skip
FIGURES = {
    "F05": "Left: minima among random critical points. The chapter's 2⁻ᵈ is the law of independent "
    "signs. Eigenvalues of a random symmetric matrix repel each other, so its curve bends down; at "
    "the critical points of a random smooth function it is a straight line again, of another "
    "slope; a trained network's loss is none of the three. Right: what noise and momentum save, "
    "exactly on the saddle's stable manifold and beside it.",
}

CONDITIONS = {
    "ensemble": "str",
    "dimension": "Int64",
    "landscape": "str",
    "start": "str",
    "noise": "str",
    "tuning": "str",
    "momentum": "float64",
    "learning_rate": "float64",
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


def exact_goe(dimension):
    """log2 of the probability that a `goe` matrix is positive definite, by quadrature.

    The eigenvalues' density is proportional to the product of all differences times exp(-x²/4);
    de Bruijn (1955) writes its integral as a Pfaffian of double integrals, here in polar
    coordinates. In float64 good to a few digits up to dimension 10.
    """
    from scipy.special import gamma

    size = dimension + dimension % 2
    nodes, weights = np.polynomial.legendre.leggauss(60)

    def pfaffian(start, end):
        """Of the skew matrix of ∫∫ sign(y - x) x^i y^j exp(-(x² + y²)/2), angles start to end."""
        matrix = np.zeros((size, size))
        edges = np.arange(start, end + 0.1) * math.pi / 4
        angle = ((edges[:-1, None] + edges[1:, None]) / 2 + nodes * math.pi / 8).ravel()
        weight = np.tile(weights * math.pi / 8, len(edges) - 1)
        cos, sin = np.cos(angle), np.sin(angle)
        for i in range(dimension):
            for j in range(i):
                radial = 2 ** ((i + j) / 2) * gamma((i + j) / 2 + 1)
                skew = (weight * np.sign(sin - cos) * cos**i * sin**j).sum()
                matrix[i, j], matrix[j, i] = radial * skew, -radial * skew
        if dimension % 2:
            for i in range(dimension):
                half = 2 ** ((i - 1) / 2) * gamma((i + 1) / 2)
                whole = half * (1 if end == 2 else 1 + (-1) ** i)
                matrix[i, -1], matrix[-1, i] = whole, -whole
        return np.linalg.slogdet(matrix)[1] / 2

    # x and y from 0 on: the first quadrant; all x and y: the whole circle
    return (pfaffian(0, 2) - pfaffian(0, 8)) / math.log(2)


# ---- Small networks: critical points found by Newton's method ------------------------------------


def critical_points(units, settings):
    """Hessians' eigenvalues at distinct critical points of small networks' losses: [n, 3h] a seed.

    The network is sum_j v_j tanh(w_j x + b_j), one input; the loss is the mean squared error on
    random targets plus a little weight decay, which makes critical points isolated. As in Dauphin
    et al. (2014, section 4) Newton's method starts from places along gradient descent: |gradient|²
    is minimised from there (Levenberg and Marquardt), in float64. Points with the same loss count
    once: they are copies by symmetry.
    """
    import torch
    from torch.func import grad, jacrev, vmap

    seeds, starts, size = settings["seeds"], settings["network_starts"], 3 * units
    drawn = [np.random.default_rng([seed, units]) for seed in seeds]
    data = np.array([rng.standard_normal((2, settings["examples"])) for rng in drawn])
    data = torch.tensor(data).repeat_interleave(starts, 0)
    points = np.concatenate([2 * rng.standard_normal((starts, size)) for rng in drawn])
    points = torch.tensor(points)

    def loss(parameters, data):
        (v, w, b), (x, y) = parameters.view(3, units), data
        error = torch.tanh(x[:, None] * w + b) @ v - y
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
        step = torch.linalg.solve(h @ h + damping * identity, h @ g[..., None])[..., 0]
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

    Starts are the same whatever the optimizer. v ← momentum v + gradient; x ← x - rate v.
    """
    draw = np.random.default_rng([seed, 19])
    x = landscape.start(kind, settings["escape_starts"], draw)
    velocity, left = np.zeros_like(x), np.full(len(x), settings["escape_steps"])
    with np.errstate(over="ignore", invalid="ignore"):  # a rate may be too large
        for step in range(settings["escape_steps"]):
            loss = landscape.loss(x)
            left = np.where((loss < landscape.enough) & (left > step), step, left)
            if (left <= step).all() or not np.isfinite(loss).all():
                break
            chosen = None
            if noise == "mini-batch":
                chosen = draw.integers(landscape.examples, size=(len(x), landscape.batch))
            gradient = landscape.gradient(x, chosen)
            if noise == "isotropic":
                gradient = gradient + landscape.noise_scale * draw.standard_normal(x.shape)
            velocity = momentum * velocity + gradient
            if not velocity.any():  # nothing moves, and nothing ever will
                break
            x = x - rate * velocity
    return float(np.median(left))


# ---- The table -----------------------------------------------------------------------------------


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row a quantity, condition and seed; QUANTITIES says what each number is.

    settings: dimensions (by ensemble), size (matrices a dimension and seed), units (of the
    networks), network_starts, newton_steps, examples, decay, escape_starts, escape_steps, seeds.
    """
    quantities = {name: [] for name in QUANTITIES}

    def found(quantity, seed, value, **where):
        quantities[quantity].append({"seed": seed, "value": float(value), "outcome": 0} | where)

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
    for units in settings["units"]:
        where = {"ensemble": "small_network", "dimension": 3 * units}
        for seed, eigenvalues in zip(
            settings["seeds"], critical_points(units, settings), strict=True
        ):
            if not len(eigenvalues):
                continue
            minima = (eigenvalues > 0).all(1)
            found("share_of_minima", seed, 100 * minima.mean(), **where)
            if 3 * units >= HIGH:
                saddles = ~minima & ~(eigenvalues < 0).all(1)
                found("saddles_above_half", seed, 100 * saddles.mean() - 50, **where)

    for landscape in LANDSCAPES:
        for kind in ("exactly on it", "beside it"):
            _escapes(found, landscape, kind, settings)
    rows = {
        name: pd.DataFrame(found, columns=["seed", "value", "outcome", *CONDITIONS])
        for name, found in quantities.items()
    }
    return arms.measured(rows, CONDITIONS)


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

    def best(seed, momentum):
        """The rate of the ladder that is fastest on the other seeds."""
        others = [other for other in seeds if other != seed] or seeds
        return min(ladder, key=lambda rate: sum(
            steps[other, rate, momentum, "none"] for other in others))  # fmt: skip

    def saved(less, more):
        return 100 * (1 - less / more)

    for seed in seeds:
        plain = steps[seed, landscape.rate, 0.0, "none"]
        for noise in landscape.noises:
            noisy = steps[seed, landscape.rate, 0.0, noise]
            found("saved_by_noise", seed, saved(noisy, plain), landscape=name, start=kind,
                  noise=noise)  # fmt: skip
        faster = steps[seed, landscape.rate, MOMENTUM, "none"]
        found("saved_by_momentum", seed, saved(faster, plain), landscape=name, start=kind,
              tuning="same rate")  # fmt: skip
        if len(ladder) > 1:
            plain, faster = (
                steps[seed, best(seed, momentum), momentum, "none"] for momentum in (0.0, MOMENTUM)
            )
            found("saved_by_momentum", seed, saved(faster, plain), landscape=name, start=kind,
                  tuning="each at its best")  # fmt: skip


# ---- The figure ----------------------------------------------------------------------------------

CALLED = {
    "separable": "independent signs",
    "random_matrix": "random matrix",
    "smooth_random_function": "smooth random function",
    "small_network": "small networks",
}
SAVED = [
    ("saved_by_noise", "noise", "isotropic", "isotropic noise"),
    ("saved_by_noise", "noise", "mini-batch", "mini-batch noise"),
    ("saved_by_momentum", "tuning", "same rate", "momentum, same rate"),
    ("saved_by_momentum", "tuning", "each at its best", "momentum, own rate"),
]
BITS = math.log2(10)  # of a power of ten
SUPERSCRIPT = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def draw(table: pd.DataFrame) -> dict:
    """F05: figure id to (matplotlib Figure, data behind it)."""
    from finicky.page import figures

    shares = table[table["quantity"] == "log2_share_of_minima"]
    networks = table[table["quantity"] == "share_of_minima"]
    # in powers of ten; no minimum found: a hundredth, the foot of its line
    powers = [shares["value"] / BITS, np.log10(networks["value"].clip(lower=1) / 100)]
    minima = pd.concat([shares, networks]).assign(value=pd.concat(powers))
    minima = figures.summary(minima, ["ensemble", "dimension"])
    saved = pd.concat(
        figures.summary(rows.assign(help=words, row=row), ["landscape", "start", "row", "help"])
        for row, (quantity, column, level, words) in enumerate(SAVED)
        for rows in [table[(table["quantity"] == quantity) & (table[column] == level)]]
    )
    saved["group"] = saved["landscape"].map(list(LANDSCAPES).index)
    saved = saved.sort_values(["group", "start", "row"], ascending=[True, False, True])
    saved = saved.drop(columns=["group", "row"]).reset_index(drop=True)
    with figures.style():
        fig, axes = figures.panels([3.4], columns=2, left=0.5, right=0.12, between=(3.0, 0))
        _draw_minima(axes[0, 0], minima, figures)
        _draw_saved(axes[0, 1], saved, figures)
        figures.footer(fig, minima)
        rates = table[table["quantity"] == "bits_a_dimension"].groupby("ensemble")["value"]
        fig.set_label(
            "Fitted log2 of the share of minima a dimension, where the chapter says -1: "
            + ", ".join(f"{CALLED[name]} {rate:.2f}" for name, rate in rates.median().items())
            + ". Median steps saved: "
            + ", ".join(
                f"{row.help} at {row.landscape}, {row.start} {row.median:.0f} %"
                for row in saved.itertuples()
            )
            + "."
        )
    return {"F05": (fig, pd.concat([minima, saved]))}


def _draw_minima(ax, minima, figures):
    """Powers of ten by dimension, one mark an ensemble; the chapter's law; the exact matrix law."""
    most = minima["dimension"].max()
    # the random matrix's curve may leave below
    lowest = minima[minima["ensemble"] != "random_matrix"]["low"].min() - 1.5
    ax.set_title("Share of minima (log scale)")
    ax.set(xlim=(0, most * 1.02), ylim=(lowest, 0.3), xlabel="d, dimensions")
    ticks = np.arange(0, lowest, -3)
    ax.set_yticks(ticks, [f"10{str(int(tick)).translate(SUPERSCRIPT)}" for tick in ticks])
    ax.plot([0, most], [0, -most / BITS], color=figures.INK, linestyle=figures.DASHES, linewidth=1)
    exact = range(1, 11)
    ax.plot(exact, [exact_goe(d) / BITS for d in exact], color=figures.VERMILLION, linewidth=1)

    names = [("the chapter: 2⁻ᵈ", -most / BITS, most)]
    marks = {
        "separable": (figures.GREY, "v"),
        "random_matrix": (figures.VERMILLION, "s"),
        "smooth_random_function": (figures.BLUE, "o"),
        "small_network": (figures.SAGE, "D"),
    }
    for ensemble, rows in minima[minima["median"] > lowest].groupby("ensemble"):
        colour, marker = marks[ensemble]
        reach = [rows["median"] - rows["low"], rows["high"] - rows["median"]]
        ax.errorbar(rows["dimension"], rows["median"], reach, color=colour, marker=marker,
                    linewidth=0, elinewidth=1.2)  # fmt: skip
        last = rows.iloc[-1]
        names.append((CALLED[ensemble], last["median"], last["dimension"]))
    place, gap = np.inf, 0.055 * (0.3 - lowest)
    leader = {"arrowstyle": "-", "linewidth": 0.5, "color": figures.INK, "alpha": 0.5}
    for words, height, at in sorted(names, key=lambda name: -name[1]):
        place = min(height, place - gap)
        ax.annotate(words, (at, height), (most * 1.06, place), fontsize=8, va="center",
                    arrowprops=leader)  # fmt: skip


def _draw_saved(ax, saved, figures):
    """A line a way of helping, grouped by saddle and start."""
    order = [words for *_, words in SAVED]
    colours = [figures.SAGE, figures.OLIVE, figures.PLUM, figures.LAVENDER]
    ax.set_title("Steps saved (%)")
    ax.axvline(0, color=figures.INK, linewidth=0.7)
    heights, height = [], 0.0
    for (landscape, start), rows in saved.groupby(["landscape", "start"], sort=False):
        height += 0.9
        ax.text(-0.025, height - 0.85, f"{landscape}, {start}", fontsize=7.5, weight="bold",
                ha="right", va="center", transform=ax.get_yaxis_transform())  # fmt: skip
        for row in rows.itertuples():
            look = order.index(row.help)
            ax.plot([row.low, row.high], [height] * 2, color=colours[look])
            ax.plot(row.median, height, "oDsX"[look], color=colours[look], clip_on=False)
            heights.append(height)
            height += 1
    ax.set_yticks(heights, saved["help"], fontsize=7)
    ax.set_ylim(heights[-1] + 0.7, heights[0] - 1.5)
    ax.set_xlim(min(-20, saved["low"].min()) * 1.05, 104)
    ax.grid(axis="both")
    ax.set_xlabel("against plain descent (%)")
