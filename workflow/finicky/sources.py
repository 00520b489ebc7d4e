"""Reading the library's own source, without importing it: levels, code hashes, dependencies.

The workflow must know which levels exist and which code a result depends on before it starts, and
without paying for an import of torch. So all this is read from the syntax trees.
"""

import ast
import hashlib
from functools import cache
from pathlib import Path

LIBRARY = Path(__file__).parent
ENGINE = LIBRARY / "engine"

# axis: the file that registers its levels, and the decorators that belong to a level
REGISTRIES = {
    "init": (ENGINE / "initializers.py", ("initializer",)),
    "activation": (ENGINE / "activations.py", ("activation", "backward_of")),
    "optimizer": (ENGINE / "optimizers.py", ("optimizer",)),
    "schedule": (ENGINE / "schedules.py", ("schedule",)),
}


# Files of the engine that only the runs of one device use.
DEVICE_FILES = {"cuda": (ENGINE / "cuda.py",)}


def digest(text):
    """Short SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def without_docstrings(tree):
    """The tree with its docstrings taken out (comments are not in it anyway)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:] or [ast.Pass()]
    return tree


@cache
def parsed(file):
    """The top-level statements of a file, docstrings removed."""
    return without_docstrings(ast.parse(file.read_text(encoding="utf-8"), filename=str(file))).body


def registered_as(node, decorators):
    """The level that a function definition registers, or None."""
    for decorator in getattr(node, "decorator_list", ()):
        if (
            isinstance(decorator, ast.Call)
            and isinstance(decorator.func, ast.Name)
            and decorator.func.id in decorators
            and decorator.args
            and isinstance(decorator.args[0], ast.Constant)
        ):
            return decorator.args[0].value
    return None


@cache
def levels(axis):
    """The registered levels of `init`, `activation`, `optimizer` or `schedule`, in the order of the
    file."""
    file, decorators = REGISTRIES[axis]
    names = (registered_as(node, decorators[:1]) for node in parsed(file))
    return [name for name in names if name]


@cache
def own_decay(optimizer):
    """The weight decay of an optimizer's own rule: the default of its argument of that name, 0 for
    a rule without one."""
    file, decorators = REGISTRIES["optimizer"]
    for node in parsed(file):
        if registered_as(node, decorators) == optimizer:
            given = node.args.args[len(node.args.args) - len(node.args.defaults) :]
            defaults = dict(zip(given, node.args.defaults, strict=True))
            defaults |= dict(zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True))
            named = {argument.arg: value for argument, value in defaults.items()}
            return float(ast.literal_eval(named.get("weight_decay", ast.Constant(0.0))))
    return 0.0


def defined_names(node):
    """The module-level names that a statement defines."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    return {
        name.id
        for name in ast.walk(node)
        if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)
    }


def used_names(node):
    """All names that a statement mentions, its decorators' own names aside."""
    decorators = {d for d in getattr(node, "decorator_list", ())}
    inside = (n for child in ast.iter_child_nodes(node) if child not in decorators
              for n in ast.walk(child))  # fmt: skip
    arguments = (n for d in decorators if isinstance(d, ast.Call)
                 for a in [*d.args, *d.keywords] for n in ast.walk(a))  # fmt: skip
    return {n.id for n in [*inside, *arguments] if isinstance(n, ast.Name)}


def reached(roots, nodes):
    """Indices of the statements that `roots` (indices) use, directly or not, roots included."""
    found, frontier = set(), set(roots)
    while frontier:
        found |= frontier
        used = set().union(*(used_names(nodes[i]) for i in frontier))
        frontier = {i for i, node in enumerate(nodes) if defined_names(node) & used} - found
    return found


def code(nodes, indices):
    """Canonical text of some statements, in the file's order."""
    return "\n".join(ast.unparse(nodes[i]) for i in sorted(indices))


@cache
def level_code(axis, level):
    """Hash of the code of one level: its definitions and whatever in its file they use."""
    file, decorators = REGISTRIES[axis]
    nodes = parsed(file)
    own = {i for i, node in enumerate(nodes) if registered_as(node, decorators) == level}
    return digest(code(nodes, reached(own, nodes)))


def of_other_devices(device):
    """The files that the runs of a device do not use."""
    return {file for name, files in DEVICE_FILES.items() if name != device for file in files}


@cache
def core_code(device):
    """Hash of the engine's code that every run on a device depends on: all but the single levels.

    What only levels use (a constant, a helper) belongs to them, so a new level with its own helper
    leaves all other runs alone. What only another device's runs use does not count.
    """
    texts = []
    decorators_of = {file: decorators for file, decorators in REGISTRIES.values()}
    for file in sorted(set(ENGINE.glob("*.py")) - of_other_devices(device)):
        nodes = parsed(file)
        of_levels = {
            i for i, node in enumerate(nodes) if registered_as(node, decorators_of.get(file, ()))
        }
        theirs = reached(of_levels, nodes)
        own = reached(set(range(len(nodes))) - theirs, nodes)
        texts.append(f"# {file.name}\n{code(nodes, own)}")
    return digest("\n".join(texts))


def statements(nodes):
    """All statements in these ones, however deep: no expressions, of which there are many more."""
    for node in nodes:
        yield node
        for below in ("body", "handlers", "orelse", "finalbody", "cases"):
            yield from statements(getattr(node, below, ()))


@cache
def imported_names(text):
    """The names, with dots, that a file with this text imports; whether a module or what is in it,
    an import statement does not tell. Kept, since one file is an input of many rules."""
    names = set()
    for node in statements(ast.parse(text).body):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def library_imports(file):
    """The files of the library that a file imports directly."""
    paths = set()
    for name in imported_names(Path(file).read_text(encoding="utf-8")):
        if name.split(".")[0] == LIBRARY.name:
            path = LIBRARY.parent.joinpath(*name.split("."))
            paths |= {p for p in (path.with_suffix(".py"), path / "__init__.py") if p.exists()}
    return paths


@cache
def dependencies(*files, device=None):
    """All files of the library that these files import, directly or not; sorted, as strings.

    Snakemake sees a rule's script but not what it imports, so rules list these as inputs. With a
    device, code that only other devices' runs use is left out.
    """
    skipped = of_other_devices(device) if device else set()
    found, frontier = set(), set(map(Path, files))
    while frontier:
        imported = set().union(*(library_imports(file) for file in frontier))
        frontier = imported - found - skipped
        found |= frontier
    return sorted(map(str, found))


@cache
def content(file):
    """Hash of a file's bytes, as they were when they were first asked for."""
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()
