"""Weight decay: the identities fail if a formula is wrong, the trainings' steps are PyTorch's, and
rate and λ are chosen together by the other seeds."""

import numpy as np
import pandas as pd
import pytest
import torch

from finicky import declarations
from finicky.engine import train
from finicky.errors import InputError
from finicky.experiments import tidy, training
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
    "optimizer, decays_in",
    [("sgd", experiment.STEPS), ("momentum", 1), ("adam", 0), ("rmsprop", 0)],
)
def test_only_plain_descent_turns_the_penalty_into_a_decay(optimizer, decays_in):
    """Momentum does so in its first step, when the velocity remembers nothing."""
    parts = experiment.unexplained(optimizer, random())
    assert (parts < experiment.EXPLAINED).sum() == decays_in
    assert (parts <= 1 + 1e-12).all()


@pytest.mark.parametrize(
    "regularisation, theirs",
    [
        ("penalty", lambda p, decay: torch.optim.Adam(p, 0.01, weight_decay=2 * decay)),
        ("decay", lambda p, decay: torch.optim.AdamW(p, 0.01, weight_decay=decay)),
        ("none", lambda p, decay: torch.optim.Adam(p, 0.01)),
    ],
)
def test_trainings_decay_as_pytorch_does(dataset, regularisation, theirs):
    decays = [0.0] if regularisation == "none" else [0.0, 0.1]
    run = make_run(optimizer=experiment.OPTIMIZERS[regularisation], learning_rate=0.01)
    rules = [experiment.update_rule(regularisation, decay) for decay in decays]
    batch = training.Batch([training.Training(run, rule=rule) for rule in rules], dataset)
    copies = [row.clone().requires_grad_() for row in batch.network.parameters.flat]
    optimizers = [theirs([copy], decay) for copy, decay in zip(copies, decays, strict=True)]
    for index, targets in batch.batches(1)[:3]:
        batch.step(index, targets)
        for place, (copy, optimizer) in enumerate(zip(copies, optimizers, strict=True)):
            copy.grad = batch.network.gradients.flat[place].clone()
            optimizer.step()
            torch.testing.assert_close(batch.network.parameters.flat[place], copy.detach())
    assert len(decays) == 1 or not torch.allclose(*batch.network.parameters.flat)


SETTINGS = {
    "trials": 2,
    "trainings": [{"images": 150, "epochs": 1}],
    "rates": [0.001],
    "decays": {"adam": [0.01], "adamw": [0.1]},
}
GIVEN = {"seeds": [0, 1], "data": "nowhere", "device": "cpu"}


@pytest.fixture
def measured(dataset, monkeypatch):
    """A function of settings: the measured table, on the small data set."""
    monkeypatch.setattr(train, "Dataset", lambda name, folder, images, device: dataset)
    return lambda **changed: experiment.measure(SETTINGS | GIVEN | changed, {})


def test_each_run_says_what_it_was_trained_with(measured, dataset):
    settings = SETTINGS | GIVEN | {"rates": [0.1, 0.2], "seeds": [5]}
    settings["decays"] = {"adam": [0.1, 0.2, 0.3], "adamw": [1.0, 2.0, 3.0]}
    rows = experiment.train("fashion_mnist", SETTINGS["trainings"][0], settings)
    assert set(rows["dataset"]) == {"fashion_mnist"}  # trained on, and said so
    assert (rows["learning_rate"] == rows["rate"]).all()
    ladders = rows.groupby("regularisation")["decay"].unique().map(list).to_dict()
    assert ladders == {"none": [0.0], "penalty": [0.1, 0.2, 0.3], "decay": [1.0, 2.0, 3.0]}
    assert rows.loc[~rows["edge"], "decay"].unique().tolist() == [0.2, 2.0]
    assert rows.set_index("regularisation")["optimizer"].to_dict() == experiment.OPTIMIZERS
    assert rows["test_accuracy"].nunique() > 2


def test_rate_and_decay_are_chosen_together_by_the_other_seeds():
    def rows(regularisation, scores):
        for seed, by_choice in enumerate(scores):
            for (rate, decay), accuracy in by_choice.items():
                run = make_run(optimizer="adam", learning_rate=rate, seed=seed)
                score = {"test_accuracy": accuracy, "validation_accuracy": accuracy, "outcome": 0}
                choice = {"rate": rate, "decay": decay, "edge": decay == 1.0}
                yield run.row() | score | choice | {"regularisation": regularisation}

    first, second = (0.01, 0.5), (0.02, 1.0)
    penalty = [{first: 80, second: 90}, {first: 95, second: 70}]
    decay = [{first: 60, second: 70}, {first: 60, second: 70}]
    none = [{(0.01, 0.0): 50}, {(0.01, 0.0): 50}]
    every = [*rows("penalty", penalty), *rows("decay", decay), *rows("none", none)]
    found = experiment.comparison(pd.DataFrame(every))
    assert found["adamw_minus_l2"].sort_values("seed")["value"].tolist() == [-10, 0]
    gains = found["gain"].sort_values(["regularisation", "seed"])
    assert gains["value"].tolist() == [20, 20, 30, 20]
    edges = found["at_the_edge"].sort_values(["regularisation", "seed"])
    assert edges["value"].tolist() == [1, 1, 0, 1]


def test_the_table_is_as_declared(measured):
    table = measured()
    tidy.check(table, experiment)
    assert set(table["quantity"]) == set(experiment.QUANTITIES)
    decays = table[table["quantity"] == "share_that_decays"].groupby("optimizer")["value"].max()
    assert decays.to_dict() == {"sgd": 100, "momentum": 0, "rmsprop": 0, "adam": 0}
    compared = table[table["quantity"] == "adamw_minus_l2"]
    assert len(compared) == 4 and compared["regularisation"].isna().all()


def test_one_seed_alone_chooses_nothing(measured):
    table = measured(seeds=[3])
    tidy.check(table, experiment)
    assert "penalty_error" in set(table["quantity"])
    assert "test_accuracy" not in set(table["quantity"])


@pytest.mark.parametrize(
    "changed, key",
    [
        ({"rates": []}, "rates"),
        ({"decays": {"adam": [0.1]}}, "decays"),
        ({"decays": {"adam": [0.1], "adamw": [-1]}}, "decays.adamw"),
        ({"trainings": [{"images": 60_000, "epochs": 1}]}, "trainings"),
    ],
)
def test_settings_out_of_bounds(changed, key):
    declared = declarations.experiments()["weight-decay"]
    declarations.check_settings("weight-decay", SETTINGS, declared, "config.yaml")
    with pytest.raises(InputError, match=key):
        declarations.check_settings("weight-decay", SETTINGS | changed, declared, "config.yaml")
