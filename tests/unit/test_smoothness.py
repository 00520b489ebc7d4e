"""Looking along the gradient: against a quadratic and against torch.nn; the largest rate by hand;
what is compared where."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional

from finicky.exhibits import smoothness as exhibit
from finicky.exhibits import style
from finicky.experiments import smoothness as experiment
from finicky.experiments import tidy, training

from .engine_fixtures import PlainNetwork, TinyDataset, make_run
from .sentences import finding

SETTINGS = {
    "seeds": [0, 1], "device": "cpu", "data": "", "datasets": ["mnist"], "images": 150,
    "epochs": 2, "width": 16, "depth": [4], "every": 2, "rates": [0.03, 0.1],
    "ladders": {"sgd": [0.03, 0.1, 3.0], "adam": [0.001, 0.01]},
}  # fmt: skip


pytestmark = pytest.mark.usefixtures("process")


def test_along_the_gradient_of_a_parabola():
    """L = aθ²/2 from θ = 1, steps of kη: the gradient is a and becomes a(1 - kηa)."""
    a, eta = 3.0, 0.05
    theta = 1 - eta * a * torch.tensor(experiment.MULTIPLES)[:, None]
    losses, gradients = a * theta**2 / 2, a * theta
    steps = eta * torch.tensor(experiment.MULTIPLES)[:, None]
    loss, length = torch.tensor([a / 2]), torch.tensor([a])
    found = experiment.along(
        loss, length, losses, a * gradients.sign(), (gradients - a).abs(), steps
    )
    assert found["lipschitz"].item() == pytest.approx(a, rel=1e-5)
    assert found["gradient_change"].item() == pytest.approx(4 * eta * a**2, rel=1e-5)
    assert found["cosine"].item() == 1
    assert found["loss_range"].item() == pytest.approx((losses[0] - losses[-1]).item(), rel=1e-5)
    mean = np.mean(experiment.MULTIPLES)
    assert found["prediction_error"].item() == pytest.approx(mean * eta * a / 2, rel=1e-4)


@pytest.mark.parametrize("block", experiment.BLOCKS)
def test_a_look_by_autograd(block):
    rate = 0.2
    run = make_run(block=block, depth=4, activation="tanh", learning_rate=rate)
    batch = experiment.Looking([run], TinyDataset(), 1)
    index, targets = batch.batches(1)[0]
    x = batch.dataset.normalise(batch.dataset.train.images[index[0]], dtype=torch.float32)

    def loss_and_gradients(twin):
        loss = functional.cross_entropy(twin(x), targets[0, 0])
        return loss.item(), torch.autograd.grad(loss, list(twin.parameters()))

    def flat(gradients):
        return torch.cat([g.flatten() for g in gradients]).double()

    loss, first = loss_and_gradients(PlainNetwork(batch.network))
    losses, cosines, changes = [], [], []
    for multiple in experiment.MULTIPLES:
        twin = PlainNetwork(batch.network)
        with torch.no_grad():
            for parameter, gradient in zip(twin.parameters(), first, strict=True):
                parameter -= multiple * rate * gradient
        there, other = loss_and_gradients(twin)
        losses.append(there)
        changes.append((flat(other) - flat(first)).norm().item())
        cosines.append(functional.cosine_similarity(flat(other), flat(first), dim=0).item())
    found = {name: value.item() for name, value in batch.look(index, targets).items()}
    assert found["loss_range"] == pytest.approx(max(losses) - min(losses), rel=1e-3)
    assert found["gradient_change"] == pytest.approx(max(changes), rel=1e-3)
    assert found["cosine"] == pytest.approx(np.mean(cosines), abs=1e-4)
    foretold = [-k * rate * flat(first).norm().item() ** 2 for k in experiment.MULTIPLES]
    errors = [abs((at - loss - f) / f) for at, f in zip(losses, foretold, strict=True)]
    assert found["prediction_error"] == pytest.approx(np.mean(errors), rel=1e-3)


def test_looking_changes_nothing():
    run = make_run(block="batch_norm", depth=4)
    often, never = (experiment.Looking([run], TinyDataset(), every) for every in (1, 0))
    for batch in often, never:
        list(training.each_step(batch, 6))
    assert torch.equal(often.network.parameters.flat, never.network.parameters.flat)
    assert torch.equal(often.network.running_var, never.network.running_var)
    assert len(often.looks) == 6 and not never.looks


# ---- Comparing -----------------------------------------------------------------------------------


def ladder(block, accuracies, seed=0, rates=(0.01, 0.1, 1.0)):
    return [
        {"block": block, "seed": seed, "learning_rate": rate, "accuracy": accuracy}
        for rate, accuracy in zip(rates, accuracies, strict=True)
    ]


def largest(rows, reached):
    table = experiment.largest_rates(pd.DataFrame(rows))
    return table[(table["reached"] == reached) & (table["quantity"] == "largest_rate_gain")]


def test_the_largest_rate_that_works():
    """Plain: half way between 0.1 and 1 it falls from 90 through 80; batch norm works up to 1."""
    rows = ladder("plain", [90, 90, 70]) + ladder("batch_norm", [60, 90, 90])
    assert largest(rows, 80)["value"].tolist() == pytest.approx([0.5])


def test_the_lowest_rate_stands_for_none_that_works():
    rows = ladder("plain", [60, 60, 10]) + ladder("batch_norm", [90, 90, 10])
    assert largest(rows, 80)["value"].item() == pytest.approx(1 + 10 / 80)
    assert largest(ladder("plain", [60, 60, 10]) + ladder("batch_norm", [60, 10, 10]), 80).empty


def looked(block, seed, rate, accuracy, loss_range, validation=None):
    row = {"block": block, "seed": seed, "learning_rate": rate, "accuracy": accuracy}
    row |= {"validation_accuracy": validation or accuracy, "outcome": "finite"}
    row["cosine"] = {"plain": 0.25, "batch_norm": 0.75}[block]
    looks = {"gradient_change": 8 * loss_range, "lipschitz": 1.0, "prediction_error": 1.0}
    return row | looks | {"loss_range": loss_range}


def gains(rows, quantity="loss_range_gain"):
    table = experiment.smoothness(pd.DataFrame(rows))
    gain = table[table["quantity"] == quantity]
    return gain.set_index(["tuning", "learning_rate", "seed"])["value"].to_dict()


def test_ranges_are_compared_where_both_networks_learn():
    """At 1.0 the plain network is dead, and perfectly smooth: nothing to compare. Its best rate is
    0.1, batch norm's 1.0."""
    rows = []
    for seed in range(2):
        rows += [looked("plain", seed, 0.1, 80, 4.0), looked("plain", seed, 1.0, 10, 0.001)]
        rows += [looked("batch_norm", seed, 0.1, 80, 1.0), looked("batch_norm", seed, 1.0, 90, 2.0)]
    found = gains(rows)
    at_own = {key[2]: value for key, value in found.items() if key[0] == experiment.OWN}
    assert at_own == {0: 1.0, 1: 1.0}
    assert found[experiment.ONE, 0.1, 0] == 2.0 and len(found) == 4
    assert set(gains(rows, "cosine_gain").values()) == {0.5}


def test_one_best_rate_is_not_measured_twice():
    rows = [
        looked(block, seed, rate, 80 + 100 * rate, 1.0 + seed)
        for block in experiment.BLOCKS
        for seed in range(2)
        for rate in (0.03, 0.1)
    ]
    assert {key[0] for key in gains(rows)} == {experiment.ONE}


def test_the_table_and_its_figure(monkeypatch, tmp_path):
    monkeypatch.setattr(experiment.training, "prepared", lambda *_: TinyDataset())
    table = experiment.measure(SETTINGS, {})
    tidy.check(table, experiment)
    always = set(experiment.QUANTITIES) - {q for q in experiment.QUANTITIES if "gain" in q}
    assert always <= set(table["quantity"])
    assert not table.duplicated(["quantity", "seed", *experiment.CONDITIONS]).any()
    accuracy = table[table["quantity"] == "accuracy"]
    assert len(accuracy) == 2 * 2 * 2 * 5  # seeds, blocks, activations, rates
    with style.context():
        figure, data = exhibit.f18(table)
        style.save_svg(figure, tmp_path / "f18.svg", "F18")
    assert len(data) and "times as large with batch norm" in finding(figure)


def test_the_title_counts_the_drawn_networks_that_reach_the_accuracy():
    cell = ["depth", "activation", "block"]
    networks = pd.DataFrame(
        [(d, a, b) for d in (6, 20) for a in ("relu", "tanh") for b in ("plain", "batch_norm")],
        columns=cell,
    )
    largest = networks.assign(quantity="largest_rate", reached=80, value=0.0)
    largest.loc[largest["block"] == "plain", "value"] = -1.0
    data = networks.assign(quantity="accuracy", median=90.0)
    assert exhibit._finding(largest, data).endswith("larger in all 4 networks.")
    data.loc[(data["depth"] == 20) & (data["activation"] == "relu"), "median"] = 50.0
    assert exhibit._finding(largest, data).endswith(
        "10 times as large with batch norm as without, larger in all 3 networks; no rate gets "
        "there for ReLU with 20 layers."
    )
