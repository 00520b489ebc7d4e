"""Parquet files: what was damaged is not read."""

import random

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from finicky import parquet
from finicky.errors import Damaged

TABLE = pd.DataFrame(
    {
        "quantity": ["loss", "loss", "accuracy"],
        "seed": pd.array([0, 1, None], dtype="Int64"),
        "value": [0.25, 2.5, None],
        "residual": pd.array([True, None, False], dtype="boolean"),
    }
)
NESTED = pa.table({"run": ["a", "b"], "curves": [[{"epoch": 1, "loss": 0.5}], []]})


def test_a_table_comes_back_as_it_was(tmp_path):
    """With its types, for us and for any other reader."""
    path = tmp_path / "new" / "table.parquet"
    parquet.write(TABLE, path)
    pd.testing.assert_frame_equal(parquet.read_frame(path), TABLE)
    pd.testing.assert_frame_equal(pd.read_parquet(path), TABLE)
    assert list(parquet.read_frame(path, ["value", "seed"])) == ["value", "seed"]
    parquet.write(NESTED, path)
    assert parquet.read(path).equals(NESTED) and pa.parquet.read_table(path).equals(NESTED)
    assert list(path.parent.iterdir()) == [path]


def test_what_was_read_can_be_written(tmp_path):
    """Under a hash of its own, though the table has that of its first file."""
    first, second = tmp_path / "first.parquet", tmp_path / "second.parquet"
    parquet.write(NESTED, first)
    parquet.write(parquet.read(first), second)
    assert parquet.read(second).equals(NESTED)
    parquet.write(parquet.read(first, ["run"]).slice(1), second)
    assert parquet.read(second)["run"].to_pylist() == ["b"]


@pytest.mark.parametrize("table", [TABLE, NESTED], ids=["flat", "nested"])
def test_one_flipped_bit_is_noticed(tmp_path, table):
    """Wherever it is: in a page, in the footer, in the hash itself. In the words before the hash it
    changes no number."""
    path = tmp_path / "table.parquet"
    parquet.write(table, path)
    whole, expected = path.read_bytes(), parquet.read(path)
    words = range(whole.index(parquet.MARK), whole.index(parquet.MARK) + len(parquet.MARK))
    for place in random.Random(0).sample(range(8 * len(whole)), 3000):
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        if place // 8 in words:
            assert parquet.read(path).equals(expected)
            continue
        with pytest.raises(Damaged, match="table.parquet: found a damaged file") as error:
            parquet.read(path)
        assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("keep", [0, 3, 100, -1])
def test_a_cut_file_is_noticed(tmp_path, keep):
    path = tmp_path / "table.parquet"
    parquet.write(TABLE, path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(Damaged):
        parquet.read(path)


def test_a_file_of_another_writer_is_read(tmp_path):
    TABLE.to_parquet(tmp_path / "theirs.parquet")
    pd.testing.assert_frame_equal(parquet.read_frame(tmp_path / "theirs.parquet"), TABLE)
    with pytest.raises(FileNotFoundError):
        parquet.read(tmp_path / "none.parquet")
