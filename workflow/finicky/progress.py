"""How far a preset's training is: runs done, runs in all, time left."""

import time
from pathlib import Path

from finicky.durations import duration
from finicky.runs import seconds
from finicky.sources import core_code
from finicky.store import replaced

EVERY = 5  # seconds between two lines


class Progress:
    """Counts the stored runs of a plan, whoever trained them, and estimates the time left.

    The rate is what all jobs together stored since this one began, so it holds for any number of
    cores or machines and needs no word between jobs.
    """

    def __init__(self, runs, store, stream):
        self.store, self.stream = store, stream
        self.missing = {run.id: seconds(run) for run in runs}
        self.total = len(self.missing)
        self._count()
        self.work_at_start = sum(self.missing.values())
        self.began = self.shown = time.monotonic()

    def _count(self):
        self.missing = {run: work for run, work in self.missing.items() if run not in self.store}

    def show(self):
        """Print the line, at most every few seconds; on a terminal it replaces the one before."""
        now = time.monotonic()
        if now - self.shown < EVERY:
            return
        self.shown = now
        self._count()
        self.stream.write(
            f"\r{self.line(now)}\x1b[K" if self.stream.isatty() else f"{self.line(now)}\n"
        )
        self.stream.flush()

    def line(self, now):
        """For example: training: 1,240 of 2,655 runs, about 14 min 5 s left."""
        text = f"training: {self.total - len(self.missing):,} of {self.total:,} runs"
        left = sum(self.missing.values())
        done = self.work_at_start - left
        if left and done > 0:
            text += f", about {duration(left * (now - self.began) / done)} left"
        return text


def announcement(runs, store):
    """What a start is going to train, as lines; and whether the engine's code made it necessary.

    The store remembers the engine's code for each device by a hash, to tell "new runs" from "all
    runs again".
    """
    missing = [run for run in runs if run.id not in store]
    device = next(iter(runs)).device  # a preset has one
    note, code = store.folder / f"engine.{device}.code", core_code(device)
    before = note.read_text(encoding="utf-8") if note.exists() else None
    if missing:
        if before not in (None, code):
            yield "The engine's code has changed: what the old code trained does not count."
        time_left = duration(sum(map(seconds, missing)))
        place = "one core" if device == "cpu" else "one GPU"
        yield f"{len(missing):,} of {len(runs):,} runs to train, about {time_left} on {place}."
    with replaced(note) as temporary:
        Path(temporary).write_text(code, encoding="utf-8")
