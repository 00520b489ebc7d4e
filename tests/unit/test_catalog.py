"""What the Snakemake workflow catalog needs to show this workflow with its usage."""

from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
USAGE = {"mandatory-flags", "software-stack-deployment"}
DEPLOYMENT = {"conda", "apptainer", "apptainer+conda", "report"}


def test_the_catalogs_file_has_its_keys():
    """Those of the catalog's page on adding workflows; a key that it does not know is ignored."""
    text = (ROOT / ".snakemake-workflow-catalog.yml").read_text(encoding="utf-8")
    document = yaml.safe_load(text)
    assert set(document) == {"usage"} and set(document["usage"]) == USAGE
    flags = document["usage"]["mandatory-flags"]
    assert set(flags) == {"desc", "flags"} and flags["desc"]
    assert isinstance(flags["flags"], list) and all(
        flag.startswith("--") for flag in flags["flags"]
    )
    deployment = document["usage"]["software-stack-deployment"]
    assert set(deployment) == DEPLOYMENT
    assert all(isinstance(value, bool) for value in deployment.values())


def test_it_promises_only_what_the_rules_have():
    """Conda, as every rule names an environment; no container and no `report(...)`."""
    text = (ROOT / ".snakemake-workflow-catalog.yml").read_text(encoding="utf-8")
    deployment = yaml.safe_load(text)["usage"]["software-stack-deployment"]
    rules = [path.read_text(encoding="utf-8") for path in ROOT.glob("workflow/rules/*.smk")]
    assert deployment["conda"] == any("conda:" in rule for rule in rules)
    assert deployment["apptainer"] == any("container:" in rule for rule in rules)
    assert deployment["report"] == any("report(" in rule for rule in rules)


def test_the_layout_is_the_catalogs():
    for path in ("workflow/Snakefile", "config/README.md", "README.md", "LICENSE"):
        assert (ROOT / path).is_file(), path
    assert list(ROOT.glob("workflow/rules/*.smk"))
    readme = (ROOT / "README.md").read_text(encoding="utf-8").lower()
    assert "snakemake" in readme and "workflow" in readme
