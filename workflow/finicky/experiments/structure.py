"""How much structure do images have, and what can be learned without it?

Images are counted, and MNIST's pixels averaged. The intrinsic dimension of images is compared with
that of noise of the same size, and of noise that also has the images' covariance. Neighbours among
images are asked for their labels. Networks are trained on labels that were drawn at random, and on
images that are noise.
"""

import copy
import itertools
import math

import numpy as np
import pandas as pd

from finicky import data
from finicky.data import CHANCE
from finicky.experiments import tidy
from finicky.runs import FAILED

TITLE = "Structure in images"
READS = []
DATASETS = ["mnist", "fashion_mnist"]
SETTINGS = {
    "images": (
        {
            "type": "array",
            "minItems": 1,
            "uniqueItems": True,
            "items": {"type": "integer", "minimum": 20, "maximum": 30000},
        },
        "numbers of images whose dimension is estimated; neighbours are sought among the most",
    ),
    "asked": ("count", "images whose neighbours are ranked"),
    "learnt": (
        {
            "type": "array",
            "minItems": 1,
            "uniqueItems": True,
            "items": {"type": "integer", "minimum": 1, "maximum": 60000},
        },
        "numbers of images that networks are trained on",
    ),
    "width": ("widths", "hidden units of these networks"),
    "epochs": ("epochs", "epochs at most; when all answers of all seeds are right, training stops"),
}
LIMITS = {
    "asked <= largest(images)": "some of the images",
}
QUANTITIES = {
    "exponent_as_printed": ("0/1", "1 if the decimal logarithm of the number of 256×256 RGB images "
                            "is 473,000 to the thousand; nothing random, so one number"),
    "image_exponent": ("thousand", "that logarithm"),
    "mean_as_printed": ("0/1", "1 if the mean of MNIST's training pixels is 0.1307 to the last "
                        "digit; nothing random, so one number"),
    "deviation_as_printed": ("0/1", "the same for their standard deviation and 0.3081"),
    "pixel_mean": ("", "mean of MNIST's training pixels, 0 to 1"),
    "pixel_deviation": ("", "standard deviation of MNIST's training pixels"),
    "test_pixel_mean": ("", "mean of MNIST's test pixels"),
    "test_pixel_deviation": ("", "standard deviation of MNIST's test pixels"),
    "dimension": ("dimensions", "intrinsic dimension by two nearest neighbours"),
    "noise_over_images": ("×", "intrinsic dimension of noise over that of images"),
    "components": ("components", "principal components that hold 95 % of the variance"),
    "components_over_images": ("×", "principal components of noise over those of images"),
    "neighbours_agree": ("%", "images of a class whose nearest neighbour is of that class"),
    "same_label": ("%", "pairs with the same label, by the rank of the neighbour"),
    "train_accuracy": ("%", "accuracy on the images trained on"),
    "test_accuracy": ("%", "accuracy on 10,000 images that were not"),
}  # fmt: skip
CONDITIONS = {
    "dataset": "level",
    "noise": ["none", "equal size", "equal covariance"],
    "images": "integer",
    "label": "integer",
    "rank": "integer",
    "task": ["true labels", "random labels", "noise images"],
    "width": "integer",
}
BUDGET = {
    "{images} images of {dataset}, at most {epochs} epochs": [
        "train_accuracy",
        "test_accuracy",
    ],
}
TRUE, RANDOM, NOISE = TASKS = ["true labels", "random labels", "noise images"]
CLASSES, SIDE = 10, 28
KEPT = 0.9  # share of the images that the fit of two neighbours keeps (Facco et al. 2017)


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, seed and condition; QUANTITIES says what each number is.

    Conditions: `rank` of a neighbour, none for a random pair; `images`, how many there are, or are
    trained on; `task`, what the networks are trained on.
    """
    from finicky.engine.train import prepare

    prepare()  # black margins have variances that are denormal numbers
    seeds, rows = settings["seeds"], []
    loaded = {name: data.load(name, settings["data"]) for name in DATASETS}
    rows += [row | {"seed": seeds[0]} for row in (*counted(), *averaged(loaded["mnist"]))]
    for seed in seeds:
        for name in DATASETS:
            images, labels = loaded[name][:2]
            found = compared(images, labels, settings, np.random.default_rng([seed, 41]))
            rows += [row | {"seed": seed, "dataset": name} for row in found]
    rows += list(memorised(loaded["mnist"], settings))
    return tidy.from_rows(rows, CONDITIONS)


# ---- Counting -----------------------------------------------------------------------------------


def counted():
    """The number of 256×256 RGB images is a whole number; its logarithm is exact to rounding."""
    exponent = math.log10(256 ** (256 * 256 * 3)) / 1000
    yield {"quantity": "image_exponent", "value": exponent}
    yield {"quantity": "exponent_as_printed", "value": as_printed(exponent, 473, 0)}


def averaged(arrays):
    """Mean and standard deviation over all pixels, as shares of 255; in whole numbers up to the
    last division."""
    import torch

    found = {}
    for prefix, images in (("", arrays[0]), ("test_", arrays[2])):
        count = torch.bincount(torch.from_numpy(images).view(-1), minlength=256).numpy()
        n, values = int(count.sum()), np.arange(256)
        total, squares = int(count @ values), int(count @ values**2)
        deviation = math.sqrt(n * squares - total**2) / n
        found[f"{prefix}pixel_mean"] = total / n / 255
        found[f"{prefix}pixel_deviation"] = deviation / 255
    found["mean_as_printed"] = as_printed(found["pixel_mean"], 0.1307, 4)
    found["deviation_as_printed"] = as_printed(found["pixel_deviation"], 0.3081, 4)
    for quantity, value in found.items():
        yield {"quantity": quantity, "value": value}


def as_printed(value, printed, digits):
    """1 if a number that was printed with so many digits after the point is the value, to half a
    unit of the last one; else 0."""
    return float(abs(value - printed) < 0.5 * 10**-digits)


# ---- Dimension and neighbours -------------------------------------------------------------------


def two_neighbours(distances):
    """Intrinsic dimension from distances [n, n] with infinity on the diagonal.

    The ratio μ of an image's second to its first neighbour's distance has P(μ ≤ m) = 1 − m^(−d) in
    d dimensions if the density is even that far; d is the slope of −log(1 − F) by log μ through
    the origin, the largest tenth left out (Facco, d'Errico, Rodriguez and Laio 2017, Scientific
    Reports 7:12140). Images that occur twice are left out.
    """
    first, second = distances.topk(2, largest=False).values.double().numpy().T
    ratios = np.sort(np.log(second[first > 0] / first[first > 0]))
    below = np.arange(1, len(ratios) + 1) / len(ratios)
    x, y = ratios[below <= KEPT], -np.log1p(-below[below <= KEPT])
    return float(x @ y / (x @ x))


def between(x):
    """Distances [n, n] between points [n, pixels], infinity on the diagonal."""
    import torch

    centred = torch.from_numpy((x - x.mean(0)).astype(np.float32))
    return torch.cdist(centred, centred).fill_diagonal_(torch.inf)


def components(x):
    """How many principal components of x [n, pixels] hold 95 % of its variance."""
    import torch

    variances = torch.linalg.eigvalsh(torch.cov(torch.from_numpy(x).float().T)).flip(0)
    return int(torch.searchsorted(variances.cumsum(0) / variances.sum(), 0.95)) + 1


def alike(x, random):
    """Gaussian noise with mean and covariance of x [n, pixels], as many points: random mixtures
    of the points' deviations from their mean."""
    import torch

    normals = torch.from_numpy(random.standard_normal((len(x), len(x)), np.float32))
    deviations = torch.from_numpy((x - x.mean(0)).astype(np.float32))
    return x.mean(0) + (normals @ deviations).numpy() / np.sqrt(len(x) - 1)


def compared(images, labels, settings, random):
    """Images against noise, and neighbours' labels: the rows of one data set and seed."""
    most = max(settings["images"])
    chosen = random.choice(len(images), most, replace=False)
    x, labels = images[chosen] / 255, labels[chosen]
    clouds = {
        "none": x,
        "equal size": random.integers(256, size=x.shape) / 255,
        "equal covariance": alike(x, random),
    }
    dimensions = {}
    for noise, cloud in clouds.items():
        distances = between(cloud)
        for n in settings["images"]:
            dimensions[noise, n] = two_neighbours(distances[:n, :n])
            where = {"quantity": "dimension", "noise": noise, "images": n}
            yield where | {"value": dimensions[noise, n]}
        if noise == "none":
            yield from agreeing(distances, labels, settings["asked"])
        else:
            ratio = dimensions[noise, most] / dimensions["none", most]
            yield {"quantity": "noise_over_images", "noise": noise, "value": ratio}
    held = {noise: components(clouds[noise]) for noise in ("none", "equal size")}
    yield {"quantity": "components", "value": held["none"]}
    ratio = held["equal size"] / held["none"]
    yield {"quantity": "components_over_images", "noise": "equal size", "value": ratio}


def agreeing(distances, labels, asked):
    """How often neighbours have the same label: by class, and by rank for the first `asked`."""
    nearest = labels[distances.argmin(1).numpy()]
    for label in np.unique(labels):
        share = 100 * (nearest[labels == label] == label).mean()
        yield {"quantity": "neighbours_agree", "label": label, "value": share}
    order = distances[:asked].argsort(1).numpy()[:, :-1]  # the last is the image itself
    # windows of ranks to average over, as single ones are few pairs
    ranks = np.unique(np.geomspace(1, order.shape[1] / 1.1, 40).astype(int))
    window = np.maximum(1, ranks // 10)
    same = labels[order] == labels[: len(order), None]
    for rank, wide in zip(ranks, window, strict=True):
        share = 100 * same[:, rank - 1 : rank - 1 + wide].mean()
        yield {"quantity": "same_label", "rank": rank, "value": share}
    shares = np.bincount(labels, minlength=CLASSES) / len(labels)
    yield {"quantity": "same_label", "value": 100 * (shares**2).sum()}  # of a random pair


# ---- Memorising ---------------------------------------------------------------------------------


def memorised(arrays, settings):
    """Rows of networks of two layers, trained until they know their images or `epochs` are over."""
    from finicky.experiments import training

    dataset = training.prepared("mnist", settings, 1)  # for how it normalises
    for task, images, width in itertools.product(TASKS, settings["learnt"], settings["width"]):
        levels = {"epochs": settings["epochs"], "width": width}
        runs = [training.run(settings, images, seed, **levels) for seed in settings["seeds"]]
        splits = [splits_of(arrays, task, run) for run in runs]
        for run, (outcome, scores) in zip(runs, trained(runs, splits, dataset), strict=True):
            where = {"task": task, "images": images, "width": width, "seed": run.seed}
            for quantity, value in scores.items():
                yield where | {"quantity": quantity, "value": value, "outcome": outcome}


def splits_of(arrays, task, run):
    """(training, test) of one run as engine Splits; its own images, labels and noise."""
    import torch

    from finicky.engine.train import Split

    random = np.random.default_rng([run.seed, 43])
    train_images, train_labels, test_images, test_labels = arrays
    chosen = random.choice(len(train_images), run.images, replace=False)
    splits = []
    for images, labels in (
        (train_images[chosen], train_labels[chosen]),
        (test_images, test_labels),
    ):
        if task == NOISE:
            images = random.integers(256, size=images.shape, dtype=np.uint8)
        if task != TRUE:
            labels = random.integers(CLASSES, size=len(labels))
        pair = torch.from_numpy(images), torch.from_numpy(labels).long()
        splits.append(Split(*(part.to(run.device) for part in pair)))
    return splits


def trained(runs, splits, dataset):
    """Train runs of different seeds, each on its own images; one (outcome, accuracies in %) per
    run.

    They stop together, when all know their images, so they are one batch on every machine; and
    each has test images of its own. `training.train` does neither.
    """
    import torch

    from finicky.engine import train as engine
    from finicky.experiments import training

    images = runs[0].images

    def all_known(epoch, going):
        for history in going:
            history.end_epoch(epoch, images, {})
        return all(history.curves[-1]["running_accuracy"] == 100 for history in going)

    together = copy.copy(dataset)
    together.train = engine.Split(
        torch.cat([train.images for train, _ in splits]),
        torch.cat([train.labels for train, _ in splits]),
    )
    trainings = [training.Training(run, block=block) for block, run in enumerate(runs)]
    batch = training.Batch(trainings, together)
    every, going = training.to_the_end(batch, all_known)
    for history, own in zip(every, splits, strict=True):
        scores = {"train_accuracy": CHANCE, "test_accuracy": CHANCE}
        if history in going and history.outcome not in FAILED:
            alone = batch.network.keep([going.index(history)])
            for quantity, split in zip(scores, own, strict=True):
                scores[quantity] = engine.evaluate(alone, dataset, split)[0][1]
        yield history.outcome, scores
