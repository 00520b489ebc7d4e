"""The grid: what do initialisation, activation, optimizer, depth and block do, each with the
others held fixed?

Two arms of a comparison differ in the axis that a claim is about and agree in all others, the seed
included; those others are the conditions. Runs for tuning alone, at a ladder of learning rates, are
listed in `test_accuracy` and `train_accuracy` and compared in `recommended_minus_tuned` only.
"""

import pandas as pd

from finicky.experiments import pairing, tidy, tuning
from finicky.experiments.pairing import pair
from finicky.runs import OUTCOMES

TITLE = "The grid: initialisation, activation, optimizer, depth and block"
READS = ["runs", "curves"]
PURPOSES = ["comparison", "tuning"]
QUANTITIES = {
    "test_accuracy": ("%", "test accuracy after the last epoch, every cell"),
    "train_accuracy": ("%", "training accuracy after the last epoch, every cell"),
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
    "train_error_rise_where_test_rises": ("pp", "the same where the median test error rises by "
                                          "more than 0.5 pp"),
    "accuracy_56_minus_20": ("pp", "test accuracy of networks with residual connections: 56 layers "
                             "minus 20"),
    "recommended_minus_tuned": ("pp", "test accuracy at the recommended learning rate minus at the "
                                "rate that the other seeds' validation accuracy chooses"),
    "deeper_minus_shallower": ("pp", "training accuracy: a depth minus the next smaller one"),
    "shallower_minus_deeper": ("pp", "training accuracy, plain: a depth minus the next larger one"),
    "rank_above_upper_quartile": ("pp", "share of the other cells of same data, depth and block "
                                  "that ReLU, He or Xavier, Adam at 0.001 beats, minus 75 %"),
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
    "tuned_rate": "number",
    "edge": "boolean",
}
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
FEWEST_RIVALS = 4  # an upper quartile needs four


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, condition and seed; QUANTITIES says what each number is.

    settings: none are read. tables: the gathered `runs` and `curves`. `a` and `b` are the
    accuracies (%) of the two arms in the order of the difference, save for errors, whose rise is
    the shallower network's accuracy a minus the deeper one's b. Conditions beside the axes:
    `shallower_depth`, the depth that `depth` is compared with; `tuned_rate`, and
    `edge`: whether it is the lowest or the highest rate tried.
    """
    every = pairing.final(tables["runs"], tables["curves"])
    runs = pairing.for_purpose(every, "comparison")

    plain, relu = runs[runs["block"] == "plain"], runs[runs["activation"] == "relu"]
    deep = runs[runs["depth"] >= 6]
    normal = plain[plain["init"] == "normal_std_1"]
    deep_normal = normal[normal["depth"] >= 10]

    relu_minus_sigmoid = pair(
        level(deep, activation="relu", init="he"),
        level(deep, activation="sigmoid", init="xavier"),
        across=["activation", "init"],
    )
    he_minus_xavier = pair(level(relu, init="he"), level(relu, init="xavier"), across=["init"])
    meant = plain["init"] == plain["activation"].map(MEANT_FOR)
    fan_scaled_minus_heuristic = pair(
        plain[meant & (plain["depth"] >= 6)],
        plain[plain["init"].isin(HEURISTICS)],
        across=["init"],
    ).rename(columns={"init_b": "init"})
    activated = plain[plain["activation"] != "identity"]
    meant_minus_rival = pair(
        activated[meant.reindex(activated.index)],
        activated[activated["init"].isin(SCALED_BY_FANS)],
        across=["init"],
    ).rename(columns={"init_b": "init"})
    meant_minus_rival = meant_minus_rival[meant_minus_rival["init"] != meant_minus_rival["init_a"]]
    very_deep = runs[runs["depth"].isin([56, 80])]
    bn_minus_plain = pair(
        level(very_deep, block="batch_norm"), level(very_deep, block="plain"), across=["block"]
    )
    shortcut = runs[runs["block"].isin(["residual", "batch_norm_residual"])]
    accuracy_56_minus_20 = pair(
        level(shortcut, depth=56), level(shortcut, depth=20), across=["depth"]
    )
    train_rise = error_rise(plain, "train_accuracy")
    neighbours = next_smaller_depth(runs)
    shallower_minus_deeper = level(neighbours, block="plain").rename(columns={"a": "b", "b": "a"})
    shallower_minus_deeper["value"] *= -1

    return tidy.from_quantities(
        {
            "test_accuracy": tidy.one_number(every, "test_accuracy"),
            "train_accuracy": tidy.one_number(every, "train_accuracy"),
            "relu_minus_sigmoid": relu_minus_sigmoid,
            "nan_reached": tidy.one_number(deep_normal, pairing.nan_reached(deep_normal)),
            "nan_within_100_steps": tidy.one_number(
                normal, pairing.nan_reached(normal, within=100)
            ),
            "he_minus_xavier": he_minus_xavier,
            "fan_scaled_minus_heuristic": fan_scaled_minus_heuristic,
            "meant_minus_rival": meant_minus_rival,
            "spread_halved_by_bn": spread_halved_by_bn(relu),
            "bn_minus_plain": bn_minus_plain,
            "train_error_rise": train_rise,
            "train_error_rise_where_test_rises": where_test_rises(train_rise, plain),
            "accuracy_56_minus_20": accuracy_56_minus_20,
            "recommended_minus_tuned": recommended_minus_tuned(every),
            "deeper_minus_shallower": neighbours,
            "shallower_minus_deeper": shallower_minus_deeper,
            "rank_above_upper_quartile": rank_above_upper_quartile(runs),
        },
        CONDITIONS,
    )


def level(runs: pd.DataFrame, **levels) -> pd.DataFrame:
    """The runs at these levels."""
    chosen = pd.Series(True, index=runs.index)
    for axis, value in levels.items():
        chosen &= runs[axis] == value
    return runs[chosen]


def error_rise(plain: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Error at depth 32 to 80 minus error at depth 20, which is accuracy at 20 minus accuracy."""
    deeper = plain[plain["depth"].isin([32, 44, 56, 80])]
    rise = pair(level(plain, depth=20), deeper, across=["depth"], metric=metric)
    return rise.rename(columns={"depth_a": "shallower_depth", "depth_b": "depth"})


def where_test_rises(train_rise: pd.DataFrame, plain: pd.DataFrame) -> pd.DataFrame:
    """The rises of training error in conditions whose median test error rises by over 0.5 pp."""
    condition = [axis for axis in pairing.KEY if axis != "seed"]
    test_rise = error_rise(plain, "test_accuracy").groupby(condition)["value"].median()
    return train_rise.merge(test_rise[test_rise > 0.5].index.to_frame(index=False), on=condition)


def next_smaller_depth(runs: pd.DataFrame) -> pd.DataFrame:
    """Training accuracy at each depth against the nearest smaller depth of the same condition."""
    pairs = pair(runs, runs, across=["depth"], metric="train_accuracy")
    pairs = pairs.rename(columns={"depth_a": "depth", "depth_b": "shallower_depth"})
    pairs = pairs[pairs["shallower_depth"] < pairs["depth"]]
    condition = [axis for axis in pairing.KEY if axis != "seed"]
    nearest = pairs.groupby(condition)["shallower_depth"].transform("max")
    return pairs[pairs["shallower_depth"] == nearest]


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
    ladder = pairing.for_purpose(runs, "tuning")
    # where the validation images are trained on, only failed runs have an accuracy there: chance
    survived = ladder["outcome"] < OUTCOMES.index("inf")
    held_out = (survived & ladder["validation_accuracy"].notna()).groupby(
        [ladder["dataset"], ladder["images"]]
    )
    ladder = ladder[held_out.transform("any")]
    rates = ladder["optimizer"].map(tuning.RECOMMENDED_RATES)
    recommended = ladder[ladder["learning_rate"] == rates]
    tuned = tuning.best_by_other_seeds(ladder, "learning_rate", by="validation_accuracy")
    pairs = pair(recommended, tuned, across=["learning_rate"])
    pairs = pairs.rename(
        columns={"learning_rate_a": "learning_rate", "learning_rate_b": "tuned_rate"}
    )
    cell = [axis for axis in pairing.CELL if axis != "learning_rate"]
    ends = ladder.groupby(cell)["learning_rate"].agg(lowest="min", highest="max").reset_index()
    pairs = pairs.merge(ends, on=cell)
    pairs["edge"] = (pairs["tuned_rate"] == pairs["lowest"]) | (
        pairs["tuned_rate"] == pairs["highest"]
    )
    return pairs


def rank_above_upper_quartile(runs: pd.DataFrame) -> pd.DataFrame:
    """Share of rivals (%) that the chapter's default beats, minus 75; ties do not count as beaten.

    Rivals are the other cells of the same data, epochs, depth, block and seed.
    """
    default = level(runs, activation="relu", optimizer="adam", learning_rate=1e-3)
    default = default[default["init"].isin(["he", "xavier"])]
    league = ["dataset", "images", "epochs", "depth", "block", "batch_size", "width", "seed"]
    rivals = runs[[*league, "run", "test_accuracy"]]
    games = default.merge(rivals, on=league, suffixes=("", "_rival"))
    games = games[games["run"] != games["run_rival"]]
    games["won"] = games["test_accuracy"] > games["test_accuracy_rival"]
    record = games.groupby("run")["won"].agg(share="mean", rivals="count").reset_index()
    ranked = default.merge(record[record["rivals"] >= FEWEST_RIVALS], on="run")
    return tidy.one_number(ranked, 100 * ranked["share"] - 75)
