"""A small report with one of everything: the inputs of a page, made by hand."""

import copy

import pytest
from bs4 import BeautifulSoup

from finicky.evidence import rules
from finicky.page import build

EVIL = '<script>alert("x")</script> & </style>'


def part(name, chapter, measured, low, high, verdict, **more):
    """One part as claims.json has it."""
    values = {
        "name": name, "chapter": chapter, "measured": measured, "ci_low": low, "ci_high": high,
        "n": 5, "margin": 1, "unit": "%", "outcome": "finite", "verdict": verdict,
        "failed_share": 0.0, "detectable": None, "counts": dict.fromkeys(
            ["conditions", "hold", "fail", "undecided", "dropped", "need"], 0
        ),
        "failed_arm": None, "arms": None, "alike": False, "where": None,
    }  # fmt: skip
    return values | more


def condition(name, verdict, measured, low, high, trains=None, **levels):
    """One condition as claims.json has it."""
    return {
        "part": name, "levels": levels, "verdict": verdict, "n": 5, "measured": measured,
        "ci_low": low, "ci_high": high, "trains": trains, "outcome": "finite",
        "failed_share": 0.0, "failed_arm": None, "arms": None, "alike": False,
    }  # fmt: skip


def record(claim, verdict, parts=(), conditions=(), **more):
    """One claim as claims.json has it, from its entry in the ledger."""
    counts = {"conditions": 0, "hold": 0, "fail": 0, "undecided": 0, "dropped": 0, "need": None}
    evidence = [
        {
            "experiment": spec["experiment"],
            "quantity": spec["quantity"],
        }
        for spec in claim.get("parts", [])[:1]
    ]
    values = {
        "id": claim["id"], "section": claim["section"], "line": claim["line"],
        "says": claim["says"], "by": claim["by"], "rule": claim["rule"],
        "rule_words": f"the rule of {claim['id']}", "verdict": verdict,
        "subject": rules.subject(claim["rule"]),
        "parts": list(parts), "conditions": list(conditions), "counts": counts,
        "sentence": f"sentence of {claim['id']}", "headline": f"headline of {claim['id']}",
        "budget": None, "datasets": None,
        "fragility": None, "why": claim.get("why"),
        "reason": None, "evidence": evidence, "also": [],
    }  # fmt: skip
    return values | more


def spec(experiment, quantity, number=None, **where):
    """One part as the ledger has it."""
    values = {"name": "p", "experiment": experiment, "quantity": quantity}
    values |= {"where": where} if where else {}
    return values if number is None else values | {"number": number, "margin": 1}


def claim(name, section, rule, says, by=(), **more):
    """One claim as the ledger has it."""
    line = int(name[1:]) + 100
    return {
        "id": name, "line": line, "section": section, "by": list(by), "rule": rule, "says": says,
    } | more  # fmt: skip


def make_ledger():
    log = {"running_loss": 0.3124, "running_accuracy": 91.23, "test_loss": 0.1456}
    return {
        "sections": [
            {"id": "initialisation", "title": "Initialisation"},
            {"id": "residual", "title": "Residual connections"},
            {"id": "mini-project", "title": "Mini project"},
        ],
        "tables": {
            "T02": {"title": "Three starts", "line": 1, "section": "initialisation",
                    "refill": "variances"},
            "T05": {"title": "Norms", "line": 1, "section": "residual", "refill": "batch sizes"},
            "T03": {"title": "Ten layers", "line": 2, "section": "initialisation", "refill": "x"},
            "T07": {"title": "Degradation", "line": 3, "section": "residual", "refill": "x"},
            "T13": {"title": "The log", "line": 4, "section": "mini-project", "refill": "x"},
        },
        "figures": {
            "F06": {"title": "Minima", "line": 5, "section": "residual", "by": "minima"},
            "F03": {"title": "Bumps", "line": 5, "section": "initialisation",
                    "by": "approximation"},
            "F15": {"title": "Curves", "line": 6, "section": "initialisation", "by": "ten-layers"},
            "F16": {"title": "Heat maps", "line": 7, "section": "initialisation", "by": "grid"},
        },
        "claims": [
            claim("C001", "initialisation", "ordering", EVIL, ["linear-limits"]),
            claim("C062", "initialisation", "value", "He: 92 %, 98 %", ["ten-layers"],
                  why="Because of <b>He</b>.",
                  parts=[spec("ten-layers", "test_accuracy", 92, init="he", epoch=1),
                         spec("ten-layers", "test_accuracy", 98, init="he", epoch=10)]),
            claim("C064", "initialisation", "ordering", "he is ahead of Xavier", ["grid"],
                  parts=[spec("grid", "he_minus_xavier")]),
            claim("C065", "initialisation", "existence", "N(0, 1): NaN", ["ten-layers"],
                  parts=[spec("ten-layers", "nan_in_first_epoch")]),
            claim("C098", "residual", "source", "errors of 20 and 56 layers", ["sources"],
                  number="15, 18, 25, 28"),
            claim("C099", "residual", "noninferiority", "56 as good as 20", ["grid"],
                  parts=[spec("grid", "accuracy_56_minus_20")]),
            claim("C172", "residual", "ordering", "a CPU beats a GPU", ["bench"],
                  parts=[spec("bench", "gpu_minus_cpu")]),
            claim("C180", "mini-project", "value", "the log", ["mini-project"],
                  parts=[spec("mini-project", metric, number, recipe="correct", epoch=1)
                         for metric, number in log.items()]),
            claim("C183", "mini-project", "existence", "rate 10: NaN", ["mini-project"],
                  parts=[spec("mini-project", "nan_in_first_epoch")]),
            claim("C199", "mini-project", "opinion", "like a cortex"),
        ],
    }  # fmt: skip


def make_claims(ledger):
    by_id = {entry["id"]: entry for entry in ledger["claims"]}
    maps = [
        condition("p", verdict, measured, measured - 0.2, measured + 0.2, trains,
                  depth=depth, optimizer=optimizer)
        for depth, optimizer, verdict, measured, trains in [
            (2, "sgd", "undecided", 0.5, True), (2, "adam", "not reproduced", 0.0, True),
            (10, "sgd", "reproduced", 3.25, True), (10, "adam", "not reproduced", -0.9, True),
            (20, "sgd", "reproduced", 30.5, True), (20, "adam", "not reproduced", 0.1, True),
            (56, "sgd", "undecided", 0.3, False), (56, "adam", "reproduced", 0.8, True),
        ]
    ]  # fmt: skip
    return [
        record(by_id["C001"], "not measured", reason="planned: linear-limits"),
        record(by_id["C062"], "not reproduced", [
            part("epoch 1", 92, 94.21, 93.87, 94.62, "not reproduced"),
            part("epoch 10", 98, 97.4, 97.2, 97.7, "reproduced"),
        ], [
            condition("epoch 1", "not reproduced", 93.81, 93.5, 94.1, None, optimizer="sgd"),
            condition("epoch 1", "not reproduced", 94.63, 94.4, 94.9, None, optimizer="adam"),
        ]),
        record(by_id["C064"], "reproduced under conditions",
               [part("p", None, 4.37, 4.1, 4.9, "reproduced under conditions", margin=0.5,
                     unit="pp")], maps),
        record(by_id["C065"], "reproduced",
               [part("p", None, 1.0, 0.5493, 1.0, "reproduced", unit="share of runs")]),
        record(by_id["C098"], "reproduced"),
        record(by_id["C099"], "undecided",
               [part("p", None, None, None, None, "undecided", n=0, unit="pp", outcome=None,
                     failed_share=None)], reason="the experiment grid has not run"),
        record(by_id["C172"], "not measured", reason="the experiment bench has not run"),
        record(by_id["C180"], "reproduced", [
            part("training loss", 0.3124, 0.3187, 0.3121, 0.3222, "reproduced", margin=0.02,
                 unit="nats"),
            part("training accuracy", 91.23, 91.04, 90.87, 91.31, "reproduced"),
        ]),
        record(by_id["C183"], "not reproduced",
               [part("p", None, 0.0, 0.0, 0.4507, "not reproduced", unit="share of runs",
                     outcome="large")]),
        record(by_id["C199"], "opinion", reason="A likeness, nothing to measure."),
    ]  # fmt: skip


def experiment(slug, figures=(), tables=(), run=True):
    """One experiment as the rule tells the page of it."""
    module = f"{slug.replace('-', '_')}.py"
    return {
        "title": f"The title of {slug}",
        "file": f"workflow/finicky/experiments/{module}",
        "table": f"results/smoke/experiments/{slug}.parquet" if run else None,
        "exhibit": f"workflow/finicky/exhibits/{module}",
        "figures": {name: f"Caption of {name}: {EVIL}" for name in figures},
        "tables": {name: f"Caption of {name}." for name in tables},
    }


def make_experiments():
    every = {
        "ten-layers": experiment("ten-layers", ["F15"], ["T03"]),
        "grid": experiment("grid", ["F16"], ["T07"]),
        "mini-project": experiment("mini-project", [], ["T13"]),
        "sources": experiment("sources"),
        "calibration": experiment("calibration", ["calibration"], ["calibration-table"]),
        "minima": experiment("minima", ["F06"], ["T05"], run=False),
        "bench": experiment("bench", ["bench"], ["bench-table"], run=False),
    }
    return every | {"sources": every["sources"] | {"exhibit": None}}


def cell(value=None, low=None, high=None, n=0, **more):
    """One cell of a table's JSON."""
    values = {"value": value, "low": low, "high": high, "n": n, "note": "", "text": "",
              "error": None}  # fmt: skip
    return values | more


def table(rows, columns, name="Test accuracy, %", **more):
    """A table's JSON: rows {head: cells}, columns [(label, kind, places)]."""
    values = {
        "heads": ["Start"],
        "groups": [[name, len(columns)]],
        "columns": [
            {"label": label, "kind": kind, "quantity": "accuracy", "places": places}
            for label, kind, places in columns
        ],
        "bodies": [
            {
                "label": "",
                "rows": [{"heads": [head], "cells": cells} for head, cells in rows.items()],
            }
        ],
        "notes": [],
        "shows": "",
        "over": "seed",
        "seeds": [],
    }
    return values | more


def make_tables():
    both = [("chapter", "chapter", 0), ("SGD at 0.01", "measured", 1)]
    ten = {
        "He": [cell(92), cell(93.81, 93.5, 94.1, 5)],
        "N, σ = 1": [
            cell(text="NaN"), cell(10.0, 10.0, 10.0, 5, note="NaN in 5 of 5")
        ],
        EVIL: [cell(), cell()],
    }  # fmt: skip
    log = {"epoch 1": [cell(0.3124), cell(0.315, n=2)]}
    wrong = {"ordering": [cell(3.125, n=5, error=0.2)]}
    files = {
        name: {kind: f"results/smoke/refilled/{name}.{kind.lower()}" for kind in ("CSV", "JSON")}
        for name in ("T03", "T13", "calibration-table")
    }
    tables = {
        "T03": table(ten, both, notes=["A note."]),
        "T13": table(log, [("chapter", "chapter", 4), ("measured", "measured", 2)], "Loss, nats"),
        "calibration-table": table(
            wrong, [("5 seeds", "measured", 1)], "Wrong, %", shows="What it shows."
        ),
    }
    return {name: {"table": one, "files": files[name]} for name, one in tables.items()}


def make_figures():
    drawing = (
        '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="90pt" height="60pt">'
        '<metadata><x xmlns="http://purl.org/dc/"/></metadata><style>*{stroke:red}</style>'
        '<defs><clipPath id="p1"><rect width="9" height="9"/></clipPath></defs>'
        '<g clip-path="url(#p1)" onclick="alert(1)"><path id="a" d="M0 0L9 9"'
        ' style="stroke: #0072b2; fill: none"/></g><script>alert(1)</script>'
        '<text style="font: 9px sans-serif">epoch &lt; 10</text></svg>'
    )
    figure = {
        "svg": drawing,
        "files": {"CSV": "results/smoke/figures/F15.csv"},
        "finding": 'He reaches 93.8 % in a "curve".',
    }
    return {"F15": figure}


def make_provenance():
    return {
        "preset": "smoke",
        "command": "snakemake --cores 2 --configfile config/smoke.yaml",
        "commit": "0123456789abcdef",
        "dirty": True,
        "date": "2026-01-02",
        "versions": {"torch": "2.14.1", "python": "3.11.9"},
        "machine": {"cpu": "A CPU", "cores": 2, "memory_gib": 7.8, "instruction_set": "AVX2",
                    "gpu": None},
        "data": {"mnist": {"train-images": "ba" * 32}},
        "config": {"seeds": 5, "name": EVIL},
        "runs": {"total": 40, "finite": 38, "large": 1, "inf": 0, "nan": 1},
        "diverged": [
            {"run": "ab" * 10, "dataset": "mnist", "depth": 10, "block": "plain",
             "activation": EVIL, "init": "normal_std_1", "optimizer": "sgd",
             "learning_rate": 0.01, "seed": 0, "outcome": "nan", "step": 7},
        ],
        "seconds": {"train": 61.0, "judge": 0.4},
        "wall_seconds": 63.0,
    }  # fmt: skip


def make_reference(claims):
    theirs = copy.deepcopy(claims)
    theirs[1]["verdict"] = "undecided"
    theirs[7]["parts"][1]["measured"] = 91.54  # half a margin away
    return theirs


def make_inputs():
    """The arguments of `render`."""
    ledger = make_ledger()
    claims = make_claims(ledger)
    return {
        "ledger": ledger,
        "claims": claims,
        "experiments": make_experiments(),
        "figures": make_figures(),
        "tables": make_tables(),
        "record": make_provenance(),
        "references": {"seeds-1000": make_reference(claims)},
    }


@pytest.fixture
def inputs():
    """The arguments of `render`, for a test to change."""
    return make_inputs()


@pytest.fixture
def figures(inputs):
    """The figures among the inputs, by id."""
    return inputs["figures"]


@pytest.fixture
def entries(inputs):
    """The entries of claims.json among the inputs, by id."""
    return {entry["id"]: entry for entry in inputs["claims"]}


@pytest.fixture
def claims(inputs):
    """The claims of the ledger among the inputs, by id."""
    return {claim["id"]: claim for claim in inputs["ledger"]["claims"]}


@pytest.fixture
def render(inputs):
    """A page, parsed, of these inputs; by name others instead."""

    def rendered(**other):
        return BeautifulSoup(build.render(**inputs | other), "html5lib")

    return rendered


@pytest.fixture(scope="session")
def html():
    return build.render(**make_inputs())


@pytest.fixture(scope="session")
def page(html):
    return BeautifulSoup(html, "html5lib")


@pytest.fixture(scope="session")
def words():
    """The text of an element, its white space as a browser shows it."""
    return lambda element: " ".join(element.get_text(" ").split())


@pytest.fixture(scope="session")
def numbers_of():
    """The exact numbers that an element prints."""
    return lambda element: [
        float(data["value"]) for data in element.select("data") if data["value"]
    ]
