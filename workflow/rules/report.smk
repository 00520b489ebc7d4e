# Where the numbers came from. It is recorded last, when every other stage has left its times.
rule provenance:
    input:
        library("scripts/provenance.py"),
        runs=f"{HERE}/tables/runs.parquet",
        experiments=expand(f"{HERE}/experiments/{{slug}}.parquet", slug=EXPERIMENTS),
        evidence=f"{HERE}/evidence.parquet",
        figures=expand(f"{HERE}/figures/{{figure}}.svg", figure=FIGURES),
    output:
        f"{HERE}/provenance.json",
    log:
        f"{HERE}/logs/provenance.log",
    benchmark:
        f"{HERE}/benchmarks/provenance.tsv"
    conda:
        ENVIRONMENT
    params:
        config=config,
        benchmarks={
            stage: expand(f"{placed(HERE)}/benchmarks/{{job}}.tsv", job=jobs)
            for stage, jobs in STAGES.items()
        },
        planned=len(PLAN.subgrids),
        failures=list(map(str, LEFT_OUT)),
        code=own("."),
    script:
        "../scripts/provenance.py"


# What the page's explorer shows, packed small.
rule explorer:
    input:
        library("scripts/explorer.py"),
        runs=f"{HERE}/tables/runs.parquet",
        curves=f"{HERE}/tables/curves.parquet",
        layers=f"{HERE}/tables/layers.parquet",
        references=REFERENCES,
        tables=REFERENCE_TABLES,
    output:
        f"{HERE}/report/explorer.json",
    log:
        f"{HERE}/logs/explorer.log",
    benchmark:
        f"{HERE}/benchmarks/explorer.tsv"
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
        # what of the config decides which seed sets are the same measurement, and the usual levels
        config=provenance.measurement(config),
    script:
        "../scripts/explorer.py"


rule page:
    input:
        library("scripts/page.py"),
        ledger=LEDGER,
        amendments=AMENDMENTS,
        templates=TEMPLATES,
        claims=f"{HERE}/report/claims.json",
        figures=[
            *expand(f"{HERE}/figures/{{figure}}.svg", figure=FIGURES),
            *(
                f"results/bench/{name}.svg"
                for name in exhibit("bench").figures
                if BENCH
            ),
        ],
        tables=[
            *expand(f"{HERE}/refilled/{{table}}.json", table=REFILLED),
            *(
                f"results/bench/{name}.json"
                for name in exhibit("bench").tables
                if BENCH
            ),
        ],
        provenance=f"{HERE}/provenance.json",
        grid=f"{HERE}/report/explorer.json",
        references=REFERENCES,
        other_devices=other_devices(),
    output:
        f"{HERE}/report/index.html",
    log:
        f"{HERE}/logs/page.log",
    benchmark:
        f"{HERE}/benchmarks/page.tsv"
    conda:
        ENVIRONMENT
    params:
        experiments=inputs.experiments(DECLARED, EXHIBITS, TABLE_OF, ROOT),
        own=OWN.claims,
        chapter=CHAPTER,
    script:
        "../scripts/page.py"
