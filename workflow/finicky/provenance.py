"""Where a preset's numbers came from: code, versions, machine, data, config, time, failed runs."""

import csv
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from finicky import data, documents, machine

PACKAGES = ("torch", "torchvision", "snakemake", "numpy", "scipy", "pandas", "pyarrow", "seaborn",
            "matplotlib", "jinja2")  # fmt: skip
OUTCOMES = ("finite", "large", "inf", "nan")


def record(runs, config, benchmarks, planned=None, failures=()):
    """Provenance of a preset as plain Python.

    runs: its table of runs; config: the merged config; benchmarks: {stage: the files in which the
    workflow leaves the time of each of its jobs}, without training; planned: how many runs there
    should be; failures: what failed, a sentence each. Times are in seconds: of training,
    `seconds.training` is summed over cores, and `wall_seconds` counts the time in which at least
    one run was training. `commit` and `dirty` are None where `checkout` does not know them.
    """
    counts = runs["outcome"].value_counts()
    columns = ["run", "dataset", "depth", "block", "activation", "init", "optimizer",
               "learning_rate", "seed", "outcome"]  # fmt: skip
    diverged = runs[runs["outcome"] != "finite"]
    steps = diverged["nan_step"].fillna(diverged["inf_step"]).fillna(diverged["large_step"])
    times = stage_seconds(benchmarks)
    here = machine.description()
    commit, dirty = checkout()
    sets = sorted(runs["instruction_set"].dropna().unique())
    return {
        "preset": config["preset"],
        "command": command(config),
        "commit": commit,
        "dirty": dirty,
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
        "missing": 0 if planned is None else planned - len(runs),
        "failures": list(failures),
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
        theirs = documents.read_json(path.with_name("provenance.json"))["config"]
        if measurement(theirs) == measurement(config):
            found[path.parent.name] = documents.read_json(path)
    return found


def measurement(config):
    """A config without what is beside the point."""
    return {key: value for key, value in config.items() if key not in BESIDE_THE_POINT}


def command(config):
    """The command that makes the preset's report."""
    preset = config["preset"]
    return "make report" if preset == "default" else f"make report PRESET={preset}"


def checkout():
    """(commit, whether anything differs from it) of the checkout that the working folder is.

    A file that git does not know counts where it may be code or config: below workflow/ and
    config/. (None, None) where that is unknown: no git, no checkout, one that git refuses to read,
    or a folder inside another checkout, whose commit says nothing of it.
    """
    top = git("rev-parse", "--show-toplevel")
    if not top or not os.path.samefile(top, "."):
        return None, None
    answers = [
        git("rev-parse", "HEAD"),
        git("status", "--porcelain", "--untracked-files=no"),
        git("ls-files", "--others", "--exclude-standard", "--", "workflow", "config"),
    ]
    if None in answers:
        return None, None
    commit, changed, unknown = answers
    return commit, bool(changed or unknown)


def git(*arguments):
    """Output of a git command that looks at the working folder, whatever GIT_DIR and the like say;
    None where it fails or there is no git."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", *arguments], env=env, capture_output=True
        )
    except OSError:
        return None
    return os.fsdecode(done.stdout).rstrip("\n") if done.returncode == 0 else None


def stage_seconds(benchmarks):
    """Summed job time of each stage that left any: {stage: seconds}."""
    times = {stage: [job_seconds(file) for file in files] for stage, files in benchmarks.items()}
    return {
        stage: round(sum(filter(None, jobs)), 1)
        for stage, jobs in times.items()
        if any(seconds is not None for seconds in jobs)
    }


def job_seconds(file):
    """The time in a benchmark file of Snakemake's; None where it holds none: it is missing, or the
    job was killed as it was written."""
    try:
        with open(file, encoding="utf-8", newline="") as lines:
            first = next(csv.DictReader(lines, delimiter="\t"), {})
        return float(first["s"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def training_wall(runs):
    """Length of the union of the fused batches' training times, seconds."""
    ends = runs["finished"].map(lambda text: datetime.fromisoformat(text).timestamp()).astype(float)
    spans = sorted(set(zip(ends - runs["seconds"] * runs["fused"], ends, strict=True)))
    covered, reach = 0.0, float("-inf")
    for start, end in spans:
        covered += max(0.0, end - max(start, reach))
        reach = max(reach, end)
    return covered
