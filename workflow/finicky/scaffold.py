"""What there is, a line each, and the first lines of a new experiment or claim.

A scaffold is complete: it passes the tests and says where words and numbers of one's own go.
"""

import re
from pathlib import Path

from finicky import config as presets
from finicky import declarations
from finicky.errors import InputError
from finicky.evidence import ledger as ledgers
from finicky.store import replaced

EXPERIMENT = '''"""Which question does it answer? One sentence."""

from finicky.experiments import tidy

TITLE = "{title}"
READS = ["runs"]
SETTINGS = {{"at_most": ("positive", "nats: larger losses are left out")}}
QUANTITIES = {{"start_loss": ("nats", "loss of the first batch")}}
CONDITIONS = {{"init": "level", "activation": "level", "depth": "integer", "block": "level"}}


def measure(settings, tables):
    """One number for each quantity, seed and combination of conditions."""
    runs = tables["runs"].query("start_loss <= @settings['at_most']")
    runs = runs[runs["dataset"] == "mnist"].drop_duplicates([*CONDITIONS, "seed"])
    runs = runs.rename(columns={{"start_loss": "value"}}).assign(quantity="start_loss")
    return tidy.from_rows(runs.to_dict("records"), CONDITIONS)
'''
TEST = '''"""{title}: its numbers against a case that was worked out by hand."""

from finicky.experiments import {module}, tidy


def test_one_number_per_network_and_seed(make_tables):
    tables = make_tables({{"depth": [2, 10], "init": ["he", "xavier"]}})
    table = tidy.measured({module}, {{"at_most": 1000}}, tables)
    assert len(table) == 2 * 2 * 5 and set(table["value"]) == {{2.3}}


def test_larger_losses_are_left_out(make_tables):
    tables = make_tables({{"depth": 10}})
    assert tidy.measured({module}, {{"at_most": 1}}, tables).empty
'''
CLAIM = """\
  - id: {id}
    line: {line}
    section: {section}
    by: [{experiment}]
    rule: value
    says: "{what} is about 1"
    headline:
      reproduced: "{What} is {{measured}}, about 1."
      not reproduced: "{What} is {{measured}}, not about 1."
    why: >-
      Why it holds or not, with sources; independent of what comes out.
    parts:
      - {{name: "{what}", experiment: {experiment}, quantity: {quantity}, number: 1, margin: 0.5}}
"""


# ---- Lists --------------------------------------------------------------------------------------


def listed_levels(config):
    """Each axis with its levels."""
    return [f"{axis}: {', '.join(names)}" for axis, names in presets.allowed_levels(config).items()]


def listed_experiments(made):
    """Each experiment with its title."""
    return [f"{slug}: {one.title}" for slug, one in made.items()]


def listed_presets(configs):
    """Each preset with its size; configs: merged ones."""
    return [
        f"{config['preset']}: {config['seeds']} seeds from {config['first_seed']}, "
        f"{len(config['grid'])} sub-grids, "
        f"{sum(settings is not None for settings in config['experiments'].values())} experiments"
        for config in configs
    ]


def listed_claims(ledger):
    """Each claim with its rule, who answers it, and what it says."""
    return [
        f"{claim['id']}: {claim['rule']} ({', '.join(claim['by']) or 'nobody'}): "
        + " ".join(claim["says"].split())
        for claim in ledger["claims"]
    ]


# ---- Scaffolds ----------------------------------------------------------------------------------


def new_experiment(name, root):
    """Write an experiment's module and its test below the repository's root. Returns their paths.

    Raises InputError for a name that is none, or that something has already.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise InputError("NAME", None, repr(name), "small letters, digits and single dashes")
    module = name.replace("-", "_")
    root = Path(root)
    files = {
        root / f"workflow/finicky/experiments/{module}.py": EXPERIMENT,
        root / f"tests/unit/test_{module}.py": TEST,
    }
    for path in [*files, root / f"workflow/finicky/exhibits/{module}.py"]:
        if path.exists():
            raise InputError("NAME", None, repr(name), f"a new name: there is {path}")
    title = name.replace("-", " ").capitalize()
    for path, text in files.items():
        with replaced(path) as temporary:
            Path(temporary).write_text(text.format(title=title, module=module), encoding="utf-8")
    return list(files)


def new_claim(claim, experiment, path):
    """Add a claim about an experiment's first quantity at the end of the ledger in `path`.

    Raises InputError for an id that is none or that a claim has, an experiment that there is not,
    and a ledger that is not in order before.
    """
    made = declarations.experiments()
    if not re.fullmatch(r"C[0-9]{3}", claim):
        raise InputError("ID", None, repr(claim), "C and three digits")
    if experiment not in made:
        raise InputError("EXPERIMENT", None, repr(experiment), ", ".join(made))
    ledger = ledgers.load(path, made)
    known = {one["id"] for one in ledger["claims"]}
    if claim in known:
        free = next(f"C{i:03}" for i in range(1, 1000) if f"C{i:03}" not in known)
        raise InputError("ID", None, claim, f"a new id, such as {free}")
    quantity, (_, what) = next(iter(made[experiment].quantities.items()))
    about = [one for one in ledger["claims"] if experiment in one["by"]]
    section = about[0]["section"] if about else ledger["sections"][0]["id"]
    what = re.split(r"[:;]| \(", what)[0].strip().replace('"', "'")
    entry = CLAIM.format(
        id=claim,
        line=about[0]["line"] if about else ledger["headings"][0]["line"],
        section=section,
        experiment=experiment,
        quantity=quantity,
        what=what,
        What=what[:1].upper() + what[1:],
    )
    before = Path(path).read_text(encoding="utf-8")
    with replaced(path) as temporary:
        Path(temporary).write_text(before.rstrip("\n") + "\n" + entry, encoding="utf-8")
        ledgers.load(temporary, made)
