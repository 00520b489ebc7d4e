"""What runs, and above all what is not trained again, when something changes."""

import json
import re
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest
from bs4 import BeautifulSoup

from finicky import config as presets

ROOT = Path(__file__).parents[2]


def levels(records, *axes):
    """The levels of some runs: a set of tuples."""
    return {tuple(record[axis] for axis in axes) for record in records.values()}


def lasting(record):
    """A record without what differs each time."""
    return {key: value for key, value in record.items() if key not in ("seconds", "finished")}


# ---------------------------------------------------------------- devices


def test_jobs_on_a_gpu_take_turns(untrained, tmp_path):
    """Training and the experiments that compute there ask for it; the others run beside them."""
    project = untrained.copy(tmp_path / "project")
    sections = presets.load(ROOT / "config/smoke.yaml", ROOT / "config/config.yaml")["experiments"]
    asks = {"adam": 0, "losses": 0, "parity-depth": 1, "double-descent": 1}
    project.configure(device="cuda", experiments={slug: sections[slug] for slug in asks})
    said = project.snakemake("tiny", "--profile", "profiles/gpu", "-n", "--quiet", "progress")
    asked = dict(re.findall(r"wildcards: (?:slug|shard)=(\S+)\n.* gpu=(\d)", said))
    (shard,) = asked.keys() - asks.keys()
    assert shard.startswith("mnist-cuda-") and asked.pop(shard) == "1"
    assert asked == {slug: str(number) for slug, number in asks.items()}


def test_the_page_compares_what_another_device_gave(reported, tmp_path):
    """Each device's verdicts stay beside the preset's, and no job but the page's reads them."""
    tiny = reported.copy(tmp_path / "with a space")
    report = tiny.folder / "results/tiny/report"
    assert (report / "claims.cpu.json").read_bytes() == (report / "claims.json").read_bytes()
    theirs = json.loads((report / "claims.json").read_text())
    (report / "claims.cuda.json").write_text(json.dumps(theirs))
    assert tiny.jobs() == {"page"}
    page = BeautifulSoup((report / "index.html").read_text(), "html5lib")
    said = [" ".join(text.get_text().split()) for text in page.select(".agreement")]
    assert said[-1].startswith("Agrees with this preset as a GPU gave it on 0 of 0 claims.")


# ---------------------------------------------------------------- what is trained


def test_a_new_seed_trains_its_runs_and_a_removed_level_none(tiny):
    tiny.configure(seeds=3)
    trained, said = tiny.train()
    assert levels(trained, "init", "seed") == {("he", 2), ("xavier", 2)}
    assert "2 of 6 runs to train" in said

    tiny.configure(seeds=3, init=["he"])
    trained, said = tiny.train()
    assert trained == {} and "to train" not in said
    runs = pd.read_parquet(tiny.folder / "results/tiny/tables/runs.parquet")
    assert sorted(zip(runs["init"], runs["seed"], strict=True)) == [("he", i) for i in range(3)]


SWISH = """

STEEPNESS = 1.5


@activation("swish")
def swish(z):
    return z * torch.sigmoid(STEEPNESS * z)
"""


def test_a_new_activation_trains_its_runs_and_so_does_a_change_of_it(tiny):
    file = "workflow/finicky/engine/activations.py"
    tiny.edit(file, lambda text: text + SWISH)
    tiny.configure(activation=["relu", "swish"])
    trained, said = tiny.train()
    assert levels(trained, "activation") == {("swish",)} and len(trained) == 4
    assert "4 of 8 runs to train" in said and "engine's code" not in said

    tiny.edit(file, lambda text: text.replace("STEEPNESS = 1.5", "STEEPNESS = 1.25"))
    again, said = tiny.train()
    assert levels(again, "activation") == {("swish",)} and len(again) == 4
    assert again.keys().isdisjoint(trained)
    assert "4 of 8 runs to train" in said and "engine's code" not in said


def test_presets_share_their_runs(tiny):
    tiny.configure("other", init=["he", "lecun"])
    trained, said = tiny.train("other")
    assert levels(trained, "init") == {("lecun",)} and len(trained) == 2
    assert "2 of 4 runs to train" in said

    def he(preset):
        folder = tiny.folder / f"results/{preset}/tables"
        runs = pd.read_parquet(folder / "runs.parquet").query("init == 'he'").set_index("run")
        return runs.drop(columns=["subgrids", "purposes"])

    pd.testing.assert_frame_equal(he("tiny"), he("other"))
    assert len(he("tiny")) == 2


def test_a_comment_in_the_engine_trains_nothing_but_code_trains_all(tiny):
    before, file = tiny.runs(), "workflow/finicky/engine/history.py"
    tiny.edit(file, lambda text: text.replace("LARGE = 1000", "# many times\nLARGE = 1000"))
    trained, said = tiny.train()
    assert trained == {} and "to train" not in said

    tiny.edit(file, lambda text: text.replace("LARGE = 1000", "LARGE = 999"))
    trained, said = tiny.train()
    assert "The engine's code has changed" in said and "4 of 4 runs to train" in said
    assert levels(trained, "init", "seed") == levels(before, "init", "seed")
    assert trained.keys().isdisjoint(before)

    assert "engine's code" not in tiny.train()[1]


@pytest.mark.parametrize("damage", [lambda text: text[:-9], lambda text: ""], ids=["cut", "empty"])
def test_a_damaged_stored_run_is_trained_again(tiny, damage):
    before = tiny.runs()
    run = min(before)
    tiny.edit(f"results/store/{run[:2]}/{run}.json", damage)
    shutil.rmtree(tiny.folder / "results/tiny")
    trained, _ = tiny.train()
    assert set(trained) == {run}
    (log,) = [file for file in tiny.folder.glob("results/tiny/logs/train/*") if file.is_file()]
    assert f"{run} is stored in a damaged file" in log.read_text()
    record, old = trained[run], before[run]
    record["fused"] = old["fused"]  # alone this time
    assert lasting(record) == lasting(old)


def flip(path):
    """Flip one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_damaged_shard_is_made_again_from_the_store(tiny):
    (shard,) = tiny.folder.glob("results/tiny/shards/*.parquet")
    before = shard.read_bytes()
    flip(shard)
    (tiny.folder / "results/tiny/tables/runs.parquet").unlink()
    trained, _ = tiny.train()
    assert trained == {} and shard.read_bytes() == before
    log = (tiny.folder / "results/tiny/logs/tables.log").read_text()
    assert f"{shard.name}: found a damaged file" in log and "made again from the store" in log


def test_a_damaged_table_is_named_and_made_again(reported, tmp_path):
    """By the call after the one whose job met with it, or after `make verify`."""
    tiny = reported.copy(tmp_path / "with a space")
    table = tiny.folder / "results/tiny/tables/runs.parquet"
    before = pd.read_parquet(table)
    flip(table)
    (tiny.folder / "results/tiny/provenance.json").unlink()
    done = tiny.call(tiny.command("tiny"))
    assert done.returncode != 0
    [line] = [line for line in done.stdout.splitlines() if "found a damaged file" in line]
    assert line.startswith("results/tiny/tables/runs.parquet: found a damaged file")
    assert not table.exists()
    tiny.snakemake()
    pd.testing.assert_frame_equal(pd.read_parquet(table), before)

    flip(table)
    for name in (
        "full",
        "smoke",
        "seeds-1000",
        "seeds-2000",
    ):  # laid over what this project has not
        (tiny.folder / f"config/{name}.yaml").unlink()
    script = [sys.executable, "workflow/scripts/upkeep.py", "verify"]
    done = tiny.call(script)
    assert done.returncode == 1 and "runs.parquet is damaged: removed" in done.stdout
    assert tiny.jobs() >= {"tables"}
    pd.testing.assert_frame_equal(pd.read_parquet(table), before)


def test_status_says_how_far_a_preset_is(tiny):
    """The same runs as the workflow plans, by the same merge of the config."""
    command = [sys.executable, "workflow/scripts/status.py", "config/tiny.yaml"]
    done = tiny.call(command)
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("tiny: 4 of 4 runs stored, about ")  # the page is not made
    tiny.configure(seeds=3)
    done = tiny.call(command)
    assert done.stdout.startswith("tiny: 4 of 6 runs stored, 2 missing, about ")
