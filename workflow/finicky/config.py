"""The config of a preset: every check that can be made before anything runs.

Named after the file it reads, config/<preset>.yaml, merged by the workflow onto config.yaml.
"""

import math
import os
from functools import reduce
from pathlib import Path

from finicky import data, declarations, documents, failures, machine, runs, sources
from finicky.errors import InputError

DEVICE = "FINICKY_DEVICE"  # the environment variable that says what `auto` is
NUMBERED = ("normal_std", "normal_var")  # initialisers whose level carries a number


def load(path, base="config/config.yaml"):
    """A preset's config: its file laid over the base."""
    return merged([base, path])


def merged(files, arguments=None):
    """The config that these files make, the weakest first, and over them the arguments, the
    `--config` of a command line: laid one over the other mapping by mapping, as Snakemake does.

    Snakemake reads the numbers of YAML 1.1, so the workflow puts this config in place of its own.
    """
    layers = [_document(file) for file in files] + [dict(arguments or {})]
    return with_own_grid(reduce(laid_over, layers, {}), files)


def _document(file):
    """The mapping in a config file."""
    document = documents.read(file, "a config file")
    documents.check_against(document or {}, {"type": "object"}, file)
    return document or {}


def with_own_grid(config, files):
    """The config with those sub-grids that the strongest of its files with a `grid` names.

    Of a sub-grid that the base has too, a preset's file says only what differs; the others are not
    its own.
    """
    named = None
    for file in files:
        grid = _document(file).get("grid")
        named = grid if isinstance(grid, dict) else named
    if named is None or not isinstance(config.get("grid"), dict):
        return config
    return config | {"grid": {name: config["grid"][name] for name in named}}


def device(config):
    """The device of a config, "cpu" or "cuda"; `auto` is cuda where there is one.

    Decided once, when the workflow is planned: its jobs, maybe on other machines, are told by the
    environment.
    """
    if config["device"] != "auto":
        return config["device"]
    return os.environ.setdefault(DEVICE, "cuda" if machine.gpus() else "cpu")


def laid_over(below, above):
    """`above` laid over `below`: mappings are merged, everything else is replaced."""
    if isinstance(below, dict) and isinstance(above, dict):
        return below | {key: laid_over(below.get(key), value) for key, value in above.items()}
    return above


def check(config, files, experiments, arguments=None):
    """Check a merged config; `files` and `arguments` are what made it, as `merged` takes them.

    experiments: {slug: declarations.Experiment} of those that exist. Raises InputError naming the
    strongest file, or --config, that holds the offending key.
    """
    layers = {file: _document(file) for file in files} | {"--config": arguments or {}}

    def where(key):
        holders = [place for place, layer in layers.items() if key in layer]
        return holders[-1] if holders else files[-1]

    try:
        documents.check(config, "config.schema.yaml", None)
    except InputError as error:
        top = str(error.key or "").partition(".")[0].partition("[")[0]
        unknown = error.found.removeprefix("unknown key ").strip("'")
        file = where(top or unknown)
        raise InputError(file, error.key, error.found, error.allowed) from None

    for name, settings in config["experiments"].items():
        if name not in experiments:
            found = f"no experiment {name!r}"
            raise InputError(where("experiments"), "experiments", found, ", ".join(experiments))
        if settings is not None:
            declarations.check_settings(name, settings, experiments[name], where("experiments"))
    check_levels(config, where)
    check_purposes(config, experiments, where("grid"))
    check_batches(config, where("grid"))
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
        "dataset": list(data.DATASETS),
        "block": list(runs.BLOCKS),
        "activation": sources.levels("activation"),
        "optimizer": list(config["optimizers"]),
        "init": [*inits, *(f"{name}_<number>" for name in NUMBERED), "matched"],
    }


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
            for level in grid[axis]:
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
    raise InputError(file, key, repr(level), ", ".join(allowed[axis]))


def is_positive(text):
    """Whether a text is a finite number above 0."""
    try:
        return 0 < float(text) < math.inf
    except ValueError:
        return False


def check_purposes(config, experiments, file):
    """What a sub-grid is for, some experiment asks for."""
    known = {purpose for one in experiments.values() for purpose in one.purposes}
    for name, grid in config["grid"].items():
        for purpose in grid.get("for", []):
            if purpose not in known:
                allowed = ", ".join(sorted(known))
                raise InputError(file, f"grid.{name}.for", repr(purpose), allowed)


def check_batches(config, file):
    """Batch norm needs two images in every batch, the last one too."""
    for name, grid in config["grid"].items():
        normalised = any("batch_norm" in block for block in grid["block"])
        if normalised and grid["images"] % config["batch_size"] == 1:
            raise InputError(
                file, f"grid.{name}.images",
                f"{grid['images']}, which leaves a last batch of 1 image at batch_size "
                f"{config['batch_size']}", "another number: batch norm needs 2 images in a batch",
            )  # fmt: skip


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
