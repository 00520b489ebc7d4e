"""The measured cost: sane on any machine. How well it predicts is for a quiet machine to say."""

import math

import pytest

from finicky.pace import cost_here
from finicky.runs import NOMINAL

from .engine_fixtures import make_run, training_process


@pytest.fixture(scope="module")
def cost():
    with training_process():
        return cost_here()


@pytest.mark.parametrize("block", ["plain", "batch_norm"])
def test_deeper_networks_and_more_images_cost_more(cost, block):
    run = make_run(block=block, images=10000, width=128, batch_size=64)
    small, deep = (cost.seconds(make_run(**vars(run) | {"depth": d})) for d in (2, 56))
    more = cost.seconds(make_run(**vars(run) | {"images": 60000}))
    assert 0 < small < deep and small < more < math.inf


def test_it_measures_what_the_nominal_cost_says_of_one_machine(cost):
    """Of the same order: a slip in units would be far off."""
    run = make_run(images=10000, epochs=3, depth=20, width=128, batch_size=64)
    assert 0.05 < cost.seconds(run) / NOMINAL.seconds(run) < 20
