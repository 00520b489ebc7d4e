"""The explorer: its numbers are the tables', its script says of them what they say."""

import base64
import hashlib
import itertools
import json
import re
import runpy
import subprocess
import sys
import zlib
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml

from finicky import config as presets
from finicky import own_data, runs
from finicky.page import build, explorer

VENDOR = build.TEMPLATES / "vendor"
CONFIG = {
    "optimizers": {"sgd": [0.01], "adam": [0.001]},
    "matched_init": {"relu": "he", "tanh": "xavier"},
}
CELL = ["dataset", "images", "epochs", "depth", "block", "activation", "init", "optimizer",
        "learning_rate"]  # fmt: skip


def cells():
    """The grid of these tests: plain networks of 2 and 10 layers, and one tuned rate."""
    product = itertools.product([2, 10], ["relu", "tanh"], ["he", "xavier"], ["sgd", "adam"])
    for depth, activation, init, optimizer in product:
        yield depth, activation, init, optimizer, CONFIG["optimizers"][optimizer][0]
    yield 10, "relu", "he", "sgd", 0.3


def make_tables(seeds=(0, 1, 2), lift=0.0):
    """Tables of `cells`, each seed with numbers of its own. With ReLU, He and SGD at 0.3 all seeds
    become NaN, with Xavier, tanh and SGD at ten layers only the first, in its second epoch."""
    table = {"runs": [], "curves": [], "layers": []}
    for number, (cell, seed) in enumerate(itertools.product(cells(), seeds)):
        depth, activation, init, optimizer, rate = cell
        run, first = f"{number:020x}", seed == seeds[0]
        lost = None
        if rate == 0.3:
            lost = 3
        elif (depth, activation, init, optimizer) == (10, "tanh", "xavier", "sgd") and first:
            lost = 12
        table["runs"].append(
            {"run": run, "dataset": "mnist", "images": 640, "epochs": 2, "depth": depth,
             "block": "plain", "activation": activation, "init": init, "optimizer": optimizer,
             "learning_rate": rate, "batch_size": 64, "width": 128, "seed": seed,
             "outcome": "nan" if lost else "finite", "inf_step": np.nan,
             "nan_step": lost or np.nan}
        )  # fmt: skip
        for epoch in (1, 2):
            accuracy = 80 + 5 * epoch + 0.37 * (number % 7) + 0.01 * seed + lift
            over = lost is not None and lost <= 10 * epoch
            table["curves"].append(
                {"run": run, "epoch": epoch, "running_loss": 0.123456 * epoch,
                 "test_loss": 1.98765 / epoch, "test_accuracy": np.nan if over else accuracy}
            )  # fmt: skip
        for epoch, layer in itertools.product((0, 1, 2), range(1, depth + 1)):
            table["layers"].append(
                {"run": run, "epoch": epoch, "layer": layer,
                 "activation_variance": 4.0**-layer, "gradient_norm": 0.5**layer * (1 + seed),
                 "dead_share": np.nan if layer == depth else 0.1 * epoch + 0.01 * seed}
            )  # fmt: skip
    return {name: pd.DataFrame(rows) for name, rows in table.items()}


@pytest.fixture(scope="module")
def tables():
    return make_tables()


@pytest.fixture(scope="module")
def shown(tables):
    return explorer.view([tables], CONFIG)


def levels(shown, axis):
    (one,) = [one for one in shown["axes"] if one["key"] == axis]
    return [level["value"] for level in one["levels"]]


def number_of(shown, **at):
    """The number of the one cell at these levels."""
    places = {axis: levels(shown, axis).index(value) for axis, value in at.items()}
    (found,) = [
        cell
        for cell in range(len(shown["cells"]["n"]))
        if all(shown["cells"][axis][cell] == place for axis, place in places.items())
    ]
    return found


def detail(shown, cell):
    packed = shown["details"][cell // shown["chunk"]]
    return json.loads(zlib.decompress(base64.b64decode(packed)))[cell % shown["chunk"]]


HE = {"depth": "10", "activation": "relu", "init": "he", "optimizer": "adam"}
LOST = {"depth": "10", "activation": "relu", "init": "he", "learning_rate": "0.3"}
PARTLY = {"depth": "10", "activation": "tanh", "init": "xavier", "optimizer": "sgd"}


# ---- The data -----------------------------------------------------------------------------------


def test_a_cell_has_the_tables_numbers(shown, tables):
    own = tables["runs"].query(
        "depth == 10 and activation == 'relu' and init == 'he' and optimizer == 'adam'"
    )
    rows = tables["curves"].merge(own[["run", "seed"]])
    last = rows[rows["epoch"] == 2]["test_accuracy"]
    cell = number_of(shown, **HE)
    numbers = shown["cells"]
    assert numbers["accuracy"][cell] == round(100 * last.median())
    assert numbers["n"][cell] == 3 and numbers["diverged"][cell] == 0
    assert numbers["loss"][cell] == 0.994
    assert numbers["gradient"][cell] == 512  # 0.5 / 0.5**10
    assert numbers["dead"][cell] == pytest.approx(21)  # of the nine hidden layers' last moment
    found = detail(shown, cell)
    assert found["seeds"] == [0, 1, 2] and found["outcomes"] == [0, 0, 0]
    curves = rows.sort_values(["seed", "epoch"])["test_accuracy"].to_numpy().reshape(3, 2)
    np.testing.assert_allclose(np.array(found["accuracy"]) / 100, curves, atol=0.005)
    assert found["layers"]["n"] == [3, 3]
    assert found["layers"]["gradient"][0] == pytest.approx(
        [float(f"{2 * 0.5**layer:.3g}") for layer in range(1, 11)]
    )
    assert found["layers"]["dead"][1] == [0.21] * 9 + [None]


def test_every_run_is_in_one_cell(shown, tables):
    assert len(shown["cells"]["n"]) == len(list(cells()))
    assert sum(shown["cells"]["n"]) == shown["runs"] == len(tables["runs"])
    for cell in range(len(shown["cells"]["n"])):
        assert len(detail(shown, cell)["seeds"]) == shown["cells"]["n"][cell]


def test_a_diverged_run_counts_as_a_guess_and_has_no_curve_from_there_on(shown):
    cell = number_of(shown, **LOST)
    assert shown["cells"]["diverged"][cell] == 3
    assert shown["cells"]["accuracy"][cell] == 1000 and shown["cells"]["loss"][cell] is None
    found = detail(shown, cell)
    assert found["steps"] == [3, 3, 3] and found["accuracy"] == [[None, None]] * 3
    assert found["layers"]["n"] == [3, 0]
    cell = number_of(shown, **PARTLY)
    assert shown["cells"]["diverged"][cell] == 1
    assert detail(shown, cell)["accuracy"][0][0] > 8000 > detail(shown, cell)["layers"]["n"][1]
    assert detail(shown, cell)["accuracy"][0][1] is None


def test_losses_of_an_epoch_that_ended_in_nan_are_left_out(tables):
    """Even where the table has one."""
    assert tables["curves"]["test_loss"].notna().all()
    shown = explorer.view([tables], CONFIG)
    found = detail(shown, number_of(shown, **LOST))
    assert found["loss"] == found["running"] == [[None, None]] * 3


def test_usual_rates_and_initialisers_are_the_configs(shown):
    axes = {axis["key"]: axis for axis in shown["axes"]}
    rates, inits = axes["learning_rate"]["usual"], axes["init"]["usual"]
    assert rates["by"] == "optimizer" and inits["by"] == "activation"
    assert [levels(shown, "learning_rate")[i] for i in rates["levels"]] == ["0.01", "0.001"]
    assert [levels(shown, "init")[i] for i in inits["levels"]] == ["he", "xavier"]
    assert axes["depth"]["usual"] is None


def test_without_a_config_the_usual_rate_is_the_most_frequent(tables):
    shown = explorer.view([tables], {})
    axes = {axis["key"]: axis for axis in shown["axes"]}
    assert [
        levels(shown, "learning_rate")[i] for i in axes["learning_rate"]["usual"]["levels"]
    ] == [
        "0.01",
        "0.001",
    ]
    assert axes["init"]["usual"] is None


def test_it_starts_at_a_full_heat_map_near_the_preferred_levels(shown):
    assert shown["start"] == {
        "x": "activation", "y": "init", "seeds": "0-2", "dataset": "mnist", "training": "640x2",
        "depth": "10", "block": "plain", "optimizer": "adam", "learning_rate": "usual",
        "batch_size": "64", "width": "128", "weight_decay": "own", "schedule": "constant",
        "label_noise": "0",
    }  # fmt: skip


def test_axes_that_came_later_have_one_level_in_tables_of_before(shown):
    """So nothing of them shows; AdamW's decay of 0.01 is its own, as SGD's of 0."""
    for axis in "batch_size", "width", "weight_decay", "schedule", "label_noise":
        assert len(levels(shown, axis)) == 1
    runs = make_tables()["runs"]
    runs["optimizer"] = runs["optimizer"].replace("adam", "adamw")
    other = explorer.view([make_tables() | {"runs": runs}], CONFIG)
    assert levels(other, "weight_decay") == ["own"]


@pytest.fixture(scope="module")
def varied():
    """A grid in which the first cells, of three seeds each, differ in the later axes as well; its
    data set is one's own, with four classes."""
    tables = make_tables()
    runs = tables["runs"].assign(
        weight_decay=0.0, schedule="constant", label_noise=0.0, classes=4, dataset="own"
    )
    changes = [("width", 64), ("batch_size", 32), ("weight_decay", 1e-4), ("label_noise", 0.2),
               ("schedule", "warm_up")]  # fmt: skip
    for cell, (axis, level) in enumerate(changes):
        runs.loc[runs.index[3 * cell : 3 * cell + 3], axis] = level
    return tables | {"runs": runs}


DECLARED = {"own": {"npz": {"path": "own.npz", "sha256": "0" * 64}, "shape": [8, 8],
                    "classes": 4, "images": {"train": 700, "test": 60}}}  # fmt: skip


def test_later_axes_are_axes_like_others(varied):
    shown = explorer.view([varied], CONFIG | {"datasets": DECLARED})
    assert levels(shown, "width") == ["64", "128"] and levels(shown, "label_noise") == ["0", "0.2"]
    assert levels(shown, "weight_decay") == ["own", "0.0001"]
    assert levels(shown, "schedule") == ["constant", "warm_up"]
    assert len(shown["cells"]["n"]) == len(list(cells())) and shown["chance"] == [25.0]
    lost = number_of(shown, **LOST)
    assert shown["cells"]["accuracy"][lost] == 2500  # a guess among four classes
    labels = {axis["key"]: [one["label"] for one in axis["levels"]] for axis in shown["axes"]}
    assert labels["width"] == ["64 units", "128 units"]
    assert labels["weight_decay"] == ["the optimizer's own decay", "decay 0.0001"]


def test_it_starts_with_axes_that_have_several_levels(varied):
    runs = varied["runs"].query("activation == 'relu' and init == 'he' and optimizer == 'adam'")
    start = explorer.view([varied | {"runs": runs}], CONFIG)["start"]
    assert (start["x"], start["y"]) == ("depth", "batch_size")


def test_a_rate_has_no_power_of_ten(tables):
    tables = dict(tables)
    tables["runs"] = tables["runs"].assign(learning_rate=1e-5)
    assert levels(explorer.view([tables], {}), "learning_rate") == ["0.00001"]


def test_other_seeds_are_cells_of_their_own(tables):
    other = make_tables(seeds=(1000, 1001), lift=1.0)
    other = {name: table.assign(run="x" + table["run"]) for name, table in other.items()}
    shown = explorer.view([tables, other], CONFIG)
    assert levels(shown, "seeds") == ["0-2", "1000-1001"]
    assert shown["runs"] == len(tables["runs"]) + len(other["runs"])
    ours, theirs = (number_of(shown, seeds=seeds, **HE) for seeds in levels(shown, "seeds"))
    assert (shown["cells"]["n"][ours], shown["cells"]["n"][theirs]) == (3, 2)
    assert shown["start"]["seeds"] == "0-2"


def test_the_same_runs_as_a_reference_are_there_once(tables, shown):
    assert explorer.view([tables, tables], CONFIG) == shown


def test_same_tables_give_the_same_bytes_in_any_order(tables, shown):
    shuffled = {name: table.sample(frac=1, random_state=0) for name, table in tables.items()}
    assert json.dumps(explorer.view([shuffled], CONFIG)) == json.dumps(shown)


def test_without_runs_there_is_nothing(tables):
    empty = {name: table.iloc[:0] for name, table in tables.items()}
    assert explorer.view([empty], CONFIG) is None


def test_its_size_is_far_below_the_pages(shown):
    """Extrapolated: a run of ten layers in at most 400 bytes is 9 MB for 22,000."""
    assert len(json.dumps(shown["details"])) / shown["runs"] < 400


def test_the_script_reads_this_report_and_the_references_of_the_same_measurement(
    tmp_path, tables, monkeypatch
):
    config = CONFIG | {"preset": "default", "first_seed": 0, "seeds": 3}
    others = {"same": config | {"first_seed": 1000}, "other": config | {"seeds": 5}}
    for number, (name, theirs) in enumerate(others.items(), start=1):
        folder = tmp_path / "results/reference" / name
        (folder / "tables").mkdir(parents=True)
        (folder / "provenance.json").write_text(json.dumps({"config": theirs}), encoding="utf-8")
        (folder / "claims.json").write_text("[]", encoding="utf-8")
        for kind, table in make_tables(seeds=[1000 * number]).items():
            table = table.assign(run=name + table["run"])
            table.to_parquet(folder / "tables" / f"{kind}.parquet")
    own = tmp_path / "results/default/tables"
    own.mkdir(parents=True)
    for kind, table in tables.items():
        table.assign(more=1).to_parquet(own / f"{kind}.parquet")
    monkeypatch.chdir(tmp_path)
    scripts = build.TEMPLATES.parent / "workflow/scripts"
    monkeypatch.setattr(sys, "path", [str(scripts), *sys.path])
    given = SimpleNamespace(
        runs="results/default/tables/runs.parquet",
        references=[f"results/reference/{name}/claims.json" for name in others],
    )
    snakemake = SimpleNamespace(
        config=config, input=given, output=["explorer.json"], log=["explorer.log"]
    )
    runpy.run_path(str(scripts / "explorer.py"), {"snakemake": snakemake})
    shown = json.loads((tmp_path / "explorer.json").read_text("utf-8"))
    assert levels(shown, "seeds") == ["0-2", "1000-1000"]


# ---- The page -----------------------------------------------------------------------------------


def test_the_page_has_it_only_with_data(inputs, shown, render):
    assert render().find(id="explore") is None
    page = render(grid=shown)
    section = page.find(id="explore")
    assert section.find(id="explore-app").has_attr("hidden")  # until the script fills it
    assert "JavaScript" in section.noscript.decode_contents()
    data = json.loads(page.find(id="explorer-data").string)
    data["details"] = page.find(id="explorer-details").string.split("\n")
    assert data == json.loads(json.dumps(shown))
    assert build.render(**inputs, grid=shown) == build.render(**inputs, grid=shown)


def test_the_policy_admits_each_script_and_no_other(shown, render):
    page = render(grid=shown)
    policy = page.find("meta", attrs={"http-equiv": "Content-Security-Policy"})["content"]
    admitted = re.search("script-src ([^;]+)", policy)[1].split()
    scripts = [one.string for one in page.find_all("script") if not one.has_attr("type")]
    digests = [hashlib.sha256(text.encode()).digest() for text in scripts]
    assert admitted == [f"'sha256-{base64.b64encode(one).decode()}'" for one in digests]
    assert len(admitted) == len(build.SCRIPTS) + len(build.EXPLORER_SCRIPTS)


def test_a_level_with_markup_in_it_is_text(tables, render):
    evil = "</script><script>alert(1)</script>"
    named = tables["runs"].assign(block=evil)
    shown = explorer.view([{**tables, "runs": named}], CONFIG)
    page = render(grid=shown)
    data = json.loads(page.find(id="explorer-data").string)
    assert data["axes"][4]["levels"][0]["value"] == evil
    assert not [one for one in page.find_all("script") if one.string == "alert(1)"]


def test_nothing_in_the_scripts_needs_what_the_policy_forbids():
    for name in build.EXPLORER_SCRIPTS[1:]:
        text = (build.TEMPLATES / name).read_text(encoding="utf-8")
        assert not re.search(
            r"innerHTML|\beval\(|new Function|\bfetch\(|setAttribute\(.style", text
        )


def test_vendored_files_are_as_they_were_released():
    listed = re.findall(
        r"^\| `([^`]+)` \| `[^`]+` \| `([0-9a-f]{64})` \|$",
        (VENDOR / "README.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    assert {name for name, _ in listed} == {path.name for path in VENDOR.iterdir()} - {"README.md"}
    for name, digest in listed:
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest, name
    assert {f"{build.VENDORED}.js", f"{build.VENDORED}.css"} <= {f"vendor/{n}" for n, _ in listed}


# ---- The script ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def said(shown):
    """What an expression is, with E and C, what the explorer knows of grids and of charts, and `g`
    the grid of these tests."""
    files = ["explorer-grid.js", "explorer-charts.js"]
    library = "".join((build.TEMPLATES / name).read_text(encoding="utf-8") for name in files)

    def evaluate(expression, data=shown):
        script = f"""{library}
            const E = ExplorerGrid, C = ExplorerCharts, g = E.grid({json.dumps(data)});
            const start = () => E.startState(g);
            console.log(JSON.stringify((() => {{ {expression} }})() ?? null));"""
        done = subprocess.run(["node", "-"], input=script, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout)

    return evaluate


def test_the_first_heat_map(said, shown):
    rows, columns, found, sentence = said(
        """const m = E.heatMap(g, start());
        return [m.rows, m.columns, m.rows.map((r) => m.columns.map((c) => m.at(r, c))),
            E.finding(g, start(), m)];"""
    )
    assert (rows, columns) == ([0, 1], [0, 1])
    names = {"depth": "10", "optimizer": "adam"}
    for row, init in zip(found, levels(shown, "init"), strict=True):
        for cell, activation in zip(row, levels(shown, "activation"), strict=True):
            assert cell == number_of(shown, init=init, activation=activation, **names)
    best = max(itertools.chain(*found), key=lambda cell: shown["cells"]["accuracy"][cell])
    assert f"{shown['cells']['accuracy'][best] / 100:.1f}\u00a0%" in sentence
    assert sentence.startswith("Best: ")


def test_the_sentence_follows_the_data(said, shown):
    worse = shown["cells"]["accuracy"]
    turned = shown | {"cells": shown["cells"] | {"accuracy": [10_000 - value for value in worse]}}
    sentence = "return E.finding(g, start(), E.heatMap(g, start()));"
    assert said(sentence) != said(sentence, turned)


def test_diverged_cells_are_named(said):
    sentence = """const s = start(); s.show = "diverged"; E.setAxes(g, s, "learning_rate", "init");
        Object.assign(s.at, {optimizer: "sgd", activation: "relu", depth: "10"});
        return E.finding(g, s, E.heatMap(g, s));"""
    assert said(sentence) == "1 of 3 cells diverged with every seed, 0 with some: He, 0.3."


@pytest.mark.parametrize(
    "at, text, more, state",
    [(HE, None, "", ""), (LOST, "diverged", "", "diverged"),
     (PARTLY, None, "1 of 3 diverged", "partly")],
    ids=["fine", "all", "some"],
)  # fmt: skip
def test_a_box_says_in_words_what_diverged(said, shown, at, text, more, state):
    cell = number_of(shown, **at)
    box = said(f"return E.box(g, 'accuracy', {cell});")
    text = text or f"{shown['cells']['accuracy'][cell] / 100:.1f}"
    assert box == {"text": text, "more": more, "state": state}


def test_filters_count_the_cells_they_would_show(said):
    assert said("return E.counts(g, start(), g.axis('depth'));") == {"2": 4, "10": 4}
    rates = said("const s = start(); s.at.optimizer = 'sgd';"
                 "return E.counts(g, s, g.axis('learning_rate'));")  # fmt: skip
    assert rates == {"0.001": 0, "0.01": 4, "0.3": 1, "usual": 4}


def test_an_address_gives_back_its_view(said):
    before, after, link = said(
        """const s = start(); s.show = "dead"; E.setAxes(g, s, "depth", "optimizer");
        Object.assign(s.at, {depth: "2", optimizer: "sgd"}); s.pin = E.placesOfCell(g, 3);
        const link = E.write(g, s); return [s, E.read(g, link), link];"""
    )
    assert before == after and before["at"]["init"] == "usual"
    assert link.startswith("#explore?x=depth&y=optimizer&show=dead")


@pytest.mark.parametrize(
    "link", ["#explore", "#explore?x=evil&y=1", "#explore?init=<script>&depth=7&pin=a~b&show=x"]
)
def test_an_address_that_makes_no_sense_is_the_start(said, link):
    read, start = said(f"return [E.read(g, {json.dumps(link)}), start()];")
    assert read == start


def test_exchanged_axes_keep_the_open_cell(said):
    before, after = said(
        """const s = start(); Object.assign(s.at, {init: "xavier", activation: "tanh"});
        const before = E.cellAt(g, E.placesOf(g, s.at)); E.setAxes(g, s, "depth", "optimizer");
        return [before, E.cellAt(g, E.placesOf(g, s.at))];"""
    )
    assert before == after is not None


@pytest.mark.parametrize(
    "text, at, rest",
    [
        ("tanh, 10 layers, SGD", {"activation": "tanh", "depth": "10", "optimizer": "sgd"}, []),
        ("Glorot with ReLU at 0.3", {"init": "xavier", "activation": "relu",
                                     "learning_rate": "0.3"}, []),
        ("10-layer Kaiming net", {"depth": "10", "init": "he"}, []),
        ("depth=10 and lr 1e-2", {"depth": "10", "learning_rate": "0.01"}, []),
        ("depth 10", {"depth": "10"}, []),
        ("640 images, 2 epochs", {"training": "640x2"}, []),
        ("dropout", {}, ["dropout"]),
        ("no Adam, tanh", {"activation": "tanh"}, ["no adam"]),
    ],
)  # fmt: skip
def test_a_network_in_words(said, text, at, rest):
    understood = said(f"return E.understand(g, {json.dumps(text)});")
    assert understood == {"at": at, "off": {}, "rest": rest}


@pytest.fixture(scope="module")
def blocks(tables):
    """The grid of these tests with a cell of each block."""
    runs = tables["runs"].copy()
    names = ["batch_norm", "residual", "batch_norm_residual"]
    for (_, rows), name in zip(runs.groupby(CELL), names, strict=False):
        runs.loc[rows.index, "block"] = name
    return explorer.view([tables | {"runs": runs}], CONFIG)


@pytest.mark.parametrize(
    "text, block",
    [
        ("batch norm", "batch_norm"), ("no batch norm", "plain"), ("without BN", "plain"),
        ("no residual", "plain"), ("ResNet", "residual"), ("skip connections", "residual"),
        ("residual, no batch norm", "residual"), ("batch-normalised ResNet", "batch_norm_residual"),
        ("no batch norm, residual", "residual"), ("BN + residual", "batch_norm_residual"),
        ("without batch norm and residual connections", "plain"),
        ("neither batch normalization nor skip connections", "plain"),
        ("batch norm without residual connections", "batch_norm"), ("plain", "plain"),
    ],
)  # fmt: skip
def test_blocks_in_words_and_what_is_denied(said, blocks, text, block):
    understood = said(f"return E.understand(g, {json.dumps(text)});", blocks)
    assert understood == {"at": {"block": block}, "off": {}, "rest": []}


@pytest.mark.parametrize(
    "text, at, off",
    [
        ("ResNet-50", {"block": "residual"}, {"depth": 50}),
        ("resnet 50, tanh", {"block": "residual", "activation": "tanh"}, {"depth": 50}),
        ("50-layer ReLU", {"activation": "relu"}, {"depth": 50}),
        ("depth 50", {}, {"depth": 50}),
        ("sgd at 0.02, width 1,024", {"optimizer": "sgd"}, {"learning_rate": 0.02, "width": 1024}),
    ],
)
def test_a_number_that_is_no_level_is_told_from_what_means_nothing(said, blocks, text, at, off):
    understood = said(f"return E.understand(g, {json.dumps(text)});", blocks)
    assert understood == {"at": at, "off": off, "rest": []}


def test_of_a_depth_that_is_no_level_the_nearest_ones_are_shown_and_a_recipe_trains_it(said, shown):
    cells, differ, yaml_text = said(
        """const u = E.understand(g, "he, relu, sgd, 4 layers");
        const p = E.wanted(g, start(), u.at, u.off), asked = Object.keys({...u.at, ...u.off});
        const near = E.nearest(g, p, asked, 2, u.off);
        return [near.map((one) => one.cell), near.map((one) => one.differ.map((a) => a.key)),
            E.recipe(g, p, u.off).yaml];"""
    )
    same = {"activation": "relu", "init": "he", "optimizer": "sgd", "learning_rate": "0.01"}
    assert cells == [number_of(shown, depth=depth, **same) for depth in ("2", "10")]
    assert differ == [["depth"], ["depth"]]
    assert yaml.safe_load(yaml_text)["grid"]["my-cell"]["depth"] == [4]


def test_what_was_not_said_is_filled_in_and_named(said):
    filled = said(
        """const u = E.understand(g, "tanh, 10 layers");
        return E.filledIn(g, u.at, u.off, E.wanted(g, start(), u.at, u.off));"""
    )
    assert filled == [
        "initialisation Xavier (the one meant for the activation)",
        "optimizer Adam",
        "learning rate 0.001 (the optimizer's usual one)",
    ]


def test_a_network_in_words_finds_its_cell_or_says_what_is_near(said, shown):
    look = """const u = E.understand(g, %s), p = E.wanted(g, start(), u.at);
        return [E.cellAt(g, p) ?? -1, E.nearest(g, p, Object.keys(u.at), 1)[0].cell,
            E.nearest(g, p, Object.keys(u.at), 1)[0].differ.map((axis) => axis.key)];"""
    cell = number_of(shown, **HE)
    assert said(look % '"he relu 10 layers adam"') == [cell, cell, []]
    found, near, differ = said(look % '"tanh, he, sgd at 0.3"')
    assert found == -1 and differ == ["activation"] and near == number_of(shown, **LOST)


def test_the_recipe_trains_exactly_the_cell(said, shown, tables, tmp_path):
    cell = number_of(shown, **LOST)
    recipe = said(f"return E.recipe(g, E.placesOfCell(g, {cell}));")
    assert recipe["command"].endswith(f"--configfile {recipe['file']}")
    path = tmp_path / "my-cell.yaml"
    path.write_text(recipe["yaml"], encoding="utf-8")
    config = presets.load(path, build.TEMPLATES.parent / "config/config.yaml")
    (name,) = config["grid"]
    assert config["preset"] == name == yaml.safe_load(recipe["yaml"])["preset"]
    planned = runs.plan(config).subgrids
    own = tables["runs"].query("learning_rate == 0.3")
    wanted = {tuple(row) for row in own[[*CELL, "batch_size", "width", "seed"]].to_numpy()}
    axes = [*CELL, "batch_size", "width", "seed"]
    assert {tuple(getattr(run, axis) for axis in axes) for run in planned} == wanted


def test_the_recipe_of_later_axes_and_an_own_data_set_trains_exactly_the_cell(
    said, varied, tmp_path
):
    shown = explorer.view([varied], CONFIG | {"datasets": DECLARED})
    names = ["width", "batch_size", "weight_decay", "schedule", "label_noise"]
    own_data.declare(DECLARED)
    try:
        for _, run in varied["runs"].iloc[:15:3].iterrows():
            at = {axis: str(run[axis]) for axis in ("depth", "activation", "init", "optimizer")}
            cell = number_of(shown, **at, learning_rate=str(run["learning_rate"]))
            recipe = said(f"return E.recipe(g, E.placesOfCell(g, {cell}));", shown)
            path = tmp_path / "my-cell.yaml"
            path.write_text(recipe["yaml"], encoding="utf-8")
            config = presets.load(path, build.TEMPLATES.parent / "config/config.yaml")
            assert config["datasets"] == DECLARED
            planned = [one.row() for one in runs.plan(config).subgrids]
            assert [one["seed"] for one in planned] == [0, 1, 2]
            for one in planned:
                assert {axis: one[axis] for axis in names} == {axis: run[axis] for axis in names}
    finally:
        own_data.declare({})


def test_colours_tell_97_from_98_and_carry_readable_numbers(said):
    first, second, contrasts = said(
        """const contrast = (rgb) => {
            const [a, b] = [E.luminance(rgb), E.ink(rgb) === "#000000" ? 0 : 1];
            return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05); };
        const all = [];
        for (const scale of Object.values(g.scales))
            for (let i = 0; i <= 50; i++)
                all.push(contrast(E.colour(scale, scale.low + (scale.high - scale.low) * i / 50)));
        return [E.colour(g.scales.accuracy, 9700), E.colour(g.scales.accuracy, 9800), all];"""
    )
    assert max(abs(a - b) for a, b in zip(first, second, strict=True)) > 25
    assert min(contrasts) >= 4.5


@pytest.mark.parametrize(
    "classes, low, ticks",
    [(10, 10, ["10", "50", "80", "90", "95", "98", "99"]), (2, 50, ["50", "80", "90", "95", "98",
     "99"]), (3, 33.3, ["33", "50", "80", "90", "95", "98", "99"]),
     (100, 1, ["1", "50", "80", "90", "95", "98", "99"])],
)  # fmt: skip
def test_colours_and_words_of_accuracy_begin_at_a_guess_among_its_classes(
    said, tables, classes, low, ticks
):
    own = tables | {"runs": tables["runs"].assign(classes=classes)}
    found = explorer.view([own], CONFIG)
    notes = {one["key"]: one["note"] for one in found["measures"]}
    assert notes["accuracy"].endswith(f"a diverged run counts as a guess, {low:g} %")
    scale, lowest = said(
        """const scale = g.scales.accuracy;
        return [scale.ticks.map(scale.said), E.share(scale, 100 * g.data.chance[0])];""",
        found,
    )
    assert scale == ticks and lowest == 0


def test_charts_have_their_finding_as_title(said, shown):
    """Of a cell that one of three seeds leaves in its second epoch."""
    cell = number_of(shown, **PARTLY)
    charts = said(f"return C.charts({json.dumps(detail(shown, cell))});")
    accuracy = np.array(detail(shown, cell)["accuracy"], float) / 100
    first, last = np.nanmedian(accuracy, axis=0)
    assert charts[0]["title"] == (
        f"Test accuracy of the seeds that did not diverge: {first:.1f} % after 1 epoch, "
        f"{last:.1f} % after 2"
    )
    median = charts[0]["lines"][0]
    assert median["values"] == pytest.approx([first, last])
    assert median["low"] == pytest.approx(np.nanmin(accuracy, axis=0))
    assert median["high"] == pytest.approx(np.nanmax(accuracy, axis=0))
    titles = {chart["key"]: chart["title"] for chart in charts}
    assert titles["loss"].endswith("0.247 in training (dashed), 0.994 on the test images")
    assert titles["gradient"].endswith("510 before training, 510 after")
    assert titles["std"].endswith("0.5 to 9.8·10⁻⁴ before training, 0.5 to 9.8·10⁻⁴ after")
    assert titles["dead"].endswith("1 % before training, 22 % after")


def test_a_cell_that_diverged_at_once_has_layers_before_training_only(said, shown):
    found = detail(shown, number_of(shown, **LOST))
    charts = said(f"return C.charts({json.dumps(found)});")
    assert [chart["key"] for chart in charts] == ["gradient", "std", "dead"]
    assert all(len(chart["lines"]) == 1 and chart["lines"][0]["dashed"] for chart in charts)


def test_charts_side_by_side_share_their_scales(said):
    first, second = said(
        """const chart = (key, log, values) => ({key, log, lines: [{values}]});
        const both = [chart("loss", true, [0.1, 0]), chart("loss", true, [1, 2, 4])];
        C.shareScales(both); return both;"""
    )
    assert first["range"] == second["range"] == pytest.approx([0.1 / 1.4, 4 * 1.4])
    assert first["last"] == second["last"] == 3


def test_ticks_of_a_logarithmic_axis_are_few_and_round(said):
    few, many, huge = said(
        "return [C.logTicks(0.3, 7), C.logTicks(0.002, 300), C.logTicks(1e-20, 1e15)];"
    )
    assert few == [0.5, 1, 2, 5]
    assert many == [0.01, 0.1, 1, 10, 100]
    assert 3 <= len(huge) <= 7 and huge == pytest.approx(
        [10.0**power for power in range(-18, 16, 6)]
    )
