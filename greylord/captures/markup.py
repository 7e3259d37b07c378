"""What stands in a telnet stream besides text, as patterns over the bytes that one side sent."""

from __future__ import annotations

import re

import numpy as np

__all__ = ["CSI", "LINE_END", "TELNET", "covered", "edited", "matches"]

CSI = re.compile(rb"\x1b\[[ -?]*[@-~]")
"""A complete control sequence (ECMA-48)."""
TELNET = re.compile(rb"\xff(?:[\xfb-\xfe].|\xfa[^\xff]*(?:\xff\xff[^\xff]*)*\xff\xf0|[^\xfa-\xfe])", re.DOTALL)
"""A telnet command (RFC 854): an option, a subnegotiation up to IAC SE, or one byte after IAC."""
LINE_END = re.compile(rb"\r\n|\r\0|[\r\n]")
"""What the Enter key sends: CR LF, CR NUL, or either alone."""

_BACKSPACES = b"\b\x7f"


def matches(pattern: re.Pattern[bytes], data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """int64 [n] each: where the matches of a pattern begin and end."""
    begins, ends = np.array([match.span() for match in pattern.finditer(data)], np.int64).reshape(-1, 2).T
    return begins, ends


def covered(begins: np.ndarray, ends: np.ndarray, size: int) -> np.ndarray:
    """bool [size]: which positions lie in one of the spans that begin and end, int64 [n] each, within `size`."""
    edges = np.bincount(begins, minlength=size + 1) - np.bincount(ends, minlength=size + 1)
    return np.cumsum(edges[:-1]) > 0


def edited(line: bytes) -> bytes:
    """What is left of a typed line after its backspaces."""
    left = bytearray()
    for key in line:
        if key not in _BACKSPACES:
            left.append(key)
        elif left:
            left.pop()
    return bytes(left)
