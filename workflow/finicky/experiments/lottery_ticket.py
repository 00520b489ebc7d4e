"""Does a sparse part of a network, trained alone, match the whole?

Tickets are found by iterative magnitude pruning: train, remove the smallest weights of each layer,
set the others back to where they started, again. A ticket is compared with the whole network, with
the same mask over new weights, and with the same share of weights chosen at random.
"""

import itertools

import pandas as pd

from finicky.experiments import tidy
from finicky.runs import FAILED, OUTCOMES

TITLE = "Lottery tickets"
READS = []
DATASETS = ["mnist", "fashion_mnist"]
SETTINGS = {
    "images": (
        {"type": "integer", "minimum": 1, "maximum": 60000},
        "training images, the same for every network",
    ),
    "epochs": ("epochs", "epochs of every training"),
    "rounds": ({"type": "integer", "minimum": 1, "maximum": 50}, "rounds of pruning"),
    "keep": (
        {"type": "number", "minimum": 0.01, "maximum": 0.95},
        "share of the weights that a round leaves",
    ),
}
QUANTITIES = {
    "accuracy": ("%", "test accuracy"),
    "ticket_minus_full": ("pp", "test accuracy: the ticket minus the whole network"),
    "new_weights_minus_full": ("pp", "the ticket's mask over new weights minus the whole network"),
    "random_mask_minus_full": ("pp", "a random mask over the old weights minus the whole network"),
    "ticket_minus_new_weights": ("pp", "the ticket minus its mask over new weights"),
}
CONDITIONS = {
    "dataset": "level",
    "network": ["whole", "ticket", "new weights", "random mask"],
    "remaining": "number",
}
BUDGET = "{images} images of {dataset}, {epochs} epochs in each of {rounds} rounds of pruning"
SPARSE = ["ticket", "new weights", "random mask"]
DEPTH, WIDTH = 4, 128


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, data set, share of weights left and seed; see QUANTITIES.

    Condition `remaining`: that share in %, to three digits; 100 for the whole network.
    """
    from finicky.experiments.training import prepared

    rows = []
    for name in DATASETS:
        dataset = prepared(name, settings, settings["images"])
        rows += [row | {"dataset": name} for row in compared(name, dataset, settings)]
    return tidy.from_rows(rows, CONDITIONS)


def compared(name, dataset, settings):
    """The rows of one data set: every network's accuracy after every round, and differences."""
    import torch

    seeds = settings["seeds"]
    starts = dict(zip(seeds, initial(seeds, settings), strict=True))
    anew = initial([f"{seed} anew" for seed in seeds], settings)
    fresh = dict(zip(seeds, anew, strict=True))
    masks = {seed: torch.ones_like(starts[seed]) for seed in seeds}

    def masked(seed, weights, mask):
        return training_of(name, settings, seed, weights, mask)

    whole = train([masked(seed, starts[seed], masks[seed]) for seed in seeds], dataset)
    for seed, end in zip(seeds, whole, strict=True):
        yield accuracy(end) | {"network": "whole", "remaining": 100.0, "seed": seed}
    ends = whole
    for level in range(1, settings["rounds"] + 1):
        for seed, end in zip(seeds, ends, strict=True):
            masks[seed] = pruned(end["parameters"], masks[seed], settings["keep"])
        scattered = {seed: shuffled(masks[seed], (seed, "scattered", level)) for seed in seeds}
        trainings = [
            *(masked(seed, starts[seed], masks[seed]) for seed in seeds),
            *(masked(seed, fresh[seed], masks[seed]) for seed in seeds),
            *(masked(seed, starts[seed], scattered[seed]) for seed in seeds),
        ]
        found = zip(itertools.product(SPARSE, seeds), train(trainings, dataset), strict=True)
        found = dict(found)
        ends = [found["ticket", seed] for seed in seeds]
        for seed, full in zip(seeds, whole, strict=True):
            where = {"remaining": round_off(100 * settings["keep"] ** level), "seed": seed}
            for network in SPARSE:
                yield where | accuracy(found[network, seed]) | {"network": network}
                quantity = f"{network.replace(' ', '_')}_minus_full"
                yield where | difference(quantity, found[network, seed], full)
            yield where | difference(
                "ticket_minus_new_weights", found["ticket", seed], found["new weights", seed]
            )


def round_off(share):
    """A share in % with three digits."""
    return float(f"{share:.3g}")


def accuracy(end):
    """An accuracy's part of a row."""
    return {
        "quantity": "accuracy",
        "value": end["test_accuracy"],
        "outcome": OUTCOMES[end["outcome"]],
    }


def difference(quantity, a, b):
    """A difference's part of a row, with the worse outcome."""
    outcome = OUTCOMES[max(a["outcome"], b["outcome"])]
    a, b = a["test_accuracy"], b["test_accuracy"]
    return {"quantity": quantity, "value": a - b, "a": a, "b": b, "outcome": outcome}


# ---- Networks and masks -------------------------------------------------------------------------


def architecture():
    """Of all networks here."""
    from finicky.engine.network import Architecture

    return Architecture(DEPTH, "plain", "relu", WIDTH)


def initial(seeds, settings):
    """He's start for each seed, a list of flat parameters [P]; a seed may be any name."""
    import torch

    from finicky.engine.network import Network

    starts = [("he", seed) for seed in seeds]
    network = Network.initial(architecture(), starts, torch.float32, settings["device"])
    return list(network.parameters.flat)


def layers_of(flat):
    """The weights of each layer, as views of the flat parameters [P]."""
    from finicky.engine.network import Stacked

    return [weights[0] for weights in Stacked(architecture(), flat[None]).weights]


def pruned(weights, mask, keep):
    """The mask [P] that is left of `mask` when each layer keeps its share `keep` of the weights
    that are largest now.

    Layer by layer, and the last loses half as large a share, as Frankle and Carbin (2019, ICLR,
    section 2) prune; biases stay.
    """
    mask = mask.clone()
    layers, masks = layers_of(weights), layers_of(mask)
    for layer, (values, left) in enumerate(zip(layers, masks, strict=True)):
        share = keep if layer < len(layers) - 1 else (1 + keep) / 2
        count = max(1, round(share * int(left.sum())))
        sizes = (values.abs() + 1) * left  # what is gone stays gone, even beside weights of 0
        chosen = sizes.flatten().topk(count).indices
        left.zero_().view(-1)[chosen] = 1
    return mask


def shuffled(mask, key):
    """A mask with as many weights in each layer, at places drawn by the random stream `key`."""
    from finicky.engine import streams

    mask = mask.clone()
    for layer, left in enumerate(layers_of(mask)):
        order = streams.permutation(left.numel(), *key, layer)
        left.copy_(left.flatten()[order.to(left.device)].view_as(left))
    return mask


def training_of(name, settings, seed, weights, mask):
    """A Training of the weights [P] within a mask [P]: those outside of it are zero, at the start
    and after every step."""
    from finicky.engine.optimizers import OPTIMIZERS
    from finicky.experiments.training import Training, run

    levels = {"dataset": name, "epochs": settings["epochs"], "depth": DEPTH, "width": WIDTH}
    one = run(settings, settings["images"], seed, **levels)
    optimizer = OPTIMIZERS[one.optimizer]

    def masked(parameters, gradient, state, learning_rate, step):
        optimizer.update(parameters, gradient, state, learning_rate, step)
        parameters.mul_(mask)

    return Training(one, start=weights * mask, rule=masked)


def train(trainings, dataset):
    """Train them; one dict per training with test_accuracy, outcome and parameters [P] as in
    `training.train`, but a training that failed ends where it started."""
    from finicky.experiments import training

    ends = training.train(trainings, dataset, splits=("test",), parameters=True)
    for one, end in zip(trainings, ends, strict=True):
        if OUTCOMES[end["outcome"]] in FAILED or end["parameters"] is None:
            end["parameters"] = one.start
    return ends
