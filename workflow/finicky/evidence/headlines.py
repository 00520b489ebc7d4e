"""A claim's headline: the ledger's sentence for its verdict, its slots filled from the evidence.

A template names what it needs: `{2.hold}` is what part 2 says, counted from 1 in the ledger's
order; `{hold}` the claim's only part; `{2.outcome}` how part 2 came out, to follow words of the
template's own; `{parts}` all parts' names and how they came out. A slot for which the evidence has
nothing gives no false sentence but the plain one, which says the claim and its verdict.
"""

import re

from finicky import numbers
from finicky.evidence import rules, words

SLOT = re.compile(r"\{(?:(\d+)\.)?(\w+)\}")
# The ends of a range share their unit.
RANGE = re.compile(r"\{(?P<part>\d+\.)?lowest\}(?P<word> to | and )\{(?P=part)?highest\}")
OF_CONDITIONS = ("hold", "fail", "of", "lowest", "highest", "where")
OF_PART = ("measured", "interval", "chapter", "runs", "n", "outcome", *OF_CONDITIONS)
OF_CLAIM = ("parts", "holding", "failing", "mixed")


class NoEvidence(LookupError):
    """A slot that the evidence cannot fill."""


def problems(claim):
    """What is wrong with a claim's headline templates, judged by the ledger alone: pairs (verdict,
    what is wrong); none if there are no templates."""
    templates = claim.get("headline")
    if templates is None:
        return []
    parts, mapped = claim.get("parts", []), bool(claim.get("conditions"))
    needed = [rules.REPRODUCED, rules.NOT_REPRODUCED]
    if mapped or len(parts) > 1:
        needed.append(rules.UNDER_CONDITIONS)
    found = [(verdict, "no template") for verdict in needed if verdict not in templates]
    for verdict, text in templates.items():
        for number, name in SLOT.findall(text):
            wrong = _wrong(name, number, verdict, claim["rule"], parts, mapped)
            if wrong:
                found.append((verdict, f"{{{number and number + '.'}{name}}}: {wrong}"))
        if re.search(r"[{}]", SLOT.sub("", text)):
            found.append((verdict, "a brace that is part of no slot"))
    return found


def _wrong(name, number, verdict, rule, parts, mapped):
    """Why a slot cannot stand in a template; empty if it can."""
    if name in OF_CLAIM:
        return "" if len(parts) > 1 and not number else "for claims of several parts, no number"
    if name not in OF_PART:
        return f"no slot; allowed are {', '.join(OF_CLAIM + OF_PART)}"
    if not number and len(parts) != 1:
        return "which part? such as {1." + name + "}"
    if not 1 <= int(number or 1) <= len(parts):
        return f"the claim has {words.many(len(parts), 'part')}"
    if name in OF_CONDITIONS and not mapped:
        return "the claim has no conditions"
    if name == "where" and verdict != rules.UNDER_CONDITIONS:
        return f"only where the verdict is {rules.UNDER_CONDITIONS}"
    if name == "chapter" and "number" not in parts[int(number or 1) - 1]:
        return "the part has no number of the chapter"
    passes_or_counts = rule == "existence" or rules.RULES[rule].point
    if name == "interval" and passes_or_counts:
        return f"the rule {rule} has no interval"
    if name == "runs" and not passes_or_counts:
        return f"the rule {rule} counts no runs"
    return ""


def headline(claim, entry):
    """The headline of a judged claim; None for an opinion and for what was not measured.

    claim: its entry in the ledger; entry: its record in claims.json (`parts`, `conditions`, ...).
    """
    verdict = entry["verdict"]
    if verdict in (rules.OPINION, rules.NOT_MEASURED):
        return None
    template = claim.get("headline", {}).get(verdict)
    try:
        return words.capitalised(_filled(template, entry), ".") if template else _plain(entry)
    except NoEvidence:
        return _plain(entry)


def _filled(template, entry):
    def ends(match):
        part = _part(match["part"], entry)
        low, high = _extremes(part, entry)
        places = min(_digits(low, part), _digits(high, part))
        low, high = (_number(one["measured"], places, part) for one in (low, high))
        return f"{low}{match['word']}{words.with_unit(high, part['unit'] or '')}"

    def one(match):
        return _slot(match[1], match[2], entry)

    return SLOT.sub(one, RANGE.sub(ends, template))


def _plain(entry):
    """The claim and its verdict, where the ledger has no words of its own for it."""
    says, verdict = entry["says"].rstrip("."), entry["verdict"]
    if verdict == rules.UNDECIDED:
        return f"Undecided whether {says}: {_why_undecided(entry)}."
    parts = entry["parts"]
    if len(parts) > 1:
        tail = f" – {_parts(entry)}"
    elif not parts[0]["counts"]["conditions"]:
        tail = ""
    elif verdict == rules.UNDER_CONDITIONS:
        tail = f": it holds {_where(parts[0])}"
    else:
        tail = ", in {hold} of {conditions} settings".format_map(parts[0]["counts"])
        tail = tail if verdict == rules.REPRODUCED else f": it holds{tail[1:]}"
    return words.capitalised(f"{says}: {verdict}{tail}.")


def _why_undecided(entry):
    """How often it holds and does not, where some conditions are decided; else what is missing."""
    parts = entry["parts"]
    if not any(_decided(part) for part in parts):
        return entry["reason"] or "no side has enough evidence"
    if len(parts) > 1:
        return _parts(entry)
    text = "it holds in {hold} of {conditions} settings, fails in {fail} and is open in {undecided}"
    counts = parts[0]["counts"]
    return text.format_map(counts | {key: counts[key] or "none" for key in ("hold", "fail")})


def _decided(part):
    """In how many of several conditions a part is decided."""
    counts = part["counts"]
    return counts["hold"] + counts["fail"] if counts["conditions"] > 1 else 0


# ---- Slots --------------------------------------------------------------------------------------


def _slot(number, name, entry):
    """The text of a slot. Raises NoEvidence where there is nothing to say."""
    if name in OF_CLAIM:
        text = _parts(entry) if name == "parts" else _names(entry, name)
    else:
        text = _of_part(_part(number, entry), name, entry)
    if not text:
        raise NoEvidence(name)
    return text


def _part(number, entry):
    return entry["parts"][int((number or "1").rstrip(".")) - 1]


def _of_part(part, name, entry):
    counts = part["counts"]
    if name in ("hold", "fail", "of"):
        key = {"of": "conditions"}.get(name, name)
        return str(counts[key]) if counts["conditions"] else ""
    if name == "n":
        return str(part["n"]) if part["n"] else ""
    if name == "where":
        return _where(part)
    if name == "outcome":
        return _outcome(part)
    if name == "runs":
        return _runs(part, entry["rule"])
    if name == "chapter":
        number = part["chapter"]
        return _with_unit(number, numbers.printed_decimals(number), part)
    if name == "measured":
        return _with_unit(part["measured"], words.places(part), part)
    if name == "interval":
        return _interval(part)
    low, high = _extremes(part, entry)
    end = low if name == "lowest" else high
    return _with_unit(end["measured"], _digits(end, part), part)


def _extremes(part, entry):
    """The conditions with the smallest and the largest median. Raises NoEvidence without any."""
    found = [
        condition
        for condition in entry["conditions"]
        if condition["part"] == part["name"]
        and condition["trains"] is not False
        and condition["measured"] is not None
    ]
    if not found:
        raise NoEvidence("no condition was measured")
    found.sort(key=lambda condition: condition["measured"])
    return found[0], found[-1]


def _digits(condition, part):
    return words.places(condition | {"unit": part["unit"]})


def _number(value, places, part):
    """A median's text. Counts have no decimals, whatever their interval supports."""
    percent = words.unit_words(part["unit"] or "") in ("%", "pp")
    return numbers.number(value, 0 if float(value).is_integer() and not percent else places)


def _with_unit(value, places, part):
    if value is None:
        return ""
    return words.with_unit(_number(value, places, part), part["unit"] or "")


def _interval(part):
    if not words.has_interval(part):
        return ""
    places = words.places(part)
    ends = [numbers.number(part[end], places) for end in ("ci_low", "ci_high")]
    return words.with_unit(" to ".join(ends), part["unit"] or "")


def _runs(part, rule):
    """`4 of 5 runs` of what may happen; `5 of 5` of what was checked, by conditions or trials."""
    counts = part["counts"]
    if rule != "existence" and counts["conditions"]:
        return f"{counts['hold']} of {counts['conditions']}"
    if part["measured"] is None:
        return ""
    if rule == "identity":  # what is measured is an error; all trials pass or the rule fails
        passed = part["n"] if part["verdict"] == rules.REPRODUCED else 0
        return f"{passed} of {part['n']}"
    text = f"{round(part['measured'] * part['n'])} of {part['n']}"
    return f"{text} runs" if rule == "existence" else text


def _where(part):
    found, counts = part["where"], part["counts"]
    if found and found["explains"]:
        return found["words"]
    if not counts["conditions"]:
        return ""
    tally = f"in {counts['hold']} of {counts['conditions']} settings"
    return f"{tally}, which no short rule tells from the others"


def _parts(entry):
    """All parts with their outcomes, those with the same outcome together."""
    told = {}
    for part in entry["parts"]:
        told.setdefault(_outcome(part), []).append(part["name"])
    return "; ".join(f"{_listed(names)}: {outcome}" for outcome, names in told.items())


def _listed(names):
    """Parts' names in a row; in quotes those that have a colon or, beside others, a comma."""
    marks = ":," if len(names) > 1 else ":"
    return words.listed(
        [f"“{name}”" if any(mark in name for mark in marks) else name for name in names]
    )


def _outcome(part):
    """How a part came out, as an answer to whether it holds. Where its conditions do not agree,
    they are counted, or the places named where it holds."""
    verdict, counts, found = part["verdict"], part["counts"], part["where"]
    count = "in {hold} of {conditions} settings".format_map(counts)
    if verdict == rules.UNDER_CONDITIONS:
        if not (found and found["explains"]):
            return count
        place = found["words"].replace("; or ", " or for ")  # the parts have the semicolons
        return f"only {place}" if re.match("for (?!all but)", place) else place
    if verdict == rules.REPRODUCED:
        return f"yes, {count}" if counts["hold"] < counts["conditions"] else "yes"
    if verdict == rules.NOT_REPRODUCED:
        return f"no, only {count}" if counts["hold"] else "no"
    if verdict == rules.UNDECIDED and _decided(part):
        return "undecided (yes in {hold}, no in {fail} of {conditions} settings)".format_map(counts)
    return verdict


def _names(entry, slot):
    wanted = {
        "holding": rules.REPRODUCED,
        "failing": rules.NOT_REPRODUCED,
        "mixed": rules.UNDER_CONDITIONS,
    }[slot]
    found = [part["name"] for part in entry["parts"] if part["verdict"] == wanted]
    return words.listed(found) if found else ""
