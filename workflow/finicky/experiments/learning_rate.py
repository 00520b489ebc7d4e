"""How wide is the range of learning rates that works, and what does each optimizer reach at its own
best rate?

Every optimizer is trained over one ladder of rates, plain SGD with schedules as well. Optimizers
are compared at the rate that is best for each on the validation images of the other seeds, found
with equal budgets, and at the chapter's rates.
"""

import itertools

import numpy as np
import pandas as pd

from finicky.errors import InputError
from finicky.experiments import pairing, tidy, tuning, update_rules
from finicky.experiments.rate_schedules import SCHEDULES
from finicky.runs import OUTCOMES

TITLE = "Learning rates: the range that works"
READS = ["runs", "curves"]
PURPOSES = ["tuning"]
DATASETS = ["mnist", "fashion_mnist"]
SETTINGS = {
    "images": ("images", "training images"),
    "epochs": ("count", "passes over them at each rate of the ladder"),
    "rates": ("rates", "the ladder of rates that every optimizer is trained at"),
    "long_epochs": ("count", "passes of the longer comparison of optimizers, more than `epochs`"),
    "long_rates": (
        {
            "type": "object",
            "properties": {
                "momentum": {"$ref": "#/$defs/rates"},
                "adam": {"$ref": "#/$defs/rates"},
            },
            "required": ["momentum", "adam"],
            "additionalProperties": False,
        },
        "rates of each of its optimizers",
    ),
}
QUANTITIES = {
    "accuracy": ("%", "test accuracy at the end, by rate"),
    "diverged": ("0/1", "loss NaN or infinite, more than 1000 times its start on the way, or above "
                 "its start in the last epoch, by rate"),
    "nan_reached": ("0/1", "the loss became NaN, by rate"),
    "diverges_at_highest": ("0/1", "the same as diverged, at the highest rate of the ladder"),
    "nan_at_highest": ("0/1", "the loss became NaN at the highest rate of the ladder"),
    "slow_at_hundredth": ("0/1", "at a hundredth of its own best rate an optimizer makes less than "
                          "a tenth of the way"),
    "slow_at_thousandth": ("0/1", "the same at a thousandth"),
    "way_at_hundredth": ("%", "decrease of the training loss at that rate over that at the own "
                         "best one, which the other seeds choose, in equally many steps"),
    "way_at_thousandth": ("%", "the same at a thousandth"),
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
CONDITIONS = {
    "dataset": "level",
    "images": "integer",
    "depth": "integer",
    "block": "level",
    "epochs": "integer",
    "init": "level",
    "optimizer": "level",
    "schedule": ["constant", "step", "cosine"],
    "learning_rate": "number",
    "tolerance": "number",
}
BUDGET = {
    "{images} images of {dataset}, {epochs} epochs": [
        "accuracy",
        "diverged",
        "nan_reached",
        "diverges_at_highest",
        "nan_at_highest",
        "slow_at_hundredth",
        "slow_at_thousandth",
        "way_at_hundredth",
        "way_at_thousandth",
        "decades",
        "decades_of_all",
        "range_low",
        "range_high",
        "wider_than_sgd",
        "wider_than_momentum",
        "wider_than_sgd_of_all",
        "adaptive_widens",
        "schedule_widens",
        "tuned_accuracy",
        "tuned_rate",
        "recommended_accuracy",
        "momentum_minus_adam",
        "recommended_momentum_minus_adam",
        "adam_worse",
    ],
}
OPTIMIZERS = ["sgd", "momentum", "rmsprop", "adam", "adamw"]
ADAPTIVE = ["rmsprop", "adam", "adamw"]
DECAYING = ["step", "cosine"]  # schedules that start high; given to plain SGD
TOLERANCES = [1.0, 5.0]  # points of accuracy below the best that still work
WORSE = 0.5  # points of accuracy that make an end worse
LOW = {"hundredth": 0.01, "thousandth": 0.001}  # times its own best rate: low for an optimizer
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
    range_high. `ends` are rows of one data set."""
    best_of_all = ends.groupby("seed")["test_accuracy"].max()
    found = []
    for (optimizer, schedule, seed), mine in ends.groupby(["optimizer", "schedule", "seed"]):
        mine = mine.sort_values("learning_rate")
        ladder = mine["learning_rate"], mine["test_accuracy"]
        for tolerance in TOLERANCES:
            width, low, high = working_range(*ladder, mine["test_accuracy"].max() - tolerance)
            of_all, _, _ = working_range(*ladder, best_of_all[seed] - tolerance)
            where = {"optimizer": optimizer, "schedule": schedule, "seed": seed}
            found.append(
                where
                | {"tolerance": tolerance, "decades": width, "decades_of_all": of_all}
                | {"range_low": low, "range_high": high}
            )
    return pd.DataFrame(found)


def at_the_highest(ends: pd.DataFrame) -> pd.DataFrame:
    """For every optimizer and seed what the highest rate of the ladder does; one row each."""
    highest = ends[ends["learning_rate"] == ends["learning_rate"].max()]
    return highest.assign(
        diverges_at_highest=highest["diverged"], nan_at_highest=highest["nan_reached"]
    )


def way_at(low: pd.DataFrame, best: pd.DataFrame) -> pd.DataFrame:
    """How much of the way of training the rates of `low` make, against those of `best`: a row each
    for every optimizer and seed; `low` may lack some."""
    both = low.merge(best, on=["optimizer", "seed"], suffixes=("", "_best"))
    share = 100 * (both["start_loss"] - both["running_loss"])
    share /= both["start_loss_best"] - both["running_loss_best"]
    slow = (share < SLOW).astype(float)
    return both.assign(way=share, slow=slow)


def with_failures(ends: pd.DataFrame) -> pd.DataFrame:
    """Say of every run whether it diverged and whether its loss became NaN."""
    higher = ends["running_loss"] > ends["start_loss"]
    return ends.assign(
        diverged=((ends["outcome"] > 0) | higher).astype(float),
        nan_reached=(ends["outcome"] == OUTCOMES.index("nan")).astype(float),
    )


# ---- At the best rate ---------------------------------------------------------------------------


def tuned(ends: pd.DataFrame) -> pd.DataFrame:
    """For every cell and seed the run at the rate that is best for the other seeds' validation
    images."""
    return tuning.best_by_other_seeds(ends, "learning_rate", by="validation_accuracy")


def at_recommended_rates(ends: pd.DataFrame) -> pd.DataFrame:
    """The runs at the rates that the chapter recommends."""
    return ends[ends["learning_rate"] == ends["optimizer"].map(tuning.RECOMMENDED_RATES)]


def comparisons(ends: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """SGD with momentum against Adam, each at its own best rate of equally long ladders, and at
    the chapter's rates."""
    ends = ends[ends["optimizer"].isin(["momentum", "adam"])]
    across = ["optimizer", "learning_rate"]

    def difference(rows):
        momentum, adam = (rows[rows["optimizer"] == name] for name in ("momentum", "adam"))
        return pairing.pair(momentum, adam, across).assign(optimizer=None)

    at_best = difference(tuned(equally_many(ends)))
    worse = (at_best["value"] > WORSE).astype(float)
    return {
        "momentum_minus_adam": at_best,
        "recommended_momentum_minus_adam": difference(at_recommended_rates(ends)),
        "adam_worse": at_best.assign(value=worse, a=np.nan, b=np.nan),
    }


def equally_many(ends: pd.DataFrame) -> pd.DataFrame:
    """Equal budgets: as many rates for each optimizer of a cell, the lowest left out."""
    of_optimizer = ("optimizer", "learning_rate", "weight_decay")
    cell = [axis for axis in pairing.CELL if axis not in of_optimizer]
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
        ends = {n: found[row, tuning.best_place(found, row)] for n, found in scores.items()}
        yield seed, ends["momentum"], ends["adam"]


def least_squares(optimizer, features, labels, rates, steps):
    """Weights [rates, features] after these steps from zero, of momentum 0.9 or Adam, of the mean
    of (x·w - y)²/2 over the features [N, features] and labels [N] of the examples."""
    weights, state, rate = np.zeros((len(rates), features.shape[1])), {}, rates[:, None]
    with np.errstate(all="ignore"):  # a rate that is too high ends in inf or NaN
        for step in range(1, steps + 1):
            gradient = (weights @ features.T - labels) @ features / len(labels)
            if optimizer == "momentum":
                weights = update_rules.momentum(weights, gradient, state, rate)
            else:
                weights = update_rules.adam(weights, gradient, state, rate, step)
    return weights


# ---- Measuring ----------------------------------------------------------------------------------


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, seed and condition; QUANTITIES says what each number is. The runs of
    the tables that serve tuning are read as further comparisons of momentum and Adam."""
    if settings["long_epochs"] <= settings["epochs"]:
        more = f"more than the ladder's epochs, {settings['epochs']}"
        raise InputError("experiments", "learning-rate.long_epochs", settings["long_epochs"], more)
    from finicky.experiments import training  # with torch, which the exhibit does without

    parts = []
    for name in DATASETS:
        data = training.prepared(name, settings, settings["images"])
        parts += of_ladder(data, name, settings)
        longer = [(optimizer, "constant", r) for optimizer, r in settings["long_rates"].items()]
        jobs = every_seed(longer, settings["seeds"])
        parts.append(comparisons(trained(data, settings, jobs, name, settings["long_epochs"])))
    parts.append(comparisons(from_grid(tables)))
    quantities = {}
    for part in parts:
        for quantity, rows in part.items():
            quantities.setdefault(quantity, []).append(rows)
    # an optimizer without the chapter's rate on its ladder leaves an empty part, without types
    whole = {name: pd.concat(rows).astype({"outcome": int}) for name, rows in quantities.items()}
    table = tidy.from_quantities(whole, CONDITIONS)
    rows = []
    for seed, momentum, adam in constructed(settings["seeds"], sorted(settings["rates"])):
        where = {"seed": seed, "a": momentum, "b": adam, "outcome": "finite"}
        gap = momentum - adam
        rows.append(where | {"quantity": "constructed_difference", "value": gap})
        worse = {"quantity": "adam_worse_constructed", "value": float(gap > WORSE)}
        rows.append(where | worse | {"a": np.nan, "b": np.nan})
    return pd.concat([table, tidy.from_rows(rows, CONDITIONS)], ignore_index=True)


def every_seed(ladders, seeds) -> list[tuple]:
    """Jobs for `trained`: the ladders (optimizer, schedule, rates), at every rate with every
    seed."""
    return [
        (optimizer, schedule, rate, seed)
        for optimizer, schedule, rates in ladders
        for rate, seed in itertools.product(rates, seeds)
    ]


def trained(data, settings, jobs, dataset, epochs) -> pd.DataFrame:
    """Train networks of two layers on `data`, one for each job (optimizer, schedule, learning rate,
    seed). One row per training, as `training.train` makes them, with its `schedule` and
    `with_failures`."""
    from finicky.experiments import training

    levels = {"dataset": dataset, "epochs": epochs}
    trainings = [
        training.Training(
            training.run(
                settings, settings["images"], seed,
                optimizer=optimizer, learning_rate=rate, **levels,
            ),
            schedule=SCHEDULES[schedule],
        )
        for optimizer, schedule, rate, seed in jobs
    ]  # fmt: skip
    ends = pd.DataFrame(training.train(trainings, data))
    return with_failures(ends.assign(schedule=[schedule for _, schedule, _, _ in jobs]))


def of_ladder(data, name, settings) -> list[dict[str, pd.DataFrame]]:
    """Everything that comes of the ladder of rates on one data set, by quantity."""
    ways = [*((optimizer, "constant") for optimizer in OPTIMIZERS), *(("sgd", d) for d in DECAYING)]
    ladders = [(*way, settings["rates"]) for way in ways]
    jobs = every_seed(ladders, settings["seeds"])
    ends = trained(data, settings, jobs, name, settings["epochs"])
    constant = ends[ends["schedule"] == "constant"]
    best, recommended = tuned(constant), at_recommended_rates(constant)
    quantities = {
        "accuracy": tidy.one_number(ends, "test_accuracy"),
        "diverged": tidy.one_number(ends, "diverged"),
        "nan_reached": tidy.one_number(ends, "nan_reached"),
        "tuned_accuracy": tidy.one_number(best, "test_accuracy").assign(learning_rate=np.nan),
        "tuned_rate": tidy.one_number(best, "learning_rate").assign(learning_rate=np.nan),
        "recommended_accuracy": tidy.one_number(recommended, "test_accuracy"),
    }
    bounds = ranges(ends).assign(dataset=name, outcome=0)
    for quantity in ("decades", "decades_of_all", "range_low", "range_high"):
        quantities[quantity] = tidy.one_number(bounds, quantity)
    highest = at_the_highest(constant).assign(learning_rate=np.nan)
    for quantity in ("diverges_at_highest", "nan_at_highest"):
        quantities[quantity] = tidy.one_number(highest, quantity)
    for share, factor in LOW.items() if len(best) else ():
        columns = ["optimizer", "schedule", "learning_rate", "seed"]
        jobs = best.assign(learning_rate=factor * best["learning_rate"])[columns]
        low = trained(data, settings, list(jobs.itertuples(index=False)), name, settings["epochs"])
        found = way_at(low, best).assign(learning_rate=np.nan)
        quantities[f"slow_at_{share}"] = tidy.one_number(found, "slow")
        quantities[f"way_at_{share}"] = tidy.one_number(found, "way")
    return [quantities | differences_in_width(bounds), comparisons(constant)]


def differences_in_width(bounds: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """How much wider one range is than another, seed by seed."""
    bounds = bounds.set_index(["seed", "tolerance", "dataset"])

    def minus(a, b, column="decades"):
        """Rows of one (optimizer, schedule) minus another."""
        one, other = (
            bounds.loc[(bounds["optimizer"] == way[0]) & (bounds["schedule"] == way[1]), column]
            for way in (a, b)
        )
        difference = (one - other).rename("value").reset_index()
        return difference.assign(a=np.nan, b=np.nan, outcome=0)

    sgd, momentum, adam = ((name, "constant") for name in ("sgd", "momentum", "adam"))
    adaptive = [minus((name, "constant"), sgd).assign(optimizer=name) for name in ADAPTIVE]
    scheduled = [minus(("sgd", name), sgd).assign(schedule=name) for name in DECAYING]
    return {
        "wider_than_sgd": minus(adam, sgd),
        "wider_than_momentum": minus(adam, momentum),
        "wider_than_sgd_of_all": minus(adam, sgd, "decades_of_all"),
        "adaptive_widens": pd.concat(adaptive),
        "schedule_widens": pd.concat(scheduled),
    }


def from_grid(tables) -> pd.DataFrame:
    """The final rows of the grid's runs for tuning whose validation images are not trained on."""
    runs = pairing.for_purpose(tables["runs"], "tuning")
    ends = pairing.final(runs, tables["curves"])
    held_out = tables["curves"].dropna(subset="validation_accuracy")["run"]
    sizes = runs.loc[runs["run"].isin(held_out), "images"]
    return ends[ends["images"].isin(sizes)]
