"""The ledger of claims, config/claims.yaml: reading it, and every check that needs no results.

Cheap to import and to run, because the Snakefile loads the ledger before anything trains: YAML and
JSON schema, no pandas, SciPy or torch. Experiment modules are read, not imported.
"""

import ast
from collections import Counter
from pathlib import Path

from finicky import documents
from finicky.errors import InputError
from finicky.evidence.rules import RULES

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
LITERALS = ("TITLE", "ANSWERS", "READS", "QUANTITIES", "FIGURES", "DATASETS", "ALONE")


def load(path, experiments=EXPERIMENTS):
    """Read and check the ledger.

    path: the ledger's file; experiments: the folder of the experiment modules.
    Returns the document as in the file (schema: workflow/schemas/claims.schema.yaml).
    Raises InputError, one line, for: a missing or unreadable file, anything the schema forbids,
    duplicate ids, duplicate names of a claim's parts, a section or a table row's claim that does
    not exist, a part without the margin or number that its rule needs, and a part that reads an
    experiment or quantity that nobody makes.
    """
    path = Path(path)
    ledger = documents.read(path, "the ledger of claims")
    documents.check(ledger, "claims.schema.yaml", path)
    _check_ids(ledger, path)
    made = declared(experiments)
    for claim in ledger["claims"]:
        _check_claim(claim, path)
        for kind in ("parts", "also"):
            for part in claim.get(kind, []):
                key = f"claims[{claim['id']}].{kind}[{part['name']}]"
                _check_part(claim, part, kind, key, made, path)
    return ledger


def declared(experiments=EXPERIMENTS):
    """What each experiment module says about itself, read without importing it.

    Returns {slug: {"TITLE": ..., "QUANTITIES": ..., ...}}, the module-level literals LITERALS of
    every module in the folder that has QUANTITIES; the slug is the file's name with - for _.
    Raises InputError where one of them is not a plain literal.
    """
    found = {}
    for file in sorted(Path(experiments).glob("*.py")):
        literals = {}
        for node in ast.parse(file.read_text(encoding="utf-8"), str(file)).body:
            if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
                continue
            name = node.targets[0].id
            if name in LITERALS:
                try:
                    literals[name] = ast.literal_eval(node.value)
                except ValueError:
                    raise InputError(file, name, "an expression", "a plain literal") from None
        if "QUANTITIES" in literals:
            found[file.stem.replace("_", "-")] = literals
    return found


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
    for name, table in ledger["tables"].items():
        for i, row in enumerate(table.get("rows", [])):
            for claim in row["claims"]:
                if claim not in claims:
                    key = f"tables.{name}.rows[{i}].claims"
                    raise InputError(path, key, claim, "claims of the ledger")


def _check_claim(claim, path):
    key = f"claims[{claim['id']}]"
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


def _check_part(claim, part, kind, key, made, path):
    experiment, quantity = part["experiment"], part["quantity"]
    if experiment not in made:
        allowed = ", ".join(made) or "none is there yet"
        raise InputError(path, f"{key}.experiment", experiment, allowed)
    if experiment not in claim["by"]:
        allowed = f"an experiment that the claim's `by` names ({', '.join(claim['by'])})"
        raise InputError(path, f"{key}.experiment", experiment, allowed)
    if quantity not in made[experiment]["QUANTITIES"]:
        allowed = ", ".join(made[experiment]["QUANTITIES"])
        raise InputError(path, f"{key}.quantity", quantity, f"what {experiment} makes: {allowed}")
    if kind == "parts":
        for name in RULES[claim["rule"]].needs:
            if name not in part:
                found = f"no key {name!r}"
                raise InputError(
                    path, key, found, f"a {name}, which the {claim['rule']} rule needs"
                )
