import glob
import os
import sys

# The library lies below workflow/. Jobs find it by PYTHONPATH: every job, on a cluster too, reads
# this file before it starts its script.
sys.path.insert(0, os.path.abspath("workflow"))
os.environ.update(PYTHONPATH=os.path.abspath("workflow"))

from finicky import config as presets, data, progress, runs, sources, store
from finicky.errors import InputError
from finicky.evidence import ledger

LEDGER = "config/claims.yaml"
DATA = "results/data"  # images and finished runs are shared by all presets
STORE = "results/store"
ENVIRONMENT = "../envs/finicky.yaml"
ALL_CORES = 1000  # Snakemake scales it down to what it was given

try:
    DECLARED = ledger.declared()
    files = ["config/config.yaml", *map(str, workflow.overwrite_configfiles)]
    presets.check(config, files, experiments=DECLARED)
    HERE = f"results/{config['preset']}"
    presets.check_writable("results", STORE, HERE, ".snakemake")
    ledger.load(LEDGER)
    PLAN = runs.plan(config)
except InputError as error:
    print(error, file=sys.stderr)
    sys.exit(1)

EXPERIMENTS = {
    slug: DECLARED[slug]
    for slug, settings in config["experiments"].items()
    if settings is not None
}
FIGURES = {
    figure: slug for slug, module in EXPERIMENTS.items() for figure in module["FIGURES"]
}


def library(*files):
    """Files below workflow/ and every file of the library that they import."""
    paths = [os.path.join("workflow", file) for file in files]
    return [*paths, *map(os.path.relpath, sources.dependencies(*paths))]


def experiment_file(slug):
    return f"finicky/experiments/{slug.replace('-', '_')}.py"


onstart:
    for line in progress.announcement(PLAN.subgrids, store.Store(STORE)):
        print(line, file=sys.stderr)
