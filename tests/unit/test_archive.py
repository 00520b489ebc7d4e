"""The archive of a preset's results, and what is said of how to cite it."""

import hashlib
import json
import re
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

from finicky import crate
from finicky.errors import InputError

ROOT = Path(__file__).parents[2]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
PROVENANCE = {
    "preset": "mine",
    "command": "make report PRESET=mine",
    "commit": "0123abc",
    "dirty": False,
    "date": "2026-01-02T03:04:05+00:00",
    "versions": {"python": "3.11.9", "torch": "2.14.1"},
    "runs": {"total": 1234},
    "missing": 0,
    "failures": [],
}
MADE = ("report/index.html", "report/claims.json", "figures/F01.svg", "figures/F01.csv",
        "refilled/T01.csv", "tables/runs.parquet", "tables/README.md",
        "experiments/adam.parquet", "evidence.parquet")  # fmt: skip
# Of the RO-Crate specification 1.2: what the root and a file must or should say.
ROOT_KEYS = {"name", "description", "datePublished", "license"}
FILE_KEYS = {"name", "encodingFormat", "contentSize", "sha256"}


@pytest.fixture
def root(tmp_path):
    """A repository with what the archive takes from it, and made-up results of one preset."""
    for name in (*crate.COMMON, "config/smoke.yaml"):
        for path in ROOT.glob(name):
            copy = tmp_path / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    (tmp_path / "config/smoke.yaml").rename(tmp_path / "config/mine.yaml")
    for name in (*MADE, "report/other.json.sha256", "logs/tables.log", "shards/x.parquet"):
        path = tmp_path / "results/mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"content of {name}", encoding="utf-8")
    provenance = tmp_path / "results/mine/provenance.json"
    provenance.write_text(json.dumps(PROVENANCE), encoding="utf-8")
    return tmp_path


def packed(root):
    """{name: content} of the archive of `mine`, and its bytes."""
    path = root / "mine.zip"
    crate.pack("mine", root, path)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}, path.read_bytes()


def test_the_archive_has_page_numbers_config_lock_and_licences(root):
    files, _ = packed(root)
    configs = {"README.md", "amendments.yaml", "claims.yaml", "config.yaml", "mine.yaml"}
    vendored = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("report/vendor/*LICENSE*")}
    assert set(files) == {
        "ro-crate-metadata.json", "provenance.json", "CITATION.cff", "LICENSE", "requirements.lock",
        *MADE, *(f"config/{name}" for name in configs), *vendored,
    }  # fmt: skip
    assert files["figures/F01.svg"] == b"content of figures/F01.svg" and vendored


def test_equal_contents_are_equal_archives(root):
    assert packed(root)[1] == packed(root)[1]


def test_its_metadata_are_an_ro_crate(root):
    """Flattened JSON-LD in which the root is found, every reference to an entity within arrives,
    and every file is described as it is."""
    files, _ = packed(root)
    metadata = json.loads(files.pop("ro-crate-metadata.json"))
    assert set(metadata) == {"@context", "@graph"}
    assert metadata["@context"] == "https://w3id.org/ro/crate/1.2/context"
    entities = {entity["@id"]: entity for entity in metadata["@graph"]}
    assert len(entities) == len(metadata["@graph"])
    assert all(entity["@type"] for entity in entities.values())

    descriptor = entities["ro-crate-metadata.json"]
    assert descriptor["@type"] == "CreativeWork" and descriptor["about"] == {"@id": "./"}
    assert descriptor["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.2"}
    top = entities["./"]
    assert top["@type"] == "Dataset" and top.keys() >= ROOT_KEYS
    assert re.match(r"\d{4}-\d\d-\d\dT", top["datePublished"])
    assert top["license"] == {"@id": "https://spdx.org/licenses/MIT"}
    assert [part["@id"] for part in top["hasPart"]] == list(files)
    for name, content in files.items():
        file = entities[name]
        assert file["@type"] == "File" and file.keys() >= FILE_KEYS
        assert file["sha256"] == hashlib.sha256(content).hexdigest()
        assert file["contentSize"] == str(len(content))

    def references(value):
        if isinstance(value, list):
            return [name for one in value for name in references(one)]
        if isinstance(value, dict):
            assert set(value) == {"@id"}, "entities are not nested"
            return [value["@id"]]
        return []

    named = {
        name
        for entity in entities.values()
        if entity is not descriptor
        for value in entity.values()
        for name in references(value)
    }
    assert named <= set(entities)
    assert set(entities) - named - {"./", "ro-crate-metadata.json"} == set()


def test_it_says_what_made_the_results_and_what_is_missing(root):
    entities = {e["@id"]: e for e in crate.describe({}, PROVENANCE, CITATION)["@graph"]}
    assert entities["#finicky"]["version"] == "0123abc"
    assert entities["#torch"]["version"] == "2.14.1"
    assert entities["#run"]["name"] == "make report PRESET=mine"
    assert "1,234 trainings" in entities["./"]["description"]
    assert entities["#vendored-uPlot"]["license"] == {"@id": "https://spdx.org/licenses/MIT"}
    gaps = PROVENANCE | {"dirty": True, "missing": 3, "failures": ["the figure F01 failed: why"]}
    entities = {e["@id"]: e for e in crate.describe({}, gaps, CITATION)["@graph"]}
    assert entities["#finicky"]["version"] == "0123abc with changes"
    said = entities["./"]["description"]
    assert "3 are missing" in said and said.endswith("the figure F01 failed: why.")


@pytest.mark.parametrize("name", ["report/index.html", "provenance.json"])
def test_without_a_report_there_is_no_archive(root, name):
    (root / "results/mine" / name).unlink()
    with pytest.raises(InputError, match=f"{name}: found no such file; allowed: a preset whose"):
        crate.pack("mine", root, root / "mine.zip")
    assert not (root / "mine.zip").exists()


# ---- CITATION.cff, by the schema of the Citation File Format 1.2.0 ------------------------------

REQUIRED = {"authors", "cff-version", "message", "title"}
KNOWN = REQUIRED | {
    "abstract", "commit", "contact", "date-released", "doi", "identifiers", "keywords", "license",
    "license-url", "preferred-citation", "references", "repository", "repository-artifact",
    "repository-code", "type", "url", "version",
}  # fmt: skip
OF_A_REFERENCE = {"authors", "title", "type"}


def test_the_citation_file_has_the_keys_of_its_schema():
    assert REQUIRED <= CITATION.keys() <= KNOWN
    assert CITATION["cff-version"] == "1.2.0" and CITATION["type"] == "software"
    for entry in [CITATION, *CITATION["references"]]:
        assert entry["authors"]
        for author in entry["authors"]:
            assert set(author) in ({"name"}, {"family-names", "given-names"})
    for reference in CITATION["references"]:
        assert reference.keys() >= OF_A_REFERENCE
        assert reference["type"] in ("software", "data")


def test_it_names_the_version_and_licence_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (CITATION["version"], CITATION["license"]) == (project["version"], project["license"])
    assert CITATION["authors"] == project["authors"]
    assert CITATION["abstract"].removesuffix(".") == project["description"]


def test_every_vendored_part_is_listed_with_its_licence():
    """As the tables beside the vendored files say, and each licence lies there."""
    listed = {
        (one["title"], one["version"], one["license"])
        for one in CITATION["references"]
        if "license" in one
    }
    vendored = set()
    for readme in [*ROOT.glob("*/vendor/README.md")]:
        text = readme.read_text(encoding="utf-8")
        rows = re.findall(r"^\| ([\w-]+), of [^|]+ \| ([\d.]+) \| ([\w.-]+), `([^`]+)`", text, re.M)
        assert rows, readme
        for name, version, licence, file in rows:
            vendored.add((name, version, licence))
            assert (readme.parent / file).is_file()
    assert listed == vendored
