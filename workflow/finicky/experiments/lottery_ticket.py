"""Does a sparse part of a network, trained alone, match the whole?

Tickets are found by iterative magnitude pruning: train, remove the smallest weights of each layer,
set the others back to where they started, again. A ticket is compared with the whole network, with
the same mask over new weights, and with the same share of weights chosen at random.
"""

import itertools

import pandas as pd

from finicky import machine
from finicky import runs as planning
from finicky.experiments import arms

TITLE = "Lottery tickets"
ANSWERS = ["C027"]
READS = []
DATASETS = ["mnist", "fashion_mnist"]
QUANTITIES = {
    "accuracy": ("%", "test accuracy"),
    "ticket_minus_full": ("pp", "test accuracy: the ticket minus the whole network"),
    "new_weights_minus_full": ("pp", "the ticket's mask over new weights minus the whole network"),
    "random_mask_minus_full": ("pp", "a random mask over the old weights minus the whole network"),
    "ticket_minus_new_weights": ("pp", "the ticket minus its mask over new weights"),
}
FIGURES = {
    "F08": "Test accuracy by the share of weights that is left. Tickets keep the weights that are "
    "largest after training, set back to where they started; beside them the same mask over new "
    "weights, and as many of the old weights chosen at random. Dashed: the whole network, with a "
    "band of ±1 point. The first line to leave the band says what a sub-network lives on: its "
    "weights, its mask, or merely their number.",
}

CONDITIONS = {"dataset": "str", "problem": "str", "remaining": "float64"}
DEPTH = 4
ARMS = ["ticket", "new weights", "random mask"]


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row a quantity, seed and condition; QUANTITIES says what each number is.

    settings: seeds, data, device; images, epochs (of every training), rounds (of pruning), keep
    (the share of weights that a round leaves).
    """
    from finicky.engine import train as engine

    engine.prepare()
    rows = []
    for name in DATASETS:
        dataset = engine.Dataset(name, settings["data"], settings["images"])
        rows += [row | {"dataset": name} for row in compared(dataset, settings)]
    return arms.tidy(rows, CONDITIONS)


def compared(dataset, settings):
    """The rows of one data set: every arm's accuracy after every round, and differences."""
    import torch

    seeds = settings["seeds"]
    starts = dict(zip(seeds, initial(seeds), strict=True))
    fresh = dict(zip(seeds, initial([f"{seed} anew" for seed in seeds]), strict=True))
    masks = {seed: torch.ones_like(starts[seed]) for seed in seeds}

    def job(seed, weights, mask):
        return run_of(dataset, settings, seed), weights, mask

    whole = train([job(seed, starts[seed], masks[seed]) for seed in seeds], dataset)
    for seed, end in zip(seeds, whole, strict=True):
        yield accuracy(end) | {"problem": "whole", "remaining": 100.0, "seed": seed}
    ends = whole
    for level in range(1, settings["rounds"] + 1):
        for seed, end in zip(seeds, ends, strict=True):
            masks[seed] = pruned(end["weights"], masks[seed], settings["keep"])
        scattered = {seed: shuffled(masks[seed], (seed, "scattered", level)) for seed in seeds}
        jobs = [
            *(job(seed, starts[seed], masks[seed]) for seed in seeds),
            *(job(seed, fresh[seed], masks[seed]) for seed in seeds),
            *(job(seed, starts[seed], scattered[seed]) for seed in seeds),
        ]
        found = dict(zip(itertools.product(ARMS, seeds), train(jobs, dataset), strict=True))
        ends = [found["ticket", seed] for seed in seeds]
        for seed, full in zip(seeds, whole, strict=True):
            where = {"remaining": round_off(100 * settings["keep"] ** level), "seed": seed}
            for arm in ARMS:
                yield where | accuracy(found[arm, seed]) | {"problem": arm}
                quantity = f"{arm.replace(' ', '_')}_minus_full"
                yield where | difference(quantity, found[arm, seed], full)
            yield where | difference(
                "ticket_minus_new_weights", found["ticket", seed], found["new weights", seed]
            )


def round_off(share):
    """A share in % with three digits."""
    return float(f"{share:.3g}")


def accuracy(end):
    """An accuracy's part of a row."""
    return {"quantity": "accuracy", "value": end["accuracy"],
            "outcome": arms.OUTCOMES[end["outcome"]]}  # fmt: skip


def difference(quantity, a, b):
    """A difference's part of a row, with the worse outcome."""
    outcome = arms.OUTCOMES[max(a["outcome"], b["outcome"])]
    return {"quantity": quantity, "value": a["accuracy"] - b["accuracy"], "a": a["accuracy"],
            "b": b["accuracy"], "outcome": outcome}  # fmt: skip


# ---- Networks and masks -------------------------------------------------------------------------


def architecture():
    """Four layers, 128 units wide."""
    from finicky.engine.network import Architecture

    return Architecture(DEPTH, "plain", "relu")


def run_of(dataset, settings, seed):
    """A training of a whole network or a part of one."""
    return planning.Run(
        dataset="mnist", images=len(dataset.train.labels), epochs=settings["epochs"], depth=DEPTH,
        block="plain", activation="relu", init="he", optimizer="adam", learning_rate=0.001,
        batch_size=64, width=architecture().width, seed=seed,
    )  # fmt: skip


def initial(seeds):
    """He's start for each seed, a list of flat parameters [P]; a seed may be any name."""
    from finicky.engine.network import Network

    network = Network.initial(architecture(), [("he", seed) for seed in seeds])
    return list(network.parameters.flat)


def layers_of(flat):
    """The weights of each layer, as views of the flat parameters [P]."""
    from finicky.engine.network import Stacked

    return [weights[0] for weights in Stacked(architecture(), flat[None]).weights]


def pruned(weights, mask, keep):
    """The mask [P] that is left of `mask` when each layer keeps its share `keep` of the weights
    that are largest now.

    Layer by layer, and the last loses half as large a share, as Frankle and Carbin (2019, ICLR,
    section 2) prune; biases stay.
    """
    mask = mask.clone()
    layers, masks = layers_of(weights), layers_of(mask)
    for layer, (values, left) in enumerate(zip(layers, masks, strict=True)):
        share = keep if layer < len(layers) - 1 else (1 + keep) / 2
        count = max(1, round(share * int(left.sum())))
        sizes = (values.abs() + 1) * left  # what is gone stays gone, even beside weights of 0
        chosen = sizes.flatten().topk(count).indices
        left.zero_().view(-1)[chosen] = 1
    return mask


def shuffled(mask, key):
    """A mask with as many weights in each layer, at places drawn from the stream `key`."""
    from finicky.engine import streams

    mask = mask.clone()
    for layer, left in enumerate(layers_of(mask)):
        order = streams.permutation(left.numel(), *key, layer)
        left.copy_(left.flatten()[order].view_as(left))
    return mask


def train(jobs, dataset):
    """Train (run, first weights [P], mask [P]) jobs; a dict each: weights in the end [P], test
    accuracy (%, chance where the loss became inf or NaN), outcome (a number into arms.OUTCOMES).

    Weights outside of the mask are zero, at the start and after every step.
    """
    import torch

    from finicky.engine import train as engine
    from finicky.experiments.trainings import to_the_end

    class Masked(engine.FusedBatch):
        """Sets what is outside of each run's mask to zero after each update."""

        def __init__(self, jobs, dataset):
            super().__init__([run for run, _, _ in jobs], dataset)
            self.masks = [mask for _, _, mask in jobs]
            for row, (_, weights, mask) in zip(self.network.parameters.flat, jobs, strict=True):
                row.copy_(weights * mask)

        def keep(self, rows):
            self.masks = [self.masks[row] for row in rows]
            super().keep(rows)

        def update(self, run):
            super().update(run)
            self.rows[run][0].mul_(self.masks[run])

    size = planning.fused_size(
        planning.parameters(DEPTH, architecture().width), machine.l2_cache_bytes()
    )
    ends = []
    for start in range(0, len(jobs), size):
        fused = jobs[start : start + size]
        with torch.no_grad():
            batch = Masked(fused, dataset)
            every, going = to_the_end(batch)
            scores = engine.evaluate(batch.network, dataset, dataset.test) if going else []
        found = {
            id(history): {"weights": weights.clone(), "accuracy": score}
            for history, weights, (_, score) in zip(
                going, batch.network.parameters.flat if going else [], scores, strict=True
            )
        }
        for (_, weights, mask), history in zip(fused, every, strict=True):
            end = {"weights": weights * mask, "accuracy": arms.CHANCE}
            if history.outcome not in ("inf", "nan"):
                end = found[id(history)]
            ends.append(end | {"outcome": arms.OUTCOMES.index(history.outcome)})
    return ends


# ---- Drawing ------------------------------------------------------------------------------------


def draw(table: pd.DataFrame) -> dict:
    """F08: figure id to (matplotlib Figure, data behind it)."""
    from finicky.page import figures

    data = figures.summary(
        table[table["quantity"] == "accuracy"], ["dataset", "problem", "remaining"]
    )
    colours = dict(zip(ARMS, (figures.BLUE, figures.VERMILLION, figures.GREY), strict=True))
    with figures.style():
        fig, axes = figures.panels([2.6], columns=2, left=0.5, right=0.95, between=(1.3, 0))
        for ax, (name, rows) in zip(
            axes[0], sorted(data.groupby("dataset"), reverse=True), strict=True
        ):
            draw_accuracies(ax, rows, colours)
            ax.set_title(f"{figures.look(name).label}: test accuracy (%)")
        figures.footer(fig, data)
        sparsest = data[data["remaining"] == data["remaining"].min()]
        fig.set_label(
            f"With {data['remaining'].min():.3g} % of the weights left: "
            + "; ".join(
                f"{figures.look(name).label} "
                + ", ".join(f"{row.problem} {row.median:.1f} %" for row in rows.itertuples())
                for name, rows in sparsest.groupby("dataset")
            )
            + "."
        )
    return {"F08": (fig, data)}


def draw_accuracies(ax, rows, colours):
    """Accuracy by the share of weights left, from the whole network on; one data set."""
    from finicky.page import figures

    whole = rows.loc[rows["problem"] == "whole", "median"].iloc[0]
    shares = sorted(set(rows["remaining"]))
    low, high = rows["low"].min(), rows["high"].max()
    figures.log_axis(ax, "x", shares[0], 100, shares)
    ax.set_xlim(100, shares[0])
    ax.set_ylim(low - 0.05 * (high - low), max(high, whole + 1) + 0.05 * (high - low))
    ax.set_xlabel("weights left (%)")
    ax.axhspan(whole - 1, whole + 1, color=figures.INK, alpha=0.08, linewidth=0)
    ax.axhline(whole, color=figures.INK, linestyle=figures.DASHES, linewidth=0.9)
    ends = []
    for arm, colour in colours.items():
        line = rows[rows["problem"].isin([arm, "whole"])].sort_values("remaining")
        ax.fill_between(
            line["remaining"], line["low"], line["high"], color=colour, alpha=0.2, linewidth=0
        )
        ax.plot(line["remaining"], line["median"], color=colour, clip_on=False)
        ends.append((line["median"].iloc[0], arm, colour))
    taken = -100.0
    apart = 0.062 * (ax.get_ylim()[1] - ax.get_ylim()[0])
    names = {"ticket": "ticket", "new weights": "its mask,\nnew weights"}
    for y, arm, colour in sorted(ends):
        name = names.get(arm, "random\nmask")
        half = apart * (1 + name.count("\n")) / 2
        y = max(y, taken + half)
        taken = y + half
        ax.text(
            1.03, y, name, transform=ax.get_yaxis_transform(), color=colour, fontsize=7.5,
            va="center", linespacing=1,
        )  # fmt: skip
