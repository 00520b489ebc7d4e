"""The verdict's arithmetic in the page's script, against the judge's."""

import json
import math
import subprocess

import pytest

from finicky.evidence import rules
from finicky.page import build, conditions, maps
from finicky.page.plots import Axis

REFERENCE = build.TEMPLATES.parent / "results" / "reference" / "seeds-0" / "claims.json"
FACTORS = [1, 0.31, 1.73, 6.1]
SCRIPT = """
const cards = require(process.argv[1]);
const { claims, factors } = JSON.parse(require("fs").readFileSync(0, "utf-8"));
const judged = (claim) => factors.map((factor) => cards.judge(claim, factor));
process.stdout.write(JSON.stringify(Object.fromEntries(
  Object.entries(claims).map(([id, claim]) => [id, judged(claim)]))));
"""


def in_the_page(claims, factors):
    """{claim: what the script's `judge` says at each factor} of {claim: maps.embedded}."""
    done = subprocess.run(
        ["node", "-e", SCRIPT, str(build.TEMPLATES / "cards.js")],
        input=json.dumps({"claims": claims, "factors": factors}),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def by_the_rules(entry, factor):
    """A claim's verdict by evidence/rules.py if its margins were so many times as large."""
    verdicts = []
    for part in entry["parts"]:
        states = [
            _verdict(entry["rule"], part, c, factor) for c in conditions.deciding(entry, part)
        ]
        verdicts.append(rules.combine_conditions(states).verdict)
    return rules.combine_parts(verdicts)


def _verdict(rule, part, record, factor):
    low, high = record["ci_low"], record["ci_high"]
    if low is None and high is None:
        return record["verdict"]
    low, high = (-math.inf if low is None else low), (math.inf if high is None else high)
    return rules.RULES[rule].decide(low, high, factor * part["margin"], part["chapter"] or 0)


@pytest.fixture(scope="module")
def movable():
    """The claims of the reference whose margin a reader can move, as claims.json has them."""
    entries = json.loads(REFERENCE.read_text(encoding="utf-8"))
    judged = [one for one in entries if one["verdict"] not in ("opinion", "not measured")]
    return {one["id"]: one for one in judged if (maps.embedded(one) or {}).get("moves")}


def test_the_script_judges_like_the_rules_at_the_margin_and_at_others(movable):
    found = in_the_page({name: maps.embedded(one) for name, one in movable.items()}, FACTORS)
    assert len(found) > 50
    for name, entry in movable.items():
        said = [one["verdict"] for one in found[name]]
        assert said[0] == entry["verdict"], name
        assert said == [by_the_rules(entry, factor) for factor in FACTORS], name


def test_moving_margins_turns_verdicts(movable):
    """Else the test above would compare constants."""
    turned = [name for name, one in movable.items() if by_the_rules(one, 6.1) != one["verdict"]]
    assert len(turned) > 20


def test_conditions_that_were_dropped_or_have_no_interval_stay_as_they_were():
    rows = [
        [[], 4, "1", 2, 3],
        [[], 3, "1", None, None],
        [[], 1, "–", None, None],
        [[], 0, "9", 9, None],
    ]
    claim = {"rule": "value", "parts": [{"margin": 1, "number": 9, "rows": rows}]}
    (small, large) = in_the_page({"C001": claim}, [1, 1000])["C001"]
    assert small["parts"][0]["states"] == [4, 3, 1, 3]  # its upper end is beyond all numbers
    assert large["parts"][0]["total"] == 3


def test_zones_of_the_script_are_those_of_the_plots():
    script = """
      const { zone } = require(process.argv[1]);
      const rules = JSON.parse(process.argv[2]);
      process.stdout.write(JSON.stringify(rules.map((rule) => zone(rule, 0.5, 3))));
    """
    movable = sorted(maps.MOVABLE | {"sometimes", "trend"})
    done = subprocess.run(
        ["node", "-e", script, str(build.TEMPLATES / "cards.js"), json.dumps(movable)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    infinite = {None: math.inf}
    for rule, ends in zip(movable, json.loads(done.stdout), strict=True):
        expected = Axis(rule, []).zone({"margin": 0.5, "chapter": 3})
        assert tuple(infinite.get(end, end) for end in ends) == expected, rule


def test_short_numbers_turn_no_verdict():
    """Five digits of 0.500002 are 0.5, which is not above the margin."""
    part = {"name": "p", "margin": 0.5, "chapter": None, "measured": 1.234567, "ci_low": 0.500002,
            "ci_high": 2.0, "unit": "pp", "verdict": "reproduced", "n": 5}  # fmt: skip
    entry = {"rule": "ordering", "verdict": "reproduced", "parts": [part], "conditions": []}
    (row,) = maps.embedded(entry)["parts"][0]["rows"]
    assert row == [[], 0, "1.2", 0.500002, 2]
    part["ci_low"] = 0.600002
    assert maps.embedded(entry)["parts"][0]["rows"] == [[[], 0, "1.2", 0.6, 2]]
