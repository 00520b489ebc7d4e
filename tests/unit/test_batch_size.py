"""Batch size: the law of the noise and the inner products against brute force, the sharpness
against the whole Hessian, and trainings that stop at a loss."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from finicky.engine import train
from finicky.engine.network import Architecture, Network, Stacked
from finicky.errors import InputError
from finicky.exhibits import batch_size as exhibit
from finicky.experiments import batch_size as experiment
from finicky.experiments import identities, tidy

from .engine_fixtures import TinyDataset, make_run
from .sentences import finding

SETTINGS = {
    "images": 150, "width": 32, "batch_sizes": [8, 32], "rates": [0.05, 0.1], "loss": 2.0,
    "steps": 300, "draws": 100, "turn": 0.0, "seeds": [0, 1], "data": "nowhere", "device": "cpu",
}  # fmt: skip


pytestmark = pytest.mark.usefixtures("process")


@pytest.fixture
def dataset():
    return TinyDataset()


def network(width=4):
    shape = Architecture(2, "plain", "relu", width)
    made = Network.initial(shape, [("he", 0)])
    for bias in made.parameters.biases:
        bias += 0.1
    return made


def test_every_batch_is_unbiased_and_follows_the_law():
    found = {name: value for name, value, _ in experiment.every_batch(np.random.default_rng(0))}
    assert max(found.values()) < 1e-12


@pytest.mark.parametrize(
    "wrong",
    [
        lambda variance, batch, examples: variance / batch,  # with replacement
        lambda variance, batch, examples: variance / batch * (examples + batch) / (examples - 1),
        lambda variance, batch, examples: variance / batch * (examples - batch) / examples,
    ],
)
def test_a_wrong_law_is_seen(wrong, monkeypatch):
    monkeypatch.setattr(identities, "variance_law", wrong)
    found = {name: value for name, value, _ in experiment.every_batch(np.random.default_rng(0))}
    assert found["law_error"] > 0.05


def test_inner_products_are_those_of_single_gradients(dataset):
    made = network()
    x, labels = dataset.first(len(dataset.train.labels), torch.float64)
    flat = made.parameters.flat[0].double().requires_grad_()
    gradients = []
    for image, label in zip(x[:5], labels[:5], strict=True):
        logits = experiment.outputs(flat, made.architecture, image[None])
        loss = nn.functional.cross_entropy(logits, label[None])
        gradients.append(torch.autograd.grad(loss, flat)[0])
    gradients = torch.stack(gradients)
    ours = experiment.inner_products(made, dataset)[:5, :5]
    np.testing.assert_allclose(ours, (gradients @ gradients.T).numpy(), rtol=1e-6)


def test_noise_falls_as_it_should(dataset):
    settings = SETTINGS | {"draws": 1000}
    rows = experiment.noise(dataset, settings, [8, 32, 150], 0, np.random.default_rng(0))
    found = {(name, *where.values()): value for name, value, where in rows}
    assert found["variance_slope", "with replacement"] == pytest.approx(-1, abs=0.06)
    assert found["variance_slope", "without replacement, up to half"] < -1.1
    assert found["gradient_noise", 150] == 0
    ratio = found["gradient_noise", 8] / found["gradient_noise", 32]
    assert ratio == pytest.approx(np.sqrt(4 * (150 - 8) / (150 - 32)), rel=0.1)


def test_sharpness_is_the_largest_eigenvalue(dataset):
    """Against power iteration, which needs no library for it."""
    made = network(2)
    flat = made.parameters.flat[0].clone().requires_grad_()
    x, labels = dataset.first(len(dataset.train.labels), torch.float32)
    loss = nn.functional.cross_entropy(experiment.outputs(flat, made.architecture, x), labels)
    (gradient,) = torch.autograd.grad(loss, flat, create_graph=True)
    vector, shift = gradient.detach(), 5.0  # the shift makes the largest eigenvalue the dominant
    for _ in range(300):
        (product,) = torch.autograd.grad(gradient, flat, vector, retain_graph=True)
        vector = product + shift * vector
        norm = vector.norm()
        vector = vector / norm
    found = experiment.sharpness(flat.detach(), made.architecture, dataset)
    assert found == pytest.approx(float(norm) - shift, rel=0.02)


def test_rescaling_changes_the_sharpness_and_no_output(dataset):
    made = network()
    flat, shape = made.parameters.flat[0], made.architecture
    other = experiment.rescale(flat, shape, 0.1)
    x, _ = dataset.first(20, torch.float32)
    torch.testing.assert_close(
        experiment.outputs(flat, shape, x), experiment.outputs(other, shape, x),
        rtol=1e-4, atol=1e-4,
    )  # fmt: skip
    assert not torch.allclose(flat, other)
    sharper = experiment.sharpness(other, shape, dataset)
    assert sharper > 5 * experiment.sharpness(flat, shape, dataset)
    assert torch.equal(Stacked(shape, other[None]).biases[1], made.parameters.biases[1])


def test_training_stops_at_the_loss(dataset):
    runs = [make_run(learning_rate=0.05, seed=seed) for seed in (0, 1)]
    rows = experiment.to_loss(runs, dataset, 2.0, 1000)
    assert sorted(row["seed"] for row in rows) == [0, 1]
    for row in rows:
        x, labels = dataset.first(len(dataset.train.labels), torch.float32)
        logits = experiment.outputs(row["parameters"], row["architecture"], x)
        assert 1.5 < nn.functional.cross_entropy(logits, labels) <= 2.0
        assert row["steps"] < 1000


def test_training_gives_up(dataset):
    assert experiment.to_loss([make_run(learning_rate=1e-6)], dataset, 0.1, 20) == []
    assert experiment.to_loss([make_run(learning_rate=1e30)], dataset, 0.1, 20) == []
    with pytest.raises(InputError, match="enough steps"):
        experiment.trained(dataset, SETTINGS | {"steps": 1, "loss": 0.1}, [150])


def test_rates_are_chosen_among_those_that_all_seeds_finished():
    rows = [
        (8, 0.1, 0, 90), (8, 0.1, 1, 80), (8, 0.2, 0, 70), (8, 0.2, 1, 95), (8, 0.4, 0, 99),
    ]  # fmt: skip
    ends = pd.DataFrame(rows, columns=["batch_size", "learning_rate", "seed", "score"])
    best = experiment.chosen(ends, [0, 1], "score", highest=True).sort_values("seed")
    assert best["learning_rate"].tolist() == [0.2, 0.1]
    worst = experiment.chosen(ends, [0, 1], "score", highest=False).sort_values("seed")
    assert worst["learning_rate"].tolist() == [0.1, 0.2]


def test_no_rate_that_all_seeds_finished():
    ends = pd.DataFrame({"batch_size": [8], "learning_rate": [0.1], "seed": [0], "score": [90]})
    assert experiment.chosen(ends, [0, 1], "score", highest=True).empty


def test_sharpness_is_compared_at_one_rate_and_at_the_own_best():
    """The smallest batch against the full one, whatever lies between."""
    rows = []
    for size, sharp, accuracy in ((8, 2, 90), (32, 7, 70), (150, 8, 80)):
        for rate in (0.1, 0.2):
            rows.append(
                {"batch_size": size, "learning_rate": rate, "seed": 0, "steps": 5,
                 "sharpness": sharp * rate, "test_accuracy": accuracy, "gap_loss": sharp * rate,
                 "gap_error": -sharp * rate,
                 "validation_accuracy": 90 + rate if size == 8 else 90 - rate}
            )  # fmt: skip
    table = tidy.from_rows(
        experiment.at_the_loss(pd.DataFrame(rows), [0], 8, 150), experiment.CONDITIONS
    )
    sharper = table[table["quantity"] == "full_sharper"].set_index("tuning")
    assert sharper.loc["one rate for all", "value"].tolist() == [2, 2]
    assert sharper.loc["one rate for all", "learning_rate"].tolist() == [0.1, 0.2]
    assert sharper.loc["own best rate", "value"] == 1  # 8 at 0.2, the full batch at 0.1
    gain = table[table["quantity"] == "smallest_minus_full"]["value"]
    assert gain.tolist() == [10, 10, 10]
    correlation = table[table["quantity"] == "gap_correlation"].set_index("metric")["value"]
    assert correlation.to_dict() == pytest.approx({"loss": 1, "error": -1})


def test_the_smallest_batch_is_that_of_the_settings(dataset):
    """Not the smallest that reached the loss."""
    ends = experiment.trained(dataset, SETTINGS, [32, 150])
    rows = experiment.at_the_loss(ends, [0, 1], 8, 150)
    assert not {"full_sharper", "smallest_minus_full"} & {row["quantity"] for row in rows}


def test_a_small_measurement_is_tidy_and_shown(dataset, monkeypatch):
    monkeypatch.setattr(train, "Dataset", lambda *arguments: dataset)
    table = experiment.measure(SETTINGS, {})
    tidy.check(table, experiment)
    assert set(table["quantity"]) == set(experiment.QUANTITIES)
    fig, behind = exhibit.f29(table)
    assert "the full batch ends" in finding(fig) and set(behind["batch_size"]) == {8, 32, 150}
    made = exhibit.t10(table, {})
    assert "to the full batch the gradient's noise goes from" in finding(made)
    heads = [row.heads[0] for row in made.bodies[0].rows]
    assert heads == ["mini-batch", "full batch", "8", "32", "150 (full)"]
    assert made.bodies[0].rows[-1].cells[0].value == 0
    assert set(exhibit.FIGURES) == {"F29"} and set(exhibit.TABLES) == {"T10"}


def test_one_run_of_each_size_is_tidy_too(dataset, monkeypatch):
    monkeypatch.setattr(train, "Dataset", lambda *arguments: dataset)
    settings = SETTINGS | {"batch_sizes": [32], "rates": [0.05], "seeds": [0]}
    table = experiment.measure(settings, {})
    tidy.check(table, experiment)
    assert table["value"].notna().all() and "gap_correlation" not in set(table["quantity"])
