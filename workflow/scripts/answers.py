"""Print what was found about one's own claims, in a line each.

Not a rule's script: python workflow/scripts/answers.py results/mine/report/claims.json.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from finicky.documents import read_json  # noqa: E402
from finicky.evidence.words import finding  # noqa: E402

for claim in read_json(sys.argv[1]):
    if claim["line"] is None:
        print(f"{claim['id']}: {finding(claim)}")
