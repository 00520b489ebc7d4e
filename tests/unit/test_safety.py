"""Nothing that is read from disk or typed by a person is run as code, here or in a shell."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
SNAKEFILES = [ROOT / "Snakefile", ROOT / "workflow/Snakefile", *ROOT.glob("workflow/rules/*.smk")]
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

# What is run all the same, as no file that people write says it: the limits of an experiment's
# settings, expressions of its own module.
TRUSTED = {ROOT / "workflow/finicky/declarations.py": ["eval(code, {'__builtins__': {}}, scope)"]}


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


def test_no_data_is_run_as_code():
    files = list(ROOT.glob("workflow/**/*.py"))
    trees = {file: ast.parse(file.read_text(encoding="utf-8")) for file in files}
    found = {file: list(unsafe(tree)) for file, tree in trees.items()}
    assert len(files) > 100 and {file: code for file, code in found.items() if code} == TRUSTED


def test_no_rule_runs_data_as_code():
    """Rules are no Python: their words are read. All have scripts, none has a shell command."""
    words = ("pickle", "eval(", "exec(", "os.system", "shell=", "shell:", "shell(", "\n    run:")
    for file in SNAKEFILES:
        text = file.read_text(encoding="utf-8")
        assert [word for word in words if word in text] == [], file


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
