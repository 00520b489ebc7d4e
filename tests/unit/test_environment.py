"""One set of versions: requirements.in, the lock, the conda files and what is installed agree."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text()


def pins(lines):
    """{package: version} of lines like `name==1.2  # remark`."""
    requirements = (line.partition("#")[0].strip() for line in lines)
    pairs = (line.split("==") for line in requirements if line)
    return {canonicalize_name(name): version for name, version in pairs}


def direct_pins():
    return pins((ROOT / "requirements.in").read_text().splitlines())


def locked():
    """[(requirement with its marker, its hashes)] of the lock."""
    entries = re.findall(r"^(\S+==[^\\\n]*?) \\\n((?:    --hash=\S+(?: \\)?\n)+)", LOCK, re.M)
    return [
        (Requirement(line), re.findall(r"sha256:[0-9a-f]{64}", hashes)) for line, hashes in entries
    ]


def locked_here():
    """{package: version} of the lock's entries that apply to this Python and system."""
    here = [r for r, _ in locked() if r.marker is None or r.marker.evaluate()]
    return {canonicalize_name(r.name): str(r.specifier).removeprefix("==") for r in here}


def conda_file(path):
    """(conda packages, pip lines) of a conda environment file."""
    dependencies = yaml.safe_load((ROOT / path).read_text())["dependencies"]
    return [d for d in dependencies if isinstance(d, str)], dependencies[-1]["pip"]


def test_every_line_of_the_lock_is_an_exact_version_with_hashes():
    entries = locked()
    assert len(entries) == len(re.findall(r"^[^\s#]", LOCK, re.M))
    assert all(hashes for _, hashes in entries)


def test_the_lock_names_no_server():
    assert "://" not in LOCK
    assert re.findall(r"^-", LOCK, re.M) == []


def test_the_lock_has_what_requirements_in_asks_for():
    assert direct_pins().items() <= locked_here().items()


def test_the_lock_is_what_is_installed():
    assert {name: metadata.version(name) for name in locked_here()} == locked_here()


def test_conda_installs_the_lock():
    packages, pip_lines = conda_file("environment.yml")
    assert packages == ["python=3.11", "pip"]
    assert pip_lines == ["-r requirements.lock"]


def test_python_is_the_same_in_all_files():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["requires-python"] == ">=3.11"
    assert project["tool"]["ruff"]["target-version"] == "py311"
    for path in "environment.yml", "workflow/envs/finicky.yaml":
        assert "python=3.11" in conda_file(path)[0]
    assert "--python-version 3.11" in (ROOT / "Makefile").read_text()


def test_the_rules_environment_has_the_locked_versions():
    rules = pins(conda_file("workflow/envs/finicky.yaml")[1])
    assert rules.items() <= direct_pins().items()


def test_the_rules_environment_has_all_that_is_imported():
    distributions = metadata.packages_distributions()
    imported = set()
    workflow = ROOT / "workflow"
    for path in [*workflow.glob("finicky/**/*.py"), *workflow.glob("scripts/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                imported.add(node.module.split(".")[0])
    foreign = {
        canonicalize_name(distributions[name][0])
        for name in imported - sys.stdlib_module_names
        if name in distributions
    }
    assert "torch" in foreign
    assert foreign <= set(pins(conda_file("workflow/envs/finicky.yaml")[1]))


def make(*arguments, folder=ROOT, env=os.environ):
    """Run make as from a shell, also where these tests were started by `make test`."""
    env = {key: value for key, value in env.items() if not key.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(["make", *arguments], cwd=folder, env=env, capture_output=True, text=True)


def test_an_unknown_preset_gets_one_line():
    done = make("report", "PRESET=nonesuch")
    assert done.returncode != 0
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert "PRESET=nonesuch" in line and "config/nonesuch.yaml" in line and "smoke" in line


@pytest.mark.parametrize("cores", ["0", "01", "-1", "", "two", "1.5", "1 2", "a'b"])
def test_what_is_no_number_of_cores_gets_one_line(cores):
    done = make("check-preset", f"CORES={cores}")
    assert done.returncode != 0 and done.stdout == ""
    [line] = done.stderr.splitlines()
    assert f"CORES={cores}: allowed are all and numbers from 1" in line


@pytest.mark.parametrize("cores", ["all", "1", "10", "512"])
def test_a_number_of_cores_is_accepted(cores):
    assert make("check-preset", f"CORES={cores}").returncode == 0


# {command: its version, or None if it cannot build environments}, and the one that builds .venv.
PYTHONS = [
    ({"python3": "3.14", "python3.13": "3.13", "python3.14": "3.14"}, "python3.13"),
    ({"python3": "3.14", "python3.11": "3.11"}, "python3.11"),
    ({"python3": "3.12", "python3.14": "3.14"}, "python3"),
    ({"python3": "3.10", "python3.12": "3.12"}, "python3.12"),
    ({"python3": "3.11", "python3.13": None}, "python3"),
    ({"python3": "3.10", "python3.14": "3.14"}, "python3.14"),
    ({"python3": "3.9"}, ""),
]


@pytest.mark.parametrize("commands, chosen", PYTHONS)
def test_the_python_that_builds_the_environment(tmp_path, commands, chosen):
    """None that needs a compiler (3.14), as long as there is another."""
    for name, version in commands.items():
        works = version is not None and int(version.partition(".")[2]) >= 11
        (tmp_path / name).write_text(f"#!/bin/sh\nexit {int(not works)}\n")
        (tmp_path / name).chmod(0o755)
    for name in ("sh", "make", "ls", "sed", "grep"):
        (tmp_path / name).symlink_to(shutil.which(name))
    show = "--eval=show: ; $(info [$(PYTHON)])"
    done = make(show, "show", env={"PATH": str(tmp_path)})
    assert done.stdout.splitlines()[0] == f"[{chosen}]", done.stderr


def test_distclean_follows_a_link_and_keeps_the_reference(tmp_path):
    """Results may lie on another disk."""
    folder, disk = tmp_path / "project", tmp_path / "disk"
    for path in (folder / ".venv", disk / "default", disk / "reference", disk / "a folder"):
        path.mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", folder)
    (folder / "results").symlink_to(disk)
    (disk / "data").symlink_to(tmp_path / "gone")
    (disk / "store").symlink_to(folder)
    assert make("distclean", folder=folder).returncode == 0
    assert [path.name for path in disk.iterdir()] == ["reference"]
    assert (folder / "results").is_symlink() and not (folder / ".venv").exists()
    disk.rename(tmp_path / "moved")  # and where the link leads nowhere
    assert make("distclean", folder=folder).returncode == 0


MADE = ("tables/runs.parquet", "tables/README.md", "experiments/adam.parquet", "evidence.parquet",
        "provenance.json", "report/claims.json")  # fmt: skip


@pytest.fixture
def referenced(tmp_path):
    """A folder with made-up results of `default` and a set of the reference from before."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in MADE:
        path = tmp_path / "results/default" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("new")
    old = tmp_path / "results/reference/default/claims.json"
    old.parent.mkdir(parents=True)
    old.write_text("old")
    return tmp_path


def test_a_new_reference_takes_the_place_of_the_old(referenced):
    checksums = "provenance.json.sha256", "report/claims.json.sha256"
    for name in checksums:
        (referenced / "results/default" / name).write_text("new")
    for _ in range(2):
        done = make("reference", folder=referenced)
        assert done.returncode == 0, done.stderr
        reference = referenced / "results/reference"
        assert [path.name for path in reference.iterdir()] == ["default"]
        assert (reference / "default/claims.json").read_text() == "new"
        for name in checksums:
            assert (reference / "default" / Path(name).name).read_text() == "new"
        assert (reference / "default/experiments/adam.parquet").read_text() == "new"


@pytest.mark.parametrize("missing", [*MADE])
def test_the_old_reference_stays_where_the_new_is_not_whole(referenced, missing):
    (referenced / "results/default" / missing).unlink()
    done = make("reference", folder=referenced)
    assert done.returncode != 0
    reference = referenced / "results/reference"
    assert [path.name for path in reference.glob("[!.]*")] == ["default"]
    assert [path.read_text() for path in reference.glob("default/*")] == ["old"]


def test_the_old_reference_is_whole_until_the_new_one_is(referenced):
    """Whichever command of the replacing is the last one before a kill."""
    bin = referenced / "bin"
    bin.mkdir()
    for tool in ("mv", "rm"):
        killing = f"#!/bin/sh\necho {tool} >> count\n[ $(wc -l < count) -lt $AT ] || kill $PPID\n"
        (bin / tool).write_text(f'{killing}PATH={os.environ["PATH"]} exec {tool} "$@"\n')
        (bin / tool).chmod(0o755)
    killed = 0
    for at in range(1, 9):
        (referenced / "count").unlink(missing_ok=True)
        env = {**os.environ, "PATH": f"{bin}:{os.environ['PATH']}", "AT": str(at)}
        killed += make("reference", folder=referenced, env=env).returncode != 0
        whole = [
            (path.read_text(), len(list(path.parent.rglob("*.parquet"))))
            for path in referenced.glob("results/reference/*/claims.json")
        ]
        assert {("old", 0), ("new", 3)} & set(whole), at
    assert killed > 2


def test_yaml_that_snakemake_cannot_read_gets_one_line(tmp_path):
    """It reads the config files before the workflow can, and names no line."""
    bad = tmp_path / "bad.yaml"
    script = [sys.executable, "workflow/scripts/check_yaml.py"]
    for text, said in (
        ("preset: bad\ngrid: [1,\n", "line 3: found what is no YAML"),
        ("- preset\n", "found ['preset']; allowed: keys with values"),
        ("seeds: 010\n", "line 1: seeds: found 010"),
    ):
        bad.write_text(text)
        done = subprocess.run([*script, bad], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 1 and done.stdout == ""
        [line] = done.stderr.splitlines()
        assert line.startswith(f"{bad}: {said}")
    good = subprocess.run([*script, "config/smoke.yaml"], cwd=ROOT, capture_output=True, text=True)
    assert (good.returncode, good.stdout, good.stderr) == (0, "", "")


def test_a_missing_python_gets_one_line(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copy(ROOT / "requirements.lock", tmp_path)
    done = make(".venv", "PYTHON=", folder=tmp_path)
    assert done.returncode != 0
    [line] = done.stderr.splitlines()
    assert "Python 3.11" in line and "venv" in line
    assert not (tmp_path / ".venv").exists()


@pytest.mark.parametrize(
    "python, failing, calls, passed",
    [
        ("echo no root here", "slurm", "env lint slurm test", True),
        ("exit 0", "", "env lint slurm test test-cluster", True),
        ("exit 0", "test-cluster", "env lint slurm test test-cluster", False),
        ("exit 1", "", "env lint slurm", False),
        ("exit 0", "test", "env lint slurm test test-cluster", False),
        ("exit 0", "lint", "env lint", False),
    ],
    ids=[
        "no SLURM here",
        "all passes",
        "the cluster fails",
        "nobody knows",
        "a test fails",
        "style fails",
    ],
)
def test_what_continuous_integration_runs(tmp_path, python, failing, calls, passed):
    """Cluster tests only where a SLURM starts, beside the others; else a line that says why not."""
    (tmp_path / ".ci").mkdir()
    (tmp_path / "bin").mkdir()
    shutil.copy(ROOT / ".ci/run", tmp_path / ".ci/run")
    make = f'echo $1 >> calls; mkdir -p .venv/bin; cp it .venv/bin/python; [ $1 != "{failing}" ]'
    commands = {"make": make, "../it": python} | dict.fromkeys(["npm", "chromium", "python3"], "")
    for name, script in commands.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    env = os.environ | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    done = subprocess.run([tmp_path / ".ci/run"], env=env, capture_output=True, text=True)
    called = (tmp_path / "calls").read_text().split()
    assert sorted(called[3:]) == calls.split()[3:] and called[:3] == calls.split()[:3]
    assert (done.returncode == 0) == passed, done.stderr
    left_out = "make test-cluster is left out: no root here\n"
    assert done.stdout == (left_out if python.startswith("echo") else "")
