"""Copies of Finicky to try things in, and what their snakemake calls did."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from copy import deepcopy
from pathlib import Path

import psutil
import pytest
import yaml
from filelock import FileLock

from finicky import data

ROOT = Path(__file__).parents[2]
COPIED = ("Snakefile", "workflow", "profiles", "config", "report")
LIMIT = 3600  # seconds after which a call counts as hung, on the slowest machine

# Two cells with two seeds: small enough to train in a breath.
TINY = {
    "preset": "tiny",
    "seeds": 2,
    "width": 32,
    "grid": {
        "tiny": {
            "dataset": ["mnist"],
            "images": 256,
            "epochs": 1,
            "depth": [2],
            "block": ["plain"],
            "activation": ["relu"],
            "init": ["he", "xavier"],
            "optimizer": ["sgd"],
        }
    },
}


# The files that take longest, which start first: the others fill the time that is left.
LONGEST = ["test_smoke.py", "test_interruption.py", "test_scenarios.py"]


def pytest_collection_modifyitems(items):
    """Workflow tests are the last anyway."""
    here, places = Path(__file__).parent, {name: place for place, name in enumerate(LONGEST)}

    def place(item):
        return places.get(item.path.name, len(LONGEST)) if item.path.parent == here else -1

    items.sort(key=place)


class Project:
    """A copy of Finicky in a folder of its own."""

    def __init__(self, folder):
        self.folder = folder

    @classmethod
    def fresh(cls, folder):
        """A copy of what git has of the workflow, without results."""
        folder.mkdir()
        for name in COPIED:
            if (ROOT / name).is_dir() and not (ROOT / name).is_symlink():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / name, folder / name, ignore=ignored)
            else:
                shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
        return cls(folder)

    def copy(self, folder):
        """A copy with results and Snakemake's memory of them."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Project(folder)

    def edit(self, path, change):
        """Replace a file's text by what `change` makes of it, which must differ."""
        file = self.folder / path
        before = file.read_text()
        after = change(before)
        assert after != before
        file.write_text(after)

    def write(self, path, text):
        """Write a file of the project."""
        (self.folder / path).write_text(text)

    def configure(self, preset="tiny", **changes):
        """Write config/<preset>.yaml: the tiny preset with changes, to its sub-grid if it has the
        key, else to its top level."""
        config = deepcopy(TINY) | {"preset": preset}
        grid = config["grid"]["tiny"]
        for key, value in changes.items():
            (grid if key in grid else config)[key] = value
        self.write(f"config/{preset}.yaml", yaml.safe_dump(config))

    def command(self, preset, *targets, cores=2):
        """The words of a snakemake call."""
        words = [sys.executable, "-m", "snakemake", *targets, "--cores", str(cores)]
        return [*words, "--configfile", f"config/{preset}.yaml"]

    def call(self, command, **options):
        """Run a command in the folder; what it said, on stdout and stderr, is `stdout`."""
        return subprocess.run(
            command,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT,
            **options,
        )

    def snakemake(self, preset="tiny", *targets):
        """What a call said that must succeed."""
        done = self.call(self.command(preset, *targets))
        assert done.returncode == 0, done.stdout
        return done.stdout

    def store(self):
        """The store's content: {run id: bytes}."""
        return {p.stem: p.read_bytes() for p in self.folder.glob("results/store/*/[!.]*.json")}

    def runs(self):
        """The stored runs: {run id: record}."""
        return {run: json.loads(content)["record"] for run, content in self.store().items()}

    def train(self, preset="tiny"):
        """Make a preset's tables. Returns the records of the runs that were trained for it, which
        the train jobs' logs must confirm, and what was said."""
        store, logs = self.store(), self.stamps("results/*/logs/train/*")
        said = self.snakemake(preset, f"results/{preset}/tables/runs.parquet")
        after, runs = self.store(), self.runs()
        trained = {run: runs[run] for run in after if after[run] != store.get(run)}
        lines = [
            (self.folder / log).read_text().splitlines()
            for log in written(logs, self.stamps("results/*/logs/train/*"))
        ]
        assert {line.split()[0] for log in lines for line in log[1:-1]} == set(trained)
        assert sum(int(log[0].split()[2]) for log in lines) == len(trained)
        return trained, said

    def jobs(self, preset="tiny"):
        """Run a call that must succeed. Returns the jobs that ran, by their logs' names."""
        before = self.stamps("results/**/logs/**/*.log")
        self.snakemake(preset)
        logs = written(before, self.stamps("results/**/logs/**/*.log"))
        return {log.partition("logs/")[2].removesuffix(".log") for log in logs}

    def planned(self, preset="tiny"):
        """The jobs that a call would run, by their logs' names."""
        said = self.snakemake(preset, "--dry-run", "--quiet", "progress")
        return set(re.findall(r"^    log: \S*?logs/(\S+)\.log", said, re.MULTILINE))

    def stamps(self, pattern):
        """{path: what changes when the file is written} of the files that match."""
        files = (p for p in self.folder.glob(pattern) if p.is_file())
        return {
            str(p.relative_to(self.folder)): (p.stat().st_mtime_ns, p.stat().st_ino) for p in files
        }

    def processes(self):
        """The processes that work in this folder."""
        found, folder = [], str(self.folder.resolve())
        for process in psutil.process_iter(["cwd"]):
            with suppress(psutil.NoSuchProcess):
                if process.info["cwd"] == folder and process.status() != "zombie":
                    found.append(process)
        return found


def written(before, after):
    """Paths whose stamps are new."""
    return [path for path, stamp in after.items() if stamp != before.get(path)]


def at_once(calls):
    """What functions return that are called two at a time: half of a snakemake call is its start,
    which keeps one core busy."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda call: call(), calls))


def once(factory, name, make):
    """The folder that `make(folder)` fills, once for all of pytest's processes; for reading only.

    factory: tmp_path_factory.
    """
    shared = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder, made = shared / name, shared / f"{name}.made"
    with FileLock(shared / f"{name}.lock"):
        if not made.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a process that failed
            make(folder)
            made.touch()
    return folder


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """A folder with both data sets, fetched once."""

    def fetch(folder):
        for dataset in data.DATASETS:
            data.fetch(dataset, folder)

    return once(tmp_path_factory, "images", fetch)


@pytest.fixture(scope="session")
def untrained(images, tmp_path_factory):
    """A project with the images, the preset `tiny` and no experiments, in which nothing ran."""
    project = Project.fresh(tmp_path_factory.mktemp("untrained") / "with a space")
    (project.folder / "results").mkdir()
    (project.folder / "results/data").symlink_to(images)
    project.edit(
        "config/config.yaml",
        lambda text: text[: text.index("\nexperiments:")] + "\nexperiments: {}\n",
    )
    project.configure()
    return project


@pytest.fixture(scope="session")
def trained(untrained, tmp_path_factory):
    """The same, its tables made; for reading only."""

    def train(folder):
        records, _ = untrained.copy(folder).train()
        assert len(records) == 4

    return Project(once(tmp_path_factory, "trained, with a space", train))


@pytest.fixture
def tiny(trained, tmp_path):
    """A copy of the trained project for one test."""
    return trained.copy(tmp_path / "with a space")


@pytest.fixture(scope="session")
def reported(trained, tmp_path_factory):
    """The trained project with its page; for reading only."""

    def report(folder):
        trained.copy(folder).snakemake()

    return Project(once(tmp_path_factory, "reported, with a space", report))


@pytest.fixture(scope="session")
def smoke(tmp_path_factory):
    """A copy, for this process, of the smoke preset as it is, run once in a fresh project, which
    fetches the images itself. What the call said, Snakemake's account of its scheduling with it, is
    `said`."""

    def run(folder):
        made = Project.fresh(folder)
        if (ROOT / "results/reference").exists():  # committed, so a clone has it
            shutil.copytree(ROOT / "results/reference", folder / "results/reference")
        made.write("said.txt", made.snakemake("smoke", "--verbose"))

    whole = Project(once(tmp_path_factory, "smoke as it was run", run))
    project = whole.copy(tmp_path_factory.mktemp("smoke") / "with a space")
    project.said = (project.folder / "said.txt").read_text()
    return project


@pytest.fixture
def start():
    """Start a command in a project, in a process group of its own; whatever is left of it, or works
    in its folder, is killed at the end of the test."""
    started = []
    # As in a terminal: a shell that starts the tests in the background ignores Ctrl-C, and children
    # inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def start(project, command, env=None):
        log = (project.folder / "output.log").open("w")
        process = subprocess.Popen(
            command,
            cwd=project.folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        log.close()
        started.append((process, project))
        return process

    yield start
    signal.signal(signal.SIGINT, before)
    for process, project in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for left in project.processes():
            left.kill()
