"""How far a preset's training is: runs done, runs in all, time left."""

import atexit
import threading
import time
from pathlib import Path

from finicky.durations import duration
from finicky.runs import seconds
from finicky.sources import core_code
from finicky.store import replaced

EVERY = 5  # seconds between two looks at the store, at least
SELDOM = 50  # times as long as a look takes, where that is longer: a cluster's file system is slow


class Progress:
    """Counts the stored runs of a plan, whoever trained them, and estimates the time left.

    The rate is what all jobs together stored since it began to look, so it holds for any number of
    cores or machines and needs no word from the jobs.
    """

    def __init__(self, runs, store, stream):
        self.store, self.stream = store, stream
        self.missing = {run.id: seconds(run) for run in runs}
        self.total = len(self.missing)
        self._count()
        self.work_at_start = sum(self.missing.values())
        self.began = time.monotonic()

    def _count(self):
        self.missing = {run: work for run, work in self.missing.items() if run not in self.store}

    def show(self):
        """Print the line if another run was stored; on a terminal it replaces the one before."""
        before = len(self.missing)
        self._count()
        if len(self.missing) == before:
            return
        line = self.line(time.monotonic())
        self.stream.write(f"\r{line}\x1b[K" if self.stream.isatty() else f"{line}\n")
        self.stream.flush()

    def watch(self, over):
        """Show it again and again, until no run is missing or the event `over` is set."""
        pause = EVERY
        while self.missing and not over.wait(pause):
            began = time.monotonic()
            self.show()
            pause = max(EVERY, SELDOM * (time.monotonic() - began))

    def line(self, now):
        """For example: training: 1,240 of 2,655 runs, about 14 min 5 s left."""
        text = f"training: {self.total - len(self.missing):,} of {self.total:,} runs"
        left = sum(self.missing.values())
        done = self.work_at_start - left
        if left and done > 0:
            text += f", about {duration(left * (now - self.began) / done)} left"
        return text


def follow(runs, store, stream):
    """Show from now on how far the training is, beside whatever else this process does."""
    over = threading.Event()
    watch = Progress(runs, store, stream).watch
    watching = threading.Thread(target=watch, args=[over], daemon=True)
    watching.start()

    def end():  # a thread that writes while Python ends brings it down
        over.set()
        watching.join()

    atexit.register(end)


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
