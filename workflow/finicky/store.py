"""The store of finished runs: a file a run, named by the run's identity, shared by all presets."""

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
        os.unlink(temporary)
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
        """A run's record, or None if it is not stored (a damaged file counts as not stored)."""
        try:
            return json.loads(self.path(run_id).read_bytes())
        except (FileNotFoundError, ValueError):
            return None

    def write(self, run_id, record):
        """Store a run's record (plain Python, finite numbers)."""
        content = json.dumps(record, allow_nan=False, separators=(",", ":")).encode()
        with replaced(self.path(run_id)) as temporary:
            Path(temporary).write_bytes(content)
