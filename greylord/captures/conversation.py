"""A recorded session as a conversation: both sides, and the lines that were typed.

Sequences may be split over several records, so they are searched for in the joined bytes of one side.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import numpy as np

from greylord.captures.markup import COLOUR, CSI, LINE_END, TELNET, SearchPattern, find_spans, span_mask
from greylord.captures.session import Direction, Session
from greylord.spool import Spool, blocks, release

__all__ = ["LINE_BREAK", "NEARBY", "Conversation"]

_MARKUP = SearchPattern(CSI.pattern + rb"|" + TELNET.pattern, rb"[\x1b\xff]", 1)
_INVISIBLE = re.compile(COLOUR + rb"|" + TELNET.pattern, re.DOTALL)
_LINE_END = SearchPattern(LINE_END.pattern, rb"[\r\n]", 1)
LINE_BREAK = re.compile(rb"[\r\n]")
_BEFORE_ECHO = re.compile(rb"(?:.*pass[^\r\n]*[:>?])?\s*", re.DOTALL)
"""Text that the server may send between the first key of a line and its echo: none, or the prompt if the line was typed
ahead."""

NEARBY = 400
"""Bytes of the server that are examined before a prompt or after it."""
RELEASE_EVERY = 100
"""Number of stretches of the server's bytes that are read before their mapped pages are released."""


class Conversation:
    """The bytes of each side of a session, and the lines that the client typed.

    Attributes:
        server: All bytes of the server.
        typed: The bytes of the client without control sequences and telnet commands.
        begins: int64 [lines], where each line that is not empty begins in `typed`.
        ends: int64 [lines], where it ends, without its line end; the last line may lack one.
        server_at_begin: int64 [lines], bytes that the server had sent when the line began.
        server_at_end: int64 [lines], bytes that the server had sent when the line ended.

    Args:
        session: The recording.
        spool: Folder for the arrays of a large one; see `Spool`.
    """

    def __init__(self, session: Session, spool: Path | None = None) -> None:
        self._spool = partial(Spool, folder=spool)
        self._stretches_read = 0
        self._strip_markup(self._divide(session))
        self._find_lines()

    def _divide(self, session: Session) -> np.ndarray:
        """Separate the sides, and return the bytes of the client, uint8 [bytes]."""
        server, client = self._spool(np.uint8), self._spool(np.uint8)
        # Bytes of either side before each record of the client, and at the end all bytes of the client.
        server_before, client_before = self._spool(np.int64), self._spool(np.int64)
        server_bytes = client_bytes = 0
        for piece in session.pieces():
            by_client = piece.directions == Direction.CLIENT
            is_client = np.repeat(by_client, piece.sizes)
            server.append(piece.payload[~is_client])
            client.append(piece.payload[is_client])
            sizes = piece.sizes[by_client]
            before = np.cumsum(sizes) - sizes
            client_before.append(client_bytes + before)
            server_before.append(server_bytes + piece.ends[by_client] - sizes - before)
            client_bytes += int(sizes.sum())
            server_bytes += len(piece.payload) - int(sizes.sum())
        client_before.append([client_bytes])
        self.server = server.array().data
        self._server_before, self._client_before = server_before.array(), client_before.array()
        return client.array()

    def _strip_markup(self, client: np.ndarray) -> None:
        """Strip control sequences and telnet commands from the client's bytes, uint8."""
        typed, gaps, removed_before = self._spool(np.uint8), self._spool(np.int64), self._spool(np.int64)
        removed_before.append([0])
        end = removed = 0
        for (first, block), (begins, ends) in zip(blocks(client), find_spans(_MARKUP, client.data), strict=True):
            if end > first or len(begins):
                # A sequence may have begun in a block before this one, and may end in one after it.
                edge_begins, edge_ends = np.append(first, begins) - first, np.append(max(end, first), ends) - first
                size = len(block)
                block = block[~span_mask(np.minimum(edge_begins, size), np.minimum(edge_ends, size), size)]
                removed_so_far = removed + np.cumsum(ends - begins)
                gaps.append(ends - removed_so_far)
                removed_before.append(removed_so_far)
                removed += int((ends - begins).sum())
                end = int(ends[-1]) if len(ends) else end
            typed.append(block)
        self.typed = typed.array().data
        self._gaps, self._removed_before = gaps.array(), removed_before.array()

    def _find_lines(self) -> None:
        columns = [self._spool(np.int64) for _ in range(4)]

        def add(begins: np.ndarray, ends: np.ndarray) -> None:
            begins, ends = begins[begins < ends], ends[begins < ends]
            server_at_end = self._server_bytes_before(ends)
            server_at_end[ends == len(self.typed)] = len(self.server)
            for column, values in zip(
                columns, (begins, ends, self._server_bytes_before(begins), server_at_end), strict=True
            ):
                column.append(values)

        begin = 0
        for line_ends, next_begins in find_spans(_LINE_END, self.typed):
            if len(line_ends):
                add(np.append(begin, next_begins[:-1]), line_ends)
                begin = int(next_begins[-1])
        add(np.array([begin]), np.array([len(self.typed)]))
        self.begins, self.ends, self.server_at_begin, self.server_at_end = (column.array() for column in columns)

    def _client_positions(self, positions: np.ndarray) -> np.ndarray:
        """Convert positions in `typed` to positions in the client's bytes, int64 [n]."""
        return positions + self._removed_before[np.searchsorted(self._gaps, positions, "right")]

    def _server_bytes_before(self, positions: np.ndarray) -> np.ndarray:
        """Return how many bytes the server had sent before bytes of `typed`, int64 [n]."""
        record = np.searchsorted(self._client_before[:-1], self._client_positions(positions), "right") - 1
        return self._server_before[record]

    def payload_positions_of_typed(self, positions: np.ndarray) -> np.ndarray:
        """Convert positions in `typed` to positions in the session's payload, int64 [n]."""
        return self._client_positions(positions) + self._server_bytes_before(positions)

    def payload_positions_of_server(self, positions: np.ndarray) -> np.ndarray:
        """Convert positions in `server` to positions in the session's payload, int64 [n]."""
        return positions + self._client_before[np.searchsorted(self._server_before, positions, "right")]

    def __len__(self) -> int:
        return len(self.begins)

    def line(self, index: int) -> bytes:
        """Return a line as it was typed, backspaces included."""
        return bytes(self.typed[self.begins[index] : self.ends[index]])

    def lines_at(self, positions: np.ndarray) -> np.ndarray:
        """Return the line of each position in `typed`, int64 [n]; -1 before the first."""
        return np.searchsorted(self.begins, positions, "right") - 1

    def line_after(self, server_bytes: int) -> int:
        """Return the first line whose end has `server_bytes` server bytes before it.

        It is `len(self)` if there is none.
        """
        return int(np.searchsorted(self.server_at_end, server_bytes))

    def _server_bytes(self, begin: int, end: int) -> bytes:
        """Return a stretch of the server's bytes."""
        self._stretches_read += 1
        if self._stretches_read % RELEASE_EVERY == 0:
            release(self.server, self.typed, self.begins, self.ends, self.server_at_begin, self.server_at_end)
        return bytes(self.server[max(0, begin) : end])

    def server_text(self, begin: int, end: int) -> bytes:
        """Return a stretch of the server's text in lower case.

        Each move of the cursor becomes a line feed.
        """
        return CSI.sub(b"\n", _INVISIBLE.sub(b"", self._server_bytes(begin, end).lower()))

    def prompt(self, index: int) -> bytes:
        """Return the unfinished line of the server after which a line was typed."""
        end = int(self.server_at_begin[index])
        return LINE_BREAK.split(self.server_text(end - NEARBY, end))[-1]

    def echo(self, index: int, keys: np.ndarray) -> np.ndarray:
        """Find where the server echoed some keys of a line in clear.

        Args:
            index: The line.
            keys: int64 [n], positions in the line.

        Returns:
            Positions in `server`, int64 [n]; int64 [0] if the line was not echoed in clear.
        """
        line = self.line(index)
        if len(line) > NEARBY or not line.strip(b"*"):
            return np.zeros(0, np.int64)
        # A backspace is echoed as backspace, blank, backspace.
        echoes = [re.escape(bytes([key])) if key not in b"\b\x7f" else rb"\x08 \x08" for key in line]
        pattern = re.compile(b"".join(b"(%b)" % echo for echo in echoes) + rb"(?=[\r\n])")
        begin = int(self.server_at_begin[index])
        match = pattern.search(self._server_bytes(begin, min(int(self.server_at_end[index]), begin + NEARBY) + NEARBY))
        if not match or not _BEFORE_ECHO.fullmatch(self.server_text(begin, begin + match.start())):
            return np.zeros(0, np.int64)
        return np.array([begin + match.start(1 + key) for key in keys.tolist()], np.int64)

    def is_echoed(self, index: int) -> bool:
        """Tell whether a line was echoed in clear."""
        return len(self.echo(index, np.arange(len(self.line(index))))) > 0
