"""Telnet commands (RFC 854) among a stream's data."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["DO", "DONT", "IAC", "SB", "SE", "WILL", "WONT", "Telnet"]

SE, SB, WILL, WONT, DO, DONT, IAC = 240, *range(250, 256)

SUBNEGOTIATION_BYTES = 512
"""What is longer has lost its end: recordings cut it off, and a model forgets it."""


class Telnet:
    """The receiving end: takes bytes, cut anywhere, and gives the data among them."""

    def __init__(self) -> None:
        self._state: Callable[[int], bytes] = self._data

    def feed(self, received: bytes) -> bytes:
        """The data in the next bytes of a connection: without commands, and with IAC IAC as one byte."""
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
        # Any other command but SE is one that the lost SE should have gone before.
        return self._command(byte)
