"""The grid: what do initialisation, activation, optimizer, depth and block do, each with the
others held fixed?

Two arms of a comparison differ in the axis that a claim is about and agree in all others, the seed
included; those others are the conditions. Rates that only the ladder of sub-grid "rates" has serve
to tune: they are listed in `test_accuracy` and `train_accuracy` and compared in
`recommended_minus_tuned` alone.
"""

import pandas as pd

from finicky.experiments import arms
from finicky.experiments.arms import pair

TITLE = "The grid: initialisation, activation, optimizer, depth and block"
ANSWERS = [
    "C014", "C039", "C049", "C059", "C064", "C070", "C083", "C095", "C096", "C097", "C099", "C156",
    "C171", "C186",
]  # fmt: skip
READS = ["runs", "curves"]
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
FIGURES = {
    "F16": "Which initialisation suits which activation: read along a row for an initialiser that "
    "works everywhere, down a column for an activation that forgives. A bar below a number is the "
    "share of seeds whose loss became infinite or NaN.",
    "F20": "Degradation: where the solid line (training) climbs with depth, the network fails to "
    "fit what it has seen, so the dashed one (test) does not climb for overfitting. Batch norm and "
    "residual connections should keep both flat.",
}

CONDITIONS = arms.CONDITIONS | {
    "shallower_depth": "Int64",
    "tuned_rate": "float64",
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
RANDOM_INITS = [*HEURISTICS, "lecun", "xavier", "he"]
RECOMMENDED_RATES = {"momentum": 0.1, "adam": 1e-3, "adamw": 1e-4, "rmsprop": 1e-3}
FEWEST_RIVALS = 4  # an upper quartile needs four


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row a quantity, condition and seed; QUANTITIES says what each number is.

    `tables`: the gathered `runs` and `curves`. `a` and `b` are the accuracies (%) of the two arms
    in the order of the difference, save for errors, whose rise is the shallower network's accuracy
    a minus the deeper one's b. Extra conditions: `shallower_depth`, the depth that `depth` is
    compared with; `tuned_rate`, and `edge`: whether it is an end of the ladder.
    """
    every = arms.final(tables["runs"], tables["curves"])
    runs = every[every["subgrids"] != "rates"]

    plain, relu = runs[runs["block"] == "plain"], runs[runs["activation"] == "relu"]
    deep = runs[runs["depth"] >= 6]
    normal = plain[plain["init"] == "normal_std_1"]

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

    return arms.measured(
        {
            "test_accuracy": arms.each(every, "test_accuracy"),
            "train_accuracy": arms.each(every, "train_accuracy"),
            "relu_minus_sigmoid": relu_minus_sigmoid,
            "nan_reached": arms.nan_reached(normal[normal["depth"] >= 10]),
            "nan_within_100_steps": arms.nan_reached(normal, within=100),
            "he_minus_xavier": he_minus_xavier,
            "fan_scaled_minus_heuristic": fan_scaled_minus_heuristic,
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
    condition = [axis for axis in arms.KEY if axis != "seed"]
    test_rise = error_rise(plain, "test_accuracy").groupby(condition)["value"].median()
    return train_rise.merge(test_rise[test_rise > 0.5].index.to_frame(index=False), on=condition)


def next_smaller_depth(runs: pd.DataFrame) -> pd.DataFrame:
    """Training accuracy at each depth against the nearest smaller depth of the same condition."""
    pairs = pair(runs, runs, across=["depth"], metric="train_accuracy")
    pairs = pairs.rename(columns={"depth_a": "depth", "depth_b": "shallower_depth"})
    pairs = pairs[pairs["shallower_depth"] < pairs["depth"]]
    condition = [axis for axis in arms.KEY if axis != "seed"]
    nearest = pairs.groupby(condition)["shallower_depth"].transform("max")
    return pairs[pairs["shallower_depth"] == nearest]


def spread_halved_by_bn(relu: pd.DataFrame) -> pd.DataFrame:
    """Half the spread over RANDOM_INITS without batch norm minus the spread with it.

    Only where all six were trained in both. `a` and `b` are the best of the six, so that
    conditions in which nothing trains can be told.
    """
    condition = [axis for axis in arms.KEY if axis != "init"]
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
    ladder = arms.in_subgrids(runs, "rates")
    # where the validation images are trained on, only failed runs have an accuracy there: chance
    survived = ladder["outcome"] < arms.OUTCOMES.index("inf")
    held_out = (survived & ladder["validation_accuracy"].notna()).groupby(
        [ladder["dataset"], ladder["images"]]
    )
    ladder = ladder[held_out.transform("any")]
    recommended = ladder[ladder["learning_rate"] == ladder["optimizer"].map(RECOMMENDED_RATES)]
    tuned = arms.best_by_other_seeds(ladder, "learning_rate", by="validation_accuracy")
    pairs = pair(recommended, tuned, across=["learning_rate"])
    pairs = pairs.rename(
        columns={"learning_rate_a": "learning_rate", "learning_rate_b": "tuned_rate"}
    )
    cell = [axis for axis in arms.CELL if axis != "learning_rate"]
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
    return arms.each(ranked, 100 * ranked["share"] - 75)


def draw(table: pd.DataFrame) -> dict:
    """F16 and F20: figure id to (matplotlib Figure, data behind it).

    A figure without data is left out.
    """
    drawn = {"F16": heat_maps(table), "F20": degradation(table)}
    return {name: figure for name, figure in drawn.items() if figure is not None}


def heat_maps(table: pd.DataFrame):
    """F16: a row of panels for each depth and block, a column for each optimizer and rate.

    A panel needs two initialisers and two activations. Of several data sets and lengths of
    training, the one with the most cells is drawn.
    """
    from finicky.page import figures

    accuracy = table[table["quantity"] == "test_accuracy"].copy()
    accuracy["trained_by"], optimizers = figures.trained_by(accuracy)
    setting, panel = ["dataset", "images", "epochs"], ["depth", "block", "trained_by"]
    data = figures.summary(accuracy, [*setting, *panel, "init", "activation"])
    levels = data.groupby([*setting, *panel])[["init", "activation"]].transform("nunique")
    data = data[(levels >= 2).all(axis=1)]
    if data.empty:
        return None
    dataset, images, epochs = data.groupby(setting).size().idxmax()
    data = level(data, dataset=dataset, images=images, epochs=epochs)

    columns = [optimizer for optimizer in optimizers if optimizer in set(data["trained_by"])]
    activations = figures.in_order(data["activation"])
    rows = [
        (depth, block, figures.in_order(cells["init"])[::-1])
        for depth, deep in data.groupby("depth")
        for block in figures.in_order(deep["block"])
        for cells in [level(deep, block=block)]
    ]
    few = len(columns) <= 2  # then a panel is wide enough for its whole title on one line
    with figures.style():
        fig, axes = figures.panels(
            [0.23 * len(inits) for *_, inits in rows],
            len(columns),
            left=1.05,
            right=0.1,
            top=1.15 if few else 1.5,
            bottom=0.5 if few else 0.8,
            between=(0.15, 0.75 if few else 1.3),
        )
        for (depth, block, inits), line in zip(rows, axes, strict=True):
            name = f"{depth} layers, {figures.look(block).label}"
            for optimizer, ax in zip(columns, line, strict=True):
                cells = level(data, depth=depth, block=block, trained_by=optimizer)
                figures.heat_map(ax, cells, "activation", activations, "init", inits)
                if few:
                    title = f"{name}, {optimizer}"
                else:  # the first panel's title runs on over the others'
                    title = (f"{name}\n" if ax is line[0] else "") + optimizer.replace(
                        " at ", "\nat "
                    )
                ax.set_title(title, fontsize=8.5, pad=4)
                if ax is not line[0]:
                    ax.set_yticklabels([])
        figures.heat_map_key(fig, "median test accuracy (%)")
        said = f"{figures.look(dataset).label}, {images:,} images, {epochs} epochs"
        fig.text(
            0.08 / figures.WIDTH,
            1 - 0.27 / fig.get_figheight(),
            f"{said}, {figures.seeds_said(data)}",
        )
        best = data.loc[data["median"].idxmax()]
        fig.set_label(
            f"Median test accuracy of {len(data)} cells by initialisation and activation ({said}). "
            f"{(data['median'] >= 90).sum()} reach 90 %, {(data['failed'] == 1).sum()} became NaN "
            f"with every seed. Best: {figures.look(best['init']).label} with "
            f"{figures.look(best['activation']).label}, {best['depth']} layers, "
            f"{figures.look(best['block']).label}, {best['trained_by']}: {best['median']:.1f} %."
        )
    return fig, data


def degradation(table: pd.DataFrame):
    """F20: error by depth for the four blocks, He and ReLU, training solid and test dashed.

    A panel for each data set, length of training and optimizer that has at least half of the
    depths trained there.
    """
    from finicky.page import figures

    table = level(table, init="he", activation="relu")
    accuracy = table[table["quantity"].isin(["train_accuracy", "test_accuracy"])].copy()
    accuracy["value"] = 100 - accuracy["value"]
    accuracy["quantity"] = accuracy["quantity"].str.replace("accuracy", "error")
    accuracy["trained_by"], optimizers = figures.trained_by(accuracy)
    setting = ["dataset", "images", "epochs"]
    data = figures.summary(accuracy, [*setting, "trained_by", "quantity", "block", "depth"])
    depths = data.groupby([*setting, "trained_by"])["depth"].transform("nunique")
    in_setting = data.groupby(setting)["depth"].transform("nunique")
    data = data[(depths >= 2) & (depths >= in_setting / 2)]
    if data.empty:
        return None

    # two panels a row, each data set and length of training from a new row on
    places, row = [], 0
    for (dataset, images, epochs), cells in data.groupby(setting):
        said = f"{figures.look(dataset).label}, {images:,} images, {epochs} epochs"
        present = set(cells["trained_by"])
        for i, optimizer in enumerate(name for name in optimizers if name in present):
            panel = level(cells, trained_by=optimizer)
            places.append((row + i // 2, i % 2, optimizer, said, panel))
        row = places[-1][0] + 1

    lowest = max(0.8 * min(data["low"].min(), 2), 0.02)
    alt = ["Median training error from the smallest to the largest depth."]
    with figures.style():
        fig, axes = figures.panels(
            [2.4] * row, columns=2, left=0.55, right=1.1, top=0.6, between=(1.85, 1.0)
        )
        for ax in axes.flat:
            ax.set_visible(False)
        for row, column, optimizer, said, panel in places:
            ax = axes[row, column]
            ax.set_visible(True)
            ax.set_title(f"{optimizer}\n")
            ax.text(0, 1.03, said, transform=ax.transAxes)
            depths = sorted(set(panel["depth"]))
            figures.log_axis(ax, "x", low=0.93 * depths[0], high=1.07 * depths[-1], ticks=depths)
            figures.log_axis(ax, "y", low=lowest, high=100)
            ax.tick_params(axis="x", labelsize=7.5)
            ax.set_xlabel("depth (layers)")
            ax.set_ylabel("error (%)" if column == 0 else "")
            chance = 100 - arms.CHANCE
            ax.axhline(chance, color=figures.INK, alpha=0.6, linewidth=0.8)
            ax.text(depths[0], chance, "chance", va="top", fontsize=7.5)

            ends = []
            for block in figures.in_order(panel["block"]):
                train = level(panel, block=block, quantity="train_error").sort_values("depth")
                test = level(panel, block=block, quantity="test_error")
                figures.line(ax, train, "depth", block)
                figures.line(ax, test, "depth", block, dashed=True)
                first, last = train["median"].iloc[0], train["median"].iloc[-1]
                ends.append(f"{figures.look(block).label} {first:.1f} to {last:.1f} %")
            figures.label_ends(ax, level(panel, quantity="test_error"), "depth", "block")
            alt.append(f"{optimizer} ({said}): {', '.join(ends)}.")
        figures.footer(fig, data, {"solid": "training error", "dashed": "test error"})
        fig.set_label(" ".join(alt))
    return fig, data
