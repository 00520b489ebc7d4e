"""Claims of one's own: what a config's claims are compiled to, and what is refused before a run."""

import copy
from pathlib import Path

import pytest
import yaml

from finicky import config as presets
from finicky import declarations, questions, runs
from finicky.errors import InputError
from finicky.evidence import asked, headlines, ledger
from finicky.experiments import pairing
from finicky.experiments import questions as experiment

ROOT = Path(__file__).parents[2]
EXPERIMENTS = declarations.experiments()
PRESET = {
    "preset": "mine",
    "experiments": "none",
    "grid": {
        "leaky": {
            "dataset": ["mnist", "fashion_mnist"], "depth": [10, 20], "init": ["he"],
            "activation": ["relu", "leaky_relu"], "optimizer": ["sgd", "adam"], "seeds": 8,
            "images": 10000, "epochs": 3,
        },
        "rates": {
            "dataset": ["mnist"], "depth": [2], "init": ["he"], "activation": ["relu"],
            "optimizer": ["sgd", "adam"], "images": 1000, "epochs": 1, "for": ["tuning"],
            "learning_rate": {"sgd": [0.01, 0.1], "adam": [0.001, 0.01]},
        },
    },
}  # fmt: skip
LEAKY = {
    "id": "leaky-helps",
    "says": "Leaky ReLU is ahead of ReLU.",
    "compare": {"axis": "activation", "a": "leaky_relu", "b": "relu"},
    "margin": 0.5,
}


def claim(**changes):
    """LEAKY with these keys; None leaves one out."""
    return {key: value for key, value in (LEAKY | changes).items() if value is not None}


def alone(**form):
    """A claim that compares nothing, and has no margin if none is given."""
    return claim(**{"compare": None, "margin": None} | form)


@pytest.fixture
def compiled(tmp_path, monkeypatch):
    """`compiled(claims, **changes)`: the claims of the preset with these changes, compiled, and
    checked with the ledger."""
    monkeypatch.chdir(ROOT)

    def compiled(claims, **changes):
        file = tmp_path / "mine.yaml"
        file.write_text(yaml.safe_dump(copy.deepcopy(PRESET) | {"claims": claims} | changes))
        files = ["config/config.yaml", str(file)]
        config = presets.merged(files)
        presets.check(config, files, EXPERIMENTS)
        own = asked.compiled(config, runs.plan(config), str(file), {"explore", "questions"})
        ledger.load(None, EXPERIMENTS, own.claims, own.file)
        return own

    return compiled


@pytest.fixture
def refused(compiled, tmp_path):
    """The message, without the folder, of claims that must be refused."""

    def refused(claims, **changes):
        with pytest.raises(InputError) as error:
            compiled(claims, **changes)
        assert "\n" not in str(error.value)
        return str(error.value).removeprefix(f"{tmp_path}/mine.yaml: ")

    return refused


def test_a_comparison_becomes_a_claim_of_the_ledger(compiled):
    own = compiled([LEAKY])
    [made] = own.claims
    assert made["rule"] == "ordering" and made["drop_untrained"] and "line" not in made
    assert made["conditions"] == [axis for axis in questions.AXES if axis != "activation"]
    [part] = made["parts"]
    assert part["name"] == "leaky ReLU minus ReLU, test accuracy"
    assert (part["unit"], part["margin"]) == ("pp", 0.5)
    assert part["where"] == {"question": "leaky-helps"}
    assert own.settings == {"leaky-helps": 8} and own.seeds == {"leaky-helps": 8}
    assert own.differ == {"leaky-helps": ["dataset", "depth", "optimizer", "learning_rate"]}
    assert headlines.problems(made) == []


def test_the_example_of_the_readme_can_be_answered(compiled):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    example = yaml.safe_load(text.split("## Ask your own question")[1].split("```")[1][5:])
    own = compiled(**example)
    assert own.settings == {"leaky-helps": 4} and own.seeds == {"leaky-helps": 8}


def test_axes_that_the_chapter_does_not_have_are_asked_about_like_the_others(compiled):
    """Such runs count for none of its experiments; a decay of one's own is a number."""
    grid = {
        "decay": {
            "dataset": ["fashion_mnist"], "depth": [2, 6], "init": ["he"], "activation": ["relu"],
            "optimizer": ["adamw"], "width": 64, "images": 10000, "epochs": 3, "seeds": 6,
            "weight_decay": [0, 0.01], "schedule": ["constant", "cosine"], "learning_rate": [0.001],
        }
    }  # fmt: skip
    decay = {"axis": "weight_decay", "a": 0.01, "b": 0}
    own = compiled([claim(compare=decay, where={"width": 64, "schedule": "cosine"})], grid=grid)
    assert own.settings == {"leaky-helps": 2} and own.seeds == {"leaky-helps": 6}
    assert own.claims[0]["parts"][0]["name"].startswith("weight decay 0.01 minus weight decay 0")
    own = compiled([claim(compare={"axis": "schedule", "a": "cosine"})], grid=grid)
    assert own.settings == {"leaky-helps": 4}


def test_a_preset_makes_the_experiment_that_answers_its_claims():
    """Else `make status` would not count it, and `make prune` would take it for left over."""
    config = {"experiments": {"adam": {}, "losses": None}}
    assert questions.experiments(config) == ["adam"]
    assert questions.experiments(config | {"claims": [LEAKY]}) == ["adam", "questions"]


def test_what_is_measured_does_not_change_with_the_margin_or_the_words(compiled):
    """So that editing them measures nothing again."""
    before = compiled([LEAKY]).asked
    other = claim(margin=2, says="Other words.", headline={"reproduced": "It is."}, why="So.")
    assert compiled([other]).asked == before
    assert compiled([claim(metric="test_loss")]).asked != before


def test_a_headline_of_ones_own_replaces_only_its_verdict(compiled):
    [made] = compiled([claim(headline={"reproduced": "Yes, in {hold} of {of}."})]).claims
    assert made["headline"]["reproduced"] == "Yes, in {hold} of {of}."
    assert made["headline"]["reproduced under conditions"].endswith("test accuracy {settings}.")


ONE = {"depth": 10, "optimizer": "adam", "dataset": "mnist"}


@pytest.mark.parametrize(
    "given, rule, name, unit",
    [
        (claim(metric="steps_to_90", margin=9), "ordering",
         "ReLU minus leaky ReLU, steps to 90 % test accuracy", "steps"),
        (claim(compare={"axis": "optimizer", "a": "adam"}), "ordering",
         "Adam minus the best other optimizer, test accuracy", "pp"),
        (claim(compare={"axis": "depth", "a": 10, "b": 20}, rule="equivalence"), "equivalence",
         "depth 10 minus depth 20, test accuracy", "pp"),
        (claim(compare={"axis": "optimizer", "a": "adam", "b": "sgd"}, best_rate=True,
               where={"depth": 2}), "ordering",
         "Adam minus SGD, test accuracy, each at its own best rate", "pp"),
        (alone(share="diverged"), "existence", "how many diverge", "share of runs"),
        (alone(share="reached_90.5"), "existence", "how many reach 90.5 % test accuracy",
         "share of runs"),
        (alone(trend={"axis": "depth", "direction": "falls"}), "trend",
         "fall of test accuracy per doubling of depth", "pp per doubling"),
        (claim(compare=None, value=95), "value", "test accuracy", "%"),
        (claim(compare=None, value=95, rule="ordering"), "ordering", "test accuracy minus 95",
         "pp"),
        (claim(compare=None, value=0.3, rule="ordering", metric="test_loss", margin=0), "ordering",
         "0.3 minus test loss", "nats"),
    ],
)  # fmt: skip
def test_forms_and_metrics(compiled, given, rule, name, unit):
    [made] = compiled([given]).claims
    [part] = made["parts"]
    assert made["rule"] == rule and part["unit"] == unit
    assert part["name"].partition(" (")[0] == name
    assert headlines.problems(made) == []


def test_a_claim_of_one_setting_says_where_it_looks(compiled):
    [made] = compiled([claim(where=ONE)]).claims
    assert "conditions" not in made
    assert "(MNIST, images 10,000" in made["parts"][0]["name"]


def test_what_is_taken_before_training_counts_once(compiled):
    own = compiled([claim(metric="gradient_ratio")])
    assert own.settings == {"leaky-helps": 4}  # two data sets, two depths, no optimizer


def test_claims_may_stand_in_a_file(compiled, refused, tmp_path):
    file = tmp_path / "claims.yaml"
    file.write_text(yaml.safe_dump([LEAKY]))
    assert compiled(str(file)).file == str(file)
    file.write_text(yaml.safe_dump([claim(margn=1)]))
    assert refused(str(file)).startswith(f"{file}: claims[leaky-helps]: found unknown key 'margn'")


COMPARE = LEAKY["compare"]


@pytest.mark.parametrize(
    "claims, said",
    [
        ([claim(compare=COMPARE | {"a": "leaky"})], "claims[leaky-helps].compare.a: found 'leaky'; "
         "allowed: what the grid trains: leaky_relu, relu"),
        ([claim(compare=COMPARE | {"b": "leaky_relu"})], "found leaky_relu on both sides"),
        ([claim(compare=COMPARE | {"axis": "activatio"})], "claims[leaky-helps].compare.axis: "
         "found no axis 'activatio'; allowed: " + ", ".join(questions.AXES) + "; perhaps 'activat"),
        ([claim(conditions=["layers"])], "claims[leaky-helps].conditions: found no axis 'layers'"),
        ([claim(where={"optimiser": "sgd"})], "where: found no axis 'optimiser'; allowed: dataset"),
        ([claim(compare="leaky_relu vs relu")], "claims[leaky-helps].compare: found 'leaky_relu vs "
         "relu'; allowed: {axis: what differs, a: a level, b: another one}"),
        ([claim(compare=COMPARE | {"b": ["relu"]})], "compare.b: found ['relu']; allowed: text or"),
        ([claim(where="depth=20")], "where: found 'depth=20'; allowed: {axis: level or list of"),
        ([claim(margin="0.5 %")], "claims[leaky-helps].margin: found '0.5 %'; allowed: a finite"),
        ([claim(margin=[0.5])], "claims[leaky-helps].margin: found [0.5]; allowed: a finite"),
        ([claim(margin=-0.5)], "claims[leaky-helps].margin: found -0.5; allowed: at least 0"),
        ([claim(metric=["test_loss"])], "metric: found ['test_loss']; allowed: text"),
        ([claim(id="leaky helps")], "claims[leaky helps].id: found 'leaky helps'; allowed: small "),
        ([claim(says=None)], "claims[leaky-helps]: found no key 'says'; allowed: every one of id"),
        ({"leaky-helps": claim()}, "; allowed: a list of claims, each beginning with `- id:`, or"),
        ([claim(where={"optimizer": "adamm"})], "where.optimizer: found 'adamm'; allowed: what the "
         "grid trains: adam, sgd"),
        ([claim(where={"depth": "10"})], "where.depth: found '10'; allowed: what the grid trains: "
         "10, 20, without quotes"),
        ([claim(where={"depth": [10, True]})], "where.depth"),
        ([claim(where={"activation": "relu"})], "compare: found no activation leaky_relu in these"),
        ([claim(metric="accuracy")], "metric: found 'accuracy'; allowed: test_accuracy, train_acc"),
        ([claim(metric="steps_to_101")], "metric: found 'steps_to_101'"),
        ([claim(metric="steps_to_0.9")], "metric: found 'steps_to_0.9'; allowed: test_accuracy, "),
        ([claim(compare=None, value=0.95)], "value: found 0.95; allowed: test_accuracy in %, as"),
        ([alone(share="test_loss")], "share: found 'test_loss'; allowed: diverged, trained, reach"),
        ([alone()], "claims[leaky-helps]: found none of them; allowed: one of compare, value"),
        ([claim(value=3)], "found compare and value; allowed: one of"),
        ([claim(margin=None)], "found no key 'margin'; allowed: a margin, which the ordering rule"),
        ([alone(share="diverged", margin=0.5)], "margin: found 0.5; allowed: none, as a share"),
        ([alone(trend={"axis": "depth", "direction": "falls"}, margin=1)], "margin: found 1; al"),
        ([alone(share="diverged", metric="test_loss")], "metric: found 'test_loss'; allowed: none"),
        ([claim(rule="identity")], "rule: found identity; allowed: ordering, noninferiority, equ"),
        ([claim(margin=100)], "found a claim that is false whatever is measured; allowed: a margin "
         "within the range of test_accuracy (−100 to 100)"),
        ([claim(margin=120, rule="equivalence")], "found a claim that is true whatever is"),
        ([claim(compare=None, value=0, margin=0, rule="ordering")], "found a claim that is true"),
        ([claim(compare=None, value=120)], "found a claim that is false"),
        ([alone(trend={"axis": "activation", "direction": "rises"})], "trend.axis: found activation"
         "; allowed: an axis of numbers: images, epochs, depth"),
        ([alone(trend={"axis": "images", "direction": "rises"})], "found images 10000 alone in"),
        ([claim(best_rate=True)], "best_rate: found an arm with one learning rate; allowed: two"),
        ([claim(best_rate=True, where={"learning_rate": 0.01})], "found learning_rate, which makes "
         "no difference at each arm's own best rate"),
        ([claim(metric="start_loss", where={"optimizer": "sgd"})], "found optimizer, which makes no"
         " difference for start_loss"),
        ([claim(conditions=["depth"])], "conditions: found several runs of one seed at depth 10"),
        ([claim(conditions=["activation"])], "conditions: found activation, which is compared"),
        ([claim(compare={"axis": "optimizer", "a": "adam", "b": "sgd", "alongside": []})],
         "compare: found arms that never agree in everything else; allowed: runs that do, or `al"),
        ([LEAKY, LEAKY], "claims[leaky-helps].id: found leaky-helps twice"),
        ([claim(id="C057")], "claims[C057].id: found 'C057'; allowed: small letters, "),
        ([claim(id="explore")], "claims[explore].id: found explore; allowed: a name that no part"),
        ([claim(needs=["C057"])], "claims[leaky-helps].needs: found C057; allowed: claims of the"),
        ([claim(id="a", needs=["b"]), claim(id="b", needs=["a"])], "needs: found a rests on b rests"
         " on a; allowed: no claim that rests on itself"),
        ([claim(headline={"reproduced": "{foo}"})], "headline.reproduced: found {foo}: no slot"),
        ([claim(margn=1)], "claims[leaky-helps]: found unknown key 'margn'; allowed: id, says"),
        ("nowhere.yaml", "nowhere.yaml: found no such file; allowed: a list of claims"),
        ([], "claims: found []; allowed: at least 1 item"),
    ],
)  # fmt: skip
def test_bad_claims_are_refused_in_one_line(refused, claims, said):
    assert said in refused(claims)


def test_too_few_seeds_are_refused(refused):
    grid = copy.deepcopy(PRESET["grid"])
    grid["leaky"]["seeds"] = 3
    said = "claims[leaky-helps]: found 3 seeds, with which nothing can be decided; allowed: 5 seeds"
    assert refused([LEAKY], grid=grid).startswith(said)


def test_axes_are_those_of_runs_pairs_and_tables():
    """Who adds an axis adds it to the table of the questions as well."""
    assert {*questions.AXES, "seed"} == set(pairing.KEY)
    more = {"question", "metric", "subgrid", "classes_a", "classes_b"}
    assert set(experiment.CONDITIONS) == {*more, *questions.AXES}
    assert EXPERIMENTS["questions"].quantities.keys() >= set(questions.FORMS)
