"""What the exhibits of plain and residual networks share."""

import pandas as pd

from finicky.exhibits import style
from finicky.labels import in_order, label

START, TRAINED = "at the start", "trained"
NOTHING, RELU = "nothing after the sum", "ReLU after the sum"
PLAIN, RESIDUAL = ["plain", "batch_norm"], ["residual", "batch_norm_residual"]


def first_data_set(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the first data set, and those that have none."""
    names = in_order(table["dataset"].dropna())
    return table[table["dataset"].isna() | (table["dataset"] == names[0])]


def summary(table: pd.DataFrame, quantity: str, by: list[str]) -> pd.DataFrame:
    """`style.summary` of one quantity; in columns of names, "" where a row has none."""
    rows = table[table["quantity"] == quantity]
    names = {column: "" for column in by if not pd.api.types.is_numeric_dtype(rows[column])}
    return style.summary(rows.fillna(names), by).assign(quantity=quantity)


def kinds(data: pd.DataFrame):
    """Yields (block, after the sum, their rows) in the chapter's order."""
    for block in PLAIN + RESIDUAL:
        for after in ("", RELU, NOTHING):
            rows = data[(data["block"] == block) & (data["after_the_sum"] == after)]
            if len(rows):
                yield block, after, rows


def named(block: str, after: str = "") -> str:
    """A kind of network; a star stands for nothing after the sum."""
    return label(block) + (" *" if after == NOTHING else "")


def trained_for(table: pd.DataFrame) -> str:
    """The training's length in words."""
    one = table.dropna(subset=["images", "epochs"]).iloc[0]
    epochs = int(one["epochs"])
    return (
        f"trained by Adam on {label(int(one['images']))} images for {epochs} "
        f"epoch{'s' * (epochs > 1)}"
    )


def footer(fig, data: pd.DataFrame, said: str) -> None:
    """`style.footer`, with more words at its right."""
    style.footer(fig, data)
    fig.text(0.985, 0.08 / fig.get_figheight(), said, fontsize=8, va="baseline", ha="right")
