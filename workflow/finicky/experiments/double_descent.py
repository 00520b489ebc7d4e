"""Double descent: does test error peak where a model can just fit its data, and fall again beyond?

Two models that grow: random ReLU features fitted by least squares, of least norm where many fit;
and networks of one hidden tanh layer, trained by the engine until wide ones fit (narrow ReLU layers
die, and their errors jump). Both learn a few hundred digits, with true labels and with a share of
wrong ones.
"""

import itertools

import numpy as np
import pandas as pd

from finicky.experiments import arms

TITLE = "Double descent: random features and networks by size"
ANSWERS = ["C023", "C024"]
READS = []
DATASETS = ["mnist"]
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
FIGURES = {
    "F07": "Test error (solid) and training error (dashed) by size, with true labels and with "
    "every fifth label wrong. The vertical line is where the chapter expects the peak: as many "
    "features as images on the left; on the right as many weights as numbers to be fitted, ten a "
    "training image. The triangles mark the smallest size that fits, measured.",
}

CONDITIONS = {"network": "str", "noise": "str", "units": "Int64"}
FEATURES, TRAINED = "random features", "two-layer network"
FITS = 1.0  # %: training error below which a model fits
NEAR = 2  # a peak lies within this factor of the smallest size that fits
MARGIN = 1.0  # pp: a smaller rise or fall does not count
CLASSES = 10
BATCH = 100


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row a quantity, condition and seed; QUANTITIES says what each number is.

    settings: seeds, data, device; images (a seed's training images), test_images, noise (shares of
    wrong labels), features (numbers of random features), units (widths of the networks), epochs,
    learning_rate.
    """
    from finicky.engine import train as engine

    engine.prepare()
    samples = Samples(settings)
    rows = []
    for network, errors in (
        (FEATURES, random_features(samples, settings["features"])),
        (TRAINED, trained(samples, settings)),
    ):
        errors = pd.DataFrame(errors)
        for noise, mine in errors.groupby("noise"):
            where = {"network": network, "noise": said(noise)}
            rows += [where | row for row in read_off(mine)]
    for seed in settings["seeds"]:
        images, inputs = settings["images"], samples.dataset.test.images.shape[1]
        counted = {FEATURES: images, TRAINED: CLASSES * (images - 1) / (inputs + 1 + CLASSES)}
        for network, value in counted.items():
            where = {"network": network, "seed": seed}
            rows.append(where | {"quantity": "as_many_weights", "value": value})
    return arms.tidy(rows, CONDITIONS)


def said(noise):
    """A share of wrong labels in words."""
    return f"{100 * noise:g} % of labels wrong" if noise else "true labels"


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

        self.images, self.seeds, self.noise = (
            settings[key] for key in ("images", "seeds", "noise")
        )
        whole = engine.Dataset("mnist", settings["data"], 50_000, settings["device"])
        drawn, labels = [], []
        for noise in self.noise:
            for seed in self.seeds:
                chosen = streams.permutation(50_000, seed, "sample")[: self.images]
                random = np.random.default_rng([seed, 23])
                wrong = random.permutation(self.images)[: round(noise * self.images)]
                shift = np.zeros(self.images, dtype=np.int64)
                shift[wrong] = random.integers(1, CLASSES, len(wrong))
                drawn.append(whole.train.images[chosen])
                labels.append((whole.train.labels[chosen] + torch.tensor(shift)) % CLASSES)
        whole.train = engine.Split(torch.cat(drawn), torch.cat(labels))
        count = settings["test_images"]
        whole.test = engine.Split(whole.test.images[:count], whole.test.labels[:count])
        self.dataset = whole
        self.blocks = [(noise, seed) for noise in self.noise for seed in self.seeds]

    def block(self, place):
        """The training images of the block at this place, as a Split."""
        from finicky.engine import train as engine

        rows = slice(place * self.images, (place + 1) * self.images)
        return engine.Split(self.dataset.train.images[rows], self.dataset.train.labels[rows])

    def normalised(self, split):
        """A split's images as floats [images, 784]."""
        import torch

        return self.dataset.normalise(split.images, torch.empty(split.images.shape))


# ---- Random features ----------------------------------------------------------------------------


def random_features(samples, sizes):
    """Errors of the least-squares fits of least norm on the first N of a seed's random features
    max(0, xw), w normal, targets one-hot: a row a size, share of wrong labels and seed."""
    import torch

    from finicky.engine import streams

    test = samples.normalised(samples.dataset.test)
    truth = samples.dataset.test.labels.numpy()
    for number, seed in enumerate(samples.seeds):
        places = [k for k, (_, other) in enumerate(samples.blocks) if other == seed]
        splits = [samples.block(place) for place in places]
        labels = np.stack([split.labels.numpy() for split in splits])
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
                    "noise": samples.blocks[place][0], "seed": samples.seeds[number],
                    "size": size,
                    "train_error": 100 * (guesses[0][k] != labels[k]).mean(),
                    "test_error": 100 * (guesses[1][k] != truth).mean(),
                }  # fmt: skip


# ---- Networks -----------------------------------------------------------------------------------


def trained(samples, settings):
    """Errors of trained networks: a row a width, share of wrong labels and seed. What became NaN
    guesses."""
    import torch

    from finicky.engine import train as engine
    from finicky.experiments.trainings import InBlocks, to_the_end
    from finicky.runs import Run

    levels = {noise: [] for noise, _ in samples.blocks}
    for place, (noise, _) in enumerate(samples.blocks):
        levels[noise].append(place)
    for units, (noise, places) in itertools.product(settings["units"], levels.items()):
        runs = [
            Run(
                dataset="mnist", images=samples.images, epochs=settings["epochs"], depth=2,
                block="plain", activation="tanh", init="xavier", optimizer="momentum",
                learning_rate=settings["learning_rate"], batch_size=BATCH, width=units,
                seed=samples.blocks[place][1],
            )
            for place in places
        ]  # fmt: skip
        with torch.no_grad():
            batch = InBlocks(runs, samples.dataset, samples.images, places)
            _, going = to_the_end(batch)
        ended = {run.seed: row for row, run in enumerate(batch.runs)} if going else {}
        for place, run in zip(places, runs, strict=True):
            row = {"noise": noise, "seed": run.seed, "size": units}
            if run.seed not in ended:
                chance = 100 - arms.CHANCE
                yield row | {"train_error": chance, "test_error": chance, "outcome": "nan"}
                continue
            network = batch.network.keep([ended[run.seed]])
            for split, images in (
                ("train", samples.block(place)), ("test", samples.dataset.test),
            ):  # fmt: skip
                ((_, accuracy),) = engine.evaluate(network, samples.dataset, images)
                row[f"{split}_error"] = 100 - accuracy
            yield row


# ---- What the curves say ------------------------------------------------------------------------


def read_off(errors):
    """Rows of all quantities from errors (columns size, seed, test_error, train_error)."""
    curves = errors.pivot(index="size", columns="seed", values="test_error")
    left = errors.pivot(index="size", columns="seed", values="train_error")
    for seed in curves:
        for size in curves.index:
            where = {"seed": seed, "units": size}
            yield where | {"quantity": "test_error", "value": curves.loc[size, seed]}
            yield where | {"quantity": "train_error", "value": left.loc[size, seed]}
        fitting = left.index[left[seed] < FITS]
        rise, fall = peak(curves[seed], fitting.min()) if len(fitting) else (np.nan, np.nan)
        found = rise > MARGIN and fall > MARGIN
        yield {"seed": seed, "quantity": "peaks_and_falls", "value": float(found)}
        if not len(fitting) or fitting.min() == curves.index[0]:
            continue  # nothing is too small, or nothing is large enough
        yield {"seed": seed, "quantity": "rise", "value": rise}
        yield {"seed": seed, "quantity": "second_fall", "value": fall}
        yield {"seed": seed, "quantity": "fits_from", "value": fitting.min()}
        others = curves.drop(columns=seed) if curves.shape[1] > 1 else curves
        small = others[others.index < fitting.min()].mean(axis=1).idxmin()
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


# ---- Drawing ------------------------------------------------------------------------------------


def draw(table: pd.DataFrame) -> dict:
    """F07: figure id to (matplotlib Figure, data behind it)."""
    from finicky.page import figures

    shown = table[table["quantity"].isin(["test_error", "train_error"])]
    data = figures.summary(shown, ["network", "noise", "quantity", "units"])
    counted = table[table["quantity"] == "as_many_weights"].groupby("network")["value"].median()
    fits = table[table["quantity"] == "fits_from"].groupby(["network", "noise"])["value"].median()
    levels = sorted(set(data["noise"]), key=lambda level: level != "true labels")
    colours = dict(zip(levels, [figures.BLUE, figures.VERMILLION], strict=False))
    with figures.style():
        fig, axes = figures.panels([2.7], columns=2, left=0.45, right=1.25, between=(1.35, 0))
        for ax, network, axis in (
            (axes[0, 0], FEATURES, "random features N"),
            (axes[0, 1], TRAINED, "hidden units"),
        ):
            mine = data[data["network"] == network]
            ax.set_title(f"Error (%), {network}")
            figures.log_axis(
                ax, "x", mine["units"].min(), mine["units"].max(),
                [1, 3, 10, 30, 100, 300, 1000, 3000, 10000, 30000, 100000],
            )  # fmt: skip
            ax.set(ylim=(-1, 92), xlabel=axis)
            for noise, colour in colours.items():
                for quantity, line in (("test_error", "-"), ("train_error", figures.DASHES)):
                    rows = mine[(mine["noise"] == noise) & (mine["quantity"] == quantity)]
                    if rows.empty:
                        continue
                    ax.fill_between(rows["units"], rows["low"], rows["high"], color=colour,
                                    alpha=0.2, linewidth=0)  # fmt: skip
                    ax.plot(rows["units"], rows["median"], color=colour, linestyle=line,
                            linewidth=1.6 if line == "-" else 1)  # fmt: skip
                    if quantity == "test_error":
                        ax.annotate(
                            noise.replace(" of labels", "\nof labels"),
                            tuple(rows[["units", "median"]].iloc[-1]), xytext=(5, 0), va="center",
                            textcoords="offset points", fontsize=8, annotation_clip=False,
                        )  # fmt: skip
                if (network, noise) in fits:
                    ax.plot(fits[network, noise], 0, "^", color=colour, clip_on=False, zorder=4)
            expected = counted[network]
            ax.axvline(expected, color=figures.INK, linestyle=":", linewidth=1)
            side, offset = ("right", -3) if network == FEATURES else ("left", 3)
            ax.annotate(
                "claimed\npeak", (expected, 91), xytext=(offset, 0), va="top", ha=side,
                textcoords="offset points", fontsize=7.5,
            )  # fmt: skip
        figures.footer(fig, data)
        fig.text(0.99, 0.08 / fig.get_figheight(), "solid: test, dashed: training", fontsize=8,
                 ha="right")  # fmt: skip
        ends = table[table["quantity"] == "second_fall"].groupby(["network", "noise"])["value"]
        fig.set_label(
            "Test error by size. From its peak near the smallest model that fits it falls by "
            + ", ".join(
                f"{value:.1f} points ({network}, {noise})"
                for (network, noise), value in ends.median().items()
            )
            + "."
        )
    return {"F07": (fig, data)}
