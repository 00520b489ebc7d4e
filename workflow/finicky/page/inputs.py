"""What a page is made of, as jobs have left it: drawn figures, refilled tables, experiments."""

import os
from pathlib import Path
from xml.etree import ElementTree

from finicky.declarations import Exhibit
from finicky.documents import read_json
from finicky.errors import Damaged


def read_figures(paths, place="."):
    """{id: {"svg": text, "finding": the sentence that it carries, "files": {name: path}}} of SVG
    files. Files are named from `place`, the folder that results/ is in."""
    return _by_name(paths, lambda path: _figure(path, place))


def read_tables(paths, place="."):
    """{id: {"table": plain values, "files": {name: path}}} of refilled tables as JSON."""
    return _by_name(paths, lambda path: _table(path, place))


def experiments(declared, exhibits, tables, root):
    """What the page is told of each experiment: what it and its exhibit declare, and their files.

    declared, exhibits: {slug: declarations.Experiment or declarations.Exhibit}; tables: {slug: the
    parquet file} of those that are in the report; root: the workflow's folder, from which modules
    are named.
    """
    return {
        slug: _described(one, exhibits.get(slug, Exhibit(file=None)), tables.get(slug), root)
        for slug, one in declared.items()
    }


def _described(one, exhibit, table, root):
    return {
        "title": one.title,
        "file": os.path.relpath(one.file, root),
        "table": table,
        "exhibit": exhibit.file and os.path.relpath(exhibit.file, root),
        "figures": exhibit.figures,
        "tables": exhibit.tables,
    }


def _by_name(paths, read):
    """Empty files are what could not be drawn or refilled, a gap on the page."""
    return {Path(path).stem: read(path) for path in paths if Path(path).stat().st_size}


def _figure(path, place):
    text = Path(path).read_text(encoding="utf-8")
    try:
        finding = ElementTree.fromstring(text).get("aria-label")
    except ElementTree.ParseError as error:
        raise Damaged(path, error) from None
    return {"svg": text, "finding": finding, "files": _beside(path, ["csv", "svg", "png"], place)}


def _table(path, place):
    return {"table": read_json(path), "files": _beside(path, ["csv", "json"], place)}


def _beside(path, kinds, place):
    """The files of the same name that have these endings: {ending in capitals: path}."""
    path = Path(os.path.relpath(path, place))
    return {kind.upper(): str(path.with_suffix(f".{kind}")) for kind in kinds}
