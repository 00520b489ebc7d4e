"""Gradient flow: formulas and what breaks them, blocks against the bounds, ratios by autograd."""

import re

import numpy as np
import pytest
import torch
from torch.nn import functional

from finicky.engine import train
from finicky.exhibits import gradient_highway as exhibit
from finicky.experiments import chains
from finicky.experiments import gradient_highway as experiment
from finicky.experiments.chains import NOTHING, RELU

from .engine_fixtures import TinyDataset
from .measurements import assert_whole
from .sentences import finding

SETTINGS = {
    "datasets": ["mnist"], "trials": 3, "width": 8, "depths": [6, 8], "trained_depths": [8],
    "images": 150, "epochs": 1, "rates": [0.001, 0.01], "probe_images": 20, "jacobian_images": 2,
    "layers": [2, 4, 8], "layers_width": 12, "draws": 2, "seeds": [0, 1], "data": "nowhere",
    "device": "cpu",
}  # fmt: skip


pytestmark = pytest.mark.usefixtures("process")


@pytest.fixture
def dataset():
    return TinyDataset()


def random():
    return torch.Generator().manual_seed(1)


# ---- Formulas -----------------------------------------------------------------------------------


def errors():
    return {(q, *where.values()): value for q, value, where in experiment.formulas(random(), 6)}


def test_formulas_hold_without_a_relu_after_the_sum_and_only_then():
    found = errors()
    for quantity in ("block_error", "expansion_error", "identity_error"):
        assert found[quantity, NOTHING] < 1e-12
        assert found[quantity, RELU] > 0.1
    assert found["flow_error", "transposed"] < 1e-12
    assert found["flow_error", "as printed"] > 0.1


@pytest.mark.parametrize(
    "wrong",
    [
        lambda self, x: (
            -self.outer @ (((self.inner @ x + self.biases[0]) > 0)[:, None] * self.inner)
        ),
        lambda self, x: self.outer @ self.inner,
        lambda self, x: self.outer @ (((self.inner @ x) > 0)[:, None] * self.inner),
    ],
)
def test_a_wrong_derivative_is_seen(wrong, monkeypatch):
    monkeypatch.setattr(experiment.Block, "derivative", wrong)
    found = errors()
    assert found["block_error", NOTHING] > 0.01
    assert found["expansion_error", NOTHING] > 0.01
    assert found["flow_error", "transposed"] > 0.01


def test_products_in_the_wrong_order_are_seen(monkeypatch):
    backwards = experiment.itertools.combinations
    monkeypatch.setattr(
        experiment.itertools, "combinations", lambda of, size: backwards(of[::-1], size)
    )
    assert errors()["expansion_error", NOTHING] > 0.01


# ---- Blocks against the bounds ------------------------------------------------------------------


@pytest.mark.parametrize("norm", [1.0, 0.5])
def test_a_block_against_the_bound_shrinks_its_input(norm):
    block = experiment.against(random(), 5, norm)
    x = torch.randn(5, generator=random(), dtype=torch.float64)
    assert torch.equal(block.body(x), -norm * x)
    left = experiment.gradients_left(block, random(), 5, 3)
    assert left == pytest.approx([(1 - norm) ** blocks for blocks in (1, 2, 3)])


def test_what_is_left_of_the_lower_bound():
    found = {(q, w["derivative"]): v for q, v, w in experiment.constructions(random(), 5)}
    assert found == {
        ("at_least_identity", "any derivative"): 0,
        ("never_zero", "any derivative"): 0,
        ("holds_with_depth", "any derivative"): 0,
        ("at_least_identity", "norm below 1"): 0,
        ("never_zero", "norm below 1"): 1,
        ("holds_with_depth", "norm below 1"): 0,
    }


def test_the_lower_bound_by_the_norm_can_fail(monkeypatch):
    assert experiment.bound_by_weyl(random(), 10)
    monkeypatch.setattr(experiment.torch.linalg, "matrix_norm", lambda *arguments: 1e-3)
    assert not experiment.bound_by_weyl(random(), 10)  # with norms far above those it is told


# ---- Networks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("block, clean", [("plain", False), ("batch_norm_residual", True)])
def test_ratios_and_norms_are_those_of_autograd(dataset, block, clean):
    kind = chains.Kind(8, block, 8, clean)
    flat = chains.starts(kind, [3])
    found = experiment.flow(kind, flat, dataset, SETTINGS)
    chain = chains.folded(kind, flat, chains.inputs(dataset, "train")[0])
    x, labels = chains.inputs(dataset, "test", 20)
    hidden = [chain.first(x).requires_grad_()]
    for number in range(kind.blocks):
        hidden.append(chain.block(number, hidden[-1]))
    loss = functional.cross_entropy(chain.last(hidden[-1])[0], labels, reduction="sum")
    first, last = torch.autograd.grad(loss, [hidden[0], hidden[-1]])
    ratio = (first.norm(dim=2) / last.norm(dim=2)).log2()
    assert float(found["gradient_ratio"]) == pytest.approx(float(ratio.median()))
    assert float(found["share_at_least"]) == pytest.approx(
        100 * float((ratio >= 0).double().mean())
    )
    norms, least = [], []
    for number, image in np.ndindex(kind.blocks, 2):
        h = hidden[number][:, image : image + 1].detach()
        whole = experiment.jacobian(lambda h, n=number: chain.block(n, h)[0, 0], h)[:, 0, 0]
        least.append(float(torch.linalg.svdvals(whole)[-1]))
        own = whole - torch.eye(8) if clean else whole
        norms.append(float(torch.linalg.svdvals(own)[0]))
    assert float(found["largest_norm"]) == pytest.approx(max(norms))
    if clean:
        assert float(found["smallest_of_all"]) == pytest.approx(min(least))
        assert float(found["share_below_identity"]) == pytest.approx(
            100 * np.mean(np.array(least) < 1)
        )
        assert float(found["bound_log2"]) == 0
        assert float(found["bound_holds"]) == float(found["share_at_least"])
    else:
        assert float(found["bound_log2"]) == pytest.approx(3 * np.log2(max(norms)))
        assert float(found["bound_holds"]) == 100


def test_a_network_that_became_nan_has_no_gradient(dataset):
    kind = chains.Kind(6, "residual", 8)
    flat = chains.starts(kind, [0, 1])
    flat[1] = float("nan")
    arms = [({"stage": "trained"}, seed, seed) for seed in (0, 1)]
    rows = list(experiment.of_kind(kind, flat, arms, dataset, SETTINGS))
    outcomes = {row["seed"]: row["outcome"] for row in rows}
    assert outcomes == {0: "finite", 1: "nan"}
    assert all(np.isnan(row["value"]) == (row["seed"] == 1) for row in rows)


@pytest.mark.parametrize("power", [0.5, 1.0, 1.5])
def test_the_power_of_the_fall_is_found(power):
    layers = np.array([4, 8, 16, 32])
    ratios = -0.3 * layers.astype(float) ** power
    assert experiment.fall_power(layers, ratios) == pytest.approx(power)
    ratios[0] = 0.1  # a gradient that grows at first
    assert experiment.fall_power(layers, ratios) == pytest.approx(power)


def test_xavier_takes_a_half_of_the_squared_gradient_in_each_relu_layer(dataset):
    settings = SETTINGS | {"layers_width": 128, "draws": 8, "layers": [2, 6]}
    weights = experiment.plain_weights("xavier", 0, settings)
    short, long = experiment.plain_ratios(weights, "relu", dataset, settings)
    assert (long - short) / 4 == pytest.approx(-np.log(2) / 2, abs=0.05)


def test_a_small_measurement_is_tidy_and_shown(dataset, monkeypatch):
    monkeypatch.setattr(train, "Dataset", lambda *arguments: dataset)
    table = experiment.measure(SETTINGS, {})
    assert_whole(table, experiment)
    fig, behind = exhibit.f21(table)
    assert "back through 8 layers" in finding(fig) and len(behind)
    assert "kinds of networks at the start" in finding(exhibit.t08(table, {}))
    assert "on the median seed" in exhibit.t08(table, {}).finding
    assert all(row.chapter for row in exhibit.t08(table, {}).bodies[0].rows)
    flow = table[(table["quantity"] == "flow_error") & (table["form"] == "as printed")]
    said = finding(exhibit.t09(table, {}))
    printed = re.search(r"flow.s is (\S+) as printed", said)[1]
    assert float(printed) == pytest.approx(flow["value"].max(), abs=0.005)
    bodies = exhibit.t08(table, {}).bodies
    assert [body.label for body in bodies] == ["The chapter", "Standard", "Residual"]
    assert len(bodies[1].rows) == 4 and len(bodies[2].rows) == 8
    (body,) = exhibit.t09(table, {}).bodies
    claims = [claim for row in body.rows for claim in row.cells[-1].claims]
    assert {"C100", "C103", "C104", "C106", "C107", "C110"} <= set(claims)
