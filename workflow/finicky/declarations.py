"""What experiments and exhibits say about themselves, read without importing them.

A measuring module, experiments/<slug>.py, declares what it reads, which settings it takes and which
quantities and conditions its table holds; a drawing module, exhibits/<slug>.py, which figures and
tables it makes of that table. The config and the ledger are checked against this before anything
trains. Cheap to import, because the Snakefile does it at every start: no pandas, no torch.
"""

import ast
import itertools
import math
import re
import string
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from finicky import data, documents, runs, sources
from finicky.errors import InputError

EXPERIMENTS = sources.LIBRARY / "experiments"
EXHIBITS = sources.LIBRARY / "exhibits"
DEVICE = 'settings["device"]'  # how code asks for the device
KINDS = ("integer", "number", "boolean", "text", "level")  # of a condition, beside a list of names


@dataclass(frozen=True)
class Experiment:
    """What a measuring module declares.

    reads: tables of the grid; datasets: image files; purposes: of the sub-grids it reads; alone:
    it measures time; settings: {key: (kind, meaning)}, the kind a name of SETTINGS_SCHEMA or a
    JSON schema; limits: {comparison of settings: what it allows, in words}, "most < sample", which
    holds for every item of a list (but of what follows `in` or stands in a call of MEASURES);
    quantities: {name: (unit, meaning)}; conditions: {column: kind}, one of KINDS or
    the list of its names; budget: how long the networks are trained that its numbers are about, a
    template of conditions and settings ("{images} images of {dataset}, {epochs} epochs") for all
    quantities, or {template: quantities}, where the others are about no trained network.
    """

    file: Path
    title: str
    quantities: dict
    conditions: dict = field(default_factory=dict)
    settings: dict = field(default_factory=dict)
    limits: dict = field(default_factory=dict)
    reads: list = field(default_factory=list)
    datasets: list = field(default_factory=list)
    purposes: list = field(default_factory=list)
    alone: bool = False
    budget: str | dict = ""

    def budget_of(self, quantity):
        """The template of a quantity's training budget; empty if no network is trained for it."""
        if isinstance(self.budget, str):
            return self.budget
        found = (template for template, names in self.budget.items() if quantity in names)
        return next(found, "")

    @property
    def on_device(self):
        """Whether it computes on the config's device, maybe a GPU: its code asks the settings for
        it, or a helper's does. Nothing that a module could say and forget to change."""
        helpers = [Path(file) for file in sources.dependencies(self.file)]
        files = [self.file, *(file for file in helpers if file.parent == EXPERIMENTS)]
        return any(DEVICE in file.read_text(encoding="utf-8") for file in files)


@dataclass(frozen=True)
class Exhibit:
    """What a drawing module declares: its figures and tables, {id: caption}, and which figures show
    the chapter's numbers, so that their functions take the ledger too."""

    file: Path
    figures: dict = field(default_factory=dict)
    tables: dict = field(default_factory=dict)
    with_ledger: list = field(default_factory=list)


def experiments(folder=EXPERIMENTS):
    """{slug: Experiment} of every module in the folder that has QUANTITIES; the slug is the file's
    name with - for _. Raises InputError where a declaration is not a plain literal, a budget names
    what is no condition, setting or quantity, or a limit what is no setting."""
    found = _declared(folder, Experiment, "QUANTITIES", ("file",))
    for one in found.values():
        _check_budget(one)
        for limit in one.limits:
            try:
                names = _Limit(limit).names
            except SyntaxError:
                raise InputError(one.file, "LIMITS", repr(limit), "a comparison") from None
            for name in names:
                if name.partition(".")[0] not in one.settings:
                    raise InputError(one.file, "LIMITS", name, ", ".join(one.settings))
    return found


def exhibits(folder=EXHIBITS):
    """{slug: Exhibit} of every module in the folder that has FIGURES or TABLES. Raises InputError
    where one is not a plain literal, or where a figure or table is made twice."""
    found = _declared(folder, Exhibit, None, ("file",))
    made = [(name, one.file) for one in found.values() for name in (*one.figures, *one.tables)]
    for name, count in Counter(name for name, _ in made).items():
        if count > 1:
            files = ", ".join(sorted({str(file) for other, file in made if other == name}))
            raise InputError(files, name, f"{name} made {count} times", "each figure or table once")
    return found


def _declared(folder, kind, needed, own):
    """Read the module-level literals that are fields of `kind`, spelled in capitals."""
    names = {name.upper(): name for name in kind.__dataclass_fields__ if name not in own}
    found = {}
    for file in sorted(Path(folder).glob("*.py")):
        literals = {}
        for node in ast.parse(file.read_text(encoding="utf-8"), str(file)).body:
            targets = node.targets if isinstance(node, ast.Assign) else []
            for target in targets:
                if isinstance(target, ast.Name) and target.id in names:
                    key = target.id
                    try:
                        literal = ast.literal_eval(node.value)
                    except ValueError:
                        raise InputError(file, key, "an expression", "a plain literal") from None
                    if names[key] in literals:
                        raise InputError(file, key, f"{key} twice", "each declaration once")
                    _check_keys(node.value, file, key)
                    literals[names[key]] = literal
        if (needed.lower() in literals) if needed else literals:
            found[file.stem.replace("_", "-")] = kind(file=file, **literals)
    return found


def _check_keys(value, file, key):
    """Raise InputError for a name that a literal holds twice: Python would keep the second."""
    for node in ast.walk(value):
        keys = [ast.literal_eval(key) for key in getattr(node, "keys", ())]
        for name, count in Counter(keys).items():
            if count > 1:
                raise InputError(file, key, f"{name!r} {count} times", "each name once")


def check_levels_registered_once(folder=sources.ENGINE):
    """Raise InputError if two functions of the engine register the same level: the second would
    replace the first for everybody who trains with it."""
    axes = {name: axis for axis, (_, names) in sources.REGISTRIES.items() for name in names}
    first = {}
    for file in sorted(Path(folder).glob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
        for node in sources.statements(tree.body):
            for decorator, axis in axes.items():
                level = sources.registered_as(node, (decorator,))
                if level is None:
                    continue
                here = f"{file.name} line {node.lineno}"
                known = first.setdefault((decorator, level), here)
                if known != here:
                    found = f"@{decorator}({level!r}) twice, {known} and {here}"
                    raise InputError(file, axis, found, "a name of its own for each level")


# ---- Budgets ------------------------------------------------------------------------------------


def placeholders(template):
    """The names in braces of a budget's template, each once, in their order."""
    names = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
    return list(dict.fromkeys(names))


def _check_budget(experiment):
    """Raise InputError for a budget's first name that is neither a condition nor a setting, and for
    a quantity that does not exist or has two budgets."""
    budget = experiment.budget
    templates = [budget] if isinstance(budget, str) else list(budget)
    known = [*experiment.conditions, *experiment.settings]
    for template in templates:
        try:
            names = placeholders(template)
        except ValueError as error:
            found = f"{template!r} ({error})"
            raise InputError(experiment.file, "BUDGET", found, "names in braces") from None
        for name in names:
            if name.split(".")[0] not in known:
                raise InputError(experiment.file, "BUDGET", f"{{{name}}}", ", ".join(known))
    of = {} if isinstance(budget, str) else budget
    for name, count in Counter(name for names in of.values() for name in names).items():
        if name not in experiment.quantities:
            allowed = ", ".join(experiment.quantities)
            raise InputError(experiment.file, "BUDGET", repr(name), allowed)
        if count > 1:
            raise InputError(experiment.file, "BUDGET", f"{name} {count} times", "each once")


# ---- Settings -----------------------------------------------------------------------------------


def check_settings(slug, settings, experiment, file):
    """Raise InputError, naming the config `file`, for the first setting of an experiment that is
    unknown, missing, of another type, out of bounds or at odds with another one."""
    kinds = _kinds()
    known = experiment.settings
    for key in settings:
        if key not in known:
            allowed = documents.one_of(known, key) or "no settings"
            raise InputError(file, f"experiments.{slug}", f"unknown key {key!r}", allowed)
    for key in known:
        if key not in settings:
            raise InputError(file, f"experiments.{slug}", f"no key {key!r}", ", ".join(known))
    for key, (kind, _) in known.items():
        if isinstance(kind, str) and kind not in kinds:
            raise InputError(experiment.file, f"SETTINGS.{key}", repr(kind), ", ".join(kinds))
    schema = {
        "type": "object",
        "properties": {
            key: {"$ref": f"#/$defs/{kind}"} if isinstance(kind, str) else kind
            for key, (kind, _) in known.items()
        },
        "$defs": kinds,
    }
    try:
        documents.check_against(settings, schema, file)
    except InputError as error:
        key = f"experiments.{slug}.{error.key}"
        raise InputError(file, key, error.found, error.allowed) from None
    for limit, words in experiment.limits.items():
        broken = _Limit(limit).broken(settings)
        if broken:
            (name, found), *others = broken.items()
            beside = ", ".join(f"{other} {value}" for other, value in others)
            allowed = f"{words}: {limit}" + (f", beside {beside}" if beside else "")
            raise InputError(file, f"experiments.{slug}.{name}", found, allowed)


@cache
def _kinds():
    """{kind of a setting: its JSON schema}."""
    return documents.read(documents.SCHEMAS / "settings.schema.yaml", "a JSON schema")["$defs"]


MEASURES = {"count": len, "distinct": lambda values: len(set(values)), "largest": max}


class _Limit:
    """One comparison of settings, `ladders.sgd` being a setting's key."""

    def __init__(self, text):
        dotted = re.compile(r"(?<=[a-z])\.(?=[a-z])")
        self.tree = ast.parse(dotted.sub("__", text), mode="eval")
        nodes = list(ast.walk(self.tree))
        found = [node for node in nodes if isinstance(node, ast.Name) and node.id not in MEASURES]
        found.sort(key=lambda node: node.col_offset)
        self.identifiers = list(dict.fromkeys(node.id for node in found))
        inside = [node.args[0] for node in nodes if isinstance(node, ast.Call)]
        inside += [
            node.comparators[0]
            for node in nodes
            if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In)
        ]
        self.whole = {node.id for node in inside}

    @property
    def names(self):
        """The settings that it compares, in their order."""
        return [name.replace("__", ".") for name in self.identifiers]

    def broken(self, settings):
        """The first values for which it does not hold, {name: value}; None if there are none."""
        values = [_at(settings, name) for name in self.names]
        lists = [
            value if isinstance(value, list) and identifier not in self.whole else [value]
            for identifier, value in zip(self.identifiers, values, strict=True)
        ]
        code = compile(self.tree, "", "eval")
        for some in itertools.product(*lists):
            scope = MEASURES | dict(zip(self.identifiers, some, strict=True))
            if not eval(code, {"__builtins__": {}}, scope):  # noqa: S307 (a literal of our modules)
                return dict(zip(self.names, some, strict=True))
        return None


def _at(settings, name):
    """A setting, or what it has under a key, which may be missing: of a list, each item's."""
    name, _, key = name.partition(".")
    value = settings[name]
    if not key:
        return value
    return [item[key] for item in value] if isinstance(value, list) else value.get(key, [])


# ---- Conditions ---------------------------------------------------------------------------------


def check_level(column, level, experiment, file, key):
    """Raise InputError unless an experiment's `column` can hold this level.

    A number is not compared with what a preset measures: other presets measure other numbers.
    """
    kind = experiment.conditions[column]
    if isinstance(kind, list):
        allowed = kind
    elif kind == "level":
        held = _held_as(level) if column == "init" else None
        if held and held == level:
            return
        allowed = [f"{held}, as the tables spell it"] if held else axis_levels(column)
    else:
        if _is_of(kind, level):
            return
        raise InputError(file, key, repr(level), f"of the kind {kind}")
    if level not in allowed:
        raise InputError(file, key, repr(level), ", ".join(map(str, allowed)))


def axis_levels(axis):
    """The levels of an axis of the grid, as its tables spell them."""
    return {
        "dataset": data.names(),
        "block": list(runs.BLOCKS),
        "activation": sources.levels("activation"),
        "optimizer": sources.levels("optimizer"),
        "schedule": sources.levels("schedule"),
        "init": [
            *(name for name in sources.levels("init") if name != "normal_std"),
            "normal_std_<deviation>",
        ],
    }[axis]


def _held_as(level):
    """An initialiser's name in the one form that tables hold; None if it is none."""
    if not isinstance(level, str) or level in ("normal_std", "normal_var"):
        return None
    if level in sources.levels("init"):
        return level
    try:
        canonical = runs.canonical_init(level)
    except ValueError:
        return None
    return canonical if canonical.startswith("normal_std_") else None


def _is_of(kind, level):
    if kind == "boolean" or isinstance(level, bool):
        return kind == "boolean" and isinstance(level, bool)
    if kind == "integer":
        return isinstance(level, int)
    if kind == "number":
        return isinstance(level, int | float) and math.isfinite(level)
    return isinstance(level, str)
