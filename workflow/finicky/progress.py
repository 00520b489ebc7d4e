"""How far a preset is, and how long the rest will take: what a start announces, the line that runs
beside the jobs, and `make status`, all from the same times."""

import heapq
import math
import os
import shutil
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from finicky import data, documents, questions, runs
from finicky.durations import benchmark, duration, shares, span
from finicky.sources import core_code
from finicky.store import replaced

SAMPLE = 300  # stored runs whose times are looked at
WEIGHT = 60  # seconds of what was measured that weigh as much as what was guessed before
# Seconds of a training job beside its runs, and of an experiment: Python, PyTorch, the images
START = 6.0
JOB = 3.0  # seconds of a job that nothing is known of
# Seconds of a job on SLURM beside what it takes here, for its two starts of Snakemake: the mean of
# jobs that do nothing (3 to 6 s), on one node of 2 cores with SLURM 22.05 and snakemake 9.27.1. Not
# in it: waiting for others' jobs, and until Snakemake looks, which it first does after 40 s.
ON_SLURM = 4.1
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
    measured: frozenset[str] = frozenset()  # which of the jobs were timed here
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
        jobs=guess.jobs | {name: seconds for name, (seconds, _) in measured.items()},
        usual=guess.usual,
        measured=frozenset(measured),
        memory=max((gib for _, gib in measured.values()), default=MEMORY),
    )


def stored_seconds(store, device):
    """Seconds that some stored runs of a device took, and their nominal ones; ids are hashes, so
    the first of them are a random choice. Runs on data that only another preset declares tell
    nothing here."""
    taken = nominal = 0.0
    known = data.names()
    for run_id in sorted(store.ids())[:SAMPLE]:
        record = store.read(run_id)
        if record and record["device"] == device and record["dataset"] in known:
            taken += record["seconds"]
            nominal += runs.seconds(runs.of_record(record))
    return taken, nominal


def first_guess(config, references):
    """The Times of the newest reference."""
    found = newest(references)
    if not found:
        return Times()
    theirs, folder = found
    stages, mean = theirs["seconds"], mean_of_experiments(theirs)
    usual = {stage: stages[stage] for stage in ("tables", "judge") if stage in stages}
    if mean is not None:
        usual["experiments"] = START + more_seeds(config, theirs) * max(0.0, mean - START)
    each = by_a_reference(config, theirs).items()
    jobs = {f"experiments/{slug}": seconds for slug, seconds in each}
    return Times(pace=reference_pace(folder, config["device"]), jobs=jobs, usual=usual)


def newest(references):
    """(provenance, folder) of the newest reference, None where there is none. references: paths of
    provenance.json files."""
    found = [(documents.read_json(path), path.parent) for path in references]
    return max(found, key=lambda one: one[0]["date"], default=None)


def expected_experiments(config, references):
    """{slug: seconds} of those of a preset's experiments of which the newest reference tells."""
    found = newest(references)
    return by_a_reference(config, found[0]) if found else {}


def by_a_reference(config, theirs):
    """The same by one reference's provenance. An experiment's work, what it takes beside its start,
    grows with the seeds and with its settings."""
    # Answers to one's own questions are read off the tables, which takes no longer than a start.
    own, mean = {questions.EXPERIMENT: START}, mean_of_experiments(theirs)
    if mean is None:
        return own
    known = theirs["config"]["experiments"]
    took = dict.fromkeys(known, mean) | theirs.get("experiment_seconds", {})
    seeds = more_seeds(config, theirs)
    return own | {
        slug: START + seeds * growth(settings, known[slug]) * max(0.0, took[slug] - START)
        for slug, settings in config["experiments"].items()
        if settings is not None and known.get(slug) is not None
    }


def mean_of_experiments(theirs):
    """Seconds of an experiment of a reference on average; None if it had none."""
    count = sum(settings is not None for settings in theirs["config"]["experiments"].values())
    together = theirs["seconds"].get("experiments")
    return together / count if count and together is not None else None


def more_seeds(config, theirs):
    """How many times as many seeds a preset has as a reference."""
    return config["seeds"] / theirs["config"]["seeds"]


def growth(ours, theirs):
    """How many times the work an experiment has by our settings as by theirs: a guess, the ratio of
    those that differ most. Its parts add up, so the product of all would be far too much."""
    ratios = [amount(ours[name]) / amount(theirs[name]) for name in ours.keys() & theirs.keys()]
    return max(ratios, key=lambda ratio: (abs(math.log(ratio)), ratio), default=1.0)


def amount(setting):
    """How much there is to do by a setting: a whole number of images or steps, or of all in a list
    or mapping; a rate, a share or a name is one thing."""
    if isinstance(setting, dict):
        setting = list(setting.values())
    if isinstance(setting, list):
        return sum(map(amount, setting)) or 1
    return max(1, setting) if isinstance(setting, int) else 1


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


# ---------------------------------------------------------------- the whole, on other machines


@dataclass(frozen=True)
class Job:
    """What decides when a job runs: its seconds, the names of those that it waits for, and how many
    cores it asks for (inf: all), which are scaled down to those that there are."""

    seconds: float
    after: tuple[str, ...] = ()
    cores: float = 1


def makespan(jobs, cores, overhead=0.0):
    """Seconds until all jobs, {name: Job}, are done on so many cores, each `overhead` seconds
    longer, by list scheduling (Graham 1966): whenever a job ends, those that wait for nothing more
    start in the order of `jobs`, if there is room. One that asks for all cores waits for idle ones.
    """
    waits_for = {name: len(job.after) for name, job in jobs.items()}
    asks = {name: min(job.cores, cores) for name, job in jobs.items()}
    place = {name: i for i, name in enumerate(jobs)}
    followers = defaultdict(list)
    for name, job in jobs.items():
        for before in job.after:
            followers[before].append(name)

    ready, running, now, free = [name for name, n in waits_for.items() if not n], [], 0.0, cores
    while ready or running:
        waiting = []
        for name in ready:
            if asks[name] > free:
                waiting.append(name)
                continue
            free -= asks[name]
            heapq.heappush(running, (now + jobs[name].seconds + overhead, place[name], name))
        now = running[0][0]
        while running and running[0][0] == now:
            _, _, ended = heapq.heappop(running)
            free += asks[ended]
            for name in followers[ended]:
                waits_for[name] -= 1
                if not waits_for[name]:
                    waiting.append(name)
        ready = sorted(waiting, key=place.get)
    return now


def whole(shards, experiments, figures, tables, times, alone=math.inf):
    """All jobs of a preset, {name: Job}, in the workflow's order, as its rules make them wait.

    shards: {name: runs}; experiments: {slug: declarations.Experiment}; figures, tables: {name: slug
    of the experiment that it shows}; alone: how many cores those ask for that must run alone.
    """

    def job(name, *after, cores=1, runs=()):
        jobs[name] = Job(times.of_job(name) + sum(map(times.of_run, runs)), after, cores)
        return name

    jobs = {}
    job("tables", *(job(f"train/{name}", runs=members) for name, members in shards.items()))
    measured = []
    for slug, one in experiments.items():
        reads, cores = ["tables"] if one.reads else [], alone if one.alone else 1
        measured.append(job(f"experiments/{slug}", *reads, cores=cores))
    job("judge", *measured)
    shown = [job(f"figures/{name}", f"experiments/{slug}") for name, slug in figures.items()]
    refilled = [job(f"refilled/{name}", f"experiments/{slug}") for name, slug in tables.items()]
    job("provenance", "tables", "judge", *measured, *shown)
    job("explorer", "tables")
    job("page", "judge", "provenance", "explorer", *shown, *refilled)
    return jobs


# ---------------------------------------------------------------- the announcement


def announcement(planned, work, folder):
    """What a start is going to do, as lines; and whether the engine's code made it necessary.

    planned: the preset's runs; folder: the store's, which remembers the engine's code for each
    device by a hash, to tell "new runs" from "all runs again".
    """
    note, code = Path(folder) / f"engine.{work.device}.code", core_code(work.device)
    before = note.read_text(encoding="utf-8") if note.exists() else None
    todo, others = [], sum(not name.startswith("train/") for name in work.jobs)
    if work.runs:
        if before not in (None, code):
            yield "The engine's code has changed: what the old code trained does not count."
        todo.append(f"{len(work.runs):,} of {len(planned):,} runs to train")
        if training := len(work.jobs) - others:
            todo[0] += f" in {training:,} job{'s' if training > 1 else ''}"
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


# The stages of a report's jobs in words, by the first part of their names.
IN_WORDS = {
    "train": "training", "tables": "tables", "experiments": "experiments", "judge": "judging",
    "figures": "figures", "refilled": "figures", "provenance": "page", "explorer": "page",
    "page": "page",
}  # fmt: skip


def taken(results):
    """Wall time of a preset's jobs, each of the last time that it ran, in seconds by stage
    (durations.shares); empty where they have left none."""
    spans = defaultdict(list)
    for file in sorted(results.glob("benchmarks/**/*.tsv")):
        first = file.relative_to(results / "benchmarks").with_suffix("").parts[0]
        if first in IN_WORDS and (found := span(file)):
            spans[IN_WORDS[first]].append(found)
    return shares(spans)


def taken_in_words(seconds):
    """For example: jobs at work for 1 h 15 min, 36 % beside training: experiments 33 %, figures
    3 %."""
    total = sum(seconds.values())
    if not total:
        return ""
    parts = {stage: 100 * s / total for stage, s in seconds.items() if stage != "training"}
    parts = sorted(parts.items(), key=lambda part: -part[1])
    words = ", ".join(f"{stage} {share:.0f} %" for stage, share in parts)
    beside = sum(share for _, share in parts)
    return f"jobs at work for {duration(total)}, {beside:.0f} % beside training: {words}"


def listed(folder):
    """Names of a folder's files; none if it is not there."""
    return set(os.listdir(folder)) if folder.is_dir() else set()
