"""The machine a result came from, as far as it can tell."""

import ctypes
import os
import platform
from pathlib import Path


def processor():
    """The processor's name."""
    for line in _lines("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


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
    count = ctypes.c_int(0)
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    failed = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    return 0 if failed else count.value


def description():
    """Host, processor and cores."""
    return {
        "host": platform.node(),
        "cpu": processor(),
        "cores": os.cpu_count(),
        "memory_gib": memory_gib(),
        "system": platform.platform(),
    }


def _lines(path):
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
