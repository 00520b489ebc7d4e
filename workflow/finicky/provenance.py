"""Where a preset's numbers came from: code, versions, machine, data, config, time, failed runs."""

import json
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from finicky import data, machine

PACKAGES = ("torch", "torchvision", "snakemake", "numpy", "scipy", "pandas", "pyarrow", "seaborn",
            "matplotlib", "jinja2")  # fmt: skip
OUTCOMES = ("finite", "large", "inf", "nan")


def record(runs, config, benchmarks):
    """Provenance of a preset as plain Python.

    runs: its table of runs; config: the merged config; benchmarks: the folder where the workflow
    leaves each job's time. Times are in seconds: of training, `seconds.training` is summed over
    cores, and `wall_seconds` counts the time in which at least one run was training.
    """
    counts = runs["outcome"].value_counts()
    columns = ["run", "dataset", "depth", "block", "activation", "init", "optimizer",
               "learning_rate", "seed", "outcome"]  # fmt: skip
    diverged = runs[runs["outcome"] != "finite"]
    steps = diverged["nan_step"].fillna(diverged["inf_step"]).fillna(diverged["large_step"])
    times = stage_seconds(benchmarks)
    here = machine.description()
    sets = sorted(runs["instruction_set"].dropna().unique())
    return {
        "preset": config["preset"],
        "command": command(config),
        "commit": git("rev-parse", "HEAD"),
        "dirty": bool(git("status", "--porcelain", "--untracked-files=no")),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version()} | {p: version(p) for p in PACKAGES},
        "machine": {
            "cpu": ", ".join(sorted(runs["cpu"].dropna().unique())) or here["cpu"],
            "cores": here["cores"],
            "memory_gib": here["memory_gib"],
            "instruction_set": ", ".join(sets),
            "gpu": cards(runs),
        },
        "data": {name: data.hashes(name) for name in sorted(runs["dataset"].unique())},
        "config": config,
        "runs": {"total": len(runs)} | {o: int(counts.get(o, 0)) for o in OUTCOMES},
        "diverged": diverged[columns].assign(step=steps.astype(int)).to_dict("records"),
        "seconds": {"training": round(float(runs["seconds"].sum()), 1)} | times,
        "wall_seconds": round(training_wall(runs) + sum(times.values()), 1),
    }


def cards(runs):
    """The cards on which runs were trained, as text; None if there are none."""
    on_gpu = runs[runs["device"] != "cpu"]
    return ", ".join(sorted(on_gpu["gpu"].fillna("not recorded").unique())) or None


# What a preset may do otherwise and be the same measurement on other seeds.
BESIDE_THE_POINT = ("preset", "first_seed", "device", "fuse", "shard_seconds", "data")


def references(files, config):
    """{seed set: its claims.json} of those seed sets of the reference that this config could have
    made, its seeds aside.

    files: paths of their claims.json, in a folder called like the seed set, a provenance.json
    beside each.
    """
    found = {}
    for path in map(Path, files):
        theirs = json.loads(path.with_name("provenance.json").read_text(encoding="utf-8"))["config"]
        if measurement(theirs) == measurement(config):
            found[path.parent.name] = json.loads(path.read_text(encoding="utf-8"))
    return found


def measurement(config):
    """A config without what is beside the point."""
    return {key: value for key, value in config.items() if key not in BESIDE_THE_POINT}


def command(config):
    """The command that makes the preset's report."""
    preset = config["preset"]
    return "make report" if preset == "default" else f"make report PRESET={preset}"


def git(*arguments):
    """Output of a git command in the working folder; None without a checkout or without git."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def stage_seconds(benchmarks):
    """Summed job time of every stage but training: {stage: seconds}."""
    times = {}
    for file in sorted(Path(benchmarks).rglob("*.tsv")):
        stage = file.relative_to(benchmarks).parts[0].removesuffix(".tsv")
        if stage != "train":
            times[stage] = times.get(stage, 0) + float(pd.read_csv(file, sep="\t")["s"].iloc[0])
    return {stage: round(seconds, 1) for stage, seconds in times.items()}


def training_wall(runs):
    """Length of the union of the fused batches' training times, seconds."""
    ends = runs["finished"].map(lambda text: datetime.fromisoformat(text).timestamp())
    spans = sorted(set(zip(ends - runs["seconds"] * runs["fused"], ends, strict=True)))
    covered, reach = 0.0, float("-inf")
    for start, end in spans:
        covered += max(0.0, end - max(start, reach))
        reach = max(reach, end)
    return covered
