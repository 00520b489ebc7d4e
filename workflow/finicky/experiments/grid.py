"""The grid: what do initialisation, activation, optimizer, depth and block do, each with the
others held fixed?

Two arms of a comparison differ in the axis that a claim is about and agree in all others, the seed
included; those others are the conditions. The learning rate is the same fixed one, or, where the
sub-grids for tuning have a ladder for both arms, each arm's own best, which the other seeds'
held-out images choose for each seed. Runs for tuning alone are listed in `test_accuracy` and
`train_accuracy`.
"""

import numpy as np
import pandas as pd

from finicky.experiments import pairing, tidy, tuning
from finicky.experiments.best_rates import OWN
from finicky.experiments.pairing import pair
from finicky.runs import OUTCOMES

TITLE = "The grid: initialisation, activation, optimizer, depth and block"
READS = ["runs", "curves"]
PURPOSES = ["comparison", "tuning"]
QUANTITIES = {
    "test_accuracy": ("%", "test accuracy after the last epoch, every cell"),
    "train_accuracy": ("%", "training accuracy after the last epoch, every cell"),
    "own_best_rate": ("", "the learning rate that the other seeds' validation accuracy chooses"),
    "relu_minus_sigmoid": ("pp", "test accuracy, depth 6 and more: ReLU from He minus sigmoid from "
                           "Xavier"),
    "nan_reached": ("0/1", "whether the loss became NaN: N(0, 1), plain, depth 10 and more"),
    "nan_within_100_steps": ("0/1", "whether it did so within 100 steps: N(0, 1), plain"),
    "he_minus_xavier": ("pp", "test accuracy on ReLU: He minus Xavier"),
    "fan_scaled_minus_heuristic": ("pp", "test accuracy, plain, depth 6 and more: the initialiser "
                                   "meant for the activation minus an older heuristic (init)"),
    "meant_minus_rival": ("pp", "test accuracy, plain: the initialiser meant for the activation "
                          "minus another (init) of He, Xavier and LeCun"),
    "spread_halved_by_bn": ("pp", "half the spread of test accuracy over six random initialisers "
                            "minus their spread with batch norm, on ReLU; a and b: the best of "
                            "the six without and with"),
    "bn_minus_plain": ("pp", "test accuracy, depth 56 and 80: batch norm minus plain"),
    "train_error_rise": ("pp", "training error, plain: at this depth minus at depth 20"),
    "train_rise_beyond_half": ("pp", "train_error_rise minus half the rise of test error, where "
                               "the median test error rises by more than 0.5 pp"),
    "accuracy_56_minus_20": ("pp", "test accuracy of networks with residual connections: 56 layers "
                             "minus 20"),
    "recommended_minus_tuned": ("pp", "test accuracy at the recommended learning rate minus at the "
                                "rate that the other seeds' validation accuracy chooses"),
    "deeper_minus_shallower": ("pp", "training accuracy: a depth minus the next smaller one"),
    "shallower_minus_deeper": ("pp", "training accuracy, plain: a depth minus the next larger one"),
    "default_minus_best": ("pp", "test accuracy of ReLU, He or Xavier, Adam at 0.001 minus that of "
                           "the best other cell of same data, depth and block, which the other "
                           "seeds choose"),
}  # fmt: skip
CONDITIONS = {
    "dataset": "level",
    "images": "integer",
    "epochs": "integer",
    "depth": "integer",
    "block": "level",
    "activation": "level",
    "init": "level",
    "optimizer": "level",
    "learning_rate": "number",
    "shallower_depth": "integer",
    "rate": ["fixed", "tried", "own best"],
    "tuned_rate": "number",
    "edge": "boolean",
}
BUDGET = "{images} images of {dataset}, {epochs} epochs"
FIXED, TRIED = "fixed", "tried"
MEANT_FOR = {
    "relu": "he",
    "leaky_relu": "he",
    "tanh": "xavier",
    "sigmoid": "xavier",
    "selu": "lecun",
    "identity": "lecun",
}
HEURISTICS = ["uniform_fan_in", "normal_std_0.001", "normal_std_1"]
SCALED_BY_FANS = ["lecun", "xavier", "he"]
RANDOM_INITS = [*HEURISTICS, *SCALED_BY_FANS]
FEWEST_RIVALS = 4  # the best of fewer says little


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, condition and seed; QUANTITIES says what each number is.

    settings: none are read. tables: the gathered `runs` and `curves`, of which those runs count
    that serve a purpose: none of another width, say. `a` and `b` are the accuracies (%) of the two
    arms in the order of the difference, save for errors, whose rise is the shallower network's
    accuracy a minus the deeper one's b. Conditions beside the axes: `shallower_depth`, the depth
    that `depth` is compared with; `rate`: FIXED beforehand; OWN, then `learning_rate` is empty, as
    it can differ from seed to seed; or, of single runs, TRIED for tuning alone; `tuned_rate`, and
    `edge`: whether it is the lowest or the highest rate tried.
    """
    runs = tables["runs"]
    every = pairing.final(runs[runs["purposes"] != ""], tables["curves"])
    fixed = pairing.for_purpose(every, "comparison")
    best = at_own_best_rate(every)
    every = every.assign(rate=np.where(every.index.isin(fixed.index), FIXED, TRIED))

    plain, relu = level(fixed, block="plain"), level(fixed, activation="relu")
    normal = level(plain, init="normal_std_1")
    deep_normal = normal[normal["depth"] >= 10]

    return tidy.from_quantities(
        {
            "test_accuracy": single(every, best, "test_accuracy"),
            "train_accuracy": single(every, best, "train_accuracy"),
            "own_best_rate": tidy.one_number(best, "tuned_rate"),
            "relu_minus_sigmoid": relu_minus_sigmoid(fixed).assign(rate=FIXED),
            "nan_reached": tidy.one_number(deep_normal, pairing.nan_reached(deep_normal)),
            "nan_within_100_steps": tidy.one_number(
                normal, pairing.nan_reached(normal, within=100)
            ),
            "he_minus_xavier": at_both_rates(he_minus_xavier, fixed, best),
            "fan_scaled_minus_heuristic": fan_scaled_minus_heuristic(plain),
            "meant_minus_rival": meant_minus_rival(plain).assign(rate=FIXED),
            "spread_halved_by_bn": spread_halved_by_bn(relu),
            "bn_minus_plain": at_both_rates(bn_minus_plain, fixed, best),
            "train_error_rise": at_both_rates(error_rise, fixed, best),
            "train_rise_beyond_half": at_both_rates(train_rise_beyond_half, fixed, best),
            "accuracy_56_minus_20": at_both_rates(accuracy_56_minus_20, fixed, best),
            "recommended_minus_tuned": recommended_minus_tuned(every),
            "deeper_minus_shallower": at_both_rates(next_smaller_depth, fixed, best),
            "shallower_minus_deeper": at_both_rates(next_larger_depth, fixed, best),
            "default_minus_best": default_minus_best(fixed),
        },
        CONDITIONS,
    )


# ---- At which learning rate ---------------------------------------------------------------------


def ladders(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs of the sub-grids for tuning whose validation images are not trained on."""
    ladder = pairing.for_purpose(runs, "tuning")
    # where the validation images are trained on, only failed runs have an accuracy there: chance
    survived = ladder["outcome"] < OUTCOMES.index("inf")
    held_out = (survived & ladder["validation_accuracy"].notna()).groupby(
        [ladder["dataset"], ladder["images"]]
    )
    return ladder[held_out.transform("any")]


def tuned(ladder: pd.DataFrame) -> pd.DataFrame:
    """For each cell and seed the run at the rate that is best for the other seeds, with
    `tuned_rate` and `edge`; cells with one rate have no choice and are left out."""
    best = tuning.best_by_other_seeds(ladder, "learning_rate", by="validation_accuracy")
    cell = [axis for axis in pairing.CELL if axis != "learning_rate"]
    ends = ladder.groupby(cell)["learning_rate"].agg(lowest="min", highest="max").reset_index()
    best = best.assign(tuned_rate=best["learning_rate"]).merge(ends, on=cell)
    best = best[best["lowest"] < best["highest"]]
    at_edge = (best["tuned_rate"] == best["lowest"]) | (best["tuned_rate"] == best["highest"])
    return best.assign(edge=at_edge)


def at_own_best_rate(runs: pd.DataFrame) -> pd.DataFrame:
    """`tuned` runs as arms of comparisons: at no learning rate that another arm could share."""
    return tuned(ladders(runs)).assign(learning_rate=np.nan, rate=OWN)


def single(every: pd.DataFrame, best: pd.DataFrame, metric: str) -> pd.DataFrame:
    """A metric of every run, and of every cell at its own best rate."""
    return tidy.one_number(together(every, best), metric)


def together(one: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """Rows below rows; one of the two without any costs no types."""
    return pd.concat([one, other], ignore_index=True).astype({"outcome": int})


def at_both_rates(compare, fixed: pd.DataFrame, best: pd.DataFrame) -> pd.DataFrame:
    """`compare(runs)` at fixed rates and at each arm's own best rate.

    Where both arms' own best rates are one fixed rate for every seed, that is one measurement: the
    second of the two is left out, or it would count twice.
    """
    given, own = compare(fixed).assign(rate=FIXED), compare(best).assign(rate=OWN)
    where = [axis for axis in CONDITIONS if axis in own and axis not in ("learning_rate", "rate")]
    same = [*where, "seed", "value"]
    of_seeds = own.groupby(where, dropna=False)["seed"].transform("size")
    # one row for each fixed rate at which this seed has the same number
    equal = own[same].reset_index().merge(given[[*same, "learning_rate"]], on=same)
    count = equal.groupby([*where, "learning_rate"], dropna=False)["seed"].transform("size")
    repeated = equal.loc[count == equal["index"].map(of_seeds), "index"]
    return together(given, own.drop(index=repeated))


# ---- Comparisons --------------------------------------------------------------------------------


def relu_minus_sigmoid(runs: pd.DataFrame) -> pd.DataFrame:
    """ReLU from He against sigmoid from Xavier."""
    deep = runs[runs["depth"] >= 6]
    return pair(
        level(deep, activation="relu", init="he"),
        level(deep, activation="sigmoid", init="xavier"),
        across=["activation", "init"],
    )


def he_minus_xavier(runs: pd.DataFrame) -> pd.DataFrame:
    """He against Xavier on ReLU."""
    relu = level(runs, activation="relu")
    return pair(level(relu, init="he"), level(relu, init="xavier"), across=["init"])


def fan_scaled_minus_heuristic(plain: pd.DataFrame) -> pd.DataFrame:
    """The initialiser meant for the activation against each older heuristic (`init`)."""
    meant = plain["init"] == plain["activation"].map(MEANT_FOR)
    return pair(
        plain[meant & (plain["depth"] >= 6)],
        plain[plain["init"].isin(HEURISTICS)],
        across=["init"],
    ).rename(columns={"init_b": "init"})


def meant_minus_rival(plain: pd.DataFrame) -> pd.DataFrame:
    """The initialiser meant for the activation against each other one scaled by fans (`init`)."""
    activated = plain[plain["activation"] != "identity"]
    meant = activated["init"] == activated["activation"].map(MEANT_FOR)
    rivals = activated[activated["init"].isin(SCALED_BY_FANS)]
    pairs = pair(activated[meant], rivals, across=["init"]).rename(columns={"init_b": "init"})
    return pairs[pairs["init"] != pairs["init_a"]]


def bn_minus_plain(runs: pd.DataFrame) -> pd.DataFrame:
    """Very deep networks with batch norm against those without."""
    very_deep = runs[runs["depth"].isin([56, 80])]
    return pair(
        level(very_deep, block="batch_norm"), level(very_deep, block="plain"), across=["block"]
    )


def accuracy_56_minus_20(runs: pd.DataFrame) -> pd.DataFrame:
    """Networks with residual connections, 56 layers against 20."""
    shortcut = runs[runs["block"].isin(["residual", "batch_norm_residual"])]
    return pair(level(shortcut, depth=56), level(shortcut, depth=20), across=["depth"])


def level(runs: pd.DataFrame, **levels) -> pd.DataFrame:
    """The runs at these levels."""
    chosen = pd.Series(True, index=runs.index)
    for axis, value in levels.items():
        chosen &= runs[axis] == value
    return runs[chosen]


def error_rise(runs: pd.DataFrame, metric: str = "train_accuracy") -> pd.DataFrame:
    """Error of plain networks at depth 32 to 80 minus their error at depth 20, which is accuracy at
    20 minus accuracy."""
    plain = level(runs, block="plain")
    deeper = plain[plain["depth"].isin([32, 44, 56, 80])]
    rise = pair(level(plain, depth=20), deeper, across=["depth"], metric=metric)
    return rise.rename(columns={"depth_a": "shallower_depth", "depth_b": "depth"})


def where_test_rises(runs: pd.DataFrame) -> pd.DataFrame:
    """The rises of training error in conditions whose median test error rises by over 0.5 pp, with
    the rise of test error as `test_rise`."""
    condition = [axis for axis in pairing.KEY if axis != "seed"]
    test = error_rise(runs, "test_accuracy")
    medians = test.groupby(condition, dropna=False)["value"].transform("median")
    rising = test.loc[medians > 0.5, [*pairing.KEY, "value"]]
    return error_rise(runs).merge(rising.rename(columns={"value": "test_rise"}), on=pairing.KEY)


def train_rise_beyond_half(runs: pd.DataFrame) -> pd.DataFrame:
    """By how much training error explains more than half of the rise of test error; a and b: the
    training accuracies at depth 20 and here."""
    rise = where_test_rises(runs)
    return rise.assign(value=rise["value"] - rise["test_rise"] / 2)


def next_smaller_depth(runs: pd.DataFrame) -> pd.DataFrame:
    """Training accuracy at each depth against the nearest smaller depth of the same condition."""
    pairs = pair(runs, runs, across=["depth"], metric="train_accuracy")
    pairs = pairs.rename(columns={"depth_a": "depth", "depth_b": "shallower_depth"})
    pairs = pairs[pairs["shallower_depth"] < pairs["depth"]]
    condition = [axis for axis in pairing.KEY if axis != "seed"]
    nearest = pairs.groupby(condition, dropna=False)["shallower_depth"].transform("max")
    return pairs[pairs["shallower_depth"] == nearest]


def next_larger_depth(runs: pd.DataFrame) -> pd.DataFrame:
    """The same in plain networks, the other way round: the smaller depth minus the larger one."""
    pairs = next_smaller_depth(level(runs, block="plain")).rename(columns={"a": "b", "b": "a"})
    return pairs.assign(value=-pairs["value"])


def spread_halved_by_bn(relu: pd.DataFrame) -> pd.DataFrame:
    """Half the spread over RANDOM_INITS without batch norm minus the spread with it.

    Only where all six were trained in both. `a` and `b` are the best of the six, so that
    conditions in which nothing trains can be told.
    """
    condition = [axis for axis in pairing.KEY if axis != "init"]
    random = relu[relu["init"].isin(RANDOM_INITS)].groupby(condition)
    six = random.agg(
        count=("init", "nunique"),
        low=("test_accuracy", "min"),
        best=("test_accuracy", "max"),
        outcome=("outcome", "max"),
    ).reset_index()
    six = six[six["count"] == len(RANDOM_INITS)]
    six = six.assign(spread=six["best"] - six["low"])

    without = six["block"].isin(["plain", "residual"])
    normed = six["block"].map({"batch_norm": "plain", "batch_norm_residual": "residual"})
    both = six[without].merge(
        six[~without].assign(block=normed[~without]), on=condition, suffixes=("", "_bn")
    )
    return both.assign(
        value=both["spread"] / 2 - both["spread_bn"],
        a=both["best"],
        b=both["best_bn"],
        outcome=both[["outcome", "outcome_bn"]].max(axis=1),
    )


def recommended_minus_tuned(runs: pd.DataFrame) -> pd.DataFrame:
    """The chapter's rate against the best of the ladder, chosen by the other seeds."""
    ladder = ladders(runs)
    best = tuned(ladder)
    rates = ladder["optimizer"].map(tuning.RECOMMENDED_RATES)
    recommended = ladder[ladder["learning_rate"] == rates]
    pairs = pair(recommended, best, across=["learning_rate"])
    pairs = pairs.rename(
        columns={"learning_rate_a": "learning_rate", "learning_rate_b": "tuned_rate"}
    )
    cell = [axis for axis in pairing.KEY if axis != "learning_rate"]
    return pairs.merge(best[[*cell, "edge"]], on=cell)


def default_minus_best(runs: pd.DataFrame) -> pd.DataFrame:
    """The chapter's default against the best of its rivals, the other cells of the same data,
    epochs, depth and block: for each seed the one with the best mean of the other seeds. (The best
    of many by the scored seed itself would owe something to luck.)"""
    league = ["dataset", "images", "epochs", "depth", "block", "batch_size", "width"]
    rival = ["activation", "init", "optimizer", "learning_rate"]
    default = level(runs, activation="relu", optimizer="adam", learning_rate=1e-3)
    default = default[default["init"].isin(["he", "xavier"])]
    rivals = runs[[*league, *rival, "seed", "run", "test_accuracy", "outcome"]]
    games = default.merge(rivals, on=[*league, "seed"], suffixes=("", "_rival"))
    games = games[games["run"] != games["run_rival"]]
    games = games[games.groupby("run")["run_rival"].transform("count") >= FEWEST_RIVALS]
    of_seeds = games.groupby([*league, "init", *(f"{axis}_rival" for axis in rival)])
    accuracy = of_seeds["test_accuracy_rival"]
    others = accuracy.transform("count") - 1
    mean = (accuracy.transform("sum") - games["test_accuracy_rival"]) / others.where(others > 0)
    # rounded, so that equal means stay equal whatever was subtracted
    games = games.assign(mean=mean.round(6)).dropna(subset="mean")
    best = games.sort_values(["mean", "run_rival"], ascending=[False, True]).drop_duplicates("run")
    return best.assign(
        a=best["test_accuracy"],
        b=best["test_accuracy_rival"],
        value=best["test_accuracy"] - best["test_accuracy_rival"],
        outcome=best[["outcome", "outcome_rival"]].max(axis=1),
    )
