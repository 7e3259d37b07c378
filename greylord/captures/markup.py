"""What stands in a telnet stream besides text, as patterns over the bytes that one side sent."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from greylord.spool import blocks

__all__ = ["COLOUR", "CSI", "LINE_END", "TELNET", "Sought", "covered", "edited", "find_spans", "matches"]

CSI = re.compile(rb"\x1b\[[ -?]*[@-~]")
"""A complete control sequence (ECMA-48)."""
COLOUR = rb"\x1b\[[0-9;]*m"
"""The pattern of a control sequence for colours (SGR)."""
TELNET = re.compile(rb"\xff(?:[\xfb-\xfe].|\xfa[^\xff]*(?:\xff\xff[^\xff]*)*\xff\xf0|[^\xfa-\xfe])", re.DOTALL)
"""A telnet command (RFC 854): an option, a subnegotiation up to IAC SE, or one byte after IAC."""
LINE_END = re.compile(rb"\r\n|\r\0|[\r\n]")
"""What the Enter key sends: CR LF, CR NUL, or either alone."""

_BACKSPACES = b"\b\x7f"


def matches(pattern: re.Pattern[bytes], data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """int64 [n] each: where the matches of a pattern begin and end."""
    begins, ends = np.array([match.span() for match in pattern.finditer(data)], np.int64).reshape(-1, 2).T
    return begins, ends


class Sought:
    """A pattern that a text of any size can be searched for, block by block.

    Args:
        pattern: in letters of any case. It does not match the empty string.
        opening: matches the `width` bytes that each match of the pattern begins with, in lower case. No two of its
            matches can overlap.
    """

    def __init__(self, pattern: bytes, opening: bytes, width: int) -> None:
        self.pattern = re.compile(pattern, re.IGNORECASE | re.DOTALL)
        self.opening, self.width = re.compile(opening), width


def find_spans(sought: Sought, text: np.ndarray | memoryview) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield where the matches in a text, uint8 [bytes], begin and end, int64 [n] each: those of each block in turn.

    The matches are those of `finditer`, however long they are and wherever blocks end. A match is of the block that it
    begins in; see `greylord.spool.blocks`.
    """
    whole, end = memoryview(text), 0
    for first, block in blocks(text, overlap=sought.width - 1):
        spans = []
        for candidate in sought.opening.finditer(block.tobytes().lower()):
            begin = first + candidate.start()
            if begin >= end and (match := sought.pattern.match(whole, begin)):
                end = match.end()
                spans.append((begin, end))
        begins, ends = np.array(spans, np.int64).reshape(-1, 2).T
        yield begins, ends


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
