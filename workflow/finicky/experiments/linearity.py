"""What does depth add without a non-linearity?

First as algebra: random deep linear networks against the one map that they multiply out to. Then as
training: networks without activation of several depths against a single layer, which is softmax
regression, each at its own best learning rate.
"""

import numpy as np
import pandas as pd
import torch
from torch import nn

from finicky.data import CHANCE
from finicky.engine import streams
from finicky.engine import train as engine
from finicky.engine.initializers import initial_weights
from finicky.engine.network import Architecture, Network
from finicky.engine.optimizers import OPTIMIZERS
from finicky.experiments import identities, pairing, tidy, training, tuning
from finicky.runs import OUTCOMES, Run

TITLE = "Deep linear networks"
READS = []
DATASETS = ["mnist"]
SETTINGS = {
    "trials": ("count", "random networks of the identities, per seed"),
    "images": ("images", "trained on"),
    "epochs": ("count", "of the trainings"),
    "depth": (
        {"type": "array", "uniqueItems": True,
         "items": {"anyOf": [{"const": 1},
                             {"type": "integer", "minimum": 2, "multipleOf": 2, "maximum": 1000}]},
         "allOf": [{"contains": {"const": 1}}, {"contains": {"const": 2}}]},
        "layers: 1, which the others are compared with, 2, which ReLU is compared at, and more",
    ),
    "rates": ("rates_by_optimizer", "of which each cell takes the best"),
}  # fmt: skip
QUANTITIES = {
    "one_linear_map": ("", "largest relative error: layer after layer against one matrix"),
    "one_affine_map": ("", "the same with biases, against one matrix and one bias"),
    "engine_is_affine": ("", "the same for the engine's network without activation"),
    "test_accuracy": ("%", "test accuracy of each depth at its own best learning rate"),
    "deeper_minus_one_layer": ("pp", "test accuracy: a linear network of this depth minus one "
                               "layer, each at its own best learning rate"),
    "relu_minus_identity": ("pp", "test accuracy: ReLU minus no activation, two layers, each at "
                            "its own best learning rate"),
}  # fmt: skip
CONDITIONS = {
    "activation": "level",
    "depth": "integer",
    "optimizer": "level",
    "tuned_rate": "number",
    "edge": "boolean",
}
BUDGET = {
    "{images} images of MNIST, {epochs} epochs": [
        "test_accuracy",
        "deeper_minus_one_layer",
        "relu_minus_identity",
    ],
}
STARTS = {"identity": "lecun", "relu": "he"}  # the initialiser meant for each activation
CLASSES = 10


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, condition and seed; QUANTITIES says what each number is."""
    trained = best(train(settings), settings["rates"])
    rows = [
        {"quantity": quantity, "seed": seed, "value": error}
        for seed in settings["seeds"]
        for quantity, error in algebra(np.random.default_rng(seed), seed, settings["trials"])
    ]
    linear = trained[trained["activation"] == "identity"]
    across = ["depth", "learning_rate"]
    deeper = pairing.pair(linear[linear["depth"] > 1], linear[linear["depth"] == 1], across)
    two = trained[trained["depth"] == 2]
    across = ["activation", "init", "learning_rate"]
    relu = pairing.pair(
        two[two["activation"] == "relu"], two[two["activation"] == "identity"], across
    )
    named = {"depth_a": "depth", "learning_rate_a": "tuned_rate", "activation_a": "activation"}
    trainings = tidy.from_quantities(
        {
            "test_accuracy": tidy.one_number(trained, "test_accuracy"),
            "deeper_minus_one_layer": with_edge(deeper.rename(columns=named), settings["rates"]),
            "relu_minus_identity": with_edge(relu.rename(columns=named), settings["rates"]),
        },
        CONDITIONS,
    )
    return pd.concat([tidy.from_rows(rows, CONDITIONS), trainings], ignore_index=True)


# ---- Algebra ------------------------------------------------------------------------------------


def algebra(random: np.random.Generator, seed: int, trials: int):
    """Yields (quantity, largest relative error over the trials) of the three identities."""
    plain, biased = 0.0, 0.0
    for _ in range(trials):
        weights, biases = random_network(random)
        x = random.standard_normal((7, weights[0].shape[1]))
        none = [np.zeros_like(bias) for bias in biases]
        plain = max(plain, collapse_error(weights, none, x))
        biased = max(biased, collapse_error(weights, biases, x))
    yield "one_linear_map", plain
    yield "one_affine_map", biased
    yield "engine_is_affine", engine_error(seed)


def random_network(random) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Weights [out, in] and biases [out] of 2 to 30 layers, widths 1 to 40, scales 1/8 to 8."""
    widths = random.integers(1, 41, random.integers(3, 32))
    weights, biases = [], []
    for fan_in, fan_out in zip(widths[:-1], widths[1:], strict=True):
        scale = 2 ** random.uniform(-3, 3)
        weights.append(scale * random.standard_normal((fan_out, fan_in)) / np.sqrt(fan_in))
        biases.append(scale * random.standard_normal(fan_out))
    return weights, biases


def collapse(weights, biases) -> tuple[np.ndarray, np.ndarray]:
    """The one map that a linear network is: W = W_L ⋯ W_1 and b = b_L + W_L b_(L-1) + ⋯."""
    whole, shift = weights[0], biases[0]
    for weight, bias in zip(weights[1:], biases[1:], strict=True):
        whole, shift = weight @ whole, weight @ shift + bias
    return whole, shift


def collapse_error(weights, biases, x) -> float:
    """Relative error between layer after layer and the one map, for inputs x [examples, in]."""
    h = x
    for weight, bias in zip(weights, biases, strict=True):
        h = h @ weight.T + bias
    whole, shift = collapse(weights, biases)
    return identities.relative_error(h, x @ whole.T + shift)


def engine_error(seed: int) -> float:
    """The same for the engine's network of ten layers without activation, biases off zero."""
    architecture = Architecture(depth=10, block="plain", activation="identity", width=32)
    network = Network.initial(architecture, [("lecun", seed)], torch.float64)
    random = streams.generator(seed, "linearity")
    for bias in network.parameters.biases:
        bias.normal_(generator=random)
    x = torch.randn(7, architecture.inputs, dtype=torch.float64, generator=random)
    weights = [weight[0].T.numpy() for weight in network.parameters.weights]
    biases = [bias[0, 0].numpy() for bias in network.parameters.biases]
    whole, shift = collapse(weights, biases)
    return identities.relative_error(network.predict(x)[0].T.numpy(), x.numpy() @ whole.T + shift)


# ---- Training -----------------------------------------------------------------------------------


def train(settings: dict) -> pd.DataFrame:
    """One row per run, as `pairing` wants them: levels, final accuracies in %, outcome."""
    dataset = training.prepared("mnist", settings, settings["images"])
    cells = [("identity", depth) for depth in settings["depth"]] + [("relu", 2)]
    rows = []
    for optimizer, rates in settings["rates"].items():
        runs = [
            training.run(
                settings, settings["images"], seed, epochs=settings["epochs"], depth=depth,
                activation=activation, init=STARTS[activation], optimizer=optimizer,
                learning_rate=rate,
            )
            for activation, depth in cells
            for seed in settings["seeds"]
            for rate in rates
        ]  # fmt: skip
        rows += training.train([run for run in runs if run.depth > 1], dataset)
        single = [run for run in runs if run.depth == 1]
        rows += single_layer_rows(single, dataset, softmax_regression(single, dataset))
    return pd.DataFrame(rows)


@torch.no_grad()
def softmax_regression(runs: list[Run], dataset: engine.Dataset) -> torch.Tensor:
    """Train single layers, of one optimizer, as the engine trains deeper networks; returns them,
    [R, 785, 10], the bias as the last row.

    This loop is our own because the engine's networks begin at two layers; start, order,
    normalisation, batches and optimizers are the engine's.
    """
    one, images = runs[0], len(dataset.train.labels)
    everything, labels = with_one(dataset, dataset.train), dataset.train.labels
    layers = torch.zeros(len(runs), everything.shape[1], CLASSES, device=one.device)
    for layer, run in zip(layers, runs, strict=True):
        layer[:-1] = initial_weights(run.init, run.seed, 0, len(layer) - 1, CLASSES)
    optimizer = OPTIMIZERS[one.optimizer]
    flat = layers.view(len(runs), 1, -1)  # an optimizer wants [k, P]; here each run has its turn
    states = [{name: torch.zeros_like(row) for name in optimizer.state} for row in flat]
    step = torch.zeros((), device=one.device)
    for epoch in range(1, one.epochs + 1):
        orders = [streams.permutation(images, run.seed, "order", epoch) for run in runs]
        for index in torch.stack(orders).to(one.device).split(one.batch_size, dim=1):
            step += 1
            x = everything[index]
            delta = torch.softmax(x @ layers, -1)
            delta -= nn.functional.one_hot(labels[index], CLASSES)
            gradients = x.mT @ delta / index.shape[1]
            gradients = gradients.reshape(flat.shape)
            for row, gradient, state, run in zip(flat, gradients, states, runs, strict=True):
                optimizer.update(row, gradient, state, run.learning_rate, step)
    return layers


def single_layer_rows(runs, dataset, layers) -> list[dict]:
    """Rows as `training.train` makes them, of trained single layers [R, 785, 10]; a layer that is
    not finite scores chance."""
    splits = {"validation": dataset.validation, "test": dataset.test}
    images = {name: with_one(dataset, split) for name, split in splits.items()}
    rows = []
    for run, layer in zip(runs, layers, strict=True):
        finite = bool(layer.isfinite().all())
        row = run.row() | {"outcome": OUTCOMES.index("finite" if finite else "nan")}
        for name, split in splits.items():
            right = (images[name] @ layer).argmax(1) == split.labels
            row[f"{name}_accuracy"] = 100 * float(right.float().mean()) if finite else CHANCE
        rows.append(row)
    return rows


def with_one(dataset: engine.Dataset, split: engine.Split) -> torch.Tensor:
    """A split's images, normalised, and a column of ones for the bias: [images, 785]."""
    images = dataset.normalise(split.images)
    return torch.cat([images, torch.ones_like(images[:, :1])], 1)


def best(runs: pd.DataFrame, rates: dict) -> pd.DataFrame:
    """For each cell and seed the run at the rate that is best on the other seeds' validation
    images; with one seed there are no others, and a single rate needs no choice."""
    if all(len(ladder) == 1 for ladder in rates.values()):
        chosen = runs
    else:
        chosen = tuning.best_by_other_seeds(runs, "learning_rate", by="validation_accuracy")
    return with_edge(chosen.assign(tuned_rate=chosen["learning_rate"]), rates)


def with_edge(rows: pd.DataFrame, rates: dict) -> pd.DataFrame:
    """Say by `edge` whether the tuned rate is the lowest or highest on its list."""
    ends = [
        rate in (min(rates[optimizer]), max(rates[optimizer]))
        for optimizer, rate in zip(rows["optimizer"], rows["tuned_rate"], strict=True)
    ]
    return rows.assign(edge=ends)
