import subprocess

from snakemake import exceptions

from scripts import unlock_if_dead


# Snakemake's message for a locked folder tells to unlock it, even under a run that is at work.
def refuse_lock():
    print(unlock_if_dead.refusal(), file=sys.stderr)
    sys.exit(1)


exceptions.LockException = refuse_lock


# A job that fails costs no more than what depends on it. Snakemake goes on with all others
# (`keep-going` in the default profile). When nothing is left to do, it is called once more, without
# what failed, and makes the page of what there is; if that call fails at something new, once more
# again. The lock stays this call's, and so does the exit status, which tells that something failed.
# The next `make report` tries everything again.
def failed_jobs():
    """What this pass tried in vain; nothing if it was stopped before it had tried everything."""
    scheduler = workflow.scheduler
    if scheduler.running or scheduler.open_jobs:
        return []
    groups = [job if job.is_group() else [job] for job in scheduler.failed]
    return [
        failures.of(job.rule.name, job.wildcards, job.log[0])
        for group in groups
        for job in group
        if not all(map(os.path.exists, job.output))
    ]


def make_without(failed):
    """Call Snakemake again as it was called; whether it made the page without these jobs."""
    path = f"{HERE}/logs/left-out.json"  # of no module, whose onerror is not called
    failures.write(path, failed)
    interpreter = shlex.split(sys.executable)
    words = ["-m", "snakemake", "--nolock", *failures.unforced(sys.argv[1:])]
    done = subprocess.run(
        [*interpreter, *words], env={**os.environ, failures.VARIABLE: path}
    )
    return done.returncode == 0


onerror:
    if LINE:
        LINE.stop()
    failed = failed_jobs()
    # The others have said it themselves; a cluster's, where nobody looks.
    for line in failures.unsaid(failed, all_of_them=not workflow.local_exec):
        print(line, file=sys.stderr)
    page_wanted = set(workflow.dag_settings.targets) <= {"all"}
    if failed and page_wanted and failures.can_be_left_out(failed):
        if make_without(LEFT_OUT + failed):
            print(
                f"The page, without what failed: {HERE}/report/index.html",
                file=sys.stderr,
            )
