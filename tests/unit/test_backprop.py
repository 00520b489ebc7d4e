"""Backpropagation: every formula fails with a changed sign, costs are counted right, and the
printed order of the Jacobians is refuted for the right reason."""

import inspect
import itertools

import numpy as np
import pytest
import torch

from finicky.exhibits import backprop as exhibit
from finicky.exhibits import style
from finicky.experiments import backprop, identities, tidy

from .sentences import finding

pytestmark = pytest.mark.usefixtures("process")


@pytest.fixture
def random():
    return np.random.default_rng(0)


FORMULAS = [
    backprop.softmax_with_loss,
    backprop.two_layers,
    backprop.all_layers,
    backprop.example,
    backprop.jacobians,
]


@pytest.mark.parametrize("found", FORMULAS)
def test_the_formulas_hold(found, random):
    errors = dict(found(random, 30))
    wrong = errors.pop("wrong_point_error", 1)
    assert max(errors.values()) < 1e-10 and wrong > 0.1


# name of the formula: what is wrong with it, and the quantities that show it
WRONG = {
    "by_logits": (lambda p, y: y - p, [backprop.softmax_with_loss, backprop.all_layers]),
    "softmax_own": (lambda p: p * (1 + p), [backprop.softmax_with_loss]),
    "softmax_other": (lambda p: np.outer(p, p), [backprop.softmax_with_loss]),
    "example_gradient": (lambda x, y: (y - np.cos(x), -x), [backprop.example]),
    "product_of_jacobians": (
        lambda f, g, at_f, at_g: (
            backprop.complex_step_jacobian(f, at_f) @ -backprop.complex_step_jacobian(g, at_g)
        ),
        [backprop.jacobians],
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_formula_is_seen(name, random, monkeypatch):
    wrong, experiments = WRONG[name]
    monkeypatch.setattr(backprop, name, wrong)
    for found in experiments:
        assert max(dict(found(random, 12)).values()) > 0.1


# a line of the chapter's two layers, a mistake in it, and the quantity that shows it
MISTAKES_OF_TWO_LAYERS = [
    ("np.outer(by_z2, a1)", "np.outer(by_z2, z1)", "weights_error"),
    ("np.outer(by_z1, x)", "np.outer(by_a1, x)", "weights_error"),
    ("np.outer(by_z2, a1), by_z2", "np.outer(by_z2, a1), -by_z2", "biases_error"),
    ("by_a1 = w2.T @ by_z2", "by_a1 = -w2.T @ by_z2", "sent_back_error"),
    ("* slope(z1)", "* slope(a1)", "sent_back_error"),
]
# the same for its algorithm for L layers
MISTAKES = [
    ("slopes[layer - 1]", "slopes[layer]"),
    ("np.outer(delta, outputs[layer])", "np.outer(delta, outputs[layer + 1])"),
    ("weights[layer].T @ delta", "weights[layer] @ delta"),
    ("by_biases.insert(0, delta)", "by_biases.insert(0, -delta)"),
]


def spoilt(function, right, wrong):
    """The function with a mistake in one place of its source."""
    source = inspect.getsource(function)
    assert source.count(right) == 1
    names = dict(vars(backprop))
    exec(source.replace(right, wrong), names)
    return names[function.__name__]


@pytest.mark.parametrize("right, wrong, quantity", MISTAKES_OF_TWO_LAYERS)
def test_a_mistake_in_two_layers_is_seen(right, wrong, quantity, random, monkeypatch):
    function = spoilt(backprop.gradients_of_two_layers, right, wrong)
    monkeypatch.setattr(backprop, "gradients_of_two_layers", function)
    assert dict(backprop.two_layers(random, 30))[quantity] > 0.1


@pytest.fixture
def equal(random):
    """A network of three layers of one width, where wrong products have right shapes."""
    weights, biases = random.standard_normal((3, 4, 4)), random.standard_normal((3, 4))
    return list(weights), list(biases), ["tanh", "sigmoid"], random.standard_normal(4), np.eye(4)[1]


def algorithm_error(function, network):
    by_weights, by_biases = function(*network)
    theirs = backprop.by_autograd(*network)
    expected = theirs["weights"] + theirs["biases"]
    return max(map(identities.relative_error, by_weights + by_biases, expected))


def test_the_algorithm_gives_autograd_s_gradients(equal):
    assert algorithm_error(backprop.gradients_of_all_layers, equal) < 1e-13


@pytest.mark.parametrize("right, wrong", MISTAKES)
def test_a_mistake_in_the_algorithm_is_seen(right, wrong, equal):
    assert algorithm_error(spoilt(backprop.gradients_of_all_layers, right, wrong), equal) > 0.1


# ---- The printed order --------------------------------------------------------------------------


def test_the_printed_order_is_right_for_numbers_only(random):
    found = {
        (widths, quantity): value for widths, quantity, value in backprop.printed_order(random, 10)
    }
    assert [found[widths, "printed_order"] for widths in ("different", "equal", "one")] == [0, 0, 1]
    assert found["equal", "printed_order_error"] > 0.1
    assert ("different", "printed_order_error") not in found, "its shapes never fit"
    reversed_errors = [v for (_, quantity), v in found.items() if quantity.startswith("reversed")]
    assert len(reversed_errors) == 3 and max(reversed_errors) < 1e-9


def test_a_product_whose_shapes_do_not_fit_is_none():
    a, b, v = np.ones((2, 3)), np.ones((3, 4)), np.ones(4)
    assert backprop.product([a, b, v]) == pytest.approx([12, 12])
    assert backprop.product([b, a, v]) is None


# ---- Cost ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth, width", [(2, 32), (6, 64)])
def test_operations_are_counted(depth, width):
    """Backward twice the forward products, less the first layer's input gradient."""
    first, rest = 784 * width, (depth - 2) * width**2 + 10 * width
    network = backprop.TimedNetwork(depth, width, 784, seed=0)
    assert network.counted() == pytest.approx(2 - first / (first + rest))
    assert network.size() == first + rest + (depth - 1) * width + 10


def test_differences_give_the_gradient():
    network = backprop.TimedNetwork(3, 4, 16, seed=0)
    network.model.double()
    network.x = network.x.double()
    found, cost = network.by_differences(step=1e-6)
    exact = torch.cat([part.flatten() for part in network.backward(network.forward())])
    torch.testing.assert_close(found, exact, rtol=1e-4, atol=1e-6)
    assert cost > 0


def test_times_become_ratios_and_slopes(monkeypatch):
    """Costs that are known: 2 a parameter, and a backward pass that takes 1.5 forward passes."""
    monkeypatch.setattr(backprop.TimedNetwork, "timed", lambda self, turn: 1.5)
    monkeypatch.setattr(
        backprop.TimedNetwork, "by_differences", lambda self, turn: (0, 2 * self.size())
    )
    table = backprop.measure(SMALL, {})
    assert set(table["quantity"]) == set(backprop.QUANTITIES)
    slopes = table[table["quantity"].str.endswith("slope")].groupby("quantity")["value"].max()
    assert slopes["differences_slope"] == pytest.approx(1)
    assert slopes["backward_slope"] == pytest.approx(0, abs=1e-9)
    costs = table[table["quantity"] == "differences_cost"]
    assert costs["parameters"].max() <= 400 < table["parameters"].max()
    assert not table.duplicated(["quantity", "seed", *backprop.CONDITIONS]).any()


SMALL = {
    "seeds": [0, 1], "trials": 4, "depth": [2, 6], "width": [32, 64], "differences_up_to": 400,
    "backward_up_to": 2000, "turn": 0.001,
}  # fmt: skip


def test_the_figure_says_what_was_measured():
    table = backprop.measure(SMALL, {})
    tidy.check(table, backprop)
    with style.context():
        fig, data = exhibit.f25(table)
    words = " ".join(text.get_text() for ax in fig.axes for text in ax.texts)
    assert "chapter: 1" in words and words.count("slope") == 2
    assert "interleaved repetitions" in " ".join(text.get_text() for text in fig.texts)
    timed = data[data["quantity"] == "time_ratio"]["median"]
    assert f"{timed.max():.2f} forward passes" in finding(fig)
    assert [len(ax.get_lines()) for ax in fig.axes] == [4, 4]
    drawn = sum(len(line.get_xdata()) for line in fig.axes[1].get_lines()[2:])
    assert drawn == len(list(itertools.product(SMALL["depth"], SMALL["width"])))


def test_the_smallest_settings_make_a_whole_table():
    """Two networks are the fewest that have a slope."""
    smallest = {"trials": 1, "depth": [2], "width": [1], "turn": 0.001}
    smallest |= {"differences_up_to": 70, "backward_up_to": 70, "seeds": [0]}
    table = backprop.measure(smallest, {})
    tidy.check(table, backprop)
    assert set(table["quantity"]) == set(backprop.QUANTITIES)
    assert table["value"].notna().all()
    assert len(table[table["quantity"] == "backward_cost"]) == 2
