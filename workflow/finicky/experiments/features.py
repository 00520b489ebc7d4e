"""Does every layer make a better representation? Linear probes through trained networks.

A probe is logistic regression on what a layer puts out, for the images that the network was trained
on, tested on the test images (Alain and Bengio 2016, arXiv:1610.01644). The same is done before the
training, with random weights.
"""

import math

import numpy as np
import pandas as pd
import torch

from finicky.engine import train as engine
from finicky.engine.network import Buffers
from finicky.experiments import arms
from finicky.runs import Run

TITLE = "Features and linear probes"
ANSWERS = ["C005"]
READS = []
DATASETS = ["mnist", "fashion_mnist"]
QUANTITIES = {
    "probe": ("%", "test accuracy of a linear probe on a layer of the trained network; 0: pixels"),
    "probe_untrained": ("%", "the same with the weights of the start"),
    "better_than_before": ("pp", "linear probe on a layer minus that on the layer before"),
    "better_than_before_untrained": ("pp", "the same with the weights of the start"),
    "better_than_pixels": ("pp", "linear probe on the last hidden layer minus that on pixels"),
    "last_minus_best": ("pp", "linear probe on the last hidden layer minus the best layer's"),
    "network": ("%", "the network's own test accuracy"),
    "filter": ("", "weights of the first layer over the largest of their unit, by pixel"),
}  # fmt: skip
FIGURES = {
    "F36": "Above: weights of first-layer units, at the start and after training, each by its own "
    "largest weight; of one network, those whose weights vary most smoothly from pixel to pixel. "
    "Below: accuracy of linear probes by layer, with trained and with random weights; the line is "
    "the median, the band the range of the seeds. The chapter's claim is that the solid lines rise "
    "all the way.",
}

CONDITIONS = {
    "dataset": "str",
    "depth": "Int64",
    "layer": "Int64",
    "unit": "Int64",
    "pixel": "Int64",
    "trained": "boolean",
}
SIDE = 28
SHOWN = 12  # units in the figure
CHUNK = 500  # images that go through the networks at once
PENALTY = 0.1  # scikit-learn's C, for inputs of variance 1
ITERATIONS = 30


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row a quantity, condition and seed; QUANTITIES says what each number is.

    settings: {"datasets", "depth": list, "images", "epochs": of the trainings, "probe_images":
    training images that the probes are fitted to}.
    """
    engine.prepare()
    rows = []
    for name in settings["datasets"]:
        dataset = engine.Dataset(name, settings["data"], settings["images"])
        splits = [first(dataset.train, settings["probe_images"]), dataset.test]
        pixels = [as_floats(dataset, split).numpy() for split in splits]
        labels = [split.labels.numpy() for split in splits]
        of_pixels = probe(*pixels, *labels)
        for depth in settings["depth"]:
            found = of_networks(dataset, splits, labels, depth, of_pixels, settings)
            rows += [row | {"dataset": name, "depth": depth} for row in found]
    types = arms.VALUES | CONDITIONS
    table = pd.DataFrame([{"outcome": "finite"} | row for row in rows])
    return table.reindex(columns=list(types)).astype(types)


def of_networks(dataset, splits, labels, depth, of_pixels, settings):
    """Yields the rows of one depth, without data set and depth."""
    run = {
        "dataset": "mnist", "images": len(dataset.train.labels), "epochs": settings["epochs"],
        "depth": depth, "block": "plain", "activation": "relu", "init": "he", "optimizer": "adam",
        "learning_rate": 0.001, "batch_size": 64, "width": 128,
    }  # fmt: skip
    runs = [Run(**run, seed=seed) for seed in settings["seeds"]]
    batch = engine.FusedBatch(runs, dataset)
    probes, filters = {}, {}
    for trained in (False, True):
        if trained:
            outcomes = train(batch)
        seen = [representations(batch.network, dataset, split) for split in splits]
        for place, run in enumerate(runs):
            layers = zip(*(images[place] for images in seen), strict=True)
            scores = [of_pixels, *(probe(*of_layer, *labels) for of_layer in layers)]
            probes[trained, run.seed] = scores
        filters[trained] = batch.network.parameters.weights[0][0].T.clone().numpy()
    own = engine.evaluate(batch.network, dataset, dataset.test)
    for run, (_, accuracy), outcome in zip(runs, own, outcomes, strict=True):
        found = list(comparisons(probes[True, run.seed], probes[False, run.seed]))
        found.append({"quantity": "network", "value": accuracy})
        yield from (row | {"seed": run.seed, "outcome": outcome} for row in found)
    if depth == settings["depth"][0]:
        yield from filter_rows(filters, settings["seeds"][0])


@torch.no_grad()
def train(batch) -> list[str]:
    """Train the networks of a fused batch to the end; their outcomes."""
    histories = [engine.History(math.ceil(batch.images / batch.size)) for _ in batch.runs]
    for epoch in range(1, batch.runs[0].epochs + 1):
        going = engine.train_epoch(batch, histories, epoch)
        assert len(going) == len(histories), "Adam at 0.001 from He's start does not diverge"
    return [history.outcome for history in histories]


# ---- Representations and probes -----------------------------------------------------------------


def first(split: engine.Split, count: int) -> engine.Split:
    """The first images of a split."""
    return engine.Split(split.images[:count], split.labels[:count])


def as_floats(dataset, split) -> torch.Tensor:
    """A split's images [N, 784], normalised."""
    return dataset.normalise(split.images, torch.empty(split.images.shape))


@torch.no_grad()
def representations(network, dataset, split) -> list[list[np.ndarray]]:
    """What each hidden layer puts out: for each network a list over layers of [images, width]."""
    x = as_floats(dataset, split)
    parts = []
    for chunk in x.split(CHUNK):
        buffers = Buffers(network.architecture, len(network.parameters.flat), len(chunk))
        buffers.x.copy_(chunk.expand_as(buffers.x))
        network.forward(buffers, update_statistics=False)
        parts.append(torch.stack(buffers.y))
    layers = torch.cat(parts, 2)  # [layers, networks, images, width]
    return [[layer.numpy() for layer in layers[:, place]] for place in range(layers.shape[1])]


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
        return arms.CHANCE
    model = LogisticRegression(C=PENALTY, max_iter=ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the same iterations for each layer
        model.fit((x - mean) / scale, y)
    return 100 * float((model.predict((test_x - mean) / scale) == test_y).mean())


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
            scaled = weights[unit] / np.abs(weights[unit]).max()
            for pixel, value in enumerate(scaled.round(3)):
                yield {"quantity": "filter", "seed": seed, "unit": unit, "pixel": pixel,
                       "trained": trained, "value": value}  # fmt: skip
