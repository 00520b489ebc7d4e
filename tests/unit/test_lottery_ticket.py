"""Masks keep the largest weights and survive the updates; whole networks train as the engine's."""

import pytest
import torch

from finicky.engine import train
from finicky.experiments import arms, lottery_ticket

from .engine_fixtures import TinyDataset, training_process


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Networks 16 wide."""
    from finicky.engine.network import Architecture

    shape = Architecture(lottery_ticket.DEPTH, "plain", "relu", width=16)
    monkeypatch.setattr(lottery_ticket, "architecture", lambda: shape)


@pytest.fixture
def dataset():
    with training_process():
        yield TinyDataset()


SETTINGS = {"epochs": 2, "rounds": 2, "keep": 0.5, "seeds": [0, 1], "images": 150, "data": ""}


def test_each_layer_keeps_its_largest_weights():
    (weights,) = lottery_ticket.initial([0])
    whole = torch.ones_like(weights)
    once = lottery_ticket.pruned(weights, whole, 0.5)
    twice = lottery_ticket.pruned(-weights, once, 0.5)
    layers = zip(*map(lottery_ticket.layers_of, (weights, once, twice)), strict=True)
    for layer, (values, first, second) in enumerate(layers):
        keep = 0.75 if layer == 3 else 0.5
        assert first.mean() == pytest.approx(keep, abs=0.01)
        assert second.mean() == pytest.approx(keep**2, abs=0.01)
        assert values.abs()[first == 1].min() >= values.abs()[first == 0].max()
        assert (second <= first).all()
    places = sum(layer.numel() for layer in lottery_ticket.layers_of(weights))
    assert (twice == 1).sum() - (len(twice) - places) == sum(
        int(layer.sum()) for layer in lottery_ticket.layers_of(twice)
    )  # biases stay


def test_what_is_gone_stays_gone_even_beside_zeros():
    (weights,) = lottery_ticket.initial([0])
    mask = lottery_ticket.pruned(weights, torch.ones_like(weights), 0.5)
    again = lottery_ticket.pruned(torch.zeros_like(weights) + (1 - mask), mask, 0.5)
    assert (again <= mask).all()


def test_random_masks_have_as_many_weights():
    (weights,) = lottery_ticket.initial([0])
    mask = lottery_ticket.pruned(weights, torch.ones_like(weights), 0.1)
    scattered = lottery_ticket.shuffled(mask, (0, "scattered", 1))
    for one, other in zip(*map(lottery_ticket.layers_of, (mask, scattered)), strict=True):
        assert one.sum() == other.sum() and not torch.equal(one, other)


def test_masks_survive_the_updates(dataset):
    (weights,) = lottery_ticket.initial([0])
    mask = lottery_ticket.pruned(weights, torch.ones_like(weights), 0.3)
    run = lottery_ticket.run_of(dataset, SETTINGS, 0)
    (end,) = lottery_ticket.train([(run, weights, mask)], dataset)
    assert (end["weights"][mask == 0] == 0).all()
    kept = torch.cat([layer.flatten() for layer in lottery_ticket.layers_of(mask)]) == 1
    moved = torch.cat(
        [layer.flatten() for layer in lottery_ticket.layers_of(end["weights"] - weights)]
    )
    assert (moved[kept] != 0).float().mean() > 0.9


def test_a_whole_network_trains_as_the_engine_s(dataset):
    jobs = []
    for seed in (0, 1):
        (weights,) = lottery_ticket.initial([seed])
        run = lottery_ticket.run_of(dataset, SETTINGS, seed)
        jobs.append((run, weights, torch.ones_like(weights)))
    ends = lottery_ticket.train(jobs, dataset)
    expected = train.train([run for run, _, _ in jobs], dataset)
    assert [end["accuracy"] for end in ends] == [
        record["curves"][-1]["test_accuracy"] for record in expected
    ]


def test_a_job_that_breaks_scores_chance(dataset):
    (weights,) = lottery_ticket.initial([0])
    run, mask = lottery_ticket.run_of(dataset, SETTINGS, 0), torch.ones_like(weights)
    broken, fine = lottery_ticket.train(
        [(run, weights * torch.nan, mask), (run, weights, mask)], dataset
    )
    assert broken["accuracy"] == 10 and broken["outcome"] == arms.OUTCOMES.index("nan")
    assert fine["outcome"] == 0 and fine["accuracy"] != 10


def test_tickets_are_rewound(dataset, monkeypatch):
    """Every ticket starts from the first weights, under a mask from the last ticket's end."""
    seen = []
    real = lottery_ticket.train
    monkeypatch.setattr(
        lottery_ticket, "train", lambda jobs, data: seen.append(jobs) or real(jobs, data)
    )
    list(lottery_ticket.compared(dataset, SETTINGS))
    whole, first, second = seen
    assert torch.equal(first[0][1], whole[0][1]) and torch.equal(second[0][1], whole[0][1])
    assert (second[0][2] <= first[0][2]).all() and second[0][2].sum() < first[0][2].sum()
    assert torch.equal(second[0][2], second[2][2]) and not torch.equal(whole[0][1], first[2][1])


def test_a_smoke_run_draws(dataset, monkeypatch):
    monkeypatch.setattr(train, "Dataset", lambda *_: dataset)
    table = lottery_ticket.measure(SETTINGS, {})
    assert set(table["quantity"]) == set(lottery_ticket.QUANTITIES)
    assert set(table["remaining"]) == {100, 50, 25}
    gains = table[table["a"].notna()]
    assert (gains["value"] == gains["a"] - gains["b"]).all() and len(gains) == 32
    fig, behind = lottery_ticket.draw(table)["F08"]
    assert "With 25 % of the weights left: Fashion-MNIST" in fig.get_label()
    assert set(behind["problem"]) == {"whole", *lottery_ticket.ARMS}
