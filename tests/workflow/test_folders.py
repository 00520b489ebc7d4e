"""Where Finicky lies, and what its files are called, is the user's business."""

import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

from finicky import documents

ROOT = Path(__file__).parents[2]

# Everything that a shell, make, Python's format or Snakemake's wildcards could stumble over.
NAME = "a b'c\"d$e;f(g)h\\i&j$(touch MADE)k*l?mü%#!~[n]|<o>,p=q@r`touch MADE`"


def place(untrained, folder):
    """The untrained project in a folder, with its environment inside, as `make` builds it."""
    project = untrained.copy(folder)
    (project.folder / ".venv").symlink_to(sys.prefix)
    return project


def call(project, *words):
    command = [str(project.folder / ".venv/bin/python"), "-m", "snakemake", *words]
    return project.call([*command, "--cores", "2", "--configfile", "config/tiny.yaml"])


def test_a_folder_of_any_name_is_only_a_name(untrained, tmp_path):
    project = place(untrained, tmp_path / NAME)
    done = call(project, "results/tiny/tables/runs.parquet")
    assert done.returncode == 0, done.stdout
    assert len(project.store()) == 4
    assert list(tmp_path.rglob("MADE")) == [] and not os.path.exists("MADE")


def test_braces_are_refused(untrained, tmp_path):
    """Snakemake takes them for wildcards, even in the paths of its own files."""
    project = place(untrained, tmp_path / "{a}")
    done = call(project, "-n")
    assert done.returncode == 1
    said = done.stdout.splitlines()[-1]
    assert (
        said == f"{project.folder}: found a brace in the path; allowed: a folder without {{ and }}"
    )


def test_results_and_images_may_lie_elsewhere(untrained, images, tmp_path):
    """Results behind a link, as on a scratch disk; the user's images in the home folder. `make
    distclean` empties the folder behind the link."""
    project = place(untrained, tmp_path / "project")
    results, scratch = project.folder / "results", tmp_path / "ganz müde Scheibe"
    results.rename(tmp_path / "aside")
    scratch.mkdir()
    results.symlink_to(scratch)
    (tmp_path / "home").mkdir()
    (tmp_path / "home/Bilder für Finicky").symlink_to(images)
    project.configure(data={"folder": "~/Bilder für Finicky"})
    table = "results/tiny/tables/runs.parquet"
    home = os.environ | {"HOME": str(tmp_path / "home")}
    done = project.call(project.command("tiny", table), env=home)
    assert done.returncode == 0, done.stdout
    assert len(project.store()) == 4 and (scratch / "tiny/tables/runs.parquet").exists()
    assert (scratch / "data/mnist/verified.json").exists()

    (project.folder / "Makefile").write_text((ROOT / "Makefile").read_text())
    (scratch / "reference").mkdir()
    assert make(project.folder, "clean").returncode == 0
    assert sorted(path.name for path in scratch.iterdir()) == ["data", "logs", "reference", "store"]
    assert make(project.folder, "distclean").returncode == 0
    assert results.is_symlink() and [path.name for path in scratch.iterdir()] == ["reference"]
    assert os.path.exists(sys.prefix), "the environment, to which .venv was a link"


# ---------------------------------------------------------------- names of configs, and make


def make(folder, *words):
    environment = {key: os.environ[key] for key in os.environ if not key.startswith("MAKE")}
    return subprocess.run(
        ["make", *words], cwd=folder, env=environment, capture_output=True, text=True
    )


def test_make_takes_file_names_for_data(untrained, tmp_path):
    """`make clean` removed the stored runs if there was a config/store.yaml."""
    project = untrained.copy(tmp_path / "project")
    (project.folder / "Makefile").write_text((ROOT / "Makefile").read_text())
    names = ["mine", "store", "data", "reference", "my store", "a$(touch MADE)", "b`touch MADE`",
             "c;touch MADE;", "-rf", ".."]  # fmt: skip
    for name in names:
        (project.folder / f"config/{name}.yaml").write_text("preset: x\n")
    kept, removed = ("store", "data", "reference", "bench", "logs"), ("default", "smoke", "mine")
    for name in kept + removed:
        (project.folder / "results" / name).mkdir(exist_ok=True)
    helped = make(project.folder, "help")
    assert "presets: default full mine seeds-1000 seeds-2000 smoke tiny\n" in helped.stdout, (
        helped.stderr
    )
    assert make(project.folder, "clean").returncode == 0
    assert sorted(path.name for path in (project.folder / "results").iterdir()) == sorted(kept)
    assert list(tmp_path.rglob("MADE")) == []


def test_make_and_the_schema_forbid_the_same_presets():
    schema = documents.read(documents.SCHEMAS / "config.schema.yaml", "a schema")
    [listed] = re.findall(r"grep -vxE '([a-z|]+)'", (ROOT / "Makefile").read_text())
    assert set(listed.split("|")) == {
        "config",
        "claims",
        "amendments",
        "default",
        *schema["properties"]["preset"]["not"]["enum"],
    }


def test_a_preset_is_called_like_its_file(untrained, tmp_path):
    """A copy under another name would overwrite the original's results."""
    project = untrained.copy(tmp_path / "project")
    config = yaml.safe_load((project.folder / "config/tiny.yaml").read_text())
    project.write("config/copy.yaml", yaml.safe_dump(config))
    done = project.call(project.command("copy"))
    assert done.returncode == 1
    said = "config/copy.yaml: preset: found 'tiny'; allowed: 'copy', the name of the file"
    assert done.stdout.splitlines()[-1].endswith(said)
