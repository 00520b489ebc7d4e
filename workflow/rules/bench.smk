# The benchmark is an experiment that no preset holds: it is made on request (`make bench`), alone on
# the machine. Once there is one, the page shows it, and a change to the engine has it made again; a
# change to its figure or table measures nothing. It times the GPU, if there is one, whatever device
# the presets train on.
rule bench:
    input:
        lambda wildcards: library(
            "scripts/measure.py",
            module("experiments", "bench"),
            device="cuda" if machine.gpus() else "cpu",
        ),
        tables=[],
        images=verified(DECLARED["bench"].datasets),
    output:
        "results/{slug}/engine.parquet",
    log:
        "results/{slug}/engine.log",
    wildcard_constraints:
        slug="bench",
    conda:
        ENVIRONMENT
    threads: ALL_CORES
    resources:
        mem_mb=demands.experiment_mb(0),
        runtime=demands.experiment_minutes(),
    params:
        settings={"repetitions": 9, "data": placed(DATA), "device": "cpu"},
    script:
        "../scripts/measure.py"


rule bench_figure:
    input:
        library("scripts/draw.py", module("exhibits", "bench")),
        table="results/bench/engine.parquet",
    output:
        svg="results/bench/{figure}.svg",
        png="results/bench/{figure}.png",
        csv="results/bench/{figure}.csv",
    log:
        "results/bench/{figure}.log",
    wildcard_constraints:
        figure="|".join(exhibit("bench").figures),
    conda:
        ENVIRONMENT
    params:
        slug="bench",
    script:
        "../scripts/draw.py"


rule bench_table:
    input:
        library("scripts/refill.py", module("exhibits", "bench")),
        ledger=LEDGER,
        table="results/bench/engine.parquet",
    output:
        json="results/bench/{table}.json",
        csv="results/bench/{table}.csv",
    log:
        "results/bench/{table}.log",
    wildcard_constraints:
        table="|".join(exhibit("bench").tables),
    conda:
        ENVIRONMENT
    params:
        slug="bench",
    script:
        "../scripts/refill.py"


# The numbers for machines. They come last, so that whoever asks for them has all the rest too.
rule bench_summary:
    input:
        library("scripts/bench.py"),
        expand("results/bench/{figure}.svg", figure=exhibit("bench").figures),
        expand("results/bench/{table}.json", table=exhibit("bench").tables),
        table="results/bench/engine.parquet",
    output:
        "results/bench/engine.json",
    log:
        "results/bench/summary.log",
    conda:
        ENVIRONMENT
    script:
        "../scripts/bench.py"
