"""The example page that README links: made of committed results, and its links lead to them."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from finicky.page.exhibits import EXAMPLE_MOST

from .conftest import make_inputs

ROOT = Path(__file__).parents[2]
PRESET = "seeds-1000"
COMMITTED = ROOT / "results/reference" / PRESET


@pytest.fixture
def folder(tmp_path):
    """A checkout whose results of PRESET are those of the reference, with two drawings."""
    (tmp_path / "config").symlink_to(ROOT / "config")
    (tmp_path / "results/reference").mkdir(parents=True)
    for one in (ROOT / "results/reference").glob("*/"):
        (tmp_path / "results/reference" / one.name).symlink_to(one)
    made = tmp_path / "results" / PRESET
    (made / "report").mkdir(parents=True)
    shutil.copy(COMMITTED / "claims.json", made / "report")
    for name in ("evidence.parquet", "provenance.json"):
        shutil.copy(COMMITTED / name, made)
    (made / "figures").mkdir()
    drawn = make_inputs()["figures"]["F15"]["svg"]
    many = '<path d="M0 0' + "L12 34" * (EXAMPLE_MOST // 5) + '"/></svg>'
    (made / "figures/F15.svg").write_text(drawn)
    (made / "figures/F16.svg").write_text(many.join(drawn.rsplit("</svg>", 1)))
    return tmp_path


def make(folder):
    """What the script said; it writes results/reference/page.html."""
    script = [sys.executable, ROOT / "workflow/scripts/example.py", PRESET]
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
    assert page.select_one("#F15 svg") and not page.select_one("#F16 svg")
    assert "too large" in page.find(id="F16").get_text()

    links = set(re.findall(r'<a[^>]* href="([^"]*)"', html))  # those behind <noscript> too
    files = {link for link in links if not link.startswith("#")}
    assert {f"{PRESET}/claims.json", f"{PRESET}/experiments/grid.parquet"} <= files
    assert [one for one in files if not (file.parent / one).is_file()] == []
    ids = {"predict", *re.findall(r' id="([^"]*)"', html)}
    assert {link[1:] for link in links - files} <= ids


@pytest.mark.parametrize(
    "file, content, said",
    [
        (f"{PRESET}/report/claims.json", None, "no such file; allowed: what make report PRESET="),
        (f"{PRESET}/evidence.parquet", b"x", "other results; allowed: those of results/seeds-1000"),
    ],
)
def test_of_other_results_than_the_committed_there_is_none(folder, file, content, said):
    path = folder / "results" / file
    path.unlink()
    if content:
        path.write_bytes(content)
    done = make(folder)
    [line] = done.stderr.splitlines()
    assert done.returncode == 1 and said in line and line.startswith("results/")
    assert not (folder / "results/reference/page.html").exists()
