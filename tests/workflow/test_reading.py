"""Config files and texts are read alike everywhere: by Snakemake's jobs, in any locale."""

import json
import os


def test_a_number_in_another_spelling_is_the_same_run(tiny):
    """1e-2 is no text, and 0.01 is what is stored already."""
    before = tiny.store()
    tiny.configure("spelt")
    tiny.edit(
        "config/spelt.yaml",
        lambda text: text.replace("    optimizer:", "    learning_rate: [1e-2]\n    optimizer:"),
    )
    trained, _ = tiny.train("spelt")
    assert trained == {} and tiny.store() == before


def test_a_locale_that_knows_ascii_alone_changes_nothing(tiny):
    """As a scheduler's jobs get it, or a minimal container; Latin-1 knows little more."""
    poor = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = tiny.call(tiny.command("tiny"), env=os.environ | poor)
    assert done.returncode == 0, done.stdout
    claims = (tiny.folder / "results/tiny/report/claims.json").read_text(encoding="utf-8")
    page = (tiny.folder / "results/tiny/report/index.html").read_text(encoding="utf-8")
    assert not claims.isascii() and json.loads(claims) and not page.isascii()
