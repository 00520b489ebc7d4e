"""The store of finished runs: a file a run, named by the run's identity, shared by all presets."""

import hashlib
import json
import os
import tempfile
from contextlib import contextmanager
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


class Store:
    """Finished runs below a folder. Two jobs that store the same run at once do no harm."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def path(self, run_id):
        """Where a run's record lies."""
        return self.folder / run_id[:2] / f"{run_id}.json"

    def __contains__(self, run_id):
        return self.path(run_id).exists()

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
