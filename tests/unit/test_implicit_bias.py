"""Gradients against differences, the least norms against brute force, the SVM against
scikit-learn's, and the laws that gradient descent has to keep."""

import numpy as np
import pytest

from finicky.exhibits import implicit_bias as exhibit
from finicky.exhibits import style
from finicky.experiments import implicit_bias as bias
from finicky.experiments import tidy

from .engine_fixtures import training_process
from .sentences import finding


@pytest.fixture
def data():
    pairs = [bias.regression(seed) for seed in (0, 1)]
    return tuple(np.stack(arrays) for arrays in zip(*pairs, strict=True))


def starts(model, scale=1):
    seeds = [bias.start_of(model, scale, seed) for seed in (0, 1)]
    return [np.stack(arrays) for arrays in zip(*seeds, strict=True)]


@pytest.mark.parametrize("model", bias.MODELS.values(), ids=list(bias.MODELS))
def test_gradients_are_those_of_the_loss(model, data):
    """Along a random direction; a changed sign or a lost factor is seen."""
    x, y = data
    weights = starts(model)
    random = np.random.default_rng(0)
    along = [random.standard_normal(w.shape) for w in weights]

    def loss(step):
        moved = [w + step * a for w, a in zip(weights, along, strict=True)]
        return ((model.predict(x, moved) - y) ** 2).sum(1) / (2 * bias.EXAMPLES)

    gradient = model.back(x, weights, (model.predict(x, weights) - y) / bias.EXAMPLES)
    slope = sum((g * a).sum(1) for g, a in zip(gradient, along, strict=True))
    assert slope == pytest.approx((loss(1e-6) - loss(-1e-6)) / 2e-6, rel=1e-5)


def test_what_is_found_from_zero_is_the_pseudo_inverse(data):
    x, y = data
    (w,), residual = bias.descend(bias.MODELS["linear"], x, y, starts(bias.Linear(), 0), 5000)
    assert np.abs(residual).max() < 1e-8
    for k in (0, 1):
        assert w[k] == pytest.approx(np.linalg.pinv(x[k]) @ y[k], abs=1e-8)


def test_rows_of_regression():
    rows = list(bias.least_norm([3], 20_000))
    found = {
        (row["network"], row["start_scale"]): row["value"]
        for row in rows
        if row["quantity"] == "excess_norm"
    }
    assert found["linear", 0] < 1e-6 < 0.1 < found["linear", 1]
    assert found["two linear layers", 0.001] < 1e-3
    assert found["two layers, ReLU", 1] > 0.1
    nearest = [r["value"] for r in rows if r["quantity"] == "nearest_error"]
    assert len(nearest) == 3 and max(nearest) < 1e-6
    # the law of the nearest solution with a changed sign of the start
    w = bias.start_of(bias.Linear(), 1, 3)[0]
    x, y = bias.regression(3)
    wrong = -w + np.linalg.pinv(x) @ (y + x @ w)
    (descended,), _ = bias.descend(bias.Linear(), x[None], y[None], [w[None]], 5000)
    assert np.linalg.norm(descended[0] - wrong) > 0.1 * np.linalg.norm(wrong)


def test_what_does_not_fit_is_not_scored():
    rows = [r for r in bias.least_norm([3], 3) if r["quantity"] == "excess_norm"]
    assert len(rows) == 8 and all(np.isnan(row["value"]) for row in rows)


def test_least_norms_are_reached_by_balanced_layers(data):
    x, y = data[0][0], data[1][0]
    best = np.linalg.pinv(x) @ y
    length = np.linalg.norm(best)
    first = np.outer(best, [1] + [0] * (bias.UNITS - 1)) / np.sqrt(length)
    second = np.sqrt(length) * np.eye(bias.UNITS)[0]
    model = bias.MODELS["two linear layers"]
    weights = [first.reshape(1, -1), second[None]]
    assert model.map(weights)[0] == pytest.approx(best)
    norm = np.linalg.norm(np.concatenate([w[0] for w in weights]))
    assert norm == pytest.approx(model.least(x, y, None))
    diagonal = bias.MODELS["two diagonal linear layers"]
    assert diagonal.least(x, y, None) < np.sqrt(2 * np.abs(best).sum())


def test_a_rescaled_relu_network_is_equal_and_shorter(data):
    model = bias.MODELS["two layers, ReLU"]
    weights = starts(model)
    first, second = model.split(weights)
    scale = np.sqrt(np.abs(second) / np.linalg.norm(first, axis=1))
    balanced = [(first * scale[:, None]).reshape(2, -1), second / scale]
    assert model.predict(data[0], balanced) == pytest.approx(model.predict(data[0], weights))
    norm = np.sqrt(sum((w[0] ** 2).sum() for w in balanced))
    assert norm == pytest.approx(model.least(None, None, [w[0] for w in weights]))


@pytest.mark.parametrize("points", bias.POINTS.values(), ids=map(str, bias.POINTS))
def test_the_direction_is_the_svm_s(points):
    """Of scikit-learn on the points and their mirror images, so that its bias is zero."""
    from sklearn.svm import SVC

    signed = points(np.random.default_rng(0))
    labels = np.repeat([1, -1], len(signed))
    svm = SVC(kernel="linear", C=1e10, tol=1e-10).fit(np.vstack([signed, -signed]), labels)
    best = bias.largest_margin_direction(signed)
    assert (signed @ best).min() == pytest.approx(1)
    assert best == pytest.approx(svm.coef_[0], rel=1e-3, abs=1e-3 * np.abs(best).max())
    assert bias.angle_and_margin(3 * best, signed, best) == pytest.approx((0, 0), abs=1e-6)
    assert bias.angle_and_margin(-best, signed, best)[0] == pytest.approx(180)


def test_gradient_flow_is_the_limit_of_descent():
    signed = bias.POINTS[10, 100](np.random.default_rng(1))
    steps, descended = bias.logistic_descent(signed[None], 3000)
    times, flowed = bias.logistic_flow(signed, 3000)
    assert steps[-1] == times[-1].round() == 3000
    assert flowed[-1] == pytest.approx(descended[-1, 0], rel=0.02, abs=0.02)


def test_slopes():
    steps = np.geomspace(1, 1e6, 61)
    assert bias.halvings(steps, steps**-0.5) == pytest.approx(0.5 * np.log2(10))


def test_logistic_regression_by_adam_is_pytorch_s():
    import torch

    signed = bias.POINTS[10, 100](np.random.default_rng(1))
    steps, found = bias.logistic_descent(signed[None], 50, adam=True)
    w = torch.zeros(10, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([w], 0.01, eps=1e-30)
    for _ in range(steps[-1]):
        optimizer.zero_grad()
        torch.nn.functional.softplus(-torch.tensor(signed) @ w).mean().backward()
        optimizer.step()
    assert found[-1, 0] == pytest.approx(w.detach().numpy(), rel=1e-9)


@pytest.fixture(scope="module")
def smallest():
    settings = {"fit_steps": 1, "margin_steps": 10, "flow_to": 10, "solutions": 1}
    with training_process():
        return bias.measure(settings | {"seeds": [0]}, {})


def test_the_table_is_as_declared(smallest):
    tidy.check(smallest, bias)
    assert set(smallest["quantity"]) == set(bias.QUANTITIES)
    unsolved = smallest["quantity"].isin(["excess_norm", "function_excess"])
    assert smallest.loc[~unsolved, "value"].notna().all()


def test_the_figure_has_a_panel_for_each_set_of_points(smallest):
    with style.context():
        fig, behind = exhibit.f38(smallest)
    titles = [ax.get_title("left") for ax in fig.axes]
    assert titles[1:] == ["10 inputs, 100 examples", "50 inputs, 20 examples"]
    assert titles[0].endswith("2 inputs, 40 examples")
    assert "gradient descent is still" in finding(fig)
    assert set(behind["optimizer"]) == {"gradient descent", "gradient flow", "adam"}


def test_gradient_flow_reaches_the_largest_time_allowed():
    signed = bias.POINTS[2, 40](np.random.default_rng(0))
    times, flowed = bias.logistic_flow(signed, bias.SETTINGS["flow_to"][0]["maximum"])
    assert times[-1] == pytest.approx(1e30) and np.isfinite(flowed).all()
    best = bias.largest_margin_direction(signed)
    assert bias.angle_and_margin(flowed[-1], signed, best)[0] < 3
