"""YAML documents that a person edits: reading them and checking them against a schema; and JSON.

Everything wrong is an InputError of one line: file, key, what was found, what is allowed.

Numbers and booleans are those of YAML 1.2 (its core schema), as people expect: 1e-3 is a number.
PyYAML knows those of 1.1, where it is text, 010 is 8, 1:30 is 90 and no is false. What only 1.1
takes for a number or a boolean, or for another one, is refused with the spellings that leave no
doubt.
"""

import json
import math
import re
from collections import Counter
from pathlib import Path

import jsonschema
import yaml

from finicky.errors import Damaged, InputError

SCHEMAS = Path(__file__).parents[1] / "schemas"


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """The safe loader (in C where PyYAML has it, ten times faster) with the numbers of YAML 1.2. A
    key given twice is an error: YAML would silently keep the second."""

    def construct_mapping(self, node, deep=False):
        keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        twice = [key for key, count in keys.items() if count > 1]
        if twice:
            raise _Refused(node, f"key {twice[0]!r} twice in one mapping", "valid YAML")
        return super().construct_mapping(node, deep=deep)

    def construct_ambiguous(self, node):
        old = yaml.safe_load(node.value)  # as YAML 1.1 reads it
        shown = str(old).lower() if isinstance(old, bool) else old
        spellings = [] if isinstance(old, str) else [f"{shown}"]
        if re.fullmatch(r"[-+]?\d+", node.value):
            spellings.append(str(int(node.value)))
        else:
            spellings.append(f"'{node.value}' in quotes, if it is text")
        found = f"{node.value}, which is not the same to every reader of YAML"
        raise _Refused(node, found, " or ".join(spellings))


class _Refused(yaml.MarkedYAMLError):
    """What is not accepted here, though YAML may: a node, what was found, what is allowed."""

    def __init__(self, node, found, allowed):
        super().__init__(problem=found, problem_mark=node.start_mark)
        self.allowed = allowed


def _read_numbers_of_yaml_1_2():
    """Put the patterns by which plain scalars are known into the loader, the first match wins."""
    kinds = {
        "!ambiguous": r"""[-+]?0[0-9]+                                    # octal in 1.1
            |[-+]?0b[01_]+
            |[-+]?(?=[^_]*_)(?:0x[0-9a-fA-F_]+|[0-9][0-9_]*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)?)
            |[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?           # base 60 in 1.1
            |yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF""",
        "tag:yaml.org,2002:bool": r"true|True|TRUE|false|False|FALSE",
        "tag:yaml.org,2002:int": r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
        "tag:yaml.org,2002:float": r"""[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?
            |[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)""",
    }
    _Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in kinds]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    for tag, pattern in kinds.items():
        whole = re.compile(rf"(?:{pattern})$", re.VERBOSE)
        _Loader.add_implicit_resolver(tag, whole, list("-+.0123456789yYnNoOtTfF"))
    _Loader.add_constructor("!ambiguous", _Loader.construct_ambiguous)


_read_numbers_of_yaml_1_2()


def _is_integer(checker, value):
    """YAML's 2 but not 2.0, which would name other runs than 2 does."""
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(checker, value):
    """Neither infinite nor NaN, which pass every comparison with a bound."""
    whole = _is_integer(checker, value)
    return whole or (isinstance(value, float) and math.isfinite(value))


_Validator = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine_many(
        {"integer": _is_integer, "number": _is_number}
    ),
)


def read(path, what):
    """The document in a YAML file; `what` says in an error what the file should be."""
    try:
        with open(path, encoding="utf-8") as file:
            return yaml.load(file, _Loader)  # noqa: S506 (a safe loader)
    except FileNotFoundError:
        raise InputError(path, None, "no such file", what) from None
    except _Refused as error:
        line = error.problem_mark.line + 1
        where = f"line {line}{_key_at(path, error.problem_mark)}"
        raise InputError(path, where, error.problem, error.allowed) from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1
        found = f"what is no YAML ({' '.join(error.problem.split())})"
        raise InputError(path, f"line {line}", found, "valid YAML") from None
    except (UnicodeDecodeError, yaml.reader.ReaderError):
        raise InputError(path, None, "bytes that are no text", f"{what}, in UTF-8") from None
    except OSError as error:
        raise InputError(path, None, error.strerror, f"{what} that can be read") from None
    except (ValueError, KeyError, AttributeError) as error:  # PyYAML's, for `!!int x`
        found = f"a value that its tag does not allow ({error})"
        raise InputError(path, None, found, "valid YAML") from None


def read_json(path):
    """What a job has written as JSON; Damaged if it is none any more."""
    try:
        return json.loads(Path(path).read_bytes())
    except ValueError as error:
        raise Damaged(path, error) from None


def _key_at(path, mark):
    """The key of what stands at a mark of a file, as ": grid.depth.images[0]"; empty at its top."""
    with open(path, encoding="utf-8") as file:
        nodes = [("", yaml.compose(file, _Loader))]
    while nodes:
        name, node = nodes.pop()
        here = node.start_mark
        if (here.line, here.column) == (mark.line, mark.column) and name:
            return f": {name}"
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                below = f"{name}.{key.value}" if name else f"{key.value}"
                nodes += [(name, key), (below, value)]
        elif isinstance(node, yaml.SequenceNode):
            nodes += [(f"{name}[{i}]", item) for i, item in enumerate(node.value)]
    return ""


def check(document, schema, path):
    """Raise InputError for the first thing that the schema (a name below schemas/) forbids."""
    check_against(document, read(SCHEMAS / schema, "a JSON schema"), path)


def check_against(document, rules, path):
    """Raise InputError for the first thing that a JSON schema (a mapping) forbids."""
    error = jsonschema.exceptions.best_match(_Validator(rules).iter_errors(document))
    if error is not None:
        raise InputError(path, key(document, error.absolute_path), *found_and_allowed(error))


def key(document, steps):
    """A path such as claims[C058].parts[0].margin: items with an id or a name go by it."""
    text, here = "", document
    for step in steps:
        here = here[step]
        if isinstance(step, int):
            name = here.get("id", here.get("name", step)) if isinstance(here, dict) else step
            text += f"[{name}]"
        else:
            text += f".{step}" if text else str(step)
    return text


def found_and_allowed(error):
    """A schema error as (found, allowed), in the words of a person who edits the file."""
    rule, limit, found = error.validator, error.validator_value, error.instance
    if rule == "additionalProperties":
        unknown = sorted(map(str, set(found) - set(error.schema.get("properties", ()))))
        return f"unknown key {unknown[0]!r}", ", ".join(error.schema.get("properties", ()))
    if rule == "required":
        missing = [name for name in limit if name not in found]
        return f"no key {missing[0]!r}", "every one of " + ", ".join(limit)
    allowed = {
        "type": lambda: " or ".join(limit) if isinstance(limit, list) else limit,
        "enum": lambda: ", ".join(map(str, limit)),
        "const": lambda: str(limit),
        "pattern": lambda: f"text of the form {limit}",
        "minimum": lambda: f"at least {limit}",
        "maximum": lambda: f"at most {limit}",
        "exclusiveMinimum": lambda: f"more than {limit}",
        "multipleOf": lambda: f"a multiple of {limit}",
        "minItems": lambda: f"at least {limit} item",
        "minProperties": lambda: f"at least {limit} key",
        "uniqueItems": lambda: "each item once",
        "not": lambda: f"anything but {', '.join(map(str, limit.get('enum', [limit])))}",
    }.get(rule, lambda: f"{rule} {limit}")
    shown = repr(found)
    return shown if len(shown) <= 60 else f"{shown[:57]}...", allowed()
