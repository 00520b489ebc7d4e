"""Weight decay: the identities fail if a formula is wrong, the engine's steps are PyTorch's, and
rate and λ are chosen together by the other seeds."""

import numpy as np
import pandas as pd
import pytest
import torch

from finicky.engine import train
from finicky.experiments import trainings
from finicky.experiments import weight_decay as experiment

from .engine_fixtures import TinyDataset, make_run, training_process


@pytest.fixture
def dataset():
    with training_process():
        yield TinyDataset()


def random():
    return np.random.default_rng(0)


def test_sgd_s_penalty_is_a_decay():
    found = experiment.sgd_trial(random())
    assert found["penalty_error"] < 1e-12 and found["pytorch_error"] < 1e-12
    assert 0.3 < found["same_lambda_difference"] < 0.7  # PyTorch's λ is half of the chapter's


@pytest.mark.parametrize(
    "wrong",
    [
        lambda rate, penalty: 1 + 2 * rate * penalty,
        lambda rate, penalty: 1 - rate * penalty,
        lambda rate, penalty: 1 - 2 * penalty,
    ],
)
def test_a_wrong_decay_is_seen(wrong, monkeypatch):
    monkeypatch.setattr(experiment, "decay_factor", wrong)
    assert experiment.sgd_trial(random())["penalty_error"] > 1e-4


@pytest.mark.parametrize(
    "rule, decays_in", [("descent", experiment.STEPS), ("momentum", 1), ("adam", 0), ("rmsprop", 0)]
)
def test_only_plain_descent_turns_the_penalty_into_a_decay(rule, decays_in):
    """Momentum does so in its first step, when the velocity remembers nothing."""
    parts = experiment.unexplained(rule, random())
    assert (parts < experiment.EXPLAINED).sum() == decays_in
    assert (parts <= 1 + 1e-12).all()


@pytest.mark.parametrize(
    "optimizer, theirs",
    [
        ("adam", lambda p, decay: torch.optim.Adam(p, 0.01, weight_decay=2 * decay)),
        ("adamw", lambda p, decay: torch.optim.AdamW(p, 0.01, weight_decay=decay)),
    ],
)
def test_the_engine_decays_as_pytorch_does(dataset, optimizer, theirs):
    decays = [0.0, 0.1]
    jobs = [(make_run(optimizer=optimizer, learning_rate=0.01), decay) for decay in decays]
    batch = experiment.Decaying(jobs, dataset)
    copies = [row.clone().requires_grad_() for row in batch.network.parameters.flat]
    optimizers = [theirs([copy], decay) for copy, decay in zip(copies, decays, strict=True)]
    for index, targets in batch.batches(1)[:3]:
        batch.step(index, targets)
        for run, (copy, step) in enumerate(zip(copies, optimizers, strict=True)):
            copy.grad = batch.network.gradients.flat[run].clone()
            step.step()
            torch.testing.assert_close(batch.network.parameters.flat[run], copy.detach())
    assert not torch.allclose(*batch.network.parameters.flat)


def test_a_run_that_ends_leaves_the_others_their_decays(dataset):
    jobs = [(make_run(optimizer="adamw", learning_rate=0.01, seed=s), s / 10) for s in range(3)]
    batch = experiment.Decaying(jobs, dataset)
    batch.keep([0, 2])
    assert batch.decays == [0, 0.2]


def test_without_decay_it_is_the_engine_s_adam(dataset):
    run = make_run(optimizer="adam", learning_rate=0.01)
    (ours,) = trainings.trained([(run, 0.0)], dataset, experiment.Decaying)
    (theirs,) = trainings.trained([run], dataset)
    assert ours == theirs


def test_rate_and_decay_are_chosen_together_by_the_other_seeds():
    def rows(arm, scores):
        for seed, by_choice in enumerate(scores):
            for (rate, decay), accuracy in by_choice.items():
                run = make_run(optimizer="adam", learning_rate=rate, seed=seed)
                score = {"test_accuracy": accuracy, "validation_accuracy": accuracy, "outcome": 0}
                choice = {"arm": arm, "rate": rate, "decay": decay, "edge": decay == 1.0}
                yield vars(run) | score | choice

    first, second = (0.01, 0.5), (0.02, 1.0)
    l2 = [{first: 80, second: 90}, {first: 95, second: 70}]
    adamw = [{first: 60, second: 70}, {first: 60, second: 70}]
    none = [{(0.01, 0.0): 50}, {(0.01, 0.0): 50}]
    every = [*rows("l2", l2), *rows("adamw", adamw), *rows("none", none)]
    found = experiment.comparison(pd.DataFrame(every))
    assert found["adamw_minus_l2"].sort_values("seed")["value"].tolist() == [-10, 0]
    gains = found["gain"].sort_values(["optimizer", "seed"])
    assert gains["value"].tolist() == [20, 20, 30, 20]
    edges = found["at_the_edge"].sort_values(["optimizer", "seed"])
    assert edges["value"].tolist() == [1, 1, 0, 1]


def test_a_smoke_run_has_every_quantity(dataset, monkeypatch):
    monkeypatch.setattr(train, "Dataset", lambda name, folder, images: dataset)
    settings = {"trials": 2, "trainings": [{"images": 150, "epochs": 1}], "rates": [0.001],
                "decays": {"adam": [0.01], "adamw": [0.1]}, "seeds": [0, 1],
                "data": "nowhere"}  # fmt: skip
    table = experiment.measure(settings, {})
    assert set(table["quantity"]) == set(experiment.QUANTITIES)
    assert (table.loc[table["quantity"] == "share_that_decays"].groupby("optimizer")["value"].max()
            == [0, 0, 0, 100]).all()  # fmt: skip
