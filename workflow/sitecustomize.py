"""Python reads this file first in every process of a job, whose PYTHONPATH names this folder.

Ctrl-C ends a process without a traceback, also while it still imports.
"""

import sys


def _excepthook(kind, error, trace):
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _excepthook
