"""The example page that README links: made of committed results, and its links lead to them."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

ROOT = Path(__file__).parents[2]
PRESET = "seeds-1000"
COMMITTED = ROOT / "results/reference" / PRESET
MEASURED = ["grid", "mini-project", "ten-layers"]  # with figures, large ones too


@pytest.fixture
def folder(tmp_path):
    """A checkout with some of the experiments of PRESET, and no verdicts: words may be old."""
    (tmp_path / "config").symlink_to(ROOT / "config")
    reference = tmp_path / "results/reference"
    (reference / PRESET / "experiments").mkdir(parents=True)
    for one in (ROOT / "results/reference").glob("*/"):
        if one != COMMITTED:
            (reference / one.name).symlink_to(one)
    for one in COMMITTED.iterdir():
        if one.is_file() and "claims" not in one.name:
            (reference / PRESET / one.name).symlink_to(one)
    (reference / PRESET / "tables").symlink_to(COMMITTED / "tables")
    (reference / PRESET / "claims.json").write_text("[]", encoding="utf-8")
    for name in MEASURED:
        file = f"experiments/{name}.parquet"
        (reference / PRESET / file).symlink_to(COMMITTED / file)
    return tmp_path


def make(folder, preset=PRESET):
    """What the script said; it writes results/reference/page.html."""
    script = [sys.executable, ROOT / "workflow/scripts/example.py", preset]
    return subprocess.run(script, cwd=folder, capture_output=True, text=True)


def test_it_says_what_it_is_and_its_links_lead_somewhere(folder):
    done = make(folder)
    assert done.returncode == 0, done.stderr
    file = folder / "results/reference/page.html"
    assert f"{file.stat().st_size:,} bytes" in done.stdout
    html = file.read_text(encoding="utf-8")
    page = BeautifulSoup(html, "html5lib")
    banner = page.find(class_="banner").get_text()
    commit = json.loads((COMMITTED / "provenance.json").read_text())["commit"]
    assert "an example" in banner and PRESET in banner and commit[:10] in banner
    assert len(page.select(".claim")) == 200 and page.find(id="explore") is None
    assert "He initialisation ends" in page.find(id="C064").get_text()
    assert page.select_one("#F15 svg") and page.select_one("#T13 td")
    assert not page.select_one("#F16 svg") and "too large" in page.find(id="F16").get_text()

    links = set(re.findall(r'<a[^>]* href="([^"]*)"', html))  # those behind <noscript> too
    files = {link for link in links if not link.startswith("#")}
    assert {f"{PRESET}/claims.json", f"{PRESET}/experiments/grid.parquet"} <= files
    assert [one for one in files if not (file.parent / one).is_file()] == []
    ids = {"predict", *re.findall(r' id="([^"]*)"', html)}
    assert {link[1:] for link in links - files} <= ids


def test_without_committed_results_there_is_none(folder):
    done = make(folder, "full")
    said = (
        "results/reference/full/provenance.json: found no such file; allowed: what make reference "
    )
    [line] = done.stderr.splitlines()
    assert done.returncode == 1 and line.startswith(said)
    assert not (folder / "results/reference/page.html").exists()
