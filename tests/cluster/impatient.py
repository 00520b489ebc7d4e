"""Snakemake, whose plugin for SLURM asks for its jobs every second. By itself it waits ten seconds
longer each time that none has ended, without an option for it: most of the time of a short job.
"""

from snakemake.cli import main
from snakemake_executor_plugin_slurm import Executor

Executor.next_seconds_between_status_checks = property(lambda self: 1, lambda self, seconds: None)

if __name__ == "__main__":
    main()
