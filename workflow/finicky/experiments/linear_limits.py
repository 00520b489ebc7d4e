"""Where do linear models on images end, and what takes over? Four models on digits.

Logistic regression on pixels and on hand-made features (histograms of oriented gradients), a
network of one hidden layer, and a small convolutional network learn from 10 to many examples a
class. The digits stand in the middle, or are moved at random, or have all their pixels rearranged
by one fixed permutation. Each seed has its own training images, start and order; what is held out
and tested is the same for all.
"""

import copy
import itertools
import math

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional

from finicky.data import CHANCE
from finicky.engine import streams
from finicky.engine import train as engine
from finicky.experiments import stacked, tidy, training, tuning
from finicky.experiments.stacked import Recipe
from finicky.runs import OUTCOMES

TITLE = "The limits of linear models"
READS = []
DATASETS = ["mnist", "fashion_mnist"]
SETTINGS = {
    "datasets": ("datasets", "data sets"),
    "pool": ("images", "images that the training images are drawn from"),
    "shift": ("shift", "pixels that an image is moved by at most, each way"),
    "images": (
        {
            "type": "array",
            "minItems": 1,
            "uniqueItems": True,
            "items": {"type": "integer", "minimum": 50, "multipleOf": 50, "maximum": 55000},
        },
        "training images, at most the pool's, in multiples of 50",
    ),
    "steps": (
        {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/steps"}},
        "steps of the networks at each of these numbers of images",
    ),
    "permuted_images": ("numbers_of_images", "those of them for which pixels are permuted too"),
}
LIMITS = {
    "count(steps) == count(images)": "steps for each number of images",
    "images <= pool": "some of the pool",
    "permuted_images in images": "some of the numbers of images",
}
QUANTITIES = {
    "accuracy": ("%", "test accuracy by model, placement and training images"),
    "accuracy_elsewhere": ("%", "test accuracy on moved images after training on centred ones"),
    "linear_loses_by_moving": ("pp", "linear model on pixels: centred minus moved images"),
    "learned_loses_by_moving": ("pp", "network: centred minus moved images"),
    "learned_minus_linear": ("pp", "network minus linear model on pixels"),
    "linear_minus_learned": ("pp", "linear model on pixels minus network"),
    "features_minus_linear": ("pp", "linear model on gradient histograms minus on pixels"),
    "features_beyond_half_way": ("pp", "what gradient histograms add to the linear model minus "
                                 "half of the convolutional network's lead over it"),
    "learned_minus_features": ("pp", "network minus linear model on gradient histograms"),
    "passes_linear_at": ("images", "training images from which the network leads the linear model "
                         "on pixels; an end of the range where that lies outside"),
    "passes_features_at": ("images", "the same for the linear model on gradient histograms"),
    "gain_of_convolution": ("pp", "convolutional network minus network of one hidden layer"),
    "gain_lost_by_permutation": ("pp", "gain of convolution on centred images minus that on "
                                 "permuted ones"),
    "loss_when_permuted": ("pp", "permuted images: network of one hidden layer minus convolutional "
                           "network"),
    "gain_added_by_moving": ("pp", "gain of convolution on moved minus that on centred images"),
}  # fmt: skip
CONDITIONS = {
    "dataset": "level",
    "placement": ["centred", "moved", "permuted"],
    "images": "integer",
    "model": ["linear", "HOG + linear", "MLP", "convolution"],
}
BUDGET = "{images} images of {dataset}; networks: {steps} steps"
LINEAR, FEATURES, MLP, CNN = "linear", "HOG + linear", "MLP", "convolution"
LEARNED = [MLP, CNN]
SIDE = 28
BATCH = 50  # images; divides every number of training images
RATE = 0.005  # of Adam, falling to 0: of 0.003, 0.005 and 0.01 the best for either network on
# held-out images, centred and moved, with seeds that are measured nowhere
PENALTIES = [0.001, 0.01, 0.1]  # scikit-learn's C, in the order in which they are fitted
LEVELS = {"depth": 2, "optimizer": "adam", "learning_rate": RATE, "batch_size": BATCH}
ITERATIONS = 20  # of L-BFGS at each penalty, from the last one's weights


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, condition and seed; QUANTITIES says what each number is."""
    return comparisons(pd.concat([scores(name, settings) for name in settings["datasets"]]))


# ---- Images -------------------------------------------------------------------------------------


def placed(dataset: engine.Dataset, change) -> engine.Dataset:
    """The data set with its images [N, 784] changed by `change(images, name of the split)`, which
    works on the CPU."""
    new = copy.copy(dataset)
    for name, split in dataset.splits().items():
        images = change(split.images.cpu(), name).to(split.images.device)
        setattr(new, name, engine.Split(images, split.labels))
    return new


def moved(images: torch.Tensor, split: str, shift: int) -> torch.Tensor:
    """Each image [N, 784] moved by its own -shift ... shift pixels each way; what leaves is lost,
    what comes in is black."""
    random = streams.generator("linear-limits", "shift", split)
    offset = torch.randint(0, 2 * shift + 1, (2, len(images), 1), generator=random)
    wide = functional.pad(images.view(-1, SIDE, SIDE), (shift,) * 4)
    rows, columns = offset + torch.arange(SIDE)
    image = torch.arange(len(images))[:, None, None]
    return wide[image, rows[:, :, None], columns[:, None, :]].flatten(1)


def permuted(images: torch.Tensor, split: str) -> torch.Tensor:
    """All images [N, 784] with their pixels in one other order."""
    return images[:, streams.permutation(SIDE * SIDE, "linear-limits", "pixels")]


def hog(pixels: np.ndarray, cell: int = 7, bins: int = 9) -> np.ndarray:
    """Histograms of oriented gradients of images [N, 28, 28]: [N, features], float32.

    Dalal and Triggs (2005, CVPR) in the form of skimage.feature.hog, which takes one image at a
    time: cells of 7 × 7 pixels, 9 orientations, blocks of 2 × 2 cells, L2-Hys.
    """
    pixels = pixels.astype(np.float32)
    down, right = np.zeros_like(pixels), np.zeros_like(pixels)
    down[:, 1:-1] = pixels[:, 2:] - pixels[:, :-2]
    right[:, :, 1:-1] = pixels[:, :, 2:] - pixels[:, :, :-2]
    count, cells = len(pixels), pixels.shape[1] // cell
    image, row, column = np.nonzero((down != 0) | (right != 0))  # most of a digit is flat
    down, right = down[image, row, column], right[image, row, column]
    angle = np.degrees(np.arctan2(down, right)) % 180
    orientation = np.minimum((angle * (bins / 180)).astype(np.int64), bins - 1)
    of_pixel = (image * cells + row // cell) * cells + column // cell
    histograms = np.bincount(
        of_pixel * bins + orientation,
        np.hypot(down, right),
        minlength=count * cells * cells * bins,
    ).reshape(count, cells, cells, bins)
    histograms = histograms / cell**2
    corners = itertools.product((0, 1), (0, 1))
    steps = [histograms[:, i : cells - 1 + i, j : cells - 1 + j] for i, j in corners]
    blocks = np.concatenate(steps, -1)
    for cut in (0.2, np.inf):
        norms = np.sqrt((blocks**2).sum(-1, keepdims=True) + 1e-10)
        blocks = np.minimum(blocks / norms, cut)
    return blocks.reshape(count, -1).astype(np.float32)


# ---- Four models, trained for all seeds ---------------------------------------------------------


def scores(name: str, settings: dict) -> pd.DataFrame:
    """One row per model, placement, number of training images and seed: accuracies (%), outcome."""
    whole, shift = training.prepared(name, settings, settings["pool"]), settings["shift"]
    placements = {
        "centred": whole,
        "moved": placed(whole, lambda images, split: moved(images, split, shift)),
        "permuted": placed(whole, permuted),
    }
    sizes = dict(zip(settings["images"], settings["steps"], strict=True))
    elsewhere = placements["moved"].test
    rows = []
    for placement, dataset in placements.items():
        tests = {"accuracy": dataset.test}
        if placement == "centred":
            tests["accuracy_elsewhere"] = elsewhere
        if placement != "permuted":
            found = linear_models(dataset, settings["seeds"], list(sizes), tests)
            rows += [row | {"placement": placement} for row in found]
        for images, steps in sizes.items():
            models = {MLP: mlp, CNN: convolution}
            if placement == "permuted":
                # to the other one, any order of the pixels is as good as any other
                models = {CNN: convolution} if images in settings["permuted_images"] else {}
            scored = tests if images == max(sizes) else {"accuracy": dataset.test}
            for model, train in models.items():
                where = {"placement": placement, "images": images, "model": model}
                runs = [
                    training.run(settings, images, seed, dataset=name, **LEVELS)
                    for seed in settings["seeds"]
                ]
                rows += [row | where for row in train(dataset, runs, steps, scored)]
    return pd.DataFrame(rows).assign(dataset=name)


def drawn(pool: int, seed: int, images: int) -> torch.Tensor:
    """Which images of the pool each seed trains on; more images include the fewer."""
    return streams.permutation(pool, seed, "linear-limits", "images")[:images]


def linear_models(dataset, seeds, sizes, tests):
    """Yields one row per kind of input, number of images and seed: logistic regression at the
    penalty that is best for the held-out images of the other seeds."""
    inputs = {LINEAR: lambda images: images, FEATURES: hog_of}
    for model, see in inputs.items():
        held_out = see(as_floats(dataset, dataset.validation.images))
        seen = {q: see(as_floats(dataset, split.images)) for q, split in tests.items()}
        fits = {}
        for seed in seeds:
            index = drawn(len(dataset.train.labels), seed, max(sizes))
            x, y = see(as_floats(dataset, dataset.train.images[index])), dataset.train.labels[index]
            for images in sizes:
                for fit in logistic_regressions(x[:images], y[:images].cpu().numpy()):
                    validation = percent(fit.predict(held_out), dataset.validation.labels)
                    fits[images, fit.C, seed] = validation, fit
        for images, seed in itertools.product(sizes, seeds):
            scores = {s: {p: fits[images, p, s][0] for p in PENALTIES} for s in seeds}
            penalty = tuning.best_level(pd.DataFrame(scores), seed)
            _, fit = fits[images, penalty, seed]
            where = {"images": images, "seed": seed, "model": model, "outcome": "finite"}
            yield where | {q: percent(fit.predict(seen[q]), tests[q].labels) for q in tests}


def as_floats(dataset, images) -> np.ndarray:
    """Images [N, 784], normalised."""
    return dataset.normalise(images).cpu().numpy()


def hog_of(images: np.ndarray) -> np.ndarray:
    """Histograms of images [N, 784], shifted and scaled so that they suit the same penalties; they
    do not depend on the pixels' scale."""
    parts = [hog(part.reshape(-1, SIDE, SIDE)) for part in np.array_split(images, 10)]
    return (np.concatenate(parts) - 0.1) / 0.03


def logistic_regressions(x, y):
    """Yields scikit-learn's fits, from the strongest penalty to the weakest."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=ITERATIONS, warm_start=True)
    for penalty in PENALTIES:
        model.C = penalty
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # stopping early is a penalty too
            model.fit(x, y)
        yield copy.copy(model)  # the next fit makes new weights


def percent(answers, labels) -> float:
    """Share of right answers in %."""
    return 100 * float((torch.as_tensor(answers) == labels.cpu()).float().mean())


@torch.no_grad()
def mlp(dataset, runs, steps, tests) -> list[dict]:
    """The engine's network of two layers, trained for these steps: one row per run."""
    pool = len(dataset.train.labels)
    trainings = [
        training.Training(
            run,
            schedule=lambda step, _: 1 - step / steps,
            subset=drawn(pool, run.seed, run.images),
        )
        for run in runs
    ]
    batch = training.Batch(trainings, dataset)
    for _ in training.each_step(batch, steps):
        pass
    finite = batch.network.parameters.flat.isfinite().all(1)
    accuracies = {
        quantity: [accuracy for _, accuracy in engine.evaluate(batch.network, dataset, split)]
        for quantity, split in tests.items()
    }
    return rows_of(runs, finite, accuracies)


def recipe(pool, runs, steps) -> Recipe:
    """How the convolutional networks train: on `mlp`'s images, in its order and at its rates."""
    seeds, images = [run.seed for run in runs], runs[0].images
    return Recipe(
        seeds,
        rates=[RATE] * len(seeds),
        images=images,
        epochs=math.ceil(steps * BATCH / images),
        batch_size=BATCH,
        schedule=lambda step, _: 1 - step / steps,
        subsets=torch.stack([drawn(pool, seed, images) for seed in seeds]),
    )


def convolution(dataset, runs, steps, tests) -> list[dict]:
    """Small convolutional networks in place of the runs' own, all seeds side by side: one row per
    run."""
    network = convolutional_network([run.seed for run in runs])
    made = stacked.each_step(network, dataset, recipe(len(dataset.train.labels), runs, steps))
    next(step for step in made if step.number == steps)
    accuracies = {
        quantity: [accuracy for _, accuracy in stacked.scores(network, dataset, split)]
        for quantity, split in tests.items()
    }
    return rows_of(runs, stacked.finite(network), accuracies)


def convolutional_network(seeds) -> nn.Sequential:
    """8 and 16 channels of 5 × 5 at stride 2, ReLU, and a linear layer, one network for each seed
    (LeCun et al. 1989, without its sparse connections)."""
    return nn.Sequential(
        stacked.Images(),
        stacked.Convolution(seeds, 1, 8, kernel=5, stride=2, name=0),
        stacked.Activation("relu"),
        stacked.Convolution(seeds, 8, 16, kernel=5, stride=2, name=1),
        stacked.Activation("relu"),
        stacked.Flatten(),
        stacked.Dense(seeds, 16 * 7 * 7, 10, name=2),
    )


def rows_of(runs, finite, accuracies) -> list[dict]:
    """One row per run; a network whose weights became inf or NaN scores chance."""
    rows = []
    for place, run in enumerate(runs):
        values = {q: of[place] if finite[place] else CHANCE for q, of in accuracies.items()}
        rows.append({"seed": run.seed, "outcome": "finite" if finite[place] else "nan", **values})
    return rows


# ---- Comparisons --------------------------------------------------------------------------------


def comparisons(scored: pd.DataFrame) -> pd.DataFrame:
    """The tidy table of the rows of `scores`."""
    key = ["dataset", "placement", "images", "seed"]
    index = scored.set_index([*key, "model"])
    wide = index["accuracy"].unstack("model")
    worst = index["outcome"].map(OUTCOMES.index).groupby(level=key).max()
    outcome = worst.map(OUTCOMES.__getitem__)

    def at(placement):
        """The accuracies there, without the placement in the index."""
        return wide.xs(placement, level="placement")

    def both(quantity, a, b, outcomes, **where):
        """Rows of accuracies `a` minus `b`, the two sides in %."""
        difference = pd.DataFrame({"value": a - b, "a": a, "b": b}).dropna()
        return difference.assign(outcome=outcomes, quantity=quantity, **where).reset_index()

    def plain(quantity, value, outcomes, **where):
        rows = value.rename("value").dropna().to_frame()
        return rows.assign(outcome=outcomes, quantity=quantity, **where).reset_index()

    centred, off, mixed = at("centred"), at("moved"), at("permuted")
    natural = wide[wide.index.get_level_values("placement") != "permuted"]
    here, there = (outcome.xs(p, level="placement") for p in ("centred", "moved"))
    gain = {"centred": centred[CNN] - centred[MLP], "moved": off[CNN] - off[MLP]}
    # a network of one hidden layer trains as well with any order of the pixels
    gain["permuted"] = mixed[CNN] - centred[MLP]
    half_way = (natural[CNN] + natural[LINEAR]) / 2
    rows = [
        scored.assign(quantity="accuracy", value=scored["accuracy"]),
        scored.assign(quantity="accuracy_elsewhere", value=scored["accuracy_elsewhere"]),
        both("linear_loses_by_moving", centred[LINEAR], off[LINEAR], there),
        both("features_minus_linear", natural[FEATURES], natural[LINEAR], outcome),
        plain("features_beyond_half_way", natural[FEATURES] - half_way, outcome),
        plain("gain_of_convolution", gain["permuted"], here, placement="permuted"),
        plain("gain_lost_by_permutation", gain["centred"] - gain["permuted"], here),
        both("loss_when_permuted", centred[MLP], mixed[CNN], here),
        plain("gain_added_by_moving", gain["moved"] - gain["centred"], there),
        both("gain_of_convolution", natural[CNN], natural[MLP], outcome),
    ]
    for model in LEARNED:
        pairs = {LINEAR: "linear", FEATURES: "features"}
        rows += [
            both("learned_loses_by_moving", centred[model], off[model], there, model=model),
            both("linear_minus_learned", natural[LINEAR], natural[model], outcome, model=model),
        ]
        for other, name in pairs.items():
            ahead = both(
                f"learned_minus_{name}", natural[model], natural[other], outcome, model=model
            )
            rows += [ahead, crossings(ahead).assign(quantity=f"passes_{name}_at", model=model)]
    types = tidy.columns(CONDITIONS)
    table = pd.concat([part.reindex(columns=list(types)).astype(types) for part in rows])
    return table.dropna(subset="value").reset_index(drop=True)


def crossings(ahead: pd.DataFrame) -> pd.DataFrame:
    """For each dataset, placement and seed the number of images from which `value` stays above 0:
    between two measured ones interpolated in its logarithm, else an end of their range."""
    rows = []
    for key, group in ahead.groupby(["dataset", "placement", "seed"]):
        group = group.sort_values("images")
        images = group["images"].to_numpy(dtype=float)
        lead = group["value"].to_numpy()
        behind = np.flatnonzero(lead <= 0)
        if not len(behind):
            at = images[0]
        elif behind[-1] == len(lead) - 1:
            at = images[-1]
        else:
            i = behind[-1]
            share = -lead[i] / (lead[i + 1] - lead[i])
            at = images[i] * (images[i + 1] / images[i]) ** share
        rows.append((*key, at))
    columns = ["dataset", "placement", "seed", "value"]
    return pd.DataFrame(rows, columns=columns).assign(outcome="finite")
