"""Weight decay, schedules, label noise, widths and batches as axes: identity, bits, formulas."""

import hashlib
import json
from dataclasses import replace

import pytest
import torch

from finicky import runs, sources
from finicky.engine import cuda, train
from finicky.engine.optimizers import OPTIMIZERS
from finicky.engine.probes import PROBE_IMAGES, probe

from .engine_fixtures import TinyDataset, bits, make_run, training_process
from .test_runs import planned

# ---------------------------------------------------------------- identity

TODAY = {
    "dataset", "images", "epochs", "depth", "block", "activation", "init", "optimizer",
    "learning_rate", "batch_size", "width", "seed", "device", "scheme", "data", "normalisation",
    "dtype", "torch", "code",
}  # fmt: skip


def identity(monkeypatch, run):
    """What a run's id is the hash of."""
    texts = []
    sha256 = hashlib.sha256
    monkeypatch.setattr(
        runs.hashlib, "sha256", lambda text: texts.append(text.decode()) or sha256(text)
    )
    assert run.id == sha256(texts[-1].encode()).hexdigest()[:20]
    return json.loads(texts[-1])


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_at_default_levels_the_identity_has_the_keys_of_before(monkeypatch, optimizer):
    found = identity(monkeypatch, make_run(optimizer=optimizer))
    assert set(found) == TODAY and len(found["code"]) == 4
    assert found["data"] == runs.data.DATASETS["mnist"]["files"]
    assert found["normalisation"] == [0.1307, 0.3081]


def test_an_id_of_before(monkeypatch):
    """The same code and torch, the same id as without these axes."""
    monkeypatch.setattr(sources, "core_code", lambda device: "core")
    monkeypatch.setattr(sources, "level_code", lambda axis, level: f"{axis} {level}")
    monkeypatch.setattr(runs, "version", lambda package: "2.0.0")
    runs.forget()
    try:
        assert make_run().id == "f91547e47e7d94870a75"
    finally:
        runs.forget()


def test_other_levels_enter_it(monkeypatch):
    levels = {"weight_decay": 0.1, "schedule": "cosine", "label_noise": 0.2}
    found = identity(monkeypatch, make_run(**levels))
    assert set(found) == TODAY | set(levels)
    assert found["code"][4] == sources.level_code("schedule", "cosine")


# ---------------------------------------------------------------- planning


def test_each_new_axis_is_a_list_of_levels():
    plan = planned(
        {
            "images": [640, 1280], "epochs": [1, 2], "width": [32, 64], "batch_size": [32, 64],
            "weight_decay": [0, 0.01], "schedule": ["constant", "cosine"], "label_noise": [0, 0.2],
        }
    )  # fmt: skip
    assert len(plan.subgrids) == 2**7
    for axis in ("images", "epochs", *runs.LATER, "width", "batch_size"):
        assert len({getattr(run, axis) for run in plan.subgrids}) == 2
    usual = [run for run, purposes in plan.purposes.items() if purposes]
    assert usual == []  # 64 a batch, but no width of 128


def test_one_level_may_stand_alone():
    assert planned({"width": 64, "schedule": "step", "label_noise": 0.1}).subgrids == planned(
        {"width": [64], "schedule": ["step"], "label_noise": [0.1]}
    ).subgrids  # fmt: skip


def test_the_optimizer_s_own_decay_is_its_default_level():
    grid = {"optimizer": ["sgd", "adamw"], "weight_decay": [0, 0.01], "learning_rate": [0.1]}
    decays = {(run.optimizer, run.weight_decay) for run in planned(grid).subgrids}
    assert decays == {("sgd", None), ("sgd", 0.01), ("adamw", 0.0), ("adamw", None)}
    rows = {run.row()["weight_decay"] for run in planned(grid).subgrids}
    assert rows == {0.0, 0.01}


def test_only_usual_levels_serve_the_chapter():
    plan = planned({"width": [64, 128], "label_noise": [0, 0.1], "weight_decay": [0, 0.1]})
    served = [run for run, purposes in plan.purposes.items() if purposes == ["comparison"]]
    assert [(run.width, run.label_noise, run.weight_decay) for run in served] == [(128, 0.0, None)]


def test_larger_networks_and_batches_cost_more():
    small, wide, full = (make_run(**sizes) for sizes in ({}, {"width": 1024}, {"batch_size": 150}))
    assert runs.seconds(wide) > 4 * runs.seconds(small) > 0
    assert runs.seconds(full) < runs.seconds(small), "five steps are one"
    network, batch = runs.memory(make_run(width=320_000, depth=6))
    assert network > 16 * 4 * 320_000**2 and batch < 1e9


# ---------------------------------------------------------------- weight decay

DECAY = 0.03
THEIRS = {
    "sgd": lambda p, lr: torch.optim.SGD(p, lr, weight_decay=DECAY),
    "momentum": lambda p, lr: torch.optim.SGD(p, lr, momentum=0.9, weight_decay=DECAY),
    "rmsprop": lambda p, lr: torch.optim.RMSprop(p, lr, alpha=0.9, weight_decay=DECAY),
    "adam": lambda p, lr: torch.optim.Adam(p, lr, weight_decay=DECAY),
    "adamw": lambda p, lr: torch.optim.AdamW(p, lr, weight_decay=DECAY),
}


@pytest.mark.parametrize("name", THEIRS)
def test_decay_is_that_of_pytorch_s_optimizer(name):
    random = torch.Generator().manual_seed(0)
    ours = OPTIMIZERS[name].with_decay(DECAY)
    flat = torch.randn(1, 48, generator=random, dtype=torch.float64)
    state = {key: torch.zeros_like(flat) for key in ours.state}
    twin = flat.clone().requires_grad_()
    optimizer = THEIRS[name]([twin], 0.01)
    for step in range(1, 21):
        twin.grad = torch.randn(1, 48, generator=random, dtype=torch.float64)
        ours.update(flat, twin.grad.clone(), state, 0.01, torch.tensor(float(step)))
        optimizer.step()
        torch.testing.assert_close(flat, twin.detach(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("block", ["plain", "batch_norm_residual"])
@pytest.mark.parametrize("name", THEIRS)
def test_every_parameter_decays_in_training(name, block):
    """Weights, biases, γ and β: PyTorch's optimizer on the engine's gradients, step by step."""
    run = make_run(optimizer=name, weight_decay=DECAY, learning_rate=0.01, block=block, depth=4)
    with training_process(), torch.no_grad():
        batch = train.FusedBatch([run], TinyDataset(), dtype=torch.float64)
        twin = batch.network.parameters.flat.clone().requires_grad_()
        optimizer = THEIRS[name]([twin], 0.01)
        for index, targets in batch.batches(1):
            b = batch.load(index)
            batch.network.forward(b, update_statistics=False)
            batch.compute_loss(b, targets)
            batch.network.backward(b)
            gradient = batch.network.gradients.flat.clone()
            for bias in batch.network.gradients.biases[:-1] if "norm" in block else ():
                assert bias.eq(0).all(), "what batch norm makes of no effect has no gradient"
            twin.grad = gradient
            batch.step(index, targets)
            optimizer.step()
            torch.testing.assert_close(
                batch.network.parameters.flat, twin.detach(), rtol=1e-9, atol=1e-12
            )


def test_the_own_decay_can_be_named():
    (own,) = planned({"optimizer": ["adam"], "weight_decay": [0.0]}).subgrids
    assert own.weight_decay is None
    assert sources.own_decay("adamw") == 0.01 and sources.own_decay("sgd") == 0.0


# ---------------------------------------------------------------- label noise


def noisy(noise, seeds=(0, 1), images=1000):
    """Which labels are others, [S, N], and the classes that they became."""
    dataset = TinyDataset(images=images)
    seen = dataset.seen_by([make_run(label_noise=noise, seed=seed) for seed in seeds])
    return seen.labels.squeeze(1) != dataset.train.labels, seen.labels.squeeze(1), dataset


def test_a_fixed_share_of_labels_is_another_class():
    changed, labels, dataset = noisy(0.3)
    assert changed.sum(1).tolist() == [300, 300]
    assert not torch.equal(changed[0], changed[1]), "each seed has its own"
    away = (labels - dataset.train.labels)[changed] % 10
    counts = torch.bincount(away, minlength=10)
    assert counts[0] == 0 and counts[1:].min() > 40, "each other class is as likely as any"


def test_noise_is_named_by_its_seed_and_nested():
    little, some = noisy(0.1), noisy(0.3)
    assert torch.equal(some[1], noisy(0.3)[1])
    assert (some[0] | ~little[0]).all() and torch.equal(some[1][little[0]], little[1][little[0]])


def test_without_noise_nothing_is_copied():
    dataset = TinyDataset()
    assert dataset.seen_by([make_run()]) is dataset.train


def test_a_network_learns_the_noisy_labels_and_is_tested_on_clean_ones():
    """Half of the labels are wrong: it knows them all, and on the others it is worse for it."""
    levels = {"optimizer": "adam", "learning_rate": 0.01, "epochs": 60, "width": 128}
    with training_process():
        dataset = TinyDataset()
        ends = [
            train.train([make_run(**levels, label_noise=noise)], dataset)[0]["curves"][-1]
            for noise in (0, 0.5)
        ]
    assert [end["train_accuracy"] for end in ends] == [100, 100]
    assert ends[0]["test_accuracy"] == 100 and 60 < ends[1]["test_accuracy"] < 95


def test_probes_and_evaluation_see_the_same_labels():
    runs_ = [make_run(label_noise=0.4, seed=seed) for seed in (0, 1)]
    with training_process(), torch.no_grad():
        dataset = TinyDataset()
        batch = train.FusedBatch(runs_, dataset, dtype=torch.float64)
        images, clean = dataset.first(PROBE_IMAGES, torch.float64)
        targets = batch.train.labels[..., :PROBE_IMAGES]
        of_both = probe(batch.network, images, targets)
        for row in (0, 1):
            (alone,) = probe(batch.network.keep([row]), images, targets[row, 0])
            assert alone["gradient_norm"] == pytest.approx(of_both[row]["gradient_norm"])
        assert of_both != probe(batch.network, images, clean)


# ---------------------------------------------------------------- bits

LEVELS = [
    {"weight_decay": 0.01},
    {"weight_decay": 0.0, "optimizer": "adamw"},
    {"weight_decay": 0.01, "optimizer": "adam", "block": "batch_norm"},
    {"schedule": "cosine", "optimizer": "momentum"},
    {"schedule": "warm_up", "weight_decay": 0.001, "label_noise": 0.2, "optimizer": "adamw"},
    {"label_noise": 0.3},
    {"label_noise": 0.3, "block": "batch_norm_residual", "batch_size": 75, "width": 96},
]


@pytest.mark.parametrize("levels", LEVELS)
def test_fused_equals_alone(levels):
    """To the bit; and by the GPU's way, which makes a gradient where a CPU descends."""
    one = [
        make_run(**{"optimizer": "sgd", "epochs": 4} | levels | more)
        for more in (
            {"seed": 0, "learning_rate": 0.01}, {"seed": 1, "learning_rate": 0.01},
            {"seed": 0, "learning_rate": 0.001, "init": "xavier"}, {"seed": 2, "init": "lecun"},
        )
    ]  # fmt: skip
    with training_process():
        dataset = TinyDataset()
        together = list(map(bits, train.train(one, dataset)))
        assert together == [bits(record) for run in one for record in train.train([run], dataset)]
        if one[0].optimizer != "sgd" or one[0].weight_decay is not None:
            ((_, records),) = cuda.train_each([(one, dataset)], "cpu")
            assert together == list(map(bits, records))
    assert len(set(together)) == len(one)


def test_levels_of_every_axis_make_a_difference():
    with training_process():
        dataset = TinyDataset()
        usual = make_run(optimizer="adam", learning_rate=0.01, epochs=4)
        changes = [{}, *({axis: level} for axis, level in [
            ("weight_decay", 0.1), ("schedule", "step"), ("label_noise", 0.2), ("width", 64),
            ("batch_size", 30),
        ])]  # fmt: skip
        found = [train.train([replace(usual, **change)], dataset)[0] for change in changes]
    assert len({bits(record) for record in found}) == len(changes)


def test_what_cannot_be_trained_together_is_not_fused():
    plan = planned(
        {"weight_decay": [0, 0.1], "schedule": ["constant", "linear"], "label_noise": [0, 0.1]},
        seeds=2,
    )
    (shard,) = plan.shards.values()
    for batch in runs.fused_batches(shard, cache_bytes=2**24):
        assert len({(run.weight_decay, run.schedule, run.label_noise) for run in batch}) == 1
        assert len(batch) == 2


def test_large_batches_share_their_memory_with_few():
    plan = planned({"depth": [2], "batch_size": [64, 60_000], "images": 60_000}, seeds=8)
    (shard,) = plan.shards.values()
    sizes = {64: [], 60_000: []}
    for batch in runs.fused_batches(shard, cache_bytes=2**24):
        sizes[batch[0].batch_size].append(len(batch))
    assert sizes == {64: [8], 60_000: [1] * 8}
