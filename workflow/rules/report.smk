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
        templates=sorted(glob.glob("report/*")),
        claims=f"{HERE}/report/claims.json",
        experiments=expand(f"{HERE}/experiments/{{slug}}.parquet", slug=EXPERIMENTS),
        figures=expand(
            f"{HERE}/figures/{{figure}}.{{kind}}", figure=FIGURES, kind=["svg", "csv"]
        ),
        provenance=f"{HERE}/provenance.json",
        reference=sorted(glob.glob("results/reference/*.json")),
        bench=sorted(
            glob.glob("results/bench/*.json") + glob.glob("results/bench/*.svg")
        ),
    output:
        f"{HERE}/report/index.html",
    log:
        f"{HERE}/logs/page.log",
    conda:
        ENVIRONMENT
    params:
        captions={
            figure: EXPERIMENTS[slug]["FIGURES"][figure]
            for figure, slug in FIGURES.items()
        },
        slugs=list(EXPERIMENTS),
    script:
        "../scripts/page.py"
