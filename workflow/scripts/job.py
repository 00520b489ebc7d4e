"""What every script shares: its log, and one line for bad input."""

import sys
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

from finicky.errors import InputError


@contextmanager
def job(snakemake):
    """Run a script's body with its output in the rule's log.

    Bad input ends the job with one line, in the log and on the terminal; any other error leaves its
    traceback in the log.
    """
    Path(snakemake.log[0]).parent.mkdir(parents=True, exist_ok=True)
    with open(snakemake.log[0], "w", buffering=1) as log, redirect_stdout(log):
        try:
            yield
        except InputError as error:
            print(error)
            print(error, file=sys.stderr)
            sys.exit(1)
        except Exception:
            import traceback

            traceback.print_exc(file=log)
            raise
