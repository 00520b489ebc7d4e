"""What a page costs its reader: `PYTHONPATH=workflow python -m tests.browser.bars PAGE`;
without a page, that of `full` as simulated.py builds it.

Prints size, elements, times and memory. The times are of this machine as it is just now; nothing
tests them. `make test` holds the page to LIMITS of what does not depend on the machine.
"""

import re
import statistics
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from finicky.page import build

from . import chromium, simulated

LIMITS = {"size, MB": 8, "elements": 20_000}
REPEATS = 5
# Until the frame after the next one: then what was asked for is on the screen.
UNTIL_SHOWN = """(act) => new Promise((done) => {
  const start = performance.now();
  act();
  requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));
})"""
SEARCH = """() => { const field = document.querySelector("#search");
  field.value = WORD; field.dispatchEvent(new Event("input", { bubbles: true })); }"""
CELL = "() => document.querySelectorAll('#explore-map td:not(.untrained)')[PLACE].click()"
AXES = """() => { const select = document.querySelector("#explore-by-show");
  select.value = SHOW; select.dispatchEvent(new Event("change", { bubbles: true })); }"""


def cost(tab, file):
    """{what: number} of a page just opened, which does not depend on the machine."""
    return {
        "size, MB": round(Path(file).stat().st_size / 1e6, 2),
        "elements": tab.evaluate("document.querySelectorAll('*').length"),
    }


def timed(tab, script, **values):
    """Median milliseconds until an action is on the screen, once for each list of `values`."""
    [(name, all_values)] = values.items()
    times = [
        tab.evaluate(f"({UNTIL_SHOWN})({script.replace(name.upper(), repr(value))})")
        for value in all_values
    ]
    return round(statistics.median(times), 1)


def memory(tab):
    """What the tab's process holds for itself alone, MB."""
    tab.context.new_cdp_session(tab).send("HeapProfiler.collectGarbage")
    processes = tab.context.browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")
    tabs = [
        psutil.Process(one["id"]) for one in processes["processInfo"] if one["type"] == "renderer"
    ]
    return round(max(one.memory_full_info().uss for one in tabs) / 1e6, 1)


def measure(browser, file):
    """{what: number} of a page's file."""
    starts = []
    for _ in range(REPEATS):
        tab = browser.new_context(viewport={"width": 1366, "height": 768}).new_page()
        tab.set_default_timeout(0)  # a busy machine takes its time
        tab.goto(Path(file).absolute().as_uri())
        starts.append(
            tab.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
        )
        if len(starts) < REPEATS:
            tab.context.close()
    found = cost(tab, file) | {"DOM ready, ms": round(statistics.median(starts), 1)}
    found["memory as opened, MB"] = memory(tab)
    tab.focus("#search")
    found["search, ms"] = timed(
        tab, SEARCH, word=["he", "xavier adam", "NaN", "0.01", "batch norm"]
    )
    tab.click("#clear")
    if tab.locator("#explore").count():
        tab.evaluate("location.hash = '#explore'")
        tab.locator("#explore-map td:not(.untrained)").first.wait_for()
        found["open a cell, ms"] = timed(tab, CELL, place=[0, 2, 4, 1, 3])
        shows = ["loss", "diverged", "gradient", "dead", "accuracy"]
        found["another colour, ms"] = timed(tab, AXES, show=shows)
    found["memory in use, MB"] = memory(tab)
    tab.context.close()
    return found | {"printed pages": printed_pages(browser, file)}


def printed_pages(browser, file):
    """In a tab of its own: paper needs everything laid out at once, which nobody reads so."""
    tab = browser.new_page()
    tab.set_default_timeout(0)
    tab.goto(Path(file).absolute().as_uri())
    pdf = tab.pdf(format="A4", prefer_css_page_size=True)
    tab.close()
    return len(re.findall(rb"/Type\s*/Page\b", pdf))


def main(file=None):
    with TemporaryDirectory() as folder, chromium.launched() as browser:
        if file is None:
            file = Path(folder) / "index.html"
            file.write_text(build.render(**simulated.inputs(folder)), encoding="utf-8")
        for what, number in measure(browser, file).items():
            limit = f"  (at most {LIMITS[what]})" if what in LIMITS else ""
            print(f"{what:22} {number:>10}{limit}")


if __name__ == "__main__":
    main(*sys.argv[1:])
