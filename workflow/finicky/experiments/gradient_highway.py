"""How does the gradient get through residual blocks? Its formulas, its bounds, and what it does.

The derivative of a block, the expanded product and the table's formulas are checked on random
blocks in float64. Blocks are built for which the lower bound fails. Then the gradient by the hidden
values of real networks, plain and residual, is measured from the output back to the input, at the
start and after training, beside the norms that the bounds are made of.
"""

import itertools
import math

import numpy as np
import pandas as pd
import torch
from torch.nn import functional

from finicky.engine.activations import ACTIVATIONS
from finicky.experiments import chains, identities, stacked, tidy, training
from finicky.experiments.best_rates import CHAPTER
from finicky.experiments.chains import NOTHING, RELU
from finicky.runs import BLOCKS

TITLE = "Gradient flow through plain and residual layers"
READS = []
DATASETS = ["mnist", "fashion_mnist"]
SETTINGS = {
    "datasets": ("datasets", "data sets"),
    "trials": ("trials", "random networks per seed that each formula is checked on"),
    "width": ("width", "units of a hidden layer"),
    "depths": ("depths", "of the networks that are measured at their start"),
    "trained_depths": ("depths", "of those that are trained, among the `depths`"),
    "images": ("images", "training images"),
    "epochs": ("epochs", "of training"),
    "rates": ("rates", "of Adam, among which each kind of network has its own best"),
    "probe_images": ("test_images", "that gradients are taken of"),
    "jacobian_images": ("test_images", "of these, that Jacobians are taken of"),
    "layers": (
        {"type": "array", "minItems": 3, "uniqueItems": True,
         "items": {"type": "integer", "minimum": 2, "maximum": 1000}},
        "square layers of the plain networks whose gradient is followed through depth",
    ),
    "layers_width": ("width", "units of each of these layers"),
    "draws": ("count", "of each of these plain networks per seed"),
}  # fmt: skip
QUANTITIES = {
    "block_error": ("", "derivative of a whole random block against I + ∂F/∂x, largest relative "
                    "error over random blocks in float64"),
    "expansion_error": ("", "product of a random network's block derivatives against I + Σ ∂F/∂x + "
                        "all products of several ∂F/∂x, largest relative error"),
    "flow_error": ("", "gradient by a block's input against (I + ∂F/∂x) times that by its output, "
                   "largest relative error"),
    "identity_error": ("", "output of a block with zero weights against its input, largest "
                       "relative error over random inputs of both signs"),
    "at_least_identity": ("0/1", "0 if the code builds a residual network whose gradient is "
                          "shorter at the input than at the output"),
    "never_zero": ("0/1", "0 if it builds one whose gradient is zero at the input but not at the "
                   "output; 1 if random blocks all have a smallest singular value of at least "
                   "1 − ‖∂F/∂x‖ > 0"),
    "holds_with_depth": ("0/1", "0 if it builds residual networks whose gradient at the input "
                         "tends to zero as blocks are added"),
    "smallest_singular_value": ("", "of a block's derivative, median over blocks and images"),
    "smallest_of_all": ("", "the smallest singular value of all blocks' derivatives and images"),
    "share_below_identity": ("%", "blocks and images whose smallest singular value is below 1"),
    "gradient_ratio": ("doublings", "log2 of the gradient's norm at the first hidden values over "
                       "that at the last, median over images"),
    "share_at_least": ("%", "images for which it is at least as long at the first as at the last"),
    "largest_norm": ("", "largest ‖∂F/∂x‖ of a block, or of a pair of plain layers, over images"),
    "bound_log2": ("doublings", "log2 of the chapter's bound for the ratio: largest norm to the "
                   "power of blocks or pairs of layers if plain, 0 if residual"),
    "bound_holds": ("%", "images for which the chapter's bound holds: from above if plain, from "
                    "below if residual"),
    "test_accuracy": ("%", "after training"),
    "plain_ratio": ("doublings", "gradient_ratio of plain networks at their start, median over "
                    "images and networks"),
    "fall_power": ("", "power p with which −log of that ratio grows with the number of layers, 1 "
                   "being k^L; only where every seed's ratio falls below 1/4 at the deepest"),
}  # fmt: skip
BUDGET = {
    "{images} images of {dataset}, {epochs} epochs": [
        "smallest_singular_value",
        "smallest_of_all",
        "share_below_identity",
        "gradient_ratio",
        "share_at_least",
        "largest_norm",
        "bound_log2",
        "bound_holds",
        "test_accuracy",
    ],
}
LIMITS = {
    "trained_depths in depths": "some of the depths",
    "jacobian_images <= probe_images": "some of the images that gradients are taken of",
    "images % 64 != 1": "no batch of one image",
}
CONDITIONS = {
    "dataset": "level",
    "depth": "integer",
    "layers": "integer",
    "block": "level",
    "activation": "level",
    "init": "level",
    "after_the_sum": ["nothing after the sum", "ReLU after the sum"],
    "stage": ["at the start", "trained"],
    "rate": ["chapter", "own best"],
    "images": "integer",
    "epochs": "integer",
    "derivative": ["any derivative", "norm below 1"],
    "form": ["as printed", "transposed"],
}


# Of the plain networks that are followed through depth.
PLAIN_ACTIVATIONS = ("relu", "tanh", "sigmoid", "selu")
PLAIN_INITS = ("he", "xavier", "normal_std_0.01")
ZERO = 1e-12  # of singular values: less is rounding
FALLS = 1 / 4  # a gradient falls if less than this of it is left
START, TRAINED = "at the start", "trained"
ANY, BELOW_ONE = "any derivative", "norm below 1"


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, condition and seed; QUANTITIES says what each number is."""
    rows = []
    for seed in settings["seeds"]:
        random = torch.Generator().manual_seed(seed)
        found = [*formulas(random, settings["trials"]), *constructions(random, settings["trials"])]
        rows += [{"quantity": q, "seed": seed, "value": v, **where} for q, v, where in found]
    for name in settings["datasets"]:
        dataset = training.prepared(name, settings, settings["images"])
        found = [*networks(dataset, name, settings), *through_depth(dataset, settings)]
        rows += [row | {"dataset": name} for row in found]
    return tidy.from_rows(rows, CONDITIONS)


# ---- Formulas on random blocks ------------------------------------------------------------------


class Block:
    """y = f(x + F(x)) with F(x) = V relu(U x + u) + v, x [width], f = ReLU or nothing; float64."""

    def __init__(self, inner, outer, inner_bias=0.0, outer_bias=0.0, after=NOTHING):
        self.inner, self.outer = inner, outer
        self.biases, self.after = (inner_bias, outer_bias), after

    @classmethod
    def random(cls, random, width, after):
        """Standard normals over √width."""
        shapes = (2 * width, width), (width, 2 * width), (2 * width,), (width,)
        drawn = [torch.randn(s, generator=random, dtype=torch.float64) for s in shapes]
        return cls(*(part / math.sqrt(width) for part in drawn), after)

    def body(self, x):
        """F(x)."""
        return self.outer @ torch.relu(self.inner @ x + self.biases[0]) + self.biases[1]

    def __call__(self, x):
        """y."""
        y = x + self.body(x)
        return torch.relu(y) if self.after == RELU else y

    def derivative(self, x):
        """∂F/∂x = V diag(slopes of the ReLU) U."""
        return self.outer @ (((self.inner @ x + self.biases[0]) > 0)[:, None] * self.inner)


def formulas(random, trials):
    """Yields the errors of the formulas: (quantity, largest over the trials, where)."""
    for after in (NOTHING, RELU):
        errors = {"block_error": [], "expansion_error": [], "identity_error": []}
        for trial in range(trials):
            width, count = 3 + trial % 6, 2 + trial % 4
            blocks = [Block.random(random, width, after) for _ in range(count)]
            x = torch.randn(width, generator=random, dtype=torch.float64)
            errors["block_error"].append(block_error(blocks[0], x))
            errors["expansion_error"].append(expansion_error(blocks, x))
            zero = Block(0 * blocks[0].inner, 0 * blocks[0].outer, after=after)
            errors["identity_error"].append(identities.relative_error(zero(x), x))
        yield from ((q, max(found), {"after_the_sum": after}) for q, found in errors.items())
    printed, transposed = [], []
    for trial in range(trials):
        block = Block.random(random, 3 + trial % 6, NOTHING)
        x, v = torch.randn(2, 3 + trial % 6, generator=random, dtype=torch.float64)
        leaf = x.requires_grad_()
        (expected,) = torch.autograd.grad(block(leaf), leaf, v)
        x = x.detach()
        whole = torch.eye(len(x), dtype=x.dtype) + block.derivative(x)
        printed.append(identities.relative_error(whole @ v, expected))
        transposed.append(identities.relative_error(whole.T @ v, expected))
    yield "flow_error", max(printed), {"form": "as printed"}
    yield "flow_error", max(transposed), {"form": "transposed"}


def block_error(block, x):
    """The block's derivative by autograd against I + ∂F/∂x."""
    expected = torch.eye(len(x), dtype=x.dtype) + block.derivative(x)
    return identities.relative_error(jacobian(block, x), expected)


def expansion_error(blocks, x):
    """The derivative of blocks in a row by autograd against I + Σ ∂F/∂x + all products of two and
    more, in the order of the blocks."""

    def network(x):
        for block in blocks:
            x = block(x)
        return x

    derivatives, h = [], x
    for block in blocks:
        derivatives.append(block.derivative(h))
        h = block(h)
    expanded = torch.eye(len(x), dtype=x.dtype)
    for size in range(1, len(blocks) + 1):
        for chosen in itertools.combinations(derivatives, size):
            product = torch.eye(len(x), dtype=x.dtype)
            for derivative in chosen:
                product = derivative @ product
            expanded = expanded + product
    return identities.relative_error(jacobian(network, x), expanded)


def jacobian(function, x):
    """[outputs, inputs] by autograd."""
    return torch.autograd.functional.jacobian(function, x)


# ---- Blocks built against the bounds ------------------------------------------------------------


def against(random, width, norm):
    """A block with F(x) = -norm·x out of ReLUs: -norm·Qᵀ(relu(Qx) - relu(-Qx)), Q a permutation
    with signs, for which this is exact."""
    signs = torch.randint(2, (width,), generator=random).double() * 2 - 1
    q = (torch.eye(width, dtype=torch.float64) * signs)[torch.randperm(width, generator=random)]
    return Block(torch.cat([q, -q]), -norm * torch.cat([q.T, -q.T], 1))


def constructions(random, trials, width=6, most=64):
    """Yields what becomes of the chapter's bound, (quantity, 0 or 1, where): for blocks against it
    without limits (F = -x) and with a norm below 1 (F = -x/2)."""
    for derivative, norm in ((ANY, 1.0), (BELOW_ONE, 0.5)):
        left = gradients_left(against(random, width, norm), random, width, most)
        where = {"derivative": derivative}
        yield "at_least_identity", float(left[0] >= 1), where
        bounded = derivative == ANY or bound_by_weyl(random, trials)
        yield "never_zero", float(left[0] > 0 and bounded), where
        # as many blocks of norm 1 leave nothing; of norm M, (1 - M) to the power of the blocks
        yield "holds_with_depth", float(left[-1] > 2 * (1 - norm) ** most), where


def gradients_left(block, random, width, most):
    """The gradient's norm in front of 1, 2, ..., `most` such blocks over that behind them, at a
    random input."""
    h, v = torch.randn(2, width, generator=random, dtype=torch.float64)
    product, left = torch.eye(width, dtype=torch.float64), []
    for _ in range(most):
        product = jacobian(block, h) @ product
        h = block(h)
        left.append(float((v @ product).norm() / v.norm()))
    return left


def bound_by_weyl(random, trials):
    """Whether the smallest singular value of I + ∂F/∂x is at least 1 - M in random blocks whose
    ∂F/∂x has the norm M < 1."""
    for trial in range(trials):
        width = 3 + trial % 6
        block = Block.random(random, width, NOTHING)
        x = torch.randn(width, generator=random, dtype=torch.float64)
        norm = (trial + 1) / (trials + 1)
        block.outer = block.outer * (norm / torch.linalg.matrix_norm(block.derivative(x), 2))
        smallest = torch.linalg.svdvals(jacobian(block, x))[-1]
        if smallest < (1 - norm) * (1 - 1e-9):
            return False
    return True


# ---- Networks of the grid's kinds ---------------------------------------------------------------


def networks(dataset, name, settings):
    """Yields rows of what gradients do in networks at their start and after training."""
    for depth, block in itertools.product(settings["depths"], BLOCKS):
        for clean in (False, True) if block in chains.RESIDUAL else (False,):
            kind = chains.Kind(depth, block, settings["width"], clean)
            flat = chains.starts(kind, settings["seeds"])
            arms = [({"stage": START}, seed, row) for row, seed in enumerate(settings["seeds"])]
            yield from of_kind(kind, flat, arms, dataset, settings)
            if depth in settings["trained_depths"]:
                yield from of_trained(kind, dataset, name, settings)


def of_trained(kind, dataset, name, settings):
    """Yields rows of networks after training; plain ones only at the chapter's rate."""
    plain = kind.block not in chains.RESIDUAL
    rates = [chains.CHAPTERS_RATE] if plain else chains.rates_of(settings)
    trained = chains.train(kind, dataset, name, settings, rates)[-1]
    held_out, tested = (chains.accuracies(trained, dataset, s) for s in ("validation", "test"))
    arms = [
        ({"stage": TRAINED, "rate": rate, **chains.budget(settings)}, seed, row)
        for rate, seed, row in trained.arms(held_out)
        if rate == CHAPTER or not plain
    ]
    for where, seed, row in arms:
        levels = {**kind.levels, **where, "seed": seed, "outcome": trained.outcome(row)}
        yield {"quantity": "test_accuracy", "value": tested[row], **levels}
    yield from of_kind(kind, trained.flat, arms, dataset, settings)


def of_kind(kind, flat, arms, dataset, settings):
    """Yields rows of networks of one kind, parameters `flat` [R, P]; arms: (levels, seed, row of
    them). A network whose loss became NaN has no gradients."""
    used = sorted({row for _, _, row in arms if flat[row].isfinite().all()})
    found = flow(kind, flat[used], dataset, settings) if used else {}
    for where, seed, row in arms:
        for quantity, values in found.items():
            levels = {**kind.levels, **where, "seed": seed}
            value, outcome = (
                (values[used.index(row)], "finite") if row in used else (math.nan, "nan")
            )
            yield {"quantity": quantity, "value": float(value), "outcome": outcome, **levels}


def flow(kind, flat, dataset, settings):
    """{quantity: one number per network [R]} of gradients, bounds and singular values."""
    chain = chains.folded(kind, flat, chains.inputs(dataset, "train")[0])
    images, labels = chains.inputs(dataset, "test", settings["probe_images"])
    hidden = chain.hidden(images)
    slopes = chains.Slopes.at(chain, hidden)
    last = chains.last_gradient(chain, hidden[-1], labels)
    first = last
    for number in reversed(range(kind.blocks)):
        first = slopes.back(number, first)
    doublings = (first.norm(dim=2) / last.norm(dim=2)).log2()

    few = chains.Slopes.at(chain, [h[:, : settings["jacobian_images"]] for h in hidden])
    norms, least = [], []
    for number in range(kind.blocks):
        whole, own = few.derivatives(number)
        norms.append(torch.linalg.svdvals(own)[..., 0])
        least.append(torch.linalg.svdvals(whole)[..., -1] if chain.residual else norms[-1])
    largest = torch.stack(norms).amax((0, 2))  # [L, R, images] -> [R]
    bound = torch.zeros_like(largest) if chain.residual else kind.blocks * largest.log2()
    holds = doublings >= 0 if chain.residual else doublings <= bound[:, None]
    found = {
        "gradient_ratio": doublings.median(1).values,
        "share_at_least": 100 * (doublings >= 0).double().mean(1),
        "largest_norm": largest,
        "bound_log2": bound,
        "bound_holds": 100 * holds.double().mean(1),
    }
    if chain.residual:
        least = torch.stack(least)
        least = torch.where(least < ZERO, 0, least)
        found |= {
            "smallest_singular_value": least.transpose(0, 1).flatten(1).median(1).values,
            "smallest_of_all": least.amin((0, 2)),
            "share_below_identity": 100 * (least < 1).double().mean((0, 2)),
        }
    return found


# ---- Plain networks of many activations, through depth ------------------------------------------


def through_depth(dataset, settings):
    """Yields rows of the gradient's ratio by number of layers, and of the law it follows."""
    ratios = {}
    for init, seed in itertools.product(PLAIN_INITS, settings["seeds"]):
        weights = plain_weights(init, seed, settings)
        for activation in PLAIN_ACTIVATIONS:
            found = plain_ratios(weights, activation, dataset, settings)
            ratios.setdefault((activation, init), []).append(found)
    deepest = int(np.argmax(settings["layers"]))
    for (activation, init), of_seeds in ratios.items():
        falls = all(ratio[deepest] < math.log(FALLS) for ratio in of_seeds)
        for seed, of_seed in zip(settings["seeds"], of_seeds, strict=True):
            where = {"activation": activation, "init": init, "seed": seed}
            for layers, ratio in zip(settings["layers"], of_seed, strict=True):
                value = ratio / math.log(2)
                yield {"quantity": "plain_ratio", "value": value, "layers": layers, **where}
            if falls:
                power = fall_power(np.array(settings["layers"]), of_seed)
                yield {"quantity": "fall_power", "value": power, **where}


def fall_power(layers, ratios):
    """p of -ln(ratio) ∝ layers^p by least squares of the logarithms, where the ratio is below 1;
    ratios: their natural logarithms."""
    falls = ratios < 0
    return float(np.polyfit(np.log(layers[falls]), np.log(-ratios[falls]), 1)[0])


def plain_weights(init, seed, settings):
    """Weights [draws, in, out] of the first layer, of the deepest network's square ones and of an
    output layer, float64; without biases."""
    names = [(seed, "draw", draw) for draw in range(settings["draws"])]
    width = settings["layers_width"]
    fans = [(784, width), *[(width, width)] * max(settings["layers"]), (width, 10)]
    return [stacked.first_weights(init, names, i, *fan).double() for i, fan in enumerate(fans)]


def plain_ratios(weights, activation, dataset, settings):
    """Natural logarithm of the gradient's norm at the first hidden values over that at the last,
    median over images and networks: [layers]. A shallower network is the beginning of a deeper one
    with the same output layer."""
    first, *square, output = weights
    x, labels = chains.inputs(dataset, "test", settings["probe_images"])
    function = ACTIVATIONS[activation].forward
    begin = h = function(x @ first).requires_grad_()
    ratios = {}
    for layers, layer in enumerate(square, 1):
        h = function(h @ layer)
        if layers in settings["layers"]:
            logits = (h @ output).flatten(0, 1)
            loss = functional.cross_entropy(logits, labels.repeat(len(output)), reduction="sum")
            gradients = torch.autograd.grad(loss, [begin, h], retain_graph=True)
            logs = (gradients[0].norm(dim=2) / gradients[1].norm(dim=2)).log()
            ratios[layers] = float(logs.median())
    return np.array([ratios[layers] for layers in settings["layers"]])
