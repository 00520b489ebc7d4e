"""Networks of parity and powers of x + 1 against what can be counted by hand."""

import math

import numpy as np
import pytest

from finicky.exhibits import parity_depth as exhibit
from finicky.exhibits import style
from finicky.experiments import parity_depth, tidy

from .engine_fixtures import training_process
from .sentences import finding

SETTINGS = {
    "seeds": [0, 1], "bits": 5, "degrees": [2, 3, 16], "trained_bits": [2, 3], "layers": [1, 2],
    "units": 16, "starts": 2, "steps": 200, "learning_rate": 0.01,
    "device": "cpu",
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def process():
    with training_process():
        yield


@pytest.fixture(scope="module")
def table():
    return parity_depth.measure(SETTINGS, {})


def rows_of(table, quantity, columns):
    return table.loc[table["quantity"] == quantity, columns].values.tolist()


def test_all_inputs_and_their_parity():
    assert parity_depth.inputs(2).tolist() == [[0, 0], [1, 0], [0, 1], [1, 1]]
    assert parity_depth.parity(parity_depth.inputs(2)).tolist() == [0, 1, 1, 0]
    assert len(np.unique(parity_depth.inputs(6), axis=0)) == 64


@pytest.mark.parametrize("bits", range(2, 10))
@pytest.mark.parametrize("name", parity_depth.NETWORKS)
def test_every_network_is_exact(name, bits):
    build, activation = parity_depth.NETWORKS[name]
    assert parity_depth.is_parity(build(bits), activation, bits)


@pytest.mark.parametrize("name", parity_depth.NETWORKS)
def test_a_changed_sign_is_noticed(name):
    """Each weight of the output, and each bias of the hidden units that is not zero."""
    build, activation = parity_depth.NETWORKS[name]
    for layer, which in ((-1, 0), (0, 1)):
        for i in np.flatnonzero(build(5)[layer][which]):
            layers = build(5)
            layers[layer][which].ravel()[i] *= -1
            assert not parity_depth.is_parity(layers, activation, 5)


@pytest.mark.parametrize(
    "name, units, layers",
    [("and_or", 64, 1), ("thresholds", 7, 1), ("relus", 7, 1), ("cosine", 1, 1), ("tree", 13, 3)],
)
def test_sizes(name, units, layers):
    network = parity_depth.NETWORKS[name][0](7)
    assert parity_depth.units(network) == units and len(network) - 1 == layers


def test_squaring_gives_binomial_coefficients():
    for degree in range(1, 70):
        power, multiplications = parity_depth.by_squaring(degree)
        assert power == [math.comb(degree, k) for k in range(degree + 1)]
        assert multiplications <= 2 * math.log2(degree) + 1e-9
    assert parity_depth.by_squaring(15)[1] == 6 and parity_depth.by_squaring(64)[1] == 6


def test_the_claims_numbers(table):
    assert rows_of(table, "needs_exponential_width", ["bits", "value"]) == [[3, 0], [4, 0], [5, 0]]
    assert rows_of(table, "tree_is_small", "value") == [1, 1, 1, 1]
    assert rows_of(table, "squaring_is_short", "value") == [1, 1, 1]
    assert rows_of(table, "terms_are_exponential", "value") == [0, 0, 0]
    assert ["one", 16, 17] in rows_of(table, "terms", ["variables", "degree", "value"])
    assert ["as many as n", 2, 6] in rows_of(table, "terms", ["variables", "degree", "value"])


def test_only_exact_networks_count(monkeypatch):
    monkeypatch.setattr(parity_depth, "is_parity", lambda layers, activation, bits: len(layers) > 2)
    table = parity_depth.measure(SETTINGS, {})  # only the tree is left
    assert rows_of(table, "needs_exponential_width", "value") == [1, 1, 1]
    assert rows_of(table, "tree_is_small", "value") == [0, 1, 1, 1]


def test_training(table):
    found = rows_of(table, "learned", ["bits", "layers", "value"])
    assert len(found) == 2 * 2 * 2 and {value for *_, value in found} <= {0, 50, 100}
    assert all(value == 100 for bits, _, value in found if bits == 2)
    stuck = parity_depth.learned([3], 1, SETTINGS | {"steps": 1})
    assert stuck.tolist() == [[0, 0]]


def test_a_start_learns_the_same_beside_others():
    one = SETTINGS | {"units": 4, "steps": 60, "starts": 8}
    alone = parity_depth.learned([3], 1, one)
    beside = parity_depth.learned([2, 3], 1, one)
    assert alone.tolist() == beside[1:].tolist()


def test_the_figure_says_its_numbers(table):
    with style.context():
        fig, data = exhibit.f04(table)
    assert "16 hidden units in one layer of ANDs" in finding(fig)
    assert set(data["quantity"].dropna()) == {"units"}


def test_the_smallest_settings_make_a_whole_table():
    smallest = dict.fromkeys(["units", "starts", "steps"], 1) | {"learning_rate": 0.01, "bits": 3}
    smallest |= {"degrees": [2], "trained_bits": [2], "layers": [1], "seeds": [7], "device": "cpu"}
    table = parity_depth.measure(smallest, {})
    tidy.check(table, parity_depth)
    assert set(table["quantity"]) == set(parity_depth.QUANTITIES)
    assert table["seed"].eq(7).all() and table["value"].notna().all()
