"""Masks keep the largest weights and survive the updates; whole networks train as the engine's."""

import pytest
import torch

from finicky.engine import train
from finicky.exhibits import lottery_ticket as exhibit
from finicky.exhibits import style
from finicky.experiments import lottery_ticket, tidy
from finicky.runs import OUTCOMES

from .engine_fixtures import TinyDataset, training_process
from .sentences import finding


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Networks 16 wide."""
    monkeypatch.setattr(lottery_ticket, "WIDTH", 16)


@pytest.fixture
def dataset():
    with training_process():
        yield TinyDataset()


SETTINGS = {
    "epochs": 2, "rounds": 2, "keep": 0.5, "images": 150,
    "seeds": [0, 1], "data": "", "device": "cpu",
}  # fmt: skip


def start(seed=0):
    return lottery_ticket.initial([seed], SETTINGS)[0]


def training_of(weights, mask, seed=0):
    return lottery_ticket.training_of("mnist", SETTINGS, seed, weights, mask)


def test_each_layer_keeps_its_largest_weights():
    weights = start()
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
    weights = start()
    mask = lottery_ticket.pruned(weights, torch.ones_like(weights), 0.5)
    again = lottery_ticket.pruned(torch.zeros_like(weights) + (1 - mask), mask, 0.5)
    assert (again <= mask).all()


def test_random_masks_have_as_many_weights():
    weights = start()
    mask = lottery_ticket.pruned(weights, torch.ones_like(weights), 0.1)
    scattered = lottery_ticket.shuffled(mask, (0, "scattered", 1))
    for one, other in zip(*map(lottery_ticket.layers_of, (mask, scattered)), strict=True):
        assert one.sum() == other.sum() and not torch.equal(one, other)


def test_masks_survive_the_updates(dataset):
    weights = start()
    mask = lottery_ticket.pruned(weights, torch.ones_like(weights), 0.3)
    (end,) = lottery_ticket.train([training_of(weights, mask)], dataset)
    assert (end["parameters"][mask == 0] == 0).all()
    kept = torch.cat([layer.flatten() for layer in lottery_ticket.layers_of(mask)]) == 1
    change = end["parameters"] - weights
    moved = torch.cat([layer.flatten() for layer in lottery_ticket.layers_of(change)])
    assert (moved[kept] != 0).float().mean() > 0.9


def test_a_whole_network_trains_as_the_engine_s(dataset):
    whole = [training_of(start(seed), torch.ones_like(start()), seed) for seed in (0, 1)]
    ends = lottery_ticket.train(whole, dataset)
    expected = train.train([one.run for one in whole], dataset)
    assert [end["test_accuracy"] for end in ends] == [
        record["curves"][-1]["test_accuracy"] for record in expected
    ]


def test_a_training_that_breaks_scores_chance_and_ends_where_it_started(dataset):
    weights, mask = start(), torch.ones_like(start())
    huge = weights * 1e30
    broken, fine = lottery_ticket.train(
        [training_of(huge, mask), training_of(weights, mask)], dataset
    )
    assert broken["test_accuracy"] == 10 and OUTCOMES[broken["outcome"]] == "nan"
    assert torch.equal(broken["parameters"], huge)
    assert fine["outcome"] == 0 and fine["test_accuracy"] != 10


def test_a_run_names_the_data_set_that_it_trains_on(dataset, monkeypatch):
    seen = []
    real = lottery_ticket.train
    monkeypatch.setattr(
        lottery_ticket,
        "train",
        lambda trainings, data: seen.append(trainings) or real(trainings, data),
    )
    list(lottery_ticket.compared("fashion_mnist", dataset, SETTINGS | {"rounds": 1}))
    assert {one.run.dataset for trainings in seen for one in trainings} == {"fashion_mnist"}


def test_tickets_are_rewound(dataset, monkeypatch):
    """Every ticket starts from the first weights, under a mask from the last ticket's end."""
    seen = []

    def ends(jobs):
        return [{"test_accuracy": 90.0, "outcome": 0, "parameters": w * mask} for w, mask in jobs]

    monkeypatch.setattr(
        lottery_ticket,
        "training_of",
        lambda name, settings, seed, weights, mask: (weights, mask),
    )
    monkeypatch.setattr(lottery_ticket, "train", lambda jobs, data: seen.append(jobs) or ends(jobs))
    list(lottery_ticket.compared("mnist", dataset, SETTINGS))
    whole, first, second = seen
    assert torch.equal(first[0][0], whole[0][0]) and torch.equal(second[0][0], whole[0][0])
    assert (second[0][1] <= first[0][1]).all() and second[0][1].sum() < first[0][1].sum()
    assert torch.equal(second[0][1], second[2][1]) and not torch.equal(whole[0][0], first[2][0])


def test_a_smoke_run_draws(dataset, monkeypatch):
    monkeypatch.setattr(train, "Dataset", lambda *_: dataset)
    table = lottery_ticket.measure(SETTINGS, {})
    tidy.check(table, lottery_ticket)
    assert set(table["quantity"]) == set(lottery_ticket.QUANTITIES)
    assert set(table["remaining"]) == {100, 50, 25}
    gains = table[table["a"].notna()]
    assert (gains["value"] == gains["a"] - gains["b"]).all() and len(gains) == 32
    with style.context():
        fig, behind = exhibit.f08(table)
    assert "Winning tickets stay within a point" in finding(fig)
    assert set(behind["network"]) == {"whole", *lottery_ticket.SPARSE} == {"whole", *exhibit.DRAWN}
