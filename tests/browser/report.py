"""A whole report as a reader gets it: the real ledger, judged on what is committed."""

from pathlib import Path

from finicky import example
from finicky.page import explorer

ROOT = Path(__file__).parents[2]
# Whose figures and tables are drawn: the page's figures are many, and to draw them is most of the
# time that a page takes.
DRAWN = ["batch-size", "gradient-highway", "mini-project", "ten-layers"]


def inputs(folder):
    """The arguments of `build.render`, from the last seed set of the reference.

    folder: where to draw the figures.
    """
    found = example.arguments(last_reference().name, ROOT, folder, DRAWN)
    return found | {"grid": explorer.view([reference_grid()], found["record"]["config"])}


def last_reference():
    """The folder of the reference's last seed set."""
    return sorted((ROOT / "results/reference").glob("*/provenance.json"))[-1].parent


def reference_grid():
    """The tables of the grid, as far as the explorer reads them."""
    return explorer.read(last_reference() / "tables")
