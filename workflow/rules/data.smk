localrules:
    fetch,


rule fetch:
    input:
        library("scripts/fetch.py"),
    output:
        expand(f"{DATA}/{{{{dataset}}}}/{{file}}", file=data.IDX_FILES),
    log:
        "results/logs/fetch-{dataset}.log",
    conda:
        ENVIRONMENT
    params:
        folder=config["data"]["folder"],
    script:
        "../scripts/fetch.py"
