"""The minima that training finds: how alike their losses are, how many copies each has, and whether
they are connected.

Spread: the same training from several starts, by width. Copies: networks with permuted or rescaled
hidden units, in float64. Paths: the loss between two trained networks, straight, straight after
their units are matched, and along a curve that is trained to be low.
"""

import itertools
import math

import numpy as np
import pandas as pd

from finicky.experiments import identities, tidy, update_rules
from finicky.runs import OUTCOMES

TITLE = "Minima: how alike, how many copies, how connected"
READS = []
DATASETS = ["mnist"]
SETTINGS = {
    "images": ("images", "training images, the same for every network"),
    "test_images": ("test_images", "test images that losses and accuracies are taken on"),
    "epochs": ("epochs", "epochs of every training, that of a curve too"),
    "learning_rate": ("rate", "of every training (momentum)"),
    "widths": (
        {
            "type": "array",
            "minItems": 2,
            "uniqueItems": True,
            "items": {"$ref": "#/$defs/width"},
        },
        "hidden units of the networks whose final losses are compared",
    ),
    "starts": ({"type": "integer", "minimum": 2, "maximum": 500}, "trainings per width and seed"),
    "path_widths": ("widths", "units per hidden layer of the networks that are joined by paths"),
    "trials": ("trials", "random networks per identity, activation and seed"),
}
QUANTITIES = {
    "train_spread_falls": ("halvings", "halvings of the standard deviation of the final training "
                           "loss over starts, per doubling of the width"),
    "test_spread_falls": ("halvings", "the same for the test loss"),
    "relative_spread_falls": ("halvings", "the same for the training loss's standard deviation "
                              "over its mean"),
    "test_spread": ("nats", "standard deviation of the final test loss over starts, by width"),
    "train_spread": ("nats", "standard deviation of the final training loss, by width"),
    "final_train_loss": ("nats", "training loss at the end, by width and start"),
    "final_test_loss": ("nats", "test loss at the end, by width and start"),
    "permuted_error": ("", "output after permuting every hidden layer's units, all activations: "
                       "largest relative change"),
    "count_error": ("", "settings of equal function among all permutations of a small network's "
                    "layers, over the number claimed, minus 1"),
    "tanh_copies": ("", "equal settings with signs flipped as well (tanh), over (m!)^L"),
    "scaled_error": ("", "output after scaling one layer's weights and biases up and the next "
                     "layer's weights down: largest relative change"),
    "scaled_weights_error": ("", "the same with the weights alone scaled, biases not zero"),
    "stays_low": ("0/1", "whether the training loss along the path never rises more than "
                  "0.115 nats, a twentieth of a guess's loss, above the worse end's"),
    "barrier": ("nats", "highest training loss on the path minus the worse end's"),
    "accuracy_lost": ("pp", "test accuracy of the worse end minus the lowest on the path"),
    "path_loss": ("nats", "training loss along the path"),
}  # fmt: skip
CONDITIONS = {
    "width": "integer",
    "start": "integer",
    "activation": "level",
    "layers_counted": ["hidden layers", "layers of weights"],
    "path": ["straight", "straight after matching", "trained curve"],
    "share": "number",
}
BUDGET = {
    "{images} images of MNIST, {epochs} epochs": [
        "train_spread_falls",
        "test_spread_falls",
        "relative_spread_falls",
        "test_spread",
        "train_spread",
        "final_train_loss",
        "final_test_loss",
        "stays_low",
        "barrier",
        "accuracy_lost",
        "path_loss",
    ],
}
LOW = math.log(10) / 20  # nats: a twentieth of the loss of a guess
POINTS = 31  # on a path
HIDDEN_LAYERS, ALL_LAYERS = "hidden layers", "layers of weights"  # what L is the number of
STRAIGHT, MATCHED, CURVE = "straight", "straight after matching", "trained curve"
BATCH = 50


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, condition and seed; QUANTITIES says what each number is.

    Conditions: `layers_counted`, what the L of (m!)^L counts; `share`, of the way along a `path`.
    """
    import torch

    from finicky.experiments.training import first, prepared

    dataset = prepared("mnist", settings, settings["images"])
    dataset.test = first(dataset.test, settings["test_images"])
    rows = []
    with torch.no_grad():
        for seed in settings["seeds"]:
            rows += [row | {"seed": seed} for row in copies(seed, settings["trials"])]
        for width in settings["widths"]:
            rows += ends(dataset, width, settings)
        rows += spreads(pd.DataFrame([r for r in rows if r["quantity"].startswith("final")]))
        for width in settings["path_widths"]:
            rows += paths(dataset, width, settings)
    return tidy.from_rows(rows, CONDITIONS)


# ---- Copies: permuted and rescaled hidden units -------------------------------------------------


def random_network(activation, seed, width, depth, classes=10):
    """A network of the engine in float64 at a random point, biases off zero."""
    import torch

    from finicky.engine import streams
    from finicky.engine.network import Architecture, Network

    shape = Architecture(depth, "plain", activation, width, inputs=6, classes=classes)
    network = Network.initial(shape, [("he", seed)], torch.float64)
    random = streams.generator(seed, "minima")
    for bias in network.parameters.biases:
        bias.normal_(generator=random)
    return network


def copies(seed, trials):
    """Rows of the identities for one seed."""
    import torch

    random = np.random.default_rng([seed, 20])
    x = torch.tensor(random.standard_normal((9, 6)))
    worst = 0.0
    for activation in ("relu", "leaky_relu", "tanh", "sigmoid", "selu", "identity"):
        scaled, weights_only = 0.0, 0.0
        for trial in range(trials):
            width, depth = int(random.integers(2, 33)), int(random.choice([2, 4, 6]))
            network = random_network(activation, seed + 1000 * trial, width, depth)
            before = network.predict(x).numpy().copy()
            layers = of_run(network, 0)
            order = [random.permutation(width) for _ in range(depth - 1)]
            layer, factor = int(random.integers(depth - 1)), 2 ** random.uniform(-3, 3)
            for changed, kind in (
                (permuted(layers, order), "order"),
                (rescaled(layers, layer, factor), "scale"),
                (rescaled(layers, layer, factor, biases=False), "weights"),
            ):
                error = identities.relative_error(with_layers(network, changed, x), before)
                worst = max(worst, error) if kind == "order" else worst
                scaled = max(scaled, error) if kind == "scale" else scaled
                weights_only = max(weights_only, error) if kind == "weights" else weights_only
        where = {"activation": activation}
        yield where | {"quantity": "scaled_error", "value": scaled}
        yield where | {"quantity": "scaled_weights_error", "value": weights_only}
    yield {"quantity": "permuted_error", "value": worst}
    yield from counted(seed)


def of_run(network, run):
    """[(weights [in, out], biases [out]) of each layer] of one of a Network's runs: copies."""
    parts = network.parameters
    return [
        (w[run].clone(), b[run, 0].clone())
        for w, b in zip(parts.weights, parts.biases, strict=True)
    ]


def with_layers(network, layers, x):
    """What a network of one run says to x once it has these layers; it keeps them."""
    set_layers(network, 0, layers)
    return network.predict(x).numpy()


def set_layers(network, run, layers):
    """Give one of a Network's runs these layers."""
    parts = network.parameters
    for w, b, (weights, biases) in zip(parts.weights, parts.biases, layers, strict=True):
        w[run], b[run, 0] = weights, biases


def permuted(layers, orders):
    """The same layers with the units of hidden layer l in the order orders[l]."""
    changed = []
    for layer, (weights, biases) in enumerate(layers):
        if layer > 0:
            weights = weights[orders[layer - 1]]
        if layer < len(orders):
            weights, biases = weights[:, orders[layer]], biases[orders[layer]]
        changed.append((weights, biases))
    return changed


def rescaled(layers, layer, factor, biases=True):
    """The same layers with hidden layer `layer` scaled by `factor`, the next layer's weights by its
    inverse."""
    changed = list(layers)
    (weights, shift), (following, last) = layers[layer], layers[layer + 1]
    changed[layer] = (weights * factor, shift * factor if biases else shift)
    changed[layer + 1] = (following / factor, last)
    return changed


def counted(seed, m=3, hidden=2):
    """Rows of the count: every permutation of every layer, the output's too, of a small network
    whose m units per layer are all different; and, for tanh, every flip of signs.

    A flip negates a unit's weights, bias and outgoing weights.
    """
    import torch

    x = torch.tensor(np.random.default_rng([seed, 21]).standard_normal((5, 6)))
    network = random_network("tanh", seed, m, depth=4, classes=m)
    layers = of_run(network, 0)[:hidden] + of_run(network, 0)[-1:]

    def function(layers):
        h = x
        for weights, biases in layers[:-1]:
            h = torch.tanh(h @ weights + biases)
        return (h @ layers[-1][0] + layers[-1][1]).numpy()

    orders = [np.array(order) for order in itertools.permutations(range(m))]
    before, equal = function(layers), {}
    for chosen in itertools.product(orders, repeat=hidden + 1):
        changed = permuted(layers, chosen)  # the output layer's order too
        if identities.relative_error(function(changed), before) < 1e-10:
            equal[fingerprint(changed)] = changed
    claimed = {HIDDEN_LAYERS: math.factorial(m) ** hidden}
    claimed[ALL_LAYERS] = math.factorial(m) ** (hidden + 1)
    for layers_counted, number in claimed.items():
        error = abs(len(equal) / number - 1)
        yield {"quantity": "count_error", "layers_counted": layers_counted, "value": error}
    with_signs = {
        fingerprint(changed)
        for found in equal.values()
        for signs in itertools.product([1.0, -1.0], repeat=hidden * m)
        if identities.relative_error(
            function(changed := flipped(found, torch.tensor(signs).view(hidden, m))), before
        )
        < 1e-10
    }
    yield {"quantity": "tanh_copies", "value": len(with_signs) / claimed[HIDDEN_LAYERS]}


def fingerprint(layers):
    """The bytes of all weights and biases: equal only for equal settings."""
    return b"".join(part.contiguous().numpy().tobytes() for layer in layers for part in layer)


def flipped(layers, signs):
    """The same layers with unit j of hidden layer l multiplied by signs[l, j], and so its outgoing
    weights."""
    changed = []
    for layer, (weights, biases) in enumerate(layers):
        if layer > 0:
            weights = weights * signs[layer - 1][:, None]
        if layer < len(signs):
            weights, biases = weights * signs[layer], biases * signs[layer]
        changed.append((weights, biases))
    return changed


# ---- Spread: the same training from several starts ----------------------------------------------


def runs_of(settings, width, depth, seeds):
    """One run per seed: ReLU, He, momentum 0.9."""
    from finicky.experiments import training

    levels = {
        "epochs": settings["epochs"], "depth": depth, "optimizer": "momentum",
        "learning_rate": settings["learning_rate"], "batch_size": BATCH, "width": width,
    }  # fmt: skip
    return [training.run(settings, settings["images"], seed, **levels) for seed in seeds]


def ends(dataset, width, settings):
    """Rows of the final losses of networks of two layers: every seed's starts."""
    from finicky.experiments import training

    keys = list(itertools.product(settings["seeds"], range(settings["starts"])))
    runs = runs_of(settings, width, 2, [1000 * seed + start for seed, start in keys])
    trained = training.train(runs, dataset, splits=("train", "test"))
    for name in ("train", "test"):
        for (seed, start), end in zip(keys, trained, strict=True):
            where = {"seed": seed, "width": width, "start": start}
            where |= {"quantity": f"final_{name}_loss", "outcome": OUTCOMES[end["outcome"]]}
            yield where | {"value": end[f"{name}_loss"]}


def spreads(losses):
    """Rows of the spread over starts by width, and of its trend, for every seed.

    Starts that failed are left out; a trend needs two widths at which the others' losses differ.
    """
    by = ["quantity", "seed", "width"]
    of_starts = losses.groupby(by)["value"].agg(["std", "mean"]).reset_index()
    for (quantity, seed), rows in of_starts.groupby(["quantity", "seed"]):
        name, where = quantity.removeprefix("final_").removesuffix("_loss"), {"seed": seed}
        for row in rows.dropna().itertuples():
            size = {"width": row.width}
            yield where | size | {"quantity": f"{name}_spread", "value": row.std}
        rows = rows[rows["std"] > 0]
        if len(rows) < 2:
            continue
        slope = -np.polyfit(np.log2(rows["width"]), np.log2(rows["std"]), 1)[0]
        yield where | {"quantity": f"{name}_spread_falls", "value": slope}
        if name == "train":
            relative = np.log2(rows["std"] / rows["mean"])
            slope = -np.polyfit(np.log2(rows["width"]), relative, 1)[0]
            yield where | {"quantity": "relative_spread_falls", "value": slope}


# ---- Paths between two trained networks ---------------------------------------------------------


def architecture(width):
    """Of networks that are joined by paths."""
    from finicky.engine.network import Architecture

    return Architecture(4, "plain", "relu", width)


def paths(dataset, width, settings):
    """Rows of all paths between each seed's two networks of four layers.

    Where an end or the curve has failed, nobody knows (NaN).
    """
    import torch

    from finicky.engine import train as engine
    from finicky.engine.network import Network, Stacked
    from finicky.experiments import training

    seeds, shape = settings["seeds"], architecture(width)
    failed = torch.full((Stacked.row_length(shape),), torch.nan, device=settings["device"])
    trained = []
    for end in (0, 1):
        runs = runs_of(settings, width, 4, [1000 * seed + 500 + end for seed in seeds])
        rows = training.train(runs, dataset, splits=(), parameters=True)
        flat = [row["parameters"] for row in rows]
        trained.append(torch.stack([failed if row is None else row for row in flat]))
    a, b = trained
    matched = [
        matched_to(*pair, width, np.random.default_rng([seed, 22]))
        for seed, *pair in zip(seeds, a, b, strict=True)
    ]
    matched = torch.stack(matched)
    curve = bend(dataset, a, b, runs)  # sees the images in the order in which b did
    network = Network(shape, a.clone())
    for name, end, middle in (
        (STRAIGHT, b, (a + b) / 2), (MATCHED, matched, (a + matched) / 2), (CURVE, b, curve),
    ):  # fmt: skip
        shares = torch.linspace(0, 1, POINTS)
        seen = {"train": [], "test": []}
        for t in shares:
            network.parameters.flat.copy_(bezier(a, middle, end, t))
            for split, found in seen.items():
                found.append(engine.evaluate(network, dataset, getattr(dataset, split)))
        losses = np.array(seen["train"])[:, :, 0]
        accuracies = np.array(seen["test"])[:, :, 1]
        for run, seed in enumerate(seeds):
            where = {"width": width, "path": name, "seed": seed}
            yield from (where | row for row in along(shares, losses[:, run], accuracies[:, run]))


def along(shares, loss, accuracy):
    """Rows of one path: training loss and test accuracy (%) at these shares of the way."""
    if not np.isfinite(loss).all():
        for quantity in ("barrier", "stays_low", "accuracy_lost"):
            yield {"quantity": quantity, "value": math.nan, "outcome": "nan"}
        return
    barrier = loss.max() - max(loss[0], loss[-1])
    yield {"quantity": "barrier", "value": barrier}
    yield {"quantity": "stays_low", "value": float(barrier < LOW)}
    lost = min(accuracy[0], accuracy[-1]) - accuracy.min()
    yield {"quantity": "accuracy_lost", "value": lost}
    for t, value in zip(shares.tolist(), loss, strict=True):
        yield {"quantity": "path_loss", "share": round(t, 6), "value": value}


def bezier(a, middle, b, t):
    """(1 - t)² a + 2t(1 - t) middle + t² b: straight where middle is half way (Garipov et al. 2018,
    section 3)."""
    return (1 - t) ** 2 * a + 2 * t * (1 - t) * middle + t**2 * b


def matched_to(a, b, width, random):
    """The parameters b [P] with hidden units in the order in which they are nearest to a's [P]."""
    import torch

    from finicky.engine.network import Network

    if not torch.isfinite(torch.stack([a, b])).all():
        return b
    network = Network(architecture(width), torch.stack([a, b]).cpu())
    here, there = of_run(network, 0), of_run(network, 1)
    set_layers(network, 1, permuted(there, match(here, there, random)))
    return network.parameters.flat[1].to(b.device)


def match(a, b, random):
    """Orders of b's hidden units, a list of permutations, in which b's weights are nearest to a's:
    layer after layer by linear assignment until nothing changes (Ainsworth et al. 2023,
    algorithm 1). a, b: [(weights, biases) of each layer]."""
    from scipy.optimize import linear_sum_assignment

    orders = [np.arange(len(biases)) for _, biases in a[:-1]]
    for _ in range(100):
        changed = False
        for layer in random.permutation(len(orders)):
            free = [order if k != layer else slice(None) for k, order in enumerate(orders)]
            there = permuted(b, free)
            (w, bias), (out, _) = a[layer], a[layer + 1]
            (w_b, bias_b), (out_b, _) = there[layer], there[layer + 1]
            score = w.T @ w_b + bias[:, None] * bias_b + out @ out_b.T
            _, order = linear_sum_assignment(score.numpy(), maximize=True)
            changed |= bool((order != orders[layer]).any())
            orders[layer] = order
        if not changed:
            break
    return orders


def bend(dataset, a, b, runs):
    """The middle points [R, P] of the curves between the rows of a and b [R, P], trained so that
    the loss is low all along."""
    import torch

    from finicky.experiments import training

    curves = [Curve(*ends, run.seed) for *ends, run in zip(a, b, runs, strict=True)]
    trainings = [
        training.Training(run, start=curve.somewhere(), rule=curve)
        for run, curve in zip(runs, curves, strict=True)
    ]
    training.train(trainings, dataset, splits=())
    return torch.stack([curve.middle for curve in curves])


class Curve:
    """A curve between two networks' parameters a and b [P], and the update rule of a network that
    stands at a place on it, drawn anew for every step (Garipov et al. 2018, section 3).

    What is trained, by gradient descent with momentum, is the curve's middle point.
    """

    def __init__(self, a, b, seed):
        from finicky.engine import streams

        self.a, self.b, self.middle = a, b, (a + b) / 2
        self.state, self.random = {}, streams.generator(seed, "curve")

    def somewhere(self):
        """The curve's point [P] at a place t that is drawn now."""
        import torch

        self.t = torch.rand(1, generator=self.random).to(self.a)
        return bezier(self.a, self.middle, self.b, self.t)

    def __call__(self, parameters, gradient, state, learning_rate, step):
        # a curve of each run's own: k is 1; the gradient by the middle point
        gradient = 2 * self.t * (1 - self.t) * gradient[0]
        self.middle = update_rules.momentum(self.middle, gradient, self.state, learning_rate)
        parameters[0] = self.somewhere()
