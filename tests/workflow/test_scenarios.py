"""What runs, and above all what is not trained again, when something changes."""

import json
import os
import random
import re
import shlex
import shutil
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import jsonschema
import pandas as pd
import pytest
import yaml
from bs4 import BeautifulSoup
from snakemake.cli import get_argument_parser

from finicky import config as presets
from finicky import data, declarations, documents, sources, tables

from .conftest import at_once

ROOT = Path(__file__).parents[2]


def levels(records, *axes):
    """The levels of some runs: a set of tuples."""
    return {tuple(record[axis] for axis in axes) for record in records.values()}


def lasting(record):
    """A record without what differs each time."""
    return {key: value for key, value in record.items() if key not in ("seconds", "finished")}


# ---------------------------------------------------------------- the smoke preset, end to end


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
    "workflow/finicky/page/explorer.py": {"explorer", "page"},
    "workflow/finicky/exhibits/mini_project.py": {"figures", "refilled", "provenance", "page"},
    "workflow/finicky/exhibits/tables.py": {"figures", "refilled", "provenance", "page"},
    "workflow/finicky/numbers.py": {"figures", "refilled", "explorer", *AFTER},
    "workflow/finicky/evidence/words.py": {"refilled", *AFTER},
    "config/claims.yaml": {"figures", "refilled", *AFTER},
}
HELPERS = ["update_rules", "tuning"]  # of measuring


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


# ---------------------------------------------------------------- devices


def test_jobs_on_a_gpu_take_turns(untrained, tmp_path):
    """Training and the experiments that compute there ask for it; the others run beside them."""
    project = untrained.copy(tmp_path / "project")
    sections = presets.load(ROOT / "config/smoke.yaml", ROOT / "config/config.yaml")["experiments"]
    asks = {"adam": 0, "losses": 0, "parity-depth": 1, "double-descent": 1}
    project.configure(device="cuda", experiments={slug: sections[slug] for slug in asks})
    said = project.snakemake("tiny", "--profile", "profiles/gpu", "-n", "--quiet", "progress")
    asked = dict(re.findall(r"wildcards: (?:slug|shard)=(\S+)\n.* gpu=(\d)", said))
    (shard,) = asked.keys() - asks.keys()
    assert shard.startswith("mnist-cuda-") and asked.pop(shard) == "1"
    assert asked == {slug: str(number) for slug, number in asks.items()}


def test_the_page_compares_what_another_device_gave(reported, tmp_path):
    """Each device's verdicts stay beside the preset's, and no job but the page's reads them."""
    tiny = reported.copy(tmp_path / "with a space")
    report = tiny.folder / "results/tiny/report"
    assert (report / "claims.cpu.json").read_bytes() == (report / "claims.json").read_bytes()
    theirs = json.loads((report / "claims.json").read_text())
    (report / "claims.cuda.json").write_text(json.dumps(theirs))
    assert tiny.jobs() == {"page"}
    page = BeautifulSoup((report / "index.html").read_text(), "html5lib")
    said = [" ".join(text.get_text().split()) for text in page.select(".agreement")]
    assert said[-1].startswith("Agrees with this preset as a GPU gave it on 0 of 0 claims.")


# ---------------------------------------------------------------- what is trained


def test_a_new_seed_trains_its_runs_and_a_removed_level_none(tiny):
    tiny.configure(seeds=3)
    trained, said = tiny.train()
    assert levels(trained, "init", "seed") == {("he", 2), ("xavier", 2)}
    assert "2 of 6 runs to train" in said

    tiny.configure(seeds=3, init=["he"])
    trained, said = tiny.train()
    assert trained == {} and "to train" not in said
    runs = pd.read_parquet(tiny.folder / "results/tiny/tables/runs.parquet")
    assert sorted(zip(runs["init"], runs["seed"], strict=True)) == [("he", i) for i in range(3)]


SWISH = """

STEEPNESS = 1.5


@activation("swish")
def swish(z):
    return z * torch.sigmoid(STEEPNESS * z)
"""


def test_a_new_activation_trains_its_runs_and_so_does_a_change_of_it(tiny):
    file = "workflow/finicky/engine/activations.py"
    tiny.edit(file, lambda text: text + SWISH)
    tiny.configure(activation=["relu", "swish"])
    trained, said = tiny.train()
    assert levels(trained, "activation") == {("swish",)} and len(trained) == 4
    assert "4 of 8 runs to train" in said and "engine's code" not in said

    tiny.edit(file, lambda text: text.replace("STEEPNESS = 1.5", "STEEPNESS = 1.25"))
    again, said = tiny.train()
    assert levels(again, "activation") == {("swish",)} and len(again) == 4
    assert again.keys().isdisjoint(trained)
    assert "4 of 8 runs to train" in said and "engine's code" not in said


def test_presets_share_their_runs(tiny):
    tiny.configure("other", init=["he", "lecun"])
    trained, said = tiny.train("other")
    assert levels(trained, "init") == {("lecun",)} and len(trained) == 2
    assert "2 of 4 runs to train" in said

    def he(preset):
        folder = tiny.folder / f"results/{preset}/tables"
        runs = pd.read_parquet(folder / "runs.parquet").query("init == 'he'").set_index("run")
        return runs.drop(columns=["subgrids", "purposes"])

    pd.testing.assert_frame_equal(he("tiny"), he("other"))
    assert len(he("tiny")) == 2


def test_a_comment_in_the_engine_trains_nothing_but_code_trains_all(tiny):
    before, file = tiny.runs(), "workflow/finicky/engine/history.py"
    tiny.edit(file, lambda text: text.replace("LARGE = 1000", "# many times\nLARGE = 1000"))
    trained, said = tiny.train()
    assert trained == {} and "to train" not in said

    tiny.edit(file, lambda text: text.replace("LARGE = 1000", "LARGE = 999"))
    trained, said = tiny.train()
    assert "The engine's code has changed" in said and "4 of 4 runs to train" in said
    assert levels(trained, "init", "seed") == levels(before, "init", "seed")
    assert trained.keys().isdisjoint(before)

    assert "engine's code" not in tiny.train()[1]


@pytest.mark.parametrize("damage", [lambda text: text[:-9], lambda text: ""], ids=["cut", "empty"])
def test_a_damaged_stored_run_is_trained_again(tiny, damage):
    before = tiny.runs()
    run = min(before)
    tiny.edit(f"results/store/{run[:2]}/{run}.json", damage)
    shutil.rmtree(tiny.folder / "results/tiny")
    trained, _ = tiny.train()
    assert set(trained) == {run}
    (log,) = [file for file in tiny.folder.glob("results/tiny/logs/train/*") if file.is_file()]
    assert f"{run} is stored in a damaged file" in log.read_text()
    record, old = trained[run], before[run]
    record["fused"] = old["fused"]  # alone this time
    assert lasting(record) == lasting(old)


def flip(path):
    """Flip one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_damaged_shard_is_made_again_from_the_store(tiny):
    (shard,) = tiny.folder.glob("results/tiny/shards/*.parquet")
    before = shard.read_bytes()
    flip(shard)
    (tiny.folder / "results/tiny/tables/runs.parquet").unlink()
    trained, _ = tiny.train()
    assert trained == {} and shard.read_bytes() == before
    log = (tiny.folder / "results/tiny/logs/tables.log").read_text()
    assert f"{shard.name}: found a damaged file" in log and "made again from the store" in log


def test_a_damaged_table_is_named_and_made_again(reported, tmp_path):
    """By the call after the one whose job met with it, or after `make verify`."""
    tiny = reported.copy(tmp_path / "with a space")
    table = tiny.folder / "results/tiny/tables/runs.parquet"
    before = pd.read_parquet(table)
    flip(table)
    (tiny.folder / "results/tiny/provenance.json").unlink()
    done = tiny.call(tiny.command("tiny"))
    assert done.returncode != 0
    [line] = [line for line in done.stdout.splitlines() if "found a damaged file" in line]
    assert line.startswith("results/tiny/tables/runs.parquet: found a damaged file")
    assert not table.exists()
    tiny.snakemake()
    pd.testing.assert_frame_equal(pd.read_parquet(table), before)

    flip(table)
    for name in (
        "full",
        "smoke",
        "seeds-1000",
        "seeds-2000",
    ):  # laid over what this project has not
        (tiny.folder / f"config/{name}.yaml").unlink()
    script = [sys.executable, "workflow/scripts/upkeep.py", "verify"]
    done = tiny.call(script)
    assert done.returncode == 1 and "runs.parquet is damaged: removed" in done.stdout
    assert tiny.jobs() >= {"tables"}
    pd.testing.assert_frame_equal(pd.read_parquet(table), before)


def test_status_says_how_far_a_preset_is(tiny):
    """The same runs as the workflow plans, by the same merge of the config."""
    command = [sys.executable, "workflow/scripts/status.py", "config/tiny.yaml"]
    done = tiny.call(command)
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("tiny: 4 of 4 runs stored, about ")  # the page is not made
    tiny.configure(seeds=3)
    done = tiny.call(command)
    assert done.stdout.startswith("tiny: 4 of 6 runs stored, 2 missing, about ")
