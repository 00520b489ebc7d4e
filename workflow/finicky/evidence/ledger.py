"""The ledger of claims, config/claims.yaml: reading it, and every check that needs no results.

Cheap to import and to run, because the Snakefile loads the ledger before anything trains: YAML and
JSON schema, no pandas, SciPy or torch. Experiment modules are read, not imported.
"""

from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from finicky import declarations, documents
from finicky.errors import InputError
from finicky.evidence import asked, headlines
from finicky.evidence.rules import KINDS, RULES

NO_CHAPTER = {"sections": [], "tables": {}, "figures": {}, "claims": []}


def load(path, experiments=None, own=(), file=None):
    """Read and check the ledger.

    path: the ledger's file, or None for the claims of one's own alone; experiments: {slug:
    declarations.Experiment}, by default those of the library; own: claims of one's own, as
    asked.compiled makes them, which stand before the chapter's in a section of theirs; file: where
    these are written. Returns the document as in the file (schema:
    workflow/schemas/claims.schema.yaml), each part with the `unit` and the training `budget` that
    its experiment declares.
    Raises InputError, one line, for: a missing or unreadable file, anything the schema forbids, an
    unknown rule, duplicate ids, duplicate names of a claim's parts, a section or a table row's
    claim that does not exist, a part without the margin or number that its rule needs, a part that
    reads an experiment or quantity that nobody makes, conditions or levels that its experiment does
    not have, and claims that rest on unknown ones or on each other.
    """
    ledger = NO_CHAPTER
    if path is not None:
        path = Path(path)
        ledger = documents.read(path, "the ledger of claims")
        documents.check(ledger, "claims.schema.yaml", path)
    if own:
        ledger = ledger | {
            "sections": [asked.SECTION, *ledger["sections"]],
            "claims": [*own, *ledger["claims"]],
        }
    _check_ids(ledger, path)
    made = declarations.experiments() if experiments is None else experiments
    written_in = dict.fromkeys((claim["id"] for claim in own), file)
    for claim in ledger["claims"]:
        written = written_in.get(claim["id"], path)
        _check_claim(claim, written)
        for kind in ("parts", "also"):
            for part in claim.get(kind, []):
                key = f"claims[{claim['id']}].{kind}[{part['name']}]"
                _check_part(claim, part, kind, key, made, written)
                experiment = made[part["experiment"]]
                part["budget"] = experiment.budget_of(part["quantity"])
                unit = experiment.quantities[part["quantity"]][0]
                often = claim["rule"] == "existence" and unit == "0/1"
                # of one's own claims, the metric says the unit
                part.setdefault("unit", "share of runs" if often else unit)
        _check_conditions(claim, made, written)
    _check_needs(ledger, written_in, path)
    return ledger


def amendments(path, ledger):
    """What was changed about claims after their results were known: the list in a file like
    config/amendments.yaml (schema: workflow/schemas/amendments.schema.yaml), the latest first.
    Raises InputError, one line, for what the schema forbids and for claims that do not exist."""
    listed = documents.read(path, "the list of amendments") or []
    documents.check(listed, "amendments.schema.yaml", path)
    known = {claim["id"] for claim in ledger["claims"]}
    for place, amendment in enumerate(listed):
        for claim in [*amendment["claims"], *amendment["before"]]:
            if claim not in known:
                raise InputError(path, f"[{place}].claims", claim, "claims of the ledger")
    return sorted(listed, key=lambda amendment: amendment["date"], reverse=True)


def heading(ledger, line):
    """The heading of the chapter under which a line stands; empty if the ledger names none."""
    before = [one for one in ledger.get("headings", []) if one["line"] <= line]
    return max(before, key=lambda one: one["line"])["title"] if before else ""


# ---- What the schema cannot say -----------------------------------------------------------------


def _check_ids(ledger, path):
    sections = [section["id"] for section in ledger["sections"]]
    claims = [claim["id"] for claim in ledger["claims"]]
    for kind, ids in (("sections", sections), ("claims", claims)):
        for name, count in Counter(ids).items():
            if count > 1:
                raise InputError(
                    path, f"{kind}[{name}].id", f"{name} {count} times", "each id once"
                )
    entries = [(f"claims[{claim['id']}]", claim) for claim in ledger["claims"]]
    entries += [(f"tables.{name}", table) for name, table in ledger["tables"].items()]
    entries += [(f"figures.{name}", figure) for name, figure in ledger["figures"].items()]
    for key, entry in entries:
        if entry["section"] not in sections:
            raise InputError(path, f"{key}.section", entry["section"], ", ".join(sections))
    parts = {
        (claim["id"], part["name"])
        for claim in ledger["claims"]
        for part in claim.get("parts", []) + claim.get("also", [])
    }
    for name, table in ledger["tables"].items():
        for i, row in enumerate(table.get("rows", [])):
            for claim in row["claims"]:
                if claim not in claims:
                    key = f"tables.{name}.rows[{i}].claims"
                    raise InputError(path, key, claim, "claims of the ledger")
            for effect in row.get("effects", []):
                if (effect["claim"], effect["part"]) not in parts:
                    found = f"{effect['part']} of {effect['claim']}"
                    key = f"tables.{name}.rows[{i}].effects"
                    raise InputError(path, key, found, "parts of claims of the ledger")


def _check_claim(claim, path):
    key = f"claims[{claim['id']}]"
    if claim["rule"] not in KINDS:
        raise InputError(path, f"{key}.rule", claim["rule"], ", ".join(KINDS))
    if claim["rule"] == "opinion":
        if "reason" not in claim:
            raise InputError(path, key, "no key 'reason'", "a reason why an opinion is not judged")
        if "parts" in claim:
            raise InputError(path, f"{key}.parts", "parts", "no parts: an opinion is not judged")
    for name in ("conditions", "drop_untrained", "also"):
        if name in claim and "parts" not in claim:
            raise InputError(path, f"{key}.{name}", f"{name} without parts", "parts to judge")
    names = Counter(part["name"] for part in claim.get("parts", []) + claim.get("also", []))
    for name, count in names.items():
        if count > 1:
            raise InputError(
                path, f"{key}.parts[{name}]", f"{name} {count} times", "each name once"
            )
    for verdict, wrong in headlines.problems(claim):
        raise InputError(path, f"{key}.headline.{verdict}", wrong, "slots that the claim can fill")


def _check_part(claim, part, kind, key, made, path):
    experiment, quantity = part["experiment"], part["quantity"]
    if experiment not in made:
        allowed = ", ".join(made) or "none is there yet"
        raise InputError(path, f"{key}.experiment", experiment, allowed)
    if experiment not in claim["by"]:
        allowed = f"an experiment that the claim's `by` names ({', '.join(claim['by'])})"
        raise InputError(path, f"{key}.experiment", experiment, allowed)
    if quantity not in made[experiment].quantities:
        allowed = ", ".join(made[experiment].quantities)
        raise InputError(path, f"{key}.quantity", quantity, f"what {experiment} makes: {allowed}")
    for column, levels in part.get("where", {}).items():
        if column not in made[experiment].conditions:
            raise InputError(path, f"{key}.where", column, _columns(experiment, made))
        for level in levels if isinstance(levels, list) else [levels]:
            where = f"{key}.where.{column}"
            declarations.check_level(column, level, made[experiment], path, where)
    if kind == "parts":
        for name in RULES[claim["rule"]].needs:
            if name not in part:
                found = f"no key {name!r}"
                raise InputError(
                    path, key, found, f"a {name}, which the {claim['rule']} rule needs"
                )


def _check_conditions(claim, made, path):
    """Every condition is a column of some part's table."""
    parts = claim.get("parts", [])
    for column in claim.get("conditions", []):
        if not any(column in made[part["experiment"]].conditions for part in parts):
            allowed = "; ".join(
                _columns(slug, made) for slug in dict.fromkeys(part["experiment"] for part in parts)
            )
            raise InputError(path, f"claims[{claim['id']}].conditions", column, allowed)


def _check_needs(ledger, written_in, path):
    """What a claim rests on is in the ledger, and does not rest on the claim in its turn.
    written_in: {claim of one's own: its file}; the others are in the one at `path`."""
    rests = {one["id"]: one.get("needs", []) for one in ledger["claims"]}
    for claim, needs in rests.items():
        for name in needs:
            if name not in rests:
                key = f"claims[{claim}].needs"
                raise InputError(written_in.get(claim, path), key, name, "claims of the ledger")
    try:
        TopologicalSorter(rests).prepare()
    except CycleError as error:
        circle = error.args[1][::-1]
        key, found = f"claims[{circle[0]}].needs", " rests on ".join(circle)
        written = written_in.get(circle[0], path)
        raise InputError(written, key, found, "no claim that rests on itself") from None


def _columns(experiment, made):
    known = ", ".join(made[experiment].conditions) or "none"
    return f"the conditions of {experiment}: {known}"
