"""Say how far each preset is, and how long the rest would take here: `make status`.

Not a rule's script: python workflow/scripts/status.py [config file ...]. Exit status 1 if a preset
is bad; the others are told all the same.
"""

import sys
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from finicky import config as presets  # noqa: E402
from finicky import declarations, machine, runs  # noqa: E402
from finicky.durations import duration  # noqa: E402
from finicky.errors import InputError  # noqa: E402
from finicky.store import Store  # noqa: E402

NO_PRESETS = {"config/claims.yaml", "config/amendments.yaml"}


def main(files):
    """Print a line for each preset; 1 if one of them is bad, else 0."""
    store, bad = Store("results/store"), 0
    for file in files:
        try:
            print(state(file, store), flush=True)
        except InputError as error:
            print(error, file=sys.stderr)
            bad = 1
    return bad


def state(file, store):
    """How far a preset is, as a line."""
    config = presets.load(file)
    presets.check(config, ["config/config.yaml", file], declarations.experiments())
    config["device"] = device = presets.device(config)
    every = runs.plan(config).subgrids
    missing = [run for run in every if run.id not in store]
    line = f"{config['preset']}: {len(every) - len(missing):,} of {len(every):,} runs stored"
    if missing:
        cores = machine.cores()
        seconds = sum(map(cost(device).seconds, missing))
        left = duration(seconds if device == "cuda" else seconds / cores)
        places = "a GPU" if device == "cuda" else f"{cores} core{'s' if cores > 1 else ''}"
        line += f", about {left} of training left on {places}"
    return line


@cache
def cost(device):
    """What a step costs here, which takes a moment to measure."""
    from finicky.pace import cost_here

    return cost_here(device)


if __name__ == "__main__":
    every = sorted(set(map(str, Path("config").glob("*.yaml"))) - NO_PRESETS)
    sys.exit(main(sys.argv[1:] or every))
