"""The chapter's war story as an experiment: a small convolutional network on a binary task, whose
weights all start at zero, and its repair by random ones. Rows of the experiment on symmetry.
"""

import numpy as np
import pandas as pd
import torch
from torch import nn

from finicky.engine import streams
from finicky.engine import train as engine
from finicky.experiments import best_rates, stacked, training, tuning
from finicky.experiments.grid import MEANT_FOR
from finicky.experiments.normalised import SIDE, halved  # small, for speed

ACTIVATIONS = ["relu", "sigmoid"]
POOL = 20000  # images that each seed's own are drawn from
SCORED = 500  # held-out images of each class, and as many test images
BATCH = 16  # so that an epoch of few images has some steps
CHAPTER_RATE = tuning.RECOMMENDED_RATES["adam"]
BALANCED, UNBALANCED = 50, 10  # images of the class 1, in %


class Binary:
    """A data set's images at half their size; the classes are 5 to 9 (labels 1) against 0 to 4."""

    def __init__(self, dataset):
        self.normalise = dataset.normalise
        self.train = binary(dataset.train)
        self.validation = balanced(binary(dataset.validation))
        self.test = balanced(binary(dataset.test))

    def subsets(self, seeds, images: int, positives: int) -> torch.Tensor:
        """Each seed's own training images, int64 [R, images], so many % of the class 1."""
        every, labels = [], self.train.labels.cpu()
        for seed in seeds:
            order = streams.permutation(len(labels), seed, "symmetry", "images")
            ones = images * positives // 100
            mine = [order[labels[order] == 1][:ones], order[labels[order] == 0][: images - ones]]
            every.append(torch.cat(mine))
        return torch.stack(every)


def binary(split):
    """Images at half their size, and whether their class is 5 or more."""
    return engine.Split(halved(split.images), (split.labels >= 5).long())


def balanced(split):
    """The first images of each of the two classes, as many of either and at most SCORED."""
    places = [torch.nonzero(split.labels == label)[:, 0] for label in (0, 1)]
    most = min(SCORED, *map(len, places))
    places = torch.cat([of_class[:most] for of_class in places])
    return engine.Split(split.images[places], split.labels[places])


class OneLogit(nn.Module):
    """z [B, R, 1] as logits (0, z) of two classes, whose cross-entropy is the binary one of z."""

    def forward(self, z):
        """[B, R, 1] to [B, R, 2]."""
        return torch.cat([torch.zeros_like(z), z], -1)


def small_network(seeds, init, activation, channels) -> nn.Sequential:
    """Two convolutions of 3 x 3 at stride 2 and a linear layer with one output."""
    return nn.Sequential(
        stacked.Images(SIDE),
        stacked.Convolution(seeds, 1, channels, 3, 2, init, 0),
        stacked.Activation(activation),
        stacked.Convolution(seeds, channels, 2 * channels, 3, 2, init, 1),
        stacked.Activation(activation),
        stacked.Flatten(),
        stacked.Dense(seeds, 2 * channels * 16, 1, init, 2),
        OneLogit(),
    )


def rows_of_story(name: str, settings: dict) -> list[dict]:
    """Rows of the story and of its repair."""
    data = Binary(training.prepared(name, settings, POOL))
    curves = pd.concat([story(data, settings, activation) for activation in ACTIVATIONS])
    told_at = curves[curves["learning_rate"] == CHAPTER_RATE]
    groups = told_at.groupby(["activation", "start", "bias", "positives", "seed"])
    rows = [row for key, mine in groups for row in told(mine.sort_values("epoch"), key)]
    share = np.array([UNBALANCED, 100 - UNBALANCED]) / 100
    entropy = float(-(share * np.log(share)).sum())
    rows += [
        {"quantity": "entropy", "seed": seed, "value": entropy, "positives": UNBALANCED}
        for seed in settings["seeds"]
    ]
    return rows + repaired(curves, settings["binary_epochs"])


def cast(settings, activation) -> pd.DataFrame:
    """The networks of one activation, a row each: start, bias, share of the class 1 in %, rate,
    seed."""
    rates = sorted({CHAPTER_RATE, *settings["binary_rates"]})
    parts = [(start, True, BALANCED, rate) for start in ("zeros", "random") for rate in rates]
    parts.append(("zeros", False, BALANCED, CHAPTER_RATE))
    if activation == "relu":
        parts.append(("zeros", True, UNBALANCED, CHAPTER_RATE))
    rows = [(*part, seed) for part in parts for seed in settings["seeds"]]
    return pd.DataFrame(rows, columns=["start", "bias", "positives", "learning_rate", "seed"])


def story(data, settings, activation) -> pd.DataFrame:
    """One row per network and epoch: its levels, the loss on its training images, the filters'
    gradient, and at some epochs accuracies (%). All networks are trained side by side; those
    without biases have them and never change them."""
    every = cast(settings, activation)
    seeds, epochs, images = (
        list(every["seed"]),
        settings["binary_epochs"],
        settings["binary_images"],
    )
    inits = ["zeros" if start == "zeros" else MEANT_FOR[activation] for start in every["start"]]
    network = small_network(seeds, inits, activation, settings["channels"])
    subsets = torch.cat(
        [
            data.subsets([seed], images, share)
            for seed, share in zip(seeds, every["positives"], strict=True)
        ]
    )
    filters = [layer.weight for layer in network if isinstance(layer, stacked.Convolution)]
    biases = [layer.bias for layer in network if hasattr(layer, "bias")]
    without = torch.tensor(~every["bias"].to_numpy(dtype=bool))

    def keep_biases(parameters):
        for bias in biases:
            bias.grad[without] = 0

    recipe = stacked.Recipe(
        seeds, list(every["learning_rate"]), images, epochs, batch_size=BATCH, subsets=subsets,
        on_gradients=keep_biases,
    )  # fmt: skip
    shown, rows = {1, *np.geomspace(1, epochs, 8).round().astype(int).tolist()}, []
    for step in stacked.each_step(network, data, recipe):
        if not step.ends_epoch:
            continue
        gradient = sum(w.grad.flatten(1).square().sum(1) for w in filters).sqrt()
        found = {"loss": own_losses(network, data, subsets), "filter_gradient": gradient}
        splits = ["test"] if step.epoch in shown else []
        splits += ["validation"] if step.epoch in (1, epochs) else []
        for split in splits:
            scores = stacked.scores(network, data, getattr(data, split))
            found[f"{split}_accuracy"] = torch.tensor([accuracy for _, accuracy in scores])
        if step.epoch == epochs:
            found["zero_outputs"] = zero_outputs(network, data, subsets)
        table = pd.DataFrame({name: values.tolist() for name, values in found.items()})
        rows.append(pd.concat([every, table], axis=1).assign(epoch=step.epoch))
    levels = {"activation": activation, "optimizer": "adam", "outcome": "finite"}
    return pd.concat(rows, ignore_index=True).assign(**levels)


@torch.no_grad()
def own_losses(network, data, subsets) -> torch.Tensor:
    """The loss of each replica on its own training images, [R]."""
    network.eval()
    total = 0.0
    for index in subsets.split(stacked.EVALUATED, 1):
        x = data.normalise(data.train.images[index.T])
        total = total + stacked.cross_entropy(network(x), data.train.labels[index.T]) * len(x)
    return total / subsets.shape[1]


@torch.no_grad()
def zero_outputs(network, data, subsets) -> torch.Tensor:
    """Share (%) of the convolutional units' outputs that are 0 on some training images, [R]."""
    network.eval()
    x, zeros, count = data.normalise(data.train.images[subsets[:, : stacked.EVALUATED].T]), 0, 0
    for layer in network:
        x = layer(x)
        if isinstance(layer, stacked.Activation):
            zeros = zeros + (x == 0).flatten(2).sum((0, 2))
            count += x[:, 0].numel()
    return 100 * zeros / count


def told(mine: pd.DataFrame, key: tuple) -> list[dict]:
    """Rows of one network at the chapter's rate, epoch by epoch; `key`: its levels and its seed."""
    activation, start, bias, positives, seed = key
    where = {"activation": activation, "start": start, "bias": bias, "positives": positives}
    rows = []

    def found(quantity, value, **more):
        rows.append({"quantity": quantity, "seed": seed, "value": float(value)} | where | more)

    for row in mine.dropna(subset="test_accuracy").itertuples():
        found("binary_loss", row.loss, epoch=row.epoch)
        found("binary_accuracy", row.test_accuracy, epoch=row.epoch)
    if start == "zeros":
        found("furthest_loss", mine["loss"].iloc[(mine["loss"] - np.log(2)).abs().argmax()])
        found("filter_gradient", mine["filter_gradient"].max())
        found("zero_outputs", mine["zero_outputs"].iloc[-1])
    return rows


def repaired(curves: pd.DataFrame, epochs: int) -> list[dict]:
    """Rows of random against zero weights after the first and the last epoch, at two rates."""
    ends = curves[curves["epoch"].isin([1, epochs]) & curves["bias"]]
    ends = ends[ends["positives"] == BALANCED]
    ends = ends.assign(after=np.where(ends["epoch"] == 1, "first epoch", "last epoch"))
    both = best_rates.at_rates(ends, ["start", "activation", "after"])
    random, zeros = (both[both["start"] == start] for start in ("random", "zeros"))
    on, rows = ["activation", "after", "rate"], []
    for quantity, metric, sides in (
        ("random_minus_zeros", "test_accuracy", (random, zeros)),
        ("random_minus_zeros_loss", "loss", (zeros, random)),
    ):
        pairs = best_rates.minus(*sides, on, metric)
        pairs = best_rates.once(pairs, ["activation", "after"]).assign(quantity=quantity)
        if metric == "loss":
            pairs = pairs.drop(columns=["a", "b"])  # are no accuracies
        rows += pairs.to_dict("records")
    return rows
