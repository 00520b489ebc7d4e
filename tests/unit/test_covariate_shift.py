"""Internal covariate shift: shifts that are put in against torch.nn, both definitions by hand and
by autograd, and the comparisons of planted accuracies."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional

from finicky.exhibits import covariate_shift as exhibit
from finicky.exhibits import style
from finicky.experiments import best_rates, shifted, tidy, training
from finicky.experiments import covariate_shift as experiment

from .engine_fixtures import PlainNetwork, TinyDataset, make_run
from .sentences import finding

SETTINGS = {
    "seeds": [0, 1], "device": "cpu", "data": "", "datasets": ["mnist"], "images": 150,
    "epochs": 2, "width": 16, "depth": 4, "rates": [0.03], "every": 2, "scored": 1,
    "jump": [0.5, 1.25], "drift": [3, 4],
}  # fmt: skip
SHAPE = 3, 1, 16


pytestmark = pytest.mark.usefixtures("process")


def watched(shift=None, block="batch_norm", every=1, rates=(0.1,)):
    runs = [
        make_run(block=block, depth=4, width=16, optimizer="momentum", learning_rate=rate,
                 activation="tanh")
        for rate in rates
    ]  # fmt: skip
    return shifted.Watched(runs, TinyDataset(), shift, every, runs[0].steps)


class Shift(torch.nn.Module):
    """Batch norm with a shift behind it."""

    def __init__(self, norm, scale, offset):
        super().__init__()
        self.norm, self.scale, self.offset = norm, scale, offset

    def forward(self, x):
        return self.scale * self.norm(x) + self.offset


def twin_gradients(batch, scale, offset, index, targets):
    """Gradients of the network of the first run in plain torch.nn, with a shift behind its norms:
    its layers' weights, γ and β."""
    twin = PlainNetwork(batch.network)
    norms = list(twin.norms)
    twin.norms = torch.nn.ModuleList(
        Shift(norm, s, m) for norm, s, m in zip(norms, scale[:, 0], offset[:, 0], strict=True)
    )
    x = batch.dataset.normalise(batch.dataset.train.images[index[0]], dtype=torch.float32)
    functional.cross_entropy(twin(x), targets[0, 0]).backward()
    return (
        [linear.weight.grad.T for linear in twin.linears],
        [norm.weight.grad for norm in norms],
        [norm.bias.grad for norm in norms],
    )


def assert_close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-6)


# ---- Shifts --------------------------------------------------------------------------------------


def test_a_shift_that_is_put_in_is_one_behind_batch_norm():
    batch = watched(shifted.drawn_anew(0, SHAPE, [2, 3]))
    index, targets = batch.batches(1)[0]
    for beta in batch.network.parameters.betas:
        beta.add_(0.3)
    flat = batch.network.parameters.flat.clone()
    kept = batch.put_in(5)
    batch.pass_both_ways(batch.load(index), targets)
    batch.take_out(kept)
    assert torch.equal(batch.network.parameters.flat, flat)
    scale, offset = batch.shift(5, 1)
    found = batch.network.gradients
    weights, gammas, betas = twin_gradients(batch, scale, offset, index, targets)
    for layer, expected in enumerate(weights):
        assert_close(found.weights[layer][0], expected)
    for layer, (gamma, beta) in enumerate(zip(gammas, betas, strict=True)):
        assert_close(found.gammas[layer][0, 0], gamma)
        assert_close(found.betas[layer][0, 0], beta)


def test_without_a_shift_it_trains_as_the_engine_does():
    mine = watched(every=10**6)
    engines = training.Batch([training.Training(run) for run in mine.runs], mine.dataset)
    for batch in mine, engines:
        list(training.each_step(batch, 7))
    assert torch.equal(mine.network.parameters.flat, engines.network.parameters.flat)


def test_looking_changes_nothing():
    often, never = watched(every=1), watched(every=10**6)
    for batch in often, never:
        list(training.each_step(batch, 7))
        batch.moments()
        batch.accuracies(batch.dataset.test, 1)
    assert torch.equal(often.network.parameters.flat, never.network.parameters.flat)
    assert torch.equal(often.network.running_mean, never.network.running_mean)
    assert len(often.changes) == 7 and len(never.changes) == 1


def test_a_shift_drawn_anew_changes_at_every_step_within_its_bounds():
    shift = shifted.drawn_anew(0, (3, 1, 500), [0.5, 1.25])
    scale, offset = shift(4, 10)
    assert -0.5 < offset.min() < -0.48 and 0.48 < offset.max() < 0.5
    assert 1 < scale.min() < 1.01 and 1.24 < scale.max() < 1.25
    assert torch.equal(shift(4, 10)[0], scale) and not torch.equal(shift(5, 10)[0], scale)


def test_a_drifting_shift_grows_evenly():
    shift = shifted.drifting(0, SHAPE, [3, 4])
    at = [shift(step, 10) for step in (0, 5, 10, 15)]
    assert (at[0][0] == 1).all() and (at[0][1] == 0).all()
    for part in 0, 1:
        start, half, end, beyond = (one[part] for one in at)
        torch.testing.assert_close(half - start, end - half)
        assert torch.equal(end, beyond)
    assert at[2][1].abs().max() > 2.5 and at[2][0].max() > 3.5


# ---- Both definitions ----------------------------------------------------------------------------


def test_distance_of_moments_of_the_chapters_example():
    """N(0, 1) becomes N(5, 10), wherever 0 is and whatever the unit; a unit that never varied is
    left out."""
    before = torch.tensor([[[1.0, 2.0, 7.0]]]), torch.tensor([[[2.0, 2.0, 0.0]]])
    after = torch.tensor([[[11.0, 12.0, 9.0]]]), torch.tensor([[[20.0, 20.0, 1.0]]])
    distance = shifted.distance_of_moments(before, after)
    assert distance.tolist() == [[pytest.approx(math.sqrt(25 + 81))]]


def test_comparing_gradients():
    before = torch.tensor([[3.0, 4.0], [1.0, 0.0], [3.0, 4.0], [0.0, 0.0]])
    after = torch.tensor([[3.0, 4.0], [0.0, 2.0], [8.0, 6.0], [0.0, 0.0]])
    change, cosine = shifted.compare(before, after)
    assert change.tolist() == pytest.approx([0, math.sqrt(5), math.sqrt(29) / 5, 0])
    assert cosine.tolist() == pytest.approx([1, 0, 48 / 50, 1])


def test_the_moments_are_those_of_a_plain_network():
    batch = watched()
    twin = PlainNetwork(batch.network)
    twin(batch.dataset.normalise(batch.dataset.train.images))
    means, deviations = batch.moments()
    for layer, output in enumerate(twin.outputs[:-1]):
        assert_close(means[layer, 0], output.mean(0))
        assert_close(deviations[layer, 0], output.std(0, unbiased=False))


@pytest.mark.parametrize("block", ["plain", "batch_norm"])
def test_a_layers_parameters_end_where_the_next_ones_begin(block):
    batch = watched(block=block)
    flat = batch.network.parameters.flat
    flat.copy_(torch.arange(flat.shape[1]).float())
    starts = [int(weights[0, 0, 0]) for weights in batch.network.parameters.weights]
    assert batch._layer_ends()[:-1] == starts[1:]
    assert batch._layer_ends()[-1] == int(batch.network.parameters.biases[-1][0, 0, -1]) + 1


@pytest.mark.parametrize("block", ["plain", "batch_norm"])
def test_the_change_of_gradients_by_autograd(block):
    """Layer by layer: those before with the parameters of after the step, the others of before."""
    batch = watched(block=block, rates=(0.5,))
    index, targets = batch.batches(1)[0]
    x = batch.dataset.normalise(batch.dataset.train.images[index[0]], dtype=torch.float32)

    def gradients():
        twin = PlainNetwork(batch.network)
        functional.cross_entropy(twin(x), targets[0, 0]).backward()
        return [linear.weight.grad for linear in twin.linears]

    flat = batch.network.parameters.flat
    before, first = flat.clone(), gradients()
    batch.step(index, targets)
    after = flat.clone()
    for layer in range(1, 4):
        end = batch._layer_ends()[layer - 1]
        flat.copy_(torch.cat([after[:, :end], before[:, end:]], 1))
        change = (gradients()[layer] - first[layer]).norm() / first[layer].norm()
        assert batch.changes[0][0, layer - 1] == pytest.approx(change.item(), rel=1e-3)
        assert change > 0.01


# ---- Comparing -----------------------------------------------------------------------------------


def end(network, seed, rate, accuracy, moments=1.0):
    return {
        "network": network, "seed": seed, "learning_rate": rate, "outcome": "finite",
        "optimizer": "momentum", "validation_accuracy": accuracy, "accuracy": accuracy,
        "moments": [moments, moments],
        "gradients": [moments / 10, moments / 10], "cosine": 0.5,
    }  # fmt: skip


def planted(drift=60.0):
    """Accuracies by rate: 50 to 90 at the chapter's rate, a little more for all at 0.01."""
    levels = {"plain": 50.0, "batch norm": 90.0, "shift drawn anew": 85.0, "drifting shift": drift}
    return pd.DataFrame(
        end(network, seed, rate, accuracy + seed + 3 * (rate == 0.01),
            moments=4.0 if network == "plain" else 0.5)
        for network, accuracy in levels.items()
        for seed in range(3)
        for rate in (0.01, 0.1)
    )  # fmt: skip


def values(table, **levels):
    for name, level in levels.items():
        table = table[table[name] == level]
    return table["value"].tolist()


def test_what_a_shift_takes_of_the_gain():
    table = experiment.compared(best_rates.at_rates(planted(), ["network"]))
    assert values(table, quantity="gain", rate="chapter") == [40.0] * 3
    lost = {"quantity": "gain_lost", "rate": "chapter"}
    assert values(table, injected="drawn anew", **lost) == [12.5] * 3
    assert values(table, injected="drifting", **lost) == [75.0] * 3
    assert values(table, quantity="best_rate", network="plain") == [0.01] * 3


def test_how_much_smaller_the_shift_is():
    table = experiment.compared(best_rates.at_rates(planted(), ["network"]))
    assert values(table, quantity="shift_halved", rate="chapter") == [3.0] * 6


def test_without_a_gain_there_is_no_share_of_it():
    ends = planted()
    ends.loc[ends["network"] == "plain", "accuracy"] += 39.5
    table = experiment.compared(best_rates.at_rates(ends, ["network"]))
    assert not values(table, quantity="gain_lost") and len(values(table, quantity="gain")) > 0


def test_the_same_trainings_are_not_measured_twice():
    """Where the chapter's rate is the best one, the own best rate is no second measurement."""
    ends = planted()
    ends["validation_accuracy"] = np.where(ends["learning_rate"] == 0.1, 99.0, 10.0)
    table = experiment.compared(best_rates.at_rates(ends, ["network"]))
    kept = table.groupby("rate")["quantity"].unique()
    assert set(kept["own best"]) == {"accuracy", "layer_shift", "best_rate"}
    assert "shift" in kept["chapter"] and "gain_lost" in kept["chapter"]


def test_the_table_and_its_figure(monkeypatch, tmp_path):
    monkeypatch.setattr(experiment.training, "prepared", lambda *_: TinyDataset())
    table = experiment.measure(SETTINGS, {})
    tidy.check(table, experiment)
    assert set(experiment.QUANTITIES) - {"gain_lost"} <= set(table["quantity"])
    assert not table.duplicated(["quantity", "seed", *experiment.CONDITIONS]).any()
    drifted = table[(table["quantity"] == "layer_shift") & (table["definition"] == "moments")]
    by_network = drifted.groupby("network")["value"].median()
    assert by_network["drifting shift"] > by_network["batch norm"]
    with style.context():
        figure, data = exhibit.f17(table)
        style.save_svg(figure, tmp_path / "f17.svg", "F17")
    assert len(data) and "with batch norm; a drifting shift" in finding(figure)
