"""Paths: their number and sum by hand, blocks taken out by other means, weights with known laws."""

from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from finicky.engine import train
from finicky.exhibits import paths as exhibit
from finicky.experiments import chains
from finicky.experiments import paths as experiment

from .engine_fixtures import TinyDataset
from .measurements import assert_whole
from .sentences import finding

SETTINGS = {
    "datasets": ["mnist"], "trials": 3, "width": 8, "depths": [8], "length_depths": [18, 20],
    "start_depths": [18, 22], "images": 150, "epochs": 1, "rates": [0.001, 0.01], "test_images": 60,
    "draws": 2, "probe_images": 3, "samples": 2, "seeds": [0, 1], "data": "nowhere",
    "device": "cpu",
}  # fmt: skip


pytestmark = pytest.mark.usefixtures("process")


@pytest.fixture
def dataset():
    return TinyDataset()


# ---- All paths ----------------------------------------------------------------------------------


def test_paths_are_the_subsets_of_the_blocks():
    found = list(experiment.paths(4))
    subsets = [subset for size in range(5) for subset in combinations(range(4), size)]
    assert sorted(found) == sorted(subsets)


def errors():
    found = experiment.listed(np.random.default_rng(0), 5)
    return {(quantity, *where.values()): value for quantity, value, where in found}


def test_outputs_add_up_if_blocks_are_linear_and_gradients_always():
    found = errors()
    assert found["count_error",] == 0
    assert found["sum_error", "linear blocks"] < 1e-12
    assert found["sum_error", "ReLU blocks"] > 0.05
    assert 1e-6 < found["sum_error", "small ReLU blocks"] < 0.01
    for blocks in ("linear blocks", "ReLU blocks", "small ReLU blocks"):
        assert found["gradient_sum_error", blocks] < 1e-12


def test_a_missing_path_is_seen(monkeypatch):
    without_one = {blocks: list(experiment.paths(blocks))[1:] for blocks in range(1, 11)}
    monkeypatch.setattr(experiment, "paths", without_one.__getitem__)
    found = errors()
    assert found["count_error",] > 0
    assert found["sum_error", "linear blocks"] > 0.01
    assert found["gradient_sum_error", "ReLU blocks"] > 0.01


def test_a_wrong_derivative_is_seen(monkeypatch):
    right = experiment.Blocks.derivative
    monkeypatch.setattr(experiment.Blocks, "derivative", lambda *args: -right(*args))
    assert errors()["gradient_sum_error", "ReLU blocks"] > 0.01


# ---- Blocks taken out ---------------------------------------------------------------------------


def lesion(dataset, block="residual", clean=False, depth=8):
    kind = chains.Kind(depth, block, 16, clean)
    flat = chains.starts(kind, [0, 1])
    chain = chains.folded(kind, flat, chains.inputs(dataset, "train")[0], torch.float32)
    return experiment.Lesion(chain, *chains.inputs(dataset, "test", 60, torch.float32))


@pytest.mark.parametrize("clean", [False, True])
def test_a_deleted_block_is_one_without_weights(dataset, clean):
    one = lesion(dataset, clean=clean)
    left = one.without(one.blocks)
    assert left.shape == (3, 2) and not np.array_equal(left[0], one.whole)
    for number in range(3):
        chain = one.chain
        weights, biases = ([part.clone() for part in of] for of in (chain.weights, chain.biases))
        weights[2 * number + 2].zero_(), biases[2 * number + 2].zero_()
        silent = chains.Chain(chain.kind, weights, biases)
        assert left[number] == pytest.approx(
            experiment.Lesion(silent, one.images, one.labels).whole
        )


def test_a_deleted_plain_layer_is_the_identity(dataset):
    one = lesion(dataset, "plain")
    left = one.without(one.layers)
    assert left.shape == (6, 2)
    chain = one.chain
    weights, biases = ([part.clone() for part in of] for of in (chain.weights, chain.biases))
    weights[4].copy_(torch.eye(16)), biases[4].zero_()
    known = experiment.Lesion(chains.Chain(chain.kind, weights, biases), one.images, one.labels)
    assert left[3] == pytest.approx(known.whole)


def test_networks_lose_their_own_blocks(dataset):
    one = lesion(dataset)
    kept = np.array([[1, 0, 1], [1, 1, 0]])
    found = one.scored(one.blocks, kept)
    left = one.without(one.blocks)
    assert found.tolist() == [left[1, 0], left[2, 1]]


@pytest.mark.parametrize("block", ["plain", "batch_norm_residual"])
def test_exchanged_blocks(dataset, block):
    one = lesion(dataset, block)
    assert np.array_equal(one.exchanged(np.array([[0, 1, 2]] * 2)), one.whole)
    h = one.first
    for number in (2, 0, 1):
        h = one.chain.block(number, h)
    by_hand = one.chain.accuracy(h, one.labels)
    assert one.exchanged(np.array([[2, 0, 1]] * 2)).tolist() == by_hand


def test_the_largest_step_of_a_fall():
    curve = np.array([[90, 90, 50], [70, 20, 50], [50, 15, 50], [30, 10, 50]])
    assert experiment.largest_step(curve).tolist() == pytest.approx([100 / 3, 87.5, 100])


def made_up(residual, blocks=4):
    """A lesion of two networks that lose 10 and 20 points with each block."""
    whole = np.array([90.0, 95.0])

    def scored(units, kept):
        return whole - np.array([10, 20]) * (1 - kept).sum(1)

    return SimpleNamespace(
        chain=SimpleNamespace(residual=residual), whole=whole, blocks=[None] * blocks,
        layers="layers", scored=scored, exchanged=lambda orders: whole - [1, 2],
        without=lambda units: np.array([[12.0, 30], [8, 10]]),
    )  # fmt: skip


def numbers(found):
    return {(q, *where.values()): values["value"].tolist() for q, values, where in found}


def test_what_one_missing_unit_costs():
    left = np.array([[80.0, 95], [85, 35], [90, 65]])
    found = numbers(experiment.one_missing(made_up(True), left))
    assert found["drop",] == [5, 30] and found["median_drop",] == [5, 30]
    assert found["largest_drop",] == [10, 60] and found["drop_at", 1] == [10, 0]
    found = numbers(experiment.one_missing(made_up(False), left))
    assert found["below_twice_chance", "one layer"] == [10, 0]
    assert found["below_twice_chance", "two layers"] == [-65, -45]
    assert found["drop_at", "one layer", 2] == [82, 85] and found["drop_at", "two layers", 2] == [
        5,
        60,
    ]


def test_what_many_missing_blocks_cost():
    found = numbers(experiment.many_missing(made_up(True), [0, 1], 2))
    curve = [found["accuracy_left", number] for number in range(5)]
    assert curve == [[90, 95], [80, 75], [70, 55], [60, 35], [50, 15]]
    assert found["smoothness",] == [25, 25] and found["exchange_drop",] == [1, 2]


def test_two_blocks_change_places(dataset, monkeypatch):
    orders = []
    one = lesion(dataset)
    monkeypatch.setattr(one, "exchanged", lambda order: orders.append(order.copy()) or one.whole)
    list(experiment.many_missing(one, [0, 1], 4))
    for order in np.concatenate(orders):
        assert sorted(order) == [0, 1, 2] and (order != np.arange(3)).sum() == 2


# ---- Weights of paths ---------------------------------------------------------------------------


@pytest.mark.parametrize("clean", [False, True])
def test_the_gradients_of_a_length_are_those_of_its_paths(dataset, clean):
    kind = chains.Kind(8, "batch_norm_residual", 8, clean)
    chain = chains.folded(kind, chains.starts(kind, [0]), chains.inputs(dataset, "train")[0])
    images, labels = chains.inputs(dataset, "test", 4)
    hidden = chain.hidden(images)
    slopes, last = chains.Slopes.at(chain, hidden), chains.last_gradient(chain, hidden[-1], labels)
    sums = experiment.by_length(slopes, last)
    norms = {}
    for size in range(4):
        total = torch.zeros_like(last)
        for subset in combinations(range(3), size):
            v = last
            for number in (2, 1, 0):
                v = slopes.after(number, v)
                v = slopes.body(number, v) if number in subset else v
            total += v
            norms.setdefault(size, []).append(v.norm(dim=2))
        torch.testing.assert_close(sums[size], total)
    whole = last
    for number in (2, 1, 0):
        whole = slopes.back(number, whole)
    torch.testing.assert_close(sums.sum(0), whole)
    single = experiment.of_single_paths(slopes, last, 40)
    torch.testing.assert_close(single[0], norms[0][0])
    torch.testing.assert_close(single[3], norms[3][0])
    torch.testing.assert_close(single[1], sum(norms[1]), rtol=0.5, atol=0)


class Passing(SimpleNamespace):
    """Slopes of blocks whose F is the input times a gain."""

    def after(self, number, v):
        return v

    def body(self, number, v):
        return self.gains[number] * v


@pytest.mark.parametrize(
    "gains, power",
    [
        (lambda blocks: [0.5] * blocks, "L"),  # binomial: a third of all blocks
        (lambda blocks: [1 / (number + 1) for number in range(blocks)], "log"),  # Σ 1/(l + 1)
    ],
)
def test_laws_of_growth_are_told_apart(gains, power):
    ladder, means = [8, 16, 32, 64], []
    for blocks in ladder:
        slopes = Passing(gains=gains(blocks), inner=[None] * blocks)
        last = torch.ones(1, 1, 1, dtype=torch.float64)
        for weigh in (
            experiment.by_length(slopes, last).norm(dim=3),
            experiment.of_single_paths(Passing(gains=[0.5] * blocks, inner=slopes.inner), last, 2)
            if power == "L"
            else experiment.by_length(slopes, last).norm(dim=3),
        ):
            shares = (weigh / weigh.sum(0))[:, 0, 0].numpy()
            expected = sum(gain / (1 + gain) for gain in gains(blocks))
            assert np.arange(blocks + 1) @ shares == pytest.approx(expected)
        means.append(expected)
    rows = {
        row["quantity"]: row["value"]
        for row in experiment.growth(np.array(ladder), np.array(means), {})
    }
    if power == "L":
        assert rows["power_of_blocks"] == pytest.approx(1)
        assert rows["growth_at_least_log"] > 2
    else:
        assert rows["growth"] == pytest.approx(1, abs=0.15)
        assert rows["power_of_blocks"] < 0.5


def test_slower_growth_than_log_counts_as_log():
    rows = list(experiment.growth(np.array([8, 16]), np.array([3.0, 3.0]), {}))
    assert [row["value"] for row in rows] == pytest.approx([0, 1, 0])


def test_a_small_measurement_is_tidy_and_shown(dataset, monkeypatch):
    monkeypatch.setattr(train, "Dataset", lambda *arguments: dataset)
    table = experiment.measure(SETTINGS, {})
    assert_whole(table, experiment)
    shares = table[table["quantity"] == "share_of_length"]
    keys = ["depth", "block", "after_the_sum", "stage", "paths", "seed"]
    assert shares.groupby(keys)["value"].sum().to_numpy() == pytest.approx(100)
    fig, behind = exhibit.f22(table)
    assert "deleted from networks of 8 layers" in finding(fig) and len(behind)
    fig, behind = exhibit.f23(table)
    assert "of log L" in finding(fig) and len(behind)
