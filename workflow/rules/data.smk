localrules:
    fetch,


# Snakemake deletes a rule's outputs before it runs the rule again. So the images, which may be hard
# to get a second time, are none: what this rule promises is the marker beside them.
rule fetch:
    input:
        library("scripts/fetch.py"),
    output:
        f"{DATA}/{{dataset}}/verified.json",
    log:
        "results/logs/fetch-{dataset}.log",
    conda:
        ENVIRONMENT
    params:
        folder=config["data"]["folder"],
        lost=lambda wildcards: data.lost(wildcards.dataset, DATA),
    script:
        "../scripts/fetch.py"
