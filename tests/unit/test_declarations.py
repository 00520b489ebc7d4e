"""What modules declare about themselves, and that every way to misspell it is one line of error.

The tests walk the contract: every setting of every experiment, every level, column and quantity
that a claim of the ledger names, every level of every sub-grid.
"""

import ast
import copy
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from finicky import config as presets
from finicky import declarations, sources
from finicky.errors import InputError
from finicky.evidence import ledger

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "config/config.yaml"
LEDGER = ROOT / "config/claims.yaml"
EXPERIMENTS = declarations.experiments()
TABLE = ("quantity", "seed", "value", "a", "b", "outcome")


def refused(function, *arguments):
    """The one line that a call says which must refuse its input."""
    with pytest.raises(InputError) as error:
        function(*arguments)
    message = str(error.value)
    assert "\n" not in message and "; allowed: " in message
    assert error.value.found and error.value.allowed
    return message


def test_an_initialiser_in_a_spelling_that_the_tables_do_not_hold(tmp_path):
    """The config takes it; a claim that names it so would find no run."""
    experiment = SimpleNamespace(conditions={"init": "level"})
    for level in "normal_std_1e-3", "normal_var_1e-6":
        said = refused(declarations.check_level, "init", level, experiment, "a.yaml", "where.init")
        assert said.endswith(f"found {level!r}; allowed: normal_std_0.001, as the tables spell it")
    said = refused(declarations.check_level, "init", "normal_std_x", experiment, "a.yaml", "where")
    assert "allowed: zeros, " in said
    declarations.check_level("init", "normal_std_0.001", experiment, "a.yaml", "where.init")


# ---- Reading declarations -----------------------------------------------------------------------


def test_a_module_is_read_without_importing_it(tmp_path):
    (tmp_path / "toy_grid.py").write_text(
        'TITLE = "Toy"\nREADS = ["runs"]\nQUANTITIES = {"gain": ("", "a gain")}\n'
        'SETTINGS = {"rates": ("positives", "rates")}\nraise RuntimeError("imported")\n'
    )
    (tmp_path / "helper.py").write_text("TITLE = 'no experiment'\n")
    [(slug, toy)] = declarations.experiments(tmp_path).items()
    assert slug == "toy-grid" and toy.title == "Toy" and toy.reads == ["runs"]
    assert toy.settings == {"rates": ("positives", "rates")} and not toy.alone


def test_a_declaration_is_a_plain_literal(tmp_path):
    (tmp_path / "sly.py").write_text("QUANTITIES = dict(a=1)\n")
    said = refused(declarations.experiments, tmp_path)
    assert said.endswith("sly.py: QUANTITIES: found an expression; allowed: a plain literal")


BUDGET = """
TITLE = "Toy"
QUANTITIES = {"gain": ("", "a gain"), "law": ("", "an identity")}
CONDITIONS = {"dataset": "level"}
SETTINGS = {"images": ("images", "images"), "trainings": ("counts", "lengths")}
BUDGET = """


@pytest.mark.parametrize(
    "budget, gain, law",
    [
        ('"{images} images of {dataset}"', "{images} images of {dataset}", None),
        ('{"{images} images": ["gain"], "{dataset}": []}', "{images} images", ""),
        ('{"{trainings.epochs} epochs": ["law"]}', "", "{trainings.epochs} epochs"),
    ],
)
def test_a_budget_is_a_template_for_all_or_some_quantities(tmp_path, budget, gain, law):
    (tmp_path / "toy.py").write_text(BUDGET + budget)
    toy = declarations.experiments(tmp_path)["toy"]
    assert toy.budget_of("gain") == gain
    assert toy.budget_of("law") == (gain if law is None else law)


@pytest.mark.parametrize(
    "budget, found",
    [
        ('"{epochs} epochs"', "{epochs}"),
        ('"{} epochs"', "{}"),
        ('"{images images"', "expected '}' before end of string"),
        ('{"{images} images": ["gian"]}', "'gian'"),
        ('{"{images} images": ["gain"], "always": ["gain"]}', "gain 2 times"),
    ],
)
def test_a_budget_names_conditions_settings_and_quantities(tmp_path, budget, found):
    (tmp_path / "toy.py").write_text(BUDGET + budget)
    said = refused(declarations.experiments, tmp_path)
    assert "toy.py: BUDGET: found " in said and found in said


def test_what_computes_on_the_device_is_read_off_its_code(tmp_path):
    """Its own, or that of a helper; what neither asks for the device leaves a GPU alone."""
    for name, line in {
        "own": 'device = settings["device"]',
        "helped": "def measure(settings, tables):\n    from finicky.experiments import training",
        "aside": "from finicky.experiments import tidy",
    }.items():
        (tmp_path / f"{name}.py").write_text(f'TITLE = ""\nQUANTITIES = {{}}\n{line}\n')
    found = declarations.experiments(tmp_path)
    assert {slug: one.on_device for slug, one in found.items()} == {
        "own": True, "helped": True, "aside": False,
    }  # fmt: skip
    there = {slug for slug, one in EXPERIMENTS.items() if one.on_device}
    assert {"minima", "parity-depth", "approximation"} <= there
    assert not {"grid", "calibration", "losses", "convergence"} & there


@pytest.mark.parametrize("slug", EXPERIMENTS)
def test_whoever_trains_networks_says_for_how_long(slug):
    """BUDGET may be empty, where networks take steps and nothing has to be learnt."""
    one = EXPERIMENTS[slug]
    helpers = {Path(file).name for file in sources.dependencies(one.file)}
    if "runs" in one.reads or helpers & {"training.py", "stacked.py"}:
        module = ast.parse(one.file.read_text(encoding="utf-8"))
        names = {
            target.id
            for node in module.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        assert "BUDGET" in names


def test_a_figure_has_one_maker(tmp_path):
    for name in "one", "two":
        (tmp_path / f"{name}.py").write_text('FIGURES = {"F16": "a caption"}\n')
    said = refused(declarations.exhibits, tmp_path)
    assert "F16 made 2 times" in said and "one.py" in said and "two.py" in said


@pytest.mark.parametrize(
    ("declared", "found"),
    [
        ('FIGURES = {"F16": "a caption", "F16": "another"}', "FIGURES: found 'F16' 2 times"),
        ('TABLES = {"T1": "a caption", "T1": "another"}', "TABLES: found 'T1' 2 times"),
        ('FIGURES = {"F1": "a"}\nFIGURES = {"F2": "b"}', "FIGURES: found FIGURES twice"),
        ('FIGURES = {"X1": "a"}\nTABLES = {"X1": "b"}', "X1: found X1 made 2 times"),
    ],
)
def test_an_exhibit_names_each_thing_once(tmp_path, declared, found):
    (tmp_path / "one.py").write_text(declared)
    assert f"one.py: {found}; allowed: " in refused(declarations.exhibits, tmp_path)


@pytest.mark.parametrize(
    ("declared", "found"),
    [
        ('QUANTITIES = {"a": ("", "one"), "a": ("", "two")}', "QUANTITIES: found 'a' 2 times"),
        ('QUANTITIES = {}\nSETTINGS = {"a": ("count", "x"), "a": ("rate", "y")}',
         "SETTINGS: found 'a' 2 times"),
        ('QUANTITIES = {}\nCONDITIONS = {"a": "level", "a": "integer"}',
         "CONDITIONS: found 'a' 2 times"),
    ],
)  # fmt: skip
def test_an_experiment_names_each_thing_once(tmp_path, declared, found):
    (tmp_path / "one.py").write_text(declared)
    assert f"one.py: {found}; allowed: " in refused(declarations.experiments, tmp_path)


def test_a_level_has_one_function():
    declarations.check_levels_registered_once()


@pytest.mark.parametrize(
    ("axis", "code"),
    [
        ("optimizer", "@optimizer('sgd')\ndef mine(*arguments):\n    pass"),
        ("optimizer", "@optimizer('adam', state=['m'])\ndef mine(*arguments):\n    pass"),
        ("optimizer", "if True:\n    @optimizer('sgd')\n    def mine(*arguments):\n        pass"),
        ("init", "@initializer('he')\ndef mine(z, fan_in, fan_out):\n    return z"),
        ("activation", "@activation('relu')\ndef mine(z):\n    return z"),
        ("activation", "@backward_of('tanh')\ndef mine(gradient, y):\n    return gradient"),
    ],
)
@pytest.mark.parametrize("new_file", [False, True])
def test_a_level_registered_twice_is_refused(tmp_path, axis, code, new_file):
    """The second would silently replace the first, in whichever file of the engine it is."""
    for file in sources.ENGINE.glob("*.py"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    known = sources.REGISTRIES[axis][0].name
    mine = tmp_path / ("zz_mine.py" if new_file else known)
    with mine.open("a", encoding="utf-8") as file:
        file.write(f"\n\n{code}\n")
    said = refused(declarations.check_levels_registered_once, tmp_path)
    decorator = code.partition("@")[2].partition("'")[0]
    assert said.startswith(f"{mine}: {axis}: found @{decorator}'")
    assert f" twice, {known} line " in said and f" and {mine.name} line " in said


def test_every_exhibit_shows_an_experiment_and_has_its_functions():
    for slug, exhibit in declarations.exhibits().items():
        assert slug in EXPERIMENTS
        code = exhibit.file.read_text()
        for name in (*exhibit.figures, *exhibit.tables):
            assert f"def {name.lower().replace('-', '_')}(table" in code, (slug, name)
        for name in exhibit.with_ledger:
            assert (
                name in exhibit.figures
                and f"def {name.lower()}(table: pd.DataFrame, ledger" in code
            )


@pytest.mark.parametrize("slug", list(EXPERIMENTS))
def test_every_experiment_declares_what_can_be_checked(slug):
    one = EXPERIMENTS[slug]
    assert one.title and one.quantities
    assert not set(one.conditions) & set(TABLE)
    for column, kind in one.conditions.items():
        assert isinstance(kind, list) or kind in declarations.KINDS, column
        if kind == "level":
            assert declarations.axis_levels(column)
    for key, (kind, meaning) in one.settings.items():
        assert kind and meaning, key


# ---- Settings: every one of every experiment, wrong in every way --------------------------------


@pytest.mark.parametrize("preset", ["config", "smoke", "full"])
def test_the_settings_of_the_presets_pass(preset):
    config = presets.load(ROOT / f"config/{preset}.yaml", CONFIG)
    for slug, settings in config["experiments"].items():
        declarations.check_settings(slug, settings, EXPERIMENTS[slug], preset)


def places(value, path=()):
    """Every place within a setting, from the outermost: (path, what is there)."""
    yield path, value
    if not isinstance(value, dict | list):
        return
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield from places(inner, (*path, key))


def put(value, path, new):
    """A setting with something else at a place."""
    if not path:
        return new
    value = copy.copy(value)
    value[path[0]] = put(value[path[0]], path[1:], new)
    return value


HUGE, NAN, INFINITE = 10**400, float("nan"), float("inf")


def wrong_values(key, value):
    """What cannot stand where a good value stands: of another kind, out of all bounds, or what the
    key's name forbids."""
    yield from (None, True, -1, NAN, INFINITE, -INFINITE, HUGE, {"a": 1})
    if isinstance(value, list):
        yield from ([], 3, "fast", [*value, value[0]], [*value, []], [*value, None])
    elif isinstance(value, dict):
        yield from ({}, [], 3, "fast", value | {"misspelt": next(iter(value.values()))})
    elif isinstance(value, str):
        yield from ("misspelt", "", 3, [value])
    else:
        yield from (0, "fast", str(value), [value], 1e300)
    if isinstance(value, int):
        yield from (value + 0.5, float(value), 10**9)
    if isinstance(value, int) and "depth" in key:
        yield from (3, 2001)
    if isinstance(value, int) and "images" in key:
        yield 60_001


# What is harmless after all: no time for a turn, no shift; and numbers that need not be whole.
HARMLESS = {
    "batch-size.turn": [0],
    "covariate-shift.jump": [0],
    "covariate-shift.drift": [0, 3.5, 4.5],
    "dead-relus.higher": [10.5, 100.5],
    "double-descent.noise": [0.5],
    "gradient-norms.gains": [2.5, 8.5, 10**9],
    "losses.share": [1.5, 5.5, 20.5],
    "residual-variants.decays": [0.5],
    "trajectories.condition_numbers": [3.5, 10.5, 30.5, 100.5, 300.5, 1000.5],
}  # fmt: skip


@pytest.mark.parametrize("slug", list(EXPERIMENTS))
def test_a_wrong_setting_is_refused(slug):
    config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    good, experiment = config["experiments"].get(slug) or {}, EXPERIMENTS[slug]

    def said(settings):
        message = refused(declarations.check_settings, slug, settings, experiment, "mine.yaml")
        assert message.startswith(f"mine.yaml: experiments.{slug}")
        assert "any of the given schemas" not in message
        return message

    assert "found unknown key 'misspelt'" in said(good | {"misspelt": 1})
    for key, setting in good.items():
        assert f"found no key '{key}'" in said({k: v for k, v in good.items() if k != key})
        harmless = HARMLESS.get(f"{slug}.{key}", [])
        for path, value in places(setting):
            for wrong in wrong_values(key, value):
                settings = good | {key: put(setting, path, wrong)}
                if settings == good and (value == 0 or f"{slug}.{key}" in HARMLESS):
                    continue  # 2.0 where a number need not be whole
                if any(type(wrong) is type(one) and wrong == one for one in harmless):
                    declarations.check_settings(slug, settings, experiment, "mine.yaml")
                else:
                    assert f"experiments.{slug}.{key}" in said(settings), (key, path, wrong)


# Settings that pass one by one and contradict each other; with fewer items than can be compared.
AT_ODDS = [
    ("approximation", {"most": 2000}, "most: found 2000; allowed: fewer units than points: most"),
    ("batch-size", {"batch_sizes": [8, 1024]}, "batch_sizes: found 1024; allowed: batches smaller"),
    ("bn-practice", {"images": 513}, "images: found 513; allowed: no batch of one image"),
    ("bn-practice", {"whole_batch": 511}, "images: found 512; allowed: no batch of one image: im"),
    ("bn-practice", {"ghosts": [8, 15]}, "whole_batch: found 256; allowed: no ghost batch of one"),
    (
        "bn-practice", {"images": 560, "ghosts": [47]},
        "images: found 560; allowed: no ghost batch of one image: images % whole_batch % ghosts != "
        "1, beside whole_batch 256, ghosts 47",
    ),
    ("bn-practice", {"ghosts": [256]}, "ghosts: found 256; allowed: parts of a batch: ghosts < "),
    ("bn-practice", {"width": 4}, "width: found 4; allowed: at least 8"),
    ("traps", {"images": 3009}, "images: found 3009; allowed: no batch of one image"),
    ("variance", {"depths": [2, 6]}, "depths[0]: found 2; allowed: at least 4"),
    ("bn-practice", {"ghosts": [1]}, "ghosts[0]: found 1; allowed: at least 2"),
    ("bn-practice", {"activations": ["tanh"]}, "activations: found ['tanh']; allowed: a list with"),
    ("covariate-shift", {"images": 65}, "images: found 65; allowed: no batch of one image"),
    ("features", {"probe_images": 10_001}, "probe_images: found 10001; allowed: some of the trai"),
    ("gradient-highway", {"trained_depths": [18]}, "trained_depths: found 18; allowed: some of"),
    ("gradient-highway", {"jacobian_images": 101}, "jacobian_images: found 101; allowed: some of"),
    ("gradient-norms", {"images": 1}, "images: found 1; allowed: no batch of one image"),
    ("gradient-highway", {"images": 65}, "images: found 65; allowed: no batch of one image"),
    ("paths", {"images": 65}, "images: found 65; allowed: no batch of one image"),
    ("loss-surface", {"images": 257}, "images: found 257; allowed: no batch of one image"),
    ("smoothness", {"images": 65}, "images: found 65; allowed: no batch of one image"),
    ("learning-rate", {"long_epochs": 4}, "epochs: found 4; allowed: a longer comparison than"),
    ("linear-limits", {"steps": [9]}, "steps: found [9]; allowed: steps for each number of images"),
    ("linear-limits", {"pool": 5000}, "images: found 10000; allowed: some of the pool: images <="),
    ("linear-limits", {"permuted_images": [50]}, "permuted_images: found 50; allowed: some of"),
    ("loss-surface", {"loss_images": 5001}, "loss_images: found 5001; allowed: some of the tra"),
    ("norm-variants", {"batch_sizes": [4096]}, "batch_sizes: found 4096; allowed: batches of"),
    ("smoothness", {"rates": [0.02]}, "rates: found 0.02; allowed: some of the ladder: rates in"),
    ("smoothness", {"ladders": {"adam": [0.1]}}, "rates: found 0.01; allowed: some of the ladder"),
    ("structure", {"asked": 5001}, "asked: found 5001; allowed: some of the images"),
    ("variance", {"spectra": 33}, "spectra: found 33; allowed: some of the images"),
    ("variance", {"train_images": 31}, "images: found 32; allowed: some of the training images"),
    (
        "weight-decay", {"decays": {"adam": [0.1], "adamw": [0.1, 1]}},
        "decays.adam: found [0.1]; allowed: as many λ for each: count(decays.adam) == count(decays."
        "adamw), beside decays.adamw [0.1, 1]",
    ),
    (
        "weight-decay", {"trainings": [{"images": 9, "epochs": 1}, {"images": 9, "epochs": 2}]},
        "trainings.images: found [9, 9]; allowed: each number of images once",
    ),
    ("approximation", {"units": [8]}, "units: found [8]; allowed: at least 2 items"),
    ("approximation", {"dimensions": [1, 2]}, "dimensions: found [1, 2]; allowed: at least 3 item"),
    ("convergence", {"horizons": [30]}, "horizons: found [30]; allowed: at least 2 items"),
    ("gradient-highway", {"layers": [4, 8]}, "layers: found [4, 8]; allowed: at least 3 items"),
    ("minima", {"widths": [4]}, "widths: found [4]; allowed: at least 2 items"),
    ("paths", {"start_depths": [18]}, "start_depths: found [18]; allowed: at least 2 items"),
]  # fmt: skip


@pytest.mark.parametrize(("slug", "changes", "said"), AT_ODDS)
def test_settings_at_odds_are_refused(slug, changes, said):
    good = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["experiments"][slug]
    arguments = slug, good | changes, EXPERIMENTS[slug], "mine.yaml"
    message = refused(declarations.check_settings, *arguments)
    assert message.startswith(f"mine.yaml: experiments.{slug}.{said}")


@pytest.mark.parametrize("slug", [slug for slug, one in EXPERIMENTS.items() if one.limits])
def test_every_limit_is_broken_by_one_of_these(slug):
    good = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["experiments"][slug]
    changes = [changes for other, changes, _ in AT_ODDS if other == slug]
    for limit in map(declarations._Limit, EXPERIMENTS[slug].limits):
        assert not limit.broken(good) and any(limit.broken(good | one) for one in changes)


def test_a_limit_names_settings(tmp_path):
    """The dotted ones are keys of settings, or of the items of a list."""
    toy = 'TITLE = ""\nQUANTITIES = {}\nSETTINGS = {"a": ("counts", ""), "b": ("count", "")}\n'
    toy += "LIMITS = "
    (tmp_path / "toy.py").write_text(toy + '{"a < c": "less"}', encoding="utf-8")
    said = refused(declarations.experiments, tmp_path)
    assert said.endswith("toy.py: LIMITS: found c; allowed: a, b")
    (tmp_path / "toy.py").write_text(toy + '{"a less than b": "less"}', encoding="utf-8")
    said = refused(declarations.experiments, tmp_path)
    assert said.endswith("toy.py: LIMITS: found 'a less than b'; allowed: a comparison")
    (tmp_path / "toy.py").write_text(toy + '{"a < b": "less"}', encoding="utf-8")
    toy = declarations.experiments(tmp_path)["toy"]
    declarations.check_settings("toy", {"a": [1, 2], "b": 3}, toy, "mine.yaml")
    said = refused(declarations.check_settings, "toy", {"a": [1, 3], "b": 3}, toy, "mine.yaml")
    assert said == "mine.yaml: experiments.toy.a: found 3; allowed: less: a < b, beside b 3"


# ---- The ledger: every column, level and quantity that a claim names ----------------------------


def parts(document):
    return [
        (claim, kind, part)
        for claim in document["claims"]
        for kind in ("parts", "also")
        for part in claim.get(kind, [])
    ]


def misspelt(level):
    """Levels that no table holds: text with a letter more, a number as text."""
    return f"{level}x" if isinstance(level, str) else str(level)


def test_a_misspelt_word_of_the_ledger_is_refused(monkeypatch):
    document = yaml.safe_load(LEDGER.read_text(encoding="utf-8"))
    monkeypatch.setattr(ledger.documents, "read", lambda path, what: copy.deepcopy(read))
    monkeypatch.setattr(ledger.documents, "check", lambda document, schema, path: None)
    tried = 0

    def said(claim):
        nonlocal tried, read
        tried += 1
        read = {"sections": document["sections"], "tables": {}, "figures": {}, "claims": [claim]}
        message = refused(ledger.load, "ledger.yaml", EXPERIMENTS)
        assert message.startswith(f"ledger.yaml: claims[{claim['id']}]")
        return message

    read = None
    for claim, kind, part in parts(document):
        place = claim[kind].index(part)

        def changed(changes, claim=claim, kind=kind, part=part, place=place):
            other = copy.deepcopy(claim)
            other[kind][place] = part | changes
            return other

        assert "quantity: found" in said(changed({"quantity": part["quantity"] + "x"}))
        assert "experiment: found" in said(changed({"experiment": part["experiment"] + "x"}))
        for column, levels in part.get("where", {}).items():
            others = {key: part["where"][key] for key in part["where"] if key != column}
            wrong = changed({"where": others | {column + "x": levels}})
            assert f"where: found {column}x" in said(wrong)
            for level in levels if isinstance(levels, list) else [levels]:
                kind_of = EXPERIMENTS[part["experiment"]].conditions[column]
                if kind_of == "text":
                    continue
                wrong = changed({"where": others | {column: misspelt(level)}})
                assert f"where.{column}: found" in said(wrong)
    for claim in document["claims"]:
        for column in claim.get("conditions", []):
            wrong = claim | {"conditions": [column + "x"]}
            assert f"conditions: found {column}x" in said(wrong)
    assert tried > 1000
