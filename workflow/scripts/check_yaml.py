"""Say in one line, with file and line, what is no YAML in a preset's config files.

Not a rule's script: `make report` calls it before Snakemake, which reads the same files first thing
and says only that one of them is bad. All else that a config can have wrong, the workflow says.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from finicky import documents  # noqa: E402
from finicky.errors import InputError  # noqa: E402

try:
    for file in ["config/config.yaml", *sys.argv[1:]]:
        documents.check_against(documents.read(file, "a config file"), {"type": "object"}, file)
except InputError as error:
    sys.exit(str(error))
