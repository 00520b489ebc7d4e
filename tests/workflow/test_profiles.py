"""Profiles: which there are, what make passes on, and what the cluster's jobs are."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from finicky import config as presets
from finicky import documents, runs

from .conftest import Project

ROOT = Path(__file__).parents[2]
PROFILES = "default gpu slurm slurm-gpu"


def make(*words):
    """What `make -n report` with these words would do."""
    return subprocess.run(
        ["make", "-n", "report", *words], cwd=ROOT, capture_output=True, text=True
    )


@pytest.mark.parametrize(
    "words, passed",
    [
        ([], "--cores all --resources gpu=1"),
        (["PROFILE=default", "CORES=2"], "--cores 2 --resources gpu=1"),
        (["PROFILE=slurm"], "--profile workflow/profiles/slurm"),
        (["PROFILE=slurm-gpu", "CORES=64"], "--profile workflow/profiles/slurm-gpu --cores 64"),
    ],
)
def test_make_passes_the_profile(words, passed):
    [line] = [line for line in make(*words).stdout.splitlines() if "-m snakemake" in line]
    assert " ".join(line.split()).endswith(f"-m snakemake {passed}")


@pytest.mark.parametrize("name", ["../profiles/slurm", "slurm gpu", "%", "", "nothing"])
def test_make_takes_only_profiles_that_exist(name):
    done = make(f"PROFILE={name}")
    assert done.returncode != 0 and PROFILES in done.stderr


@pytest.mark.parametrize("profile", ["slurm", "slurm-gpu"])
def test_a_clusters_profile_adds_to_the_default_one(untrained, profile):
    """Planned as on a cluster; none is needed for that."""
    done = untrained.call(
        untrained.command(
            "tiny", "-n", "--quiet", "host", "--profile", f"workflow/profiles/{profile}"
        )
    )
    assert done.returncode == 0, done.stdout
    assert "workflow specific profile profiles/default" in done.stdout
    assert "of 4 runs to train" not in done.stdout  # which only a start says
    resources = [line for line in done.stdout.splitlines() if "resources:" in line]
    assert resources and all("mem_mb=" in line and "runtime=" in line for line in resources)
    training = re.findall(
        r"^rule train:.*?resources: ([^\n]*)", done.stdout, re.DOTALL | re.MULTILINE
    )
    assert training and all(("gpu=1" in line) == (profile == "slurm-gpu") for line in training)


@pytest.mark.parametrize("place", ["called", "worked", "neither"])
@pytest.mark.parametrize("profile", ["slurm", "slurm-gpu"])
def test_the_site_is_found_beside_the_working_folder_too(untrained, tmp_path, profile, place):
    """Of another workflow's folder, say; else it is the clone's."""
    there, results = tmp_path / "there", tmp_path / "results"
    there.mkdir()
    results.mkdir()
    profiles = untrained.folder / "workflow/profiles"
    site = documents.read(profiles / "site.yaml", "a site")
    for name, folder in {"called": there, "worked": results}.items():
        if name == place:
            (folder / "site.yaml").write_text(yaml.safe_dump(site | {"account": f"of-{name}"}))
    done = Project(there).call([
        sys.executable, "-m", "snakemake", "-s", str(untrained.folder / "Snakefile"),
        "--directory", str(results), "--profile", str(profiles / profile), "-n", "--quiet", "host",
        "--configfile", str(untrained.folder / "config/tiny.yaml"),
    ])  # fmt: skip
    assert done.returncode == 0, done.stdout
    accounts = set(re.findall("slurm_account=([^,\\s]*)", done.stdout))
    assert accounts == (set() if place == "neither" else {f"of-{place}"})


def test_the_whole_grid_is_a_few_hundred_jobs():
    config = presets.load(ROOT / "config/full.yaml", ROOT / "config/config.yaml")
    assert 100 < len(runs.plan(config | {"shard_seconds": 1800}).shards) < 400
