"""A small report with one of everything: the inputs of a page, made by hand."""

import copy

import pandas as pd
import pytest
from bs4 import BeautifulSoup

from finicky.page import build

EVIL = '<script>alert("x")</script> & </style>'


def part(name, chapter, measured, low, high, verdict, **more):
    """One part as claims.json has it."""
    values = {
        "name": name, "chapter": chapter, "measured": measured, "ci_low": low, "ci_high": high,
        "n": 5, "margin": 1, "unit": "%", "outcome": "finite", "verdict": verdict,
        "failed_share": 0.0, "counts": dict.fromkeys(
            ["conditions", "hold", "fail", "undecided", "dropped", "need"], 0
        ),
    }  # fmt: skip
    return values | more


def condition(name, verdict, measured, low, high, trains=None, **levels):
    """One condition as claims.json has it."""
    return levels | {
        "part": name, "verdict": verdict, "n": 5, "measured": measured, "ci_low": low,
        "ci_high": high, "trains": trains,
    }  # fmt: skip


def record(claim, verdict, parts=(), conditions=(), **more):
    """One claim as claims.json has it, from its entry in the ledger."""
    counts = {"conditions": 0, "hold": 0, "fail": 0, "undecided": 0, "dropped": 0, "need": None}
    evidence = [
        {
            "experiment": spec["experiment"],
            "quantity": spec["quantity"],
            "file": f"experiments/{spec['experiment']}.parquet",
        }
        for spec in claim.get("parts", [])[:1]
    ]
    values = {
        "id": claim["id"], "section": claim["section"], "line": claim["line"],
        "says": claim["says"], "by": claim["by"], "rule": claim["rule"],
        "rule_words": f"the rule of {claim['id']}", "verdict": verdict, "basis": "measured",
        "parts": list(parts), "conditions": list(conditions), "counts": counts,
        "sentence": f"sentence of {claim['id']}", "holds_where": [], "why": claim.get("why"),
        "reason": None, "evidence": evidence, "also": [],
    }  # fmt: skip
    return values | more


def spec(experiment, quantity, number=None, **where):
    """One part as the ledger has it."""
    values = {"name": "p", "experiment": experiment, "quantity": quantity, "unit": "%"}
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
            "T03": {"title": "Ten layers", "line": 2, "section": "initialisation", "refill": "x"},
            "T07": {"title": "Degradation", "line": 3, "section": "residual", "refill": "x"},
            "T13": {"title": "The log", "line": 4, "section": "mini-project", "refill": "x"},
        },
        "figures": {
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
        record(by_id["C098"], "reproduced", basis="literature"),
        record(by_id["C099"], "undecided",
               [part("p", None, None, None, None, "undecided", n=0, unit="pp", outcome=None,
                     failed_share=None)], reason="the experiment grid has not run"),
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


def tidy(quantity, values, outcome="finite", **levels):
    """Rows of an experiment's table: one value a seed."""
    return [
        {"quantity": quantity, "seed": seed, "value": value, "a": None, "b": None,
         "outcome": outcome} | levels
        for seed, value in enumerate(values)
    ]  # fmt: skip


def make_tables():
    ten = []
    for optimizer, rate in (("sgd", 0.01), ("adam", 0.001)):
        common = {"optimizer": optimizer, "learning_rate": rate}
        for epoch in (1, 10):
            ten += tidy(
                "test_accuracy", [93.5, 93.9, 93.8, 93.6, 94.1], init="he", epoch=epoch, **common
            )
            ten += tidy(
                "test_accuracy", [10.0] * 5, "nan", init="normal_std_1", epoch=epoch, **common
            )
    grid = []
    for depth, accuracy in ((20, 95.0), (56, 80.0)):
        for quantity, less in (("train_accuracy", 0.0), ("test_accuracy", 1.0)):
            grid += tidy(
                quantity,
                [accuracy - less + tenth / 10 for tenth in range(5)],
                dataset="mnist",
                images=60000,
                epochs=2,
                depth=depth,
                block="plain",
                activation="relu",
                init="he",
                optimizer="adam",
                learning_rate=0.001,
            )
    log = tidy("running_loss", [0.31, 0.32, 0.33, 0.34, 0.35], recipe="correct", epoch=1)
    log += tidy("running_loss", [None] * 5, "nan", recipe="rate_10", epoch=1)
    return {
        "ten-layers": pd.DataFrame(ten),
        "grid": pd.DataFrame(grid),
        "mini-project": pd.DataFrame(log),
    }


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
        "files": {"CSV": "../figures/F15.csv"},
        "caption": f"See: {EVIL}",
        "alt": 'a "curve"',
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
    theirs[6]["parts"][1]["measured"] = 91.54  # half a margin away
    return {"claims": theirs, "provenance": {"preset": "default"}}


@pytest.fixture(scope="session")
def inputs():
    """The arguments of `render`; shared, so tests that change one take the fixture of its name."""
    ledger = make_ledger()
    claims = make_claims(ledger)
    return {
        "ledger": ledger,
        "claims": claims,
        "tables": make_tables(),
        "figures": make_figures(),
        "provenance": make_provenance(),
        "reference": make_reference(claims),
    }


@pytest.fixture
def ledger(inputs):
    return copy.deepcopy(inputs["ledger"])


@pytest.fixture
def claims(inputs):
    return copy.deepcopy(inputs["claims"])


@pytest.fixture
def tables(inputs):
    return copy.deepcopy(inputs["tables"])


@pytest.fixture
def figures(inputs):
    return copy.deepcopy(inputs["figures"])


@pytest.fixture
def provenance(inputs):
    return copy.deepcopy(inputs["provenance"])


@pytest.fixture(scope="session")
def html(inputs):
    return build.render(**inputs)


@pytest.fixture(scope="session")
def page(html):
    return BeautifulSoup(html, "html5lib")
