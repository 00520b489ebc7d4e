"""Dead ReLUs: counts against brute force, what a dead unit's optimizer does, and comparisons."""

import pandas as pd
import pytest
import torch

from finicky.engine import train
from finicky.engine.network import Architecture, Network
from finicky.exhibits import dead_relus as exhibit
from finicky.experiments import dead_relus as experiment
from finicky.experiments import tidy, training

from .engine_fixtures import TinyDataset
from .measurements import assert_whole
from .sentences import finding

SETTINGS = {
    "datasets": ["mnist"], "depth": [2], "width": 16, "images": 150, "epochs": 1,
    "higher": [100], "killed_after": 5, "followed_for": 5, "seeds": [0, 1], "data": "nowhere",
    "device": "cpu",
}  # fmt: skip


pytestmark = pytest.mark.usefixtures("process")


@pytest.fixture
def dataset():
    return TinyDataset()


def networks(activation="relu", depth=6, init="he", width=16):
    shape = Architecture(depth, "plain", activation, width)
    return Network.initial(shape, [(init, seed) for seed in (0, 1)])


def test_units_are_counted_over_all_images(dataset, monkeypatch):
    monkeypatch.setattr(experiment, "CHUNK", 40)
    made = networks()
    parts = made.parameters
    parts.biases[0][0, 0, 3] = -1e6
    h = dataset.normalise(dataset.train.images).expand(2, -1, -1)
    found = experiment.somewhere(made, dataset, experiment.positive)[0]
    for layer in range(5):
        h = torch.relu(h @ parts.weights[layer] + parts.biases[layer])
        assert torch.equal(found[layer], (h > 0).any(1))
    assert not found[0, 0, 3]
    share = experiment.missing(found)
    assert share[0] == pytest.approx(100 * (~found[:, 0]).float().mean().item())


def test_a_leaky_unit_always_has_a_gradient(dataset):
    made = networks("leaky_relu")
    made.parameters.biases[0][:, 0, 3] = -1e6
    fires, learns = experiment.somewhere(made, dataset, experiment.positive, made.activation.slope)
    assert not fires[0, :, 3].any() and learns.all()


def test_the_scale_of_the_weights_kills_nothing(dataset):
    """So one random start stands for all before training."""
    dead = [
        experiment.somewhere(networks(init=init), dataset, experiment.positive)
        for init in ("he", "xavier", "normal_std_1", "normal_std_0.001")
    ]
    assert all(torch.equal(dead[0], other) for other in dead[1:])
    zeros = experiment.somewhere(networks(init="zeros"), dataset, experiment.positive)
    assert not zeros.any()


@pytest.mark.parametrize("layer", [0, 2])
def test_every_other_unit_is_made_dead_and_no_more(layer, dataset):
    made = networks(width=32)
    before = experiment.somewhere(made, dataset, experiment.positive)[0][layer]
    followed = experiment.kill(made, dataset, layer)
    assert followed.dead[:, ::2].all()
    after = experiment.somewhere(made, dataset, experiment.positive)[0][layer]
    assert torch.equal(after[:, 1::2], before[:, 1::2]) and after[:, 1::2].any()


def test_the_gradient_of_the_living_is_not_zero(dataset):
    """What the identity rests on: the ratio would see a gradient."""
    made = networks()
    followed = experiment.kill(made, dataset, 0)
    training.gradients(made, dataset.normalise(dataset.train.images), dataset.train.labels)
    weights, biases = made.gradients.weights[0], made.gradients.biases[0]
    assert followed.ratio(weights, biases).tolist() == [0, 0]
    wrong = experiment.Followed(0, followed.dead.roll(1, 1), followed.weights, followed.biases)
    assert (wrong.ratio(weights, biases) > 0.1).all()
    biases[0, 0, 0] = 1e-3
    assert followed.ratio(weights, biases)[0] > 1e-6


def test_sgd_leaves_a_dead_unit_and_memory_does_not(dataset, monkeypatch):
    monkeypatch.setattr(experiment.arms, "RATES", experiment.arms.RATES | {"momentum": 0.01})
    found = {}
    for optimizer in ("sgd", "momentum", "adam", "adamw"):
        rows = pd.DataFrame([*experiment.followed(dataset, "mnist", optimizer, SETTINGS)])
        assert set(rows["layer"]) == {1, 3} and len(rows) == 12
        assert (rows[rows["quantity"] == "gradient_of_dead"]["value"] == 0).all()
        changes = rows[(rows["quantity"] == "change_of_dead") & (rows["layer"] == 1)]
        found[optimizer] = changes["value"].max()
    assert found["sgd"] == 0
    assert min(found["momentum"], found["adam"], found["adamw"]) > 1e-4


def rows(**dead):
    """Trainings at SGD's two rates; dead: {"activation, init": shares at 0.01 and at 1}."""
    found = []
    for name, shares in dead.items():
        activation, init = name.split("__")
        for rate, share in zip((0.01, 1.0), shares, strict=True):
            for seed in (0, 1):
                found.append(
                    {"activation": activation, "init": init, "depth": 2, "optimizer": "sgd",
                     "learning_rate": rate, "seed": seed, "outcome": "finite", "dead": share + seed,
                     "without_gradient": 0.0 if activation == "leaky_relu" else share + seed,
                     "test_accuracy": 90 - share}
                )  # fmt: skip
    return pd.DataFrame(found)


def test_comparisons_by_hand():
    table = rows(
        relu__he=(2, 30), relu__xavier=(4, 20), relu__zeros=(98, 98), relu__normal_std_1=(3, 40),
        **{"relu__normal_std_0.001": (50, 60), "leaky_relu__normal_std_0.001": (5, 6)},
        leaky_relu__he=(1, 25), leaky_relu__xavier=(1, 1), leaky_relu__zeros=(98, 98),
        leaky_relu__normal_std_1=(1, 1),
    )  # fmt: skip
    found = tidy.from_rows(experiment.comparisons(table), experiment.CONDITIONS)

    def value(quantity, rate, init, remedy=None):
        rows = found[(found["quantity"] == quantity) & (found["learning_rate"] == rate)]
        rows = rows[(rows["init"] == init) & (rows["seed"] == 0)]
        rows = rows[rows["remedy"] == remedy] if remedy else rows
        return rows["value"].tolist()

    assert value("killed_by_rate", 1.0, "he") == [28]
    assert value("killed_by_rate", 0.01, "he") == []
    assert value("killed_by_start", 0.01, "zeros") == [96]
    assert value("killed_by_start", 1.0, "zeros") == []
    assert value("halved_by_start", 0.01, "normal_std_0.001", "he") == [25 - 2]
    assert value("halved_by_start", 1.0, "normal_std_0.001", "xavier") == [30 - 20]
    assert value("halved_by_start", 0.01, "normal_std_1", "he") == []  # nothing to cure
    assert value("halved_by_leak", 1.0, "he") == [15 - 25]
    assert value("gradient_by_leak", 1.0, "he") == [15]
    assert value("gained_by_start", 0.01, "zeros", "he") == [96]
    assert value("gained_by_leak", 1.0, "he") == [5]
    assert found[found["quantity"] == "halved_by_leak"]["a"].isna().all()


def test_a_share_of_nan_networks_is_unknown():
    table = rows(relu__he=(2, 30), relu__xavier=(4, 20), relu__zeros=(98, 98),
                 relu__normal_std_1=(3, 40), leaky_relu__he=(1, 25), leaky_relu__xavier=(1, 1),
                 leaky_relu__zeros=(98, 98), leaky_relu__normal_std_1=(1, 1),
                 **{"relu__normal_std_0.001": (50, 60),
                    "leaky_relu__normal_std_0.001": (5, 6)})  # fmt: skip
    lost = (table["init"] == "he") & (table["learning_rate"] == 1.0) & (table["seed"] == 1)
    table.loc[lost & (table["activation"] == "relu"), "dead"] = float("nan")
    found = pd.DataFrame(experiment.comparisons(table))
    assert not ((found["quantity"] == "halved_by_leak") & (found["init"] == "he")).any()
    killed = found[(found["quantity"] == "killed_by_rate") & (found["init"] == "he")]
    assert killed["value"].isna().tolist() == [False, True]


def test_a_small_measurement_is_tidy_and_shown(dataset, monkeypatch):
    monkeypatch.setattr(train, "Dataset", lambda *arguments: dataset)
    table = experiment.measure(SETTINGS, {})
    assert_whole(table, experiment)
    zeros = table[(table["quantity"] == "killed_by_start") & (table["init"] == "zeros")]
    assert (zeros["value"] > 40).all()
    figure, behind = exhibit.f31(table)
    assert set(behind["activation"]) == {"relu", "leaky_relu"} and "dead ReLUs" in finding(figure)
    assert set(exhibit.FIGURES) == {"F31"}
    lost = (table["init"] == "he") & (table["quantity"] == "dead") & (table["activation"] == "relu")
    highest = table[table["optimizer"] == "sgd"]["learning_rate"].max()
    lost &= (table["optimizer"] == "sgd") & (table["learning_rate"] == highest)
    table.loc[lost, "value"] = float("nan")
    figure, _ = exhibit.f31(table)
    of_sgd, beside, *others = figure.axes
    assert [t.get_position()[0] for t in of_sgd.texts if t.get_text() == "NaN:\nHe"] == [highest]
    assert not any(text.get_text() == "NaN:\nHe" for text in beside.texts)
