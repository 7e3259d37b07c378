"""How long work tells how far it is, without knowing who shows it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

__all__ = ["Advance", "Progress", "silent"]

Advance = Callable[[int], object]
"""Called with what has been done since the last call."""

Progress = Callable[[str, int], AbstractContextManager[Advance]]
"""Opened with a description and the total."""


@contextlib.contextmanager
def silent(description: str, total: int) -> Iterator[Advance]:
    """A `Progress` that shows nothing."""
    del description, total
    yield lambda _: None
