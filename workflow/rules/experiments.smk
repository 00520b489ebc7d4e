# One rule for all experiments, one for all figures. A module says by its literals which tables it
# reads, which data sets it loads, and whether it measures time and so must run alone.
rule experiment:
    input:
        lambda wildcards: library("scripts/measure.py", experiment_file(wildcards.slug)),
        tables=lambda wildcards: expand(
            f"{HERE}/tables/{{table}}.parquet",
            table=EXPERIMENTS[wildcards.slug]["READS"],
        ),
        images=lambda wildcards: verified(
            EXPERIMENTS[wildcards.slug].get("DATASETS", [])
        ),
    output:
        f"{HERE}/experiments/{{slug}}.parquet",
    log:
        f"{HERE}/logs/experiments/{{slug}}.log",
    benchmark:
        f"{HERE}/benchmarks/experiments/{{slug}}.tsv"
    wildcard_constraints:
        slug="|".join(EXPERIMENTS),
    conda:
        ENVIRONMENT
    threads: lambda wildcards: ALL_CORES if EXPERIMENTS[wildcards.slug].get("ALONE") else 1
    params:
        settings=lambda wildcards: {
            **config["experiments"][wildcards.slug],
            "seeds": list(
                range(config["first_seed"], config["first_seed"] + config["seeds"])
            ),
            "data": DATA,
            "device": config["device"],
        },
    script:
        "../scripts/measure.py"


rule figure:
    input:
        lambda wildcards: library(
            "scripts/draw.py",
            experiment_file(FIGURES[wildcards.figure]),
            "finicky/page/figures.py",
        ),
        table=lambda wildcards: f"{HERE}/experiments/{FIGURES[wildcards.figure]}.parquet",
    output:
        svg=f"{HERE}/figures/{{figure}}.svg",
        png=f"{HERE}/figures/{{figure}}.png",
        csv=f"{HERE}/figures/{{figure}}.csv",
    log:
        f"{HERE}/logs/figures/{{figure}}.log",
    benchmark:
        f"{HERE}/benchmarks/figures/{{figure}}.tsv"
    wildcard_constraints:
        figure="|".join(FIGURES),
    conda:
        ENVIRONMENT
    params:
        slug=lambda wildcards: FIGURES[wildcards.figure],
    script:
        "../scripts/draw.py"
