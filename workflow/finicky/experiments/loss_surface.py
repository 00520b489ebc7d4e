"""Are losses of residual networks smoother than of plain ones? Slices, spectra, directions.

Slices through trained networks along random directions of the filters' own scale (Li et al. 2018),
Hessian spectra by Lanczos' method, and the angle between the way downhill and the way to where
training ends. The loss is that of the training images in training mode, batch norm included.
"""

import math
from itertools import product

import numpy as np
import pandas as pd
import torch
from torch.nn import functional

from finicky.engine import streams
from finicky.engine.network import BN_EPS, Stacked
from finicky.experiments import chains, tidy, training
from finicky.experiments.best_rates import CHAPTER, OWN
from finicky.runs import OUTCOMES

TITLE = "Loss surfaces and Hessian spectra of plain and residual networks"
READS = []
DATASETS = ["mnist", "fashion_mnist"]
SETTINGS = {
    "datasets": ("datasets", "data sets"),
    "width": ("width", "units of a hidden layer"),
    "depths": ("depths", "layers"),
    "images": ("images", "training images"),
    "epochs": (
        {"type": "integer", "minimum": 2, "maximum": 100000},
        "of training; the way to its end is looked at after each",
    ),
    "rates": ("rates", "of Adam, among which each kind of network has its own best"),
    "loss_images": ("images", "of these, that the surfaces and spectra are made of"),
    "directions": ("count", "random lines through each network"),
    "points": (
        {"type": "integer", "minimum": 5, "maximum": 1001},
        "on each line, from −span to span",
    ),
    "span": ("positive", "half the length of a line, in units of the filters' norms"),
    "plane_points": (
        {"type": "integer", "minimum": 3, "maximum": 201},
        "along each side of the planes that are drawn",
    ),
    "lanczos_steps": (
        {"type": "integer", "minimum": 5, "maximum": 1000},
        "products of the Hessian and a vector for each spectrum",
    ),
}  # fmt: skip
QUANTITIES = {
    "smoother": ("doublings", "log2 of the roughness of the plain network's loss over that of the "
                 "residual one's; roughness: largest second derivative (differences) along random "
                 "lines of the filters' scale, mean over lines, trained"),
    "more_convex": ("pp", "share of points on these lines where the loss bends down: plain minus "
                    "residual network"),
    "more_uniform": ("doublings", "log2 of the evenness of the residual network's Hessian "
                     "eigenvalues over that of the plain one's; evenness: (mean |λ|)² / mean λ², "
                     "1 if all have the same size"),
    "aims_better": ("", "cosine of the angle between −gradient and the way to where training ends: "
                    "residual minus plain network"),
    "more_accurate": ("pp", "test accuracy: residual minus plain network"),
    "negative_share_gap": ("pp", "negative eigenvalues' share of Σ|λ|: plain minus residual"),
    "roughness": ("nats", "largest second derivative of the loss along such lines, mean"),
    "bends_down": ("%", "points on them where the loss bends down"),
    "evenness": ("", "(mean |λ|)² / mean λ² of the Hessian's eigenvalues"),
    "largest_eigenvalue": ("", "of the Hessian of the training loss"),
    "negative_share": ("%", "of Σ|λ|: negative eigenvalues of the Hessian"),
    "most_negative": ("%", "most negative eigenvalue's size over the largest eigenvalue"),
    "cosine": ("", "of the angle between −gradient and the way to where training ends"),
    "loss_at": ("nats", "training loss on a plane through the trained network, first seed"),
    "density_at": ("", "share of eigenvalues, as the weights of Lanczos' method put it"),
    "train_loss": ("nats", "where training ends, of the images that the surfaces are made of"),
    "test_accuracy": ("%", "after training"),
}  # fmt: skip
BUDGET = "{images} images of {dataset}, {epochs} epochs"
CONDITIONS = {
    "dataset": "level",
    "depth": "integer",
    "block": "level",
    "batch_norm": ["without batch norm", "with batch norm"],
    "stage": ["at the start", "trained"],
    "rate": ["chapter", "own best"],
    "images": "integer",
    "epochs": "integer",
    "along": ["first step", "all of training"],
    "x": "number",
    "y": "number",
    "eigenvalue": "number",
}
LIMITS = {
    "loss_images <= images": "some of the training images",
    "images % 64 != 1": "no batch of one image",
}


START, TRAINED = "at the start", "trained"
FIRST, WHOLE = "first step", "all of training"
PAIRS = {"without batch norm": ("plain", "residual"), "with batch norm": chains.BATCH_NORM}
TOGETHER = 4_000_000  # hidden values that memory is spared for, over networks, images and layers
CONVERGED = 0.01  # residual of an eigenvalue that Lanczos' method has found, relative to it
# What comparisons are made of: quantity, whether the logarithm counts, and whether the plain
# network comes first.
COMPARISONS = {
    "smoother": ("roughness", True, True),
    "more_convex": ("bends_down", False, True),
    "more_uniform": ("evenness", True, False),
    "aims_better": ("cosine", False, False),
    "more_accurate": ("test_accuracy", False, False),
    "negative_share_gap": ("negative_share", False, True),
}


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, condition and seed; QUANTITIES says what each number is."""
    rows = []
    for name in settings["datasets"]:
        dataset = training.prepared(name, settings, settings["images"])
        for depth, (batch_norm, blocks) in product(settings["depths"], PAIRS.items()):
            where = {"dataset": name, "depth": depth, "batch_norm": batch_norm}
            kinds = [chains.Kind(depth, block, settings["width"]) for block in blocks]
            plain, residual = (of_kind(kind, dataset, name, settings) for kind in kinds)
            found = [*plain, *residual, *compared(pd.DataFrame(plain), pd.DataFrame(residual))]
            rows += [row | where for row in found]
    return tidy.from_rows(rows, CONDITIONS)


def of_kind(kind, dataset, name, settings) -> list[dict]:
    """Rows of networks of one kind, at their start and trained at the chapter's and at their own
    best rate."""
    surface = Surface(kind, *chains.inputs(dataset, "train", settings["loss_images"]))
    every = chains.train(kind, dataset, name, settings, chains.rates_of(settings), every_epoch=True)
    start, trained = every[0], every[-1]
    held_out, tested = (chains.accuracies(trained, dataset, s) for s in ("validation", "test"))
    arms = trained.arms(held_out)
    ways = surface.ways([networks.flat for networks in every])
    fresh = [trained.seeds.index(seed) for seed in settings["seeds"]]
    used = sorted({row for _, _, row in arms})
    of_start, of_end = (
        spectra(surface, start, fresh, settings),
        spectra(surface, trained, used, settings),
    )

    rows = []

    def add(numbers, row, **where):
        outcome = trained.outcome(row) if where["stage"] == TRAINED else "finite"
        rows.extend(
            {"quantity": quantity, "value": float(value), "outcome": outcome, **where}
            for quantity, value in numbers.items()
        )

    for seed, row in zip(settings["seeds"], fresh, strict=True):
        add(of_start[row].numbers, row, seed=seed, stage=START)
    for rate, seed, row in arms:
        where = {"seed": seed, "stage": TRAINED, "rate": rate, **chains.budget(settings)}
        loss = surface.losses(trained.flat[[row]]).item()
        add({"test_accuracy": tested[row], "train_loss": loss}, row, **where)
        add(of_end[row].numbers | slices(surface, trained.flat[row], seed, settings), row, **where)
        add({"cosine": ways[0, row]}, row, **where, along=FIRST)
        add({"cosine": ways[:, row].mean()}, row, **where, along=WHOLE)
    if kind.depth == max(settings["depths"]):
        # the first seed's at its own best rate
        rate, seed, row = [arm for arm in arms if arm[1] == settings["seeds"][0]][-1]
        where = {"seed": seed, "stage": TRAINED, "rate": rate, **chains.budget(settings)}
        rows += [one | where for one in plane(surface, trained.flat[row], seed, settings)]
        rows += [one | where for one in of_end[row].density()]
    return [row | {"block": kind.block} for row in rows]


def compared(plain, residual):
    """Yields rows of COMPARISONS between the rows of plain and of residual networks. Where the own
    best rate of one kind is the chapter's, that is its arm."""
    has_own = [OWN in set(rows["rate"].dropna()) for rows in (plain, residual)]
    if any(has_own):
        plain, residual = (
            rows if own else pd.concat([rows, rows[rows["rate"] == CHAPTER].assign(rate=OWN)])
            for rows, own in zip((plain, residual), has_own, strict=True)
        )
    keys = ["seed", "stage", "rate", "along", "images", "epochs"]
    both = plain.merge(residual, on=["quantity", *keys], suffixes=("_plain", "_residual"))
    for comparison, (quantity, logarithm, plain_first) in COMPARISONS.items():
        for row in both[both["quantity"] == quantity].itertuples():
            pair = row.value_plain, row.value_residual
            if logarithm:
                pair = [math.log2(value) if value > 0 else math.nan for value in pair]
            outcome = max(row.outcome_plain, row.outcome_residual, key=OUTCOMES.index)
            yield {
                "quantity": comparison,
                "value": (pair[0] - pair[1]) * (1 if plain_first else -1),
                "outcome": outcome,
                **{key: getattr(row, key) for key in keys},
            }


# ---- The loss as a function of all parameters ---------------------------------------------------


class Surface:
    """The training loss of networks of one kind over their flat parameters, on the same images.

    In training mode: batch norm uses the images' own statistics, as the loss that is descended.
    """

    def __init__(self, kind, images, labels):
        self.kind, self.images, self.labels = kind, images, labels
        # networks whose gradients are taken together
        self.together = max(1, TOGETHER // (len(images) * kind.width * kind.depth))

    def losses(self, flat):
        """Nats [R] for parameters [R, P], to be differentiated."""
        parts, h = Stacked(self.kind.architecture, flat), self.images.to(flat.dtype)
        below = h = h.expand(len(flat), *h.shape)
        for layer in range(self.kind.depth - 1):
            z = torch.baddbmm(parts.biases[layer], h, parts.weights[layer])
            if parts.gammas:
                z = z - z.mean(1, keepdim=True)
                scale = parts.gammas[layer] * ((z * z).mean(1, keepdim=True) + BN_EPS).rsqrt()
                z = torch.addcmul(parts.betas[layer], z, scale)
            if self.kind.architecture.adds_input(layer):
                z = z + below
            h = z.relu()
            if layer % 2 == 0:
                below = h
        logits = torch.baddbmm(parts.biases[-1], h, parts.weights[-1])
        labels = self.labels.repeat(len(flat))
        each = functional.cross_entropy(logits.flatten(0, 1), labels, reduction="none")
        return each.view(len(flat), -1).mean(1)

    def gradients(self, flat):
        """[R, P]."""
        parts = [part.detach().requires_grad_() for part in flat.split(self.together)]
        return torch.cat([torch.autograd.grad(self.losses(p).sum(), p)[0] for p in parts])

    def products(self, flat):
        """A function that multiplies vectors [R, P] by the Hessians (Pearlmutter 1994)."""
        flat = flat.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(self.losses(flat).sum(), flat, create_graph=True)
        return lambda v: torch.autograd.grad(gradient, flat, v, retain_graph=True)[0]

    def ways(self, checkpoints):
        """Cosines of the angles between -gradient and the way to the last checkpoint, at all the
        others: [checkpoints - 1, R]; checkpoints: parameters [R, P]."""
        *before, end = checkpoints
        cosines = [functional.cosine_similarity(-self.gradients(at), end - at) for at in before]
        return torch.stack(cosines).numpy()


# ---- Slices -------------------------------------------------------------------------------------


def direction(kind, flat, *name):
    """A random direction [P] in which each unit's incoming weights have the norm that they have in
    `flat` [P]; biases and batch norm stay (Li et al. 2018, section 4)."""
    found = torch.zeros_like(flat)
    normals = torch.randn(len(flat), generator=streams.generator("direction", *name))
    own, drawn, scaled = (
        Stacked(kind.architecture, part[None]).weights for part in (flat, normals.to(flat), found)
    )
    for of_own, of_drawn, target in zip(own, drawn, scaled, strict=True):
        target.copy_(
            of_drawn * (of_own.norm(dim=1, keepdim=True) / of_drawn.norm(dim=1, keepdim=True))
        )
    return found


@torch.no_grad()
def slices(surface, flat, seed, settings):
    """{quantity: number} of the loss along random lines through a network's parameters [P]."""
    at = along(settings["span"], settings["points"])
    flat, lines = flat.double(), []
    for number in range(settings["directions"]):
        way = direction(surface.kind, flat, seed, number)
        lines.append(surface.losses(flat + at[:, None] * way).numpy())
    bends = np.diff(lines, 2) / float(at[1] - at[0]) ** 2
    return {"roughness": np.abs(bends).max(1).mean(), "bends_down": 100 * (bends < 0).mean()}


@torch.no_grad()
def plane(surface, flat, seed, settings):
    """Yields rows of the loss on a plane of two of these lines."""
    at = along(settings["span"], settings["plane_points"])
    flat = flat.double()
    one, other = (direction(surface.kind, flat, seed, number) for number in (0, 1))
    for y in at:
        losses = surface.losses(flat + y * other + at[:, None] * one)
        for x, loss in zip(at.tolist(), losses.tolist(), strict=True):
            yield {"quantity": "loss_at", "value": loss, "x": x, "y": float(y)}


def along(span, points):
    """Places on a line, from -span to span: float64 [points]."""
    return torch.linspace(-span, span, points, dtype=torch.float64)


# ---- Spectra ------------------------------------------------------------------------------------


class Spectrum:
    """A Hessian's eigenvalues as Lanczos' method sees them: values [k], and the share of all
    eigenvalues that each stands for.

    Those that it has found count as one eigenvalue each, the others by their weights, which sample
    what is left (Ghorbani et al. 2019, section 2). Without the first, the few large eigenvalues
    would come in by the luck of the random start.
    """

    def __init__(self, values, weights, residuals, parameters):
        self.values = values
        found = residuals <= CONVERGED * np.abs(values)
        left = np.where(found, 0, weights)
        rest = (1 - found.sum() / parameters) / max(left.sum(), 1e-300)
        self.shares = np.where(found, 1 / parameters, left * rest)

    @property
    def numbers(self):
        """{quantity: number}."""
        sizes = self.shares * np.abs(self.values)
        lowest, highest = self.values.min(), self.values.max()
        return {
            "evenness": sizes.sum() ** 2 / (self.shares * self.values**2).sum(),
            "largest_eigenvalue": highest,
            "negative_share": 100 * sizes[self.values < 0].sum() / sizes.sum(),
            "most_negative": 100 * max(-lowest, 0) / highest,
        }

    def density(self):
        """Yields rows of the shares."""
        for value, share in zip(self.values, self.shares, strict=True):
            yield {"quantity": "density_at", "value": float(share), "eigenvalue": float(value)}


def spectra(surface, networks, rows, settings):
    """{row: Spectrum} of the Hessians of some networks; NaN for one whose loss became NaN."""
    found = {}
    for first in range(0, len(rows), surface.together):
        some = rows[first : first + surface.together]
        flat = networks.flat[some]
        starts = torch.stack(
            [
                torch.randn(
                    flat.shape[1], generator=streams.generator(networks.seeds[row], "lanczos")
                )
                for row in some
            ]
        )
        ritz = lanczos(surface.products(flat), starts, settings["lanczos_steps"])
        for row, *of_row in zip(some, *ritz, strict=True):
            found[row] = Spectrum(*of_row, flat.shape[1])
    return found


def lanczos(product, start, steps):
    """Ritz values of R symmetric matrices from the start vectors [R, P], their weights, and their
    residuals: three [R, steps] (Golub and Welsch 1969; fully reorthogonalised).

    product: [R, P] -> [R, P]. A value's weight is the squared first component of its eigenvector of
    the tridiagonal matrix, its residual |β_k| times the last one's size.
    """
    basis = [start / start.norm(dim=1, keepdim=True)]
    diagonal, beside = [], []
    for _ in range(steps):
        v = product(basis[-1])
        diagonal.append((v * basis[-1]).sum(1))
        for _ in range(2):
            for q in basis:
                v = v - (v * q).sum(1, keepdim=True) * q
        beside.append(v.norm(dim=1))
        basis.append(v / beside[-1].clamp(min=1e-30)[:, None])
    a, b = (torch.stack(of, 1).double() for of in (diagonal, beside))
    matrix = torch.diag_embed(a) + torch.diag_embed(b[:, :-1], 1) + torch.diag_embed(b[:, :-1], -1)
    known = matrix.isfinite().flatten(1).all(1)[:, None]
    values, vectors = torch.linalg.eigh(torch.where(known[..., None], matrix, 0))
    parts = values, vectors[:, 0] ** 2, b[:, -1:] * vectors[:, -1].abs()
    return [part.where(known, math.nan).numpy() for part in parts]
