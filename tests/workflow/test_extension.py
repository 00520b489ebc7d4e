"""What CONTRIBUTING.md shows works as it is written there."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
import yaml
from bs4 import BeautifulSoup

TEXT = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text()

# The examples in the order of the text, each with the file that the text names for it.
FILES = [
    ("python", "workflow/finicky/engine/initializers.py"),
    ("python", "workflow/finicky/engine/activations.py"),
    ("python", "workflow/finicky/engine/optimizers.py"),
    ("yaml", "the config"),
    ("python", "workflow/finicky/experiments/start_loss.py"),
    ("yaml", "config/claims.yaml"),
]


def examples():
    """[(language, the text before it, the example)]"""
    parts = re.split(r"^```(python|yaml)\n(.*?)^```$", TEXT, flags=re.DOTALL | re.MULTILINE)
    return list(zip(parts[1::3], parts[0::3], parts[2::3], strict=False))


def test_the_text_names_each_file_before_its_example():
    assert [language for language, _, _ in examples()] == [language for language, _ in FILES]
    for (_, before, _), (_, file) in zip(examples(), FILES, strict=True):
        assert file in before


@pytest.fixture(scope="module")
def extended(trained, tmp_path_factory):
    """The tiny project with all the examples applied and its new preset run: the project, and the
    runs that were trained."""
    project = trained.copy(tmp_path_factory.mktemp("extended") / "with a space")
    initializer, activation, optimizer, config, experiment, claim = (e for _, _, e in examples())
    for (_, file), example in zip(FILES, (initializer, activation, optimizer), strict=False):
        project.edit(file, lambda text, more=example: f"{text}\n\n{more}")
    project.write(FILES[4][1], experiment)
    indented = "".join(f"  {line}\n" for line in claim.splitlines())
    project.edit("config/claims.yaml", lambda text: text + indented)

    preset = yaml.safe_load(config) | {"preset": "mine", "seeds": 2, "width": 32}
    preset |= {"experiments": {"start-loss": {}}}
    project.write("config/mine.yaml", yaml.safe_dump(preset))
    before = project.store()
    project.snakemake("mine")
    assert before.items() <= project.store().items()
    new = {run: record for run, record in project.runs().items() if run not in before}
    return project, new


def test_only_the_new_cells_are_trained(extended):
    project, new = extended
    cells = {(r["init"], r["activation"], r["optimizer"], r["learning_rate"]) for r in new.values()}
    assert cells == {
        (init, activation, "lion", 0.0001)
        for init in ("he", "he_fan_out")
        for activation in ("relu", "swish")
    }
    assert len(new) == 8
    assert all(record["outcome"] == "finite" for record in new.values())
    assert project.train("tiny")[0] == {}


def test_the_tables_have_the_new_cells(extended):
    project, new = extended
    runs = pd.read_parquet(project.folder / "results/mine/tables/runs.parquet")
    assert set(runs["run"]) == set(new)
    assert set(runs["subgrids"]) == {"lion-at-ten-layers"}


def test_the_experiment_measures_one_number_a_run(extended):
    project, new = extended
    table = pd.read_parquet(project.folder / "results/mine/experiments/start-loss.parquet")
    assert sorted(table["value"]) == sorted(record["start_loss"] for record in new.values())


def test_the_claim_is_judged_and_shown(extended):
    project, _ = extended
    report = project.folder / "results/mine/report"
    claims = {claim["id"]: claim for claim in json.loads((report / "claims.json").read_text())}
    [part] = claims["C201"]["parts"]
    assert claims["C201"]["verdict"] == "undecided"  # two seeds decide nothing
    assert part["n"] == 2 and part["unit"] == "nats" and part["chapter"] == 2.302585
    assert 1.5 < part["measured"] < 3.5

    page = BeautifulSoup((report / "index.html").read_text(), "html5lib")
    [card] = page.find_all(id="C201")
    assert "starts near the loss of a uniform guess" in " ".join(card.get_text().split())
