"""YAML documents that a person edits: reading them and checking them against a schema.

Everything wrong is an InputError of one line: file, key, what was found, what is allowed.
"""

import math
from collections import Counter
from pathlib import Path

import jsonschema
import yaml

from finicky.errors import InputError

SCHEMAS = Path(__file__).parents[1] / "schemas"


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """The safe loader (in C where PyYAML has it, ten times faster), but a key given twice is an
    error: YAML would silently keep the second."""

    def construct_mapping(self, node, deep=False):
        keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        twice = [key for key, count in keys.items() if count > 1]
        if twice:
            raise yaml.constructor.ConstructorError(
                None, None, f"key {twice[0]!r} twice in one mapping", node.start_mark
            )
        return super().construct_mapping(node, deep=deep)


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
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1
        raise InputError(path, f"line {line}", error.problem, "valid YAML") from None
    except (UnicodeDecodeError, yaml.reader.ReaderError):
        raise InputError(path, None, "bytes that are no text", f"{what}, in UTF-8") from None
    except OSError as error:
        raise InputError(path, None, error.strerror, f"{what} that can be read") from None


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
