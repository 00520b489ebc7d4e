# Training: one job a shard. Finished runs lie in results/store/, also those of jobs that failed or
# were interrupted; a shard's file is made from the store.
rule train:
    input:
        library("scripts/train.py", "finicky/engine/train.py"),
        lambda wildcards: verified([PLAN.shards[wildcards.shard][0].dataset]),
    output:
        f"{HERE}/shards/{{shard}}.parquet",
    log:
        f"{HERE}/logs/train/{{shard}}.log",
    benchmark:
        f"{HERE}/benchmarks/train/{{shard}}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: demands.training_mb(
            PLAN.shards[wildcards.shard], config["fuse"], attempt
        ),
        runtime=lambda wildcards, attempt: demands.training_minutes(
            PLAN.shards[wildcards.shard], attempt
        ),
        gpu=0 if DEVICE == "cpu" else 1,
    params:
        runs=lambda wildcards: PLAN.shards[wildcards.shard],
        data=placed(DATA),
        store=placed(STORE),
    script:
        "../scripts/train.py"


rule tables:
    input:
        library("scripts/tables.py"),
        shards=expand(f"{HERE}/shards/{{shard}}.parquet", shard=SHARDS),
    output:
        runs=f"{HERE}/tables/runs.parquet",
        curves=f"{HERE}/tables/curves.parquet",
        layers=f"{HERE}/tables/layers.parquet",
        csv=expand(f"{HERE}/tables/{{table}}.csv", table=TABLES),
        dictionary=f"{HERE}/tables/README.md",
    log:
        f"{HERE}/logs/tables.log",
    benchmark:
        f"{HERE}/benchmarks/tables.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=lambda wildcards, attempt: demands.gathering_mb(
            len(PLAN.subgrids), attempt
        ),
        runtime=lambda wildcards, attempt: demands.gathering_minutes(
            len(PLAN.subgrids), attempt
        ),
    params:
        membership=membership(PLAN),
        # shards that failed, of which the store has some runs
        failed=sorted(left_out("train")),
        store=placed(STORE),
    script:
        "../scripts/tables.py"
