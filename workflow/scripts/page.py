"""Render the report."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
from job import job

from finicky.evidence import ledger
from finicky.page import build
from finicky.store import replaced


def read_json(path):
    return json.loads(Path(path).read_text())


def read_drawing(path):
    """An SVG's text and the alt text that it carries; None where there was nothing to draw."""
    text = Path(path).read_text()
    return {"svg": text, "alt": ElementTree.fromstring(text).get("aria-label")} if text else None


def read_bench(files):
    """The last benchmark as the page takes it; None if there was none."""
    if not files:
        return None
    links = {kind: f"../../bench/bench.{kind.lower()}" for kind in ("CSV", "SVG", "PNG")}
    return read_drawing(files["bench.svg"]) | {
        "summary": read_json(files["engine.json"]),
        "files": links | {"JSON": "../../bench/engine.json"},
    }


def read_figure(name, files, caption):
    """One figure as the page takes it; None where there was nothing to draw."""
    drawing = read_drawing(files[f"{name}.svg"])
    links = {kind: f"../figures/{name}.{kind.lower()}" for kind in ("CSV", "SVG", "PNG")}
    return drawing and drawing | {"caption": caption, "files": links}


with job(snakemake):
    tables = {
        slug: pd.read_parquet(path)
        for slug, path in zip(snakemake.params.slugs, snakemake.input.experiments, strict=True)
    }
    files = {Path(path).name: path for path in snakemake.input.figures}
    captions = snakemake.params.captions.items()
    figures = {name: read_figure(name, files, caption) for name, caption in captions}
    reference = {Path(path).stem: read_json(path) for path in snakemake.input.reference}
    page = build.render(
        ledger.load(snakemake.input.ledger),
        read_json(snakemake.input.claims),
        tables,
        {name: figure for name, figure in figures.items() if figure},
        read_json(snakemake.input.provenance),
        reference or None,
        read_bench({Path(path).name: path for path in snakemake.input.bench}),
        Path("report"),
    )
    with replaced(snakemake.output[0]) as temporary:
        Path(temporary).write_text(page)
