"""Make the example page that README links: `make example PRESET=seeds-1000`.

Not a rule's script: python workflow/scripts/example.py PRESET. The preset's measurements are those
that are committed (`make reference`).
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from finicky import example  # noqa: E402
from finicky.errors import InputError  # noqa: E402
from finicky.page import build  # noqa: E402
from finicky.store import replaced  # noqa: E402


def main(preset):
    """Write results/reference/page.html; returns its path."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = example.arguments(preset, ".", folder)
    path = example.REFERENCE / "page.html"
    with replaced(path) as temporary:
        Path(temporary).write_text(build.render(**arguments, example=True), encoding="utf-8")
    return path


if __name__ == "__main__":
    try:
        page = main(*sys.argv[1:])
    except InputError as error:
        sys.exit(str(error))
    print(f"The example: {page} ({page.stat().st_size:,} bytes)")
