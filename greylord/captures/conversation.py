"""A recorded call as a conversation: what each side sent by itself, and the lines that the client typed.

Sequences may be split over several records, so they are looked for in all that one side sent.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import numpy as np

from greylord.captures.markup import COLOUR, CSI, LINE_END, TELNET, SearchPattern, covered, find_spans
from greylord.captures.session import Direction, Session
from greylord.spool import Spool, blocks, release

__all__ = ["LINE_BREAK", "NEARBY", "Call"]

_MARKUP = SearchPattern(CSI.pattern + rb"|" + TELNET.pattern, rb"[\x1b\xff]", 1)
_UNSEEN = re.compile(COLOUR + rb"|" + TELNET.pattern, re.DOTALL)
_LINE_END = SearchPattern(LINE_END.pattern, rb"[\r\n]", 1)
LINE_BREAK = re.compile(rb"[\r\n]")
_BEFORE_ECHO = re.compile(rb"(?:.*pass[^\r\n]*[:>?])?\s*", re.DOTALL)
"""What the server says between the first key of a line and its echo: nothing, or the prompt if it was typed ahead."""

NEARBY = 400
"""Bytes of the server to look at before a prompt or after it."""
RELEASE_EVERY = 100
"""Windows of the server's text that are read before its pages are given back."""


class Call:
    """What the two sides of a session sent, and the lines that the client typed.

    Attributes:
        server: all that the server sent.
        text: what the client typed, without control sequences and telnet commands.
        begins, ends: int64 [lines], the lines in `text` that are not empty, without their ends. The last may lack one.
        begun, ended: int64 [lines], the bytes that the server had sent when the line began, and when it ended.

    Args:
        session: the recording.
        folder: where the arrays of a large one lie; see `Spool`.
    """

    def __init__(self, session: Session, folder: Path | None = None) -> None:
        self._spool = partial(Spool, folder=folder)
        self._windows = 0
        self._take_text(self._divide(session))
        self._find_lines()

    def _divide(self, session: Session) -> np.ndarray:
        """Separate the sides, and return what the client sent."""
        server, client = self._spool(np.uint8), self._spool(np.uint8)
        # What either side had sent before each record of the client, and at the end all that the client sent.
        heard, typed = self._spool(np.int64), self._spool(np.int64)
        server_bytes = client_bytes = 0
        for piece in session.pieces():
            by_client = piece.directions == Direction.CLIENT
            is_client = np.repeat(by_client, piece.sizes)
            server.append(piece.payload[~is_client])
            client.append(piece.payload[is_client])
            sizes = piece.sizes[by_client]
            before = np.cumsum(sizes) - sizes
            typed.append(client_bytes + before)
            heard.append(server_bytes + piece.ends[by_client] - sizes - before)
            client_bytes += int(sizes.sum())
            server_bytes += len(piece.payload) - int(sizes.sum())
        typed.append([client_bytes])
        self.server = memoryview(server.array())
        self._heard, self._typed = heard.array(), typed.array()
        return client.array()

    def _take_text(self, client: np.ndarray) -> None:
        """Leave control sequences and telnet commands out of what the client sent."""
        text, gaps, left_out = self._spool(np.uint8), self._spool(np.int64), self._spool(np.int64)
        left_out.append([0])
        end = removed = 0
        for (first, block), (begins, ends) in zip(blocks(client), find_spans(_MARKUP, client), strict=True):
            if end > first or len(begins):
                # A sequence may have begun in a block before this one, and may end in one after it.
                edges = np.append(first, begins) - first, np.append(max(end, first), ends) - first
                block = block[~covered(*np.minimum(edges, len(block)), len(block))]
                removed_so_far = removed + np.cumsum(ends - begins)
                gaps.append(ends - removed_so_far)
                left_out.append(removed_so_far)
                removed += int((ends - begins).sum())
                end = int(ends[-1]) if len(ends) else end
            text.append(block)
        self.text = memoryview(text.array())
        self._gaps, self._left_out = gaps.array(), left_out.array()

    def _find_lines(self) -> None:
        columns = [self._spool(np.int64) for _ in range(4)]

        def add(begins: np.ndarray, ends: np.ndarray) -> None:
            begins, ends = begins[begins < ends], ends[begins < ends]
            ended = self._heard_before(ends)
            ended[ends == len(self.text)] = len(self.server)
            for column, values in zip(columns, (begins, ends, self._heard_before(begins), ended), strict=True):
                column.append(values)

        begin = 0
        for breaks, resumed in find_spans(_LINE_END, self.text):
            if len(breaks):
                add(np.append(begin, resumed[:-1]), breaks)
                begin = int(resumed[-1])
        add(np.array([begin]), np.array([len(self.text)]))
        self.begins, self.ends, self.begun, self.ended = (column.array() for column in columns)

    def _sent_at(self, positions: np.ndarray) -> np.ndarray:
        """int64 [n]: where bytes of `text` stand in what the client sent."""
        return positions + self._left_out[np.searchsorted(self._gaps, positions, "right")]

    def _heard_before(self, positions: np.ndarray) -> np.ndarray:
        """int64 [n]: how much the server had sent before bytes of `text`."""
        return self._heard[np.searchsorted(self._typed[:-1], self._sent_at(positions), "right") - 1]

    def typed_at(self, positions: np.ndarray) -> np.ndarray:
        """int64 [n]: where bytes of `text` stand in the payload."""
        return self._sent_at(positions) + self._heard_before(positions)

    def said_at(self, positions: np.ndarray) -> np.ndarray:
        """int64 [n]: where bytes of `server` stand in the payload."""
        return positions + self._typed[np.searchsorted(self._heard, positions, "right")]

    def __len__(self) -> int:
        return len(self.begins)

    def line(self, index: int) -> bytes:
        """A typed line as it is, backspaces and all."""
        return bytes(self.text[self.begins[index] : self.ends[index]])

    def line_after(self, heard: int) -> int:
        """The first line that ended when the server had sent `heard` bytes; the number of lines if none did."""
        return int(np.searchsorted(self.ended, heard))

    def _window(self, begin: int, end: int) -> bytes:
        """What the server sent between two positions."""
        self._windows += 1
        if self._windows % RELEASE_EVERY == 0:
            release(self.server, self.text, self.begins, self.ends, self.begun, self.ended)
        return bytes(self.server[max(0, begin) : end])

    def said(self, begin: int, end: int) -> bytes:
        """What the server said between two positions: in lower case, and with a line feed for a move of the cursor."""
        return CSI.sub(b"\n", _UNSEEN.sub(b"", self._window(begin, end).lower()))

    def prompt(self, index: int) -> bytes:
        """The unfinished line behind which a line was typed."""
        heard = int(self.begun[index])
        return LINE_BREAK.split(self.said(heard - NEARBY, heard))[-1]

    def echo(self, index: int, keys: np.ndarray) -> np.ndarray:
        """int64 [n]: where in `server` keys of a line, int64 [n], were echoed in clear, if the line was."""
        line = self.line(index)
        if len(line) > NEARBY or not line.strip(b"*"):
            return np.zeros(0, np.int64)
        # Backspaces are echoed as backspace, blank, backspace.
        echoes = [re.escape(bytes([key])) if key not in b"\b\x7f" else rb"\x08 \x08" for key in line]
        pattern = re.compile(b"".join(b"(%b)" % echo for echo in echoes) + rb"(?=[\r\n])")
        begun = int(self.begun[index])
        match = pattern.search(self._window(begun, min(int(self.ended[index]), begun + NEARBY) + NEARBY))
        if not match or not _BEFORE_ECHO.fullmatch(self.said(begun, begun + match.start())):
            return np.zeros(0, np.int64)
        return np.array([begun + match.start(1 + key) for key in keys.tolist()], np.int64)

    def is_echoed(self, index: int) -> bool:
        """Whether a line was echoed in clear."""
        return len(self.echo(index, np.arange(len(self.line(index))))) > 0
