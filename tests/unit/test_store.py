"""The store: a record is there whole or not at all."""

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from finicky.store import Store, date_now, replaced

WORKFLOW = Path(__file__).parents[2] / "workflow"
RUN = "0123456789abcdef0123"
RECORD = {"outcome": "finite", "nan_step": None, "curves": [{"epoch": 1, "test_loss": 0.25}]}


def files_below(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_write_and_read(tmp_path):
    store = Store(tmp_path / "not" / "yet" / "there")
    assert store.read(RUN) is None and RUN not in store
    store.write(RUN, RECORD)
    assert store.read(RUN) == RECORD and RUN in store
    assert files_below(tmp_path) == [store.path(RUN)]
    assert store.read(RUN[::-1]) is None
    store.write(RUN, {"outcome": "nan"})
    assert store.read(RUN) == {"outcome": "nan"}


def test_ids_of_all_that_is_stored(tmp_path):
    store = Store(tmp_path / "store")
    assert store.ids() == set()
    for run in RUN, RUN[::-1]:
        store.write(run, RECORD)
    (store.folder / "engine.cpu.code").touch()
    store.path(RUN).with_name(f".{RUN}.json.half").touch()
    assert store.ids() == {RUN, RUN[::-1]}


@pytest.mark.parametrize("cut", [0, 1, 20])
def test_damaged_file_counts_as_not_stored(tmp_path, cut):
    store = Store(tmp_path)
    store.write(RUN, RECORD)
    whole = store.path(RUN).read_bytes()
    store.path(RUN).write_bytes(whole[:cut])
    assert store.read(RUN) is None
    store.path(RUN).write_bytes(b"\xff" + whole[1:])
    assert store.read(RUN) is None
    store.write(RUN, RECORD)
    assert store.read(RUN) == RECORD


def test_one_flipped_bit_counts_as_not_stored(tmp_path):
    """Whichever it is: also where the file remains valid JSON with a plausible number in it."""
    store = Store(tmp_path)
    store.write(RUN, RECORD)
    whole = store.path(RUN).read_bytes()
    for place in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        store.path(RUN).write_bytes(flipped)
        assert store.read(RUN) is None, bytes(flipped)


@pytest.mark.parametrize("content", [b"{}", b"[]", b"3", b'{"sha256": 1, "record": {}}', None])
def test_what_is_no_record_counts_as_not_stored(tmp_path, content):
    store = Store(tmp_path)
    store.path(RUN).parent.mkdir()
    store.path(RUN).mkdir() if content is None else store.path(RUN).write_bytes(content)
    assert store.read(RUN) is None


def test_another_runs_record_counts_as_not_stored(tmp_path):
    store, other = Store(tmp_path), RUN[::-1]
    store.write(RUN, RECORD)
    store.path(other).parent.mkdir()
    store.path(other).write_bytes(store.path(RUN).read_bytes())
    assert store.read(other) is None and store.read(RUN) == RECORD


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused(tmp_path, number):
    store = Store(tmp_path)
    store.write(RUN, RECORD)
    with pytest.raises(ValueError):
        store.write(RUN, RECORD | {"start_loss": number})
    assert store.read(RUN) == RECORD and files_below(tmp_path) == [store.path(RUN)]


def test_content_is_whole_before_it_takes_its_place(tmp_path, monkeypatch):
    target = tmp_path / "file"
    target.write_bytes(b"old")
    events = []
    fsync, rename = os.fsync, os.replace

    def watched_fsync(handle):
        events.append(("fsync", os.fstat(handle).st_ino))
        fsync(handle)

    def watched_rename(temporary, path):
        assert Path(temporary).read_bytes() == b"new" and target.read_bytes() == b"old"
        assert Path(temporary).parent == tmp_path, "a rename works only within a file system"
        events.append(("rename", os.stat(temporary).st_ino))
        rename(temporary, path)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "replace", watched_rename)
    with replaced(target) as temporary:
        Path(temporary).write_bytes(b"new")
    inode = target.stat().st_ino
    assert events == [("fsync", inode), ("rename", inode)]
    assert target.read_bytes() == b"new" and target.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("fails", ["the body", "fsync", "replace"])
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_failure_leaves_nothing_behind(tmp_path, monkeypatch, fails, error):
    target = tmp_path / "file"
    target.write_bytes(b"old")

    def fail(*_):
        raise error

    if fails != "the body":
        monkeypatch.setattr(os, fails, fail)
    with pytest.raises(error), replaced(target) as temporary:
        Path(temporary).write_bytes(b"new")
        if fails == "the body":
            fail()
    assert target.read_bytes() == b"old" and list(tmp_path.iterdir()) == [target]


def test_a_writer_that_removes_what_it_could_not_finish(tmp_path):
    """As pyarrow does on a full disk; its error is told, not that the file is gone."""
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError) as told, replaced(tmp_path / "file") as temporary:
        os.unlink(temporary)
        raise full
    assert told.value is full and list(tmp_path.iterdir()) == []


WRITER = """
import sys
from finicky.store import Store
folder, run, word = sys.argv[1:]
for count in range(40):
    Store(folder).write(run, {"word": word, "numbers": [count] * 20_000})
"""


def test_two_processes_store_the_same_run(tmp_path):
    """A reader sees one writer's record or the other's, never a mixture or a piece."""
    environment = os.environ | {"PYTHONPATH": str(WORKFLOW)}
    store = Store(tmp_path)
    store.write(RUN, {"word": "first", "numbers": [0] * 20_000})
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, tmp_path, RUN, word], env=environment)
        for word in ("one", "two")
    ]
    seen, running = set(), True
    while running:
        running = any(writer.poll() is None for writer in writers)
        record = store.read(RUN)
        assert len(record["numbers"]) == 20_000 and len(set(record["numbers"])) == 1
        seen.add(record["word"])
    assert [writer.wait() for writer in writers] == [0, 0]
    assert seen & {"one", "two"}
    assert record["numbers"][0] == 39
    assert files_below(tmp_path) == [store.path(RUN)]


def test_files_of_the_future_are_dated_now_in_their_order(tmp_path):
    """What is newer stays newer; what is old, or not there, is left alone."""
    now = time.time()
    dates = {"old": now - 1000, "second": now + 900, "first": now + 800, "third": now + 5000}
    for name, date in dates.items():
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (date, date))
    date_now([tmp_path / name for name in [*dates, "missing"]])
    found = {name: (tmp_path / name).stat().st_mtime for name in dates}
    assert sorted(found, key=found.get) == ["old", "first", "second", "third"]
    assert found["old"] == pytest.approx(dates["old"]) and found["first"] > now - 1
    assert found["third"] <= time.time()
