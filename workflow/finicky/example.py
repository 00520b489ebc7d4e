"""A page of measurements that are committed, judged, drawn and refilled by the code of today."""

from pathlib import Path

from finicky import declarations, documents, parquet, provenance
from finicky.errors import InputError
from finicky.evidence import judge, ledger
from finicky.exhibits import makers, style, tables
from finicky.page import inputs

REFERENCE = Path("results/reference")


def arguments(preset, root, folder, drawn=None):
    """The arguments of `build.render`, the explorer's grid aside.

    preset: the seed set below results/reference/ whose tables of experiments are read, as many as
    there are; root: the workflow's folder, in which all this lies; folder: where the drawings are
    made; drawn: the experiments whose figures and tables are made, or None for all. Raises
    InputError if the seed set is not there.
    """
    root, reference = Path(root), Path(root) / REFERENCE / preset
    if not (reference / "provenance.json").is_file():
        allowed = f"what make reference PRESET={preset} makes"
        raise InputError(REFERENCE / preset / "provenance.json", None, "no such file", allowed)
    record = documents.read_json(reference / "provenance.json")
    declared, exhibits = declarations.experiments(), declarations.exhibits()
    chapter = ledger.load(root / "config/claims.yaml", declared)
    files = {path.stem: path for path in sorted(reference.glob("experiments/*.parquet"))}
    measured = {slug: parquet.read_frame(path) for slug, path in files.items()}
    claims, _ = judge.judge(chapter, measured, record["config"]["experiments"])
    references = provenance.references(
        sorted(reference.parent.glob("*/claims.json")), record["config"]
    )
    references.pop(preset, None)  # no other measurement
    judge.add_other_seeds(claims, references)
    paths = {slug: f"results/{preset}/experiments/{slug}.parquet" for slug in files}
    shown = {
        slug: exhibit
        for slug, exhibit in exhibits.items()
        if slug in measured and (drawn is None or slug in drawn)
    }
    return {
        "ledger": chapter,
        "claims": claims,
        "experiments": inputs.experiments(declared, exhibits, paths, root),
        "figures": _figures(shown, measured, chapter, Path(folder)),
        "tables": _tables(shown, measured, chapter),
        "record": record,
        "references": references,
        "amendments": ledger.amendments(root / "config/amendments.yaml", chapter),
    }


def _figures(shown, measured, chapter, folder):
    """As `inputs.read_figures` gives them, without files, which are not committed."""
    for slug, exhibit in shown.items():
        for name in exhibit.figures:
            ledgers = [chapter] if name in exhibit.with_ledger else []
            if drawn := makers.figure(slug, name, measured[slug], *ledgers):
                style.save_svg(drawn[0], folder / f"{name}.svg", name)
    found = inputs.read_figures(sorted(folder.glob("*.svg")))
    return {name: one | {"files": {}} for name, one in found.items()}


def _tables(shown, measured, chapter):
    """As `inputs.read_tables` gives them, without files."""
    made = {
        name: makers.refilled(slug, name, measured[slug], chapter)
        for slug, exhibit in shown.items()
        for name in exhibit.tables
    }
    return {
        name: {"table": tables.as_json(table), "files": {}} for name, table in made.items() if table
    }
