import contextlib
import glob
import os
import pathlib
import shlex
import sys

# Where the workflow lies. Its own files are named from there, results from the working folder: the
# two differ with `--directory`, with `-s` and where another workflow takes this one as a module.
ROOT = os.path.abspath(os.path.join(os.path.dirname(workflow.snakefile), "../.."))
IS_MODULE = not workflow.modifier.is_main_snakefile()
MODULE = config if IS_MODULE else None  # what a `module` statement's `config:` says
IN_PLACE = not IS_MODULE and os.path.samefile(ROOT, os.getcwd())
PLACES = workflow.modifier.path_modifier


def own(path):
    """A file of the workflow's, as rules name it. Relative where results lie beside it, so that the
    folder can be moved; else absolute."""
    return path if IN_PLACE else os.path.join(ROOT, path)


def placed(path):
    """Where a file of a rule's lies. Snakemake puts a module's `prefix:` before the paths in rules;
    whatever else looks at files has to do so itself."""
    return PLACES.replace_prefix(path)


# The library lies below workflow/. Jobs find it by PYTHONPATH: every job, on a cluster too, reads
# this file before it starts its script. Text is UTF-8, whatever the machine's locale.
LIBRARY = os.path.join(ROOT, "workflow")
sys.path.insert(0, LIBRARY)
others = os.getenv("PYTHONPATH", "").split(os.pathsep) if IS_MODULE else []
os.environ.update(
    PYTHONPATH=os.pathsep.join(dict.fromkeys([LIBRARY, *filter(None, others)])),
    PYTHONUTF8="1",
)
# Snakemake (9.27) pastes the interpreter's path into shell commands: with a space in it they fail,
# with $() in it they run what is in there.
sys.executable = shlex.quote(sys.executable)

from finicky import (
    config as presets,
    data,
    declarations,
    demands,
    durations,
    failures,
    machine,
    progress,
    provenance,
    runs,
    sources,
    store,
)
from finicky.errors import InputError
from finicky.evidence import asked, ledger
from finicky.page import inputs

LEDGER = own("config/claims.yaml")
AMENDMENTS = own("config/amendments.yaml")
REFERENCE = own("results/reference")  # committed
# The seed sets of the reference, each with its provenance beside it.
REFERENCES = sorted(glob.glob(f"{glob.escape(REFERENCE)}/*/claims.json"))
PROVENANCES = [pathlib.Path(path).with_name("provenance.json") for path in REFERENCES]
DATA = "results/data"  # images and finished runs are shared by all presets
STORE = "results/store"
ENVIRONMENT = "../envs/finicky.yaml"
TABLES = ["runs", "curves", "layers"]
# Of a job that must have the machine to itself. Snakemake scales it down: locally to the cores that
# it was given, on a cluster to the profile's `max-threads`.
ALL_CORES = 1000

try:
    presets.check_place(os.getcwd())
    presets.check_place(ROOT)
    declarations.check_levels_registered_once()
    DECLARED = declarations.experiments()
    EXHIBITS = declarations.exhibits()
    files = [own("config/config.yaml")]
    if IS_MODULE:
        arguments = {}
    else:
        files += map(str, workflow.overwrite_configfiles)
        arguments = workflow.config_settings.config  # of --config
    config = presets.merged(files, arguments, MODULE)
    presets.check(config, files, DECLARED, arguments, MODULE)
    HERE = f"results/{config['preset']}"
    presets.check_writable(*map(placed, ["results", STORE, HERE]), ".snakemake")
    if workflow.is_main_process:
        presets.check_room(placed("results"))
    ledger.amendments(AMENDMENTS, ledger.load(LEDGER, DECLARED))
    config["device"] = DEVICE = presets.device(config)
    PLAN = runs.plan(config)
    OWN = asked.compiled(config, PLAN, files[-1], asked.taken(own("report"), EXHIBITS))
    # the chapter's claims are judged where no others are, or where the config asks for them
    CHAPTER = config.get("chapter", not OWN.claims)
    if OWN.claims:
        ledger.load(LEDGER if CHAPTER else None, DECLARED, OWN.claims, OWN.file)
    if workflow.is_main_process:
        data.check_declared(DATA)
    # what each experiment should take, of those that the reference knows
    GUESSED = progress.expected_experiments(config, PROVENANCES)
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


SETTINGS = config["experiments"] | OWN.experiment
EXPERIMENTS = {
    slug: DECLARED[slug]
    for slug, settings in SETTINGS.items()
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
    paths = [os.path.join(LIBRARY, file) for file in files]
    paths += sources.dependencies(*paths, device=device)
    return [own(os.path.relpath(path, ROOT)) for path in paths]


def module(wing, slug):
    """The file of an experiment, or of its exhibit."""
    return f"finicky/{wing}/{slug.replace('-', '_')}.py"


def rows(experiment):
    """Of how many runs an experiment reads the rows."""
    return len(PLAN.subgrids) if experiment.reads else 0


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
    kept = glob.glob("claims.*.json", root_dir=placed(f"{HERE}/report"))
    return [
        f"{HERE}/report/{name}" for name in sorted({*kept} - {f"claims.{DEVICE}.json"})
    ]


REFERENCE_TABLES = sorted(glob.glob(f"{glob.escape(REFERENCE)}/*/tables/*.parquet"))
# What the page is put together from.
TEMPLATES = [
    own(f"report/{path}")
    for path in sorted(glob.glob("**", root_dir=f"{ROOT}/report", recursive=True))
    if os.path.isfile(f"{ROOT}/report/{path}")
]
# The benchmark is no experiment of a preset. Once it was run, the page shows it.
BENCH = [
    path for path in ["results/bench/engine.parquet"] if os.path.exists(placed(path))
]
# Where the experiments of this report have their tables: the links and commands of the page.
TABLE_OF = {
    **{slug: f"{HERE}/experiments/{slug}.parquet" for slug in EXPERIMENTS},
    **{"bench": path for path in BENCH},
}
