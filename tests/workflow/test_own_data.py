"""A data set of one's own, from its declaration in YAML to the page, with the chapter's claims
beside the one on it."""

import hashlib
import json
import sys

import numpy as np
import pandas as pd
import pytest
import yaml
from bs4 import BeautifulSoup

GRID = {
    "dataset": ["four"], "images": 500, "epochs": 2, "depth": [2], "block": ["plain"],
    "activation": ["relu"], "init": ["he"], "optimizer": ["adam"], "learning_rate": [0.01],
    "width": [32, 64], "schedule": ["constant", "cosine"], "label_noise": [0, 0.4],
}  # fmt: skip


@pytest.fixture
def project(untrained, tmp_path):
    """A project with the preset `own`, whose one data set has four classes of 9 x 9 pixels."""
    project = untrained.copy(tmp_path / "with a space")
    random = np.random.default_rng(0)
    prototypes, arrays = random.integers(0, 256, (4, 9, 9)), {}
    for split, count in ("train", 600), ("test", 100):
        labels = random.integers(0, 4, count)
        noise = random.integers(0, 256, (count, 9, 9))
        arrays[f"{split}_images"] = ((3 * prototypes[labels] + noise) // 4).astype(np.uint8)
        arrays[f"{split}_labels"] = labels
    file = project.folder / "four.npz"
    np.savez_compressed(file, **arrays)
    declared = {
        "npz": {"path": "four.npz", "sha256": hashlib.sha256(file.read_bytes()).hexdigest()},
        "shape": [9, 9], "classes": 4, "images": {"train": 600, "test": 100},
    }  # fmt: skip
    claims = [{"id": "learns", "says": "All of them learn.", "share": "trained"}]
    preset = {
        "preset": "own",
        "seeds": 5,
        "experiments": ["sources"],
        "claims": claims,
        "chapter": True,
        "datasets": {"four": declared},
        "grid": {"own": GRID},
    }
    project.write("config/own.yaml", yaml.safe_dump(preset))
    return project


def test_it_is_verified_trained_and_shown(project):
    records, _ = project.train("own")
    assert len(records) == 2 * 2 * 2 * 5
    assert project.train("own")[0] == {}, "stored and verified: nothing is left"
    table = pd.read_parquet(project.folder / "results/own/tables/runs.parquet")
    assert set(table["classes"]) == {4} and set(table["label_noise"]) == {0, 0.4}
    assert set(table["purposes"]) == {""}
    for record in records.values():
        last = record["curves"][-1]
        assert last["test_accuracy"] > 75  # chance is 25
        assert (last["train_accuracy"] > 90) == (record["label_noise"] == 0)
    project.snakemake("own")
    page = (project.folder / "results/own/report/index.html").read_text(encoding="utf-8")
    assert '"chance":[25.0]' in page
    claim, *of_chapter = json.loads((project.folder / "results/own/report/claims.json").read_text())
    assert claim["verdict"] == "reproduced" and len(claim["conditions"]) == 8
    decided = {one["id"] for one in of_chapter if one["verdict"] == "reproduced"}
    of_sources = {one["id"] for one in of_chapter if one["by"] == ["sources"]}
    assert len(of_chapter) == 200 and decided & of_sources
    assert not any(one["conditions"] for one in of_chapter if "sources" not in one["by"])
    page = BeautifulSoup(page, "html5lib")
    first, *others = (card["id"] for card in page.select(".claim"))
    assert first == "learns" and {*others} == {one["id"] for one in of_chapter}
    assert page.h1.get_text().startswith("200 claims")
    assert claim["headline"] in " ".join(page.find(class_="answer").get_text().split())
    provenance = json.loads((project.folder / "results/own/provenance.json").read_text())
    assert list(provenance["data"]) == ["four"]


def test_what_is_not_as_declared_is_one_line_before_anything_runs(project):
    with (project.folder / "four.npz").open("ab") as file:
        file.write(b"x")
    check = [sys.executable, "workflow/scripts/check.py", "config/own.yaml"]
    for call in check, project.command("own"):
        done = project.call(call)
        lines = [line for line in done.stdout.splitlines() if "four.npz" in line]
        assert done.returncode != 0 and len(lines) == 1
        assert lines[0].startswith("four.npz: SHA-256: found ") and "Traceback" not in done.stdout
    assert not list(project.folder.glob("results/store/*/*.json"))
