"""Draw one figure of an exhibit: SVG, PNG, and the CSV behind it."""

import importlib
from pathlib import Path

from job import job

from finicky import documents, parquet
from finicky.exhibits import style
from finicky.store import replaced

with job(snakemake):
    slug, name = snakemake.params.slug, snakemake.wildcards.figure
    exhibit = importlib.import_module(f"finicky.exhibits.{slug.replace('-', '_')}")
    draw = getattr(exhibit, name.lower().replace("-", "_"))
    # those that show the chapter's numbers read the ledger too
    ledgers = [documents.read(path, "the ledger") for path in snakemake.input.get("ledger", [])]
    with style.context():
        drawn = draw(parquet.read_frame(snakemake.input.table), *ledgers)
    if drawn:
        figure, behind = drawn
        style.save_svg(figure, snakemake.output.svg, name)
        style.save_png(figure, snakemake.output.png)
        with replaced(snakemake.output.csv) as temporary:
            behind.to_csv(temporary, index=False)
    else:
        # The page shows an empty figure as a gap.
        print(f"{name}: no runs to draw it from")
        for path in snakemake.output:
            Path(path).write_bytes(b"")
