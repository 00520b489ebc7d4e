"""Judge every claim of the ledger."""

from job import job

from finicky import documents, parquet, provenance
from finicky.evidence import judge, ledger

with job(snakemake):
    tables = {
        slug: parquet.read_frame(path)
        for slug, path in zip(snakemake.params.slugs, snakemake.input.experiments, strict=True)
    }
    for path in snakemake.input.bench:  # at most one: there once `make bench` has run
        tables["bench"] = parquet.read_frame(path)
    params = snakemake.params
    chapter = snakemake.input.ledger if params.chapter else None
    claims, evidence = judge.judge(
        ledger.load(chapter, own=params.own),
        tables,
        params.settings,
        params.failures,
    )
    references = provenance.references(snakemake.input.references, snakemake.config)
    judge.add_other_seeds(claims, references)
    documents.check(claims, "claims-output.schema.yaml", snakemake.output.claims)
    parquet.write(evidence, snakemake.output.evidence)
    for path in (snakemake.output.claims, snakemake.output.of_device):
        documents.write_json(path, claims)
    print(evidence.groupby("verdict").size().to_string())
