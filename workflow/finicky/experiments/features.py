"""Does every layer make a better representation? Linear probes through trained networks.

A probe is logistic regression on what a layer puts out, for the images that the network was trained
on, tested on the test images (Alain and Bengio 2016, arXiv:1610.01644). The same is done before the
training, with random weights.
"""

import numpy as np
import pandas as pd
import torch

from finicky.engine import train as engine
from finicky.engine.network import Buffers
from finicky.experiments import arms, trainings
from finicky.runs import Run

TITLE = "Features and linear probes"
ANSWERS = ["C005"]
READS = []
DATASETS = ["mnist", "fashion_mnist"]
QUANTITIES = {
    "probe": ("%", "test accuracy of a linear probe on a layer of the trained network; 0: pixels"),
    "probe_untrained": ("%", "the same with the weights of the start"),
    "better_than_before": ("pp", "linear probe on a layer minus that on the layer before"),
    "better_than_before_untrained": ("pp", "the same with the weights of the start"),
    "better_than_pixels": ("pp", "linear probe on the last hidden layer minus that on pixels"),
    "last_minus_best": ("pp", "linear probe on the last hidden layer minus the best layer's"),
    "network": ("%", "the network's own test accuracy"),
    "filter": ("", "weights of some units of the first layer, by pixel"),
}  # fmt: skip
FIGURES = {
    "F36": "Above: weights of first-layer units at the start and after training, and what changed, "
    "each picture by its own largest value; of one network, the units whose trained weights vary "
    "most smoothly from pixel to pixel. "
    "Below: accuracy of linear probes by layer, in trained networks of several depths (solid) and "
    "with the random weights of the start (dashed); lines are medians, bands the range of the "
    "seeds.",
}

CONDITIONS = {
    "dataset": "str",
    "depth": "Int64",
    "layer": "Int64",
    "unit": "Int64",
    "pixel": "Int64",
    "trained": "boolean",
}
SIDE = 28
SHOWN = 12  # units in the figure
CHUNK = 500  # images that go through the networks at once
PENALTY = 0.1  # scikit-learn's C, for inputs of variance 1
ITERATIONS = 30
TICKS = [20, 40, 60, 70, 80, 85, 90, 92, 94, 95, 96, 97, 98, 99]  # of accuracy, in the figure


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row a quantity, condition and seed; QUANTITIES says what each number is.

    settings: {"datasets", "depth": list, "images", "epochs": of the trainings, "probe_images":
    training images that the probes are fitted to}.
    """
    engine.prepare()
    rows = []
    for name in settings["datasets"]:
        dataset = engine.Dataset(name, settings["data"], settings["images"])
        splits = [first(dataset.train, settings["probe_images"]), dataset.test]
        pixels = [as_floats(dataset, split).numpy() for split in splits]
        labels = [split.labels.numpy() for split in splits]
        of_pixels = probe(*pixels, *labels)
        for depth in settings["depth"]:
            found = of_networks(dataset, splits, labels, depth, of_pixels, settings)
            rows += [row | {"dataset": name, "depth": depth} for row in found]
    return arms.tidy(rows, CONDITIONS)


def of_networks(dataset, splits, labels, depth, of_pixels, settings):
    """Yields the rows of one depth, without data set and depth."""
    run = {
        "dataset": "mnist", "images": len(dataset.train.labels), "epochs": settings["epochs"],
        "depth": depth, "block": "plain", "activation": "relu", "init": "he", "optimizer": "adam",
        "learning_rate": 0.001, "batch_size": 64, "width": 128,
    }  # fmt: skip
    runs = [Run(**run, seed=seed) for seed in settings["seeds"]]
    batch = engine.FusedBatch(runs, dataset)
    probes, filters = {}, {}
    for trained in (False, True):
        if trained:
            outcomes = train(batch)
        for place, run in enumerate(runs):
            network = batch.network.keep([place])
            seen = [representations(network, dataset, split) for split in splits]
            of_layers = [probe(*layer, *labels) for layer in zip(*seen, strict=True)]
            probes[trained, run.seed] = [of_pixels, *of_layers]
        filters[trained] = batch.network.parameters.weights[0][0].T.clone().numpy()
    own = engine.evaluate(batch.network, dataset, dataset.test)
    for run, (_, accuracy), outcome in zip(runs, own, outcomes, strict=True):
        found = list(comparisons(probes[True, run.seed], probes[False, run.seed]))
        found.append({"quantity": "network", "value": accuracy})
        yield from (row | {"seed": run.seed, "outcome": outcome} for row in found)
    if depth == settings["depth"][0]:
        yield from filter_rows(filters, settings["seeds"][0])


def train(batch) -> list[str]:
    """Train the networks of a fused batch to the end; their outcomes."""
    histories, going = trainings.to_the_end(batch)
    assert len(going) == len(histories), "Adam at 0.001 from He's start does not diverge"
    return [history.outcome for history in histories]


# ---- Representations and probes -----------------------------------------------------------------


def first(split: engine.Split, count: int) -> engine.Split:
    """The first images of a split."""
    return engine.Split(split.images[:count], split.labels[:count])


def as_floats(dataset, split) -> torch.Tensor:
    """A split's images [N, 784], normalised."""
    return dataset.normalise(split.images, torch.empty(split.images.shape))


@torch.no_grad()
def representations(network, dataset, split) -> list[np.ndarray]:
    """What each hidden layer of a single network puts out: [images, width] a layer."""
    parts = []
    for chunk in as_floats(dataset, split).split(CHUNK):
        buffers = Buffers(network.architecture, [0], len(chunk))
        buffers.x[0] = chunk
        network.forward(buffers, update_statistics=False)
        parts.append([y[0] for y in buffers.y])
    return [torch.cat(layer).numpy() for layer in zip(*parts, strict=True)]


def probe(x, test_x, y, test_y) -> float:
    """Test accuracy in % of logistic regression on inputs x [images, features], labels y.

    Inputs are centred, and scaled by one number to a mean variance of 1 (a number for each feature
    would let features that hardly ever move decide). A layer that is constant says nothing: chance.
    """
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    mean, scale = x.mean(0), np.sqrt(x.var(0).mean())
    if not scale > 0:
        return arms.CHANCE
    model = LogisticRegression(C=PENALTY, max_iter=ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the same iterations for each layer
        model.fit((x - mean) / scale, y)
    return 100 * float((model.predict((test_x - mean) / scale) == test_y).mean())


def comparisons(trained: list[float], untrained: list[float]):
    """Yields rows of the probes' accuracies in %, layer by layer from the pixels on."""
    for ending, scores in (("", trained), ("_untrained", untrained)):
        for layer, score in enumerate(scores):
            yield {"quantity": f"probe{ending}", "layer": layer, "value": score}
        for layer, (before, here) in enumerate(zip(scores[:-1], scores[1:], strict=True), 1):
            yield {"quantity": f"better_than_before{ending}", "layer": layer,
                   "value": here - before, "a": here, "b": before}  # fmt: skip
    pixels, last, best = trained[0], trained[-1], max(trained)
    for quantity, other in (("better_than_pixels", pixels), ("last_minus_best", best)):
        yield {"quantity": quantity, "value": last - other, "a": last, "b": other}


def filter_rows(filters: dict[bool, np.ndarray], seed: int):
    """Yields the weights [units, 784] of the trained network's smoothest units, before and after:
    those whose neighbouring weights differ least, relative to the weights."""
    images = filters[True].reshape(-1, SIDE, SIDE)
    steps = np.diff(images, axis=1) ** 2, np.diff(images, axis=2) ** 2
    roughness = sum(step.sum((1, 2)) for step in steps) / (images**2).sum((1, 2))
    for unit in np.sort(np.argsort(roughness)[:SHOWN]):
        for trained, weights in filters.items():
            for pixel, value in enumerate(weights[unit].round(4)):
                yield {"quantity": "filter", "seed": seed, "unit": unit, "pixel": pixel,
                       "trained": trained, "value": value}  # fmt: skip


# ---- Drawing ------------------------------------------------------------------------------------


def draw(table: pd.DataFrame) -> dict:
    """F36: figure id to (matplotlib Figure, data behind it)."""
    from finicky.page import figures

    probes = table[table["quantity"].isin(["probe", "probe_untrained"])]
    data = figures.summary(probes, ["quantity", "dataset", "depth", "layer"])
    names, depths = [n for n in DATASETS if n in set(data["dataset"])], sorted(set(data["depth"]))
    colours = [figures.BLUE, figures.VERMILLION, figures.PLUM, figures.OLIVE]
    with figures.style():
        fig, axes = figures.panels(
            [1.65, 2.3], columns=len(names), left=0.55, right=0.95, between=(1.05, 0.62)
        )
        top, end = axes[0, 0].get_position(), axes[0, -1].get_position()
        for ax in axes[0, 1:]:
            ax.remove()
        axes[0, 0].set_position((top.x0, top.y0, end.x1 - top.x0, top.height))
        _filters(axes[0, 0], table)
        for ax, name in zip(axes[1], names, strict=True):
            of_name = data[data["dataset"] == name]
            figures.accuracy_axis(ax, "y", of_name["high"].max())
            spread = figures.by_error(of_name["high"].max()) - figures.by_error(
                of_name["low"].min()
            )
            ax.set_ylim(
                figures.from_error(figures.by_error(of_name["low"].min()) - 0.06 * spread),
                figures.from_error(figures.by_error(of_name["high"].max()) + 0.1 * spread),
            )
            low, high = ax.get_ylim()
            ax.set_yticks([tick for tick in TICKS if low <= tick <= high])
            ax.yaxis.set_major_formatter("{x:g}")
            ax.set_title(f"{figures.look(name).label}: accuracy (%)", fontsize=8.5)
            ax.set(xlabel="hidden layer (0: pixels)", xlim=(-0.2, max(depths) - 0.6))
            ax.set_xticks(range(0, max(depths), 1 if max(depths) < 12 else 2))
            lines = [("probe_untrained", depths[-1], figures.GREY, figures.DASHES)]
            lines += [("probe", d, c, "-") for d, c in zip(depths, colours, strict=False)]
            for quantity, depth, colour, style in lines:
                rows = of_name[(of_name["depth"] == depth) & (of_name["quantity"] == quantity)]
                ax.fill_between(
                    rows["layer"], rows["low"], rows["high"], color=colour, alpha=0.2, linewidth=0
                )
                ax.plot(
                    rows["layer"], rows["median"], color=colour, linestyle=style, marker="o",
                    markerfacecolor=colour if style == "-" else "none",
                )  # fmt: skip
                name = "random weights" if quantity == "probe_untrained" else f"{depth} layers"
                _name(ax, rows, name, depth == depths[-1])
        axes[1, 0].text(
            0.38, 0.495, "the chapter: the solid lines\nrise with every layer", fontsize=7.5,
            style="italic", transform=axes[1, 0].transAxes,
        )  # fmt: skip
        figures.footer(fig, data)
        last = data[(data["quantity"] == "probe") & (data["depth"] == depths[-1])]
        fig.set_label(
            f"Linear probes by layer in trained networks of {depths[-1]} layers: "
            + "; ".join(
                f"{figures.look(name).label} "
                + ", ".join(f"{value:.1f}" for value in last[last["dataset"] == name]["median"])
                + " %"
                for name in names
            )
            + "."
        )
    return {"F36": (fig, data)}


def _filters(ax, table):
    """The weights of some units side by side: at the start, trained, and the change."""
    rows = table[table["quantity"] == "filter"]
    rows = rows[rows["dataset"] == rows["dataset"].iloc[0]]
    gap = 3
    start, trained = (
        rows[rows["trained"] == after].pivot(index="unit", columns="pixel", values="value")
        for after in (False, True)
    )
    strips = []
    for pictures in (start, trained, trained - start):
        largest = pictures.abs().max(axis=1).replace(0, 1)  # a dead unit does not change
        scaled = pictures.div(largest, axis=0).to_numpy()
        tiles = np.full((len(scaled), SIDE + gap, SIDE + gap), np.nan)
        tiles[:, :SIDE, :SIDE] = scaled.reshape(-1, SIDE, SIDE)
        strips.append(np.concatenate(list(tiles), 1))
    ax.imshow(
        np.concatenate(strips)[:-gap, :-gap], cmap="PuOr", vmin=-1, vmax=1, interpolation="nearest"
    )  # fmt: skip
    ax.set_title("First-layer weights: orange negative, purple positive", fontsize=8.5)
    middles = [SIDE / 2 + place * (SIDE + gap) for place in range(3)]
    ax.set_yticks(middles, ["start", "trained", "change"])
    ax.set_xticks([])
    ax.tick_params(length=0)
    ax.grid(False)
    ax.spines[:].set_visible(False)


def _name(ax, rows, name, is_last):
    """A line's name right of its end, or above it where another line goes on."""
    end = rows.sort_values("layer").iloc[-1]
    ax.annotate(
        name, (end["layer"], end["median"]), xytext=(6, 0) if is_last else (2, 9),
        textcoords="offset points", fontsize=7.5, va="center", annotation_clip=False,
    )  # fmt: skip
