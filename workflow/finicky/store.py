"""The store of finished runs: a file a run, named by the run's identity, shared by all presets."""

import hashlib
import json
import os
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replaced(path):
    """Yield a temporary path that becomes `path` if the body succeeds, and vanishes if not.

    So a file is seen whole or not at all, even after a power cut.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)  # pyarrow removes what it could not finish
        raise


def date_now(paths):
    """Files that are dated in the future, by a clock that was wrong, are dated now, in the order
    in which they were; those of other users stay as they are."""
    now, late = time.time(), []
    for path in paths:
        with suppress(OSError):
            late.append((os.stat(path).st_mtime, path))
    late = sorted((date, path) for date, path in late if date > now)
    for before, (_, path) in enumerate(reversed(late)):
        with suppress(OSError):
            os.utime(path, (now, now - before / 1000))


class Store:
    """Finished runs below a folder. Two jobs that store the same run at once do no harm."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def path(self, run_id):
        """Where a run's record lies."""
        return self.folder / run_id[:2] / f"{run_id}.json"

    def files(self):
        """{run id: path} of all records, whether they are whole or not, sorted by id."""
        paths = map(self.path, sorted(self.ids()))
        return {path.stem: path for path in paths if path.is_file()}

    def __contains__(self, run_id):
        return self.path(run_id).exists()

    def ids(self):
        """Ids of all stored runs, each a file's name: a folder is listed, no file looked up."""
        if not self.folder.is_dir():
            return set()
        folders = [entry.path for entry in os.scandir(self.folder) if entry.is_dir()]
        return {
            name.removesuffix(".json")
            for folder in folders
            for name in os.listdir(folder)
            if name.endswith(".json") and not name.startswith(".")
        }

    def read(self, run_id):
        """A run's record, or None if it is not stored.

        What was damaged, or is another run's record under this name, counts as not stored.
        """
        try:
            stored = json.loads(self.path(run_id).read_bytes())
            record = stored["record"]
            whole = stored["sha256"] == _digest(run_id, _text(record))
        except (FileNotFoundError, IsADirectoryError, ValueError, KeyError, TypeError):
            return None
        return record if whole else None

    def write(self, run_id, record):
        """Store a run's record (plain Python, finite numbers) with its checksum."""
        text = _text(record)
        with replaced(self.path(run_id)) as temporary:
            stored = f'{{"sha256":"{_digest(run_id, text)}","record":{text}}}'
            Path(temporary).write_text(stored, encoding="utf-8")


def _text(record):
    """A record as JSON that always looks the same; ValueError for numbers that are not finite."""
    return json.dumps(record, allow_nan=False, separators=(",", ":"))


def _digest(run_id, text):
    """SHA-256 of a record and of whose it is."""
    return hashlib.sha256(f"{run_id}{text}".encode()).hexdigest()
