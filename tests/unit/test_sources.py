"""Hashes of code, levels and dependencies, read from the source of a copied library."""

import ast
import importlib.util
import shutil
from pathlib import Path

import pytest

from finicky import sources
from finicky.engine.activations import ACTIVATIONS
from finicky.engine.initializers import INITIALIZERS
from finicky.engine.optimizers import OPTIMIZERS

REGISTERED = {"init": INITIALIZERS, "activation": ACTIVATIONS, "optimizer": OPTIMIZERS}
FILES = {axis: f"engine/{file.name}" for axis, (file, _) in sources.REGISTRIES.items()}
LEVELS = [(axis, level) for axis in REGISTERED for level in sources.levels(axis)]


class Library:
    """A copy of the library that tests may edit."""

    known = {}  # source of the engine: its hashes, which most tests start from

    def __init__(self, folder):
        self.folder = folder

    def files(self):
        """{file: its text}."""
        return {file: file.read_text() for file in sorted(self.folder.rglob("*.py"))}

    def sources(self):
        """The copy's `sources`, freshly imported: it looks at the files beside it."""
        spec = importlib.util.spec_from_file_location("sources", self.folder / "sources.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def hashes(self):
        """{"core", "core on a GPU" or (axis, level): hash}."""
        text = repr([(f.name, t) for f, t in self.files().items() if f.parent.name == "engine"])
        if text not in self.known:
            now = self.sources()
            levels = [(axis, level) for axis in REGISTERED for level in now.levels(axis)]
            hashes = {level: now.level_code(*level) for level in levels}
            self.known[text] = hashes | {
                "core": now.core_code("cpu"), "core on a GPU": now.core_code("cuda")
            }  # fmt: skip
        return self.known[text]

    def changed_by(self, edit):
        """What an edit changes: the keys of hashes() that are not as before. Undone afterwards."""
        files, before = self.files(), self.hashes()
        edit()
        after = self.hashes()
        for file in self.files().keys() - files.keys():
            file.unlink()
        for file, text in files.items():
            file.write_text(text)
        return {key for key in before | after if before.get(key) != after.get(key)}

    def append(self, file, text):
        path = self.folder / file
        path.write_text(f"{path.read_text()}\n\n{text}")

    def substitute(self, file, old, new):
        path = self.folder / file
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    def rewrite(self, file, change):
        """Apply `change` to the file's syntax tree and write that, without comments."""
        path = self.folder / file
        tree = ast.parse(path.read_text())
        change(tree)
        path.write_text(ast.unparse(tree))


@pytest.fixture
def library(tmp_path):
    folder = tmp_path / "finicky"
    shutil.copytree(sources.LIBRARY, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return Library(folder)


@pytest.mark.parametrize("axis", REGISTERED)
def test_levels_are_what_registers_itself(axis):
    assert sources.levels(axis) == list(REGISTERED[axis])


def test_copy_has_the_same_hashes(library):
    """So the tests below say something about the library itself; and all hashes differ."""
    hashes = library.hashes()
    assert hashes["core"] == sources.core_code("cpu")
    assert hashes["core on a GPU"] == sources.core_code("cuda")
    for level in LEVELS:
        assert hashes[level] == sources.level_code(*level)
    assert len(set(hashes.values())) == len(hashes)


def test_comments_docstrings_and_layout_do_not_count(library):
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    changed = []

    def other_docstrings(tree):
        for node in ast.walk(tree):
            if isinstance(node, documented) and ast.get_docstring(node):
                node.body[0].value.value = "Something else."
                changed.append(node)

    def edit():
        for file in sorted(library.folder.glob("engine/*.py")):
            library.rewrite(f"engine/{file.name}", other_docstrings)
            library.append(f"engine/{file.name}", "# A comment.\n")

    assert library.changed_by(edit) == set()
    assert len(changed) > 50


@pytest.mark.parametrize(("axis", "level"), LEVELS)
def test_a_levels_code_is_its_own(library, axis, level):
    """Each function that registers it, forward and backward, changes this level only."""
    _, decorators = sources.REGISTRIES[axis]

    def definitions(tree):
        return [
            node for node in tree.body
            if isinstance(node, ast.FunctionDef) and node.decorator_list
            and node.decorator_list[0].func.id in decorators
            and node.decorator_list[0].args[0].value == level
        ]  # fmt: skip

    count = len(definitions(ast.parse((library.folder / FILES[axis]).read_text())))
    assert count == (2 if axis == "activation" else 1)
    for index in range(count):

        def change(tree, index=index):
            definitions(tree)[index].body += ast.parse("changed = True").body

        changed = library.changed_by(lambda c=change: library.rewrite(FILES[axis], c))
        assert changed == {(axis, level)}


NEW_LEVEL = """
import cmath

STEEPNESS = 3

def scaled(z):
    return cmath.pi * STEEPNESS * z

@activation("steep")
def steep(z):
    return scaled(z)
"""


def test_a_new_level_with_its_own_constant_helper_and_import(library):
    """Neither adding it nor changing what only it uses touches anything else."""
    file, new = FILES["activation"], ("activation", "steep")
    assert library.changed_by(lambda: library.append(file, NEW_LEVEL)) == {new}
    library.append(file, NEW_LEVEL)
    for edit in ("STEEPNESS = 3", "STEEPNESS = 4"), ("* z", "- z"), ("cmath.pi", "cmath.e"):
        assert library.changed_by(lambda e=edit: library.substitute(file, *e)) == {new}


def test_what_levels_share(library):
    """The kernel behind Adam and AdamW is both optimizers' and nobody else's."""
    changed = library.changed_by(
        lambda: library.substitute(FILES["optimizer"], "beta2=0.999", "beta2=0.99")
    )
    assert changed == {("optimizer", "adam"), ("optimizer", "adamw")}
    changed = library.changed_by(
        lambda: library.substitute(FILES["activation"], "LEAK = 0.01", "LEAK = 0.02")
    )
    assert changed == {("activation", "leaky_relu")}


def test_state_that_an_optimizer_declares_is_its_code(library):
    changed = library.changed_by(
        lambda: library.substitute(FILES["optimizer"], 'state=["velocity"]', 'state=["speed"]')
    )
    assert changed == {("optimizer", "momentum")}


def test_a_constant_named_in_a_levels_decorator_is_its_code(library):
    text = 'VECTORS = ["m"]\n\n@optimizer("new", state=VECTORS)\ndef new(*args):\n    pass\n'
    new = {("optimizer", "new")}
    assert library.changed_by(lambda: library.append(FILES["optimizer"], text)) == new
    library.append(FILES["optimizer"], text)
    changed = library.changed_by(lambda: library.substitute(FILES["optimizer"], '["m"]', '["n"]'))
    assert changed == new


CORE = {"core", "core on a GPU"}


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("engine/activations.py", "linspace(-10, 10", "linspace(-9, 9"),
        ("engine/initializers.py", '"weights", layer', '"weight", layer'),
        ("engine/network.py", "BN_EPS = 1e-5", "BN_EPS = 1e-6"),
        ("engine/optimizers.py", "tuple(state)", "tuple(sorted(state))"),
        ("engine/probes.py", "FLAT = 0.01", "FLAT = 0.02"),
        ("engine/streams.py", "sha256", "sha512"),
        ("engine/history.py", "LARGE = 1000", "LARGE = 100"),
        ("engine/train.py", "CHECK_EVERY = 64", "CHECK_EVERY = 32"),
    ],
)
def test_the_rest_is_core(library, file, old, new):
    assert library.changed_by(lambda: library.substitute(file, old, new)) == CORE


@pytest.mark.parametrize(("old", "new"), [("STREAMS = 16", "STREAMS = 8"), ("index_copy_", "copy")])
def test_code_of_a_device_is_its_own(library, old, new):
    """Whatever changes in the GPU's way of training, a CPU's runs stay."""
    changed = library.changed_by(lambda: library.substitute("engine/cuda.py", old, new))
    assert changed == {"core on a GPU"}


def test_a_helper_of_core_and_level_is_both_ones(library):
    library.append(FILES["init"], "def helper():\n    return 1\n")
    library.append(FILES["init"], '@initializer("new")\ndef new(z, i, o):\n    return z * helper()')
    library.substitute(FILES["init"], "family, _, number = ", "helper()\n    family, _, number = ")
    changed = library.changed_by(lambda: library.substitute(FILES["init"], "return 1", "return 2"))
    assert changed == CORE | {("init", "new")}


def test_code_outside_of_the_engine_does_not_count(library):
    def edit():
        for file in "data.py", "runs.py", "store.py", "evidence/rules.py":
            library.append(file, "edited = 1\n")

    assert library.changed_by(edit) == set()


def test_a_new_file_of_the_engine_is_core(library):
    new = library.folder / "engine/layers.py"
    assert library.changed_by(lambda: new.write_text("WIDTH = 3\n")) == CORE


PACKAGE = {
    "finicky/a.py": "import json\nfrom finicky.b import thing\n",
    "finicky/b.py": "def thing():\n    from finicky import c\n    return c\n",
    "finicky/c.py": "import finicky.b\nfrom finicky.inner.d import x, y\nimport torch\n",
    "finicky/inner/__init__.py": "import finicky.e\n",
    "finicky/inner/d.py": "import other.f\n",
    "finicky/e.py": "",
    "finicky/f.py": "import finicky.a\n",
    "other/f.py": "",
    "scripts/one.py": "from finicky import a\n",
    "scripts/two.py": "from finicky.inner import d\nimport finicky.e as name\n",
}


@pytest.fixture
def package(tmp_path):
    """A made-up library; its `sources.dependencies`, with paths from tmp_path."""
    for file, text in PACKAGE.items():
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    shutil.copy(sources.__file__, tmp_path / "finicky/sources.py")
    module = Library(tmp_path / "finicky").sources()

    def dependencies(*files):
        paths = module.dependencies(*(str(tmp_path / file) for file in files))
        assert paths == sorted(paths)
        return {Path(path).relative_to(tmp_path).as_posix() for path in paths}

    return dependencies


def test_dependencies_are_transitive(package):
    """Through functions and cycles; not what is outside of the library or imports the file."""
    assert package("finicky/e.py") == set()
    assert package("finicky/b.py") == {"finicky/b.py", "finicky/c.py", "finicky/inner/d.py"}
    assert package("scripts/one.py") == {"finicky/a.py"} | package("finicky/b.py")


def test_dependencies_of_packages_and_several_files(package):
    inner = {"finicky/inner/__init__.py", "finicky/inner/d.py", "finicky/e.py"}
    assert package("scripts/two.py") == inner
    assert package("scripts/one.py", "scripts/two.py") == package("scripts/one.py") | inner


def test_dependencies_of_training():
    engine = {file.name for file in sources.ENGINE.glob("*.py")}
    found = {Path(f) for f in sources.dependencies(str(sources.ENGINE / "train.py"))}
    assert {file.name for file in found if file.parent == sources.ENGINE} == engine - {"train.py"}
    assert {file.name for file in found if file.parent == sources.LIBRARY} >= {
        "data.py", "errors.py",
    }  # fmt: skip
    assert not any("page" in file.parts or "evidence" in file.parts for file in found)


def test_dependencies_on_a_device():
    """A CPU's jobs are not run again for an edit of the GPU's code."""
    train = str(sources.ENGINE / "train.py")
    everything, gpu, cpu = (
        set(sources.dependencies(train, device=d)) for d in (None, "cuda", "cpu")
    )
    assert everything == gpu and gpu - cpu == {str(sources.ENGINE / "cuda.py")}
