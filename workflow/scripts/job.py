"""What every script shares: its log, and one line for whatever goes wrong."""

import signal
import sys
import traceback
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

from finicky import own_data
from finicky.errors import InputError
from finicky.failures import MARK, Failure, reason


@contextmanager
def job(snakemake):
    """Run a script's body with its output in the rule's log, and the config's data sets known.

    A failure ends the job with one line on the terminal. The log ends with its reason; above that
    stands the traceback, unless the input was bad, which one line says.
    """
    path = Path(snakemake.log[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, _stop)
    own_data.declare(snakemake.config.get("datasets", {}))
    with open(path, "w", buffering=1, encoding="utf-8") as log, redirect_stdout(log):
        try:
            yield
        except BaseException as error:
            bad_input = isinstance(error, InputError)
            if not bad_input:
                traceback.print_exc(file=log)
            why = str(error) if bad_input else reason(error)
            print(f"{MARK}{why}")
            if not isinstance(error, KeyboardInterrupt):
                name = " ".join(snakemake.wildcards)
                failure = Failure(snakemake.rule, name, why, str(path))
                print(error if bad_input else failure, file=sys.stderr)
            sys.exit(1)


def _stop(signum, frame):
    sys.exit("stopped by SIGTERM, which clusters send at a job's time limit")
