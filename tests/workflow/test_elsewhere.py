"""The workflow's files are where it lies, results where Snakemake works. These may be two places:
with --directory, with -s, and where another workflow takes this one as a module."""

import sys

import pytest

from .conftest import TINY, Project

CONFIG = TINY | {"preset": "mine", "experiments": "none"}
OUTER = """
rule both:
    input:
        "said.txt",
        "measured/results/mine/tables/runs.parquet",

rule say:
    output:
        "said.txt",
    shell:
        "echo hello > {output}"

module finicky:
    snakefile:
        SNAKEFILE
    prefix:
        "measured"
    config:
        CONFIG

use rule * from finicky as finicky_*
"""


@pytest.fixture
def outer(untrained, images, tmp_path):
    """`outer(**changes)`: another workflow that takes the untrained project as a module, its config
    changed, and has the images."""

    def outer(**changes):
        project = Project(tmp_path / "another one")
        (project.folder / "measured/results").mkdir(parents=True)
        (project.folder / "measured/results/data").symlink_to(images)
        snakefile = repr(str(untrained.folder / "workflow/Snakefile"))
        text = OUTER.replace("SNAKEFILE", snakefile).replace("CONFIG", repr(CONFIG | changes))
        project.write("Snakefile", text)
        return project

    return outer


def call(project, *words):
    return project.call([sys.executable, "-m", "snakemake", *words, "--cores", "2"])


def files(project):
    return {path.relative_to(project.folder) for path in project.folder.rglob("*")}


def test_as_a_module_of_another_workflow(outer, untrained, trained):
    """With a prefix, a config and other names for its rules: the runs of the project itself, below
    the prefix alone."""
    project, before = outer(), files(untrained)
    done = call(project)
    assert done.returncode == 0, done.stdout
    measured = Project(project.folder / "measured")
    assert set(measured.store()) == set(trained.store()) and len(measured.store()) == 4
    assert (measured.folder / "results/mine/tables/curves.csv").exists()
    assert not (project.folder / "results").exists()
    assert {path for path in files(untrained) - before if "__pycache__" not in path.parts} == set()
    assert "Nothing to be done" in call(project).stdout


def test_a_whole_report_of_a_module(outer):
    """Every rule finds its files; nothing is made here."""
    done = call(outer(), "measured/results/mine/report/index.html", "-n", "-q", "rules")
    assert done.returncode == 0, done.stdout
    assert "finicky_page" in done.stdout


def test_a_mistake_in_a_modules_config(outer):
    done = call(outer(seeds=0))
    assert done.returncode == 1
    [said] = [line for line in done.stdout.splitlines() if "seeds" in line]
    assert said.startswith("the module's config: seeds: found 0")


@pytest.mark.parametrize("way", ["-s from elsewhere", "--directory", "the inner Snakefile"])
def test_snakemake_started_elsewhere(untrained, tmp_path, way):
    """The default target, with jobs for all of it; results in the working folder."""
    there = Project(tmp_path)
    front, inner = (str(untrained.folder / name) for name in ("Snakefile", "workflow/Snakefile"))
    words = ["-n", "-q", "rules", "--configfile", str(untrained.folder / "config/tiny.yaml")]
    done = {
        "-s from elsewhere": lambda: call(there, "-s", front, *words),
        "--directory": lambda: call(untrained, "--directory", str(tmp_path), *words),
        "the inner Snakefile": lambda: call(there, "-s", inner, *words),
    }[way]()
    assert done.returncode == 0, done.stdout
    counts = dict(line.split() for line in done.stdout.splitlines() if len(line.split()) == 2)
    assert (counts.get("train"), counts.get("page"), counts.get("all")) == ("1", "1", "1")
