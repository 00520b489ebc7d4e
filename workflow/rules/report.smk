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


# The benchmark is no experiment of a preset. Once it was run, the page shows it.
BENCH = glob.glob("results/bench/engine.parquet")
# Where the experiments of this report have their tables: the links and commands of the page.
TABLE_OF = {
    **{slug: f"{HERE}/experiments/{slug}.parquet" for slug in EXPERIMENTS},
    **{"bench": path for path in BENCH},
}


def described(slug):
    """What the page is told of an experiment: what it and its exhibit declare, and their files."""
    shown = exhibit(slug)
    return {
        "title": DECLARED[slug].title,
        "file": os.path.relpath(DECLARED[slug].file),
        "table": TABLE_OF.get(slug),
        "exhibit": shown.file and os.path.relpath(shown.file),
        "figures": shown.figures,
        "tables": shown.tables,
    }


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
        reference=glob.glob("results/reference/claims.json"),
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
