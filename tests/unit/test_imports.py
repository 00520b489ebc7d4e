"""The house's order: imports run downwards, in the layers that CONTRIBUTING.md draws."""

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from finicky import declarations, sources
from finicky.sources import library_imports

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / "workflow"
LIBRARY = sorted(WORKFLOW.glob("finicky/**/*.py"))
SCRIPTS = sorted(WORKFLOW.glob("scripts/*.py"))


def drawn_layers():
    """{name of a module or package: its layer, counted from the top} of the block "layers"."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    block = re.search(r"```layers\n(.*?)```", text, re.DOTALL)[1]
    return {
        name.strip(): depth
        for depth, line in enumerate(block.splitlines())
        for name in line.split("|")
    }


def part(file):
    """The part of the house a file belongs to: `engine` for finicky/engine/train.py."""
    top, *rest = file.relative_to(WORKFLOW).with_suffix("").parts
    return rest[0] if top == "finicky" else top


def import_nodes(file):
    """All import statements of a file, wherever they stand."""
    return [
        n
        for n in ast.walk(ast.parse(file.read_text()))
        if isinstance(n, ast.Import | ast.ImportFrom)
    ]


def climbing(files):
    """Imports, as text, that lead from a part into one that is not drawn below it."""
    layers = drawn_layers()
    return [
        f"{file.relative_to(WORKFLOW)} imports {target.relative_to(WORKFLOW)}"
        for file in files
        for target in sorted(library_imports(file))
        if part(target) not in ("__init__", part(file))
        and layers[part(target)] <= layers[part(file)]
    ]


def test_every_part_is_drawn():
    assert {part(file) for file in LIBRARY + SCRIPTS} - {"__init__"} == set(drawn_layers())


def test_imports_run_downwards():
    assert climbing(LIBRARY + SCRIPTS) == []


def test_an_import_that_climbs_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "WORKFLOW", tmp_path)
    monkeypatch.setattr("finicky.sources.LIBRARY", tmp_path / "finicky")
    for name, text in {
        "page/build": "from finicky.engine import train",
        "engine/train": "def later():\n    import finicky.experiments.grid",
        "experiments/grid": "from finicky.page import build\nfrom finicky.experiments import grid",
    }.items():
        file = tmp_path / "finicky" / f"{name}.py"
        file.parent.mkdir(parents=True)
        file.write_text(text)
    assert climbing(sorted(tmp_path.glob("finicky/**/*.py"))) == [
        "finicky/engine/train.py imports finicky/experiments/grid.py",
        "finicky/experiments/grid.py imports finicky/page/build.py",
    ]


def test_no_module_imports_itself_by_a_detour():
    graph = {file: library_imports(file) - {file} for file in LIBRARY}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the cycle


def test_imports_are_absolute():
    """Rules take their inputs from `library_imports`, which does not follow `from . import`."""
    for file in LIBRARY + SCRIPTS:
        assert not any(getattr(node, "level", 0) for node in import_nodes(file)), file


def test_the_library_does_not_know_snakemake():
    for file in LIBRARY:
        for node in import_nodes(file):
            names = [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
            assert not any(name.split(".")[0] == "snakemake" for name in names), file


MEASURING = {"torch", "torchvision", "sklearn", "scipy"}
PLOTTING = {"torchvision", "pandas", "seaborn", "matplotlib", "scipy"}
EXHIBITS = [
    f"finicky.exhibits.{file.stem}" for file in sorted(WORKFLOW.glob("finicky/exhibits/[!_]*.py"))
]


@pytest.mark.parametrize(
    "modules, heavy",
    [
        (["finicky.engine.train"], PLOTTING),
        (["finicky.runs"], PLOTTING | {"torch"}),
        (["finicky.evidence.ledger"], PLOTTING | {"torch"}),
        (EXHIBITS, MEASURING),
    ],
    ids=["training", "runs", "ledger", "exhibits"],
)
def test_heavy_packages_stay_out(modules, heavy):
    """Each costs seconds a process: training jobs, the Snakefile's top level and whatever shows
    numbers do without."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, {', '.join(modules)}; print(*sys.modules)"],
        cwd=WORKFLOW,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert set(modules) <= set(done.stdout.split())
    assert heavy.isdisjoint(done.stdout.split())


@pytest.mark.parametrize("showing", ["numbers", "labels", "evidence/words", "exhibits/", "page/"])
def test_no_experiment_depends_on_what_shows_numbers(showing):
    """An edit there would measure again (calibration reads the rules, and must stop at them)."""
    for slug, experiment in declarations.experiments().items():
        files = map(str, sources.dependencies(experiment.file))
        assert not [file for file in files if f"finicky/{showing}" in file], slug
