"""A researcher's own question, from ten lines of YAML to a page that answers it."""

import json
import sys

import pandas as pd
import pytest
import yaml
from bs4 import BeautifulSoup

PRESET = {
    "preset": "mine",
    "experiments": "none",
    "width": 32,
    "grid": {
        "leaky": {
            "dataset": ["mnist"], "depth": [2, 4], "activation": ["relu", "leaky_relu"],
            "init": ["he"], "optimizer": ["sgd"], "seeds": 5, "images": 300, "epochs": 1,
        },
        "decay": {
            "dataset": ["fashion_mnist"], "depth": [2], "activation": ["relu"], "init": ["he"],
            "optimizer": ["adamw"], "learning_rate": [0.001], "width": 64, "seeds": 5,
            "weight_decay": [0, 0.01], "images": 300, "epochs": 1,
        },
    },
    "claims": [
        {
            "id": "leaky-helps",
            "says": "Leaky ReLU is ahead of ReLU.",
            "compare": {"axis": "activation", "a": "leaky_relu", "b": "relu"},
            "margin": 0.5,
        },
        {
            "id": "decay-matters",
            "says": "AdamW's usual decay helps.",
            "compare": {"axis": "weight_decay", "a": 0.01, "b": 0},
            "metric": "test_loss",
            "margin": 0.1,
        },
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def asked(untrained, tmp_path_factory):
    """The question, and its page made."""
    project = untrained.copy(tmp_path_factory.mktemp("asked") / "with a space")
    project.write("config/mine.yaml", yaml.safe_dump(PRESET))
    project.snakemake("mine")
    return project


def test_the_page_answers_it(asked):
    report = asked.folder / "results/mine/report"
    claim, other = json.loads((report / "claims.json").read_text())
    assert other["id"] == "decay-matters" and other["parts"][0]["n"] == 5
    assert claim["id"] == "leaky-helps" and claim["headline"]
    assert {row["levels"]["depth"] for row in claim["conditions"]} == {2, 4}
    page = BeautifulSoup((report / "index.html").read_text(), "html5lib")
    assert claim["headline"] in " ".join(page.find(class_="answer").get_text().split())
    assert [card["id"] for card in page.select(".claim")] == ["leaky-helps", "decay-matters"]
    assert page.find(id="sub-grids").find("svg") and page.find(id="explore")


def test_the_answers_are_printed(asked):
    """As `make report` does at its end."""
    claims = json.loads((asked.folder / "results/mine/report/claims.json").read_text())
    words = ["workflow/scripts/answers.py", "results/mine/report/claims.json"]
    done = asked.call([sys.executable, *words])
    expected = [f"{claim['id']}: {claim['headline']}" for claim in claims]
    assert done.returncode == 0 and done.stdout.splitlines() == expected


def test_the_numbers_are_those_of_the_runs(asked):
    tables = asked.folder / "results/mine/tables"
    last = pd.read_parquet(tables / "curves.parquet").set_index("run")["test_accuracy"]
    runs = pd.read_parquet(tables / "runs.parquet").assign(accuracy=lambda t: t["run"].map(last))
    runs = runs[runs["dataset"] == "mnist"]
    wide = runs.pivot(index=["depth", "seed"], columns="activation", values="accuracy")
    expected = sorted((wide["leaky_relu"] - wide["relu"]).round(6))
    table = pd.read_parquet(asked.folder / "results/mine/experiments/questions.parquet")
    assert sorted(table.loc[table["question"] == "leaky-helps", "value"].round(6)) == expected


def test_another_margin_is_judged_anew_and_measures_nothing(asked):
    asked.edit("config/mine.yaml", lambda text: text.replace("margin: 0.5", "margin: 0.25"))
    assert asked.jobs("mine") == {"judge", "provenance", "page"}


def test_check_says_what_it_can_decide_or_what_is_wrong(asked):
    words = [sys.executable, "workflow/scripts/check.py", "config/mine.yaml"]
    done = asked.call(words)
    assert done.returncode == 0
    assert "mine: 30 of 30 runs stored" in done.stdout
    assert "leaky-helps: 2 settings (depth), 5 seeds each; in 90 % of cases" in done.stdout

    asked.edit("config/mine.yaml", lambda text: text.replace("b: relu", "b: relo"))
    said = "config/mine.yaml: claims[leaky-helps].compare.b: found 'relo'; allowed: what the grid "
    for call in words, asked.command("mine", "--dry-run"):
        done = asked.call(call)
        assert done.returncode == 1 and said in done.stdout
