"""A real SLURM on one machine, for the time of a test: munged, slurmctld and slurmd, no systemd and
no accounting database. It wants root, and the packages slurm-wlm and munge of Debian or Ubuntu.

Run as a script, it starts one and says in one line why it cannot, or nothing.
"""

import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil

COMPILED_IN = Path("/etc/slurm/slurm.conf")  # where SLURM's commands look
PATIENCE = 60  # seconds after which something will not happen any more
SBIN = f"{os.environ['PATH']}:/usr/sbin:/sbin"
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel")

# No cgroups, so that it works in containers. `squeue` shows ended jobs for MinJobAge, in place of a
# database. The GPU is /dev/null: SLURM counts it and asks no more of it.
CONF = """\
ClusterName=onenode
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmdPort={port_of_node}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
MpiDefault=none
SwitchType=switch/none
AccountingStorageType=accounting_storage/none
MinJobAge=3600
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
SlurmctldTimeout=30
SlurmdTimeout=60
KillWait=2
OverTimeLimit=0
ReturnToService=2
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} Gres=gpu:fake:1 State=UNKNOWN
PartitionName=cpu Nodes={host} Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes={host} Default=NO MaxTime=INFINITE State=UP
"""


def lacking():
    """What is lacking here, in one line; nothing if all is there."""
    missing = [name for name in PROGRAMS if not shutil.which(name, path=SBIN)]
    if missing:
        return f"The cluster tests need {', '.join(missing)}: apt-get install slurm-wlm munge"
    if os.geteuid() != 0:
        return "The cluster tests need root, who alone starts SLURM's daemons"
    if COMPILED_IN.exists():
        return f"The cluster tests need a machine without a SLURM: here is {COMPILED_IN}"
    if not importlib.util.find_spec("snakemake_executor_plugin_slurm"):
        return "The cluster tests need Snakemake's plugin for SLURM, of requirements.lock: make env"
    return ""


def trouble():
    """What is lacking here or keeps SLURM from starting, in one line; nothing if it starts."""
    if reason := lacking():
        return reason
    with tempfile.TemporaryDirectory() as folder:
        try:
            with OneNode(Path(folder) / "slurm"):
                return ""
        except subprocess.CalledProcessError as error:
            said = f"{error.cmd[0]}: {error.stderr}"
        except (subprocess.TimeoutExpired, AssertionError, OSError) as error:
            said = str(error)
    return f"SLURM does not start here: {' '.join(said.split())}"


class OneNode:
    """The cluster, with its files below a folder; partitions `cpu` and `gpu` share its node."""

    def __init__(self, folder, cpus=4, port=16817):
        self.folder, self.cpus, self.port = Path(folder), cpus, port
        self.host = socket.gethostname().partition(".")[0]
        self.environment = os.environ | {
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            "PATH": SBIN,
        }

    def __enter__(self):
        for name in ("state", "spool"):
            (self.folder / name).mkdir(parents=True)
        self.folder.chmod(0o755)
        (self.folder / "state").chmod(0o700)
        conf = CONF.format(
            host=self.host,
            folder=self.folder,
            port=self.port,
            port_of_node=self.port + 1,
            cpus=self.cpus,
            memory=psutil.virtual_memory().total // 2**20,
        )
        (self.folder / "slurm.conf").write_text(conf, encoding="utf-8")
        gpu = f"NodeName={self.host} Name=gpu Type=fake File=/dev/null\n"
        (self.folder / "gres.conf").write_text(gpu, encoding="utf-8")
        # Snakemake's jobs drop SLURM_CONF before they call srun.
        COMPILED_IN.parent.mkdir(exist_ok=True)
        COMPILED_IN.unlink(missing_ok=True)  # a link of a cluster that is gone
        COMPILED_IN.symlink_to(self.folder / "slurm.conf")
        try:
            self._start_munged()
            self.command("slurmctld")
            self.start_node()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        with suppress(subprocess.SubprocessError):
            self.cancel()
        self.kill_node()
        for name in ("slurmctld", "munged"):
            for process in self._processes(name):
                process.terminate()
                with suppress(psutil.TimeoutExpired):
                    process.wait(5)
        COMPILED_IN.unlink(missing_ok=True)

    def command(self, *words):
        """What a command of SLURM's says."""
        done = subprocess.run(
            words, env=self.environment, capture_output=True, text=True, timeout=PATIENCE
        )
        done.check_returncode()
        return done.stdout

    def jobs(self, *states):
        """What `scontrol show job` says of each job in one of these states, else of every job."""
        lines = self.command("scontrol", "show", "jobs", "--oneliner").splitlines()
        jobs = [dict(re.findall(r"(\S+?)=(\S*)", line)) for line in lines if "JobId=" in line]
        return [job for job in jobs if not states or job["JobState"] in states]

    def cancel(self):
        """Cancel all jobs that have not ended."""
        if jobs := [job["JobId"] for job in self.jobs("PENDING", "RUNNING", "CONFIGURING")]:
            self.command("scancel", *jobs)

    def start_node(self):
        """Start slurmd, and return when its node takes jobs."""
        self.command("slurmd")
        deadline, state = time.monotonic() + PATIENCE, "unknown"
        while state not in ("idle", "mix", "alloc"):
            assert time.monotonic() < deadline, f"the node is {state}"
            time.sleep(0.2)
            with suppress(subprocess.CalledProcessError):  # slurmctld may not answer yet
                state = self.command("sinfo", "-h", "-p", "cpu", "-o", "%t").strip()
                if state.startswith(("down", "drain")):
                    self._update_node("State=RESUME")

    def kill_node(self):
        """Kill slurmd and, as when a machine dies, its jobs."""
        for process in [*self._processes("slurmd"), *self._processes("slurmstepd")]:
            with suppress(psutil.NoSuchProcess):
                family = [process, *process.children(recursive=True)]
                for member in family:
                    with suppress(psutil.NoSuchProcess):
                        member.send_signal(signal.SIGKILL)

    def lose_node(self):
        """Kill the node, and tell SLURM, which by itself finds out after SlurmdTimeout."""
        self.kill_node()
        self._update_node("State=DOWN", "Reason=dead")

    def _update_node(self, *changes):
        self.command("scontrol", "update", f"NodeName={self.host}", *changes)

    def _start_munged(self):
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        files = {"socket": "munge.socket", "key-file": key.name, "pid-file": "munged.pid",
                 "seed-file": "munged.seed", "log-file": "munged.log"}  # fmt: skip
        # --force: a folder above may be writable by others, as /tmp is
        options = [f"--{option}={self.folder / name}" for option, name in files.items()]
        self.command("munged", "--force", *options)

    def _processes(self, name):
        """Our processes of this name: those that know our configuration."""
        for process in psutil.process_iter(["name"]):
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                if process.info["name"] == name and (
                    process.environ().get("SLURM_CONF") == self.environment["SLURM_CONF"]
                ):
                    yield process


if __name__ == "__main__":
    if reason := trouble():
        print(reason)
