# The front door; the workflow itself is in workflow/. Its target is named here again, since Snakemake
# (9.27) forgets a default target that an included file sets.
include: "workflow/Snakefile"


workflow.default_target = "all"
