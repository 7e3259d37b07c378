"""Tests of the memory that is kept: in processes of their own, for it cannot be undone."""

import os
import platform
import subprocess
import sys

import pytest

from greylord.training.hardware import OWN_SETTINGS, keep_freed_memory

ROUNDS = """
import resource, sys
import torch
from greylord.training.hardware import keep_freed_memory

if sys.argv[1] == "kept":
    assert keep_freed_memory("cpu")
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for round in range(13):
    if round == 3:
        begun = faults()
    parts = [torch.ones(1 << 20) for _ in range(5)]
    del parts
print(faults() - begun)
"""
"""Page faults of ten rounds, each of five allocations of 4 MB, after three that are not counted."""


def faults(what: str, **settings: str) -> int:
    env = {name: value for name, value in os.environ.items() if name not in OWN_SETTINGS} | settings
    command = [sys.executable, "-c", ROUNDS, what]
    return int(subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=120).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="not glibc")
def test_freed_memory_is_kept():
    # By default it depends on what lies at the end of the heap; this has all of it given back.
    assert 10 * faults("kept") < faults("given back", MALLOC_MMAP_THRESHOLD_="131072")


@pytest.mark.parametrize("name", OWN_SETTINGS)
def test_who_has_set_glibc_is_left_alone(monkeypatch, name):
    monkeypatch.setenv(name, "131072")
    assert keep_freed_memory("cpu") is None


def test_another_libc_is_left_alone(monkeypatch):
    for name in OWN_SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("platform.libc_ver", lambda: ("", ""))
    assert keep_freed_memory("cpu") is None


def test_a_gpu_s_process_is_left_alone():
    assert keep_freed_memory("cuda") is None
