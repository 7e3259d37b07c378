"""Markup in a telnet stream: patterns over one side's bytes, and searching them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from greylord.spool import blocks

__all__ = [
    "COLOUR",
    "CSI",
    "LINE_END",
    "TELNET",
    "SearchPattern",
    "apply_backspaces",
    "find_spans",
    "match_spans",
    "span_mask",
]

CSI = re.compile(rb"\x1b\[[ -?]*[@-~]")
"""A complete control sequence (ECMA-48)."""
COLOUR = rb"\x1b\[[0-9;]*m"
"""The pattern of a control sequence for colours (SGR)."""
TELNET = re.compile(rb"\xff(?:[\xfb-\xfe].|\xfa[^\xff]*(?:\xff\xff[^\xff]*)*\xff\xf0|[^\xfa-\xfe])", re.DOTALL)
"""A telnet command (RFC 854): an option, a subnegotiation up to IAC SE, or one byte after IAC."""
LINE_END = re.compile(rb"\r\n|\r\0|[\r\n]")
"""Bytes of the Enter key: CR LF, CR NUL, or either alone."""

_BACKSPACES = b"\b\x7f"


def match_spans(pattern: re.Pattern[bytes], data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Find the matches of a pattern.

    Returns:
        Where they begin and where they end, int64 [n] each.
    """
    begins, ends = np.array([match.span() for match in pattern.finditer(data)], np.int64).reshape(-1, 2).T
    return begins, ends


class SearchPattern:
    """A pattern that can be searched for block by block in a text of any size.

    Args:
        pattern: Ignores case and does not match the empty string.
        opening: Matches the first `width` bytes of each match of the pattern, in lower case. Its own matches cannot
            overlap.
        width: Bytes that `opening` matches.
    """

    def __init__(self, pattern: bytes, opening: bytes, width: int) -> None:
        self.pattern = re.compile(pattern, re.IGNORECASE | re.DOTALL)
        self.opening, self.width = re.compile(opening), width


def find_spans(search: SearchPattern, text: memoryview) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Find the matches of a pattern block by block.

    The matches are those of `finditer`, however long they are and wherever blocks end.

    Args:
        search: The pattern.
        text: uint8 [bytes], divided into the blocks of `greylord.spool.blocks`.

    Yields:
        For each block, where the matches that begin in it begin and end, int64 [n] each.
    """
    end = 0
    for first, block in blocks(np.asarray(text), overlap=search.width - 1):
        spans = []
        for candidate in search.opening.finditer(block.tobytes().lower()):
            begin = first + candidate.start()
            if begin >= end and (match := search.pattern.match(text, begin)):
                end = match.end()
                spans.append((begin, end))
        begins, ends = np.array(spans, np.int64).reshape(-1, 2).T
        yield begins, ends


def span_mask(begins: np.ndarray, ends: np.ndarray, size: int) -> np.ndarray:
    """Mark the positions within spans.

    Args:
        begins: int64 [n], where each span begins.
        ends: int64 [n], where each span ends, at most `size`.
        size: Length of the mask.

    Returns:
        bool [size].
    """
    edges = np.bincount(begins, minlength=size + 1) - np.bincount(ends, minlength=size + 1)
    return np.cumsum(edges[:-1]) > 0


def apply_backspaces(line: bytes) -> bytes:
    """Return what is left of a typed line after its backspaces."""
    left = bytearray()
    for key in line:
        if key not in _BACKSPACES:
            left.append(key)
        elif left:
            left.pop()
    return bytes(left)
