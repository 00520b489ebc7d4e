"""The judge: every claim of the ledger against the experiments' tables.

`judge` turns the ledger and the tidy tables into the list that report/claims.json holds
(workflow/schemas/claims-output.schema.yaml) and into the evidence table. Whatever it says in words
is composed from numbers, so other data give other words. Missing tables or rows are gaps that it
names, never errors.
"""

import math
from dataclasses import asdict, replace
from statistics import median

import pandas as pd

from finicky.evidence import budgets, headlines, places, rules, words
from finicky.evidence.datasets import carried
from finicky.evidence.fragility import fragility
from finicky.evidence.parts import counted, measure
from finicky.runs import FAILED, OUTCOMES

EVIDENCE = {  # columns of the evidence table and their types; the axes of the claims follow
    "claim": "string", "part": "string", "experiment": "string", "quantity": "string",
    "rule": "string", "number": "Float64", "margin": "Float64", "unit": "string", "n": "Int64",
    "measured": "Float64", "ci_low": "Float64", "ci_high": "Float64", "arm_a": "Float64",
    "arm_b": "Float64", "outcome": "string", "failed_share": "Float64", "dropped": "boolean",
    "verdict": "string",
}  # fmt: skip


def judge(ledger, tables, settings=None, failures=None):
    """Judge every claim.

    ledger: what ledger.load returns; tables: {experiment slug: its tidy table}, with the columns
    quantity, seed, value, a, b, outcome and conditions; slugs may be missing; settings: {experiment
    slug: its settings}, from which sentences say for how long networks were trained; failures:
    {experiment slug: how it failed, in a sentence}, of those whose table is missing for that.
    Returns (claims, evidence): the list of claims.json, in the ledger's order, and a DataFrame
    with one row per claim, part and condition. A part whose conditions do not tell two values of
    one seed apart is not measured, and its reason says so: one bad claim costs no other.
    """
    claims, evidence = [], []
    given = (tables, settings, failures)
    for claim in ledger["claims"]:
        parts = [measure(claim, spec, *given) for spec in claim.get("parts", [])]
        also = [measure(claim, spec, *given) for spec in claim.get("also", [])]
        claims.append(_record(claim, parts, also))
        evidence += [row for part in parts for row in _evidence_rows(claim, part)]
    axes = dict.fromkeys(axis for claim in ledger["claims"] for axis in claim.get("conditions", []))
    table = pd.DataFrame(evidence, columns=[*EVIDENCE, *axes]).astype(EVIDENCE)
    return claims, table.assign(**{axis: _one_type(table[axis]) for axis in axes})


def add_other_seeds(claims, references):
    """Put the verdict that each seed set of the reference gave beside every judged claim.

    claims: the list of claims.json, changed in place; references: {seed set: such a list}.
    """
    verdicts = {
        name: {entry["id"]: entry["verdict"] for entry in entries}
        for name, entries in references.items()
    }
    for claim in claims:
        claim["other_seeds"] = {
            name: of[claim["id"]] for name, of in sorted(verdicts.items()) if claim["id"] in of
        }


def _one_type(levels):
    """A column of conditions; as text where one experiment has numbers under a name that another
    one has words under."""
    converted = levels.convert_dtypes()
    return converted.astype("string") if converted.dtype == object else converted


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
    return {
        "name": name or part.spec["name"],
        "chapter": part.spec.get("number"),
        "measured": _finite(measured),
        "ci_low": _finite(low),
        "ci_high": _finite(high),
        "n": n,
        "margin": part.spec.get("margin"),
        "unit": part.spec["unit"],
        "verdict": part.count.verdict if judged else None,
        **_happened(part.kept or part.conditions),
        "detectable": _detectable(part) if judged else None,
        "counts": _counts([part]),
        "where": where_record(part.where) if judged else None,
        "budget": budgets.words(part.template, part.trained) or None,
    }


def _happened(conditions):
    """What happened to the runs behind some conditions, and what they have in common."""
    outcomes = [outcome for condition in conditions for outcome in condition.outcomes]
    only = conditions[0] if len(conditions) == 1 else None
    return {
        "outcome": _typical(outcomes),
        "failed_share": _failed_share(outcomes),
        "failed_arm": only and only.failed_arm,
        "arms": list(only.arms) if only and only.pair else None,
        "alike": bool(conditions) and all(condition.alike for condition in conditions),
    }


def where_record(found):
    """Where a part holds (a where.Where), in words and numbers; None if it does not in places."""
    return found and {
        "words": places.where_words(found),
        "which": places.which(found),
        "sharp": places.sharp(found),
        "explains": found.explains,
        "right": found.right,
        "of": found.of,
        "luck": found.luck,
    }


def _detectable(part):
    """The smallest effect that the seeds of a typical condition decide; None if none is known."""
    of = rules.RULES[part.rule].detectable
    known = [of(list(condition.values.values())) for condition in part.kept or part.conditions]
    known = [effect for effect in known if math.isfinite(effect)]
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
        "levels": condition.levels,
        "verdict": rules.UNDECIDED if condition.dropped else condition.verdict,
        "n": condition.n,
        "measured": _finite(condition.measured),
        "ci_low": _finite(condition.low),
        "ci_high": _finite(condition.high),
        "trains": not condition.dropped if drops else None,
        **_happened([condition]),
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
    elif not measured and "reason" in claim:
        verdict, reason = rules.UNDECIDED, claim["reason"]
    elif not measured:
        verdict, reason = rules.NOT_MEASURED, words.reasons(parts, parts)
    else:
        verdict = rules.combine_parts([part.count.verdict for part in parts])
        # A decided claim needs no excuse, but what was not measured is said in any case.
        gaps = [part for part in parts if not part.conditions]
        reason = words.reasons(parts, parts if verdict == rules.UNDECIDED else gaps)
        if verdict == rules.UNDECIDED and len(parts) > 1:
            reason = words.undecided_in_part(parts, reason)
    budget = budgets.of_parts(parts)
    entry = {
        "id": claim["id"],
        "section": claim["section"],
        "line": claim.get("line"),
        "says": claim["says"],
        "by": claim["by"],
        "rule": claim["rule"],
        "rule_words": words.rule_words(claim),
        "verdict": verdict,
        "subject": rules.subject(claim["rule"]),
        "parts": [_part_record(part) for part in parts],
        "conditions": [
            _condition_record(claim, part, condition) for part in parts for condition in part.mapped
        ],
        "counts": _counts(parts),
        "sentence": words.sentence(verdict, reason, parts),
        "trained": words.trained(parts, budget),
        "budget": budget or None,
        "datasets": _datasets(verdict, parts),
        "other_seeds": {},
        "fragility": _fragility(parts) if measured else None,
        "why": claim.get("why"),
        "reason": reason,
        "evidence": _evidence(parts),
        "also": [record for part in also for record in _also_records(part)],
    }
    return entry | {"headline": headlines.headline(claim, entry)}


def _fragility(parts):
    """What would turn the verdict, in numbers and words."""
    found = fragility([part for part in parts if part.conditions], rules.combine_parts)
    return asdict(found) | {"fragile": found.fragile, "words": words.fragility(found, parts)}


def _datasets(verdict, parts):
    """The verdict within each data set, and whether it carries over; None where there is one."""
    if verdict in (rules.OPINION, rules.NOT_MEASURED):
        return None
    found = carried(parts, lambda part, conditions: counted(part.rule, part.spec, conditions))
    return found and {
        "verdicts": {one.dataset: one.verdict for one in found.verdicts},
        "shared": {one.dataset: one.shared for one in found.verdicts},
        "same": found.same,
        "opposite": found.opposite,
        "undecided": found.open,
        "generalises": found.generalises,
        "words": words.carries_over(found),
    }


def _evidence(parts):
    keys = dict.fromkeys((part.spec["experiment"], part.spec["quantity"]) for part in parts)
    return [{"experiment": slug, "quantity": quantity} for slug, quantity in keys]


def _also_records(part):
    """Shown beside the judged parts, a record a condition: a mean over conditions would hide what
    the second reading is shown for."""
    if not part.mapped:
        return [_part_record(part, judged=False)]
    records = []
    for condition in part.conditions:
        alone = replace(part, conditions=[condition], count=rules.combine_conditions([]))
        name = f"{part.spec['name']}, {words.level_words(condition.levels)}"
        record = _part_record(alone, judged=False, name=name)
        records.append(record)
    return records
