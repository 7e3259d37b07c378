"""Progress of long work, reported without knowing what displays it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

__all__ = ["Advance", "Progress", "silent"]

Advance = Callable[[int], object]
"""A function that is called with the amount done since its last call."""

Progress = Callable[[str, int], AbstractContextManager[Advance]]
"""A function that opens a progress display; it takes a description and the total amount."""


@contextlib.contextmanager
def silent(description: str, total: int) -> Iterator[Advance]:
    """Display nothing; a `Progress`."""
    del description, total
    yield lambda _: None
