"""Gradients by layer: against the engine's backward pass, Jacobians against autograd's, clipping
against PyTorch's, and a small measurement."""

import numpy as np
import pandas as pd
import pytest
import torch

from finicky.engine import train
from finicky.engine.network import Buffers, cross_entropy
from finicky.engine.optimizers import OPTIMIZERS
from finicky.exhibits import gradient_norms as exhibit
from finicky.experiments import gradient_norms as experiment
from finicky.experiments import tidy

from .engine_fixtures import TinyDataset, small_network, training_process
from .sentences import finding

SETTINGS = {
    "datasets": ["mnist"], "depth": [6], "product_depth": 10, "gains": [0.5, 2],
    "trained_depth": [6], "width": 16, "images": 150, "epochs": 1,
    "rates": {"sgd": [0.1], "adam": [0.001]}, "exploding_depth": [10],
    "exploding_rates": {"sgd": [0.1]}, "exploding_epochs": 2, "thresholds": [1.0],
    "seeds": [0, 1], "data": "nowhere", "device": "cpu",
}  # fmt: skip


pytestmark = pytest.mark.usefixtures("process")


@pytest.fixture
def images():
    random = torch.Generator().manual_seed(2)
    x = torch.randn(20, 12, dtype=torch.float64, generator=random)
    return x, torch.randint(0, 5, (20,), generator=random)


@pytest.mark.parametrize("block", ["plain", "batch_norm", "residual", "batch_norm_residual"])
@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
def test_gradients_by_the_sums_are_those_of_the_engine(block, activation, images):
    """The gradient by a layer's weights is that by its sums times the layer below."""
    network, (x, labels) = small_network(block, activation), images
    sums, gradients = experiment.sums_and_gradients(network, x, labels)
    runs = len(network.parameters.flat)
    buffers = Buffers(network.architecture, [0] * runs, len(x), torch.float64)
    buffers.x[0] = x
    network.forward(buffers)
    cross_entropy(buffers, labels.expand(runs, 1, -1))
    below = [x.expand(runs, -1, -1), *(y.clone() for y in buffers.y)]
    network.backward(buffers)
    for layer, delta in enumerate(gradients):
        theirs = network.gradients.weights[layer]
        torch.testing.assert_close(below[layer].mT @ delta, theirs, rtol=1e-9, atol=1e-14)
    assert len(sums) == network.architecture.hidden
    logits, _ = experiment.forward(network, x)
    torch.testing.assert_close(logits, buffers.logits.mT)


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "identity"])
def test_terms_are_the_singular_values_of_the_jacobian(activation, images, monkeypatch):
    monkeypatch.setattr(experiment, "SINGLE", 3)
    network = small_network(activation=activation, depth=4, runs=1)
    x, function = images[0][:3], network.activation.forward
    sums = [z.detach() for z in experiment.forward(network, x)[1]]
    typical, largest = [], []
    for z, weights in zip(sums[:-1], network.parameters.weights[1:-1], strict=True):
        jacobians = [
            torch.autograd.functional.jacobian(
                lambda at, w=weights: function(at.clone()) @ w[0], of
            )
            for of in z[0]
        ]
        singular = torch.linalg.svdvals(torch.stack(jacobians))
        typical.append(singular.square().mean().sqrt())
        largest.append(singular[:, 0].log().mean().exp())
    for found, expected in zip(experiment.terms(network, sums), (typical, largest), strict=True):
        assert found.item() == pytest.approx(torch.stack(expected).log().mean().exp().item())


def test_the_slope_is_that_of_least_squares():
    heights = torch.randn(7, 3, dtype=torch.float64)
    slopes = [np.polyfit(range(7), heights[:, run], 1)[0] for run in range(3)]
    np.testing.assert_allclose(experiment.slope_over_layers(heights), slopes)


@pytest.mark.parametrize("length", [0.3, 5.0, float("inf")])
def test_clipping_is_pytorchs(length):
    gradient = torch.randn(1, 6)
    gradient *= length / gradient.norm() if length < 10 else torch.inf
    twin = torch.zeros(1, 6, requires_grad=True)
    twin.grad = gradient.clone()
    torch.nn.utils.clip_grad_norm_([twin], 1.0)
    ours = torch.zeros(1, 6)
    experiment.clip(OPTIMIZERS["sgd"].update, 1.0, ours, gradient, {}, 1.0, None)
    torch.testing.assert_close(ours, -twin.grad, equal_nan=True, rtol=1e-4, atol=1e-6)
    if length == 5:
        assert float(ours.norm()) == pytest.approx(1, rel=1e-5)


def test_the_length_of_the_gradient_is_autograds(images):
    network, (x, labels) = small_network(depth=4), images

    class Data:
        @staticmethod
        def first(count, dtype):
            return x, labels

    flat = network.parameters.flat
    lengths = experiment.gradient_length(network, Data)
    parts = [*network.parameters.weights, *network.parameters.biases]
    for part in parts:
        part.requires_grad_()
    logits, _ = experiment.forward(network, x)
    loss = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), labels.repeat(len(flat)), reduction="sum"
    )
    squares = [g.square().sum((1, 2)) for g in torch.autograd.grad(loss / len(x), parts)]
    torch.testing.assert_close(lengths, torch.stack(squares).sum(0).sqrt().detach())


def test_what_clipping_prevents_and_what_it_does_not():
    outcomes = [("nan", "finite"), ("nan", "nan"), ("finite", "inf"), ("large", "large")]
    free, clipped = (
        pd.DataFrame(
            {"seed": range(4), "test_accuracy": accuracies, "outcome": [o[side] for o in outcomes]}
        )
        for side, accuracies in enumerate(([10.0] * 4, [50.0, 10.0, 10.0, 30.0]))
    )
    rows = pd.DataFrame(experiment.of_clipping(free, clipped, {"depth": 10}))
    by = {quantity: of["value"].tolist() for quantity, of in rows.groupby("quantity")}
    assert by == {"explosion_prevented": [1, 0, -1, 0], "clipping_gain": [40, 0, 0, 20]}


@pytest.fixture(scope="module")
def table():
    with training_process(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "Dataset", lambda *arguments: TinyDataset())
        return experiment.measure(SETTINGS, {})


def of(table, quantity, **levels):
    for axis, level in levels.items():
        table = table[table[axis] == level]
    return table[table["quantity"] == quantity]["value"]


def test_a_small_measurement_is_tidy_and_finds_what_is_known(table):
    tidy.check(table, experiment)
    assert set(table["quantity"]) == set(experiment.QUANTITIES)
    # a quarter at most of each factor of four layers is lost, and half of ReLU's with He is not
    assert (of(table, "decades_lost", activation="sigmoid", init="xavier") > 1.5).all()
    assert (of(table, "decades_to_spare", activation="relu", init="he") > 0).all()
    lost = table[table["quantity"] == "decades_lost"]["value"].to_numpy()
    spare = table[table["quantity"] == "decades_to_spare"]["value"].to_numpy()
    np.testing.assert_allclose(lost + spare, 1)
    # one factor a layer: the gain
    falls = of(table, "fall_per_layer", activation="identity", gain=0.5)
    assert falls.median() == pytest.approx(np.log10(2), abs=0.1)
    rises = of(table, "rise_per_layer", activation="identity", gain=2)
    assert rises.median() == pytest.approx(np.log10(2), abs=0.1)
    assert of(table, "term", activation="identity", gain=2).median() == pytest.approx(2, rel=0.1)
    assert (of(table, "explosion_prevented", init="normal_std_1") == 1).all()


def test_one_network_is_measured_once(table):
    columns = [column for column in table if column not in ("value", "a", "b", "outcome")]
    assert not table.duplicated(columns).any()


def test_clipping_moves_every_layer_alike(table):
    rows = table[(table["quantity"] == "gradient") & (table["init"] == "normal_std_1")]
    wide = rows.pivot(index=["seed", "layer"], columns="remedy", values="value")
    ratio = (wide["clipping"] / wide["none"]).groupby("seed")
    np.testing.assert_allclose(ratio.min(), ratio.max())
    assert (ratio.max() < 1).all()


def test_a_short_gradient_is_not_clipped():
    settings = SETTINGS | {"thresholds": [1e30]}
    rows = pd.DataFrame(experiment.clipped_profile(TinyDataset(), settings))
    wide = rows.pivot(index=["seed", "layer"], columns="remedy", values="value")
    np.testing.assert_array_equal(wide["clipping"], wide["none"])


def test_the_figure_shows_every_remedy(table):
    figure, behind = exhibit.f30(table)
    assert {"none", "ReLU", "batch norm", "residual"} <= set(behind["remedy"].dropna())
    assert "arrives at the first before training" in finding(figure)
    assert set(exhibit.FIGURES) == {"F30"}
