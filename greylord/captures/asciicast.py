"""Write asciicast v2, the terminal recordings of asciinema.

A file is a header and then one event per line, all JSON.

Source: https://docs.asciinema.org/manual/asciicast/v2/
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["SHOWN", "TYPED", "Event", "write"]

COLUMNS, LINES = 80, 24
"""Size of the screen that a BBS writes for."""
SHOWN, TYPED = "o", "i"
"""Kinds of events: output of the terminal, and input from its keyboard."""


class Event(NamedTuple):
    """A text that the terminal shows or that is typed."""

    seconds: float
    """Seconds since the beginning."""
    kind: str
    """`SHOWN` or `TYPED`."""
    text: str


def write(events: Iterable[Event], title: str) -> str:
    """Return the text of a cast. Events of the same moment and kind become one."""
    rows: list[object] = [{"version": 2, "width": COLUMNS, "height": LINES, "title": title}]
    for (seconds, kind), group in itertools.groupby(events, lambda event: event[:2]):
        rows.append([round(seconds, 3), kind, "".join(event.text for event in group)])
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
