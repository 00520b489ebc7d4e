"""A researcher's own questions: comparisons, values, shares and trends that a config's `claims` ask
for, one number per seed and setting of the grid.

Two runs that are compared have the same seed and agree on every axis that is not compared. Losses
and steps count downwards: who needs fewer is ahead. A run that failed has no loss and scores
chance; one that never gets to an accuracy counts as one step more than it could have trained.
"""

import math

import numpy as np
import pandas as pd

from finicky import questions
from finicky.experiments import pairing, tidy, tuning
from finicky.runs import OUTCOMES

TITLE = "Your own questions"
READS = ["runs", "curves", "layers"]
PURPOSES = ["comparison", "tuning"]
SETTINGS = {
    "asked": (
        {"type": "array", "items": {"type": "object"}},
        "the questions that the config's claims come to (workflow/finicky/questions.py)",
    ),
}
QUANTITIES = {
    "compare": ("", "by how much a is ahead of b in the question's metric"),
    "value": ("", "the question's metric, or how far it lies above the question's number"),
    "share": ("0/1", "whether the run does what the question names"),
    "trend": ("", "by how much the metric changes per doubling of the axis, as claimed"),
    "test_accuracy": ("%", "of every run after the last epoch, for each of its sub-grids"),
}
CONDITIONS = {
    "question": "text",
    "metric": "text",
    "subgrid": "text",
    "dataset": "level",
    "images": "integer",
    "epochs": "integer",
    "depth": "integer",
    "block": "level",
    "activation": "level",
    "init": "level",
    "optimizer": "level",
    "learning_rate": "number",
    "batch_size": "integer",
    "width": "integer",
    "weight_decay": "number",
    "schedule": "level",
    "label_noise": "number",
    "classes_a": "integer",
    "classes_b": "integer",
}
BUDGET = "{images} images of {dataset}, {epochs} epochs"
LAYERS = ("gradient_norm", "activation_mean", "activation_variance", "dead_share",
          "saturated_share")  # fmt: skip


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per question, setting and seed, and one per run and sub-grid.

    settings: `asked`, as questions.py describes them. tables: `runs`, `curves`, `layers`. `a` and
    `b` are the two sides (%) where accuracies are compared, `classes_a` and `classes_b` how many
    classes the data set of each has, from which the judge knows what a guess scores.
    """
    every = pairing.by_epoch(tables["runs"], tables["curves"])
    last = every[every["epoch"] == every["epochs"]].set_index("run", drop=False)
    found = {name: [] for name in QUANTITIES}
    for question in settings["asked"]:
        runs = last.assign(value=_metric(question["metric"], last, every, tables["layers"]))
        found[question["form"]] += answers(question, arms(question, runs))
    single = last.assign(
        subgrid=last["subgrids"].str.split(","), value=last["test_accuracy"], a=np.nan, b=np.nan,
        classes_a=last["classes"],
    )  # fmt: skip
    quantities = {name: _frame(rows) for name, rows in found.items()}
    return tidy.from_quantities(quantities | {"test_accuracy": single.explode("subgrid")},
                                CONDITIONS)  # fmt: skip


def _frame(rows: list[dict]) -> pd.DataFrame:
    columns = ["seed", "value", "a", "b", "outcome", *CONDITIONS]
    numbers = dict.fromkeys(["value", "a", "b"], "float64")
    return pd.DataFrame(rows, columns=columns).astype(numbers | {"outcome": int})


def arms(question: dict, runs: pd.DataFrame) -> pd.DataFrame:
    """The runs that a question compares: those at fixed rates, or of each network and seed the one
    at the rate that the other seeds' held-out images choose, which has no learning rate then."""
    if question["best_rate"]:
        runs = tuning.best_by_other_seeds(runs, questions.RATE, by="validation_accuracy")
    else:
        purposes = runs["purposes"].str.split(",").map(lambda names: [*filter(None, names)])
        runs = runs[purposes.map(questions.at_fixed_rates).astype(bool)]
    seen = runs.assign(**dict.fromkeys(questions.blind(question)))
    return seen.drop_duplicates([*questions.AXES, "seed"])


def answers(question: dict, runs: pd.DataFrame) -> list[dict]:
    """The rows of one question: its levels, seed, value, a, b and outcome (into OUTCOMES)."""
    columns = [*questions.AXES, "seed", "value", "outcome", "classes"]
    found = questions.cases(question, runs[columns].astype(object).to_dict("records"))
    sign = questions.metric(question["metric"]).better
    percent = question["form"] == "compare" and question["metric"].endswith("accuracy")
    if question["form"] == "compare" and question.get("b") is None:
        found = _against_the_best(question, found, sign)
    rows = []
    for case in found:
        sides = [float(row["value"]) for row in case.rows]
        a, b = sides if percent else (np.nan, np.nan)
        classes = [row["classes"] for row in case.rows] if percent else [None, None]
        rows.append(
            case.levels
            | {"question": question["id"], "metric": question["metric"]}
            | {"seed": case.seed, "a": a, "b": b}
            | dict(zip(("classes_a", "classes_b"), classes, strict=True))
            | {"value": _number(question, case.rows, sides, sign)}
            | {"outcome": max(row["outcome"] for row in case.rows)}
        )
    return rows


def _number(question, rows, sides, sign):
    """The number of one case, of its sides' metric."""
    if question["form"] == "compare":
        return sign * (sides[0] - sides[1])
    if question["form"] == "trend":
        places = np.log2([float(row[question["axis"]]) for row in rows])
        slope = np.polyfit(places, sides, 1)[0] if np.isfinite(sides).all() else math.nan
        return -slope if question["falls"] else slope
    number = question.get("number")
    return sides[0] if number is None else sign * (sides[0] - number)


def _against_the_best(question, found, sign):
    """Cases of a and the one rival that is best for the other seeds of its setting."""
    differing = questions.across(question)

    def name(row):
        return tuple(row[axis] for axis in differing)

    chosen = []
    for cases in questions.by_condition(found, questions.AXES).values():
        scores = {
            case.seed: {name(row): sign * float(row["value"]) for row in case.rows[1:]}
            for case in cases
        }
        scores = pd.DataFrame(scores).fillna(-math.inf)
        for case in cases:
            best = tuning.best_level(scores, case.seed)
            rows = [case.rows[0], *(row for row in case.rows[1:] if name(row) == best)]
            if len(rows) == 2:
                chosen.append(questions.Case(case.levels, case.seed, rows))
    return chosen


# ---- Metrics ------------------------------------------------------------------------------------


def _metric(name: str, last: pd.DataFrame, every: pd.DataFrame, layers: pd.DataFrame) -> pd.Series:
    """A metric of every run, by run. last, every: pairing.by_epoch after the last epoch and after
    each; layers: the table."""
    if name in last:
        return last[name].astype("float64")
    if name == "diverged":
        return (last["outcome"] >= OUTCOMES.index("inf")).astype("float64")
    if name == "trained":
        least = last["classes"].map(questions.trains_from)
        return (last["test_accuracy"] >= least).astype("float64")
    if name == "gradient_ratio" or name in LAYERS:
        return _of_layers(name, last, layers)
    _, accuracy = questions.TO_AN_ACCURACY.fullmatch(name).groups()
    there = every[every["test_accuracy"] >= float(accuracy)]
    steps = there.groupby("run")["steps"].min().reindex(last.index)
    if name.startswith("reached"):
        return steps.notna().astype("float64")
    return steps.astype("float64").fillna(last["steps"] + 1)


def _of_layers(name, last, layers):
    """The mean over the hidden layers after training, in % where it is a share; or the ratio of the
    outer layers' gradient norms before it. Runs that failed have none after it."""
    rows = layers.merge(last[["depth", "epochs", "outcome"]], left_on="run", right_index=True)
    if name == "gradient_ratio":
        start = rows[rows["epoch"] == 0].set_index("run")
        first, final = (
            start.loc[start["layer"] == layer, "gradient_norm"] for layer in (1, start["depth"])
        )
        return (first / final.where(final > 0)).reindex(last.index)
    rows = rows[(rows["epoch"] == rows["epochs"]) & (rows["layer"] < rows["depth"])]
    mean = rows[rows["outcome"] < OUTCOMES.index("inf")].groupby("run")[name].mean()
    return (100 * mean if name.endswith("share") else mean).reindex(last.index)
