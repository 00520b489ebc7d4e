"""A toy experiment's rows and claims about it, for the tests of what the judge makes of them."""

from pathlib import Path

import jsonschema
import pandas as pd
import yaml

from finicky.evidence.judge import judge

AHEAD = [1.0, 1.1, 1.2, 1.3, 1.4]
EQUAL = [-0.1, 0.0, 0.0, 0.1, 0.2]
BEHIND = [-3.0, -3.0, -2.0, -2.0, -1.0]
OPEN = [0.0, 0.2, 0.6, 0.8, 1.0]
OUTPUT = Path(__file__).parents[2] / "workflow" / "schemas" / "claims-output.schema.yaml"
SEEDS = range(5)
NAN, INF = float("nan"), float("inf")


def rows(values, quantity="gain", a=None, b=None, outcomes=None, **levels):
    """One row a seed."""
    n = len(values)
    frame = {
        "quantity": quantity,
        "seed": range(n),
        "value": values,
        "a": [NAN] * n if a is None else a,
        "b": [NAN] * n if b is None else b,
        "outcome": outcomes or ["finite"] * n,
    }
    return pd.DataFrame(frame | {axis: [level] * n for axis, level in levels.items()})


def table(*frames):
    frame = pd.concat(frames, ignore_index=True)
    return frame.astype({"seed": "Int64", "value": "float64", "a": "float64", "b": "float64"})


def part(name="gain", **keys):
    """A part of the ledger. Conditions made up of the same numbers may agree, unless a test says
    otherwise (`agree=False`)."""
    spec = {"name": name, "experiment": "toy", "quantity": "gain", "margin": 0.5, "unit": "pp"}
    return spec | {"agree": True} | keys


def claim(*parts, rule="ordering", **keys):
    spec = {"id": "C001", "line": 1, "section": "s", "by": ["toy"], "rule": rule, "says": "says"}
    return spec | ({"parts": list(parts)} if parts else {}) | keys


def judged(spec, *frames):
    """The record of one claim, valid by the schema, and the evidence table."""
    tables = {"toy": table(*frames)} if frames else {}
    claims, evidence = judge({"claims": [spec]}, tables)
    jsonschema.validate(claims, yaml.safe_load(OUTPUT.read_text(encoding="utf-8")))
    return claims[0], evidence
