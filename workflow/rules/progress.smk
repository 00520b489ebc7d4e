import logging
import pathlib

from snakemake.logging import logger
from snakemake.settings.enums import Quietness

# How far a call is: announced at its start, then shown by one line beside the jobs (the library's
# `progress`), which learns from Snakemake what is to be done, is done, and runs.
LINE = None


def job_name(job):
    """A job as its benchmark is called, or as its rule with its wildcards."""
    if job.benchmark:
        return os.path.relpath(
            job.benchmark, placed(f"{HERE}/benchmarks")
        ).removesuffix(".tsv")
    return "/".join([job.rule.name, *job.wildcards])


def jobs_to_do():
    return [job for job in list(workflow.dag.needrun_jobs(False)) if not job.rule.norun]


def jobs_now():
    """Names of the jobs that are done, and of those that run."""
    scheduled = list(workflow.scheduler.running)
    at_work = {job for one in scheduled for job in (one if one.is_group() else [one])}
    done = [job for job in jobs_to_do() if workflow.dag.finished(job)]
    running = [job for job in jobs_to_do() if job in at_work]
    return [list(map(job_name, jobs)) for jobs in (done, running)]


def unasked(record):
    """Whether Snakemake says what the line says better."""
    said = str(record.msg)
    return said.startswith(("Select jobs to execute", "Execute "))


def let_through(record):
    """A filter of Snakemake's own messages, before each of which the line makes room."""
    if unasked(record):
        return False
    LINE.clear()
    return True


def all_the_work():
    """What this call is to do, with the seconds that it should take."""
    kept, names = store.Store(placed(STORE)), list(map(job_name, jobs_to_do()))
    times = progress.times(config, kept, pathlib.Path(placed(HERE)), PROVENANCES)
    slots = workflow.cores if workflow.local_exec else min(workflow.nodes, len(names))
    return progress.work(PLAN.subgrids, kept.ids(), names, EXPERIMENTS, times, slots)


def begin(work):
    """Start the line, in place of Snakemake's own."""
    global LINE
    planned = [run.id for run in PLAN.subgrids]
    LINE = progress.Line(planned, work, store.Store(placed(STORE)), sys.stderr)
    for handler in logger.handlers:
        if not isinstance(handler, logging.FileHandler):  # the log of a call has it all
            handler.addFilter(let_through)
    LINE.start(jobs_now)


# A card is missed only where jobs will run: a cluster's front may have none, a dry run needs none.
onstart:
    if workflow.local_exec and any(
        job.resources.get("gpu") for job in workflow.dag.needrun_jobs()
    ):
        try:
            presets.check_card(DEVICE)
        except InputError as error:
            print(error, file=sys.stderr)
            sys.exit(1)
    # Each look for jobs that can start sets a timer for another one, and so does the end of each job:
    # with every job there is one look more a second, in the end a core's whole time. Only a limit on
    # how many start at once needs these timers.
    workflow.scheduler.job_rate_limiter = None
    # Snakemake fails a job with an input that is dated after its output.
    store.date_now(
        {f for job in workflow.dag.jobs for f in (*job.input, *job.output)}
    )
    work = all_the_work()
    if not LEFT_OUT:
        for line in progress.announcement(PLAN.subgrids, work, placed(STORE)):
            print(line, file=sys.stderr)
    if Quietness.PROGRESS in workflow.output_settings.quiet:
        begin(work)


onsuccess:
    if LINE:
        LINE.stop()
