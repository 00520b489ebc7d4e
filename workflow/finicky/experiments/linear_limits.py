"""Where do linear models on images end, and what takes over? Four models on digits.

Logistic regression on pixels and on hand-made features (histograms of oriented gradients), a
network of one hidden layer, and a small convolutional network learn from 10 to many examples a
class. The digits stand in the middle, or are moved at random, or have all their pixels rearranged
by one fixed permutation. A seed has its own training images, start and order; what is held out and
tested is the same for all.
"""

import copy
import itertools

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional

from finicky.engine import streams
from finicky.engine import train as engine
from finicky.engine.initializers import initial_weights
from finicky.experiments import arms
from finicky.runs import Run

TITLE = "The limits of linear models"
ANSWERS = ["C001", "C002", "C003", "C004", "C044"]
READS = []
DATASETS = ["mnist", "fashion_mnist"]
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
FIGURES = {
    "F35": "Test accuracy by the number of training images, on a scale spaced by the error that is "
    "left. Left: digits in the middle. Middle: digits moved by up to four pixels each way. Lines "
    "are medians, bands the range of the seeds; at both ends the model that the chapter expects to "
    "win there. Right: what convolution gains over a network of one hidden layer; open: with all "
    "pixels rearranged by one permutation.",
}

CONDITIONS = {"dataset": "str", "placement": "str", "images": "Int64", "model": "str"}
LINEAR, FEATURES, MLP, CNN = "linear", "HOG + linear", "MLP", "convolution"
LEARNED = [MLP, CNN]
SIDE, CLASSES = 28, 10
BATCH = 50  # divides every number of training images
RATE = 0.005  # of Adam, falling to 0: of 0.003, 0.005 and 0.01 the best for either network on
# held-out images, centred and moved, with seeds that are measured nowhere
PENALTIES = [0.001, 0.01, 0.1]  # scikit-learn's C, in the order in which they are fitted
ITERATIONS = 20  # of L-BFGS at each penalty, from the last one's weights


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row a quantity, condition and seed; QUANTITIES says what each number is.

    settings: {"datasets", "images": training images, multiples of 50, "steps": of the networks at
    each of them, "permuted_images": those for which pixels are permuted too, "shift": largest move
    in pixels, "pool": images that the training images are drawn from}.
    """
    engine.prepare()
    scored = pd.concat([scores(name, settings) for name in settings["datasets"]])
    return comparisons(scored)


# ---- Images -------------------------------------------------------------------------------------


def placed(dataset: engine.Dataset, change) -> engine.Dataset:
    """The data set with its images [N, 784] changed by `change(images, name of the split)`."""
    new = copy.copy(dataset)
    for name, split in dataset.splits().items():
        setattr(new, name, engine.Split(change(split.images, name), split.labels))
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
    """A row a model, placement, number of training images and seed: accuracies in %, outcome."""
    whole = engine.Dataset(name, settings["data"], settings["pool"])
    shift = settings["shift"]
    placements = {
        "centred": whole,
        "moved": placed(whole, lambda images, split: moved(images, split, shift)),
        "permuted": placed(whole, permuted),
    }
    seeds, sizes = settings["seeds"], dict(zip(settings["images"], settings["steps"], strict=True))
    elsewhere = placements["moved"].test
    rows = []
    for placement, dataset in placements.items():
        tests = {"accuracy": dataset.test}
        if placement == "centred":
            tests["accuracy_elsewhere"] = elsewhere
        if placement != "permuted":
            found = linear_models(dataset, seeds, list(sizes), tests)
            rows += [row | {"placement": placement} for row in found]
        for images, steps in sizes.items():
            models = {MLP: mlp, CNN: convolution}
            if placement == "permuted":
                # to the other one, any order of the pixels is as good as any other
                models = {CNN: convolution} if images in settings["permuted_images"] else {}
            scored = tests if images == max(sizes) else {"accuracy": dataset.test}
            for model, train in models.items():
                where = {"placement": placement, "images": images, "model": model}
                rows += [row | where for row in train(dataset, seeds, images, steps, scored)]
    return pd.DataFrame(rows).assign(dataset=name)


def drawn(pool: int, seed: int, images: int) -> torch.Tensor:
    """Which of the pool a seed trains on; more images include the fewer."""
    return streams.permutation(pool, seed, "linear-limits", "images")[:images]


def linear_models(dataset, seeds, sizes, tests):
    """Yields a row a kind of input, number of images and seed: logistic regression at the penalty
    that is best for the held-out images of the other seeds."""
    inputs = {LINEAR: lambda images: images, FEATURES: hog_of}
    for model, see in inputs.items():
        held_out = see(as_floats(dataset, dataset.validation.images))
        seen = {q: see(as_floats(dataset, split.images)) for q, split in tests.items()}
        fits = {}
        for seed in seeds:
            index = drawn(len(dataset.train.labels), seed, max(sizes))
            x, y = see(as_floats(dataset, dataset.train.images[index])), dataset.train.labels[index]
            for images in sizes:
                for fit in logistic_regressions(x[:images], y[:images].numpy()):
                    validation = percent(fit.predict(held_out), dataset.validation.labels)
                    fits[images, fit.C, seed] = validation, fit
        for images, seed in itertools.product(sizes, seeds):
            scores = {s: {p: fits[images, p, s][0] for p in PENALTIES} for s in seeds}
            penalty = arms.best_level(pd.DataFrame(scores), seed)
            _, fit = fits[images, penalty, seed]
            where = {"images": images, "seed": seed, "model": model, "outcome": "finite"}
            yield where | {q: percent(fit.predict(seen[q]), tests[q].labels) for q in tests}


def as_floats(dataset, images) -> np.ndarray:
    """Images [N, 784], normalised."""
    return dataset.normalise(images, torch.empty_like(images, dtype=torch.float32)).numpy()


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
    return 100 * float((torch.as_tensor(answers) == labels).float().mean())


def batches(dataset, seeds, images, steps):
    """Yields (share of the first rate, images [seeds, BATCH] by number) for each step, reshuffled
    every epoch."""
    pool = len(dataset.train.labels)
    subsets = [drawn(pool, seed, images) for seed in seeds]
    for step in range(steps):
        epoch, place = divmod(step, images // BATCH)
        if place == 0:
            orders = [streams.permutation(images, seed, "order", epoch + 1) for seed in seeds]
            index = torch.stack([s[order] for s, order in zip(subsets, orders, strict=True)])
        yield 1 - step / steps, index[:, place * BATCH : (place + 1) * BATCH]


@torch.no_grad()
def mlp(dataset, seeds, images, steps, tests) -> list[dict]:
    """The engine's network of two layers: a row a seed."""
    runs = [
        Run(
            dataset="mnist", images=images, epochs=1, depth=2, block="plain", activation="relu",
            init="he", optimizer="adam", learning_rate=RATE, batch_size=BATCH, width=128,
            seed=seed,
        )
        for seed in seeds
    ]  # fmt: skip
    batch = engine.FusedBatch(runs, dataset)
    for share, index in batches(dataset, seeds, images, steps):
        batch.rows = [(*row[:3], share * RATE) for row in batch.rows]
        batch.step(index, dataset.train.labels[index].unsqueeze(1))
        if len(batch.seen) == engine.CHECK_EVERY:
            batch.take_losses()
    finite = batch.network.parameters.flat.isfinite().all(1)
    accuracies = {
        quantity: [accuracy for _, accuracy in engine.evaluate(batch.network, dataset, split)]
        for quantity, split in tests.items()
    }
    return rows_of(seeds, finite, accuracies)


class Convolutions(nn.Module):
    """A convolutional network for each seed, side by side as groups of one: 8 and 16 channels of
    5 × 5 at stride 2, ReLU, and a linear layer (LeCun et al. 1989, without its sparse connections).
    """

    CHANNELS = [(1, 8), (8, 16)]
    FLAT = 16 * 7 * 7

    def __init__(self, seeds):
        super().__init__()
        self.seeds = len(seeds)
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for layer, (inside, outside) in enumerate(self.CHANNELS):
            start = [initial_weights("he", s, layer, inside * 25, outside).T for s in seeds]
            self.weights.append(torch.cat(start).reshape(-1, inside, 5, 5))
            self.biases.append(torch.zeros(self.seeds * outside))
        last = [initial_weights("he", s, len(self.CHANNELS), self.FLAT, CLASSES) for s in seeds]
        self.weights.append(torch.stack(last))
        self.biases.append(torch.zeros(self.seeds, 1, CLASSES))

    def forward(self, x):
        """Logits [seeds, B, classes] of images [B, seeds, 28, 28]."""
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = functional.conv2d(x, weight, bias, stride=2, padding=2, groups=self.seeds).relu()
        flat = x.view(len(x), self.seeds, self.FLAT).transpose(0, 1)
        return torch.baddbmm(self.biases[-1], flat, self.weights[-1])


def convolution(dataset, seeds, images, steps, tests) -> list[dict]:
    """Small convolutional networks in PyTorch, all seeds side by side: a row a seed."""
    network = Convolutions(seeds)
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE, fused=True)
    room = torch.empty(BATCH * len(seeds), SIDE * SIDE)
    for share, index in batches(dataset, seeds, images, steps):
        optimizer.param_groups[0]["lr"] = share * RATE
        pixels = dataset.train.images[index.T.reshape(-1)]
        x = dataset.normalise(pixels, room).view(BATCH, len(seeds), SIDE, SIDE)
        labels = dataset.train.labels[index].flatten()
        loss = functional.cross_entropy(network(x).flatten(0, 1), labels, reduction="sum") / BATCH
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    finite = torch.stack(
        [w.detach().reshape(len(seeds), -1).isfinite().all(1) for w in network.weights]
    ).all(0)
    accuracies = {q: convolution_accuracies(network, dataset, split) for q, split in tests.items()}
    return rows_of(seeds, finite, accuracies)


@torch.no_grad()
def convolution_accuracies(network, dataset, split) -> list[float]:
    """Accuracy in % of each seed's network on a split."""
    right = torch.zeros(network.seeds)
    for pixels, labels in zip(
        split.images.split(BATCH), split.labels.split(BATCH), strict=True
    ):  # larger batches leave the cache
        x = dataset.normalise(pixels, torch.empty(pixels.shape)).view(-1, 1, SIDE, SIDE)
        right += (network(x.expand(-1, network.seeds, -1, -1)).argmax(2) == labels).sum(1)
    return (100 * right.double() / len(split.labels)).tolist()


def rows_of(seeds, finite, accuracies) -> list[dict]:
    """A row a seed; a network whose weights became inf or NaN scores chance."""
    rows = []
    for place, seed in enumerate(seeds):
        values = {q: of[place] if finite[place] else arms.CHANCE for q, of in accuracies.items()}
        rows.append({"seed": seed, "outcome": "finite" if finite[place] else "nan", **values})
    return rows


# ---- Comparisons --------------------------------------------------------------------------------


def comparisons(scored: pd.DataFrame) -> pd.DataFrame:
    """The tidy table of the rows of `scores`."""
    key = ["dataset", "placement", "images", "seed"]
    index = scored.set_index([*key, "model"])
    wide = index["accuracy"].unstack("model")
    worst = index["outcome"].map(arms.OUTCOMES.index).groupby(level=key).max()
    outcome = worst.map(arms.OUTCOMES.__getitem__)

    def at(placement):
        """The accuracies there, without the placement in the index."""
        return wide.xs(placement, level="placement")

    def both(quantity, a, b, outcomes, **where):
        """Rows of accuracies `a` minus `b`, two arms in %."""
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
    types = arms.VALUES | CONDITIONS
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


# ---- Drawing ------------------------------------------------------------------------------------


def draw(table: pd.DataFrame) -> dict:
    """F35: figure id to (matplotlib Figure, data behind it)."""
    from finicky.page import figures

    table = table[table["dataset"] == next(d for d in DATASETS if d in set(table["dataset"]))]
    data = pd.concat(
        [
            figures.summary(table[table["quantity"] == quantity], by).assign(quantity=quantity)
            for quantity, by in (
                ("accuracy", ["placement", "model", "images"]),
                ("gain_of_convolution", ["placement", "images"]),
            )
        ],
        ignore_index=True,
    )
    curves = data[data["quantity"] == "accuracy"]
    gains = data[data["quantity"] == "gain_of_convolution"]
    sizes = sorted(set(curves["images"]))
    with figures.style():
        fig, axes = figures.panels([2.7], columns=3, left=0.4, right=0.75, between=(0.42, 0))
        here, there, gain = axes[0]
        # the middle panel's names take the room of the right panel's left third
        box = gain.get_position()
        gain.set_position((box.x0 + 0.1, box.y0, box.width - 0.1, box.height))
        for ax, placement, title in (
            (here, "centred", "Centred: accuracy (%)"),
            (there, "moved", "Moved: accuracy (%)"),
        ):
            of_place = curves[curves["placement"] == placement]
            highest = curves["high"].max()
            figures.accuracy_axis(ax, "y", highest + 0.5 * (100 - highest))  # room for words
            _sizes(ax, sizes)
            ax.set_title(title, fontsize=8.5)
            for model in (LINEAR, FEATURES, MLP, CNN):
                figures.line(ax, of_place[of_place["model"] == model], "images", model)
            for at, word in ((0.02, "simple\nahead"), (0.98, "learned\nahead")):
                ax.text(
                    at, 0.955, word, transform=ax.transAxes, fontsize=7.5, style="italic",
                    ha="left" if at < 0.5 else "right", va="top",
                )  # fmt: skip
        figures.label_ends(there, of_place, "images", "model")
        low, high = min(0, gains["low"].min()), max(0, gains["high"].max())
        gain.set_ylim(low - 0.05 * (high - low) - 0.1, high + 0.05 * (high - low) + 0.1)
        _sizes(gain, sizes)
        gain.set_title("Gain of convolution (pp)", fontsize=8.5)
        gain.axhline(0, color=figures.INK, linewidth=0.8)
        for placement in ("centred", "moved", "permuted"):
            of_place = gains[gains["placement"] == placement]
            figures.line(gain, of_place, "images", placement, dashed=placement == "permuted")
        figures.label_ends(gain, gains, "images", "placement")
        figures.footer(fig, data)
        fig.text(
            0.99, 0.08 / fig.get_figheight(), "in italics: the chapter", fontsize=8, ha="right",
            va="baseline",
        )  # fmt: skip
        most = curves[curves["images"] == sizes[-1]].set_index(["placement", "model"])["median"]
        fig.set_label(
            f"Test accuracy by number of training images. With {sizes[-1]}: "
            + "; ".join(
                f"{placement} "
                + ", ".join(f"{m} {most[placement, m]:.1f} %" for m in (LINEAR, FEATURES, MLP, CNN))
                for placement in ("centred", "moved")
            )
            + f"; permuted convolution {most['permuted', CNN]:.1f} %."
        )
    return {"F35": (fig, data)}


def _sizes(ax, sizes):
    """A logarithmic axis of training images."""
    from finicky.page import figures

    low, high = sizes[0] / 1.4, sizes[-1] * 1.4
    figures.log_axis(ax, "x", low, high, [10.0**power for power in range(2, 6)])
    ax.set_xticks(
        ax.get_xticks(), [f"{tick:,.0f}".replace(",", "\u202f") for tick in ax.get_xticks()]
    )
    ax.set_xlabel("training images")
