"""The allocator keeps freed memory.

Measured in processes of their own, because it cannot be undone.
"""

import os
import platform
import subprocess
import sys

import pytest

from greylord.training.hardware import OWN_SETTINGS, keep_freed_memory

ROUNDS = """
import resource, sys
import torch

if sys.argv[1] == "kept":
    from greylord.training.hardware import keep_freed_memory

    assert keep_freed_memory("cpu")
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for round in range(13):
    if round == 3:
        begun = faults()
    parts = [torch.ones(1 << 20) for _ in range(5)]
    del parts
print(faults() - begun)
"""
"""Prints the page faults of ten rounds of five allocations of 4 MB each, after three warm-up rounds."""


def start_rounds(mode: str, **settings: str) -> subprocess.Popen:
    env = {name: value for name, value in os.environ.items() if name not in OWN_SETTINGS} | settings
    command = [sys.executable, "-c", ROUNDS, mode]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)


def page_faults(process: subprocess.Popen) -> int:
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return int(output)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="not glibc")
def test_freed_memory_is_kept():
    # With this setting glibc returns all of it. By default that depends on what lies at the end of the heap.
    returned, kept = start_rounds("returned", MALLOC_MMAP_THRESHOLD_="131072"), start_rounds("kept")
    assert 10 * page_faults(kept) < page_faults(returned)


@pytest.mark.parametrize("name", OWN_SETTINGS)
def test_a_setting_of_the_user_wins(monkeypatch, name):
    monkeypatch.setenv(name, "131072")
    assert keep_freed_memory("cpu") is None


def test_another_libc_is_not_changed(monkeypatch):
    for name in OWN_SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("platform.libc_ver", lambda: ("", ""))
    assert keep_freed_memory("cpu") is None


def test_a_process_that_computes_on_a_gpu_is_not_changed():
    assert keep_freed_memory("cuda") is None
