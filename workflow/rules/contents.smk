# Contents decide what is made again, not dates, which a checkout, a copy or a wrong clock changes.
# Snakemake compares checksums where an input is newer (the default profile: of files of any size);
# what people write is compared whatever its date, since its content is a parameter of each rule
# that has it as input.
def is_source(path):
    """Whether no job makes it."""
    return not path.startswith(placed("results/")) or path.startswith(f"{REFERENCE}/")


def content_of_sources(wildcards, **given):
    """A parameter of every rule. (With `input` as an argument of its own, Snakemake would take it
    for something that follows from the names of the inputs, and not compare it.)"""
    files = filter(is_source, given["input"])
    return sources.digest(
        "".join(f"{file} {sources.content(file)}\n" for file in files)
    )


for each in workflow.rules:
    if os.path.abspath(each.snakefile).startswith(os.path.join(ROOT, "")):
        each.set_params(sources=content_of_sources)
