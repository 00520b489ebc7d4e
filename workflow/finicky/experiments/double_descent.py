"""Double descent: does test error peak where a model can just fit its data, and fall again beyond?

Two models that grow: random ReLU features fitted by least squares, of least norm where many fit;
and networks of one hidden tanh layer, trained by the engine until wide ones fit (narrow ReLU layers
die, and their errors jump). Both are fitted to a few hundred digits, with true labels and with a
share of wrong ones.
"""

import numpy as np
import pandas as pd

from finicky.experiments import tidy, tuning
from finicky.runs import OUTCOMES

TITLE = "Double descent: random features and networks by size"
READS = []
DATASETS = ["mnist"]
SETTINGS = {
    "images": (
        {"type": "integer", "minimum": 2, "maximum": 50000},
        "training images of each seed, drawn from 50,000",
    ),
    "test_images": ("test_images", "test images that errors are taken on"),
    "noise": ("shares", "shares of wrong labels"),
    "features": ("widths", "numbers of random features"),
    "units": ("widths", "hidden units of the networks"),
    "epochs": ("epochs", "epochs of every network"),
    "learning_rate": ("rate", "of every network (momentum)"),
}
QUANTITIES = {
    "peaks_and_falls": ("0/1", "whether test error within a factor 2 of the smallest size that "
                        "fits rises more than 1 pp above that of a smaller model and falls more "
                        "than 1 pp to that of the largest"),
    "rise": ("pp", "test error at that peak minus the lowest of a smaller model"),
    "second_fall": ("pp", "test error at that peak minus that of the largest model"),
    "largest_minus_best_small": ("pp", "test accuracy of the largest model minus that of the best "
                                 "one too small to fit, chosen by the other seeds"),
    "largest_minus_fitting": ("pp", "test accuracy of the largest model minus that of the smallest "
                              "that fits"),
    "fitting_minus_best_small": ("pp", "test accuracy of the smallest model that fits minus that "
                                 "of the best one too small to fit"),
    "fits_from": ("", "smallest size that fits: random features, or hidden units"),
    "as_many_weights": ("", "size with as many trained weights as numbers to be fitted"),
    "test_error": ("%", "by size"),
    "train_error": ("%", "by size"),
}  # fmt: skip
CONDITIONS = {
    "model": ["random features", "two-layer network"],
    "share_of_wrong_labels": "number",
    "size": "integer",
}
BUDGET = "{images} images of MNIST; networks: {epochs} epochs"
FEATURES, TRAINED = "random features", "two-layer network"
FITS = 1.0  # %: training error below which a model fits
NEAR = 2  # a peak lies within this factor of the smallest size that fits
MARGIN = 1.0  # pp: a smaller rise or fall does not count
CLASSES = 10
BATCH = 100


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, condition and seed; QUANTITIES says what each number is.

    Conditions: `size`, random features or hidden units; `share_of_wrong_labels`, of all labels.
    """
    samples = Samples(settings)
    rows = []
    for model, errors in (
        (FEATURES, random_features(samples, settings["features"])),
        (TRAINED, trained(samples, settings)),
    ):
        errors = pd.DataFrame(errors)
        for noise, mine in errors.groupby("noise"):
            where = {"model": model, "share_of_wrong_labels": noise}
            rows += [where | row for row in read_off(mine)]
    for seed in settings["seeds"]:
        images, inputs = settings["images"], samples.dataset.test.images.shape[1]
        counted = {FEATURES: images, TRAINED: CLASSES * (images - 1) / (inputs + 1 + CLASSES)}
        for model, value in counted.items():
            where = {"model": model, "seed": seed}
            rows.append(where | {"quantity": "as_many_weights", "value": value})
    return tidy.from_rows(rows, CONDITIONS)


# ---- The images ---------------------------------------------------------------------------------


class Samples:
    """Every seed's training images with each share of wrong labels, as one data set in blocks.

    The blocks (noise, seed) lie one after the other in `dataset.train`, `images` each. A wrong
    label is one of the nine others; a seed has the same images at every share.
    """

    def __init__(self, settings):
        import torch

        from finicky.engine import streams
        from finicky.engine import train as engine
        from finicky.experiments.training import first, prepared

        self.images, self.seeds, self.noise = (
            settings[key] for key in ("images", "seeds", "noise")
        )
        whole = prepared("mnist", settings, 50_000)
        drawn, labels = [], []
        for noise in self.noise:
            for seed in self.seeds:
                chosen = streams.permutation(50_000, seed, "sample")[: self.images]
                random = np.random.default_rng([seed, 23])
                wrong = random.permutation(self.images)[: round(noise * self.images)]
                shift = np.zeros(self.images, dtype=np.int64)
                shift[wrong] = random.integers(1, CLASSES, len(wrong))
                drawn.append(whole.train.images[chosen])
                true = whole.train.labels[chosen]
                labels.append((true + torch.tensor(shift, device=true.device)) % CLASSES)
        whole.train = engine.Split(torch.cat(drawn), torch.cat(labels))
        whole.test = first(whole.test, settings["test_images"])
        self.dataset = whole
        self.blocks = [(noise, seed) for noise in self.noise for seed in self.seeds]

    def block(self, place):
        """The training images of the block at this place, as a Split."""
        from finicky.engine import train as engine

        rows = slice(place * self.images, (place + 1) * self.images)
        return engine.Split(self.dataset.train.images[rows], self.dataset.train.labels[rows])

    def normalised(self, split):
        """A split's images as floats [images, 784], on the CPU."""

        pixels = split.images
        return self.dataset.normalise(pixels).cpu()


# ---- Random features ----------------------------------------------------------------------------


def random_features(samples, sizes):
    """Errors of the least-squares fits of least norm on the first N of a seed's random features
    max(0, xw), w normal, targets one-hot: one row per size, share of wrong labels and seed."""
    import torch

    from finicky.engine import streams

    test = samples.normalised(samples.dataset.test)
    truth = samples.dataset.test.labels.cpu().numpy()
    for seed in samples.seeds:
        places = [k for k, (_, other) in enumerate(samples.blocks) if other == seed]
        splits = [samples.block(place) for place in places]
        labels = np.stack([split.labels.cpu().numpy() for split in splits])
        directions = torch.randn(
            test.shape[1], max(sizes), generator=streams.generator(seed, "features")
        )
        directions /= test.shape[1] ** 0.5
        seen, unseen = (
            torch.relu_(images @ directions).double().numpy()
            for images in (samples.normalised(splits[0]), test)
        )
        targets = np.concatenate([np.eye(CLASSES)[given] for given in labels], axis=1)
        for size in sizes:
            weights = np.linalg.lstsq(seen[:, :size], targets, rcond=None)[0]
            guesses = [
                (of[:, :size] @ weights).reshape(len(of), len(places), CLASSES).argmax(2).T
                for of in (seen, unseen)
            ]
            for k, place in enumerate(places):
                yield {
                    "noise": samples.blocks[place][0], "seed": seed, "size": size,
                    "train_error": 100 * (guesses[0][k] != labels[k]).mean(),
                    "test_error": 100 * (guesses[1][k] != truth).mean(),
                }  # fmt: skip


# ---- Networks -----------------------------------------------------------------------------------


def trained(samples, settings):
    """Errors of trained networks: one row per width, share of wrong labels and seed. What became
    NaN guesses."""
    from finicky.experiments import training

    levels = {
        "epochs": settings["epochs"], "activation": "tanh", "init": "xavier",
        "optimizer": "momentum", "learning_rate": settings["learning_rate"], "batch_size": BATCH,
    }  # fmt: skip
    keys = [
        (units, place, *block)
        for units in settings["units"]
        for place, block in enumerate(samples.blocks)
    ]
    trainings = [
        training.Training(
            training.run(settings, samples.images, seed, width=units, **levels), block=place
        )
        for units, place, _, seed in keys
    ]
    ends = training.train(trainings, samples.dataset, splits=("train", "test"))
    for (units, _, noise, seed), end in zip(keys, ends, strict=True):
        yield {
            "noise": noise, "seed": seed, "size": units, "outcome": OUTCOMES[end["outcome"]],
            "train_error": 100 - end["train_accuracy"], "test_error": 100 - end["test_accuracy"],
        }  # fmt: skip


# ---- What the curves say ------------------------------------------------------------------------


def read_off(errors):
    """Rows of all quantities from errors (columns size, seed, test_error, train_error, and outcome
    where they are of trainings)."""
    curves = errors.pivot(index="size", columns="seed", values="test_error")
    left = errors.pivot(index="size", columns="seed", values="train_error")
    for seed in curves:
        for row in errors[errors["seed"] == seed].sort_values("size").to_dict("records"):
            where = {key: row[key] for key in ("seed", "size", "outcome") if key in row}
            yield where | {"quantity": "test_error", "value": row["test_error"]}
            yield where | {"quantity": "train_error", "value": row["train_error"]}
        fitting = left.index[left[seed] < FITS]
        rise, fall = peak(curves[seed], fitting.min()) if len(fitting) else (np.nan, np.nan)
        found = rise > MARGIN and fall > MARGIN
        yield {"seed": seed, "quantity": "peaks_and_falls", "value": float(found)}
        if not len(fitting) or fitting.min() == curves.index[0]:
            continue  # nothing is too small, or nothing is large enough
        if np.isfinite(rise):
            yield {"seed": seed, "quantity": "rise", "value": rise}
        yield {"seed": seed, "quantity": "second_fall", "value": fall}
        yield {"seed": seed, "quantity": "fits_from", "value": fitting.min()}
        small = tuning.best_level(-curves[curves.index < fitting.min()], seed)
        largest = curves.index[-1]
        for name, a, b in (
            ("largest_minus_best_small", largest, small),
            ("largest_minus_fitting", largest, fitting.min()),
            ("fitting_minus_best_small", fitting.min(), small),
        ):
            a, b = 100 - curves.loc[a, seed], 100 - curves.loc[b, seed]
            yield {"seed": seed, "quantity": name, "value": a - b, "a": a, "b": b}


def peak(errors, fits_from):
    """(rise, fall) in pp of the highest test error near `fits_from`: above the lowest of a smaller
    model (NaN if there is none), and down to the largest model's. errors: by size, ascending."""
    near = errors[(errors.index >= fits_from / NEAR) & (errors.index <= fits_from * NEAR)]
    top = near.idxmax()
    return errors[top] - errors[errors.index < top].min(), errors[top] - errors.iloc[-1]
