"""Sources: counting, agreeing to the last digit, and a number that nothing confirms."""

import math

import pytest
import torch
from torch import nn

from finicky.evidence import judge
from finicky.experiments import sources, tidy


@pytest.fixture(scope="module")
def table():
    return sources.measure({"seeds": [4, 5]}, {})


def value(table, quantity, column, name):
    rows = table[(table["quantity"] == quantity) & (table[column] == name)]
    return rows["value"].item()


def test_the_table_is_as_declared(table):
    tidy.check(table, sources)
    assert set(table["quantity"]) == set(sources.QUANTITIES)
    named = table[["model", "fact", "network"]].notna().sum(axis=1)
    assert (named == 1).all()
    for column in ("model", "fact", "network"):
        assert set(sources.CONDITIONS[column]) == set(table[column].dropna()), column


@pytest.mark.parametrize(
    "chapter, source, digit, same",
    [(7.13, 7.138, 0.01, 1), (7.13, 7.15, 0.01, 0), (6.71, 6.7, 0.1, 1), (6.71, 5.71, 0.01, 0),
     (25.6, 25.557032, 0.1, 1)],
)  # fmt: skip
def test_agreeing_to_the_last_digit(chapter, source, digit, same):
    assert sources.agree(chapter, source, digit) == same


def test_what_is_not_printed_is_neither():
    assert math.isnan(sources.agree(15, math.nan, 0.01))


def test_parameters():
    assert sources.million_parameters(nn.Linear(999, 1000)) == pytest.approx(1.0)


class Branches(nn.Module):
    """A short way of one layer beside a long one of two, then one more."""

    def __init__(self):
        super().__init__()
        self.short, self.long = nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2), nn.ReLU(),
                                                               nn.Linear(2, 2))  # fmt: skip
        self.last = nn.Linear(2, 1)

    def forward(self, x):
        return self.last(torch.relu(self.short(x) + self.long(x)))


def test_layers_are_counted_along_the_longest_way():
    assert sources.layers(Branches()) == 3


def test_models_have_the_layers_of_their_names(table):
    assert value(table, "layers", "model", "ResNet-50") == 50
    assert value(table, "layers", "model", "ResNet-152") == 152
    assert value(table, "layers", "model", "VGG-19") == 19
    assert value(table, "million_parameters", "model", "ResNet-152") == pytest.approx(60.192808)


def test_every_number_names_its_source(table):
    assert (table["source"].str.len() > 0).all() and (table["seed"] == 4).all()
    published = table[table["quantity"] == "published"]
    assert set(sources.LITERATURE) < set(published["fact"])
    assert published["source"].str.contains("table|section|figure|torchvision|release").all()


def test_what_is_read_off_a_figure_of_he_et_al(table):
    """The axis of figures 1 and 6 ends at 20 %; the deeper plain network is the worse one twice."""
    read = {
        (depth, split): value(table, "published", "fact", f"plain, {depth} layers, {split}")
        for depth in (20, 56)
        for split in ("training", "test")
    }
    assert all(0 < error < 20 for error in read.values())
    for split in ("training", "test"):
        assert read[56, split] > read[20, split] + 1
    for depth in (20, 56):
        assert read[depth, "training"] < read[depth, "test"]


def test_bounds_of_poggio_et_al(table):
    assert value(table, "units_by_theorem", "network", "one hidden layer") == pytest.approx(1e4)
    assert value(table, "units_by_theorem", "network", "tree") == pytest.approx(70)


def test_verdicts_follow_the_numbers(table):
    def judged(*facts, table=table):
        parts = [{"name": fact, "experiment": "sources", "quantity": "agrees",
                  "where": {"fact": fact}, "unit": ""} for fact in facts]  # fmt: skip
        claim = {"id": "C001", "section": "residual", "line": 1, "says": "s", "by": ["sources"],
                 "rule": "source", "parts": parts}  # fmt: skip
        ((found,), _) = judge.judge({"claims": [claim]}, {"sources": table})
        return found

    assert judged("VGG-19, layers")["verdict"] == "reproduced"
    assert judged("ResNet-152, ten crops")["verdict"] == "not reproduced"
    plain = [
        f"plain, {depth} layers, {split}" for depth in (20, 56) for split in ("training", "test")
    ]
    assert judged(*plain)["verdict"] == "not reproduced"
    unprinted = table.assign(value=table["value"].mask(table["fact"] == plain[0]))
    unknown = judged(plain[0], table=unprinted)
    assert unknown["verdict"] == "undecided" and unknown["subject"] == "literature"
    assert unknown["reason"] == "the source prints no number to compare with"
