"""Arrays that may be larger than memory: built by appending, then read block by block.

A small array stays in memory. A large one lies in a temporary file and is mapped. Mapped pages count as used memory
once they are read, so whoever reads such an array in order gives them back behind each block.
"""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

__all__ = ["Spool", "blocks", "map_file", "release"]

MEMORY_BYTES = 1 << 24
"""The largest array that a spool holds in memory."""
BLOCK_ITEMS = 1 << 20
"""What is read at a time: it fits into a processor's cache."""


class Spool:
    """An array that is built by appending.

    Args:
        dtype: of the array.
        folder: where the temporary file lies if one is needed; the system's folder for such files by default.
            It disappears with the array.
        memory_bytes: the largest size without a file, `MEMORY_BYTES` by default.
    """

    def __init__(self, dtype: type, folder: Path | None = None, memory_bytes: int | None = None) -> None:
        self._dtype, self._folder = np.dtype(dtype), folder
        self._memory_bytes = MEMORY_BYTES if memory_bytes is None else memory_bytes
        self._parts: list[np.ndarray] = []
        self._bytes, self._file = 0, None

    def append(self, values: np.ndarray) -> None:
        """Add values at the end; they must not change afterwards. Raises OSError if the disk is full."""
        values = np.asarray(values, self._dtype)
        self._parts.append(values)
        self._bytes += values.nbytes
        if self._bytes > self._memory_bytes:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115
            for part in self._parts:
                self._file.write(np.ascontiguousarray(part))
            self._parts.clear()

    def array(self) -> np.ndarray:
        """The values, one-dimensional and, if mapped, read-only. Nothing can be appended afterwards."""
        if self._file is not None:
            with self._file as file:
                file.flush()
                return np.frombuffer(_map(file), self._dtype)
        if len(self._parts) == 1:
            return self._parts[0]
        return np.concatenate([np.zeros(0, self._dtype), *self._parts])


def map_file(path: Path) -> mmap.mmap:
    """The contents of a file that is not empty; a buffer for `np.frombuffer`."""
    with path.open("rb") as file:
        return _map(file)


def _map(file: BinaryIO) -> mmap.mmap:
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def blocks(array: np.ndarray, overlap: int = 0) -> Iterator[tuple[int, np.ndarray]]:
    """Yield where each block begins, and the block.

    Blocks are views of `BLOCK_ITEMS` items, the last shorter, and each also has the `overlap` items that follow it.
    """
    for begin in range(0, len(array), BLOCK_ITEMS):
        yield begin, array[begin : begin + BLOCK_ITEMS + overlap]
        release(array)


def release(*arrays: np.ndarray | memoryview) -> None:
    """Give the pages of mapped arrays back. They are read again when they are needed."""
    for owner in arrays:
        while isinstance(owner, (np.ndarray, memoryview)):
            owner = owner.base if isinstance(owner, np.ndarray) else owner.obj
        if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            owner.madvise(mmap.MADV_DONTNEED)
