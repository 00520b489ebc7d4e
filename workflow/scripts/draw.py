"""Draw one figure of an exhibit: SVG, PNG, and the CSV behind it."""

from pathlib import Path

from job import job

from finicky import documents, parquet
from finicky.exhibits import makers, style
from finicky.store import replaced

with job(snakemake):
    name = snakemake.wildcards.figure
    # those that show the chapter's numbers read the ledger too
    ledgers = [documents.read(path, "the ledger") for path in snakemake.input.get("ledger", [])]
    table = parquet.read_frame(snakemake.input.table)
    drawn = makers.figure(snakemake.params.slug, name, table, *ledgers)
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
