"""Disks that are full or damage a file: one line says so, what is finished stays, and once there is
room again the same command completes the work."""

import os
import re
import shutil
import subprocess

import pandas as pd
import pytest

# Fills the disk to the last page.
FILL = """
import contextlib

with contextlib.suppress(OSError), open("results/filler", "wb", buffering=0) as filler:
    while True:
        filler.write(bytes(4096))
"""
# What is made when the disk is full: the script, and the line before which that happens.
FULL = {
    "the second run": ("train.py", '                    print(f"{run.id} {record'),
    "the second table": ("tables.py", '        print(f"{name}: {table.num_rows} rows")\n'),
    "the page": ("page.py", "    with replaced(snakemake.output[0])"),
}
# Files below results/tiny/ that other jobs read.
DAMAGED = ["report/claims.json", "provenance.json"]
CHANGING = ["seconds", "finished", "fused"]


def configure(project):
    """Two runs more than are stored, one after the other."""
    project.configure(seeds=3, fuse=1)


def read_tables(project):
    """The tables of the preset, without time and company."""
    files = sorted((project.folder / "results/tiny/tables").glob("*.parquet"))
    tables = {file.stem: pd.read_parquet(file) for file in files}
    return {name: table.drop(columns=CHANGING, errors="ignore") for name, table in tables.items()}


@pytest.fixture(scope="module")
def whole(trained, tmp_path_factory):
    """The project with a page, made without a fault."""
    project = trained.copy(tmp_path_factory.mktemp("whole") / "project")
    configure(project)
    project.snakemake()
    return project


@pytest.fixture
def on_a_small_disk(tmp_path):
    """`on_a_small_disk(project)`: a copy of it with its results on a disk of 16 MB."""
    results, aside = tmp_path / "project/results", tmp_path / "aside"

    def on_a_small_disk(project):
        project = project.copy(tmp_path / "project")
        configure(project)
        results.rename(aside)
        results.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(results)]
        if os.geteuid() or subprocess.run(mount, stderr=subprocess.DEVNULL).returncode:
            pytest.skip("only root may mount a small disk")
        shutil.copytree(aside, results, symlinks=True, dirs_exist_ok=True)
        return project

    yield on_a_small_disk
    if results.is_mount():
        subprocess.run(["umount", "--lazy", str(results)], check=True)


@pytest.mark.parametrize("script, line", FULL.values(), ids=list(FULL))
def test_a_disk_is_full_in_the_middle(on_a_small_disk, trained, whole, script, line):
    """Two runs are to be trained, or the page alone is to be made."""
    small = on_a_small_disk(whole if script == "page.py" else trained)
    (small.folder / "results/tiny/report/index.html").unlink(missing_ok=True)
    path = f"workflow/scripts/{script}"
    good, stored = (small.folder / path).read_text(encoding="utf-8"), small.store()
    indent = re.match(" *", line)[0]
    small.write("fill.py", FILL)
    fill = f"{indent}__import__('runpy').run_path('fill.py')\n"
    small.edit(path, lambda text: text.replace(line, fill + line, 1))
    done = small.call(small.command("tiny"))
    assert done.returncode == 1 and "Traceback" not in done.stdout
    assert "FileNotFoundError" not in done.stdout and "killed" not in done.stdout
    [told] = re.findall("^results: found no room left on the disk.*", done.stdout, re.MULTILINE)
    assert re.search(  # a job beside it fails as well
        r" \((1 job|2 jobs) failed\); allowed: some room, and then the same command again", told
    )
    kept = small.store()
    assert stored.items() <= kept.items() and len(kept) == (5 if script == "train.py" else 6)
    assert list(small.folder.glob("results/**/.*.*.????????")) == []

    (small.folder / "results/filler").unlink()
    small.write(path, good)
    small.snakemake()
    assert kept.items() <= small.store().items()
    for name, table in read_tables(whole).items():
        pd.testing.assert_frame_equal(read_tables(small)[name], table, check_exact=True)
    assert (small.folder / "results/tiny/report/index.html").stat().st_size > 100_000


def test_nothing_starts_on_a_full_disk(on_a_small_disk, trained):
    small = on_a_small_disk(trained)
    small.write("fill.py", FILL)
    small.call(["python3", "fill.py"])
    done = small.call(small.command("tiny"))
    assert done.returncode == 1
    said = "results: found 0 bytes of room on its disk; allowed: a megabyte at least"
    assert done.stdout.splitlines()[-1] == said and len(done.stdout.splitlines()) < 4


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_named_and_made_again(whole, tmp_path, name):
    project = whole.copy(tmp_path / "project")
    path = f"results/tiny/{name}"
    before, content = read_tables(project), (project.folder / path).read_bytes()
    (project.folder / path).write_bytes(content[: len(content) // 2])
    (project.folder / "results/tiny/report/index.html").unlink()
    done = project.call(project.command("tiny"))
    assert done.returncode == 1 and "Traceback" not in done.stdout
    assert len(re.findall(rf"^{path}: found a damaged file: .*again$", done.stdout, re.M)) == 1
    project.snakemake()
    assert (project.folder / path).stat().st_size == len(content)
    for table, rows in read_tables(project).items():
        pd.testing.assert_frame_equal(rows, before[table], check_exact=True)
