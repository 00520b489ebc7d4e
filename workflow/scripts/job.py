"""What every script shares: its log, and one line for whatever goes wrong."""

import signal
import sys
import traceback
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path

from finicky import own_data
from finicky.errors import Damaged, InputError
from finicky.failures import MARK, NO_ROOM, THROUGH, Failure, reason


@contextmanager
def job(snakemake):
    """Run a script's body with its output in the rule's log, which ends with how it went, and the
    config's data sets known.

    A failure ends the job with one line on the terminal. The log ends with its reason; above that
    stands the traceback, unless the input was bad, which one line says. A damaged file of results
    is removed, so that it is made again. That the disk is full, all jobs would say: the workflow
    says it once.
    """
    path = Path(snakemake.log[0])
    signal.signal(signal.SIGTERM, _stop)
    own_data.declare(snakemake.config.get("datasets", {}))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "w", buffering=1, encoding="utf-8") as log, redirect_stdout(log):
            try:
                yield
                print(THROUGH)
            except BaseException as error:
                with suppress(OSError):  # a full disk takes no log either
                    if not isinstance(error, InputError):
                        traceback.print_exc(file=log)
                    print(f"{MARK}{_why(error)}")
                raise
    except BaseException as error:
        if isinstance(error, Damaged):
            error.remove()
        why = _why(error)
        if not isinstance(error, KeyboardInterrupt) and why != NO_ROOM:
            failure = Failure(snakemake.rule, " ".join(snakemake.wildcards), why, str(path))
            print(error if isinstance(error, InputError) else failure, file=sys.stderr)
        sys.exit(1)


def _why(error):
    return str(error) if isinstance(error, InputError) else reason(error)


def _stop(signum, frame):
    sys.exit("stopped by SIGTERM, which clusters send at a job's time limit")
