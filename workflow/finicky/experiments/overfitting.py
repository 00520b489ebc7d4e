"""Overfitting and underfitting: do they come, and does what the chapter advises help?

A network far larger than its training set is trained on and on, without any remedy, with each alone
and with all together. Then two networks that underfit, too small or trained too briefly, are made
wider, deeper, or trained for longer.
"""

import itertools
import math

import numpy as np
import pandas as pd

from finicky.experiments import best_rates, remedies, tidy, training
from finicky.experiments.best_rates import CHAPTER, OWN
from finicky.experiments.remedies import Replica

TITLE = "Overfitting and underfitting, and their remedies"
READS = []
DATASETS = ["mnist", "fashion_mnist"]
SETTINGS = {
    "datasets": ("datasets", "data sets"),
    "images": ("numbers_of_images", "training images: sizes of the small training set"),
    "epochs": ("epochs", "epochs on it"),
    "held_out": (
        {"type": "integer", "minimum": 100, "maximum": 5000},
        "held-out images that the validation curves are of",
    ),
    "width": (
        "width",
        "units of each of the two hidden layers",
    ),
    "rates": ("rates", "learning rates of Adam that each arm is trained at"),
    "penalties": ("positives", "λ of the L2 penalty λ Σθ² to choose from"),
    "dropouts": ("dropouts", "shares of dropout to choose from"),
    "shifts": ("shifts", "pixels that augmentation moves an image by at most, to choose from"),
    "underfit": (
        {
            "type": "object",
            "additionalProperties": False,
            "required": ["images", "epochs", "few_units", "units", "cure", "rates"],
            "properties": {
                "images": {"$ref": "#/$defs/images"},
                "epochs": {"$ref": "#/$defs/epochs"},
                "few_units": {"$ref": "#/$defs/width"},
                "units": {"$ref": "#/$defs/width"},
                "cure": {"type": "integer", "minimum": 2, "maximum": 100},
                "rates": {"$ref": "#/$defs/rates"},
            },
        },
        "underfitting: training images, epochs of the network of few units, its units, the units "
        "of the network that is trained for one epoch, how many times as many cure, and learning "
        "rates of Adam",
    ),
}
QUANTITIES = {
    "loss": ("nats", "loss by epoch, at the strength that is best at the chapter's rate"),
    "accuracy": ("%", "accuracy by epoch, at the strength that is best at the chapter's rate"),
    "test_accuracy": ("%", "test accuracy at the end, at the best strength"),
    "overfits": ("0/1", "no remedy: whether the end is worse on the test images than the epoch "
                 "that was best for held-out ones, the loss by more than 5 %, the error by more "
                 "than 0.5 points"),
    "accuracy_gap": ("pp", "training minus test accuracy at the end, at the best strength"),
    "wide_gap": ("0/1", "no remedy: whether training accuracy is more than 5 points above test "
                 "accuracy at the end"),
    "losses_part": ("0/1", "no remedy, second half of the epochs: whether the fitted line of the "
                    "training loss falls and that of the validation loss rises"),
    "accuracies_part": ("0/1", "no remedy, second half of the epochs: whether the fitted lines of "
                        "training loss and validation accuracy fall"),
    "gain": ("pp", "test accuracy: with the remedy minus with none"),
    "loss_gain": ("nats", "test loss: with none minus with the remedy"),
    "strength": ("", "the strength that the other seeds' held-out images choose: λ, share or "
                 "pixels"),
    "best_rate": ("", "the rate that the other seeds' held-out images choose"),
    "cure": ("pp", "accuracy: cured minus underfitting"),
    "underfit_accuracy": ("%", "accuracy of the networks that underfit, and of those cured"),
}  # fmt: skip
CONDITIONS = {
    "dataset": "level",
    "images": "integer",
    "remedy": ["none", "L2", "dropout", "early stopping", "augmentation", "all"],
    "metric": ["loss", "error"],
    "rate": ["chapter", "own best"],
    "epoch": "integer",
    "split": ["train", "validation", "test"],
    "underfit": ["too few units", "too few epochs"],
    "cure": ["more units", "more layers", "more epochs", "none"],
    "epochs": "integer",
}
BUDGET = {
    "{images} images of {dataset}, {epochs} epochs": [
        "loss",
        "accuracy",
        "test_accuracy",
        "overfits",
        "accuracy_gap",
        "wide_gap",
        "losses_part",
        "accuracies_part",
        "gain",
        "loss_gain",
        "strength",
        "best_rate",
    ],
    "{underfit.images} images of {dataset}, {underfit.epochs} epochs or 1, {underfit.cure} times "
    "as many to cure": ["cure", "underfit_accuracy"],
}


NONE, L2, DROPOUT, EARLY = "none", "L2", "dropout", "early stopping"
AUGMENTATION, ALL = "augmentation", "all"
CURES = {"more units": "width", "more layers": "depth", "more epochs": "epochs"}
WIDE = 5  # points between training and test accuracy
RISE = {"loss": 1.05, "error": 0.5}  # from where the end is worse: a factor, and points


def measure(settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per quantity, condition and seed; QUANTITIES says what each number is."""
    parts = []
    for name in settings["datasets"]:
        found = [rows.assign(dataset=name) for rows in underfitting(name, settings)]
        for images in settings["images"]:
            dataset = training.prepared(name, settings, images)
            where = {"dataset": name, "images": images, "epochs": settings["epochs"]}
            found += [rows.assign(**where) for rows in overfitting(dataset, settings)]
        parts += found
    return tidy.from_rows([row for part in parts for row in part.to_dict("records")], CONDITIONS)


# ---- Overfitting --------------------------------------------------------------------------------


def overfitting(dataset, settings):
    """Yields the rows of the quantities of a data set's small training set."""
    strengths = {
        NONE: [{}],
        L2: [{"penalty": value} for value in settings["penalties"]],
        DROPOUT: [{"dropout": value} for value in settings["dropouts"]],
        AUGMENTATION: [{"shift": value} for value in settings["shifts"]],
    }
    runs = pd.concat(
        [
            stack(remedy, of, rate, dataset, settings)
            for remedy, of in strengths.items()
            for rate in settings["rates"]
        ],
        ignore_index=True,
    )
    runs = pd.concat([runs, together(runs, dataset, settings)], ignore_index=True)
    early = runs[runs["remedy"] == NONE].assign(remedy=EARLY)
    stopped = runs["remedy"] == ALL  # all remedies include stopping early
    places = [(runs[~stopped], "end"), (early, "loss"), (runs[stopped], "loss")]
    runs = pd.concat([at_place(*of) for of in places], ignore_index=True)
    chosen = best_rates.at_rates(runs, ["remedy"], ("strength",))
    yield from curves(chosen[chosen["rate"] == CHAPTER])
    yield from of_remedies(chosen)
    yield from of_none(chosen[chosen["remedy"] == NONE])


def stack(remedy, strengths, rate, dataset, settings) -> pd.DataFrame:
    """The rows of `remedies.trained` of one remedy and rate: every strength, as fields of Replica,
    and seed."""
    pairs = list(itertools.product(strengths, settings["seeds"]))
    replicas = [Replica(seed, rate, **strength) for strength, seed in pairs]
    values = [next(iter(strength.values()), math.nan) for strength, _ in pairs]
    keep = ("loss", "error") if remedy == NONE else ()
    return remedies.trained(replicas, dataset, settings, keep).assign(
        remedy=remedy, strength=values
    )


def together(runs, dataset, settings) -> pd.DataFrame:
    """The rows of all remedies at once: for each rate and seed at the strengths that are best for
    the other seeds when each is alone, at this rate."""
    found = []
    alone = at_place(runs[runs["remedy"] != NONE], "end")
    fields = {L2: "penalty", DROPOUT: "dropout", AUGMENTATION: "shift"}
    for rate, at_rate in alone.groupby("learning_rate"):
        best = best_rates.best(at_rate, ["remedy"], ["strength"])
        best = best.pivot(index="seed", columns="remedy", values="strength")
        replicas = [
            Replica(seed, rate, **{field: best.loc[seed, name] for name, field in fields.items()})
            for seed in settings["seeds"]
        ]
        found.append(remedies.trained(replicas, dataset, settings, ("loss",)))
    return pd.concat(found).assign(remedy=ALL, strength=math.nan)


def at_place(runs, place) -> pd.DataFrame:
    """The runs with the scores that they had at the end, or where a validation score was best."""
    scores = pd.DataFrame(list(runs[place]), index=runs.index)
    finite = scores["train_loss"].notna()
    return runs.join(scores).assign(outcome=np.where(finite, "finite", "nan"))


def curves(chosen):
    """Yields the rows of loss and accuracy by epoch; early stopping has those of no remedy."""
    chosen = chosen[chosen["remedy"] != EARLY]
    for quantity in ("loss", "accuracy"):
        for split in ("train", "validation"):
            yield pd.DataFrame(
                [
                    {"quantity": quantity, "split": split, "remedy": run["remedy"], "rate": CHAPTER,
                     "seed": run["seed"], "epoch": at["epoch"], "value": at[f"{split}_{quantity}"],
                     "outcome": run["outcome"]}
                    for run in chosen.to_dict("records")
                    for at in run["curve"]
                ]
            )  # fmt: skip


def of_remedies(chosen):
    """Yields the rows of scores, gaps and gains of every remedy."""
    columns = ["remedy", "rate", "seed", "outcome"]
    gap = chosen["train_accuracy"] - chosen["test_accuracy"]
    for quantity, value in (("test_accuracy", chosen["test_accuracy"]), ("accuracy_gap", gap)):
        rows = chosen[columns].assign(value=value, quantity=quantity)
        yield rows if quantity == "test_accuracy" else best_rates.once(rows, ["remedy"])
    for quantity, column in (("strength", "strength"), ("best_rate", "learning_rate")):
        rows = chosen[columns].assign(value=chosen[column], quantity=quantity).dropna()
        yield rows if quantity == "strength" else rows[rows["rate"] == OWN]
    none = chosen[chosen["remedy"] == NONE]
    for remedy, mine in chosen[chosen["remedy"] != NONE].groupby("remedy"):
        gain = best_rates.minus(mine, none, ["rate"]).assign(remedy=remedy)
        yield best_rates.once(gain, ["remedy"]).assign(quantity="gain")
        gain = best_rates.minus(none, mine, ["rate"], "test_loss").assign(remedy=remedy)
        gain = gain.drop(columns=["a", "b"])  # the sides of a comparison are accuracies
        yield best_rates.once(gain, ["remedy"]).assign(quantity="loss_gain")


def of_none(runs):
    """Yields the rows of whether the trainings without a remedy overfit."""
    rows = []
    for run in runs.to_dict("records"):
        row = {"rate": run["rate"], "seed": run["seed"], "outcome": run["outcome"]}
        end, loss, error = run["end"], run["loss"], run["error"]
        worse = {
            "loss": end["test_loss"] > RISE["loss"] * loss["test_loss"],
            "error": end["test_accuracy"] < error["test_accuracy"] - RISE["error"],
        }
        rows += [
            row | {"quantity": "overfits", "metric": metric, "value": float(it_is)}
            for metric, it_is in worse.items()
        ]
        gap = end["train_accuracy"] - end["test_accuracy"]
        found = parting(run["curve"]) | {"wide_gap": gap > WIDE}
        rows += [row | {"quantity": name, "value": float(it_is)} for name, it_is in found.items()]
    yield best_rates.once(pd.DataFrame(rows), ["quantity", "metric"])


def parting(curve) -> dict[str, bool]:
    """Whether, in the second half of the epochs, the line fitted to the training loss falls while
    that of the validation loss rises, or that of the validation accuracy falls."""
    last = curve[-1]["epoch"]
    half = [at for at in curve if at["epoch"] >= last / 2]

    def slope(score):
        return np.polyfit([at["epoch"] for at in half], [at[score] for at in half], 1)[0]

    falls = slope("train_loss") < 0
    return {
        "losses_part": falls and slope("validation_loss") > 0,
        "accuracies_part": falls and slope("validation_accuracy") < 0,
    }


# ---- Underfitting -------------------------------------------------------------------------------


def underfitting(name, settings):
    """Yields the rows of the quantities of two networks that underfit, and of their cures."""
    of = settings["underfit"]
    dataset = training.prepared(name, settings, of["images"])
    starts = {
        "too few units": {"width": of["few_units"], "epochs": of["epochs"], "depth": 2},
        "too few epochs": {"width": of["units"], "epochs": 1, "depth": 2},
    }
    jobs, arms = [], []
    for underfit, levels in starts.items():
        cured = {cure: {axis: levels[axis] * of["cure"]} for cure, axis in CURES.items()}
        cured["more layers"] = {"depth": levels["depth"] + 2}
        for cure, change in ({NONE: {}} | cured).items():
            for rate, seed in itertools.product(of["rates"], settings["seeds"]):
                jobs.append(
                    training.run(
                        settings, of["images"], seed, dataset=name, learning_rate=rate,
                        **levels | change,
                    )
                )  # fmt: skip
                arms.append({"underfit": underfit, "cure": cure})
    rows = training.train(jobs, dataset, ("train", "validation", "test"))
    runs = tidy.named([row | arm for row, arm in zip(rows, arms, strict=True)])
    chosen = best_rates.at_rates(runs, ["underfit", "cure"])
    none = chosen[chosen["cure"] == NONE]
    for split in ("train", "test"):
        metric = f"{split}_accuracy"
        yield chosen.assign(quantity="underfit_accuracy", split=split, value=chosen[metric])[
            ["quantity", "split", "underfit", "cure", "rate", "seed", "value", "outcome"]
        ]
        for cure in CURES:
            mine = chosen[chosen["cure"] == cure]
            gain = best_rates.minus(mine, none, ["underfit", "rate"], metric)
            gain = best_rates.once(gain, ["underfit"])
            yield gain.assign(quantity="cure", cure=cure, split=split)
