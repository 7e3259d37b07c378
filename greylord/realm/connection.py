"""A caller's telnet connection: line editing, echo, and text to send."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["LINE_LIMIT", "Connection"]

LINE_LIMIT = 120
"""Most characters in a typed line. Further ones are dropped and not echoed."""

NUL, BACKSPACE, LF, CR, ESCAPE, DELETE = 0, 8, 10, 13, 27, 127
SUB_END, SUB_BEGIN, WILL, DONT, IAC = 240, 250, 251, 254, 255
GREETING = bytes.fromhex("fffb03 fffb01 fffb00 fffd00")
"""IAC WILL suppress-go-ahead, WILL echo, WILL binary, DO binary."""

_State = Callable[[int], "_State"]


class Connection:
    """A telnet connection to the world.

    Args:
        on_line: Called with each line that the caller ends with CR, LF or CR LF.
        on_hang_up: Called once when the caller drops the connection.
    """

    def __init__(self, on_line: Callable[[Connection, str], None], on_hang_up: Callable[[Connection], None]) -> None:
        self.closed = False
        self.draft = ""
        """Text typed since the last line end."""
        self.masked = False
        """Echo `*` until the line ends, because a password is being typed."""
        self.typed_at = 0.0
        """World time of the last line end, in seconds."""
        self._on_line = on_line
        self._on_hang_up = on_hang_up
        self._outbox = bytearray(GREETING)
        self._state: _State = self._text

    def receive(self, data: bytes) -> None:
        """Process bytes from the caller. It makes no difference where chunks end."""
        for byte in data:
            if not self.closed:
                self._state = self._state(byte)

    def hang_up(self) -> None:
        """Drop the connection on the caller's side. Nothing more is sent."""
        if not self.closed:
            self.close()
            self._on_hang_up(self)
            self._outbox.clear()

    def close(self) -> None:
        """End the call on the host's side. Queued text is still sent."""
        self.closed = True

    def send(self, text: str) -> None:
        """Queue text for the caller, in code page 437."""
        self._outbox += text.encode("cp437")

    def flush(self) -> bytes:
        """Return and clear everything queued since the last flush."""
        data = bytes(self._outbox)
        self._outbox.clear()
        return data

    # Each state takes one byte and returns the state for the next byte.

    def _text(self, byte: int) -> _State:
        if byte == IAC:
            return self._telnet
        if byte == ESCAPE:
            return self._escape
        if byte in (CR, LF):
            self._end_line()
            return self._carriage_return if byte == CR else self._text
        if byte in (BACKSPACE, DELETE):
            if self.draft:
                self.draft = self.draft[:-1]
                self.send("\b \b")
        elif 32 <= byte < DELETE and len(self.draft) < LINE_LIMIT:
            self.draft += chr(byte)
            self.send("*" if self.masked else chr(byte))
        return self._text

    def _carriage_return(self, byte: int) -> _State:
        return self._text if byte in (LF, NUL) else self._text(byte)

    def _escape(self, byte: int) -> _State:
        return self._control_sequence if byte == ord("[") else self._text(byte)

    def _control_sequence(self, byte: int) -> _State:
        if 32 <= byte < 64:
            return self._control_sequence
        return self._text if 64 <= byte < DELETE else self._text(byte)

    def _telnet(self, byte: int) -> _State:
        if byte == SUB_BEGIN:
            return self._subnegotiation
        return self._option if WILL <= byte <= DONT else self._text

    def _option(self, byte: int) -> _State:
        return self._text

    def _subnegotiation(self, byte: int) -> _State:
        return self._subnegotiation_telnet if byte == IAC else self._subnegotiation

    def _subnegotiation_telnet(self, byte: int) -> _State:
        return self._text if byte == SUB_END else self._subnegotiation

    def _end_line(self) -> None:
        typed, self.draft, self.masked = self.draft, "", False
        self.send("\r\n")
        self._on_line(self, typed)
