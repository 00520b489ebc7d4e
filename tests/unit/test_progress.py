"""The line that says how far the training is, and what a start announces."""

import io
import threading

import pytest

from finicky import progress
from finicky.durations import duration
from finicky.progress import Progress, announcement
from finicky.runs import Run, seconds
from finicky.store import Store


def make_runs(count):
    levels = {
        "dataset": "mnist", "images": 10_000, "epochs": 3, "depth": 10, "block": "plain",
        "activation": "relu", "init": "he", "optimizer": "sgd", "learning_rate": 0.01,
        "batch_size": 64, "width": 128,
    }  # fmt: skip
    return [Run(**levels, seed=seed) for seed in range(count)]


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until its `now` is set."""

    class Clock:
        now = 1000.0

    monkeypatch.setattr(progress.time, "monotonic", lambda: Clock.now)
    return Clock


class Terminal(io.StringIO):
    def isatty(self):
        return True


def finish(store, runs):
    """Put runs into the store; for so many, without its care for power cuts."""
    for run in runs:
        path = store.path(run.id)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")


# ---------------------------------------------------------------- the line


def test_the_line_counts_the_stored_runs_and_estimates_from_their_rate(store, clock):
    runs, stream = make_runs(1200), io.StringIO()
    finish(store, runs[:200])  # before this job began: no part of the rate
    counter = Progress(runs, store, stream)
    finish(store, runs[200:300])
    clock.now += 60
    counter.show()
    # 100 of the 1,000 missing in 60 s, so 900 more in 540 s.
    assert stream.getvalue() == "training: 300 of 1,200 runs, about 9 min left\n"


def test_the_rate_is_one_of_work_not_of_runs(store, clock):
    small, large = make_runs(2)
    large = Run(**vars(large) | {"epochs": 30})
    stream = io.StringIO()
    counter = Progress([small, large], store, stream)
    finish(store, [large])
    clock.now += 1000
    counter.show()
    left = 1000 * seconds(small) / seconds(large)
    assert stream.getvalue() == f"training: 1 of 2 runs, about {duration(left)} left\n"


def test_no_time_is_promised_before_there_is_a_rate_or_when_all_is_done(store, clock):
    runs, stream = make_runs(2), io.StringIO()
    counter = Progress(runs, store, stream)
    finish(store, runs[:1])
    counter.show()
    finish(store, runs)
    clock.now += 10
    counter.show()
    first, last = stream.getvalue().splitlines()
    assert first.startswith("training: 1 of 2 runs, about ") and last == "training: 2 of 2 runs"


def test_a_line_only_when_another_run_is_stored(store, clock):
    runs, stream = make_runs(2), io.StringIO()
    counter = Progress(runs, store, stream)
    for stored in (0, 1, 1, 1, 2, 2):
        finish(store, runs[:stored])
        clock.now += 10
        counter.show()
    assert len(stream.getvalue().splitlines()) == 2


class Looks:
    """An event that is never set: what happens between the looks at the store, a step a look."""

    def __init__(self, *steps):
        self.steps, self.pauses = list(steps), []

    def wait(self, pause):
        self.pauses.append(pause)
        self.steps.pop(0)()


def test_it_watches_until_no_run_is_missing(store, clock):
    runs, stream = make_runs(2), io.StringIO()
    looks = Looks(lambda: None, lambda: finish(store, runs[:1]), lambda: finish(store, runs))
    Progress(runs, store, stream).watch(looks)
    assert looks.steps == [] and len(stream.getvalue().splitlines()) == 2


def test_it_looks_seldom_where_a_look_takes_long(store, clock, monkeypatch):
    """A cluster's file system is asked for each missing run."""
    runs = make_runs(2)
    counter = Progress(runs, store, io.StringIO())
    count = counter._count

    def slowly():
        clock.now += 2
        count()

    monkeypatch.setattr(counter, "_count", slowly)
    looks = Looks(lambda: None, lambda: finish(store, runs))
    counter.watch(looks)
    assert looks.pauses == [progress.EVERY, 2 * progress.SELDOM]


def test_it_ends_with_its_process(store):
    over = threading.Event()
    over.set()
    Progress(make_runs(2), store, io.StringIO()).watch(over)  # and returns


def test_on_a_terminal_the_line_replaces_the_one_before(store, clock):
    stream = Terminal()
    runs = make_runs(2)
    counter = Progress(runs, store, stream)
    finish(store, runs)
    counter.show()
    assert stream.getvalue() == "\rtraining: 2 of 2 runs\x1b[K"


# ---------------------------------------------------------------- the announcement


def test_a_start_says_what_it_trains(store):
    runs = make_runs(1500)
    work = duration(sum(map(seconds, runs)))
    assert list(announcement(runs, store)) == [
        f"1,500 of 1,500 runs to train, about {work} on one core."
    ]
    finish(store, runs[:1400])
    [line] = announcement(runs, store)
    assert line.startswith("100 of 1,500 runs to train, about ")
    finish(store, runs)
    assert list(announcement(runs, store)) == []


def test_a_start_says_if_the_engine_s_code_makes_it_train(store, monkeypatch):
    runs = make_runs(3)
    finish(store, runs[:1])
    assert len(list(announcement(runs, store))) == 1

    monkeypatch.setattr(progress, "core_code", lambda device: "other code")
    first, second = announcement(runs, store)
    assert first == "The engine's code has changed: what the old code trained does not count."
    assert second.startswith("2 of 3 runs to train")
    assert len(list(announcement(runs, store))) == 1  # said once

    monkeypatch.undo()
    finish(store, runs)
    assert list(announcement(runs, store)) == []  # back again, and all are there
