"""The config of a preset: every check that can be made before anything runs.

Named after the file it reads, config/<preset>.yaml, merged by the workflow onto config.yaml.
"""

import math
import os
from functools import reduce
from pathlib import Path

from finicky import data, declarations, documents, failures, machine, own_data, runs, sources
from finicky.errors import InputError

DEVICE = "FINICKY_DEVICE"  # the environment variable that says what `auto` is
MODULE = "the module's config"  # where a mistake in it is
CHOICE = "none, all, a list of names, or settings by name"  # of experiments
PLAIN = {"block": ["plain"]}  # what a sub-grid need not say
# A plan beyond these is a slip: planning 200,000 runs takes a quarter of a minute at every start.
MOST_RUNS = 200_000
MOST_YEARS = 100  # of one core
YEAR = 365.25 * 24 * 3600  # seconds
NUMBERED = ("normal_std", "normal_var")  # initialisers whose level carries a number
SCHEDULED_STEPS = 10  # of the shortest training with a schedule: one step of warm-up


def load(path, base="config/config.yaml"):
    """A preset's config: its file laid over the base."""
    return merged([base, path])


def merged(files, arguments=None, module=None):
    """The config that these files make, the weakest first, and over them the arguments, the
    `--config` of a command line: laid one over the other mapping by mapping, as Snakemake does.
    `module`, what a workflow says that takes this one as a module, counts as the strongest file.

    Snakemake reads the numbers of YAML 1.1, so the workflow puts this config in place of its own.
    """
    layers = _layers(files, arguments, module)
    whole = reduce(laid_over, layers.values(), {}) | _experiments(layers.values())
    return whole | _own_grid(whole, layers)


def _layers(files, arguments, module):
    """{place: what it says}, the weakest first."""
    layers = {file: _document(file) for file in files}
    if module is not None:
        layers[MODULE] = module
    return layers | {"--config": arguments or {}}


def _experiments(layers):
    """{"experiments": their settings by name} of these layers, if one has any.

    A layer may say in a word which of those below it keeps: `all`, `none` or a list of names. What
    is neither is left for `check` to refuse.
    """
    found = None
    for layer in layers:
        given = layer.get("experiments", found)
        if isinstance(found, dict) and isinstance(given, dict) and given is not found:
            given = laid_over(found, given)
        elif given == "all":
            given = found
        elif given == "none":
            given = {}
        elif isinstance(given, list) and all(isinstance(name, str) for name in given):
            given = {name: (found or {}).get(name, {}) for name in given}
        found = given
    return {} if all("experiments" not in layer for layer in layers) else {"experiments": found}


def _document(file):
    """The mapping in a config file."""
    document = documents.read(file, "a config file")
    documents.check_against(document or {}, {"type": "object"}, file)
    return document or {}


def _own_grid(whole, layers):
    """{"grid": those sub-grids that the strongest file with a `grid` names} of the merged config.

    Of a sub-grid that the base has too, a preset's file says only what differs; the others are not
    its own. --config, which is no file, changes sub-grids and chooses none.
    """
    grids = [layer.get("grid") for place, layer in layers.items() if place != "--config"]
    named = next((grid for grid in reversed(grids) if isinstance(grid, dict)), None)
    if named is None or not isinstance(whole.get("grid"), dict):
        return {}
    grid = {name: whole["grid"][name] for name in named}
    return {"grid": {k: PLAIN | one if isinstance(one, dict) else one for k, one in grid.items()}}


def shared_grids(files):
    """The sub-grids of the strongest file that a weaker one has too, so that they keep of it what
    they do not say themselves."""
    *below, own = [_document(file).get("grid") or {} for file in dict.fromkeys(files)]
    return [name for name in own if any(name in grid for grid in below)]


def device(config):
    """The device of a config, "cpu" or "cuda"; `auto` is cuda where there is one.

    Decided once, when the workflow is planned: its jobs, maybe on other machines, are told by the
    environment.
    """
    if config["device"] != "auto":
        return config["device"]
    return os.environ.setdefault(DEVICE, "cuda" if machine.gpus() else "cpu")


def check_card(device):
    """Raise InputError where the device is a GPU and this machine has none."""
    if device == "cuda" and not machine.gpus():
        found = "'cuda', and the driver shows no GPU on this machine"
        raise InputError("the config", "device", found, "cpu, or auto")


def laid_over(below, above):
    """`above` laid over `below`: mappings are merged, everything else is replaced."""
    if isinstance(below, dict) and isinstance(above, dict):
        return below | {key: laid_over(below.get(key), value) for key, value in above.items()}
    return above


def check(config, files, experiments, arguments=None, module=None):
    """Check a merged config; `files`, `arguments` and `module` made it, as `merged` takes them.

    experiments: {slug: declarations.Experiment} of those that exist. Raises InputError naming the
    strongest file, or --config, that holds the offending key.
    """
    layers = _layers(files, arguments, module)

    def where(key):
        holders = [place for place, layer in layers.items() if key in layer]
        return holders[-1] if holders else files[-1]

    if not isinstance(config.get("experiments", {}), dict):
        found = repr(config["experiments"])
        raise InputError(where("experiments"), "experiments", found, CHOICE)
    try:
        documents.check(config, "config.schema.yaml", None)
    except InputError as error:
        top = str(error.key or "").partition(".")[0].partition("[")[0]
        unknown = error.found.removeprefix("unknown key ").strip("'")
        file = where(top or unknown)
        raise InputError(file, error.key, error.found, error.allowed) from None

    if {} in (layer.get("experiments") for layer in list(layers.values())[1:]):
        raise InputError(where("experiments"), "experiments", "{}, which says nothing", CHOICE)
    if config.get("chapter") is False and not config.get("claims"):
        raise InputError(where("chapter"), "chapter", "False", "True, or claims of your own")
    for name, settings in config["experiments"].items():
        if name not in experiments:
            found, allowed = f"no experiment {name!r}", documents.one_of(experiments, name)
            raise InputError(where("experiments"), "experiments", found, allowed)
        if settings is not None:
            declarations.check_settings(name, settings, experiments[name], where("experiments"))
    check_datasets(config, where("datasets"))
    check_levels(config, where)
    check_purposes(config, experiments, where("grid"))
    check_count(config, where("grid"))
    check_sizes(config, where)
    check_ignored(files[0])
    if module is None:  # which has no file to be called like
        place = "--config" if "preset" in layers["--config"] else files[-1]
        check_name(config["preset"], files[-1], place)


def check_name(preset, file, place):
    """A preset is called like its file (config.yaml is `default`), or two would share results; an
    error names the place where it is called something else."""
    stem = Path(file).stem
    name = "default" if stem == "config" else stem
    if preset != name:
        raise InputError(place, "preset", repr(preset), f"{name!r}, the name of the file")


def allowed_levels(config):
    """axis: the levels that a sub-grid may name (numbered initialisers aside)."""
    inits = [name for name in sources.levels("init") if name not in NUMBERED]
    return {
        "dataset": [*data.DATASETS, *config.get("datasets", {})],
        "block": list(runs.BLOCKS),
        "activation": sources.levels("activation"),
        "optimizer": list(config["optimizers"]),
        "schedule": sources.levels("schedule"),
        "init": [*inits, *(f"{name}_<number>" for name in NUMBERED), "matched"],
    }


def check_datasets(config, file):
    """A declared data set has a name of its own, and files that are there; what is in them is
    verified before anything trains (own_data.load). From here on it is known."""
    own_data.declare(config.get("datasets", {}))
    for name, declaration in config.get("datasets", {}).items():
        key = f"datasets.{name}"
        if name in data.DATASETS:
            allowed = f"a name other than {', '.join(data.DATASETS)}"
            raise InputError(file, "datasets", f"the built-in {name!r}", allowed)
        if ("npz" in declaration) == ("idx" in declaration):
            found = "both npz and idx" if "npz" in declaration else "neither npz nor idx"
            raise InputError(file, key, found, "one of the two")
        for part, one in own_data.files(declaration).items():
            if not Path(one["path"]).is_file():
                raise InputError(file, f"{key}.{part}.path", f"no file {one['path']!r}", "a file")


def check_levels(config, where):
    """Every level is registered, and every optimizer and matched initialiser is explained."""
    for name in config["optimizers"]:
        if name not in sources.levels("optimizer"):
            allowed = ", ".join(sources.levels("optimizer"))
            raise InputError(where("optimizers"), f"optimizers.{name}", repr(name), allowed)
    allowed = allowed_levels(config)
    for name, init in config["matched_init"].items():
        check_level(name, "activation", allowed, where("matched_init"), "matched_init")
        check_level(init, "init", allowed, where("matched_init"), f"matched_init.{name}")
    for name, grid in config["grid"].items():
        key = f"grid.{name}"
        for axis in allowed:
            for level in runs.levels(grid, axis):
                check_level(level, axis, allowed, where("grid"), f"{key}.{axis}")
        rates = grid.get("learning_rate")
        if isinstance(rates, dict):
            for optimizer in rates:
                check_level(optimizer, "optimizer", allowed, where("grid"), f"{key}.learning_rate")
            missing = [optimizer for optimizer in grid["optimizer"] if optimizer not in rates]
            if missing:
                raise InputError(
                    where("grid"), f"{key}.learning_rate", f"no rates for {missing[0]!r}",
                    "rates for each of " + ", ".join(grid["optimizer"]),
                )  # fmt: skip
        if "matched" in grid["init"]:
            for activation in grid["activation"]:
                if activation not in config["matched_init"]:
                    raise InputError(
                        where("matched_init"), "matched_init", f"no initialiser for {activation!r}",
                        "one for each activation of a sub-grid with the level 'matched'",
                    )  # fmt: skip


def check_level(level, axis, allowed, file, key):
    """Raise InputError unless `level` is one of the axis."""
    if level in allowed[axis]:
        return
    family, _, number = level.rpartition("_")
    if axis == "init" and family in NUMBERED and is_positive(number):
        return
    raise InputError(file, key, repr(level), documents.one_of(allowed[axis], level))


def is_positive(text):
    """Whether a text is a finite number above 0."""
    try:
        return 0 < float(text) < math.inf
    except ValueError:
        return False


def check_purposes(config, experiments, file):
    """What a sub-grid is for, some experiment asks for; and it gets the chapter's runs only."""
    known = {purpose for one in experiments.values() for purpose in one.purposes}
    for name, grid in config["grid"].items():
        for purpose in grid.get("for", []):
            if purpose not in known:
                allowed = ", ".join(sorted(known))
                raise InputError(file, f"grid.{name}.for", repr(purpose), allowed)
        if "for" in grid and not all(
            runs.usual(run, config) for run, _ in runs.counted(grid, config)
        ):
            found = f"{', '.join(grid['for'])}, for runs that no experiment of the chapter compares"
            axes = ", ".join(["width", "batch_size", *runs.LATER])
            allowed = f"no `for` beside other levels of {axes} than the preset's, or own data sets"
            raise InputError(file, f"grid.{name}.for", found, allowed)


def check_sizes(config, where):
    """Data sets have the images, batches the images that batch norm needs, trainings the steps that
    a schedule needs, and this machine the memory, as far as that is known."""
    gib = machine.memory_gib() or math.inf
    for name, grid in config["grid"].items():
        for run, _ in runs.counted(grid, config):
            axis, found, allowed = wrong_size(run) or too_large(run, gib) or (None, None, None)
            if axis is not None:
                top = axis not in grid  # it is the preset's
                key = axis if top else f"grid.{name}.{axis}"
                raise InputError(where(axis if top else "grid"), key, found, allowed)


def wrong_size(run):
    """(axis, found, allowed) if a run's numbers do not go together, else None."""
    images, size = run.images, run.batch_size
    there = data.described(run.dataset)["train"]
    if images > there:
        return "images", images, f"at most {there}, which {run.dataset} has"
    if "batch_norm" in run.block and (images % size or size) == 1:
        found = f"{images}, which leaves a last batch of 1 image at batch_size {size}"
        allowed = "another number: batch norm needs 2 images in a batch"
        return ("images", found, allowed) if size > 1 else ("batch_size", size, allowed)
    if run.schedule != "constant" and run.steps < SCHEDULED_STEPS:
        found = f"{run.schedule!r} for a training of {run.steps} steps"
        return "schedule", found, f"at least {SCHEDULED_STEPS} steps"
    return None


def too_large(run, gib):
    """(axis, found, allowed) if a run needs more than so many GiB of memory, else None."""
    network, batch = runs.memory(run)
    if network + batch <= gib * 2**30:
        return None
    axis = "batch_size" if batch > network else "width"
    need = f"about {(network + batch) / 2**30:,.0f} GiB of memory"
    found = f"{getattr(run, axis)}, with which a run of {run.depth} layers needs {need}"
    return axis, found, f"what fits into the {gib} GiB of this machine"


def check_count(config, file):
    """Raise InputError for a plan of more runs or time than anybody has, with what it would need;
    it is counted, not expanded."""
    count, seconds = 0, 0.0
    for grid in config["grid"].values():
        for kind, number in runs.counted(grid, config):
            count, seconds = count + number, seconds + number * runs.seconds(kind)
    years = seconds / YEAR
    if count > MOST_RUNS or years > MOST_YEARS:
        found = f"{count:,} runs, which take one core {years:,.2g} years by estimate"
        raise InputError(file, "grid", found, f"at most {MOST_RUNS:,} runs and {MOST_YEARS} years")


def check_ignored(base):
    """Raise InputError for a file that looks like the preset `default`, which `base` is."""
    ignored = Path(base).with_name("default.yaml")
    if ignored.exists():
        found = f"a file that nobody reads: the preset default is {Path(base).name}"
        raise InputError(ignored, None, found, "a file of another name")


def check_place(folder):
    """Raise InputError for a folder in whose path Snakemake would see wildcards."""
    if set("{}") & set(str(folder)):
        raise InputError(folder, None, "a brace in the path", "a folder without { and }")


def check_writable(*folders):
    """Raise InputError for the first folder that cannot be written or, if missing, made."""
    for folder in folders:
        existing = next(path for path in (Path(folder), *Path(folder).parents) if path.exists())
        if not os.access(existing, os.W_OK | os.X_OK):
            found = "a folder that cannot be written"
            raise InputError(existing, None, found, "a writable folder")


def check_room(folder):
    """Raise InputError where not even a log finds room."""
    room = failures.room(folder)
    if room < failures.LEAST_ROOM:
        raise InputError(folder, None, f"{room:,} bytes of room on its disk", "a megabyte at least")
