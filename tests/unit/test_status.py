"""`make status`: a line for each preset, whatever is wrong with the others; and the times that it,
`make check` and README say.
"""

import importlib.util
import os
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from finicky import machine, progress
from finicky.durations import duration
from finicky.store import Store

ROOT = Path(__file__).parents[2]


def loaded(name):
    """A script as a module."""
    path = ROOT / f"workflow/scripts/{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


@pytest.fixture
def script(monkeypatch):
    """The script."""
    monkeypatch.chdir(ROOT)  # where it looks for the reference
    return loaded("status")


@pytest.fixture
def status(script, tmp_path, monkeypatch, capsys):
    """`status(presets)`: exit status, stdout and stderr in a folder with these presets, {name:
    text}, where a run takes a minute."""
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


def test_a_finished_preset_says_what_it_took(status, tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "unmade", lambda *of: [])
    for name, seconds in {"train/x": 30, "tables": 10}.items():
        file = Path(f"results/a/benchmarks/{name}.tsv")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"s\n{seconds}\n")
        os.utime(file, (1000 + seconds,) * 2)
    _, [line], _ = status({"a": preset("a")})
    assert line.endswith("; jobs at work for 30 s, 17 % beside training: tables 17 %")


# What README says that a preset takes, and the plan's figure for it.
SAID = {
    "config": r"took (\d+) minutes on two",
    "smoke": r"`smoke` takes about (\d+) minutes on two",
}


@pytest.mark.parametrize("name, said", SAID.items(), ids=list(SAID))
def test_readme_and_plan_agree_within_a_half(script, tmp_path, monkeypatch, name, said):
    """With nothing stored: what README says, a start and `make status` (Work), and `make check`."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8").replace("\n", " ")
    told = 60 * int(re.search(said, readme)[1])
    monkeypatch.setattr(script, "results_of", lambda config: tmp_path / "results")
    store = Store(tmp_path / "store")
    config, plan = script.planned(f"config/{name}.yaml")
    times, parts = script.times_of(config, store), script.content(config)
    jobs = progress.whole(plan.shards, *parts, times)
    work = progress.work(plan.subgrids, frozenset(), jobs, parts[0], times, 2)
    for guess in (progress.left(work), progress.makespan(jobs, 2)):
        assert told / 1.5 < guess < 1.5 * told


def test_readme_and_plan_agree_on_the_training_of_full(script):
    readme = (ROOT / "README.md").read_text(encoding="utf-8").replace("\n", " ")
    told = 3600 * int(re.search(r"about (\d+) core-hours of training", readme)[1])
    config, plan = script.planned("config/full.yaml")
    times = progress.first_guess(config, script.REFERENCES)
    assert told / 1.5 < sum(map(times.of_run, plan.subgrids)) < 1.5 * told


def test_check_lays_the_whole_out_on_more_cores(script, monkeypatch):
    """132 runs of a minute each, and jobs that take nothing but what SLURM adds."""
    monkeypatch.syspath_prepend(str(ROOT / "workflow/scripts"))
    config, plan = script.planned("config/smoke.yaml")
    longest = max(map(len, plan.shards.values()))
    times = SimpleNamespace(
        of_run=lambda run: 60.0, of_job=lambda name: 0.0, measured={"experiments/adam"}
    )
    first, head, *rows, least, guessed = loaded("check").on_many_cores(config, plan, times)
    count = len(progress.whole(plan.shards, *script.content(config), times))
    assert first.endswith(f": {count} jobs, or {count} of SLURM")
    assert head.split() == ["cores", "one", "machine", "SLURM"]
    overhead = duration(132 * 60 + count * progress.ON_SLURM)
    assert rows[0].split() == ["1", "2", "h", "12", "min", *overhead.split()]
    assert [row.split()[0] for row in rows] == ["1", "8", "64", "512"]
    assert rows[3].split()[1:3] == [f"{longest}", "min"]
    assert f", {longest} min" in least
    assert "40 of 41 experiments never ran here" in guessed


def test_check_goes_by_the_site_of_the_folder(script, monkeypatch, tmp_path):
    """What runs alone takes as many cores as the site says: nothing else runs beside it."""
    monkeypatch.syspath_prepend(str(ROOT / "workflow/scripts"))
    config, plan = script.planned("config/smoke.yaml")
    times = SimpleNamespace(of_run=lambda run: 0.0, of_job=lambda name: 600.0, measured=set())
    monkeypatch.chdir(tmp_path)

    def slurm(cores):
        (tmp_path / "site.yaml").write_text(f"cores: {cores}")
        return loaded("check").on_many_cores(config, plan, times)

    few, many = (list(slurm(cores))[3].split() for cores in (1, 8))
    assert few[0] == many[0] == "8"
    assert few != many


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
    script = loaded("check")
    monkeypatch.delitem(sys.modules, "status")
    monkeypatch.setattr(script, "state", lambda config, plan, store, times: "the state")
    monkeypatch.setattr(script, "on_many_cores", lambda config, plan, times: ["the whole"])
    monkeypatch.setattr(script, "times_of", lambda config, store: None)
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
