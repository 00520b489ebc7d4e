"""Where a preset's numbers came from: code, versions, machine, data, config, time, failed runs."""

import itertools
import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pyarrow.parquet as parquet

from finicky import data, documents, machine
from finicky.durations import benchmark, shares, span

PACKAGES = ("torch", "torchvision", "snakemake", "numpy", "scipy", "pandas", "pyarrow", "seaborn",
            "matplotlib", "jinja2")  # fmt: skip
OUTCOMES = ("finite", "large", "inf", "nan")


def record(runs, config, benchmarks, planned=None, failures=(), experiments=(), code="."):
    """Provenance of a preset as plain Python.

    runs: its table of runs; config: the merged config; benchmarks: {stage: the files in which the
    workflow leaves the time of each of its jobs}, without training; planned: how many runs there
    should be; failures: what failed, a sentence each; experiments: paths of their tables; code: the
    folder where the workflow lies. Times are in seconds: `seconds` are summed over the jobs of a
    stage, `wall_seconds` is `wall`, `experiment_seconds` are by experiment. `commit` and `dirty`
    are None where `checkout` does not know them.
    """
    counts = runs["outcome"].value_counts()
    columns = ["run", "dataset", "images", "epochs", "depth", "block", "activation", "init",
               "optimizer", "learning_rate", "seed", "outcome"]  # fmt: skip
    diverged = runs[runs["outcome"] != "finite"]
    steps = diverged["nan_step"].fillna(diverged["inf_step"]).fillna(diverged["large_step"])
    times = stage_seconds(benchmarks)
    commit, dirty = checkout(code, f"config/{config['preset']}.yaml")
    of_all = machines(runs, experiments)
    return {
        "preset": config["preset"],
        "command": command(config),
        "commit": commit,
        "dirty": dirty,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version()} | {p: version(p) for p in PACKAGES},
        "machine": one_machine(of_all) | {"gpu": cards(runs)},
        "machines": of_all,
        "data": {name: data.hashes(name) for name in sorted(runs["dataset"].unique())},
        "config": config,
        "runs": {"total": len(runs)} | {o: int(counts.get(o, 0)) for o in OUTCOMES},
        "missing": 0 if planned is None else planned - len(runs),
        "failures": list(failures),
        "diverged": diverged[columns].assign(step=steps.astype(int)).to_dict("records"),
        "seconds": {"training": round(float(runs["seconds"].sum()), 1)} | times,
        "wall_seconds": round(wall(runs, benchmarks), 1),
        "experiment_seconds": {
            Path(file).stem: round(found[0], 1)
            for file in benchmarks.get("experiments", [])
            if (found := benchmark(file))
        },
    }


# What makes two machines one as far as numbers and times go.
SAME_MACHINE = ("vendor", "cpu", "gpu", "settings", "instruction_set")


def machines(runs, experiments=()):
    """The kinds of machine that runs and experiments come from, each with how many `runs` and which
    `experiments`; what was not recorded is None.

    runs: the table of runs, of whichever of SAME_MACHINE it has; experiments: paths of tables.
    """
    found = {}
    for _, row in runs.reindex(columns=list(SAME_MACHINE)).iterrows():
        kind = tuple(value or None if isinstance(value, str) else None for value in row)
        found.setdefault(kind, {"runs": 0, "experiments": []})["runs"] += 1
    for path in map(Path, experiments):
        metadata = parquet.read_schema(path).metadata or {}
        one = json.loads(metadata.get(machine.METADATA, "{}"))
        kind = tuple(one.get(name) or None for name in SAME_MACHINE)
        if kind[-1] is None:  # it did without PyTorch: the set is whichever the machine has
            kind = next((other for other in found if other[:-1] == kind[:-1]), kind)
        found.setdefault(kind, {"runs": 0, "experiments": []})["experiments"].append(path.stem)
    rows = [dict(zip(SAME_MACHINE, kind, strict=True)) | what for kind, what in found.items()]
    return sorted(rows, key=lambda row: (-row["runs"], str(row)))


def one_machine(kinds):
    """Processor and instruction set of the kinds of machine, all of them in one text; cores and
    memory only where all is from this kind of machine, whose they are."""
    here = machine.description()
    processors = sorted({kind["cpu"] for kind in kinds if kind["cpu"]})
    sets = sorted({kind["instruction_set"] for kind in kinds if kind["instruction_set"]})
    alike = processors in ([], [here["cpu"]])
    return {
        "cpu": ", ".join(processors) or here["cpu"],
        "cores": here["cores"] if alike else None,
        "memory_gib": here["memory_gib"] if alike else None,
        "instruction_set": ", ".join(sets),
    }


def cards(runs):
    """The cards on which runs were trained, as text; None if there are none."""
    on_gpu = runs[runs["device"] != "cpu"]
    return ", ".join(sorted(on_gpu["gpu"].fillna("not recorded").unique())) or None


# What a preset may do otherwise and be the same measurement on other seeds.
BESIDE_THE_POINT = ("preset", "first_seed", "device", "instruction_set", "fuse", "shard_seconds",
                    "data", "title", "about", "claims", "chapter")  # fmt: skip


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


def checkout(folder, aside):
    """(commit, whether anything differs from it) of the checkout that a folder is.

    A file that git does not know counts where it may be code or config: below workflow/ and
    config/, save the one `aside`, a new preset, which the record has whole. (None, None) where
    that is unknown: no git, no checkout, one that git refuses to read, or a folder inside another
    checkout, whose commit says nothing of it.
    """
    top = git(folder, "rev-parse", "--show-toplevel")
    if not top or not os.path.samefile(top, folder):
        return None, None
    unknown = ["ls-files", "--others", "--exclude-standard", "--", "workflow", "config"]
    answers = [
        git(folder, "rev-parse", "HEAD"),
        git(folder, "status", "--porcelain", "--untracked-files=no"),
        git(folder, *unknown, f":(exclude){aside}"),
    ]
    if None in answers:
        return None, None
    commit, changed, unknown = answers
    return commit, bool(changed or unknown)


def git(folder, *arguments):
    """Output of a git command that looks at a folder, whatever GIT_DIR and the like say; None where
    it fails or there is no git."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", *arguments], cwd=folder, env=env, capture_output=True
        )
    except OSError:
        return None
    return os.fsdecode(done.stdout).rstrip("\n") if done.returncode == 0 else None


def stage_seconds(benchmarks):
    """Summed job time of each stage that left any: {stage: seconds}."""
    times = {
        stage: list(filter(None, map(benchmark, files))) for stage, files in benchmarks.items()
    }
    return {
        stage: round(sum(seconds for seconds, _ in jobs), 1)
        for stage, jobs in times.items()
        if jobs
    }


def wall(runs, benchmarks):
    """Seconds in which at least one job was at work: the length of the union of the times in which
    the fused batches trained and the other jobs ran, whose benchmark files are written as they
    end."""
    ends = runs["finished"].map(lambda text: datetime.fromisoformat(text).timestamp()).astype(float)
    spans = set(zip(ends - runs["seconds"] * runs["fused"], ends, strict=True))
    spans |= set(filter(None, map(span, itertools.chain(*benchmarks.values()))))
    return shares({"all": spans})["all"]
