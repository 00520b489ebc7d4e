"""Sum up the engine's benchmark, as JSON."""

from job import job

from finicky import documents, parquet
from finicky.exhibits import bench

with job(snakemake):
    found = bench.summary(parquet.read_frame(snakemake.input.table))
    documents.write_json(snakemake.output[0], found)
