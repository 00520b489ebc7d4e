"""Data sets of one's own: a config declares their files, which stay where they are.

    datasets:
      digits:
        npz: {path: my/digits.npz, sha256: ...}
        shape: [8, 8]
        classes: 10
        images: {train: 1500, test: 297}

Either one NPZ with the arrays of PARTS, or `idx`, a mapping of PARTS to four IDX files. Images are
unsigned bytes [images, *shape], labels whole numbers from 0. `declare` makes a config's known to
this process.
"""

import hashlib
import io
import math
from pathlib import Path

import numpy as np

from finicky.errors import InputError

PARTS = ("train_images", "train_labels", "test_images", "test_labels")

_declared = {}


def declare(datasets):
    """Make these data sets known, {name: as the config has it}, instead of those before."""
    _declared.clear()
    _declared.update(datasets)


def names():
    """The names of the declared data sets."""
    return list(_declared)


def described(name):
    """{"shape", "classes", "train", "test" (numbers of images)} of a declared data set."""
    one = _declared[name]
    return {"shape": one["shape"], "classes": one["classes"]} | one["images"]


def files(declaration):
    """The files of a declaration: {the key that names it: {"path", "sha256"}}."""
    if "npz" in declaration:
        return {"npz": declaration["npz"]}
    return {f"idx.{part}": declaration["idx"][part] for part in PARTS}


def paths(name):
    """The paths of a declared data set's files."""
    return [Path(one["path"]) for one in files(_declared[name]).values()]


def hashes(name):
    """{file: SHA-256} of a declared data set, as they enter a run's identity."""
    return {key: one["sha256"] for key, one in files(_declared[name]).items()}


def load(name):
    """The four arrays of a declared data set, in the order of PARTS: images uint8 [N, pixels],
    labels uint8 [N].

    Raises InputError if a file is missing or is not what its declaration says: another hash, shape
    or type, a label without a class, images that are all of one grey.
    """
    declaration = _declared[name]
    contents = {key: _read(one) for key, one in files(declaration).items()}
    if "npz" in declaration:
        arrays = _from_npz(contents["npz"], declaration["npz"]["path"])
    else:
        given = declaration["idx"]
        arrays = {part: _from_idx(contents[f"idx.{part}"], given[part]["path"]) for part in PARTS}
    for part in PARTS:
        file = declaration.get("npz") or declaration["idx"][part]
        _check(arrays[part], part, declaration, file["path"])
    return tuple(_flat(arrays[part]) for part in PARTS)


def normalisation(images):
    """(mean, deviation) of training images' pixels / 255, to four decimals as others quote them."""
    counts = np.zeros(256, np.int64)
    for some in np.array_split(images, max(1, images.size // 2**24)):
        counts += np.bincount(some.reshape(-1), minlength=256)
    values = np.arange(256) / 255
    mean = float(counts @ values / counts.sum())
    deviation = math.sqrt(counts @ (values - mean) ** 2 / counts.sum())
    return round(mean, 4), round(deviation, 4)


def _read(file):
    """The content of a file, if it has the declared hash."""
    try:
        content = Path(file["path"]).read_bytes()
    except OSError as error:
        raise InputError(file["path"], None, error.strerror, "a file that can be read") from None
    digest = hashlib.sha256(content).hexdigest()
    if digest != file["sha256"]:
        raise InputError(file["path"], "SHA-256", digest, file["sha256"])
    return content


def _from_npz(content, path):
    """The arrays in an NPZ file by name."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files if name in PARTS}
    # NumPy and zipfile fail in many ways: no archive, a broken or encrypted one, objects in it.
    except Exception as error:
        found = f"no NPZ file of plain arrays ({' '.join(str(error).split())[:100]})"
        raise InputError(path, None, found, f"arrays {', '.join(PARTS)}") from None
    missing = [part for part in PARTS if part not in arrays]
    if missing:
        raise InputError(path, None, f"no array {missing[0]!r}", ", ".join(PARTS))
    return arrays


def _from_idx(content, path):
    """The array in an IDX file of unsigned bytes: two zero bytes, 8, the rank, big-endian sizes."""
    rank = content[3] if len(content) > 3 else 0
    start = 4 + 4 * rank
    sizes = np.frombuffer(content[4:start], ">u4").tolist() if len(content) >= start else []
    if content[:3] != b"\0\0\x08" or not rank or math.prod(sizes) != len(content) - start:
        raise InputError(path, None, "no whole IDX file", "an IDX file of unsigned bytes")
    return np.frombuffer(content, np.uint8, offset=start).reshape(sizes)


def _check(array, part, declaration, path):
    """Raise InputError unless an array has the declared shape, type and labels."""
    split, kind = part.split("_")
    count, classes = declaration["images"][split], declaration["classes"]
    expected = (count, *declaration["shape"]) if kind == "images" else (count,)
    if array.shape != expected:
        raise InputError(path, part, f"the shape {_by(array.shape)}", _by(expected))
    if kind == "images":
        if array.dtype != np.uint8:
            raise InputError(path, part, f"numbers of the type {array.dtype}", "uint8")
        if part == "train_images" and normalisation(array)[1] == 0:
            raise InputError(path, part, "images that are all of one grey", "images that differ")
        return
    if array.dtype.kind not in "iu":
        raise InputError(path, part, f"numbers of the type {array.dtype}", "whole numbers")
    for label in (int(array.min()), int(array.max())):
        if not 0 <= label < classes:
            raise InputError(path, part, f"the label {label}", f"0 to {classes - 1}")


def _flat(array):
    """Images as [N, pixels], labels as they are; a copy that may be written to."""
    return np.array(array if array.ndim == 1 else array.reshape(len(array), -1), np.uint8)


def _by(shape):
    return " x ".join(map(str, shape))
