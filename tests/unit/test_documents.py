"""YAML documents: each mistake in one line, in the words of a person who edits the file."""

import pytest
import yaml

from finicky import documents
from finicky.errors import InputError

SCHEMA = """
type: object
additionalProperties: false
required: [name, parts]
properties:
  name: {type: string, pattern: "^[a-z]+$", not: {enum: [data, store]}}
  count: {type: integer, minimum: 1, maximum: 9}
  share: {type: number, exclusiveMinimum: 0}
  width: {type: integer, multipleOf: 32}
  kind: {enum: [small, large]}
  fixed: {const: auto}
  folder: {type: [string, "null"]}
  both: {anyOf: [{const: auto}, {type: integer, minimum: 1}]}
  parts:
    type: array
    minItems: 1
    uniqueItems: true
    items:
      type: object
      additionalProperties: false
      required: [size]
      properties: {id: {type: string}, name: {type: string}, size: {type: integer}}
"""
GOOD = {"name": "good", "parts": [{"id": "P1", "size": 1}]}


@pytest.fixture
def schema(tmp_path, monkeypatch):
    monkeypatch.setattr(documents, "SCHEMAS", tmp_path)
    (tmp_path / "toy.yaml").write_text(SCHEMA)
    return "toy.yaml"


@pytest.fixture
def read(tmp_path):
    """Read a text or bytes as a document."""

    def read(content):
        path = tmp_path / "file.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return documents.read(path, "a toy")

    return read


# ---------------------------------------------------------------- reading


def test_a_document_is_read_as_safe_yaml_reads_it(read):
    text = "a: [1, 0.5, x]\nb: {c: null, d: true}\ne: &x {f: 1}\ng: *x\n"
    assert read(text) == yaml.safe_load(text)
    assert read("") is None


@pytest.mark.parametrize(
    "content, said",
    [
        ("a: 1\nb: 2\na: 3\n", "line 1: found key 'a' twice in one mapping; allowed: valid YAML"),
        ("x:\n  - {a: 1, a: 1}\n", "line 2: found key 'a' twice in one mapping"),
        ("a: [1,\n", "line 2: found "),
        ("[a]: 1\n", "line 1: found found unhashable key"),
        ("a: !!python/object:os.system {}\n", "line 1: found could not determine a constructor"),
        (b"a: \xff\n", "found bytes that are no text; allowed: a toy, in UTF-8"),
        ("a: \x00\n", "found bytes that are no text"),
    ],
)
def test_what_is_no_yaml_is_named_with_its_line(read, tmp_path, content, said):
    with pytest.raises(InputError) as error:
        read(content)
    assert str(error.value).startswith(f"{tmp_path / 'file.yaml'}: {said}")
    assert "\n" not in str(error.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(InputError) as error:
        documents.read(tmp_path / "no.yaml", "a toy")
    assert str(error.value) == f"{tmp_path / 'no.yaml'}: found no such file; allowed: a toy"
    with pytest.raises(InputError, match="found Is a directory; allowed: a toy that can be read"):
        documents.read(tmp_path, "a toy")


# ---------------------------------------------------------------- checking


def test_a_good_document_passes(schema):
    assert documents.check(GOOD, schema, "file") is None


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"colour": 1}, "found unknown key 'colour'; allowed: name, count, share, width"),
        ({3: 1}, "found unknown key '3'"),
        ({"name": "No"}, "name: found 'No'; allowed: text of the form ^[a-z]+$"),
        ({"name": "store"}, "name: found 'store'; allowed: anything but data, store"),
        ({"count": "two"}, "count: found 'two'; allowed: integer"),
        ({"count": True}, "count: found True; allowed: integer"),
        ({"count": 0}, "count: found 0; allowed: at least 1"),
        ({"count": 10}, "count: found 10; allowed: at most 9"),
        ({"share": 0}, "share: found 0; allowed: more than 0"),
        ({"share": "1e-3"}, "share: found '1e-3'; allowed: number"),
        ({"width": 48}, "width: found 48; allowed: a multiple of 32"),
        ({"kind": "huge"}, "kind: found 'huge'; allowed: small, large"),
        ({"fixed": "manual"}, "fixed: found 'manual'; allowed: auto"),
        ({"folder": 3}, "folder: found 3; allowed: string or null"),
        ({"both": 0}, "both: found 0; allowed: at least 1"),
        ({"parts": []}, "parts: found []; allowed: at least 1 item"),
        ({"parts": [{"size": 1}, {"size": 1}]}, "parts: found [{'size': 1}, {'size': 1}]; "
                                                "allowed: each item once"),
        ({"parts": [{"id": "P1"}]}, "parts[P1]: found no key 'size'; allowed: every one of size"),
        ({"parts": [{"name": "n", "size": "x"}]}, "parts[n].size: found 'x'; allowed: integer"),
        ({"parts": [{"size": "x"}]}, "parts[0].size: found 'x'; allowed: integer"),
        ({"parts": ["x"]}, "parts[0]: found 'x'; allowed: object"),
    ],
)  # fmt: skip
def test_what_the_schema_forbids_is_said_in_words(schema, changes, said):
    with pytest.raises(InputError) as error:
        documents.check(GOOD | changes, schema, "toys.yaml")
    assert str(error.value).startswith(f"toys.yaml: {said}")


def test_a_missing_key_is_named(schema):
    with pytest.raises(InputError, match="toys.yaml: found no key 'name'; allowed: every one of"):
        documents.check({"parts": [{"size": 1}]}, schema, "toys.yaml")


@pytest.mark.parametrize("document", [None, [], "text"])
def test_a_document_that_is_no_mapping(schema, document):
    with pytest.raises(InputError, match=r"toys.yaml: found .*; allowed: object"):
        documents.check(document, schema, "toys.yaml")


def test_what_was_found_is_cut_to_a_readable_length(schema):
    with pytest.raises(InputError) as error:
        documents.check(GOOD | {"name": "X" * 500}, schema, "toys.yaml")
    assert error.value.found == "'" + "X" * 56 + "..."
