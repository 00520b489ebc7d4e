"""Adam's formulas against torch.optim and by hand, and what the measurement must say."""

import numpy as np
import pytest
import torch

from finicky.exhibits import adam as exhibit
from finicky.exhibits import style
from finicky.experiments import adam, tidy

from .sentences import finding


def test_moments_by_hand():
    first, second, mean, square = adam.moments(np.array([[2.0], [4.0]]), (0.5, 0.75))
    assert first[:, 0].tolist() == [1, 2.5]
    assert second[:, 0].tolist() == [1, 4.75]
    assert mean[:, 0] == pytest.approx([2, 2.5 / 0.75])
    assert square[:, 0] == pytest.approx([4, 4.75 / (1 - 0.75**2)])


def test_corrected_moments_of_a_constant_gradient_are_the_gradient():
    found = {row["quantity"]: row["value"] for row in adam.identities(np.random.default_rng(0), 5)}
    assert found["first_estimate_error"] < 1e-14
    assert found["constant_gradient_error"] < 1e-11


@pytest.mark.parametrize(
    "betas, amsgrad, decay", [((0.0, 0.1), False, 0.0), ((0.9, 0.99), True, 0.0),
                              ((0.9, 0.99), False, 0.5)]
)  # fmt: skip
def test_a_walk_is_pytorch_s(betas, amsgrad, decay):
    slopes = np.where(np.arange(60) % 7 == 0, 10.0, -1.0)
    rates = 0.3 / np.sqrt(np.arange(1, 61))
    parameter = torch.tensor([[0.4]], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.AdamW(
        [parameter], 1.0, betas=betas, amsgrad=amsgrad, weight_decay=decay
    )
    found = adam.walk(np.array([[0.4]]), slopes, betas, rates, amsgrad, decay)
    for slope, rate, x in zip(slopes, rates, found, strict=True):
        optimizer.param_groups[0]["lr"] = rate
        parameter.grad = torch.full_like(parameter, slope)
        optimizer.step()
        with torch.no_grad():
            parameter.clamp_(-1, 1)
        assert x.item() == pytest.approx(parameter.item(), rel=1e-12)


def test_what_the_correction_does():
    rows = list(adam.correction(np.random.default_rng(0)))

    def of(quantity):
        return {row.get("step"): row["value"] for row in rows if row["quantity"] == quantity}

    ratio = of("uncorrected_over_corrected")
    assert ratio[1] == pytest.approx(0.1 / 0.001**0.5, rel=1e-4)
    assert ratio[10_000] == pytest.approx(1, abs=1e-3)
    assert of("chapter_factor")[1] == pytest.approx(0.1)
    # 1/√(1 - 0.999^t) = 1.1; 1 - 0.9^t = 1/1.1
    assert of("matters_until")[None] == np.floor(np.log(1 - 1 / 1.21) / np.log(0.999))
    assert of("first_moment_until")[None] == np.floor(np.log(1 - 1 / 1.1) / np.log(0.9))
    assert of("correction_fades")[None] > 0 and of("early_only")[None] == 1


@pytest.mark.parametrize("much", [2.5, 0.00001])  # the first step is 3.2 times as long
def test_a_correction_that_matters_never_or_always_is_not_early(monkeypatch, much):
    monkeypatch.setattr(adam, "MUCH", much)
    rows = {row["quantity"]: row["value"] for row in adam.correction(np.random.default_rng(0))}
    assert rows["early_only"] == 0


def test_numbers_stored():
    rows = list(adam.memory(np.random.default_rng(0)))
    stored = [row for row in rows if row["quantity"] == "numbers_stored"]
    assert [row["value"] for row in rows if row["quantity"] == "two_more"] == [1]
    assert {row["optimizer"]: row["value"] for row in stored} == {
        "sgd": 0, "momentum": 1, "rmsprop": 1, "adam": 2, "amsgrad": 3, "adamw": 2,
    }  # fmt: skip


@pytest.mark.parametrize("example", adam.COUNTEREXAMPLES.values(), ids=list(adam.COUNTEREXAMPLES))
def test_the_mean_slope_of_the_counterexamples_is_positive(example):
    assert example["rare"] > example["period"] - 1  # so the minimum lies at -1


def test_adam_and_adamw_end_at_the_wrong_side_and_amsgrad_does_not():
    rows = adam.counterexample("theorem 1", [0, 1], 1)
    found = {}
    for row in rows:
        found.setdefault(row["quantity"], []).append(row["value"])
    assert found["adam_fails"] == found["amsgrad_fixes"] == [1, 1]
    assert found["adamw_fixes"] == found["adamw_of_any_decay_fixes"] == [0, 0]
    ends = [(r["optimizer"], r["decay"]) for r in rows if r["quantity"] == "final_position"]
    variants = [("adam", None), ("amsgrad", None), *(("adamw", d) for d in (0.01, 0.1, 1, 10))]
    assert ends == [variant for variant in variants for _ in range(2)]


def test_excess_loss_does_not_depend_on_the_other_seeds_and_falls():
    rates = [0.01, 0.02]
    both = adam.excess_loss("sparse", "adam", rates, [0, 1], 60)
    assert both.shape == (2, 2) and (both > 0).all()
    alone = adam.excess_loss("sparse", "adam", rates, [1], 60)
    assert both[:, 1] == pytest.approx(alone[:, 0])
    assert (adam.excess_loss("sparse", "adam", rates, [0, 1], 240) < both).all()


def test_few_steps_are_evaluated_like_many():
    few, more = (adam.excess_loss("dense", "sgd", [1e-9], ["a"], steps) for steps in (1, 30))
    assert few == pytest.approx(more, rel=1e-5)  # at this rate nothing changes


@pytest.fixture
def smallest(monkeypatch):
    short = {name: dict(example) for name, example in adam.COUNTEREXAMPLES.items()}
    short["theorem 1"]["periods"], short["usual β"]["period"] = 4, 500
    monkeypatch.setattr(adam, "COUNTEREXAMPLES", short)
    return adam.measure({"trials": 1, "sparse_steps": 1, "periods": 4, "seeds": [0, 1]}, {})


def test_the_table_is_as_declared(smallest):
    tidy.check(smallest, adam)
    assert set(smallest["quantity"]) == set(adam.QUANTITIES)
    assert not smallest["value"].isna().any()
    walks = smallest[smallest["quantity"] == "position"].set_index("optimizer")["decay"]
    assert (walks["adamw"] == 0.01).all() and walks[["adam", "amsgrad"]].isna().all()


def test_what_is_not_random_is_written_down_once(smallest):
    names = ["early_only", "correction_fades", "matters_until", "first_moment_until", "two_more",
             "numbers_stored", "uncorrected_over_corrected", "chapter_factor"]  # fmt: skip
    once = smallest[smallest["quantity"].isin(names)]
    assert set(once["quantity"]) == set(names) and set(once["seed"]) == {0}
    assert set(smallest["seed"]) == {0, 1}


def test_the_figure_shows_lengths_and_walks(smallest):
    with style.context():
        fig, behind = exhibit.f37(smallest)
    assert set(behind["quantity"]) == {"uncorrected_over_corrected", "chapter_factor", "position"}
    assert "whose minimum is −1, Adam ends at" in finding(fig)
