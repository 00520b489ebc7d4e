"""Parquet files that carry a hash of all their bytes, compared whenever they are read.

The format's own checksums are of pages only, and the footer says what the pages hold. Without them,
two in three flipped bits of a table of 25 kB made other numbers of it unnoticed; with them 3 of
2,000, and one in a hundred in a small table, which is nearly all footer.
"""

import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from finicky.errors import Damaged
from finicky.store import replaced

# In the footer, before the SHA-256 of the file in which this hash is all zeros.
MARK = b"SHA-256 of this file with zeros here: "
ZEROS = b"0" * 64


def write(table, path, metadata=None):
    """Write an Arrow table, or a pandas table without its index, whole or not at all; metadata:
    {bytes: bytes} of the file, beside the hash."""
    if not isinstance(table, pa.Table):
        table = pa.Table.from_pandas(table, preserve_index=False)
    known = table.schema.metadata or {}  # maybe with the hash of the file that it was read from
    metadata = {**known, **(metadata or {}), b"hash": MARK + ZEROS}
    table = table.replace_schema_metadata(metadata)
    with replaced(path) as temporary:
        pa.parquet.write_table(table, temporary, compression="zstd")
        blank = Path(temporary).read_bytes()
        with open(temporary, "r+b") as file:
            file.seek(blank.index(MARK + ZEROS) + len(MARK))
            file.write(hashlib.sha256(blank).hexdigest().encode())


def read(path, columns=None):
    """The Arrow table in a file, or these columns of it.

    Raises Damaged if the file is not what was written. A file without a hash, as others write them,
    is read as it is.
    """
    content = Path(path).read_bytes()
    _check(path, content)
    try:
        return pa.parquet.read_table(pa.BufferReader(content), columns=columns)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise Damaged(path, error) from None


def read_frame(path, columns=None):
    """The same as a pandas table."""
    return read(path, columns).to_pandas()


def names(path):
    """The names of a file's columns."""
    return pa.parquet.read_schema(path).names


def _check(path, content):
    start = content.rfind(MARK) + len(MARK)
    if start < len(MARK):
        return
    end = start + len(ZEROS)
    parts = (content[:start], ZEROS, content[end:])
    if hashlib.sha256(b"".join(parts)).hexdigest().encode() != content[start:end]:
        raise Damaged(path, "its SHA-256 is another")
