"""How far a preset is and how long the rest takes: guesses, the announcement, the line."""

import io
import json
import math
import os
from types import SimpleNamespace

import pyarrow.parquet as parquet
import pytest

from finicky import progress, runs, tables
from finicky.durations import duration
from finicky.progress import Job, Line, Times, announcement, left, makespan
from finicky.runs import Run, seconds
from finicky.store import Store

LEVELS = {
    "dataset": "mnist", "images": 10_000, "epochs": 3, "depth": 10, "block": "plain",
    "activation": "relu", "init": "he", "optimizer": "sgd", "learning_rate": 0.01,
    "batch_size": 64, "width": 128,
}  # fmt: skip


def make_runs(count, **levels):
    return [Run(**LEVELS | levels, seed=seed) for seed in range(count)]


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


def finish(store, some, text="{}"):
    """Put runs into the store; for so many, without its care for power cuts."""
    for run in some:
        path = store.path(run.id)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def work_of(planned, store, jobs=(), times=None, slots=1, experiments=None):
    times = times or Times()
    return progress.work(planned, store.ids(), jobs, experiments or {}, times, slots)


# ---------------------------------------------------------------- how long things take


CONFIG = {"device": "cpu", "seeds": 2, "experiments": {"adam": {}, "losses": {"trials": 4}}}


def reference(folder, pace, device="cpu", date="2026-01-01", seeds=1, **stages):
    """A reference's provenance.json whose runs took `pace` times their nominal seconds."""
    (folder / "tables").mkdir(parents=True)
    some = {run.id: vars(run) | {"seconds": pace * seconds(run)} for run in make_runs(3)}
    some = {run: record | {"device": device} for run, record in some.items()}
    parquet.write_table(tables.shard_table(some), folder / "tables/runs.parquet")
    theirs = {"adam": {}, "losses": {"trials": 2}, "bench": None}
    config = {"seeds": seeds, "experiments": theirs}
    each = stages.pop("each", {})
    record = {"date": date, "config": config, "seconds": stages, "experiment_seconds": each}
    (folder / "provenance.json").write_text(json.dumps(record))
    return folder / "provenance.json"


def leave_benchmark(folder, name, seconds, megabytes):
    file = folder / f"benchmarks/{name}.tsv"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"s\tmax_rss\n{seconds}\t{megabytes}\n")


def test_nothing_known_is_nominal(store, tmp_path):
    assert progress.times(CONFIG, store, tmp_path, []) == Times(pace=1)


def test_the_newest_reference_is_the_first_guess(store, tmp_path):
    old = reference(tmp_path / "old", pace=9, date="2025-01-01")
    new = reference(tmp_path / "new", pace=3, seeds=1, experiments=80, tables=5)
    times = progress.times(CONFIG, store, tmp_path, [new, old])
    assert times.pace == pytest.approx(3)
    # two experiments in 80 s, on one seed; here there are two, and one does twice as much for each
    work = 40 - progress.START
    assert times.of_job("experiments/adam") == progress.START + 2 * work
    assert times.of_job("experiments/losses") == progress.START + 4 * work
    assert times.of_job("experiments/other") == times.of_job("experiments/adam")
    assert times.of_job("experiments/questions") == progress.START
    assert times.of_job("tables") == 5
    assert times.of_job("train/mnist-1") == progress.START
    assert times.of_job("page") == progress.JOB


def test_a_reference_may_know_what_each_experiment_took(store, tmp_path):
    new = reference(tmp_path / "new", pace=3, experiments=80, each={"adam": 70, "losses": 1})
    times = progress.times(CONFIG, store, tmp_path, [new])
    assert times.of_job("experiments/adam") == progress.START + 2 * (70 - progress.START)
    assert times.of_job("experiments/losses") == progress.START


@pytest.mark.parametrize(
    "ours, theirs, expected",
    [
        ({}, {}, 1),
        ({"images": 200, "epochs": 6}, {"images": 100, "epochs": 2}, 3),
        ({"images": 100, "epochs": 6}, {"images": 1000, "epochs": 2}, 0.1),
        ({"rates": [0.1, 1e-3], "keep": 0.9}, {"rates": [0.5], "keep": 0.1}, 2),
        ({"images": [100, 900], "new": 7}, {"images": [100]}, 10),
        ({"rates": {"sgd": [0.1], "adam": [0.1, 1e-3]}}, {"rates": {"sgd": [0.1]}}, 3),
        ({"decays": [0, 0.1]}, {"decays": [0]}, 2),
    ],
)
def test_the_work_of_an_experiment_grows_with_what_differs_most(ours, theirs, expected):
    assert progress.growth(ours, theirs) == pytest.approx(expected)


def test_a_cpu_says_nothing_of_a_gpu(store, tmp_path):
    other = reference(tmp_path / "other", pace=3, device="cuda")
    assert progress.times(CONFIG, store, tmp_path, [other]).pace == pytest.approx(1)


def test_stored_runs_outweigh_the_guess(store, tmp_path):
    """200 of them that took 4 times as long; a GPU's, damaged ones and those on data that this
    preset does not declare do not count."""
    for run in make_runs(200):
        store.write(run.id, vars(run) | {"seconds": 4 * seconds(run)})
    for run in make_runs(50, device="cuda"):
        store.write(run.id, vars(run) | {"seconds": 1e9})
    for run in make_runs(20, device="another"):
        foreign = {"dataset": "of another preset", "device": "cpu", "seconds": 1e9}
        store.write(run.id, vars(run) | foreign)
    finish(store, make_runs(20, depth=2))
    guess = reference(tmp_path / "guess", pace=1)
    pace = progress.times(CONFIG, store, tmp_path, [guess]).pace
    assert 3 < pace < 4


def test_what_a_job_took_the_last_time(store, tmp_path):
    leave_benchmark(tmp_path, "experiments/adam", 12.5, 2048)
    leave_benchmark(tmp_path, "figures/F01", 2, "-")
    leave_benchmark(tmp_path, "judge", "killed", "")
    times = progress.times(CONFIG, store, tmp_path, [])
    assert times.jobs == {"experiments/adam": 12.5, "figures/F01": 2} and times.memory == 2
    assert times.measured == times.jobs.keys()
    known = reference(tmp_path / "known", pace=1, experiments=80)
    assert progress.times(CONFIG, store, tmp_path, [known]).of_job("experiments/adam") == 12.5


# ---------------------------------------------------------------- the whole of the work


def test_jobs_share_the_cores_and_some_need_all(store):
    one = SimpleNamespace(alone=False, on_device=True)
    alone = SimpleNamespace(alone=True, on_device=False)
    experiments = {"adam": one, "bench": alone}
    times = Times(
        jobs={"experiments/adam": 30, "experiments/bench": 7, "figures/F01": 10, "judge": 5}
    )
    work = work_of(make_runs(10), store, times.jobs, times, slots=2, experiments=experiments)
    training = 10 * seconds(make_runs(1)[0])
    assert left(work) == pytest.approx(max(30, (training + 40) / 2) + 12)
    # On a GPU, training and what computes there take turns; the rest has the cores.
    gpu = make_runs(10, device="cuda")
    work = work_of(gpu, store, times.jobs, times, slots=2, experiments=experiments)
    assert left(work) == pytest.approx(sum(map(seconds, gpu)) + 30 + 12)


def test_a_long_job_is_not_shared(store):
    times = Times(jobs={"experiments/a": 100, "experiments/b": 1})
    planned = make_runs(1)
    finish(store, planned)
    assert left(work_of(planned, store, times.jobs, times, slots=50)) == 100


# ---------------------------------------------------------------- the whole, on other machines


CHAIN = {"a": Job(3), "b": Job(4, ("a",)), "c": Job(5, ("b",))}
FORK = {"a": Job(2), **{name: Job(3, ("a",)) for name in "bcd"}, "e": Job(1, tuple("bcd"))}
LONG_FIRST = {"long": Job(10), **{name: Job(2) for name in "abcd"}}
LONG_LAST = {**{name: Job(2) for name in "abcd"}, "long": Job(10)}
ALONE = {"a": Job(3), "b": Job(4), "alone": Job(5, cores=math.inf), "c": Job(1, ("a",))}
TWO = {"a": Job(3), "wide": Job(5, cores=2), "b": Job(4, ("a",))}


@pytest.mark.parametrize(
    "jobs, cores, overhead, expected",
    [
        ({}, 4, 1, 0),
        (CHAIN, 1, 0, 12),
        (CHAIN, 8, 0, 12),
        (CHAIN, 8, 1, 15),
        (FORK, 1, 0, 12),
        (FORK, 2, 0, 9),  # 2 + two rounds of 3 + 1
        (FORK, 3, 0, 6),
        (FORK, 2, 1, 13),
        (FORK, 512, 0, 6),
        (LONG_FIRST, 2, 0, 10),  # the others fit beside it
        (LONG_LAST, 2, 0, 14),  # it starts after two rounds of 2
        (LONG_LAST, 4, 0, 12),
        (LONG_LAST, 5, 0, 10),
        (LONG_LAST, 5, 4.5, 14.5),
        (ALONE, 1, 0, 13),
        (ALONE, 2, 0, 9),  # c, which is ready at 3, goes first
        (ALONE, 64, 0, 9),  # however many cores: all of them
        (TWO, 2, 0, 12),  # a, b in its place, then both cores are free
        (TWO, 3, 0, 7),
        (TWO, math.inf, 0, 7),
    ],
)
def test_the_makespan_of_small_graphs(jobs, cores, overhead, expected):
    assert makespan(jobs, cores, overhead) == pytest.approx(expected)


def test_jobs_of_a_whole_preset_wait_as_the_rules_say():
    shards = {"x": make_runs(2), "y": make_runs(1)}
    experiments = {
        "grid": SimpleNamespace(reads=["runs"], alone=False),
        "bench": SimpleNamespace(reads=[], alone=True),
    }
    times = Times(jobs={"judge": 7.0})
    jobs = progress.whole(shards, experiments, {"F1": "grid"}, {"T1": "bench"}, times, alone=8)
    one = seconds(make_runs(1)[0])
    assert jobs == {
        "train/x": Job(pytest.approx(progress.START + 2 * one)),
        "train/y": Job(pytest.approx(progress.START + one)),
        "tables": Job(progress.JOB, ("train/x", "train/y")),
        "experiments/grid": Job(progress.JOB, ("tables",)),
        "experiments/bench": Job(progress.JOB, (), 8),
        "judge": Job(7.0, ("experiments/grid", "experiments/bench")),
        "figures/F1": Job(progress.JOB, ("experiments/grid",)),
        "refilled/T1": Job(progress.JOB, ("experiments/bench",)),
        "provenance": Job(
            progress.JOB,
            ("tables", "judge", "experiments/grid", "experiments/bench", "figures/F1"),
        ),
        "explorer": Job(progress.JOB, ("tables",)),
        "page": Job(progress.JOB, ("judge", "provenance", "explorer", "figures/F1", "refilled/T1")),
    }


# ---------------------------------------------------------------- the announcement


def test_a_start_says_what_it_does(store, tmp_path):
    planned = make_runs(1500)
    jobs = ["train/a", "train/b", "experiments/adam"]
    work = work_of(planned, store, jobs, slots=2)
    whole = (sum(map(seconds, planned)) + 2 * progress.START + progress.JOB) / 2
    assert list(announcement(planned, work, tmp_path)) == [
        f"1,500 of 1,500 runs to train in 2 jobs, 1 other job: about {duration(whole)} on 2 cores."
    ]
    finish(store, planned[:1400])
    [line] = announcement(planned, work_of(planned, store), tmp_path)
    assert line.startswith("100 of 1,500 runs to train: about ") and line.endswith("on 1 core.")
    finish(store, planned)
    [line] = announcement(planned, work_of(planned, store, ["judge", "page"]), tmp_path)
    assert line == "2 jobs: about 6.0 s on 1 core."
    assert list(announcement(planned, work_of(planned, store), tmp_path)) == []


def test_a_start_says_if_the_engine_s_code_makes_it_train(store, tmp_path, monkeypatch):
    planned = make_runs(3)
    finish(store, planned[:1])
    assert len(list(announcement(planned, work_of(planned, store), tmp_path))) == 1

    monkeypatch.setattr(progress, "core_code", lambda device: "other code")
    work = work_of(planned, store)
    first, second = announcement(planned, work, tmp_path)
    assert first == "The engine's code has changed: what the old code trained does not count."
    assert second.startswith("2 of 3 runs to train")
    assert len(list(announcement(planned, work, tmp_path))) == 1  # said once

    monkeypatch.undo()
    finish(store, planned)
    assert list(announcement(planned, work_of(planned, store), tmp_path)) == []  # all are there


# ---------------------------------------------------------------- the line


def line_of(planned, work, store, stream=None):
    return Line([run.id for run in planned], work, store, stream or io.StringIO())


def test_the_line_counts_and_says_what_is_at_work(store, clock):
    planned = make_runs(1200)
    finish(store, planned[:200])
    work = work_of(planned, store, ["train/a", "train/b", "experiments/adam", "judge"])
    line = line_of(planned, work, store)
    finish(store, planned[200:300])
    text = line.text(["train/a"], ["train/b", "train/c", "experiments/adam"])
    assert text.startswith("1 of 4 jobs, 300 of 1,200 runs, about ")
    assert text.endswith(" left; at work: experiments/adam, train (2)")
    assert line.text([], []).endswith("at work: nothing")


def test_the_time_left_is_of_the_whole_and_does_not_depend_on_who_asks(store, clock):
    planned, times = make_runs(100), Times(jobs={"experiments/adam": 500.0})
    work = work_of(planned, store, times.jobs, times)
    assert f"about {duration(left(work))} left" in line_of(planned, work, store).text([], [])


def test_the_time_so_far_corrects_the_guess(store, clock):
    """Half of the work in twice its time: what is left takes nearly twice as long, too."""
    planned = make_runs(1000)
    work = work_of(planned, store)
    line = line_of(planned, work, store)
    finish(store, planned[:500])
    clock.now += left(work)  # twice the guess for half of it
    whole, half = left(work), left(work) / 2
    expected = half * (whole + progress.WEIGHT) / (half + progress.WEIGHT)
    assert 1.8 * half < expected
    assert f"about {duration(expected)} left" in line.text([], [])


def test_a_job_that_runs_counts_as_far_as_it_is(store, clock):
    planned, times = make_runs(1), Times(jobs={"experiments/adam": 500.0})
    finish(store, planned)
    line = line_of(planned, work_of(planned, store, times.jobs, times), store)
    line.text([], ["experiments/adam"])
    clock.now += 200
    assert "about 5 min left" in line.text([], ["experiments/adam"])
    clock.now += 900  # longer than the guess
    assert "left" not in line.text([], ["experiments/adam"])


def test_on_a_terminal_the_line_is_replaced_and_fits(store, clock, monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    planned = make_runs(2)
    line = line_of(planned, work_of(planned, store), store, Terminal())
    line.show([], ["train/a"])
    shown = line.stream.getvalue()
    assert shown == "0 of 0 jobs, 0 of 2 runs, abo\x1b[K\r"
    line.stop()
    assert line.stream.getvalue() == shown + "\x1b[K"
    assert line.every <= 10


def test_elsewhere_there_is_a_line_now_and_then(store, clock):
    planned = make_runs(2)
    line = line_of(planned, work_of(planned, store), store)
    line.show([], [])
    assert line.stream.getvalue().count("\n") == 1 and "\r" not in line.stream.getvalue()
    assert line.every >= 60


def test_the_line_looks_no_run_up(store, clock, monkeypatch):
    """The store is listed; its files are neither opened nor asked for one by one."""
    planned = make_runs(5)
    line = line_of(planned, work_of(planned, store), store)
    monkeypatch.setattr(Store, "path", None)
    assert "0 of 5 runs" in line.text([], [])


# ---------------------------------------------------------------- a preset from outside


def test_what_a_preset_lacks(store, tmp_path):
    plan = SimpleNamespace(shards={"a": make_runs(2), "b": make_runs(1, depth=2)})
    for name in "experiments/adam.parquet", "figures/F01.svg", "report/index.html":
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    finish(store, make_runs(1))

    def unmade(*names):
        return progress.unmade(plan, store.ids(), tmp_path, *names)

    assert unmade(["adam", "losses"], ["F01"], ["T01"]) == [
        "train/a", "train/b", "experiments/losses", "refilled/T01", *progress.CLOSING,
    ]  # fmt: skip
    finish(store, sum(plan.shards.values(), []))
    assert unmade(["adam"], ["F01"], []) == []


def test_what_a_finished_preset_took_by_stage(tmp_path):
    """Two trained beside each other for 10 s, an experiment beside the second, which went on for 4;
    a figure later, for 6. What left no time, or is no stage, does not count."""
    spans = {
        "train/a": (100, 110), "train/b": (100, 120), "experiments/adam": (110, 124),
        "figures/F01": (200, 203), "refilled/T01": (203, 206), "bench": (0, 1000),
    }  # fmt: skip
    for name, (start, end) in spans.items():
        leave_benchmark(tmp_path, name, end - start, "-")
        os.utime(tmp_path / f"benchmarks/{name}.tsv", (end, end))
    leave_benchmark(tmp_path, "judge", "killed", "")
    took = progress.taken(tmp_path)
    assert took == pytest.approx({"training": 15, "experiments": 9, "figures": 6})
    assert progress.taken_in_words(took) == (
        "jobs at work for 30 s, 50 % beside training: experiments 30 %, figures 20 %"
    )
    assert progress.taken_in_words(progress.taken(tmp_path / "nothing")) == ""


def test_levels_are_what_a_record_has():
    assert set(runs.LEVELS) <= set(tables.RUNS)
