"""List what there is, or start something new: `make list`, `make new-experiment`, `make new-claim`.

Not a rule's script: python workflow/scripts/scaffold.py list [WHAT] | new-experiment NAME |
new-claim ID EXPERIMENT.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from status import preset_files  # noqa: E402

from finicky import config as presets  # noqa: E402
from finicky import declarations, scaffold  # noqa: E402
from finicky.errors import InputError  # noqa: E402
from finicky.evidence import ledger  # noqa: E402

LEDGER = "config/claims.yaml"


LISTS = {
    "levels": lambda: scaffold.listed_levels(presets.load("config/config.yaml")),
    "experiments": lambda: scaffold.listed_experiments(declarations.experiments()),
    "presets": lambda: scaffold.listed_presets(map(presets.load, preset_files())),
    "claims": lambda: scaffold.listed_claims(ledger.load(LEDGER)),
}


def show(what=None):
    """Print one list, or all of them under their names."""
    if what is not None and what not in LISTS:
        raise InputError("WHAT", None, repr(what), ", ".join(LISTS))
    for name in LISTS if what is None else [what]:
        if what is None:
            print(f"# {name}")
        print(*LISTS[name](), sep="\n")


def new_experiment(name=""):
    """Start an experiment; say what comes next."""
    files = scaffold.new_experiment(name, ".")
    print(*files, sep="\n")
    print(f"Next: `{name}: {{at_most: 1000}}` in a config's experiments; an exhibit in")
    print("workflow/finicky/exhibits/; a claim (make new-claim). CONTRIBUTING.md shows them.")


def new_claim(claim="", experiment=""):
    """Start a claim; say what comes next."""
    scaffold.new_claim(claim, experiment, LEDGER)
    print(f"{LEDGER}: {claim} stands at its end. Next: its words, rule, number and margin, before")
    print("any result is seen.")


if __name__ == "__main__":
    task, *arguments = sys.argv[1:]
    tasks = {"list": show, "new-experiment": new_experiment, "new-claim": new_claim}
    try:
        tasks[task](*arguments)
    except InputError as error:
        sys.exit(str(error))
