import math
from random import Random

import pandas as pd
import pytest

from finicky.evidence import words
from finicky.evidence.judge import add_other_seeds, judge
from finicky.evidence.rules import RULES
from finicky.evidence.words import NO_RULE

from .toy_claims import (
    AHEAD,
    BEHIND,
    EQUAL,
    NAN,
    OPEN,
    SEEDS,
    claim,
    judged,
    part,
    rows,
    table,
)


def test_a_choice_of_learning_rates_is_called_one():
    assert words.level_words({"optimizer": "sgd", "rate": "own best"}) == "SGD, own best rate"
    assert words.level_words({"rate": "chapter"}) == "the chapter's rate"
    record, _ = judged(
        claim(part(), conditions=["rate", "depth"]),
        *(rows(AHEAD, rate="own best", depth=depth) for depth in range(6)),
        *(rows(BEHIND, rate="fixed", depth=depth) for depth in range(6)),
    )
    assert record["sentence"].startswith("holds at each one's own best rate; elsewhere behind")


def test_one_number():
    record, evidence = judged(
        claim(part(number=97.82, margin=1, unit="%"), rule="value", why="because"),
        rows([97.5, 97.6, 97.7, 97.8, 97.9]),
    )
    assert record["verdict"] == "reproduced" and record["subject"] == "experiment"
    assert record["rule_words"] == "reproduced if the whole interval lies within ±1 pp of 97.82 %"
    assert record["sentence"] == (
        "97.7 % (97.5 to 97.9, 5 seeds) where the chapter says 97.82 %: reproduced"
    )
    assert record["parts"] == [
        {
            "name": "gain", "chapter": 97.82, "measured": 97.7, "ci_low": 97.5, "ci_high": 97.9,
            "n": 5, "margin": 1, "unit": "%", "outcome": "finite", "verdict": "reproduced",
            "failed_share": 0.0, "failed_arm": None, "arms": None, "alike": False,
            "detectable": pytest.approx(2.0365 * math.sqrt(0.025), rel=1e-4),
            "counts": record["counts"], "where": None, "budget": None,
        }
    ]  # fmt: skip
    assert record["conditions"] == [] and record["counts"]["conditions"] == 0
    assert record["why"] == "because" and record["reason"] is None
    assert record["evidence"] == [{"experiment": "toy", "quantity": "gain"}]
    (row,) = evidence.to_dict("records")
    assert (row["claim"], row["verdict"], row["n"]) == ("C001", "reproduced", 5)


def test_how_often_something_happens_is_said_in_runs():
    spec = claim(part(margin=None, unit="share of runs"), rule="existence")
    del spec["parts"][0]["margin"]
    record, _ = judged(spec, rows([1.0] * 5, outcomes=["nan"] * 5))
    assert record["verdict"] == "reproduced"
    assert record["sentence"] == "5 of 5 runs, the loss of 5 became NaN: reproduced"
    (found,) = record["parts"]
    assert (found["measured"], found["ci_high"], found["outcome"]) == (1.0, 1.0, "nan")
    assert found["margin"] is None and found["failed_share"] == 1.0


@pytest.mark.parametrize(
    "rule, values, words",
    [
        ("identity", [1e-15, 9.881e-15], "1·10⁻¹⁴ (2 trials): reproduced"),
        ("identity", [0.0, 0.0], "0.00 (the same for every trial): reproduced"),
        ("construction", [1, 1, 0], "built and checked, passed in 2 of 3: not reproduced"),
        ("construction", [1], "built and checked: reproduced"),
        ("source", [0], "the source disagrees: not reproduced"),
    ],
)
def test_what_looks_at_every_trial_has_no_interval(rule, values, words):
    spec = claim(part(margin=1e-12, unit=""), rule=rule)
    assert judged(spec, rows(values))[0]["sentence"] == words


def test_detectable_of_several_conditions_is_the_typical_one():
    record, _ = judged(
        claim(part(), conditions=["depth"]),
        *(rows([0.0, scale, 2 * scale, 3 * scale, 4 * scale], depth=scale) for scale in (1, 2, 8)),
    )
    assert record["parts"][0]["detectable"] == pytest.approx(2 * 2.0365 * math.sqrt(2.5), rel=1e-4)


def test_conditions_are_counted_and_the_axis_named():
    record, evidence = judged(
        claim(part(), conditions=["optimizer", "depth"]),
        rows(AHEAD, optimizer="sgd", depth=2),
        rows(AHEAD, optimizer="sgd", depth=10),
        rows(AHEAD, optimizer="sgd", depth=20),
        rows(EQUAL, optimizer="adam", depth=2),
        rows(EQUAL, optimizer="adam", depth=10),
        rows(OPEN, optimizer="adam", depth=20),
    )
    assert record["verdict"] == "reproduced under conditions"
    assert record["sentence"] == (
        "holds with SGD; elsewhere no difference (tells 5 of 5 decided conditions right, as luck "
        "does in 30 % of cases): 3 of 6 conditions ahead, 2 not, 1 undecided (a side needs 2)"
    )
    assert record["parts"][0]["where"] == {
        "words": "with SGD", "which": "those with SGD", "sharp": False,
        "explains": True, "right": 5, "of": 5, "luck": 0.3,
    }  # fmt: skip
    assert record["counts"] == {
        "conditions": 6, "hold": 3, "fail": 2, "undecided": 1, "dropped": 0, "need": 2
    }  # fmt: skip
    assert record["conditions"][0] == {
        "part": "gain", "levels": {"optimizer": "adam", "depth": 2},
        "verdict": "not reproduced", "n": 5, "measured": 0.0, "ci_low": -0.1, "ci_high": 0.2,
        "trains": None, "outcome": "finite", "failed_share": 0.0, "failed_arm": None,
        "arms": None, "alike": False,
    }  # fmt: skip
    assert len(evidence) == 6 and set(evidence["depth"]) == {2, 10, 20}


def test_the_words_follow_the_data():
    def sentence(adam):
        frames = [rows(AHEAD, optimizer="sgd"), rows(adam, optimizer="adam")]
        return judged(claim(part(), conditions=["optimizer"]), *frames)[0]["sentence"]

    assert "; elsewhere behind (" in sentence(BEHIND)
    assert "; elsewhere no difference (" in sentence(EQUAL)
    assert "; elsewhere not ahead (" in sentence([-0.9, -0.2, 0.0, 0.1, 0.2])
    assert sentence(OPEN).startswith("1 of 2 conditions ahead, 0 not")
    assert sentence(AHEAD).startswith("2 of 2 conditions ahead, 0 not")


def test_a_run_of_numeric_levels_becomes_an_inequality():
    depths = {2: EQUAL, 6: EQUAL, 10: AHEAD, 20: AHEAD, 56: AHEAD}
    record, _ = judged(
        claim(part(), conditions=["depth"]), *(rows(x, depth=d) for d, x in depths.items())
    )
    assert record["parts"][0]["where"]["words"] == "at depth 10 or more"
    assert record["sentence"].startswith(
        "holds at depth 10 or more; elsewhere no difference (tells 5 of"
    )


def test_scattered_conditions_have_no_short_rule():
    record, _ = judged(
        claim(part(), conditions=["optimizer", "depth"]),
        rows(AHEAD, optimizer="sgd", depth=2),
        rows(EQUAL, optimizer="sgd", depth=10),
        rows(EQUAL, optimizer="adam", depth=2),
        rows(AHEAD, optimizer="adam", depth=10),
    )
    assert record["parts"][0]["where"]["explains"] is False
    tally = "2 of 4 conditions ahead, 2 not, 0 undecided (a side needs 1)"
    assert record["sentence"] == f"{NO_RULE}: {tally}"


def test_exceptions_from_a_decided_claim_are_no_places():
    frames = [rows(AHEAD, depth=depth) for depth in (2, 6, 10, 20)] + [rows(EQUAL, depth=56)]
    record, _ = judged(claim(part(), conditions=["depth"]), *frames)
    assert record["verdict"] == "reproduced" and record["parts"][0]["where"] is None
    assert record["sentence"] == "4 of 5 conditions ahead, 1 not, 0 undecided (a side needs 2)"


def test_conditions_in_which_neither_arm_trains_are_dropped():
    frames = [
        rows(AHEAD, a=[90.0] * 5, b=[12.0] * 5, depth=2),
        rows([0.0] * 5, a=[10.0] * 5, b=[19.9] * 5, depth=56),
    ]
    kept, _ = judged(claim(part(), conditions=["depth"]), *frames)
    assert kept["verdict"] == "reproduced under conditions"
    assert [c["trains"] for c in kept["conditions"]] == [None, None]

    record, evidence = judged(claim(part(), conditions=["depth"], drop_untrained=True), *frames)
    assert record["verdict"] == "reproduced"
    assert [c["trains"] for c in record["conditions"]] == [True, False]
    assert record["conditions"][1]["verdict"] == "undecided"
    assert record["counts"]["conditions"] == 1 and record["counts"]["dropped"] == 1
    assert "1 more dropped because neither arm trains" in record["sentence"]
    assert list(evidence["dropped"]) == [False, True]


def test_nothing_left_after_dropping_is_undecided():
    record, _ = judged(claim(part(), drop_untrained=True), rows(EQUAL, a=[10.0] * 5, b=[10.0] * 5))
    assert record["verdict"] == "undecided"
    assert record["reason"] == "neither arm trains in any of the 1 condition"


def test_each_condition_says_what_happened_to_its_own_runs_and_to_which_arm():
    """A failed run scores chance, so the other of the two is known where it does not."""
    spec = claim(part(), conditions=["optimizer"])
    record, _ = judged(
        spec,
        rows([85.0] * 4 + [0.5], a=[95.0] * 5, b=[10.0] * 4 + [94.5],
             outcomes=["nan"] * 4 + ["finite"], optimizer="sgd"),
        rows(AHEAD, a=[97.0 + one for one in AHEAD], b=[97.0] * 5, optimizer="adam"),
    )  # fmt: skip
    adam, sgd = record["conditions"]
    assert (adam["failed_share"], adam["failed_arm"], adam["arms"]) == (0, None, [98.2, 97.0])
    assert (sgd["failed_share"], sgd["failed_arm"], sgd["arms"]) == (0.8, "b", [95.0, 10.0])
    assert words.failure(adam) == ""
    assert words.failure(sgd) == "the loss of the latter became NaN with 4 of 5 seeds"
    assert words.arms(sgd) == "medians 95.0 % and 10.0 %"
    assert words.failures(record["conditions"]).endswith("in 1 of 2 conditions")
    assert record["parts"][0]["failed_share"] == 0.4 and record["parts"][0]["arms"] is None


def test_no_arm_is_named_where_both_score_chance_or_the_number_is_no_difference():
    both, _ = judged(claim(part()), rows([0.0] * 5, a=[10.0] * 5, b=[10.0] * 5,
                                         outcomes=["inf"] * 5))  # fmt: skip
    assert both["parts"][0]["failed_arm"] is None
    assert words.failure(both["parts"][0]) == (
        "the loss of one of the two became infinite with 5 of 5 seeds"
    )
    spread, _ = judged(claim(part()), rows([3.0] * 5, a=[95.0] * 5, b=[10.0] * 5,
                                           outcomes=["nan"] * 5))  # fmt: skip
    found = spread["parts"][0]
    assert (found["failed_arm"], found["arms"], found["alike"]) == (None, None, True)
    assert words.failure(found) == "a loss became NaN with 5 of 5 seeds"
    large, _ = judged(claim(part()), rows(AHEAD, a=AHEAD, b=[0.0] * 5, outcomes=["large"] * 5))
    assert words.failure(large["parts"][0]) == "the loss of one of the two became large"


@pytest.mark.parametrize("n, words", [(1, "1 seed"), (2, "2 seeds"), (4, "4 seeds")])
def test_few_seeds_decide_nothing_and_say_so(n, words):
    record, _ = judged(
        claim(part(), conditions=["depth"]), rows(AHEAD[:n], depth=2), rows(AHEAD[:n], depth=10)
    )
    assert record["verdict"] == "undecided"
    assert record["reason"] == f"{words} of the 5 needed"
    assert record["parts"][0]["n"] == n and record["parts"][0]["ci_low"] is None


def test_several_parts():
    parts = [part(f"epoch {epoch}", where={"epoch": epoch}) for epoch in (1, 5)]
    record, _ = judged(claim(*parts), rows(AHEAD, epoch=1), rows(EQUAL, epoch=5))
    assert record["verdict"] == "reproduced under conditions"
    assert [p["verdict"] for p in record["parts"]] == ["reproduced", "not reproduced"]
    first = "epoch 1: 1.2 pp (1.0 to 1.4, 5 seeds): reproduced; epoch 5"
    assert record["sentence"].startswith(first)

    many = [part(f"epoch {epoch}", where={"epoch": epoch}) for epoch in (1, 2, 3, 4, 5)]
    frames = [rows(AHEAD if epoch < 4 else EQUAL, epoch=epoch) for epoch in (1, 2, 3, 4, 5)]
    record, _ = judged(claim(*many), *frames)
    assert record["sentence"] == (
        "of 5 parts 3 hold (epoch 1; epoch 2; epoch 3), 2 do not (epoch 4; epoch 5)"
    )


def test_rule_words_of_parts_with_different_numbers_and_units():
    record, _ = judged(
        claim(
            part("loss", number=0.3, margin=0.02, unit="nats"),
            part("accuracy", number=95, margin=1, unit="%"),
            rule="value",
        )
    )
    assert record["rule_words"] == (
        "reproduced if the whole interval lies within ±0.02 nats of the chapter's number; "
        "reproduced if the whole interval lies within ±1 pp of the chapter's number"
    )


def test_a_missing_quantity_is_a_gap_that_is_named():
    gone = part("loss", quantity="loss", where={"epoch": 3})
    record, _ = judged(claim(part(), gone), rows(AHEAD, epoch=1))
    assert record["verdict"] == "undecided"
    assert record["reason"] == (
        "1 of 2 parts hold and none is refuted; loss: toy has no loss for epoch 3"
    )
    missing = record["parts"][1]
    assert missing["verdict"] == "undecided" and missing["n"] == 0
    assert missing["measured"] is None and missing["outcome"] is None


def test_nothing_measured_is_not_measured():
    record, evidence = judged(claim(part()))
    assert record["verdict"] == "not measured"
    assert record["reason"] == "the experiment toy has not run"
    assert record["sentence"] == "not measured: the experiment toy has not run"
    assert evidence.empty and "verdict" in evidence

    record, _ = judged(claim(part(where={"depth": 3})), rows(AHEAD, depth=2))
    assert record["verdict"] == "not measured" and record["reason"] == "toy has no gain for depth 3"
    record, _ = judged(claim(part(where={"recipe": "x"})), rows(AHEAD, depth=2))
    assert record["verdict"] == "not measured"


@pytest.mark.parametrize("rule", RULES)
def test_no_claim_is_judged_on_no_trials(rule):
    """A table may come out empty, or without the numbers of one quantity."""
    spec = claim(part(margin=1e-12, number=1, unit=""), rule=rule)
    for frame in rows([]), rows(AHEAD, quantity="another"):
        record, evidence = judged(spec, frame)
        assert record["verdict"] == "not measured"
        assert record["reason"].startswith("toy has no gain")
        assert record["parts"][0]["verdict"] == "undecided" and record["parts"][0]["n"] == 0
        assert evidence.empty


def test_claims_without_parts():
    record, _ = judged(claim(by=["a", "b"]))
    assert (record["verdict"], record["reason"]) == ("not measured", "planned: a, b")
    record, _ = judged(claim(rule="opinion", reason="a matter of taste"))
    assert record["verdict"] == "opinion" and record["sentence"] == "opinion: a matter of taste"
    record, _ = judged(claim(rule="source"))
    assert record["subject"] == "literature"


def test_a_failed_run_has_no_loss_that_a_number_could_match():
    def outcome(values, outcomes):
        spec = claim(part(number=0.3, margin=0.02, unit="nats"), rule="value")
        return judged(spec, rows(values, outcomes=outcomes))[0]

    one = outcome([0.3] * 4 + [NAN], ["finite"] * 4 + ["nan"])
    assert one["verdict"] == "undecided"
    assert one["parts"][0]["measured"] == 0.3 and one["parts"][0]["outcome"] == "finite"
    assert one["parts"][0]["failed_share"] == 0.2 and one["parts"][0]["ci_high"] is None

    every = outcome([NAN] * 5, ["nan"] * 3 + ["inf"] * 2)
    assert every["verdict"] == "not reproduced"
    assert every["parts"][0]["measured"] is None and every["parts"][0]["outcome"] == "nan"
    assert "the loss of 2 became infinite, the loss of 3 became NaN" in every["sentence"]

    unknown = outcome([NAN] * 5, ["finite"] * 5)
    assert unknown["verdict"] == "undecided"


def test_a_part_over_conditions_is_described_by_its_seeds_means():
    record, _ = judged(
        claim(part(), conditions=["depth"]),
        rows([1.0, 2.0, 3.0, 4.0, 5.0], depth=2),
        rows([3.0, 4.0, 5.0, 6.0, 7.0], depth=10),
    )
    (over_all,) = record["parts"]
    assert (over_all["measured"], over_all["ci_low"], over_all["ci_high"]) == (4.0, 2.0, 6.0)
    # seeds that one condition lacks are left out: 3 of 5 remain
    record, _ = judged(
        claim(part(), conditions=["depth"]), rows(AHEAD, depth=2), rows(AHEAD[:3], depth=10)
    )
    assert record["parts"][0]["n"] == 3 and record["parts"][0]["ci_low"] is None


def test_also_is_shown_by_condition_and_never_judged():
    second = part("as a variance", where={"init": "wide"})
    record, _ = judged(
        claim(part(where={"init": "narrow"}), conditions=["optimizer"], also=[second]),
        rows(AHEAD, init="narrow", optimizer="sgd"),
        rows(BEHIND, init="wide", optimizer="adam"),
        rows(EQUAL, init="wide", optimizer="sgd"),
    )
    assert record["verdict"] == "reproduced"
    names = [other["name"] for other in record["also"]]
    assert names == ["as a variance, Adam", "as a variance, SGD"]
    assert [other["measured"] for other in record["also"]] == [-2.0, 0.0]
    assert {other["verdict"] for other in record["also"]} == {None}


def test_two_values_of_a_seed_in_one_condition_cost_that_claim_alone():
    frames = [rows(AHEAD, optimizer="sgd", depth=2), rows(AHEAD, optimizer="sgd", depth=10)]
    bad, good = claim(part(), conditions=["optimizer"]), claim(part(), conditions=["depth"])
    claims, _ = judge({"claims": [bad, good]}, {"toy": table(*frames)})
    assert [record["verdict"] for record in claims] == ["not measured", "reproduced"]
    assert claims[0]["reason"] == (
        "several values per seed at SGD: `where` or `conditions` must tell them apart"
    )


def test_axes_that_do_not_apply_are_left_out():
    record, _ = judged(
        claim(part(), conditions=["optimizer", "init", "depth", "recipe"]),
        rows(AHEAD, optimizer="sgd", init=None, depth=NAN),
        rows(EQUAL, optimizer="adam", init=None, depth=2.0),
    )
    assert [condition["levels"] for condition in record["conditions"]] == [
        {"optimizer": "adam", "depth": 2},
        {"optimizer": "sgd"},
    ]


def test_evidence_survives_parquet(tmp_path):
    _, evidence = judged(
        claim(part(), conditions=["optimizer", "depth", "recipe"]),
        rows(AHEAD, optimizer="sgd", depth=2),
        rows(EQUAL, optimizer="adam", depth=10),
    )
    evidence.to_parquet(tmp_path / "evidence.parquet")
    again = pd.read_parquet(tmp_path / "evidence.parquet")
    assert list(again["optimizer"]) == ["adam", "sgd"] and list(again["depth"]) == [10, 2]


def test_one_name_for_numbers_in_one_experiment_and_words_in_another(tmp_path):
    claims = [
        claim(part(), conditions=["inputs"]),
        claim(part() | {"experiment": "other"}, conditions=["inputs"]),
    ]
    numbers, words = (table(rows(AHEAD, inputs=inputs)) for inputs in (3, "any sign"))
    _, evidence = judge({"claims": claims}, {"toy": numbers, "other": words})
    evidence.to_parquet(tmp_path / "evidence.parquet")
    again = pd.read_parquet(tmp_path / "evidence.parquet")
    assert list(again["inputs"]) == ["3", "any sign"]


def test_a_part_without_any_number_says_so():
    """As a timing on a GPU where there is none."""
    record, _ = judged(claim(part()), rows([NAN] * 5))
    assert record["verdict"] == "undecided"
    assert record["reason"] == "no finite number was measured"


@pytest.mark.parametrize("rule", ["value", "identity", "ordering"])
def test_what_is_only_shown_needs_no_margin(rule):
    shown = {"name": "shown", "experiment": "toy", "quantity": "gain", "unit": "pp"}
    spec = claim(part(number=1.0), rule=rule, also=[shown])
    record, _ = judged(spec, rows(AHEAD))
    (also,) = record["also"]
    assert also["measured"] == (max(AHEAD) if rule == "identity" else 1.2)


def test_one_measurement_under_two_conditions_counts_for_neither():
    frames = [rows(AHEAD, optimizer="sgd"), rows(AHEAD, optimizer="adam")]
    record, _ = judged(claim(part(agree=False), conditions=["optimizer"]), *frames)
    assert record["verdict"] == "not measured"
    assert record["reason"] == (
        "the same numbers in every seed at Adam and at SGD, which counts only once"
    )
    for values in [1.0] * 5, [0.0, 1.0, 1.0, 0.0, 1.0]:  # constants; yes or no
        frames = [rows(values, optimizer="sgd"), rows(values, optimizer="adam")]
        record, _ = judged(claim(part(agree=False), conditions=["optimizer"]), *frames)
        assert record["verdict"] != "not measured"
    idle = [rows(AHEAD, b=[11.35] * 5, a=[12.0] * 5, optimizer=name) for name in ("sgd", "adam")]
    record, _ = judged(claim(part(agree=False), conditions=["optimizer"]), *idle)
    assert record["verdict"] == "reproduced"


def test_what_holds_in_one_part_and_is_open_in_another_is_undecided_in_part():
    frames = [rows(AHEAD, epoch=1), rows(OPEN, epoch=5)]
    parts = [part("epoch 1", where={"epoch": 1}), part("epoch 5", where={"epoch": 5})]
    record, _ = judged(claim(*parts), *frames)
    assert record["verdict"] == "undecided"
    why = "epoch 5: the interval lies on both sides of the limit"
    assert record["reason"] == f"1 of 2 parts hold and none is refuted; {why}"


def test_sometimes_is_reproduced_by_more_conditions_than_luck_gives():
    def verdict(ahead):
        random = Random(1)
        frames = [
            rows([(1 if depth < ahead else -1) + 0.1 * random.random() for _ in SEEDS], depth=depth)
            for depth in range(40)
        ]
        return judged(claim(part(), rule="sometimes", conditions=["depth"]), *frames)[0]["verdict"]

    assert verdict(0) == "not reproduced"
    assert verdict(10) == verdict(40) == "reproduced"


def test_subjects():
    for rule, subject in ("identity", "mathematics"), ("construction", "mathematics"):
        record, _ = judged(claim(part(margin=1e-9, unit=""), rule=rule), rows([0.0] * 5))
        assert record["subject"] == subject


def test_other_seeds_verdicts_stand_beside_each_claim():
    claims = [{"id": "C001"}, {"id": "C002"}]
    references = {
        "seeds-2000": [{"id": "C001", "verdict": "undecided"}],
        "seeds-1000": [{"id": "C001", "verdict": "reproduced"}],
    }
    add_other_seeds(claims, references)
    assert list(claims[0]["other_seeds"].items()) == [
        ("seeds-1000", "reproduced"),
        ("seeds-2000", "undecided"),
    ]
    assert claims[1]["other_seeds"] == {}


@pytest.mark.parametrize(
    "margin, low, high, places",
    [(0.5, -0.47, 0.2, 2), (0.5, 0.52, 1.1, 2), (0.5, 0.6, 1.1, 1), (None, -0.47, 0.2, 1)],
)
def test_no_end_is_printed_as_the_limit_that_it_lies_beside(margin, low, high, places):
    record = {"unit": "pp", "margin": margin, "ci_low": low, "ci_high": high}
    assert words.places(record) == places
