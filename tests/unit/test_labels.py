"""Names of axes and levels: one spelling wherever a reader meets them."""

import pandas as pd
import pytest

from finicky import declarations, labels


@pytest.mark.parametrize(
    "level, said",
    [
        ("he", "He"),
        ("batch_norm_residual", "BN + residual"),
        ("normal_std_0.0316228", "N, σ = 0.0316"),
        ("my_activation", "my activation"),
        (True, "yes"),
        (False, "no"),
        (60000, "60,000"),
        (10.0, "10"),
        (0.0001, "0.0001"),
        (1e-5, "10⁻⁵"),
        (-3e-7, "−3·10⁻⁷"),
        (1.25e-5, "1.25·10⁻⁵"),
    ],
)
def test_levels_as_people_write_them(level, said):
    assert labels.label(level) == said


def test_two_numbers_never_share_a_label():
    numbers = [0.1, 0.1000001, 1e-5, 1.2e-5, 1.25e-5, 1, 10, 100000, 100001, 1e10, 1.5e10]
    assert len({labels.label(number) for number in numbers}) == len(numbers)


@pytest.mark.parametrize("axis", ["dataset", "block", "activation", "optimizer"])
def test_every_level_of_the_grid_has_a_label_of_its_own(axis):
    levels = declarations.axis_levels(axis)
    assert set(levels) <= set(labels.LABELS)
    assert len({labels.label(level) for level in levels}) == len(levels)


def test_axes_as_people_write_them():
    said = [labels.axis_label(axis) for axis in ("init", "learning_rate", "condition_number")]
    assert said == ["initialisation", "learning rate", "condition number"]


def test_levels_in_order():
    assert labels.in_order(["zeros", "mine", "he", "he"]) == ["he", "zeros", "mine"]


def test_optimizers_and_rates_in_order_and_in_words():
    table = pd.DataFrame(
        {
            "optimizer": ["adam", "sgd", "momentum", "momentum", "sgd"],
            "learning_rate": [0.001, 0.01, 0.1, 0.01, 0.01],
        }
    )
    pairs = labels.optimizer_rates(table)
    assert pairs == [("sgd", 0.01), ("momentum", 0.01), ("momentum", 0.1), ("adam", 0.001)]
    assert labels.trained_by(*pairs[2]) == "momentum at 0.1"
