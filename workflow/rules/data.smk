localrules:
    fetch,


# The data sets that have to be fetched. Once verified, images are source files, which no rule makes:
# where a job is to run again whose output is `ancient` to others (its code was edited, say),
# Snakemake (9.27) takes the others for finished, whether their results are there or not.
UNVERIFIED = data.unverified(DATA)
if workflow.is_main_process:
    for dataset in UNVERIFIED:  # what was removed by hand is missed, and fetched again
        with contextlib.suppress(FileNotFoundError):
            os.remove(marker(dataset))


# Snakemake deletes a rule's outputs before it runs the rule again. So the images, which may be hard
# to get a second time, are none: what this rule promises is the marker beside them.
rule fetch:
    input:
        library("scripts/fetch.py"),
    output:
        f"{DATA}/{{dataset}}/verified.json",
    log:
        "results/logs/fetch-{dataset}.log",
    wildcard_constraints:
        dataset="|".join(UNVERIFIED) or "(?!)",
    conda:
        ENVIRONMENT
    params:
        folder=config["data"]["folder"],
    script:
        "../scripts/fetch.py"
