"""Where does the gradient go on its way through the layers, and which remedy brings it back?

The gradient is that of the loss by a layer's sums z = Wh + b, over 128 images: what the chain rule
multiplies from layer to layer. (The gradient by the weights has the layer's input as a further
factor.) A gradient has vanished where less than a tenth of what the last hidden layer gets arrives
at the first one; then a remedy has to bring it back, and to make the network train.
"""

import itertools
from functools import partial

import pandas as pd
import torch
from torch.nn import functional

from finicky.engine.network import BN_EPS, Architecture, Network
from finicky.engine.optimizers import OPTIMIZERS
from finicky.experiments import arms, best_rates, tidy, training
from finicky.runs import FAILED

TITLE = "Gradients by layer, their remedies, and clipping"
READS = []
DATASETS = ["mnist", "fashion_mnist"]
SETTINGS = {
    "datasets": ("datasets", "data sets"),
    "depth": ("depths", "layers of the networks that are looked at before training"),
    "product_depth": (
        {"type": "integer", "minimum": 6, "multipleOf": 2, "maximum": 1000},
        "layers of the networks whose weights are scaled",
    ),
    "gains": ("positives", "what their weights are multiplied with"),
    "trained_depth": ("depths", "layers of the networks that are trained"),
    "width": ({"type": "integer", "minimum": 4, "maximum": 16384}, "units of a hidden layer"),
    "images": ("images", "training images"),
    "epochs": ("epochs", "passes over them"),
    "rates": ("rates_by_optimizer", "learning rates to choose from; the recommended one is added"),
    "exploding_depth": ("depths", "layers of the networks that are trained with clipping"),
    "exploding_rates": ("rates_by_optimizer", "their learning rates"),
    "exploding_epochs": ("epochs", "passes over the images with clipping"),
    "thresholds": ("positives", "lengths that the whole gradient is clipped to"),
}  # fmt: skip
QUANTITIES = {
    "gradient": ("", "gradient by a layer's sums, root mean square, over that at the last hidden "
                 "layer; with clipping, over that before clipping"),
    "decades_lost": ("decades", "log10 of the gradient at the last hidden layer over that at the "
                     "first"),
    "decades_to_spare": ("decades", "1 minus the decades lost: positive where more than a tenth of "
                         "the gradient arrives at the first layer"),
    "fall_per_layer": ("decades a layer", "fitted fall of the gradient from the last hidden layer "
                       "to the first, at the start, in networks whose terms are below 1"),
    "rise_per_layer": ("decades a layer", "its fitted rise, in networks whose terms are above 1"),
    "term": ("", "root mean square of the singular values of the Jacobian from one layer's sums to "
             "the next one's, geometric mean over layers, at the start"),
    "largest_singular_value": ("", "the largest of these singular values, geometric mean over "
                               "layers and images"),
    "remedy_to_spare": ("decades", "decades to spare with a remedy, in a network whose gradient "
                        "vanishes at the start without it"),
    "remedy_gain": ("pp", "test accuracy after the training that the settings give: with a remedy "
                    "minus without"),
    "explosion_prevented": ("0/1", "whether a run whose loss becomes infinite or NaN without "
                            "clipping stays finite with it (-1: the reverse), where most runs "
                            "fail without"),
    "clipping_gain": ("pp", "test accuracy with clipping minus without, there"),
}  # fmt: skip
CONDITIONS = {
    "dataset": "level",
    "activation": "level",
    "init": "level",
    "depth": "integer",
    "layer": "integer",
    "gain": "number",
    "remedy": ["none", "ReLU", "batch norm", "residual", "clipping"],
    "when": ["at the start", "after training"],
    "optimizer": "level",
    "learning_rate": "number",
    "rate": ["chapter", "own best"],
    "threshold": "number",
    "images": "integer",
    "epochs": "integer",
}
LIMITS = {
    "images % 64 != 1": "no batch of one image",
}
BUDGET = {
    "{images} images of {dataset}, {epochs} epochs": [
        "decades_lost",
        "decades_to_spare",
        "remedy_to_spare",
        "remedy_gain",
        "explosion_prevented",
        "clipping_gain",
    ],
}


IMAGES = 128  # that gradients are taken over
SINGLE = 2  # images whose Jacobians are taken apart
LOST = 1  # decades from which on a gradient has vanished
STARTS = ["he", "xavier", "uniform_fan_in"]
# Networks whose gradient vanishes, (activation, init), and one whose does not.
DISEASED = [("sigmoid", "xavier"), ("tanh", "uniform_fan_in"), ("relu", "uniform_fan_in")]
HEALTHY = ("plain", "relu", "he")
# Starts whose terms are 1 times the gain, if the activation's slope is 1 (ReLU: for every other
# unit).
UNIT_TERMS = {"identity": "lecun", "relu": "he", "tanh": "lecun", "sigmoid": "lecun"}
EXPLODING = ["normal_std_1", "he"]
BEFORE = {"when": "at the start"}


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, condition and seed; QUANTITIES says what each number is."""
    rows = []
    for name in settings["datasets"]:
        dataset = training.prepared(name, settings, settings["images"])
        found = [*before_training(dataset, settings), *of_products(dataset, settings)]
        for depth in settings["trained_depth"]:
            found += with_remedies(dataset, name, depth, settings)
        for depth in settings["exploding_depth"]:
            found += with_clipping(dataset, name, depth, settings)
        found += clipped_profile(dataset, settings)
        rows += [row | {"dataset": name} for row in found]
    return tidy.from_rows(rows, CONDITIONS)


def remedies(activation, init):
    """{remedy: (block, activation, init)} of a network, "none" first."""
    kinds = {
        "none": ("plain", activation, init),
        "batch norm": ("batch_norm", activation, init),
        "residual": ("residual", activation, init),
    }
    return kinds | ({"ReLU": HEALTHY} if activation == "sigmoid" else {})


# ---- Gradients by layer -------------------------------------------------------------------------


def forward(network: Network, x):
    """(logits [R, B, classes], the hidden layers' sums z, each [R, B, width]) of engine networks
    in training mode, for autograd; x [B, inputs]."""
    shape, parts = network.architecture, network.parameters
    h, sums, outputs = x.expand(len(parts.flat), *x.shape), [], []
    for layer in range(shape.hidden):
        z = h @ parts.weights[layer] + parts.biases[layer]
        u = z
        if shape.batch_norm:
            variance, mean = torch.var_mean(z, 1, correction=0, keepdim=True)
            u = (z - mean) * (variance + BN_EPS).rsqrt()
            u = u * parts.gammas[layer] + parts.betas[layer]
        if shape.adds_input(layer):
            u = u + outputs[layer - 2]
        h = network.activation.forward(u.clone())  # which may overwrite what it gets
        sums.append(z)
        outputs.append(h)
    return h @ parts.weights[-1] + parts.biases[-1], sums


def sums_and_gradients(network: Network, x, labels):
    """The hidden layers' sums and the gradients of the mean loss by them, two lists of
    [R, B, width]; x [B, inputs], labels int64 [B]."""
    with torch.enable_grad():
        logits, sums = forward(network, x.clone().requires_grad_())
        loss = functional.cross_entropy(
            logits.flatten(0, 1), labels.repeat(len(logits)), reduction="sum"
        )
        gradients = torch.autograd.grad(loss / len(labels), sums)
    return [z.detach() for z in sums], list(gradients)


def root_mean_square(tensors):
    """Of each layer and replica: [layers, R] for a list of [R, B, width]."""
    return torch.stack([tensor.square().mean((1, 2)).sqrt() for tensor in tensors])


def decades_lost(sizes):
    """log10 of the last layer's over the first one's, [R], for sizes [layers, R]."""
    return (sizes[-1] / sizes[0]).log10()


def at_start(kind, depth, settings):
    """Networks at their start, in float64, one a seed; kind: (block, activation, init)."""
    block, activation, init = kind
    shape = Architecture(depth, block, activation, settings["width"])
    starts = [(init, seed) for seed in settings["seeds"]]
    return Network.initial(shape, starts, torch.float64, settings["device"])


def sizes_of(network, dataset):
    """Root mean squares of the gradients by the sums over the first images: [layers, R]."""
    _, gradients = sums_and_gradients(network, *dataset.first(IMAGES, torch.float64))
    return root_mean_square(gradients)


def per_seed(quantity, values, settings, where):
    """Yields the rows of one number a seed."""
    for seed, value in zip(settings["seeds"], values, strict=True):
        yield {"quantity": quantity, "seed": seed, "value": float(value), **where}


# ---- Before training ----------------------------------------------------------------------------


def before_training(dataset, settings):
    """Yields the rows of decades lost and to spare in plain networks at their start."""
    depths = sorted({*settings["depth"], *settings["trained_depth"]})
    kinds = list(dict.fromkeys([*itertools.product(["relu", "sigmoid"], STARTS), *DISEASED]))
    for depth, (activation, init) in itertools.product(depths, kinds):
        sizes = sizes_of(at_start(("plain", activation, init), depth, settings), dataset)
        where = {"activation": activation, "init": init, "depth": depth} | BEFORE
        if (activation, init) in DISEASED:
            where["remedy"] = "none"
        yield from lost_rows(sizes, settings, where)


def lost_rows(sizes, settings, where):
    """Yields decades lost and to spare of networks with gradients of these sizes [layers, R]."""
    lost = decades_lost(sizes)
    yield from per_seed("decades_lost", lost, settings, where)
    yield from per_seed("decades_to_spare", LOST - lost, settings, where)


def of_products(dataset, settings):
    """Yields the rows of terms and of the gradient's slope over the layers, by gain."""
    x, labels = dataset.first(IMAGES, torch.float64)
    for (activation, init), gain in itertools.product(UNIT_TERMS.items(), settings["gains"]):
        network = at_start(("plain", activation, init), settings["product_depth"], settings)
        for weights in network.parameters.weights:
            weights *= gain
        sums, gradients = sums_and_gradients(network, x, labels)
        typical, largest = terms(network, sums)
        rises = slope_over_layers(root_mean_square(gradients).log10().flip(0))
        where = {"activation": activation, "gain": gain}
        yield from per_seed("term", typical, settings, where)
        yield from per_seed("largest_singular_value", largest, settings, where)
        if typical.median() < 1:
            yield from per_seed("fall_per_layer", -rises, settings, where)
        else:
            yield from per_seed("rise_per_layer", rises, settings, where)


def terms(network, sums):
    """Root mean square and largest singular value of the Jacobians from one hidden layer's sums z
    to the next one's, of plain networks: geometric means over layers, two [R].

    The Jacobian is diag(f'(z)) W, so its squared singular values sum to Σ_j f'(z_j)² |W_j|². The
    root mean square is over all images, the largest one of the first few.
    """
    typical, largest = [], []
    for z, weights in zip(sums[:-1], network.parameters.weights[1:-1], strict=True):
        slope = network.activation.slope(network.activation.forward(z.clone()), z)
        squares = (slope.square() * weights.square().sum(2).unsqueeze(1)).sum(2) / z.shape[2]
        typical.append(squares.mean(1).sqrt())
        jacobians = slope[:, :SINGLE, :, None] * weights.unsqueeze(1)
        largest.append(torch.linalg.matrix_norm(jacobians, 2).log().mean(1).exp())
    return [torch.stack(of).log().mean(0).exp() for of in (typical, largest)]


def slope_over_layers(heights):
    """Least-squares slopes [R] of heights [layers, R] over the layers' numbers."""
    layers = torch.arange(len(heights), dtype=heights.dtype, device=heights.device)
    layers -= layers.mean()
    return layers @ heights / layers.square().sum()


# ---- Remedies -----------------------------------------------------------------------------------


def with_remedies(dataset, name, depth, settings):
    """Yields the rows of networks whose gradient vanishes, without and with each remedy, before and
    after training; and after training of one whose gradient does not."""
    healthy = trained(HEALTHY, dataset, name, depth, settings)
    for optimizer, sizes in healthy[1].items():
        where = {"activation": "relu", "init": "he", "depth": depth}
        yield from lost_rows(sizes, settings, where | after(optimizer, settings))
    for activation, init in DISEASED:
        here = {"activation": activation, "init": init, "depth": depth}
        found = {}
        for remedy, kind in remedies(activation, init).items():
            starts = sizes_of(at_start(kind, depth, settings), dataset)
            is_healthy = kind == HEALTHY
            scores, ends = healthy if is_healthy else trained(kind, dataset, name, depth, settings)
            found[remedy] = scores, {None: starts} | ends
        yield from (row | here for row in of_remedies(found, settings))


def after(optimizer, settings):
    """The columns that say that a network is trained, by which optimizer and for how long."""
    length = {"images": settings["images"], "epochs": settings["epochs"]}
    return {"when": "after training", "optimizer": optimizer} | length


def of_remedies(found, settings):
    """Yields the rows of one network. found: {remedy: (its trainings, {optimizer: sizes of its
    gradients [layers, R] after training, None: before it})}, with "none" among the remedies."""
    without, sizes = found["none"]
    vanishes = bool(decades_lost(sizes[None]).median() > LOST)
    for remedy, (scores, sizes) in found.items():
        for optimizer, of in sizes.items():
            where = {"remedy": remedy} | (after(optimizer, settings) if optimizer else BEFORE)
            for layer, ratios in enumerate(of / of[-1], 1):
                yield from per_seed("gradient", ratios, settings, where | {"layer": layer})
            if remedy == "none" and optimizer:  # the start is among those of `before_training`
                yield from lost_rows(of, settings, where)
            elif remedy != "none" and vanishes:
                spare = LOST - decades_lost(of)
                yield from per_seed("remedy_to_spare", spare, settings, where)
        if remedy != "none" and vanishes:
            length = {"images": settings["images"], "epochs": settings["epochs"]}
            yield from arms.compared(scores, without, "remedy_gain", remedy=remedy, **length)


def trained(kind, dataset, name, depth, settings):
    """(trainings at ladders of rates, one row each; {optimizer: sizes of the gradients [layers, R]
    after training at the recommended rate, NaN where a network became NaN})."""
    levels = dict(zip(("block", "activation", "init"), kind, strict=True), dataset=name)
    rates, shape = settings["rates"], Architecture(depth, *kind[:2], settings["width"])
    rows = arms.trained(settings, dataset, rates, True, depth=depth, **levels)
    flats, sizes = rows.pop("parameters"), {}
    for optimizer in rates:
        at = (rows["optimizer"] == optimizer) & (rows["learning_rate"] == arms.RATES[optimizer])
        sizes[optimizer] = torch.full((shape.hidden, at.sum()), torch.nan, dtype=torch.float64)
        for place, flat in enumerate(flats[at]):
            if flat is not None:
                found = sizes_of(Network(shape, flat.double()[None]), dataset)
                sizes[optimizer][:, place] = found[:, 0]
    return rows, sizes


# ---- Clipping -----------------------------------------------------------------------------------


def clip(update, threshold, parameters, gradient, state, learning_rate, step):
    """An update rule with the gradient scaled down to the length `threshold` if it is longer
    (Pascanu, Mikolov and Bengio 2013, algorithm 1), as torch.nn.utils.clip_grad_norm_ does."""
    gradient.mul_((threshold / gradient.norm()).clamp(max=1))
    update(parameters, gradient, state, learning_rate, step)


def clipped_profile(dataset, settings):
    """Yields the gradient by layer before training of networks whose gradient explodes, without and
    with clipping, which scales all layers alike."""
    depth, init = min(settings["exploding_depth"]), EXPLODING[0]
    network = at_start(("plain", "relu", init), depth, settings)
    sizes = sizes_of(network, dataset)
    ratios, length = sizes / sizes[-1], gradient_length(network, dataset)
    where = {"activation": "relu", "init": init, "depth": depth} | BEFORE
    for threshold in (None, *settings["thresholds"]):
        scale = 1.0 if threshold is None else (threshold / length).clamp(max=1)
        levels = {"remedy": "clipping" if threshold else "none", "threshold": threshold}
        for layer, of_layer in enumerate(ratios * scale, 1):
            here = where | levels | {"layer": layer}
            yield from per_seed("gradient", of_layer, settings, here)


def gradient_length(network, dataset):
    """Euclidean length of the gradient by all parameters over the first images, [R]."""
    training.gradients(network, *dataset.first(IMAGES, torch.float64))
    return network.gradients.flat.norm(dim=1)


def with_clipping(dataset, name, depth, settings):
    """Yields the rows of one depth: for each start, optimizer and rate at which most runs fail
    without clipping, whether clipping prevents it and what accuracy it adds."""
    for init, (optimizer, rates) in itertools.product(
        EXPLODING, settings["exploding_rates"].items()
    ):
        levels = {
            "dataset": name, "depth": depth, "init": init, "optimizer": optimizer,
            "width": settings["width"], "epochs": settings["exploding_epochs"],
        }  # fmt: skip
        where = {name: levels[name] for name in ("init", "depth", "optimizer", "epochs")}
        where["images"] = settings["images"]
        for rate in rates:
            runs = [
                training.run(settings, settings["images"], seed, learning_rate=rate, **levels)
                for seed in settings["seeds"]
            ]
            free = tidy.named(training.train(runs, dataset, ("test",)))
            if free["outcome"].isin(FAILED).mean() <= 0.5:
                continue
            for threshold in settings["thresholds"]:
                rule = partial(clip, OPTIMIZERS[optimizer].update, threshold)
                ruled = [training.Training(run, rule=rule) for run in runs]
                clipped = tidy.named(training.train(ruled, dataset, ("test",)))
                here = where | {"learning_rate": rate, "threshold": threshold}
                yield from of_clipping(free, clipped, here)


def of_clipping(free, clipped, where):
    """Yields the rows of trainings without clipping, and with it."""
    pairs = best_rates.minus(clipped, free, [])
    yield from pairs.assign(quantity="clipping_gain", **where).to_dict("records")
    for without, with_it in zip(free.itertuples(), clipped.itertuples(), strict=True):
        prevented = (without.outcome in FAILED) - (with_it.outcome in FAILED)
        yield {"quantity": "explosion_prevented", "seed": without.seed, "value": prevented, **where}
