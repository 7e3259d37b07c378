"""Sizes, durations and counts as people write and read them."""

import re

from greylord.errors import UsageError

__all__ = ["count", "duration", "parse_duration", "parse_size", "percent", "size"]

_FACTORS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3_600}
_DURATION = re.compile(r"(?:\s*\d+(?:\.\d+)?\s*(?:s|min|m|h))+\s*")
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|m|h)")
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?\s*", re.IGNORECASE)


def parse_size(text: str) -> int:
    """Parse a size: "300", "1.5G", "1MB" (10^6), "64 KiB" (2^16).

    Returns:
        Bytes.

    Raises:
        UsageError: The text is not a size.
    """
    match = _SIZE.fullmatch(text)
    if not match or (match[3] and not match[2]):
        raise UsageError(f"{text!r} is not a size; write it like 300, 10KB, 1MB or 2GiB.")
    factor = _FACTORS[match[2].upper()]
    if match[3]:
        factor = 1 << 10 * list(_FACTORS.values()).index(factor)
    return int(float(match[1]) * factor)


def parse_duration(text: str) -> float:
    """Parse a duration: "10m", "90s", "1h30m", "1.5 h".

    Returns:
        Seconds, more than 0.

    Raises:
        UsageError: The text is not a duration, or is 0.
    """
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in _DURATION_PART.findall(text))
    if not _DURATION.fullmatch(text) or not seconds:
        raise UsageError(f"{text!r} is not a duration; write it like 90s, 10m or 1h30m.")
    return seconds


def size(number: float) -> str:
    """Format a number of bytes: "512 B", "1.3 kB", "118 MB", "4.2 GB"."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1_000 or unit == "GB":
            break
        number /= 1_000
    digits = 0 if unit == "B" or number >= 99.95 else 1
    return f"{number:.{digits}f} {unit}"


def duration(seconds: float) -> str:
    """Format seconds: "45 s", "2 min 50 s", "1 h 30 min"."""
    seconds = max(0, round(seconds))
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {seconds:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min"


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Format a number of things: "1 recording", "126 recordings", "1,024 bytes"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def percent(share: float | None) -> str:
    """Format a share between 0 and 1: "38.9 %", or "-" for None."""
    return "-" if share is None else f"{100 * share:.1f} %"
