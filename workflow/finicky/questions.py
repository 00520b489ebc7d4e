"""Questions to the grid: what is asked of which runs, and which of them answer it together.

Whoever plans asks before anything trains, and whoever measures asks afterwards, by the same code:
what a claim was checked against is what it is measured by.

A question is a mapping of plain values:

- id; form, one of FORMS; metric, a name that `metric` knows
- axis: the one that is compared or followed; alongside: those that may differ with it
- a, b: the levels compared; without b it is the best of a's rivals
- where: {axis: levels} that runs must have; best_rate: each arm at its own best learning rate
- number: what a value is counted from; falls: whether a trend is claimed to fall
"""

import itertools
import math
import re
from dataclasses import dataclass, fields

from finicky.runs import Run

NO_AXES = ("seed", "device", "instruction_set")
AXES = tuple(field.name for field in fields(Run) if field.name not in NO_AXES)
EXPERIMENT = "questions"  # which measures the answers
FORMS = ("compare", "value", "share", "trend")
RATE = "learning_rate"


@dataclass(frozen=True)
class Metric:
    """One number of a run. better: 1 where more is better or nothing is, -1 where less is; low,
    high: between which it can lie; event: whether it is 1 or 0, and `words` what the run does;
    blind: axes that make no difference to it, as it is taken before they do."""

    words: str
    unit: str
    better: int = 1
    low: float = 0.0
    high: float = math.inf
    event: bool = False
    blind: tuple = ()

    @property
    def difference_unit(self):
        """The unit of a difference of two of them."""
        return "pp" if self.unit == "%" else self.unit


FIRST_BATCH = ("epochs", "optimizer", RATE, "weight_decay", "schedule")
START = (*FIRST_BATCH, "images", "batch_size")


def _percent(words, better=1):
    return Metric(words, "%", better, high=100.0)


# Of a trained network: after the last epoch; of layers: the mean over the hidden ones.
METRICS = {
    "test_accuracy": _percent("test accuracy"),
    "train_accuracy": _percent("training accuracy"),
    "validation_accuracy": _percent("validation accuracy"),
    "running_accuracy": _percent("accuracy on the batches of the last epoch"),
    "test_loss": Metric("test loss", "nats", -1),
    "train_loss": Metric("training loss", "nats", -1),
    "validation_loss": Metric("validation loss", "nats", -1),
    "running_loss": Metric("loss on the batches of the last epoch", "nats", -1),
    "start_loss": Metric("loss of the first batch", "nats", -1, blind=FIRST_BATCH),
    "seconds": Metric("training time", "s", -1),
    "gradient_ratio": Metric(
        "first layer's gradient norm over the last one's, before training", "", blind=START
    ),
    "gradient_norm": Metric("gradient norm", ""),
    "activation_mean": Metric("mean activation", "", low=-math.inf),
    "activation_variance": Metric("variance of the activations", ""),
    "dead_share": _percent("share of dead units", -1),
    "saturated_share": _percent("share of saturated units", -1),
    "diverged": Metric("diverge", "0/1", -1, high=1.0, event=True),
    "trained": Metric(
        "train (ten points beyond chance, or twice chance)", "0/1", high=1.0, event=True
    ),
}
TO_AN_ACCURACY = re.compile(r"(steps_to|reached)_([0-9]+(?:\.[0-9]+)?)")
SPELLED = (*METRICS, "steps_to_<accuracy>", "reached_<accuracy>")


def metric(name):
    """The Metric of a name; None if there is none. `steps_to_90` and `reached_90` are about the
    first epoch after which 90 % of the test images are told right; 0.9 would be a share."""
    found = TO_AN_ACCURACY.fullmatch(name)
    if not found or not 1 < float(found[2]) <= 100:
        return METRICS.get(name)
    if found[1] == "steps_to":
        return Metric(f"steps to {found[2]} % test accuracy", "steps", -1)
    return Metric(f"reach {found[2]} % test accuracy", "0/1", high=1.0, event=True)


def trains_from(classes):
    """The accuracy (%) from which on a network counts as trained: ten points above a guess among
    so many classes, or twice a guess where that is less, as of more than ten."""
    guess = 100 / classes
    return min(guess + 10, 2 * guess)


@dataclass(frozen=True)
class Case:
    """What one number of a question is made of: the levels that its runs share, their seed, and
    the rows of these runs: [one] of a value or share; [a, b] of a comparison, or [a, rivals...];
    those of a trend from the smallest level to the largest."""

    levels: dict
    seed: int
    rows: list


def experiments(config):
    """The experiments that a preset makes, by slug: those that it has settings for, and the one
    that answers its own claims."""
    named = [slug for slug, settings in config["experiments"].items() if settings is not None]
    return named + ([EXPERIMENT] if config.get("claims") else [])


def at_fixed_rates(purposes):
    """Whether a run with these purposes counts where nobody chooses a rate: those for tuning do
    not; those that differ from the chapter's in other axes have no purpose, and do."""
    return not purposes or "comparison" in purposes


def blind(question):
    """The axes that a question does not look at: its runs count once, whatever they are there."""
    return [*metric(question["metric"]).blind, *([RATE] if question["best_rate"] else [])]


def across(question):
    """The axes in which the runs of one case differ."""
    own = [question["axis"]] if question.get("axis") else []
    return [*own, *question.get("alongside", ())]


def chosen(question, rows):
    """The rows that have the question's levels."""
    where = question.get("where", {})
    return [row for row in rows if all(row[axis] in levels for axis, levels in where.items())]


def cases(question, rows):
    """The cases of a question among rows: mappings with AXES and `seed`, of whom each may have
    more. Levels that are None are left out of a case's."""
    differing = across(question)
    shared = [axis for axis in AXES if axis not in differing]
    groups = {}
    for row in chosen(question, rows):
        key = (*(row[axis] for axis in shared), row["seed"])
        groups.setdefault(key, []).append(row)
    found = []
    for (*levels, seed), members in groups.items():
        named = dict(zip(shared, levels, strict=True))
        named = {axis: level for axis, level in named.items() if level is not None}
        found += [Case(named, seed, combined) for combined in _combined(question, members)]
    return found


def _combined(question, members):
    """The lists of rows that make a number, of members that differ in the compared axis alone."""
    form, axis = question["form"], question.get("axis")
    if form == "trend":
        ordered = sorted(members, key=lambda row: row[axis])
        return [ordered] if len({row[axis] for row in ordered}) > 1 else []
    if form != "compare":
        return [[row] for row in members]
    ours = [row for row in members if row[axis] == question["a"]]
    if question.get("b") is None:
        rivals = [row for row in members if row[axis] != question["a"]]
        return [[row, *rivals] for row in ours if rivals]
    theirs = [row for row in members if row[axis] == question["b"]]
    return [[a, b] for a, b in itertools.product(ours, theirs)]


def by_condition(found, conditions):
    """Cases by their levels of these columns: {levels as pairs: cases}."""
    groups = {}
    for case in found:
        key = tuple((axis, case.levels[axis]) for axis in conditions if axis in case.levels)
        groups.setdefault(key, []).append(case)
    return groups
