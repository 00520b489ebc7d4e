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

from finicky.experiments import arms, identities

TITLE = "Minima: how alike, how many copies, how connected"
ANSWERS = ["C019", "C020", "C021", "C022"]
READS = []
DATASETS = ["mnist"]
QUANTITIES = {
    "train_spread_falls": ("halvings", "halvings of the standard deviation of the final training "
                           "loss over starts, a doubling of the width"),
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
FIGURES = {
    "F06": "Left: losses at the end of equal trainings from different starts, by width; training "
    "losses fall to zero together, so their spread has to. Middle and right: training loss between "
    "two trained networks of three hidden layers: on the straight line, on that line after one "
    "network's units are put into the order that fits the other's best, and on a curve with one "
    "bend that is trained to be low. The claim is the band: a path that stays in it.",
}

CONDITIONS = {
    "width": "Int64",
    "start": "Int64",
    "activation": "str",
    "reading": "str",
    "path": "str",
    "share": "float64",
}
LOW = math.log(10) / 20  # nats: a twentieth of the loss of a guess
POINTS = 31  # on a path
HIDDEN_LAYERS, ALL_LAYERS = "L hidden layers", "L layers of weights"
STRAIGHT, MATCHED, CURVE = "straight", "straight after matching", "trained curve"
BATCH = 50


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row a quantity, condition and seed; QUANTITIES says what each number is.

    settings: seeds, data, device; images, test_images, epochs, learning_rate; widths and starts (a
    seed) for the spread; path_widths; trials (random networks an identity).
    """
    import torch

    from finicky.engine import train as engine

    engine.prepare()
    dataset = engine.Dataset("mnist", settings["data"], settings["images"], settings["device"])
    count = settings["test_images"]
    dataset.test = engine.Split(dataset.test.images[:count], dataset.test.labels[:count])
    rows = []
    with torch.no_grad():
        for seed in settings["seeds"]:
            rows += [row | {"seed": seed} for row in copies(seed, settings["trials"])]
        for width in settings["widths"]:
            rows += ends(dataset, width, settings)
        rows += spreads(pd.DataFrame([r for r in rows if r["quantity"].startswith("final")]))
        for width in settings["path_widths"]:
            rows += paths(dataset, width, settings)
    return arms.tidy(rows, CONDITIONS)


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
    """[(weights [in, out], biases [out]) a layer] of one of a Network's runs: copies."""
    parts = network.parameters
    return [
        (w[run].clone(), b[run, 0].clone())
        for w, b in zip(parts.weights, parts.biases, strict=True)
    ]


def with_layers(network, layers, x):
    """What a network of one run says to x once it has these layers; it keeps them."""
    parts = network.parameters
    for w, b, (weights, biases) in zip(parts.weights, parts.biases, layers, strict=True):
        w[0], b[0, 0] = weights, biases
    return network.predict(x).numpy()


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
    whose m units a layer are all different; and, for tanh, every flip of signs.

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
    for reading, number in claimed.items():
        error = abs(len(equal) / number - 1)
        yield {"quantity": "count_error", "reading": reading, "value": error}
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
    """A run a seed: ReLU, He, momentum 0.9."""
    from finicky.runs import Run

    return [
        Run(
            dataset="mnist", images=settings["images"], epochs=settings["epochs"], depth=depth,
            block="plain", activation="relu", init="he", optimizer="momentum",
            learning_rate=settings["learning_rate"], batch_size=BATCH, width=width, seed=seed,
            device=settings["device"],
        )
        for seed in seeds
    ]  # fmt: skip


def train(batch, epochs):
    """Train a fused batch for so many epochs, whatever comes out."""
    for epoch in range(1, epochs + 1):
        for index, targets in batch.batches(epoch):
            batch.step(index, targets)
        batch.take_losses()


def ends(dataset, width, settings):
    """Rows of the final losses of networks of two layers: every seed's starts."""
    from finicky.engine import train as engine

    keys = list(itertools.product(settings["seeds"], range(settings["starts"])))
    runs = runs_of(settings, width, 2, [1000 * seed + start for seed, start in keys])
    batch = engine.FusedBatch(runs, dataset, settings["device"])
    train(batch, settings["epochs"])
    for name in ("train", "test"):
        losses = engine.evaluate(batch.network, dataset, getattr(dataset, name))
        for (seed, start), (loss, _) in zip(keys, losses, strict=True):
            outcome = "finite" if math.isfinite(loss) else "nan"
            where = {"seed": seed, "width": width, "start": start, "outcome": outcome}
            yield where | {"quantity": f"final_{name}_loss", "value": loss}


def spreads(losses):
    """Rows of the spread over starts by width, and of its trend, for every seed."""
    by = ["quantity", "seed", "width"]
    of_starts = losses.groupby(by)["value"].agg(["std", "mean"]).reset_index()
    for (quantity, seed), rows in of_starts.groupby(["quantity", "seed"]):
        name, where = quantity.removeprefix("final_").removesuffix("_loss"), {"seed": seed}
        for row in rows.itertuples():
            size = {"width": row.width}
            yield where | size | {"quantity": f"{name}_spread", "value": row.std}
        slope = -np.polyfit(np.log2(rows["width"]), np.log2(rows["std"]), 1)[0]
        yield where | {"quantity": f"{name}_spread_falls", "value": slope}
        if name == "train":
            relative = np.log2(rows["std"] / rows["mean"])
            slope = -np.polyfit(np.log2(rows["width"]), relative, 1)[0]
            yield where | {"quantity": "relative_spread_falls", "value": slope}


# ---- Paths between two trained networks ---------------------------------------------------------


def paths(dataset, width, settings):
    """Rows of all paths between two networks of four layers a seed."""
    import torch

    from finicky.engine import train as engine

    seeds, device = settings["seeds"], settings["device"]
    trained = []
    for end in (0, 1):
        runs = runs_of(settings, width, 4, [1000 * seed + 500 + end for seed in seeds])
        batch = engine.FusedBatch(runs, dataset, device)
        train(batch, settings["epochs"])
        trained.append(batch.network)
    a, b = (network.parameters.flat.clone() for network in trained)
    trained[1].parameters.flat.copy_(b)
    for run in range(len(seeds)):
        here, there = (of_run(network, run) for network in trained)
        parts = trained[1].parameters
        matched = permuted(there, match(here, there, np.random.default_rng([seeds[run], 22])))
        for w, bias, (weights, biases) in zip(parts.weights, parts.biases, matched, strict=True):
            w[run], bias[run, 0] = weights, biases
    other = trained[1].parameters.flat.clone()
    curve = bend(dataset, a, b, runs, device)
    for name, end, middle in (
        (STRAIGHT, b, (a + b) / 2), (MATCHED, other, (a + other) / 2), (CURVE, b, curve),
    ):  # fmt: skip
        shares = torch.linspace(0, 1, POINTS)
        seen = {"train": [], "test": []}
        for t in shares:
            trained[0].parameters.flat.copy_(bezier(a, middle, end, t))
            for split, found in seen.items():
                found.append(engine.evaluate(trained[0], dataset, getattr(dataset, split)))
        losses = np.array(seen["train"])[:, :, 0]
        accuracies = np.array(seen["test"])[:, :, 1]
        for run, seed in enumerate(seeds):
            where = {"width": width, "path": name, "seed": seed}
            loss, accuracy = losses[:, run], accuracies[:, run]
            barrier = loss.max() - max(loss[0], loss[-1])
            lost = min(accuracy[0], accuracy[-1]) - accuracy.min()
            yield where | {"quantity": "barrier", "value": barrier}
            yield where | {"quantity": "stays_low", "value": float(barrier < LOW)}
            yield where | {"quantity": "accuracy_lost", "value": lost}
            for t, value in zip(shares.tolist(), loss, strict=True):
                yield where | {"quantity": "path_loss", "share": round(t, 6), "value": value}


def bezier(a, middle, b, t):
    """(1 - t)² a + 2t(1 - t) middle + t² b: straight where middle is half way (Garipov et al. 2018,
    section 3)."""
    return (1 - t) ** 2 * a + 2 * t * (1 - t) * middle + t**2 * b


def match(a, b, random):
    """Orders of b's hidden units, a list of permutations, in which b's weights are nearest to a's:
    layer after layer by linear assignment until nothing changes (Ainsworth et al. 2023,
    algorithm 1). a, b: [(weights, biases) a layer]."""
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


def bend(dataset, a, b, runs, device):
    """The middle points of the curves between the rows of a and b, [R, P], trained so that the loss
    is low at a place t drawn anew for every step (Garipov et al. 2018, section 3)."""
    import torch

    from finicky.engine import streams
    from finicky.engine import train as engine

    class Curve(engine.FusedBatch):
        """Evaluates its networks on the curve; what learns is the middle point."""

        def __init__(self):
            super().__init__(runs, dataset, device)
            self.middle, self.velocity = (a + b) / 2, torch.zeros_like(a)
            self.random = [streams.generator(run.seed, "curve") for run in runs]

        def step(self, index, targets):
            drawn = [torch.rand(1, generator=random) for random in self.random]
            self.t = torch.stack(drawn).to(a)
            self.network.parameters.flat.copy_(bezier(a, self.middle, b, self.t))
            super().step(index, targets)

        def learn(self, buffers):
            self.network.backward(buffers)
            gradient = 2 * self.t * (1 - self.t) * self.network.gradients.flat
            self.velocity.mul_(0.9).add_(gradient)
            self.middle.sub_(self.runs[0].learning_rate * self.velocity)

    curve = Curve()
    train(curve, runs[0].epochs)
    return curve.middle


# ---- Drawing ------------------------------------------------------------------------------------


def draw(table: pd.DataFrame) -> dict:
    """F06: figure id to (matplotlib Figure, data behind it)."""
    from finicky.page import figures

    along = figures.summary(table[table["quantity"] == "path_loss"], ["width", "path", "share"])
    losses = table[table["quantity"].isin(["final_train_loss", "final_test_loss"])]
    final = figures.summary(losses, ["quantity", "width"])
    data = pd.concat([final, along.assign(quantity="path_loss")], ignore_index=True)
    widths = sorted(set(along["width"]))
    colours = {STRAIGHT: figures.GREY, MATCHED: figures.PLUM, CURVE: figures.BLUE}
    names = {
        STRAIGHT: ("straight", 0.6, 0.55),
        MATCHED: ("straight after\nmatching", 0.4, 0.6),
        CURVE: ("trained\ncurve", 0.16, 0.7),
    }
    leader = {"arrowstyle": "-", "linewidth": 0.5, "color": figures.INK, "alpha": 0.5}
    with figures.style():
        fig, axes = figures.panels(
            [2.5], columns=3, left=0.45, right=0.85, between=(0.75, 0), top=0.5
        )
        spread, *between = axes[0]
        spread.set_title("Final loss of every start\n(nats)", fontsize=8.5)
        for quantity, colour, name, nudge in (
            ("final_train_loss", figures.BLUE, "training", 0.94),
            ("final_test_loss", figures.VERMILLION, "test", 1.06),
        ):
            rows = losses[losses["quantity"] == quantity]
            spread.plot(rows["width"] * nudge, rows["value"], "o", color=colour, markersize=2.5,
                        alpha=0.5, markeredgewidth=0)  # fmt: skip
            middle = final[final["quantity"] == quantity]
            spread.plot(middle["width"] * nudge, middle["median"], color=colour, linewidth=0.8)
            spread.annotate(name, tuple(middle[["width", "median"]].iloc[-1]), xytext=(6, 0),
                            textcoords="offset points", fontsize=7.5, va="center",
                            annotation_clip=False)  # fmt: skip
        ticks = sorted(set(losses["width"]))
        figures.log_axis(spread, "x", 0.8 * ticks[0], 1.25 * ticks[-1], ticks)
        low, high = losses["value"].min(), losses["value"].max()
        decades = [digit * 10.0**power for power in range(-5, 2) for digit in (1, 3)]
        figures.log_axis(spread, "y", 0.8 * low, 1.3 * high, decades)
        spread.set_xlabel("hidden units")
        for ax, width in zip(between, (widths[0], widths[-1]), strict=True):
            mine = along[along["width"] == width]
            ax.set_title(f"Training loss on a path,\nwidth {width} (nats)", fontsize=8.5)
            edge = mine[mine["share"].isin([0, 1])]["median"].max() + LOW
            ax.axhspan(0, edge, color=figures.INK, alpha=0.08, linewidth=0)
            for path, colour in colours.items():
                rows = mine[mine["path"] == path]
                ax.fill_between(rows["share"], rows["low"], rows["high"], color=colour, alpha=0.2,
                                linewidth=0)  # fmt: skip
                ax.plot(rows["share"], rows["median"], color=colour)
                if width == widths[-1]:
                    words, height, share = names[path]
                    point = rows.iloc[(rows["share"] - share).abs().argmin()]
                    ax.annotate(
                        words, tuple(point[["share", "median"]]), (1.06, height), fontsize=7.5,
                        textcoords=ax.transAxes, va="center", annotation_clip=False,
                        arrowprops=leader,
                    )  # fmt: skip
            ax.set(xlim=(0, 1), xlabel="share of the way")
            ax.set_ylim(0, 1.5 * mine["median"].max())
            ax.set_xticks([0, 0.5, 1])
        figures.footer(fig, along)
        barriers = table[table["quantity"] == "barrier"].groupby(["width", "path"])["value"]
        fig.set_label(
            "Final losses by width; training loss on paths between two networks. Median barriers: "
            + ", ".join(
                f"{value:.2g} nats {path} (width {width})"
                for (width, path), value in barriers.median().items()
            )
            + "."
        )
    return {"F06": (fig, data)}
