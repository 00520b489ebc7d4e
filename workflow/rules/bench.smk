# The benchmark is first made on request (`make bench`), alone on the machine. Once there is one, the
# page shows it, and a change to the engine has it made again.
rule bench:
    input:
        library("scripts/bench.py", experiment_file("bench"), "finicky/page/figures.py"),
        verified(["mnist"]),
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
    params:
        data=DATA,
    script:
        "../scripts/bench.py"
