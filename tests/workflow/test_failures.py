"""One failure costs only what depends on it: the rest is made, and the page names its gaps."""

import json
import os
import re
import signal
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml
from bs4 import BeautifulSoup

from finicky import config as presets

ROOT = Path(__file__).parents[2]
PATIENCE = 600  # seconds after which something will not happen any more
RAISE = "raise ValueError('too\\n  tired')"
KILL = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
KILLED = "killed, probably out of memory"

# What breaks: (file below workflow/finicky/, a function, what it does first).
BREAKS = [
    ("experiments/losses.py", "measure", RAISE),
    ("experiments/linearity.py", "measure", KILL),
    ("exhibits/mini_project.py", "f01", RAISE),
    ("exhibits/mini_project.py", "t13", KILL),
]
# Update rules of a user's own. The last one comes after SGD in its shard, of which it is the end.
BROKEN = f"""

@optimizer("broken")
def broken(parameters, gradient, state, learning_rate, step):
    if learning_rate > 0:
        raise RuntimeError("no descent")
    parameters.add_(gradient, alpha=-learning_rate)


@optimizer("astray")
def astray(parameters, gradient, state, learning_rate, step):
    parameters.fill_(float("nan"))


@optimizer("spendthrift")
def spendthrift(parameters, gradient, state, learning_rate, step):
    if learning_rate > 0:
        {KILL}
    parameters.add_(gradient, alpha=-learning_rate)
"""
RUNS = {"broken": 4, "astray": 4, "sgd": 8, "spendthrift": 4}
# What is said of each: (what failed, the reason, its log).
FAILURES = {
    "an experiment raises": (
        "the experiment losses", "ValueError: too tired", "experiments/losses.log",
    ),
    "an experiment is killed": ("the experiment linearity", KILLED, "experiments/linearity.log"),
    "a figure raises": ("the figure F01", "ValueError: too tired", "figures/F01.log"),
    "a table is killed": ("the table T13", KILLED, "refilled/T13.log"),
    "a shard raises": (
        "the training of mnist-02-plain-relu-", "RuntimeError: no descent", "train/",
    ),
    "a shard is killed": ("the training of mnist-02-plain-tanh-", KILLED, "train/"),
}  # fmt: skip


def broken(name, what):
    """The change of a file after which this function does that first."""
    return lambda text: re.sub(
        rf"^def {name}\(.*\n", lambda head: f"{head[0]}    {what}\n", text, flags=re.MULTILINE
    )


def configure(project, slugs, **changes):
    """The tiny preset with experiments, set up as the smoke preset has them."""
    config = [project.folder / f"config/{name}.yaml" for name in ("smoke", "whole")]
    experiments = presets.load(*config)["experiments"]
    project.configure(experiments={slug: experiments[slug] for slug in slugs}, **changes)


@pytest.fixture(scope="module")
def project(untrained, images, tmp_path_factory):
    """The tiny project with experiments, runs of new optimizers, and faults in nearly all of it."""
    project = untrained.copy(tmp_path_factory.mktemp("failures") / "with a space")
    whole = ROOT / "config/config.yaml"
    project.write("config/whole.yaml", whole.read_text(encoding="utf-8"))
    project.before = {
        path: (project.folder / "workflow/finicky" / path).read_text(encoding="utf-8")
        for path, _, _ in BREAKS
    }
    for path, name, what in BREAKS:
        project.edit(f"workflow/finicky/{path}", broken(name, what))
    project.edit("workflow/finicky/engine/optimizers.py", lambda text: text + BROKEN)
    configure(
        project, ["sources", "losses", "linearity", "mini-project"],
        optimizer=["broken", "astray", "sgd"],
        optimizers={"broken": [0.1], "astray": [0.1], "spendthrift": [0.1]},
    )  # fmt: skip
    config = yaml.safe_load((project.folder / "config/tiny.yaml").read_text(encoding="utf-8"))
    config["grid"]["greedy"] = config["grid"]["tiny"] | {
        "activation": ["tanh"], "optimizer": ["sgd", "spendthrift"],
    }  # fmt: skip
    project.write("config/tiny.yaml", yaml.safe_dump(config))
    return project


@pytest.fixture(scope="module")
def failed(project):
    """What a call said in which all of this failed."""
    done = project.call(project.command("tiny"))
    assert done.returncode == 1, done.stdout
    return done.stdout


def page(project):
    html = (project.folder / "results/tiny/report/index.html").read_text(encoding="utf-8")
    return BeautifulSoup(html, "html5lib")


@pytest.mark.parametrize("what, why, log", FAILURES.values(), ids=list(FAILURES))
def test_one_line_says_what_failed_and_the_page_says_it_too(project, failed, what, why, log):
    pattern = rf"{re.escape(what)}\S* failed: {re.escape(why)}; log: results/tiny/logs/{log}.*"
    assert len([line for line in failed.splitlines() if re.fullmatch(pattern, line)]) == 1
    assert "Traceback" not in failed
    [line] = [
        found[0]
        for item in page(project).find(id="failures").find_next("ul").find_all("li")
        if (found := re.fullmatch(pattern, item.get_text(), re.IGNORECASE))
    ]
    log = (project.folder / line.partition("log: ")[2]).read_text(encoding="utf-8")
    assert ("Traceback" in log) == (why != KILLED)


def test_the_rest_is_made(project, failed):
    results = project.folder / "results/tiny"
    assert {path.stem for path in results.glob("experiments/*")} == {"sources", "mini-project"}
    runs = pd.read_parquet(results / "tables/runs.parquet")
    # Also those of the shards that failed, whose declared output Snakemake has removed.
    assert runs["optimizer"].value_counts().to_dict() == {"sgd": 8, "astray": 4}
    assert set(runs["outcome"][runs["optimizer"] == "astray"]) == {"nan"}
    assert failed.count("The page, without what failed: results/tiny/report/index.html") == 1
    banner = page(project).select_one(".answer .banner:has([href='#failures'])").get_text()
    assert "8 of 20 runs failed" in banner
    claims = json.loads((results / "report/claims.json").read_text(encoding="utf-8"))
    reasons = {claim["reason"] for claim in claims if "losses" in claim["by"]}
    log = "results/tiny/logs/experiments/losses.log"
    assert f"the experiment losses failed: ValueError: too tired; log: {log}" in reasons
    assert any("sources" in claim["by"] and claim["parts"] and claim["verdict"] != "not measured"
               for claim in claims)  # fmt: skip


def test_once_mended_only_what_failed_is_made_and_the_gaps_are_gone(project, failed):
    for path, text in project.before.items():
        project.write(f"workflow/finicky/{path}", text)
    project.edit(
        "workflow/finicky/engine/optimizers.py",
        lambda text: text.replace("if learning_rate > 0", "if learning_rate < 0"),
    )
    before = project.store()
    jobs = project.jobs()
    assert before.items() < project.store().items() and len(project.store()) == sum(RUNS.values())
    assert "experiments/sources" not in jobs
    assert {"experiments/losses", "experiments/linearity", "figures/F01", "refilled/T13"} <= jobs
    assert page(project).find(id="failures") is None
    assert project.jobs() == set()


def test_ctrl_c_makes_no_page_of_what_there_is(project, tmp_path, start):
    """Though something has failed before."""
    copy = project.copy(tmp_path / "project")
    copy.edit("workflow/finicky/experiments/losses.py", broken("measure", RAISE))
    (copy.folder / "results/tiny/report/index.html").unlink(missing_ok=True)
    configure(copy, ["losses"], images=6400, epochs=5000, init=["lecun"])
    process = start(copy, copy.command("tiny"))
    deadline = time.monotonic() + PATIENCE
    said = copy.folder / "output.log"
    while "the experiment losses failed" not in said.read_text(encoding="utf-8"):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(PATIENCE) != 0
    assert not (copy.folder / "results/tiny/report/index.html").exists()
    assert said.read_text(encoding="utf-8").count("Building DAG of jobs") == 1
    assert "Traceback" not in said.read_text(encoding="utf-8")
