"""The browser that the tests drive: one that is installed, none is downloaded."""

import os
import shutil
from contextlib import contextmanager

from playwright.sync_api import sync_playwright

NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge"]
IN_A_BUNDLE = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"  # macOS
MISSING = (
    "the page is tested in a browser: install the package chromium (Debian: apt-get install "
    "chromium), or name a Chromium or Chrome: CHROMIUM=/path/to/it"
)


def path():
    """The program of an installed Chromium or Chrome; None if there is none."""
    named = os.environ.get("CHROMIUM")
    return next(
        filter(None, map(shutil.which, [*filter(None, [named]), *NAMES, IN_A_BUNDLE])), None
    )


@contextmanager
def launched():
    """A browser of its own, without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path())
        yield browser
        browser.close()
