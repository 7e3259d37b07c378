"""Progress of long work, reported without knowing what displays it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

__all__ = ["Advance", "Progress", "quiet_transformers", "silent"]

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
def quiet_transformers() -> Iterator[None]:
    """Turn off the warnings of transformers, and its progress bars: one for each file of a checkpoint."""
    from transformers.utils import logging

    shown, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if shown:
            logging.enable_progress_bar()
