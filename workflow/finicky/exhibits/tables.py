"""What a refilled table of the chapter is, and the cells, digits and numbers that tables share.

An exhibit's function for a table reads one experiment's tidy table (one number per seed) and the
ledger, which holds the chapter's numbers, and returns a `Table`. The page prints its JSON.
"""

import csv
import io
import math
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from statistics import median

import pandas as pd

from finicky.evidence.intervals import median_interval
from finicky.numbers import decimals, printed_decimals


@dataclass(frozen=True)
class Cell:
    """One entry: the chapter's number or word, our median with its interval over n seeds (or a
    share with its standard `error`), or the ids of claims."""

    value: float | None = None
    low: float = math.nan
    high: float = math.nan
    n: int = 0
    note: str = ""
    text: str = ""
    error: float = math.nan
    claims: tuple[str, ...] = ()


@dataclass(frozen=True)
class Column:
    """A column; `kind` is `chapter`, `measured` or `verdict` (its label), `places` its digits.

    Measured columns of one `quantity` have the same number of digits.
    """

    label: str
    kind: str
    quantity: str = "accuracy"
    places: int = 1


@dataclass(frozen=True)
class Row:
    """One line: its heads (as many as the table has) and its cells (one per column), which are the
    chapter's words whatever their column is, or not."""

    heads: list[str]
    cells: list[Cell]
    chapter: bool = False


@dataclass(frozen=True)
class Body:
    """Rows that belong together, under a label that may be empty."""

    label: str
    rows: list[Row]


@dataclass(frozen=True)
class Table:
    """A table ready to print: heads of the label columns, column groups (label, span), bodies.

    `finding` is what it shows, in a sentence; `shows` says of the cells what the exhibit's caption
    cannot know; `over`, of what the cells count n, in the singular.
    """

    heads: list[str]
    groups: list[tuple[str, int]]
    columns: list[Column]
    bodies: list[Body]
    notes: list[str] = field(default_factory=list)
    shows: str = ""
    over: str = "seed"
    finding: str = ""

    @property
    def seeds(self):
        """The different numbers of seeds behind the measured cells, ascending."""
        cells = (cell for body in self.bodies for row in body.rows for cell in row.cells)
        return sorted({cell.n for cell in cells if cell.n})


# ---- Writing ------------------------------------------------------------------------------------


def as_json(table: Table) -> dict:
    """The table as plain values: what is not finite is None; `seeds` as the property has it."""
    return _plain(asdict(table)) | {"seeds": table.seeds}


def _plain(value):
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_csv(table: Table) -> str:
    """One line per cell: the row's body and heads, the column's group and label, and the cell."""
    groups = [name for name, span in table.groups for _ in range(span)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    heads = [head or "kind" for head in table.heads]
    numbers = ["value", "low", "high", "error"]
    writer.writerow(["part", *heads, "group", "column", *numbers, "n", "text", "note"])
    for body in table.bodies:
        for row in body.rows:
            for group, column, cell in zip(groups, table.columns, row.cells, strict=True):
                where = [body.label, *row.heads, group, column.label]
                found = _plain([getattr(cell, name) for name in numbers])
                writer.writerow([*where, *found, cell.n or None, cell.text, cell.note])
    return text.getvalue()


# ---- Filling ------------------------------------------------------------------------------------


def chapter_numbers(
    ledger: dict, claims: set[str], quantity: str, *columns: str
) -> dict[tuple, Cell]:
    """The chapter's numbers of a quantity, by the levels of `columns` that they are said for: from
    those parts of these claims that have a number and a `where` with all the columns."""
    numbers = {}
    for claim in ledger["claims"]:
        for part in claim.get("parts", []) if claim["id"] in claims else []:
            where = part.get("where", {})
            given = part["quantity"] == quantity and part.get("number") is not None
            if given and all(column in where for column in columns):
                levels = tuple(where[column] for column in columns)
                numbers[levels] = Cell(value=part["number"])
    return numbers


def part_numbers(ledger: dict, claim: str) -> dict[str, Cell]:
    """The chapter's numbers of one claim, by the names of its parts, judged or only shown; of parts
    without one, none."""
    (entry,) = [c for c in ledger["claims"] if c["id"] == claim] or [{}]
    parts = [*entry.get("parts", []), *entry.get("also", [])]
    return {part["name"]: Cell(value=part["number"]) for part in parts if "number" in part}


def rows_at(table: pd.DataFrame, **levels) -> pd.DataFrame:
    """The rows of a table at these levels of its columns."""
    for column, level in levels.items():
        table = table[table[column] == level]
    return table


def measured_cell(table: pd.DataFrame, **levels) -> Cell:
    """Median, interval and failures over the seeds at these levels; empty if there are none."""
    rows = rows_at(table, **levels)
    if rows.empty:
        return Cell()
    failures = Counter(rows["outcome"])
    words = {"nan": "NaN", "inf": "infinite", "large": "large"}
    note = ", ".join(
        f"{word} in {failures[outcome]} of {len(rows)}"
        for outcome, word in words.items()
        if failures[outcome]
    )
    if rows["value"].isna().any():
        return Cell(n=len(rows), note=note, text="NaN")
    values = sorted(float(value) for value in rows["value"])
    low, high = median_interval(values)
    return Cell(median(values), low, high, len(values), note)


def with_digits(
    heads: list[str],
    groups: list[tuple[str, int]],
    columns: list[Column],
    bodies: list[Body],
    notes: tuple[str, ...] | list[str] = (),
    shows: str = "",
    finding: str = "",
) -> Table:
    """A table of these parts, with the digits of each column such that its numbers align on the
    point: as many as the chapter's have, or those that are no medians, or as the intervals of the
    column's quantity support."""
    rows = [row for body in bodies for row in body.rows]
    cells = [[row.cells[place] for row in rows] for place in range(len(columns))]
    widths = {}
    for column, under in zip(columns, cells, strict=True):
        spans = [cell.high - cell.low for cell in under if cell.n]
        widths.setdefault(column.quantity, []).extend(span for span in spans if span > 0)
    settled = []
    for column, under in zip(columns, cells, strict=True):
        if column.kind == "chapter" or not any(cell.n for cell in under):
            places = max((printed_decimals(cell.value) for cell in under), default=0)
        else:
            known = widths[column.quantity]
            places = max(1, decimals(median(known) if known else None))
        settled.append(replace(column, places=places))
    return Table(heads, groups, settled, bodies, list(notes), shows, finding=finding)
