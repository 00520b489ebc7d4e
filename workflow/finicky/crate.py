"""One archive of a preset's results to cite and to keep: a zipped RO-Crate.

Metadata as in the RO-Crate specification 1.2: a file ro-crate-metadata.json in JSON-LD, which
describes the archive, each file with its SHA-256, the run that made them, and what was used for it.
"""

import hashlib
import json
import zipfile
from pathlib import Path

from finicky import documents
from finicky.errors import InputError
from finicky.store import replaced

SPECIFICATION = "https://w3id.org/ro/crate/1.2"
METADATA = "ro-crate-metadata.json"
# Of a preset's folder: what a reader of the page or its numbers needs, not what made it.
RESULTS = (
    "report/*", "figures/*", "refilled/*", "tables/*", "experiments/*.parquet", "evidence.parquet",
    "provenance.json",
)  # fmt: skip
# Of the repository, beside the preset's own config file.
COMMON = (
    "CITATION.cff", "LICENSE", "requirements.lock", "config/README.md", "config/amendments.yaml",
    "config/claims.yaml", "config/config.yaml", "report/vendor/*.LICENSE.txt",
)  # fmt: skip
FORMATS = {
    ".cff": "application/yaml",
    ".csv": "text/csv",
    ".html": "text/html",
    ".json": "application/json",
    ".md": "text/markdown",
    ".parquet": "application/vnd.apache.parquet",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".yaml": "application/yaml",
}
LONG_AGO = (
    1980,
    1,
    1,
    0,
    0,
    0,
)  # the time of every file: equal contents are equal archives


def contents(preset, root):
    """{name in the archive: path} of a preset's results, its config and all licences, sorted.

    root: the repository's folder. Raises InputError if the report is not made.
    """
    root = Path(root)
    results = root / "results" / preset
    for needed in ("report/index.html", "provenance.json"):
        if not (results / needed).is_file():
            allowed = "a preset whose report is made (make report)"
            raise InputError(results / needed, None, "no such file", allowed)
    found = {path.relative_to(results): path for one in RESULTS for path in results.glob(one)}
    found |= {path.relative_to(root): path for one in COMMON for path in root.glob(one)}
    own = root / "config" / f"{preset}.yaml"
    if own.is_file():
        found[own.relative_to(root)] = own
    # the metadata says each file's hash
    packed = (one for one in sorted(found.items()) if one[0].suffix != ".sha256")
    return {name.as_posix(): path for name, path in packed if path.is_file()}


def pack(preset, root, path):
    """Write the archive of a preset's results. Returns the names of the files in it."""
    files = {name: file.read_bytes() for name, file in contents(preset, root).items()}
    citation = documents.read(Path(root) / "CITATION.cff", "a citation file")
    provenance = documents.read_json(Path(root) / "results" / preset / "provenance.json")
    metadata = describe(files, provenance, citation)
    text = json.dumps(metadata, indent=1, ensure_ascii=False)
    with replaced(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, content in {METADATA: text.encode(), **files}.items():
            entry = zipfile.ZipInfo(name, LONG_AGO)
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return [METADATA, *files]


def describe(files, provenance, citation):
    """The metadata as plain Python.

    files: {name: bytes}; provenance: what provenance.record made; citation: CITATION.cff.
    """
    software = {f"#{name}": (name, number) for name, number in provenance["versions"].items()}
    vendored = [one for one in citation["references"] if "license" in one]
    version = provenance["commit"] or "unknown"
    licences = {citation["license"], *(one["license"] for one in vendored)}
    return {
        "@context": f"{SPECIFICATION}/context",
        "@graph": [
            {
                "@id": METADATA,
                "@type": "CreativeWork",
                "conformsTo": {"@id": SPECIFICATION},
                "about": {"@id": "./"},
            },
            {
                "@id": "./",
                "@type": "Dataset",
                "name": f"{citation['title']}: the results of the preset {provenance['preset']}",
                "description": _description(provenance, citation),
                "datePublished": provenance["date"],
                "license": {"@id": _licence(citation["license"])},
                "author": {"@id": "#authors"},
                "hasPart": [{"@id": name} for name in files],
                "mentions": [{"@id": "#run"}, *({"@id": _part(one)} for one in vendored)],
            },
            *(_file(name, content) for name, content in files.items()),
            {
                "@id": "#run",
                "@type": "CreateAction",
                "name": provenance["command"],
                "endTime": provenance["date"],
                "instrument": {"@id": "#finicky"},
                "object": [{"@id": name} for name in files if name.startswith("config/")],
                "result": {"@id": "./"},
            },
            {
                "@id": "#finicky",
                "@type": "SoftwareApplication",
                "name": citation["title"],
                "version": version + " with changes" * bool(provenance["dirty"]),
                "license": {"@id": _licence(citation["license"])},
                "author": {"@id": "#authors"},
                "softwareRequirements": [{"@id": one} for one in software],
            },
            {
                "@id": "#authors",
                "@type": "Organization",
                "name": ", ".join(one["name"] for one in citation["authors"]),
            },
            *(
                {"@id": key, "@type": "SoftwareApplication", "name": name, "version": number}
                for key, (name, number) in software.items()
            ),
            *(
                {
                    "@id": _part(one),
                    "@type": "SoftwareApplication",
                    "name": one["title"],
                    "version": one["version"],
                    "license": {"@id": _licence(one["license"])},
                    "description": one["notes"],
                }
                for one in vendored
            ),
            *(
                {"@id": _licence(name), "@type": "CreativeWork", "name": name}
                for name in sorted(licences)
            ),
        ],
    }


def _description(provenance, citation):
    runs, gaps = provenance["runs"]["total"], provenance["missing"]
    text = f"{citation['abstract']} {runs:,} trainings"
    text += f", {gaps:,} are missing" if gaps else ""
    return f"{text}. {' '.join(f'{one}.' for one in provenance['failures'])}".rstrip()


def _file(name, content):
    return {
        "@id": name,
        "@type": "File",
        "name": name,
        "contentSize": str(len(content)),
        "encodingFormat": FORMATS.get(Path(name).suffix, "text/plain"),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def _licence(name):
    return f"https://spdx.org/licenses/{name}"


def _part(reference):
    return f"#vendored-{reference['title']}"
