"""The config: what is wrong with it is said before anything runs, and the right file is named."""

import math
import os
import re
from copy import deepcopy
from pathlib import Path

import pytest
import yaml

from finicky import config, declarations, runs, sources
from finicky.errors import InputError

CONFIGS = Path(__file__).parents[2] / "config"
BASE = yaml.safe_load((CONFIGS / "config.yaml").read_text())
GRID = {
    "dataset": ["mnist"], "images": 256, "epochs": 1, "depth": [2],
    "block": ["plain"], "activation": ["relu"], "init": ["he"], "optimizer": ["sgd"],
}  # fmt: skip
EXPERIMENTS = declarations.experiments()


def merged(below, above):
    """Snakemake's merge: mappings key by key, everything else replaced."""
    both = dict(below)
    for key, value in above.items():
        nested = isinstance(value, dict) and isinstance(below.get(key), dict)
        both[key] = merged(below[key], value) if nested else value
    return both


@pytest.fixture
def check(tmp_path):
    """`check(preset)`: check a preset (a mapping) laid over the base; `base` changes the base."""

    def check(preset, base=None):
        below = merged(BASE, base or {})
        for name, document in ("config.yaml", below), ("mine.yaml", preset):
            (tmp_path / name).write_text(yaml.safe_dump(document, sort_keys=False))
        files = [tmp_path / "config.yaml", tmp_path / "mine.yaml"]
        config.check(config.merged(files), files, EXPERIMENTS)

    return check


@pytest.fixture
def refused(check, tmp_path):
    """The message, without the folder, of a preset that must be refused."""

    def refused(preset, base=None):
        with pytest.raises(InputError) as error:
            check(preset, base)
        message = str(error.value)
        assert message.startswith(f"{tmp_path}/") and "\n" not in message
        return message.removeprefix(f"{tmp_path}/")

    return refused


def grid(**changes):
    """A preset of one sub-grid."""
    return {"preset": "mine", "grid": {"small": GRID | changes}}


# ---------------------------------------------------------------- what is accepted


@pytest.mark.parametrize("name", ["config", "smoke", "full"])
def test_the_presets_pass(name):
    above = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
    files = [CONFIGS / "config.yaml", CONFIGS / f"{name}.yaml"]
    config.check(config.merged(files), files, EXPERIMENTS)
    assert above["preset"] == {"config": "default"}.get(name, name)


@pytest.mark.parametrize(
    "changes",
    [
        {"init": ["normal_std_0.05", "normal_std_1e-3", "normal_var_2", "matched", "zeros"]},
        {"learning_rate": [1, 0.1]},
        {"learning_rate": {"sgd": [0.1]}},
        {"learning_rate": {"sgd": [0.1], "adam": [0.001]}, "optimizer": ["sgd", "adam"]},
        {"activation": sources.levels("activation"), "init": ["matched"], "seeds": 1},
        {"block": ["plain", "residual"], "images": 257},
        {"block": ["batch_norm"], "images": 258},
    ],
)
def test_good_subgrids_pass(check, changes):
    check(grid(**changes))


# ---------------------------------------------------------------- which file is named


def test_the_file_that_holds_the_key_is_named(refused):
    assert refused({"preset": "mine"}, base={"seeds": 0}).startswith("config.yaml: seeds: found 0")
    assert refused({"seeds": 0}).startswith("mine.yaml: seeds: found 0")
    assert refused({"seeds": -1}, base={"seeds": 0}).startswith("mine.yaml: seeds: found -1")
    assert refused(grid(epochs=0)).startswith("mine.yaml: grid.small.epochs: found 0")
    assert refused({"preset": "x"}, base=grid(epochs=0)).startswith("config.yaml: grid.small.ep")


def test_the_file_with_the_unknown_key_is_named(refused):
    assert refused({"colour": 1}).startswith("mine.yaml: found unknown key 'colour'; allowed: ")
    assert refused({}, base={"colour": 1}).startswith("config.yaml: found unknown key 'colour'")


def test_a_missing_key_is_named(tmp_path):
    document = {key: value for key, value in BASE.items() if key != "seeds"}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(InputError, match="config.yaml: found no key 'seeds'; allowed: every one"):
        config.check(document, [tmp_path / "config.yaml"], EXPERIMENTS)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="no.yaml: found no such file; allowed: a config file"):
        config.check(deepcopy(BASE), [tmp_path / "no.yaml"], EXPERIMENTS)


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    "preset, message",
    [
        ({"preset": "store"}, "preset: found 'store'; allowed: anything but bench, data"),
        ({"preset": "../x"}, "preset: found '../x'; allowed: small letters, digits, _ and"),
        ({"preset": "mine\n"}, "preset: found 'mine\\n'; allowed: small letters, digits"),
        ({"preset": "logs"}, "preset: found 'logs'; allowed: anything but bench, data, logs"),
        ({"preset": "other"}, "preset: found 'other'; allowed: 'mine', the name of the file"),
        ({"device": "tpu"}, "device: found 'tpu'; allowed: cpu, cuda, auto"),
        ({"seeds": 1.5}, "seeds: found 1.5; allowed: a whole number"),
        ({"seeds": 2.0}, "seeds: found 2.0; allowed: a whole number"),
        ({"first_seed": 2.0}, "first_seed: found 2.0; allowed: a whole number"),
        ({"first_seed": 1e9}, "first_seed: found 1000000000.0; allowed: a whole number"),
        ({"batch_size": 64.0}, "batch_size: found 64.0; allowed: a whole number"),
        ({"fuse": 2.0}, "fuse: found 2.0; allowed: auto or a whole number"),
        ({"fuse": "fast"}, "fuse: found 'fast'; allowed: auto or a whole number"),
        ({"seeds": None}, "seeds: found None; allowed: a whole number"),
        ({"first_seed": -1}, "first_seed: found -1; allowed: at least 0"),
        ({"width": 100}, "width: found 100; allowed: a multiple of 32"),
        ({"batch_size": 0}, "batch_size: found 0; allowed: at least 1"),
        ({"batch_size": -64}, "batch_size: found -64; allowed: at least 1"),
        ({"seeds": -2}, "seeds: found -2; allowed: at least 1"),
        ({"shard_seconds": 0}, "shard_seconds: found 0; allowed: at least 0.001"),
        ({"shard_seconds": math.inf}, "shard_seconds: found inf; allowed: a finite number"),
        ({"shard_seconds": math.nan}, "shard_seconds: found nan; allowed: a finite number"),
        ({"shard_seconds": 10**400}, "shard_seconds: found 1000"),
        ({"shard_seconds": 1e-320}, "shard_seconds: found 1e-320; allowed: at least 0.001"),
        ({"fuse": 0}, "fuse: found 0; allowed: at least 1"),
        ({"data": {"folder": 3}}, "data.folder: found 3; allowed: text or null"),
        ({"data": {"dir": "x"}}, "data: found unknown key 'dir'; allowed: folder"),
        ({"grid": []}, "grid: found []; allowed: sub-grids by name"),
        ({"grid": {}}, "grid: found {}; allowed: at least 1 key"),
        ({"grid": {"Big one": GRID}}, "grid: found 'Big one'; allowed: small letters, digits and"),
        ({"grid": {"small\n": GRID}}, "grid: found 'small\\n'; allowed: small letters"),
        ({"grid": {"small": None}}, "grid.small: found None; allowed: the levels of a sub-grid"),
        ({"optimizers": {"sgd": []}}, "optimizers.sgd: found []; allowed: at least 1 item"),
        ({"optimizers": {"sgd": [-1]}}, "optimizers.sgd[0]: found -1; allowed: more than 0"),
        ({"optimizers": {"sgd": [math.nan]}}, "optimizers.sgd[0]: found nan; allowed: a finite"),
        ({"optimizers": {"sgd": [math.inf]}}, "optimizers.sgd[0]: found inf; allowed: a finite"),
        ({"optimizers": {"sgd": [10**400]}}, "optimizers.sgd[0]: found 1000"),
        ({"optimizers": {"sgd": [0.1, 0.1]}}, "optimizers.sgd: found [0.1, 0.1]; allowed: each"),
        ({"optimizers": {"lion": [1]}}, "optimizers.lion: found 'lion'; allowed: sgd, momentum"),
        ({"matched_init": {"gelu": "he"}}, "matched_init: found 'gelu'; allowed: identity, relu"),
        ({"matched_init": {"relu": "hi"}}, "matched_init.relu: found 'hi'; allowed: zeros"),
        ({"experiments": {"x": {}}}, "experiments: found no experiment 'x'; allowed: activations"),
        ({"experiments": {"grid": {1: 2}}}, "experiments.grid: found unknown key 1; allowed: no"),
        ({"experiments": {"grid": 1}}, "experiments.grid: found 1; allowed: keys with values"),
        ({"experiments": "al"}, "experiments: found 'al'; allowed: none, all, a list of names, or"),
        ({"experiments": None}, "experiments: found None; allowed: none, all, a list of names, or"),
        ({"experiments": {}}, "experiments: found {}, which says nothing; allowed: none, all, a l"),
        ({"chapter": False}, "chapter: found False; allowed: True, or claims of your own"),
        ({"claims": 1}, "claims: found 1; allowed: a list of claims, each"),
        ({"experiments": {1: {}}}, "experiments: found no experiment 1; allowed: activations"),
        ({"grid": {1: GRID}}, "grid: found 1; allowed: small letters, digits"),
        ({"optimizers": {1: [0.1]}}, "optimizers.1: found 1; allowed: sgd, momentum"),
        ({"matched_init": {1: "he"}}, "matched_init: found 1; allowed: text"),
        ({"matched_init": {"relu": "matched"}}, "matched_init.relu: found 'matched'; allowed: any"),
        ({"optimizers": {"sgd": [1e39]}}, "optimizers.sgd[0]: found 1e+39; allowed: at most 1e+30"),
        ({"seeds": 10**9}, "seeds: found 1000000000; allowed: at most 10000"),
        ({"first_seed": 2**63}, "first_seed: found 9223372036854775808; allowed: at most 10000000"),
        ({"width": True}, "width: found True; allowed: a whole number"),
        ({"batch_size": 10**400}, "batch_size: found 1000"),
    ],
)  # fmt: skip
def test_bad_settings(refused, preset, message):
    assert refused(preset).startswith(f"mine.yaml: {message}")


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"dataset": ["cifar"]}, "dataset: found 'cifar'; allowed: mnist, fashion_mnist"),
        ({"block": ["bn"]}, "block: found 'bn'; allowed: plain, batch_norm, residual"),
        ({"activation": ["gelu"]}, "activation: found 'gelu'; allowed: identity, relu"),
        ({"init": ["hi"]}, "init: found 'hi'; allowed: zeros, uniform_fan_in, lecun"),
        ({"init": ["normal_std"]}, "init: found 'normal_std'; allowed: zeros"),
        ({"init": ["normal_std_"]}, "init: found 'normal_std_'; allowed: zeros"),
        ({"init": ["normal_std_0"]}, "init: found 'normal_std_0'; allowed: zeros"),
        ({"init": ["normal_var_-1"]}, "init: found 'normal_var_-1'; allowed: zeros"),
        ({"init": ["normal_std_inf"]}, "init: found 'normal_std_inf'; allowed: zeros"),
        ({"init": ["normal_std_nan"]}, "init: found 'normal_std_nan'; allowed: zeros"),
        ({"init": ["he_2"]}, "init: found 'he_2'; allowed: zeros"),
        ({"optimizer": ["lion"]}, "optimizer: found 'lion'; allowed: sgd, momentum, rmsprop"),
        ({"depth": [5]}, "depth[0]: found 5; allowed: a multiple of 2"),
        ({"depth": [2, 0]}, "depth[1]: found 0; allowed: at least 2"),
        ({"images": 60_001}, "images: found 60001; allowed: at most 60000"),
        ({"depth": [10**9]}, "depth[0]: found 1000000000; allowed: at most 1000"),
        ({"epochs": 10**18}, "epochs: found 1000000000000000000; allowed: at most 100000000"),
        ({"learning_rate": {"sgd": [1e39]}}, "learning_rate.sgd[0]: found 1e+39; allowed: at most"),
        ({"learning_rate": {1: [0.1]}}, "learning_rate: found 1; allowed: text"),
        ({"init": [["he"]]}, "init[0]: found ['he']; allowed: text"),
        ({"epochs": 0}, "epochs: found 0; allowed: at least 1"),
        ({"epochs": -1}, "epochs: found -1; allowed: at least 1"),
        ({"activation": "relu"}, "activation: found 'relu'; allowed: a list"),
        ({"optimizer": []}, "optimizer: found []; allowed: at least 1 item"),
        ({"init": ["normal_std_big"]}, "init: found 'normal_std_big'; allowed: zeros"),
        ({"seeds": 0}, "seeds: found 0; allowed: at least 1"),
        ({"activation": []}, "activation: found []; allowed: at least 1 item"),
        (
            {"activation": ["relu", "relu"]},
            "activation: found ['relu', 'relu']; allowed: each item",
        ),
        ({"learning_rate": []}, "learning_rate: found []; allowed: at least 1 item"),
        ({"learning_rate": [0]}, "learning_rate[0]: found 0; allowed: more than 0"),
        (
            {"learning_rate": {"sgd": [0.1]}, "optimizer": ["sgd", "adam"]},
            "learning_rate: found no rates for 'adam'; allowed: rates for each of sgd, adam",
        ),
        (
            {"learning_rate": {"sgd": [0.1], "sgdd": [0.1]}},
            "learning_rate: found 'sgdd'; allowed: sgd, momentum",
        ),
        ({"for": ["tunning"]}, "for: found 'tunning'; allowed: comparison, mini-project, ten-lay"),
        (
            {"block": ["plain", "batch_norm_residual"], "images": 641},
            "images: found 641, which leaves a last batch of 1 image at batch_size 64; allowed: an",
        ),
        ({"images": 256.0}, "images: found 256.0; allowed: a whole number"),
        ({"seeds": 2.0}, "seeds: found 2.0; allowed: a whole number"),
        ({"depth": [2.0]}, "depth[0]: found 2.0; allowed: a whole number"),
        ({"depth": [2, 2]}, "depth: found [2, 2]; allowed: each item once"),
        ({"learning_rate": {}}, "learning_rate: found {}; allowed: at least 1 key"),
        ({"learning_rate": [math.nan]}, "learning_rate[0]: found nan; allowed: a finite number"),
    ],
)
def test_bad_subgrids(refused, changes, message):
    assert refused(grid(**changes)).startswith(f"mine.yaml: grid.small.{message}")


def test_a_subgrid_without_one_of_its_keys(refused):
    document = {"grid": {"small": {key: GRID[key] for key in GRID if key != "depth"}}}
    assert refused(document).startswith("mine.yaml: grid.small: found no key 'depth'; allowed: ")


def test_matched_needs_an_initialiser_for_each_activation(tmp_path):
    document = BASE | grid(init=["matched"], activation=["relu", "tanh"])
    document["matched_init"] = {"relu": "he"}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(InputError, match="matched_init: found no initialiser for 'tanh'; allowed"):
        config.check(document, [tmp_path / "config.yaml"], EXPERIMENTS)


def test_batch_norm_of_single_images_is_refused(refused):
    said = refused(grid(block=["plain", "batch_norm"]) | {"batch_size": 1})
    assert said.startswith("mine.yaml: batch_size: found 1; allowed: another number: batch norm")


@pytest.mark.parametrize(
    ("preset", "near"),
    [
        ({"sedes": 3}, "seeds"),
        ({"experiments": {"calibraton": {}}}, "calibration"),
        ({"experiments": {"calibration": {"trails": 3}}}, "trials"),
        (grid(epoch=2), "epochs"),
        (grid(activation=["relut"]), "relu"),
        (grid(optimizer=["adm"]), "adam"),
        ({"matched_init": {"relu": "xavir"}}, "xavier"),
    ],
)
def test_a_misspelt_word_is_recognised(refused, preset, near):
    assert refused(preset).endswith(f"; perhaps '{near}'")


def test_a_file_that_would_be_ignored_is_pointed_out(check, refused, tmp_path):
    check(grid())
    (tmp_path / "default.yaml").write_text("seeds: 3\n", encoding="utf-8")
    said = "default.yaml: found a file that nobody reads: the preset default is config.yaml; allow"
    assert refused(grid()).startswith(said)


# ---------------------------------------------------------------- what nobody can train


def test_a_plan_beyond_all_bounds_is_refused_before_it_is_made(refused, monkeypatch):
    """With what it would need: two million runs took nine minutes to plan."""
    monkeypatch.setattr(config.runs, "Plan", None)  # nothing is planned
    rates = {"learning_rate": [10.0**-power for power in range(1, 201)]}
    said = refused(grid(**rates) | {"seeds": 10_000})
    assert said.startswith("mine.yaml: grid: found 2,000,000 runs, which take one core 0.")
    assert said.endswith(" years by estimate; allowed: at most 200,000 runs and 100 years")
    said = refused(grid(epochs=10**8, images=60_000, depth=[1000]))
    assert re.match(r"mine.yaml: grid: found 5 runs, which take one core \S+ years by est", said)


def test_runs_are_counted_as_they_are_planned():
    """But for those that several sub-grids share, or that come out equal."""
    for preset in "smoke", "full":
        whole = config.merged([CONFIGS / "config.yaml", CONFIGS / f"{preset}.yaml"])
        for name, one in whole["grid"].items():
            made = list(runs.expand(one, whole))
            counts = [number for _, number in runs.counted(one, whole)]
            assert sum(counts) == len(made), name
            seconds = sum(runs.seconds(kind) * number for kind, number in runs.counted(one, whole))
            assert seconds == pytest.approx(sum(map(runs.seconds, made))), name


# ---------------------------------------------------------------- where results go


def test_folders_that_can_be_written_pass(tmp_path):
    assert config.check_writable(str(tmp_path), str(tmp_path / "not/yet")) is None


def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    """Permissions do not bind root, so the system's answer is given here."""
    locked = tmp_path / "locked"
    locked.mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != locked)
    for folder in locked, locked / "below" / "it":
        with pytest.raises(InputError) as error:
            config.check_writable(tmp_path, folder)
        assert re.match(f"{locked}: found a folder that cannot be written; allo", str(error.value))


def test_a_preset_is_laid_over_the_base(tmp_path):
    """Mappings are merged to any depth, all else is replaced, as Snakemake does it."""
    base, above = tmp_path / "base.yaml", tmp_path / "above.yaml"
    base.write_text("seeds: 5\nrates: [1, 2]\noptimizers: {sgd: [0.1], adam: [0.2]}\n")
    above.write_text("rates: [3]\noptimizers: {adam: [0.3]}\n")
    expected = {"seeds": 5, "rates": [3], "optimizers": {"sgd": [0.1], "adam": [0.3]}}
    assert config.load(above, base) == expected


def test_a_preset_has_the_sub_grids_that_it_names(tmp_path):
    """Of one that the base has too, it says only what differs."""
    base, above = tmp_path / "base.yaml", tmp_path / "above.yaml"
    plain = "block: [plain]"
    base.write_text(f"grid: {{small: {{images: 5, epochs: 1, {plain}}}, large: {{images: 9}}}}\n")
    above.write_text(f"grid: {{small: {{epochs: 2}}, own: {{images: 7, {plain}}}}}\n")
    expected = {"small": {"images": 5, "epochs": 2}, "own": {"images": 7}}
    expected = {name: one | {"block": ["plain"]} for name, one in expected.items()}
    assert config.load(above, base) == {"grid": expected}
    assert config.load(base, base)["grid"].keys() == {"small", "large"}
    above.write_text("seeds: 3\n")
    assert config.load(above, base)["grid"].keys() == {"small", "large"}


# ---------------------------------------------------------------- device


@pytest.mark.parametrize(("cards", "found"), [(0, "cpu"), (2, "cuda")])
def test_auto_is_what_there_is_when_the_workflow_is_planned(monkeypatch, cards, found):
    """Jobs inherit the environment, and do not look themselves."""
    monkeypatch.delenv(config.DEVICE, raising=False)
    monkeypatch.setattr(config.machine, "gpus", lambda: cards)
    assert config.device({"device": "auto"}) == found
    monkeypatch.setattr(config.machine, "gpus", lambda: 2 - cards)
    assert config.device({"device": "auto"}) == found
    assert [config.device({"device": named}) for named in ("cpu", "cuda")] == ["cpu", "cuda"]
    monkeypatch.delenv(config.DEVICE)


def test_a_gpu_that_is_not_there_is_said(monkeypatch):
    monkeypatch.setattr(config.machine, "gpus", lambda: 0)
    config.check_card("cpu")
    with pytest.raises(InputError, match="device: found 'cuda', and .* shows no GPU .* allowed: c"):
        config.check_card("cuda")
    monkeypatch.setattr(config.machine, "gpus", lambda: 1)
    config.check_card("cuda")


# ---------------------------------------------------------------- as it is written


@pytest.fixture
def written(tmp_path):
    """`written(text)`: the config of a preset with this text laid over the real base, and its two
    files."""

    def written(text, arguments=None):
        files = [CONFIGS / "config.yaml", tmp_path / "mine.yaml"]
        files[1].write_text("preset: mine\n" + text, encoding="utf-8")
        return config.merged(files, arguments), files

    return written


def test_numbers_are_those_that_people_expect(written):
    text = "optimizers: {sgd: [1e-3, 1E-2]}\nexperiments: {implicit-bias: {flow_to: 1e12}}\n"
    whole, files = written(text)
    assert whole["optimizers"]["sgd"] == [0.001, 0.01]
    assert whole["experiments"]["implicit-bias"]["flow_to"] == 1e12
    config.check(whole, files, EXPERIMENTS)


@pytest.mark.parametrize(
    "text, said",
    [
        ("seeds: 010\n", "mine.yaml: line 2: seeds: found 010, "),
        (
            "grid:\n  depth:\n    images: 1_000\n",
            "mine.yaml: line 4: grid.depth.images: found 1_000",
        ),
        ("grid:\n  depth: {epochs: 1:30}\n", "mine.yaml: line 3: grid.depth.epochs: found 1:30, "),
        ("device: no\n", "mine.yaml: line 2: device: found no, "),
    ],
)
def test_a_number_that_is_two_numbers_is_refused(written, tmp_path, text, said):
    with pytest.raises(InputError) as error:
        written(text)
    assert str(error.value).startswith(f"{tmp_path}/{said}")


def test_a_file_says_what_snakemake_makes_of_it():
    """Where both know a number, this config is the one that Snakemake would have made."""
    for file in ("smoke", "full"):
        files = [CONFIGS / "config.yaml", CONFIGS / f"{file}.yaml"]
        theirs = merged(BASE, yaml.safe_load(files[1].read_text(encoding="utf-8")))
        ours = config.merged(files)
        named = {name: config.PLAIN | theirs["grid"][name] for name in ours["grid"]}
        assert ours == theirs | {"grid": named}


def test_a_file_is_read_once_and_the_command_line_chooses_no_sub_grids(tmp_path, monkeypatch):
    for name, grid in {"config": {"a": GRID, "b": GRID}, "mine": {"a": {"epochs": 2}}}.items():
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({"grid": grid}))
    read = []
    monkeypatch.setattr(config, "_document", lambda file, real=config._document: (
        read.append(file), real(file))[1])  # fmt: skip
    files = [tmp_path / "config.yaml", tmp_path / "mine.yaml"]
    whole = config.merged(files, {"grid": {"b": {"epochs": 3}}})
    assert whole["grid"] == {"a": GRID | {"epochs": 2}} and read == files


@pytest.mark.parametrize(
    "arguments, said",
    [
        ({"seeds": 0}, "--config: seeds: found 0; allowed: at least 1"),
        ({"colour": "red"}, "--config: found unknown key 'colour'"),
        ({"preset": "other"}, "--config: preset: found 'other'; allowed: 'mine'"),
    ],
)
def test_an_error_on_the_command_line_blames_no_file(written, arguments, said):
    whole, files = written("seeds: 2\n", arguments)
    with pytest.raises(InputError) as error:
        config.check(whole, files, EXPERIMENTS, arguments)
    assert str(error.value).startswith(said)


def test_the_command_line_wins(written):
    assert written("seeds: 2\n", {"seeds": 3})[0]["seeds"] == 3


def test_a_modules_config_is_one_more_file(written):
    """Of another workflow, which calls its preset as it likes: the strongest file's sub-grids, and
    what is wrong with it is said to be there."""
    files, theirs = [CONFIGS / "config.yaml"], {"preset": "any", "seeds": 3, "grid": {"depth": {}}}
    whole = config.merged(files, module=theirs)
    assert (whole["preset"], whole["seeds"], list(whole["grid"])) == ("any", 3, ["depth"])
    config.check(whole, files, EXPERIMENTS, module=theirs)
    theirs = theirs | {"seeds": 0}
    with pytest.raises(InputError, match="^the module's config: seeds: found 0"):
        config.check(config.merged(files, module=theirs), files, EXPERIMENTS, module=theirs)


def test_sub_grids_that_keep_something_of_the_defaults_are_named(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text(yaml.safe_dump({"grid": {"depth": {"epochs": 1}, "own": GRID}}))
    assert config.shared_grids([CONFIGS / "config.yaml", mine]) == ["depth"]
    assert config.shared_grids([mine, mine]) == []


# ---------------------------------------------------------------- axes, own data sets


@pytest.mark.parametrize(
    "changes",
    [
        {"width": [32, 64], "batch_size": [1, 64], "images": [128, 256], "epochs": [1, 2]},
        {"weight_decay": [0, 1e-4], "schedule": ["constant", "cosine"], "batch_size": 16},
        {"label_noise": [0, 0.2, 0.99], "width": 64},
    ],
)
def test_good_axes_pass(check, changes):
    check(grid(**changes))


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"width": [32, 48]}, "width[1]: found 48; allowed: a multiple of 32"),
        ({"width": [64, 64]}, "width: found [64, 64]; allowed: each item once"),
        ({"width": []}, "width: found []; allowed: at least 1 item"),
        ({"batch_size": [64, 0]}, "batch_size[1]: found 0; allowed: at least 1"),
        ({"images": [64, 1]}, "images[1]: found 1; allowed: at least 2"),
        ({"images": [64, 60_001]}, "images: found 60001; allowed: at most 60000, which mnist has"),
        ({"label_noise": [0, 1]}, "label_noise[1]: found 1; allowed: less than 1"),
        ({"label_noise": -0.1}, "label_noise: found -0.1; allowed: at least 0"),
        ({"label_noise": [0.1, 0.1]}, "label_noise: found [0.1, 0.1]; allowed: each item once"),
        ({"label_noise": [float("nan")]}, "label_noise[0]: found nan; allowed: a finite number"),
        ({"weight_decay": [float("inf")]}, "weight_decay[0]: found inf; allowed: a finite number"),
        ({"weight_decay": [-1]}, "weight_decay[0]: found -1; allowed: at least 0"),
        ({"schedule": ["cosin"]}, "schedule: found 'cosin'; allowed: constant, step, linear, "
                                  "cosine, warm_up, warm_up_cosine"),
        ({"schedule": "step"}, "schedule: found 'step' for a training of 4 steps; allowed: at "
                               "least 10 steps"),
        ({"schedule": ["constant"], "epochs": 0}, "epochs: found 0; allowed: at least 1"),
        ({"batch_size": 1, "block": ["batch_norm"]}, "batch_size: found 1; allowed: another "
                                                     "number: batch norm needs 2 images"),
        ({"images": [256, 257], "block": ["batch_norm"]}, "images: found 257, which leaves a last "
                                                          "batch of 1 image at batch_size 64;"),
        ({"dataset": ["mnist", "mine"]}, "dataset: found 'mine'; allowed: mnist, fashion_mnist"),
        ({"width": 64, "for": ["tuning"]}, "for: found tuning, for runs that no experiment "
                                           "of the chapter compares; allowed: no `for` beside"),
    ],
)  # fmt: skip
def test_bad_axes_are_refused(refused, changes, said):
    assert refused(grid(**changes)).startswith(f"mine.yaml: grid.small.{said}")


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"width": [64, 320_000], "depth": [6]}, "grid.small.width: found 320000, with which a run "
         "of 6 layers needs about 6,108 GiB of memory; allowed: what fits into the 16 GiB of this"),
        ({"batch_size": 100_000_000}, "grid.small.batch_size: found 100000000, with which a run of "
         "2 layers needs about 556 GiB of memory; allowed: what fits into the 16 GiB of this mac"),
    ],
)  # fmt: skip
def test_what_no_memory_holds_is_refused(refused, monkeypatch, changes, said):
    monkeypatch.setattr(config.machine, "memory_gib", lambda: 16)
    assert refused(grid(**changes)).startswith(f"mine.yaml: {said}")


def test_a_preset_s_own_sizes_are_named_where_they_stand(refused, monkeypatch):
    monkeypatch.setattr(config.machine, "memory_gib", lambda: 16)
    preset = grid() | {"width": 3_200_000}
    assert refused(preset).startswith("mine.yaml: width: found 3200000, with which a run of 2")


def test_memory_that_the_system_does_not_tell_is_no_limit(check, monkeypatch):
    monkeypatch.setattr(config.machine, "memory_gib", lambda: None)
    check(grid(width=320_000))


OWN = {"shape": [8, 8], "classes": 10, "images": {"train": 300, "test": 60}}
HASH = "0" * 64


@pytest.fixture
def npz(tmp_path):
    """The entry of a file that is there."""
    (tmp_path / "own.npz").write_bytes(b"")
    yield {"path": str(tmp_path / "own.npz"), "sha256": HASH}
    config.own_data.declare({})


def own(npz, name="own", **changes):
    """A preset with a data set of one's own."""
    return grid(dataset=[name]) | {"datasets": {name: {"npz": npz} | OWN | changes}}


def test_a_data_set_of_one_s_own_passes(check, npz):
    check(own(npz))
    files = {part: npz for part in config.own_data.PARTS}
    check(grid(dataset=["own"]) | {"datasets": {"own": {"idx": files} | OWN}})


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"classes": 101}, "datasets.own.classes: found 101; allowed: at most 100"),
        ({"classes": 1}, "datasets.own.classes: found 1; allowed: at least 2"),
        ({"shape": [0, 8]}, "datasets.own.shape[0]: found 0; allowed: at least 1"),
        ({"shape": [1, 1, 1, 1]}, "datasets.own.shape: found [1, 1, 1, 1]; allowed: at most 3 it"),
        ({"images": {"train": 300}}, "datasets.own.images: found no key 'test'; allowed: every "),
        ({"images": {"train": 200, "test": 9}}, "grid.small.images: found 256; allowed: at most "
                                                "200, which own has"),
        ({"npz": {"path": "no.npz", "sha256": HASH}}, "datasets.own.npz.path: found no file "
                                                      "'no.npz'; allowed: a file"),
        ({"npz": {"path": "no.npz", "sha256": "abc"}}, "datasets.own.npz.sha256: found 'abc'; "),
        ({"idx": {}}, "datasets.own.idx: found no key 'train_images'; allowed: every one of"),
        ({"name": "mnist"}, "datasets: found the built-in 'mnist'; allowed: a name other than mn"),
        ({"name": "My-Own"}, "datasets: found 'My-Own'; allowed: small letters, digits and _"),
        ({"colour": 1}, "datasets.own: found unknown key 'colour'"),
    ],
)  # fmt: skip
def test_bad_declarations_are_refused(refused, npz, changes, said):
    message = refused(own(**{"npz": npz} | changes))
    assert message.startswith(f"mine.yaml: {said}")


def test_a_declaration_names_its_files_once(refused, npz):
    files = {part: npz for part in config.own_data.PARTS}
    assert "datasets.own: found both npz and idx; allowed: one of the two" in refused(
        own(npz, idx=files)
    )
    preset = own(npz)
    del preset["datasets"]["own"]["npz"]
    assert "datasets.own: found neither npz nor idx; allowed: one of the two" in refused(preset)


# ---------------------------------------------------------------- what a preset need not say


@pytest.fixture
def loaded(tmp_path):
    """`loaded(base, *presets)`: the config that these documents make, one laid over the other."""

    def loaded(*documents):
        files = [tmp_path / f"{place}.yaml" for place in range(len(documents))]
        for file, document in zip(files, documents, strict=True):
            file.write_text(yaml.safe_dump(document))
        return config.merged(files)

    return loaded


@pytest.mark.parametrize(
    "said, kept",
    [
        ("none", {}),
        ("all", {"grid": {}, "adam": {"trials": 20}}),
        (["adam"], {"adam": {"trials": 20}}),
        (["adam", "alchemy"], {"adam": {"trials": 20}, "alchemy": {}}),  # refused later
        ({"adam": {"trials": 3}}, {"grid": {}, "adam": {"trials": 3}}),
        ({"adam": None}, {"grid": {}, "adam": None}),
    ],
)
def test_experiments_are_named_by_a_word_a_list_or_their_settings(loaded, said, kept):
    base = {"experiments": {"grid": {}, "adam": {"trials": 20}}}
    assert loaded(base, {"experiments": said})["experiments"] == kept


def test_a_stronger_layer_adds_to_those_that_are_kept(loaded):
    base = {"experiments": {"grid": {}, "adam": {"trials": 20}}}
    layers = {"experiments": "none"}, {"experiments": {"adam": {"trials": 3}}}
    assert loaded(base, *layers)["experiments"] == {"adam": {"trials": 3}}


def test_a_subgrid_that_names_no_block_is_plain(loaded):
    own = {key: value for key, value in GRID.items() if key != "block"}
    base = {"grid": {"depth": GRID | {"block": ["residual"]}}}
    grids = loaded(base, {"grid": {"own": own, "depth": {"epochs": 2}}})["grid"]
    assert grids["own"]["block"] == ["plain"] and grids["depth"]["block"] == ["residual"]
