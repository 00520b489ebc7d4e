"""The smoke preset, end to end: its files, its page, and what an edit would make run again."""

import json
import os
import random
import shlex
import sys
from collections import Counter
from functools import partial

import jsonschema
import pandas as pd
import pytest
import yaml
from bs4 import BeautifulSoup
from snakemake.cli import get_argument_parser

from finicky import config as presets
from finicky import data, declarations, documents, sources, tables

from .conftest import at_once


@pytest.fixture(scope="session")
def results(smoke):
    return smoke.folder / "results/smoke"


@pytest.fixture(scope="session")
def ledger(smoke):
    return yaml.safe_load((smoke.folder / "config/claims.yaml").read_text())


def test_smoke_judges_every_claim(results, ledger):
    claims = json.loads((results / "report/claims.json").read_text())
    schema = documents.read(documents.SCHEMAS / "claims-output.schema.yaml", "a schema")
    jsonschema.validate(claims, schema)
    assert len(claims) >= 200
    assert [claim["id"] for claim in claims] == [claim["id"] for claim in ledger["claims"]]


def test_smoke_page_has_everything_once(smoke, results, ledger):
    page = BeautifulSoup((results / "report/index.html").read_text(), "html5lib")
    count = Counter(element["id"] for element in page.find_all(id=True))
    claims = [claim["id"] for claim in ledger["claims"]]
    for name in [*ledger["tables"], *ledger["figures"], *claims]:
        assert count[name] == 1, name
    drawn = {path.stem for path in (results / "figures").glob("*.svg") if path.stat().st_size}
    folder = smoke.folder / "config"
    config = presets.load(folder / "smoke.yaml", folder / "config.yaml")
    shown = declarations.exhibits()
    made = [shown[slug] for slug in config["experiments"] if slug in shown]
    assert drawn == {name for exhibit in made for name in exhibit.figures}
    refilled = {path.stem for path in (results / "refilled").glob("*.json") if path.stat().st_size}
    assert refilled == {name for exhibit in made for name in exhibit.tables}
    for name in drawn:
        assert page.find(id=name).find("svg"), name


@pytest.mark.parametrize("name", list(tables.TABLES))
def test_smoke_tables_are_there_as_parquet_and_csv(results, name):
    parquet = pd.read_parquet(results / f"tables/{name}.parquet")
    csv = pd.read_csv(results / f"tables/{name}.csv", dtype={"run": str})
    assert list(parquet) == list(csv) == list(tables.TABLES[name])
    assert len(parquet) == len(csv) > 0
    pd.testing.assert_series_equal(parquet["run"], csv["run"], check_dtype=False)
    readme = (results / "tables/README.md").read_text()
    assert all(f"| {column} |" in readme for column in parquet)


def test_smoke_provenance_says_where_the_numbers_came_from(results, smoke):
    record = json.loads((results / "provenance.json").read_text())
    runs = pd.read_parquet(results / "tables/runs.parquet")
    assert record["preset"] == "smoke" and record["command"] == "make report PRESET=smoke"
    assert record["data"] == {name: data.hashes(name) for name in ("fashion_mnist", "mnist")}
    outcomes = runs["outcome"].value_counts().to_dict()
    counted = {name: n for name, n in record["runs"].items() if n}
    assert counted == {"total": len(runs), **outcomes}
    assert {row["run"] for row in record["diverged"]} == set(runs["run"][runs.outcome != "finite"])
    assert record["config"]["seeds"] == 2 and record["config"]["batch_size"] == 64
    stages = {"training", "tables", "experiments", "figures", "judge"}
    assert set(record["seconds"]) == stages


def test_every_command_on_the_page_works(smoke, results):
    """Each is parsed as Snakemake parses it; one dry run makes all their targets."""
    page = BeautifulSoup((results / "report/index.html").read_text(), "html5lib")
    commands = {code.get_text() for code in page.find_all("code", class_="command")}
    makes = {command for command in commands if command.startswith("make ")}
    assert makes == {"make report", "make report PRESET=smoke", "make bench"}
    targets = set()
    for command in sorted(commands - makes):
        name, *words = shlex.split(command)
        parsed = get_argument_parser().parse_args(words)
        assert name == "snakemake" and parsed.cores
        assert list(map(str, parsed.configfile)) == ["config/smoke.yaml"]
        targets |= set(parsed.targets)
    assert len(targets) > 20
    said = smoke.snakemake("smoke", *sorted(targets), "--dry-run")
    assert "Nothing to be done" in said
    for command in random.sample(sorted(commands - makes), 3):  # as they are printed
        done = smoke.call([sys.executable, "-m", *shlex.split(command)])
        assert done.returncode == 0 and "Nothing to be done" in done.stdout, (command, done.stdout)


def test_every_link_on_the_page_arrives(results):
    """At an element of the page, or at a file beside it."""
    page = BeautifulSoup((results / "report/index.html").read_text(), "html5lib")
    ids = {element["id"] for element in page.find_all(id=True)}
    links = {link["href"] for link in page.find_all("a", href=True)}
    assert {link for link in links if link.startswith("#") and link[1:] not in ids} == set()
    files = {link for link in links if not link.startswith("#")}
    assert len(files) > 20 and not any(":" in link for link in files)
    assert {link for link in files if not (results / "report" / link).is_file()} == set()


# Of what a whole report promises, files that are removed, and the jobs that make them again.
PROMISED = {
    "report/claims.json": "judge",
    "evidence.parquet": "judge",
    "provenance.json": "provenance",
    "tables/curves.csv": "tables",
    "tables/README.md": "tables",
    "experiments/sources.parquet": "experiments/sources",
    "figures/F01.png": "figures/F01",
    "refilled/T13.csv": "refilled/T13",
}


def test_every_promised_file_is_made_again_if_it_is_removed(smoke, results, tmp_path):
    """As the call says that it would run; the next test does run one."""
    for number, name in enumerate(PROMISED):
        (results / name).rename(tmp_path / str(number))
    try:
        planned = smoke.planned("smoke")
    finally:
        for number, name in enumerate(PROMISED):
            (tmp_path / str(number)).rename(results / name)
    assert set(PROMISED.values()) <= planned


def test_a_removed_file_is_made_again(reported, tmp_path):
    project = reported.copy(tmp_path / "with a space")
    results = project.folder / "results/tiny"
    removed = [name for name in PROMISED if (results / name).exists()]
    assert len(removed) == 5
    for name in removed:
        (results / name).unlink()
    project.snakemake()
    assert all((results / name).exists() for name in removed)


def test_the_scheduler_looks_for_jobs_only_when_one_has_ended(smoke):
    """Else, with timers of its own, ever more often: hundreds of times a second in a long call."""
    jobs = len(list(smoke.folder.glob("results/smoke/logs/**/*.log")))
    looks = smoke.said.count("Ready jobs: ")
    assert 0 < looks <= jobs + 5


def test_a_second_call_has_nothing_to_do(smoke):
    before = smoke.stamps("results/**/logs/**/*.log")
    assert "Nothing to be done" in smoke.snakemake("smoke")
    assert smoke.stamps("results/**/logs/**/*.log") == before

    for path in "finicky/engine/train.py", "finicky/data.py", "finicky/page/build.py":
        os.utime(smoke.folder / "workflow" / path)  # its content stays
    assert smoke.jobs("smoke") == set()


AFTER = {"judge", "provenance", "page"}
# Files of what shows numbers, each with the jobs that an edit makes run again: none that measures.
SHOWN = {
    "report/style.css": {"page"},
    "workflow/finicky/page/build.py": {"page"},
    "report/explorer.js": {"page"},
    "workflow/finicky/page/explorer.py": {"explorer", "page"},
    "workflow/finicky/exhibits/mini_project.py": {"figures", "refilled", "provenance", "page"},
    "workflow/finicky/exhibits/style.py": {"figures", "refilled", "provenance", "page"},
    "workflow/finicky/exhibits/tables.py": {"figures", "refilled", "provenance", "page"},
    "workflow/finicky/numbers.py": {"figures", "refilled", "explorer", *AFTER},
    "workflow/finicky/labels.py": {"figures", "refilled", "explorer", *AFTER},
    "workflow/finicky/evidence/words.py": {"refilled", *AFTER},
    "config/claims.yaml": {"figures", "refilled", *AFTER},
}
HELPERS = ["update_rules", "identities", "tuning"]  # of measuring


def helper(name):
    return f"workflow/finicky/experiments/{name}.py"


def edited(path, text):
    """A file's text after an edit: another margin in the ledger, elsewhere a comment."""
    if path == "config/claims.yaml":
        return text.replace("margin: 10", "margin: 9", 1)
    return f"{text}\n{'/**/' if path.endswith('css') else '# more'}\n"


@pytest.fixture(scope="module")
def planned(smoke, tmp_path_factory):
    """{file: the jobs that a call would run after an edit of this file alone}"""

    def after_each(project, paths):
        plans = {}
        for path in paths:
            before = (project.folder / path).read_text()
            project.edit(path, partial(edited, path))
            plans[path] = project.planned("smoke")
            project.write(path, before)
        return plans

    paths = [*SHOWN, *map(helper, [*HELPERS, "mini_project"])]
    copy = smoke.copy(tmp_path_factory.mktemp("edited") / "with a space")
    halves = partial(after_each, smoke, paths[::2]), partial(after_each, copy, paths[1::2])
    one, other = at_once(halves)
    return one | other


@pytest.mark.parametrize("path", list(SHOWN))
def test_editing_what_shows_numbers_measures_nothing(planned, path):
    """Neither trains nor measures: a style, a caption, a table, a template, words, a margin."""
    assert {job.partition("/")[0] for job in planned[path]} == SHOWN[path]


def test_only_what_depends_on_a_change_is_made_again(planned):
    shown = {"figures/F01", "refilled/T13"}
    assert planned[helper("mini_project")] == {"experiments/mini-project"} | shown | AFTER


@pytest.mark.parametrize("name", HELPERS)
def test_a_helper_of_measuring_measures_exactly_what_uses_it(smoke, planned, name):
    """Its users are found by walking the imports, not by a list."""
    users = {
        slug
        for slug, experiment in declarations.experiments().items()
        if any(file.endswith(f"/{name}.py") for file in sources.dependencies(experiment.file))
    }
    config = [smoke.folder / f"config/{preset}.yaml" for preset in ("smoke", "config")]
    users &= set(presets.load(*config)["experiments"])
    jobs = planned[helper(name)]
    assert users and {job for job in jobs if job.startswith(("experiments/", "train/"))} == {
        f"experiments/{slug}" for slug in users
    }
