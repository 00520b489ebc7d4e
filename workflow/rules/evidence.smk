rule judge:
    input:
        library("scripts/judge.py"),
        ledger=LEDGER,
        schema="workflow/schemas/claims-output.schema.yaml",
        experiments=expand(f"{HERE}/experiments/{{slug}}.parquet", slug=EXPERIMENTS),
        bench=sorted(glob.glob("results/bench/engine.parquet")),
    output:
        evidence=f"{HERE}/evidence.parquet",
        claims=f"{HERE}/report/claims.json",
    log:
        f"{HERE}/logs/judge.log",
    benchmark:
        f"{HERE}/benchmarks/judge.tsv"
    conda:
        ENVIRONMENT
    params:
        slugs=list(EXPERIMENTS),
    script:
        "../scripts/judge.py"
