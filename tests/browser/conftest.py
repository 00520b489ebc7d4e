"""One browser for all tests, one realistic page, and tabs that complain of nothing."""

import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from finicky.page import build

from . import chromium, report

PATIENCE = 120_000  # ms: a machine that trains beside the tests is slow
LAPTOP = {"viewport": {"width": 1366, "height": 768}}
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
# What a reports' server may put before the page: no script, and no style but in files of its own.
STRICT = "sandbox; default-src 'none'; style-src 'self'"


def pytest_collection_modifyitems():
    """Without a browser no test runs: one line, and not one error a test."""
    if not chromium.path():
        raise pytest.UsageError(chromium.MISSING)


@pytest.fixture(scope="session")
def browser():
    with chromium.launched() as one:
        yield one


@pytest.fixture(scope="session")
def inputs(tmp_path_factory):
    """The arguments of `render` for a whole report; a test that changes them makes a copy."""
    return report.inputs(tmp_path_factory.mktemp("figures"))


@pytest.fixture(scope="session")
def html(inputs):
    """The page of the whole report."""
    return build.render(**inputs)


@pytest.fixture(scope="session")
def claims(inputs):
    """The entries of claims.json behind the page, by id."""
    return build.by_id(inputs["claims"])


@pytest.fixture(scope="session")
def file(html, tmp_path_factory):
    """The page's file."""
    path = tmp_path_factory.mktemp("report") / "index.html"
    path.write_text(html, encoding="utf-8")
    return path


@pytest.fixture
def visit(browser, file):
    """Open the page, or another file, in a tab of its own: visit("#C058", color_scheme="dark").

    When the test is over, no tab may have asked for anything but its file, or have put anything
    into the console: errors, warnings and what the page's policy forbids stand there.
    """
    contexts, complaints = [], []

    def opened(link="", file=file, **options):
        context = browser.new_context(**LAPTOP | options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        own = file.as_uri()

        def asked(request):
            if request.url.partition("#")[0] != own and not request.url.startswith("data:"):
                complaints.append(f"asked for {request.url}")

        context.on("request", asked)
        context.on("console", lambda message: complaints.append(message.text))
        context.on("weberror", lambda error: complaints.append(str(error.error)))
        tab = context.new_page()
        tab.goto(own + link)
        return tab

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture(scope="session")
def page(browser, file):
    """One tab of the page for tests that only look."""
    context = browser.new_context(**LAPTOP)
    context.set_default_timeout(PATIENCE)
    tab = context.new_page()
    tab.goto(file.as_uri())
    yield tab
    context.close()


@pytest.fixture
def locked_in(browser, file):
    """The page from a server that forbids scripts and the page's own style (STRICT)."""

    class Handler(SimpleHTTPRequestHandler):
        def end_headers(self):
            self.send_header("Content-Security-Policy", STRICT)
            super().end_headers()

        def log_message(self, *_):
            pass

    folder = str(file.parent)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        context = browser.new_context(**LAPTOP)
        context.set_default_timeout(PATIENCE)
        tab = context.new_page()
        tab.goto(f"http://127.0.0.1:{server.server_port}/{file.name}")
        yield tab
        context.close()
        server.shutdown()


@pytest.fixture(scope="session")
def index(page):
    """What the page's search knows of each claim."""
    return json.loads(page.locator("#index").text_content())
