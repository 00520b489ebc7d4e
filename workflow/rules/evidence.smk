# What a preset gave on this device stays when it is made again on another one, and the page compares.
rule judge:
    input:
        library("scripts/judge.py"),
        references=REFERENCES,
        ledger=LEDGER,
        schema=own("workflow/schemas/claims-output.schema.yaml"),
        experiments=expand(f"{HERE}/experiments/{{slug}}.parquet", slug=EXPERIMENTS),
        bench=BENCH,
    output:
        evidence=f"{HERE}/evidence.parquet",
        claims=f"{HERE}/report/claims.json",
        of_device=f"{HERE}/report/claims.{DEVICE}.json",
    log:
        f"{HERE}/logs/judge.log",
    benchmark:
        f"{HERE}/benchmarks/judge.tsv"
    conda:
        ENVIRONMENT
    params:
        slugs=list(EXPERIMENTS),
        settings={slug: SETTINGS[slug] for slug in EXPERIMENTS},
        own=OWN.claims,
        chapter=CHAPTER,
        failures={slug: str(one) for slug, one in left_out("experiment").items()},
    script:
        "../scripts/judge.py"
