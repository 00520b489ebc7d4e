"""How far a preset is, and how long the rest will take: what a start announces, the line that runs
beside the jobs, and `make status`, all from the same times."""

import os
import shutil
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from finicky import documents, runs
from finicky.durations import benchmark, duration
from finicky.sources import core_code
from finicky.store import replaced

SAMPLE = 300  # stored runs whose times are looked at
WEIGHT = 60  # seconds of what was measured that weigh as much as what was guessed before
START = 6.0  # seconds of a training job beside its runs: Python, PyTorch, the images
JOB = 3.0  # seconds of a job that nothing is known of
MEMORY = 1.5  # GiB of a job that nothing is known of
CLOSING = ("tables", "judge", "provenance", "explorer", "page")  # jobs that all others wait for


# ---------------------------------------------------------------- how long things take


@dataclass(frozen=True)
class Times:
    """What things take, in seconds: a run `pace` times its nominal seconds, a job what it took the
    last time or else what is usual at its stage. Memory is in GiB."""

    pace: float = 1.0
    jobs: dict[str, float] = field(default_factory=dict)  # by the names of their benchmarks
    usual: dict[str, float] = field(default_factory=dict)  # by stage, the first part of a name
    memory: float = MEMORY

    def of_run(self, run):
        """Seconds of training, on one core or of a GPU."""
        return self.pace * runs.seconds(run)

    def of_job(self, name):
        """Seconds of a job, its runs aside."""
        stage = name.partition("/")[0]
        if stage == "train":
            return START
        return self.jobs.get(name, self.usual.get(stage, JOB))


def times(config, store, results, references):
    """The Times of a preset.

    The pace is that of the stored runs, whichever machines they come from. Where there are none, it
    is the newest reference's, and so are the times of jobs that this preset never ran.

    config: the preset's; results: its folder; references: paths of provenance.json files.
    """
    guess = first_guess(config, references)
    taken, nominal = stored_seconds(store, config["device"])
    measured = {
        str(path.relative_to(results / "benchmarks").with_suffix("")): benchmark(path)
        for path in sorted(results.glob("benchmarks/**/*.tsv"))
    }
    measured = {name: found for name, found in measured.items() if found}
    return Times(
        pace=(taken + guess.pace * WEIGHT) / (nominal + WEIGHT),
        jobs={name: seconds for name, (seconds, _) in measured.items()},
        usual=guess.usual,
        memory=max((gib for _, gib in measured.values()), default=MEMORY),
    )


def stored_seconds(store, device):
    """Seconds that some stored runs of a device took, and their nominal ones; ids are hashes, so
    the first of them are a random choice."""
    taken = nominal = 0.0
    for run_id in sorted(store.ids())[:SAMPLE]:
        record = store.read(run_id)
        if record and record["device"] == device:
            taken += record["seconds"]
            nominal += runs.seconds(runs.of_record(record))
    return taken, nominal


def first_guess(config, references):
    """The Times of the newest reference, its experiments by the number of seeds."""
    found = [(documents.read_json(path), path.parent) for path in references]
    if not found:
        return Times()
    theirs, folder = max(found, key=lambda one: one[0]["date"])
    seeds = config["seeds"] / theirs["config"]["seeds"]
    stages = theirs["seconds"]
    experiments = [one for one in theirs["config"]["experiments"].values() if one is not None]
    usual = {stage: stages[stage] for stage in ("tables", "judge") if stage in stages}
    if experiments and "experiments" in stages:
        usual["experiments"] = seeds * stages["experiments"] / len(experiments)
    return Times(pace=reference_pace(folder, config["device"]), usual=usual)


def reference_pace(folder, device):
    """The pace of a reference's runs on a device; 1 if it has none of them."""
    from finicky import parquet  # only here: planning needs no tables

    file = folder / "tables/runs.parquet"
    columns = [name for name in parquet.names(file) if name in (*runs.LEVELS, "seconds")]
    rows = [row for row in parquet.read(file, columns).to_pylist() if row["device"] == device]
    nominal = sum(runs.seconds(runs.of_record(row)) for row in rows)
    return sum(row["seconds"] for row in rows) / nominal if rows else 1.0


# ---------------------------------------------------------------- what is to be done


@dataclass(frozen=True)
class Work:
    """What is to be done: the seconds of each missing run by its id, and of each job by its name.

    slots: how many jobs run at once; device: of the runs; alone: names of the jobs that leave no
    room for others; on_gpu: of those that need the GPU, which one job has at a time.
    """

    runs: dict[str, float]
    jobs: dict[str, float]
    slots: int
    device: str = "cpu"
    alone: frozenset = frozenset()
    on_gpu: frozenset = frozenset()

    def seconds(self, missing, credit):
        """Wall time by the guess: of the runs that are `missing` and of all jobs, each without the
        seconds that it has been given `credit` for."""
        training = sum(map(self.runs.__getitem__, missing))
        jobs = {name: max(0.0, s - credit.get(name, 0.0)) for name, s in self.jobs.items()}
        last = sum(jobs.pop(name) for name in self.jobs if name in self.alone)
        gpu = sum(s for name, s in jobs.items() if name in self.on_gpu)
        if self.device == "cpu":
            shared = training + sum(jobs.values())
        else:
            shared, gpu = sum(jobs.values()) - gpu, gpu + training
        return max(shared / self.slots, gpu, max(jobs.values(), default=0.0)) + last

    @property
    def place(self):
        """Where it is done, in words."""
        cores = f"{self.slots} core{'s' if self.slots > 1 else ''}"
        return cores if self.device == "cpu" else f"a GPU and {cores}"


def work(planned, stored, jobs, experiments, times, slots):
    """The Work of these jobs, by name, and of those of the planned runs that are not stored.

    experiments: {slug: declarations.Experiment}.
    """
    device = next(iter(planned)).device  # a preset has one
    alone = [f"experiments/{slug}" for slug, one in experiments.items() if one.alone]
    on_gpu = [f"experiments/{slug}" for slug, one in experiments.items() if one.on_device]
    return Work(
        runs={run.id: times.of_run(run) for run in planned if run.id not in stored},
        jobs={name: times.of_job(name) for name in jobs},
        slots=slots,
        device=device,
        alone=frozenset([*alone, *CLOSING]),
        on_gpu=frozenset(on_gpu if device != "cpu" else []),
    )


def left(work):
    """Seconds of a Work of which nothing is done yet, by the guess alone."""
    return work.seconds(work.runs, {})


def announcement(planned, work, folder):
    """What a start is going to do, as lines; and whether the engine's code made it necessary.

    planned: the preset's runs; folder: the store's, which remembers the engine's code for each
    device by a hash, to tell "new runs" from "all runs again".
    """
    note, code = Path(folder) / f"engine.{work.device}.code", core_code(work.device)
    before = note.read_text(encoding="utf-8") if note.exists() else None
    todo = []
    if work.runs:
        if before not in (None, code):
            yield "The engine's code has changed: what the old code trained does not count."
        todo.append(f"{len(work.runs):,} of {len(planned):,} runs to train")
    others = sum(not name.startswith("train/") for name in work.jobs)
    if others:
        todo.append(f"{others:,} {'other ' if todo else ''}job{'s' if others > 1 else ''}")
    if todo:
        yield f"{', '.join(todo)}: about {duration(left(work))} on {work.place}."
    with replaced(note) as temporary:
        Path(temporary).write_text(code, encoding="utf-8")


# ---------------------------------------------------------------- the line


class Line:
    """One line for the whole of a call: jobs, runs, time left, and what is at work.

    On a terminal it replaces itself every few seconds; elsewhere there is one each minute. The
    time left is the guess, corrected by how the time so far compares with the guess for it.
    """

    def __init__(self, planned, work, store, stream):
        """planned: ids of the preset's runs, stored or not."""
        self.planned, self.work, self.store, self.stream = frozenset(planned), work, store, stream
        self.terminal = stream.isatty()
        self.every = 5 if self.terminal else 60
        self.began, self.seen = time.monotonic(), {}
        self.whole = left(work)
        self.ended = threading.Event()

    def start(self, state):
        """Show the line until `stop`, beside the caller. `state()`: names of the jobs that are
        done, and of those that run."""

        def tick():
            while not self.ended.wait(self.every):
                self.show(*state())

        threading.Thread(target=tick, daemon=True).start()

    def stop(self):
        """No more lines."""
        self.ended.set()
        self.clear()

    def clear(self):
        """Make room for somebody else's line."""
        if self.terminal:
            self.stream.write("\x1b[K")
            self.stream.flush()

    def show(self, done, running):
        """Print the line; on a terminal the next thing printed replaces it."""
        text = self.text(done, running)
        if self.terminal:
            width = shutil.get_terminal_size().columns
            text = f"{text[: width - 1]}\x1b[K\r"
        else:
            text += "\n"
        self.stream.write(text)
        self.stream.flush()

    def text(self, done, running):
        """For example: 9 of 240 jobs, 310 of 2,955 runs, about 52 min left; at work: train (2)."""
        now = time.monotonic()
        self.seen = {name: self.seen.get(name, now) for name in running}
        credit = {name: self.work.jobs.get(name, 0.0) for name in done}
        credit |= {name: now - since for name, since in self.seen.items()}
        stored = self.store.ids()
        missing = self.work.runs.keys() - stored
        guess = self.work.seconds(missing, credit)
        elapsed = now - self.began
        parts = [f"{len(done):,} of {len(self.work.jobs):,} jobs"]
        if self.work.runs:
            parts.append(f"{len(self.planned & stored):,} of {len(self.planned):,} runs")
        drift = (elapsed + WEIGHT) / (max(0.0, self.whole - guess) + WEIGHT)
        if guess:  # else what runs takes longer than it should
            parts.append(f"about {duration(guess * drift)} left")
        return f"{', '.join(parts)}; at work: {at_work(running)}"


def at_work(running):
    """The jobs that run, in words: those of one stage are counted if there are several."""
    stages = Counter(name.partition("/")[0] for name in running)
    last = {name.partition("/")[0]: name for name in running}
    words = [f"{stage} ({n})" if n > 1 else last[stage] for stage, n in sorted(stages.items())]
    return ", ".join(words) or "nothing"


# ---------------------------------------------------------------- a preset from outside


def unmade(plan, stored, results, experiments, figures, tables):
    """Names of the jobs of a preset whose results are not there, as far as a look at its folder
    tells: what was edited since, only the workflow knows.

    plan: its runs.Plan; stored: ids of the stored runs; experiments, figures, tables: their names.
    """
    made = {
        "experiments": (experiments, ".parquet"),
        "figures": (figures, ".svg"),
        "refilled": (tables, ".json"),
    }
    jobs = [
        f"train/{shard}"
        for shard, members in plan.shards.items()
        if any(run.id not in stored for run in members)
    ]
    for stage, (names, suffix) in made.items():
        there = listed(results / stage)
        jobs += [f"{stage}/{name}" for name in names if f"{name}{suffix}" not in there]
    if jobs or "index.html" not in listed(results / "report"):
        jobs += CLOSING
    return jobs


def listed(folder):
    """Names of a folder's files; none if it is not there."""
    return set(os.listdir(folder)) if folder.is_dir() else set()
