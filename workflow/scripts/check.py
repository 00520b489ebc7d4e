"""Check a preset and say what it would cost and could decide: `make check PRESET=mine`.

Not a rule's script: python workflow/scripts/check.py config/mine.yaml. What is wrong is said in one
line, and the exit status is 1. The workflow makes the same checks before it starts.
"""

import math
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from status import content, planned, state, times_of  # noqa: E402

from finicky import config as presets  # noqa: E402
from finicky import data, declarations, documents, machine, progress, provenance, questions, runs  # noqa: E402
from finicky.durations import duration  # noqa: E402
from finicky.errors import InputError  # noqa: E402
from finicky.evidence import asked, ledger, rules  # noqa: E402
from finicky.evidence.intervals import POWER, decided_distance, decided_share  # noqa: E402
from finicky.evidence.words import many, spoken_unit, with_unit  # noqa: E402
from finicky.numbers import number  # noqa: E402
from finicky.store import Store  # noqa: E402

LEDGER, BASE = "config/claims.yaml", "config/config.yaml"
PROFILES = Path(__file__).resolve().parents[1] / "profiles"
CORES = (1, 8, 64, 512)
LONG = 1800  # seconds on one core from which on more of them are worth a table


def main(file):
    """Print what there is to say about a preset; 1 if it is bad, else 0."""
    try:
        config, plan = planned(file)
        store = Store("results/store")
        times = times_of(config, store)
        print(state(config, plan, store, times), flush=True)
        own = asked.compiled(config, plan, file, asked.taken("report", declarations.exhibits()))
        chapter = config.get("chapter", not own.claims)
        claims = ledger.load(LEDGER if chapter else None, own=own.claims, file=own.file)["claims"]
        data.check_declared("results/data")
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    if memory := machine.memory_gib():
        print(f"memory: {memory} GiB are here")
    if config["device"] == "cpu":
        for line in on_many_cores(config, plan, times):
            print(line)
    for name in presets.shared_grids([BASE, file]):
        print(f"grid.{name}: laid over {BASE}'s of that name, whose other keys it keeps")
    names = [name for name, one in config["experiments"].items() if one is not None]
    unread = "" if chapter or not names else (
        "; only claims of the chapter read them, and `experiments: none` leaves them out"
    )  # fmt: skip
    print(f"experiments: {', '.join(names) or 'none'}{unread}")
    print(f"claims: {len(own.claims)} of your own, {len(claims) - len(own.claims)} of the chapter")
    for claim in own.claims:
        print(f"  {claim['id']}: {decidable(claim, own)}")
    print(f"next: {provenance.command(config)}")
    return 0


def on_many_cores(config, plan, times):
    """What the whole preset would take on more cores, nothing of it stored, as lines: on a machine
    like this, and as jobs of SLURM, where its profile says how long shards are, and the site how
    many cores a job gets that runs alone."""
    parts = content(config)
    here = progress.whole(plan.shards, *parts, times)
    if progress.makespan(here, 1) < LONG:
        return
    places = Path("site.yaml"), PROFILES / "site.yaml"  # in the order of the profiles
    site = documents.read(next(filter(Path.is_file, places)), "a cluster's facts")
    [longer] = documents.read(PROFILES / "slurm/config.yaml", "a profile")["config"]
    shards = runs.shards(plan.subgrids, float(longer.removeprefix("shard_seconds=")))
    there = progress.whole(shards, *parts, times, alone=site["cores"])

    yield f"all of it, if each job takes what it should: {len(here)} jobs, or {len(there)} of SLURM"
    yield f"  {'cores':>5}  {'one machine':>13}  {'SLURM':>13}"
    for cores in CORES:
        one = duration(progress.makespan(here, cores))
        many = duration(progress.makespan(there, cores, progress.ON_SLURM))
        yield f"  {cores:>5}  {one:>13}  {many:>13}"
    name, longest = max(there.items(), key=lambda item: item[1].seconds)
    least = progress.makespan(there, math.inf, progress.ON_SLURM)
    yield (
        f"  on SLURM no less than {duration(least)} with any number; the longest job is {name}, "
        f"{duration(longest.seconds)}"
    )
    guessed = [slug for slug in parts[0] if f"experiments/{slug}" not in times.measured]
    guessed = [slug for slug in guessed if slug != questions.EXPERIMENT]  # reads tables alone
    if guessed:
        yield f"  ({len(guessed)} of {len(parts[0])} experiments never ran here: theirs is a guess)"


def decidable(claim, own):
    """In how many settings a claim is judged, what they differ in, and which effect its seeds
    decide there."""
    settings, seeds = own.settings[claim["id"]], own.seeds[claim["id"]]
    often = f"in {number(100 * POWER, 0)} % of cases"
    if rules.RULES[claim["rule"]].detectable is rules.share:
        most = 100 * decided_share(seeds)
        shares = [f"{number(share, 0)} %" for share in (most, 100 - most)]
        what = f"what {shares[0]} of all runs do, or only {shares[1]}, is decided"
    else:
        distance = number(decided_distance(seeds), 1)
        unit = spoken_unit(claim["parts"][0]["unit"])
        what = (
            f"what lies {distance} standard deviations of the seeds beyond the limit is decided: "
            f"{with_unit(distance, unit)} where they scatter by 1"
        )
    axes = f" ({', '.join(own.differ[claim['id']])})" if own.differ[claim["id"]] else ""
    return f"{many(settings, 'setting')}{axes}, {many(seeds, 'seed')} each; {often} {what}"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
