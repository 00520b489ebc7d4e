"""The script of rule `page`: which files become which argument."""

import json
import runpy
import sys
from types import SimpleNamespace

import pytest
from bs4 import BeautifulSoup

from finicky.evidence import ledger
from finicky.page import build

SCRIPTS = build.TEMPLATES.parent / "workflow" / "scripts"


@pytest.fixture
def run(tmp_path, inputs, monkeypatch):
    """Write the inputs as files, some of them empty, run the script, return the page."""

    def write(path, text):
        path = tmp_path / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return str(path.relative_to(tmp_path))

    def done(empty=()):
        here = "results/smoke"
        drawn = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9" aria-label="a curve"/>'
        given = SimpleNamespace(
            ledger="config/claims.yaml",
            amendments=write("config/amendments.yaml", "[]"),
            claims=write(f"{here}/report/claims.json", json.dumps(inputs["claims"])),
            figures=[
                write(f"{here}/figures/{name}.svg", "" if name in empty else drawn)
                for name in ("F15", "F16")
            ],
            tables=[
                write(
                    f"{here}/refilled/{name}.json",
                    "" if name in empty else json.dumps(inputs["tables"]["T03"]["table"]),
                )
                for name in ("T03", "T07")
            ],
            provenance=write(f"{here}/provenance.json", json.dumps(inputs["record"])),
            grid=write(f"{here}/report/explorer.json", "null"),
            references=[
                write(f"results/reference/{name}/claims.json", json.dumps(entries))
                for name, entries in inputs["references"].items()
            ],
            other_devices=[],
        )
        config = inputs["record"]["config"]
        other_seeds = {"config": config | {"preset": "seeds-1000", "first_seed": 1000}}
        write("results/reference/seeds-1000/provenance.json", json.dumps(other_seeds))
        snakemake = SimpleNamespace(
            config=config,
            input=given,
            output=[f"{here}/report/index.html"],
            params=SimpleNamespace(experiments=inputs["experiments"], own=[], chapter=True),
            log=[f"{here}/logs/page.log"],
        )
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(ledger, "load", lambda path, own: inputs["ledger"])
        monkeypatch.setattr(sys, "path", [str(SCRIPTS), *sys.path])
        (tmp_path / "report").symlink_to(build.TEMPLATES)
        runpy.run_path(str(SCRIPTS / "page.py"), {"snakemake": snakemake})
        return BeautifulSoup((tmp_path / snakemake.output[0]).read_text("utf-8"), "html5lib")

    return done


def test_files_become_figures_tables_and_agreement(run, words):
    page = run()
    assert page.find(id="F15").find("svg")["aria-label"] == "a curve Curves."
    links = {link.string: link["href"] for link in page.find(id="F15").select(".source a")}
    assert links == {kind: f"../figures/F15.{kind.lower()}" for kind in ("CSV", "SVG", "PNG")}
    links = {link.string: link["href"] for link in page.find(id="T07").select(".source a")}
    assert links == {kind: f"../refilled/T07.{kind.lower()}" for kind in ("CSV", "JSON")}
    assert "on 4 of 5 claims" in words(page.select_one(".agreement"))


def test_an_empty_file_is_a_gap(run):
    page = run(empty=["F15", "T07"])
    state = {name: "gap" in page.find(id=name)["class"] for name in ("F15", "F16", "T03", "T07")}
    assert state == {"F15": True, "F16": False, "T03": False, "T07": True}
