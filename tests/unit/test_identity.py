"""What an edit trains again, as a property: any edit of a config, of the engine, of what shows.

Edits are drawn by `random` from a seed; a failing one is named by it.
"""

import ast
import random
import shutil
import subprocess
import sys
from copy import deepcopy
from dataclasses import fields, replace
from pathlib import Path

import pytest

from finicky import config as presets
from finicky import declarations, runs, sources

ROOT = Path(__file__).parents[2]
BASE = ROOT / "config/config.yaml"
EXPERIMENTS = declarations.experiments()
SUBGRIDS = {
    "one": {
        "dataset": ["mnist"], "images": 1000, "epochs": 2, "depth": [2, 6],
        "block": ["plain", "residual"], "activation": ["relu", "tanh"], "init": ["he", "matched"],
        "optimizer": ["sgd", "adam"],
    },
    "two": {
        "dataset": ["fashion_mnist"], "images": 500, "epochs": 1, "depth": [4],
        "block": ["batch_norm"], "activation": ["relu"], "init": ["xavier", "normal_std_0.01"],
        "optimizer": ["momentum"], "learning_rate": [0.1, 0.01],
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def small():
    """A checked config of some dozen runs."""
    return presets.load(BASE, BASE) | {"seeds": 2, "grid": SUBGRIDS, "experiments": {}}


def cells(config):
    """{everything that a run's levels say: its id}"""
    return {run: run.id for run in runs.plan(config).subgrids}


# ---------------------------------------------------------------- the config

LISTS = {
    "depth": [2, 4, 6, 8, 12],
    "block": list(runs.BLOCKS),
    "activation": sources.levels("activation"),
    "init": ["zeros", "lecun", "xavier", "he", "matched", "normal_std_0.1", "normal_var_1e-4"],
    "optimizer": ["sgd", "momentum", "rmsprop", "adam", "adamw"],
    "dataset": ["mnist", "fashion_mnist"],
}
NUMBERS = {"images": [300, 500, 1000, 60_000], "epochs": [1, 2, 3], "seeds": [1, 2, 4]}
TOP = {
    "seeds": [1, 3, 5], "first_seed": [0, 1, 1000], "width": [32, 64], "batch_size": [16, 32],
    "shard_seconds": [1, 600], "fuse": [1, 3, "auto"], "preset": ["other"],
}  # fmt: skip


def edited(config, rng):
    """A copy with one edit, and the edit in words."""
    config = deepcopy(config)
    kind = rng.choice(["list", "list", "number", "top", "rates", "matched", "remove"])
    name = rng.choice(sorted(config["grid"]))
    grid = config["grid"][name]
    if kind == "list":
        axis = rng.choice(sorted(LISTS))
        grid[axis] = rng.sample(LISTS[axis], rng.randint(1, 3 if len(LISTS[axis]) > 2 else 2))
        return config, f"{name}.{axis} = {grid[axis]}"
    if kind == "number":
        key = rng.choice(sorted(NUMBERS))
        grid[key] = rng.choice(NUMBERS[key])
        return config, f"{name}.{key} = {grid[key]}"
    if kind == "top":
        key = rng.choice(sorted(TOP))
        config[key] = rng.choice(TOP[key])
        return config, f"{key} = {config[key]}"
    if kind == "rates":
        optimizer = rng.choice(sorted(config["optimizers"]))
        config["optimizers"][optimizer] = [rng.choice([0.3, 0.03, 0.01])]
        return config, f"optimizers.{optimizer} = {config['optimizers'][optimizer]}"
    if kind == "matched":
        config["matched_init"]["relu"] = rng.choice(["xavier", "he", "lecun"])
        return config, f"matched_init.relu = {config['matched_init']['relu']}"
    if len(config["grid"]) > 1:
        del config["grid"][name]
    return config, f"without {name}"


@pytest.mark.parametrize("seed", range(60))
def test_an_edit_of_the_config_trains_exactly_the_cells_that_are_new(small, seed):
    """A cell that was there keeps its id, whatever else changes; a new cell has a new one."""
    rng = random.Random(seed)
    config, known = small, cells(small)
    for _ in range(rng.randint(1, 4)):
        config, words = edited(config, rng)
        after = cells(config)
        trained = set(after.values()) - set(known.values())
        assert trained == {run_id for run, run_id in after.items() if run not in known}, words
        assert all(known[run] == run_id for run, run_id in after.items() if run in known), words
        known |= after


@pytest.mark.parametrize("seed", range(20))
def test_what_changes_no_training_changes_no_id(small, seed):
    rng = random.Random(seed)
    config = deepcopy(small)
    names = sorted(config["grid"])
    rng.shuffle(names)
    config["grid"] = {f"renamed-{name}": config["grid"][name] for name in names}
    for grid in config["grid"].values():
        for axis in LISTS:
            rng.shuffle(grid[axis])
    config |= {"shard_seconds": rng.choice([1, 9, 900]), "fuse": rng.choice([1, 7])}
    config |= {"preset": "other", "experiments": presets.load(BASE, BASE)["experiments"]}
    assert cells(config) == cells(small)


def test_each_level_of_a_run_is_part_of_its_id(small):
    """No two cells share an id, also where they differ in one field only."""
    rng = random.Random(0)
    every = list(cells(small))
    for one in fields(runs.Run):
        values = sorted({getattr(run, one.name) for run in every}, key=str)
        run = rng.choice(every)
        for value in values:
            other = replace(run, **{one.name: value})
            assert (other.id == run.id) == (other == run), one.name
    ids = [run.id for run in every]
    assert len(set(ids)) == len(ids)


# ---------------------------------------------------------------- presets


@pytest.fixture(scope="module")
def full():
    return cells(presets.load(ROOT / "config/full.yaml", BASE))


@pytest.mark.parametrize("name", ["smoke", "config", "seeds-1000"])
def test_full_trains_nothing_that_another_preset_has(full, name):
    """What is the same cell with the same seed has the same id, so it is not trained twice."""
    other = cells(presets.load(ROOT / f"config/{name}.yaml", BASE))
    shared = full.keys() & other.keys()
    assert {run: full[run] for run in shared} == {run: other[run] for run in shared}
    assert set(full.values()) & set(other.values()) == {full[run] for run in shared}
    assert shared or name != "config"


# ---------------------------------------------------------------- code

IDS = """
import sys
from finicky import config, runs
base = config.load("config/smoke.yaml")
for device in "cpu", "cuda":
    print(*(run.id for run in runs.plan(base | {"device": device}).subgrids))
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of code, config and templates."""
    folder = tmp_path_factory.mktemp("copy")
    for name in ("workflow", "config", "report"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def ids(folder):
    """(ids on a CPU, ids on a GPU) of the smoke preset's runs by the code in a folder."""
    done = subprocess.run(
        [sys.executable, "-B", "-c", IDS],
        cwd=folder, env={"PYTHONPATH": str(folder / "workflow")}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return tuple(set(line.split()) for line in done.stdout.splitlines())


@pytest.fixture(scope="module")
def before(copy):
    return ids(copy)


def with_edit(copy, path, change):
    """The ids after a file's text is changed, which is undone."""
    file = copy / path
    text = file.read_text(encoding="utf-8")
    after = change(text)
    assert after != text
    file.write_text(after, encoding="utf-8")
    try:
        return ids(copy)
    finally:
        file.write_text(text, encoding="utf-8")


def one_statement_more(seed):
    """A change of a Python file: one statement that does nothing, somewhere in a function or, where
    there is none, at the end."""

    def change(text):
        tree = ast.parse(text)
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        body = random.Random(seed).choice(functions).body if functions else tree.body
        body.append(ast.parse("changed = 1").body[0])
        return ast.unparse(tree)

    return change


REGISTERED = {file.name for file, _ in sources.REGISTRIES.values()}
CORE = [
    file.name
    for file in sorted(sources.ENGINE.glob("*.py"))
    if file.name not in REGISTERED | {"cuda.py", "__init__.py"}
]


@pytest.mark.parametrize("name", CORE)
def test_an_edit_of_the_engine_trains_everything(copy, before, name):
    after = with_edit(copy, f"workflow/finicky/engine/{name}", one_statement_more(0))
    assert after[0].isdisjoint(before[0]) and after[1].isdisjoint(before[1])


def test_an_edit_of_a_gpus_code_trains_a_gpus_runs(copy, before):
    after = with_edit(copy, "workflow/finicky/engine/cuda.py", one_statement_more(0))
    assert after[0] == before[0] and after[1].isdisjoint(before[1])


def others():
    """Some files of each kind that no run depends on: a different few in each kind."""
    rng = random.Random(0)
    kinds = [
        sorted((ROOT / "workflow/finicky").glob(pattern))
        for pattern in ("exhibits/*.py", "evidence/*.py", "page/*.py", "experiments/*.py")
    ]
    files = [file for kind in kinds for file in rng.sample(kind, 2)]
    files += [ROOT / "workflow/finicky/numbers.py", ROOT / "workflow/scripts/train.py"]
    files += [ROOT / name for name in ("config/claims.yaml", "config/amendments.yaml")]
    files += rng.sample(sorted((ROOT / "report").glob("*.*")), 2)
    return [file.relative_to(ROOT).as_posix() for file in files]


def test_an_edit_of_what_shows_or_judges_trains_nothing(copy, before):
    """Plots, ledger, templates and experiments at once: none of them is in an id."""
    texts = {path: (copy / path).read_text(encoding="utf-8") for path in others()}
    for path, text in texts.items():
        (copy / path).write_text(text + "\n# more\nchanged = 1\n", encoding="utf-8")
        if path.endswith(".py"):
            (copy / path).write_text(one_statement_more(1)(text), encoding="utf-8")
    try:
        assert ids(copy) == before
    finally:
        for path, text in texts.items():
            (copy / path).write_text(text, encoding="utf-8")
