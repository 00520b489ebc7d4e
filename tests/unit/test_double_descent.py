"""Blocks of images with wrong labels, least-norm fits, and what the curves of errors say."""

import numpy as np
import pandas as pd
import pytest
import torch

from finicky.engine import streams, train
from finicky.exhibits import double_descent as exhibit
from finicky.exhibits import style
from finicky.experiments import double_descent as descent
from finicky.experiments import tidy
from finicky.runs import FAILED

from .engine_fixtures import TinyDataset, training_process
from .sentences import finding

SETTINGS = {
    "seeds": [0, 1], "data": "nowhere", "device": "cpu", "images": 60, "test_images": 40,
    "noise": [0, 0.25], "features": [5, 30, 60, 120], "units": [2, 16], "epochs": 3,
    "learning_rate": 0.01,
}  # fmt: skip


@pytest.fixture
def samples(monkeypatch):
    monkeypatch.setattr(train, "Dataset", lambda *_: TinyDataset(images=500))
    draw = streams.permutation
    monkeypatch.setattr(streams, "permutation", lambda n, *key: draw(min(n, 500), *key))
    with training_process():
        yield descent.Samples(SETTINGS)


def test_blocks_share_images_and_have_their_share_of_wrong_labels(samples):
    assert samples.blocks == [(0, 0), (0, 1), (0.25, 0), (0.25, 1)]
    clean, other, noisy, _ = map(samples.block, range(4))
    assert (clean.images == noisy.images).all() and (clean.images != other.images).any()
    assert (clean.labels != noisy.labels).sum() == 15
    assert noisy.labels.min() >= 0 and noisy.labels.max() <= 9


def test_features_fit_from_as_many_as_images_on(samples):
    rows = pd.DataFrame(descent.random_features(samples, SETTINGS["features"]))
    assert len(rows) == 16
    assert (rows.loc[rows["size"] >= 60, "train_error"] == 0).all()
    assert (rows.loc[rows["size"] == 5, "train_error"] > 10).all()


def test_features_by_hand(samples):
    """The least norm by the pseudo-inverse, for one block."""
    (found,) = (
        row for row in descent.random_features(samples, [120])
        if (row["noise"], row["seed"]) == (0.25, 1)
    )  # fmt: skip
    block, test = samples.block(3), samples.dataset.test
    weights = torch.randn(784, 120, generator=streams.generator(1, "features")) / 28
    seen, unseen = (
        torch.relu(samples.normalised(split) @ weights).double() for split in (block, test)
    )
    fit = torch.linalg.pinv(seen) @ torch.eye(10, dtype=torch.float64)[block.labels]
    errors = (unseen @ fit).argmax(1) != test.labels
    assert found["test_error"] == pytest.approx(100 * errors.double().mean())


def test_a_network_trains_on_its_own_block(samples):
    """As the engine does on a data set of that block alone."""
    rows = pd.DataFrame(descent.trained(samples, SETTINGS))
    assert len(rows) == 8
    found = rows[(rows["size"] == 16) & (rows["noise"] == 0.25) & (rows["seed"] == 1)].iloc[0]
    alone = TinyDataset()
    alone.train, alone.test, alone.validation = samples.block(3), samples.dataset.test, None
    from finicky.runs import Run

    run = Run(
        dataset="mnist", images=60, epochs=3, depth=2, block="plain", activation="tanh",
        init="xavier", optimizer="momentum", learning_rate=0.01, batch_size=100, width=16, seed=1,
    )  # fmt: skip
    (record,) = train.train([run], alone)
    end = record["curves"][-1]
    assert found["test_error"] == pytest.approx(100 - end["test_accuracy"])
    assert found["train_error"] == pytest.approx(100 - end["train_accuracy"])


@pytest.mark.parametrize(
    "errors, rise, fall",
    [
        ([30, 20, 50, 40, 25], 30, 25),  # a peak
        ([30, 20, 21, 19, 18], 1, 3),  # hardly one
        ([30, 20, 15, 12, 10], -10, 10),  # none: errors fall all the way
    ],
)
def test_peaks(errors, rise, fall):
    curve = pd.Series(errors, index=[10, 50, 100, 300, 1000], dtype=float)
    assert descent.peak(curve, 100) == (rise, fall)


def curves(**errors):
    """Errors by size of seeds that all fit from size 100 on."""
    return pd.DataFrame(
        [
            {"size": size, "seed": int(seed[1:]), "test_error": error,
             "train_error": 0.0 if size >= 100 else 20.0}
            for seed, of_seed in errors.items()
            for size, error in zip([10, 40, 100, 400], of_seed, strict=True)
        ]
    )  # fmt: skip


def read(table):
    return {(row["quantity"], row["seed"]): row["value"] for row in descent.read_off(table)}


def test_what_the_curves_say():
    found = read(curves(s0=[30, 20, 50, 25], s1=[18, 22, 50, 21]))
    assert found["peaks_and_falls", 0] == found["peaks_and_falls", 1] == 1
    assert found["fits_from", 0] == 100
    # seed 0's small model is seed 1's best, of size 10, and the other way round
    assert found["largest_minus_best_small", 0] == 5
    assert found["largest_minus_best_small", 1] == 1
    assert found["largest_minus_fitting", 0] == 25
    assert found["fitting_minus_best_small", 0] == -20


def test_a_training_that_failed_guesses_and_says_so(samples):
    rows = pd.DataFrame(descent.trained(samples, SETTINGS | {"learning_rate": 1e38}))
    assert set(rows["outcome"]) <= set(FAILED)
    assert (rows[["test_error", "train_error"]] == 90).all(axis=None)
    told = pd.DataFrame(descent.read_off(rows[rows["noise"] == 0]))
    errors = told["quantity"].isin(["test_error", "train_error"])
    assert set(told.loc[errors, "outcome"]) <= set(FAILED)


def test_what_never_fits_has_no_peak():
    found = read(curves(s0=[30, 20, 50, 25]).assign(train_error=20.0))
    assert found["peaks_and_falls", 0] == 0
    assert ("largest_minus_fitting", 0) not in found


def test_a_run_draws(samples):
    table = descent.measure(SETTINGS | {"units": [2, 64], "epochs": 60}, {})
    tidy.check(table, descent)
    assert set(table["quantity"]) == set(descent.QUANTITIES)
    assert set(table["share_of_wrong_labels"].dropna()) == {0, 0.25}
    counted = table[table["quantity"] == "as_many_weights"].set_index("model")["value"]
    assert counted[descent.FEATURES].tolist() == [60, 60]
    assert counted[descent.TRAINED].tolist() == pytest.approx([590 / 795] * 2)
    differences = table[table["a"].notna()]
    assert np.allclose(differences["value"], differences["a"] - differences["b"])
    with style.context():
        fig, behind = exhibit.f07(table)
    assert "near the smallest model that fits" in finding(fig)
    assert set(behind["quantity"]) == {"test_error", "train_error"}


def test_a_peak_is_claimed_only_where_the_runs_decide_it(samples):
    table = descent.measure(SETTINGS, {})
    table = pd.concat([table.assign(seed=seed) for seed in range(5)])
    table = table.drop_duplicates(
        ["quantity", "seed", "model", "share_of_wrong_labels", "size"]
    )  # the same numbers from every seed
    peaks = table["quantity"] == "peaks_and_falls"
    wrong = table["share_of_wrong_labels"] == 0.25
    trained = table["model"] == descent.TRAINED
    table.loc[peaks, "value"] = 1.0
    table.loc[peaks & trained & ~wrong, "value"] = 0.0
    open_ = peaks & trained & wrong
    table.loc[open_, "value"] = [1.0, 1.0, 0.0, 0.0, 1.0]

    def said():
        with style.context():
            return exhibit.f07(table)[0].get_label()

    assert "shows for random features (" in said()
    assert "does not show for a two-layer network with true labels and is " in said()
    assert "undecided for a two-layer network with 25 % of labels wrong (3 of 5 runs)" in said()
    table.loc[open_, "value"] = 1.0
    assert "shows for random features and a two-layer network with 25 % of" in said()
    assert "undecided" not in said()


def test_one_size_of_each_and_one_label_draw(samples):
    smallest = SETTINGS | {"features": [1], "units": [1], "epochs": 1, "noise": [1]}
    table = descent.measure(smallest, {})
    tidy.check(table, descent)
    with style.context():
        assert finding(exhibit.f07(table)[0])
