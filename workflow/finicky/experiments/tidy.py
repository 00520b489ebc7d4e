"""The tidy table that every experiment returns: one row per quantity, seed and condition."""

import json

import numpy as np
import pandas as pd

from finicky import parquet
from finicky.errors import InputError
from finicky.machine import METADATA
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
    return _typed(table.reindex(columns=list(types)), types)


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
        part = _typed(part.reindex(columns=list(types)), types)
        parts.append(part.sort_values([*conditions, "seed"], kind="stable"))
    return pd.concat(parts, ignore_index=True)


def _typed(table: pd.DataFrame, types: dict) -> pd.DataFrame:
    """The table with its types. Raises InputError, which names no file (see `measured`), for the
    first value of another type."""
    try:
        return table.astype(types)
    except (TypeError, ValueError):
        for column, kind in types.items():
            for quantity, value in zip(table["quantity"], table[column], strict=True):
                try:
                    pd.Series([value], dtype="object").astype(kind)
                except (TypeError, ValueError):
                    key = f"{quantity}.{column}"
                    raise InputError(None, key, repr(value), f"of the type {kind}") from None
        raise


def named(rows: list[dict] | pd.DataFrame) -> pd.DataFrame:
    """Rows whose outcomes are numbers into OUTCOMES as a table with their names."""
    table = pd.DataFrame(rows)
    return table.assign(outcome=table["outcome"].map(OUTCOMES.__getitem__))


def one_number(rows: pd.DataFrame, value: str | pd.Series) -> pd.DataFrame:
    """Runs as a quantity without two sides: `value` is a column's name or its numbers."""
    numbers = rows[value] if isinstance(value, str) else value
    return rows.assign(value=numbers.astype("float64"), a=np.nan, b=np.nan)


def measured(module, settings: dict, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The checked table of a measuring module."""
    try:
        table = module.measure(settings, tables)
    except InputError as error:
        file = module.__file__ if error.where is None else error.where
        raise InputError(file, error.key, error.found, error.allowed) from None
    check(table, module)
    return table


def write(table: pd.DataFrame, path, machine: dict) -> None:
    """Write a table as parquet, with the `machine.description` of where it was measured."""
    parquet.write(table, path, {METADATA: json.dumps(machine).encode()})


def check(table: pd.DataFrame, module) -> None:
    """Raise InputError, naming the measuring module, where a table is not what it declares: no
    table at all, a column, a quantity or a name that is not in CONDITIONS and QUANTITIES, a row of
    no quantity, or text for a number."""
    conditions, file = module.CONDITIONS, module.__file__
    if not isinstance(table, pd.DataFrame):
        found = "nothing" if table is None else f"a {type(table).__name__}"
        raise InputError(file, "measure returns", found, "the table that tidy.from_rows makes")
    types = columns(conditions)
    if list(table) != list(types):
        raise InputError(file, "CONDITIONS", f"a table of {', '.join(table)}", ", ".join(types))
    names = {"quantity": list(module.QUANTITIES), "outcome": list(OUTCOMES)}
    names |= {name: kind for name, kind in conditions.items() if isinstance(kind, list)}
    for column, allowed in names.items():
        if column in VALUES and table[column].isna().any():
            raise InputError(file, column, "a row without one", ", ".join(allowed))
        for level in table[column].dropna().unique():
            if level not in allowed:
                raise InputError(file, column, repr(level), ", ".join(allowed))
    for column, kind in types.items():
        if kind != "str" and not pd.api.types.is_numeric_dtype(table[column]):
            raise InputError(file, column, str(table[column].dtype), "numbers")
