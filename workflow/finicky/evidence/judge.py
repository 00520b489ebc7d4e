"""The judge: every claim of the ledger against the experiments' tables.

`judge` turns the ledger and the tidy tables into the list that report/claims.json holds
(workflow/schemas/claims-output.schema.yaml) and into the evidence table. Whatever it says in words
is composed from numbers, so other data give other words. Missing tables or rows are gaps that it
names, never errors.
"""

import math
from collections import Counter
from dataclasses import dataclass
from statistics import median

import pandas as pd

from finicky.errors import InputError
from finicky.evidence import rules
from finicky.numbers import significant

CHANCE = 10.0  # % accuracy of guessing among ten classes
TRAINS = 2 * CHANCE  # an arm trains where its median accuracy reaches this
OUTCOMES = ("finite", "large", "inf", "nan")  # from harmless to worst
FAILED = ("inf", "nan")
EVIDENCE = {  # columns of the evidence table and their types; the axes of the claims follow
    "claim": "string", "part": "string", "experiment": "string", "quantity": "string",
    "rule": "string", "number": "Float64", "margin": "Float64", "unit": "string", "n": "Int64",
    "measured": "Float64", "ci_low": "Float64", "ci_high": "Float64", "arm_a": "Float64",
    "arm_b": "Float64", "outcome": "string", "failed_share": "Float64", "dropped": "boolean",
    "verdict": "string",
}  # fmt: skip
NO_AXIS = "no single axis explains it"


def judge(ledger, tables):
    """Judge every claim.

    ledger: what ledger.load returns; tables: {experiment slug: its tidy table}, with the columns
    quantity, seed, value, a, b, outcome and conditions; slugs may be missing.
    Returns (claims, evidence): the list of claims.json, in the ledger's order, and a DataFrame
    with a row a claim, part and condition. Raises InputError where a part's conditions do not tell
    two values of one seed apart.
    """
    claims, evidence = [], []
    for claim in ledger["claims"]:
        parts = [_measure(claim, spec, tables) for spec in claim.get("parts", [])]
        also = [_measure(claim, spec, tables) for spec in claim.get("also", [])]
        claims.append(_record(claim, parts, also))
        evidence += [row for part in parts for row in _evidence_rows(claim, part)]
    axes = dict.fromkeys(axis for claim in ledger["claims"] for axis in claim.get("conditions", []))
    table = pd.DataFrame(evidence, columns=[*EVIDENCE, *axes]).astype(EVIDENCE)
    return claims, table.astype({axis: table[axis].convert_dtypes().dtype for axis in axes})


# ---- One part: its rows, its conditions, their verdicts -----------------------------------------


@dataclass(frozen=True)
class Condition:
    """One combination of levels and what its seeds gave. arms: median accuracies in %, or None."""

    levels: dict
    values: dict  # seed -> number
    outcomes: list
    arms: tuple | None
    dropped: bool
    verdict: str
    measured: float
    low: float
    high: float

    @property
    def n(self):
        return len(self.values)


@dataclass(frozen=True)
class Part:
    spec: dict
    rule: str
    conditions: list
    count: rules.Count
    reason: str | None  # why it is undecided

    @property
    def kept(self):
        return [condition for condition in self.conditions if not condition.dropped]

    @property
    def mapped(self):
        """The conditions that a card shows: none where the part is one condition without axes."""
        return [condition for condition in self.conditions if condition.levels]


def _measure(claim, spec, tables):
    """Read one part's rows, split them by the claim's conditions, decide each, combine."""
    axes = claim.get("conditions", [])
    rows, reason = _rows(spec, axes, tables)
    drops = claim.get("drop_untrained", False)
    conditions = [
        _condition(claim, spec, levels, group, drops) for levels, group in _groups(rows, axes)
    ]
    count = rules.combine_conditions([c.verdict for c in conditions if not c.dropped])
    if conditions and count.verdict == rules.UNDECIDED:
        reason = _why_undecided(claim["rule"], conditions, count)
    return Part(spec, claim["rule"], conditions, count, reason)


def _rows(spec, axes, tables):
    """The rows of a part as dicts, or none with the reason."""
    if spec["experiment"] not in tables:
        return [], f"the experiment {spec['experiment']} has not run"
    table = tables[spec["experiment"]]
    table = table[table["quantity"] == spec["quantity"]]
    for axis, wanted in spec.get("where", {}).items():
        levels = wanted if isinstance(wanted, list) else [wanted]
        table = table[table[axis].isin(levels)] if axis in table else table[:0]
    if table.empty:
        where = "".join(f", {axis} {level}" for axis, level in spec.get("where", {}).items())
        return [], f"{spec['experiment']} has no {spec['quantity']}{where}"
    columns = ["seed", "value", "a", "b", "outcome", *axes]
    return table[table.columns.intersection(columns)].to_dict("records"), None


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
    if len(values) < len(rows):
        where = ", ".join(f"{axis} {level}" for axis, level in levels.items()) or "no conditions"
        raise InputError(
            f"claim {claim['id']}, part {spec['name']}", "conditions",
            f"several values a seed at {where}", "conditions or a `where` that tell them apart",
        )  # fmt: skip
    arms = [[row[arm] for row in rows if not pd.isna(row[arm])] for arm in ("a", "b")]
    arms = tuple(map(median, arms)) if all(arms) else None
    dropped = drops and arms is not None and max(arms) < TRAINS
    in_order = [values[seed] for seed in sorted(values)]
    verdict, measured, low, high = rules.decide(
        claim["rule"], in_order, spec.get("margin"), spec.get("number")
    )
    outcomes = [row["outcome"] for row in rows]
    return Condition(levels, values, outcomes, arms, dropped, verdict, measured, low, high)


def _number(rule, row):
    """A seed's number. A run that failed has no loss, yet no number that the chapter prints is as
    large as the one it had: for the value rule it is +inf. (Accuracies of failed runs are chance,
    which the experiments see to.) Any other NaN stays unknown, and the intervals allow for it."""
    value = float("nan") if pd.isna(row["value"]) else float(row["value"])
    if rule == "value" and math.isnan(value) and row["outcome"] in FAILED:
        return math.inf
    return value


def _why_undecided(rule, conditions, count):
    kept = [condition for condition in conditions if not condition.dropped]
    if not kept:
        return f"neither arm trains in any of the {_many(len(conditions), 'condition')}"
    most, fewest = max(condition.n for condition in kept), rules.RULES[rule].fewest
    if most < fewest:
        return f"{_many(most, 'seed')} of the {fewest} needed"
    if all(math.isnan(condition.measured) for condition in kept):
        unconfirmed = "the source prints no number to compare with"
        return unconfirmed if rule == "source" else "no finite number was measured"
    if count.conditions == 1:
        return "the interval lies on both sides of the limit"
    return (
        f"of {count.conditions} conditions {count.hold} hold, {count.fail} do not and "
        f"{count.undecided} are undecided: neither two thirds one way nor {count.need} each way"
    )


# ---- One part in numbers ------------------------------------------------------------------------


def _overall(part):
    """(measured, low, high, n) of a part.

    One condition: its own. Several: each seed's mean over the conditions that count, then the
    interval over the seeds that all of them have. Conditions share seeds, so pooling them as if
    they were independent would make the interval too narrow. This describes; it decides nothing.
    """
    conditions = part.kept or part.conditions
    if len(conditions) == 1:
        (only,) = conditions
        return only.measured, only.low, only.high, only.n
    by_seed = {}
    for condition in conditions:
        for seed, number in condition.values.items():
            by_seed.setdefault(seed, []).append(number)
    means = [
        sum(numbers) / len(numbers)
        for _, numbers in sorted(by_seed.items())
        if len(numbers) == len(conditions)
    ]
    return (*rules.typical_run(means), len(means)) if means else (math.nan,) * 3 + (0,)


def _typical(outcomes):
    """The outcome of the typical run: the median by severity, the worse of two."""
    ranked = sorted(outcomes, key=OUTCOMES.index)
    return ranked[len(ranked) // 2] if ranked else None


def _failed_share(outcomes):
    return sum(outcome in FAILED for outcome in outcomes) / len(outcomes) if outcomes else None


def _part_record(part, judged=True, name=None):
    measured, low, high, n = _overall(part)
    outcomes = [
        outcome for condition in part.kept or part.conditions for outcome in condition.outcomes
    ]
    return {
        "name": name or part.spec["name"],
        "chapter": part.spec.get("number"),
        "measured": _finite(measured),
        "ci_low": _finite(low),
        "ci_high": _finite(high),
        "n": n,
        "margin": part.spec.get("margin"),
        "unit": part.spec["unit"],
        "outcome": _typical(outcomes),
        "verdict": part.count.verdict if judged else None,
        "failed_share": _failed_share(outcomes),
        "reach": _reach(part) if judged else None,
        "counts": _counts([part]),
    }


def _reach(part):
    """The smallest effect that the seeds of a typical condition decide; None if none is known."""
    of = rules.RULES[part.rule].reach
    known = [of(list(condition.values.values())) for condition in part.kept or part.conditions]
    known = [reach for reach in known if math.isfinite(reach)]
    return median(known) if known else None


def _finite(number):
    return number if math.isfinite(number) else None


def _counts(parts):
    """Counts over the mapped conditions. Several parts count by themselves: no common need."""
    parts = [part for part in parts if part.mapped]
    return {
        "conditions": sum(part.count.conditions for part in parts),
        "hold": sum(part.count.hold for part in parts),
        "fail": sum(part.count.fail for part in parts),
        "undecided": sum(part.count.undecided for part in parts),
        "dropped": sum(len(part.conditions) - part.count.conditions for part in parts),
        "need": parts[0].count.need if len(parts) == 1 else None,
    }


def _condition_record(claim, part, condition):
    drops = claim.get("drop_untrained", False) and condition.arms is not None
    return {
        "part": part.spec["name"],
        **condition.levels,
        "verdict": rules.UNDECIDED if condition.dropped else condition.verdict,
        "n": condition.n,
        "measured": _finite(condition.measured),
        "ci_low": _finite(condition.low),
        "ci_high": _finite(condition.high),
        "trains": not condition.dropped if drops else None,
    }


def _evidence_rows(claim, part):
    spec = part.spec
    for condition in part.conditions:
        arms = condition.arms or (None, None)
        yield {
            "claim": claim["id"], "part": spec["name"], "experiment": spec["experiment"],
            "quantity": spec["quantity"], "rule": claim["rule"], "number": spec.get("number"),
            "margin": spec.get("margin"), "unit": spec["unit"], "n": condition.n,
            "measured": condition.measured, "ci_low": condition.low, "ci_high": condition.high,
            "arm_a": arms[0], "arm_b": arms[1], "outcome": _typical(condition.outcomes),
            "failed_share": _failed_share(condition.outcomes), "dropped": condition.dropped,
            "verdict": condition.verdict, **condition.levels,
        }  # fmt: skip


# ---- One claim ----------------------------------------------------------------------------------


def _record(claim, parts, also):
    measured = [part for part in parts if part.conditions]
    if claim["rule"] == "opinion":
        verdict, reason = rules.OPINION, claim["reason"]
    elif not parts:
        verdict, reason = rules.NOT_MEASURED, f"planned: {', '.join(claim['by'])}"
    elif not measured:
        verdict, reason = rules.NOT_MEASURED, _reasons(parts, parts)
    else:
        verdict = rules.combine_parts([part.count.verdict for part in parts])
        # A decided claim needs no excuse, but what was not measured is said in any case.
        gaps = [part for part in parts if not part.conditions]
        reason = _reasons(parts, parts if verdict == rules.UNDECIDED else gaps)
    return {
        "id": claim["id"],
        "section": claim["section"],
        "line": claim["line"],
        "says": claim["says"],
        "by": claim["by"],
        "rule": claim["rule"],
        "rule_words": _rule_words(claim),
        "verdict": verdict,
        "basis": "literature" if claim["rule"] == "source" else "measured",
        "parts": [_part_record(part) for part in parts],
        "conditions": [
            _condition_record(claim, part, condition) for part in parts for condition in part.mapped
        ],
        "counts": _counts(parts),
        "sentence": _sentence(verdict, reason, parts),
        "holds_where": _holds_where(parts),
        "why": claim.get("why"),
        "reason": reason,
        "evidence": _files(parts),
        "also": [record for part in also for record in _also_records(part)],
    }


def _reasons(parts, among):
    """The reasons of some parts, each once, with their names unless all of the claim's share it."""
    by_reason = {}
    for part in among:
        if part.reason:
            by_reason.setdefault(part.reason, []).append(part.spec["name"])
    if any(len(names) == len(parts) for names in by_reason.values()):
        return next(iter(by_reason))
    return "; ".join(f"{' and '.join(names)}: {why}" for why, names in by_reason.items()) or None


def _rule_words(claim):
    specs = claim.get("parts", [{}])
    if len({spec.get("number") for spec in specs}) > 1:
        specs = [{**spec, "number": None} for spec in specs]
    words = dict.fromkeys(
        rules.in_words(claim["rule"], spec.get("margin"), spec.get("number"), spec.get("unit", ""))
        for spec in specs
    )
    return "; ".join(words)


def _files(parts):
    keys = dict.fromkeys((part.spec["experiment"], part.spec["quantity"]) for part in parts)
    return [
        {"experiment": slug, "quantity": quantity, "file": f"experiments/{slug}.parquet"}
        for slug, quantity in keys
    ]


def _also_records(part):
    """Shown beside the judged parts, a record a condition: a mean over conditions would hide what
    the second reading is shown for."""
    if not part.mapped:
        return [_part_record(part, judged=False)]
    records = []
    for condition in part.conditions:
        alone = Part(part.spec, part.rule, [condition], rules.combine_conditions([]), None)
        levels = ", ".join(f"{axis} {level}" for axis, level in condition.levels.items())
        record = _part_record(alone, judged=False, name=f"{part.spec['name']}, {levels}")
        records.append(record)
    return records


# ---- In words -----------------------------------------------------------------------------------


def _sentence(verdict, reason, parts):
    """What was found, in one sentence composed from the evidence."""
    if verdict in (rules.OPINION, rules.NOT_MEASURED):
        return f"{verdict}: {reason}"
    if len(parts) == 1:
        return _clause(parts[0])
    if len(parts) <= 3:
        return "; ".join(f"{part.spec['name']}: {_clause(part)}" for part in parts)
    groups = {}
    for part in parts:
        groups.setdefault(part.count.verdict, []).append(part.spec["name"])
    words = {
        rules.REPRODUCED: "hold",
        rules.UNDER_CONDITIONS: "hold under conditions",
        rules.NOT_REPRODUCED: "do not",
        rules.UNDECIDED: "are undecided",
    }
    found = [
        f"{len(groups[verdict])} {word}" + _few(groups[verdict])
        for verdict, word in words.items()
        if verdict in groups
    ]
    return f"of {len(parts)} parts {', '.join(found)}"


def _few(names):
    return f" ({'; '.join(names)})" if len(names) <= 4 else ""


def _clause(part):
    """One part in words."""
    if not part.conditions:
        return f"not measured, {part.reason}"
    if not part.mapped:
        return _numbers_in_words(part)
    rule, count = rules.RULES[part.rule], part.count
    tally = (
        f"{count.hold} of {_many(count.conditions, 'condition')} {rule.hold}, "
        f"{count.fail} {rule.fail}, {count.undecided} undecided (need {count.need})"
    )
    dropped = len(part.conditions) - count.conditions
    if dropped:
        tally += f", {dropped} more dropped because neither arm trains"
    readings = _readings(part)
    return f"{_axis_in_words(part, readings[0])}: {tally}" if readings else tally


def _numbers_in_words(part):
    """A part that is one condition: what was measured, and what the rule makes of it."""
    (condition,) = part.conditions
    unit, n = part.spec["unit"], condition.n
    if part.rule == "existence":
        words = f"{round(condition.measured * n)} of {_many(n, 'run')}"
    elif part.rule == "construction":
        passed = sum(value == 1 for value in condition.values.values())
        words = f"passed in {passed} of {_many(n, 'seed')}"
    else:
        words = f"{_show(condition.measured, unit)} ("
        if rules.RULES[part.rule].fewest > 1 and not math.isnan(condition.low):
            words += f"{_show(condition.low)} to {_show(condition.high)}, "
        words += f"{_many(n, 'seed')})"
    if part.spec.get("number") is not None:
        words += f" where the chapter says {_show(part.spec['number'], unit)}"
    failures = Counter(condition.outcomes)
    for outcome, word in (("inf", "became infinite"), ("nan", "became NaN")):
        if failures[outcome]:
            words += f", the loss of {failures[outcome]} {word}"
    return f"{words}: {part.count.verdict}"


def _holds_in_places(part):
    """Whether the part holds somewhere and not everywhere. Where a side is decided as a whole, the
    exceptions are too few to be told from chance, so no place is named."""
    mixed = part.count.verdict in (rules.UNDER_CONDITIONS, rules.UNDECIDED)
    return mixed and 0 < part.count.hold < part.count.conditions


def _readings(part):
    """Which axes name where the part holds, if it holds in places."""
    if not _holds_in_places(part):
        return []
    return rules.by_axis(
        [condition.levels for condition in part.kept],
        [condition.verdict for condition in part.kept],
    )


def _holds_where(parts):
    found = []
    for part in filter(_holds_in_places, parts):
        places = [
            f"{reading.axis} {_levels_in_words(reading.holds, reading.levels, '= ')}"
            for reading in _readings(part)
        ]
        prefix = f"{part.spec['name']}: " if len(parts) > 1 else ""
        found += [prefix + place for place in places or [NO_AXIS]]
    return found


def _axis_in_words(part, reading):
    """Such as "holds for optimizer sgd; no difference under adam"."""
    words = f"holds for {reading.axis} {_levels_in_words(reading.holds, reading.levels)}"
    if reading.fails:
        failing = [
            condition
            for condition in part.kept
            if condition.levels.get(reading.axis) in reading.fails
            and condition.verdict == rules.NOT_REPRODUCED
        ]
        word = _how_it_fails(part, failing)
        words += f"; {word} under {_levels_in_words(reading.fails, reading.levels)}"
    return words


def _how_it_fails(part, failing):
    """For an ordering: behind, no difference, or neither of them in two thirds of the places."""
    if part.rule != "ordering":
        return "not"
    margin = part.spec["margin"]
    behind = sum(condition.high < -margin for condition in failing)
    equal = sum(-margin < condition.low for condition in failing)
    for word, places in (("behind", behind), ("no difference", equal)):
        if 3 * places >= 2 * len(failing):
            return word
    return "not ahead"


def _levels_in_words(chosen, levels, equals=""):
    """Levels as text: the top or bottom run of a numeric axis as an inequality, else a list."""
    if len(chosen) > 1 and not isinstance(chosen[0], str):
        if chosen == levels[-len(chosen) :]:
            return f"≥ {chosen[0]}"
        if chosen == levels[: len(chosen)]:
            return f"≤ {chosen[-1]}"
    return equals + ", ".join(map(str, chosen))


def _many(number, noun):
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _show(number, unit=""):
    """A number and its unit: four significant digits from 10 on, five below."""
    if math.isnan(number):
        return "no finite number"
    return f"{significant(number, 4 if abs(number) >= 10 else 5)} {unit}".strip()
