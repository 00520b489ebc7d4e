# Where the numbers came from. It is recorded last, when every other stage has left its times.
rule provenance:
    input:
        library("scripts/provenance.py"),
        runs=f"{HERE}/tables/runs.parquet",
        evidence=f"{HERE}/evidence.parquet",
        figures=expand(f"{HERE}/figures/{{figure}}.svg", figure=FIGURES),
    output:
        f"{HERE}/provenance.json",
    log:
        f"{HERE}/logs/provenance.log",
    conda:
        ENVIRONMENT
    params:
        config=config,
        benchmarks=f"{HERE}/benchmarks",
    script:
        "../scripts/provenance.py"


rule page:
    input:
        library("scripts/page.py"),
        ledger=LEDGER,
        amendments=AMENDMENTS,
        templates=sorted(glob.glob("report/*")),
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
        references=REFERENCES,
        other_devices=other_devices(),
    output:
        f"{HERE}/report/index.html",
    log:
        f"{HERE}/logs/page.log",
    conda:
        ENVIRONMENT
    params:
        experiments={slug: described(slug) for slug in DECLARED},
    script:
        "../scripts/page.py"
