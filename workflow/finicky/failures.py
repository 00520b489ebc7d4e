"""What failed while a preset was made: which job, why in one line, and the log with the rest.

A job says at the end of its log that it is through, or why it failed. One that was killed cannot,
and that tells it; nor can one on a full disk, which is told by the disk.
"""

import errno
import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

# The rules that a report can do without some jobs of, as sentences name such a job.
KINDS = {
    "train": "the training of",
    "experiment": "the experiment",
    "figure": "the figure",
    "table": "the table",
}
VARIABLE = "FINICKY_LEFT_OUT"  # names the file that holds what a second pass leaves out
MARK = "failed: "
THROUGH = "finished"
# Reasons that no job can say itself.
KILLED, NEVER_STARTED = "killed, probably out of memory", "it never started"
NOT_KEPT = "Snakemake could not keep what it had finished; its message stands above"
UNSAID = KILLED, NEVER_STARTED, NOT_KEPT
NO_ROOM = "no room left on the disk"  # which all jobs would say
LEAST_ROOM = 2**20  # bytes; with less, hardly a job can write what it makes
LONGEST = 300  # characters of a reason


@dataclass(frozen=True)
class Failure:
    """A job that failed: its rule, its name there, why, and the path of its log."""

    rule: str
    name: str
    why: str
    log: str

    @property
    def job(self):
        """The job in words."""
        return f"{KINDS.get(self.rule, 'the step ' + self.rule)} {self.name}".rstrip()

    def __str__(self):
        return f"{self.job} failed: {self.why}; log: {self.log}"


def reason(error):
    """An exception in one line."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NO_ROOM
    kind = "" if isinstance(error, SystemExit) else f"{type(error).__name__}: "
    line = " ".join(f"{kind}{error}".split()).removesuffix(":")
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 3]}..."


def of(rule, wildcards, log):
    """The failure of a job, by its rule, its wildcards' values and what its log says."""
    return Failure(rule, " ".join(wildcards), _why(log), str(log))


def can_be_left_out(found):
    """Whether a report can do without all of these jobs, and there is room for it."""
    return all(one.rule in KINDS and one.why != NO_ROOM for one in found)


def unsaid(found, all_of_them=False):
    """What no job has said itself, as lines: one for each, or one for all if some found no room.
    all_of_them: none has said anything, or nobody heard it."""
    silent = [one for one in found if all_of_them or one.why in (*UNSAID, NO_ROOM)]
    if not any(one.why == NO_ROOM for one in found):
        return list(map(str, silent))
    jobs = "1 job" if len(silent) == 1 else f"{len(silent)} jobs"
    return [
        f"results: found {NO_ROOM} ({jobs} failed); allowed: some room, and then the same command "
        "again: what is finished is kept"
    ]


def room(folder):
    """Bytes that can be written to the disk on which a folder lies, or will lie."""
    there = next(path for path in (Path(folder), *Path(folder).absolute().parents) if path.exists())
    return shutil.disk_usage(there).free


def failed(log):
    """Whether a job's log says that it failed; one that was killed looks as if it were at work."""
    return _why(log) not in UNSAID


def _why(log):
    try:
        lines = Path(log).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        lines = None
    if lines and lines[-1].startswith(MARK):
        return lines[-1].removeprefix(MARK)
    if room(Path(log).parent) < LEAST_ROOM:
        return NO_ROOM
    if lines and lines[-1] == THROUGH:
        return NOT_KEPT
    return NEVER_STARTED if lines is None else KILLED


def read(path):
    """The failures in a file that `write` made; none without a path."""
    if not path:
        return []
    return [Failure(**one) for one in json.loads(Path(path).read_text(encoding="utf-8"))]


def write(path, found):
    """Keep failures in a file, in an order that does not depend on when they came."""
    found = [asdict(one) for one in sorted(found, key=str)]
    text = json.dumps(found, indent=1, ensure_ascii=False)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text + "\n", encoding="utf-8")


def unforced(words):
    """The arguments of a snakemake call without those that make anew what is finished."""
    kept, forces = [], False
    for word in words:
        forces = word in ("-R", "--forcerun") or (forces and not word.startswith("-"))
        if not forces and word not in ("-F", "--forceall", "-f", "--force"):
            kept.append(word)
    return kept
