"""Say how far each preset is, and how long the rest would take here: `make status`.

Not a rule's script: python workflow/scripts/status.py [config file ...].
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from finicky import config as presets  # noqa: E402
from finicky import declarations, runs  # noqa: E402
from finicky.durations import duration  # noqa: E402
from finicky.errors import InputError  # noqa: E402
from finicky.store import Store  # noqa: E402


def main(files):
    store, costs, cores = Store("results/store"), {}, os.cpu_count()
    for file in files:
        config = presets.load(file)
        presets.check(config, ["config/config.yaml", file], declarations.experiments())
        config["device"] = presets.device(config)
        every = runs.plan(config).subgrids
        missing = [run for run in every if run.id not in store]
        line = f"{config['preset']}: {len(every) - len(missing):,} of {len(every):,} runs stored"
        if missing:
            device = config["device"]
            if device not in costs:
                from finicky.pace import cost_here

                costs[device] = cost_here(device)
            left = sum(map(costs[device].seconds, missing))
            places = "a GPU" if device == "cuda" else f"{cores} cores"
            left = duration(left if device == "cuda" else left / cores)
            line += f", about {left} of training left on {places}"
        print(line)


if __name__ == "__main__":
    try:
        main(
            sys.argv[1:]
            or sorted(
                set(map(str, Path("config").glob("*.yaml")))
                - {"config/claims.yaml", "config/amendments.yaml"}
            )
        )
    except InputError as error:
        sys.exit(str(error))
