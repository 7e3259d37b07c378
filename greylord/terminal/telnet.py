"""Separate telnet commands (RFC 854) from the data of a stream."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["DO", "DONT", "IAC", "SB", "SE", "WILL", "WONT", "Telnet"]

SE, SB, WILL, WONT, DO, DONT, IAC = 240, *range(250, 256)

SUBNEGOTIATION_BYTES = 512
"""Bytes of the longest subnegotiation. A longer one lost its end: a recorder cut it, or a model did not write it."""


class Telnet:
    """A parser that removes telnet commands. The input may be cut anywhere."""

    def __init__(self) -> None:
        self._state: Callable[[int], bytes] = self._data

    def feed(self, received: bytes) -> bytes:
        """Return the data in the next bytes: commands removed, and IAC IAC as one byte."""
        return b"".join([self._state(byte) for byte in received])

    def _data(self, byte: int) -> bytes:
        if byte != IAC:
            return bytes([byte])
        self._state = self._command
        return b""

    def _command(self, byte: int) -> bytes:
        self._state = self._data
        if byte == IAC:
            return bytes([IAC])
        if byte == SB:
            self._state, self._length = self._subnegotiation, 0
        elif byte >= WILL:
            self._state = self._option
        return b""

    def _option(self, byte: int) -> bytes:
        self._state = self._data
        return b""

    def _subnegotiation(self, byte: int) -> bytes:
        """Parameters up to IAC SE (RFC 855)."""
        self._length += 1
        if byte == IAC:
            self._state = self._subnegotiated_command
        elif self._length >= SUBNEGOTIATION_BYTES:
            self._state = self._data
        return b""

    def _subnegotiated_command(self, byte: int) -> bytes:
        if byte == IAC:
            self._state = self._subnegotiation
            return b""
        # SE ends it. Any other command means that the SE before it was lost.
        return self._command(byte)
