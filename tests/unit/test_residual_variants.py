"""Residual blocks and their variants: identities, costs against counts by hand, weight decay
against autograd, and forms of blocks against torch.nn."""

from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from torch import nn
from torch.nn import functional

from finicky.engine import train
from finicky.exhibits import residual_variants as exhibit
from finicky.experiments import (
    residual_blocks,
    residual_costs,
    residual_identity,
    residual_training,
    stacked,
)
from finicky.experiments import residual_variants as experiment
from finicky.experiments.residual_blocks import POST, PRE, RESIDUAL

from .engine_fixtures import TinyDataset, training_process
from .measurements import assert_whole
from .sentences import finding

CONFIG = Path(__file__).parents[2] / "config"
SETTINGS = {
    "datasets": ["mnist"], "test_images": 60, "decays": [0, 0.01], "trials": 4,
    "identity_width": 4, "identity_steps": 100, "identity_rates": {"sgd": [0.1], "adam": [0.001]},
    "images": 150, "width": 8, "depth": [6], "epochs": 1, "rates": {"adam": [0.001]},
    "idle_depth": [6], "idle_epochs": 1, "channels": [4], "convolution_images": 64,
    "convolution_epochs": 1, "convolution_rates": [0.01], "seeds": [0, 1], "data": "nowhere",
    "device": "cpu",
}  # fmt: skip


pytestmark = pytest.mark.usefixtures("process")


# ---- The identity -------------------------------------------------------------------------------


def test_what_zero_weights_give():
    table = pd.DataFrame(residual_identity.zero_weights([0, 1], 5))
    plain = table[table["quantity"] == "plain_output"].groupby("activation")["value"].max()
    assert plain.to_dict() == {
        "relu": 0, "leaky_relu": 0, "tanh": 0, "selu": 0, "sigmoid": 0.5,
    }  # fmt: skip
    blocks = table[table["quantity"] == "block_error"]
    assert (blocks[~blocks["after_addition"].astype(bool)]["value"] == 0).all()
    after = blocks[blocks["after_addition"].astype(bool)]
    exact = after[after["value"] == 0]
    assert set(exact["activation"]) == {"relu"}
    assert set(exact["inputs"]) == {residual_identity.OUTPUTS}
    assert (after.drop(exact.index)["value"] > 1e-3).all()


def test_a_block_whose_shortcut_is_lost_is_seen(monkeypatch):
    monkeypatch.setattr(stacked.Residual, "forward", lambda self, x: self.body(x))
    table = pd.DataFrame(residual_identity.zero_weights([0], 5))
    assert (table[table["quantity"] == "block_error"]["value"] > 0.1).all()


def test_a_rotation_is_orthogonal():
    turned = residual_identity.rotation(6, 3)
    torch.testing.assert_close(turned @ turned.T, torch.eye(6), atol=1e-6, rtol=0)
    assert not torch.equal(turned, residual_identity.rotation(6, 4))


def test_the_identity_is_learned_sooner_with_a_shortcut():
    table = residual_identity.task("relu", "sgd", 0.1, SETTINGS | {"identity_steps": 200})
    decades = table.groupby(["target", "residual"])["decades"].median()
    assert decades["identity", False] > decades["identity", True] + 0.5
    assert (decades < 0.3).all()  # errors of about the targets' own size, or smaller


def test_the_task_is_trained_as_by_pytorch():
    """One replica against torch.nn and torch.optim, with weight decay λΣW² in the loss."""
    settings = SETTINGS | {"seeds": [3], "decays": [0.3], "identity_steps": 20}
    table = residual_identity.task("tanh", "adam", 0.01, settings)
    of = {"seed": 3, "inputs": residual_identity.ANY, "target": "rotation", "residual": True}
    n, many = 4, residual_identity.POINTS
    x = residual_identity.points(of, "tanh", n)
    y = x @ residual_identity.rotation(n, 3)
    layers = nn.Sequential(nn.Linear(n, n), nn.Tanh(), nn.Linear(n, n))
    with torch.no_grad():
        for i, layer in ((1, layers[0]), (2, layers[2])):
            layer.weight.copy_(residual_identity.initial_weights("he", 3, f"task {i}", n, n).T)
            layer.bias.zero_()
    optimizer = torch.optim.Adam(layers.parameters(), lr=0.01)
    for _ in range(20):
        loss = functional.mse_loss(x[:many] + layers(x[:many]), y[:many])
        loss = loss + 0.3 * sum(layers[i].weight.square().sum() for i in (0, 2))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    error = functional.mse_loss(x[2 * many :] + layers(x[2 * many :]), y[2 * many :])
    row = table[(table["inputs"] == of["inputs"]) & (table["target"] == "rotation")]
    assert row[row["residual"]]["decades"].item() == pytest.approx(error.log10().item(), abs=1e-4)


# ---- Forms of blocks ----------------------------------------------------------------------------


@pytest.mark.parametrize("form", [RESIDUAL, POST, PRE])
def test_a_block_is_what_its_form_says(form):
    network = residual_blocks.fully_connected(form, [0], 6, 8)
    x = torch.randn(20, 1, 784)
    network(x)
    first, second = (layer.weight[0] for layer in network.blocks[0].modules()
                     if isinstance(layer, stacked.Dense))  # fmt: skip

    def norm(h):
        return functional.batch_norm(h, None, None, training=True)

    h = network.inputs[0][:, 0]
    if form == RESIDUAL:
        expected = torch.relu(h + torch.relu(h @ first) @ second)
    elif form == POST:
        expected = torch.relu(h + norm(torch.relu(norm(h @ first)) @ second))
    else:
        expected = h + torch.relu(norm(torch.relu(norm(h)) @ first)) @ second
    torch.testing.assert_close(network.inputs[1][:, 0], expected, rtol=1e-4, atol=1e-5)
    assert len(network.inputs) == 2


def test_forms_start_from_the_same_weights():
    made = [residual_blocks.fully_connected(form, [4], 6, 8) for form in (POST, PRE)]
    weights = [[m.weight for m in network.modules() if isinstance(m, stacked.Dense)]
               for network in made]  # fmt: skip
    assert len(weights[0]) == 6
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))


def test_padding_takes_every_second_place_and_adds_zeros():
    x = torch.randn(2, 3, 4, 7, 7)
    padded = residual_blocks.Padding(4)(x)
    assert padded.shape == (2, 3, 8, 4, 4)
    assert torch.equal(padded[:, :, :4], x[..., ::2, ::2]) and not padded[:, :, 4:].any()


def test_shapes_of_the_convolutional_networks():
    x = torch.randn(5, 2, 784)
    for form, build in residual_costs.variants(4).items():
        network = build([0, 1])
        assert network(x).shape == (5, 2, 10), form
        last = network.blocks[-1](network.inputs[-1])
        assert network.inputs[0].shape[-2:] == (7, 7)
        assert last.shape[-2:] == ((3, 3) if form == "dense" else (4, 4))


def test_a_dense_layer_keeps_what_it_reads():
    layer = residual_blocks.Dense2d(nn.Identity())
    x = torch.randn(2, 1, 3, 4, 4)
    assert torch.equal(layer(x), torch.cat([x, x], 2))


def test_a_plain_network_has_the_layers_and_no_shortcut():
    plain = residual_blocks.plain_network([0], 4, (2, 2))
    padded = residual_blocks.residual_network([0], 4, (2, 2), "padding")
    assert residual_costs.parameters(plain) == residual_costs.parameters(padded)
    x = torch.randn(3, 1, 784)
    plain(x), padded(x)
    torch.testing.assert_close(plain.inputs[1], torch.relu(padded.blocks[0].body(padded.inputs[0])))


# ---- Costs --------------------------------------------------------------------------------------


def test_multiplications_of_the_bottleneck_by_hand():
    rows = pd.DataFrame(residual_costs.bottleneck(0))
    counts = rows[rows["quantity"] == "multiplications"].set_index("form")["value"]
    each = {
        "bottleneck": 256 * 64 + 9 * 64 * 64 + 64 * 256,
        "one 3×3": 9 * 256 * 256,
        "two 3×3": 18 * 256 * 256,
        "two 3×3 on 64": 18 * 64 * 64,
    }
    assert counts.to_dict() == pytest.approx({k: v * 56**2 / 1e6 for k, v in each.items()})
    less = rows[rows["quantity"] == "computes_less"].set_index("form")["value"]
    assert less.to_dict() == {"one 3×3": 1, "two 3×3": 1, "two 3×3 on 64": 1}


def test_a_count_that_differs_from_the_formula_is_refused(monkeypatch):
    monkeypatch.setattr(residual_costs, "multiplications", lambda network, x: 1)
    with pytest.raises(AssertionError, match="by the formula"):
        residual_costs.counted([(2, 2, 1)])


def test_parameters_and_multiplications_of_a_small_network():
    network = residual_blocks.fully_connected(RESIDUAL, [0, 1, 2], 4, 8)
    assert residual_costs.parameters(network) == 784 * 8 + 8 + 2 * (64 + 8) + 80 + 10
    one = residual_blocks.fully_connected(RESIDUAL, [0], 4, 8)
    count = residual_costs.multiplications(one, torch.zeros(1, 1, 784))
    assert count == 784 * 8 + 2 * 64 + 80


def test_costs_are_in_millions_and_thousands():
    (network,) = [build([0]) for form, build in residual_costs.variants(4).items() if form == POST]
    cost = pd.DataFrame(residual_costs.costs(4, 0)).set_index(["form", "quantity"])["value"]
    count = residual_costs.multiplications(network, torch.zeros(1, 1, 784))
    assert cost[POST, "multiplications"] == pytest.approx(count / 1_000_000)
    assert cost[POST, "parameters"] == pytest.approx(residual_costs.parameters(network) / 1000)


@pytest.mark.parametrize("preset", ["config", "smoke", "full"])
def test_what_is_compared_costs_the_same(preset):
    """Within 5 %: multiplications of wide and deep, parameters of dense and residual."""
    config = yaml.safe_load((CONFIG / f"{preset}.yaml").read_text())
    for channels in config["experiments"]["residual-variants"]["channels"]:
        table = pd.DataFrame(residual_costs.costs(channels, 0))
        cost = table.set_index(["quantity", "form"])["value"]
        for quantity, a, b in (("multiplications", "wide", "deep"), ("parameters", "dense", POST)):
            assert cost[quantity, a] == pytest.approx(cost[quantity, b], rel=0.05)


# ---- Training and measuring ---------------------------------------------------------------------


def test_weight_decay_adds_the_gradient_of_the_squares():
    network = residual_blocks.fully_connected(POST, [0, 1], 4, 8)
    parameters = list(network.parameters())
    for p in parameters:
        p.grad = torch.zeros_like(p)
    residual_training.decay(network, [0.0, 0.3], parameters)
    weights = [m.weight for m in network.modules() if isinstance(m, stacked.Dense)]
    penalty = 0.3 * sum(w[1].square().sum() for w in weights)
    expected = torch.autograd.grad(penalty, parameters, allow_unused=True)
    for p, gradient in zip(parameters, expected, strict=True):
        torch.testing.assert_close(p.grad, torch.zeros_like(p) if gradient is None else gradient)


def test_replicas_are_trained_as_they_are_listed():
    dataset = TinyDataset()
    build = partial(residual_blocks.fully_connected, RESIDUAL, depth=4, width=8)
    _, rows = residual_training.at_ladder(build, dataset, "adam", [0.001, 0.01], [0, 1], 150, 1)
    found = [(row["learning_rate"], row["seed"]) for row in rows]
    assert found == [(0.001, 0), (0.001, 1), (0.01, 0), (0.01, 1)]
    _, alone = residual_training.trained(build, dataset, [1], [0.01], "adam", 150, 1)
    assert alone[0]["test_accuracy"] == pytest.approx(rows[3]["test_accuracy"], abs=2)


def test_gradients_by_the_blocks_inputs():
    """The first block's input against differences."""
    dataset = TinyDataset()
    network = residual_blocks.fully_connected(RESIDUAL, [0, 1], 6, 8).double()
    x, labels = dataset.first(experiment.IMAGES, torch.float64)
    exact = experiment.input_gradients(network, _Doubled(x, labels))
    network(x.unsqueeze(1).expand(-1, 2, -1))
    h = network.inputs[0].detach()

    def loss(h):
        for block in network.blocks:
            h = block(h)
        logits = network.head(h)
        return stacked.cross_entropy(logits, labels[:, None].expand(logits.shape[:2])).sum()

    step = 1e-6 * torch.randn(h.shape, dtype=torch.float64)
    (gradient,) = torch.autograd.grad(loss(h.requires_grad_()), h)
    change = loss(h + step) - loss(h - step)
    assert change.item() == pytest.approx(2 * (gradient * step).sum().item(), rel=1e-3)
    torch.testing.assert_close(exact[0], gradient.square().mean((0, 2)).sqrt())


class _Doubled:
    def __init__(self, x, labels):
        self.x, self.labels = x, labels

    def first(self, count, dtype):
        return self.x, self.labels


def test_growth_and_decay_are_equally_uneven(monkeypatch):
    sizes = torch.tensor([[1.0, 100.0], [5.0, 5.0], [10.0, 10.0]])
    monkeypatch.setattr(experiment, "input_gradients", lambda *arguments: sizes)
    assert experiment.uneven(None, None).tolist() == [1, 1]


def test_lengths_are_those_of_the_branches():
    dataset = TinyDataset()
    network = residual_blocks.fully_connected(POST, [0, 1], 6, 8).eval()
    inputs, outputs = experiment.lengths(network, dataset)
    x = dataset.normalise(dataset.test.images).unsqueeze(1).expand(-1, 2, -1)
    network(x)
    branch = network.blocks[1].body(network.inputs[1]).norm(dim=2)
    torch.testing.assert_close(outputs[1], branch.detach())
    torch.testing.assert_close(inputs[1], network.inputs[1].norm(dim=2).detach())
    rows = pd.DataFrame(experiment.idle([inputs, outputs * 1e-3], [0, 1], {}))
    assert (rows[rows["quantity"] == "idle_blocks"]["value"] == 100).all()


@pytest.fixture(scope="module")
def table():
    with training_process(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "Dataset", lambda *arguments: TinyDataset())
        return experiment.measure(SETTINGS, {})


def test_a_small_measurement_is_tidy(table):
    assert_whole(table, experiment)
    identity = table[(table["quantity"] == "plain_over_residual") & (table["rate"] == "own best")]
    assert (
        identity[identity["target"] == "identity"].groupby("activation")["value"].median() > 0
    ).all()


def test_budgets_are_those_of_each_training(table):
    epochs = table.dropna(subset="epochs").groupby("quantity")["images"].unique()
    assert epochs["wide_minus_deep"].tolist() == [64]
    assert sorted(epochs["idle_blocks"]) == [64, 150]
    assert table[table["when"] == "at the start"]["images"].isna().all()


def test_the_figure_shows_the_block(table):
    figure, behind = exhibit.f02(table)
    assert "a residual block's branch is" in finding(figure)
    assert set(behind["form"]) == {RESIDUAL, POST, PRE}
    assert set(exhibit.FIGURES) == {"F02"}


def test_the_title_compares_like_with_like_and_says_what_intervals_decide(table):
    own = table[(table["quantity"] == "test_accuracy") & (table["rate"] == "own best")]
    first = own["seed"].min()
    own = pd.concat([own[own["seed"] == first].assign(seed=seed) for seed in range(5)])
    own["value"] = own["form"].map(
        {"plain": 70.0, "zero padding": 72.0, "wide": 80.0, "deep": 60.0}
    )
    own["value"] = own["value"].fillna(50.0) + own["seed"]
    rest = table[table["quantity"] != "test_accuracy"]
    said = exhibit.residual_costs(pd.concat([rest, own]), {}).finding
    assert "reaches 74.0 %, the same without shortcuts 72.0 % (clearly less at none of 1" in said
    assert "one 82.0 %, narrow and deep 62.0 % (at 1 of 1 widths)" in said


def test_the_table_has_costs_and_accuracies(table):
    made = exhibit.residual_costs(table, {})
    assert "the same without shortcuts" in finding(made)
    (body,) = made.bodies
    assert [row.heads[0] for row in body.rows] == list(exhibit.NETWORKS.values())
    for row in body.rows:
        cost, _, chapter, own = row.cells
        assert cost.value > 0 and cost.n == 0 and 0 <= chapter.value <= 100 and own.n == 2
    assert "64 images" in made.notes[0] and "{" not in made.notes[0]
