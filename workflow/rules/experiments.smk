# One rule measures, one draws, one refills tables, each for all experiments. An experiment says by
# its literals which tables it reads, which data sets it loads, and whether it measures time and so
# must run alone; it depends on its measuring module, never on what shows its numbers. On a GPU, those
# that compute there take turns with the training jobs; the others run beside them.
rule experiment:
    input:
        lambda wildcards: library(
            "scripts/measure.py", module("experiments", wildcards.slug)
        ),
        tables=lambda wildcards: expand(
            f"{HERE}/tables/{{table}}.parquet", table=EXPERIMENTS[wildcards.slug].reads
        ),
        images=lambda wildcards: verified(EXPERIMENTS[wildcards.slug].datasets),
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
    threads: lambda wildcards: ALL_CORES if EXPERIMENTS[wildcards.slug].alone else 1
    resources:
        mem_mb=lambda wildcards, attempt: demands.experiment_mb(
            rows(EXPERIMENTS[wildcards.slug]),
            gpus(EXPERIMENTS[wildcards.slug]),
            attempt,
        ),
        runtime=lambda wildcards, attempt: demands.experiment_minutes(
            durations.benchmark(
                f"{placed(HERE)}/benchmarks/experiments/{wildcards.slug}.tsv"
            ),
            GUESSED.get(wildcards.slug),
            attempt,
        ),
        gpu=lambda wildcards: gpus(EXPERIMENTS[wildcards.slug]),
    params:
        settings=lambda wildcards: {
            **SETTINGS[wildcards.slug],
            "seeds": list(
                range(config["first_seed"], config["first_seed"] + config["seeds"])
            ),
            "data": placed(DATA),
            "device": config["device"],
        },
    script:
        "../scripts/measure.py"


# A figure that shows the chapter's numbers reads the ledger, which holds them.
rule figure:
    input:
        lambda wildcards: library(
            "scripts/draw.py", module("exhibits", FIGURES[wildcards.figure])
        ),
        ledger=lambda wildcards: [LEDGER] if wildcards.figure in WITH_LEDGER else [],
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


# A table of the chapter, refilled: its printed numbers, which the ledger holds, beside ours.
rule table:
    input:
        lambda wildcards: library(
            "scripts/refill.py", module("exhibits", REFILLED[wildcards.table])
        ),
        ledger=LEDGER,
        table=lambda wildcards: f"{HERE}/experiments/{REFILLED[wildcards.table]}.parquet",
    output:
        json=f"{HERE}/refilled/{{table}}.json",
        csv=f"{HERE}/refilled/{{table}}.csv",
    log:
        f"{HERE}/logs/refilled/{{table}}.log",
    wildcard_constraints:
        table="|".join(REFILLED),
    conda:
        ENVIRONMENT
    params:
        slug=lambda wildcards: REFILLED[wildcards.table],
    script:
        "../scripts/refill.py"
