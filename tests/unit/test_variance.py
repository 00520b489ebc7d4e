"""The experiment on variance: identities that fail when broken, gains and growth of networks whose
truth is known, and the whole measurement on small settings."""

import math

import numpy as np
import pytest
import torch

from finicky.exhibits import variance as exhibit
from finicky.experiments import random_networks as networks
from finicky.experiments import signals, tidy, training
from finicky.experiments import variance as experiment
from finicky.experiments.grid import MEANT_FOR

from .engine_fixtures import TinyDataset, training_process
from .sentences import finding

SETTINGS = {
    "datasets": ["mnist"], "trials": 3, "samples": 2000, "images": 8, "width": 16,
    "depths": [6, 10], "draws": 1,
    "spectra": 2, "train_images": 150, "epochs": 1, "train_depth": 6, "train_width": 8,
    "test_images": 30, "rates": {"sgd": [0.01, 0.1], "adam": [0.001]}, "seeds": [0, 1],
    "data": "nowhere", "device": "cpu",
}  # fmt: skip


pytestmark = pytest.mark.usefixtures("process")


@pytest.fixture
def data():
    dataset = TinyDataset()
    return dataset.first(8, torch.float64)


# ---- Identities ---------------------------------------------------------------------------------


def values(seed=0, trials=5):
    return {row["quantity"]: row["value"] for row in experiment.identities(seed, trials)}


def test_the_laws_hold():
    found = values()
    for name in ("variance_law_error", "second_moment_law_error", "uniform_variance_error"):
        assert found[name] < 1e-12, name
    # E[h²]/Var(h) - 1 of a rectified Gaussian: 0.5/0.3408 - 1
    assert found["variance_law_off_after_relu"] == pytest.approx(0.467, abs=0.02)


def test_every_state_of_the_weights_is_summed():
    h = np.array([[1.0, 2.0], [-3.0, 0.5]])
    z = [s * a + t * b for a, b in h for s in (-0.7, 0.7) for t in (-0.7, 0.7)]
    assert experiment.variance_over_all(0.7, h) == pytest.approx(np.var(z))


def test_a_wrong_variance_of_z_is_seen(monkeypatch):
    right = experiment.variance_over_all
    monkeypatch.setattr(experiment, "variance_over_all", lambda d, h: right(d, h) / h.shape[1])
    assert values()["variance_law_error"] > 0.1
    monkeypatch.setattr(experiment, "variance_over_all", lambda d, h: right(d, h + 0.1))
    assert values()["variance_law_error"] > 1e-6


@pytest.mark.parametrize("wrong", [lambda a, b: 2 / a, lambda a, b: 1 / (a + b)])
def test_a_wrong_rule_of_xavier_is_seen(wrong, monkeypatch):
    monkeypatch.setattr(networks, "prescribed", lambda init, a, b: wrong(a, b))
    assert values()["uniform_variance_error"] > 0.1


def test_a_rectified_gaussian():
    found = {row["quantity"]: row["value"] for row in experiment.rectified(0, 200_000)}
    assert found["relu_mean"] == pytest.approx(1 / math.sqrt(2 * math.pi), abs=0.005)
    assert found["relu_second_moment"] == pytest.approx(0.5, abs=0.01)
    assert found["relu_variance"] == pytest.approx(0.5 - 1 / (2 * math.pi), abs=0.01)


# ---- Networks whose truth is known --------------------------------------------------------------


def untrained(data, init, activation, depth=10, cycle=(1,), **settings):
    start = signals.Start(SETTINGS | {"width": 64, "draws": 4} | settings, init, depth, cycle)
    return signals.Untrained(start, activation, *data)


def of(rows, quantity, **where):
    found = [
        row["value"]
        for row in rows
        if row["quantity"] == quantity and all(row.get(k) == v for k, v in where.items())
    ]
    assert found, (quantity, where)
    return float(np.median(found))


def test_gains_are_those_of_the_layers(data):
    for init, kind, forward, backward in (
        ("he", "equal", 1, 1),
        ("xavier", "equal", 1 / 2, 1 / 2),
        ("he", "widening", 1, 4),
        ("he", "narrowing", 1, 1 / 4),
        ("xavier", "widening", 1 / 5, 4 / 5),
        ("xavier", "narrowing", 4 / 5, 1 / 5),
    ):
        cycle = (1,) if kind == "equal" else (0.5, 2)
        rows = untrained(data, init, "relu", cycle=cycle, draws=10).gains()
        second = of(rows, "forward_gain", layers=kind, statistic="second moment")
        assert second == pytest.approx(forward, rel=0.15), (init, kind)
        assert of(rows, "backward_gain", layers=kind) == pytest.approx(backward, rel=0.2)


def test_gains_of_a_linear_network(data):
    rows = untrained(data, "lecun", "identity", draws=10).gains()
    assert of(rows, "forward_gain_at_fan_in", layers="equal") == pytest.approx(1, rel=0.1)
    rows = untrained(data, "fan_out", "identity", cycle=(0.5, 2), draws=10).gains()
    assert of(rows, "backward_gain_at_fan_out", layers="widening") == pytest.approx(1, rel=0.15)
    assert of(rows, "backward_gain_at_fan_out", layers="narrowing") == pytest.approx(1, rel=0.15)


def test_exponential_laws_are_told_from_others(data):
    for init, activation, quantity, exponent in (
        ("normal_std_1", "relu", "growth_exponent", 1),
        ("normal_std_1", "tanh", "growth_exponent", 0),
        ("normal_std_0.001", "tanh", "shrink_exponent", 1),
        ("normal_std_0.001", "sigmoid", "shrink_exponent", 0),
        ("normal_std_0.001", "relu", "growth_exponent", 0),
    ):
        rows = untrained(data, init, activation, depth=20).growth()
        found = of(rows, quantity, statistic="second moment")
        assert found == pytest.approx(exponent, abs=0.15), (init, activation)


def test_growth_over_the_norm(data):
    """A linear layer of n units multiplies lengths by σ√n; its matrix has the norm 2σ√n (for large
    n: Geman 1980, Annals of Probability 8)."""
    rows = untrained(data, "normal_std_1", "identity", depth=20).growth()
    expected = math.log(math.sqrt(64)) / math.log(2 * math.sqrt(64))
    assert of(rows, "growth_over_norm") == pytest.approx(expected, abs=0.03)


def test_the_rank_of_a_gradient_of_eight_images(data):
    network = untrained(data, "lecun", "identity")
    for _ in range(2):
        assert of(network.gradient_rank(), "gradient_rank") == 8
        network.gradients[1].mul_(1e-5)  # the gradient's length is not in its rank


def test_measured_moments_are_the_predicted_ones(data):
    for activation, init in MEANT_FOR.items():
        rows = untrained(data, init, activation, depth=6, draws=10).profile()
        assert of(rows, "prediction_off") < 0.5
        for statistic in ("second moment", "variance"):
            found, expected = (
                of(rows, q, layer=3, statistic=statistic) for q in ("signal", "signal_predicted")
            )
            assert found == pytest.approx(expected, rel=0.4), (activation, statistic)
        found, expected = (of(rows, q, layer=1) for q in ("gradient", "gradient_predicted"))
        assert found == pytest.approx(expected, rel=0.6), activation


def test_gradients_by_weights_are_autograds(data):
    network = untrained(data, "he", "tanh", depth=6, draws=1)
    x, labels = data
    layers = [w[0].clone().requires_grad_() for w in network.start.layers]
    h = x
    for w in layers[:-1]:
        h = torch.tanh(h @ w)
    torch.nn.functional.cross_entropy(h @ layers[-1], labels, reduction="sum").backward()
    lengths = [float(w.grad.norm()) for w in layers]
    rows = network.gradient_ratios("gradient_ratio")
    assert rows[0]["seed"] == 0
    assert rows[0]["value"] == pytest.approx(math.log2(lengths[0] / lengths[-1]))
    second = next(row for row in rows if row["between"] == "second and last but one")
    assert second["value"] == pytest.approx(math.log2(lengths[1] / lengths[-2]))


def test_spectra_of_a_linear_orthogonal_network(data):
    rows = signals.spectra(SETTINGS, data[0])
    linear = {"activation": "identity", "matrix": "orthogonal", "depth": 10}
    assert of(rows, "isometry_defect", **linear) < 1e-12
    assert of(rows, "within_factor_two", **linear) == 50
    assert of(rows, "gaussian_minus_orthogonal", activation="identity", depth=10) > 0.3
    assert of(rows, "older_minus_meant", activation="tanh", depth=10, init="normal_std_0.001") > 5
    # more than half of a ReLU network's directions are lost
    lost = [r for r in rows if r["quantity"] == "singular_value" and r["activation"] == "relu"]
    assert all(r["percentile"] > 10 for r in lost)


# ---- All of it ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def table():
    patch = pytest.MonkeyPatch()
    patch.setattr(training, "prepared", lambda *arguments: TinyDataset())
    with training_process():
        yield experiment.measure(SETTINGS, {})
    patch.undo()


def test_rates_fall_to_zero():
    factors = [experiment.to_zero(step, 4) for step in range(5)]
    assert factors == [1, 0.75, 0.5, 0.25, 0]


def test_the_measurement(table):
    tidy.check(table, experiment)
    assert set(table["quantity"]) == set(experiment.QUANTITIES)
    counts = table.groupby([c for c in table if c not in ("value", "a", "b")], dropna=False).size()
    assert (counts == 1).all()
    rank = table[(table["quantity"] == "gradient_rank") & (table["init"] == "zeros")]
    assert len(rank) and (rank["value"] == 0).all()
    assert np.isfinite(table["value"]).all()


def test_the_exhibits(table):
    for figure in (exhibit.f12, exhibit.f13, exhibit.f14):
        drawn, data = figure(table)
        assert finding(drawn) and len(data)
    # every median that the finding of F14 can name is on the axes
    at = table[(table["quantity"] == "singular_value") & (table["percentile"] == 50)]
    meant = at[at["init"] == at["activation"].map(exhibit.MEANT)]
    low = table.assign(value=table["value"].where(~table.index.isin(meant.index), -60.0))
    assert exhibit.f14(low)[0].axes[0].get_ylim()[0] < -60
    t02, t04 = exhibit.t02(table, {}), exhibit.t04(table, {})
    assert "the chapter calls best" in finding(t02) and "come out within" in finding(t04)
    assert [len(body.rows) for body in t02.bodies] == [5, 5, 5]
    assert len(t04.bodies) == 5
    assert all(row.cells[1].n for body in t04.bodies for row in body.rows)
