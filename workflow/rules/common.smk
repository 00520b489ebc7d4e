import contextlib
import glob
import os
import shlex
import sys

# The library lies below workflow/. Jobs find it by PYTHONPATH: every job, on a cluster too, reads
# this file before it starts its script. Text is UTF-8, whatever the machine's locale.
sys.path.insert(0, os.path.abspath("workflow"))
os.environ.update(PYTHONPATH=os.path.abspath("workflow"), PYTHONUTF8="1")
# Snakemake (9.27) pastes the interpreter's path into shell commands: with a space in it they fail,
# with $() in it they run what is in there.
sys.executable = shlex.quote(sys.executable)

from finicky import (
    config as presets,
    data,
    declarations,
    failures,
    machine,
    progress,
    runs,
    sources,
    store,
)
from finicky.errors import InputError
from finicky.evidence import ledger

LEDGER = "config/claims.yaml"
AMENDMENTS = "config/amendments.yaml"
DATA = "results/data"  # images and finished runs are shared by all presets
STORE = "results/store"
ENVIRONMENT = "../envs/finicky.yaml"
TABLES = ["runs", "curves", "layers"]
ALL_CORES = 1000  # Snakemake scales it down to what it was given

try:
    presets.check_place(os.getcwd())
    declarations.check_levels_registered_once()
    DECLARED = declarations.experiments()
    EXHIBITS = declarations.exhibits()
    files = ["config/config.yaml", *map(str, workflow.overwrite_configfiles)]
    arguments = workflow.config_settings.config  # of --config
    config.update(presets.merged(files, arguments))
    presets.check(config, files, DECLARED, arguments)
    HERE = f"results/{config['preset']}"
    presets.check_writable("results", STORE, HERE, ".snakemake")
    if workflow.is_main_process:
        presets.check_room("results")
    ledger.amendments(AMENDMENTS, ledger.load(LEDGER))
    config["device"] = DEVICE = presets.device(config)
    PLAN = runs.plan(config)
except InputError as error:
    print(error, file=sys.stderr)
    sys.exit(1)


def exhibit(slug):
    """What an experiment's exhibit declares; nothing, if it has none."""
    return EXHIBITS.get(slug, declarations.Exhibit(file=None))


# What the passes before this one tried in vain (failures.smk), which this one does without.
LEFT_OUT = failures.read(os.environ.get(failures.VARIABLE))


def left_out(rule):
    """The jobs of one rule, by name, that this pass does without, each with its failure."""
    return {failure.name: failure for failure in LEFT_OUT if failure.rule == rule}


EXPERIMENTS = {
    slug: DECLARED[slug]
    for slug, settings in config["experiments"].items()
    if settings is not None and slug not in left_out("experiment")
}
SHARDS = [shard for shard in PLAN.shards if shard not in left_out("train")]
# Figures and refilled tables, each with the experiment whose numbers it shows.
FIGURES = {
    name: slug
    for slug in EXPERIMENTS
    for name in exhibit(slug).figures
    if name not in left_out("figure")
}
REFILLED = {
    name: slug
    for slug in EXPERIMENTS
    for name in exhibit(slug).tables
    if name not in left_out("table")
}
WITH_LEDGER = {name for slug in EXPERIMENTS for name in exhibit(slug).with_ledger}
# The jobs of this preset that leave their time, training aside, by stage.
STAGES = {
    "tables": ["tables"],
    "experiments": expand("experiments/{slug}", slug=EXPERIMENTS),
    "judge": ["judge"],
    "figures": expand("figures/{figure}", figure=FIGURES),
    "refilled": expand("refilled/{table}", table=REFILLED),
}


# Every file that README promises, so that one that was removed is made again.
PROMISED = [
    f"{HERE}/report/index.html",
    f"{HERE}/report/claims.json",
    f"{HERE}/report/claims.{DEVICE}.json",
    f"{HERE}/evidence.parquet",
    f"{HERE}/provenance.json",
    f"{HERE}/tables/README.md",
    *expand(f"{HERE}/tables/{{table}}.{{kind}}", table=TABLES, kind=["parquet", "csv"]),
    *expand(f"{HERE}/experiments/{{slug}}.parquet", slug=EXPERIMENTS),
    *expand(
        f"{HERE}/figures/{{figure}}.{{kind}}",
        figure=FIGURES,
        kind=["svg", "png", "csv"],
    ),
    *expand(
        f"{HERE}/refilled/{{table}}.{{kind}}", table=REFILLED, kind=["json", "csv"]
    ),
]


def library(*files, device=DEVICE):
    """Files below workflow/ and every file of the library that they import, but for code that only
    other devices use."""
    paths = [os.path.join("workflow", file) for file in files]
    return [*paths, *map(os.path.relpath, sources.dependencies(*paths, device=device))]


def module(wing, slug):
    """The file of an experiment, or of its exhibit."""
    return f"finicky/{wing}/{slug.replace('-', '_')}.py"


def gpus(experiment):
    """How many GPUs an experiment asks for."""
    return 1 if DEVICE != "cpu" and experiment.on_device else 0


def marker(dataset):
    """The file that says that a data set's images are there and have the right hashes."""
    return f"{DATA}/{dataset}/verified.json"


def verified(datasets):
    """What a rule that reads these data sets has as input. Their content is fixed by their hashes,
    so a marker that is newer makes nothing again."""
    return [ancient(marker(dataset)) for dataset in datasets]


def membership(plan):
    """A hash of which runs belong to which sub-grids, and of what these are for."""
    lines = [
        f"{run.id} {names} {plan.purposes[run]}" for run, names in plan.subgrids.items()
    ]
    return sources.digest("\n".join(sorted(lines)))


def other_devices():
    """The verdicts of this preset as it was made on another device, if it was."""
    kept = set(glob.glob(f"{HERE}/report/claims.*.json"))
    return sorted(kept - {f"{HERE}/report/claims.{DEVICE}.json"})


# The seed sets of the reference, each with its provenance beside it.
REFERENCES = sorted(glob.glob("results/reference/*/claims.json"))
REFERENCE_TABLES = sorted(glob.glob("results/reference/*/tables/*.parquet"))
# What the page is put together from.
TEMPLATES = sorted(filter(os.path.isfile, glob.glob("report/**", recursive=True)))
# The benchmark is no experiment of a preset. Once it was run, the page shows it.
BENCH = glob.glob("results/bench/engine.parquet")
# Where the experiments of this report have their tables: the links and commands of the page.
TABLE_OF = {
    **{slug: f"{HERE}/experiments/{slug}.parquet" for slug in EXPERIMENTS},
    **{"bench": path for path in BENCH},
}


def described(slug):
    """What the page is told of an experiment: what it and its exhibit declare, and their files."""
    shown = exhibit(slug)
    return {
        "title": DECLARED[slug].title,
        "file": os.path.relpath(DECLARED[slug].file),
        "table": TABLE_OF.get(slug),
        "exhibit": shown.file and os.path.relpath(shown.file),
        "figures": shown.figures,
        "tables": shown.tables,
    }


onstart:
    if not LEFT_OUT:
        for line in progress.announcement(PLAN.subgrids, store.Store(STORE)):
            print(line, file=sys.stderr)
