localrules:
    fetch,


rule fetch:
    input:
        library("scripts/fetch.py"),
    output:
        expand(f"{DATA}/{{{{dataset}}}}/{{file}}", file=data.IDX_FILES),
    params:
        data=DATA,
        folder=config["data"]["folder"],
    log:
        "results/logs/fetch-{dataset}.log",
    conda:
        ENVIRONMENT
    script:
        "../scripts/fetch.py"
