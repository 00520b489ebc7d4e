"""Pack a preset's results into one archive to cite: `make archive PRESET=...`.

Not a rule's script: python workflow/scripts/archive.py PRESET.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from finicky import crate  # noqa: E402
from finicky.errors import InputError  # noqa: E402

try:
    (preset,) = sys.argv[1:]
    path = Path(f"results/{preset}/finicky-{preset}.zip")
    names = crate.pack(preset, ".", path)
except InputError as error:
    sys.exit(str(error))
print(f"The archive: {path} ({len(names)} files, {path.stat().st_size:,} bytes)")
