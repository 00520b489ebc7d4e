"""What does depth add without a non-linearity?

First as algebra: random deep linear networks against the one map that they multiply out to. Then as
training: networks without activation of several depths against a single layer, which is softmax
regression, each at its own best learning rate.
"""

from dataclasses import asdict

import numpy as np
import pandas as pd
import torch
from torch import nn

from finicky import machine
from finicky import runs as planning
from finicky.engine import streams
from finicky.engine import train as engine
from finicky.engine.initializers import initial_weights
from finicky.engine.network import Architecture, Network
from finicky.engine.optimizers import OPTIMIZERS
from finicky.experiments import arms, identities
from finicky.runs import Run

TITLE = "Deep linear networks"
ANSWERS = ["C033", "C034"]
READS = []
DATASETS = ["mnist"]
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
FIGURES = {}

# tuned_rate: the rate of the (deeper, ReLU) arm; edge: whether it ends the list of rates
CONDITIONS = {
    "activation": "str",
    "depth": "Int64",
    "optimizer": "str",
    "tuned_rate": "float64",
    "edge": "boolean",
}
STARTS = {"identity": "lecun", "relu": "he"}  # the initialiser meant for each activation
CLASSES = 10


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row a quantity, condition and seed; QUANTITIES says what each number is.

    settings: {"trials": random networks a seed, "images", "epochs": of the trainings, "depth":
    list, of which 1 is the single layer, "rates": {optimizer: learning rates}}.
    """
    engine.prepare()
    rows = [
        {"quantity": quantity, "seed": seed, "value": error}
        for seed in settings["seeds"]
        for quantity, error in algebra(np.random.default_rng(seed), seed, settings["trials"])
    ]
    trained = best(train(settings), settings["rates"])
    linear = trained[trained["activation"] == "identity"]
    across = ["depth", "learning_rate"]
    deeper = arms.pair(linear[linear["depth"] > 1], linear[linear["depth"] == 1], across)
    two = trained[trained["depth"] == 2]
    across = ["activation", "init", "learning_rate"]
    relu = arms.pair(two[two["activation"] == "relu"], two[two["activation"] == "identity"], across)
    named = {"depth_a": "depth", "learning_rate_a": "tuned_rate", "activation_a": "activation"}
    trainings = arms.measured(
        {
            "test_accuracy": arms.each(trained, "test_accuracy"),
            "deeper_minus_one_layer": with_edge(deeper.rename(columns=named), settings["rates"]),
            "relu_minus_identity": with_edge(relu.rename(columns=named), settings["rates"]),
        },
        CONDITIONS,
    )
    return pd.concat([arms.tidy(rows, CONDITIONS), trainings], ignore_index=True)


def draw(table: pd.DataFrame) -> dict:
    """No figure."""
    return {}


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
    """A row a run, as `arms` wants them: levels, final accuracies in %, outcome."""
    dataset = engine.Dataset("mnist", settings["data"], settings["images"], settings["device"])
    rows = []
    for optimizer, rates in settings["rates"].items():
        kinds = [("identity", depth) for depth in settings["depth"]] + [("relu", 2)]
        for activation, depth in kinds:
            runs = [
                Run(
                    dataset="mnist", images=settings["images"], epochs=settings["epochs"],
                    depth=depth, block="plain", activation=activation, init=STARTS[activation],
                    optimizer=optimizer, learning_rate=rate, batch_size=64, width=128, seed=seed,
                    device=settings["device"],
                )
                for seed in settings["seeds"]
                for rate in rates
            ]  # fmt: skip
            if depth == 1:
                rows += single_layer_rows(runs, dataset, softmax_regression(runs, dataset))
                continue
            for batch in planning.fused_batches(runs, machine.l2_cache_bytes()):
                for run, record in zip(
                    batch, engine.train(batch, dataset, settings["device"]), strict=True
                ):
                    rows.append(row(run, record["outcome"], record["curves"][-1]))
    return pd.DataFrame(rows)


def row(run: Run, outcome: str, scores: dict) -> dict:
    """A run's levels and scores; a run whose loss became inf or NaN scores chance."""
    accuracies = {name: scores[name] for name in ("validation_accuracy", "test_accuracy")}
    if outcome in ("inf", "nan"):
        accuracies = dict.fromkeys(accuracies, arms.CHANCE)
    return asdict(run) | accuracies | {"outcome": arms.OUTCOMES.index(outcome)}


@torch.no_grad()
def softmax_regression(runs: list[Run], dataset: engine.Dataset) -> torch.Tensor:
    """Train single layers as the engine trains deeper networks; returns them, [R, 785, 10], the
    bias as the last row.

    The engine's networks begin at two layers; start, order, normalisation, batches and optimizers
    are its own.
    """
    one, images = runs[0], len(dataset.train.labels)
    everything, labels = with_one(dataset, dataset.train), dataset.train.labels
    layers = torch.zeros(len(runs), everything.shape[1], CLASSES, device=one.device)
    for layer, run in zip(layers, runs, strict=True):
        layer[:-1] = initial_weights(run.init, run.seed, 0, len(layer) - 1, CLASSES)
    optimizer = OPTIMIZERS[one.optimizer]
    states = [{n: torch.zeros_like(layer.view(-1)) for n in optimizer.state} for layer in layers]
    step = 0
    for epoch in range(1, one.epochs + 1):
        orders = [streams.permutation(images, run.seed, "order", epoch) for run in runs]
        for index in torch.stack(orders).to(one.device).split(one.batch_size, dim=1):
            step += 1
            x = everything[index]
            delta = torch.softmax(x @ layers, -1)
            delta -= nn.functional.one_hot(labels[index], CLASSES)
            gradients = x.mT @ delta / index.shape[1]
            for layer, gradient, state, run in zip(layers, gradients, states, runs, strict=True):
                flat = layer.view(-1), gradient.flatten()
                optimizer.update(*flat, state, run.learning_rate, step)
    return layers


def single_layer_rows(runs, dataset, layers) -> list[dict]:
    """Rows as `train` makes them, of trained single layers."""
    splits = {"validation": dataset.validation, "test": dataset.test}
    images = {name: with_one(dataset, split) for name, split in splits.items()}
    rows = []
    for run, layer in zip(runs, layers, strict=True):
        scores = {
            f"{name}_accuracy": 100
            * float(((images[name] @ layer).argmax(1) == split.labels).float().mean())
            for name, split in splits.items()
        }
        rows.append(row(run, "finite" if layer.isfinite().all() else "nan", scores))
    return rows


def with_one(dataset: engine.Dataset, split: engine.Split) -> torch.Tensor:
    """A split's images, normalised, and a column of ones for the bias: [images, 785]."""
    images = torch.empty_like(split.images, dtype=torch.float32)
    images = dataset.normalise(split.images, images)
    return torch.cat([images, torch.ones_like(images[:, :1])], 1)


def best(runs: pd.DataFrame, rates: dict) -> pd.DataFrame:
    """For each cell and seed the run at the rate that is best on the other seeds' validation
    images; with one seed there are no others, and a single rate needs no choice."""
    if all(len(ladder) == 1 for ladder in rates.values()):
        chosen = runs
    else:
        chosen = arms.best_by_other_seeds(runs, "learning_rate", by="validation_accuracy")
    return with_edge(chosen.assign(tuned_rate=chosen["learning_rate"]), rates)


def with_edge(rows: pd.DataFrame, rates: dict) -> pd.DataFrame:
    """Say by `edge` whether the tuned rate is the lowest or highest on its list."""
    ends = [
        rate in (min(rates[optimizer]), max(rates[optimizer]))
        for optimizer, rate in zip(rows["optimizer"], rows["tuned_rate"], strict=True)
    ]
    return rows.assign(edge=ends)
