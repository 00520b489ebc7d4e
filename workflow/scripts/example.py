"""Make the example page that README links: `make example PRESET=seeds-1000`.

Not a rule's script: python workflow/scripts/example.py PRESET. The page is that of a preset of the
chapter whose results are committed (`make reference`); what they lack, its drawings and refilled
tables, is taken from results/<preset>/.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from finicky import declarations, provenance  # noqa: E402
from finicky.documents import read_json  # noqa: E402
from finicky.errors import InputError  # noqa: E402
from finicky.evidence import ledger  # noqa: E402
from finicky.page import build, inputs  # noqa: E402
from finicky.store import replaced  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = Path("results/reference")


def main(preset):
    """Write results/reference/page.html; returns its path."""
    made, committed = Path("results") / preset, REFERENCE / preset
    check(made, committed, preset)
    record = read_json(made / "provenance.json")
    claims = ledger.load("config/claims.yaml")
    references = provenance.references(sorted(REFERENCE.glob("*/claims.json")), record["config"])
    references.pop(preset, None)
    page = build.render(
        claims,
        read_json(made / "report/claims.json"),
        experiments(preset, committed),
        without_files(inputs.read_figures(sorted(made.glob("figures/*.svg")))),
        without_files(inputs.read_tables(sorted(made.glob("refilled/*.json")))),
        record,
        references,
        ledger.amendments("config/amendments.yaml", claims),
        example=True,
    )
    path = REFERENCE / "page.html"
    with replaced(path) as temporary:
        Path(temporary).write_text(page, encoding="utf-8")
    return path


def check(made, committed, preset):
    """Raise InputError unless the preset's report is made, of results that are the committed."""
    evidence = "evidence.parquet"
    for file, maker in (
        (made / "report/claims.json", "report"),
        (made / evidence, "report"),
        (committed / evidence, "reference"),
    ):
        if not file.is_file():
            raise InputError(file, None, "no such file", f"what make {maker} PRESET={preset} makes")
    if (made / evidence).read_bytes() != (committed / evidence).read_bytes():
        allowed = f"those of {made / evidence}, which make reference PRESET={preset} takes over"
        raise InputError(committed / evidence, None, "other results", allowed)


def without_files(exhibits):
    """Figures or tables without links to their files, which are not committed."""
    return {name: one | {"files": {}} for name, one in exhibits.items()}


def experiments(preset, committed):
    """What the page is told of each experiment; only those whose tables are committed are in it."""
    there = [path.stem for path in committed.glob("experiments/*.parquet")]
    tables = {slug: f"results/{preset}/experiments/{slug}.parquet" for slug in there}
    return inputs.experiments(declarations.experiments(), declarations.exhibits(), tables, ROOT)


if __name__ == "__main__":
    try:
        example = main(*sys.argv[1:])
    except InputError as error:
        sys.exit(str(error))
    print(f"The example: {example} ({example.stat().st_size:,} bytes)")
