"""How much structure does the world have, and what is left to learn without it?

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

from finicky import data, machine
from finicky import runs as planning
from finicky.experiments import arms

TITLE = "Structure in images"
ANSWERS = ["C040", "C041", "C042", "C043", "C198"]
READS = []
DATASETS = ["mnist", "fashion_mnist"]
QUANTITIES = {
    "image_exponent": ("thousand", "decimal logarithm of the number of 256×256 RGB images"),
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
}
FIGURES = {
    "F10": "Left: intrinsic dimension as two nearest neighbours tell it, by the number of images. "
    "With few points in many dimensions it comes out too low: white noise has 784. Noise with the "
    "images' covariance (dashed) has the same principal components as they. "
    "Middle: how often an image and its k-th nearest neighbour are of one class, and two images "
    "drawn at random. Right: accuracy on new images (solid) and on those trained on (dashed).",
}

CONDITIONS = {
    "dataset": "str",
    "noise": "str",
    "images": "Int64",
    "label": "Int64",
    "rank": "Int64",
    "problem": "str",
    "width": "Int64",
}
PROBLEMS = ["true labels", "random labels", "noise images"]
CLASSES, SIDE = 10, 28
KEPT = 0.9  # share of the images that the fit of two neighbours keeps (Facco et al. 2017)


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row a quantity, seed and condition; QUANTITIES says what each number is.

    settings: seeds, data; images (numbers of them whose dimension is estimated; neighbours are
    sought among the largest), asked (images whose neighbours are ranked), learnt (numbers of images
    trained on), width, epochs (at most; a network whose answers are all right stops).
    """
    from finicky.engine.train import prepare

    prepare()  # black margins have variances that are denormal numbers
    seeds, rows = settings["seeds"], []
    loaded = {name: data.load(name, settings["data"]) for name in DATASETS}
    same = [*counted(), *averaged(loaded["mnist"])]  # nothing is drawn
    for seed in seeds:
        rows += [row | {"seed": seed} for row in same]
        for name in DATASETS:
            images, labels = loaded[name][:2]
            found = compared(images, labels, settings, np.random.default_rng([seed, 41]))
            rows += [row | {"seed": seed, "dataset": name} for row in found]
    rows += list(memorised(loaded["mnist"], settings))
    return arms.tidy(rows, CONDITIONS)


# ---- Counting -----------------------------------------------------------------------------------


def counted():
    """The number of 256×256 RGB images is a whole number; its logarithm is exact to rounding."""
    yield {"quantity": "image_exponent", "value": math.log10(256 ** (256 * 256 * 3)) / 1000}


def averaged(arrays):
    """Mean and standard deviation over all pixels, as shares of 255; in whole numbers up to the
    last division."""
    import torch

    for prefix, images in (("", arrays[0]), ("test_", arrays[2])):
        count = torch.bincount(torch.from_numpy(images).view(-1), minlength=256).numpy()
        n, values = int(count.sum()), np.arange(256)
        total, squares = int(count @ values), int(count @ values**2)
        deviation = math.sqrt(n * squares - total**2) / n
        yield {"quantity": f"{prefix}pixel_mean", "value": total / n / 255}
        yield {"quantity": f"{prefix}pixel_deviation", "value": deviation / 255}


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
    from finicky.engine import train as engine

    dataset = engine.Dataset("mnist", settings["data"], 1)  # for how it normalises
    for problem, images, width in itertools.product(
        PROBLEMS, settings["learnt"], settings["width"]
    ):
        runs = [
            planning.Run(
                dataset="mnist", images=images, epochs=settings["epochs"], depth=2, block="plain",
                activation="relu", init="he", optimizer="adam", learning_rate=0.001, batch_size=64,
                width=width, seed=seed,
            )
            for seed in settings["seeds"]
        ]  # fmt: skip
        for fused in planning.fused_batches(runs, machine.l2_cache_bytes()):
            tasks = [task(arrays, problem, run) for run in fused]
            for run, outcome, scores in learnt(fused, tasks, dataset):
                where = {"problem": problem, "images": images, "width": width, "seed": run.seed}
                for quantity, value in scores.items():
                    yield where | {"quantity": quantity, "value": value, "outcome": outcome}


def task(arrays, problem, run):
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
        if problem == "noise images":
            images = random.integers(256, size=images.shape, dtype=np.uint8)
        if problem != "true labels":
            labels = random.integers(CLASSES, size=len(labels))
        splits.append(Split(torch.from_numpy(images), torch.from_numpy(labels).long()))
    return splits


def learnt(runs, tasks, dataset):
    """Train runs of different seeds together, each on its own images; yields (run, outcome,
    accuracies in %)."""
    import torch

    from finicky.engine import train as engine
    from finicky.experiments.trainings import InBlocks, to_the_end

    images = runs[0].images

    def all_known(epoch, going):
        for history in going:
            history.end_epoch(epoch, images, {})
        return all(history.curves[-1]["running_accuracy"] == 100 for history in going)

    together = copy.copy(dataset)
    together.train = engine.Split(
        torch.cat([train.images for train, _ in tasks]),
        torch.cat([train.labels for train, _ in tasks]),
    )
    with torch.no_grad():
        batch = InBlocks(runs, together, images, range(len(runs)))
        every, going = to_the_end(batch, all_known)
    for run, history, splits in zip(runs, every, tasks, strict=True):
        scores = {"train_accuracy": arms.CHANCE, "test_accuracy": arms.CHANCE}
        if history in going and history.outcome not in ("inf", "nan"):
            alone = batch.network.keep([going.index(history)])
            for quantity, split in zip(scores, splits, strict=True):
                scores[quantity] = engine.evaluate(alone, dataset, split)[0][1]
        yield run, history.outcome, scores


# ---- Drawing ------------------------------------------------------------------------------------


def draw(table: pd.DataFrame) -> dict:
    """F10: figure id to (matplotlib Figure, data behind it)."""
    from finicky.page import figures

    accuracies = ["train_accuracy", "test_accuracy"]
    data = pd.concat(
        [
            figures.summary(table[table["quantity"].isin(quantities)], ["quantity", *by])
            for quantities, by in (
                (["dimension"], ["dataset", "noise", "images"]),
                (["same_label"], ["dataset", "rank"]),
                (accuracies, ["problem", "width", "images"]),
            )
        ],
        ignore_index=True,
    )
    with figures.style():
        fig, axes = figures.panels([2.7], columns=3, left=0.45, right=0.95, between=(1.0, 0))
        draw_dimensions(axes[0, 0], data[data["quantity"] == "dimension"])
        random_pair = table[(table["quantity"] == "same_label") & table["rank"].isna()]
        draw_labels(axes[0, 1], data[data["quantity"] == "same_label"], random_pair["value"])
        widest = data[data["width"] == data["width"].max()]
        draw_accuracies(axes[0, 2], widest)
        figures.footer(fig, data)
        ends = data[(data["quantity"] == "dimension") & (data["images"] == data["images"].max())]
        last = widest[widest["images"] == widest["images"].max()].set_index(["quantity", "problem"])
        fig.set_label(
            "Intrinsic dimension by two nearest neighbours: "
            + ", ".join(
                f"{row.median:.0f} for {figures.look(row.dataset).label}"
                + ("" if row.noise == "none" else f" noise of {row.noise}")
                for row in ends.itertuples()
            )
            + ". Accuracy on new images: "
            + ", ".join(
                f"{last.loc[('test_accuracy', problem), 'median']:.0f} % with {problem}"
                for problem in PROBLEMS
            )
            + "."
        )
    return {"F10": (fig, data)}


def draw_dimensions(ax, data):
    """Dimension by the number of images, for images and both kinds of noise."""
    from finicky.page import figures

    ax.set_title("Intrinsic dimension")
    counts = sorted(set(data["images"]))
    figures.log_axis(ax, "x", counts[0], max(counts[-1], counts[0] + 1), counts)
    figures.log_axis(ax, "y", 5, 1000, [5, 10, 20, 50, 100, 200, 500])
    ax.set_xlabel("images")
    ax.axhline(SIDE**2, color=figures.INK, linestyle=figures.DASHES, linewidth=0.9)
    ax.text(counts[0], 0.95 * SIDE**2, f" {SIDE**2} pixels", fontsize=7.5, va="top")
    names, colours = [], {}
    for (dataset, noise), rows in data.groupby(["dataset", "noise"]):
        name = figures.look(dataset).label.replace("Fashion-MNIST", "Fashion")
        colour = figures.BLUE if dataset == "mnist" else figures.TAN
        if noise == "equal size":
            if dataset != "mnist":
                continue  # white noise of the same size once more
            name, colour = "white noise", figures.PLUM
        elif noise == "equal covariance":
            name = f"noise, cov.\nof {name}"
        band(ax, rows, "images", colour, noise == "equal covariance")
        names.append((rows["median"].iloc[-1], name))
        colours[name] = colour
    name_ends(ax, names, colours)


def draw_labels(ax, data, random_pair):
    """Share of pairs with one label by rank of the neighbour; dots at the end: a random pair."""
    from finicky.page import figures

    ax.set_title("Same label (%)")
    figures.log_axis(ax, "x", 1, data["rank"].max(), [1, 10, 100, 1000])
    ax.set(ylim=(0, 100), xlabel="rank of the neighbour")
    ax.axhline(random_pair.median(), color=figures.INK, linestyle=figures.DASHES, linewidth=0.9)
    ax.text(1.1, random_pair.median() + 1.5, "two at random", fontsize=7.5, va="bottom")
    for dataset, rows in data.dropna(subset="rank").groupby("dataset"):
        colour = figures.BLUE if dataset == "mnist" else figures.TAN
        band(ax, rows, "rank", colour)
        x, y = (0.3, 0.88) if dataset == "mnist" else (0.03, 0.3)
        ax.text(
            x, y, figures.look(dataset).label, transform=ax.transAxes, color=colour, fontsize=8,
        )  # fmt: skip


def draw_accuracies(ax, data):
    """Accuracy by the number of images trained on, for true labels, random ones, and noise."""
    from finicky.page import figures

    ax.set_title(f"Accuracy (%), {int(data['width'].max())} units")
    counts = sorted(set(data["images"]))
    figures.log_axis(ax, "x", counts[0], max(counts[-1], counts[0] + 1), counts)
    ax.set(ylim=(0, 104), xlabel="images trained on")
    ax.set_yticks([0, 10, 50, 100])
    ax.text(1.03, 100, "all, images\ntrained on", transform=ax.get_yaxis_transform(), fontsize=7.5,
            va="center", linespacing=1)  # fmt: skip
    colours = (figures.SAGE, figures.VERMILLION, figures.LAVENDER)
    names, looks = [], dict(zip(PROBLEMS, colours, strict=True))
    for (quantity, problem), rows in data.groupby(["quantity", "problem"]):
        band(ax, rows, "images", looks[problem], quantity == "train_accuracy")
        if quantity == "test_accuracy":
            names.append((rows["median"].iloc[-1], problem))
    name_ends(ax, names, looks)


def band(ax, rows, x, colour, dashed=False):
    """Median and range of the seeds."""
    from finicky.page import figures

    ax.fill_between(rows[x], rows["low"], rows["high"], color=colour, alpha=0.2, linewidth=0)
    ax.plot(
        rows[x], rows["median"], color=colour, linestyle=figures.DASHES if dashed else "-",
        clip_on=False,
    )  # fmt: skip


def name_ends(ax, names, colours):
    """Names right of the axes at the ends [(y, name)] of the lines, clear of each other."""
    to_axes = (ax.transData + ax.transAxes.inverted()).transform
    x = ax.get_xlim()[1]
    taken = -1.0
    for y, name in sorted((float(to_axes((x, y))[1]), name) for y, name in names):
        half = 0.024 * (1 + name.count("\n"))
        y = max(y, taken + half)
        taken = y + half
        ax.text(
            1.03, y, name, transform=ax.transAxes, color=colours[name], fontsize=7.5, va="center",
            linespacing=1,
        )  # fmt: skip
