"""A picture of a page: `python -m tests.browser.picture PAGE results/reference/page.png`."""

import sys
from pathlib import Path

from . import chromium

SCREEN = {"width": 1366, "height": 900}


def main(page, picture):
    with chromium.launched() as browser:
        tab = browser.new_page(viewport=SCREEN)
        tab.goto(Path(page).absolute().as_uri())
        tab.screenshot(path=picture)


if __name__ == "__main__":
    main(*sys.argv[1:])
