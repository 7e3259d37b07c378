"""Progress of long work, reported without knowing what displays it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

__all__ = ["Advance", "Progress", "silent", "without_library_bars"]

Advance = Callable[[int], object]
"""A function that is called with the amount done since its last call."""

Progress = Callable[[str, int], AbstractContextManager[Advance]]
"""A function that opens a progress display; it takes a description and the total amount."""


@contextlib.contextmanager
def silent(description: str, total: int) -> Iterator[Advance]:
    """Display nothing; a `Progress`."""
    del description, total
    yield lambda _: None


@contextlib.contextmanager
def without_library_bars() -> Iterator[None]:
    """Turn off the progress bars of transformers: one for each file of a checkpoint."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
