"""Four normalisations side by side: each replica's is that of the stacked layers, one value minus
its mean is nothing, comparisons by hand."""

import pandas as pd
import pytest
import torch

from finicky.engine import train as engine
from finicky.exhibits import norm_variants as exhibit
from finicky.experiments import norm_variants, normalised, stacked, tidy
from finicky.experiments.norm_variants import KINDS, EachItsOwn

from .engine_fixtures import TinyDataset
from .sentences import finding

SETTINGS = {
    "datasets": ["mnist"], "networks": ["fully connected", "convolutional"], "images": 128,
    "epochs": 2, "batch_sizes": [1, 4, 64], "width": 16, "rates": {"momentum": [0.1, 0.02]},
    "held_out": 40, "test_images": 60, "seeds": [0, 1], "data": "nowhere", "device": "cpu",
}  # fmt: skip


pytestmark = pytest.mark.usefixtures("process")


@pytest.fixture
def dataset(monkeypatch):
    tiny = TinyDataset(images=128)
    monkeypatch.setattr(engine, "Dataset", lambda *_: tiny)
    return normalised.prepared("mnist", SETTINGS, 128)


@pytest.mark.parametrize("kind", KINDS)
def test_each_replica_has_its_own_normalisation(kind):
    torch.manual_seed(0)
    kinds, shape = KINDS[kind], (2, len(KINDS[kind]), 3)
    places = (5, 5) if kind == normalised.CONVOLUTIONAL else ()
    layer = EachItsOwn(shape, kinds, 16)
    x = torch.randn(9, 6 * len(kinds), 16, *places, requires_grad=True)
    with torch.no_grad():
        layer.gain.uniform_(0.5, 2), layer.offset.normal_()
    weight = torch.randn(x.shape)
    (layer(x) * weight).sum().backward()
    for number, name in enumerate(kinds):
        mine = [rate * len(kinds) * 3 + number * 3 + seed for rate in (0, 1) for seed in (0, 1, 2)]
        own = x.detach()[:, mine].requires_grad_()
        if name == "none":
            y = own + layer.offset.detach()[mine].view(6, 16, *[1] * len(places))
            assert not layer.gain.grad[mine].any()
        else:
            theirs = stacked.Normalisation(name.removesuffix(" norm"), 6, 16)
            theirs.gain.data, theirs.offset.data = layer.gain[mine], layer.offset[mine]
            y = theirs(own)
        (y * weight[:, mine]).sum().backward()
        torch.testing.assert_close(layer(x)[:, mine], y, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(x.grad[:, mine], own.grad, rtol=1e-3, atol=1e-4)
        if name == "batch norm":  # which has had its batch twice
            theirs(own)
            torch.testing.assert_close(layer.running_mean, theirs.running_mean)
            torch.testing.assert_close(layer.running_var, theirs.running_var)


def test_of_a_single_value_nothing_passes():
    layer = EachItsOwn((1, 1, 2), ["batch norm"], 4)
    x = torch.randn(1, 2, 4, requires_grad=True)
    y = layer(x)
    assert (y == 0).all() and torch.autograd.grad(y.sum(), x, allow_unused=True) == (None,)
    torch.testing.assert_close(layer.running_mean, 0.1 * x.detach().flatten())
    assert layer.running_var == pytest.approx(0.9)
    with pytest.raises(ValueError, match="more than 1 value"):
        stacked.Normalisation("batch", 2, 4)(x)


@pytest.mark.parametrize("kind", KINDS)
def test_some_networks_alone_say_what_they_said_among_all(kind, dataset):
    network, runs = norm_variants.trained(kind, "momentum", 4, [0, 1], dataset, SETTINGS)
    x = dataset.normalise(dataset.test.images)
    everything = stacked.predict(network.eval(), x)
    for name in KINDS[kind]:
        rows = [0, 3]  # rate 0.1 of seed 0, rate 0.02 of seed 1
        alone = norm_variants.alone(network, kind, name, rows, SETTINGS["width"]).eval()
        mine = runs.index[runs["normalisation"] == name][rows]
        assert runs.loc[mine, ["learning_rate", "seed"]].values.tolist() == [[0.1, 0], [0.02, 1]]
        torch.testing.assert_close(stacked.predict(alone, x), everything[:, mine])


def test_trained_together_as_trained_alone(dataset):
    """Each replica at its own rate, by the network of torch layers that it is. Of a few steps: at
    such a rate a hundred of them make much of the last bit, which processors round otherwise."""
    few = SETTINGS | {"images": 16}
    network, runs = norm_variants.trained("convolutional", "momentum", 4, [0, 1], dataset, few)

    def before(channels, _):
        return [stacked.Normalisation("group", 4, channels)]

    rates = [0.1, 0.1, 0.02, 0.02]
    alone = normalised.network("convolutional", [0, 1, 0, 1], before, bias=False)
    recipe = stacked.Recipe([0, 1, 0, 1], rates, 16, 2, "momentum", 4)
    stacked.train(alone, dataset, recipe)
    x = dataset.normalise(dataset.test.images)
    mine = runs.index[runs["normalisation"] == "group norm"]
    assert runs.loc[mine, "learning_rate"].tolist() == rates
    torch.testing.assert_close(
        stacked.predict(network.eval(), x)[:, mine], stacked.predict(alone.eval(), x),
        rtol=1e-3, atol=1e-3,
    )  # fmt: skip


def test_the_lead_lost_counts_from_the_smallest_large_batch():
    leads = pd.DataFrame(
        [
            {"dataset": "mnist", "network": "convolutional", "optimizer": "adam", "rate": "chapter",
             "batch_size": size, "seed": 0, "value": lead, "a": 0, "b": 0, "outcome": "finite"}
            for size, lead in ((2, -1.0), (32, 4.0), (64, 5.0), (256, 9.0))
        ]
    )  # fmt: skip
    lost = norm_variants.lead_lost(leads).set_index("batch_size")["value"]
    assert lost.to_dict() == {2: 6.0, 32: 1.0}
    assert norm_variants.lead_lost(leads[leads["batch_size"] < 64]).empty


def test_a_small_measurement_is_tidy_drawn_and_knows_what_is_arithmetic(dataset):
    table = norm_variants.measure(SETTINGS | {"rates": {"adam": [0.001, 0.01]}}, {})
    tidy.check(table, norm_variants)
    assert set(table["quantity"]) == set(norm_variants.QUANTITIES)
    one = table.query("batch_size == 1 and normalisation == 'batch norm' and rate == 'own best'")
    one = one[one["quantity"] == "test_accuracy"].groupby("network")["value"]
    assert one.max()["fully connected"] < 40 and one.min()["convolutional"] > 60
    retaken = table[table["quantity"] == "recomputed_minus_running"]
    assert (retaken["value"] != 0).any() and (retaken["value"] == retaken["a"] - retaken["b"]).all()
    fig, behind = exhibit.f19(table)
    assert "of convolutional networks" in finding(fig) and len(behind) == 2 * 9 * 3
    refilled = exhibit.t05(table, {})
    assert "pairs of network and batch size" in finding(refilled)
    assert [body.label for body in refilled.bodies] == ["fully connected", "convolutional"]
    assert [len(body.rows) for body in refilled.bodies] == [4, 5]
    assert "128 images of MNIST for 2 epochs" in refilled.notes[0]
    best = [row.cells[-1].text for row in refilled.bodies[0].rows]
    assert sorted(", ".join(best).split(", "), key=str) == ["1", "4", "64"] + ["nowhere"] * (
        best.count("nowhere")
    )
    assert set(exhibit.FIGURES) == {"F19"} and set(exhibit.TABLES) == {"T05"}
