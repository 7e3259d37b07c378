"""Parse the start time of a recording from its file name."""

from __future__ import annotations

import contextlib
import re
from datetime import UTC, datetime, timedelta

__all__ = ["parse_start", "plausible_start"]

EARLIEST_START = datetime(1995, 1, 1, tzinfo=UTC)
"""MajorMUD was published in 1995."""
_DATE = re.compile(
    r"(?<!\d)(\d{4})([-._]?)(\d\d)\2(\d\d)"
    r"(?:[T _.,(-]{0,3}(?:at )?(\d\d)([-:._h]?)(\d\d)(?:\6(\d\d)(?:[-.,]?(\d{3})\d{0,6})?)?)?(?!\d)"
)
_EPOCH = re.compile(r"(?<!\d)(\d{13}|\d{9,10})(?![0-9a-zA-Z])")


def parse_start(name: str) -> datetime | None:
    """Parse the start of a recording from its file name.

    A name may hold a date, with or without a time (`2025-06-18T05-44-07-829`, `2025-06-18 05-44-07`,
    `20250618_054407`), or the seconds or milliseconds since 1970 (`1750709786`, `1750709786123`).

    Returns:
        The start in UTC, or None if the name holds no plausible one.
    """
    for match in _DATE.finditer(name):
        year, _, month, day, hour, _, minute, second, millisecond = match.groups()
        # The digits after a date need not be a time.
        for time in ((hour, minute, second, millisecond), (None,) * 4):
            with contextlib.suppress(ValueError):
                hours, minutes, seconds, milliseconds = (int(part or 0) for part in time)
                start = datetime(
                    int(year), int(month), int(day), hours, minutes, seconds, milliseconds * 1_000, tzinfo=UTC
                )
                if plausible := plausible_start(start):
                    return plausible
    for match in _EPOCH.finditer(name):
        milliseconds = int(match[1]) * (1 if len(match[1]) == 13 else 1_000)
        if plausible := plausible_start(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)):
            return plausible
    return None


def plausible_start(start: datetime) -> datetime | None:
    """Return `start`, or None if it lies before 1995 or after tomorrow."""
    return start if EARLIEST_START <= start <= datetime.now(UTC) + timedelta(days=1) else None
