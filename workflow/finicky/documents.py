"""YAML documents that a person edits: reading them and checking them against a schema; and JSON of
jobs, with a SHA-256 of all its bytes in a file beside it.

Everything wrong is an InputError of one line: file, key, what was found, what is allowed.

Numbers and booleans are those of YAML 1.2 (its core schema), as people expect: 1e-3 is a number.
PyYAML knows those of 1.1, where it is text, 010 is 8, 1:30 is 90 and no is false. What only 1.1
takes for a number or a boolean, or for another one, is refused with the spellings that leave no
doubt.
"""

import difflib
import hashlib
import json
import math
import re
from collections import Counter
from pathlib import Path

import jsonschema
import yaml

from finicky.errors import Damaged, InputError
from finicky.store import replaced

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

    def construct_object(self, node, deep=False):
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, KeyError, AttributeError) as error:  # PyYAML's, for `!!int x`
            found = f"a value that its tag does not allow ({error})"
            raise _Refused(node, found, "valid YAML") from None

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


def _pattern(validator, pattern, value, schema):
    """The whole text, for which `$` is not enough: it lets a line break follow."""
    if isinstance(value, str) and not re.fullmatch(pattern, value):
        yield jsonschema.exceptions.ValidationError("")


_Validator = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    {"pattern": _pattern},
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine_many(
        {"integer": _is_integer, "number": _is_number}
    ),
)


def read(path, what):
    """The document in a YAML file; `what` says in an error what the file should be."""
    text = _text(path, what)
    try:
        return yaml.load(text, _Loader)  # noqa: S506 (a safe loader)
    except _Refused as error:
        line = error.problem_mark.line + 1
        where = f"line {line}{_key_at(text, error.problem_mark)}"
        raise InputError(path, where, error.problem, error.allowed) from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1
        found = f"what is no YAML ({' '.join(error.problem.split())})"
        raise InputError(path, f"line {line}", found, "valid YAML") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        found = f"the character {error.character:#x}, which is no text"
        raise InputError(path, f"line {line}", found, f"{what}, in UTF-8") from None


def _text(path, what):
    """The text of a file."""
    try:
        content = Path(path).read_bytes()
        return content.decode()
    except FileNotFoundError:
        raise InputError(path, None, "no such file", what) from None
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        found = "bytes that are no text"
        raise InputError(path, f"line {line}", found, f"{what}, in UTF-8") from None
    except OSError as error:
        raise InputError(path, None, error.strerror, f"{what} that can be read") from None


def checksum_file(path):
    """The file beside a JSON file with its SHA-256, as `sha256sum -c` reads it too. (In the JSON it
    would be in the way of readers: claims.json is a list.)"""
    return Path(f"{path}.sha256")


def write_json(path, document, indent=1, **style):
    """Write plain Python with finite numbers as JSON, whole or not at all, then its checksum, so
    that a kill between them leaves none; style: of json.dumps."""
    text = json.dumps(document, indent=indent, ensure_ascii=False, allow_nan=False, **style)
    content = f"{text}\n".encode()
    checksum_file(path).unlink(missing_ok=True)
    with replaced(path) as temporary:
        Path(temporary).write_bytes(content)
    with replaced(checksum_file(path)) as temporary:
        line = f"{hashlib.sha256(content).hexdigest()}  {Path(path).name}\n"
        Path(temporary).write_text(line, encoding="utf-8")


def read_json(path):
    """What a job has written as JSON.

    Raises Damaged if it is not what was written. A file without a checksum, of an older version or
    another hand, is read as it is.
    """
    content = Path(path).read_bytes()
    try:
        told = checksum_file(path).read_bytes()[:64]
    except FileNotFoundError:
        told = None
    if told not in (None, hashlib.sha256(content).hexdigest().encode()):
        raise Damaged(path, "its SHA-256 is another")
    try:
        return json.loads(content)
    except ValueError as error:
        raise Damaged(path, error) from None


def _key_at(text, mark):
    """The key of what stands at a mark of a text, as ": grid.depth.images[0]"; empty at its top."""
    nodes, seen = [("", yaml.compose(text, _Loader))], set()
    while nodes:
        name, node = nodes.pop()
        if id(node) in seen:  # an alias, maybe of what it stands in
            continue
        seen.add(id(node))
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
        branch = error.parent
        if branch is not None and not error.relative_path and error.validator in ("const", "type"):
            error = branch  # of several schemas none is nearer than the others
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


TYPES = {
    "object": "keys with values", "array": "a list", "string": "text", "integer": "a whole number",
    "number": "a finite number", "boolean": "true or false", "null": "null",
}  # fmt: skip


def found_and_allowed(error):
    """A schema error as (found, allowed), in the words of a person who edits the file."""
    rule, limit, found = error.validator, error.validator_value, error.instance
    if rule == "additionalProperties":
        known = list(error.schema.get("properties", ()))
        unknown = sorted(map(str, set(found) - set(known)))
        return f"unknown key {unknown[0]!r}", one_of(known, unknown[0])
    if rule == "required":
        missing = [name for name in limit if name not in found]
        return f"no key {missing[0]!r}", "every one of " + ", ".join(limit)
    shown = repr(found)
    return shown if len(shown) <= 60 else f"{shown[:57]}...", _allowed(error)


def one_of(names, found):
    """All the names that are allowed, and the one that was probably meant."""
    names = list(map(str, names))
    near = difflib.get_close_matches(str(found), names, 1)
    return ", ".join(names) + (f"; perhaps {near[0]!r}" if near else "")


def _allowed(error):
    """What a schema's rule allows, in words. A pattern's are its schema's title; what none of
    several schemas takes, each of them says."""
    rule, limit = error.validator, error.validator_value
    if rule in ("anyOf", "oneOf"):
        return " or ".join(dict.fromkeys(_allowed(one) for one in error.context))
    if rule == "contains":
        return f"a list with {limit['const']} in it"
    if rule == "pattern":
        return error.schema.get("title", f"text of the form {limit}")
    if rule == "type":
        return " or ".join(TYPES[name] for name in (limit if isinstance(limit, list) else [limit]))
    if rule == "enum":
        return one_of(limit, error.instance)
    if rule == "not":
        return "anything but " + ", ".join(map(str, limit.get("enum", [limit])))
    if rule == "uniqueItems":
        return "each item once"
    things = {"Items": "item", "Properties": "key", "Length": "character"}
    for ending, thing in things.items():
        if rule.endswith(ending):
            bound = {"min": "at least", "max": "at most"}[rule[:3]]
            return f"{bound} {limit} {thing}{'s' if limit > 1 else ''}"
    return {
        "const": "{}", "minimum": "at least {}", "maximum": "at most {}",
        "exclusiveMinimum": "more than {}", "exclusiveMaximum": "less than {}",
        "multipleOf": "a multiple of {}",
    }.get(rule, f"{rule} {{}}").format(limit)  # fmt: skip
