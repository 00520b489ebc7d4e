"""The benchmark: that what it compares is the same training, and how it is shown."""

from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from matplotlib.text import Text

from finicky import pace, runs
from finicky.engine.network import Architecture, Network
from finicky.evidence.judge import judge
from finicky.exhibits import bench as shown
from finicky.exhibits import style, tables
from finicky.experiments import baselines, bench, card, tidy, training

from .engine_fixtures import TinyDataset, training_process
from .measurements import assert_whole
from .sentences import finding

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


# ---- The GPU's rows, measured on a CPU ----------------------------------------------------------

ON_GPU = ["one network, eager", "one network, a graph", bench.MANY]


@pytest.fixture
def small_card(monkeypatch):
    """A GPU that is a CPU, asked for little: two sizes of batches, three repetitions of a step."""
    monkeypatch.setattr(bench, "gpu", lambda: "cpu")
    monkeypatch.setattr(bench, "WORKS", {"mlp2": (2, "plain", "sgd")})
    monkeypatch.setattr(bench, "TURN", 0.0)
    monkeypatch.setattr(card, "SIZES", [(2, 1), (3, 2)])
    monkeypatch.setattr(pace, "SECONDS", 0)
    monkeypatch.setattr(pace, "IMAGES", 128)


def test_what_a_card_does(small_card):
    """Each size of every work, against its own limits and one core's time."""
    flops, core = {"mlp2": 1e6}, {"mlp2": [1.0, 2.0]}
    found = pd.DataFrame(bench.on_gpu("cpu", flops, core, range(2)))
    assert set(found["card"]) == {"cpu"} and (found["value"] > 0).all()
    limits = found[found["work"].isna()]
    assert Counter(limits["quantity"]) == {"gpu_copy_gb_per_second": 2, "gpu_product_gflops": 2}
    steps = found.pivot_table("value", ["fused", "streams", "seed"], "quantity")
    assert list(steps.index) == [(2, 1, 0), (2, 1, 1), (3, 2, 0), (3, 2, 1)]
    seconds = steps["us_per_run_step"] / 1e6
    assert steps["gflops"].tolist() == pytest.approx(list(1e6 / seconds / 1e9))
    cores = [1e-3, 2e-3, 1e-3, 2e-3]
    assert steps["ratio_to_core"].tolist() == pytest.approx(list(cores / seconds))


def test_units_of_a_card(small_card, monkeypatch):
    """A step of all in a second, whoever makes it; so of a copy and of a product."""
    monkeypatch.setattr(pace, "seconds_a_step", lambda side: 1.0)
    assert card.run_step((2, "plain", "sgd"), 3, 2, "cpu", 4) == [1 / 6] * 4
    monkeypatch.setattr(card, "each", lambda action, count, device: 1.0)
    copy, product = card.limits("cpu")
    assert copy == 2 * 4 * 2**20 / 1e9, "4 bytes a number, read and written"
    assert product == 2 * 512**3 / 1e12
    small = Architecture(2, "plain", "relu")
    weights = 784 * 128 + 128 * 10
    descent = [bench.traffic(small, "sgd", on_gpu) for on_gpu in (False, True)]
    assert descent[1] - descent[0] == 4 * 2 * weights, "a gradient written and read"
    assert bench.traffic(small, "adam") == bench.traffic(small, "adam", on_gpu=True)


def test_a_gpu_takes_turns_with_a_core(small_card, dataset):
    """One network eager, one as a graph, and as many as the card takes side by side."""
    asked = []

    class Core(baselines.Engine):
        def step(self):
            asked.append("core")
            super().step()

    small = Core(shape("plain", 2), "sgd", dataset, 2)
    found = pd.DataFrame(bench.gpu_minus_cpu("cpu", small, range(3)))
    differences = found[found["quantity"] == "gpu_minus_cpu"]
    assert list(differences["way"]) == [way for way in ON_GPU for _ in range(3)]
    assert list(differences["fused"].unique()) == [1, 3] and differences["value"].notna().all()
    alone = found[found["quantity"] == "us_per_run_step"]
    assert list(alone["way"].unique()) == ON_GPU[:2] and (alone["value"] > 0).all()
    assert asked, "the core's side is measured in between"


def test_a_network_alone_is_not_captured_and_has_its_copy(small_card, monkeypatch):
    """As training does it, and still one network."""
    made, make = [], pace.cuda.CudaBatch

    def watched(runs, dataset, device, dtype=torch.float32, graphs=True):
        made.append((len(runs), graphs))
        return make(runs, dataset, device, dtype, graphs)

    monkeypatch.setattr(pace.cuda, "CudaBatch", watched)
    for graphs in (False, True):
        noise = pace.Noise(128)
        with pace.side_by_side(2, "plain", "sgd", 1, 1, noise, graphs) as side:
            assert side.runs == 1
    assert made == [(2, False), (2, True)]


LEDGER = yaml.safe_load((Path(__file__).parents[2] / "config/claims.yaml").read_text())
C172 = next(claim for claim in LEDGER["claims"] if claim["id"] == "C172")
C172["parts"][0]["unit"] = bench.QUANTITIES[C172["parts"][0]["quantity"]][0]


def judged(differences):
    """C172's record, from {way: milliseconds}; what ran on no GPU is there in any case."""
    rows = [{"quantity": "ms_per_run_step", "seed": 0, "value": 1.0, "work": bench.SMALL}] + [
        {"quantity": "gpu_minus_cpu", "seed": seed, "value": ms, "work": bench.SMALL, "way": way}
        for way, numbers in differences.items()
        for seed, ms in enumerate(numbers)
    ]
    table = tidy.from_rows(rows, bench.CONDITIONS)
    ((record,), _) = judge({"claims": [C172]}, {"bench": table})
    return record


def test_the_claim_is_judged_way_by_way():
    slower, faster = [0.30 + i / 100 for i in range(9)], [-0.20 - i / 100 for i in range(9)]
    record = judged({ON_GPU[0]: slower, ON_GPU[1]: faster, ON_GPU[2]: [-0.1, *faster[1:]]})
    assert record["verdict"] == "reproduced under conditions"
    verdicts = {one["levels"]["way"]: one["verdict"] for one in record["conditions"]}
    assert verdicts[ON_GPU[0]] == "reproduced" and verdicts[bench.MANY] == "not reproduced"
    assert record["sentence"].startswith("holds running one network, eager; elsewhere behind")


def test_without_a_gpu_the_claim_is_undecided():
    """Whether the benchmark has not run, or had no GPU."""
    (never,), _ = judge({"claims": [C172]}, {})
    for record in (judged({}), never):
        assert record["verdict"] == "undecided" and record["reason"].startswith("no GPU was timed")
        assert record["sentence"].startswith("undecided: no GPU was timed")
        assert "no GPU was timed" in record["headline"] and record["fragility"] is None


# ---- What is shown ------------------------------------------------------------------------------


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
    rows = [row | {"instruction_set": "AVX2"} for row in rows]
    return tidy.from_rows(rows, bench.CONDITIONS)


@pytest.fixture
def with_gpu(table):
    """The same from a machine with a card: 1 TFLOP/s and 2 µs alone, 4 times as fast in 35 × 16."""
    rows = []
    for work in bench.WORKS:
        rows.append({"work": work, "way": bench.MANY, "quantity": "flops_per_byte", "value": 5.0})
        for fused, streams, factor in ((35, 1, 1), (35, 16, 4)):
            where = {"work": work, "way": bench.MANY, "fused": fused, "streams": streams}
            for seed, us in enumerate([2.0, 4.0, 8.0]):
                found = {"us_per_run_step": us / factor, "gflops": 1000 * factor * 4 / us,
                         "ratio_to_core": 2000 * factor / us}  # fmt: skip
                rows += [where | {"quantity": q, "value": v, "seed": seed}
                         for q, v in found.items()]  # fmt: skip
    for way, us in zip(ON_GPU, [3000.0, 100.0, 1.0], strict=True):
        where = {"work": "mlp2", "way": way, "fused": 1, "streams": 1, "seed": 0}
        rows.append(where | {"quantity": "gpu_minus_cpu", "value": us / 1000 - 2})
        if way != bench.MANY:
            rows.append(where | {"quantity": "us_per_run_step", "value": us})
    rows.append({"quantity": "gpu_copy_gb_per_second", "value": 3000.0})
    rows.append({"quantity": "gpu_product_gflops", "value": 50_000.0})
    rows = [{"seed": 0, "card": "A card", "instruction_set": "AVX2"} | row for row in rows]
    return pd.concat([table, tidy.from_rows(rows, bench.CONDITIONS)], ignore_index=True)


def test_the_works_are_those_declared():
    assert list(bench.WORKS) == bench.CONDITIONS["work"]
    assert list(shown.PARTS) == bench.CONDITIONS["part"]
    assert set(shown.COMPARED) | set(shown.DRAWN) <= set(bench.CONDITIONS["way"])
    assert {shown.MANY, *shown.BESIDE} - {"one core"} == set(ON_GPU)
    assert bench.CONDITIONS["way"][-3:] == ON_GPU and bench.MANY == shown.MANY


def test_a_measured_table_is_what_the_module_declares(monkeypatch, small_card, dataset):
    """The smallest benchmark there is: one work, one turn, its times unimportant."""

    def textbook(architecture, optimizer, dataset, folder):
        return baselines.OneByOne(architecture, optimizer, dataset)

    monkeypatch.setattr(runs, "fused_size", lambda parameters, cache: 2)
    monkeypatch.setattr(bench, "copy_rate", lambda: 10.0)
    monkeypatch.setattr(bench, "start_seconds", lambda: 1.0)
    monkeypatch.setattr(baselines, "Textbook", textbook)
    monkeypatch.setattr(training, "prepared", lambda name, settings, images: dataset)
    table = bench.measure({"repetitions": 1, "data": "nowhere", "device": "cpu"}, {})
    assert_whole(table, bench)
    assert set(table["way"].dropna()) == set(bench.CONDITIONS["way"])
    assert table["instruction_set"].notna().all()
    assert shown.bench_table(table, {}).seeds == [1]
    assert shown.summary(table)["gpu"]["card"] == "cpu"
    monkeypatch.setattr(bench, "gpu", lambda: None)
    bare = bench.measure({"repetitions": 1, "data": "nowhere", "device": "cpu"}, {})
    tidy.check(bare, bench)
    assert shown.summary(bare)["gpu"] == shown.NO_GPU


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
    assert found["gpu"] == "no GPU on this machine"


def test_the_figure_says_its_numbers(table):
    with style.context():
        figure, behind = shown.bench(table)
    assert "runs at 50 GFLOP/s" in finding(figure)
    assert set(behind["way"]) == {"engine", "one by one", "textbook"}
    said = "median of 3 interleaved turns on one core; no GPU on this machine"
    assert said in {text.get_text() for text in figure.texts}
    assert len(figure.axes) == 2


def test_the_table_has_a_row_for_each_work(table):
    made = shown.bench_table(table, {})
    assert "times as fast as networks one by one" in finding(made)
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
    assert made.shows.endswith("There is no GPU on this machine.")
    assert tables.as_json(made)["bodies"][0]["rows"][0]["heads"] == ["mlp2", "3"]


# ---- What is shown of a GPU ---------------------------------------------------------------------


def test_the_figure_has_panels_of_the_gpu(with_gpu):
    with style.context():
        figure, behind = shown.bench(with_gpu)
    assert len(figure.axes) == 4
    assert "of the 50 that a large product reaches" in finding(figure)
    on_card = behind[behind["way"] == bench.MANY]
    assert list(on_card["streams"].unique()) == [1, 16] and set(on_card["flops_per_byte"]) == {5.0}
    roof, times = figure.axes[2:]
    words = {text.get_text() for ax in (roof, times) for text in ax.findobj(Text)}
    assert {"a large matrix product: 50", "rising: 3 TB/s from memory", "one core"} <= words
    assert [text.get_text() for text in roof.get_legend().get_texts()] == ["35 × 1", "35 × 16"]
    limits = roof.lines[0]
    assert list(limits.get_ydata()) == [3.0, 50.0, 50.0], "TFLOP/s"
    drawn = {tuple(line.get_xdata()) for line in times.lines}
    assert (2000.0,) * 5 in drawn and (4.0,) * 5 in drawn and (1.0,) * 5 in drawn, "µs"
    assert (3000.0,) in drawn and (100.0,) in drawn, "one network, of one work"
    (turns,) = figure.texts
    assert turns.get_text().endswith("; A card")


def test_the_table_lists_the_gpu(with_gpu):
    made = shown.bench_table(with_gpu, {})
    assert made.groups[-2:] == [("GPU, µs", 2), ("GPU, one core = 1", 1)]
    assert [column.label for column in made.columns[-3:]] == ["35 × 1", "35 × 16", "fastest"]
    for row in made.bodies[0].rows:
        assert [cell.value for cell in row.cells[-3:]] == [4.0, 1.0, 2000.0]
    assert "The GPU is one A card," in made.shows and "50.0 TFLOP/s." in made.shows


def test_the_summary_has_the_gpu(with_gpu):
    gpu = shown.summary(with_gpu)["gpu"]
    assert gpu["card"] == "A card" and gpu["gpu_product_gflops"]["median"] == 50_000.0
    assert gpu["gpu_minus_cpu"]["one network, eager"]["median"] == 1.0
    sizes = {(row["work"], row["way"], row["R"], row["streams"]): row for row in gpu["steps"]}
    assert len(sizes) == 2 * len(bench.WORKS) + 2
    assert sizes["mlp56", bench.MANY, 35, 16]["us_per_run_step"]["median"] == 1.0
    assert "us_per_run_step" not in shown.summary(with_gpu)["works"]["mlp2"]
