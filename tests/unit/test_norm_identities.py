"""Batch norm's formulas: each against autograd, and each with a sign broken; networks at the start
against the engine, their growth against its law."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from finicky.engine.network import Architecture, Buffers, Network, cross_entropy
from finicky.exhibits import norm_identities as exhibit
from finicky.exhibits import style
from finicky.experiments import norm_formulas as formulas
from finicky.experiments import norm_identities as experiment
from finicky.experiments import normalised_start
from finicky.experiments.identities import relative_error

from .engine_fixtures import TinyDataset, training_process
from .measurements import assert_whole
from .sentences import finding

SETTINGS = {
    "seeds": [0, 1], "trials": 8, "width": [32], "depth": [10, 12], "batch_sizes": [8],
    "device": "cpu", "data": "",
}  # fmt: skip
ERRORS = {
    "jacobian": "jacobian_error",
    "by_gamma": "gamma_error",
    "by_beta": "beta_error",
    "by_normalised": "normalised_error",
    "by_variance": "variance_gradient_error",
    "by_mean": "mean_gradient_error",
    "by_input": "input_error",
    "simplified": "simplified_error",
    "summary": "summary_error",
}


def found(function, trials=10):
    """{quantity: value} of one of the generators, the last where it yields several."""
    return {q: v for q, v, _ in function(np.random.default_rng(7), trials)}


def errors():
    return found(experiment.derivatives) | found(experiment.gradients)


def test_every_formula_agrees_with_autograd():
    by_formula = errors()
    for quantity in ERRORS.values():
        assert by_formula[quantity] < 1e-11, quantity


@pytest.mark.parametrize("formula", ERRORS)
def test_a_changed_sign_spoils_its_own_formula_only(formula, monkeypatch):
    right = getattr(formulas, formula)
    monkeypatch.setattr(formulas, formula, lambda *given: -right(*given))
    wrong = {name for name, error in errors().items() if name.endswith("error") and error > 1e-10}
    assert wrong == {ERRORS[formula]}


BROKEN = {
    "jacobian": lambda x_hat, variance, eps: formulas.jacobian(0 * x_hat, variance, eps),
    "by_mean": lambda g, s, x, mean, variance, eps: (g / np.sqrt(variance)).sum(0),
    "by_input": lambda g, s, m, *at: formulas.by_input(g, 0 * s, m, *at),
    "simplified": lambda g, x_hat, *at: formulas.simplified(g, -0.9 * x_hat, *at),
    "summary": lambda g, x_hat, gamma, variance, eps: formulas.summary(
        g, x_hat, gamma**2, variance, eps
    ),
}  # fmt: skip


@pytest.mark.parametrize("formula", BROKEN)
def test_a_missing_term_is_noticed(formula, monkeypatch):
    broken = BROKEN[formula]
    originals = {name: getattr(formulas, name) for name in BROKEN}

    def changed(*given):
        with monkeypatch.context() as inner:
            inner.setattr(formulas, formula, originals[formula])
            return broken(*given)

    monkeypatch.setattr(formulas, formula, changed)
    assert errors()[ERRORS[formula]] > 1e-3


def test_the_gradient_by_the_mean_goes_both_its_ways():
    """Over a batch's own mean Σ (x − μ) is 0: the way through σ² shows only at another one."""
    random = np.random.default_rng(3)
    x, gamma, beta = experiment.batch_and_layer(random)
    loss = experiment.random_loss(random, x.shape)
    mean = torch.tensor(x.mean(0) + 0.5 * x.std(0), requires_grad=True)
    x = torch.tensor(x)
    variance = ((x - mean) ** 2).mean(0)
    x_hat = (x - mean) / (variance + 1e-5).sqrt()
    y = torch.tensor(gamma) * x_hat + torch.tensor(beta)
    by_x_hat, by_sigma, by_mean = torch.autograd.grad(loss(y), [x_hat, variance, mean])
    at = (part.detach().numpy() for part in (by_x_hat, by_sigma, x, mean, variance))
    assert relative_error(formulas.by_mean(*at, 1e-5), by_mean.numpy()) < 1e-11


def test_normalising_is_pytorchs_batch_norm():
    x = torch.tensor(np.random.default_rng(0).normal(3, 2, (20, 4)))
    torch.testing.assert_close(
        experiment.normalised(x)[0], functional.batch_norm(x, None, None, training=True, eps=1e-5)
    )


def test_autograd_by_hand_is_that_of_pytorchs_batch_norm():
    random = np.random.default_rng(3)
    x, gamma, beta = experiment.batch_and_layer(random)
    loss = experiment.random_loss(random, x.shape)
    _, by = experiment.by_autograd(x, gamma, beta, loss, 1e-5)
    leaves = [torch.tensor(v, requires_grad=True) for v in (x, gamma, beta)]
    y = functional.batch_norm(leaves[0], None, None, *leaves[1:], training=True, eps=1e-5)
    for name, gradient in zip(
        ("x", "gamma", "beta"), torch.autograd.grad(loss(y), leaves), strict=True
    ):
        assert relative_error(by[name], gradient.numpy()) < 1e-11


def test_the_variance_of_a_normalised_feature():
    values = {
        (q, where.get("deviation")): v
        for q, v, where in experiment.statistics_of_normalised(np.random.default_rng(0), 20)
    }
    assert values["mean_error", None] < 1e-10
    assert values["variance_missing", 0.0] == pytest.approx(1)
    for deviation in (0.001, 0.01, 0.1, 1.0, 10.0):
        assert values["variance_law_error", deviation] < 1e-10
        assert values["variance_error_without_eps", deviation] < 1e-10
        assert values["variance_missing", deviation] == pytest.approx(1e-5 / (deviation**2 + 1e-5))


def test_undone_for_the_same_batch_and_by_running_statistics_only():
    values = found(experiment.undone)
    assert values["undone_error"] < 1e-10 and values["undone_in_evaluation"] < 1e-10
    elsewhere = [
        v for q, v, _ in experiment.undone(np.random.default_rng(7), 10) if q == "undone_elsewhere"
    ]
    # Mean and deviation of B images are known to about 1/√B of the deviation.
    for value, size in zip(elsewhere, experiment.BATCHES, strict=True):
        assert 0.5 < value * math.sqrt(size) < 10


def test_the_derivative_is_bounded_by_eps_and_by_nothing_else():
    values = found(experiment.derivatives, 50)
    assert values["derivative_bounded"] and 300 < values["largest_derivative"] < 316.3
    assert values["largest_derivative_without_eps"] > 1e5


def test_the_gradient_is_centred_and_nearly_uncorrelated():
    values = [*experiment.projections(np.random.default_rng(0), 20)]
    left = {where["deviation"]: v for q, v, where in values if q == "correlation_left"}
    assert left[0.001] > 0.1 and left[10.0] < 1e-5
    alone = {q: v for q, v, _ in values}
    assert alone["centred_error"] < 1e-10 and alone["correlation_without_eps"] < 1e-10


def test_a_bias_is_redundant_right_before_batch_norm_only():
    values = found(experiment.biases)
    assert values["bias_gradient"] < 1e-10 and values["bias_effect"] < 1e-10
    assert values["bias_effect_in_evaluation"] > 0.01 and values["bias_gradient_after"] > 0.001


def test_the_scale_of_the_loss_is_not_in_the_gradient_by_the_bias():
    random = np.random.default_rng(0)
    sums, bias = (torch.tensor(random.standard_normal(shape)) for shape in ((20, 4), 4))
    loss = experiment.random_loss(random, (20, 4))
    one, other = (
        experiment.bias_over_beta(sums, bias, some, torch.relu)
        for some in (loss, lambda y: 100 * loss(y))
    )
    assert one == pytest.approx(other)


def test_constants_without_eps():
    rows = [*experiment.constants(np.random.default_rng(0), 50)]
    nan = {where["constant"]: v for q, v, where in rows if q == "nan_without_eps"}
    assert nan["zero"] and nan["whole number"] and not nan["fraction"]
    assert all(v for q, v, _ in rows if q == "finite_with_eps")


def test_normalising_is_no_identity():
    values = found(experiment.start_as_identity)
    assert not values["layer_is_identity"] and values["scale_and_shift_is_identity"]
    assert values["identity_distance"] > 0.001


# ---- Networks at the start -----------------------------------------------------------------------


@pytest.mark.parametrize("init", ["he", "normal_std_0.001"])  # the latter's variances are near ε
def test_gradients_at_the_start_are_the_engines(init):
    """The engine's gradient by a layer's weights is hᵀ times that by its sums."""
    dataset, seeds = TinyDataset(), [0, 1]
    with training_process():
        at = normalised_start.look(dataset, seeds, init, "relu", 6, 32, 64)
        network = Network.initial(
            Architecture(6, "batch_norm", "relu", 32), [(init, s) for s in seeds]
        )
        buffers = Buffers(network.architecture, [0, 1], 64)
        chosen = torch.stack(
            [normalised_start.permutation(150, seed, "start")[:64] for seed in seeds]
        )
        dataset.normalise(dataset.train.images[chosen], buffers.x)
        network.forward(buffers)
        cross_entropy(buffers, dataset.train.labels[chosen].unsqueeze(1))
        lengths = [delta.double().norm(dim=(1, 2)).numpy() for _, delta in network._deltas(buffers)]
    np.testing.assert_allclose(at.gradients, np.stack(lengths[::-1], 1), rtol=1e-4)


def test_the_law_of_growth_by_hand():
    relu = math.sqrt(math.pi / (math.pi - 1))
    assert normalised_start.growth_law("relu") == pytest.approx(relu, rel=1e-4)
    assert normalised_start.growth_law("identity") == pytest.approx(1, rel=1e-4)
    for size in (5, 8, 64):
        law = math.sqrt((size - 2) / (size - 3))
        assert normalised_start.growth_law("identity", size) == pytest.approx(law, rel=1e-3)


@pytest.mark.parametrize("size", [8, 64])
def test_the_law_of_relu_in_closed_form(size):
    """Orthant probability and ramp integral of two correlated normals (Cho and Saul 2009)."""
    rho = -1 / (size - 1)
    both = 0.25 + math.asin(rho) / (2 * math.pi)
    ramp = (math.sqrt(1 - rho**2) + rho * (math.pi - math.acos(rho))) / (2 * math.pi)
    backward = (1 - 2 / size) / 2 + (both + ramp) / size
    law = math.sqrt(size / (size - 3) * backward / (0.5 - ramp))
    assert normalised_start.growth_law("relu", size) == pytest.approx(law, rel=1e-3)


@pytest.mark.parametrize("activation", normalised_start.LEVELS)
def test_batch_norm_never_makes_gradients_shrink(activation):
    large, small = (normalised_start.growth_law(activation, size) for size in (math.inf, 8))
    assert 1 - 1e-4 <= large < small


@pytest.mark.parametrize("activation", ["relu", "tanh", "selu"])
def test_the_law_for_small_batches_by_simulation(activation, size=8):
    """One layer backward, averaged over random batches on the sphere: the recursion itself."""
    draws = np.random.default_rng(0).standard_normal((100_000, size))
    draws -= draws.mean(1, keepdims=True)
    x_hat = draws * np.sqrt(size) / np.linalg.norm(draws, axis=1, keepdims=True)
    f, d = (v.numpy() for v in normalised_start._with_slope(activation, torch.tensor(x_hat)))
    centre = np.eye(size) - 1 / size
    second = f.T @ f / len(f)
    # of the next layer's sums, in each direction in which the batch can vary
    variance = second.diagonal().mean() - second[~np.eye(size, dtype=bool)].mean()
    p = centre - x_hat[:, :, None] * x_hat[:, None] / size
    inner = d[:, :, None] * centre * d[:, None]
    trace = np.einsum("nij,nji->n", p, inner).mean()
    factor = trace / (size - 1) * size / (variance * (size - 3))
    assert normalised_start.growth_law(activation, size) ** 2 == pytest.approx(factor, rel=0.01)


def test_wide_networks_follow_the_law():
    with training_process():
        at = normalised_start.look(TinyDataset(), range(4), "he", "relu", 24, 256, 64)
    assert np.median(at.growth) == pytest.approx(normalised_start.growth_law("relu", 64), rel=0.05)


def test_the_scale_of_the_weights_makes_no_difference():
    with training_process():
        one, other = (
            normalised_start.look(TinyDataset(), [0], init, "relu", 12, 32, 64)
            for init in ("he", "normal_std_1")
        )
    np.testing.assert_allclose(one.growth, other.growth, rtol=0.01)


def test_the_table_and_its_figure(monkeypatch, tmp_path):
    monkeypatch.setattr(experiment.training, "prepared", lambda *_: TinyDataset())
    with training_process():
        table = experiment.measure(SETTINGS, {})
    assert_whole(table, experiment)
    calm = table[table["quantity"] == "does_not_explode"]
    assert len(calm) == 2 * 2 * len(normalised_start.LEVELS)  # seeds, depths, activations
    missing = table[table["quantity"] == "network_variance_missing"].groupby("init")["value"]
    assert missing.median()["normal_std_0.001"] > 10 * missing.median()["he"]
    assert 0 < missing.min().min() < missing.max().max() < 1
    with style.context():
        figure, data = exhibit.norm_start(table)
        style.save_svg(figure, tmp_path / "norm-start.svg", "norm-start")
    assert len(data) and "the gradient changes by a factor of" in finding(figure)
