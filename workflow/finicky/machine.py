"""The machine a result came from, as far as it can tell."""

import ctypes
import os
import platform
import sys
from pathlib import Path

METADATA = b"machine"  # under which an experiment's file keeps the description of its machine
# Environment variables that decide how PyTorch and its libraries compute.
VARIABLES = ("ATEN_CPU_CAPABILITY", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "MKL_NUM_THREADS",
             "OMP_NUM_THREADS", "ONEDNN_MAX_CPU_ISA")  # fmt: skip


def processor():
    """The processor's name."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _cpuinfo(key):
    """What Linux says first of its processors under this key, or None."""
    for line in _lines("/proc/cpuinfo"):
        if line.startswith(key):
            return line.partition(":")[2].strip()
    return None


def cores():
    """How many cores this process may use: a cluster or a container often lends only some."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def memory_gib():
    """Installed memory in GiB, rounded, or None where the system does not tell."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
    except (ValueError, OSError):
        return None


def l2_cache_bytes():
    """Size of one core's level-2 cache; 1 MiB where the system does not tell."""
    for line in _lines("/sys/devices/system/cpu/cpu0/cache/index2/size"):
        return int(line.strip().removesuffix("K")) * 1024
    return 2**20


def gpus():
    """How many CUDA devices the driver shows, without an import of torch; 0 without a driver."""
    driver, count = _driver(), ctypes.c_int(0)
    if driver is None or driver.cuDeviceGetCount(ctypes.byref(count)):
        return 0
    return count.value


def card():
    """The name of the first CUDA device, on which jobs train; None without one."""
    driver, device, name = _driver(), ctypes.c_int(0), ctypes.create_string_buffer(256)
    if (
        driver is None
        or driver.cuDeviceGet(ctypes.byref(device), 0)
        or driver.cuDeviceGetName(name, len(name), device)
    ):
        return None
    return name.value.decode()


def _driver():
    """NVIDIA's driver, ready to be asked; None where there is none."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    return None if driver.cuInit(0) else driver


def description(device="cpu"):
    """Host, processor and cores; `gpu` is the card, if that is what the device means.

    Of PyTorch, if this process has imported it: the instruction set and the number of threads that
    it uses now.
    """
    torch = sys.modules.get("torch")
    variables = [f"{name}={os.environ[name]}" for name in VARIABLES if name in os.environ]
    return {
        "host": platform.node(),
        "vendor": _cpuinfo("vendor_id"),
        "cpu": processor(),
        "instruction_set": torch.backends.cpu.get_cpu_capability() if torch else None,
        "threads": torch.get_num_threads() if torch else None,
        "settings": ", ".join(variables),
        "gpu": card() if device == "cuda" else None,
        "cores": os.cpu_count(),
        "memory_gib": memory_gib(),
        "system": platform.platform(),
    }


def _lines(path):
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
