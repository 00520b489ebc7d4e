"""Say how far each preset is, what the rest will take here, and what a finished one took: `make
status`.

Not a rule's script: python workflow/scripts/status.py [config file ...]. Exit status 1 if a preset
is bad; the others are told all the same.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from finicky import config as presets  # noqa: E402
from finicky import declarations, failures, machine, progress, questions, runs  # noqa: E402
from finicky.durations import duration  # noqa: E402
from finicky.errors import InputError  # noqa: E402
from finicky.store import Store  # noqa: E402

NO_PRESETS = {"config/claims.yaml", "config/amendments.yaml"}
REFERENCES = sorted(Path("results/reference").glob("*/provenance.json"))


def main(files):
    """Print a line for each preset; 1 if one of them is bad, else 0."""
    store, bad = Store("results/store"), 0
    for file in files:
        try:
            config, plan = planned(file)
            print(state(config, plan, store, times_of(config, store)), flush=True)
        except InputError as error:
            print(error, file=sys.stderr)
            bad = 1
    return bad


def preset_files():
    """The files of all presets here, in their order."""
    return sorted(set(map(str, Path("config").glob("*.yaml"))) - NO_PRESETS)


def planned(file):
    """A preset's checked config, its device decided, and the runs.Plan of it."""
    config = presets.load(file)
    presets.check(config, ["config/config.yaml", file], declarations.experiments())
    config["device"] = presets.device(config)
    return config, runs.plan(config)


def content(config):
    """A preset's experiments, {slug: declarations.Experiment}, and its figures and tables, {name:
    slug of the experiment that it shows}."""
    declared, exhibits = declarations.experiments(), declarations.exhibits()
    experiments = {slug: declared[slug] for slug in questions.experiments(config)}
    shown = {slug: exhibits[slug] for slug in experiments if slug in exhibits}
    figures = {name: slug for slug, one in shown.items() for name in one.figures}
    tables = {name: slug for slug, one in shown.items() for name in one.tables}
    return experiments, figures, tables


def results_of(config):
    """The folder of a preset's results."""
    return Path("results") / config["preset"]


def times_of(config, store):
    """The progress.Times of a preset."""
    return progress.times(config, store, results_of(config), REFERENCES)


def state(config, plan, store, times):
    """How far a preset is, as a line; times: its progress.Times."""
    stored, results = store.ids(), results_of(config)
    experiments, figures, tables = content(config)
    jobs = progress.unmade(plan, stored, results, experiments, figures, tables)
    work = progress.work(plan.subgrids, stored, jobs, experiments, times, machine.cores())
    total = len(plan.subgrids)
    line = f"{config['preset']}: {total - len(work.runs):,} of {total:,} runs stored"
    if work.runs:
        line += f", {len(work.runs):,} missing"
    failed = [name for name in jobs if failures.failed(results / f"logs/{name}.log")]
    if failed:
        line += f", {len(failed):,} job{'s' if len(failed) > 1 else ''} failed"
    if jobs:
        at_once = min(work.slots, len(jobs))
        line += f", about {duration(progress.left(work))} left on {work.place}"
        line += f", up to {at_once * times.memory:.1f} GiB of memory"
    elif took := progress.taken_in_words(progress.taken(results)):
        line += f"; {took}"
    return line


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or preset_files()))
