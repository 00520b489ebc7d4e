"""Residual blocks and their relatives: zero weights, the identity as a task, idle blocks, and five
variants against each other at equal cost.

Fully connected networks of 20 layers and more for what depends on depth; small convolutional ones
for what depends on channels: bottlenecks, width, dense connections, and the shortcut where their
number changes. Multiplications are counted by torch.utils.flop_counter.
"""

from functools import partial

import pandas as pd
import torch

from finicky.engine.train import Dataset
from finicky.experiments import arms, residual_identity, stacked, tidy, training
from finicky.experiments.rate_schedules import cosine
from finicky.experiments.residual_blocks import POST, PRE, RESIDUAL, fully_connected
from finicky.experiments.residual_costs import COMPARED, CONVOLUTION, bottleneck, costs, variants
from finicky.experiments.residual_training import at_ladder, trained

TITLE = "Residual blocks and their variants, after short trainings"
READS = []
DATASETS = ["mnist", "fashion_mnist"]
SETTINGS = {
    "datasets": ("datasets", "data sets"),
    "test_images": ("test_images", "test images; half as many validation images choose rates"),
    "decays": (
        {"type": "array", "minItems": 1, "uniqueItems": True,
         "items": {"type": "number", "minimum": 0, "maximum": 1}},
        "weight decay λ of a loss + λΣW²",
    ),
    "trials": ("trials", "random inputs of the blocks with zero weights"),
    "identity_width": (
        {"type": "integer", "minimum": 1, "maximum": 4096},
        "numbers that two layers learn to give back, or to rotate",
    ),
    "identity_steps": ("steps", "of gradient descent on that"),
    "identity_rates": ("rates_by_optimizer", "its learning rates; the recommended one is added"),
    "images": ("images", "training images of the fully connected networks"),
    "width": ({"type": "integer", "minimum": 4, "maximum": 16384}, "their hidden units"),
    "depth": ("depths", "layers of those that compare the place of the activation"),
    "epochs": ("epochs", "passes over the images of these"),
    "rates": ("rates_by_optimizer", "their learning rates; the recommended one is added"),
    "idle_depth": ("depths", "layers of those whose blocks' branches are measured"),
    "idle_epochs": ("epochs", "passes over the images of these, by Adam at 0.001"),
    "channels": ("counts", "channels of the convolutional networks' first stage"),
    "convolution_images": ("images", "training images of these"),
    "convolution_epochs": ("epochs", "passes over them"),
    "convolution_rates": ("rates", "their highest learning rates for Adam, which fall to 0 as a "
                          "cosine; 0.001 is added"),
}  # fmt: skip
QUANTITIES = {
    "plain_output": ("", "largest output of a plain layer with zero weights, for random inputs"),
    "block_error": ("", "output of a residual block with zero weights against its input, relative "
                    "error, for random inputs"),
    "plain_over_residual": ("decades", "log10 of the mean squared error of two plain layers over "
                            "that of a residual block with the same two layers, after equal "
                            "training on a task"),
    "idle_blocks": ("%", "residual blocks whose branch F(x) is less than a tenth as long as x for "
                    "the median test image, after training"),
    "branch_over_input": ("", "length of F(x) over that of x for the median test image, by block"),
    "median_ratio": ("", "median of this over the blocks"),
    "input_norm": ("", "length of x, the same"),
    "branch_norm": ("", "length of F(x), the same"),
    "computes_less": ("0/1", "0 if the bottleneck 256 → 64 → 256 needs as many multiplications as "
                      "what it is compared with, or more"),
    "multiplications": ("millions", "multiplications of one image, counted; of a bottleneck and "
                        "what it is compared with, of 56 × 56 places"),
    "parameters": ("thousands", "weights, biases, and γ and β of batch norm"),
    "pre_minus_post": ("pp", "test accuracy after training: pre-activation minus activation after "
                       "the addition"),
    "flow_evened": ("decades", "orders of magnitude between the gradients at the first and at the "
                    "last block's input, whichever is larger: activation after the addition minus "
                    "pre-activation"),
    "wide_minus_deep": ("pp", "test accuracy after training: wide and shallow minus narrow and "
                        "deep, with equally many multiplications"),
    "dense_minus_residual": ("pp", "test accuracy after training: dense connections minus residual "
                             "ones, with equally many parameters"),
    "dense_minus_plain": ("pp", "the same: dense minus no connections"),
    "projection_minus_padding": ("pp", "test accuracy after training: projection minus zero "
                                 "padding where the number of channels doubles"),
    "test_accuracy": ("%", "test accuracy of each convolutional network after training, at the "
                      "chapter's rate and at its own best one"),
}  # fmt: skip
CONDITIONS = {
    "dataset": "level",
    "activation": "level",
    "after_addition": "boolean",
    "inputs": ["any sign", "outputs of the activation"],
    "target": ["identity", "rotation"],
    "decay": "number",
    "optimizer": "level",
    "rate": ["chapter", "own best"],
    "network": ["fully connected", "convolution"],
    "form": [
        "residual",
        "BN, post-activation",
        "BN, pre-activation",
        "zero padding",
        "wide",
        "deep",
        "dense",
        "plain",
        "bottleneck",
        "one 3×3",
        "two 3×3",
        "two 3×3 on 64",
    ],
    "depth": "integer",
    "channels": "integer",
    "block_number": "integer",
    "when": ["at the start", "after training"],
    "images": "integer",
    "epochs": "integer",
}
BUDGET = {
    "{images} images of {dataset}, {epochs} epochs": [
        "idle_blocks",
        "median_ratio",
        "branch_over_input",
        "input_norm",
        "branch_norm",
        "pre_minus_post",
        "flow_evened",
        "wide_minus_deep",
        "dense_minus_residual",
        "dense_minus_plain",
        "projection_minus_padding",
        "test_accuracy",
    ],
    "{identity_steps} steps": ["plain_over_residual"],
}


IMAGES = 128  # that gradients are taken over
SHORT = 0.1  # of the input's length: a branch that is shorter does almost nothing
FULLY = "fully connected"
BEFORE, AFTER = {"when": "at the start"}, {"when": "after training"}


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, condition and seed; QUANTITIES says what each number is."""
    rows = [
        *residual_identity.zero_weights(settings["seeds"], settings["trials"]),
        *residual_identity.learned(settings),
        *bottleneck(settings["seeds"][0]),
    ]
    for channels in settings["channels"]:
        rows += costs(channels, settings["seeds"][0])
    for name in settings["datasets"]:
        most = max(settings["images"], settings["convolution_images"])
        dataset = shortened(training.prepared(name, settings, most), settings["test_images"])
        for find, sizes, prefix in PARTS:
            for size in settings[sizes]:
                for row in find(dataset, size, settings):
                    rows.append(row | {"dataset": name} | trained_for(row, prefix, settings))
    return tidy.from_rows(rows, CONDITIONS)


def trained_for(row, prefix, settings):
    """Images and epochs of a row about trained networks; the settings' names begin with this."""
    if row.get("when") == BEFORE["when"]:
        return {}
    images = settings.get(f"{prefix}images", settings["images"])
    return {"images": images, "epochs": settings[f"{prefix}epochs"]}


def shortened(dataset: Dataset, test_images: int) -> Dataset:
    """The data set with so many test images, and half as many validation images."""
    for name, count in (("test", test_images), ("validation", -(-test_images // 2))):
        setattr(dataset, name, training.first(getattr(dataset, name), count))
    return dataset


# ---- Before or after the addition ---------------------------------------------------------------


def pre_and_post(dataset, depth, settings):
    """Yields the rows of pre-activation against activation after the addition."""
    seeds, rows, unevenness = settings["seeds"], {POST: [], PRE: []}, {}
    for form in rows:
        build = partial(fully_connected, form, depth=depth, width=settings["width"])
        unevenness[form] = {None: uneven(build(seeds).to(settings["device"]), dataset)}
        for optimizer, rates in settings["rates"].items():
            ladder = arms.ladder(optimizer, rates)
            network, found = at_ladder(
                build, dataset, optimizer, ladder, seeds, settings["images"], settings["epochs"]
            )
            start = ladder.index(arms.RATES[optimizer]) * len(seeds)
            here = uneven(network, dataset)[start : start + len(seeds)]
            unevenness[form][optimizer] = here
            rows[form] += found
    tables = [pd.DataFrame(rows[form]) for form in (PRE, POST)]
    yield from arms.compared(*tables, "pre_minus_post", depth=depth)
    for optimizer, of in unevenness[POST].items():
        when = AFTER | {"optimizer": optimizer} if optimizer else BEFORE
        evened = (of - unevenness[PRE][optimizer]).tolist()
        for seed, value in zip(seeds, evened, strict=True):
            where = {"quantity": "flow_evened", "depth": depth} | when
            yield where | {"seed": seed, "value": value}


def uneven(network, dataset):
    """|log10| of the ratio of the gradients at the first and at the last block's input, root mean
    squares over the first images, in training mode: [R]."""
    sizes = input_gradients(network, dataset)
    return (sizes[0] / sizes[-1]).log10().abs()


def input_gradients(network, dataset):
    """Root mean squares of the gradients by the blocks' inputs: [blocks, R]."""
    x, labels = dataset.first(IMAGES, torch.float32)
    logits = stacked.predict(network.train(), x)
    loss = stacked.cross_entropy(logits, labels[:, None].expand(logits.shape[:2])).sum()
    gradients = torch.autograd.grad(loss, network.inputs)
    # in double precision, where squares of small gradients stay in range
    return torch.stack(
        [g.double().square().mean((0, *range(2, g.dim()))).sqrt() for g in gradients]
    )


# ---- What the branches do -----------------------------------------------------------------------


def branches(dataset, depth, settings):
    """Yields the rows of fully connected networks' branches, by form and weight decay."""
    seeds, decays = settings["seeds"], settings["decays"]
    every = [seed for _ in decays for seed in seeds]
    each = [decay for decay in decays for _ in seeds]
    for form in (RESIDUAL, POST, PRE):
        build = partial(fully_connected, form, depth=depth, width=settings["width"])
        where = {"network": FULLY, "form": form, "depth": depth}
        start = build(seeds).to(settings["device"]).train()
        yield from by_block(lengths(start, dataset), seeds, where | BEFORE)
        network, _ = trained(
            build, dataset, every, [arms.RATES["adam"]] * len(every), "adam",
            settings["images"], settings["idle_epochs"], each,
        )  # fmt: skip
        inputs, outputs = lengths(network.eval(), dataset)
        for place, decay in enumerate(decays):
            some = slice(place * len(seeds), (place + 1) * len(seeds))
            here = where | {"decay": decay, "optimizer": "adam"}
            of = [inputs[..., some], outputs[..., some]]
            yield from idle(of, seeds, here)
            yield from by_block(of, seeds, here | AFTER)


@torch.no_grad()
def lengths(network, dataset):
    """Lengths of what each block adds its branch to and of the branch F(x), for the first test
    images, in the network's mode: two [blocks, images, R]. Before training, batch norm has no
    averages to use in evaluation."""
    images = dataset.test.images[: stacked.EVALUATED]
    stacked.predict(network, dataset.normalise(images))
    pairs = [
        (block.shortcut(x).flatten(2).norm(dim=2), block.body(x).flatten(2).norm(dim=2))
        for block, x in zip(network.blocks, network.inputs, strict=True)
    ]
    return [torch.stack(side) for side in zip(*pairs, strict=True)]


def idle(of, seeds, where):
    """Yields the rows of idle blocks and of the median ratio."""
    inputs, outputs = of
    ratios = (outputs / inputs).median(1).values
    for quantity, values in (
        ("idle_blocks", 100 * (ratios < SHORT).double().mean(0)),
        ("median_ratio", ratios.median(0).values),
    ):
        for seed, value in zip(seeds, values.tolist(), strict=True):
            yield where | {"quantity": quantity, "seed": seed, "value": value}


def by_block(of, seeds, where):
    """Yields the rows of lengths and their ratios by block."""
    inputs, outputs = of
    for quantity, values in (
        ("input_norm", inputs), ("branch_norm", outputs), ("branch_over_input", outputs / inputs),
    ):  # fmt: skip
        for block, of_block in enumerate(values.median(1).values.tolist(), 1):
            for seed, value in zip(seeds, of_block, strict=True):
                row = {"quantity": quantity, "seed": seed, "value": value}
                yield row | where | {"block_number": block}


# ---- Convolutional variants ---------------------------------------------------------------------


def convolutions(dataset, channels, settings):
    """Yields the rows of the convolutional networks, trained by Adam."""
    seeds, tables = settings["seeds"], {}
    ladder = arms.ladder("adam", settings["convolution_rates"])
    for form, build in variants(channels).items():
        network, rows = at_ladder(
            build, dataset, "adam", ladder, seeds,
            settings["convolution_images"], settings["convolution_epochs"], schedule=cosine,
        )  # fmt: skip
        tables[form] = pd.DataFrame(rows)
        where = {"network": CONVOLUTION, "form": form, "channels": channels}
        for row in arms.at_rates(tables[form], []).to_dict("records"):
            kept = {name: row[name] for name in ("seed", "outcome", "rate")}
            value = {"quantity": "test_accuracy", "value": row["test_accuracy"]}
            yield where | kept | value
        if form == POST:
            start = ladder.index(arms.RATES["adam"]) * len(seeds)
            of = [
                side[..., start : start + len(seeds)] for side in lengths(network.eval(), dataset)
            ]
            yield from idle(of, seeds, where | {"decay": 0.0, "optimizer": "adam"})
    for quantity, (a, b) in COMPARED.items():
        for row in arms.compared(tables[a], tables[b], quantity, channels=channels):
            yield row | {"optimizer": None}


# What is measured for each size of a setting, and how its settings' names begin.
PARTS = [
    (pre_and_post, "depth", ""),
    (branches, "idle_depth", "idle_"),
    (convolutions, "channels", "convolution_"),
]
