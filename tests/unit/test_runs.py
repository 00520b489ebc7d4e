"""Runs: canonical levels, identity, and the packing into shards and fused batches."""

import dataclasses
import hashlib
import itertools
import json
import random
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from finicky import config, runs, sources
from finicky.engine.network import Architecture
from finicky.runs import Run, canonical_block, canonical_init, fused_batches, plan, shards

WORKFLOW = Path(__file__).parents[2] / "workflow"
RUN = Run(
    dataset="mnist", images=10_000, epochs=3, depth=10, block="plain", activation="relu", init="he",
    optimizer="sgd", learning_rate=0.01, batch_size=64, width=128, seed=0,
)  # fmt: skip
OTHER = {
    "dataset": "fashion_mnist", "images": 60_000, "epochs": 2, "depth": 6, "block": "residual",
    "activation": "tanh", "init": "xavier", "optimizer": "adam", "learning_rate": 0.1,
    "batch_size": 32, "width": 64, "seed": 1, "device": "cuda", "weight_decay": 0.1,
    "schedule": "cosine", "label_noise": 0.2, "instruction_set": "AVX2",
}  # fmt: skip
SIZE = 40  # estimated seconds a shard
L2_CACHE = 2 * 2**20


def make_config(*grids, **settings):
    """A config of sub-grids, each a product of one level per axis where it names no others; called
    by their `name`, or first, second, ..."""
    small = {
        "dataset": ["mnist"], "images": 10_000, "epochs": 3, "depth": [10],
        "block": ["plain"], "activation": ["relu"], "init": ["he"], "optimizer": ["sgd"],
    }  # fmt: skip
    return {
        "seeds": 1,
        "first_seed": 0,
        "batch_size": 64,
        "width": 128,
        "device": "cpu",
        "shard_seconds": SIZE,
        "optimizers": {"sgd": [0.01], "momentum": [0.01, 0.1], "adam": [0.001]},
        "matched_init": {"relu": "he", "tanh": "xavier"},
        "grid": {
            grid.pop("name", name): small | grid
            for name, grid in zip(("first", "second", "third"), map(dict, grids), strict=False)
        },
    } | settings


def planned(*grids, **settings):
    return plan(make_config(*grids, **settings))


# ---------------------------------------------------------------- canonical levels


@pytest.mark.parametrize(
    ("level", "canonical"),
    [
        ("he", "he"),
        ("zeros", "zeros"),
        ("uniform_fan_in", "uniform_fan_in"),
        ("normal_std_0.001", "normal_std_0.001"),
        ("normal_std_1e-3", "normal_std_0.001"),
        ("normal_std_1.0", "normal_std_1"),
        ("normal_std_0.0001", "normal_std_0.0001"),
        ("normal_std_1e-5", "normal_std_1e-05"),
        ("normal_var_1e-4", "normal_std_0.01"),
        ("normal_var_1e-3", "normal_std_0.0316228"),
        ("normal_var_1", "normal_std_1"),
    ],
)
def test_canonical_init(level, canonical):
    assert canonical_init(level) == canonical
    assert canonical_init(canonical) == canonical
    assert runs.registered(canonical) in sources.levels("init")


@pytest.mark.parametrize("level", ["normal_std_small", "normal_var_"])
def test_init_without_its_number(level):
    with pytest.raises(ValueError):
        canonical_init(level)


def test_canonical_block():
    assert [canonical_block(2, block) for block in runs.BLOCKS] == [
        "plain", "batch_norm", "plain", "batch_norm",
    ]  # fmt: skip
    assert [canonical_block(6, block) for block in runs.BLOCKS] == list(runs.BLOCKS)


# ---------------------------------------------------------------- planning


def test_product_of_levels():
    plan = planned(
        {"depth": [2, 6], "activation": ["relu", "tanh"], "optimizer": ["sgd", "momentum"]},
        seeds=3,
        first_seed=5,
    )
    assert len(plan.subgrids) == 2 * 2 * 3 * 3, "momentum has two rates"
    assert {run.seed for run in plan.subgrids} == {5, 6, 7}
    assert {(run.optimizer, run.learning_rate) for run in plan.subgrids} == {
        ("sgd", 0.01), ("momentum", 0.01), ("momentum", 0.1),
    }  # fmt: skip


def test_equal_trainings_are_one_run_of_both_subgrids():
    plan = planned(
        {"name": "first", "depth": [2], "block": ["plain", "residual"]},
        {"name": "second", "depth": [2, 6], "init": ["he", "normal_var_1", "normal_std_1"]},
        {"name": "third", "depth": [2], "block": ["residual"], "init": ["matched"]},
    )
    by_cell = {(r.depth, r.block, r.init): names for r, names in plan.subgrids.items()}
    assert by_cell == {
        (2, "plain", "he"): ["first", "second", "third"],
        (2, "plain", "normal_std_1"): ["second"],
        (6, "plain", "he"): ["second"],
        (6, "plain", "normal_std_1"): ["second"],
    }
    assert sum(map(len, plan.shards.values())) == 4


def test_a_run_serves_the_purposes_of_all_its_subgrids():
    plan = planned(
        {"init": ["he", "xavier"]},
        {"init": ["he", "lecun"], "for": ["tuning"]},
        {"init": ["he"], "for": ["ten-layers", "comparison"]},
    )
    assert {run.init: purposes for run, purposes in plan.purposes.items()} == {
        "he": ["comparison", "ten-layers", "tuning"],
        "xavier": ["comparison"],
        "lecun": ["tuning"],
    }


def test_a_subgrids_own_rates_and_seeds():
    plan = planned(
        {
            "name": "ladder",
            "optimizer": ["sgd", "adam"],
            "learning_rate": {"sgd": [1], "adam": [2]},
        },
        {"name": "all", "optimizer": ["sgd", "adam"], "learning_rate": [3, 4], "seeds": 2},
        seeds=1,
    )
    cells = Counter((names[0], r.optimizer, r.learning_rate) for r, names in plan.subgrids.items())
    assert cells == {
        ("ladder", "sgd", 1.0): 1, ("ladder", "adam", 2.0): 1,
        ("all", "sgd", 3.0): 2, ("all", "adam", 3.0): 2,
        ("all", "sgd", 4.0): 2, ("all", "adam", 4.0): 2,
    }  # fmt: skip


def test_matched_initialiser():
    plan = planned({"activation": ["relu", "tanh"], "init": ["matched"]})
    assert {(r.activation, r.init) for r in plan.subgrids} == {("relu", "he"), ("tanh", "xavier")}


# ---------------------------------------------------------------- identity


def test_every_field_counts():
    assert set(OTHER) == {field.name for field in dataclasses.fields(Run)}
    ids = [RUN.id, *(dataclasses.replace(RUN, **{name: OTHER[name]}).id for name in OTHER)]
    assert len(set(ids)) == len(ids)
    assert all(len(id) == 20 and set(id) <= set("0123456789abcdef") for id in ids)


def id_now(run):
    """A run's id as the code, the data and torch are now: an instance keeps its own."""
    return dataclasses.replace(run).id


def by_the_definition(run):
    """A run's id, straight from what it is said to be."""
    levels = dataclasses.asdict(run)
    later = runs.LATER | {"instruction_set": None}
    parts = {name: levels[name] for name in levels if levels[name] != later.get(name, ...)}
    parts |= runs.environment(run.dataset, run.device)
    family = re.sub("^(normal_std|normal_var)_.*", r"\1", run.init)
    levels = {"init": family, "activation": run.activation, "optimizer": run.optimizer}
    if run.schedule != "constant":
        levels["schedule"] = run.schedule
    parts["code"] = [sources.core_code(run.device)]
    parts["code"] += [sources.level_code(axis, level) for axis, level in levels.items()]
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def test_ids_are_what_they_are_defined_to_be():
    """Of a preset's runs, on both devices, and of numbers that JSON could write in another way."""
    folder = Path(__file__).parents[2] / "config"
    smoke = config.load(folder / "smoke.yaml", folder / "config.yaml")
    of_smoke = [
        run for device in ("cpu", "cuda") for run in plan(smoke | {"device": device}).subgrids
    ]
    odd = [dataclasses.replace(RUN, learning_rate=rate) for rate in (1e-5, 1.0, 1e22, 0.1 + 0.2)]
    odd += [dataclasses.replace(RUN, init="normal_std_1e-05", instruction_set="100%r")]
    odd += [dataclasses.replace(RUN, **{axis: OTHER[axis]}) for axis in runs.LATER]
    for run in [RUN, *of_smoke, *odd]:
        assert run.id == by_the_definition(run), run


def test_pinned_ids(monkeypatch, fresh_environment):
    """Whatever is done to how they are computed, stored runs must keep theirs."""
    monkeypatch.setattr(runs, "version", lambda package: "2.11.0")
    monkeypatch.setattr(sources, "core_code", lambda device: "the core")
    monkeypatch.setattr(sources, "level_code", lambda axis, level: f"{axis} {level}")
    fresh_environment()
    other = Run(**OTHER | runs.LATER | {"init": "normal_std_0.01", "instruction_set": None})
    assert [id_now(RUN), id_now(other)] == ["c0b16f74e6dcd4fa0f36", "65cbf48c7bf0d64b24f1"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"learning_rate": [1e-2]}, {"learning_rate": [0.01]}),
        ({"learning_rate": [1]}, {"learning_rate": [1.0]}),
        ({"init": ["normal_std_1e-3"]}, {"init": ["normal_std_0.001"]}),
        ({"init": ["normal_var_1e-4"]}, {"init": ["normal_std_0.01"]}),
    ],
)
def test_spelling_of_numbers_does_not_count(one, other):
    (a,), (b,) = planned(one).subgrids, planned(other).subgrids
    assert a.id == b.id


def test_same_id_in_another_process():
    program = f"from finicky.runs import Run; print({RUN!r}.id)"
    done = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": str(WORKFLOW), "PYTHONHASHSEED": "7"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == RUN.id


@pytest.fixture
def fresh_environment():
    runs.forget()
    yield runs.forget
    runs.forget()


@pytest.mark.parametrize("change", ["scheme", "file", "mean", "std", "torch"])
def test_environment_counts(monkeypatch, fresh_environment, change):
    expected = RUN.id
    mnist = runs.data.DATASETS["mnist"]
    if change == "scheme":
        monkeypatch.setattr(runs, "SCHEME", runs.SCHEME + 1)
    elif change == "torch":
        monkeypatch.setattr(runs, "version", lambda package: "0.0.1")
    elif change == "file":
        name = next(iter(mnist["files"]))
        monkeypatch.setitem(mnist, "files", mnist["files"] | {name: "0" * 64})
    else:
        monkeypatch.setitem(mnist, change, 0.5)
    fresh_environment()
    assert id_now(RUN) != expected


def test_build_of_torch_does_not_count(monkeypatch, fresh_environment):
    ids = set()
    for version in "9.1.0", "9.1.0+cpu", "9.1.0+cu130":
        monkeypatch.setattr(runs, "version", lambda package, v=version: v)
        fresh_environment()
        ids.add(id_now(RUN))
    assert len(ids) == 1


@pytest.mark.parametrize(
    ("axis", "level", "changes"),
    [
        ("init", "he", True),
        ("activation", "relu", True),
        ("optimizer", "sgd", True),
        ("init", "xavier", False),
        ("activation", "tanh", False),
        ("optimizer", "adam", False),
    ],
)
def test_code_of_own_levels_counts(monkeypatch, axis, level, changes):
    expected, level_code = RUN.id, sources.level_code

    def edited(of_axis, of_level):
        return "edited" if (of_axis, of_level) == (axis, level) else level_code(of_axis, of_level)

    monkeypatch.setattr(sources, "level_code", edited)
    assert (id_now(RUN) != expected) is changes


def test_code_of_the_core_counts(monkeypatch):
    expected = RUN.id
    monkeypatch.setattr(sources, "core_code", lambda device: "edited")
    assert id_now(RUN) != expected


def test_number_in_a_level_leads_to_its_family(monkeypatch):
    """`normal_std_0.5` depends on the code of `normal_std`."""
    run = dataclasses.replace(RUN, init="normal_std_0.5")
    expected, level_code = run.id, sources.level_code
    monkeypatch.setattr(
        sources, "level_code", lambda *of: "new" if of[1] == "normal_std" else level_code(*of)
    )
    assert id_now(run) != expected


# ---------------------------------------------------------------- shards

WIDE = {
    "dataset": ["mnist", "fashion_mnist"], "depth": [2, 10], "block": ["plain", "batch_norm"],
    "activation": ["relu", "tanh"], "init": ["he", "xavier", "lecun"],
    "optimizer": ["sgd", "momentum", "adam"], "seeds": 6,
}  # fmt: skip
LONG = WIDE | {"name": "long", "images": 60_000, "depth": [10], "block": ["plain"], "seeds": 2}


def test_shards_hold_each_run_once():
    plan = planned(WIDE, LONG)
    packed = [run for shard in plan.shards.values() for run in shard]
    assert len(packed) == len(plan.subgrids) and set(packed) == set(plan.subgrids)
    assert len(plan.shards) > 2 * 2 * 3 * 2, "some architectures need several shards"
    for shard in plan.shards.values():
        assert shard and len({runs.architecture_key(run) for run in shard}) == 1


def test_shards_are_about_equally_long():
    for shard in planned(WIDE, LONG).shards.values():
        estimates = [runs.seconds(run) for run in shard]
        assert sum(estimates) <= SIZE + max(estimates)
    whole = planned(LONG).shards
    longest, shortest = (
        f(sum(map(runs.seconds, shard)) for shard in whole.values()) for f in (max, min)
    )
    assert longest - shortest <= 2 * max(runs.seconds(run) for run in sum(whole.values(), []))


def test_runs_of_one_fused_batch_lie_together():
    """A shard with several sizes of training set does not alternate between them."""
    for shard in planned(WIDE, LONG).shards.values():
        keys = [key for key, _ in itertools.groupby(shard, key=runs.fusion_key)]
        assert len(keys) == len(set(keys))


def test_packing_does_not_depend_on_the_order_of_runs():
    members = list(planned(WIDE, LONG).subgrids)
    expected = shards(members, SIZE)
    random.Random(0).shuffle(members)
    assert shards(members, SIZE) == expected
    assert list(shards(members, SIZE)) == list(expected)


def names_of(plan, **levels):
    """Names of the shards with these levels."""
    return {
        name for name, (first, *_) in plan.shards.items()
        if all(getattr(first, axis) == level for axis, level in levels.items())
    }  # fmt: skip


def test_shard_names():
    plan = planned(WIDE, LONG)
    assert names_of(plan, depth=2, dataset="mnist", block="batch_norm", activation="tanh") == {
        name for name in plan.shards if name.startswith("mnist-02-batch_norm-tanh-")
    }
    for name, shard in plan.shards.items():
        assert name.rpartition("-")[2].isalnum()
        assert name not in shards(shard[1:], SIZE), "other runs, another name"


@pytest.mark.parametrize(
    "more",
    [
        {"activation": ["relu", "tanh", "selu"]},
        {"depth": [2, 10, 20]},
        {"block": ["plain", "batch_norm", "residual"]},
    ],
)
def test_a_level_of_the_architecture_leaves_other_shards_alone(more):
    before, after = planned(WIDE), planned(WIDE | more)
    assert before.shards.keys() < after.shards.keys()


def test_a_seed_changes_the_shards_that_get_it():
    """More seeds in the sub-grid `long` concern its architectures only; other names stay."""
    before, after = planned(WIDE, LONG), planned(WIDE, LONG | {"seeds": 9})
    assert names_of(before, depth=2) == names_of(after, depth=2)
    assert names_of(before, block="batch_norm") == names_of(after, block="batch_norm")
    assert not names_of(before, depth=10, block="plain") & names_of(after, depth=10, block="plain")


@pytest.mark.parametrize("level", [{"init": "he"}, {"optimizer": "adam"}, {"activation": "relu"}])
def test_edited_code_renames_the_shards_with_runs_of_it(monkeypatch, level):
    ((axis, name),) = level.items()
    before, level_code = planned(WIDE), sources.level_code
    monkeypatch.setattr(
        sources, "level_code", lambda *of: "new" if of == (axis, name) else level_code(*of)
    )
    after = planned(WIDE)
    concerned = {
        shard for shard, members in before.shards.items()
        if any(getattr(run, axis) == name for run in members)
    }  # fmt: skip
    assert concerned and before.shards.keys() - after.shards.keys() == concerned


GPU = {"device": "cuda"}


def test_shards_for_a_gpu():
    """Many architectures in a job, whose batches train side by side; a data set for each."""
    on_cpu, on_gpu = planned(WIDE, LONG), planned(WIDE, LONG, **GPU)
    assert sorted(run.seed for run in on_cpu.subgrids) == sorted(r.seed for r in on_gpu.subgrids)
    packed = [run for shard in on_gpu.shards.values() for run in shard]
    assert len(packed) == len(set(packed)) == len(on_gpu.subgrids)
    assert len(on_gpu.shards) <= len(on_cpu.shards) / 10
    for name, shard in on_gpu.shards.items():
        assert {run.dataset for run in shard} == {name.split("-")[0]} and "-cuda-" in name
        assert sum(map(runs.seconds, shard)) <= SIZE + max(map(runs.seconds, shard))


def test_a_gpus_jobs_have_an_upper_limit():
    """Of the config's seconds, minutes remain: what a job loses when it is stopped."""
    huge = LONG | {"seeds": 400, "epochs": 50, "depth": [56], "dataset": ["mnist"]}
    for shard in planned(huge, shard_seconds=1e6, **GPU).shards.values():
        assert sum(map(runs.seconds, shard)) < 1.1 * runs.GPU_SHARD_SECONDS


def test_the_whole_factorial_is_a_handful_of_jobs():
    """`full` on a card, by the nominal cost: in well under an hour."""
    folder = Path(__file__).parents[2] / "config"
    full = config.load(folder / "full.yaml", folder / "config.yaml") | GPU
    lengths = [sum(map(runs.seconds, shard)) for shard in plan(full).shards.values()]
    assert max(lengths) < 1.1 * runs.GPU_SHARD_SECONDS
    assert sum(lengths) / runs.GPU_SHARD_SECONDS < len(lengths) < 12
    assert 20 * 60 < sum(lengths) < 60 * 60


def test_a_gpu_fuses_all_that_can_train_together():
    (shard,) = planned(WIDE | {"dataset": ["mnist"]}, shard_seconds=1e6, **GPU).shards.values()
    batches = fused_batches(shard, L2_CACHE)
    assert [run for batch in batches for run in batch] == shard
    keys = [(runs.architecture_key(batch[0]), runs.fusion_key(batch[0])) for batch in batches]
    assert len(keys) == len(set(keys)), "one batch for each"
    assert max(len(batch) for batch in fused_batches(shard, L2_CACHE, 4)) == 4


# ---------------------------------------------------------------- fused batches


@pytest.mark.parametrize("size", [None, 1, 3, 100])
def test_fused_batches_cover_a_shard_in_order(size):
    for shard in planned(WIDE, LONG).shards.values():
        batches = fused_batches(shard, L2_CACHE, size)
        assert [run for batch in batches for run in batch] == shard
        for batch in batches:
            assert batch and len({runs.fusion_key(run) for run in batch}) == 1
            assert size is None or len(batch) <= size


@pytest.mark.parametrize("count", range(1, 30))
def test_fused_batches_are_of_about_one_size(count):
    shard = [dataclasses.replace(RUN, seed=seed) for seed in range(count)]
    sizes = [len(batch) for batch in fused_batches(shard, L2_CACHE, 4)]
    assert sum(sizes) == count and max(sizes) <= 4 and max(sizes) - min(sizes) <= 1
    assert len(sizes) == -(-count // 4)


def test_deeper_networks_fuse_fewer_runs():
    """The working set is bounded: many small networks, one large one; a bigger cache, more."""

    def fused(depth, cache=L2_CACHE):
        shard = [dataclasses.replace(RUN, depth=depth, seed=seed) for seed in range(100)]
        return max(map(len, fused_batches(shard, cache)))

    sizes = [fused(depth) for depth in (2, 6, 10, 20, 56)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] >= 8 and sizes[-1] <= 2
    assert fused(10, 8 * L2_CACHE) > fused(10)
    assert fused(80, cache=0) == 1


@pytest.mark.parametrize("depth", [2, 6, 56])
def test_number_of_weights(depth):
    run = dataclasses.replace(RUN, depth=depth)
    fans = Architecture(depth, run.block, run.activation, run.width).fans()
    count = sum(fan_in * fan_out for fan_in, fan_out in fans)
    assert runs.parameters(run.depth, run.width) == runs.parameters_of(run) == count


def test_steps_count_the_last_smaller_batch():
    assert RUN.steps == 3 * 157
    assert dataclasses.replace(RUN, images=640).steps == 3 * 10
