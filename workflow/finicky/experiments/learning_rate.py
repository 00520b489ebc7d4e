"""How wide is the range of learning rates that works, and what does each optimizer reach at its own
best rate?

Every optimizer is trained over one ladder of rates, plain SGD with schedules as well. Optimizers
are compared at the rate that is best for each on the validation images of the other seeds, found
with equal budgets, and at the chapter's rates.
"""

import itertools

import numpy as np
import pandas as pd

from finicky.experiments import arms
from finicky.experiments.schedules import SCHEDULES

TITLE = "Learning rates: the range that works"
ANSWERS = ["C140", "C141", "C157", "C164", "C165"]
READS = ["runs", "curves"]
DATASETS = ["mnist", "fashion_mnist"]
QUANTITIES = {
    "accuracy": ("%", "test accuracy at the end, by rate"),
    "diverged": ("0/1", "loss NaN or infinite, more than 1000 times its start on the way, or above "
                 "its start in the last epoch, by rate"),
    "nan_reached": ("0/1", "the loss became NaN, by rate"),
    "diverges_at_highest": ("0/1", "the same as diverged, at the highest rate of the ladder"),
    "nan_at_highest": ("0/1", "the loss became NaN at the highest rate of the ladder"),
    "slow_at_lowest": ("0/1", "at the lowest rate training makes less than a tenth of the way"),
    "way_at_lowest": ("%", "decrease of the training loss at the lowest rate over that at the "
                      "best, in equally many steps"),
    "decades": ("decades", "width of the range of rates whose test accuracy is at most "
                "`tolerance` points below the best of the same optimizer, schedule and seed"),
    "decades_of_all": ("decades", "the same below the best of all optimizers"),
    "range_low": ("", "log10 of the lowest rate within the tolerance"),
    "range_high": ("", "log10 of the highest rate within the tolerance"),
    "wider_than_sgd": ("decades", "decades of Adam minus those of plain SGD"),
    "wider_than_momentum": ("decades", "decades of Adam minus those of SGD with momentum"),
    "wider_than_sgd_of_all": ("decades", "decades_of_all of Adam minus those of plain SGD"),
    "adaptive_widens": ("decades", "decades of an adaptive optimizer minus those of plain SGD"),
    "schedule_widens": ("decades", "decades of plain SGD with a schedule minus those without"),
    "tuned_accuracy": ("%", "test accuracy at the rate that is best for the other seeds"),
    "tuned_rate": ("", "that rate"),
    "recommended_accuracy": ("%", "test accuracy at the chapter's rate"),
    "momentum_minus_adam": ("pp", "test accuracy of SGD with momentum minus Adam's, each at its "
                            "own best rate"),
    "recommended_momentum_minus_adam": ("pp", "the same at the chapter's rates, 0.1 and 0.001"),
    "adam_worse": ("0/1", "Adam ends more than half a point below SGD with momentum, best rates"),
    "adam_worse_constructed": ("0/1", "the same on the linear problem of Wilson et al. (2017)"),
    "constructed_difference": ("pp", "momentum's accuracy minus Adam's on that problem"),
}  # fmt: skip
FIGURES = {
    "F32": "Top: test accuracy by learning rate for every optimizer, a network of two layers; "
    "bands go from the lowest to the highest seed, rings are the chapter's rates. Bottom: the "
    "rates at which an optimizer comes within 1 point (thick) or 5 points (thin) of its own best, "
    "with their width in decades within 1 point.",
}

CONDITIONS = {
    "dataset": "str",
    "depth": "Int64",
    "epochs": "Int64",
    "init": "str",
    "optimizer": "str",
    "problem": "str",
    "learning_rate": "float64",
    "tolerance": "float64",
}
OPTIMIZERS = ["sgd", "momentum", "rmsprop", "adam", "adamw"]
ADAPTIVE = ["rmsprop", "adam", "adamw"]
DECAYING = ["step", "cosine"]  # schedules that start high; given to plain SGD
RECOMMENDED = {"momentum": 0.1, "rmsprop": 0.001, "adam": 0.001, "adamw": 0.0001}
TOLERANCES = [1.0, 5.0]  # points of accuracy below the best that still work
WORSE = 0.5  # points of accuracy that make an end worse
SLOW = 10.0  # % of the way that is hardly any


# ---- The range that works -----------------------------------------------------------------------


def working_range(rates, accuracies, threshold: float) -> tuple[float, float, float]:
    """(width, lowest, highest) in decades (log10) of the rates with at least this accuracy.

    rates ascend; accuracies are joined by straight lines over log10 of the rate. The width counts
    only what lies above the threshold, the ends are those of the outermost pieces; what lies beyond
    the ladder is not counted.
    """
    x = np.log10(np.asarray(rates, float))
    above = np.asarray(accuracies, float) - threshold
    width, inside = 0.0, list(x[above >= 0])
    for (x0, x1), (y0, y1) in zip(itertools.pairwise(x), itertools.pairwise(above), strict=True):
        if y0 >= 0 and y1 >= 0:
            width += x1 - x0
        elif y0 >= 0 or y1 >= 0:
            share = max(y0, y1) / abs(y1 - y0)
            width += share * (x1 - x0)
            inside.append(x0 + share * (x1 - x0) if y0 >= 0 else x1 - share * (x1 - x0))
    return float(width), float(min(inside, default=np.nan)), float(max(inside, default=np.nan))


def ranges(ends: pd.DataFrame) -> pd.DataFrame:
    """For every optimizer, schedule, seed and tolerance: decades, decades_of_all, range_low and
    range_high. `ends` are rows of one data set with a `problem`, the schedule or "constant"."""
    best_of_all = ends.groupby("seed")["test_accuracy"].max()
    found = []
    for (optimizer, problem, seed), mine in ends.groupby(["optimizer", "problem", "seed"]):
        mine = mine.sort_values("learning_rate")
        ladder = mine["learning_rate"], mine["test_accuracy"]
        for tolerance in TOLERANCES:
            width, low, high = working_range(*ladder, mine["test_accuracy"].max() - tolerance)
            of_all, _, _ = working_range(*ladder, best_of_all[seed] - tolerance)
            where = {"optimizer": optimizer, "problem": problem, "seed": seed}
            found.append(
                where
                | {"tolerance": tolerance, "decades": width, "decades_of_all": of_all}
                | {"range_low": low, "range_high": high}
            )
    return pd.DataFrame(found)


def extremes(ends: pd.DataFrame) -> pd.DataFrame:
    """For every optimizer without a schedule and seed: what the ladder's two ends do."""
    found = []
    for (optimizer, seed), mine in ends.groupby(["optimizer", "seed"]):
        mine = mine.sort_values("learning_rate")
        lowest, highest = mine.iloc[0], mine.iloc[-1]
        way = lowest["start_loss"] - lowest["train_loss"]
        share = 100 * way / (lowest["start_loss"] - mine["train_loss"].min())
        found.append(
            {
                "optimizer": optimizer,
                "seed": seed,
                "diverges_at_highest": float(highest["diverged"]),
                "nan_at_highest": float(highest["nan_reached"]),
                "slow_at_lowest": float(share < SLOW),
                "way_at_lowest": share,
            }
        )
    return pd.DataFrame(found)


def with_failures(ends: pd.DataFrame) -> pd.DataFrame:
    """Say of every run whether it diverged and whether its loss became NaN."""
    higher = ends["train_loss"] > ends["start_loss"]
    return ends.assign(
        diverged=((ends["outcome"] > 0) | higher).astype(float),
        nan_reached=(ends["outcome"] == arms.OUTCOMES.index("nan")).astype(float),
    )


# ---- At the best rate ---------------------------------------------------------------------------


def tuned(ends: pd.DataFrame) -> pd.DataFrame:
    """For every cell and seed the run at the rate that is best for the other seeds' validation
    images."""
    return arms.best_by_other_seeds(ends, "learning_rate", by="validation_accuracy")


def comparisons(ends: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """SGD with momentum against Adam, each at its own best rate of equally long ladders, and at
    the chapter's rates."""
    ends = ends[ends["optimizer"].isin(["momentum", "adam"])]
    across = ["optimizer", "learning_rate"]

    def difference(rows):
        momentum, adam = (rows[rows["optimizer"] == name] for name in ("momentum", "adam"))
        return arms.pair(momentum, adam, across).assign(optimizer=None)

    at_best = difference(tuned(equally_many(ends)))
    chapter = ends[ends["learning_rate"] == ends["optimizer"].map(RECOMMENDED)]
    worse = (at_best["value"] > WORSE).astype(float)
    return {
        "momentum_minus_adam": at_best,
        "recommended_momentum_minus_adam": difference(chapter),
        "adam_worse": at_best.assign(value=worse, a=np.nan, b=np.nan),
    }


def equally_many(ends: pd.DataFrame) -> pd.DataFrame:
    """Equal budgets: as many rates for each optimizer of a cell, the lowest left out."""
    cell = [axis for axis in arms.CELL if axis not in ("optimizer", "learning_rate")]
    rates = ends[[*cell, "optimizer", "learning_rate"]].drop_duplicates()
    counts = rates.groupby([*cell, "optimizer"])["learning_rate"].transform("size")
    fewest = counts.groupby([rates[axis] for axis in cell]).transform("min")
    rank = rates.groupby([*cell, "optimizer"])["learning_rate"].rank(ascending=False)
    return ends.merge(rates[rank <= fewest])


def constructed(seeds, rates, positive=24, negative=16, steps=1000):
    """The problem of Wilson et al. (2017, section 3.3): least squares, more features than examples.

    The first feature is the label, ±1; the next two are 1; the others are 1 in one example alone,
    one of them where its label is 1 and five where it is -1. Full batches from zero. More examples
    are positive than negative; the solution of least norm is right where more than a third are
    negative. New examples have features that no training example had. Yields for each seed
    momentum's and Adam's accuracy on new examples, each at the rate of `rates` that is best for
    the other seeds.
    """
    examples = positive + negative
    scores = {name: np.zeros((len(seeds), len(rates))) for name in ("momentum", "adam")}
    for row, seed in enumerate(seeds):
        random = np.random.default_rng([seed, 141])
        labels = random.permutation(np.repeat([1.0, -1.0], [positive, negative]))
        features = np.zeros((examples, 3 + 5 * examples))
        features[:, 0], features[:, 1:3] = labels, 1
        for example, label in enumerate(labels):
            start = 3 + 5 * example
            features[example, start : start + (1 if label > 0 else 5)] = 1
        new = random.choice(labels, 1000)
        for name in scores:
            weights = least_squares(name, features, labels, np.asarray(rates), steps)
            predicted = np.sign(np.outer(new, weights[:, 0]) + weights[:, 1] + weights[:, 2])
            accuracy = 100 * (predicted == new[:, None]).mean(0)
            failed = ~np.isfinite(weights).all(1)
            scores[name][row] = np.where(failed, 50.0, accuracy)
    for row, seed in enumerate(seeds):
        ends = {}
        for name, found in scores.items():
            others = np.delete(found, row, 0) if len(seeds) > 1 else found
            ends[name] = found[row, others.mean(0).argmax()]
        yield seed, ends["momentum"], ends["adam"]


def least_squares(optimizer, features, labels, rates, steps):
    """Weights [rates, features] after these steps from zero, of momentum 0.9 or Adam."""
    weights = np.zeros((len(rates), features.shape[1]))
    first, second, rate = np.zeros_like(weights), np.zeros_like(weights), rates[:, None]
    with np.errstate(all="ignore"):
        for step in range(1, steps + 1):
            gradient = (weights @ features.T - labels) @ features / len(labels)
            if optimizer == "momentum":
                first = 0.9 * first + gradient
                weights = weights - rate * first
            else:
                first = 0.9 * first + 0.1 * gradient
                second = 0.999 * second + 0.001 * gradient**2
                mean, square = first / (1 - 0.9**step), second / (1 - 0.999**step)
                weights = weights - rate * mean / (np.sqrt(square) + 1e-8)
    return weights


# ---- Measuring ----------------------------------------------------------------------------------


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row a quantity, seed and condition; QUANTITIES says what each number is.

    settings: seeds, data; images, epochs, rates (the ladder, ascending), long_epochs and long_rates
    (optimizer to rates) of the longer comparison. Of the tables' runs the sub-grid "rates" is read,
    as further comparisons.
    """
    from finicky.engine import train as engine

    engine.prepare()
    seeds = settings["seeds"]
    parts = []
    for name in DATASETS:
        dataset = engine.Dataset(name, settings["data"], settings["images"])
        parts += of_ladder(name, dataset, settings)
        pairs = settings["long_rates"].items()
        runs = [
            run_of(name, settings["images"], settings["long_epochs"], optimizer, rate, seed)
            for optimizer, rates in pairs
            for rate in rates
            for seed in seeds
        ]
        parts.append(comparisons(trained(runs, "constant", dataset)))
    parts.append(comparisons(from_grid(tables)))
    quantities = {}
    for part in parts:
        for quantity, rows in part.items():
            quantities.setdefault(quantity, []).append(rows)
    # an arm without the chapter's rate on its ladder leaves an empty part, which has no types
    whole = {name: pd.concat(rows).astype({"outcome": int}) for name, rows in quantities.items()}
    table = arms.measured(whole, CONDITIONS)
    rows = []
    for seed, momentum, adam in constructed(seeds, settings["rates"]):
        where = {"seed": seed, "a": momentum, "b": adam, "outcome": "finite"}
        gap = momentum - adam
        rows.append(where | {"quantity": "constructed_difference", "value": gap})
        worse = {"quantity": "adam_worse_constructed", "value": float(gap > WORSE)}
        rows.append(where | worse | {"a": np.nan, "b": np.nan})
    return pd.concat([table, arms.tidy(rows, CONDITIONS)], ignore_index=True)


def run_of(dataset, images, epochs, optimizer, rate, seed):
    from finicky.runs import Run

    return Run(
        dataset=dataset, images=images, epochs=epochs, depth=2, block="plain", activation="relu",
        init="he", optimizer=optimizer, learning_rate=rate, batch_size=64, width=128, seed=seed,
    )  # fmt: skip


def trained(runs, problem, dataset):
    """Train runs under one schedule, `problem`; rows as trainings.trained makes them."""
    from finicky.experiments import trainings

    rows = []
    for _, group in itertools.groupby(runs, key=lambda run: run.optimizer):
        jobs = [(run, SCHEDULES[problem]) for run in group]
        rows += trainings.trained(jobs, dataset, trainings.Scheduled)
    return with_failures(pd.DataFrame(rows).assign(problem=problem))


def of_ladder(name, dataset, settings) -> list[dict[str, pd.DataFrame]]:
    """Everything that comes of the ladder of rates on one data set."""
    arms_trained = [(optimizer, "constant") for optimizer in OPTIMIZERS]
    arms_trained += [("sgd", problem) for problem in DECAYING]
    every = []
    for optimizer, problem in arms_trained:
        runs = [
            run_of(name, settings["images"], settings["epochs"], optimizer, rate, seed)
            for rate in settings["rates"]
            for seed in settings["seeds"]
        ]
        every.append(trained(runs, problem, dataset))
    ends = pd.concat(every, ignore_index=True)
    constant = ends[ends["problem"] == "constant"]
    best = tuned(constant)
    chapter = constant[constant["learning_rate"] == constant["optimizer"].map(RECOMMENDED)]
    quantities = {
        "accuracy": arms.each(ends, "test_accuracy"),
        "diverged": arms.each(ends, "diverged"),
        "nan_reached": arms.each(ends, "nan_reached"),
        "tuned_accuracy": arms.each(best, "test_accuracy").assign(learning_rate=np.nan),
        "tuned_rate": arms.each(best, "learning_rate").assign(learning_rate=np.nan),
        "recommended_accuracy": arms.each(chapter, "test_accuracy"),
    }
    bounds = ranges(ends).assign(dataset=name, outcome=0)
    for quantity in ("decades", "decades_of_all", "range_low", "range_high"):
        quantities[quantity] = arms.each(bounds, quantity)
    at_ends = extremes(constant).assign(dataset=name, outcome=0)
    for quantity in ("diverges_at_highest", "nan_at_highest", "slow_at_lowest", "way_at_lowest"):
        quantities[quantity] = arms.each(at_ends, quantity)
    return [quantities | differences_in_width(bounds), comparisons(constant)]


def differences_in_width(bounds: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """How much wider one range is than another, seed by seed."""
    bounds = bounds.set_index(["seed", "tolerance", "dataset"])

    def minus(a, b, column="decades"):
        (one, problem), (other, its_problem) = a, b
        mine = bounds[(bounds["optimizer"] == one) & (bounds["problem"] == problem)]
        theirs = bounds[(bounds["optimizer"] == other) & (bounds["problem"] == its_problem)]
        difference = (mine[column] - theirs[column]).rename("value").reset_index()
        return difference.assign(a=np.nan, b=np.nan, outcome=0)

    sgd, momentum, adam = ((name, "constant") for name in ("sgd", "momentum", "adam"))
    adaptive = [minus((name, "constant"), sgd).assign(optimizer=name) for name in ADAPTIVE]
    scheduled = [minus(("sgd", name), sgd).assign(problem=name) for name in DECAYING]
    return {
        "wider_than_sgd": minus(adam, sgd),
        "wider_than_momentum": minus(adam, momentum),
        "wider_than_sgd_of_all": minus(adam, sgd, "decades_of_all"),
        "adaptive_widens": pd.concat(adaptive),
        "schedule_widens": pd.concat(scheduled),
    }


def from_grid(tables) -> pd.DataFrame:
    """The final rows of the sub-grid "rates" whose validation images are not trained on."""
    runs = arms.in_subgrids(tables["runs"], "rates")
    ends = arms.final(runs, tables["curves"])
    held_out = tables["curves"].dropna(subset="validation_accuracy")["run"]
    sizes = runs.loc[runs["run"].isin(held_out), "images"]
    return ends[ends["images"].isin(sizes)]


# ---- Drawing ------------------------------------------------------------------------------------


def draw(table: pd.DataFrame) -> dict:
    """F32: figure id to (matplotlib Figure, data behind it)."""
    from finicky.page import figures

    def of(quantity, by):
        rows = table[table["quantity"] == quantity]
        return figures.summary(rows, by).assign(quantity=quantity)

    arm = ["dataset", "optimizer", "problem"]
    data = pd.concat(
        [
            of("accuracy", [*arm, "learning_rate"]),
            *(of(q, [*arm, "tolerance"]) for q in ("decades", "range_low", "range_high")),
        ],
        ignore_index=True,
    )
    with figures.style():
        fig, axes = figures.panels(
            [2.7, 1.9], columns=2, left=0.9, right=0.6, between=(0.65, 0.55), bottom=0.75
        )
        for column, name in enumerate(DATASETS):
            mine = data[data["dataset"] == name]
            _accuracies(axes[0, column], mine, figures)
            _widths(axes[1, column], mine, figures, named=column == 0)
            axes[0, column].set_title(figures.look(name).label)
        axes[0, 0].set_ylabel("test accuracy (%)")
        figures.footer(fig, data)
        says = (
            "rings: the chapter's rates; bars: within 1 point (thick), 5 points (thin) of the best"
        )
        fig.text(0.985, 0.08 / fig.get_figheight(), says, fontsize=8, va="baseline", ha="right")
        widths = data[(data["quantity"] == "decades") & (data["tolerance"] == TOLERANCES[0])]
        fig.set_label(
            "Test accuracy by learning rate. Decades of rates within 1 point of the own best: "
            + ", ".join(
                f"{_arm_name(figures, row.optimizer, row.problem)} {row.median:.1f} on "
                f"{figures.look(row.dataset).label}"
                for row in widths.itertuples()
            )
            + "."
        )
    return {"F32": (fig, data)}


def _arm_name(figures, optimizer, problem):
    name = figures.look(optimizer).label
    return name if problem == "constant" else f"{name}, {problem}"


def _rate_axis(ax, rates):
    from finicky.page import figures

    powers = [10.0**power for power in range(-6, 3)]
    figures.log_axis(ax, "x", 0.7 * min(rates), 1.4 * max(rates), powers)
    names = {tick: f"10{'⁻' if tick < 1 else ''}{'⁰¹²³⁴⁵⁶'[abs(round(np.log10(tick)))]}"
             for tick in ax.get_xticks()}  # fmt: skip
    ax.set_xticks(list(names), list(names.values()))


def _accuracies(ax, data, figures):
    rows = data[(data["quantity"] == "accuracy") & (data["problem"] == "constant")]
    _rate_axis(ax, rows["learning_rate"])
    figures.accuracy_axis(ax, "y", rows["high"].max())
    for optimizer in OPTIMIZERS:
        mine = rows[rows["optimizer"] == optimizer]
        figures.line(ax, mine, "learning_rate", optimizer)
        ring = mine[mine["learning_rate"] == RECOMMENDED.get(optimizer)]
        ax.plot(ring["learning_rate"], ring["median"], "o", markersize=11, zorder=5,
                color=figures.look(optimizer).colour, markerfacecolor="none")  # fmt: skip


def _widths(ax, data, figures, named):
    """Bars of the rates that work, an optimizer or schedule a line."""
    places = [(name, "constant") for name in OPTIMIZERS] + [("sgd", name) for name in DECAYING]
    _rate_axis(ax, data.loc[data["quantity"] == "accuracy", "learning_rate"])
    for place, (optimizer, problem) in enumerate(places):
        mine = data[(data["optimizer"] == optimizer) & (data["problem"] == problem)]
        for tolerance, width in zip(TOLERANCES, (6, 1.8), strict=True):
            of = mine[mine["tolerance"] == tolerance].set_index("quantity")["median"]
            if "range_low" in of:
                ends = 10 ** of["range_low"], 10 ** of["range_high"]
                ax.plot(ends, [place, place], linewidth=width, solid_capstyle="butt",
                        color=figures.look(optimizer).colour)  # fmt: skip
        wide = mine[(mine["tolerance"] == TOLERANCES[0]) & (mine["quantity"] == "decades")]
        for row in wide.itertuples():
            text = f"{row.median:.1f}"
            ax.text(1.03, place, text, transform=ax.get_yaxis_transform(), va="center", fontsize=8)
        if problem == "constant" and optimizer in RECOMMENDED:
            ax.plot([RECOMMENDED[optimizer]], [place], "o", markersize=8, zorder=5,
                    color=figures.INK, markerfacecolor="none")  # fmt: skip
    ax.set_ylim(len(places) - 0.4, -0.6)
    names = [_arm_name(figures, *place) for place in places] if named else []
    ax.set_yticks(range(len(places)) if named else [], names)
    ax.grid(False)
    ax.set_xlabel("learning rate")
    ax.text(1.03, -0.9, "decades", transform=ax.get_yaxis_transform(), va="center", fontsize=8)
