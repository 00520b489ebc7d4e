"""Dead ReLUs: what is true of a dead unit, what kills units, and what keeps them alive?

A unit is dead where its input is positive for no training image. One half of this file makes units
dead and follows their weights; the other trains small networks from good and bad starts, at good
and high rates, with ReLU and with leaky ReLU, and counts.
"""

import itertools
from dataclasses import dataclass

import pandas as pd
import torch

from finicky.engine.network import Architecture, Network
from finicky.engine.train import Dataset
from finicky.experiments import arms, best_rates, tidy, training

TITLE = "Dead ReLUs by rate, start and activation"
READS = []
DATASETS = ["mnist", "fashion_mnist"]
SETTINGS = {
    "datasets": ("datasets", "data sets"),
    "depth": ("depths", "layers of the networks"),
    "width": ({"type": "integer", "minimum": 4, "maximum": 16384}, "units of a hidden layer"),
    "images": ("images", "training images, over which units are called dead"),
    "epochs": ("epochs", "passes over them"),
    "higher": (
        {"type": "array", "minItems": 1, "uniqueItems": True,
         "items": {"type": "number", "exclusiveMinimum": 1, "maximum": 1.0e+6}},
        "high learning rates, in multiples of the recommended one (SGD: of 0.01)",
    ),
    "killed_after": ("steps", "steps after which units are made dead"),
    "followed_for": ("steps", "steps for which they are then followed"),
}  # fmt: skip
QUANTITIES = {
    "gradient_of_dead": ("", "largest gradient by a dead unit's weights and bias over the largest "
                         "by a live one's of its layer"),
    "change_of_dead": ("", "largest change of a dead unit's weights and bias in further training "
                       "over the largest of a live one's of its layer, in runs without NaN"),
    "revived": ("%", "share of these units whose input is positive for some training image at the "
                "end of it"),
    "dead_at_start": ("%", "hidden units whose input is positive for no training image, before "
                      "training"),
    "dead": ("%", "the same after the training that the settings give; NaN if the loss became NaN"),
    "without_gradient": ("%", "hidden units whose slope is 0 for every training image, after "
                         "training"),
    "test_accuracy": ("%", "test accuracy after training"),
    "killed_by_rate": ("pp", "dead ReLUs after training at this rate minus at the recommended one "
                       "(SGD: 0.01), from He or Xavier"),
    "killed_by_start": ("pp", "dead ReLUs after training from this start minus from He, at the "
                        "recommended rate"),
    "halved_by_start": ("pp", "half the dead ReLUs from a bad start minus those from He or Xavier, "
                        "where the bad start leaves 10 % or more"),
    "halved_by_leak": ("pp", "half the dead ReLUs minus the leaky ReLUs whose input is positive "
                       "for no training image, where there are 10 % dead ReLUs or more"),
    "gradient_by_leak": ("pp", "half the dead ReLUs minus the leaky ReLUs whose slope is 0 for "
                         "every training image, there"),
    "gained_by_start": ("pp", "test accuracy from He or Xavier minus that from the bad start, "
                        "there"),
    "gained_by_leak": ("pp", "test accuracy with leaky ReLU minus that with ReLU, there"),
}  # fmt: skip
CONDITIONS = {
    "dataset": "level",
    "depth": "integer",
    "layer": "integer",
    "activation": "level",
    "init": "level",
    "remedy": ["he", "xavier"],
    "optimizer": "level",
    "learning_rate": "number",
    "images": "integer",
    "epochs": "integer",
}
BUDGET = {
    "{images} images of {dataset}, {epochs} epochs": [
        "dead",
        "without_gradient",
        "test_accuracy",
        "killed_by_rate",
        "killed_by_start",
        "halved_by_start",
        "halved_by_leak",
        "gradient_by_leak",
        "gained_by_start",
        "gained_by_leak",
    ],
    "{images} images of {dataset}, {killed_after} steps before and {followed_for} after": [
        "gradient_of_dead",
        "change_of_dead",
        "revived",
    ],
}


GOOD, BAD = ["he", "xavier"], ["zeros", "normal_std_0.001", "normal_std_1"]
OPTIMIZERS = ["sgd", "adam"]
FOLLOWED = ["sgd", "momentum", "rmsprop", "adam", "adamw"]
LAYERS = [0, 2]  # of hidden layers, whose units are made dead
FOLLOWED_DEPTH = 6
JUST = 0.01  # how far below 0 a unit's largest input is put, in deviations of its inputs
FEW = 10  # % of the units: fewer dead ones need no cure
CHUNK = 500  # images at once


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, condition and seed; QUANTITIES says what each number is."""
    rows = []
    for name in settings["datasets"]:
        dataset = training.prepared(name, settings, settings["images"])
        found = []
        for optimizer in FOLLOWED:
            found += followed(dataset, name, optimizer, settings)
        for depth in settings["depth"]:
            found += at_start(dataset, depth, settings)
            length = {"images": settings["images"], "epochs": settings["epochs"]}
            rows_of = comparisons(counted(dataset, name, depth, settings))
            found += [row | length for row in rows_of]
        rows += [row | {"dataset": name} for row in found]
    return tidy.from_rows(rows, CONDITIONS)


# ---- Counting -----------------------------------------------------------------------------------


@torch.no_grad()
def outputs(network: Network, dataset: Dataset):
    """Yields what the hidden layers put out for the training images, some at a time: a list of
    [R, B, width], overwritten by the next."""
    for pixels in dataset.train.images.split(CHUNK):
        buffers = training.one_batch(network, dataset.normalise(pixels))
        network.forward(buffers)
        yield buffers.y


def somewhere(network: Network, dataset: Dataset, *holds):
    """Whether each of these functions of a layer's outputs is true of a unit, or not 0, for some
    training image: for each a bool [hidden, R, width]."""
    found = [
        torch.stack([torch.stack([of(y).any(1) for y in layers]) for of in holds])
        for layers in outputs(network, dataset)
    ]
    return torch.stack(found).any(0)


def positive(y):
    """Whether a unit's input is positive; ReLU and leaky ReLU keep the sign."""
    return y > 0


def missing(units):
    """% of the units of each replica that are not among these, [R], for bool [hidden, R, width]."""
    return 100 * (1 - units.double().mean((0, 2)))


# ---- Dead units, followed -----------------------------------------------------------------------


@dataclass
class Followed:
    """The units of one layer, [R, width]: which are dead, and their weights [R, in, width] and
    biases [R, 1, width]."""

    layer: int
    dead: torch.Tensor
    weights: torch.Tensor
    biases: torch.Tensor

    def ratio(self, weights, biases):
        """The largest of these numbers at a dead unit over the largest at a live one, [R]."""
        both = torch.cat([weights, biases], 1).abs().amax(1)
        at_dead = both.where(self.dead, 0).amax(1)
        return at_dead / both.where(~self.dead, 0).amax(1)


@torch.no_grad()
def followed(dataset, name, optimizer, settings):
    """Yields the rows of units that are made dead during a training, and of what becomes of them
    in the rest of it."""
    levels = {"dataset": name, "optimizer": optimizer, "learning_rate": arms.RATES[optimizer]}
    levels |= {"depth": FOLLOWED_DEPTH, "width": settings["width"]}
    images, seeds = settings["images"], settings["seeds"]
    runs = [training.Training(training.run(settings, images, seed, **levels)) for seed in seeds]
    batch, layers = training.Batch(runs, dataset), []
    end = settings["killed_after"] + settings["followed_for"]
    for step in training.each_step(batch, end):
        if step == settings["killed_after"]:
            layers = [kill(batch.network, dataset, layer) for layer in LAYERS]
            whole = dataset.normalise(dataset.train.images), dataset.train.labels
            training.gradients(batch.network, *whole)
            gradients = batch.network.gradients
            ratios = [of.ratio(gradients.weights[of.layer], gradients.biases[of.layer])
                      for of in layers]  # fmt: skip
    alive = somewhere(batch.network, dataset, positive)[0]
    sound = batch.network.parameters.flat.isfinite().all(1).tolist()
    for of, ratio in zip(layers, ratios, strict=True):
        parts = batch.network.parameters
        change = of.ratio(parts.weights[of.layer] - of.weights, parts.biases[of.layer] - of.biases)
        revived = 100 * (alive[of.layer] & of.dead).sum(1) / of.dead.sum(1)
        for quantity, values in (
            ("gradient_of_dead", ratio), ("change_of_dead", change), ("revived", revived)
        ):  # fmt: skip
            where = {"quantity": quantity, "optimizer": optimizer, "layer": of.layer + 1}
            for seed, value, kept in zip(seeds, values.tolist(), sound, strict=True):
                if kept:  # of NaN weights nothing can be said
                    yield where | {"seed": seed, "value": value}


def kill(network: Network, dataset: Dataset, layer: int) -> Followed:
    """Make every other unit of a hidden layer dead, by a bias just so low that its input is
    negative for every training image; the other half is left."""
    parts = network.parameters
    weights, biases = parts.weights[layer], parts.biases[layer]
    if layer:
        below = torch.cat([of[layer - 1].clone() for of in outputs(network, dataset)], 1)
    else:
        below = dataset.normalise(dataset.train.images).expand(len(weights), -1, -1)
    z = below @ weights + biases
    highest, spread = z.amax(1, keepdim=True), z.std(1, keepdim=True)
    dead = torch.arange(z.shape[2], device=z.device) % 2 == 0
    biases.sub_((highest + JUST * spread).clamp(min=0) * dead)
    # units that fire for no image by themselves are dead as well
    dead = ~somewhere(network, dataset, positive)[0][layer]
    return Followed(layer, dead, weights.clone(), biases.clone())


# ---- Trainings ----------------------------------------------------------------------------------


def at_start(dataset, depth, settings):
    """Yields the rows of dead ReLUs before training. Without biases the scale of the weights
    changes no sign, so one random start stands for all; with zero weights no input is positive."""
    shape = Architecture(depth, "plain", "relu", settings["width"])
    for init, levels in (("he", {}), ("zeros", {"init": "zeros"})):
        starts = [(init, seed) for seed in settings["seeds"]]
        network = Network.initial(shape, starts, device=settings["device"])
        dead = missing(somewhere(network, dataset, positive)[0])
        for seed, value in zip(settings["seeds"], dead.tolist(), strict=True):
            row = {"quantity": "dead_at_start", "seed": seed, "value": value, "depth": depth}
            yield row | levels


def rates(optimizer, settings):
    """The recommended rate and the higher ones."""
    return [arms.RATES[optimizer] * times for times in (1, *settings["higher"])]


def counted(dataset, name, depth, settings) -> pd.DataFrame:
    """One row per training of networks of this depth: activation, init, optimizer, learning_rate,
    seed, test_accuracy, outcome, and in % `dead` and `without_gradient`, NaN if it became NaN."""
    tables = []
    for activation, optimizer in itertools.product(["relu", "leaky_relu"], OPTIMIZERS):
        runs = [
            training.run(
                settings, settings["images"], seed, dataset=name, depth=depth, init=init,
                activation=activation, optimizer=optimizer, learning_rate=rate,
                width=settings["width"], epochs=settings["epochs"],
            )
            for rate in rates(optimizer, settings)
            for init in GOOD + BAD
            for seed in settings["seeds"]
        ]  # fmt: skip
        rows = training.train(runs, dataset, ("test",), parameters=True)
        shape = Architecture(depth, "plain", activation, settings["width"])
        for row in rows:
            flat = row.pop("parameters")
            row |= {"dead": torch.nan, "without_gradient": torch.nan}
            if flat is not None:
                network = Network(shape, flat[None])
                fires, learns = somewhere(network, dataset, positive, network.activation.slope)
                row |= {"dead": missing(fires).item(), "without_gradient": missing(learns).item()}
        tables.append(tidy.named(rows))
    return pd.concat(tables, ignore_index=True)


def comparisons(rows: pd.DataFrame) -> list[dict]:
    """The rows of the table of what `counted` found."""
    axes = ["depth", "init", "activation", "optimizer", "learning_rate"]
    found = []
    for quantity in ("dead", "without_gradient", "test_accuracy"):
        named = rows.rename(columns={quantity: "value"})[[*axes, "seed", "outcome", "value"]]
        found += named.assign(quantity=quantity).to_dict("records")
    for (optimizer, rate), of in rows.groupby(["optimizer", "learning_rate"]):
        relu = {init: mine for init, mine in of[of["activation"] == "relu"].groupby("init")}
        leaky = {init: mine for init, mine in of[of["activation"] == "leaky_relu"].groupby("init")}
        if rate == arms.RATES[optimizer]:
            pairs = [("killed_by_start", relu[init], relu["he"], {"init": init}) for init in BAD]
        else:
            low = rows[(rows["activation"] == "relu") & (rows["optimizer"] == optimizer)]
            low = low[low["learning_rate"] == arms.RATES[optimizer]]
            pairs = [
                ("killed_by_rate", relu[init], low[low["init"] == init], {"init": init})
                for init in GOOD
            ]
        pairs += cures(relu, leaky)
        where = {"optimizer": optimizer, "learning_rate": rate}
        for quantity, a, b, levels in pairs:
            found += difference(quantity, a, b).assign(**where, **levels).to_dict("records")
    return found


def cures(relu, leaky):
    """Yields (quantity, arm, arm, levels) of one optimizer and rate: without a cure and with it,
    where it is needed. relu, leaky: {init: trainings}."""
    for init, without in relu.items():
        # not where a run has no count
        if not without["dead"].median(skipna=False) >= FEW:
            continue
        half, levels = without.assign(dead=without["dead"] / 2), {"init": init}
        yield "halved_by_leak", half, leaky[init], levels
        no_gradient = leaky[init].assign(dead=leaky[init]["without_gradient"])
        yield "gradient_by_leak", half, no_gradient, levels
        yield "gained_by_leak", leaky[init], without, levels
        for remedy in GOOD if init in BAD else ():
            yield "halved_by_start", half, relu[remedy], levels | {"remedy": remedy}
            yield "gained_by_start", relu[remedy], without, levels | {"remedy": remedy}


def difference(quantity, a, b) -> pd.DataFrame:
    """Rows of a quantity: `a` minus `b`, two tables of trainings, by depth and seed: their test
    accuracies with both sides, or their shares of dead units, which are no accuracies."""
    if quantity.startswith("gained"):
        return best_rates.minus(a, b, ["depth"]).assign(quantity=quantity)
    return best_rates.minus(a, b, ["depth"], "dead").assign(quantity=quantity, a=None, b=None)
