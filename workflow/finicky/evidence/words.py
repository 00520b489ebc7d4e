"""Evidence in words: every sentence that is composed from numbers, and how the numbers in it are
written. The judge puts them into claims.json, the page prints them; nobody else makes any.

A *record* is an entry of claims.json: of a part, or of a condition (`levels` and its numbers).
"""

import math
from collections import Counter

from finicky import numbers
from finicky.evidence import rules
from finicky.evidence.intervals import POWER
from finicky.evidence.places import where_words
from finicky.labels import axis_label, label, listed
from finicky.runs import FAILED

NO_RULE = "no short rule explains where it holds"
FAR = 10  # margins farther than this factor are not mentioned
FAILURES = {"large": "became large", "inf": "became infinite", "nan": "became NaN"}
LISTED = 4  # so many names are listed one by one
FEW = 3  # parts of a claim that are told one by one
RATE = "rate"  # at which learning rate arms are compared, an axis of many experiments


# ---- Numbers ------------------------------------------------------------------------------------


def places(record):
    """Digits after the point of a record's measured number: as many as its interval supports, and
    at least one, since margins are fractions of a point."""
    fallback = max(numbers.printed_decimals(record.get("chapter")), 2)
    if (record.get("unit") or "").startswith("share"):
        return 2
    if not has_interval(record):
        return fallback
    digits = max(1, numbers.decimals(record["ci_high"] - record["ci_low"], fallback))
    return apart(record, digits)


def apart(record, digits):
    """Digits after the point with which no end of a record's interval is printed as a limit of its
    rule that it only lies beside; at most two more than `digits`."""
    number, margin = record.get("chapter") or 0, record.get("margin")
    if margin is None or not has_interval(record):
        return digits
    for more in range(digits, digits + 3):
        printed = {round(record[end], more) for end in ("ci_low", "ci_high")}
        if not printed & {round(limit, more) for limit in (number - margin, number + margin)}:
            return more
    return digits


def has_interval(record):
    """Whether there is an interval and both of its ends are known; a rule that looks at every
    trial (`point`) has none."""
    if record.get("point"):
        return False
    ends = (record.get("ci_low"), record.get("ci_high"))
    return all(end is not None and math.isfinite(end) for end in ends)


def unit_words(unit):
    """A unit as it is printed: yes and no need none."""
    return "" if unit in ("0/1", "relative") else unit


def spoken_unit(unit):
    """The same in a sentence: what lies between percentages are points."""
    return "points" if unit == "pp" else unit_words(unit or "")


def with_unit(text, unit):
    """A number's text with its unit."""
    return f"{text} {unit_words(unit)}".strip()


def many(number, noun):
    """A count with its noun: `1 seed`, `5 seeds`."""
    return f"{number} {noun}" if number == 1 else f"{number:,} {noun}s"


def some(number, of):
    """A part of several, before its noun: `all 5`, `both`, `3 of 5`, `none of 5`."""
    if number == of:
        return "both" if of == 2 else f"all {of}"
    return f"{number or 'none'} of {of}"


def capitalised(text, end=""):
    """Start with a capital, unless the first word is a symbol (γ, n-bit); close with `end`."""
    word = text.split(" ")[0].rstrip(":,;")
    if word.isascii() and word.isalpha() and word.islower() and (len(word) > 1 or word == "a"):
        text = text[0].upper() + text[1:]
    return text if not text or not end or text[-1] in ".!?" else text + end


# ---- Levels -------------------------------------------------------------------------------------


def level_words(levels):
    """A condition's levels in a sentence: names speak for themselves, numbers need their axis, and
    a learning rate belongs to its optimizer. {"optimizer": "sgd", "learning_rate": 0.01,
    "depth": 10} is `SGD at 0.01, depth 10`."""
    words, levels = [], dict(levels)
    rate = levels.pop("learning_rate", None) if "optimizer" in levels else None
    for axis, level in levels.items():
        named = isinstance(level, str)
        word = _named(axis, level) if named else f"{axis_label(axis)} {label(level)}"
        if axis == "optimizer" and rate is not None:
            word += f" at {label(rate)}"
        words.append(word)
    return ", ".join(words)


def _named(axis, level):
    """A level that has a name. A choice of learning rates says what it is one of: `fixed rate`."""
    if axis != RATE:
        return label(level)
    return "the chapter's rate" if level == "chapter" else f"{label(level)} rate"


# ---- What happened to the runs ------------------------------------------------------------------


def failure(record):
    """`a loss became NaN with 3 of 5 seeds`: what happened to the runs of a record of one
    condition, and to which of two that are compared, where that is known; empty if nothing did."""
    outcome, share = record.get("outcome"), record.get("failed_share")
    if outcome not in FAILURES and not share:
        return ""
    arm = record.get("failed_arm")
    if arm:
        whose = f"the loss of {'the former' if arm == 'a' else 'the latter'}"
    else:
        whose = "the loss of one of the two" if record.get("arms") else "a loss"
    if not share:
        return f"{whose} {FAILURES[outcome]}"
    word = FAILURES[outcome] if outcome in FAILED else "became infinite or NaN"
    n = record["n"]
    return f"{whose} {word} with {round(share * n)} of {many(n, 'seed')}"


def failures(conditions):
    """In how many of several conditions a loss became infinite or NaN; empty if in none."""
    failed = sum(bool(condition.get("failed_share")) for condition in conditions)
    of = many(len(conditions), "condition")
    return f"a loss became infinite or NaN in {failed} of {of}" if failed else ""


def arms(record):
    """The accuracies whose paired difference a record is, of which each is the median of its own
    runs: `medians 97.8 % and 10.3 %`; empty for others."""
    if not record.get("arms"):
        return ""
    digits = places(record)
    return "medians " + " and ".join(f"{numbers.number(arm, digits)} %" for arm in record["arms"])


def built(record, rule):
    """A part that was built and checked, or looked up: its outcome in words, since passed or not
    is no measurement."""
    measured, n = record.get("measured"), record.get("n")
    if rule == "source":
        words = {1: "the source agrees", 0: "the source disagrees"}
        return words.get(measured, "the source prints no number to compare with")
    if measured is None:
        return "not built"
    of = record["counts"]["conditions"]
    if of > 1:
        return f"built and checked: passes in {record['counts']['hold']} of {of} conditions"
    passes = "passes every check" if measured == 1 else "a counterexample was found"
    return f"built and checked: {passes}" + (f", in {n} trials" if n > 1 else "")


def power(record, point, several):
    """How large an effect the seeds of a claim's parts decide with probability POWER; empty if
    none is known.

    record: the claim's entry; point: its rule looks at every trial; several: a part has several
    conditions.
    """
    parts = [part for part in record["parts"] if part.get("detectable") is not None]
    if not parts:
        return ""
    n = _range({part["n"] for part in parts}, 0)
    often = f"in {numbers.number(100 * POWER, 0)} % of cases"
    most = max(part["detectable"] for part in parts)
    share = numbers.number(100 * most, 0)
    if record["rule"] == "existence":
        rest = numbers.number(100 - 100 * most, 0)
        return f"{n} runs decide, {often}, what {share} % of all runs do, or only {rest} %"
    if point:
        return f"{n} seeds meet, {often}, a flaw that shows in {share} % of all seeds"
    if most == 0:
        return f"{n} seeds that agree like these decide any effect"
    by_unit = {}
    for part in parts:
        by_unit.setdefault("pp" if part["unit"] == "%" else part["unit"], set()).add(
            part["detectable"]
        )
    sizes = "; ".join(
        with_unit(_range(found, numbers.decimals(max(found))), unit)
        for unit, found in by_unit.items()
    )
    where = " in a typical condition" if several else ""
    what = f"what lies {sizes} or more beyond a limit of the rule{where}"
    return f"{n} seeds that scatter like these decide, {often}, {what}"


def _range(found, digits):
    """Numbers as text: the one, or the smallest to the largest."""
    ends = dict.fromkeys(numbers.number(end, digits) for end in (min(found), max(found)))
    return " to ".join(ends)


# ---- One claim ----------------------------------------------------------------------------------


def rule_in_words(kind, margin=None, number=None, unit=""):
    """The rule as a card prints it, e.g. "reproduced if the whole interval lies within ±1 pp of
    97.82 %". A number of None is named; a margin of None is one that is still to be fixed."""
    if kind == "opinion":
        return "listed, not judged"
    rule = rules.RULES[kind]
    apart = "pp" if unit == "%" else unit  # two percentages lie points apart
    words = rule.words.format(
        margin="m" if margin is None else f"{numbers.significant(margin, 6)} {apart}".strip(),
        number="the chapter's number"
        if number is None
        else f"{numbers.significant(number, 6)} {unit}".strip(),
    )
    if margin is None and "margin" in rule.needs:
        words += ", with a margin m fixed before it is measured"
    return f"reproduced if {words}"


def rule_words(claim):
    """The rule as a card prints it, with the margins of the claim's parts."""
    specs = claim.get("parts", [{}])
    if len({spec.get("number") for spec in specs}) > 1:
        specs = [{**spec, "number": None} for spec in specs]
    words = dict.fromkeys(
        rule_in_words(
            claim["rule"], spec.get("margin"), spec.get("number"), unit_words(spec.get("unit", ""))
        )
        for spec in specs
    )
    return "; ".join(words)


def reason(part):
    """Why a part is not measured or undecided; None if it is decided."""
    if part.gap:
        return _gap(part)
    return _why_undecided(part) if part.count.verdict == rules.UNDECIDED else None


def _gap(part):
    slug, quantity = part.spec["experiment"], part.spec["quantity"]
    if part.gap == rules.COUNTED_TWICE:
        one, other = map(level_words, part.at)
        return f"the same numbers in every seed at {one} and at {other}, which counts only once"
    if part.gap == rules.SEVERAL_VALUES:
        where = level_words(part.at[0]) or "no conditions"
        return f"several values per seed at {where}: `where` or `conditions` must tell them apart"
    if part.gap == rules.NOT_RUN:
        return part.at[0] if part.at else f"the experiment {slug} has not run"
    wanted = part.spec.get("where", {}).items()
    single = {axis: level for axis, level in wanted if not isinstance(level, list)}
    several = [
        f"{axis_label(axis)} {listed(list(map(label, levels)), 'or')}"
        for axis, levels in wanted
        if isinstance(levels, list)
    ]
    where = ", ".join(filter(None, [level_words(single), *several]))
    return f"{slug} has no {quantity}{f' for {where}' if where else ''}"


def _why_undecided(part):
    kept, count = part.kept, part.count
    if not kept:
        return f"neither arm trains in any of the {many(len(part.conditions), 'condition')}"
    most, fewest = max(condition.n for condition in kept), rules.RULES[part.rule].fewest
    if most < fewest:
        return f"{many(most, 'seed')} of the {fewest} needed"
    if all(math.isnan(condition.measured) for condition in kept):
        unconfirmed = "the source prints no number to compare with"
        return unconfirmed if part.rule == "source" else "no finite number was measured"
    if count.conditions == 1:
        return "the interval lies on both sides of the limit"
    return (
        f"of {count.conditions} conditions {count.hold} hold, {count.fail} do not and "
        f"{count.undecided} are undecided: neither two thirds on one side nor {count.need} or more "
        "on both"
    )


def undecided_in_part(parts, why):
    """Why a claim is undecided some of whose parts hold while none is refuted."""
    hold = sum(part.count.verdict == rules.REPRODUCED for part in parts)
    if not hold or any(part.count.verdict == rules.NOT_REPRODUCED for part in parts):
        return why
    return f"{hold} of {len(parts)} parts hold and none is refuted; {why}"


def reasons(parts, among):
    """The reasons of some parts, each once, with their names unless all of the claim's share it."""
    by_reason = {}
    for part in among:
        if why := reason(part):
            by_reason.setdefault(why, []).append(part.spec["name"])
    if any(len(names) == len(parts) for names in by_reason.values()):
        return next(iter(by_reason))
    return "; ".join(f"{listed(names)}: {why}" for why, names in by_reason.items()) or None


def sentence(verdict, reason, parts):
    """How the conditions of a claim's parts fell out, composed from the evidence."""
    if not any(part.conditions for part in parts):
        return f"{verdict}: {reason}"
    return _found(parts)


def finding(entry):
    """What was found about a claim, in one sentence, from its entry in claims.json; those of before
    there were headlines have the sentence alone."""
    return capitalised(entry.get("headline") or entry.get("sentence") or "", ".")


def trained(parts, budget):
    """For how long networks were trained behind a claim, and with how many seeds:
    `10,000 images of MNIST, 3 epochs; 5 seeds`. None where none was trained."""
    if not budget:
        return None
    n = {condition.n for part in parts for condition in part.kept or part.conditions}
    return f"{budget}; {_range(n, 0)} {'seed' if n == {1} else 'seeds'}"


def _found(parts):
    """What was found in a claim's parts."""
    if len(parts) == 1:
        return _clause(parts[0])
    if len(parts) <= FEW:
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
    return f" ({'; '.join(names)})" if len(names) <= LISTED else ""


def _clause(part):
    """One part in words."""
    if not part.conditions:
        return f"not measured, {reason(part)}"
    if not part.mapped:
        return _numbers(part)
    rule, count = rules.RULES[part.rule], part.count
    tally = (
        f"{count.hold} of {many(count.conditions, 'condition')} {rule.hold}, "
        f"{count.fail} {rule.fail}, {count.undecided} undecided (a side needs {count.need})"
    )
    dropped = len(part.conditions) - count.conditions
    if dropped:
        tally += f", {dropped} more dropped because neither arm trains"
    place = _place(part)
    return f"{place}: {tally}" if place else tally


def _numbers(part):
    """A part that is one condition: what was measured, and what the rule makes of it."""
    (condition,) = part.conditions
    unit, n = part.spec["unit"], condition.n
    record = {
        "chapter": part.spec.get("number"),
        "ci_low": condition.low,
        "ci_high": condition.high,
        "point": rules.RULES[part.rule].point,
        "unit": unit,
    }
    digits = places(record)
    if part.rule == "existence":
        words = f"{round(condition.measured * n)} of {many(n, 'run')}"
    elif part.rule == "construction":
        passed = sum(value == 1 for value in condition.values.values())
        words = f"built and checked, passed in {passed} of {n}" if n > 1 else "built and checked"
    elif part.rule == "source":
        words = built({"measured": _known(condition.measured)}, "source")
    elif math.isnan(condition.measured):
        words = f"no finite number ({many(n, 'seed')})"
    else:
        words = f"{with_unit(numbers.number(condition.measured, digits), unit)} ("
        if has_interval(record):
            ends = (numbers.number(end, digits) for end in (condition.low, condition.high))
            words += "" if condition.alike else f"{' to '.join(ends)}, "
        trials = "trial" if record["point"] else "seed"
        words += f"the same for every {trials})" if condition.alike else f"{many(n, trials)})"
    if record["chapter"] is not None:
        number = numbers.number(record["chapter"], numbers.printed_decimals(record["chapter"]))
        whose = part.spec.get("whose", "the chapter")
        words += f" where {whose} says {with_unit(number, unit)}"
    failures = Counter(condition.outcomes)
    for outcome in FAILED:
        if failures[outcome]:
            words += f", the loss of {failures[outcome]} {FAILURES[outcome]}"
    return f"{words}: {part.count.verdict}"


def _known(number):
    return None if math.isnan(number) else number


# ---- Where it holds -----------------------------------------------------------------------------


def _place(part):
    """Such as "holds for SGD, depth ≥ 6; elsewhere no difference (tells 26 of 28 decided conditions
    right)"; empty if the part does not hold in places."""
    found = part.where
    if found is None:
        return ""
    if not found.explains:
        return NO_RULE
    told = f"tells {found.right} of {found.of} decided conditions right"
    if not found.beyond_luck and found.luck < 1:
        often = numbers.number(100 * found.luck, 0)
        told += f", as luck does in {often} % of cases"
    return f"holds {where_words(found)}{_elsewhere(part)} ({told})"


def _elsewhere(part):
    """How an ordering fails outside of the place where it holds: behind, no difference, or neither
    of them in two thirds of the conditions."""
    failing = [
        condition
        for condition in part.kept
        if condition.verdict == rules.NOT_REPRODUCED and not part.where.covers(condition.levels)
    ]
    if part.rule not in ("ordering", "sometimes") or not failing:
        return ""
    margin = part.spec["margin"]
    behind = sum(condition.high < -margin for condition in failing)
    equal = sum(-margin < condition.low for condition in failing)
    for word, count in (("behind", behind), ("no difference", equal)):
        if 3 * count >= 2 * len(failing):
            return f"; elsewhere {word}"
    return "; elsewhere not ahead"


# ---- On which data ------------------------------------------------------------------------------


def carries_over(found):
    """Whether a verdict carries over to other data (a datasets.Carried), in a sentence."""
    names = listed([label(one.dataset) for one in found.verdicts])
    if not found.shared:
        return f"Whether the verdict carries over is open: {names} share no condition."
    where = f"the {many(found.shared, 'condition')}" if found.shared > 1 else "the one condition"
    if len({one.shared for one in found.verdicts}) == 1:
        said = found.verdicts[0].shared
    else:
        said = listed([f"{one.shared} on {label(one.dataset)}" for one in found.verdicts])
    head = {
        True: "The verdict carries over to other data",
        False: "The verdict does not carry over to other data",
        None: "Whether the verdict carries over to other data is open",
    }[found.generalises]
    how = f"{found.same} fall out alike, {found.opposite} otherwise"
    how += f", {found.open} undecided on at least one"
    tally = f" ({how})" if found.shared > 1 else ""
    return f"{head}: in {where} measured on {names}, {said}{tally}."


# ---- What would turn it -------------------------------------------------------------------------


def fragility(found, parts):
    """What would turn a verdict (a fragility.Fragility), in a sentence; empty if nothing near."""
    texts = []
    if found.conditions is not None:
        what = many(found.conditions, "condition")
        texts.append(f"{what} falling out otherwise would make it {listed(found.verdicts, 'or')}")
    for margin in (found.below, found.above):
        if margin is None or margin.factor > FAR:
            continue
        part = next(part for part in parts if part.spec["name"] == margin.part)
        unit = "pp" if part.spec["unit"] == "%" else part.spec["unit"]
        now, then = (
            with_unit(numbers.significant(value, 3), unit)
            for value in (part.spec["margin"], margin.margin)
        )
        of = f" of {margin.part}" if len(parts) > 1 else ""
        texts.append(f"a margin{of} of {then} instead of {now} would make it {margin.verdict}")
    return capitalised("; ".join(texts), ".") if texts else ""
