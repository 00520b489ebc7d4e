"""Whether a verdict carries over to other data: the same conditions on each data set."""

import pandas as pd
import pytest

from finicky.evidence.judge import judge

YES, NO, OPEN, MIXED = (
    "reproduced", "not reproduced", "undecided", "reproduced under conditions",
)  # fmt: skip
SEEDS = {"+": [1.0, 1.1, 1.2, 1.3, 1.4], "-": [-1.0, 0.0, 0.1, 0.2, 0.3], "?": [0, 0, 1, 1, 2]}


def record(conditions=("dataset", "depth"), parts=("gain",), rule="ordering", **outcomes):
    """The judge's record. outcomes: {dataset: signs}, one condition each, depth after depth: it
    holds (+), fails (-), is open (?), is not there (space) or is dropped (x)."""
    frames = []
    for dataset, signs in outcomes.items():
        for depth, sign in enumerate(signs, start=1):
            for part in parts:
                if sign == " ":
                    continue
                # no two conditions with the same numbers
                values = [one + depth / 1000 for one in SEEDS[sign.replace("x", "+")]]
                score = 50.0 if sign != "x" else 10.0
                frames.append(
                    pd.DataFrame(
                        {"quantity": part, "seed": range(5), "value": values, "a": score}
                        | {"b": score, "outcome": "finite", "dataset": dataset, "depth": depth}
                    )
                )
    specs = [
        {"name": part, "experiment": "toy", "quantity": part, "margin": 0.5, "unit": "pp"}
        | {"agree": True}
        for part in parts
    ]
    claim = {"id": "C001", "line": 1, "section": "s", "by": ["toy"], "rule": rule, "says": "s"}
    claim |= {"conditions": list(conditions), "parts": specs, "drop_untrained": True}
    ((found,), _) = judge({"claims": [claim]}, {"toy": pd.concat(frames, ignore_index=True)})
    return found


def test_one_data_set_says_nothing_about_others():
    assert record(mnist="++-")["datasets"] is None
    assert record(conditions=["depth"], mnist="+-")["datasets"] is None


def test_the_same_verdict_in_the_shared_conditions_carries_over():
    found = record(mnist="+++---", fashion_mnist="+++")["datasets"]
    assert found["verdicts"] == {"fashion_mnist": YES, "mnist": MIXED}
    assert found["shared"] == {"fashion_mnist": YES, "mnist": YES}
    assert (found["same"], found["opposite"], found["undecided"]) == (3, 0, 0)
    assert found["generalises"] is True
    assert found["words"] == (
        "The verdict carries over to other data: in the 3 conditions measured on MNIST and "
        "Fashion-MNIST, reproduced (3 fall out alike, 0 otherwise, 0 undecided on at least one)."
    )


def test_another_verdict_does_not():
    found = record(mnist="+++", fashion_mnist="---")["datasets"]
    assert found["generalises"] is False and found["opposite"] == 3
    assert found["words"] == (
        "The verdict does not carry over to other data: in the 3 conditions measured on MNIST and "
        "Fashion-MNIST, reproduced on MNIST and not reproduced on Fashion-MNIST "
        "(0 fall out alike, 3 otherwise, 0 undecided on at least one)."
    )


@pytest.mark.parametrize(
    "mnist, fashion, generalises",
    [
        ("++--", "++--", True),
        ("++--", "--++", False),
        ("+++---", "+-+--+", True),
        ("+-", "-+", False),
    ],
)
def test_under_conditions_they_have_to_be_the_same_ones(mnist, fashion, generalises):
    found = record(mnist=mnist, fashion_mnist=fashion)["datasets"]
    assert set(found["shared"].values()) == {MIXED}
    assert found["generalises"] is generalises


@pytest.mark.parametrize("fashion, generalises", [("???", None), ("??+", None), ("?++", True)])
def test_what_is_undecided_on_one_is_open(fashion, generalises):
    found = record(mnist="+++++", fashion_mnist=fashion + "  ")["datasets"]
    assert found["generalises"] is generalises
    assert found["undecided"] == fashion.count("?")
    assert ("is open" in found["words"]) == (generalises is None)


def test_nothing_shared_is_open_and_says_so():
    found = record(mnist="+ ", fashion_mnist=" +")["datasets"]
    assert found["generalises"] is None
    assert found["words"] == (
        "Whether the verdict carries over is open: MNIST and Fashion-MNIST share no condition."
    )


def test_one_shared_condition_needs_no_tally():
    found = record(mnist="++", fashion_mnist="+ ")["datasets"]
    assert found["words"] == (
        "The verdict carries over to other data: in the one condition measured on MNIST and "
        "Fashion-MNIST, reproduced."
    )


def test_conditions_in_which_nothing_trains_are_not_compared():
    found = record(mnist="+++", fashion_mnist="++x")["datasets"]
    assert found["same"] == 2 and found["opposite"] == found["undecided"] == 0


def test_parts_combine_on_each_data_set():
    found = record(parts=("one", "two"), mnist="++", fashion_mnist="+-")["datasets"]
    assert found["shared"] == {"fashion_mnist": MIXED, "mnist": YES}
    assert found["generalises"] is False and (found["same"], found["opposite"]) == (2, 2)
