"""Where the report comes from: provenance.json as the page prints it."""

import itertools
from collections import Counter

import yaml

from finicky.runs import OUTCOMES

DIVERGED_SHOWN = 100  # cells
CELL = (
    "dataset", "images", "epochs", "depth", "block", "activation", "init", "optimizer",
    "learning_rate",
)  # fmt: skip


def view(given, experiments, paths):
    """The provenance with every key present, in an order that does not depend on its writer.

    given: the loaded provenance.json; experiments: as `build.render` takes them; paths: the page's
    `Paths`.
    """
    diverged = given.get("diverged") or []
    cells = diverged_cells(diverged)
    seconds = sorted((given.get("seconds") or {}).items(), key=lambda item: (-item[1], item[0]))
    return {
        "preset": paths.preset,
        "command": given.get("command") or "",
        "commit": given.get("commit") or "",
        "dirty": bool(given.get("dirty")),
        "date": given.get("date") or "",
        "versions": sorted((given.get("versions") or {}).items()),
        "machine": given.get("machine") or {},
        "machines": machines(given),
        "instruction_sets": sets_of_runs(given),
        "data": sorted((given.get("data") or {}).items()),
        "config": yaml.safe_dump(given.get("config") or {}, sort_keys=True, allow_unicode=True),
        "runs": given.get("runs") or {},
        "diverged": cells[:DIVERGED_SHOWN],
        "cell": CELL,
        "diverged_cells": len(cells),
        "diverged_total": len(diverged),
        "missing": given.get("missing") or 0,
        "failures": given.get("failures") or [],
        "seconds": seconds,
        "longest": max((value for _, value in seconds), default=0) or 1,
        "wall_seconds": given.get("wall_seconds"),
        "experiments": [
            {"slug": slug, "href": paths.href(one["table"])}
            | {key: one[key] for key in ("title", "file")}
            for slug, one in sorted(experiments.items())
            if one["table"]
        ],
        "everything": paths.everything(),
        "downloads": paths.downloads(),
    }


def machines(given):
    """The kinds of machine, most runs first; of a record that names only one, that."""
    return given.get("machines") or [given.get("machine") or {}]


def sets_of_runs(given):
    """{instruction set: number of runs} where the preset's runs used several of them: their numbers
    round differently, and a pair may have one arm of each. Else empty."""
    counts = Counter()
    for one in given.get("machines") or []:
        if one.get("runs"):
            counts[one.get("instruction_set") or "not recorded"] += one["runs"]
    return dict(sorted(counts.items())) if len(counts) > 1 else {}


def diverged_cells(runs):
    """The runs that diverged by cell: its levels, the seeds, the worst outcome, and between which
    steps it came."""

    def cell(run):
        return tuple(run.get(axis) for axis in CELL)

    def in_order(run):
        return [(isinstance(level, str), level) for level in cell(run)]

    found = []
    for levels, group in itertools.groupby(sorted(runs, key=in_order), key=cell):
        own = list(group)
        steps = [run["step"] for run in own if run.get("step") is not None]
        found.append(
            dict(zip(CELL, levels, strict=True))
            | {
                "seeds": sorted({run.get("seed") for run in own}),
                "outcome": max((run.get("outcome") for run in own), key=OUTCOMES.index),
                "steps": sorted({min(steps), max(steps)}) if steps else [],
            }
        )
    return found
