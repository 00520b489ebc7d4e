"""`make list`, `make new-experiment`, `make new-claim`: what they write is complete at once."""

import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from finicky import declarations, scaffold
from finicky.evidence import ledger

ROOT = Path(__file__).parents[2]


@pytest.fixture
def copy(tmp_path):
    """A copy of the code, the config and what unit tests share."""
    for name in ("workflow", "config"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "tests/unit").mkdir(parents=True)
    for name in ("pyproject.toml", "tests/unit/conftest.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def call(folder, *words):
    """What the script said in a folder: (exit status, stdout, stderr)."""
    script = [sys.executable, "workflow/scripts/scaffold.py", *words]
    done = subprocess.run(script, cwd=folder, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def run(folder, *words):
    """Run a Python module in a folder; it must succeed."""
    words = [sys.executable, "-m", *words]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_new_experiment_and_a_claim_about_it_pass_at_once(copy):
    before = (copy / "config/claims.yaml").read_text()
    assert call(copy, "new-experiment", "first-look")[0] == 0
    assert call(copy, "new-claim", "C901", "first-look")[0] == 0

    files = [f"{folder}/{name}first_look.py" for folder, name in (
        ("workflow/finicky/experiments", ""), ("tests/unit", "test_"))]  # fmt: skip
    run(copy, "ruff", "check", *files)
    run(copy, "ruff", "format", "--check", *files)
    run(copy, "pytest", "-q", "-p", "no:cacheprovider", files[1])

    made = declarations.experiments(copy / "workflow/finicky/experiments")
    assert made["first-look"].title == "First look"
    document = ledger.load(copy / "config/claims.yaml", made)
    claim = document["claims"][-1]
    assert (claim["id"], claim["by"]) == ("C901", ["first-look"])
    assert set(claim["headline"]) == {"reproduced", "not reproduced"}
    assert claim["why"] and claim["parts"][0]["unit"] == "nats"
    assert (copy / "config/claims.yaml").read_text().startswith(before)  # nothing else is touched


@pytest.mark.parametrize("slug", random.Random(0).sample(sorted(declarations.experiments()), 6))
def test_a_claim_about_any_experiment_is_valid(slug, tmp_path):
    path = tmp_path / "claims.yaml"
    shutil.copy(ROOT / "config/claims.yaml", path)
    scaffold.new_claim("C901", slug, path)  # which loads the ledger that it wrote
    assert path.read_text(encoding="utf-8").count("id: C901\n") == 1


@pytest.mark.parametrize(
    "words, said",
    [
        (["new-experiment", "adam"], "NAME: found 'adam'; allowed: a new name: there is workflow/"),
        (["new-experiment", "tidy"], "NAME: found 'tidy'; allowed: a new name"),
        (["new-experiment", "Two Words"], "NAME: found 'Two Words'; allowed: small letters"),
        (["new-experiment", "../x"], "NAME: found '../x'"),
        (["new-experiment", ""], "NAME: found ''"),
        (["new-claim", "C001", "adam"], "ID: found C001; allowed: a new id, such as C"),
        (["new-claim", "X1", "adam"], "ID: found 'X1'; allowed: C and three digits"),
        (["new-claim", "C901", "alchemy"], "EXPERIMENT: found 'alchemy'; allowed: activations,"),
        (["new-claim", "C901", ""], "EXPERIMENT: found ''"),
        (
            ["list", "colours"],
            "WHAT: found 'colours'; allowed: levels, experiments, pre",
        ),
    ],
)
def test_what_is_refused_gets_one_line_and_changes_nothing(copy, words, said):
    def files():
        return {p: p.read_bytes() for p in copy.rglob("*") if p.is_file() and p.suffix != ".pyc"}

    before = files()
    status, out, error = call(copy, *words)
    assert status == 1 and out == "" and len(error.splitlines()) == 1 and error.startswith(said)
    assert files() == before


def test_lists_say_a_line_each():
    status, out, _ = call(ROOT, "list")
    lines = out.splitlines()
    assert status == 0
    assert any(line.startswith("optimizer: sgd, momentum") for line in lines)
    assert "smoke: 2 seeds from 0" in out and any(line.startswith("adam: ") for line in lines)
    status, out, _ = call(ROOT, "list", "claims")
    claims = ledger.load(ROOT / "config/claims.yaml")["claims"]
    assert [line.split(":")[0] for line in out.splitlines()] == [claim["id"] for claim in claims]
