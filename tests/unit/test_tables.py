"""The tidy tables: what the runs recorded, whichever jobs trained them."""

import itertools
import re

import pyarrow as pa
import pyarrow.parquet
import pytest

from finicky import tables
from finicky.runs import later

METRICS = [name for name in tables.CURVES if name not in ("run", "epoch")]


def stored(number, epochs=2, depth=2, outcome="finite"):
    """The record of a run, its numbers made from `number`."""
    ended = outcome == "nan"
    return {
        "dataset": "mnist", "images": 256, "epochs": epochs, "depth": depth, "block": "plain",
        "activation": "relu", "init": "he", "optimizer": "sgd", "learning_rate": 0.01,
        "batch_size": 64, "width": 32, "seed": number, "device": "cpu", "outcome": outcome,
        "large_step": None, "inf_step": None, "nan_step": 3 if ended else None,
        "start_loss": 2.0 + number, "seconds": 0.5, "fused": 2, "host": "here", "cpu": "a cpu",
        "gpu": None,
        "instruction_set": "AVX2", "finished": "2026-01-01T00:00:00+00:00",
        "cores": 2, "memory_gib": None,  # recorded, but in no table
        "curves": [
            {"epoch": epoch} | {
                name: None if ended else 100.0 * number + epoch + i / 10
                for i, name in enumerate(METRICS)
            }
            for epoch in range(1, epochs + 1)
        ],
        "layers": [
            {
                "epoch": epoch, "layer": layer, "activation_mean": 0.1 * number,
                "activation_variance": 1.0, "gradient_norm": layer / 4, "dead_share": 0.0,
                "saturated_share": None,
            }
            for epoch in (0, epochs) for layer in range(1, depth + 1)
        ],
    }  # fmt: skip


RECORDS = {
    "c0": stored(1),
    "a0": stored(2, epochs=3),
    "d0": stored(3, outcome="nan"),
    "b0": stored(4, depth=4),
}
SUBGRIDS = {"c0": ["two", "one"], "a0": ["one"], "d0": ["one"], "b0": ["three"]}
PURPOSES = {"c0": ["b", "a"], "a0": ["a"], "d0": ["b"], "b0": ["a"]}


def gathered(*shards):
    parts = [tables.shard_table({run: RECORDS[run] for run in shard}) for shard in shards]
    return tables.gather(parts, SUBGRIDS, PURPOSES)


def test_one_row_per_run_sorted_with_its_subgrids():
    runs = gathered(["c0", "a0"], ["d0", "b0"])["runs"].to_pylist()
    assert [row["run"] for row in runs] == ["a0", "b0", "c0", "d0"]
    assert [row["subgrids"] for row in runs] == ["one", "three", "one,two", "one"]
    for row in runs:
        record = later("sgd") | RECORDS[row["run"]]  # as before there were these axes
        planned = ("run", "subgrids", "purposes")
        own = {name: record[name] for name in tables.RUNS if name not in planned}
        assert row == {name: row[name] for name in planned} | own
    assert [row["purposes"] for row in runs] == ["a", "a", "a,b", "b"]


def test_one_row_per_run_and_epoch():
    curves = gathered(["c0", "a0"], ["d0", "b0"])["curves"].to_pylist()
    expected = [{"run": run} | row for run in sorted(RECORDS) for row in RECORDS[run]["curves"]]
    assert curves == expected
    assert [row["test_accuracy"] for row in curves if row["run"] == "d0"] == [None, None]


def test_one_row_per_run_moment_and_layer():
    layers = gathered(["c0", "a0"], ["d0", "b0"])["layers"].to_pylist()
    expected = [{"run": run} | row for run in sorted(RECORDS) for row in RECORDS[run]["layers"]]
    assert layers == expected


@pytest.mark.parametrize("order", list(itertools.permutations([["c0"], ["b0", "a0"], ["d0"]])))
def test_the_tables_do_not_depend_on_the_shards(order):
    whole = gathered(["a0", "b0", "c0", "d0"])
    assert all(gathered(*order)[name].equals(whole[name]) for name in tables.TABLES)


def test_the_types_hold_even_where_all_is_missing(tmp_path):
    path = tmp_path / "shard.parquet"
    pyarrow.parquet.write_table(tables.shard_table({"d0": RECORDS["d0"]}), path)
    found = tables.gather([pyarrow.parquet.read_table(path)], SUBGRIDS, PURPOSES)
    for name, columns in tables.TABLES.items():
        assert found[name].schema.equals(tables.schema(columns)), name
    assert found["curves"]["test_loss"].null_count == found["curves"].num_rows == 2
    assert found["curves"].schema.field("test_loss").type == pa.float64()


def test_a_run_without_subgrid_is_an_error():
    shard = tables.shard_table({"a0": RECORDS["a0"]})
    with pytest.raises(KeyError, match="a0"):
        tables.gather([shard], {}, {})


def test_the_dictionary_explains_every_column():
    _, *sections = re.split(r"^## ", tables.dictionary(), flags=re.MULTILINE)
    assert [section.split(":")[0] for section in sections] == list(tables.TABLES)
    for section, columns in zip(sections, tables.TABLES.values(), strict=True):
        rows = re.findall(r"^\| (\w+) \| (\w+) \| (.+) \|$", section, re.MULTILINE)
        assert rows[0] == ("column", "type", "meaning")
        assert [name for name, _, _ in rows[1:]] == list(columns)
        assert [kind for _, kind, _ in rows[1:]] == [str(kind) for kind, _ in columns.values()]
        assert all("|" not in what for _, _, what in rows)
