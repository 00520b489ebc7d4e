# The benchmark is made on request (`make bench`), alone on the machine; the page shows the last one.
rule bench:
    input:
        library("scripts/bench.py", experiment_file("bench"), "finicky/page/figures.py"),
        images=expand(f"{DATA}/mnist/{{file}}", file=data.IDX_FILES),
    output:
        table="results/bench/engine.parquet",
        summary="results/bench/engine.json",
        svg="results/bench/bench.svg",
        png="results/bench/bench.png",
        csv="results/bench/bench.csv",
    log:
        "results/bench/bench.log",
    conda:
        ENVIRONMENT
    threads: ALL_CORES
    script:
        "../scripts/bench.py"
