"""Contents decide what is made again, whatever the dates: checkouts, copies, wrong clocks."""

import os
import time
from pathlib import Path

import pytest
import yaml

from finicky import config as presets

ROOT = Path(__file__).parents[2]
SLUGS = ("sources", "losses")
DAY = 86_400
AFTER = {"judge", "provenance", "page"}
SOURCES = ("workflow/**/*", "config/*", "report/**/*", "Snakefile")


@pytest.fixture(scope="module")
def made(untrained, tmp_path_factory):
    """The tiny project with two experiments, all made."""
    project = untrained.copy(tmp_path_factory.mktemp("made") / "with a space")
    smoke = presets.load(ROOT / "config/smoke.yaml", ROOT / "config/config.yaml")["experiments"]
    project.configure(experiments={slug: smoke[slug] for slug in SLUGS})
    assert {f"experiments/{slug}" for slug in SLUGS} < project.jobs()
    return project


@pytest.fixture
def project(made, tmp_path):
    return made.copy(tmp_path / "with a space")


def files(project, *patterns):
    return [f for p in patterns for f in project.folder.glob(p) if f.is_file()]


def date(some, seconds):
    """Date files that much from now."""
    for file in some:
        os.utime(file, (time.time() + seconds,) * 2)


def test_dates_alone_make_nothing_again(project):
    """Of sources and results, new, old or of the future: a checkout, a copy, a clock set back."""
    some = files(project, *SOURCES)
    results = files(project, "results/tiny/**/*")
    for dated, seconds in (some, 0), (some, DAY), (results, -DAY), (results[::2], 2 * DAY):
        date(dated, seconds)
        assert project.jobs() == set()


def test_an_edit_counts_whatever_its_date(project):
    def assert_what_it_changes(jobs):
        assert "experiments/losses" in jobs and "experiments/sources" not in jobs
        assert not any(job.startswith("train/") for job in jobs) and jobs >= AFTER

    path = "workflow/finicky/experiments/losses.py"
    project.edit(path, lambda text: text + "\n# more\n")
    for seconds in 0, -DAY, DAY:
        date([project.folder / path], seconds)
        assert_what_it_changes(project.planned())
    assert_what_it_changes(project.jobs())
    assert project.jobs() == set()


def test_a_script_counts_by_its_content(project):
    path = project.folder / "workflow/scripts/judge.py"
    date([path], 10)
    assert project.jobs() == set()
    project.edit("workflow/scripts/judge.py", lambda text: text + "\n# more\n")
    assert project.jobs() >= AFTER


def test_what_is_dated_in_the_future_fails_no_job(project):
    date(files(project, *SOURCES, "results/tiny/**/*"), DAY)
    (project.folder / "results/tiny/experiments/losses.parquet").unlink()
    jobs = project.jobs()
    assert "experiments/losses" in jobs and "experiments/sources" not in jobs and jobs >= AFTER
    assert project.jobs() == set()


def test_files_of_any_size_have_checksums(project):
    """Snakemake by itself takes those over 1 MB for changed where they are newer."""
    tables = files(project, "results/tiny/shards/*", "results/tiny/tables/*")
    date(tables, DAY)
    assert project.jobs() == set()
    profile = (project.folder / "profiles/default/config.yaml").read_text()
    assert yaml.safe_load(profile)["max-checksum-file-size"] == "1TB"
