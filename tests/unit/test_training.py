"""Trainings of an experiment's own, against the textbook's loop and the engine: schedules, starts,
rules and choices of images, in whatever company a training is fused."""

import math

import pytest
import torch
from torch.nn import functional

from finicky import machine
from finicky.data import CHANCE
from finicky.engine import streams, train
from finicky.engine.network import Architecture, Network, Stacked
from finicky.experiments import training
from finicky.experiments.training import Training
from finicky.runs import OUTCOMES

from .engine_fixtures import OPTIMIZERS, PlainNetwork, TinyDataset, make_run

pytestmark = pytest.mark.usefixtures("process")


@pytest.fixture
def dataset():
    return TinyDataset()


def halving(step, steps):
    """A schedule that uses both of its arguments."""
    return 1 - 0.5 * step / steps


def by_hand(run, dataset, factor=lambda step, steps: 1.0, start=None, images=None):
    """The textbook's loop in float64 on some of the training images: the batch losses, and
    (loss, accuracy in %) on the test images."""
    if images is None:
        images = torch.arange(len(dataset.train.labels))
    shape = Architecture(run.depth, run.block, run.activation, run.width)
    network = Network.initial(shape, [(run.init, run.seed)], torch.float64)
    if start is not None:
        network.parameters.flat[0] = start.double()
    network = PlainNetwork(network)
    optimizer = OPTIMIZERS[run.optimizer](network.parameters(), lr=run.learning_rate)

    def loss_and_logits(pixels, labels):
        logits = network((pixels.double() / 255 - dataset.mean) / dataset.deviation)
        return functional.cross_entropy(logits, labels), logits

    losses, steps = [], run.epochs * math.ceil(len(images) / run.batch_size)
    for epoch in range(1, run.epochs + 1):
        order = images[streams.permutation(len(images), run.seed, "order", epoch)]
        for index in order.split(run.batch_size):
            for group in optimizer.param_groups:
                group["lr"] = run.learning_rate * factor(len(losses), steps)
            loss, _ = loss_and_logits(dataset.train.images[index], dataset.train.labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    with torch.no_grad():
        loss, logits = loss_and_logits(dataset.test.images, dataset.test.labels)
    right = (logits.argmax(1) == dataset.test.labels).double().mean()
    return losses, loss.item(), 100 * right.item()


def assert_trained(row, expected):
    losses, loss, accuracy = expected
    epoch = losses[len(losses) // 2 :]  # make_run trains for two
    assert row["start_loss"] == pytest.approx(losses[0], rel=1e-4)
    assert row["running_loss"] == pytest.approx(sum(epoch) / len(epoch), rel=1e-3)
    assert row["test_loss"] == pytest.approx(loss, rel=1e-3)
    assert row["test_accuracy"] == pytest.approx(accuracy)


def one(what, dataset, **options):
    (row,) = training.train([what], dataset, **options)
    return row


# ---- What a training may have -------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_a_plain_run_is_the_engine_s(dataset, optimizer):
    run = make_run(optimizer=optimizer)
    row = one(run, dataset, splits=("train", "validation", "test"))
    (record,) = train.train([run], dataset)
    end = record["curves"][-1]
    assert row["start_loss"] == record["start_loss"] and row["running_loss"] == end["running_loss"]
    for split in ("train", "validation", "test"):
        for what in ("loss", "accuracy"):
            assert row[f"{split}_{what}"] == end[f"{split}_{what}"]
    assert row["outcome"] == 0 and row["optimizer"] == optimizer and row["seed"] == 0


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_a_schedule_sets_the_rate_of_every_step(dataset, optimizer):
    """Of plain SGD within the backward pass, too."""
    run = make_run(optimizer=optimizer, learning_rate=0.02)
    row = one(Training(run, schedule=halving), dataset)
    assert_trained(row, by_hand(run, dataset, halving))
    assert abs(row["running_loss"] - one(run, dataset)["running_loss"]) > 1e-3


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_half_the_rate_is_a_factor_of_one_half(dataset, optimizer):
    run = make_run(optimizer=optimizer, learning_rate=0.02)
    half = one(Training(run, schedule=lambda step, steps: 0.5), dataset)
    slow = one(make_run(optimizer=optimizer, learning_rate=0.01), dataset)
    assert half["test_loss"] == slow["test_loss"] != one(run, dataset)["test_loss"]


def test_a_start_is_where_it_begins(dataset):
    run = make_run()
    start = one(make_run(seed=7), dataset, parameters=True)["parameters"]
    row = one(Training(run, start=start), dataset)
    assert_trained(row, by_hand(run, dataset, start=start))
    assert row["start_loss"] < one(run, dataset)["start_loss"] - 0.1


@pytest.mark.parametrize("optimizer", ["sgd", "momentum"])
def test_a_rule_replaces_the_optimizer_s(dataset, optimizer):
    """Of plain SGD, too, which else does without a gradient."""
    steps = []

    def against_a_decay(parameters, gradient, state, learning_rate, step):
        steps.append(int(step))
        parameters.add_(gradient + 0.1 * parameters, alpha=-learning_rate)

    run = make_run(optimizer=optimizer, learning_rate=0.03)
    row = one(Training(run, rule=against_a_decay), dataset, parameters=True)
    assert steps == list(range(1, run.steps + 1))
    shape = Architecture(run.depth, run.block, run.activation, run.width)
    network = PlainNetwork(Network.initial(shape, [(run.init, run.seed)], torch.float64))
    theirs = torch.optim.SGD(network.parameters(), lr=run.learning_rate, weight_decay=0.1)
    for epoch in (1, 2):
        for index in streams.permutation(150, run.seed, "order", epoch).split(run.batch_size):
            pixels = dataset.train.images[index].double() / 255
            logits = network((pixels - dataset.mean) / dataset.deviation)
            theirs.zero_grad()
            functional.cross_entropy(logits, dataset.train.labels[index]).backward()
            theirs.step()
    first = network.linears[0].weight.T.flatten().detach()
    torch.testing.assert_close(row["parameters"][: len(first)].double(), first, rtol=0, atol=1e-4)


def test_a_rule_has_the_optimizer_s_state_and_the_schedule_s_rate(dataset):
    run = make_run(optimizer="momentum", learning_rate=0.02)

    def by_the_book(parameters, gradient, state, learning_rate, step):
        state["velocity"].mul_(0.9).add_(gradient)
        parameters.add_(state["velocity"], alpha=-learning_rate)

    row = one(Training(run, schedule=halving, rule=by_the_book), dataset)
    assert_trained(row, by_hand(run, dataset, halving))


@pytest.mark.parametrize("block", [0, 2])
def test_a_block_is_those_images_and_no_others(dataset, block):
    run = make_run(images=50)
    images = torch.arange(50 * block, 50 * block + 50)
    assert_trained(one(Training(run, block=block), dataset), by_hand(run, dataset, images=images))


def test_a_subset_is_those_images_in_its_own_order(dataset):
    run = make_run(images=70)
    images = streams.permutation(150, "any")[:70]
    assert_trained(one(Training(run, subset=images), dataset), by_hand(run, dataset, images=images))


def test_a_block_is_the_subset_of_its_images(dataset):
    runs = [make_run(images=50, seed=seed) for seed in (0, 1)]
    blocks = training.train([Training(r, block=2 - r.seed) for r in runs], dataset)
    subsets = [torch.arange(100, 150), torch.arange(50, 100)]
    trainings = [Training(r, subset=s) for r, s in zip(runs, subsets, strict=True)]
    assert training.train(trainings, dataset) == blocks


# ---- Failures -----------------------------------------------------------------------------------


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_run_that_becomes_nan_scores_chance(dataset, epochs):
    """At its very last update, too, after the last loss was looked at."""
    run = make_run(learning_rate=1e38, batch_size=150, epochs=epochs)
    row = one(run, dataset, parameters=True)
    assert OUTCOMES[row["outcome"]] == "nan"
    assert row["test_accuracy"] == row["validation_accuracy"] == CHANCE
    assert math.isnan(row["running_loss"]) and math.isnan(row["test_loss"])
    assert row["parameters"] is None and row["start_loss"] < 5


def test_a_run_that_ends_leaves_the_others_alone(dataset):
    """Nor its schedule, start or images."""
    good = [
        Training(make_run(images=50, seed=seed), schedule=halving, block=seed) for seed in (0, 2)
    ]
    bad = Training(make_run(images=50, seed=1, learning_rate=1e38), block=1)
    first, failed, last = training.train([good[0], bad, good[1]], dataset)
    assert [first, last] == training.train(good, dataset)
    assert OUTCOMES[failed["outcome"]] == "nan" and failed["test_accuracy"] == CHANCE


# ---- Fusing -------------------------------------------------------------------------------------


def mixture():
    """Trainings of all kinds, whose batches are not in their order."""
    start = torch.full((Stacked.row_length(Architecture(2, "plain", "relu", 32)),), 0.01)
    subset = streams.permutation(150, "any")[:50]

    def slow(parameters, gradient, state, learning_rate, step):
        parameters.add_(gradient, alpha=-0.1 * learning_rate)

    return [
        make_run(seed=1),
        Training(make_run(seed=0, learning_rate=0.02), schedule=halving),
        Training(make_run(seed=0, images=50), block=1),
        Training(make_run(seed=0, images=50), block=2),
        Training(make_run(seed=0, images=50, learning_rate=0.02), block=1),
        Training(make_run(seed=1, images=50), subset=subset),
        Training(make_run(seed=0), rule=slow),
        make_run(seed=0, optimizer="adam", learning_rate=0.001),
        Training(make_run(seed=0, optimizer="adam", learning_rate=0.001), start=start),
        Training(make_run(seed=2), subset=streams.permutation(150, "all")),
        make_run(seed=0, width=64),
        make_run(seed=0),
    ]


def comparable(row):
    return {name: value for name, value in row.items() if name != "parameters"}


@pytest.mark.parametrize("cache", [1, 2**16, 2**30])
def test_the_same_bits_whatever_is_fused_and_in_the_given_order(dataset, cache, monkeypatch):
    alone = [one(what, dataset, parameters=True) for what in mixture()]
    monkeypatch.setattr(machine, "l2_cache_bytes", lambda: cache)
    together = training.train(mixture(), dataset, parameters=True)
    for mine, theirs in zip(together, alone, strict=True):
        assert comparable(mine) == comparable(theirs)
        assert torch.equal(mine["parameters"], theirs["parameters"])
    runs = [what.run if isinstance(what, Training) else what for what in mixture()]
    for run, row in zip(runs, together, strict=True):
        assert run.row().items() <= row.items()
    assert len({row["test_loss"] for row in together}) == len(together)


def test_nothing_to_train(dataset):
    assert training.train([], dataset) == []


# ---- Loops --------------------------------------------------------------------------------------


def test_after_each_epoch_and_no_further_than_asked(dataset):
    batch = training.Batch([Training(make_run(epochs=5, seed=seed)) for seed in (0, 1)], dataset)
    seen = []

    def stop_after_two(epoch, going):
        seen.append((epoch, len(going), batch.steps))
        return epoch == 2

    every, going = training.to_the_end(batch, stop_after_two)
    assert seen == [(1, 2, 5), (2, 2, 10)] and every == going and every[0].steps == 10


def test_each_step_goes_where_the_epochs_go(dataset):
    run = make_run(epochs=2)
    batch = training.Batch([Training(run, schedule=halving)], dataset)
    assert list(training.each_step(batch, run.steps)) == list(range(1, run.steps + 1))
    row = one(Training(run, schedule=halving), dataset, parameters=True)
    assert torch.equal(batch.network.parameters.flat[0], row["parameters"])
    assert list(training.each_step(batch, run.steps)) == []


def test_each_step_lets_runs_leave(dataset):
    """In the midst of an epoch; the epochs go on beyond the run's own."""
    batch = training.Batch([Training(make_run(epochs=1, seed=seed)) for seed in (0, 1)], dataset)
    for step in training.each_step(batch, 12):
        if step == 3:
            batch.keep([1])
    assert [run.seed for run in batch.runs] == [1] and batch.steps == 12
    alone = training.Batch([Training(make_run(seed=1))], dataset)
    assert len(list(training.each_step(alone, 12))) == 12
    assert torch.equal(batch.network.parameters.flat, alone.network.parameters.flat)


def test_bytes_of_a_batch_by_hand(dataset):
    """Pixels as bytes and floats, one hidden layer with two gradients by it, logits and theirs."""
    batch = training.Batch([Training(make_run(batch_size=8))], dataset)
    by_hand = 8 * (784 * (1 + 4) + 4 * 32 + 2 * 4 * 32 + 2 * 4 * 10)
    assert training.buffer_bytes(batch) == by_hand


# ---- What cannot be -----------------------------------------------------------------------------


def test_two_runs_of_one_seed_share_their_images(dataset):
    run = make_run(images=50)
    with pytest.raises(ValueError, match="one seed"):
        training.Batch([Training(run, block=0), Training(run, block=1)], dataset)
    assert training.Batch([Training(run, block=1), Training(run, block=1)], dataset).seeds == [0]


def test_either_all_or_none_choose_their_images(dataset):
    with pytest.raises(ValueError, match="choose"):
        training.Batch([Training(make_run()), Training(make_run(seed=1), block=0)], dataset)


def test_plain_descent_is_not_mixed_with_rules(dataset):
    trainings = [Training(make_run()), Training(make_run(), rule=lambda *of: None)]
    with pytest.raises(ValueError, match="rule"):
        training.Batch(trainings, dataset)


def test_a_block_and_a_subset():
    with pytest.raises(ValueError, match="subset"):
        Training(make_run(), block=0, subset=torch.arange(150))


def test_a_split_that_is_not_there():
    with pytest.raises(ValueError, match="validation"):
        training.train([make_run()], TinyDataset(validation=None))


# ---- Runs and data sets by the settings ---------------------------------------------------------


def test_a_run_has_the_defaults_but_for_what_is_said():
    made = training.run({"device": "cuda"}, 100, 3, depth=6, dataset="fashion_mnist")
    assert (made.depth, made.dataset, made.images, made.seed) == (6, "fashion_mnist", 100, 3)
    assert (made.device, made.optimizer, made.learning_rate) == ("cuda", "adam", 0.001)


def test_a_data_set_is_on_the_device_of_the_settings(monkeypatch):
    monkeypatch.setattr(train, "Dataset", lambda *given: given)
    torch.set_num_threads(2)
    found = training.prepared("mnist", {"data": "folder", "device": "cuda"}, 100)
    assert found == ("mnist", "folder", 100, "cuda") and torch.get_num_threads() == 1
