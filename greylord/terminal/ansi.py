"""Separate control sequences (ECMA-48) from the text of a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

__all__ = ["Ansi", "ControlSequence"]

ESCAPE, DELETE = 0x1B, 0x7F
STRING_OPENERS = b"P]X^_"
"""Bytes after ESC that open a string (DCS, OSC, SOS, PM, APC), which ST (ESC and a backslash) or, in practice, BEL
ends."""
STRING_ENDS = frozenset(b"\x07\x18\x1a\r\n")
"""Bytes other than ESC that end a string. A line end is one of them, so that a string that lost its end does not
swallow the game."""
SEQUENCE_BYTES = 64
"""Parameter and intermediate bytes of the longest control sequence."""


class ControlSequence(NamedTuple):
    """A control sequence: ESC [, parameters, intermediate bytes, a final byte.

    Parameters are from `0` to `?`, intermediate bytes from space to `/`, final bytes from `@` to `~`.
    """

    parameters: bytes
    intermediates: bytes
    final: bytes

    def __bytes__(self) -> bytes:
        return b"\x1b[" + self.parameters + self.intermediates + self.final


class Ansi:
    """A parser that separates text and complete control sequences.

    The input may be cut anywhere. Other escape sequences and strings are dropped. So is a control sequence before a
    byte that cannot belong to it; that byte is then read as text. Bytes from 0x80 on are text, as they are on a BBS.
    """

    def __init__(self) -> None:
        self._state: Callable[[int], ControlSequence | bytes | None] = self._text
        self._parameters, self._intermediates = bytearray(), bytearray()

    def feed(self, received: bytes) -> Iterator[ControlSequence | bytes]:
        """Parse the next bytes, and yield runs of text and control sequences in order."""
        text = bytearray()
        for byte in received:
            piece = self._state(byte)
            if isinstance(piece, ControlSequence):
                if text:
                    yield bytes(text)
                    text.clear()
                yield piece
            elif piece:
                text += piece
        if text:
            yield bytes(text)

    def _text(self, byte: int) -> bytes | None:
        if byte != ESCAPE:
            return bytes([byte])
        self._state = self._escape
        return None

    def _restart(self, byte: int) -> bytes | None:
        self._state = self._text
        return self._text(byte)

    def _escape(self, byte: int) -> bytes | None:
        if byte == ord("["):
            self._parameters.clear()
            self._intermediates.clear()
            self._state = self._sequence
        elif byte in STRING_OPENERS:
            self._state = self._string
        elif ord("0") <= byte < DELETE:
            self._state = self._text
        elif not ord(" ") <= byte < ord("0"):
            return self._restart(byte)
        return None

    def _sequence(self, byte: int) -> ControlSequence | bytes | None:
        if len(self._parameters) + len(self._intermediates) < SEQUENCE_BYTES:
            if ord("0") <= byte <= ord("?") and not self._intermediates:
                self._parameters.append(byte)
                return None
            if ord(" ") <= byte < ord("0"):
                self._intermediates.append(byte)
                return None
        if ord("@") <= byte < DELETE:
            self._state = self._text
            return ControlSequence(bytes(self._parameters), bytes(self._intermediates), bytes([byte]))
        return self._restart(byte)

    def _string(self, byte: int) -> bytes | None:
        if byte == ESCAPE:
            self._state = self._escape
        elif byte in STRING_ENDS:
            self._state = self._text
            return bytes([byte]) if byte in b"\r\n" else None
        return None
