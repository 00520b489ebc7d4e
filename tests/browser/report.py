"""A whole report as a reader gets it: the real ledger, judged on what is committed."""

import importlib
from pathlib import Path

import pandas as pd

from finicky import declarations, documents, provenance
from finicky.evidence import judge, ledger
from finicky.exhibits import style, tables
from finicky.page import explorer
from finicky.page import inputs as page_inputs

ROOT = Path(__file__).parents[2]
# Whose figures and tables are drawn: the page's figures are many, and to draw them is most of the
# time that a page takes.
DRAWN = ["batch-size", "gradient-highway", "mini-project", "ten-layers"]


def inputs(folder):
    """The arguments of `build.render`, from the last seed set of the reference.

    folder: where to draw the figures.
    """
    reference = last_reference()
    record = documents.read(reference / "provenance.json", "a provenance")
    chapter = ledger.load(ROOT / "config/claims.yaml")
    measured = {
        path.stem: pd.read_parquet(path) for path in (reference / "experiments").glob("*.parquet")
    }
    claims, _ = judge.judge(chapter, measured, record["config"]["experiments"])
    references = provenance.references(
        sorted((ROOT / "results/reference").glob("*/claims.json")), record["config"]
    )
    judge.add_other_seeds(claims, references)
    figures, refilled = _exhibits(chapter, measured, folder)
    return {
        "ledger": chapter,
        "claims": claims,
        "experiments": _experiments(measured),
        "figures": figures,
        "tables": refilled,
        "record": record,
        "references": references,
        "amendments": ledger.amendments(ROOT / "config/amendments.yaml", chapter),
        "grid": explorer.view([reference_grid()], record["config"]),
    }


def last_reference():
    """The folder of the reference's last seed set."""
    return sorted((ROOT / "results/reference").glob("*/provenance.json"))[-1].parent


def reference_grid():
    """The tables of the grid, as far as the explorer reads them."""
    return explorer.read(last_reference() / "tables")


def _experiments(measured):
    """What the rule `page` tells of the experiments; what is not drawn here is a gap."""
    found = {slug: f"results/default/experiments/{slug}.parquet" for slug in measured}
    declared, exhibits = declarations.experiments(), declarations.exhibits()
    return page_inputs.experiments(declared, exhibits, found, ROOT)


def _exhibits(chapter, measured, folder):
    """Figures and refilled tables of DRAWN, if measured, as `build.render` takes them."""
    figures, refilled = {}, {}
    for slug in (slug for slug in DRAWN if slug in measured):
        declared = declarations.exhibits()[slug]
        exhibit = importlib.import_module(f"finicky.exhibits.{slug.replace('-', '_')}")
        for name in declared.figures:
            svg = Path(folder) / f"{name}.svg"
            of_ledger = [chapter] if name in declared.with_ledger else []
            with style.context():
                figure, _ = _maker(exhibit, name)(measured[slug], *of_ledger)
            style.save_svg(figure, svg, name)
            figures |= page_inputs.read_figures([svg])
            figures[name]["files"] = {}
        for name in declared.tables:
            table = _maker(exhibit, name)(measured[slug], chapter)
            refilled[name] = {"table": tables.as_json(table), "files": {}}
    return figures, refilled


def _maker(exhibit, name):
    """The function of an exhibit that makes a figure or table."""
    return getattr(exhibit, name.lower().replace("-", "_"))
