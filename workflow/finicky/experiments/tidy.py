"""The tidy table that every experiment returns: one row per quantity, seed and condition."""

import numpy as np
import pandas as pd

from finicky.errors import InputError
from finicky.runs import FAILED, OUTCOMES

VALUES = {
    "quantity": "str",
    "seed": "Int64",
    "value": "float64",
    "a": "float64",
    "b": "float64",
    "outcome": "str",
}
TYPES = {"integer": "Int64", "number": "float64", "boolean": "boolean"}  # names are text


def columns(conditions: dict) -> dict[str, str]:
    """Name and type of every column; `conditions` as a module declares them."""
    kinds = {name: kind if isinstance(kind, str) else "text" for name, kind in conditions.items()}
    return VALUES | {name: TYPES.get(kind, "str") for name, kind in kinds.items()}


def from_rows(rows: list[dict], conditions: dict) -> pd.DataFrame:
    """The table of rows {quantity, seed, value, conditions...}. Rows of runs say their outcome by
    name, and of comparisons the two numbers `a` and `b`; all others are finite."""
    types = columns(conditions)
    table = pd.DataFrame([{"outcome": "finite"} | row for row in rows])
    return table.reindex(columns=list(types)).astype(types)


def from_quantities(quantities: dict[str, pd.DataFrame], conditions: dict) -> pd.DataFrame:
    """The table of frames, one per quantity, whose outcomes are numbers into OUTCOMES.

    Rows without a number (a metric that was not measured) are kept only if the run failed. An empty
    table has all columns.
    """
    types = columns(conditions)
    parts = []
    for name, rows in quantities.items():
        part = named(rows).assign(quantity=name)
        part = part[part["value"].notna() | part["outcome"].isin(FAILED)]
        part = part.reindex(columns=list(types)).astype(types)
        parts.append(part.sort_values([*conditions, "seed"], kind="stable"))
    return pd.concat(parts, ignore_index=True)


def named(rows: list[dict] | pd.DataFrame) -> pd.DataFrame:
    """Rows whose outcomes are numbers into OUTCOMES as a table with their names."""
    table = pd.DataFrame(rows)
    return table.assign(outcome=table["outcome"].map(OUTCOMES.__getitem__))


def one_number(rows: pd.DataFrame, value: str | pd.Series) -> pd.DataFrame:
    """Runs as a quantity without two sides: `value` is a column's name or its numbers."""
    numbers = rows[value] if isinstance(value, str) else value
    return rows.assign(value=numbers.astype("float64"), a=np.nan, b=np.nan)


def check(table: pd.DataFrame, module) -> None:
    """Raise InputError, naming the measuring module, where a table is not what it declares: a
    column, a quantity or a name that is not in CONDITIONS and QUANTITIES, or text for a number."""
    conditions, file = module.CONDITIONS, module.__file__
    types = columns(conditions)
    if list(table) != list(types):
        raise InputError(file, "CONDITIONS", f"a table of {', '.join(table)}", ", ".join(types))
    names = {"quantity": list(module.QUANTITIES), "outcome": list(OUTCOMES)}
    names |= {name: kind for name, kind in conditions.items() if isinstance(kind, list)}
    for column, allowed in names.items():
        for level in table[column].dropna().unique():
            if level not in allowed:
                raise InputError(file, column, repr(level), ", ".join(allowed))
    for column, kind in types.items():
        if kind != "str" and not pd.api.types.is_numeric_dtype(table[column]):
            raise InputError(file, column, str(table[column].dtype), "numbers")
