"""`make status`: a line for each preset, whatever is wrong with the others; and `make check`."""

import importlib.util
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from finicky import machine

ROOT = Path(__file__).parents[2]


@pytest.fixture
def status(tmp_path, monkeypatch, capsys):
    """`status(presets)`: exit status, stdout and stderr in a folder with these presets, {name:
    text}, where a run takes a minute."""
    path = ROOT / "workflow/scripts/status.py"
    spec = importlib.util.spec_from_file_location("status", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    minutes = SimpleNamespace(of_run=lambda run: 60.0, of_job=lambda name: 0.0, memory=1.5)
    monkeypatch.setattr(script.progress, "times", lambda *of: minutes)
    monkeypatch.chdir(tmp_path)
    Path("config").mkdir()
    shutil.copy(ROOT / "config/config.yaml", "config")

    def status(presets):
        for name, text in presets.items():
            Path(f"config/{name}.yaml").write_text(text, encoding="utf-8")
        code = script.main([f"config/{name}.yaml" for name in presets])
        said = capsys.readouterr()
        return code, said.out.splitlines(), said.err.splitlines()

    return status


def preset(name, seeds=1):
    return f"preset: {name}\nseeds: {seeds}\ngrid: {{degradation-batch-norm: {{}}}}\n"


@pytest.mark.parametrize(
    "bad, said",
    [
        ("preset: b\nseeds: 0\n", "config/b.yaml: seeds: found 0"),
        ("preset: b\nseeds: 010\n", "config/b.yaml: line 2: seeds: found 010"),
        ("preset: b\ngrid: [\n", "config/b.yaml: line 3: found what is no YAML"),
        ("- b\n", "config/b.yaml: found ['b']; allowed: keys with values"),
        ("", "config/b.yaml: preset: found none; allowed: 'b', the name of the file"),
        ("preset: a\n", "config/b.yaml: preset: found 'a'"),
    ],
)
def test_a_bad_preset_hides_no_other(status, bad, said):
    code, lines, [error] = status({"a": preset("a"), "b": bad, "c": preset("c", seeds=3)})
    assert code == 1 and error.startswith(said)
    assert [line.partition(",")[0] for line in lines] == [
        "a: 0 of 1 runs stored", "c: 0 of 3 runs stored",
    ]  # fmt: skip


@pytest.mark.parametrize("cores, left", [
    (1, "6 missing, about 6 min left on 1 core, up to 1.5 GiB of memory"),
    (3, "6 missing, about 2 min left on 3 cores, up to 4.5 GiB of memory"),
])  # fmt: skip
def test_time_is_for_the_cores_that_may_be_used(status, monkeypatch, cores, left):
    monkeypatch.setattr(machine, "cores", lambda: cores)
    code, [line], errors = status({"a": preset("a", seeds=6)})
    assert (code, errors) == (0, []) and line.endswith(left)


def test_failures_are_counted(status):
    said = {"a": "failed: too tired", "b": "still at it"}
    logs = Path("results/a/logs/experiments")
    logs.mkdir(parents=True)
    for name, text in zip(("adam", "losses"), said.values(), strict=True):
        (logs / f"{name}.log").write_text(f"a line\n{text}\n")
    _, [line], _ = status({"a": preset("a")})
    assert ", 1 job failed, " in line


# ---------------------------------------------------------------- make check

OWN = """preset: mine
grid:
  leaky: {dataset: [mnist], depth: [2], activation: [relu, leaky_relu], init: [he],
          optimizer: [sgd], seeds: 5, images: 1000, epochs: 1}
claims:
  - id: leaky-helps
    says: Leaky ReLU is ahead of ReLU.
    compare: {axis: activation, a: leaky_relu, b: relu}
    margin: 0.5
"""


@pytest.fixture
def check(tmp_path, monkeypatch, capsys):
    """`check(text)`: exit status, stdout and stderr of a preset `mine`."""
    monkeypatch.syspath_prepend(ROOT / "workflow/scripts")
    path = ROOT / "workflow/scripts/check.py"
    spec = importlib.util.spec_from_file_location("check", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.delitem(sys.modules, "status")
    monkeypatch.setattr(script, "state", lambda config, plan, store: "the state")
    (tmp_path / "config").mkdir()
    for name in ("config/config.yaml", "config/claims.yaml", "report"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)

    def check(text):
        Path("config/mine.yaml").write_text(text, encoding="utf-8")
        code = script.main("config/mine.yaml")
        said = capsys.readouterr()
        return code, said.out.splitlines(), said.err.splitlines()

    return check


def test_experiments_for_claims_that_are_not_judged_are_pointed_out(check):
    hint = "; only claims of the chapter read them, and `experiments: none` leaves them out"
    code, lines, errors = check(OWN)
    (line,) = [line for line in lines if line.startswith("experiments: ")]
    assert (code, errors) == (0, []) and line.endswith(hint) and "grid, " in line
    assert any(line.startswith("  leaky-helps: 1 setting, 5 seeds each") for line in lines)
    for more, said in (("experiments: none\n", "none"), ("chapter: true\n", "weight-decay")):
        code, lines, _ = check(OWN + more)
        (line,) = [line for line in lines if line.startswith("experiments: ")]
        assert code == 0 and said in line and not line.endswith(hint)
