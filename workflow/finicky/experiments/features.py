"""Does every layer make a better representation? Linear probes through trained networks.

A probe is logistic regression on what a layer puts out, for the images that the network was trained
on, tested on the test images (Alain and Bengio 2016, arXiv:1610.01644). The same is done before the
training, with random weights.
"""

import numpy as np
import pandas as pd
import torch

from finicky.data import CHANCE
from finicky.engine import train as engine
from finicky.engine.network import Architecture, Network
from finicky.experiments import tidy, training
from finicky.runs import OUTCOMES

TITLE = "Features and linear probes"
READS = []
DATASETS = ["mnist", "fashion_mnist"]
SETTINGS = {
    "datasets": ("datasets", "data sets"),
    "depth": ("depths", "layers of the networks"),
    "images": ("images", "training images"),
    "epochs": ("epochs", "passes over them"),
    "probe_images": (
        {"type": "integer", "minimum": 50, "maximum": 55000},  # fewer may be of one class
        "training images that the probes are fitted to",
    ),
}
LIMITS = {
    "probe_images <= images": "some of the training images",
}
QUANTITIES = {
    "probe": ("%", "test accuracy of a linear probe on a layer of the trained network; 0: pixels"),
    "probe_untrained": ("%", "the same with the weights of the start"),
    "better_than_before": ("pp", "linear probe on a layer minus that on the layer before"),
    "better_than_before_untrained": ("pp", "the same with the weights of the start"),
    "better_than_pixels": ("pp", "linear probe on the last hidden layer minus that on pixels"),
    "last_minus_best": ("pp", "linear probe on the last hidden layer minus the best layer's"),
    "network": ("%", "the network's own test accuracy"),
    "filter": ("", "weights of some units of the first layer, by pixel"),
}  # fmt: skip
CONDITIONS = {
    "dataset": "level",
    "depth": "integer",
    "layer": "integer",
    "unit": "integer",
    "pixel": "integer",
    "trained": "boolean",
}
BUDGET = {
    "{images} images of {dataset}, {epochs} epochs": [
        "probe",
        "better_than_before",
        "better_than_pixels",
        "last_minus_best",
        "network",
        "filter",
    ],
}
SIDE = 28
SHOWN = 12  # units in the figure
CHUNK = 500  # images that go through the networks at once
PENALTY = 0.1  # scikit-learn's C, for inputs of variance 1
ITERATIONS = 30


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, condition and seed; QUANTITIES says what each number is."""
    rows = []
    for name in settings["datasets"]:
        dataset = training.prepared(name, settings, settings["images"])
        probes = Probes(dataset, settings["probe_images"])
        for depth in settings["depth"]:
            found = [*of_networks(dataset, name, depth, probes, settings)]
            rows += [row | {"dataset": name, "depth": depth} for row in found]
    return tidy.from_rows(rows, CONDITIONS)


def of_networks(dataset, name, depth, probes, settings):
    """Yields the rows of one depth, without data set and depth. The layers of a network that became
    NaN say nothing: their probes score chance."""
    levels = {"dataset": name, "depth": depth, "epochs": settings["epochs"]}
    runs = [
        training.run(settings, settings["images"], seed, **levels) for seed in settings["seeds"]
    ]
    one = runs[0]
    shape = Architecture(depth, one.block, one.activation, one.width)
    starts = Network.initial(shape, [(run.init, run.seed) for run in runs], device=one.device)
    ends = training.train(runs, dataset, splits=("test",), parameters=True)
    filters = []
    for place, (run, end) in enumerate(zip(runs, ends, strict=True)):
        start = starts.keep([place])
        untrained = probes.scores(start)
        trained = [probes.of_pixels] + [CHANCE] * (depth - 1)
        if end["parameters"] is not None:
            network = Network(shape, end["parameters"][None])
            trained = probes.scores(network)
            if run is one and depth == settings["depth"][0]:
                weights = {False: first_weights(start), True: first_weights(network)}
                filters = [*filter_rows(weights, run.seed)]
        found = [*comparisons(trained, untrained)]
        found.append({"quantity": "network", "value": end["test_accuracy"]})
        yield from (row | {"seed": run.seed, "outcome": OUTCOMES[end["outcome"]]} for row in found)
    yield from filters


# ---- Representations and probes -----------------------------------------------------------------


class Probes:
    """Linear probes of networks' layers, fitted to the first `count` training images of a data set
    and tested on its test images."""

    def __init__(self, dataset: engine.Dataset, count: int):
        self.dataset, self.splits = dataset, [training.first(dataset.train, count), dataset.test]
        self.labels = [split.labels.cpu().numpy() for split in self.splits]
        pixels = [as_floats(dataset, split).cpu().numpy() for split in self.splits]
        self.of_pixels = probe(*pixels, *self.labels)

    def scores(self, network: Network) -> list[float]:
        """Accuracies in % of the probes of a single network, by layer, from the pixels on."""
        seen = [representations(network, self.dataset, split) for split in self.splits]
        of_layers = [probe(*layer, *self.labels) for layer in zip(*seen, strict=True)]
        return [self.of_pixels, *of_layers]


def as_floats(dataset, split) -> torch.Tensor:
    """A split's images [N, 784], normalised."""
    pixels = split.images
    return dataset.normalise(pixels)


@torch.no_grad()
def representations(network, dataset, split) -> list[np.ndarray]:
    """What each hidden layer of a single network puts out: [images, width] per layer."""
    parts = []
    for chunk in as_floats(dataset, split).split(CHUNK):
        buffers = training.one_batch(network, chunk)
        network.forward(buffers, update_statistics=False)
        parts.append([y[0] for y in buffers.y])
    return [torch.cat(layer).cpu().numpy() for layer in zip(*parts, strict=True)]


def probe(x, test_x, y, test_y) -> float:
    """Test accuracy in % of logistic regression on inputs x [images, features], labels y.

    Inputs are centred, and scaled by one number to a mean variance of 1 (a number for each feature
    would let features that hardly ever move decide). A layer that is constant says nothing: chance.
    """
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    mean, scale = x.mean(0), np.sqrt(x.var(0).mean())
    if not scale > 0:
        return CHANCE
    model = LogisticRegression(C=PENALTY, max_iter=ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the same iterations for each layer
        model.fit((x - mean) / scale, y)
    return 100 * float((model.predict((test_x - mean) / scale) == test_y).mean())


def first_weights(network) -> np.ndarray:
    """Weights [units, 784] of the first layer of a single network."""
    return network.parameters.weights[0][0].T.cpu().numpy()


def comparisons(trained: list[float], untrained: list[float]):
    """Yields rows of the probes' accuracies in %, layer by layer from the pixels on."""
    for ending, scores in (("", trained), ("_untrained", untrained)):
        for layer, score in enumerate(scores):
            yield {"quantity": f"probe{ending}", "layer": layer, "value": score}
        for layer, (before, here) in enumerate(zip(scores[:-1], scores[1:], strict=True), 1):
            yield {"quantity": f"better_than_before{ending}", "layer": layer,
                   "value": here - before, "a": here, "b": before}  # fmt: skip
    pixels, last, best = trained[0], trained[-1], max(trained)
    for quantity, other in (("better_than_pixels", pixels), ("last_minus_best", best)):
        yield {"quantity": quantity, "value": last - other, "a": last, "b": other}


def filter_rows(filters: dict[bool, np.ndarray], seed: int):
    """Yields the weights [units, 784] of the trained network's smoothest units, before and after:
    those whose neighbouring weights differ least, relative to the weights."""
    images = filters[True].reshape(-1, SIDE, SIDE)
    steps = np.diff(images, axis=1) ** 2, np.diff(images, axis=2) ** 2
    roughness = sum(step.sum((1, 2)) for step in steps) / (images**2).sum((1, 2))
    for unit in np.sort(np.argsort(roughness)[:SHOWN]):
        for trained, weights in filters.items():
            for pixel, value in enumerate(weights[unit].round(4)):
                yield {"quantity": "filter", "seed": seed, "unit": unit, "pixel": pixel,
                       "trained": trained, "value": value}  # fmt: skip
