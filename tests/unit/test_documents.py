"""YAML documents: each mistake in one line, in the words of a person who edits the file."""

import hashlib
import json
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from finicky import documents
from finicky.errors import Damaged, InputError

ROOT = Path(__file__).parents[2]
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
  small: {type: string, maxLength: 3, minLength: 1}
  below: {type: number, exclusiveMaximum: 1}
  word: {type: string, pattern: "^[a-z]+$", title: small letters}
  pair: {type: array, minItems: 2, maxItems: 3, contains: {const: one}}
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
        ("x:\n  - {a: 1, a: 1}\n", "line 2: x[0]: found key 'a' twice in one mapping"),
        ("a: [1,\n", "line 2: found what is no YAML (did not find expected node content)"),
        ("a:\n\tb: 1\n", "line 2: found what is no YAML (found character that cannot start"),
        ("a: *b\n", "line 1: found what is no YAML (found undefined alias)"),
        ("---\na\n---\nb\n", "line 3: found what is no YAML (but found another document)"),
        ("[a]: 1\n", "line 1: found what is no YAML (found unhashable key)"),
        ("a: !!python/object:os.system {}\n", "line 1: found what is no YAML (could not determine"),
        ("a: !!int x\n", "line 1: a: found a value that its tag does not allow ("),
        ("a: !!bool x\n", "line 1: a: found a value that its tag does not allow ("),
        ("a: !!timestamp x\n", "line 1: a: found a value that its tag does not allow ("),
        (b"a: 1\nb: \xff\n", "line 2: found bytes that are no text; allowed: a toy, in UTF-8"),
        ("ä: 1\nb: \x00\n", "line 2: found the character 0x0, which is no text"),
        ("a: &x [*x, 010]\n", "line 1: a[1]: found 010, which"),
    ],
)
def test_what_is_no_yaml_is_named_with_its_line(read, tmp_path, content, said):
    with pytest.raises(InputError) as error:
        read(content)
    assert str(error.value).startswith(f"{tmp_path / 'file.yaml'}: {said}")
    assert "\n" not in str(error.value)


# What YAML 1.2 (its core schema) makes of a plain scalar.
PLAIN = {
    "1e-3": 0.001, "1E3": 1000.0, "+1e3": 1000.0, "1.0e5": 100000.0, "-.5": -0.5, "5.": 5.0,
    "0.5": 0.5, "0": 0, "-12": -12, "0x1F": 31, "0o17": 15, ".inf": float("inf"),
    "true": True, "FALSE": False, "null": None, "~": None,
    "normal_std_1e-3": "normal_std_1e-3", "1e": "1e", "e3": "e3", "1_x": "1_x", "1:99": "1:99",
    "y": "y", "12:x": "12:x", "'010'": "010", "'1e-3'": "1e-3", "'yes'": "yes",
}  # fmt: skip


@pytest.mark.parametrize("written", PLAIN)
def test_numbers_and_booleans_are_those_of_yaml_1_2(read, written):
    found = read(f"a: [{written}]\n")["a"][0]
    assert found == PLAIN[written] and type(found) is type(PLAIN[written])


# What YAML 1.1 and 1.2 read differently, with the spellings that are the same in both.
AMBIGUOUS = {
    "010": "8 or 10", "-010": "-8 or -10", "08": "8", "0b11": "3 or '0b11' in quotes",
    "1:30": "90 or '1:30' in quotes", "1:30.5": "90.5 or '1:30.5' in quotes",
    "1_1": "11 or '1_1' in quotes", "1_000.5": "1000.5 or '1_000.5' in quotes",
    "0x_1F": "31 or '0x_1F' in quotes", "1_0e5": "'1_0e5' in quotes",
    "yes": "true or 'yes' in quotes", "NO": "false or 'NO' in quotes",
    "on": "true or 'on' in quotes", "Off": "false or 'Off' in quotes",
}  # fmt: skip


@pytest.mark.parametrize("written", AMBIGUOUS)
def test_what_readers_of_yaml_read_differently_is_refused(read, tmp_path, written):
    said = f"found {written}, which is not the same to every reader of YAML; allowed: "
    for text, key in (
        (f"a:\n  b: [x, {written}]\n", "line 2: a.b[1]"),
        (f"- x: {written}\n", "line 1: [0].x"),
        (f"a: b\n{written}: c\n", "line 2"),
    ):
        with pytest.raises(InputError) as error:
            read(text)
        expected = f"{tmp_path / 'file.yaml'}: {key}: {said}{AMBIGUOUS[written]}"
        assert str(error.value).startswith(expected)


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
        ({"count": "two"}, "count: found 'two'; allowed: a whole number"),
        ({"count": True}, "count: found True; allowed: a whole number"),
        ({"count": 0}, "count: found 0; allowed: at least 1"),
        ({"count": 10}, "count: found 10; allowed: at most 9"),
        ({"share": 0}, "share: found 0; allowed: more than 0"),
        ({"share": "1e-3"}, "share: found '1e-3'; allowed: a finite number"),
        ({"width": 48}, "width: found 48; allowed: a multiple of 32"),
        ({"kind": "huge"}, "kind: found 'huge'; allowed: small, large"),
        ({"kind": "lage"}, "kind: found 'lage'; allowed: small, large; perhaps 'large'"),
        ({"small": "four"}, "small: found 'four'; allowed: at most 3 characters"),
        ({"small": ""}, "small: found ''; allowed: at least 1 character"),
        ({"below": 1}, "below: found 1; allowed: less than 1"),
        ({"below": float("nan")}, "below: found nan; allowed: a finite number"),
        ({"count": 2.0}, "count: found 2.0; allowed: a whole number"),
        ({"name": "good\n"}, "name: found 'good\\n'; allowed: text of the form"),
        ({"word": "No"}, "word: found 'No'; allowed: small letters"),
        ({"pair": ["one"]}, "pair: found ['one']; allowed: at least 2 items"),
        ({"pair": ["one", 2, 3, 4]}, "pair: found ['one', 2, 3, 4]; allowed: at most 3 items"),
        ({"pair": [1, 2]}, "pair: found [1, 2]; allowed: a list with one in it"),
        ({"conut": 3}, "found unknown key 'conut'; allowed: name, count, share, width, kind, "
                       "small, below, word, pair, fixed, folder, both, parts; perhaps 'count'"),
        ({"both": "fast"}, "both: found 'fast'; allowed: auto or a whole number"),
        ({"both": 1.5}, "both: found 1.5; allowed: auto or a whole number"),
        ({"fixed": "manual"}, "fixed: found 'manual'; allowed: auto"),
        ({"folder": 3}, "folder: found 3; allowed: text or null"),
        ({"both": 0}, "both: found 0; allowed: at least 1"),
        ({"parts": []}, "parts: found []; allowed: at least 1 item"),
        ({"parts": [{"size": 1}, {"size": 1}]}, "parts: found [{'size': 1}, {'size': 1}]; "
                                                "allowed: each item once"),
        ({"parts": [{"id": "P1"}]}, "parts[P1]: found no key 'size'; allowed: every one of size"),
        ({"parts": [{"name": "n", "size": "x"}]}, "parts[n].size: found 'x'; allowed: a whole"),
        ({"parts": [{"size": "x"}]}, "parts[0].size: found 'x'; allowed: a whole number"),
        ({"parts": ["x"]}, "parts[0]: found 'x'; allowed: keys with values"),
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
    with pytest.raises(InputError, match=r"toys.yaml: found .*; allowed: keys with values"):
        documents.check(document, schema, "toys.yaml")


def test_what_was_found_is_cut_to_a_readable_length(schema):
    with pytest.raises(InputError) as error:
        documents.check(GOOD | {"name": "X" * 500}, schema, "toys.yaml")
    assert error.value.found == "'" + "X" * 56 + "..."


# ---------------------------------------------------------------- JSON of jobs


def test_any_flipped_bit_of_json_or_of_its_checksum_is_found(tmp_path):
    path = tmp_path / "claims.json"
    documents.write_json(path, [{"id": "C001", "median": 1.5, "says": "η"}])
    digits = documents.checksum_file(path)
    for file, length in (path, path.stat().st_size), (digits, 64):
        content = file.read_bytes()
        for bit in range(8 * length):
            damaged = bytearray(content)
            damaged[bit // 8] ^= 1 << bit % 8
            file.write_bytes(damaged)
            with pytest.raises(Damaged, match=f"^{path}: found a damaged file: its SHA-256"):
                documents.read_json(path)
        file.write_bytes(content)
    assert documents.read_json(path)[0]["median"] == 1.5


def test_the_checksum_is_one_that_others_read_too(tmp_path):
    path = tmp_path / "claims.json"
    for document in ({"a": 1}, {"a": 2}):
        documents.write_json(path, document)
        assert documents.read_json(path) == json.loads(path.read_text()) == document
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert documents.checksum_file(path).read_text() == f"{digest}  claims.json\n"


def test_json_without_a_checksum_is_read_as_it_is(tmp_path):
    path = tmp_path / "old.json"
    path.write_text('{"a": 1}')
    assert documents.read_json(path) == {"a": 1}


def test_a_kill_before_the_checksum_is_written_leaves_none(tmp_path, monkeypatch):
    """Not that of the file before."""
    path = tmp_path / "claims.json"
    documents.write_json(path, {"a": 1})

    @contextmanager
    def killed_at_the_checksum(file, real=documents.replaced):
        if str(file).endswith("sha256"):
            raise KeyboardInterrupt
        with real(file) as temporary:
            yield temporary

    monkeypatch.setattr(documents, "replaced", killed_at_the_checksum)
    with pytest.raises(KeyboardInterrupt):
        documents.write_json(path, {"a": 2})
    assert documents.read_json(path) == {"a": 2}


def test_no_json_has_numbers_that_json_does_not_know(tmp_path):
    path = tmp_path / "claims.json"
    documents.write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        documents.write_json(path, {"a": float("nan")})
    assert documents.read_json(path) == {"a": 1}


@pytest.mark.parametrize("path", sorted(ROOT.glob("results/reference/*/*.json")), ids=str)
def test_the_committed_json_is_whole(path):
    documents.read_json(path)
