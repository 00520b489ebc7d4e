"""A claim's headline: the ledger's sentence for its verdict, its slots filled from the evidence.

A template names what it needs: `{2.measured}` is a number of part 2, counted from 1 in the
ledger's order; `{measured}` of the claim's only part. `{2.settings}` says in how many of its
settings part 2 holds and in which: `in 6 of 10 settings, those on MNIST`; `{2.open}` how many are
undecided, if any are. `{2:is|is not}` is the one if part 2 holds and the other if it does not;
`{parts}` are all parts' names and how they came out. Any other slot for which the evidence has
nothing gives no false sentence but the plain one, the claim and its verdict.
"""

import re

from finicky import numbers
from finicky.evidence import places, rules, words
from finicky.labels import listed

SLOT = re.compile(r"\{(?:(\d+)\.)?(\w+)\}")
CHOICE = re.compile(r"\{(\d+):([^{}|]*)\|([^{}|]*)\}")
# The ends of a range share their unit.
RANGE = re.compile(r"\{(?P<part>\d+\.)?lowest\}(?P<word> to | and )\{(?P=part)?highest\}")
EXTREMES = ("lowest", "highest", "lowest_factor", "highest_factor")
OF_CONDITIONS = ("settings", "rest", "open", "behind", "hold", "fail", "of", *EXTREMES)
OF_PART = ("measured", "factor", "interval", "chapter", "runs", "n", *OF_CONDITIONS)
# The number that a difference on a logarithmic scale multiplies by, `7.4` of 2.88 doublings.
BASES = {"doublings": 2, "halvings": 2, "halvings per decade": 2, "log2": 2, "decades": 10}
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
            wrong = _wrong(name, number, claim["rule"], parts, mapped)
            if wrong:
                found.append((verdict, f"{{{number and number + '.'}{name}}}: {wrong}"))
        for number, *_ in CHOICE.findall(text):
            if not 1 <= int(number) <= len(parts):
                found.append((verdict, f"{{{number}:}}: the claim has {_many_parts(parts)}"))
        if re.search(r"[{}]", CHOICE.sub("", SLOT.sub("", text))):
            found.append((verdict, "a brace that is part of no slot"))
    return found


def _many_parts(parts):
    return words.many(len(parts), "part")


def _wrong(name, number, rule, parts, mapped):
    """Why a slot cannot stand in a template; empty if it can."""
    if name in OF_CLAIM:
        return "" if len(parts) > 1 and not number else "for claims of several parts, no number"
    if name not in OF_PART:
        return f"no slot; allowed are {', '.join(OF_CLAIM + OF_PART)}"
    if not number and len(parts) != 1:
        return "which part? such as {1." + name + "}"
    if not 1 <= int(number or 1) <= len(parts):
        return f"the claim has {_many_parts(parts)}"
    if name in OF_CONDITIONS and not mapped:
        return "the claim has no conditions"
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
        digits = min(_digits(low, part), _digits(high, part))
        low, high = (_number(one["measured"], digits, part) for one in (low, high))
        return f"{low}{match['word']}{words.with_unit(high, words.spoken_unit(part['unit']))}"

    def choice(match):
        return _choice(_part(match[1], entry), match[2], match[3])

    said = set()  # what was varied, told once

    def one(match):
        if match[2] != "settings":
            return _slot(match[1], match[2], entry)
        return _or_no_evidence(_settings(_part(match[1], entry), entry, said), "settings")

    return SLOT.sub(one, CHOICE.sub(choice, RANGE.sub(ends, template)))


def _choice(part, holds, fails):
    """What is said of a part as it came out. Raises NoEvidence where that is neither."""
    said = {rules.REPRODUCED: holds, rules.NOT_REPRODUCED: fails}
    if part["verdict"] not in said:
        raise NoEvidence(part["verdict"])
    return said[part["verdict"]]


def _plain(entry):
    """The claim and its verdict, where the ledger has no words of its own for it."""
    says, verdict = entry["says"].rstrip("."), entry["verdict"]
    if verdict == rules.UNDECIDED:
        return f"Undecided whether {says}: {_why_undecided(entry)}."
    parts = entry["parts"]
    if len(parts) > 1:
        tail = f"; {_parts(entry)}"
    elif parts[0]["counts"]["conditions"] > 1:
        tail = f": it holds {_settings(parts[0], entry)}"
    else:
        tail = ""
    return words.capitalised(f"{says}: {verdict}{tail}.")


def _why_undecided(entry):
    """How often it holds and does not, where some conditions are decided; else what is missing."""
    parts = entry["parts"]
    if not any(_decided(part) for part in parts):
        return entry["reason"] or "no side has enough evidence"
    if len(parts) > 1:
        return _parts(entry)
    return f"it holds {_settings(parts[0], entry)} ({_rest(parts[0])})"


def _rest(part):
    """The settings in which a part does not hold: `refuted in 3, undecided in 4`."""
    fail, undecided = (part["counts"][key] for key in ("fail", "undecided"))
    return ", ".join(
        [*([f"refuted in {fail}"] if fail else []), f"undecided in {undecided or 'none'}"]
    )


def _behind(part, entry):
    """In how many settings the opposite of what a part says is shown."""
    return sum(
        rules.shows_the_opposite(entry["rule"], one["ci_high"], part["margin"] or 0)
        for one in _judged(part, entry)
    )


def _decided(part):
    """In how many of several conditions a part is decided."""
    counts = part["counts"]
    return counts["hold"] + counts["fail"] if counts["conditions"] > 1 else 0


# ---- Slots --------------------------------------------------------------------------------------


def _slot(number, name, entry):
    """The text of a slot. Raises NoEvidence where there is nothing to say."""
    if name == "open":
        undecided = _part(number, entry)["counts"]["undecided"]
        return f"; {undecided} undecided" if undecided else ""
    if name == "behind":
        count = _behind(_part(number, entry), entry)
        return f", and as far behind in {count}" if count else ""
    if name in OF_CLAIM:
        text = _parts(entry) if name == "parts" else _names(entry, name)
    else:
        text = _of_part(_part(number, entry), name, entry)
    return _or_no_evidence(text, name)


def _or_no_evidence(text, name):
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
    if name == "rest":
        return _rest(part) if counts["conditions"] else ""
    if name == "runs":
        return _runs(part, entry["rule"])
    if name == "chapter":
        number = part["chapter"]
        return _with_unit(number, numbers.printed_decimals(number), part)
    if name == "measured":
        return _with_unit(part["measured"], words.places(part), part)
    if name == "factor":
        return _factor(part["measured"], part)
    if name == "interval":
        return _interval(part)
    low, high = _extremes(part, entry)
    end = low if name.startswith("lowest") else high
    if name.endswith("factor"):
        return _factor(end["measured"], part)
    return _with_unit(end["measured"], _digits(end, part), part)


def _judged(part, entry):
    """A part's conditions, without those in which neither arm trains."""
    return [
        condition
        for condition in entry["conditions"]
        if condition["part"] == part["name"] and condition["trains"] is not False
    ]


def _extremes(part, entry):
    """The conditions with the smallest and the largest median. Raises NoEvidence without any."""
    found = [one for one in _judged(part, entry) if one["measured"] is not None]
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
    return words.with_unit(_number(value, places, part), words.spoken_unit(part["unit"]))


def _factor(value, part):
    if value is None or part["unit"] not in BASES:
        return ""
    return numbers.significant(float(f"{BASES[part['unit']] ** value:.2g}"), 2)


def _interval(part):
    if not words.has_interval(part):
        return ""
    places = words.places(part)
    ends = [numbers.number(part[end], places) for end in ("ci_low", "ci_high")]
    return words.with_unit(" to ".join(ends), words.spoken_unit(part["unit"]))


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


def _settings(part, entry, said=None):
    """In how many of its settings a part holds, and in which: what the rule for where it holds says
    of them, if there is one, else what was varied. Empty for a part without conditions.

    said: what the sentence has already told to be varied, which is not told again; a set, added to.
    """
    counts, found = part["counts"], part["where"]
    hold, of = counts["hold"], counts["conditions"]
    if not of:
        return ""
    if of == 1:
        return "in the one setting tried" if hold else "in no setting tried"
    some, said = words.some(hold, of), set() if said is None else said
    which = found["which"] if found else ""
    judged = _judged(part, entry)
    levels = [condition["levels"] for condition in judged]
    holding = [one["levels"] for one in judged if one["verdict"] == rules.REPRODUCED]
    varied = tuple(places.varied(levels))
    if hold == 1 and 1 < len(varied) < places.NAMED:
        which = f"the one {places.setting(holding[0], varied)}"
    if which and len(varied) == 1 and found["sharp"]:
        place = found["words"]
        return place if place.startswith("everywhere") else f"only {place}"
    told = which or (varied, places.named(levels, holding))
    if told in said:
        return f"in {some}" + (", likewise" if which else "")
    said.add(told)
    return f"in {some} settings, {which}" if which else places.settings(some, levels, holding)


def _parts(entry):
    """All parts by name with how they came out, those that came out alike together."""
    told = {}
    for part in entry["parts"]:
        told.setdefault(_outcome(part, entry), []).append(f"“{part['name']}”")
    return "; ".join(
        f"{listed(names)} {one if len(names) == 1 else several}"
        for (one, several), names in told.items()
    )


def _outcome(part, entry):
    """How a part came out, as verbs for one part and for several."""
    verdict = part["verdict"]
    if settings := _settings(part, entry):
        settings += f" ({_rest(part)})" if verdict == rules.UNDECIDED else ""
        return f"holds {settings}", f"each hold {settings}"
    return {
        rules.REPRODUCED: ("holds", "hold"),
        rules.NOT_REPRODUCED: ("does not", "do not"),
    }.get(verdict, (f"is {verdict}", f"are {verdict}"))


def _names(entry, slot):
    wanted = {
        "holding": rules.REPRODUCED,
        "failing": rules.NOT_REPRODUCED,
        "mixed": rules.UNDER_CONDITIONS,
    }[slot]
    found = [f"“{part['name']}”" for part in entry["parts"] if part["verdict"] == wanted]
    return listed(found) if found else ""
