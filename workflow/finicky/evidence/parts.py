"""One part of a claim: from an experiment's tidy table to conditions, and to their verdicts."""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import median

import pandas as pd

from finicky import questions
from finicky.evidence import rules, trainings
from finicky.evidence.sometimes import sometimes
from finicky.evidence.where import where
from finicky.runs import FAILED

ARMS = ("a", "b")
CLASSES = 10  # of a data set, where a table does not say it: of MNIST and Fashion-MNIST


@dataclass(frozen=True)
class Condition:
    """One combination of levels and what its seeds gave.

    arms: median accuracies in %, or None; trained: whether each of them is that of a network that
    has trained; pair: each seed's number is the difference of its two arms; failed_arm: the arm
    ("a" or "b") of such a pair that failed wherever one did, or None.
    """

    levels: dict
    values: dict  # seed -> number
    outcomes: list
    arms: tuple | None
    trained: tuple | None
    dropped: bool
    verdict: str
    measured: float
    low: float
    high: float
    pair: bool = False
    failed_arm: str | None = None

    @property
    def n(self):
        return len(self.values)

    @property
    def alike(self):
        """Whether several seeds gave one and the same number: a count, or what nothing moves."""
        return self.n > 1 and len(set(self.values.values())) == 1


@dataclass(frozen=True)
class Part:
    """One part of a claim: its entry in the ledger, its conditions, and how they fell out.

    gap: why nothing was measured (one of rules.GAPS), or None; at: the levels of the conditions
    that this concerns, or how its experiment failed, in a sentence; trained: the different training
    budgets behind it, as trainings.variants.
    """

    spec: dict
    rule: str
    conditions: list
    count: rules.Count
    gap: str | None = None
    at: tuple = ()
    trained: frozenset = frozenset()

    @property
    def template(self):
        """Of the training budgets behind it; empty where no network is trained."""
        return self.spec.get("budget", "")

    @property
    def kept(self):
        return [condition for condition in self.conditions if not condition.dropped]

    @cached_property
    def where(self):
        """Where it holds (a where.Where), if it holds in places; else None. Where a side is decided
        as a whole, the exceptions are too few to be told from chance, so no place is named."""
        mixed = self.count.verdict in (rules.UNDER_CONDITIONS, rules.UNDECIDED)
        mixed |= self.rule == "sometimes"
        if not mixed or not self.count.hold or not self.count.fail:
            return None
        kept = self.kept
        return where([c.levels for c in kept], [c.verdict for c in kept])

    @property
    def mapped(self):
        """The conditions that a card shows: none where the part is one condition without axes."""
        return [condition for condition in self.conditions if condition.levels]


def measure(claim, spec, tables, settings=None, failures=None):
    """One part of a claim: its rows split by the claim's conditions, each decided, all counted.

    claim, spec: the entries of the ledger; tables: {experiment slug: its tidy table}, slugs may be
    missing; settings: {experiment slug: its settings}, which the training budget is said from;
    failures: {experiment slug: how it failed, in a sentence}.
    Returns a Part.
    """
    axes = claim.get("conditions", [])
    table, gap = _rows(spec, tables)
    rows = _records(table, axes)
    failed = (failures or {}).get(spec["experiment"])
    groups, at = _groups(rows, axes), (failed,) if gap == rules.NOT_RUN and failed else ()
    mixed = [levels for levels, group in groups if len({row["seed"] for row in group}) < len(group)]
    if mixed:
        groups, gap, at = [], rules.SEVERAL_VALUES, (mixed[0],)
    drops = claim.get("drop_untrained", False)
    conditions = [_condition(claim, spec, levels, group, drops) for levels, group in groups]
    twins = () if spec.get("agree") else _twins(conditions)
    if twins:
        conditions, gap, at = [], rules.COUNTED_TWICE, twins
    count = counted(claim["rule"], spec, [c for c in conditions if not c.dropped])
    trained = _trained(spec, table, tables, settings or {}) if conditions else frozenset()
    return Part(spec, claim["rule"], conditions, count, gap, at, trained)


def _trained(spec, table, tables, settings):
    """The training budgets behind a part's rows (trainings.variants); none without a network."""
    if not spec.get("budget"):
        return frozenset()
    whole = tables[spec["experiment"]]
    whole = whole[whole["quantity"] == spec["quantity"]]
    of = settings.get(spec["experiment"]) or {}
    return frozenset(trainings.variants(spec["budget"], table, of, whole))


def _twins(conditions):
    """The levels of two conditions with the same numbers in every seed, if there are such: one
    measurement would count twice.

    Some agree without being one: numbers that are the same for every seed (a count of operations,
    a network that says one class), yes or no, and comparisons with an arm that does not train.
    """
    seen = {}
    for condition in conditions:
        values = tuple(sorted(condition.values.items()))
        idle = condition.trained is not None and not all(condition.trained)
        different = {value for _, value in values}
        if condition.dropped or idle or len(different) == 1 or different <= {0, 1}:
            continue
        if values in seen:
            return seen[values], condition.levels
        seen[values] = condition.levels
    return ()


def counted(rule, spec, conditions):
    """How the conditions that count fell out, and what they combine to: a rules.Count."""
    count = rules.combine_conditions([condition.verdict for condition in conditions])
    if rule != "sometimes" or not conditions or spec.get("margin") is None:
        return count
    found = sometimes([condition.values for condition in conditions], spec["margin"])
    return replace(count, verdict=found.verdict, need=found.need)


def _rows(spec, tables):
    """The rows of a part, or none with the gap."""
    if spec["experiment"] not in tables:
        return pd.DataFrame(), rules.NOT_RUN
    table = tables[spec["experiment"]]
    table = table[table["quantity"] == spec["quantity"]]
    for axis, wanted in spec.get("where", {}).items():
        levels = wanted if isinstance(wanted, list) else [wanted]
        table = table[table[axis].isin(levels)] if axis in table else table[:0]
    return table, rules.NO_ROWS if table.empty else None


def _records(table, axes):
    """Rows as dicts, with the columns that decide."""
    columns = ["seed", "value", "a", "b", "classes_a", "classes_b", "outcome", *axes]
    return table[table.columns.intersection(columns)].to_dict("records")


def _groups(rows, axes):
    """Split rows by their levels; sorted. An axis without a level in a row is left out there."""
    groups = {}
    for row in rows:
        levels = {axis: _level(row.get(axis)) for axis in axes}
        key = tuple((axis, level) for axis, level in levels.items() if level is not None)
        groups.setdefault(key, []).append(row)
    return [(dict(key), groups[key]) for key in sorted(groups)]


def _level(value):
    """A level as a JSON value: whole floats (an integer column with gaps) as integers."""
    if value is None or pd.isna(value):
        return None
    value = value.item() if hasattr(value, "item") else value
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _condition(claim, spec, levels, rows, drops):
    values = {row["seed"]: _number(claim["rule"], row) for row in rows}
    arms = [[row[arm] for row in rows if not pd.isna(row[arm])] for arm in ARMS]
    arms = tuple(map(median, arms)) if all(arms) else None
    trained = arms and tuple(
        accuracy >= max(questions.trains_from(_classes(row, arm)) for row in rows)
        for arm, accuracy in zip(ARMS, arms, strict=True)
    )
    dropped = drops and trained is not None and not any(trained)
    in_order = [values[seed] for seed in sorted(values)]
    verdict, measured, low, high = rules.decide(
        claim["rule"], in_order, spec.get("margin"), spec.get("number")
    )
    outcomes = [row["outcome"] for row in rows]
    pair = arms is not None and all(_is_difference(row) for row in rows)
    return Condition(
        levels, values, outcomes, arms, trained, dropped, verdict, measured, low, high,
        pair, _failed_arm(rows) if pair else None,
    )  # fmt: skip


def _classes(row, arm):
    """How many classes the data set of an arm has."""
    said = row.get(f"classes_{arm}")
    return CLASSES if said is None or pd.isna(said) else int(said)


def _is_difference(row):
    return math.isclose(row["value"], row["a"] - row["b"], abs_tol=1e-6)


def _failed_arm(rows):
    """The arm of a difference that failed wherever one did. A row says only that one of its two
    runs did; as failed runs score exactly chance, the other is known where it scores anything
    else. None if nothing failed or it is not always the same arm."""
    found = set()
    for row in rows:
        if row["outcome"] in FAILED:
            at_chance = [arm for arm in ARMS if math.isclose(row[arm], 100 / _classes(row, arm))]
            found.add(at_chance[0] if len(at_chance) == 1 else None)
    return found.pop() if len(found) == 1 else None


def _number(rule, row):
    """A seed's number. A run that failed has no loss, yet no number that the chapter prints is as
    large as the one it had: for the value rule it is +inf. (Accuracies of failed runs are chance,
    which the experiments see to.) Any other NaN stays unknown, and the intervals allow for it."""
    value = float("nan") if pd.isna(row["value"]) else float(row["value"])
    if rule == "value" and math.isnan(value) and row["outcome"] in FAILED:
        return math.inf
    return value
