"""Record where a preset's numbers came from."""

from job import job

from finicky import documents, parquet, provenance

with job(snakemake):
    runs = parquet.read_frame(snakemake.input.runs)
    params = snakemake.params
    record = provenance.record(
        runs, params.config, params.benchmarks, params.planned, params.failures,
        snakemake.input.experiments, params.code,
    )  # fmt: skip
    documents.write_json(snakemake.output[0], record)
