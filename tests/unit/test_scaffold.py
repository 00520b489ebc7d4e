"""`make list`, `make new-experiment`, `make new-claim`: what they write is complete at once."""

import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from finicky import declarations, scaffold
from finicky.errors import InputError
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
    "name, allowed",
    [
        ("adam", "a new name: there is workflow/finicky/experiments/adam.py"),
        ("tidy", "a new name: there is workflow/finicky/experiments/tidy.py"),
        ("style", "a new name: there is workflow/finicky/exhibits/style.py"),
        ("store", "a new name: there is tests/unit/test_store.py"),
        *((name, "small letters") for name in ("Two Words", "../x", "", "a--b", "a_b", "x.py")),
    ],
)
def test_a_name_that_exists_or_is_none_is_refused(tmp_path, name, allowed):
    for file in ("experiments/adam", "experiments/tidy", "exhibits/style"):
        path = tmp_path / f"workflow/finicky/{file}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "tests/unit").mkdir(parents=True)
    (tmp_path / "tests/unit/test_store.py").touch()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError) as error:
        scaffold.new_experiment(name, tmp_path)
    said = str(error.value).replace(f"{tmp_path}/", "")
    assert said.startswith(f"NAME: found {name!r}; allowed: {allowed}")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "claim, experiment, said",
    [
        ("C001", "adam", "ID: found C001; allowed: a new id, such as C"),
        ("X1", "adam", "ID: found 'X1'; allowed: C and three digits"),
        ("C901", "alchemy", "EXPERIMENT: found 'alchemy'; allowed: activations,"),
        ("C901", "", "EXPERIMENT: found ''"),
    ],
)
def test_a_claim_that_exists_or_is_about_nothing_is_refused(tmp_path, claim, experiment, said):
    path = tmp_path / "claims.yaml"
    shutil.copy(ROOT / "config/claims.yaml", path)
    before = path.read_bytes()
    with pytest.raises(InputError) as error:
        scaffold.new_claim(claim, experiment, path)
    assert str(error.value).startswith(said)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_bad_words_get_one_line():
    status, out, error = call(ROOT, "list", "colours")
    assert (status, out) == (1, "")
    assert error == ("WHAT: found 'colours'; allowed: levels, experiments, presets, claims\n")


def test_lists_say_a_line_each():
    status, out, _ = call(ROOT, "list")
    lines = out.splitlines()
    assert status == 0
    assert any(line.startswith("optimizer: sgd, momentum") for line in lines)
    assert "smoke: 2 seeds from 0" in out and any(line.startswith("adam: ") for line in lines)
    claims = ledger.load(ROOT / "config/claims.yaml")["claims"]
    for claim in claims:
        assert any(line.startswith(f"{claim['id']}: {claim['rule']} (") for line in lines)
