"""Claims of one's own: those of a config are compiled to claims of the ledger.

A config says what is compared, by which metric and margin. The plan says in which settings and with
how many seeds, so that what nobody could decide is refused before anything trains. What comes out
has the form of config/claims.yaml, so one judge and one page serve both.
"""

import math
import re
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from finicky import data, documents, numbers, questions, runs
from finicky.errors import InputError
from finicky.evidence import rules, words
from finicky.labels import axis_label, label
from finicky.questions import EXPERIMENT

SECTION = {"id": "questions", "title": "Questions"}
# The rules of each form, the default first.
FORM_RULES = {
    "compare": ("ordering", "noninferiority", "equivalence", "sometimes"),
    "value": ("value", "ordering", "noninferiority"),
    "share": ("existence",),
    "trend": ("trend",),
}
ALONGSIDE = {"optimizer": [questions.RATE, "weight_decay"]}  # which belong to optimizers


@dataclass(frozen=True)
class Own:
    """Claims of one's own. claims: as the ledger has them; asked: the setting of the experiment
    that measures them; settings, seeds: {claim: how many conditions it has, how many seeds each};
    differ: {claim: the axes in which its conditions do}; file: where they stand."""

    claims: list = field(default_factory=list)
    asked: list = field(default_factory=list)
    settings: dict = field(default_factory=dict)
    seeds: dict = field(default_factory=dict)
    differ: dict = field(default_factory=dict)
    file: str | None = None

    @property
    def experiment(self):
        """{the experiment: its settings}, as a config has them; empty without a claim."""
        return {EXPERIMENT: {"asked": self.asked}} if self.asked else {}


def taken(templates, exhibits):
    """The ids that parts of the page have, so that no claim can.

    templates: the folder `report/`; exhibits: as declarations.exhibits gives them.
    """
    texts = [file.read_text(encoding="utf-8") for file in Path(templates).glob("*.j2")]
    fixed = {name for text in texts for name in re.findall(r'\bid="([a-z][a-z-]*)"', text)}
    drawn = {name for one in exhibits.values() for name in (*one.figures, *one.tables)}
    return fixed | drawn | {SECTION["id"]}


def read(config, file):
    """(the claims of a config, the file that has them); ([], file) if it has none.

    file: that holds the config's `claims`, which are a list, or the path of a file with one.
    """
    claims = config.get("claims") or []
    if isinstance(claims, str):
        file, claims = claims, documents.read(claims, "a list of claims")
    documents.check({"claims": claims} if claims else {}, "own-claims.schema.yaml", file)
    return claims, file


def compiled(config, plan, file, taken=()):
    """The Own of a config whose runs are planned.

    file: that has the config's `claims`; taken: ids that no claim may have, as the page has them.
    Raises InputError, one line, for an axis, a level or a metric that does not exist, a comparison
    without both of its arms, settings with several runs for one number, fewer seeds than the rule
    needs, and a claim that can only come out one way.
    """
    claims, file = read(config, file)
    own = Own(file=file)
    for claim in claims:
        refuse = partial(InputError, file)
        key = f"claims[{claim['id']}]"
        if claim["id"] in own.settings:
            raise refuse(f"{key}.id", f"{claim['id']} twice", "each id once")
        if claim["id"] in taken:
            raise refuse(f"{key}.id", claim["id"], "a name that no part of the page has")
        question = _question(claim, key, refuse)
        rows = _rows(plan, question)
        _check_levels(question, rows, key, refuse)
        found = questions.cases(question, rows)
        if not found:
            raise _nothing_found(question, rows, key, refuse)
        if question["best_rate"]:
            _check_rates(question, plan, key, refuse)
        conditions = claim.get("conditions", _conditions(found))
        _check_conditions(question, conditions, found, key, refuse)
        groups = questions.by_condition(found, conditions)
        seeds = [len(cases) for cases in groups.values()]
        _check_decidable(claim, question, max(seeds), key, refuse)
        own.claims.append(_ledger_claim(claim, question, conditions, found))
        own.asked.append(question)
        own.settings[claim["id"]], own.seeds[claim["id"]] = len(groups), max(seeds)
        own.differ[claim["id"]] = _differing(conditions, found)
    return own


# ---- From the config's words to a question ------------------------------------------------------


def _question(claim, key, refuse):
    """The question (questions.py) behind a claim. Raises for what is wrong whatever the grid is."""
    forms = [form for form in questions.FORMS if form in claim]
    if len(forms) != 1:
        found = " and ".join(forms) or "none of them"
        raise refuse(key, found, f"one of {', '.join(questions.FORMS)}")
    (form,) = forms
    if form == "share" and "metric" in claim:
        raise refuse(f"{key}.metric", repr(claim["metric"]), "none beside a share")
    asked = claim[form] if isinstance(claim[form], dict) else {}
    name = claim["share"] if form == "share" else claim.get("metric", "test_accuracy")
    metric = questions.metric(name)
    if metric is None or (form == "share" and not metric.event):
        events = [one for one in questions.SPELLED if _is_event(one)]
        allowed = documents.one_of(events if form == "share" else questions.SPELLED, name)
        raise refuse(f"{key}.{'share' if form == 'share' else 'metric'}", repr(name), allowed)
    axes = [
        *((f"{form}.axis", axis) for axis in [asked.get("axis")] if axis is not None),
        *((f"{form}.alongside", axis) for axis in asked.get("alongside", [])),
        *(("where", axis) for axis in claim.get("where", {})),
        *(("conditions", axis) for axis in claim.get("conditions", [])),
    ]
    for place, axis in axes:
        if axis not in questions.AXES:
            allowed = documents.one_of(questions.AXES, axis)
            raise refuse(f"{key}.{place}", f"no axis {axis!r}", allowed)
    if form == "value" and name.endswith("accuracy") and 0 < claim["value"] <= 1:
        raise refuse(f"{key}.value", claim["value"], f"{name} in %, as 90 and not 0.9")
    rule = _rule(claim, form, key, refuse)
    best, axis = claim.get("best_rate", False), asked.get("axis")
    question = {
        "id": claim["id"],
        "form": form,
        "metric": name,
        "axis": axis,
        "alongside": asked.get("alongside", [] if form == "trend" else ALONGSIDE.get(axis, [])),
        "a": _canonical(axis, asked.get("a")),
        "b": _canonical(axis, asked.get("b")),
        "where": {
            axis: [_canonical(axis, one) for one in (level if isinstance(level, list) else [level])]
            for axis, level in claim.get("where", {}).items()
        },
        "best_rate": best,
        # the rule `value` compares with the number itself
        "number": claim["value"] if form == "value" and rule != "value" else None,
        "falls": asked.get("direction") == "falls",
    }
    for one in questions.blind(question):
        if one in [axis for _, axis in axes]:
            why = "at each arm's own best rate" if one == questions.RATE and best else f"for {name}"
            raise refuse(key, f"{one}, which makes no difference {why}", "other axes")
    return question


def _is_event(spelled):
    metric = questions.metric(spelled.replace("<accuracy>", "90"))
    return metric.event


def _canonical(axis, level):
    """A level as the runs have it."""
    numbered = axis == "init" and isinstance(level, str) and runs.registered(level) != level
    try:
        return runs.canonical_init(level) if numbered else level
    except ValueError:
        return level  # which no run has


def _rule(claim, form, key, refuse):
    """The claim's rule; raises for one that its form has not, and for what the rule needs."""
    rule = claim.get("rule", FORM_RULES[form][0])
    if rule not in FORM_RULES[form]:
        raise refuse(f"{key}.rule", rule, f"{', '.join(FORM_RULES[form])} of a {form}")
    needed = "margin" in rules.RULES[rule].needs
    if needed and "margin" not in claim:
        raise refuse(key, "no key 'margin'", f"a margin, which the {rule} rule needs")
    if "margin" in claim and not needed:
        raise refuse(f"{key}.margin", claim["margin"], f"none, as a {form} is judged without")
    return rule


# ---- What the grid can answer -------------------------------------------------------------------


def _rows(plan, question):
    """The planned runs as rows of questions.py, each once: those of comparisons, or, at each arm's
    own best rate, all."""
    rows, blind = {}, dict.fromkeys(questions.blind(question))
    for run in plan.subgrids:
        if question["best_rate"] or questions.at_fixed_rates(plan.purposes[run]):
            levels = run.row()
            row = {axis: levels[axis] for axis in (*questions.AXES, "seed")} | blind
            rows[tuple(row.values())] = row
    return list(rows.values())


def _levels(rows, axis):
    return sorted({row[axis] for row in rows}, key=lambda level: (str(type(level)), level))


def _check_levels(question, rows, key, refuse):
    """Every level that is named is trained, and what is compared or followed differs."""
    form, axis = question["form"], question["axis"]
    named = [(f"where.{one}", one, level) for one, of in question["where"].items() for level in of]
    named += [(f"{form}.{arm}", axis, question[arm]) for arm in "ab" if question[arm] is not None]
    for place, one, level in named:
        known = _levels(rows, one)
        if level not in known or isinstance(level, bool):
            trained = documents.one_of(known, level) or "nothing"
            if level in map(str, known):  # a number in quotes
                trained = ", ".join(map(str, known)) + ", without quotes"
            raise refuse(f"{key}.{place}", repr(level), f"what the grid trains: {trained}")
    if form == "compare" and question["a"] == question["b"]:
        raise refuse(f"{key}.compare", f"{question['a']} on both sides", "two levels")
    if form == "trend" and not all(isinstance(one, int | float) for one in _levels(rows, axis)):
        numeric = [one for one in questions.AXES if rows and isinstance(rows[0][one], int | float)]
        raise refuse(f"{key}.trend.axis", axis, f"an axis of numbers: {', '.join(numeric)}")


def _nothing_found(question, rows, key, refuse):
    """The error of a question that no run of the grid answers."""
    axis, chosen = question["axis"], questions.chosen(question, rows)
    if not chosen:
        return refuse(f"{key}.where", "no run at these levels", "levels that are trained together")
    known = _levels(chosen, axis)
    arms = known if question["form"] == "trend" else [question["a"], question["b"]]
    missing = [arm for arm in arms if arm is not None and arm not in known]
    if missing or len(known) < 2:
        found = f"no {axis} {missing[0]}" if missing else f"{axis} {known[0]} alone"
        allowed = "two levels or more of it in the grid"
        return refuse(f"{key}.{question['form']}", f"{found} in these runs", allowed)
    return refuse(
        f"{key}.{question['form']}", "arms that never agree in everything else",
        "runs that do, or `alongside: [axes that differ with it]`",
    )  # fmt: skip


def _check_rates(question, plan, key, refuse):
    """There are rates to choose from, and images left out to choose by."""
    rates = {}
    for run in plan.subgrids:
        levels = run.row()
        row = {axis: levels[axis] for axis in questions.AXES}
        if questions.chosen(question, [row]):
            there = data.described(run.dataset)["train"]
            most = there - data.held_out(there)
            if run.images > most:
                raise refuse(f"{key}.best_rate", f"{run.images} images", f"{most} at most")
            rate = row.pop(questions.RATE)
            rates.setdefault(tuple(row.values()), set()).add(rate)
    if min(map(len, rates.values())) < 2:
        raise refuse(f"{key}.best_rate", "an arm with one learning rate", "two at least for each")


def _conditions(found):
    """All axes that the cases have, if they differ in one of them; else none."""
    axes = list(found[0].levels)
    return axes if _differing(axes, found) else []


def _differing(axes, found):
    """Those of some axes in which cases differ."""
    return [axis for axis in axes if len({case.levels.get(axis) for case in found}) > 1]


def _check_conditions(question, conditions, found, key, refuse):
    """One number per seed and setting."""
    for column in conditions:
        if column in questions.across(question):
            found = f"{column}, which is compared"
            raise refuse(f"{key}.conditions", found, "the axes that are not")
    whole = questions.by_condition(found, questions.AXES)
    for groups, place, allowed in (
        (whole, question["form"], "one run an arm: name `b`, or levels in `where`"),
        (questions.by_condition(found, conditions), "conditions", "columns that tell runs apart"),
    ):
        for levels, cases in groups.items():
            twice = len({case.seed for case in cases}) < len(cases)
            if question["form"] == "trend":
                twice |= any(
                    len({row[question["axis"]] for row in case.rows}) < len(case.rows)
                    for case in cases
                )
            if twice:
                where = words.level_words(dict(levels)) or "all levels"
                raise refuse(f"{key}.{place}", f"several runs of one seed at {where}", allowed)


def _check_decidable(claim, question, seeds, key, refuse):
    """The claim could come out either way, with the seeds that there are."""
    rule = claim.get("rule", FORM_RULES[question["form"]][0])
    fewest = rules.RULES[rule].fewest
    if seeds < fewest:
        found = f"{words.many(seeds, 'seed')}, with which nothing can be decided"
        raise refuse(key, found, f"{fewest} seeds or more")
    metric, number = questions.metric(question["metric"]), question["number"]
    if question["form"] == "compare":
        low, high = metric.low - metric.high, metric.high - metric.low
    elif question["form"] == "value":
        ends = metric.low, metric.high
        ends = ends if number is None else [metric.better * (end - number) for end in ends]
        low, high = sorted(ends)
    else:
        return
    inside = 1e-9 * (high - low) if math.isfinite(high - low) else 1e-9
    margin, named = claim.get("margin", 0), claim.get("value") or 0
    verdict = rules.RULES[rule].decide(low + inside, high - inside, margin, named)
    if verdict != rules.UNDECIDED:
        always = "true" if verdict == rules.REPRODUCED else "false"
        range_ = f"{numbers.significant(low, 3)} to {numbers.significant(high, 3)}"
        raise refuse(
            key, f"a claim that is {always} whatever is measured",
            f"a margin within the range of {question['metric']} ({range_})",
        )  # fmt: skip


# ---- A claim of the ledger ----------------------------------------------------------------------


def _ledger_claim(claim, question, conditions, found):
    """The claim as the ledger has its own: one part, which reads the experiment `questions`."""
    form, metric = question["form"], questions.metric(question["metric"])
    rule = claim.get("rule", FORM_RULES[form][0])
    unit = metric.unit if rule == "value" else metric.difference_unit
    unit = f"{unit} per doubling".strip() if form == "trend" else unit
    part = {
        "name": _name(question, metric) + _fixed(conditions, found),
        "experiment": EXPERIMENT,
        "quantity": form,
        "where": {"question": claim["id"]},
        "unit": "share of runs" if rule == "existence" else unit,
        "whose": "the claim",
    }
    part |= {"margin": claim["margin"]} if "margin" in claim else {}
    part |= {"number": claim["value"]} if rule == "value" else {}
    compared = form == "compare" and question["metric"].endswith("accuracy")
    made = {
        "id": claim["id"],
        "section": SECTION["id"],
        "by": [EXPERIMENT],
        "rule": rule,
        "says": claim["says"],
        "headline": _headlines(claim, question, metric, rule, bool(conditions))
        | claim.get("headline", {}),
        "drop_untrained": claim.get("drop_untrained", compared),
        "parts": [part],
    }
    made |= {"conditions": conditions} if conditions else {}
    return made | {key: claim[key] for key in ("needs", "why") if key in claim}


def _name(question, metric):
    """What is measured: `leaky ReLU minus ReLU, test accuracy`."""
    what = metric.words if not metric.event else f"how many {metric.words}"
    if question["form"] == "compare":
        one, other = _arms(question)
        pair = (one, other) if metric.better > 0 else (other, one)
        what = f"{' minus '.join(pair)}, {what}"
    if question["form"] == "trend":
        change = "fall" if question["falls"] else "rise"
        what = f"{change} of {what} per doubling of {axis_label(question['axis'])}"
    if question["number"] is not None:
        ends = [what, label(question["number"])]
        what = " minus ".join(ends if metric.better > 0 else reversed(ends))
    return what + (", each at its own best rate" if question["best_rate"] else "")


def _arms(question):
    named = [question["a"], question["b"]]
    one, other = (None if level is None else _level(question["axis"], level) for level in named)
    return one, other or f"the best other {axis_label(question['axis'])}"


def _level(axis, level):
    """A level in a sentence; a number needs its axis."""
    return label(level) if isinstance(level, str) else f"{axis_label(axis)} {label(level)}"


def _fixed(conditions, found):
    """Where a claim of one setting was looked at, which no map of conditions shows."""
    return "" if conditions else f" ({words.level_words(found[0].levels)})"


def _headlines(claim, question, metric, rule, mapped):
    """A sentence for each verdict, true whatever comes out."""
    said = _stated(claim, question, metric, rule)
    alone = said.removesuffix(",")
    open_ = f"Undecided whether {alone}: "
    medians = "" if rule == "existence" else ", medians from {lowest} to {highest}"
    span = f"{medians}{{open}}"
    if mapped:
        return {
            rules.REPRODUCED: f"{said} {{settings}}{span}.",
            rules.UNDER_CONDITIONS: f"{said} {{settings}}.",
            rules.NOT_REPRODUCED: f"{said} in no more than {{hold}} of {{of}} settings{span}.",
            rules.UNDECIDED: f"{open_}it holds {{settings}} ({{rest}}){medians}.",
        }
    seen = "{runs}" if rule == "existence" else "{measured} ({interval}; {n} seeds)"
    return {
        rules.REPRODUCED: f"{alone}: {seen}.",
        rules.NOT_REPRODUCED: f"It is not so that {alone}: {seen}.",
        rules.UNDECIDED: f"{open_}{seen}.",
    }


def _stated(claim, question, metric, rule):
    """What a claim states, as a clause with its margin."""
    form, what = question["form"], metric.words
    margin = words.with_unit(
        numbers.significant(claim.get("margin", 0), 6), words.spoken_unit(metric.difference_unit)
    )
    rate = ", each at its own best rate," if question["best_rate"] else ""
    if form == "compare":
        one, other = _arms(question)
        one, what = f"{one}{rate}", f"how rarely they {what}" if metric.event else what
        if metric.event and metric.better > 0:
            what = f"how often they {metric.words}"
        if rule == "noninferiority":
            return f"{one} is at least as good as {other} in {what}, up to {margin},"
        if rule == "equivalence":
            return f"{one} and {other} differ by less than {margin} in {what}"
        beyond = f" by more than {margin}" if claim["margin"] else ""
        often = "sometimes " if rule == "sometimes" else ""
        return f"{one} is {often}ahead of {other}{beyond} in {what}"
    if form == "trend":
        falls = "falls" if question["falls"] else "rises"
        return f"{what}{rate} {falls} with {axis_label(question['axis'])}"
    if form == "share":
        return f"more than half of all runs {what}"
    number = words.with_unit(label(claim["value"]), words.spoken_unit(metric.unit))
    if rule == "value":
        return f"{what}{rate} lies within {margin} of {number}"
    if rule == "noninferiority":
        side = "below" if metric.better > 0 else "above"
        return f"{what}{rate} lies not more than {margin} {side} {number}"
    side = "above" if metric.better > 0 else "below"
    beyond = f"more than {margin} " if claim["margin"] else ""
    return f"{what}{rate} lies {beyond}{side} {number}"
