"""Arms of trainings against each other, with SGD among the optimizers: `best_rates` for comparisons
at the recommended learning rate and at each arm's own best one.
"""

import pandas as pd

from finicky.data import CHANCE
from finicky.experiments import best_rates, tidy, training, tuning

# The chapter gives no rate for SGD without momentum: the grid's.
RATES = {"sgd": 0.01} | tuning.RECOMMENDED_RATES


def ladder(optimizer: str, rates: list[float]) -> list[float]:
    """The rates to choose from, ascending, with the recommended one."""
    return sorted({RATES[optimizer], *rates})


def trained(
    settings: dict, images_of, ladders: dict, parameters: bool = False, **levels
) -> pd.DataFrame:
    """Trainings by the engine of networks with these levels, one for each optimizer, rate of its
    ladder and seed; a row each, as `training.train` makes it, the outcome by name.

    images_of: a data set. ladders: {optimizer: rates}; the recommended one is added. parameters:
    whether to keep the last ones. levels: what runs differ in from training.DEFAULTS; images,
    epochs and width are those of the settings.
    """
    levels = {"epochs": settings["epochs"], "width": settings["width"]} | levels
    runs = [
        training.run(
            settings, settings["images"], seed, optimizer=optimizer, learning_rate=rate, **levels
        )
        for optimizer, rates in ladders.items()
        for rate in ladder(optimizer, rates)
        for seed in settings["seeds"]
    ]
    return tidy.named(training.train(runs, images_of, parameters=parameters))


def of_replicas(finite, **accuracies) -> list[dict]:
    """What replicas of `stacked` reached, one dict each: `outcome` by name, and the accuracies,
    which are chance where a network became NaN.

    finite: bool [R]; accuracies: lists of R, in %.
    """
    return [
        {"outcome": "finite" if sound else "nan"}
        | {name: of[place] if sound else CHANCE for name, of in accuracies.items()}
        for place, sound in enumerate(finite)
    ]


def at_rates(rows: pd.DataFrame, arm: list[str]) -> pd.DataFrame:
    """The rows of each arm at the recommended rate and at its own best one, told apart by the new
    column `rate`; the columns `arm` and the optimizer tell arms apart."""
    return best_rates.at_rates(rows, [*arm, "optimizer"], recommended=RATES)


def compared(
    a: pd.DataFrame, b: pd.DataFrame, quantity: str, metric: str = "test_accuracy", **where
) -> list[dict]:
    """Rows of a quantity: `metric` of arm `a` minus that of arm `b`, two tables of trainings, by
    optimizer, rate and seed; a comparison at the own best rates that repeats the one at the
    recommended rates is left out. where: further conditions."""
    axes = ["optimizer", "rate"]
    pairs = best_rates.minus(at_rates(a, []), at_rates(b, []), axes, metric)
    pairs = best_rates.once(pairs, ["optimizer"])
    return pairs.assign(quantity=quantity, **where).to_dict("records")
