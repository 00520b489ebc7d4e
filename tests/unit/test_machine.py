"""The machine: what the system tells, and something sensible where it does not tell."""

import os
import platform
import sys
from types import SimpleNamespace

import pytest

from finicky import machine

CPUINFO = "processor\t: 0\nmodel name\t: Some CPU: 3 GHz\nflags\t\t: fpu\nmodel name\t: Other\n"


@pytest.fixture
def system(monkeypatch):
    """`system({path: text})`: the only files that the system has."""
    return lambda files: monkeypatch.setattr(
        machine, "_lines", lambda path: files.get(path, "").splitlines()
    )


def test_what_linux_tells(system):
    size = "/sys/devices/system/cpu/cpu0/cache/index2/size"
    system({"/proc/cpuinfo": CPUINFO, size: "2048K\n"})
    assert machine.processor() == "Some CPU: 3 GHz"
    assert machine.l2_cache_bytes() == 2 * 2**20


def test_other_systems_tell_less(system, monkeypatch):
    system({})
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    assert machine.processor() == "arm64"
    assert machine.l2_cache_bytes() == 2**20
    monkeypatch.setattr(platform, "processor", lambda: "arm")
    assert machine.processor() == "arm"


class Driver:
    """NVIDIA's driver, as far as it is asked; `error` is what its first call returns."""

    def __init__(self, *cards, error=0):
        self.cards, self.error = cards, error

    def cuInit(self, flags):
        return self.error

    def cuDeviceGetCount(self, count):
        count._obj.value = len(self.cards)
        return 0

    def cuDeviceGet(self, device, number):
        device._obj.value = 7 + number
        return 0 if number < len(self.cards) else 101

    def cuDeviceGetName(self, name, length, device):
        name.value = self.cards[device.value - 7].encode()
        return 0 if length > len(name.value) else 1


@pytest.mark.parametrize(
    ("driver", "cards", "name"),
    [
        (Driver("a card", "another"), 2, "a card"),
        (Driver(), 0, None),
        (Driver("a", "b", error=100), 0, None),
        (None, 0, None),
    ],
)
def test_gpus(monkeypatch, driver, cards, name):
    def load(library):
        assert library == "libcuda.so.1"
        if driver is None:
            raise OSError("no such file")
        return driver

    monkeypatch.setattr(machine.ctypes, "CDLL", load)
    assert machine.gpus() == cards
    assert machine.card() == machine.description("cuda")["gpu"] == name
    assert machine.description()["gpu"] is None, "what trains on a CPU has none"


def test_cores_are_those_that_this_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3, 5, 7}, raising=False)
    assert machine.cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    assert machine.cores() == 64


def test_memory_in_gib(monkeypatch):
    pages = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 4_100_000}
    monkeypatch.setattr(os, "sysconf", pages.__getitem__)
    assert machine.memory_gib() == 16

    def unknown(name):
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr(os, "sysconf", unknown)
    assert machine.memory_gib() is None


def test_a_file_that_is_not_there_has_no_lines(tmp_path):
    (tmp_path / "there").write_text("a\nb\n")
    assert machine._lines(tmp_path / "there") == ["a", "b"]
    assert machine._lines(tmp_path / "not there") == []


def test_description_is_of_this_machine():
    here = machine.description()
    assert here["host"] == platform.node()
    assert here["cores"] == os.cpu_count()
    assert here["cpu"] == machine.processor() != ""
    assert here["system"].startswith(platform.system())


def test_what_decides_how_pytorch_computes(system, monkeypatch):
    system({"/proc/cpuinfo": "vendor_id\t: Somebody\n" + CPUINFO})
    for name in machine.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    torch = SimpleNamespace(
        backends=SimpleNamespace(cpu=SimpleNamespace(get_cpu_capability=lambda: "AVX2")),
        get_num_threads=lambda: 3,
    )
    monkeypatch.setitem(sys.modules, "torch", torch)
    found = machine.description()
    assert found["vendor"] == "Somebody" and found["instruction_set"] == "AVX2"
    assert found["threads"] == 3
    assert found["settings"] == "MKL_CBWR=COMPATIBLE, OMP_NUM_THREADS=1"
    monkeypatch.delitem(sys.modules, "torch")
    assert machine.description()["instruction_set"] is None
