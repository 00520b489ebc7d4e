# The front door; the workflow itself is in workflow/. The target stands here because Snakemake
# forgets a default target that an included file sets.
include: "workflow/Snakefile"


rule all:
    input:
        PROMISED,
