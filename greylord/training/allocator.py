"""The memory that a step on a CPU frees, kept for the next.

By default glibc gives what is free at the end of its heap back to the system. A step of training frees all its
activations, the next has them fetched anew, thousands of pages, and each page costs a fault and is filled with zeros.
"""

from __future__ import annotations

import ctypes
import os
import platform

__all__ = ["keep_freed_memory"]

OWN_SETTINGS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")
"""Of the environment: who sets one of them has chosen otherwise."""
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of malloc.h; see mallopt(3)."""
NEVER, MOST = -1, 32 << 20
"""When glibc gives free memory back; and bytes up to which it takes an allocation from the heap, by mallopt(3) the
most that can be asked for."""


def keep_freed_memory(device: str) -> str | None:
    """Have this process keep freed memory if it computes on a CPU, and return the words that say why.

    Args:
        device: type of the device, as "cpu".

    Returns:
        None where nothing has been changed.
    """
    if device != "cpu" or platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in OWN_SETTINGS):
        return None
    libc = ctypes.CDLL(None)
    if not (libc.mallopt(M_MMAP_THRESHOLD, MOST) and libc.mallopt(M_TRIM_THRESHOLD, NEVER)):
        return None
    return "what a step frees is kept for the next: glibc would give it back and have it fetched anew"
