"""The benchmark: that what it compares is the same training, and how it is shown."""

import math

import pandas as pd
import pytest
import torch

from finicky import runs
from finicky.engine.network import Architecture, Network
from finicky.exhibits import bench as shown
from finicky.exhibits import style, tables
from finicky.experiments import baselines, bench, tidy, training

from .engine_fixtures import TinyDataset, training_process

BLOCKS = ["plain", "batch_norm_residual"]


@pytest.fixture(autouse=True)
def process():
    with training_process():
        torch.manual_seed(0)
        yield


@pytest.fixture(scope="module")
def dataset():
    return TinyDataset(images=256)


def shape(block, depth=6):
    return Architecture(depth, block, "relu", width=32)


def losses_of(way, steps):
    """The losses that a way adds up, step by step, summed over its networks."""
    totals = [0.0]
    for _ in range(steps):
        way.step()
        totals.append(float(way.total.sum()))
    return [later - earlier for earlier, later in zip(totals, totals[1:], strict=False)]


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("kind", [baselines.OneByOne, baselines.Vmap, baselines.StackedAutograd])
def test_every_way_learns(kind, optimizer, block, dataset):
    size = () if kind is baselines.OneByOne else (2,)
    depth = 2 if block == "plain" else 6  # PyTorch's own start is too small for deep plain ones
    way = kind(shape(block, depth), optimizer, dataset, *size)
    for group in way.optimizer.param_groups:
        group["lr"] = {"adam": 3e-3, "sgd": 0.05}[optimizer]
    losses = losses_of(way, 60)
    assert sum(losses[-8:]) < 0.8 * sum(losses[:8])


@pytest.mark.parametrize("block", BLOCKS)
def test_modules_are_the_engine_s_network(block):
    """As many parameters, layer by layer of the same shapes."""
    flat = Network.initial(shape(block), [("he", 0)]).parameters
    ours = [tuple(w.shape[1:]) for w in flat.weights]
    theirs = [
        tuple(reversed(m.weight.shape))
        for m in baselines.sequential(shape(block)).modules()
        if isinstance(m, torch.nn.Linear)
    ]
    assert theirs == ours
    norms = [m for m in baselines.sequential(shape(block)).modules()
             if isinstance(m, torch.nn.BatchNorm1d)]  # fmt: skip
    assert len(norms) == len(flat.gammas)


@pytest.mark.parametrize("block", BLOCKS)
def test_stacked_autograd_takes_the_engine_s_step(block, dataset):
    """From one start, on one batch: the same weights after a step of plain descent."""
    way = baselines.StackedAutograd(shape(block), "sgd", dataset, 2)
    ours = baselines.Engine(shape(block), "sgd", dataset, 2)
    for theirs, mine in zip(way.weights, ours.batch.network.parameters.weights, strict=True):
        theirs.data.copy_(mine)
    index, _ = ours.batch.batches(1)[0]  # the two runs are of one seed
    way.batches = iter([index.repeat(2, 1).flatten()])
    way.step()
    ours.step()
    for theirs, mine in zip(way.weights, ours.batch.network.parameters.weights, strict=True):
        torch.testing.assert_close(theirs.detach(), mine, rtol=1e-4, atol=1e-6)


def test_work_of_a_step():
    """4 in·out for the first layer, whose input needs no gradient, 6 in·out for every other."""
    products = baselines.Products(Architecture(6, "plain", "relu", width=32), 2)
    assert products.flops == 64 * (4 * 784 * 32 + 6 * (4 * 32 * 32 + 32 * 10))
    products.step()
    x, w, z = products.products[0]
    torch.testing.assert_close(z, x @ w)


def test_parts_of_a_step_add_up(dataset):
    engine = baselines.Engine(shape("plain"), "adam", dataset, 2)
    shares = bench.shares(engine)
    assert sum(shares.values()) == pytest.approx(1) and min(shares.values()) > 0
    assert "forward" not in vars(engine.batch.network), "the clocks are taken off again"
    assert bench.probe_share(engine, 1.0) > 0


def test_no_gpu_no_number(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pd.isna(bench.gpu_minus_cpu({"data": "nowhere"}, range(3))).all()


@pytest.fixture
def table():
    rows = []
    for work in bench.WORKS:
        for seed, ms in enumerate([1.0, 2.0, 4.0]):
            for way, factor in {
                "engine": 1,
                "one by one": 2,
                "textbook": 8,
                "products": 0.5,
            }.items():
                where = {"work": work, "way": way, "fused": 3, "seed": seed}
                rows.append(where | {"quantity": "ms_per_run_step", "value": ms * factor})
                rows.append(where | {"quantity": "ratio_to_one_by_one", "value": 2 / factor})
                rows.append(where | {"quantity": "gflops", "value": 100 / ms / factor})
            where = {"work": work, "way": "engine", "fused": 3, "seed": seed}
            rows.append(where | {"quantity": "ratio_to_textbook", "value": 8.0})
            rows.append(where | {"quantity": "gemm_efficiency", "value": 0.5 + seed / 100})
            rows.append(where | {"quantity": "probe_share", "value": 0.0123})
            if seed == 0:
                rows.append(where | {"quantity": "flops_per_byte", "value": 5.0})
            rows += [
                where | {"quantity": "share_of_step", "part": part, "value": 0.2}
                for part in ("images", "forward", "loss", "backward", "optimizer")
            ]
    for seed in range(3):
        rows.append({"quantity": "start_seconds", "seed": seed, "value": 1.5 + seed})
        rows.append({"quantity": "copy_gb_per_second", "seed": seed, "value": 10.0})
        rows.append({"quantity": "gpu_minus_cpu", "seed": seed, "value": math.nan})
    rows = [row | {"instruction_set": "AVX2"} for row in rows]
    return tidy.from_rows(rows, bench.CONDITIONS)


def test_the_works_are_those_declared():
    assert list(bench.WORKS) == bench.CONDITIONS["work"]
    assert list(shown.PARTS) == bench.CONDITIONS["part"]
    assert set(shown.COMPARED) | set(shown.DRAWN) <= set(bench.CONDITIONS["way"])


def test_a_measured_table_is_what_the_module_declares(monkeypatch, dataset):
    """The smallest benchmark there is: one work, one turn, its times unimportant."""

    def textbook(architecture, optimizer, dataset, folder):
        return baselines.OneByOne(architecture, optimizer, dataset)

    monkeypatch.setattr(bench, "WORKS", {"mlp2": (2, "plain", "sgd")})
    monkeypatch.setattr(bench, "TURN", 0.0)
    monkeypatch.setattr(runs, "fused_size", lambda parameters, cache: 2)
    monkeypatch.setattr(bench, "copy_rate", lambda: 10.0)
    monkeypatch.setattr(bench, "start_seconds", lambda: 1.0)
    monkeypatch.setattr(baselines, "Textbook", textbook)
    monkeypatch.setattr(training, "prepared", lambda name, settings, images: dataset)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    table = bench.measure({"repetitions": 1, "data": "nowhere", "device": "cpu"}, {})
    tidy.check(table, bench)
    assert set(table["quantity"]) == set(bench.QUANTITIES)
    assert set(table["way"].dropna()) == set(bench.CONDITIONS["way"])
    assert table["instruction_set"].notna().all()
    assert shown.bench_table(table, {}).seeds == [1]


def test_summary_takes_medians(table):
    found = shown.summary(table)
    mlp2 = found["works"]["mlp2"]
    assert mlp2["ms_per_run_step"] == 2.0
    assert mlp2["spread"]["ms_per_run_step"] == {"median": 2.0, "low": 1.0, "high": 4.0}
    assert mlp2["ways"]["textbook"] == 0.25 and mlp2["R"] == 3
    assert mlp2["instruction_set"] == "AVX2" and mlp2["shares"]["loss"] == 0.2
    assert "share_of_step" not in mlp2["spread"], "a part's share is no number of the whole step"
    assert list(found["works"]) == list(bench.WORKS)
    assert found["copy_gb_per_second"]["median"] == 10.0
    assert "gpu_minus_cpu" not in found, "what was not measured has no median"


def test_the_figure_says_its_numbers(table):
    with style.context():
        figure, behind = shown.bench(table)
    assert "mlp56 50, mlp56_bn_res 50 GFLOP/s" in figure.get_label()
    assert set(behind["way"]) == {"engine", "one by one", "textbook"}
    assert "median of 3 interleaved turns on one core" in {text.get_text() for text in figure.texts}


def test_the_table_has_a_row_for_each_work(table):
    made = shown.bench_table(table, {})
    (body,) = made.bodies
    assert [row.heads for row in body.rows] == [[work, "3"] for work in bench.WORKS]
    groups = [name for name, span in made.groups for _ in range(span)]
    cells = {
        (group, column.label): cell
        for group, column, cell in zip(groups, made.columns, body.rows[0].cells, strict=True)
    }
    speed, engine = "Speed, networks one by one = 1", "Engine"
    assert cells["Time", "ms"].value == 2.0
    assert cells[speed, "textbook loop"].value == 0.25 and cells[speed, "engine"].value == 2
    assert cells[speed, "vmap"].value is None, "not measured here"
    assert cells[engine, "over textbook"].value == 8
    assert cells[engine, "efficiency, %"].value == pytest.approx(51)
    assert cells[engine, "probes, %"].value == pytest.approx(1.23)
    assert made.seeds == [3]
    assert "with AVX2." in made.shows and "ready after 2.5 s" in made.shows
    assert tables.as_json(made)["bodies"][0]["rows"][0]["heads"] == ["mlp2", "3"]
