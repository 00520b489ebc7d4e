"""Nothing that is read from disk or typed by a person is run as code, here or in a shell."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted([*ROOT.glob("workflow/**/*.py"), *ROOT.glob("workflow/**/*.smk"),
                *ROOT.glob("**/Snakefile")])  # fmt: skip
# What runs code that is in a file: no module of these names is imported,
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
# no function of these names is called,
CALLS = {"eval", "exec", "os.system", "os.popen", "subprocess.getoutput", "pd.read_pickle",
         "yaml.full_load", "yaml.unsafe_load", "yaml.load_all", "torch.hub.load"}  # fmt: skip
# and these only with an argument that makes them safe: {function: what it must be called with}.
SAFE_WITH = {
    "yaml.load": lambda call: any("Safe" in ast.unparse(a) or ast.unparse(a) == "_Loader"
                                  for a in [*call.args[1:], *(k.value for k in call.keywords)]),
    "torch.load": lambda call: argument(call, "weights_only") == "True",
    "np.load": lambda call: argument(call, "allow_pickle") in (None, "False"),
}  # fmt: skip


def argument(call, name):
    """The source of an argument given by name; None if it is not given."""
    return next((ast.unparse(k.value) for k in call.keywords if k.arg == name), None)


def unsafe(tree):
    """What a syntax tree does that it should not, as text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names]
            names = [getattr(node, "module", None) or "", *names]
            yield from (name for name in names if name.partition(".")[0] in MODULES)
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in CALLS or not SAFE_WITH.get(called, lambda call: True)(node):
                yield ast.unparse(node)
            if argument(node, "shell") not in (None, "False"):
                yield ast.unparse(node)


def python_of(file):
    """The syntax tree of a file; of a Snakefile those of its functions and plain statements, as far
    as they are Python: each block by itself."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".py":
        return ast.parse(text)
    body = []
    for block in text.split("\n\n\n"):
        try:
            body += ast.parse(block).body
        except SyntaxError:  # rules, of which the test below reads the words
            continue
    return ast.Module(body, [])


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_data_is_run_as_code(file):
    assert list(unsafe(python_of(file))) == []
    if file.suffix != ".py":
        text = file.read_text(encoding="utf-8")
        words = ("pickle", "eval(", "exec(", "os.system", "shell:", "shell(", "run:")
        assert [word for word in words if word in text] == []


UNSAFE = [
    "import pickle", "from pickle import loads", "import joblib as j", "eval(text)",
    "os.system('rm')", "yaml.load(f)", "yaml.load(f, yaml.Loader)", "yaml.unsafe_load(f)",
    "torch.load(f)", "torch.load(f, weights_only=False)", "np.load(f, allow_pickle=True)",
    "subprocess.run(c, shell=True)", "subprocess.Popen(c, shell=quick)",
]  # fmt: skip
SAFE = [
    "yaml.load(f, _Loader)", "yaml.safe_load(f)", "yaml.load(f, Loader=yaml.SafeLoader)",
    "torch.load(f, weights_only=True)", "np.load(f)", "subprocess.run(c)", "ast.literal_eval(t)",
]  # fmt: skip


def test_the_rule_tells_safe_from_unsafe():
    assert [code for code in UNSAFE if not list(unsafe(ast.parse(code)))] == []
    assert [code for code in SAFE if list(unsafe(ast.parse(code)))] == []
