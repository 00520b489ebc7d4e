"""Text is UTF-8, whatever the machine's locale: what reads or writes text names its encoding."""

import ast
from pathlib import Path

import pytest

WORKFLOW = Path(__file__).parents[2] / "workflow"
FILES = sorted(WORKFLOW.rglob("*.py"))
# Calls that open text unless a mode says otherwise, and the place of the mode among the arguments.
OPENING = {"open": 1, "fdopen": 1, "NamedTemporaryFile": 0, "TemporaryFile": 0}


def nameless(text):
    """The lines of a module's calls that read or write text and name no encoding."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and is_text(node) and not names_encoding(node)
    ]


def is_text(call):
    name = getattr(call.func, "attr", None) or getattr(call.func, "id", None)
    if name in ("read_text", "write_text"):
        return True
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    if name in ("run", "Popen", "check_output"):
        return "text" in keywords or "universal_newlines" in keywords
    if name not in OPENING:
        return False
    # path.open("rb") has its mode first, tarfile.open its own kind of mode
    method = isinstance(call.func, ast.Attribute) and name == "open"
    if method and getattr(call.func.value, "id", None) in ("tarfile", "gzip", "os", "zipfile"):
        return False
    place = 0 if method else OPENING[name]
    default = "w+b" if name.endswith("TemporaryFile") else "r"
    mode = keywords.get("mode", call.args[place] if len(call.args) > place else None)
    return "b" not in (ast.literal_eval(mode) if mode is not None else default)


def names_encoding(call):
    return any(keyword.arg == "encoding" for keyword in call.keywords)


@pytest.mark.parametrize("file", FILES, ids=[str(f.relative_to(WORKFLOW)) for f in FILES])
def test_a_file_names_the_encoding_of_its_text(file):
    assert nameless(file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "call",
    [
        "open(p)", "open(p, 'w')", "open(p, mode='a')", "p.open()", "p.open('w')", "p.read_text()",
        "Path(p).write_text(text)", "subprocess.run(command, text=True)", "os.fdopen(f, 'w')",
        "tempfile.NamedTemporaryFile('w')",
    ],
)  # fmt: skip
def test_a_call_that_names_no_encoding_is_noticed(call):
    assert nameless(call) == [1]
    assert nameless(call[:-1] + (", " if call[-2] != "(" else "") + "encoding='utf-8')") == []


@pytest.mark.parametrize(
    "call",
    [
        "open(p, 'rb')", "open(p, mode='wb')", "p.open('rb')", "p.read_bytes()", "tarfile.open(p)",
        "gzip.open(p)", "subprocess.run(command, capture_output=True)", "os.fdopen(f, 'wb')",
        "tempfile.TemporaryFile()",
    ],
)  # fmt: skip
def test_bytes_have_no_encoding(call):
    assert nameless(call) == []
