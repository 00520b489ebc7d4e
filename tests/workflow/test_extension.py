"""What CONTRIBUTING.md shows works as it is written there."""

import json
import re
import shutil
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
    ("python", "workflow/finicky/engine/schedules.py"),
    ("yaml", "the config"),
    ("python", "workflow/finicky/experiments/start_loss.py"),
    ("python", "workflow/finicky/exhibits/start_loss.py"),
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
def extended(trained, smoke, tmp_path_factory):
    """The tiny project with all the examples applied, as they stand, and two presets run: `mine`,
    which has the example's sub-grid, and `shipped`, which has the cells of the smoke preset, with
    several optimizers and blocks, and its runs. Returns the project, and the runs that `mine`
    trained."""
    project = trained.copy(tmp_path_factory.mktemp("extended") / "with a space")
    *levels, config, experiment, exhibit, claim = (example for _, _, example in examples())
    for (_, file), example in zip(FILES, levels, strict=False):
        project.edit(file, lambda text, more=example: f"{text}\n\n{more}")
    project.write(FILES[5][1], experiment)
    project.write(FILES[6][1], exhibit)
    project.edit("config/claims.yaml", lambda text: text + claim)

    preset = yaml.safe_load(config) | {"preset": "mine", "seeds": 2, "width": 32}
    preset |= {"experiments": {"start-loss": {"at_most": 1000}}}
    project.write("config/mine.yaml", yaml.safe_dump(preset))
    before = project.store()
    project.snakemake("mine")
    assert before.items() <= project.store().items()
    new = {run: record for run, record in project.runs().items() if run not in before}

    shipped = yaml.safe_load((project.folder / "config/smoke.yaml").read_text())
    shipped |= {"preset": "shipped", "experiments": preset["experiments"]}
    project.write("config/shipped.yaml", yaml.safe_dump(shipped))
    runs = smoke.folder / "results/store"
    shutil.copytree(runs, project.folder / "results/store", dirs_exist_ok=True)
    assert "to train" not in project.snakemake("shipped"), "new levels leave all other runs valid"
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


def test_the_experiment_measures_one_number_per_network_and_seed(extended):
    project, new = extended
    table = pd.read_parquet(project.folder / "results/mine/experiments/start-loss.parquet")
    assert sorted(table["value"]) == sorted(record["start_loss"] for record in new.values())


@pytest.mark.parametrize("preset, depths", [("mine", 1), ("shipped", 4)])
def test_the_claim_is_judged_and_shown(extended, preset, depths):
    """Also where networks were trained in several ways, which start alike."""
    project, _ = extended
    report = project.folder / f"results/{preset}/report"
    claims = {claim["id"]: claim for claim in json.loads((report / "claims.json").read_text())}
    [part] = claims["C201"]["parts"]
    assert claims["C201"]["verdict"] == "undecided"  # two seeds decide nothing
    assert part["n"] and part["unit"] == "nats" and part["chapter"] == 2.302585
    assert 1.5 < part["measured"] < 5
    assert part["counts"]["conditions"] == depths

    page = BeautifulSoup((report / "index.html").read_text(), "html5lib")
    [card] = page.find_all(id="C201")
    said = " ".join(card.get_text().split())
    assert "starts near the loss of a uniform guess" in said and "undecided" in said.lower()


def test_the_page_shows_the_new_levels(extended):
    """In the explorer, by their names."""
    project, _ = extended
    page = BeautifulSoup(
        (project.folder / "results/mine/report/index.html").read_text(), "html5lib"
    )
    axes = json.loads(page.find(id="explorer-data").string)["axes"]
    shown = {axis["key"]: {level["label"] for level in axis["levels"]} for axis in axes}
    assert shown["optimizer"] == {"lion"}
    assert shown["activation"] == {"ReLU", "swish"}
    assert shown["init"] == {"He", "he fan out"}


def test_its_figure_and_table_stand_in_the_section_of_the_claim(extended):
    project, _ = extended
    page = BeautifulSoup(
        (project.folder / "results/mine/report/index.html").read_text(), "html5lib"
    )
    section = page.find(id="initialisation")
    assert section.find(id="F39").find("svg")
    rows = [row.get_text(" ", strip=True) for row in section.find(id="T14").find_all("tr")]
    assert any(row.startswith("He ") for row in rows)
