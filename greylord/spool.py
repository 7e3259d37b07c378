"""Arrays that may be larger than memory: appended to, then read by blocks.

A small array stays in memory. A large one lies in a temporary file and is mapped. Mapped pages count as used memory
once they are read, so code that reads such an array in order releases them after each block.
"""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["Spool", "blocks", "map_file", "release"]

MEMORY_BYTES = 1 << 22
"""The largest array that a spool holds in memory."""
BLOCK_ITEMS = 1 << 20
"""Items read at a time. A block of bytes of this size fits into a processor's cache."""


class Spool:
    """An array that is built by appending.

    Args:
        dtype: Type of the items.
        folder: Folder for the temporary file if one is needed, the system's temporary folder by default.
            The file disappears with the array.
        memory_bytes: Size of the largest array without a file, `MEMORY_BYTES` by default.
    """

    def __init__(self, dtype: type, folder: Path | None = None, memory_bytes: int | None = None) -> None:
        self._dtype, self._folder = np.dtype(dtype), folder
        self._memory_bytes = MEMORY_BYTES if memory_bytes is None else memory_bytes
        self._parts: list[np.ndarray] = []
        self._bytes = 0
        self._file: BinaryIO | None = None

    def append(self, values: ArrayLike) -> None:
        """Add values at the end.

        Args:
            values: Values that must not change afterwards.

        Raises:
            OSError: The disk is full.
        """
        values = np.asarray(values, self._dtype)
        self._parts.append(values)
        self._bytes += values.nbytes
        if self._bytes > self._memory_bytes:
            if self._file is None:
                self._file = cast(BinaryIO, tempfile.TemporaryFile(dir=self._folder))  # noqa: SIM115
            for part in self._parts:
                self._file.write(np.ascontiguousarray(part).data)
            self._parts.clear()

    def array(self) -> np.ndarray:
        """Return the values, one-dimensional and, if mapped, read-only.

        Nothing can be appended afterwards.
        """
        if self._file is not None:
            with self._file as file:
                file.flush()
                return np.frombuffer(_map(file), self._dtype)
        if len(self._parts) == 1:
            return self._parts[0]
        return np.concatenate([np.zeros(0, self._dtype), *self._parts])


def map_file(path: Path) -> mmap.mmap:
    """Map a file that is not empty, as a buffer for `np.frombuffer`."""
    with path.open("rb") as file:
        return _map(file)


def _map(file: BinaryIO) -> mmap.mmap:
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def blocks(array: np.ndarray, overlap: int = 0) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the start of each block of an array, and the block.

    The array's pages are released after each block.

    Args:
        array: One-dimensional.
        overlap: Items repeated from the next block.

    Yields:
        The position, and a view of `BLOCK_ITEMS` items and the overlap; the last is shorter.
    """
    for begin in range(0, len(array), BLOCK_ITEMS):
        yield begin, array[begin : begin + BLOCK_ITEMS + overlap]
        release(array)


def release(*arrays: np.ndarray | memoryview) -> None:
    """Give the pages of mapped arrays back to the system.

    They are read again when they are needed.
    """
    for array in arrays:
        owner: object = array
        while isinstance(owner, (np.ndarray, memoryview)):
            owner = owner.base if isinstance(owner, np.ndarray) else owner.obj
        if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            owner.madvise(mmap.MADV_DONTNEED)
