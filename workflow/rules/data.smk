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
        data=DATA,
        folder=config["data"]["folder"],
        lost=lambda wildcards: data.lost(wildcards.dataset, DATA),
    script:
        "../scripts/fetch.py"


def verified(datasets):
    """What a rule that reads these data sets has as input. Their content is fixed by their hashes,
    so a marker that is newer makes nothing again."""
    return [ancient(f"{DATA}/{dataset}/verified.json") for dataset in datasets]
